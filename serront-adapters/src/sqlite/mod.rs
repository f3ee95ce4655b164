//! Storage in one SQLite file: the engine that needs nothing installed.
//!
//! ```text
//! reads  ─▶ a pool of connections that only read, each read one snapshot
//! writes ─▶ one writer: whatever waits shares a transaction and its fsync, a failing one fails alone
//! ```
//!
//! The file is in WAL mode with `synchronous=FULL`: what was acknowledged survives a crash of the machine. Several
//! processes on one machine may open the same file (the admin subcommands beside a running host); their writers wait for
//! each other up to [`BUSY_TIMEOUT`].
//!
//! What it does not do: it is not for network file systems, and it does not serve several machines. No type of the
//! database's appears in the ports.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError, PortErrorKind};
use serront_core::primitives::page::{Limit, Page};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqlSafeStr};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

mod books;
mod bound;
mod commit;
mod error;
mod installation;
mod money;
mod payouts;
mod read;
mod rewrite;
mod script;
mod set_aside;
mod storage;
mod work;
mod writer;
mod writes;

pub use bound::SqliteTransaction;
pub(crate) use error::{is_busy, passes};

use crate::sql::connections::{Connections, Limits, Opened, Opener};
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, Looks, Unread};
use writer::Job;

/// How long a writer waits for another process's writer.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many reads run at the same time.
const READERS: usize = 8;

/// A file's connections lead nowhere else and are never lost.
const READER_LIMITS: Limits = Limits {
    most: READERS,
    wait_max: BUSY_TIMEOUT,
    idle_max: Duration::MAX,
    asked_after: Duration::MAX,
    lifetime_max: Duration::MAX,
    drain_max: Duration::MAX,
};

/// Opens connections that read.
struct Readers(SqliteConnectOptions);

impl Opener for Readers {
    type Connection = SqliteConnection;
    type Session = ();

    async fn open(&self) -> Result<Opened<SqliteConnection, ()>, Failed> {
        Ok(Opened { connection: self.0.connect().await?, session: (), lasting: true })
    }

    /// The engine ends no statement for another connection.
    async fn cancel(&self, (): &()) {}
}

/// The schema, in the order of its versions. What has landed is never edited; a change is a new file.
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

/// Storage in one SQLite file.
pub struct SqliteStorage {
    jobs: mpsc::Sender<Job>,
    readers: Connections<Readers>,
    clock: Arc<dyn Clock>,
    looks: Looks,
}

impl std::fmt::Debug for SqliteStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteStorage").finish_non_exhaustive()
    }
}

/// How the storage is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The file. It is made if it is not there.
    pub path: PathBuf,
    /// The storage's own clock, by which leases run; processes on one machine share the system's.
    pub clock: Arc<dyn Clock>,
    /// How long [`SqliteStorage::open_with`] waits for another process that has the file locked.
    pub lock_wait_max: Duration,
    /// Called when [`SqliteStorage::open_with`] has to wait for such a process.
    pub on_lock_wait: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl SqliteOptions {
    /// This file, with this library's defaults: 60 s for a file that is locked.
    #[must_use]
    pub fn new(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { path: path.to_owned(), clock, lock_wait_max: Duration::from_secs(60), on_lock_wait: None }
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteOptions").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Opens the file with this library's defaults, makes it if it is not there, and applies pending migrations.
    ///
    /// # Errors
    /// As [`SqliteStorage::open_with`].
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        Self::open_with(SqliteOptions::new(path, clock)).await
    }

    /// Opens the file, and applies pending migrations.
    ///
    /// # Errors
    /// [`PortError`] if the file can't be opened, if its layout is newer than this code, or, as busy, if another process has
    /// it locked for longer than [`SqliteOptions::lock_wait_max`].
    pub async fn open_with(options: SqliteOptions) -> Result<Self, PortError> {
        let connect = SqliteConnectOptions::new()
            .filename(&options.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(512)
            .disable_statement_logging();
        // A checkpoint holds the writer up: ten times as seldom as the engine would, for as much more of a log.
        // What a savepoint would need to undo is kept in memory, not in a file.
        let writer = connect.clone().pragma("wal_autocheckpoint", "10000").pragma("temp_store", "memory");
        let mut connection = begin(&writer.busy_timeout(TRY), &options).await?;
        match rewrite::texts(&mut connection).await {
            // Another process writes; the next start continues.
            Err(Failed::Engine(error)) if is_busy(&error) => {}
            outcome => outcome?,
        }
        let readers = Connections::new(Readers(connect.pragma("query_only", "on")), READER_LIMITS);
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        tokio::spawn(writer::run(connection, queue, Arc::clone(&options.clock)));
        Ok(Self { jobs, readers, clock: options.clock, looks: Looks::default() })
    }

    /// Finishes what is under way and closes the file. What comes later is refused.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Job::Close(closed)).await.is_ok() {
            let _ = done.await;
        }
        self.readers.close().await;
    }

    fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Hands work to the writer and waits for its answer. Once handed over it is done even if the caller goes away.
    async fn write<T, E: From<Failed>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job + Send,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| Failed::Closed)?;
        answer.await.unwrap_or_else(|_| Err(Failed::Lost.into()))
    }
}

