//! The change set: what a decision wants done, as a value that a storage applies completely or not at all.
//!
//! [`Guard`], [`Write`], [`ClaimName`] and [`Effect`] are exhaustive enums on purpose. An adapter that ignored a kind
//! that it does not know would apply half of a change, so a new kind is a compile error in exhaustive matches. The
//! conditions written with `if let` or `matches!` are not found that way: the repository's CONTRIBUTING.md lists them.

use std::collections::BTreeSet;

use crate::accounts::account::{Account, AccountState};
use crate::accounts::key::{AccessToken, KeyRecord};
use crate::accounts::sealed::SealedSecret;
use crate::changes::effect::{Discard, Effect, EffectId, Lane};
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
    /// A session's name within the account. A notification of an unknown session and the commit that records that
    /// session both write this row, so one of them sees the other.
    Session(SessionId),
    /// An exception.
    Exception(ExceptionId),
    /// The account's payouts in flight. Every debit of the account writes this row, and nothing else does.
    Funds,
    /// The account that payouts go to by default.
    BankAccount,
    /// A payout.
    Payout(PayoutId),
}

/// What the decision relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// *Exact*: the row has this version, and keeps it until the commit is done. [`Version::ABSENT`]: there is no such
    /// row. A storage locks a guarded row against other writers even if this change set does not write it.
    #[allow(missing_docs, reason = "described at the variant")]
    Exact { row: Row, version: Version },
    /// *Exact*: the catalog holds fewer services than this. Of two concurrent commits that would both take the last
    /// free place, one fails.
    ServicesBelow(u32),
    /// *Exact*: no order refers to this service. Always comes with a guard on the service's own row. Placing an order
    /// guards that row too, so the two conflict there.
    NoOrdersOf(ServiceId),
    /// *Witness*: the account's settings epoch has this value. Checked without a lock: the decision was made before any
    /// later change of the settings.
    Settings(Version),
    /// *Exact*: it was decided at this time, and by the storage's own clock that is at most
    /// [`POSTED_WITHIN`](crate::funds::ledger::POSTED_WITHIN) ago. Comes with every posting to the ledger, whose
    /// entries carry the time of the decision. A host that stalled between deciding and committing has to decide again,
    /// so no entry appears in a part of the ledger that was read long ago.
    Fresh(Timestamp),
}

