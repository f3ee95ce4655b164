//! The storage, and how it is opened.

use std::path::Path;
use std::sync::Arc;
use std::thread::ThreadId;

use serront_core::ports::{Clock, PortError};
use tokio::sync::{mpsc, oneshot};

use super::file::{Access, connect};
use super::gate::Gate;
use super::jobs::{Job, QUEUE};
use super::line::Lines;
use super::migrations;
use super::options::SqliteOptions;
use super::pool::Readers;
use super::writer::Writer;
use crate::sql::error::Failed;
use crate::sql::set_aside::Looks;

/// Storage in one SQLite file.
pub struct SqliteStorage {
    jobs: mpsc::Sender<Job>,
    /// The writer's thread.
    writer: ThreadId,
    pub(super) readers: Readers,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) looks: Looks,
    pub(super) lines: Lines,
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
        migrations::apply(&options).await?;
        let connection = connect(&options.path, Access::Write)?;
        let gate = Arc::new(Gate::default());
        gate.watch(&connection)?;
        let writer = Writer { connection, gate, clock: Arc::clone(&options.clock) };
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("serront-sqlite".to_owned());
        let thread = thread.spawn(move || writer.run(queue)).map_err(PortError::transient)?;
        let writer = thread.thread().id();
        Ok(Self {
            jobs,
            writer,
            readers: Readers::new(options.path),
            clock: options.clock,
            looks: Looks::default(),
            lines: Lines::default(),
        })
    }

    /// Finishes queued work and closes the file. Later calls fail.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Job::Close(closed)).await.is_ok() {
            let _ = done.await;
        }
        self.readers.close();
    }

    /// Sends a job to the writer and waits for its answer. Once sent, it is done even if the caller is cancelled.
    pub(super) async fn write<T, E: From<Failed>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job + Send,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(Failed::Lost.into()))
    }

    /// Sends a job to the writer.
    pub(super) async fn send(&self, job: Job) -> Result<(), Failed> {
        // The writer can't wait for itself.
        if std::thread::current().id() == self.writer {
            return Err(Failed::Refused("inside a transaction, use the storage that is bound to it"));
        }
        self.jobs.send(job).await.map_err(|_| Failed::Closed)
    }
}
