//! The storage port over SQLite: the storage itself, and the storage bound to a transaction of the host.
//!
//! Every read is the query of the same name. They differ in the connection that a read runs on (`pooled!` and `long!`,
//! `lent!`), and in how they apply a change set.

use serront_core::changes::idempotency::Kept;
use serront_core::forward_port;
use serront_core::funds::ledger::POSTED_WITHIN;
use serront_core::ports::Clock;
use serront_core::ports::prelude::*;

use super::bound::BoundSqlite;
use super::commit::Refusal;
use super::funds::{
    adjustment, balance, entries, exception, exceptions, funds, payout, payout_audit, payouts, payouts_in_flight,
};
use super::jobs::{Job, Record};
use super::line::debits;
use super::migrations::layout;
use super::open::SqliteStorage;
use super::read::{
    self, account, audit, checkout, counts, deliveries, delivery, discards, effect, given_up, inbox, key, keys,
    merchant, order, orders, outcome, provisionings, service, services, session, shop, subscription_secrets, waiting,
};
use super::transaction::SqliteTransaction;
use super::{books, installation, set_aside};
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, Unread};

/// Leaves out an outcome whose time has ended by the storage's clock.
fn forget_ended(clock: &dyn Clock, kept: Option<&mut Option<Kept>>) {
    if let Some(kept) = kept {
        kept.take_if(|kept| kept.until <= clock.now());
    }
}

/// Most rows of a page that is a short read.
const SHORT_PAGE_MAX: u32 = 100;

/// Runs a short read on a connection of the pool.
macro_rules! pooled {
    ($this:ident, |$connection:ident| $read:expr) => {
        Ok::<_, PortError>($this.readers.read(async |$connection| $read.await)?)
    };
}

/// Runs a read that may take long on a connection of the pool. It must own what it names.
macro_rules! long {
    ($this:ident, |$connection:ident| $read:expr) => {
        Ok::<_, PortError>($this.readers.read_long(async move |$connection| $read.await).await?)
    };
}

/// Runs a read inside the host's transaction.
macro_rules! lent {
    ($this:ident, |$connection:ident| $read:expr) => {
        Ok::<_, PortError>($this.within(async |$connection| $read.await).await?)
    };
}

/// The body of a method of the port, on a connection that `$read!` supplies.
macro_rules! answer {
    ($read:ident, $this:ident.commit($change:ident)) => { $this.apply($change).await };
    ($read:ident, $this:ident.account($($argument:ident),*)) => { answer!(@kept $read, $this.account($($argument),*)) };
    ($read:ident, $this:ident.service($($argument:ident),*)) => { answer!(@kept $read, $this.service($($argument),*)) };
    ($read:ident, $this:ident.shop($($argument:ident),*)) => { answer!(@kept $read, $this.shop($($argument),*)) };
    ($read:ident, $this:ident.order($($argument:ident),*)) => { answer!(@kept $read, $this.order($($argument),*)) };
    ($read:ident, $this:ident.exception($($argument:ident),*)) => { answer!(@kept $read, $this.exception($($argument),*)) };
    ($read:ident, $this:ident.funds($($argument:ident),*)) => { answer!(@kept $read, $this.funds($($argument),*)) };
    ($read:ident, $this:ident.payout($($argument:ident),*)) => { answer!(@kept $read, $this.payout($($argument),*)) };
    ($read:ident, $this:ident.$method:ident($($argument:ident),*)) => {
        $read!($this, |connection| $method(connection, $($argument),*))
    };
    // A snapshot with the outcome stored under the caller's idempotency key.
    (@kept $read:ident, $this:ident.$method:ident($($argument:ident),*)) => {{
        let mut found = $read!($this, |connection| $method(connection, $($argument),*))?;
        forget_ended($this.clock(), found.as_mut().map(|found| &mut found.kept));
        Ok(found)
    }};
}

macro_rules! answer_from_pool {
    ($this:ident.orders($account:ident, $filter:ident, $after:ident, $limit:ident) $_:tt) => {{
        // Without words, a page touches about as many rows as it returns.
        if $filter.words.is_empty() && $limit.get() <= SHORT_PAGE_MAX {
            return pooled!($this, |connection| orders(connection, $account, $filter, $after, $limit));
        }
        let filter = $filter.clone();
        long!($this, |connection| orders(connection, $account, &filter, $after, $limit))
    }};
    ($this:ident.deliveries($account:ident, $filter:ident, $after:ident, $limit:ident) $_:tt) => {{
        let filter = $filter.clone();
        long!($this, |connection| deliveries(connection, $account, &filter, $after, $limit))
    }};
    ($this:ident.entries($account:ident, $filter:ident, $after:ident, $limit:ident) $_:tt) => {{
        let filter = $filter.clone();
        long!($this, |connection| entries(connection, $account, &filter, $after, $limit))
    }};
    ($this:ident.exceptions($account:ident, $status:ident, $after:ident, $limit:ident) $_:tt) => {
        long!($this, |connection| exceptions(connection, $account, $status, $after, $limit))
    };
    ($this:ident.payouts($account:ident, $status:ident, $after:ident, $limit:ident) $_:tt) => {
        long!($this, |connection| payouts(connection, $account, $status, $after, $limit))
    };
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { answer!(pooled, $this.$method($($argument),*)) };
}

