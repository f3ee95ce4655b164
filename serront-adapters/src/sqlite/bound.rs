//! A transaction that the host shares with the library: what the library changes and what the host writes become durable
//! together, or not at all.
//!
//! ```text
//! begin ─▶ the writer lends its connection ─▶ run · commit · rollback ─▶ the writer goes on
//!                                          └─▶ out of time: rolled back, and the writer goes on
//! ```
//!
//! The engine may roll a transaction back by itself (a full disk, an interrupted statement), and would then make each
//! further statement durable alone. So while the connection is lent, a hook refuses every commit but the writer's own, and
//! another one notes every rollback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use super::writer::Job;
use super::{SqliteStorage, commit};
use crate::sql::error::Failed;

/// The writer's connection. Whoever holds the lock uses it; a loan that is over must not.
pub(super) type Shared = Arc<Mutex<SqliteConnection>>;

/// How the host ends its transaction.
pub(super) enum End {
    Commit(oneshot::Sender<Result<(), Failed>>),
    Rollback(oneshot::Sender<()>),
}

/// What the writer lends.
pub(super) struct Loan {
    connection: Shared,
    /// Nothing can become of it any more: it has ended, the engine rolled it back, or a command was dropped half done.
    over: Arc<AtomicBool>,
    end: oneshot::Sender<End>,
    deadline: Instant,
}

/// Longest time of a loan. Nobody should need it; it keeps the sum of times in bounds.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// After how many of the engine's instructions a statement of a loan is asked whether its time is over: often enough to be
/// stopped within a millisecond, seldom enough to cost nothing.
const INSTRUCTIONS: i32 = 10_000;

/// Lends the connection to a host's transaction and takes it back, at the latest when the time is over.
pub(super) async fn lend(connection: &Shared, time_max: Duration, reply: oneshot::Sender<Result<Loan, Failed>>) {
    let deadline = Instant::now() + time_max.min(TIME_MAX);
    let over = Arc::new(AtomicBool::new(false));
    let ending = Arc::new(AtomicBool::new(false));
    if let Err(failed) = begin(&mut *connection.lock().await, deadline, &over, &ending).await {
        let _ = reply.send(Err(failed));
        return;
    }
    let (end, ended) = oneshot::channel();
    // If the caller went away meanwhile, the loan is dropped, and that ends it.
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
        // Dropped, or out of time.
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
    // Whatever was dropped in the middle of a statement has come to its end when the handle is there.
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_progress_handler();
    }
    if over.load(Ordering::Acquire) {
        take_back(connection, over).await;
        return Err(Failed::RolledBack);
    }
    ending.store(true, Ordering::Release);
    let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
    // Rolls back what could not be committed.
    take_back(connection, over).await;
    committed.map(drop).map_err(|_| Failed::Lost)
}

/// Rolls back what is not committed, and makes the connection the writer's again.
async fn take_back(connection: &mut SqliteConnection, over: &AtomicBool) {
    over.store(true, Ordering::Release);
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_progress_handler();
    }
    // Fails if there is nothing left to roll back.
    let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_commit_hook();
        handle.remove_rollback_hook();
    }
}

/// A transaction on the storage's one writer.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound), and run the host's own statements with
/// [`SqliteTransaction::run`]. What either writes is durable when [`SqliteTransaction::commit`] has answered, and gone if it
/// is never called; nothing leaves the process before.
///
/// - The isolation is that of SQLite: no other writer is there, so what was read stays as it was.
///   [`CommitError::Conflict`] comes only from a decision on something read before the transaction began.
/// - Everybody else's changes wait meanwhile, in this process and, up to [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT), in others.
///   So it is bounded in time: when the time given to [`SqliteStorage::begin`] is over, it is rolled back, and whatever is
///   tried in it fails as transient. A future of the host's that is neither awaited nor dropped meanwhile holds the writer
///   up.
/// - A conflict or a duplicate leaves it usable. A command whose future is dropped in the middle does not: what follows
///   fails as transient, and so does the commit.
/// - What became of a change set whose commit was not heard of can be asked for afterwards, by its id, from the storage.
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
    /// Begins a transaction for the host and the library together, which lasts at most this long.
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
    /// Runs the host's own statements. Tables of the host's may be in the same file.
    ///
    /// The transaction is begun already, and ends by [`SqliteTransaction::commit`] or [`SqliteTransaction::rollback`] only; a
    /// part that may fail alone is between `SAVEPOINT` and `RELEASE`.
    ///
    /// # Errors
    /// A transient [`PortError`] if the time is over before the work is done.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> Result<T, PortError> {
        Ok(self.within(async |connection| Ok(work(connection).await)).await?)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`PortError`]: transient if it had been rolled back, since the time was over or the engine gave it up, so that nothing
    /// is there; *outcome unknown* if the disk failed.
    pub async fn commit(self) -> Result<(), PortError> {
        let (reply, answer) = oneshot::channel();
        self.loan.end.send(End::Commit(reply)).map_err(|_| Failed::RolledBack)?;
        // The writer may have given up just before it heard of this.
        Ok(answer.await.unwrap_or(Err(Failed::RolledBack))?)
    }

    /// Undoes everything. Dropping the transaction does the same.
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
            work(&mut connection).await
        })
        .await
        .unwrap_or(Err(Failed::RolledBack))
    }
}

/// A commit under way. Dropped in the middle it has left half of a change set behind, so nothing may become of the
/// transaction.
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
    /// Applies a change set inside the transaction, in a savepoint of its own.
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
