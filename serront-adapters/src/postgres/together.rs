//! Reads and commits that concurrent callers share, and those that one caller does alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serront_core::changes::change::Guard;
use serront_core::ports::LeaseLost;
use serront_core::ports::prelude::*;
use serront_core::primitives::version::Version;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::Silence;
use super::batch::Batch;
use super::coalesce::{Together, Waiting};
use super::commit::{self, Mode, Refusal, Status};
use super::error::{self, READ_ONLY_ROUNDS_MAX, RECONNECTS_MAX};
use super::pool::{Base, on_connection, pause, writing};
use super::read::{self, OrderWanted, SessionWanted};
use super::records::{self, Record};
use super::statement::Patience;
use super::waiting::PAUSE;
use crate::sql::error::Failed;
use crate::sql::work::table_of;

/// How often a statement is run again that the server cancelled as a victim.
const VICTIM_ROUNDS_MAX: u32 = 8;

/// How long a shared statement waits for a lock that it can't skip, such as that of an account's next number. Such
/// locks are usually short; after this time, each change set is applied alone.
const PATIENCE_SHARED: Duration = Duration::from_millis(100);

/// How long a single change set waits for a lock before it joins [`Waiters`](super::waiting::Waiters).
const PATIENCE_ALONE: Duration = Duration::from_millis(20);

/// A copy of a failure for each of its callers. The engine's error can't be copied; nothing was changed.
fn shared(failed: &Failed) -> Failed {
    match failed {
        Failed::Engine(error, _) if error::busy(error) => Failed::Busy,
        Failed::Engine(..) | Failed::Sqlite(..) | Failed::RolledBack | Failed::Lost => Failed::RolledBack,
        Failed::Unreadable(column) => Failed::Unreadable(column),
        Failed::Refused(why) => Failed::Refused(why),
        Failed::Closed => Failed::Closed,
        Failed::ReadOnly => Failed::ReadOnly,
        Failed::Busy => Failed::Busy,
    }
}

/// A copy of the failure of a write: its outcome stays unknown if it was.
fn shared_by_writes(failed: &Failed) -> Failed {
    if matches!(failed, Failed::Lost) { Failed::Lost } else { shared(failed) }
}

/// The result for one of many callers: a row that can't be read fails only for its caller.
pub(super) type Each<T> = Result<Option<T>, Failed>;

/// Orders by key.
pub(super) async fn orders(base: &Base, wanted: &[OrderWanted]) -> Result<Vec<Each<OrderSnapshot>>, Failed> {
    let now = base.now_sql();
    on_connection!(base, |connection, schema| read::orders_by_key(connection, (schema, &now), wanted))
}

/// API keys by hash.
pub(super) async fn keys(base: &Base, wanted: &[Digest256]) -> Result<Vec<Each<KeyRecord>>, Failed> {
    on_connection!(base, |connection, schema| read::keys_by_hash(connection, schema, wanted))
}

/// Merchants at Plugipay by name.
pub(super) async fn merchants(base: &Base, wanted: &[MerchantId]) -> Result<Vec<Each<Provisioning>>, Failed> {
    on_connection!(base, |connection, schema| read::merchants(connection, schema, wanted))
}

/// What is known under sessions' names.
pub(super) async fn sessions(base: &Base, wanted: &[SessionWanted]) -> Result<Vec<Each<SessionSnapshot>>, Failed> {
    on_connection!(base, |connection, schema| read::sessions(connection, schema, wanted))
}

fn answer<T>(senders: Vec<oneshot::Sender<T>>, answers: impl IntoIterator<Item = T>) {
    for (sender, answer) in senders.into_iter().zip(answers) {
        // The caller may have been cancelled.
        let _ = sender.send(answer);
    }
}

fn spread<T>(found: Result<Vec<Each<T>>, Failed>, jobs: usize) -> Vec<Each<T>> {
    match found {
        Ok(found) => found,
        Err(failed) => (0..jobs).map(|_| Err(shared(&failed))).collect(),
    }
}

/// Reads of orders.
pub(super) struct Orders(pub(super) Arc<Base>);

