//! The change set: what a decision wants done, as a value that a storage applies all or not at all.
//!
//! [`Guard`], [`Write`], [`ClaimName`] and [`Effect`] are exhaustive on purpose: an adapter that does not know a kind
//! can't apply half of a change, so a new kind has to be a compile error for it.

use std::collections::BTreeSet;

use crate::accounts::account::{Account, AccountState};
use crate::accounts::key::{AccessToken, KeyRecord};
use crate::accounts::sealed::SealedSecret;
use crate::changes::effect::{Discard, Effect, EffectId};
use crate::changes::idempotency::{Kept, KeptOutcome, Scope};
use crate::funds::balance::Funds;
use crate::funds::ledger::{self, Adjustment, LedgerEntry, SourceType};
use crate::funds::payout::{DefaultBankAccount, Payout, PayoutAudit, PayoutState};
use crate::online::checkout::{Checkout, CheckoutState};
use crate::online::exception::{ExceptionState, PaymentException};
use crate::online::inbox::{InboxRecord, InboxStatus};
use crate::online::provisioning::Provisioning;
use crate::orders::audit::AuditRecord;
use crate::orders::order::{Order, OrderNumber, OrderState, WorkStatus};
use crate::orders::payment::{Payment, PaymentState};
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{
    AccountId, ChangeSetId, CheckoutId, ExceptionId, KeyId, OrderId, PaymentId, PayoutId, ServiceId, SubscriptionId,
};
use crate::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use crate::primitives::text::Slug;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;
use crate::shop::catalog::Service;
use crate::shop::storefront::Storefront;
use crate::webhooks::subscription::{Subscription, SubscriptionState};

/// A row that carries a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// The account's settings.
    Account,
    /// The account's storefront.
    Storefront,
    /// A service.
    Service(ServiceId),
    /// An order, with everything under it.
    Order(OrderId),
    /// A webhook subscription.
    Subscription(SubscriptionId),
    /// The account's notification endpoint at Plugipay.
    Provisioning,
    /// A session's name within the account: the row on which a notification of a session that is not known yet and the
    /// commit that makes it known meet.
    Session(SessionId),
    /// An exception.
    Exception(ExceptionId),
    /// What all debits of the account write: only they move its version.
    Funds,
    /// The account that payouts go to by default.
    BankAccount,
    /// A payout.
    Payout(PayoutId),
}

/// What the decision relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// *Exact*: the row is at this version, and stays there until the commit is done. [`Version::ABSENT`]: there is no
    /// such row. A row guarded and not written is locked against its writers all the same.
    Exact {
        /// Which row.
        row: Row,
        /// At which version.
        version: Version,
    },
    /// *Exact*: the catalog holds fewer services than this. Two commits with this guard never both pass on the last
    /// free place.
    ServicesBelow(u32),
    /// *Exact*: no order names this service. Goes with a guard on the service's own row, which placing an order
    /// guards as well, so the two meet there.
    NoOrdersOf(ServiceId),
    /// *Witness*: the account's settings epoch is this. Checked without a lock: it says "decided before that change".
    Settings(Version),
    /// *Exact*: it was decided at this time, and by the storage's own clock that is at most
    /// [`POSTED_WITHIN`](crate::funds::ledger::POSTED_WITHIN) ago. Goes with what is posted to the ledger, whose entries carry the time of
    /// the decision: so a decision that a host made before it was frozen is made again, and no entry appears among those that
    /// were read long ago.
    Fresh(Timestamp),
}

