//! Storage in PostgreSQL (15 or later), for several hosts or for a team that runs it already.
//!
//! ```text
//! reads   ─▶ one statement each; concurrent ones of the frequent kinds share it
//! commits ─▶ one statement each, one round trip; concurrent ones share it, each fails alone
//! ```
//!
//! All tables are in one schema, which the host chooses. Every statement names it, so that the search path does not
//! matter. Commits run at `READ COMMITTED`: guards are compared with rows that the statement has locked, in the order
//! that `commit.rs` documents.
//!
//! It does not change the server's durability (the host sets `synchronous_commit`), and it keeps no transaction open
//! between two statements.

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
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

mod address;
mod answer;
mod batch;
mod books;
mod bound;
mod clock;
mod coalesce;
mod commit;
mod error;
mod funds;
mod input;
mod installation;
mod migration_lock;
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

use crate::sql::connections::{Connections, Lease, Limits};
use crate::sql::error::Failed;
use crate::sql::migrations::{self, Step, migrations};
use crate::sql::set_aside::{Found, Looks, Unread};
use answer::Silence;
use coalesce::{Coalescer, Entry};
use error::{Fate, classified};
use servers::{Servers, Session};
use together::{Commits, Keys, Merchants, Orders, Sent, Sessions};
use waiting::Waiters;

/// Each only adds to the schema, so that a host of the previous version can run at the same time.
const MIGRATIONS: &[Step] = &migrations!();

/// The newest migration that this code knows.
fn layout() -> i64 {
    migrations::layout(MIGRATIONS)
}

/// The schema if none is chosen.
pub const SCHEMA_DEFAULT: &str = "serront";

/// How the storage is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The address of the server.
    pub connect: PgConnectOptions,
    /// Further servers, tried in this order if the first one does not answer or is not the wanted one.
    pub others: Vec<PgConnectOptions>,
    /// Which of these servers is wanted.
    pub target: TargetSession,
    /// Time limit of connecting to one server. With several servers, each has an equal share of
    /// [`PostgresOptions::acquire_time_max`] if that is less.
    pub connect_time_max: Duration,
    /// The idle time after which a connection is closed. Some firewalls and load balancers drop silent connections
    /// after 4 to 6 minutes, so it is less than that.
    pub idle_time_max: Duration,
    /// The idle time after which a connection is pinged before it is used. One in regular use is not.
    pub ask_after: Duration,
    /// The age at which a connection is replaced, so that connections follow a changed address.
    pub lifetime_max: Duration,
    /// The schema of all tables. It is created if it does not exist.
    pub schema: String,
    /// Most connections at the same time.
    pub connections_max: u32,
    /// How long a call waits for a connection before it fails as busy.
    pub acquire_time_max: Duration,
    /// How long a commit waits for a row that another transaction has locked, usually a host's. It waits in memory, and
    /// uses a connection only for short tries.
    pub lock_time_max: Duration,
    /// Time limit of one statement, at which the server cancels it. If there is no answer for another
    /// [`PostgresOptions::acquire_time_max`], the connection is dropped.
    pub statement_time_max: Duration,
    /// How long one of the storage's transactions may be idle before the server ends it, so that a frozen host does not
    /// hold locks for longer. Less than a millisecond means no limit.
    pub idle_transaction_time_max: Duration,
    /// How long [`PostgresStorage::open`] waits for a process that applies migrations, and how long its own migrations
    /// wait for locked tables.
    pub migration_wait_max: Duration,
    /// Called when [`PostgresStorage::open`] has to wait for one of these.
    pub on_migration_wait: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The storage's clock, for tests. `None` means the server's, which all hosts share.
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
    /// Several servers are written in libpq's syntax: `postgres://user@one:5432,two:5433/database`. Then the one that
    /// accepts writes is wanted, unless the address has `target_session_attrs=any`. `connect_timeout` is
    /// [`PostgresOptions::connect_time_max`], in seconds.
    ///
    /// # Errors
    /// [`PortError`] if the address is invalid. The error does not repeat it, because it may have a password.
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

    /// The defaults: schema `serront`, 16 connections, 5 s for a connection or a lock, 30 s for a statement, 10 s for
    /// an idle transaction, 60 s for migrations by another process. A connection is closed after 60 s of idleness or at
    /// 30 min of age.
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

/// What all statements need.
struct Base {
    connections: Connections<Servers>,
    /// The quoted schema and a dot.
    schema: String,
    /// Change sets that wait for rows which another transaction has locked.
    waiters: Waiters,
    lock_time_max: Duration,
    /// The time limit of an answer.
    answer_time_max: Duration,
    /// `None` for the server's.
    clock: Option<Arc<dyn Clock>>,
}

impl Base {
    /// The storage's time, as an SQL expression.
    fn now_sql(&self) -> Cow<'static, str> {
        clock::now_sql(self.clock.as_ref())
    }
}