/// A new state of something. Each writes one row, whole, except where its doc says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "a field's type names it; what a type does not say is said at the variant")]
pub enum Write {
    /// Inserts an account.
    InsertAccount(Account),
    /// Updates the account's settings.
    UpdateAccount(AccountState),
    /// Inserts or updates the account's storefront, as its version says.
    PutStorefront(Storefront),
    /// Inserts or updates a service, as its version says.
    PutService(Service),
    /// Deletes a service.
    DeleteService(ServiceId),
    /// Inserts an order and its payment. The storage gives the order the account's next number.
    InsertOrder(Order, Payment),
    /// Updates an order. `was` is its work status before, for the counts of orders by status.
    UpdateOrder { id: OrderId, was: WorkStatus, state: OrderState },
    /// Updates a payment. Covered by the guard on its order.
    UpdatePayment { id: PaymentId, order_id: OrderId, state: PaymentState },
    /// Inserts an API key.
    InsertKey(KeyRecord),
    /// Deletes an API key. `Conflict` if there is no such key.
    DeleteKey(KeyId),
    /// Inserts a subscription and its secret.
    InsertSubscription(Subscription, SealedSecret),
    /// Updates a subscription, and resets its count of failed attempts in a row.
    UpdateSubscription(SubscriptionId, SubscriptionState),
    /// Deletes a subscription.
    DeleteSubscription(SubscriptionId),
    /// Gives a subscription a new secret. The current one becomes the previous one, and signs too until
    /// `previous_until`. An older previous secret is dropped.
    RotateSecret { id: SubscriptionId, version: Version, secret: SealedSecret, previous_until: Timestamp },
    /// Replaces the sealed form of a subscription's secrets; the secrets themselves and the end of the previous one
    /// stay.
    ResealSecrets { id: SubscriptionId, version: Version, secret: SealedSecret, previous_secret: Option<SealedSecret> },
    /// Gives an order a new access token. The previous token stops working immediately; its name stays claimed, so no
    /// order gets it again. Comes with a claim of the new token.
    RotateToken { id: OrderId, version: Version, access_token: AccessToken, updated_at: Timestamp },
    /// Appends a record to the audit trail.
    AppendAudit(AuditRecord),
    /// Inserts a checkout. Comes with a write of its order, whose version covers it.
    InsertCheckout(Checkout),
    /// Updates a checkout. Comes with a write of its order, whose version covers it.
    UpdateCheckout { id: CheckoutId, order_id: OrderId, state: CheckoutState },
    /// Inserts or updates a session's name, as its version says.
    PutSession(SessionName),
    /// Inserts or updates the account's endpoint, as its version says.
    PutProvisioning(Provisioning),
    /// Posts a ledger transaction: legs that balance.
    Post(Vec<LedgerEntry>),
    /// Inserts an exception.
    InsertException(PaymentException),
    /// Updates an exception.
    UpdateException(ExceptionId, ExceptionState),
    /// Inserts a notification. Comes with a claim of its event's id.
    InsertInbox(InboxRecord),
    /// Updates the status of a parked notification.
    UpdateInbox(ProviderEventId, InboxStatus),
    /// Inserts or updates the account's payouts in flight, as the version says.
    PutFunds(Funds),
    /// Inserts or updates the account that payouts go to by default, as its version says.
    PutBankAccount(DefaultBankAccount),
    /// Inserts a payout. Comes with a write of the account's funds and a claim of the payout's id.
    InsertPayout(Payout),
    /// Updates a payout. Comes with a write of the account's funds, unless the payout stays in flight.
    UpdatePayout(PayoutId, PayoutState),
    /// Appends a record of a payout's step.
    AppendPayoutAudit(PayoutAudit),
    /// Inserts an adjustment. Comes with a claim of its reference.
    InsertAdjustment(Adjustment),
    /// Makes an effect that succeeded or was given up pending again, due immediately and without a lease. Its attempts
    /// and its fence stay, so an earlier lease holder can't record an attempt. `Conflict` if it is pending or there is
    /// none.
    Requeue(EffectId),
    /// Takes an effect that was given up off the operators' list, and records why. The effect stays given up, so
    /// [`Write::Requeue`] still brings it back. `Conflict` unless it is given up and not yet discarded.
    Discard(Discard),
    /// Gives up every pending delivery to this subscription, and discards them without a record: the seller caused it,
    /// so no operator has to act. Their attempts and fences stay, their leases end: a lease holder can't record, so
    /// only [`Write::Requeue`] makes them pending again. Comes with a write of the subscription. A delivery that a
    /// concurrent commit queues may be missed; the dispatcher gives it up when it is due.
    GiveUpDeliveries(SubscriptionId),
}

/// A session's name within the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName {
    /// The session's id at Plugipay.
    pub id: SessionId,
    /// The row's version, from 1.
    pub version: Version,
    /// The checkout that it was minted for; `None` while only notifications name it.
    pub checkout_id: Option<CheckoutId>,
}