/// A new state of something. Each writes one row, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A new account.
    InsertAccount(Account),
    /// New settings of the account.
    UpdateAccount(AccountState),
    /// The account's storefront, first or again, as its version says.
    PutStorefront(Storefront),
    /// A service, first or again, as its version says.
    PutService(Service),
    /// A service goes.
    DeleteService(ServiceId),
    /// A new order and its payment. The storage gives the order the account's next number.
    InsertOrder(Order, Payment),
    /// A new state of an order.
    UpdateOrder {
        /// Which order.
        id: OrderId,
        /// The state of its work track until now, for the counts that are kept.
        was: WorkStatus,
        /// The new state.
        state: OrderState,
    },
    /// A new state of a payment. Covered by the guard on its order.
    UpdatePayment {
        /// Which payment.
        id: PaymentId,
        /// Under which order.
        order_id: OrderId,
        /// The new state.
        state: PaymentState,
    },
    /// A new API key.
    InsertKey(KeyRecord),
    /// An API key goes. `Conflict` if it is gone already.
    DeleteKey(KeyId),
    /// A new subscription, with its secret.
    InsertSubscription(Subscription, SealedSecret),
    /// A new state of a subscription. Its streak of failed attempts begins anew.
    UpdateSubscription(SubscriptionId, SubscriptionState),
    /// A subscription goes.
    DeleteSubscription(SubscriptionId),
    /// A new secret of a subscription. The one until now becomes its previous one, and whatever was that is gone.
    RotateSecret {
        /// Which subscription.
        id: SubscriptionId,
        /// Its next version.
        version: Version,
        /// The new secret.
        secret: SealedSecret,
        /// Until when the one until now signs too.
        previous_until: Timestamp,
    },
    /// The same secrets of a subscription, sealed anew. Until when the previous one signs too stays.
    ResealSecrets {
        /// Which subscription.
        id: SubscriptionId,
        /// Its next version.
        version: Version,
        /// The present secret.
        secret: SealedSecret,
        /// The one before.
        previous_secret: Option<SealedSecret>,
    },
    /// A new access token of an order. The one until now opens nothing any more; its name stays claimed, so that no order
    /// gets it again. Goes with a claim of the new one.
    RotateToken {
        /// Which order.
        id: OrderId,
        /// Its next version.
        version: Version,
        /// The new token.
        access_token: AccessToken,
        /// When.
        updated_at: Timestamp,
    },
    /// A record for the audit trail.
    AppendAudit(AuditRecord),
    /// A new checkout. Goes with a write of its order, whose version covers it.
    InsertCheckout(Checkout),
    /// A new state of a checkout. Goes with a write of its order, whose version covers it.
    UpdateCheckout {
        /// Which checkout.
        id: CheckoutId,
        /// Under which order.
        order_id: OrderId,
        /// The new state.
        state: CheckoutState,
    },
    /// A session's name, first or again, as its version says.
    PutSession(SessionName),
    /// The account's endpoint, first or again, as its version says.
    PutProvisioning(Provisioning),
    /// A ledger transaction: its legs, balanced.
    Post(Vec<LedgerEntry>),
    /// A new exception.
    InsertException(PaymentException),
    /// A new state of an exception.
    UpdateException(ExceptionId, ExceptionState),
    /// A notification. Goes with a claim of its event's id.
    InsertInbox(InboxRecord),
    /// What became of a notification that was parked.
    UpdateInbox(ProviderEventId, InboxStatus),
    /// The account's payouts in flight, first or again, as its version says.
    PutFunds(Funds),
    /// The account that payouts go to by default, first or again, as its version says.
    PutBankAccount(DefaultBankAccount),
    /// A new payout. Goes with a write of the account's funds, and with a claim of its id.
    InsertPayout(Payout),
    /// A new state of a payout. Goes with a write of the account's funds, unless its money stays in flight.
    UpdatePayout(PayoutId, PayoutState),
    /// A record of a payout's step.
    AppendPayoutAudit(PayoutAudit),
    /// An adjustment. Goes with a claim of its reference.
    InsertAdjustment(Adjustment),
    /// An effect that succeeded or was given up is pending again: due at once, under no lease. Its
    /// attempts stay, and so does its fence: whoever held it before can't record. `Conflict` if it is pending, or not there.
    Requeue(EffectId),
    /// An effect that was given up is taken off the list of those, and why is on record for good. It stays given up, so that
    /// [`Write::Requeue`] brings it back. `Conflict` if it is not given up, is discarded already, or is not there.
    Discard(Discard),
    /// Every delivery that is pending to this subscription is given up, and discarded without a record: it is the seller's
    /// doing, and not for operators to mend. Their attempts stay; so do their fences, but no lease:
    /// who holds one can't record, so nothing makes them pending again but [`Write::Requeue`]. Goes with a write of the
    /// subscription. What is queued by a commit at the same time may be missed; the dispatcher gives that up when it is due.
    GiveUpDeliveries(SubscriptionId),
}

