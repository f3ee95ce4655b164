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

use serront_core::accounts::key::KeyRecord;
use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::idempotency::Scope;
use serront_core::online::provisioning::Provisioning;
use serront_core::ports::{Clock, CommitError, PortError};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{OrderKey, OrderSnapshot, SessionSnapshot};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

mod address;
mod answer;
mod batch;
mod books;
mod bound;
mod cells;
mod clock;
mod coalesce;
mod commit;
mod error;
mod input;
mod installation;
mod migration_lock;
mod money;
mod read;
mod rewrite;
mod servers;
mod set_aside;
mod statement;
mod steps;
mod storage;
mod together;
mod waiting;
mod work;

pub use address::TargetSession;
pub use bound::BoundPostgres;
pub(crate) use error::{busy, passes};

use crate::sql::connections::{Connections, Lease, Limits};
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, Looks, Unread};
use answer::Silence;
use coalesce::{Coalescer, Entry};
use error::Fate;
use servers::{Servers, Session};
use together::{Commits, Keys, Merchants, Orders, Sent, Sessions};
use waiting::Waiters;

/// The schema, in the order of its versions. What has landed is never edited; a change is a new file, and it only adds, so
/// that a host of the version before goes on working beside it.
const MIGRATIONS: [(i64, &str, &str); 11] = [
    (1, "first", include_str!("migrations/0001_first.sql")),
    (2, "online", include_str!("migrations/0002_online.sql")),
    (3, "payouts", include_str!("migrations/0003_payouts.sql")),
    (4, "given_up", include_str!("migrations/0004_given_up.sql")),
    (5, "webhooks", include_str!("migrations/0005_webhooks.sql")),
    (6, "outbox", include_str!("migrations/0006_outbox.sql")),
    (7, "queues", include_str!("migrations/0007_queues.sql")),
    (8, "slow", include_str!("migrations/0008_slow.sql")),
    (9, "installation", include_str!("migrations/0009_installation.sql")),
    (10, "set_aside", include_str!("migrations/0010_set_aside.sql")),
    (11, "text", include_str!("migrations/0011_text.sql")),
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
    /// Further servers, tried in this order where the first one does not answer or is not the wanted one.
    pub others: Vec<PgConnectOptions>,
    /// Which of these servers is wanted.
    pub target: TargetSession,
    /// How long one server may take to let us in. Of several each has its share of
    /// [`PostgresOptions::acquire_time_max`], if that is less.
    pub connect_time_max: Duration,
    /// After how long an unused connection is closed: less than firewalls and load balancers keep one that is silent, which
    /// is 4 to 6 minutes where they are hasty.
    pub idle_time_max: Duration,
    /// After how much idleness a connection is asked whether it is alive before it is used: one in regular use never is.
    pub ask_after: Duration,
    /// After how long a connection is closed and another one opened, so that they follow when an address leads elsewhere.
    pub lifetime_max: Duration,
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
    /// How long [`PostgresStorage::open`] waits for a process that applies migrations, and how long its own migrations wait for
    /// tables that somebody has locked.
    pub migration_wait_max: Duration,
    /// Called when [`PostgresStorage::open`] has to wait for one of these.
    pub on_migration_wait: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The storage's own clock, for tests. `None`: the server's, which all hosts share.
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
    /// Several servers are written as libpq does: `postgres://user@one:5432,two:5433/database`. Then the one that takes
    /// writes is wanted, unless `target_session_attrs=any` says otherwise. `connect_timeout` is
    /// [`PostgresOptions::connect_time_max`], in seconds.
    ///
    /// # Errors
    /// [`PortError`] if it is no such address. Its text is not repeated, for it may hold a password.
    pub fn at(url: &str) -> Result<Self, PortError> {
        let address = address::read(url)?;
        let mut servers = address.servers.into_iter();
        let first = servers.next().ok_or_else(|| PortError::permanent("an address without a server"))?;
        let mut options = Self::new(first);
        options.others = servers.collect();
        options.target = address.target;
        options.connect_time_max = address.connect_time_max.unwrap_or(options.connect_time_max);
        Ok(options)
    }

    /// With this library's defaults: schema `serront`, 16 connections, 5 s for a connection or a lock, 30 s for a
    /// statement, 10 s for a transaction that stands still, 60 s for migrations by another process; a connection is closed
    /// after 60 s of idleness or 30 min.
    #[must_use]
    pub fn new(connect: PgConnectOptions) -> Self {
        Self {
            connect,
            others: Vec::new(),
            target: TargetSession::Any,
            connect_time_max: Duration::from_secs(5),
            idle_time_max: Duration::from_secs(60),
            ask_after: Duration::from_secs(10),
            lifetime_max: Duration::from_secs(30 * 60),
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
    looks: Looks,
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresStorage").finish_non_exhaustive()
    }
}

/// What every statement needs.
struct Base {
    connections: Connections<Servers>,
    /// The quoted schema and a dot.
    schema: String,
    /// Those that wait for rows which somebody else has locked.
    waiters: Waiters,
    lock_time_max: Duration,
    /// After which time a server that says nothing is given up.
    answer_time_max: Duration,
    /// The storage's own clock; the server's if there is none.
    clock: Option<Arc<dyn Clock>>,
}

impl Base {
    /// The storage's time, as an expression for a statement.
    fn now_sql(&self) -> Cow<'static, str> {
        clock::now_sql(self.clock.as_ref())
    }
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
        let ending = servers::settings(&[
            // Nothing is waited for inside a transaction but the database: who takes longer is frozen or gone.
            ("idle_in_transaction_session_timeout", &millis(options.idle_transaction_time_max)),
            // The server's end of a connection that is dead closes within a minute.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "60000"),
        ]);
        let limits = servers::settings(&[
            ("lock_timeout", &millis(options.lock_time_max)),
            ("statement_timeout", &millis(options.statement_time_max)),
            // Every statement here is a few lookups by key: one plan fits all of its arguments, compiling it never
            // pays, and a plan made while a table was empty must not scan it when it is full.
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            // Whatever the database's default is.
            ("default_transaction_isolation", "read committed"),
            ("enable_seqscan", "off"),
        ]);
        let hosts: Vec<_> = std::iter::once(options.connect.clone())
            .chain(options.others.clone())
            .map(|host| {
                // The statements are long, and their times are the host's to measure.
                let host = host.application_name("serront").disable_statement_logging();
                // One text for each shape of a commit.
                host.statement_cache_capacity(512)
            })
            .collect();
        let share = options.acquire_time_max / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let attempt_time_max = options.connect_time_max.min(share);
        let servers = Servers::new(hosts, options.target, attempt_time_max, format!("{ending}{limits}"));
        migrate(servers.inspect(&ending).await?, &options, &schema).await?;
        let limits = Limits {
            most: usize::try_from(options.connections_max).unwrap_or(usize::MAX),
            wait_max: options.acquire_time_max,
            idle_max: options.idle_time_max,
            asked_after: options.ask_after,
            lifetime_max: options.lifetime_max,
            drain_max: options.statement_time_max.saturating_add(options.acquire_time_max),
        };
        let connections = Connections::new(servers, limits);
        // They try on at most half of the connections.
        let waiters = Waiters::new(usize::try_from(options.connections_max / 2).unwrap_or(1));
        // As for the server, less than a millisecond is no limit.
        let answer_time_max = match options.statement_time_max.as_millis() {
            0 => Duration::MAX,
            _ => options.statement_time_max.saturating_add(options.acquire_time_max),
        };
        let lock_time_max = options.lock_time_max;
        let clock = options.clock;
        let base = Arc::new(Base { connections, schema, waiters, lock_time_max, answer_time_max, clock });
        Ok(Self {
            commits: Coalescer::new(Arc::new(Commits(Arc::clone(&base)))),
            orders: Coalescer::new(Arc::new(Orders(Arc::clone(&base)))),
            keys: Coalescer::new(Arc::new(Keys(Arc::clone(&base)))),
            merchants: Coalescer::new(Arc::new(Merchants(Arc::clone(&base)))),
            sessions: Coalescer::new(Arc::new(Sessions(Arc::clone(&base)))),
            base,
            looks: Looks::default(),
        })
    }

    /// Closes the connections. What comes later is refused.
    pub async fn close(&self) {
        self.base.connections.close().await;
    }
}