impl Write {
    /// Whether it changes or deletes a versioned row, which therefore has to exist.
    const fn needs_row(&self) -> bool {
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

    /// Whether it inserts a row under a new id, so that there is no earlier version to guard.
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

    /// The account that the written row states; `None` if it states none.
    const fn account_id(&self) -> Option<AccountId> {
        Some(match self {
            Self::InsertAccount(Account { id, .. }) => *id,
            Self::PutStorefront(Storefront { account_id, .. })
            | Self::PutService(Service { account_id, .. })
            | Self::InsertOrder(Order { account_id, .. }, _)
            | Self::InsertKey(KeyRecord { account_id, .. })
            | Self::InsertSubscription(Subscription { account_id, .. }, _)
            | Self::AppendAudit(AuditRecord { account_id, .. })
            | Self::InsertCheckout(Checkout { account_id, .. })
            | Self::PutProvisioning(Provisioning { account_id, .. })
            | Self::InsertException(PaymentException { account_id, .. })
            | Self::InsertInbox(InboxRecord { account_id, .. })
            | Self::PutFunds(Funds { account_id, .. })
            | Self::PutBankAccount(DefaultBankAccount { account_id, .. })
            | Self::InsertPayout(Payout { account_id, .. })
            | Self::AppendPayoutAudit(PayoutAudit { account_id, .. })
            | Self::InsertAdjustment(Adjustment { account_id, .. })
            | Self::Discard(Discard { account_id, .. }) => *account_id,
            Self::UpdateAccount(_)
            | Self::DeleteService(_)
            | Self::UpdateOrder { .. }
            | Self::UpdatePayment { .. }
            | Self::DeleteKey(_)
            | Self::UpdateSubscription(..)
            | Self::DeleteSubscription(_)
            | Self::RotateSecret { .. }
            | Self::ResealSecrets { .. }
            | Self::RotateToken { .. }
            | Self::UpdateCheckout { .. }
            | Self::PutSession(_)
            | Self::Post(_)
            | Self::UpdateException(..)
            | Self::UpdateInbox(..)
            | Self::UpdatePayout(..)
            | Self::Requeue(_)
            | Self::GiveUpDeliveries(_) => return None,
        })
    }

    /// The versioned row that it writes, and the row's version afterwards (`None` if it deletes the row).
    #[must_use]
    pub fn row(&self) -> Option<(Row, Option<Version>)> {
        let (row, version) = match self {
            Self::InsertAccount(Account { state, .. }) | Self::UpdateAccount(state) => (Row::Account, state.version),
            Self::PutStorefront(storefront) => (Row::Storefront, storefront.version),
            Self::PutService(service) => (Row::Service(service.id), service.version),
            Self::DeleteService(id) => return Some((Row::Service(*id), None)),
            Self::InsertOrder(Order { id, state, .. }, _) | Self::UpdateOrder { id, state, .. } => {
                (Row::Order(*id), state.version)
            }
            Self::InsertSubscription(Subscription { id, state, .. }, _) | Self::UpdateSubscription(id, state) => {
                (Row::Subscription(*id), state.version)
            }
            Self::DeleteSubscription(id) => return Some((Row::Subscription(*id), None)),
            Self::RotateSecret { id, version, .. } | Self::ResealSecrets { id, version, .. } => {
                (Row::Subscription(*id), *version)
            }
            Self::RotateToken { id, version, .. } => (Row::Order(*id), *version),
            Self::PutSession(name) => (Row::Session(name.id.clone()), name.version),
            Self::PutProvisioning(provisioning) => (Row::Provisioning, provisioning.version),
            Self::InsertException(PaymentException { id, state, .. }) | Self::UpdateException(id, state) => {
                (Row::Exception(*id), state.version)
            }
            Self::PutFunds(funds) => (Row::Funds, funds.version),
            Self::PutBankAccount(bank_account) => (Row::BankAccount, bank_account.version),
            Self::InsertPayout(Payout { id, state, .. }) | Self::UpdatePayout(id, state) => {
                (Row::Payout(*id), state.version)
            }
            Self::UpdatePayment { .. }
            | Self::InsertKey(_)
            | Self::DeleteKey(_)
            | Self::AppendAudit(_)
            | Self::InsertCheckout(_)
            | Self::UpdateCheckout { .. }
            | Self::Post(_)
            | Self::InsertInbox(_)
            | Self::UpdateInbox(..)
            | Self::AppendPayoutAudit(_)
            | Self::InsertAdjustment(_)
            | Self::Requeue(_)
            | Self::Discard(_)
            | Self::GiveUpDeliveries(_) => return None,
        };
        Some((row, Some(version)))
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
    /// Within the account: the event of one of Plugipay's notifications.
    ProviderEvent(ProviderEventId),
    /// Within the account: an adjustment, by its reference in the operator's books.
    Adjustment(String),
    /// Across accounts: a payout, so that an operator finds it by its id alone.
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

/// A claim of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: ClaimName,
    /// The outcome to repeat: required for [`ClaimName::Idempotency`], `None` for every other name.
    pub kept: Option<KeptOutcome>,
}

impl Claim {
    /// A claim without an outcome.
    #[must_use]
    pub const fn of(name: ClaimName) -> Self {
        Self { name, kept: None }
    }
}

/// What a decision wants done: all of it, in one atomic commit, in one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Makes a commit repeatable: a storage tests this id as a claim before the guards, so a resent change set has no
    /// effect.
    pub id: ChangeSetId,
    /// The only account touched.
    pub account_id: AccountId,
    /// When it was decided, by the deciding host's clock. [`ChangeSet::by_clock_of_storage`] converts what the storage
    /// compares later.
    pub at: Timestamp,
    /// What it relied on.
    pub guards: Vec<Guard>,
    /// What it writes.
    pub writes: Vec<Write>,
    /// Names given up before the claims are made. `Conflict` if the account does not hold one of them.
    pub releases: Vec<ClaimName>,
    /// Names that must be unique.
    pub claims: Vec<Claim>,
    /// What is done outside after the commit.
    pub effects: Vec<Effect>,
}

/// A committed change set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The number given to the order, if the change set placed one.
    pub number: Option<OrderNumber>,
}