/// A session's name within the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName {
    /// Which session.
    pub id: SessionId,
    /// How often it was written.
    pub version: Version,
    /// Which checkout it was minted for; `None` while only notifications name it.
    pub checkout_id: Option<CheckoutId>,
}

impl Write {
    /// Whether it changes or deletes a versioned row, so that there has to be one.
    const fn wants_row(&self) -> bool {
        matches!(
            self,
            Self::UpdateAccount(_)
                | Self::DeleteService(_)
                | Self::UpdateOrder { .. }
                | Self::UpdateSubscription(..)
                | Self::DeleteSubscription(_)
                | Self::RotateSecret { .. }
                | Self::ResealSecrets { .. }
                | Self::RotateToken { .. }
                | Self::UpdateException(..)
                | Self::UpdatePayout(..)
        )
    }

    /// Whether the write makes a row under a new id, so that there is no version before to guard on.
    const fn may_be_first(&self) -> bool {
        matches!(
            self,
            Self::InsertAccount(_)
                | Self::PutService(_)
                | Self::InsertOrder(..)
                | Self::InsertSubscription(..)
                | Self::InsertException(_)
                | Self::InsertPayout(_)
        )
    }
}

/// A name that must be unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimName {
    /// Within the account: this payment's confirmation.
    Confirmation(PaymentId),
    /// Within the account: a service's slug.
    ServiceSlug(Slug),
    /// Within the account: an idempotency key.
    Idempotency(Scope),
    /// Within the account: this session's settlement.
    Settlement(SessionId),
    /// Within the account: an event that Plugipay notified of.
    ProviderEvent(ProviderEventId),
    /// Within the account: an adjustment, by its reference in the operator's books.
    Adjustment(String),
    /// Across accounts: a payout, so that an operator finds it.
    Payout(PayoutId),
    /// Across accounts: a storefront's slug.
    StorefrontSlug(Slug),
    /// Across accounts: an API key, by its hash.
    KeyHash(Digest256),
    /// Across accounts: an order's access token, by its hash.
    AccessToken(Digest256),
    /// Across accounts: a merchant at Plugipay.
    Merchant(MerchantId),
}

/// A claim of a name, with the outcome kept beside it where it is an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: ClaimName,
    /// Given for [`ClaimName::Idempotency`], and only there.
    pub kept: Option<KeptOutcome>,
}

impl Claim {
    /// A claim with nothing kept beside it.
    #[must_use]
    pub const fn of(name: ClaimName) -> Self {
        Self { name, kept: None }
    }
}

/// What a decision wants done: all of it, in one atomic commit, in one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Sending the same change set twice lands once: its id is a claim, tested before the guards.
    pub id: ChangeSetId,
    /// The only account touched.
    pub account_id: AccountId,
    /// When it was decided, by the clock of the host that decided it. What the storage compares later is moved to its own clock by
    /// [`ChangeSet::by_clock_of_storage`].
    pub at: Timestamp,
    /// What it relied on.
    pub guards: Vec<Guard>,
    /// What it writes.
    pub writes: Vec<Write>,
    /// Names given up, before the claims are made. `Conflict` if the account does not hold one of them.
    pub releases: Vec<ClaimName>,
    /// Names that must be unique.
    pub claims: Vec<Claim>,
    /// What leaves the process afterwards.
    pub effects: Vec<Effect>,
}

/// A change set that landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The number given to the order, if the change set placed one.
    pub number: Option<OrderNumber>,
}

