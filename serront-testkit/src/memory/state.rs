//! The state of the memory storage, and how a change set changes it. Pure: the lock and the clock are in `storage`.
//!
//! Every map is persistent (two versions share their common parts), so a commit works on a cheap clone and drops it if
//! anything fails. This makes a commit atomic.

use imbl::{OrdMap, Vector};
use serront_core::accounts::account::Account;
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{
    ChangeSet, Claim, ClaimName, Committed, Duplicate, Guard, Row, SessionName, Write,
};
use serront_core::changes::effect::{
    ATTEMPTS_KEPT, Attempt, Delivery, Discard, Effect, EffectId, EffectStatus, Errand,
};
use serront_core::changes::idempotency::Kept;
use serront_core::funds::balance::Funds;
use serront_core::funds::ledger::{Adjustment, Book, CodeTotals, Direction, EntryCode, LedgerEntry, POSTED_WITHIN};
use serront_core::funds::payout::{DefaultBankAccount, Payout, PayoutAudit};
use serront_core::online::checkout::Checkout;
use serront_core::online::exception::PaymentException;
use serront_core::online::inbox::InboxRecord;
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::mail::Mail;
use serront_core::orders::order::{Order, OrderNumber, WorkCounts};
use serront_core::orders::payment::Payment;
use serront_core::ports::{CommitError, PortError};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{
    AccountId, AdjustmentId, ChangeSetId, CheckoutId, EntryId, EventId, ExceptionId, InstallationId, KeyId, OrderId,
    PayoutId, ServiceId, SubscriptionId, UploadId,
};
use serront_core::primitives::provider::{ProviderEventId, SessionId};
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::Service;
use serront_core::shop::storefront::Storefront;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::{Streak, Subscription};

/// An effect with its lease and its log.
#[derive(Debug, Clone)]
pub(super) struct StoredEffect {
    pub(super) created_at: Timestamp,
    pub(super) due: Timestamp,
    pub(super) status: EffectStatus,
    pub(super) discarded: bool,
    pub(super) fence: u64,
    /// The end of the latest lease. `None` if the effect was not leased since its last attempt was recorded.
    pub(super) leased_until: Option<Timestamp>,
    pub(super) content: Content,
    /// The latest attempts, at most [`ATTEMPTS_KEPT`].
    pub(super) attempts: Vec<Attempt>,
}

/// The work to do, with every marked place filled.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Mail(Mail),
    Delivery { subscription_id: SubscriptionId, event_id: EventId, event_type: EventType, body: String },
    Removal(UploadId),
    Errand(Errand),
}

impl StoredEffect {
    /// The number of attempts so far.
    pub(super) fn attempted(&self) -> u32 {
        self.attempts.last().map_or(0, |attempt| attempt.attempt_number)
    }

    pub(super) fn log(&mut self, attempt: &Attempt) {
        self.attempts.push(attempt.clone());
        let kept = usize::try_from(ATTEMPTS_KEPT).unwrap_or(usize::MAX);
        self.attempts.drain(..self.attempts.len().saturating_sub(kept));
    }

    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }

    pub(super) const fn subscription_id(&self) -> Option<SubscriptionId> {
        match &self.content {
            Content::Delivery { subscription_id, .. } => Some(*subscription_id),
            Content::Mail(_) | Content::Removal(_) | Content::Errand(_) => None,
        }
    }
}

/// A subscription's secrets.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    pub(super) present: SealedSecret,
    /// The previous secret, and the time until which it signs too.
    pub(super) previous: Option<(SealedSecret, Timestamp)>,
}

/// The holder of a name. Names within an account have the account in their key; names across accounts do not.
#[derive(Debug, Clone)]
pub(super) struct StoredClaim {
    pub(super) holder: AccountId,
    pub(super) kept: Option<Kept>,
}

