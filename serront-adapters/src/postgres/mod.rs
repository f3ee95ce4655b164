//! Storage in PostgreSQL (15 or later): for several hosts, and for a team that has one already.
//!
//! ```text
//! reads   ─▶ one statement each; concurrent ones of the hot kinds share it
//! commits ─▶ one statement each, one round trip; concurrent ones share it, a failing one fails alone
//! ```
//!
//! Everything is in one schema of the host's choice, and every statement names it, so that a host's own search path does
//! not matter. Commits run at `READ COMMITTED`: what a decision relied on is compared with rows that the statement has
//! locked, in the order that `commit.rs` documents.
//!
//! What it does not do: it does not change the server's durability (`synchronous_commit` is the host's to set), and it
//! keeps no transaction open between two statements.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_core::books::Verification;
use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::effect::{Attempt, Discard, EffectId, EffectRecord, Lane};
use serront_core::idempotency::Scope;
use serront_core::ids::{AccountId, ChangeSetId, KeyId, SubscriptionId, UploadId};
use serront_core::inbox::InboxRecord;
use serront_core::key::KeyRecord;
use serront_core::page::{EffectPosition, Limit, Page, PayoutPosition};
use serront_core::payout::Payout;
use serront_core::policy::DeliveryShares;
use serront_core::ports::{
    Clock, CommitError, Due, Fence, NextAttempt, OrderKey, OrderSnapshot, PortError, Prune, Pruned, RecordError,
    SessionSnapshot, SubscriptionSecrets, WorkStorage,
};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use serront_core::set_aside::SetAsides;
use serront_core::subscription::Streak;
use serront_core::time::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres};

mod batch;
mod books;
mod bound;
mod cells;
mod coalesce;
mod commit;
mod error;
mod input;
mod migration_lock;
mod money;
mod read;
mod set_aside;
mod statement;
mod steps;
mod storage;
mod together;
mod waiting;
mod work;

pub use bound::BoundPostgres;
pub(crate) use error::{busy, passes};

use crate::sql::connections::Connections;
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, Looks, Unread};
use coalesce::{Coalescer, Entry};
use together::{Commits, Keys, Merchants, Orders, Sent, Sessions};
use waiting::Waiters;

/// The schema, in the order of its versions. What has landed is never edited; a change is a new file, and it only adds, so
/// that a host of the version before goes on working beside it.
const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "first", include_str!("migrations/0001_first.sql")),
    (2, "online", include_str!("migrations/0002_online.sql")),
    (3, "payouts", include_str!("migrations/0003_payouts.sql")),
    (4, "given_up", include_str!("migrations/0004_given_up.sql")),
    (5, "webhooks", include_str!("migrations/0005_webhooks.sql")),
    (6, "outbox", include_str!("migrations/0006_outbox.sql")),
    (7, "queues", include_str!("migrations/0007_queues.sql")),
    (8, "slow", include_str!("migrations/0008_slow.sql")),
    (10, "set_aside", include_str!("migrations/0010_set_aside.sql")),
];

/// The newest migration that this code knows.
fn layout() -> i64 {
    MIGRATIONS.map(|(version, _, _)| version).into_iter().max().unwrap_or(0)
}

/// The schema if none is chosen.
pub const SCHEMA_DEFAULT: &str = "serront";

/// How the storage is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Where the server is.
    pub connect: PgConnectOptions,
    /// The schema for everything; it is made if it is not there.
    pub schema: String,
    /// Most connections at the same time.
    pub connections_max: u32,
    /// How long a caller waits for a connection before it is told that the storage is busy.
    pub acquire_time_max: Duration,
    /// How long a commit waits for a row that somebody else has locked, as a rule a host's own transaction. It waits in memory, and
    /// tries on a connection from time to time.
    pub lock_time_max: Duration,
    /// How long one statement may take. The server stops it then; if nothing is heard of that either, for another
    /// [`PostgresOptions::acquire_time_max`], the connection is given up.
    pub statement_time_max: Duration,
    /// How long one of the storage's transactions may stand still before the server ends it, so that a host that is frozen in
    /// the middle of it holds nothing for longer. Less than a millisecond is no limit.
    pub idle_transaction_time_max: Duration,
    /// How long [`PostgresStorage::open`] waits for the server to answer, and then for a process that applies migrations.
    pub migration_wait_max: Duration,
    /// Called when [`PostgresStorage::open`] has to wait for a process that applies migrations.
    pub on_migration_wait: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The storage's own clock, by which leases run. `None`: the server's, which all hosts share.
    pub clock: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresOptions").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The server at this address, `postgres://user:password@host:port/database`, with this library's defaults.
    ///
    /// # Errors
    /// [`PortError`] if it is no such address. Its text is not repeated, for it may hold a password.
    pub fn at(url: &str) -> Result<Self, PortError> {
        let connect = url.parse().map_err(|_| PortError::permanent("not an address of a PostgreSQL server"))?;
        Ok(Self::new(connect))
    }

    /// With this library's defaults: schema `serront`, 16 connections, 5 s for a connection or a lock, 30 s for a
    /// statement, 10 s for a transaction that stands still, 60 s for migrations by another process.
    #[must_use]
    pub fn new(connect: PgConnectOptions) -> Self {
        Self {
            connect,
            schema: SCHEMA_DEFAULT.to_owned(),
            connections_max: 16,
            acquire_time_max: Duration::from_secs(5),
            lock_time_max: Duration::from_secs(5),
            statement_time_max: Duration::from_secs(30),
            idle_transaction_time_max: Duration::from_secs(10),
            migration_wait_max: Duration::from_secs(60),
            on_migration_wait: None,
            clock: None,
        }
    }
}