/// A name that was claimed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Which name.
    pub claim: ClaimName,
    /// What was kept beside it.
    pub kept: Option<Kept>,
}

/// A change set that contradicts itself: a bug in the decision that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change set contradicts itself: {0}")]
pub struct Inconsistent(pub &'static str);

impl ChangeSet {
    /// An empty change set.
    #[must_use]
    pub const fn new(id: ChangeSetId, account_id: AccountId, at: Timestamp) -> Self {
        Self {
            id,
            account_id,
            at,
            guards: Vec::new(),
            writes: Vec::new(),
            releases: Vec::new(),
            claims: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// The same change set, as if it was decided now by the storage's clock: with the ends and due times in it moved by the
    /// difference between that clock and [`ChangeSet::at`].
    ///
    /// Hosts' clocks differ, so what hosts compare has to be of one clock: until when a kept outcome or a previous secret
    /// counts, when an effect was made and when it is due. Times for people stay as they are.
    #[must_use]
    pub fn by_clock_of_storage(mut self, now: Timestamp) -> Self {
        let decided = std::mem::replace(&mut self.at, now);
        for claim in &mut self.claims {
            if let Some(kept) = &mut claim.kept {
                kept.until = kept.until.by_clock(decided, now);
            }
        }
        for write in &mut self.writes {
            if let Write::RotateSecret { previous_until, .. } = write {
                *previous_until = previous_until.by_clock(decided, now);
            }
        }
        for effect in &mut self.effects {
            if let Effect::Errand { due_at, .. } = effect {
                *due_at = due_at.by_clock(decided, now);
            }
        }
        self
    }

    /// Whether it places an order, so that the storage has a number to give.
    #[must_use]
    pub fn places_order(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::InsertOrder(..)))
    }

    fn guarded(&self, row: &Row) -> Option<Version> {
        self.guards.iter().find_map(|guard| match guard {
            Guard::Exact { row: guarded, version } if guarded == row => Some(*version),
            Guard::Exact { .. }
            | Guard::ServicesBelow(_)
            | Guard::NoOrdersOf(_)
            | Guard::Settings(_)
            | Guard::Fresh(_) => None,
        })
    }

    /// Whether it holds together. A storage calls this first and refuses what does not.
    ///
    /// # Errors
    /// [`Inconsistent`]: a versioned row written without an exact guard on the version before, or changed though the guard
    /// says that it is not there; two guards, writes or
    /// claims of one thing; another account's row; at most one new order; a marked place without a new order; a kept
    /// outcome beside anything but an idempotency key.
    pub fn check(&self) -> Result<(), Inconsistent> {
        let mut guarded = BTreeSet::new();
        for guard in &self.guards {
            if let Guard::Exact { row, .. } = guard
                && !guarded.insert(row)
            {
                return Err(Inconsistent("two guards on one row"));
            }
        }
        let mut written = BTreeSet::new();
        let mut orders = 0;
        for write in &self.writes {
            if let Some((row, version)) = self.written_row(write)? {
                if !written.insert(row.clone()) {
                    return Err(Inconsistent("two writes of one row"));
                }
                if write.wants_row() && self.guarded(&row) == Some(Version::ABSENT) {
                    return Err(Inconsistent("a write of a row that is not there"));
                }
                match (self.guarded(&row), version) {
                    (Some(_), None) => {}
                    (Some(before), Some(version)) if before.next() == version => {}
                    (None, Some(Version::FIRST)) if write.may_be_first() => {}
                    (None | Some(_), _) => {
                        return Err(Inconsistent("a write without a guard on the version before"));
                    }
                }
            }
            orders += u32::from(matches!(write, Write::InsertOrder(..)));
        }
        for write in &self.writes {
            if let Write::UpdatePayment { order_id, .. } = write
                && self.guarded(&Row::Order(*order_id)).is_none_or(|version| version == Version::ABSENT)
            {
                return Err(Inconsistent("a payment written without a guard on its order"));
            }
        }
        for write in &self.writes {
            if let Write::GiveUpDeliveries(id) = write
                && !written.contains(&Row::Subscription(*id))
            {
                return Err(Inconsistent("deliveries given up without a write of their subscription"));
            }
            if let Write::RotateToken { access_token, .. } = write
                && !self.claims.iter().any(|claim| claim.name == ClaimName::AccessToken(access_token.hash()))
            {
                return Err(Inconsistent("an access token that is not claimed"));
            }
        }
        self.check_checkouts(&written)?;
        self.check_debits(&written)?;
        if orders > 1 {
            return Err(Inconsistent("two new orders"));
        }
        let mut claimed = BTreeSet::new();
        for claim in &self.claims {
            if !claimed.insert(&claim.name) {
                return Err(Inconsistent("one name claimed twice"));
            }
            if claim.kept.is_some() != matches!(claim.name, ClaimName::Idempotency(_)) {
                return Err(Inconsistent("an outcome is kept beside idempotency keys, and only there"));
            }
            if orders == 0 && claim.kept.as_ref().is_some_and(|kept| kept.outcome.is_marked()) {
                return Err(Inconsistent("a marked place without a new order"));
            }
        }
        let mut effects = BTreeSet::new();
        for write in &self.writes {
            if let Write::Requeue(id) | Write::Discard(Discard { effect_id: id, .. }) = write
                && !effects.insert(*id)
            {
                return Err(Inconsistent("two effects of one id"));
            }
        }
        for effect in &self.effects {
            if !effects.insert(effect.id()) {
                return Err(Inconsistent("two effects of one id"));
            }
            if let Effect::Delivery(delivery) = effect
                && orders == 0
                && delivery.body.is_marked()
            {
                return Err(Inconsistent("a marked place without a new order"));
            }
        }
        Ok(())
    }

    /// What online checkout adds to [`ChangeSet::check`].
    fn check_checkouts(&self, written: &BTreeSet<Row>) -> Result<(), Inconsistent> {
        let mut checkouts = BTreeSet::new();
        let claims_event = |event: &ProviderEventId| {
            self.claims.iter().any(|claim| matches!(&claim.name, ClaimName::ProviderEvent(id) if id == event))
        };
        for write in &self.writes {
            if let Write::InsertCheckout(Checkout { id, order_id, .. }) | Write::UpdateCheckout { id, order_id, .. } =
                write
            {
                if !checkouts.insert(*id) {
                    return Err(Inconsistent("two writes of one checkout"));
                }
                if !written.contains(&Row::Order(*order_id)) {
                    return Err(Inconsistent("a checkout written without its order"));
                }
            }
            if let Write::Post(legs) = write
                && !ledger::is_balanced(self.account_id, legs)
            {
                return Err(Inconsistent("a ledger transaction that does not balance"));
            }
            if let Write::InsertInbox(record) = write
                && !claims_event(&record.event_id)
            {
                return Err(Inconsistent("a notification without a claim of its event"));
            }
        }
        Ok(())
    }

    /// What debits add to [`ChangeSet::check`]: each meets the account's others on its funds.
    fn check_debits(&self, written: &BTreeSet<Row>) -> Result<(), Inconsistent> {
        let debits = written.contains(&Row::Funds);
        for write in &self.writes {
            let ends = matches!(write, Write::UpdatePayout(_, state) if !state.status.is_in_flight());
            let posts = matches!(write, Write::Post(legs)
                if legs.iter().any(|leg| leg.source_type != SourceType::CheckoutSession));
            let wants_funds = ends || posts || matches!(write, Write::InsertPayout(_) | Write::InsertAdjustment(_));
            if wants_funds && !debits {
                return Err(Inconsistent("a debit without the account's funds"));
            }
            if let Write::InsertPayout(payout) = write
                && !self.claims.iter().any(|claim| claim.name == ClaimName::Payout(payout.id))
            {
                return Err(Inconsistent("a payout that no operator finds"));
            }
            if let Write::InsertAdjustment(Adjustment { reference, .. }) = write
                && !self
                    .claims
                    .iter()
                    .any(|claim| matches!(&claim.name, ClaimName::Adjustment(name) if name == reference))
            {
                return Err(Inconsistent("an adjustment without a claim of its reference"));
            }
        }
        Ok(())
    }

    /// The versioned row that a write touches, and the version that it makes (`None` for a deletion).
    ///
    /// # Errors
    /// [`Inconsistent`] if the write is of another account, or a payment of another order.
    pub fn written_row(&self, write: &Write) -> Result<Option<(Row, Option<Version>)>, Inconsistent> {
        let own = |account: AccountId| {
            (account == self.account_id).then_some(()).ok_or(Inconsistent("a write in another account"))
        };
        Ok(match write {
            Write::InsertAccount(account) => {
                own(account.id)?;
                Some((Row::Account, Some(account.state.version)))
            }
            Write::UpdateAccount(state) => Some((Row::Account, Some(state.version))),
            Write::PutStorefront(storefront) => {
                own(storefront.account_id)?;
                Some((Row::Storefront, Some(storefront.version)))
            }
            Write::PutService(service) => {
                own(service.account_id)?;
                Some((Row::Service(service.id), Some(service.version)))
            }
            Write::DeleteService(id) => Some((Row::Service(*id), None)),
            Write::InsertOrder(order, payment) => {
                own(order.account_id)?;
                if payment.order_id != order.id {
                    return Err(Inconsistent("a payment under another order"));
                }
                Some((Row::Order(order.id), Some(order.state.version)))
            }
            Write::UpdateOrder { id, state, .. } => Some((Row::Order(*id), Some(state.version))),
            Write::InsertSubscription(subscription, _) => {
                own(subscription.account_id)?;
                Some((Row::Subscription(subscription.id), Some(subscription.state.version)))
            }
            Write::UpdateSubscription(id, state) => Some((Row::Subscription(*id), Some(state.version))),
            Write::DeleteSubscription(id) => Some((Row::Subscription(*id), None)),
            Write::RotateSecret { id, version, .. } | Write::ResealSecrets { id, version, .. } => {
                Some((Row::Subscription(*id), Some(*version)))
            }
            Write::RotateToken { id, version, .. } => Some((Row::Order(*id), Some(*version))),
            Write::InsertKey(key) => {
                own(key.account_id)?;
                None
            }
            Write::AppendAudit(record) => {
                own(record.account_id)?;
                None
            }
            Write::InsertCheckout(checkout) => {
                own(checkout.account_id)?;
                None
            }
            Write::PutSession(name) => Some((Row::Session(name.id.clone()), Some(name.version))),
            Write::PutProvisioning(provisioning) => {
                own(provisioning.account_id)?;
                Some((Row::Provisioning, Some(provisioning.version)))
            }
            Write::InsertException(exception) => {
                own(exception.account_id)?;
                Some((Row::Exception(exception.id), Some(exception.state.version)))
            }
            Write::UpdateException(id, state) => Some((Row::Exception(*id), Some(state.version))),
            Write::InsertInbox(record) => {
                own(record.account_id)?;
                None
            }
            Write::PutFunds(funds) => {
                own(funds.account_id)?;
                Some((Row::Funds, Some(funds.version)))
            }
            Write::PutBankAccount(bank_account) => {
                own(bank_account.account_id)?;
                Some((Row::BankAccount, Some(bank_account.version)))
            }
            Write::InsertPayout(payout) => {
                own(payout.account_id)?;
                Some((Row::Payout(payout.id), Some(payout.state.version)))
            }
            Write::UpdatePayout(id, state) => Some((Row::Payout(*id), Some(state.version))),
            Write::AppendPayoutAudit(record) => {
                own(record.account_id)?;
                None
            }
            Write::InsertAdjustment(adjustment) => {
                own(adjustment.account_id)?;
                None
            }
            Write::Discard(discard) => {
                own(discard.account_id)?;
                None
            }
            Write::UpdatePayment { .. }
            | Write::DeleteKey(_)
            | Write::UpdateCheckout { .. }
            | Write::Post(_)
            | Write::UpdateInbox(..)
            | Write::Requeue(_)
            | Write::GiveUpDeliveries(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::actor::Actor;
    use crate::funds::ledger::Direction;
    use crate::funds::payout::{BankDetails, PayoutStatus};
    use crate::primitives::ids::IdSequence;
    use crate::primitives::money::Rupiah;

    #[test]
    fn every_debit_meets_the_others_on_the_funds() {
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let (account_id, now, amount) = (ids.account(), Timestamp::from_millis(0), Rupiah::new(5).unwrap());
        let state = |status, version| PayoutState {
            version: Version(version),
            status,
            reference: None,
            failure_reason: None,
            processed_at: None,
            completed_at: None,
            updated_at: now,
        };
        let bank = BankDetails {
            bank_code: None,
            bank_name: "Bank Contoh".into(),
            bank_account_number: "1".into(),
            bank_account_holder: "Renata".into(),
        };
        let id = ids.payout();
        let payout = Payout {
            id,
            account_id,
            amount,
            bank,
            note: None,
            created_at: now,
            state: state(PayoutStatus::Pending, 1),
        };
        let adjustment = Adjustment {
            id: ids.adjustment(),
            account_id,
            direction: Direction::Credit,
            amount,
            reason: "a refund".into(),
            reference: "R1".into(),
            actor: Actor::host("tester").unwrap(),
            created_at: now,
        };
        let claim = Claim::of(ClaimName::Adjustment("R1".into()));
        let moved = |status| Write::UpdatePayout(id, state(status, 2));
        let on_payout = || Guard::Exact { row: Row::Payout(id), version: Version(1) };
        let posting = Write::Post(adjustment.transaction(&mut ids));
        let rows = [
            ("a request", vec![Write::InsertPayout(payout.clone())], vec![], vec![Claim::of(ClaimName::Payout(id))]),
            ("unfindable", vec![Write::InsertPayout(payout)], vec![], vec![]),
            ("in transit", vec![moved(PayoutStatus::InTransit)], vec![on_payout()], vec![]),
            ("paid", vec![moved(PayoutStatus::Paid)], vec![on_payout()], vec![]),
            ("cancelled", vec![moved(PayoutStatus::Cancelled)], vec![on_payout()], vec![]),
            ("unguarded", vec![moved(PayoutStatus::InTransit)], vec![], vec![]),
            ("a posting", vec![posting], vec![], vec![]),
            ("an adjustment", vec![Write::InsertAdjustment(adjustment.clone())], vec![], vec![claim]),
            ("unclaimed", vec![Write::InsertAdjustment(adjustment)], vec![], vec![]),
        ];
        let funds = Funds { account_id, version: Version::FIRST, in_flight: amount };
        let table: Vec<String> = rows
            .into_iter()
            .map(|(name, writes, guards, claims)| {
                let alone = ChangeSet { writes, guards, claims, ..ChangeSet::new(ids.change_set(), account_id, now) };
                let mut debiting = alone.clone();
                debiting.guards.push(Guard::Exact { row: Row::Funds, version: Version::ABSENT });
                debiting.writes.push(Write::PutFunds(funds));
                let told = |change: &ChangeSet| if change.check().is_ok() { "fits" } else { "-" };
                format!("{name}: {} alone, {} with the funds", told(&alone), told(&debiting))
            })
            .collect();
        let expected = [
            "a request: - alone, fits with the funds",
            "unfindable: - alone, - with the funds",
            "in transit: fits alone, fits with the funds",
            "paid: - alone, fits with the funds",
            "cancelled: - alone, fits with the funds",
            "unguarded: - alone, - with the funds",
            "a posting: - alone, fits with the funds",
            "an adjustment: - alone, fits with the funds",
            "unclaimed: - alone, - with the funds",
        ];
        assert_eq!(table, expected);
    }
}