macro_rules! answer_in_transaction {
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { answer!(lent, $this.$method($($argument),*)) };
}

/// Lists across all accounts. Rows that can't be read are put on record and left out.
macro_rules! list {
    ($this:ident.set_aside($limit:ident) $_:tt) => { long!($this, |connection| set_aside::list(connection, $limit)) };
    ($this:ident.touch_key($account_id:ident, $id:ident, $pause:ident) $_:tt) => {{
        let at = $this.clock.now();
        Ok($this.write(|reply| Job::TouchKey(($account_id, $id), (at, $pause), reply)).await?)
    }};
    ($this:ident.waiting($parked_before:ident, $limit:ident) $_:tt) => { list!(@rows $this.waiting($parked_before, $limit)) };
    ($this:ident.discards($limit:ident) $_:tt) => { list!(@rows $this.discards($limit)) };
    ($this:ident.$method:ident($after:ident, $limit:ident) $_:tt) => {{
        let found = long!($this, |connection| $method(connection, $after, $limit))?;
        $this.noted_page(found, $limit).await
    }};
    (@rows $this:ident.$method:ident($($argument:ident),*)) => {{
        let found = long!($this, |connection| $method(connection, $($argument),*))?;
        $this.note(found.unread).await?;
        Ok(found.rows)
    }};
}

forward_port! { impl Storage for SqliteStorage { answer_from_pool! } }
forward_port! { impl Storage for SqliteTransaction<'_> { answer_in_transaction! } }
forward_port! { impl Storage for BoundSqlite<'_> { answer_in_transaction! } }
forward_port! { impl OperatorReads for SqliteStorage { list! } }
forward_port! { impl Credentials for SqliteStorage { list! } }

#[async_trait]
impl Outbox for SqliteStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let now = self.clock.now();
        if let Some(began) = self.looks.begin(now) {
            let looked: Result<(), Failed> = self.write(|reply| Job::LookAgain(began, now, reply)).await;
            // If this fails, the next look finds the rows.
            drop(looked);
        }
        Ok(self.write(|reply| Job::TakeDue { lane, now, limit, shares, lease, reply }).await?)
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        let now = self.clock.now();
        pooled!(self, |connection| read::next_due(connection, lane, now))
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let now = self.clock.now();
        let record = Record { account: account_id, id, fence, attempt: attempt.clone(), next, now };
        let recorded = self.write(|reply| Job::RecordAttempt(Box::new(record), reply)).await;
        Ok(recorded.map_err(|failed: Failed| PortError::from(failed))??)
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        pooled!(self, |connection| read::streak(connection, account_id, id))
    }
}

#[async_trait]
impl Bookkeeping for SqliteStorage {
    /// Does nothing: the single writer updates counts and balances directly, so there are no deltas.
    async fn fold_deltas(&self, _limit: u32) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        // Transactions that began before our turn have ended by then, so later reads see them. Later transactions carry later
        // times.
        let now = self.clock.now();
        self.write(Job::Turn).await.map_err(|failed: Failed| PortError::from(failed))?;
        Ok(now.minus(POSTED_WITHIN))
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let verification = verification.clone();
        long!(self, |connection| books::books(connection, account_id, &verification))
    }
}

#[async_trait]
impl Upkeep for SqliteStorage {
    async fn ready(&self) -> Result<(), PortError> {
        let applied: i64 = pooled!(self, |connection| read::schema_version(connection))?;
        if applied == layout() { Ok(()) } else { Err(PortError::permanent("the schema is of another version")) }
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        Ok(self.clock.now())
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        let now = self.clock.now();
        Ok(self.write(|reply| Job::Prune(prune, now, reply)).await?)
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        pooled!(self, |connection| read::named_uploads(connection, uploads))
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        pooled!(self, |connection| installation::read(connection))
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        Ok(self.write(|reply| Job::BeginInstallation(id, reply)).await?)
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        Ok(self.write(|reply| Job::PutKeyCheck(was, check, reply)).await?)
    }
}

impl SqliteStorage {
    fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Applies a change set in the writer.
    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let applied = self.write(|reply| Job::Commit(Box::new(change.clone()), reply)).await;
        if debits(change) {
            match &applied {
                Ok(_) => self.lines.landed(change.account_id),
                Err(Refusal::Conflict) => self.lines.wait(change.account_id).await,
                Err(_) => {}
            }
        }
        Ok(applied?)
    }

    /// Records the rows that a read left out.
    async fn note(&self, unread: Vec<Unread>) -> Result<(), PortError> {
        if unread.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        Ok(self.write::<_, Failed>(|reply| Job::SetAside(unread, now, reply)).await?)
    }

    /// Records the rows that a page leaves out, and returns the page.
    async fn noted_page<T: Send>(&self, found: Found<T>, limit: Limit) -> Result<Page<T>, PortError> {
        let (page, unread) = found.page(limit);
        self.note(unread).await?;
        Ok(page)
    }
}
