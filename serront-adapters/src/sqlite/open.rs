//! The storage, and how it is opened.

use std::path::Path;
use std::sync::Arc;

use serront_core::ports::{Clock, PortError};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};

use super::error::{classified, is_busy};
use super::jobs::{Job, QUEUE};
use super::options::{BUSY_TIMEOUT, SqliteOptions};
use super::pool::{READER_LIMITS, Readers};
use super::{migrations, rewrite, writer};
use crate::sql::connections::Connections;
use crate::sql::error::Failed;
use crate::sql::set_aside::Looks;

/// Storage in one SQLite file.
pub struct SqliteStorage {
    jobs: mpsc::Sender<Job>,
    pub(super) readers: Connections<Readers>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) looks: Looks,
}

impl std::fmt::Debug for SqliteStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteStorage").finish_non_exhaustive()
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
        let mut connection = migrations::begin(writer, &options).await?;
        match rewrite::texts(&mut connection).await {
            // Another process writes; the next start continues.
            Err(Failed::Engine(error, _)) if is_busy(&error) => {}
            outcome => outcome.map_err(classified)?,
        }
        let readers = Connections::new(Readers(connect.pragma("query_only", "on")), READER_LIMITS);
        let (jobs, queue) = mpsc::channel(QUEUE);
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

    /// Sends a job to the writer and waits for its answer. Once sent, it is done even if the caller is cancelled.
    pub(super) async fn write<T, E: From<Failed>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job + Send,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| Failed::Closed)?;
        answer.await.unwrap_or_else(|_| Err(Failed::Lost.into()))
    }
}
