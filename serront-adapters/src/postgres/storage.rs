//! The storage port over PostgreSQL: the storage itself, and the storage bound to a transaction of the host.
//!
//! Every read is the query of the same name. The two differ in the connection that a read runs on (`pooled!`, `inside!`), in
//! how they read what concurrent callers share, and in how they apply a change set.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use serront_core::changes::change::Duplicate;
use serront_core::forward_port;
use serront_core::funds::ledger::POSTED_WITHIN;
use serront_core::ports::prelude::*;
use sqlx::Connection as _;

use super::bound::{BoundPostgres, inside};
use super::coalesce::Entry;
use super::commit::Mode;
use super::events::Turn;
use super::funds::{
    self, adjustment, balance, entries, exception, exceptions, funds, payout, payout_audit, payouts, payouts_in_flight,
};
use super::migrations::layout;
use super::open::PostgresStorage;
use super::pool::{end, on_connection, pooled, repeating, writing};
use super::read::{
    self, account, audit, checkout, counts, deliveries, delivery, discards, effect, given_up, inbox, keys, orders,
    provisionings, service, services, shop, subscription_secrets, waiting,
};
use super::records::Record;
use super::together::{self, Sent};
use super::{books, error, events, fold, installation, set_aside, work};
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, Unread};

/// How many times [`Outbox::take_due`] looks again if it can read none of the effects that it leased.
const ROUNDS_MAX: u32 = 32;

/// How often [`Outbox::take_due`] asks for the server's time, to see whether it is time to try rows again.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// The body of a method of the port, on a connection that `$read!` supplies.
macro_rules! answer {
    ($read:ident, $this:ident.commit($change:ident)) => { $this.apply($change).await };
    ($read:ident, $this:ident.outcome($account_id:ident, $id:ident)) => {{
        let wanted = [($account_id, $id)];
        let found = $read!($this, |connection, schema| read::outcomes(connection, schema, &wanted))?;
        Ok(found.into_iter().next().flatten())
    }};
    ($read:ident, $this:ident.account($($argument:ident),*)) => { answer!(@kept $read, $this.account($($argument),*)) };
    ($read:ident, $this:ident.service($($argument:ident),*)) => { answer!(@kept $read, $this.service($($argument),*)) };
    ($read:ident, $this:ident.shop($($argument:ident),*)) => { answer!(@kept $read, $this.shop($($argument),*)) };
    ($read:ident, $this:ident.exception($($argument:ident),*)) => { answer!(@kept $read, $this.exception($($argument),*)) };
    ($read:ident, $this:ident.funds($($argument:ident),*)) => { answer!(@kept $read, $this.funds($($argument),*)) };
    ($read:ident, $this:ident.payout($($argument:ident),*)) => { answer!(@kept $read, $this.payout($($argument),*)) };
    ($read:ident, $this:ident.$method:ident($($argument:ident),*)) => {
        Ok($read!($this, |connection, schema| $method(connection, schema, $($argument),*))?)
    };
    // A snapshot with the outcome stored under the caller's idempotency key, which counts until its time ends.
    (@kept $read:ident, $this:ident.$method:ident($($argument:ident),*)) => {
        Ok($read!($this, |connection, schema| $method(connection, (schema, &$this.now_sql()), $($argument),*))?)
    };
}

/// Concurrent callers share the reads that are needed most.
macro_rules! answer_from_pool {
    ($this:ident.order($($argument:ident),*) $_:tt) => { $this.find_order($($argument),*).await };
    ($this:ident.key($($argument:ident),*) $_:tt) => { $this.find_key($($argument),*).await };
    ($this:ident.merchant($($argument:ident),*) $_:tt) => { $this.find_merchant($($argument),*).await };
    ($this:ident.session($($argument:ident),*) $_:tt) => { $this.find_session($($argument),*).await };
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { answer!(pooled, $this.$method($($argument),*)) };
}