#[async_trait]
impl Together for Orders {
    type Job = OrderWanted;
    type Answer = Result<Option<OrderSnapshot>, Failed>;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let (jobs, senders): (Vec<_>, Vec<_>) = round.into_iter().unzip();
        // One statement for ids and one for tokens, if there are any.
        let (by_id, by_token): (Vec<_>, Vec<_>) =
            jobs.iter().copied().enumerate().partition(|(_, (key, _))| matches!(key, OrderKey::Id(..)));
        let mut answers: Vec<Option<Self::Answer>> = jobs.iter().map(|_| None).collect();
        for group in [by_id, by_token] {
            if group.is_empty() {
                continue;
            }
            let (places, wanted): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let found = orders(&self.0, &wanted).await;
            for (place, answer) in places.into_iter().zip(spread(found, wanted.len())) {
                if let Some(slot) = answers.get_mut(place) {
                    *slot = Some(answer);
                }
            }
        }
        answer(senders, answers.into_iter().map(|answer| answer.unwrap_or(Err(Failed::Lost))));
    }
}

/// Reads of API keys.
pub(super) struct Keys(pub(super) Arc<Base>);

#[async_trait]
impl Together for Keys {
    type Job = Digest256;
    type Answer = Result<Option<KeyRecord>, Failed>;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let (jobs, senders): (Vec<_>, Vec<_>) = round.into_iter().unzip();
        answer(senders, spread(keys(&self.0, &jobs).await, jobs.len()));
    }
}

/// Reads of merchants, one for each notification.
pub(super) struct Merchants(pub(super) Arc<Base>);

#[async_trait]
impl Together for Merchants {
    type Job = MerchantId;
    type Answer = Result<Option<Provisioning>, Failed>;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let (jobs, senders): (Vec<_>, Vec<_>) = round.into_iter().unzip();
        answer(senders, spread(merchants(&self.0, &jobs).await, jobs.len()));
    }
}

/// Reads of sessions' names.
pub(super) struct Sessions(pub(super) Arc<Base>);

#[async_trait]
impl Together for Sessions {
    type Job = SessionWanted;
    type Answer = Result<Option<SessionSnapshot>, Failed>;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let (jobs, senders): (Vec<_>, Vec<_>) = round.into_iter().unzip();
        answer(senders, spread(sessions(&self.0, &jobs).await, jobs.len()));
    }
}

/// The results of sending a change set so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    /// One try got no answer and may still land, so a later failure means that the outcome is unknown.
    lost: bool,
    /// There was no connection, or the server stopped answering. The next one would wait as long and fail too.
    cut_off: bool,
}

impl Sent {
    fn failure(self, failed: Failed) -> CommitError {
        if self.lost { Failed::Lost.into() } else { error::classified(failed).into() }
    }
}

/// Applies these change sets in one statement. It tries again if the statement was a victim or the connection was lost,
/// which is safe because of the change sets' ids.
async fn apply(
    base: &Base,
    changes: &[&ChangeSet],
    mode: Mode,
    patience: Duration,
    sent: &mut Sent,
) -> Result<Vec<Status>, Refusal> {
    let (mut victim, mut lost) = (0, 0);
    loop {
        let mut lease = match base.connections.acquire().await {
            Ok(lease) => lease,
            Err(failed) => {
                sent.cut_off = true;
                return Err(failed.into());
            }
        };
        let (connection, session) = lease.parts()?;
        let now = base.now_sql();
        let applied = commit::apply(connection, (&base.schema, &now), changes, mode, Patience::own(patience));
        let result = match base.answer(session, applied).await {
            Ok(result) => result,
            Err(Silence::Lost) => Err(Failed::Lost.into()),
            Err(Silence::TooLong) => {
                (sent.lost, sent.cut_off) = (true, true);
                lease.lose();
                return Err(Failed::Lost.into());
            }
        };
        match result {
            Err(Refusal::Failed(Failed::Engine(error, _)))
                if error::is_victim(&error) && victim < VICTIM_ROUNDS_MAX =>
            {
                lease.keep();
                victim += 1;
            }
            Err(Refusal::Failed(Failed::Lost)) => {
                sent.lost = true;
                lease.lose();
                if lost >= RECONNECTS_MAX {
                    sent.cut_off = true;
                    return Err(Failed::Lost.into());
                }
                lost += 1;
                pause(lost).await;
            }
            Err(Refusal::Failed(Failed::Engine(error, _))) if error::is_read_only(&error) => {
                // Nothing was changed; a new connection may lead to the server that accepts writes.
                lease.distrust();
                if lost >= READ_ONLY_ROUNDS_MAX {
                    sent.cut_off = true;
                    return Err(Failed::from(error).into());
                }
                lost += 1;
                pause(lost).await;
            }
            other => {
                lease.keep();
                return other;
            }
        }
    }
}