/// The newest migration that this code knows.
fn layout() -> i64 {
    MIGRATIONS.map(|(version, _, _)| version).into_iter().max().unwrap_or(0)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.to_vec())
}

/// How long one try to open a file that is locked waits. After the first, the caller hears that it waits.
const TRY: Duration = Duration::from_secs(1);

/// The writer's connection, with everything applied that was pending. Where another process has the file locked, it is tried
/// again until the time for that is over.
async fn begin(connect: &SqliteConnectOptions, options: &SqliteOptions) -> Result<SqliteConnection, PortError> {
    let began = Instant::now();
    let mut said = false;
    loop {
        match migrated(connect).await {
            Err(Failed::Engine(error)) if is_busy(&error) => {}
            Err(failed) => return Err(failed.into()),
            Ok(mut connection) => {
                let patience = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
                sqlx::query(AssertSqlSafe(patience)).execute(&mut connection).await.map_err(Failed::from)?;
                return Ok(connection);
            }
        }
        if began.elapsed() >= options.lock_wait_max {
            let why =
                format!("another process has the file locked; given up after {} s", options.lock_wait_max.as_secs());
            return Err(PortError::new(PortErrorKind::Busy, why));
        }
        if let (false, Some(waits)) = (said, &options.on_lock_wait) {
            waits();
        }
        said = true;
    }
}

/// Two processes that start at once may both try: the one that comes second fails, looks again and finds nothing pending.
async fn migrated(connect: &SqliteConnectOptions) -> Result<SqliteConnection, Failed> {
    let migrator = migrator();
    let mut attempts = 0;
    loop {
        // A pool of one: what is given back to it after a failure is well again, or a new one.
        let writers = SqlitePoolOptions::new().max_connections(1).connect_with(connect.clone()).await?;
        let error = match migrator.run(&writers).await {
            Ok(()) => return Ok(writers.acquire().await?.detach()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_busy(&error) => {
                return Err(error.into());
            }
            Err(error) => error,
        };
        attempts += 1;
        if attempts >= 3 {
            return Err(sqlx::Error::from(error).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a read of one statement.
macro_rules! pooled {
    ($self:expr, |$connection:ident| $read:expr) => {{
        let mut lease = $self.readers.acquire().await?;
        let $connection = lease.connection()?;
        let value = $read.await?;
        lease.keep();
        Ok::<_, PortError>(value)
    }};
}
use pooled;

impl SqliteStorage {
    /// Applies a change set, in the writer.
    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        Ok(self.write(|reply| Job::Commit(Box::new(change.clone()), reply)).await?)
    }

    /// Puts on record what a read left out.
    async fn note(&self, unread: Vec<Unread>) -> Result<(), PortError> {
        if unread.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        Ok(self.write::<_, Failed>(|reply| Job::SetAside(unread, now, reply)).await?)
    }

    /// A page, once what was left out of it is on record.
    async fn noted_page<T: Send>(&self, found: Found<T>, limit: Limit) -> Result<Page<T>, PortError> {
        let (page, unread) = found.page(limit);
        self.note(unread).await?;
        Ok(page)
    }
}
