//! What concurrent callers do together, and what one does alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::KeyRecord;
use serront_core::changes::change::{ChangeSet, Committed, Guard};
use serront_core::online::provisioning::Provisioning;
use serront_core::ports::CommitError;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::provider::MerchantId;
use serront_core::primitives::version::Version;
use serront_core::snapshots::{OrderKey, OrderSnapshot, SessionSnapshot};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::Silence;
use super::batch::Batch;
use super::coalesce::{Together, Waiting};
use super::commit::{self, Mode, Refusal, Status};
use super::read::{OrderWanted, SessionWanted};
use super::waiting::PAUSE;
use super::{Base, READ_ONLY_ROUNDS_MAX, RECONNECTS_MAX, error, read};
use crate::sql::error::Failed;

/// How often a statement that the engine gave up for another one is run again.
const VICTIM_ROUNDS_MAX: u32 = 8;

/// How long a statement that many share waits for a lock which can't be passed over, such as that of an account's next number.
/// Others write these rows for a moment; if it takes longer, each goes by itself.
const PATIENCE_SHARED: Duration = Duration::from_millis(100);

/// How long one change set by itself waits so before it gets in line with those that wait.
const PATIENCE_ALONE: Duration = Duration::from_millis(20);

/// A failure that many share, with nothing done: the engine's own error can't be copied.
fn shared(failed: &Failed) -> Failed {
    match failed {
        Failed::Engine(error) if error::busy(error) => Failed::Busy,
        Failed::Engine(_) | Failed::RolledBack | Failed::Lost => Failed::RolledBack,
        Failed::Unreadable(column) => Failed::Unreadable(column),
        Failed::Refused(why) => Failed::Refused(why),
        Failed::Closed => Failed::Closed,
        Failed::ReadOnly => Failed::ReadOnly,
        Failed::Busy => Failed::Busy,
    }
}

/// What was found of one of many: a row that can't be read fails for who asked for it.
pub(super) type Each<T> = Result<Option<T>, Failed>;

/// Orders by key.
pub(super) async fn orders(base: &Base, wanted: &[OrderWanted]) -> Result<Vec<Each<OrderSnapshot>>, Failed> {
    let now = base.now_sql();
    super::on_connection!(base, |connection, schema| read::orders_by_key(connection, (schema, &now), wanted))
}

/// API keys by hash.
pub(super) async fn keys(base: &Base, wanted: &[Digest256]) -> Result<Vec<Each<KeyRecord>>, Failed> {
    super::on_connection!(base, |connection, schema| read::keys_by_hash(connection, schema, wanted))
}

/// Merchants at Plugipay by name.
pub(super) async fn merchants(base: &Base, wanted: &[MerchantId]) -> Result<Vec<Each<Provisioning>>, Failed> {
    super::on_connection!(base, |connection, schema| read::merchants(connection, schema, wanted))
}

/// What is known under sessions' names.
pub(super) async fn sessions(base: &Base, wanted: &[SessionWanted]) -> Result<Vec<Each<SessionSnapshot>>, Failed> {
    super::on_connection!(base, |connection, schema| read::sessions(connection, schema, wanted))
}

fn answer<T>(senders: Vec<oneshot::Sender<T>>, answers: impl IntoIterator<Item = T>) {
    for (sender, answer) in senders.into_iter().zip(answers) {
        // A caller that went away wants no answer.
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
        // By id or by token: two statements, and only those that are needed.
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

/// Reads of merchants: every notification begins with one.
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

/// What is known of the sendings of a change set so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    /// One got no answer, so it may still land: whatever fails from then on, the outcome is not known.
    lost: bool,
    /// There was no connection, or its server fell silent: whoever comes next would wait as long for the same.
    cut_off: bool,
}

impl Sent {
    fn failure(self, failed: Failed) -> CommitError {
        if self.lost { Failed::Lost.into() } else { failed.into() }
    }
}

/// Runs a statement over these change sets, and again where the engine gave it up or the connection was lost: the ids make
/// that harmless.
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
        let applied = commit::apply(connection, (&base.schema, &now), changes, mode, Some(patience));
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
            Err(Refusal::Failed(Failed::Engine(error))) if error::is_victim(&error) && victim < VICTIM_ROUNDS_MAX => {
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
                super::pause(lost).await;
            }
            Err(Refusal::Failed(Failed::Engine(error))) if error::is_read_only(&error) => {
                // Nothing was done; a connection opened now may lead to the server that takes writes.
                lease.distrust();
                if lost >= READ_ONLY_ROUNDS_MAX {
                    sent.cut_off = true;
                    return Err(Failed::Engine(error).into());
                }
                lost += 1;
                super::pause(lost).await;
            }
            other => {
                lease.keep();
                return other;
            }
        }
    }
}

