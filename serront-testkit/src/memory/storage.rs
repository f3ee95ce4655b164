//! The storage port over the state in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, ClaimName, Committed};
use serront_core::changes::effect::{
    Attempt, DeliveryAddress, DeliveryRecord, Discard, EffectId, EffectRecord, EffectStatus, Lane,
};
use serront_core::changes::idempotency::{Kept, Scope};
use serront_core::funds::balance::Funds;
use serront_core::funds::books::{BookSums, BooksPiece, FundsSums, Uneven, Verification};
use serront_core::funds::ledger::{Adjustment, Book, CodeTotals, Direction, LedgerEntry, POSTED_WITHIN};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::online::inbox::{InboxRecord, InboxStatus};
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::{Order, OrderNumber, WorkCounts};
use serront_core::policy::DeliveryShares;
use serront_core::ports::{Clock, CommitError, LeaseLost, PortError, RecordError, Storage, WorkStorage};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{
    AccountId, AdjustmentId, ChangeSetId, CheckoutId, DeliveryId, EntryId, ExceptionId, InstallationId, KeyId, OrderId,
    PayoutId, ServiceId, SubscriptionId, UploadId,
};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::Service;
use serront_core::snapshots::set_aside::SetAsides;
use serront_core::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, DueEffect, ExceptionSnapshot, Fence, FundsSnapshot,
    InstallationRow, NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot,
    SessionSnapshot, ShopSnapshot, SubscriptionSecrets, Target,
};
use serront_core::snapshots::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, OrderFilter,
    OrderRow, PayoutPosition,
};
use serront_core::webhooks::subscription::{Streak, Subscription};

use super::state::{Content, State, StoredEffect};
use super::{ManualClock, locked};

/// A storage in memory. Clones share what is durable, as two connections to one database do.
#[derive(Clone)]
pub struct MemoryStorage {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

impl MemoryStorage {
    /// An empty storage. The clock is the storage's own: leases and due times go by it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// The same durable state behind a new handle.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.clone()
    }

    /// A storage of its own that begins with the same content: from here on the two share nothing.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), state: Arc::new(Mutex::new(locked(&self.state).clone())) }
    }

    /// The same as [`MemoryStorage::fork`], standing at this time.
    #[must_use]
    pub fn fork_at(&self, now: Timestamp) -> Self {
        Self { clock: Arc::new(ManualClock::at(now)), ..self.fork() }
    }

    fn asked(&self, scope: Option<Scope>) -> Asked {
        scope.map(|scope| (scope, self.clock.now()))
    }

    /// What was committed so far. Others run first, as they would while a real storage waits for its disk.
    async fn read(&self) -> State {
        tokio::task::yield_now().await;
        locked(&self.state).clone()
    }
}

/// Under which key, and at which time.
type Asked = Option<(Scope, Timestamp)>;

/// What was kept under a key, while it counts.
fn kept(state: &State, account_id: AccountId, asked: Asked) -> Option<Kept> {
    let (scope, now) = asked?;
    let claim = state.claim(account_id, ClaimName::Idempotency(scope))?;
    claim.kept.clone().filter(|kept| kept.until > now)
}

fn funds(state: &State, account_id: AccountId) -> Funds {
    state.funds.get(&account_id).copied().unwrap_or_else(|| Funds::none(account_id))
}

fn subscriptions(state: &State, account_id: AccountId) -> Vec<Subscription> {
    let mut rows: Vec<_> = state.subscriptions_of(account_id).cloned().collect();
    rows.sort_by_key(|row| (row.created_at, row.id));
    rows
}

fn services(state: &State, account_id: AccountId) -> Vec<Service> {
    let mut rows: Vec<_> = state.services_of(account_id).cloned().collect();
    rows.sort_by_key(|row| (row.offer.sort_order, row.created_at, row.id));
    rows
}

fn row(state: &State, number: OrderNumber, order: &Order) -> Option<OrderRow> {
    let payment = state.payments.get(&(order.account_id, order.id))?.clone();
    let service = state.services.get(&(order.account_id, order.service_id))?.ordered();
    Some(OrderRow { order: order.clone(), number, payment, service })
}