/// The migrations, in this schema.
fn migrations(schema: &str) -> Vec<Migration> {
    MIGRATIONS
        .map(|(version, description, sql)| {
            let sql = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql.replace("@.", schema)));
            Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
        })
        .to_vec()
}

/// Whether every migration is applied, as it is here. Looks and changes nothing.
async fn is_current(connection: &mut PgConnection, schema: &str) -> Result<bool, Failed> {
    let table = format!("{schema}_sqlx_migrations");
    let there = sqlx::query("SELECT to_regclass($1) IS NOT NULL AS there").bind(&table);
    if !there.fetch_one(&mut *connection).await?.try_get::<bool, _>("there")? {
        return Ok(false);
    }
    let sql = format!("SELECT version, checksum FROM {table} WHERE success");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in rows {
        applied.push((row.try_get::<i64, _>("version")?, row.try_get::<Vec<u8>, _>("checksum")?));
    }
    Ok(migrations(schema).iter().all(|migration| {
        applied.iter().any(|(version, checksum)| *version == migration.version && *checksum == *migration.checksum)
    }))
}

/// Applies what is pending. Hosts that start at once wait for each other by an advisory lock; one of an older version
/// finds migrations that it does not know, and leaves them alone. Where nothing is pending, nothing is created either, so a
/// role that may not create anything can serve.
///
/// On a connection of its own, without the storage's time-outs: a host that starts waits for the one that migrates.
async fn migrate(mut connection: PgConnection, options: &PostgresOptions, schema: &str) -> Result<(), PortError> {
    if !is_current(&mut connection, schema).await? {
        migration_lock::take(&mut connection, options).await?;
        let mut migrator = Migrator::with_migrations(migrations(schema));
        migrator.set_ignore_missing(true);
        migrator.create_schema(format!("\"{}\"", options.schema));
        migrator.dangerous_set_table_name(format!("{schema}_sqlx_migrations"));
        migrator.set_locking(false);
        migration_lock::apply(&migrator, &mut connection, options).await?;
    }
    rewrite::texts(&mut connection, schema).await?;
    // With its connection the lock ends.
    let _ = connection.close().await;
    Ok(())
}