/// A conflict, unless it was this very change set that moved what it guards: sent before, or beside this one.
async fn unless_landed(base: &Base, change: &ChangeSet, sent: Sent) -> Result<Committed, CommitError> {
    let wanted = [(change.account_id, change.id)];
    let found = super::on_connection!(base, |connection, schema| read::outcomes(connection, schema, &wanted));
    found.map_err(|failed| sent.failure(failed))?.into_iter().next().flatten().ok_or(CommitError::Conflict)
}

/// One change set by itself; `None` if it did not get a lock in time.
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
        Err(Refusal::Failed(Failed::Engine(error))) if error::busy(&error) => return None,
        Err(Refusal::Failed(failed)) => Err(sent.failure(failed)),
    })
}

/// One change set by itself; `None` if somebody else has locked what it needs, so that it would have to wait.
pub(super) async fn commit_at_once(
    base: &Base,
    change: &ChangeSet,
    sent: &mut Sent,
) -> Option<Result<Committed, CommitError>> {
    // A row passed over would look as if it was not there.
    let wants_absence =
        change.guards.iter().any(|guard| matches!(guard, Guard::Exact { version: Version::ABSENT, .. }));
    let mode = if wants_absence { Mode::Waiting } else { Mode::Alone };
    commit(base, change, mode, PATIENCE_ALONE, sent).await
}

/// One change set by itself, once it has what it needs.
pub(super) async fn commit_waiting(base: &Base, change: &ChangeSet, mut sent: Sent) -> Result<Committed, CommitError> {
    let waiter = base.waiters.join(change.account_id);
    // Beyond what a clock can show there is no bound.
    let until = Instant::now().checked_add(base.lock_time_max);
    loop {
        let turn = match until {
            Some(until) => tokio::time::timeout_at(until, waiter.turn()).await.ok().flatten(),
            None => waiter.turn().await,
        };
        // A turn that is free is given also when the time is over.
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
    /// Where something of its account waits for a lock, the next one may wait for the same, and hold up all that share its
    /// statement.
    fn may_share(&self, change: &ChangeSet) -> bool {
        !self.0.waiters.has(change.account_id)
    }

    /// One of a round by itself; if it has to wait, in a task of its own, and then the others of its account get in line
    /// behind it. Answers whether the others can go on.
    async fn alone(&self, (change, sender): Waiting<Self>, mut sent: Sent, held: &mut HashSet<AccountId>) -> bool {
        if !held.contains(&change.account_id) {
            if let Some(result) = commit_at_once(&self.0, &change, &mut sent).await {
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

/// Tells them that they can't be sent now.
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
        // What contradicts another in the round goes into the next statement. One is admitted in each, so it ends.
        while !left.is_empty() {
            let mut batch = Batch::default();
            let (admitted, mut rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(change, _): &Waiting<Self>| self.may_share(change) && batch.admit(change));
            let (mut alone, mut sent) = (Vec::new(), Sent::default());
            if admitted.len() > 1 {
                let changes: Vec<&ChangeSet> = admitted.iter().map(|(change, _)| change.as_ref()).collect();
                match apply(&self.0, &changes, Mode::Shared, PATIENCE_SHARED, &mut sent).await {
                    Ok(statuses) => {
                        for (waiting, status) in admitted.into_iter().zip(statuses) {
                            match status {
                                // It may be its own first sending that moved the row.
                                Status::Alone | Status::Conflict => alone.push(waiting),
                                status @ (Status::Committed(_) | Status::Duplicate(_)) => {
                                    let _ = waiting.1.send(status.into());
                                }
                            }
                        }
                    }
                    // Nobody's fault. If each tried for itself, the last would wait many times as long as the first.
                    Err(Refusal::Failed(failed)) if sent.cut_off => {
                        refuse(admitted, sent, &failed);
                        refuse(rest, Sent::default(), &failed);
                        return;
                    }
                    // One of them made the statement fail: each for itself, so that it fails alone.
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
                if !self.alone(waiting, sent, &mut held).await {
                    refuse(alone, sent, &Failed::Busy);
                    refuse(rest, Sent::default(), &Failed::Busy);
                    return;
                }
            }
            left = rest;
        }
    }
}
