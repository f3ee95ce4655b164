//! The loan of the writer's connection to a host's transaction.
//!
//! The engine may roll back a transaction on its own initiative (a full disk, an interrupted statement). It would then commit
//! every further statement separately. So while the connection is lent, a hook refuses every commit except the writer's, and
//! another hook records every rollback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use super::error::classified;
use crate::sql::error::Failed;

/// The writer's connection. The holder of the lock may use it, unless its loan is over.
type Shared = Arc<Mutex<SqliteConnection>>;

/// How the host ends its transaction.
pub(super) enum End {
    Commit(oneshot::Sender<Result<(), Failed>>),
    Rollback(oneshot::Sender<()>),
}

/// The connection, lent by the writer.
pub(super) struct Loan {
    pub(super) connection: Shared,
    /// The transaction can no longer be used: it ended, the engine rolled it back, or a command was dropped halfway.
    pub(super) over: Arc<AtomicBool>,
    pub(super) end: oneshot::Sender<End>,
    pub(super) deadline: Instant,
}

/// The longest loan. Far above any real need; it prevents an overflow when it is added to the present time.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of the engine's instructions between two checks of a loan's deadline: often enough to stop a statement within a
/// millisecond, rarely enough to cost nothing.
const INSTRUCTIONS: i32 = 10_000;

/// Lends the connection to a host's transaction, and takes it back at the deadline at the latest.
pub(super) async fn lend(connection: &Shared, time_max: Duration, reply: oneshot::Sender<Result<Loan, Failed>>) {
    let deadline = Instant::now() + time_max.min(TIME_MAX);
    let over = Arc::new(AtomicBool::new(false));
    let ending = Arc::new(AtomicBool::new(false));
    if let Err(failed) = begin(&mut *connection.lock().await, deadline, &over, &ending).await {
        let _ = reply.send(Err(classified(failed)));
        return;
    }
    let (end, ended) = oneshot::channel();
    // If the caller no longer waits, the loan is dropped, which ends it.
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
        // Dropped, or past its deadline.
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
    // Getting the handle waits for a statement whose future was dropped.
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

/// Rolls back the transaction if it is open, and returns the connection to the writer.
async fn take_back(connection: &mut SqliteConnection, over: &AtomicBool) {
    over.store(true, Ordering::Release);
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_progress_handler();
    }
    // Fails if no transaction is open.
    let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    if let Ok(mut handle) = connection.lock_handle().await {
        handle.remove_commit_hook();
        handle.remove_rollback_hook();
    }
}