impl Base {
    /// Waits for a statement's answer.
    async fn answer<T>(&self, session: &Session, work: impl Future<Output = T>) -> Result<T, Silence> {
        answer::wait(self.connections.opener(), session, self.answer_time_max, work).await
    }
}

/// Ends a lease by what became of the last statement on it.
fn end<T>(lease: Lease<Servers>, result: &Result<T, Failed>) {
    match result.as_ref().err().map_or(Fate::Keep, error::fate) {
        Fate::Keep => lease.keep(),
        Fate::Lose => drop(lease.lose()),
        Fate::Distrust => lease.distrust(),
    }
}

/// A failure of a statement that there is no answer to. `again` says whether it may be sent again.
fn unanswered(silence: Silence, again: bool) -> Failed {
    match silence {
        Silence::Lost if again => sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()).into(),
        Silence::Lost | Silence::TooLong => Failed::Lost,
    }
}

/// Runs statements on a connection of the pool, and again on another one where the connection was to blame and nothing was
/// done: it was dead, or led to a server that takes no writes. `again` says whether they may also be sent again when nobody
/// knows if they arrived.
macro_rules! sending {
    ($base:expr, $again:expr, |$connection:ident, $schema:ident| $work:expr) => {{
        let base = &$base;
        let $schema = base.schema.as_str();
        let mut attempts = 0;
        loop {
            let result = match base.connections.acquire().await {
                Err(failed) => Err(failed),
                Ok(mut lease) => match lease.parts() {
                    Err(failed) => Err(failed),
                    Ok(($connection, session)) => {
                        let answered = base.answer(session, $work).await;
                        let result =
                            answered.unwrap_or_else(|silence| Err($crate::postgres::unanswered(silence, $again)));
                        $crate::postgres::end(lease, &result);
                        result
                    }
                },
            };
            match result {
                Err(failed) if attempts < $crate::postgres::error::tries_elsewhere(&failed) => {
                    attempts += 1;
                    $crate::postgres::pause(attempts).await;
                }
                other => break other,
            }
        }
    }};
}
use sending;

/// Runs what writes, and says by itself whether it may have arrived.
macro_rules! writing {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::sending!($base, false, |$connection, $schema| $work)
    };
}
use writing;

/// Runs what writes, and does no harm if it arrives twice.
macro_rules! repeating {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::sending!($base, true, |$connection, $schema| $work)
    };
}
use repeating;

/// The same for reads, of which it does not matter whether they arrived.
macro_rules! on_connection {
    ($base:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::sending!($base, true, |$connection, $schema| $read).map_err($crate::postgres::error::of_read)
    };
}
use on_connection;

/// How often a statement that can be sent again is, on another connection, before the caller is told. After a restart of
/// the server every connection of the pool is dead, and each is found out by one statement.
const RECONNECTS_MAX: u32 = 32;

/// The same for a server that takes no writes: about a second. Whoever commits sends again some times after that, and reads
/// wait for nothing as long.
const READ_ONLY_ROUNDS_MAX: u32 = 16;

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

    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        match self.commits.enter(|| Arc::new(change.clone())) {
            Entry::Alone(slot) => {
                let mut sent = Sent::default();
                match together::commit_at_once(&self.base, change, &mut sent).await {
                    Some(result) => result,
                    None => {
                        // A slot is for work, not for waiting: those who wait for a host's transaction hold nobody up.
                        drop(slot);
                        // In a task of its own: a caller that goes away leaves a statement behind that waits on, and its
                        // place among those who wait stays taken as long.
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
