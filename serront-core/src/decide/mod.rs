//! The decisions: pure functions from what is known and what is asked to a change set or a rejection.
//!
//! Every decision has the same shape: a snapshot that a storage read at once, the command, and a [`Context`] with the
//! time and the ids. None of them waits, none names a port, and the same arguments always decide the same.
//!
//! | file | needs loaded | decides |
//! |---|---|---|
//! | `orders` | an [`OrderSnapshot`](crate::snapshots::OrderSnapshot) or [`ShopSnapshot`](crate::snapshots::ShopSnapshot) | place, claim, receipt, confirm, quote, work track, another token |
//! | `storefront` | an [`AccountSnapshot`](crate::snapshots::AccountSnapshot) | the profile and where to pay |
//! | `catalog` | an account or [`ServiceSnapshot`](crate::snapshots::ServiceSnapshot) | services |
//! | `checkouts` | an order snapshot, a [`CheckoutSnapshot`](crate::snapshots::CheckoutSnapshot) or a [`SessionSnapshot`](crate::snapshots::SessionSnapshot) | begin, mint, observe, settle, notifications |
//! | `exceptions` | an [`ExceptionSnapshot`](crate::snapshots::ExceptionSnapshot), the adjustment that is named | resolving one |
//! | `modules` | an account snapshot | the modules' switches, provisioning |
//! | `payouts` | a [`FundsSnapshot`](crate::snapshots::FundsSnapshot) or [`PayoutSnapshot`](crate::snapshots::PayoutSnapshot) | payouts, where they go, adjustments |
//! | `account` | an account snapshot | opening, tier, API keys, operators' keys |
//! | `subscriptions` | an account snapshot | webhook subscriptions |
//! | `secrets` | [`SubscriptionSecrets`](crate::snapshots::SubscriptionSecrets), a [`Provisioning`](crate::online::provisioning::Provisioning) | secrets at rest, sealed anew |
//! | `effects` | an account snapshot, the delivery or effect that is named | sending one again by hand |
//!
//! What the decisions leave out: they check no credentials (the service does, before it reads), and they send nothing.

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

/// What a decision is given besides the snapshot and the command.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// As many ids as it needs.
    pub ids: IdSequence,
    /// The host's figures.
    pub policy: &'a Policy,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<IdempotentRequest>,
}

/// What was decided, with the outcome that the caller sees once it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// Commit this.
    Change(Box<ChangeSet>, T),
    /// Nothing is to be done.
    Unchanged(T),
    /// It was done before, under the same idempotency key.
    Replayed(T),
}

impl<T> Decision<T> {
    /// The same with another outcome.
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

    /// The outcome of the same request, if it was answered before.
    fn replay<T: Outcome>(&self, kept: Option<&Kept>) -> Result<Option<Decision<T>>, Rejection> {
        Ok(idempotency::replay(self.request.as_ref(), kept)?.map(Decision::Replayed))
    }

    /// Ends a decision: the outcome is kept beside the idempotency key, if there is one.
    fn conclude<T: Outcome>(&self, mut change: ChangeSet, outcome: T) -> Result<Decision<T>, Rejection> {
        if let Some(request) = &self.request {
            let until = self.now.plus(self.policy.commits.idempotency_kept);
            // First: of several names that are taken, this one has the answer.
            let kept = Some(idempotency::keep(request, &outcome, until)?);
            change.claims.insert(0, Claim { name: ClaimName::Idempotency(request.scope), kept });
        }
        if change.writes.is_empty() && change.claims.is_empty() {
            return Ok(Decision::Unchanged(outcome));
        }
        Ok(Decision::Change(Box::new(change), outcome))
    }
}