macro_rules! answer_in_transaction {
    ($this:ident.order($key:ident, $scope:ident) $_:tt) => {{
        let (wanted, now) = ([($key, $scope)], $this.now_sql());
        Ok(first(inside!($this, |connection, schema| read::orders_by_key(connection, (schema, &now), &wanted))?)?)
    }};
    ($this:ident.key($hash:ident) $_:tt) => {
        Ok(first(inside!($this, |connection, schema| read::keys_by_hash(connection, schema, &[$hash]))?)?)
    };
    ($this:ident.merchant($id:ident) $_:tt) => {{
        let wanted = std::slice::from_ref($id);
        Ok(first(inside!($this, |connection, schema| read::merchants(connection, schema, wanted))?)?)
    }};
    ($this:ident.session($account_id:ident, $id:ident, $event_id:ident) $_:tt) => {{
        let wanted = [($account_id, $id.clone(), $event_id)];
        let found = inside!($this, |connection, schema| read::sessions(connection, schema, &wanted))?;
        Ok(first(found)?.ok_or(Failed::Unreadable("session"))?)
    }};
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { answer!(inside, $this.$method($($argument),*)) };
}

/// Lists across all accounts. Rows that can't be read are put on record and left out.
macro_rules! list {
    ($this:ident.set_aside($limit:ident) $_:tt) => {
        Ok(pooled!($this, |connection, schema| set_aside::list(connection, schema, $limit))?)
    };
    ($this:ident.touch_key($account_id:ident, $id:ident, $pause:ident) $_:tt) => {{
        let now = $this.now_sql();
        Ok(repeating!($this.base, |connection, schema| {
            work::touch_key(connection, (schema, &now), $account_id, $id, $pause)
        })?)
    }};
    ($this:ident.waiting($parked_before:ident, $limit:ident) $_:tt) => { list!(@rows $this.waiting($parked_before, $limit)) };
    ($this:ident.discards($limit:ident) $_:tt) => { list!(@rows $this.discards($limit)) };
    ($this:ident.$method:ident($after:ident, $limit:ident) $_:tt) => {{
        let found = pooled!($this, |connection, schema| $method(connection, schema, $after, $limit))?;
        $this.noted_page(found, $limit).await
    }};
    (@rows $this:ident.$method:ident($($argument:ident),*)) => {{
        let found = pooled!($this, |connection, schema| $method(connection, schema, $($argument),*))?;
        $this.note(found.unread).await?;
        Ok(found.rows)
    }};
}

forward_port! { impl Storage for PostgresStorage { answer_from_pool! } }
forward_port! { impl Storage for BoundPostgres<'_> { answer_in_transaction! } }
forward_port! { impl OperatorReads for PostgresStorage { list! } }
forward_port! { impl Credentials for PostgresStorage { list! } }

#[async_trait]
impl Outbox for PostgresStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        if let Some(now) = self.now_and_then().await?
            && let Some(began) = self.looks.begin(now)
        {
            // If this fails, the next look finds the rows.
            let _ = writing!(self.base, |connection, schema| set_aside::look_again(connection, schema, began, now));
        }
        let now = self.now_sql();
        for _ in 0..ROUNDS_MAX {
            // Only what is taken of deliveries depends on how many are due.
            let due = match lane {
                Lane::Deliveries => {
                    let looked =
                        on_connection!(self.base, |connection, schema| work::due_count(connection, (schema, &now)))?;
                    let Some(due) = looked else { return Ok(Vec::new()) };
                    Some(due)
                }
                Lane::Mails | Lane::Removals | Lane::Errands => None,
            };
            // If the answer is lost, the effects become due again when their leases run out.
            let leased = writing!(self.base, |connection, schema| {
                work::lease_due(connection, (schema, &now), (lane, due), limit, shares, lease)
            })?;
            let Some(now) = leased.first().map(|leased| leased.at) else { return Ok(Vec::new()) };
            let Found { rows, unread } =
                on_connection!(self.base, |connection, schema| work::leased(connection, schema, (lane, now), &leased))?;
            if unread.is_empty() {
                return Ok(rows);
            }
            let put_off =
                writing!(self.base, |connection, schema| set_aside::put_off(connection, schema, &unread, now));
            // The readable effects are leased. If putting off the others failed, their leases run out.
            if !rows.is_empty() {
                return Ok(rows);
            }
            put_off?;
        }
        Ok(Vec::new())
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        let now = self.now().await?;
        Ok(on_connection!(self.base, |connection, schema| work::next_due(connection, schema, lane, now))?)
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let record = Record { account_id, id, fence, attempt: attempt.clone(), next };
        let recorded = match self.records.enter(|| record.clone()) {
            Entry::Alone(slot) => match together::record_at_once(&self.base, &record).await {
                Some(recorded) => recorded,
                None => {
                    // A record that waits for a host's transaction must not delay the queue.
                    drop(slot);
                    together::record_waiting(&self.base, &record).await
                }
            },
            Entry::Queued(answer) => answer.await.unwrap_or(Err(Failed::Lost)),
        };
        Ok(recorded.map_err(PortError::from)??)
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        Ok(on_connection!(self.base, |connection, schema| read::streak(connection, schema, account_id, id))?)
    }
}