fn order_snapshot(state: &State, account_id: AccountId, id: OrderId, asked: Asked) -> Option<OrderSnapshot> {
    let row = state.order(account_id, id).and_then(|(number, order)| row(state, number, order))?;
    let lowest = CheckoutId::from_ulid(ulid::Ulid::nil());
    let mut checkouts: Vec<_> = State::of_account(&state.checkouts, account_id, lowest)
        .filter(|checkout| checkout.order_id == id && checkout.state.status.is_live())
        .cloned()
        .collect();
    checkouts.sort_by_key(|checkout| (checkout.created_at, checkout.id));
    Some(OrderSnapshot {
        account: state.accounts.get(&account_id)?.clone(),
        seller: state.storefronts.get(&account_id).map(|storefront| storefront.profile.seller()),
        order: row.order,
        number: row.number,
        payment: row.payment,
        service: row.service,
        checkouts,
        subscriptions: subscriptions(state, account_id),
        kept: kept(state, account_id, asked),
    })
}

fn checkout_snapshot(state: &State, account_id: AccountId, id: CheckoutId) -> Option<CheckoutSnapshot> {
    let checkout = state.checkouts.get(&(account_id, id))?.clone();
    Some(CheckoutSnapshot { order: order_snapshot(state, account_id, checkout.order_id, None)?, checkout })
}

/// An account's notifications of some kind, in the order in which they came.
fn inbox(state: &State, wanted: impl Fn(&InboxRecord) -> bool) -> Vec<InboxRecord> {
    let mut rows: Vec<_> = state.inbox.values().filter(|(_, record)| wanted(record)).collect();
    rows.sort_by_key(|(came, record)| (record.received_at, *came));
    rows.into_iter().map(|(_, record)| record.clone()).collect()
}

fn matches(filter: &OrderFilter, row: &OrderRow) -> bool {
    let state = &row.order.state;
    filter.status.is_none_or(|status| status == state.status)
        && filter.payment_status.is_none_or(|status| status == state.payment_status)
        && filter.service_id.is_none_or(|id| id == row.order.service_id)
        && filter.has_words(&row.order, row.number, &row.service.name)
}

fn delivery(id: EffectId, stored: &StoredEffect) -> Option<DeliveryRecord> {
    let (EffectId::Delivery(id), Content::Delivery { subscription_id, event_id, event_type, body }) =
        (id, &stored.content)
    else {
        return None;
    };
    Some(DeliveryRecord {
        id,
        subscription_id: *subscription_id,
        event_id: *event_id,
        event_type: *event_type,
        body: body.clone(),
        status: stored.status,
        created_at: stored.created_at,
        next_attempt_at: (stored.status == EffectStatus::Pending).then_some(stored.due),
        attempts: stored.attempts.clone(),
    })
}

fn effect((account_id, id): (AccountId, EffectId), stored: &StoredEffect) -> EffectRecord {
    EffectRecord {
        id,
        account_id,
        status: stored.status,
        discarded: stored.discarded,
        created_at: stored.created_at,
        attempts: stored.attempted(),
        last_attempt: stored.attempts.last().cloned(),
        delivery: match &stored.content {
            Content::Delivery { subscription_id, event_type, .. } => {
                Some(DeliveryAddress { subscription_id: *subscription_id, event_type: *event_type })
            }
            Content::Mail(_) | Content::Removal(_) | Content::Errand(_) => None,
        },
    }
}

fn wanted(filter: &DeliveryFilter, row: &DeliveryRecord) -> bool {
    filter.subscription_id.is_none_or(|id| id == row.subscription_id)
        && filter.status.is_none_or(|status| status == row.status)
        && filter.event_type.is_none_or(|event_type| event_type == row.event_type)
        && filter.event_id.is_none_or(|id| id == row.event_id)
}