/// The durable state.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) accounts: OrdMap<AccountId, Account>,
    pub(super) storefronts: OrdMap<AccountId, Storefront>,
    pub(super) services: OrdMap<(AccountId, ServiceId), Service>,
    pub(super) orders: OrdMap<(AccountId, OrderNumber), Order>,
    pub(super) numbers: OrdMap<(AccountId, OrderId), OrderNumber>,
    pub(super) tokens: OrdMap<Digest256, (AccountId, OrderId)>,
    pub(super) payments: OrdMap<(AccountId, OrderId), Payment>,
    pub(super) counts: OrdMap<AccountId, WorkCounts>,
    pub(super) keys: OrdMap<(AccountId, KeyId), KeyRecord>,
    pub(super) subscriptions: OrdMap<(AccountId, SubscriptionId), (Subscription, Secrets)>,
    pub(super) streaks: OrdMap<(AccountId, SubscriptionId), Streak>,
    /// The duration of the last attempt in whole seconds, if at least one.
    pub(super) took_seconds: OrdMap<(AccountId, SubscriptionId), u64>,
    pub(super) audit: OrdMap<(AccountId, OrderId), Vector<AuditRecord>>,
    pub(super) claims: OrdMap<(Option<AccountId>, ClaimName), StoredClaim>,
    pub(super) change_sets: OrdMap<(AccountId, ChangeSetId), (Timestamp, Committed)>,
    pub(super) effects: OrdMap<(AccountId, EffectId), StoredEffect>,
    pub(super) provisioning: OrdMap<AccountId, Provisioning>,
    pub(super) checkouts: OrdMap<(AccountId, CheckoutId), Checkout>,
    pub(super) sessions: OrdMap<(AccountId, SessionId), SessionName>,
    pub(super) entries: OrdMap<(AccountId, EntryId), LedgerEntry>,
    /// The folded debits and credits on the seller's balance, by code.
    pub(super) balances: OrdMap<(AccountId, EntryCode), (i64, i64)>,
    /// The deltas of balances that are not folded yet.
    pub(super) ledger_deltas: Vector<(AccountId, CodeTotals)>,
    pub(super) funds: OrdMap<AccountId, Funds>,
    pub(super) bank_accounts: OrdMap<AccountId, DefaultBankAccount>,
    pub(super) payouts: OrdMap<(AccountId, PayoutId), Payout>,
    pub(super) payout_audit: OrdMap<(AccountId, PayoutId), Vector<PayoutAudit>>,
    pub(super) discards: Vector<Discard>,
    pub(super) adjustments: OrdMap<(AccountId, AdjustmentId), Adjustment>,
    pub(super) exceptions: OrdMap<(AccountId, ExceptionId), PaymentException>,
    /// The installation's id and key check.
    pub(super) installation: Option<(InstallationId, Option<SealedSecret>)>,
    /// Each notification with its place in the order of arrival.
    pub(super) inbox: OrdMap<(AccountId, ProviderEventId), (u64, InboxRecord)>,
}

/// A missing or unfit row is a bug in the decision, so trying again does not help.
fn permanent(what: &'static str) -> CommitError {
    PortError::permanent(what).into()
}

/// The key of a claim. Names across accounts share one space; each account has a space for the other names.
fn claim_key(account_id: AccountId, name: &ClaimName) -> (Option<AccountId>, ClaimName) {
    let space = match name {
        ClaimName::Confirmation(_)
        | ClaimName::ServiceSlug(_)
        | ClaimName::Idempotency(_)
        | ClaimName::Settlement(_)
        | ClaimName::ProviderEvent(_)
        | ClaimName::Adjustment(_) => Some(account_id),
        ClaimName::StorefrontSlug(_)
        | ClaimName::KeyHash(_)
        | ClaimName::AccessToken(_)
        | ClaimName::Merchant(_)
        | ClaimName::Payout(_) => None,
    };
    (space, name.clone())
}

impl State {
    /// The values of one account, from a map that is keyed by account and something else.
    pub(super) fn of_account<K: Copy + Ord, V>(
        map: &OrdMap<(AccountId, K), V>,
        account_id: AccountId,
        lowest: K,
    ) -> impl Iterator<Item = &V> {
        map.range((account_id, lowest)..)
            .take_while(move |((owner, _), _)| *owner == account_id)
            .map(|(_, value)| value)
    }

    pub(super) fn services_of(&self, account_id: AccountId) -> impl Iterator<Item = &Service> {
        Self::of_account(&self.services, account_id, ServiceId::from_ulid(ulid::Ulid::nil()))
    }