/// A conflict, unless this change set has landed by an earlier or a parallel try.
async fn unless_landed(base: &Base, change: &ChangeSet, sent: Sent) -> Result<Committed, CommitError> {
    let wanted = [(change.account_id, change.id)];
    let found = on_connection!(base, |connection, schema| read::outcomes(connection, schema, &wanted));
    found.map_err(|failed| sent.failure(failed))?.into_iter().next().flatten().ok_or(CommitError::Conflict)
}

/// Applies a single change set; `None` if it did not get a lock in time.
async fn commit(
    base: &Base,
    change: &ChangeSet,
    mode: Mode,
    patience: Duration,
    sent: &mut Sent,
) -> Option<Result<Committed, CommitError>> {
    Some(match apply(base, &[change], mode, patience, sent).await {
        Ok(statuses) => match statuses.into_iter().next() {
            Some(Status::Alone) if mode != Mode::Waiting => return None,
            Some(Status::Conflict | Status::Alone) => unless_landed(base, change, *sent).await,
            Some(status) => status.into(),
            None => Err(sent.failure(Failed::Unreadable("status"))),
        },
        Err(Refusal::Raced) => unless_landed(base, change, *sent).await,
        Err(Refusal::Failed(Failed::Engine(error, _))) if error::busy(&error) => return None,
        Err(Refusal::Failed(failed)) => Err(sent.failure(failed)),
    })
}

/// Applies a single change set without waiting; `None` if another transaction has locked a row that it needs.
pub(super) async fn commit_at_once(
    base: &Base,
    change: &ChangeSet,
    mode: Mode,
    sent: &mut Sent,
) -> Option<Result<Committed, CommitError>> {
    // A skipped row would seem absent.
    let wants_absence =
        change.guards.iter().any(|guard| matches!(guard, Guard::Exact { version: Version::ABSENT, .. }));
    let mode = if wants_absence { Mode::Waiting } else { mode };
    commit(base, change, mode, PATIENCE_ALONE, sent).await
}

/// Applies a single change set, and waits for the rows that it needs.
pub(super) async fn commit_waiting(base: &Base, change: &ChangeSet, mut sent: Sent) -> Result<Committed, CommitError> {
    let waiter = base.waiters.join(change.account_id);
    // Without a time limit if it is too large for the clock.
    let until = Instant::now().checked_add(base.lock_time_max);
    loop {
        let turn = match until {
            Some(until) => tokio::time::timeout_at(until, waiter.turn()).await.ok().flatten(),
            None => waiter.turn().await,
        };
        // A free turn is given even if no time is left.
        let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        let Some(turn) = turn.filter(|_| !left.is_zero()) else { return Err(sent.failure(Failed::Busy)) };
        if let Some(result) = commit(base, change, Mode::Waiting, waiter.patience().min(left), &mut sent).await {
            return result;
        }
        drop(turn);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Commits.
pub(super) struct Commits(pub(super) Arc<Base>);

impl Commits {
    /// If a change set of the same account waits for a lock, this one may wait for it too, and would delay all in its
    /// statement.
    fn may_share(&self, change: &ChangeSet) -> bool {
        !self.0.waiters.has(change.account_id)
    }

    /// Applies one change set of a round alone. If it has to wait, it waits in a task, and later ones of its account
    /// wait too. Returns whether the round can continue.
    async fn alone(
        &self,
        (change, sender): Waiting<Self>,
        mode: Mode,
        mut sent: Sent,
        held: &mut HashSet<AccountId>,
    ) -> bool {
        if !held.contains(&change.account_id) {
            if let Some(result) = commit_at_once(&self.0, &change, mode, &mut sent).await {
                let _ = sender.send(result);
                return !sent.cut_off;
            }
            held.insert(change.account_id);
        }
        let base = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _ = sender.send(commit_waiting(&base, &change, sent).await);
        });
        true
    }
}

/// Fails these change sets without sending them.
fn refuse(waiting: impl IntoIterator<Item = Waiting<Commits>>, sent: Sent, failed: &Failed) {
    for (_, sender) in waiting {
        let _ = sender.send(Err(sent.failure(shared(failed))));
    }
}

