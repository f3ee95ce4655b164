//! A transaction that the host shares with the library, on the writer's thread: their writes become durable together, or not
//! at all.
//!
//! ```text
//! transaction(time_max, work) ─▶ the writer's queue ─▶ work runs in a savepoint ─▶ the group's commit and fsync ─▶ answer
//!                                                  └─▶ an error, or the time limit: rolled back to the savepoint
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError, PortError};
use tokio::sync::oneshot;

use super::commit::{self, Mode, Refusal};
use super::connection::{Connection, at_once, poll_once};
use super::gate::Gate;
use super::jobs::{Answer, Ended, Job};
use super::open::SqliteStorage;
use crate::sql::error::Failed;

/// The longest time limit. Far above any real need; it prevents an overflow when it is added to the present time.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of the engine's instructions between two checks of the deadline: often enough to stop a statement within a
/// millisecond, rarely enough to cost nothing.
const INSTRUCTIONS: i32 = 10_000;

/// A transaction of the host, on the storage's one writer.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound), complete each command with
/// [`SqliteTransaction::complete`], and run the host's own statements with [`SqliteTransaction::run`].
///
/// - The isolation is that of SQLite: there is no other writer, so rows that were read do not change.
///   [`CommitError::Conflict`] comes only from a decision on rows read before the transaction began.
/// - It stays usable after a conflict or a duplicate that a command reports. If a write of a command fails, everything is
///   rolled back, whatever the closure returns.
/// - At its time limit a running statement is stopped, every further call fails as transient, and everything is rolled back.
pub struct SqliteTransaction<'t> {
    connection: Mutex<&'t mut rusqlite::Connection>,
    gate: &'t Gate,
    clock: Arc<dyn Clock>,
    deadline: Instant,
    /// A write of a change set failed, so part of it is written.
    halfway: AtomicBool,
}

impl std::fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteTransaction").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Runs the host's work in a transaction: its own statements and the library's commands. They become durable together if it
    /// returns `Ok`, and are rolled back if it returns an error or panics. No effect leaves the process earlier.
    ///
    /// The work runs on the writer's thread, in a savepoint, and shares the fsync of everything else that waits. All other
    /// changes wait for it, in this process and, up to [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT), in others. So it must wait for
    /// nothing but the database. At `time_max` a running statement is stopped and everything is rolled back; code that is not a
    /// statement can't be stopped.
    ///
    /// Once it has begun it is finished even if the caller is cancelled. If the outcome is unknown, ask the storage for the
    /// outcome of a change set by its id.
    ///
    /// # Errors
    /// The closure's own error, or one made of a [`PortError`]: transient if everything was rolled back, at the time limit or by
    /// the engine; permanent if the storage is closed or the closure panicked; busy if another process writes for too long;
    /// *outcome unknown* if the disk failed.
    pub async fn transaction<T, E>(
        &self,
        time_max: Duration,
        work: impl FnOnce(&SqliteTransaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<PortError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job::Transaction(Box::new(move |on, clock| {
            let result = match on {
                Some((connection, gate)) => within(connection, gate, clock, time_max, work),
                None => Err(Failed::RolledBack),
            };
            let keep = matches!(result, Ok(Ok(_)));
            let answer = move |ended: Ended| {
                let result = match (result, ended.failure()) {
                    (Ok(Ok(_)) | Err(Failed::RolledBack), Some(failed)) => Err(failed),
                    (result, _) => result,
                };
                // The caller may have been cancelled.
                let _ = reply.send(result);
            };
            (keep, Box::new(answer) as Answer)
        }));
        let failed = match self.send(job).await {
            Ok(()) => match answer.await {
                Ok(Ok(result)) => return result,
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Lost,
            },
            Err(failed) => failed,
        };
        Err(E::from(failed.into()))
    }
}

/// Runs the host's work until the deadline.
fn within<T, E>(
    connection: &mut rusqlite::Connection,
    gate: &Gate,
    clock: Arc<dyn Clock>,
    time_max: Duration,
    work: impl FnOnce(&SqliteTransaction<'_>) -> Result<T, E>,
) -> Result<Result<T, E>, Failed> {
    let deadline = Instant::now() + time_max.min(TIME_MAX);
    connection.progress_handler(INSTRUCTIONS, Some(move || Instant::now() >= deadline))?;
    let transaction = SqliteTransaction {
        connection: Mutex::new(connection),
        gate,
        clock,
        deadline,
        halfway: AtomicBool::new(false),
    };
    let result = catch_unwind(AssertUnwindSafe(|| work(&transaction)));
    let is_over = transaction.is_over();
    let connection = transaction.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match result {
        Err(_) => Err(Failed::Refused("the host's work panicked")),
        Ok(Ok(_)) if is_over => Err(Failed::RolledBack),
        Ok(result) => Ok(result),
    }
}

impl SqliteTransaction<'_> {
    /// Completes a command of the library, which waits for nothing but this transaction.
    ///
    /// # Errors
    /// The command's. A permanent [`PortError`] if it waits for something else, such as a timer or a remote call.
    pub fn complete<T, E: From<PortError>>(&self, command: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let waited = "the command waits for something outside the transaction";
        poll_once(command).unwrap_or_else(|| Err(PortError::permanent(waited).into()))
    }

    /// Runs statements of the host, whose tables may be in the same file.
    ///
    /// The transaction has already begun and ends after the closure, so a `COMMIT` or `ROLLBACK` in here undoes everything. Put
    /// a part that may fail separately between `SAVEPOINT` and `RELEASE`, with a name other than `serront_job`.
    ///
    /// # Errors
    /// [`PortError`]: transient if the transaction was rolled back or its time limit is reached; permanent inside another
    /// call of it.
    pub fn run<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> T) -> Result<T, PortError> {
        self.with(|connection| Ok(work(connection))).map_err(PortError::from)
    }

    fn is_over(&self) -> bool {
        self.halfway.load(Ordering::Acquire) || self.gate.has_rolled_back() || Instant::now() >= self.deadline
    }

    fn with<T>(&self, work: impl FnOnce(&mut rusqlite::Connection) -> Result<T, Failed>) -> Result<T, Failed> {
        let mut connection = match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Failed::Refused("the transaction is used inside its own statements"));
            }
        };
        if self.is_over() { Err(Failed::RolledBack) } else { work(&mut connection) }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) async fn within<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection<'_>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        self.with(|connection| at_once(read(&mut Connection::Own(connection))))
    }

    /// Applies a change set inside the transaction.
    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let change = change.clone().by_clock_of_storage(self.clock.now());
        let applied = self.with(|connection| {
            self.halfway.store(true, Ordering::Release);
            let applied = poll_once(commit::apply(&mut Connection::Own(connection), &change, Mode::Bare));
            let applied =
                applied.unwrap_or(Err(Refusal::Halfway(Failed::Refused("a commit waited for another thread"))));
            self.halfway.store(matches!(applied, Err(Refusal::Halfway(_))), Ordering::Release);
            Ok(applied)
        })?;
        Ok(applied?)
    }
}
