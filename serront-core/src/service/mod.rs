//! The service: it reads, lets a decision decide, commits, and tries again where that is right.
//!
//! Commands are of two kinds, and the types say which. [`Local`] holds those that need nothing but a storage, so they
//! can be bound to a transaction that the host opened ([`Local::bound`]). [`Service`] adds the *remote* ones, which wait
//! for something outside (a receipt's store, a name's resolution) and can't be bound;
//! [`Online`] those that wait for Plugipay.
//!
//! Three words that get mixed up: a *round* decides anew after a conflict; a *resend* commits the identical change set
//! again after an unknown outcome; a *retry* is the dispatcher's, of an effect.

use std::time::Duration;

use crate::change::{ChangeSet, ClaimName, Committed};
use crate::decide::{Context, Decision};
use crate::idempotency::IdempotentRequest;
use crate::ids::ChangeSetId;
use crate::policy::Policy;
use crate::ports::{Clock, CommitError, Ids, PortError, PortErrorKind, Sealer, Secrets, Storage};
use crate::rejection::Rejection;

mod local;
mod money;
mod online;
mod payouts;
mod reconcile;
mod remote;
mod secrets;

pub use local::OrdersPage;
pub use money::{EntriesPage, ExceptionsPage, Resolution};
pub use online::{Online, Provider};
pub use payouts::PayoutsPage;
pub use remote::{ReceiptImage, Service};
pub use secrets::{KeysError, OtherKeys, Resealed};

/// Time, ids, secrets, keys and figures: what every command is given.
#[derive(Clone, Copy)]
pub struct Environment<'p> {
    /// Tells the time.
    pub clock: &'p dyn Clock,
    /// Gives ids.
    pub ids: &'p dyn Ids,
    /// Gives secrets.
    pub secrets: &'p dyn Secrets,
    /// Seals secrets at rest, and opens them.
    pub sealer: &'p dyn Sealer,
    /// The host's figures.
    pub policy: &'p Policy,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").field("policy", self.policy).finish_non_exhaustive()
    }
}

/// Why a command did not succeed. Each family says what the caller does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command is refused; nothing was changed. Tell whoever asked.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too many changed the same thing at once; nothing was changed. Try again shortly.
    #[error("too many changed the same thing at once")]
    Busy,
    /// Bound to the host's transaction, and a guard does not hold. Roll back, and begin a new transaction.
    #[error("what was read has changed meanwhile")]
    Conflict,
    /// Plugipay refused or failed. If the kind is *outcome unknown*, the call may have been carried out; the same command
    /// settles it.
    #[error("Plugipay refused or did not answer")]
    Provider {
        /// Its error.
        #[source]
        error: PortError,
    },
    /// A port failed. If the kind is *outcome unknown*, whether the change landed can be asked for by its change set's id.
    #[error("{error}")]
    Port {
        /// The port's error.
        #[source]
        error: PortError,
        /// The change set under way, if there was one.
        change_set: Option<ChangeSetId>,
    },
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        if error.kind() == PortErrorKind::Busy {
            return Self::Busy;
        }
        Self::Port { error, change_set: None }
    }
}

impl From<crate::rejection::Invalid> for Failure {
    fn from(invalid: crate::rejection::Invalid) -> Self {
        Self::Rejected(invalid.into())
    }
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The outcome.
    pub value: T,
    /// Whether it is the outcome of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The change set that made it so; `None` if nothing changed.
    pub change_set: Option<ChangeSetId>,
}

impl<T> Answer<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), replayed: self.replayed, change_set: self.change_set }
    }
}

/// The local commands and every read, over one storage.
#[derive(Debug)]
pub struct Local<'p, S: ?Sized> {
    storage: &'p S,
    environment: Environment<'p>,
    bound: bool,
}

impl<S: ?Sized> Clone for Local<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Local<'_, S> {}