/// Storage in PostgreSQL.
pub struct PostgresStorage {
    base: Arc<Base>,
    commits: Arc<Coalescer<Commits>>,
    orders: Arc<Coalescer<Orders>>,
    keys: Arc<Coalescer<Keys>>,
    merchants: Arc<Coalescer<Merchants>>,
    sessions: Arc<Coalescer<Sessions>>,
    clock: Option<Arc<dyn Clock>>,
    looks: Looks,
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresStorage").finish_non_exhaustive()
    }
}

/// What every statement needs.
struct Base {
    connections: Connections<Postgres>,
    /// The quoted schema and a dot.
    schema: String,
    /// Those that wait for rows which somebody else has locked.
    waiters: Waiters,
    lock_time_max: Duration,
    /// After which time a server that says nothing is given up.
    answer_time_max: Duration,
}

/// A name that needs no escaping in quotes.
fn quoted(schema: &str) -> Result<String, PortError> {
    let fits = (1..=63).contains(&schema.len())
        && schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !schema.starts_with(|first: char| first.is_ascii_digit())
        && !schema.starts_with("pg_");
    if fits {
        Ok(format!("\"{schema}\"."))
    } else {
        Err(PortError::permanent("a schema's name is 1 to 63 of a-z, 0-9 and _, and begins with a letter or _"))
    }
}

impl PostgresStorage {
    /// Connects and applies pending migrations.
    ///
    /// # Errors
    /// [`PortError`] if the server can't be reached, if the schema's name is not 1 to 63 of `a-z 0-9 _`, if a
    /// migration fails, or, as busy, if another process applies migrations for longer than
    /// [`PostgresOptions::migration_wait_max`].
    pub async fn open(options: PostgresOptions) -> Result<Self, PortError> {
        let schema = quoted(&options.schema)?;
        let millis = |duration: Duration| duration.as_millis().to_string();
        // The statements are long, and their times are the host's to measure.
        let connect = options.connect.clone().application_name("serront").disable_statement_logging();
        migrate(&connect, &options, &schema).await?;
        let connect = connect
            // One text for each shape of a commit.
            .statement_cache_capacity(512)
            .options([
                ("lock_timeout", millis(options.lock_time_max).as_str()),
                ("statement_timeout", millis(options.statement_time_max).as_str()),
                ("idle_in_transaction_session_timeout", millis(options.idle_transaction_time_max).as_str()),
                // Every statement here is a few lookups by key: one plan fits all of its arguments, compiling it never
                // pays, and a plan made while a table was empty must not scan it when it is full.
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
                // Whatever the database's default is.
                ("default_transaction_isolation", "read committed"),
                ("enable_seqscan", "off"),
            ]);
        let most = usize::try_from(options.connections_max).unwrap_or(usize::MAX);
        let connections = Connections::new(connect, most, options.acquire_time_max);
        // They try on at most half of the connections.
        let waiters = Waiters::new(usize::try_from(options.connections_max / 2).unwrap_or(1));
        // As for the server, less than a millisecond is no limit.
        let answer_time_max = match options.statement_time_max.as_millis() {
            0 => Duration::MAX,
            _ => options.statement_time_max.saturating_add(options.acquire_time_max),
        };
        let lock_time_max = options.lock_time_max;
        let base = Arc::new(Base { connections, schema, waiters, lock_time_max, answer_time_max });
        Ok(Self {
            commits: Coalescer::new(Arc::new(Commits(Arc::clone(&base)))),
            orders: Coalescer::new(Arc::new(Orders(Arc::clone(&base)))),
            keys: Coalescer::new(Arc::new(Keys(Arc::clone(&base)))),
            merchants: Coalescer::new(Arc::new(Merchants(Arc::clone(&base)))),
            sessions: Coalescer::new(Arc::new(Sessions(Arc::clone(&base)))),
            base,
            clock: options.clock,
            looks: Looks::default(),
        })
    }

