//! The writer: a thread with the only connection that writes. A transaction takes all jobs that are queued when it
//! begins, so that concurrent requests share one fsync. Each job fails alone.
//!
//! Jobs are answered when the transaction is on the disk. If the engine rolls back the whole transaction, for example
//! because the disk is full, each job fails with nothing changed. If the commit itself fails, each outcome is unknown.
//!
//! Change sets come first and without savepoints, because what can refuse one is checked before its first write. If a write
//! fails nevertheless, the transaction begins again, and each change set has a savepoint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::Clock;
use tokio::sync::mpsc;

use super::commit::{self, Mode, Refusal};
use super::connection::{Connection, at_once, poll_once, query};
use super::error::{ends_transaction, is_constraint};
use super::gate::Gate;
use super::jobs::{Answer, Ended, Job, Record, Reply};
use super::{installation, set_aside, work};
use crate::sql::error::Failed;

/// Most jobs in one transaction: bounds how long the first of them waits.
const GROUP_MAX: usize = 256;

fn answer<T: Send + 'static, E: From<Failed> + Send + 'static>(reply: Reply<T, E>, result: Result<T, E>) -> Answer {
    Box::new(move |ended| {
        let result = ended.failure().map_or(result, |failed| Err(failed.into()));
        // The caller may have been cancelled.
        let _ = reply.send(result);
    })
}

/// How long a group lasts before a host's transaction waits for the next one: others wait for the whole group.
const HOSTS_TIME_MAX: Duration = Duration::from_millis(100);