#[async_trait]
impl Bookkeeping for PostgresStorage {
    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        let now = self.now().await?;
        Ok(repeating!(self.base, |connection, schema| fold::fold_deltas(connection, schema, limit, now))?)
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        let now = self.now_sql();
        let (now, open) =
            on_connection!(self.base, |connection, schema| funds::oldest_posting(connection, (schema, &now)))?;
        let Some(open) = open else {
            // An open transaction has posted, and the server does not show when it began.
            return Ok(Timestamp::from_millis(i64::MIN));
        };
        Ok(now.minus(open).minus(POSTED_WITHIN))
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let mut lease = self.base.connections.acquire().await.map_err(error::classified)?;
        let time_max = self.base.answer_time_max;
        let reading = async {
            let connection = lease.connection()?;
            let beginning = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            let mut transaction = tokio::time::timeout(time_max, beginning).await.map_err(|_| Failed::Lost)??;
            let bounds = (self.base.schema.as_str(), time_max);
            books::books(&mut transaction, bounds, account_id, verification).await?;
            Ok(tokio::time::timeout(time_max, transaction.commit()).await.map_err(|_| Failed::Lost)??)
        };
        let read = reading.await;
        end(lease, &read);
        Ok(read.map_err(error::of_read).map_err(error::classified)?)
    }
}

#[async_trait]
impl Upkeep for PostgresStorage {
    async fn ready(&self) -> Result<(), PortError> {
        // The second round uses a new connection: after a failover, the same address leads to another server.
        for _ in 0..2 {
            let (applied, takes_writes) =
                on_connection!(self.base, |connection, schema| read::schema_version(connection, schema))?;
            if takes_writes {
                // A newer layout only adds to this one, so it is accepted.
                let pending = PortError::permanent("migrations are pending");
                return if applied >= layout() { Ok(()) } else { Err(pending) };
            }
            self.base.connections.distrust();
        }
        Err(PortError::transient("the database server takes no writes"))
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        self.now().await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        let now = self.now_sql();
        Ok(repeating!(self.base, |connection, schema| work::prune(connection, (schema, &now), prune))?)
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        Ok(on_connection!(self.base, |connection, schema| read::named_uploads(connection, schema, uploads))?)
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        Ok(on_connection!(self.base, |connection, schema| installation::read(connection, schema))?)
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        Ok(writing!(self.base, |connection, schema| installation::begin(connection, schema, id))?)
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        Ok(writing!(self.base, |connection, schema| installation::put_key_check(
            connection,
            schema,
            was.as_ref(),
            &check
        ))?)
    }
}

/// The result of a lookup of one thing.
fn first<T>(found: Vec<Result<Option<T>, Failed>>) -> Result<Option<T>, Failed> {
    found.into_iter().next().unwrap_or(Ok(None))
}

