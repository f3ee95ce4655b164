//! The decisions: pure functions that turn a snapshot and a command into a change set or a rejection.
//!
//! Every decision takes a snapshot that a storage read consistently, the command, and a [`Context`] with the time and
//! ids. None of them waits or names a port, and equal arguments give equal decisions.
//!
//! | file | needs this of [`snapshots`](crate::snapshots) | decides |
//! |---|---|---|
//! | `orders` | an order or a shop snapshot | place, claim, receipt, confirm, quote, work track, a new token |
//! | `storefront` | an account snapshot | the profile and the payment instructions |
//! | `catalog` | an account or a service snapshot | services |
//! | `checkouts` | an order, a checkout or a session snapshot | begin, mint, observe, settle, notifications |
//! | `exceptions` | an exception snapshot, the adjustment that settled it | resolving one |
//! | `modules` | an account snapshot | the modules' switches, provisioning |
//! | `payouts` | a funds or a payout snapshot | payouts, the default bank account, adjustments |
//! | `account` | an account snapshot | opening, tier, API keys, operators' keys |
//! | `subscriptions` | an account snapshot | webhook subscriptions |
//! | `secrets` | a subscription's secrets, or the provisioning | sealing secrets at rest again |
//! | `effects` | an account snapshot, the delivery or effect | manual retries, discarding |
//!
//! Decisions check no credentials (the service does, before it reads), and they send nothing.

use crate::changes::change::{ChangeSet, Claim, ClaimName};
use crate::changes::idempotency::{self, IdempotentRequest, Kept, Outcome};
use crate::policy::Policy;
use crate::primitives::ids::{AccountId, IdSequence};
use crate::primitives::rejection::Rejection;
use crate::primitives::time::Timestamp;

mod account;
mod catalog;
mod checkouts;
mod edit;
mod effects;
mod exceptions;
mod modules;
mod orders;
mod payouts;
mod secrets;
mod storefront;
mod subscriptions;

pub use account::{create_key, create_operator_key, delete_key, open_account, set_tier};
pub use catalog::{create_service, delete_service, update_service};
pub use checkouts::{Begun, begin_checkout, notify, observe, record_session, refuse_session, unpark};
pub use effects::{discard_effect, retry_delivery, retry_effect};
pub use exceptions::resolve_exception;
pub use modules::{
    ModuleSwitches, Registration, Switched, Wanted, begin_registration, give_up_registration, merchant,
    record_endpoint, record_workspace, switch_modules,
};
pub use orders::{
    OrderPatch, PlaceOrder, attach_receipt, claim_payment, confirm_payment, patch_order, place_order, rotate_token,
};
pub use payouts::{AdjustmentInput, PayoutStep, Requester, adjust, move_payout, patch_bank_account, request_payout};
pub use secrets::{reseal_endpoint, reseal_subscription};
pub use storefront::put_storefront;
pub use subscriptions::{
    create_subscription, delete_subscription, rotate_secret, switch_off_subscription, update_subscription,
};

/// What a decision needs besides the snapshot and the command.
#[derive(Debug)]
pub struct Context<'a> {
    /// The host's time.
    pub now: Timestamp,
    /// As many ids as it needs.
    pub ids: IdSequence,
    /// The host's figures.
    pub policy: &'a Policy,
    /// `None` if the caller sent no idempotency key.
    pub request: Option<IdempotentRequest>,
}

/// What was decided, and the outcome that the caller sees after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// A change set to commit.
    Change(Box<ChangeSet>, T),
    /// Nothing has to change.
    Unchanged(T),
    /// The outcome of the first request with the same idempotency key.
    Replayed(T),
}

impl<T> Decision<T> {
    /// Converts the outcome.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Decision<U> {
        match self {
            Self::Change(change, value) => Decision::Change(change, f(value)),
            Self::Unchanged(value) => Decision::Unchanged(f(value)),
            Self::Replayed(value) => Decision::Replayed(f(value)),
        }
    }
}

impl Context<'_> {
    fn change_set(&mut self, account_id: AccountId) -> ChangeSet {
        ChangeSet::new(self.ids.change_set(), account_id, self.now)
    }

    /// The outcome of the first request with the same key, if there was one.
    fn replay<T: Outcome>(&self, kept: Option<&Kept>) -> Result<Option<Decision<T>>, Rejection> {
        Ok(idempotency::replay(self.request.as_ref(), kept)?.map(Decision::Replayed))
    }

    /// Ends a decision: a claim of the idempotency key, if there is one, keeps the outcome.
    fn conclude<T: Outcome>(&self, mut change: ChangeSet, outcome: T) -> Result<Decision<T>, Rejection> {
        if let Some(request) = &self.request {
            let until = self.now.plus(self.policy.commits.idempotency_kept);
            // First, because if several names are taken, this one's holder has the answer.
            let kept = Some(idempotency::keep(request, &outcome, until)?);
            change.claims.insert(0, Claim { name: ClaimName::Idempotency(request.scope), kept });
        }
        if change.writes.is_empty() && change.claims.is_empty() {
            return Ok(Decision::Unchanged(outcome));
        }
        Ok(Decision::Change(Box::new(change), outcome))
    }
}
