//! [`Commands`], and how a command is decided again until its change set is committed.
//!
//! Three different things: a *round* reads and decides again after a conflict; a *resend* commits the identical change
//! set again after an unknown outcome; a *retry* is another attempt at an effect.

use std::time::Duration;

use crate::changes::change::{ChangeSet, ClaimName, Committed};
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{Context, Decision};
use crate::ports::{CommitError, PortError, PortErrorKind, Storage};
use crate::primitives::ids::{AccountId, ChangeSetId};
use crate::primitives::rejection::Rejection;
use crate::service::{Answer, Environment, Failure};

/// Every read, and the commands that need only a storage.
#[derive(Debug)]
pub struct Commands<'p, S: ?Sized> {
    pub(super) storage: &'p S,
    pub(super) environment: Environment<'p>,
    bound: bool,
}

impl<S: ?Sized> Clone for Commands<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Commands<'_, S> {}

impl<'p, S: Storage + ?Sized> Commands<'p, S> {
    /// Over a storage that opens its own transactions: a conflict begins a new round, an unknown outcome a resend.
    #[must_use]
    pub const fn new(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment, bound: false }
    }

    /// Over a storage bound to a transaction that the host opened. A conflict fails with [`Failure::Conflict`], because
    /// only the host can roll back and begin a new transaction.
    #[must_use]
    pub const fn bound(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment, bound: true }
    }

    pub(super) fn context(&self, request: Option<IdempotentRequest>) -> Context<'p> {
        let now = self.environment.clock.now();
        let Environment { ids, policy, .. } = self.environment;
        Context { now, ids: ids.sequence(now), policy, request }
    }
}

impl<S: Storage + ?Sized> Commands<'_, S> {
    /// What a change set's commit answered; `None` if it was not committed.
    pub async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, Failure> {
        Ok(self.storage.outcome(account_id, id).await?)
    }
}

/// Counts the rounds of one command.
pub(super) struct Rounds<'l, 'p, S: ?Sized> {
    commands: &'l Commands<'p, S>,
    round: u32,
}

impl<'l, 'p, S: Storage + ?Sized> Rounds<'l, 'p, S> {
    pub(super) const fn begin(commands: &'l Commands<'p, S>) -> Self {
        Self { commands, round: 0 }
    }

    /// Commits a decision. `None`: it conflicted, so read and decide again.
    pub(super) async fn settle<T>(
        &mut self,
        decision: Decision<T>,
    ) -> Result<Option<(Answer<T>, Option<Committed>)>, Failure> {
        match decision {
            Decision::Unchanged(value) => Ok(Some((Answer { value, replayed: false, change_set: None }, None))),
            Decision::Replayed(value) => Ok(Some((Answer { value, replayed: true, change_set: None }, None))),
            Decision::Change(change, value) => Ok(self
                .commit(&change)
                .await?
                .map(|committed| (Answer { value, replayed: false, change_set: Some(change.id) }, Some(committed)))),
        }
    }

    async fn commit(&mut self, change: &ChangeSet) -> Result<Option<Committed>, Failure> {
        let mut sent = 0;
        let mut unknown = None;
        loop {
            let error = match self.commands.storage.commit(change).await {
                Ok(committed) => return Ok(Some(committed)),
                Err(CommitError::Conflict) => {
                    self.again()?;
                    self.pause(self.round).await;
                    return Ok(None);
                }
                Err(CommitError::Duplicate(duplicate)) => match duplicate.claim {
                    ClaimName::StorefrontSlug(_) => {
                        return Err(Rejection::Conflict("another storefront has this slug").into());
                    }
                    ClaimName::ServiceSlug(_) => {
                        return Err(Rejection::Conflict("another service has this slug").into());
                    }
                    ClaimName::Merchant(_) => {
                        let error = PortError::permanent("the merchant belongs to another account");
                        return Err(Failure::Provider { error });
                    }
                    // A concurrent command did the same: the next round reads its result and answers accordingly. If a
                    // secret was drawn before, the next round draws another one.
                    ClaimName::Confirmation(_)
                    | ClaimName::Settlement(_)
                    | ClaimName::ProviderEvent(_)
                    | ClaimName::Adjustment(_)
                    | ClaimName::Payout(_)
                    | ClaimName::Idempotency(_)
                    | ClaimName::KeyHash(_)
                    | ClaimName::AccessToken(_) => {
                        // No pause: what it did is committed, so there is nothing to conflict with.
                        self.again()?;
                        return Ok(None);
                    }
                },
                Err(CommitError::Port(error)) => error,
            };
            let again = match error.kind() {
                PortErrorKind::Transient | PortErrorKind::OutcomeUnknown => {
                    !self.commands.bound && sent < self.commands.environment.policy.commits.resend_max
                }
                PortErrorKind::Busy | PortErrorKind::Permanent => false,
            };
            // Once one send has an unknown outcome, a later failure does not settle it: the change set may be
            // committed.
            let error = unknown.take().unwrap_or(error);
            if !again {
                return Err(match error.kind() {
                    PortErrorKind::Busy => Failure::Busy,
                    PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => {
                        Failure::Port { error, change_set: Some(change.id) }
                    }
                });
            }
            unknown = Some(error).filter(|error| error.kind() == PortErrorKind::OutcomeUnknown);
            sent += 1;
            self.pause(sent).await;
        }
    }

    /// Counts the next round, if there may be one.
    fn again(&mut self) -> Result<(), Failure> {
        if self.commands.bound {
            return Err(Failure::Conflict);
        }
        self.round += 1;
        if self.round >= self.commands.environment.policy.commits.rounds_max {
            return Err(Failure::Busy);
        }
        Ok(())
    }

    /// Full jitter: a random pause below a limit that doubles, so that commands that conflicted do not conflict again.
    async fn pause(&self, nth: u32) {
        let Environment { clock, ids, policy, .. } = self.commands.environment;
        let doubled = policy.commits.round_pause_first.saturating_mul(1 << nth.saturating_sub(1).min(16));
        let bound = doubled.min(policy.commits.round_pause_max);
        let random = ids.sequence(clock.now()).next_ulid().random() % 1_000;
        let share = u32::try_from(random).unwrap_or(0);
        clock.sleep(Duration::from_millis(1).max(bound) * share / 1_000).await;
    }
}

/// Runs a command's rounds, and evaluates to its [`Answer`]. `$decide` reads and decides; it runs again after each
/// conflict.
macro_rules! rounds {
    ($($arguments:tt)*) => {{
        let (answer, _) = $crate::service::commands::committed!($($arguments)*);
        answer
    }};
}
pub(super) use rounds;

/// As `rounds!`, but evaluates to the answer and what the commit answered (`None` if nothing changed).
macro_rules! committed {
    ($commands:expr, $request:expr, |$context:ident| $decide:expr) => {{
        let mut rounds = $crate::service::commands::Rounds::begin($commands);
        loop {
            #[allow(unused_mut, reason = "not every decision draws ids")]
            let mut $context = $commands.context($request);
            let decision = $decide;
            if let Some(settled) = rounds.settle(decision).await? {
                break settled;
            }
        }
    }};
}
pub(super) use committed;
