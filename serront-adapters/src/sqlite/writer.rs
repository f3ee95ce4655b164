//! The writer: a task with the only connection that writes. A transaction takes all jobs that are queued when it
//! begins, so that concurrent requests share one fsync. Each job has its own savepoint and result.
//!
//! Jobs are answered when the transaction is on the disk. If the engine rolls back the whole transaction, for example
//! because the disk is full, each job fails with nothing changed. If the commit itself fails, each outcome is unknown.

use std::collections::VecDeque;
use std::sync::Arc;

use serront_core::ports::Clock;
use serront_core::primitives::time::Timestamp;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, mpsc};

use super::commit::{self, Refusal};
use super::error::{classified, ends_transaction, is_busy};
use super::jobs::{Job, Record, Reply};
use super::{installation, loan, set_aside, work};
use crate::sql::error::Failed;

/// Most jobs in one transaction: bounds how long the first of them waits.
const GROUP_MAX: usize = 256;

/// How the transaction of a group ended.
#[derive(Clone, Copy)]
enum Ended {
    Committed,
    RolledBack,
    /// It did not begin, because another process wrote for too long.
    Busy,
    Unknown,
}

/// Answers a job once its transaction has ended.
type Answer = Box<dyn FnOnce(Ended) + Send>;

fn answer<T: Send + 'static, E: From<Failed> + Send + 'static>(reply: Reply<T, E>, result: Result<T, E>) -> Answer {
    Box::new(move |ended| {
        let result = match ended {
            Ended::Committed => result,
            Ended::RolledBack => Err(Failed::RolledBack.into()),
            Ended::Busy => Err(Failed::Busy.into()),
            Ended::Unknown => Err(Failed::Lost.into()),
        };
        // The caller may have been cancelled.
        let _ = reply.send(result);
    })
}

pub(super) async fn run(connection: SqliteConnection, mut queue: mpsc::Receiver<Job>, clock: Arc<dyn Clock>) {
    let connection = Arc::new(Mutex::new(connection));
    let mut group = Vec::new();
    let mut loans = VecDeque::new();
    loop {
        if loans.is_empty() {
            if queue.recv_many(&mut group, GROUP_MAX).await == 0 {
                return;
            }
        } else {
            // Queued jobs run between two loans.
            while group.len() < GROUP_MAX
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
        }
        let mut closing = None;
        let mut answers = Vec::with_capacity(group.len());
        let jobs = group.drain(..).filter_map(|job| match job {
            Job::Lend(time_max, reply) => {
                loans.push_back((time_max, reply));
                None
            }
            Job::Close(closed) => {
                closing = Some(closed);
                None
            }
            job @ (Job::Commit(..)
            | Job::TakeDue { .. }
            | Job::RecordAttempt(..)
            | Job::SetAside(..)
            | Job::LookAgain(..)
            | Job::Prune(..)
            | Job::BeginInstallation(..)
            | Job::PutKeyCheck(..)
            | Job::TouchKey(..)
            | Job::Turn(_)) => Some(job),
        });
        let jobs: Vec<Job> = jobs.collect();
        if !jobs.is_empty() {
            let ended = transact(&mut *connection.lock().await, jobs, &*clock, &mut answers).await;
            for answer in answers {
                answer(ended);
            }
        }
        if let Some(closed) = closing {
            for (_, reply) in loans {
                let _ = reply.send(Err(Failed::Closed));
            }
            // A host's transaction that is still held keeps the file open, but can't be used.
            if let Ok(connection) = Arc::try_unwrap(connection) {
                let _ = connection.into_inner().close().await;
            }
            let _ = closed.send(());
            return;
        }
        if let Some((time_max, reply)) = loans.pop_front() {
            loan::lend(&connection, time_max, reply).await;
        }
    }
}

/// Runs a group of jobs in one transaction.
async fn transact(
    connection: &mut SqliteConnection,
    group: Vec<Job>,
    clock: &dyn Clock,
    answers: &mut Vec<Answer>,
) -> Ended {
    let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await;
    let busy = begun.as_ref().is_err_and(is_busy);
    let mut open = begun.is_ok();
    for job in group {
        open &= perform(connection, job, clock.now(), open, answers).await;
    }
    if !open {
        // Fails if the engine has rolled back already; the group is rolled back in both cases.
        let _ = sqlx::query("ROLLBACK").execute(connection).await;
        return if busy { Ended::Busy } else { Ended::RolledBack };
    }
    match sqlx::query("COMMIT").execute(&mut *connection).await {
        Ok(_) => Ended::Committed,
        Err(_) => {
            let _ = sqlx::query("ROLLBACK").execute(connection).await;
            Ended::Unknown
        }
    }
}

/// Runs one job in its savepoint; `false` if the engine has ended the transaction. Then no further job is run.
async fn perform(
    connection: &mut SqliteConnection,
    job: Job,
    now: Timestamp,
    open: bool,
    answers: &mut Vec<Answer>,
) -> bool {
    /// Whether the engine has ended the transaction.
    fn lost<T>(result: &Result<T, Failed>) -> bool {
        result.as_ref().is_err_and(ends_transaction)
    }
    // A change set makes its own savepoint.
    if let Job::Commit(change, reply) = job {
        // Uses the time at which it is applied: it may have waited for a loan, or in a process that was suspended.
        let change = change.by_clock_of_storage(now);
        let result = if open { commit::apply(connection, &change).await } else { Err(Failed::RolledBack.into()) };
        let lost = matches!(&result, Err(Refusal::Failed(failed)) if ends_transaction(failed));
        answers.push(answer(reply, result));
        return open && !lost;
    }
    let begun = open && commit::savepoint(connection).await.is_ok();
    macro_rules! work {
        ($reply:expr, $work:expr) => {{
            let result = if begun { $work.await } else { Err(Failed::RolledBack) };
            let state = (result.is_ok(), lost(&result));
            answers.push(answer($reply, result.map_err(classified)));
            state
        }};
    }
    let (keep, lost) = match job {
        Job::TakeDue { lane, now, limit, shares, lease, reply } => {
            work!(reply, work::take_due(connection, (lane, now), limit, shares, lease))
        }
        Job::RecordAttempt(record, reply) => {
            let Record { account, id, fence, attempt, next, now } = *record;
            work!(reply, work::record_attempt(connection, (account, id), fence, &attempt, (next, now)))
        }
        Job::Prune(prune, now, reply) => work!(reply, work::prune(connection, prune, now)),
        Job::BeginInstallation(id, reply) => work!(reply, installation::begin(connection, id)),
        Job::PutKeyCheck(was, check, reply) => {
            work!(reply, installation::put_key_check(connection, was.as_ref(), &check))
        }
        Job::SetAside(unread, now, reply) => work!(reply, set_aside::record(connection, &unread, now)),
        Job::LookAgain(began, now, reply) => work!(reply, set_aside::look_again(connection, began, now)),
        Job::TouchKey((account, id), (at, pause), reply) => {
            work!(reply, work::touch_key(connection, account, id, at, pause))
        }
        Job::Turn(reply) => work!(reply, async { Ok(()) }),
        // Handled above, or not part of a group.
        Job::Commit(..) | Job::Lend(..) | Job::Close(_) => return open,
    };
    begun && !lost && commit::release_savepoint(connection, keep).await.is_ok()
}