/// Reads and commits that concurrent callers share.
impl PostgresStorage {
    async fn find_order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let found = match self.orders.enter(|| (key, scope)) {
            Entry::Alone(_slot) => together::orders(&self.base, &[(key, scope)]).await.and_then(first),
            Entry::Queued(answer) => answer.await.unwrap_or(Err(Failed::Lost)),
        };
        Ok(found?)
    }

    async fn find_key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        let found = match self.keys.enter(|| hash) {
            Entry::Alone(_slot) => together::keys(&self.base, &[hash]).await.and_then(first),
            Entry::Queued(answer) => answer.await.unwrap_or(Err(Failed::Lost)),
        };
        Ok(found?)
    }

    async fn find_merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        let found = match self.merchants.enter(|| id.clone()) {
            Entry::Alone(_slot) => together::merchants(&self.base, std::slice::from_ref(id)).await.and_then(first),
            Entry::Queued(answer) => answer.await.unwrap_or(Err(Failed::Lost)),
        };
        Ok(found?)
    }

    async fn find_session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let wanted = (account_id, id.clone(), event_id);
        let found = match self.sessions.enter(|| wanted.clone()) {
            Entry::Alone(_slot) => together::sessions(&self.base, &[wanted]).await.and_then(first),
            Entry::Queued(answer) => answer.await.unwrap_or(Err(Failed::Lost)),
        };
        Ok(found?.ok_or(Failed::Unreadable("session"))?)
    }

    /// Applies a change set, or answers `Duplicate` once another one with the same event has landed.
    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        loop {
            match self.events.enter(change) {
                Turn::Alone => return self.send(change).await,
                Turn::First(under_way) => {
                    let result = self.send(change).await;
                    if result.is_ok() {
                        under_way.landed();
                    }
                    return result;
                }
                Turn::Later(told, claim) => {
                    if events::landed(told).await {
                        return Err(CommitError::Duplicate(Box::new(Duplicate { claim, kept: None })));
                    }
                }
            }
        }
    }

    async fn send(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        match self.commits.enter(|| Arc::new(change.clone())) {
            Entry::Alone(slot) => {
                let mut sent = Sent::default();
                match together::commit_at_once(&self.base, change, Mode::Lone, &mut sent).await {
                    Some(result) => result,
                    None => {
                        // A change set that waits for a host's transaction must not delay the queue.
                        drop(slot);
                        // In a task: if the caller is cancelled, the statement may wait on, and keeps its place among
                        // the waiting ones until then.
                        let (base, change) = (Arc::clone(&self.base), change.clone());
                        let waiting = tokio::spawn(async move { together::commit_waiting(&base, &change, sent).await });
                        waiting.await.unwrap_or_else(|_| Err(Failed::Lost.into()))
                    }
                }
            }
            Entry::Queued(answer) => answer.await.unwrap_or_else(|_| Err(Failed::Lost.into())),
        }
    }
}

impl PostgresStorage {
    fn now_sql(&self) -> Cow<'static, str> {
        self.base.now_sql()
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        match &self.base.clock {
            Some(clock) => Ok(clock.now()),
            None => Ok(on_connection!(self.base, |connection, _schema| work::now(connection))?),
        }
    }

    /// The storage's time, but at most every [`ASKED_EVERY`] if the server has to be asked.
    async fn now_and_then(&self) -> Result<Option<Timestamp>, PortError> {
        if self.base.clock.is_none() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < ASKED_EVERY) {
                return Ok(None);
            }
            *asked = Some(Instant::now());
        }
        Ok(Some(self.now().await?))
    }

    /// Records the rows that a read left out.
    async fn note(&self, unread: Vec<Unread>) -> Result<(), PortError> {
        if unread.is_empty() {
            return Ok(());
        }
        let now = self.now().await?;
        Ok(writing!(self.base, |connection, schema| set_aside::record(connection, schema, &unread, now))?)
    }

    /// Records the rows that a page leaves out, and returns the page.
    async fn noted_page<T: Send>(&self, found: Found<T>, limit: Limit) -> Result<Page<T>, PortError> {
        let (page, unread) = found.page(limit);
        self.note(unread).await?;
        Ok(page)
    }
}
