//! A transaction that the host shares with the library: their writes become durable together, or not at all.
//!
//! ```text
//! begin ─▶ the writer lends its connection ─▶ run · commit · rollback ─▶ the writer continues
//!                                          └─▶ time limit: rolled back ─▶ the writer continues
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::commit;
use super::error::classified;
use super::jobs::Job;
use super::loan::{End, Loan};
use super::open::SqliteStorage;
use crate::sql::error::Failed;

/// A transaction on the storage's one writer.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound), and run the host's own statements with
/// [`SqliteTransaction::run`]. Their writes are durable once [`SqliteTransaction::commit`] has returned, and discarded if it is
/// never called. No effect leaves the process earlier.
///
/// - The isolation is that of SQLite: there is no other writer, so rows that were read do not change.
///   [`CommitError::Conflict`] comes only from a decision on rows read before the transaction began.
/// - All other changes wait, in this process and, up to [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT), in others. So the transaction
///   has a time limit, given to [`SqliteStorage::begin`]. At the limit it is rolled back, and further calls fail as transient.
///   If the host neither awaits nor drops a future of [`SqliteTransaction::run`], it blocks the writer.
/// - It stays usable after a conflict or a duplicate. If a command's future is dropped halfway, every later call fails as
///   transient, including the commit.
/// - If the outcome of the commit is unknown, ask the storage for the outcome of the change set by its id.
pub struct SqliteTransaction {
    loan: Loan,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SqliteTransaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteTransaction").field("deadline", &self.loan.deadline).finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Begins a transaction that the host and the library share, with this time limit.
    ///
    /// # Errors
    /// [`PortError`] if the storage is closed or another process writes for too long.
    pub async fn begin(&self, time_max: Duration) -> Result<SqliteTransaction, PortError> {
        let loan = self.write(|reply| Job::Lend(time_max, reply)).await;
        let loan = loan.map_err(|failed: Failed| PortError::from(failed))?;
        Ok(SqliteTransaction { loan, clock: Arc::clone(&self.clock) })
    }
}

impl SqliteTransaction {
    /// Runs statements of the host, whose tables may be in the same file.
    ///
    /// The transaction has already begun, and only [`SqliteTransaction::commit`] or [`SqliteTransaction::rollback`] ends it. Put
    /// a part that may fail separately between `SAVEPOINT` and `RELEASE`.
    ///
    /// # Errors
    /// A transient [`PortError`] if the time limit is reached before the work is done.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> Result<T, PortError> {
        Ok(self.within(async |connection| Ok(work(connection).await)).await?)
    }

    /// Commits all changes.
    ///
    /// # Errors
    /// [`PortError`]: transient if it was rolled back, at the time limit or by the engine, so that nothing was written; *outcome
    /// unknown* if the disk failed.
    pub async fn commit(self) -> Result<(), PortError> {
        let (reply, answer) = oneshot::channel();
        self.loan.end.send(End::Commit(reply)).map_err(|_| Failed::RolledBack)?;
        // The writer may have reached the time limit just before.
        Ok(answer.await.unwrap_or(Err(Failed::RolledBack))?)
    }

    /// Rolls everything back. Dropping the transaction does the same.
    pub async fn rollback(self) {
        let (reply, answer) = oneshot::channel();
        if self.loan.end.send(End::Rollback(reply)).is_ok() {
            let _ = answer.await;
        }
    }

    pub(super) async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        tokio::time::timeout_at(self.loan.deadline, async {
            let mut connection = self.loan.connection.lock().await;
            if self.loan.over.load(Ordering::Acquire) {
                return Err(Failed::RolledBack);
            }
            work(&mut connection).await.map_err(classified)
        })
        .await
        .unwrap_or(Err(Failed::RolledBack))
    }
}

/// A commit under way. If it is dropped halfway, part of a change set is written, so the transaction must not be committed.
struct HalfDone<'l>(&'l AtomicBool);

impl HalfDone<'_> {
    fn whole(self) {
        std::mem::forget(self);
    }
}

impl Drop for HalfDone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl SqliteTransaction {
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }
}

macro_rules! lent {
    ($self:expr, |$connection:ident| $read:expr) => {
        Ok::<_, PortError>($self.within(async |$connection| $read.await).await?)
    };
}
pub(super) use lent;

impl SqliteTransaction {
    /// Applies a change set inside the transaction, in a savepoint.
    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let change = change.clone().by_clock_of_storage(self.clock.now());
        let applied = self
            .within(async |connection| {
                let half_done = HalfDone(&self.loan.over);
                commit::savepoint(connection).await?;
                let applied = commit::apply(connection, &change).await;
                // If the engine has rolled back, the savepoint does not exist.
                if !self.loan.over.load(Ordering::Acquire) {
                    commit::release_savepoint(connection, applied.is_ok()).await?;
                    half_done.whole();
                }
                Ok(applied)
            })
            .await?;
        Ok(applied?)
    }
}
