//! A transaction that the host shares with the library: the library's changes and the host's writes are committed
//! together, or not at all.
//!
//! ```text
//! begin ─▶ the writer lends its connection ─▶ run · commit · rollback ─▶ the writer continues
//!                                          └─▶ time limit: rolled back ─▶ the writer continues
//! ```
//!
//! The engine may roll back a transaction when the disk is full or a statement is interrupted. It would then commit
//! each further statement separately. So while the connection is lent, a hook refuses all commits but the writer's, and
//! another one records rollbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use super::error::classified;
use super::writer::Job;
use super::{SqliteStorage, commit};
use crate::sql::error::Failed;

/// The writer's connection. It is used under its lock; a loan that has ended must not use it.
pub(super) type Shared = Arc<Mutex<SqliteConnection>>;

/// How the host ends its transaction.
pub(super) enum End {
    Commit(oneshot::Sender<Result<(), Failed>>),
    Rollback(oneshot::Sender<()>),
}

/// The writer's connection, lent to a host.
pub(super) struct Loan {
    connection: Shared,
    /// It can't be committed any more: it has ended, the engine rolled it back, or a command was cancelled in the
    /// middle.
    over: Arc<AtomicBool>,
    end: oneshot::Sender<End>,
    deadline: Instant,
}

/// Longest time of a loan. It keeps the sum of times within the clock's range.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of the engine's instructions between two checks of a loan's time limit: a statement is stopped within a
/// millisecond, and the checks cost nothing measurable.
const INSTRUCTIONS: i32 = 10_000;

/// Lends the connection to a host's transaction and takes it back, at the latest at the time limit.
pub(super) async fn lend(connection: &Shared, time_max: Duration, reply: oneshot::Sender<Result<Loan, Failed>>) {
    let deadline = Instant::now() + time_max.min(TIME_MAX);
    let over = Arc::new(AtomicBool::new(false));
    let ending = Arc::new(AtomicBool::new(false));
    if let Err(failed) = begin(&mut *connection.lock().await, deadline, &over, &ending).await {
        let _ = reply.send(Err(classified(failed)));
        return;
    }
    let (end, ended) = oneshot::channel();
    // If the caller was cancelled, the loan is dropped here, which ends it.
    let _ = reply.send(Ok(Loan { connection: Arc::clone(connection), over: Arc::clone(&over), end, deadline }));
    let ended = tokio::time::timeout_at(deadline, ended).await;
    let mut connection = connection.lock().await;
    match ended {
        Ok(Ok(End::Commit(reply))) => {
            let _ = reply.send(commit_loan(&mut connection, &over, &ending).await);
        }
        Ok(Ok(End::Rollback(reply))) => {
            take_back(&mut connection, &over).await;
            let _ = reply.send(());
        }
        // Dropped, or at the time limit.
        Ok(Err(_)) | Err(_) => take_back(&mut connection, &over).await,
    }
}

/// Begins a transaction that only [`commit_loan`] can commit.
async fn begin(
    connection: &mut SqliteConnection,
    deadline: Instant,
    over: &Arc<AtomicBool>,
    ending: &Arc<AtomicBool>,
) -> Result<(), Failed> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut handle = connection.lock_handle().await?;
    let (over, ending, deadline) = (Arc::clone(over), Arc::clone(ending), deadline.into_std());
    handle.set_commit_hook(move || ending.load(Ordering::Acquire));
    handle.set_rollback_hook(move || over.store(true, Ordering::Release));
    handle.set_progress_handler(INSTRUCTIONS, move || std::time::Instant::now() < deadline);
    Ok(())
}

async fn commit_loan(connection: &mut SqliteConnection, over: &AtomicBool, ending: &AtomicBool) -> Result<(), Failed> {
    // When the handle is available, a statement whose future was dropped has ended.
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_progress_handler();
    }
    if over.load(Ordering::Acquire) {
        take_back(connection, over).await;
        return Err(Failed::RolledBack);
    }
    ending.store(true, Ordering::Release);
    let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
    // Rolls back if the commit failed.
    take_back(connection, over).await;
    committed.map(drop).map_err(|_| Failed::Lost)
}

/// Rolls back uncommitted changes, and returns the connection to the writer.
async fn take_back(connection: &mut SqliteConnection, over: &AtomicBool) {
    over.store(true, Ordering::Release);
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_progress_handler();
    }
    // Fails if there is nothing to roll back.
    let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_commit_hook();
        handle.remove_rollback_hook();
    }
}

/// A transaction on the storage's one writer.
///
/// Give it to [`Local::bound`](serront_core::service::Local::bound), and run the host's statements with
/// [`SqliteTransaction::run`]. The writes of both are durable when [`SqliteTransaction::commit`] has returned, and
/// rolled back if it is not called. Effects leave the process only after the commit.
///
/// - The isolation is that of SQLite: there is no other writer, so rows that were read do not change.
///   [`CommitError::Conflict`] comes only from a decision on rows that were read before the transaction began.
/// - Other changes wait until it ends, in this process and, up to [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT), in others. So
///   it has a time limit, which is given to [`SqliteStorage::begin`]: then it is rolled back, and further use fails as
///   transient. A host's future in it that is neither awaited nor dropped blocks the writer.
/// - It stays usable after a conflict or a duplicate. If a command's future is dropped in the middle, further use and
///   the commit fail as transient.
/// - If the outcome of a commit is unknown, [`Storage::outcome`](serront_core::ports::Storage::outcome) of the storage
///   finds it by the change set's id.
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
    /// Begins a transaction for the host and the library together, with a time limit.
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
    /// Runs the host's statements. The host's tables may be in the same file.
    ///
    /// The transaction has begun already, and only [`SqliteTransaction::commit`] or [`SqliteTransaction::rollback`]
    /// ends it. Put a part that may fail alone between `SAVEPOINT` and `RELEASE`.
    ///
    /// # Errors
    /// A transient [`PortError`] if the time limit passes before the work is done.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> Result<T, PortError> {
        Ok(self.within(async |connection| Ok(work(connection).await)).await?)
    }

    /// Commits all changes.
    ///
    /// # Errors
    /// [`PortError`]: transient if it was rolled back, at the time limit or by the engine, so that nothing was changed;
    /// *outcome unknown* if the disk failed.
    pub async fn commit(self) -> Result<(), PortError> {
        let (reply, answer) = oneshot::channel();
        self.loan.end.send(End::Commit(reply)).map_err(|_| Failed::RolledBack)?;
        // The writer may have rolled back before it received this.
        Ok(answer.await.unwrap_or(Err(Failed::RolledBack))?)
    }

    /// Rolls back all changes. Dropping the transaction does the same.
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

/// A commit in progress. If it is dropped, part of a change set may be written, so the transaction must not be
/// committed.
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
    /// Applies a change set inside the transaction, in its own savepoint.
    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let change = change.clone().by_clock_of_storage(self.clock.now());
        let applied = self
            .within(async |connection| {
                let half_done = HalfDone(&self.loan.over);
                commit::savepoint(connection).await?;
                let applied = commit::apply(connection, &change).await;
                // If the engine has rolled back, there is no savepoint left.
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