/// What the dispatcher needs to carry an effect out, as things stand now.
fn due_effect(state: &State, account_id: AccountId, stored: &StoredEffect, now: Timestamp) -> DueEffect {
    match &stored.content {
        Content::Mail(mail) => DueEffect::Mail(mail.clone()),
        Content::Removal(upload_id) => DueEffect::Removal(*upload_id),
        Content::Errand(errand) => DueEffect::Errand(errand.clone()),
        Content::Delivery { subscription_id, event_id, event_type, body } => DueEffect::Delivery {
            event_id: *event_id,
            event_type: *event_type,
            body: body.clone(),
            target: state.subscriptions.get(&(account_id, *subscription_id)).map(|(subscription, secrets)| {
                let previous = secrets.previous.as_ref().filter(|(_, until)| now < *until);
                Box::new(Target {
                    subscription: subscription.clone(),
                    secret: secrets.present.clone(),
                    previous_secret: previous.map(|(secret, _)| secret.clone()),
                })
            }),
        },
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        let state = self.read().await;
        Ok(state.accounts.get(&id).map(|account| AccountSnapshot {
            account: account.clone(),
            storefront: state.storefronts.get(&id).cloned(),
            subscriptions: subscriptions(&state, id),
            services: u32::try_from(state.services_of(id).count()).unwrap_or(u32::MAX),
            provisioning: state.provisioning.get(&id).cloned(),
            kept: kept(&state, id, self.asked(key)),
        }))
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        let state = self.read().await;
        let found = (state.accounts.get(&account_id), state.services.get(&(account_id, id)));
        let (Some(account), Some(service)) = found else { return Ok(None) };
        Ok(Some(ServiceSnapshot {
            account: account.clone(),
            service: service.clone(),
            has_orders: state.has_orders_of(account_id, id),
            kept: kept(&state, account_id, self.asked(key)),
        }))
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        let state = self.read().await;
        let Some(id) = state.holder(ClaimName::StorefrontSlug(slug.clone())) else { return Ok(None) };
        let storefront = state.storefronts.get(&id).filter(|storefront| storefront.profile.slug == *slug);
        let (Some(account), Some(storefront)) = (state.accounts.get(&id), storefront) else { return Ok(None) };
        Ok(Some(ShopSnapshot {
            account: account.clone(),
            storefront: storefront.clone(),
            services: services(&state, id),
            subscriptions: subscriptions(&state, id),
            kept: kept(&state, id, self.asked(scope)),
        }))
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let state = self.read().await;
        let found = match key {
            OrderKey::Id(account_id, id) => Some((account_id, id)),
            OrderKey::Token(hash) => state
                .holder(ClaimName::AccessToken(hash))
                .and_then(|holder| state.tokens.get(&hash).copied().filter(|(account_id, _)| *account_id == holder)),
        };
        let Some((account_id, id)) = found else { return Ok(None) };
        Ok(order_snapshot(&state, account_id, id, self.asked(scope)))
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        let state = self.read().await;
        let Some(holder) = state.holder(ClaimName::KeyHash(hash)) else { return Ok(None) };
        let lowest = KeyId::from_ulid(ulid::Ulid::nil());
        Ok(State::of_account(&state.keys, holder, lowest).find(|key| key.hash == hash).cloned())
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        let state = self.read().await;
        let lowest = KeyId::from_ulid(ulid::Ulid::nil());
        let mut rows: Vec<_> = State::of_account(&state.keys, account_id, lowest).cloned().collect();
        rows.sort_by_key(|row| (row.created_at, row.id));
        Ok(rows)
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        Ok(services(&self.read().await, account_id))
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        let state = self.read().await;
        let one_more = usize::try_from(limit.get()).unwrap_or(usize::MAX).saturating_add(1);
        let below = (account_id, after.unwrap_or(OrderNumber(u32::MAX)));
        let rows = state
            .orders
            .range((account_id, OrderNumber(0))..below)
            .rev()
            .filter_map(|((_, number), order)| row(&state, *number, order))
            .filter(|row| matches(filter, row))
            .take(one_more)
            .collect();
        Ok(Page::cut(rows, limit))
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        Ok(self.read().await.counts.get(&account_id).copied().unwrap_or_default())
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        let state = self.read().await;
        Ok(state.audit.get(&(account_id, order_id)).into_iter().flatten().cloned().collect())
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .effects
            .iter()
            .filter(|((owner, _), _)| *owner == account_id)
            .filter_map(|((_, id), stored)| delivery(*id, stored))
            .filter(|row| wanted(filter, row) && after.is_none_or(|after| row.position() < after))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        Ok(Page::cut(rows, limit))
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        let id = EffectId::Delivery(id);
        Ok(self.read().await.effects.get(&(account_id, id)).and_then(|stored| delivery(id, stored)))
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        let key = (account_id, id);
        Ok(self.read().await.effects.get(&key).map(|stored| effect(key, stored)))
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        let state = self.read().await;
        let holder = state.holder(ClaimName::Merchant(id.clone()));
        Ok(holder.and_then(|account_id| state.provisioning.get(&account_id).cloned()))
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        Ok(checkout_snapshot(&self.read().await, account_id, id))
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let state = self.read().await;
        let name = state.sessions.get(&(account_id, id.clone()));
        let parked = inbox(&state, |record| {
            record.account_id == account_id
                && record.session_id.as_ref() == Some(id)
                && record.status == InboxStatus::Parked
        });
        let event = event_id.and_then(|event_id| state.inbox.get(&(account_id, event_id)));
        Ok(SessionSnapshot {
            version: name.map_or(Version::ABSENT, |name| name.version),
            checkout: name
                .and_then(|name| name.checkout_id)
                .and_then(|checkout_id| checkout_snapshot(&state, account_id, checkout_id)),
            parked: parked.into_iter().map(|record| record.event_id).collect(),
            event: event.map(|(_, record)| record.status),
        })
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        Ok(self.read().await.inbox.get(&(account_id, id.clone())).map(|(_, record)| record.clone()))
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        Ok(self.read().await.balance_of(account_id))
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        let state = self.read().await;
        let lowest = EntryId::from_ulid(ulid::Ulid::nil());
        let wanted = |entry: &&LedgerEntry| {
            entry.book == Book::Seller
                && filter.code.is_none_or(|code| code == entry.code)
                && filter.source_type.is_none_or(|source_type| source_type == entry.source_type)
                && filter.source_id.as_ref().is_none_or(|source_id| *source_id == entry.source_id)
                && filter.from.is_none_or(|from| entry.created_at >= from)
                && filter.before.is_none_or(|before| entry.created_at < before)
                && after.is_none_or(|after| entry.position() < after)
        };
        let mut rows: Vec<_> = State::of_account(&state.entries, account_id, lowest).filter(wanted).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        Ok(Page::cut(rows, limit))
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        let state = self.read().await;
        let lowest = ExceptionId::from_ulid(ulid::Ulid::nil());
        let mut rows: Vec<_> = State::of_account(&state.exceptions, account_id, lowest)
            .filter(|row| status.is_none_or(|status| status == row.state.status))
            .filter(|row| after.is_none_or(|after| row.position() < after))
            .cloned()
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        Ok(Page::cut(rows, limit))
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        let state = self.read().await;
        let Some(exception) = state.exceptions.get(&(account_id, id)).cloned() else { return Ok(None) };
        let payment = state.payments.get(&(account_id, exception.order_id));
        Ok(payment.map(|payment| ExceptionSnapshot {
            exception,
            payment_id: payment.id,
            kept: kept(&state, account_id, self.asked(key)),
        }))
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        let state = self.read().await;
        let account = state.accounts.get(&account_id).cloned();
        Ok(account.map(|account| FundsSnapshot {
            account,
            funds: funds(&state, account_id),
            totals: state.balance_of(account_id),
            bank_account: state.bank_accounts.get(&account_id).cloned(),
            kept: kept(&state, account_id, self.asked(key)),
        }))
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        let state = self.read().await;
        let found = match key {
            PayoutKey::Id(account_id, id) => Some((account_id, id)),
            PayoutKey::Any(id) => state.holder(ClaimName::Payout(id)).map(|account_id| (account_id, id)),
        };
        let payout = found.and_then(|key| state.payouts.get(&key)).cloned();
        let account = payout.as_ref().and_then(|payout| state.accounts.get(&payout.account_id)).cloned();
        Ok(payout.zip(account).map(|(payout, account)| PayoutSnapshot {
            account,
            funds: funds(&state, payout.account_id),
            kept: kept(&state, payout.account_id, self.asked(scope)),
            payout,
        }))
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        let state = self.read().await;
        let lowest = PayoutId::from_ulid(ulid::Ulid::nil());
        let mut rows: Vec<_> = State::of_account(&state.payouts, account_id, lowest)
            .filter(|row| status.is_none_or(|status| status == row.state.status))
            .filter(|row| after.is_none_or(|after| row.position() < after))
            .cloned()
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        Ok(Page::cut(rows, limit))
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        let state = self.read().await;
        Ok(state.payout_audit.get(&(account_id, id)).into_iter().flatten().cloned().collect())
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        let state = self.read().await;
        let lowest = AdjustmentId::from_ulid(ulid::Ulid::nil());
        let found = State::of_account(&state.adjustments, account_id, lowest).find(|adjustment| match key {
            AdjustmentKey::Id(id) => adjustment.id == *id,
            AdjustmentKey::Reference(reference) => adjustment.reference == *reference,
        });
        Ok(found.cloned())
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        Ok(self.read().await.change_sets.get(&(account_id, id)).map(|(_, committed)| *committed))
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let (next, committed) = state.after(&change.clone().by_clock_of_storage(self.clock.now()))?;
        *state = next;
        Ok(committed)
    }
}