    /// Closes the connections. What comes later is refused.
    pub async fn close(&self) {
        self.base.connections.close().await;
    }
}

/// Applies what is pending. Hosts that start at once wait for each other by an advisory lock; one of an older version
/// finds migrations that it does not know, and leaves them alone.
///
/// On a connection of its own, without the storage's time-outs: a host that starts waits for the one that migrates.
async fn migrate(connect: &PgConnectOptions, options: &PostgresOptions, schema: &str) -> Result<(), PortError> {
    let name = &options.schema;
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql.replace("@.", schema)));
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.to_vec());
    migrator.set_ignore_missing(true);
    migrator.create_schema(format!("\"{name}\""));
    migrator.dangerous_set_table_name(format!("{schema}_sqlx_migrations"));
    let connecting = tokio::time::timeout(options.migration_wait_max, PgConnection::connect_with(connect)).await;
    let mut connection = connecting.map_err(|_| Failed::Busy)?.map_err(Failed::from)?;
    migration_lock::take(&mut connection, options).await?;
    migrator.set_locking(false);
    // As `run` does, whose future the compiler does not believe to be sendable over a connection.
    migrator.run_direct(None, &mut connection, false).await.map_err(PortError::permanent)?;
    // With its connection the lock ends.
    let _ = connection.close().await;
    Ok(())
}

/// Runs statements on a connection of the pool, and once more if the connection turned out to be dead. What writes says by
/// itself whether it may have arrived.
macro_rules! writing {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {{
        let base = &$base;
        let $schema = base.schema.as_str();
        let mut attempts = 0;
        loop {
            let result = match base.connections.acquire().await {
                Err(failed) => Err(failed),
                Ok(mut lease) => match lease.connection() {
                    Err(failed) => Err(failed),
                    Ok($connection) => {
                        let worked = tokio::time::timeout(base.answer_time_max, $work).await;
                        // Not known to be done, and not tried again: the next one would wait as long.
                        let result = worked.unwrap_or(Err($crate::sql::error::Failed::Lost));
                        if !matches!(&result, Err(failed) if $crate::postgres::error::loses_connection(failed)) {
                            lease.keep();
                        }
                        result
                    }
                },
            };
            match result {
                Err($crate::sql::error::Failed::Engine(error))
                    if $crate::postgres::error::is_lost(&error) && attempts < $crate::postgres::RECONNECTS_MAX =>
                {
                    attempts += 1;
                    $crate::postgres::pause(attempts).await;
                }
                other => break other,
            }
        }
    }};
}
use writing;

/// The same for reads, of which it does not matter whether they arrived.
macro_rules! on_connection {
    ($base:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::writing!($base, |$connection, $schema| $read).map_err($crate::postgres::error::of_read)
    };
}
use on_connection;

/// How often a statement that can be sent again is, on another connection, before the caller is told. After a restart of
/// the server every connection of the pool is dead, and each is found out by one statement.
const RECONNECTS_MAX: u32 = 32;

/// How often it is looked for work where all that was found can't be read.
const ROUNDS_MAX: u32 = 32;

/// Before the next connection is tried: not at all at first, while dead ones are found out, then longer, while a server comes
/// up again.
async fn pause(attempts: u32) {
    tokio::time::sleep(Duration::from_millis(10) * attempts.saturating_sub(2).min(16)).await;
}

/// A read on one of the storage's own connections.
macro_rules! pooled {
    ($self:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::on_connection!($self.base, |$connection, $schema| $read)
    };
}
use pooled;

/// What was found of the one thing that was asked for.
fn first<T>(found: Vec<Result<Option<T>, Failed>>) -> Result<Option<T>, Failed> {
    found.into_iter().next().unwrap_or(Ok(None))
}

/// What concurrent callers share.
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

    async fn find_outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        let wanted = [(account_id, id)];
        let found = on_connection!(self.base, |connection, schema| read::outcomes(connection, schema, &wanted))?;
        Ok(found.into_iter().next().flatten())
    }

    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        match self.commits.enter(|| Arc::new(change.clone())) {
            Entry::Alone(slot) => {
                let mut sent = Sent::default();
                match together::commit_at_once(&self.base, change, &mut sent).await {
                    Some(result) => result,
                    None => {
                        // A slot is for work, not for waiting: those who wait for a host's transaction hold nobody up.
                        drop(slot);
                        together::commit_waiting(&self.base, change, sent).await
                    }
                }
            }
            Entry::Queued(answer) => answer.await.unwrap_or_else(|_| Err(Failed::Lost.into())),
        }
    }
}