/// A name that was claimed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The name.
    pub claim: ClaimName,
    /// The outcome of the first request, if the name is an idempotency key that still counts.
    pub kept: Option<Kept>,
}

/// A change set that contradicts itself: a bug in the decision that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change set contradicts itself: {0}")]
pub struct Inconsistent(pub &'static str);

/// Fails with this contradiction unless the condition holds.
fn ensure(holds: bool, contradiction: &'static str) -> Result<(), Inconsistent> {
    if holds { Ok(()) } else { Err(Inconsistent(contradiction)) }
}

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

    /// The same change set by the storage's clock: its ends and due times move by the difference between `now`, the
    /// storage's time, and [`ChangeSet::at`].
    ///
    /// Hosts' clocks differ, so the times that hosts compare must come from one clock: the end of a kept outcome or a
    /// previous secret, and when an effect was made and is due. Times that people read stay as they are.
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

    /// The lanes that have work as soon as it lands, some of them several times. A host wakes their loops. Errands for
    /// later are not counted.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        let queued = self.effects.iter().filter(|effect| effect.due_at(self.at) <= self.at).map(|effect| effect.id());
        let requeued =
            self.writes.iter().filter_map(|write| if let Write::Requeue(id) = write { Some(*id) } else { None });
        queued.chain(requeued).map(EffectId::lane)
    }

    /// Whether it places an order, so that the storage has to assign a number.
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

    fn claims(&self, name: &ClaimName) -> bool {
        self.claims.iter().any(|claim| claim.name == *name)
    }

    /// Whether it is consistent. A storage calls this first, and refuses an inconsistent change set.
    ///
    /// # Errors
    /// [`Inconsistent`]: a versioned row written without an exact guard on the version before, or changed although the
    /// guard says that there is none; two guards, writes or claims of one thing; another account's row; more than one
    /// new order; a marked place without a new order; a kept outcome with any claim but an idempotency key; a write
    /// without the write or claim that its doc says it comes with.
    pub fn check(&self) -> Result<(), Inconsistent> {
        let mut guarded = BTreeSet::new();
        for guard in &self.guards {
            if let Guard::Exact { row, .. } = guard {
                ensure(guarded.insert(row), "two guards on one row")?;
            }
        }
        let mut written = BTreeSet::new();
        let mut orders = 0;
        for write in &self.writes {
            ensure(write.account_id().is_none_or(|id| id == self.account_id), "a write in another account")?;
            if let Some((row, version)) = write.row() {
                ensure(written.insert(row.clone()), "two writes of one row")?;
                let guarded = self.guarded(&row);
                let missing = write.needs_row() && guarded == Some(Version::ABSENT);
                ensure(!missing, "a write of a row that is not there")?;
                match (guarded, version) {
                    (Some(_), None) => {}
                    (Some(before), Some(version)) if before.next() == version => {}
                    (None, Some(Version::FIRST)) if write.may_be_first() => {}
                    (None | Some(_), _) => {
                        return Err(Inconsistent("a write without a guard on the version before"));
                    }
                }
            }
            if let Write::InsertOrder(order, payment) = write {
                ensure(payment.order_id == order.id, "a payment under another order")?;
                orders += 1;
            }
        }
        for write in &self.writes {
            self.check_companions(write, &written)?;
        }
        self.check_checkouts(&written)?;
        ensure(orders <= 1, "two new orders")?;
        let mut claimed = BTreeSet::new();
        for Claim { name, kept } in &self.claims {
            ensure(claimed.insert(name), "one name claimed twice")?;
            let is_key = matches!(name, ClaimName::Idempotency(_));
            ensure(kept.is_some() == is_key, "an outcome is kept beside idempotency keys, and only there")?;
            let marked = kept.as_ref().is_some_and(|kept| kept.outcome.is_marked());
            ensure(orders > 0 || !marked, "a marked place without a new order")?;
        }
        let mut effects = BTreeSet::new();
        for write in &self.writes {
            if let Write::Requeue(id) | Write::Discard(Discard { effect_id: id, .. }) = write {
                ensure(effects.insert(*id), "two effects of one id")?;
            }
        }
        for effect in &self.effects {
            ensure(effects.insert(effect.id()), "two effects of one id")?;
            if let Effect::Delivery(delivery) = effect {
                ensure(orders > 0 || !delivery.body.is_marked(), "a marked place without a new order")?;
            }
        }
        Ok(())
    }

    /// Checks the guard, the write or the claim that a write has to come with.
    fn check_companions(&self, write: &Write, written: &BTreeSet<Row>) -> Result<(), Inconsistent> {
        if let Write::UpdatePayment { order_id, .. } = write {
            let order = self.guarded(&Row::Order(*order_id)).filter(|version| *version != Version::ABSENT);
            ensure(order.is_some(), "a payment written without a guard on its order")?;
        }
        if let Write::GiveUpDeliveries(id) = write {
            let subscription = written.contains(&Row::Subscription(*id));
            ensure(subscription, "deliveries given up without a write of their subscription")?;
        }
        if let Write::RotateToken { access_token, .. } = write {
            let name = ClaimName::AccessToken(access_token.hash());
            ensure(self.claims(&name), "an access token that is not claimed")?;
        }
        if let Write::InsertInbox(InboxRecord { event_id, .. }) = write {
            let name = ClaimName::ProviderEvent(event_id.clone());
            ensure(self.claims(&name), "a notification without a claim of its event")?;
        }
        if let Write::Post(legs) = write {
            ensure(ledger::is_balanced(self.account_id, legs), "a ledger transaction that does not balance")?;
        }
        // Each debit of an account conflicts with the others on its funds.
        let ends = matches!(write, Write::UpdatePayout(_, state) if !state.status.is_in_flight());
        let posts = matches!(write, Write::Post(legs)
            if legs.iter().any(|leg| leg.source_type != SourceType::CheckoutSession));
        let debits = ends || posts || matches!(write, Write::InsertPayout(_) | Write::InsertAdjustment(_));
        ensure(!debits || written.contains(&Row::Funds), "a debit without the account's funds")?;
        if let Write::InsertPayout(payout) = write {
            ensure(self.claims(&ClaimName::Payout(payout.id)), "a payout that no operator finds")?;
        }
        if let Write::InsertAdjustment(Adjustment { reference, .. }) = write {
            let name = ClaimName::Adjustment(reference.clone());
            ensure(self.claims(&name), "an adjustment without a claim of its reference")?;
        }
        Ok(())
    }

    /// Checks that each checkout is written once, and together with its order.
    fn check_checkouts(&self, written: &BTreeSet<Row>) -> Result<(), Inconsistent> {
        let mut checkouts = BTreeSet::new();
        for write in &self.writes {
            if let Write::InsertCheckout(Checkout { id, order_id, .. }) | Write::UpdateCheckout { id, order_id, .. } =
                write
            {
                ensure(checkouts.insert(*id), "two writes of one checkout")?;
                ensure(written.contains(&Row::Order(*order_id)), "a checkout written without its order")?;
            }
        }
        Ok(())
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
    fn every_debit_writes_the_funds() {
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
        let moved_to = |status| Write::UpdatePayout(id, state(status, 2));
        let on_payout = || Guard::Exact { row: Row::Payout(id), version: Version(1) };
        let posting = Write::Post(adjustment.transaction(&mut ids));
        let rows = [
            ("a request", vec![Write::InsertPayout(payout.clone())], vec![], vec![Claim::of(ClaimName::Payout(id))]),
            ("unfindable", vec![Write::InsertPayout(payout)], vec![], vec![]),
            ("in transit", vec![moved_to(PayoutStatus::InTransit)], vec![on_payout()], vec![]),
            ("paid", vec![moved_to(PayoutStatus::Paid)], vec![on_payout()], vec![]),
            ("cancelled", vec![moved_to(PayoutStatus::Cancelled)], vec![on_payout()], vec![]),
            ("unguarded", vec![moved_to(PayoutStatus::InTransit)], vec![], vec![]),
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
                let verdict = |change: &ChangeSet| if change.check().is_ok() { "fits" } else { "-" };
                format!("{name}: {} alone, {} with the funds", verdict(&alone), verdict(&debiting))
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
