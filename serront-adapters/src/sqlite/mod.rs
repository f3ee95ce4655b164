//! Storage in one SQLite file, which needs no server.
//!
//! ```text
//! reads  ─▶ a pool of read-only connections; each read sees one snapshot
//! writes ─▶ one writer: queued writes share a transaction and its fsync; each fails alone
//! ```
//!
//! The file is in WAL mode with `synchronous=FULL`: acknowledged writes survive a crash of the machine. Several
//! processes on one machine may open the same file, such as a host and its admin subcommands; their writers wait for
//! each other up to [`BUSY_TIMEOUT`].
//!
//! It does not work on network file systems or for several machines. No database type appears in the ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError, PortErrorKind};
use serront_core::primitives::page::{Limit, Page};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

mod books;
mod bound;
mod changes;
mod commit;
mod error;
mod funds;
mod installation;
mod read;
mod rewrite;
mod script;
mod set_aside;
mod storage;
mod work;
mod writer;

pub use bound::SqliteTransaction;

use crate::sql::connections::{Connections, Limits, Opened, Opener};
use crate::sql::error::Failed;
use crate::sql::migrations::{self, Step, migrations};
use crate::sql::set_aside::{Found, Looks, Unread};
use error::{classified, is_busy};
use writer::Job;

/// How long a writer waits for another process's writer.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Most reads that run at the same time.
const READERS: usize = 8;

/// Connections to a file always lead to the same file, and are never lost.
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
        Ok(Opened {
            connection: self.0.connect().await.map_err(Failed::from).map_err(classified)?,
            session: (),
            lasting: true,
        })
    }

    /// SQLite can't cancel another connection's statement.
    async fn cancel(&self, (): &()) {}
}

const MIGRATIONS: &[Step] = &migrations!();

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
    /// The file. It is created if it does not exist.
    pub path: PathBuf,
    /// The storage's clock, which times leases. Processes on one machine share the system's.
    pub clock: Arc<dyn Clock>,
    /// How long [`SqliteStorage::open_with`] waits for another process that has locked the file.
    pub lock_wait_max: Duration,
    /// Called when [`SqliteStorage::open_with`] has to wait for such a process.
    pub on_lock_wait: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl SqliteOptions {
    /// This file, with the defaults: it waits 60 s for a locked file.
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
    /// Opens the file with the defaults, creates it if it does not exist, and applies pending migrations.
    ///
    /// # Errors
    /// As [`SqliteStorage::open_with`].
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        Self::open_with(SqliteOptions::new(path, clock)).await
    }

    /// Opens the file, and applies pending migrations.
    ///
    /// # Errors
    /// [`PortError`] if the file can't be opened, if its layout is newer than this code, or, as busy, if another
    /// process has it locked for longer than [`SqliteOptions::lock_wait_max`].
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
        // A checkpoint blocks the writer, so there is one every 10,000 pages instead of 1,000; the log grows as much.
        // Savepoints keep their undo data in memory instead of a file.
        let writer = connect.clone().pragma("wal_autocheckpoint", "10000").pragma("temp_store", "memory");
        let mut connection = begin(&writer.busy_timeout(TRY), &options).await?;
        match rewrite::texts(&mut connection).await {
            // Another process writes; the next start continues.
            Err(Failed::Engine(error, _)) if is_busy(&error) => {}
            outcome => outcome.map_err(classified)?,
        }
        let readers = Connections::new(Readers(connect.pragma("query_only", "on")), READER_LIMITS);
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        tokio::spawn(writer::run(connection, queue, Arc::clone(&options.clock)));
        Ok(Self { jobs, readers, clock: options.clock, looks: Looks::default() })
    }

    /// Finishes queued work and closes the file. Later calls fail.
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

    /// Sends a job to the writer and waits for its answer. Once sent, it is done even if the caller is cancelled.
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
    migrations::layout(MIGRATIONS)
}

/// How long one try to open a locked file waits. After the first, `on_lock_wait` is called.
const TRY: Duration = Duration::from_secs(1);

/// Opens the writer's connection and applies pending migrations. If another process has locked the file, it tries again
/// until the time limit.
async fn begin(connect: &SqliteConnectOptions, options: &SqliteOptions) -> Result<SqliteConnection, PortError> {
    let began = Instant::now();
    let mut said = false;
    loop {
        match migrated(connect).await {
            Err(Failed::Engine(error, _)) if is_busy(&error) => {}
            Err(failed) => return Err(classified(failed).into()),
            Ok(mut connection) => {
                let patience = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
                let set = sqlx::query(AssertSqlSafe(patience)).execute(&mut connection).await;
                set.map_err(Failed::from).map_err(classified)?;
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

/// Two processes that start at the same time may both migrate: the second one fails, tries again and finds nothing
/// pending.
async fn migrated(connect: &SqliteConnectOptions) -> Result<SqliteConnection, Failed> {
    let migrator = Migrator::with_migrations(migrations::in_schema(MIGRATIONS, ""));
    let mut attempts = 0;
    loop {
        // A pool of one, because it resets or replaces a connection after a failure.
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

/// Runs a read on a connection of the pool.
macro_rules! pooled {
    ($self:expr, |$connection:ident| $read:expr) => {{
        let mut lease = $self.readers.acquire().await?;
        let $connection = lease.connection()?;
        let value = $read.await.map_err($crate::sqlite::error::classified)?;
        lease.keep();
        Ok::<_, PortError>(value)
    }};
}
use pooled;

impl SqliteStorage {
    /// Applies a change set in the writer.
    async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        Ok(self.write(|reply| Job::Commit(Box::new(change.clone()), reply)).await?)
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