#[async_trait]
impl Together for Commits {
    type Job = Arc<ChangeSet>;
    type Answer = Result<Committed, CommitError>;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let mut left = round;
        let mut held = HashSet::new();
        // A change set that is not compatible with the others waits for the next statement. Each admits at least one,
        // so the loop ends.
        while !left.is_empty() {
            let mut batch = Batch::default();
            let (admitted, mut rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(change, _): &Waiting<Self>| self.may_share(change) && batch.admit(change));
            let (mut alone, mut sent) = (Vec::new(), Sent::default());
            let mut mode = Mode::Lone;
            if admitted.len() > 1 {
                mode = Mode::Alone;
                let changes: Vec<&ChangeSet> = admitted.iter().map(|(change, _)| change.as_ref()).collect();
                match apply(&self.0, &changes, Mode::Shared, PATIENCE_SHARED, &mut sent).await {
                    Ok(statuses) => {
                        for (waiting, status) in admitted.into_iter().zip(statuses) {
                            match status {
                                // An earlier try of the same change set may have changed the row.
                                Status::Alone | Status::Conflict => alone.push(waiting),
                                status @ (Status::Committed(_) | Status::Duplicate(_)) => {
                                    let _ = waiting.1.send(status.into());
                                }
                            }
                        }
                    }
                    // The whole round fails immediately. If each were tried alone, the last would wait many times as
                    // long.
                    Err(Refusal::Failed(failed)) if sent.cut_off => {
                        refuse(admitted, sent, &failed);
                        refuse(rest, Sent::default(), &failed);
                        return;
                    }
                    // One change set made the statement fail. Each is tried alone, so that only that one fails.
                    Err(_) => alone.extend(admitted),
                }
            } else if admitted.is_empty() {
                // None can share a statement.
                alone.append(&mut rest);
            } else {
                alone.extend(admitted);
            }
            let mut alone = alone.into_iter();
            while let Some(waiting) = alone.next() {
                if !self.alone(waiting, mode, sent, &mut held).await {
                    refuse(alone, sent, &Failed::Busy);
                    refuse(rest, Sent::default(), &Failed::Busy);
                    return;
                }
            }
            left = rest;
        }
    }
}

/// A record's result.
pub(super) type Recorded = Result<Result<(), LeaseLost>, Failed>;

/// Records one attempt without waiting long for its subscription; `None` if another transaction has locked it.
pub(super) async fn record_at_once(base: &Base, record: &Record) -> Option<Recorded> {
    match record_within(base, record, PATIENCE_ALONE).await {
        Err(Failed::Engine(error, _)) if error::locked(&error) => None,
        recorded => Some(recorded),
    }
}

/// Records one attempt, and waits for its subscription for a while.
pub(super) async fn record_waiting(base: &Base, record: &Record) -> Recorded {
    record_within(base, record, records::PATIENCE).await
}

async fn record_within(base: &Base, record: &Record, patience: Duration) -> Recorded {
    let now = base.now_sql();
    writing!(*base, |connection, schema| records::one(connection, (schema, &now), record, patience))
}

/// Records of attempts.
pub(super) struct Records(pub(super) Arc<Base>);

impl Records {
    /// Records one attempt of a round separately, in a task, since it may wait.
    fn alone(&self, (record, sender): Waiting<Self>) {
        let base = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _ = sender.send(record_waiting(&base, &record).await);
        });
    }
}

#[async_trait]
impl Together for Records {
    type Job = Record;
    type Answer = Recorded;

    async fn together(&self, round: Vec<Waiting<Self>>) {
        let mut groups: HashMap<&str, Vec<Waiting<Self>>> = HashMap::new();
        let mut effects = HashSet::new();
        for waiting in round {
            let Record { account_id, id, .. } = waiting.0;
            if effects.insert((account_id, id)) {
                groups.entry(table_of(id)).or_default().push(waiting);
            } else {
                // One of two holders of an effect has lost its lease.
                self.alone(waiting);
            }
        }
        for (_, group) in groups {
            if group.len() == 1 {
                group.into_iter().for_each(|waiting| self.alone(waiting));
                continue;
            }
            let (jobs, senders): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let now = self.0.now_sql();
            let written = writing!(self.0, |connection, schema| records::many(connection, (schema, &now), &jobs));
            match written {
                Ok(written) => {
                    for (n, waiting) in jobs.into_iter().zip(senders).enumerate() {
                        if written.contains(&n) {
                            let _ = waiting.1.send(Ok(Ok(())));
                        } else {
                            self.alone(waiting);
                        }
                    }
                }
                // The server refused the statement, so nothing was changed. One record may be the cause, and fails alone.
                Err(Failed::Engine(error, _)) if error::refused(&error) => {
                    jobs.into_iter().zip(senders).for_each(|waiting| self.alone(waiting));
                }
                Err(failed) => {
                    for sender in senders {
                        let _ = sender.send(Err(shared_by_writes(&failed)));
                    }
                }
            }
        }
    }
}