    pub(super) fn subscriptions_of(&self, account_id: AccountId) -> impl Iterator<Item = &Subscription> {
        let lowest = SubscriptionId::from_ulid(ulid::Ulid::nil());
        Self::of_account(&self.subscriptions, account_id, lowest).map(|(subscription, _)| subscription)
    }

    pub(super) fn orders_of(&self, account_id: AccountId) -> impl Iterator<Item = &Order> {
        Self::of_account(&self.orders, account_id, OrderNumber(0))
    }

    pub(super) fn has_orders_of(&self, account_id: AccountId, service_id: ServiceId) -> bool {
        self.orders_of(account_id).any(|order| order.service_id == service_id)
    }

    /// The claim of a name, if the name is taken.
    pub(super) fn claim(&self, account_id: AccountId, name: ClaimName) -> Option<&StoredClaim> {
        self.claims.get(&claim_key(account_id, &name))
    }

    /// The holder of a name of the directories across accounts.
    pub(super) fn holder(&self, name: ClaimName) -> Option<AccountId> {
        self.claims.get(&(None, name)).map(|claim| claim.holder)
    }

    fn version(&self, account_id: AccountId, row: &Row) -> Version {
        match row {
            Row::Account => self.accounts.get(&account_id).map(|account| account.state.version),
            Row::Storefront => self.storefronts.get(&account_id).map(|storefront| storefront.version),
            Row::Service(id) => self.services.get(&(account_id, *id)).map(|service| service.version),
            Row::Order(id) => self.order(account_id, *id).map(|(_, order)| order.state.version),
            Row::Subscription(id) => {
                self.subscriptions.get(&(account_id, *id)).map(|(subscription, _)| subscription.state.version)
            }
            Row::Provisioning => self.provisioning.get(&account_id).map(|provisioning| provisioning.version),
            Row::Session(id) => self.sessions.get(&(account_id, id.clone())).map(|name| name.version),
            Row::Exception(id) => self.exceptions.get(&(account_id, *id)).map(|exception| exception.state.version),
            Row::Funds => self.funds.get(&account_id).map(|funds| funds.version),
            Row::BankAccount => self.bank_accounts.get(&account_id).map(|bank_account| bank_account.version),
            Row::Payout(id) => self.payouts.get(&(account_id, *id)).map(|payout| payout.state.version),
        }
        .unwrap_or(Version::ABSENT)
    }

    pub(super) fn order(&self, account_id: AccountId, id: OrderId) -> Option<(OrderNumber, &Order)> {
        let number = *self.numbers.get(&(account_id, id))?;
        self.orders.get(&(account_id, number)).map(|order| (number, order))
    }

    fn holds(&self, account_id: AccountId, guard: &Guard, now: Timestamp) -> bool {
        match guard {
            Guard::Exact { row, version } => self.version(account_id, row) == *version,
            Guard::ServicesBelow(limit) => {
                u32::try_from(self.services_of(account_id).count()).is_ok_and(|count| count < *limit)
            }
            Guard::NoOrdersOf(id) => !self.has_orders_of(account_id, *id),
            Guard::Settings(version) => self.version(account_id, &Row::Account) == *version,
            Guard::Fresh(at) => *at >= now.minus(POSTED_WITHIN),
        }
    }

    /// The state after this change set, and its result. The port fixes the order of the steps.
    pub(super) fn after(&self, change: &ChangeSet) -> Result<(Self, Committed), CommitError> {
        change.check().map_err(PortError::permanent)?;
        let account_id = change.account_id;
        if let Some((_, committed)) = self.change_sets.get(&(account_id, change.id)) {
            return Ok((self.clone(), *committed));
        }
        if !change.guards.iter().all(|guard| self.holds(account_id, guard, change.at)) {
            return Err(CommitError::Conflict);
        }
        let mut next = self.clone();
        for name in &change.releases {
            next.release(account_id, name)?;
        }
        for claim in &change.claims {
            next.take(change, claim)?;
        }
        let mut committed = Committed { number: None };
        for write in &change.writes {
            if let Some(number) = next.write(account_id, write, change.at)? {
                committed.number = Some(number);
            }
        }
        if !next.accounts.contains_key(&account_id) {
            return Err(permanent("a change of an account that does not exist"));
        }
        next.keep(change, committed)?;
        for effect in &change.effects {
            next.queue(change, effect, committed)?;
        }
        next.change_sets.insert((account_id, change.id), (change.at, committed));
        Ok((next, committed))
    }