/// Quotes a schema's name, which must not need escaping.
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
            // Inside a transaction, a host waits only for the database. One that takes longer is frozen or has stopped.
            ("idle_in_transaction_session_timeout", &millis(options.idle_transaction_time_max)),
            // The server closes a dead connection within a minute.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "60000"),
        ]);
        let limits = servers::settings(&[
            ("lock_timeout", &millis(options.lock_time_max)),
            ("statement_timeout", &millis(options.statement_time_max)),
            // Each statement is a few lookups by key. One plan fits all arguments, compilation costs more than it
            // saves, and a plan that was made for an empty table must not scan a full one.
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            // Not the database's defaults.
            ("default_transaction_isolation", "read committed"),
            ("enable_seqscan", "off"),
        ]);
        let hosts: Vec<_> = std::iter::once(options.connect.clone())
            .chain(options.others.clone())
            .map(|host| {
                // The statements are long, and the host measures their times.
                let host = host.application_name("serront").disable_statement_logging();
                // Each shape of a commit has its own text.
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
        // Waiting change sets try on at most half of the connections.
        let waiters = Waiters::new(usize::try_from(options.connections_max / 2).unwrap_or(1));
        // As on the server, less than a millisecond means no limit.
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

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.base.connections.close().await;
    }
}

/// Whether all migrations are applied in this version. Changes nothing.
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
    Ok(migrations::in_schema(MIGRATIONS, schema).iter().all(|migration| {
        applied.iter().any(|(version, checksum)| *version == migration.version && *checksum == *migration.checksum)
    }))
}

/// Applies pending migrations. Hosts that start at the same time wait for each other by an advisory lock. A host of an
/// older version ignores migrations that it does not know. If none are pending, it creates nothing, so a role without
/// that privilege can run a host.
///
/// It uses its own connection without the storage's time-outs, because a host that starts waits for one that migrates.
async fn migrate(mut connection: PgConnection, options: &PostgresOptions, schema: &str) -> Result<(), PortError> {
    if !is_current(&mut connection, schema).await.map_err(classified)? {
        migration_lock::take(&mut connection, options).await?;
        let mut migrator = Migrator::with_migrations(migrations::in_schema(MIGRATIONS, schema));
        migrator.set_ignore_missing(true);
        migrator.create_schema(format!("\"{}\"", options.schema));
        migrator.dangerous_set_table_name(format!("{schema}_sqlx_migrations"));
        migrator.set_locking(false);
        migration_lock::apply(&migrator, &mut connection, options).await?;
    }
    rewrite::texts(&mut connection, schema).await.map_err(classified)?;
    // Closing the connection releases the lock.
    let _ = connection.close().await;
    Ok(())
}

impl Base {
    /// Waits for a statement's answer.
    async fn answer<T>(&self, session: &Session, work: impl Future<Output = T>) -> Result<T, Silence> {
        answer::wait(self.connections.opener(), session, self.answer_time_max, work).await
    }
}

/// Ends a lease according to the result of its last statement.
fn end<T>(lease: Lease<Servers>, result: &Result<T, Failed>) {
    match result.as_ref().err().map_or(Fate::Keep, error::fate) {
        Fate::Keep => lease.keep(),
        Fate::Lose => drop(lease.lose()),
        Fate::Distrust => lease.distrust(),
    }
}

/// The failure of a statement without an answer. `again` says whether it may be sent again.
fn unanswered(silence: Silence, again: bool) -> Failed {
    match silence {
        Silence::Lost if again => sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()).into(),
        Silence::Lost | Silence::TooLong => Failed::Lost,
    }
}

/// Runs statements on a connection of the pool. It tries again on another one if nothing was changed and the connection
/// was the cause: it was dead, or led to a server that accepts no writes. `again` says whether they may also be sent
/// again if it is unknown whether they arrived.
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
                other => break other.map_err($crate::postgres::error::classified),
            }
        }
    }};
}
use sending;

/// Runs a write, whose failure says whether it may have arrived.
macro_rules! writing {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::sending!($base, false, |$connection, $schema| $work)
    };
}
use writing;

/// Runs a write that may arrive twice.
macro_rules! repeating {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::sending!($base, true, |$connection, $schema| $work)
    };
}
use repeating;

/// Runs a read.
macro_rules! on_connection {
    ($base:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::sending!($base, true, |$connection, $schema| $read).map_err($crate::postgres::error::of_read)
    };
}
use on_connection;

/// How often a statement that can be sent again is tried on another connection. After a restart of the server, all
/// connections of the pool are dead, and one statement finds each of them.
const RECONNECTS_MAX: u32 = 32;

/// The same for a server that accepts no writes: about a second. Commits are sent again several times after that, and
/// reads do not wait this long.
const READ_ONLY_ROUNDS_MAX: u32 = 16;

/// Waits before the next connection is tried: not at first, while dead connections are found, then longer, while a
/// server restarts.
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

    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        match self.commits.enter(|| Arc::new(change.clone())) {
            Entry::Alone(slot) => {
                let mut sent = Sent::default();
                match together::commit_at_once(&self.base, change, &mut sent).await {
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