/// The writer's connection.
pub(super) struct Writer {
    pub(super) connection: rusqlite::Connection,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Writer {
    /// Runs jobs until the storage is closed or dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        loop {
            if group.is_empty() && queue.blocking_recv_many(&mut group, GROUP_MAX) == 0 {
                return;
            }
            while group.len() < GROUP_MAX
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
            let mut closing = None;
            let mut jobs = Vec::with_capacity(group.len());
            for job in group.drain(..) {
                if let Job::Close(closed) = job {
                    closing = Some(closed);
                } else {
                    jobs.push(job);
                }
            }
            if !jobs.is_empty() {
                group = self.transact(jobs);
            }
            if let Some(closed) = closing {
                while !group.is_empty() {
                    group = self.transact(group);
                }
                drop(self.connection);
                let _ = closed.send(());
                return;
            }
        }
    }

    fn execute(&mut self, sql: &'static str) -> Result<(), Failed> {
        at_once(query(sql).execute(&mut Connection::Own(&mut self.connection))).map(drop)
    }

    fn begin(&mut self) -> Result<(), Failed> {
        self.gate.begin();
        self.execute("BEGIN IMMEDIATE")
    }

    fn roll_back(&mut self) {
        // Fails if the engine has rolled back already; the group is rolled back in both cases.
        let _ = self.execute("ROLLBACK");
    }

    /// Runs a group of jobs in one transaction, and answers them. Returns transactions of hosts for which no time was left.
    fn transact(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let began = Instant::now();
        let mut later = Vec::new();
        let mut answers = Vec::with_capacity(jobs.len());
        let (mut changes, mut replies, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            if let Job::Commit(change, reply) = job {
                changes.push(*change);
                replies.push(reply);
            } else {
                others.push(job);
            }
        }
        let begun = self.begin();
        let busy = begun.as_ref().is_err_and(|failed| matches!(failed, Failed::Sqlite(code, ..) if code & 0xff == 5));
        // Uses the time at which they are applied: they may have waited for a transaction of the host, or in a process that was
        // suspended.
        let now = self.clock.now();
        let changes: Vec<ChangeSet> = changes.into_iter().map(|change| change.by_clock_of_storage(now)).collect();
        let applied = if begun.is_ok() { self.commits(&changes) } else { None };
        let mut open = applied.is_some();
        let applied = applied.unwrap_or_else(|| changes.iter().map(|_| Err(Failed::RolledBack.into())).collect());
        answers.extend(replies.into_iter().zip(applied).map(|(reply, result)| answer(reply, result)));
        for job in others {
            if matches!(job, Job::Transaction(_)) && began.elapsed() >= HOSTS_TIME_MAX {
                later.push(job);
            } else {
                open &= self.perform(job, open, &mut answers);
            }
        }
        let ended = if open {
            self.commit()
        } else {
            self.roll_back();
            if busy { Ended::Busy } else { Ended::RolledBack }
        };
        for answer in answers {
            answer(ended);
        }
        later
    }

    fn commit(&mut self) -> Ended {
        self.gate.open(true);
        let committed = self.execute("COMMIT");
        self.gate.open(false);
        let Err(failed) = committed else { return Ended::Committed };
        self.roll_back();
        // A host's deferred constraint is checked by the commit, which then has not happened.
        if is_constraint(&failed) { Ended::RolledBack } else { Ended::Unknown }
    }

    /// Applies change sets; `None` if the engine has ended the transaction.
    fn commits(&mut self, changes: &[ChangeSet]) -> Option<Vec<Result<Committed, Refusal>>> {
        match self.each(changes, Mode::Bare) {
            Err(Stopped::Halfway) => {
                self.roll_back();
                self.begin().ok()?;
                let now = self.clock.now();
                let changes: Vec<_> = changes.iter().map(|change| change.clone().by_clock_of_storage(now)).collect();
                self.each(&changes, Mode::Savepoint).ok()
            }
            applied => applied.ok(),
        }
    }

    fn each(&mut self, changes: &[ChangeSet], mode: Mode) -> Result<Vec<Result<Committed, Refusal>>, Stopped> {
        let mut applied = Vec::with_capacity(changes.len());
        for change in changes {
            let result = poll_once(commit::apply(&mut Connection::Own(&mut self.connection), change, mode));
            let result = result.unwrap_or_else(|| Err(Failed::Refused("a commit waited for another thread").into()));
            match &result {
                Err(Refusal::Failed(failed) | Refusal::Halfway(failed)) if ends_transaction(failed) => {
                    return Err(Stopped::Ended);
                }
                Err(Refusal::Halfway(_)) => return Err(Stopped::Halfway),
                Ok(_) | Err(Refusal::Conflict | Refusal::Duplicate(_) | Refusal::Failed(_)) => applied.push(result),
            }
        }
        Ok(applied)
    }

    /// Runs one job in its savepoint; `false` if the engine has ended the transaction. Then no further job is run.
    fn perform(&mut self, job: Job, open: bool, answers: &mut Vec<Answer>) -> bool {
        let begun = open && self.execute("SAVEPOINT serront_job").is_ok();
        let mut connection = Connection::Own(&mut self.connection);
        macro_rules! work {
            ($reply:expr, |$connection:ident| $work:expr) => {{
                let $connection = &mut connection;
                let result = if begun { at_once($work) } else { Err(Failed::RolledBack) };
                let state = (result.is_ok(), result.as_ref().is_err_and(ends_transaction));
                answers.push(answer($reply, result));
                state
            }};
        }
        let (keep, lost) = match job {
            Job::TakeDue { lane, now, limit, shares, lease, reply } => {
                work!(reply, |connection| work::take_due(connection, (lane, now), limit, shares, lease))
            }
            Job::RecordAttempt(record, reply) => {
                let Record { account, id, fence, attempt, next, now } = *record;
                work!(reply, |connection| {
                    work::record_attempt(connection, (account, id), fence, &attempt, (next, now))
                })
            }
            Job::Prune(prune, now, reply) => work!(reply, |connection| work::prune(connection, prune, now)),
            Job::BeginInstallation(id, reply) => work!(reply, |connection| installation::begin(connection, id)),
            Job::PutKeyCheck(was, check, reply) => {
                work!(reply, |connection| installation::put_key_check(connection, was.as_ref(), &check))
            }
            Job::SetAside(unread, now, reply) => {
                work!(reply, |connection| set_aside::record(connection, &unread, now))
            }
            Job::LookAgain(began, now, reply) => {
                work!(reply, |connection| set_aside::look_again(connection, began, now))
            }
            Job::TouchKey((account, id), (at, pause), reply) => {
                work!(reply, |connection| work::touch_key(connection, account, id, at, pause))
            }
            Job::Turn(reply) => work!(reply, |_connection| async { Ok(()) }),
            Job::Transaction(host) => {
                let (keep, answer) =
                    host(begun.then_some((&mut self.connection, &*self.gate)), Arc::clone(&self.clock));
                answers.push(answer);
                (keep, false)
            }
            // Handled before, or not part of a group.
            Job::Commit(..) | Job::Close(_) => return open,
        };
        begun && !lost && !self.gate.has_rolled_back() && self.release(keep).is_ok()
    }

    /// Ends the savepoint of a job, and rolls back to it if the job failed.
    fn release(&mut self, keep: bool) -> Result<(), Failed> {
        if !keep {
            self.execute("ROLLBACK TO serront_job")?;
        }
        self.execute("RELEASE serront_job")
    }
}

/// Why change sets were not all applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// A write of a change set failed.
    Halfway,
    /// The engine has ended the transaction.
    Ended,
}