    /// Releases a name, which only its holder can do.
    fn release(&mut self, account_id: AccountId, name: &ClaimName) -> Result<(), CommitError> {
        let key = claim_key(account_id, name);
        match self.claims.get(&key) {
            Some(claim) if claim.holder == account_id => {
                self.claims.remove(&key);
                Ok(())
            }
            Some(_) | None => Err(CommitError::Conflict),
        }
    }

    fn take(&mut self, change: &ChangeSet, claim: &Claim) -> Result<(), CommitError> {
        let key = claim_key(change.account_id, &claim.name);
        if let Some(held) = self.claims.get(&key)
            && held.kept.as_ref().is_none_or(|kept| kept.until > change.at)
        {
            return Err(CommitError::Duplicate(Box::new(Duplicate {
                claim: claim.name.clone(),
                kept: held.kept.clone(),
            })));
        }
        self.claims.insert(key, StoredClaim { holder: change.account_id, kept: None });
        Ok(())
    }

    /// Stores the outcomes with their claims, once the order's number is known.
    fn keep(&mut self, change: &ChangeSet, committed: Committed) -> Result<(), CommitError> {
        for claim in &change.claims {
            let Some(kept) = &claim.kept else { continue };
            let outcome =
                kept.outcome.fill(committed.number).ok_or_else(|| permanent("a marked place without a new order"))?;
            let kept = Kept { fingerprint: kept.fingerprint, outcome, until: kept.until };
            let stored = StoredClaim { holder: change.account_id, kept: Some(kept) };
            self.claims.insert(claim_key(change.account_id, &claim.name), stored);
        }
        Ok(())
    }

    fn queue(&mut self, change: &ChangeSet, effect: &Effect, committed: Committed) -> Result<(), CommitError> {
        let content = match effect {
            Effect::Mail { mail, .. } => Content::Mail(mail.clone()),
            Effect::Delivery(Delivery { subscription_id, event_id, event_type, body, .. }) => Content::Delivery {
                subscription_id: *subscription_id,
                event_id: *event_id,
                event_type: *event_type,
                body: body.fill(committed.number).ok_or_else(|| permanent("a marked place without a new order"))?,
            },
            Effect::Removal { upload_id, .. } => Content::Removal(*upload_id),
            Effect::Errand { errand, .. } => Content::Errand(errand.clone()),
        };
        let stored = StoredEffect {
            created_at: change.at,
            due: effect.due_at(change.at),
            status: EffectStatus::Pending,
            discarded: false,
            fence: 0,
            leased_until: None,
            content,
            attempts: Vec::new(),
        };
        insert_new(&mut self.effects, (change.account_id, effect.id()), stored)
    }