/// The queue of a subscription.
#[derive(Debug, Clone, Copy)]
struct Queue {
    key: (AccountId, SubscriptionId),
    /// In a row.
    failures: u32,
    /// Whether it is failing or slow.
    held_back: bool,
}

/// What is due: since when, which effect, whose, and in which queue if it is a delivery.
type Candidate = (Timestamp, EffectId, AccountId, Option<Queue>);

/// How many deliveries are under lease.
#[derive(Debug, Default)]
struct Held {
    by_subscription: BTreeMap<(AccountId, SubscriptionId), u32>,
    by_account: BTreeMap<AccountId, u32>,
    held_back: u32,
}

impl Held {
    fn add(&mut self, queue: Queue) {
        *self.by_subscription.entry(queue.key).or_default() += 1;
        *self.by_account.entry(queue.key.0).or_default() += 1;
        self.held_back += u32::from(queue.held_back);
    }

    /// What may be taken, in its turn.
    fn turns(
        mut self,
        mut candidates: Vec<Candidate>,
        shares: DeliveryShares,
    ) -> impl Iterator<Item = (AccountId, EffectId)> {
        candidates.sort_unstable_by_key(|(due, id, _, _)| (*due, *id));
        // A delivery's place is how many its subscription would have under way with it.
        let mut places = self.by_subscription.clone();
        let mut placed: Vec<_> = candidates
            .into_iter()
            .map(|(due, id, account_id, queue)| {
                let place = queue.map_or(0, |queue| {
                    let place = places.entry(queue.key).or_default();
                    *place += 1;
                    *place
                });
                (place, queue.map_or(0, |queue| queue.failures), due, id, account_id, queue)
            })
            .collect();
        placed.sort_unstable_by_key(|(place, failures, due, id, ..)| (*place, *failures, *due, *id));
        placed.into_iter().filter_map(move |(place, _, _, id, account_id, queue)| {
            if let Some(queue) = queue {
                let of_account = self.by_account.get(&account_id).copied().unwrap_or_default();
                let allowed = place <= shares.per_subscription
                    && (place == 1 || of_account < shares.per_account)
                    && (!queue.held_back || self.held_back < shares.failing);
                if !allowed {
                    return None;
                }
                self.add(queue);
            }
            Some((account_id, id))
        })
    }
}