impl PostgresStorage {
    async fn now(&self) -> Result<Timestamp, PortError> {
        match &self.clock {
            Some(clock) => Ok(clock.now()),
            None => Ok(on_connection!(self.base, |connection, _schema| work::now(connection))?),
        }
    }

    /// Puts on record what a read left out.
    async fn note(&self, unread: Vec<Unread>) -> Result<(), PortError> {
        if unread.is_empty() {
            return Ok(());
        }
        let now = self.now().await?;
        Ok(writing!(self.base, |connection, schema| set_aside::record(connection, schema, &unread, now))?)
    }

    /// A page, once what was left out of it is on record.
    async fn noted_page<T: Send>(&self, found: Found<T>, limit: Limit) -> Result<Page<T>, PortError> {
        let (page, unread) = found.page(limit);
        self.note(unread).await?;
        Ok(page)
    }
}

#[async_trait]
impl WorkStorage for PostgresStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let now = self.now().await?;
        if let Some(began) = self.looks.begin(now) {
            // The next look finds what this one did not come to.
            let _ = writing!(self.base, |connection, schema| set_aside::look_again(connection, schema, began, now));
        }
        for _ in 0..ROUNDS_MAX {
            let due = on_connection!(self.base, |connection, schema| work::due_count(connection, schema, lane, now))?;
            if due == 0 {
                return Ok(Vec::new());
            }
            // What was taken and not heard of comes back when its lease runs out.
            let leased = writing!(self.base, |connection, schema| {
                work::lease_due(connection, schema, (lane, now, due), limit, shares, lease)
            })?;
            if leased.is_empty() {
                return Ok(Vec::new());
            }
            let Found { rows, unread } =
                on_connection!(self.base, |connection, schema| work::leased(connection, schema, (lane, now), &leased))?;
            if unread.is_empty() {
                return Ok(rows);
            }
            let put_off =
                writing!(self.base, |connection, schema| set_aside::put_off(connection, schema, &unread, now));
            // What can be read was taken, whatever became of the others: their lease runs out.
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
        let recorded = writing!(self.base, |connection, schema| {
            work::record_attempt(connection, schema, account_id, id, fence, attempt, next)
        });
        Ok(recorded.map_err(PortError::from)??)
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        let now = self.now().await?;
        Ok(writing!(self.base, |connection, schema| work::fold_deltas(connection, schema, limit, now))?)
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        let found =
            on_connection!(self.base, |connection, schema| read::waiting(connection, schema, parked_before, limit))?;
        self.note(found.unread).await?;
        Ok(found.rows)
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        let found =
            on_connection!(self.base, |connection, schema| money::payouts_in_flight(connection, schema, after, limit))?;
        self.noted_page(found, limit).await
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        Ok(on_connection!(self.base, |connection, schema| read::streak(connection, schema, account_id, id))?)
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        let found = on_connection!(self.base, |connection, schema| read::subscription_secrets(
            connection, schema, after, limit
        ))?;
        self.noted_page(found, limit).await
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        let found =
            on_connection!(self.base, |connection, schema| read::provisionings(connection, schema, after, limit))?;
        self.noted_page(found, limit).await
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        let found = on_connection!(self.base, |connection, schema| read::given_up(connection, schema, after, limit))?;
        self.noted_page(found, limit).await
    }

    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        let found = on_connection!(self.base, |connection, schema| read::discards(connection, schema, limit))?;
        self.note(found.unread).await?;
        Ok(found.rows)
    }

    async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError> {
        Ok(on_connection!(self.base, |connection, schema| set_aside::list(connection, schema, limit))?)
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let mut lease = self.base.connections.acquire().await?;
        let reading = async {
            let connection = lease.connection()?;
            let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let bounds = (self.base.schema.as_str(), self.base.answer_time_max);
            books::books(&mut transaction, bounds, account_id, verification).await?;
            Ok(transaction.commit().await?)
        };
        reading.await.map_err(error::of_read)?;
        lease.keep();
        Ok(())
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        Ok(writing!(self.base, |connection, schema| work::prune(connection, schema, prune))?)
    }

    async fn touch_key(
        &self,
        account_id: AccountId,
        id: KeyId,
        at: Timestamp,
        pause: Duration,
    ) -> Result<(), PortError> {
        Ok(writing!(self.base, |connection, schema| work::touch_key(connection, schema, account_id, id, at, pause))?)
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        Ok(on_connection!(self.base, |connection, schema| read::named_uploads(connection, schema, uploads))?)
    }

    async fn ready(&self) -> Result<(), PortError> {
        let applied = on_connection!(self.base, |connection, schema| read::schema_version(connection, schema))?;
        // A newer layout only adds to this one.
        if applied >= layout() { Ok(()) } else { Err(PortError::permanent("migrations are pending")) }
    }
}