    fn write(
        &mut self,
        account_id: AccountId,
        write: &Write,
        at: Timestamp,
    ) -> Result<Option<OrderNumber>, CommitError> {
        match write {
            Write::InsertAccount(account) => insert_new(&mut self.accounts, account_id, account.clone())?,
            Write::UpdateAccount(state) => {
                found(self.accounts.get_mut(&account_id), "an update of a missing account")?.state = state.clone();
            }
            Write::PutStorefront(storefront) => {
                put(&mut self.storefronts, account_id, storefront.version, storefront.clone())?;
            }
            Write::PutService(service) => {
                put(&mut self.services, (account_id, service.id), service.version, service.clone())?;
            }
            Write::DeleteService(id) => {
                found(self.services.remove(&(account_id, *id)), "a deletion of a missing service")?;
                if self.has_orders_of(account_id, *id) {
                    return Err(permanent("a deletion of a service that orders name"));
                }
            }
            Write::InsertOrder(order, payment) => return self.insert_order(account_id, order, payment).map(Some),
            Write::UpdateOrder { id, was, state } => {
                let number = *found(self.numbers.get(&(account_id, *id)), "an update of a missing order")?;
                let order = found(self.orders.get_mut(&(account_id, number)), "an update of a missing order")?;
                if order.state.status != *was {
                    return Err(permanent("an update from a state that the order is not in"));
                }
                order.state = state.clone();
                let counts = self.counts.entry(account_id).or_default();
                *counts.of(*was) = counts.of(*was).saturating_sub(1);
                *counts.of(state.status) += 1;
            }
            Write::UpdatePayment { id, order_id, state } => {
                let payment = self.payments.get_mut(&(account_id, *order_id)).filter(|payment| payment.id == *id);
                found(payment, "an update of a missing payment")?.state = state.clone();
            }
            Write::InsertKey(key) => insert_new(&mut self.keys, (account_id, key.id), key.clone())?,
            Write::DeleteKey(id) => {
                self.keys.remove(&(account_id, *id)).ok_or(CommitError::Conflict)?;
            }
            Write::InsertSubscription(subscription, secret) => {
                let row = (subscription.clone(), Secrets { present: secret.clone(), previous: None });
                insert_new(&mut self.subscriptions, (account_id, subscription.id), row)?;
            }
            Write::UpdateSubscription(id, state) => {
                let row = self.subscriptions.get_mut(&(account_id, *id));
                found(row, "an update of a missing subscription")?.0.state = state.clone();
                self.streaks.remove(&(account_id, *id));
            }
            Write::DeleteSubscription(id) => {
                found(self.subscriptions.remove(&(account_id, *id)), "a deletion of a missing subscription")?;
                self.streaks.remove(&(account_id, *id));
                self.took_seconds.remove(&(account_id, *id));
            }
            Write::RotateSecret { id, version, secret, previous_until } => {
                let row = self.subscriptions.get_mut(&(account_id, *id));
                let (subscription, secrets) = found(row, "a new secret of a missing subscription")?;
                subscription.state.version = *version;
                let before = std::mem::replace(&mut secrets.present, secret.clone());
                secrets.previous = Some((before, *previous_until));
            }
            Write::ResealSecrets { id, version, secret, previous_secret } => {
                let row = self.subscriptions.get_mut(&(account_id, *id));
                let (subscription, secrets) = found(row, "new seals of a missing subscription")?;
                subscription.state.version = *version;
                secrets.present = secret.clone();
                secrets.previous = previous_secret.clone().zip(secrets.previous.as_ref().map(|(_, until)| *until));
            }
            Write::RotateToken { id, version, access_token, updated_at } => {
                let number = *found(self.numbers.get(&(account_id, *id)), "a new token of a missing order")?;
                let order = found(self.orders.get_mut(&(account_id, number)), "a new token of a missing order")?;
                (order.state.version, order.state.updated_at) = (*version, *updated_at);
                let before = std::mem::replace(&mut order.access_token, access_token.clone());
                self.tokens.remove(&before.hash());
                insert_new(&mut self.tokens, access_token.hash(), (account_id, *id))?;
            }
            Write::AppendAudit(record) => {
                let of_order = self.payments.get(&(account_id, record.order_id));
                found(of_order.filter(|payment| payment.id == record.payment_id), "an audit record of no payment")?;
                let trail = self.audit.entry((account_id, record.order_id)).or_default();
                if trail.iter().any(|written| written.id == record.id) {
                    return Err(CommitError::Conflict);
                }
                trail.push_back(record.clone());
            }
            Write::InsertCheckout(checkout) => {
                let of_order = self.payments.get(&(account_id, checkout.order_id));
                found(of_order.filter(|payment| payment.id == checkout.payment_id), "a checkout of no payment")?;
                insert_new(&mut self.checkouts, (account_id, checkout.id), checkout.clone())?;
            }
            Write::UpdateCheckout { id, order_id, state } => {
                let row = self.checkouts.get_mut(&(account_id, *id)).filter(|row| row.order_id == *order_id);
                found(row, "an update of a missing checkout")?.state = state.clone();
            }
            Write::PutSession(name) => {
                put(&mut self.sessions, (account_id, name.id.clone()), name.version, name.clone())?;
            }
            Write::PutProvisioning(provisioning) => {
                put(&mut self.provisioning, account_id, provisioning.version, provisioning.clone())?;
            }
            Write::Post(legs) => legs.iter().try_for_each(|leg| self.post(account_id, leg))?,
            Write::InsertException(exception) => {
                insert_new(&mut self.exceptions, (account_id, exception.id), exception.clone())?;
            }
            Write::UpdateException(id, state) => {
                let row = self.exceptions.get_mut(&(account_id, *id));
                found(row, "an update of a missing exception")?.state = state.clone();
            }
            Write::InsertInbox(record) => {
                let came = u64::try_from(self.inbox.len()).unwrap_or(u64::MAX);
                let row = (came, record.clone());
                insert_new(&mut self.inbox, (account_id, record.event_id.clone()), row)?;
            }
            Write::UpdateInbox(event_id, status) => {
                let row = self.inbox.get_mut(&(account_id, event_id.clone()));
                found(row, "an update of a missing notification")?.1.status = *status;
            }
            Write::PutFunds(funds) => put(&mut self.funds, account_id, funds.version, *funds)?,
            Write::PutBankAccount(bank_account) => {
                put(&mut self.bank_accounts, account_id, bank_account.version, bank_account.clone())?;
            }
            Write::InsertPayout(payout) => insert_new(&mut self.payouts, (account_id, payout.id), payout.clone())?,
            Write::UpdatePayout(id, state) => {
                let row = self.payouts.get_mut(&(account_id, *id));
                found(row, "an update of a missing payout")?.state = state.clone();
            }
            Write::AppendPayoutAudit(record) => {
                let key = (account_id, record.payout_id);
                found(self.payouts.get(&key), "an audit record of no payout")?;
                let trail = self.payout_audit.entry(key).or_default();
                if trail.iter().any(|written| written.id == record.id) {
                    return Err(CommitError::Conflict);
                }
                trail.push_back(record.clone());
            }
            Write::InsertAdjustment(adjustment) => {
                insert_new(&mut self.adjustments, (account_id, adjustment.id), adjustment.clone())?;
            }
            Write::Requeue(id) => {
                let stored = self.effects.get_mut(&(account_id, *id));
                let stored = stored.filter(|stored| stored.status != EffectStatus::Pending);
                let stored = stored.ok_or(CommitError::Conflict)?;
                stored.status = EffectStatus::Pending;
                stored.discarded = false;
                stored.due = at;
                stored.leased_until = None;
            }
            Write::Discard(discard) => {
                let stored = self.effects.get_mut(&(account_id, discard.effect_id));
                let stored = stored.filter(|stored| stored.status == EffectStatus::Failed && !stored.discarded);
                stored.ok_or(CommitError::Conflict)?.discarded = true;
                self.discards.push_back(discard.clone());
            }
            Write::GiveUpDeliveries(id) => self.give_up_deliveries(account_id, *id),
        }
        Ok(None)
    }