impl<'p, S: Storage + ?Sized> Local<'p, S> {
    /// Over a storage that commits by itself: conflicts are decided anew, unknown outcomes are sent again.
    #[must_use]
    pub const fn new(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment, bound: false }
    }

    /// Over a storage bound to a transaction of the host's own: a conflict is reported as [`Failure::Conflict`] and
    /// nothing is tried again, for only the host can roll back and begin anew.
    #[must_use]
    pub const fn bound(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment, bound: true }
    }

    fn context(&self, request: Option<IdempotentRequest>) -> Context<'p> {
        let now = self.environment.clock.now();
        let Environment { ids, policy, .. } = self.environment;
        Context { now, ids: ids.sequence(now), policy, request }
    }
}

/// The rounds of one command.
struct Rounds<'l, 'p, S: ?Sized> {
    local: &'l Local<'p, S>,
    round: u32,
}

impl<'l, 'p, S: Storage + ?Sized> Rounds<'l, 'p, S> {
    const fn begin(local: &'l Local<'p, S>) -> Self {
        Self { local, round: 0 }
    }

    /// Commits a decision; `None` means: read and decide again.
    async fn settle<T>(&mut self, decision: Decision<T>) -> Result<Option<(Answer<T>, Option<Committed>)>, Failure> {
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
            let error = match self.local.storage.commit(change).await {
                Ok(committed) => return Ok(Some(committed)),
                Err(CommitError::Conflict) => return self.again().await,
                Err(CommitError::Duplicate(duplicate)) => match duplicate.claim {
                    ClaimName::StorefrontSlug(_) => {
                        return Err(Rejection::Conflict("another storefront has this slug").into());
                    }
                    ClaimName::ServiceSlug(_) => {
                        return Err(Rejection::Conflict("another service has this slug").into());
                    }
                    // Somebody was faster with the same: the next round sees it and answers accordingly. A secret
                    // drawn twice is drawn anew.
                    ClaimName::Merchant(_) => {
                        let error = PortError::permanent("the merchant is another account's");
                        return Err(Failure::Provider { error });
                    }
                    ClaimName::Confirmation(_)
                    | ClaimName::Settlement(_)
                    | ClaimName::ProviderEvent(_)
                    | ClaimName::Adjustment(_)
                    | ClaimName::Payout(_)
                    | ClaimName::Idempotency(_)
                    | ClaimName::KeyHash(_)
                    | ClaimName::AccessToken(_) => return self.again().await,
                },
                Err(CommitError::Port(error)) => error,
            };
            let again = match error.kind() {
                PortErrorKind::Transient | PortErrorKind::OutcomeUnknown => {
                    !self.local.bound && sent < self.local.environment.policy.resend_max
                }
                PortErrorKind::Busy | PortErrorKind::Permanent => false,
            };
            // Once a sending's outcome is unknown, no later failure makes it known: it may have landed.
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

    async fn again(&mut self) -> Result<Option<Committed>, Failure> {
        if self.local.bound {
            return Err(Failure::Conflict);
        }
        self.round += 1;
        if self.round >= self.local.environment.policy.commit_rounds_max {
            return Err(Failure::Busy);
        }
        self.pause(self.round).await;
        Ok(None)
    }

    /// Full jitter: anything from nothing to a bound that doubles, so that those who met do not meet again.
    async fn pause(&self, nth: u32) {
        let Environment { clock, ids, policy, .. } = self.local.environment;
        let doubled = policy.round_pause_first.saturating_mul(1 << nth.saturating_sub(1).min(16));
        let bound = doubled.min(policy.round_pause_max);
        let random = ids.sequence(clock.now()).next_ulid().random() % 1_000;
        let share = u32::try_from(random).unwrap_or(0);
        clock.sleep(Duration::from_millis(1).max(bound) * share / 1_000).await;
    }
}

/// Runs a command's rounds: `$decide` reads and decides, and is evaluated anew after each conflict.
macro_rules! rounds {
    ($local:expr, $request:expr, |$context:ident| $decide:expr) => {{
        let mut rounds = $crate::service::Rounds::begin($local);
        loop {
            #[allow(unused_mut, reason = "not every decision draws ids")]
            let mut $context = $local.context($request);
            let decision = $decide;
            if let Some(settled) = rounds.settle(decision).await? {
                break settled;
            }
        }
    }};
}
use rounds;