#[async_trait]
impl WorkStorage for MemoryStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        tokio::task::yield_now().await;
        let now = self.clock.now();
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let mut held = Held::default();
        let mut candidates = Vec::new();
        for (&(account_id, id), stored) in &state.effects {
            if stored.status != EffectStatus::Pending || id.lane() != lane {
                continue;
            }
            let queue = stored.subscription_id().map(|subscription_id| {
                let key = (account_id, subscription_id);
                let failures = state.streaks.get(&key).map_or(0, |streak| streak.failures);
                let slow = state.took_seconds.get(&key).is_some_and(|took| *took >= shares.slow_after.as_secs());
                Queue { key, failures, held_back: failures > 0 || slow }
            });
            if stored.is_leased(now) {
                queue.into_iter().for_each(|queue| held.add(queue));
            } else if stored.due <= now {
                candidates.push((stored.due, id, account_id, queue));
            }
        }
        let mut taken = Vec::new();
        for (account_id, id) in held.turns(candidates, shares).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let Some(mut stored) = state.effects.get(&(account_id, id)).cloned() else { continue };
            stored.fence = stored.fence.saturating_add(1);
            stored.leased_until = Some(now.plus(lease));
            taken.push(Due {
                id,
                account_id,
                fence: Fence(stored.fence),
                attempts: stored.attempted(),
                effect: due_effect(state, account_id, &stored, now),
            });
            state.effects.insert((account_id, id), stored);
        }
        Ok(taken)
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        tokio::task::yield_now().await;
        Ok(self.clock.now())
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        tokio::task::yield_now().await;
        let _state = locked(&self.state);
        Ok(self.clock.now().minus(POSTED_WITHIN))
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        let state = self.read().await;
        let now = self.clock.now();
        let of_lane = state.effects.iter().filter(|((_, id), _)| id.lane() == lane).map(|(_, stored)| stored);
        let waiting = of_lane.filter(|stored| stored.status == EffectStatus::Pending && !stored.is_leased(now));
        Ok(waiting.map(|stored| stored.due).min())
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let stored = state.effects.get_mut(&(account_id, id));
        // A lease that ran out and that nobody took over is still this worker's: the fence says so.
        let held = stored.filter(|stored| stored.leased_until.is_some() && Fence(stored.fence) == fence);
        let stored = held.ok_or(LeaseLost)?;
        stored.log(attempt);
        stored.leased_until = None;
        match next {
            NextAttempt::Succeeded => stored.status = EffectStatus::Succeeded,
            NextAttempt::Failed => stored.status = EffectStatus::Failed,
            NextAttempt::At(time) => stored.due = time.by_clock(attempt.ended_at(), self.clock.now()),
        }
        if let Some(subscription_id) = stored.subscription_id() {
            state.count_attempt((account_id, subscription_id), attempt, self.clock.now());
        }
        Ok(())
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        Ok(self.read().await.streaks.get(&(account_id, id)).copied())
    }

    /// Counts are kept in place here, so the deltas are those of balances.
    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        tokio::task::yield_now().await;
        let folded = locked(&self.state).fold(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(u64::try_from(folded).unwrap_or(u64::MAX))
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        let state = self.read().await;
        let mut rows = inbox(&state, |record| match record.status {
            InboxStatus::Parked => record.received_at < parked_before,
            InboxStatus::ForeignCurrency | InboxStatus::Unreadable => true,
            InboxStatus::Applied | InboxStatus::Noted => false,
        });
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .payouts
            .values()
            .filter(|row| row.state.status.is_in_flight() && after.is_none_or(|after| row.position() > after))
            .cloned()
            .collect();
        rows.sort_by_key(Payout::position);
        Ok(Page::cut(rows, limit))
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .subscriptions
            .iter()
            .filter(|((_, id), _)| after.is_none_or(|after| *id > after))
            .map(|((account_id, id), (subscription, secrets))| SubscriptionSecrets {
                account_id: *account_id,
                id: *id,
                version: subscription.state.version,
                secret: secrets.present.clone(),
                previous_secret: secrets.previous.as_ref().map(|(secret, _)| secret.clone()),
            })
            .collect();
        rows.sort_by_key(|row| row.id);
        Ok(Page::cut(rows, limit))
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        let state = self.read().await;
        let rows = state.provisioning.values().filter(|row| after.is_none_or(|after| row.account_id > after));
        Ok(Page::cut(rows.cloned().collect(), limit))
    }

    /// What is kept as values is never unreadable.
    async fn set_aside(&self, _limit: u32) -> Result<SetAsides, PortError> {
        let _state = self.read().await;
        Ok(SetAsides::default())
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .effects
            .iter()
            .filter(|(_, stored)| stored.status == EffectStatus::Failed && !stored.discarded)
            .map(|(key, stored)| effect(*key, stored))
            .filter(|row| after.is_none_or(|after| row.position() < after))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.position()));
        Ok(Page::cut(rows, limit))
    }

    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state.discards.iter().cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.id)));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let state = self.read().await;
        let wanted = |id: AccountId| account_id.is_none_or(|account_id| account_id == id);
        let entries: Vec<_> = state.entries.values().filter(|entry| wanted(entry.account_id)).collect();
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        verification.take(&BooksPiece::Expected(count));
        let mut sums = BTreeMap::<_, (i64, i64)>::new();
        let mut uneven = BTreeMap::<_, i64>::new();
        for LedgerEntry { account_id, tx_id, book, code, direction, amount, .. } in entries {
            let (debits, credits) = sums.entry((*account_id, *book, *code)).or_default();
            let excess = uneven.entry((*account_id, *tx_id)).or_default();
            match direction {
                Direction::Debit => {
                    *debits = debits.saturating_add(amount.get());
                    *excess = excess.saturating_sub(amount.get());
                }
                Direction::Credit => {
                    *credits = credits.saturating_add(amount.get());
                    *excess = excess.saturating_add(amount.get());
                }
            }
        }
        verification.take(&BooksPiece::Entries {
            count,
            sums: sums
                .into_iter()
                .map(|((account_id, book, code), (debits, credits))| BookSums {
                    account_id,
                    book,
                    code,
                    debits,
                    credits,
                })
                .collect(),
            uneven: uneven
                .into_iter()
                .filter(|(_, excess)| *excess != 0)
                .map(|((account_id, tx_id), excess)| Uneven { account_id, tx_id, excess })
                .collect(),
        });
        let totals = state.totals();
        let totals = totals.iter().filter(|((id, _), _)| wanted(*id));
        verification.take(&BooksPiece::Totals(
            totals
                .map(|((id, code), (debits, credits))| {
                    (*id, CodeTotals { code: *code, debits: *debits, credits: *credits })
                })
                .collect(),
        ));
        let mut in_flight = BTreeMap::<AccountId, i64>::new();
        for payout in state.payouts.values().filter(|payout| payout.state.status.is_in_flight()) {
            let sum = in_flight.entry(payout.account_id).or_default();
            *sum = sum.saturating_add(payout.amount.get());
        }
        let accounts: BTreeSet<_> =
            state.funds.keys().chain(in_flight.keys()).copied().filter(|id| wanted(*id)).collect();
        let sums = |id: AccountId| FundsSums {
            account_id: id,
            stored: funds(&state, id).in_flight.get(),
            counted: in_flight.get(&id).copied().unwrap_or(0),
        };
        verification.take(&BooksPiece::Funds(accounts.into_iter().map(sums).collect()));
        Ok(())
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        tokio::task::yield_now().await;
        let limit = usize::try_from(prune.limit).unwrap_or(usize::MAX);
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let now = self.clock.now();
        let expired = |until: Timestamp| until <= now;
        let claims =
            state.claims.iter().filter(|(_, claim)| claim.kept.as_ref().is_some_and(|kept| expired(kept.until)));
        let claims: Vec<_> = claims.map(|(key, _)| key.clone()).take(limit).collect();
        let effects = state.effects.iter().filter(|(_, stored)| {
            stored.status != EffectStatus::Pending && stored.created_at < now.minus(prune.effects_kept)
        });
        let effects: Vec<_> = effects.map(|(key, _)| *key).take(limit).collect();
        let change_sets = state.change_sets.iter().filter(|(_, (at, _))| *at < now.minus(prune.change_sets_kept));
        let change_sets: Vec<_> = change_sets.map(|(key, _)| *key).take(limit).collect();
        for key in &claims {
            state.claims.remove(key);
        }
        for key in &effects {
            state.effects.remove(key);
        }
        for key in &change_sets {
            state.change_sets.remove(key);
        }
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Ok(Pruned { kept: count(claims.len()), effects: count(effects.len()), change_sets: count(change_sets.len()) })
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        let at = self.clock.now();
        if let Some(key) = locked(&self.state).keys.get_mut(&(account_id, id))
            && key.last_used_at.is_none_or(|last| last < at && last.plus(pause) <= at)
        {
            key.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        let state = self.read().await;
        let named = |&(account_id, upload_id): &(AccountId, UploadId)| {
            let mut orders = state.orders_of(account_id);
            orders
                .any(|order| {
                    let payment = state.payments.get(&(account_id, order.id));
                    let receipt = payment.and_then(|payment| payment.state.receipt.as_ref());
                    receipt.is_some_and(|receipt| receipt.upload_id == upload_id)
                })
                .then_some(upload_id)
        };
        Ok(uploads.iter().filter_map(named).collect())
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        let state = self.read().await;
        Ok(InstallationRow {
            id: state.installation.as_ref().map(|(id, _)| *id),
            key_check: state.installation.as_ref().and_then(|(_, check)| check.clone()),
            has_accounts: !state.accounts.is_empty(),
            names_receipts: state.payments.values().any(|payment| payment.state.receipt.is_some()),
        })
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        tokio::task::yield_now().await;
        Ok(locked(&self.state).installation.get_or_insert((id, None)).0)
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let present = state.installation.as_mut().filter(|(_, present)| *present == was);
        let Some((_, present)) = present else { return Ok(false) };
        *present = Some(check);
        Ok(true)
    }

    async fn ready(&self) -> Result<(), PortError> {
        Ok(())
    }
}