    /// Updates a subscription's streak and duration after an attempt, if the subscription exists.
    pub(super) fn count_attempt(&mut self, key: (AccountId, SubscriptionId), attempt: &Attempt, now: Timestamp) {
        let took_seconds = attempt.duration_ms / 1_000;
        if took_seconds > 0 && self.subscriptions.contains_key(&key) {
            self.took_seconds.insert(key, took_seconds);
        } else {
            self.took_seconds.remove(&key);
        }
        if attempt.status == EffectStatus::Succeeded {
            self.streaks.remove(&key);
        } else if self.subscriptions.contains_key(&key) {
            let streak = self.streaks.entry(key).or_insert(Streak { failures: 0, since: now });
            streak.failures = streak.failures.saturating_add(1);
        }
    }

    fn give_up_deliveries(&mut self, account_id: AccountId, id: SubscriptionId) {
        let pending = self.effects.iter().filter(|((owner, _), stored)| {
            *owner == account_id && stored.status == EffectStatus::Pending && stored.subscription_id() == Some(id)
        });
        let pending: Vec<_> = pending.map(|(key, _)| *key).collect();
        for key in pending {
            if let Some(stored) = self.effects.get_mut(&key) {
                stored.status = EffectStatus::Failed;
                stored.discarded = true;
                stored.leased_until = None;
            }
        }
    }

    fn post(&mut self, account_id: AccountId, leg: &LedgerEntry) -> Result<(), CommitError> {
        insert_new(&mut self.entries, (account_id, leg.id), leg.clone())?;
        if leg.book == Book::Seller {
            let amount = leg.amount.get();
            let (debits, credits) = match leg.direction {
                Direction::Debit => (amount, 0),
                Direction::Credit => (0, amount),
            };
            self.ledger_deltas.push_back((account_id, CodeTotals { code: leg.code, debits, credits }));
        }
        Ok(())
    }

    /// Moves up to `limit` deltas into the totals, and returns the number moved.
    pub(super) fn fold(&mut self, limit: usize) -> usize {
        let later = self.ledger_deltas.split_off(limit.min(self.ledger_deltas.len()));
        let deltas = std::mem::replace(&mut self.ledger_deltas, later);
        for (account_id, CodeTotals { code, debits, credits }) in &deltas {
            let totals = self.balances.entry((*account_id, *code)).or_default();
            *totals = (totals.0.saturating_add(*debits), totals.1.saturating_add(*credits));
        }
        deltas.len()
    }

    /// The totals including the deltas that are not folded yet, by account and code.
    pub(super) fn totals(&self) -> OrdMap<(AccountId, EntryCode), (i64, i64)> {
        let mut whole = self.clone();
        whole.fold(usize::MAX);
        whole.balances
    }

    /// The seller's balance by code, ordered by the codes' names.
    pub(super) fn balance_of(&self, account_id: AccountId) -> Vec<CodeTotals> {
        let mut totals: Vec<_> = self
            .totals()
            .iter()
            .filter(|((owner, _), _)| *owner == account_id)
            .map(|((_, code), (debits, credits))| CodeTotals { code: *code, debits: *debits, credits: *credits })
            .collect();
        totals.sort_by_key(|totals| totals.code.as_str());
        totals
    }

    fn insert_order(
        &mut self,
        account_id: AccountId,
        order: &Order,
        payment: &Payment,
    ) -> Result<OrderNumber, CommitError> {
        found(self.services.get(&(account_id, order.service_id)), "an order of a missing service")?;
        if self.payments_of(account_id).any(|known| known.id == payment.id) {
            return Err(CommitError::Conflict);
        }
        let last = self.orders.get_prev(&(account_id, OrderNumber(u32::MAX)));
        let last = last.filter(|((owner, _), _)| *owner == account_id).map_or(0, |((_, number), _)| number.0);
        let number = OrderNumber(last.checked_add(1).ok_or_else(|| permanent("no number is left"))?);
        insert_new(&mut self.numbers, (account_id, order.id), number)?;
        insert_new(&mut self.tokens, order.access_token.hash(), (account_id, order.id))?;
        insert_new(&mut self.payments, (account_id, order.id), payment.clone())?;
        self.orders.insert((account_id, number), order.clone());
        *self.counts.entry(account_id).or_default().of(order.state.status) += 1;
        Ok(number)
    }

    fn payments_of(&self, account_id: AccountId) -> impl Iterator<Item = &Payment> {
        Self::of_account(&self.payments, account_id, OrderId::from_ulid(ulid::Ulid::nil()))
    }
}

/// Inserts a row. An existing row is a conflict.
fn insert_new<K: Clone + Ord, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: V) -> Result<(), CommitError> {
    match map.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(CommitError::Conflict),
    }
}

/// Inserts a row of the first version, or replaces a row by one of a later version.
fn put<K: Clone + Ord, V: Clone>(
    map: &mut OrdMap<K, V>,
    key: K,
    version: Version,
    value: V,
) -> Result<(), CommitError> {
    match (map.insert(key, value), version == Version::FIRST) {
        (None, true) | (Some(_), false) => Ok(()),
        (Some(_), true) => Err(CommitError::Conflict),
        (None, false) => Err(permanent("a later version of a missing row")),
    }
}

fn found<T>(row: Option<T>, what: &'static str) -> Result<T, CommitError> {
    row.ok_or_else(|| permanent(what))
}
