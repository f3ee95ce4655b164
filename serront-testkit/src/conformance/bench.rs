//! Helpers of the cases: a world over the harness's storage, change sets of the real decisions, and a view of all
//! readable data.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::key::{AccessToken, KeyRecord};
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Committed, Guard, Row, Write};
use serront_core::changes::effect::{Attempt, Delivery, DeliveryRecord, Effect, EffectId, EffectStatus, Errand, Lane};
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{self, Context, Decision, OrderPatch, PlaceOrder};
use serront_core::online::exception::{ExceptionState, ExceptionStatus, PaymentException};
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::orders::marked::MarkedText;
use serront_core::orders::order::{Language, OrderInput, WorkCounts};
use serront_core::policy::DeliveryShares;
use serront_core::ports::{Clock, CommitError, Ids, PortErrorKind, RecordError, Secrets, WorkStorage};
use serront_core::primitives::ids::{AccountId, DeliveryId, OrderId, SubscriptionId};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::Service;
use serront_core::snapshots::{
    AccountSnapshot, DeliveryFilter, Due, NextAttempt, OrderFilter, OrderKey, OrderRow, OrderSnapshot,
};
use serront_core::webhooks::event::EventType;

use super::Harness;
use crate::memory::ManualClock;
use crate::world::{self, Placed, Seller, World};

/// A lease longer than any case waits unintentionally.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// A world over the harness's storage, with the storage's time.
pub(super) struct Bench<'h, H: ?Sized> {
    harness: &'h H,
    pub(super) world: Arc<World<dyn WorkStorage>>,
}

impl<'h, H: Harness + ?Sized> Bench<'h, H> {
    pub(super) fn new(harness: &'h H) -> Self {
        let clock = Arc::new(ManualClock::at(harness.now()));
        Self { harness, world: Arc::new(World::over(harness.storage(), clock)) }
    }

    /// A new bench with a seller.
    pub(super) async fn with_seller(harness: &'h H) -> (Self, Seller) {
        let bench = Self::new(harness);
        let seller = bench.world.seller("studio").await;
        (bench, seller)
    }

    /// A new bench with a seller and an order.
    pub(super) async fn with_order(harness: &'h H) -> (Self, Seller, Placed) {
        let bench = Self::new(harness);
        let (seller, placed) = bench.world.seller_with_order("studio").await;
        (bench, seller, placed)
    }

    pub(super) fn storage(&self) -> &dyn WorkStorage {
        &*self.world.storage
    }

    /// Moves the storage's time and the world's clock.
    pub(super) async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
        self.world.clock.set(self.harness.now());
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// The same bench over the reopened storage.
    pub(super) async fn reopen(self) -> Self {
        let Self { harness, world } = self;
        let world = Arc::try_unwrap(world).expect("the only reference to the world");
        harness.reopen().await;
        Self { harness, world: Arc::new(world.with_storage(harness.storage())) }
    }

    /// The context of a decision.
    pub(super) fn context(&self, request: Option<IdempotentRequest>) -> Context<'_> {
        let now = self.now();
        Context { now, ids: self.world.ids.sequence(now), policy: &self.world.policy, request }
    }

    /// An empty change set.
    pub(super) fn change(&self, account_id: AccountId) -> ChangeSet {
        ChangeSet::new(self.context(None).ids.change_set(), account_id, self.now())
    }

    /// A change set that only claims this name.
    pub(super) fn claiming(&self, account_id: AccountId, name: ClaimName) -> ChangeSet {
        ChangeSet { claims: vec![Claim::of(name)], ..self.change(account_id) }
    }

    /// A change set with this guard, and a claim so that it is not empty.
    pub(super) fn guarded(&self, account_id: AccountId, guard: Guard) -> ChangeSet {
        let marker = serront_core::primitives::ids::PaymentId::from_ulid(self.context(None).ids.next_ulid());
        ChangeSet { guards: vec![guard], ..self.claiming(account_id, ClaimName::Confirmation(marker)) }
    }

    /// Opens an account with no other rows.
    pub(super) async fn opened(&self) -> AccountId {
        let (id, opening) = self.opening();
        self.lands(&opening).await;
        id
    }

    /// Stores an open exception of an order's payment, over 5 rupiah.
    pub(super) async fn exception(&self, placed: &Placed, kind: ExceptionKind, session: &str) -> PaymentException {
        let exception = PaymentException {
            id: self.context(None).ids.exception(),
            account_id: placed.account_id,
            kind,
            order_id: placed.id,
            session_id: SessionId::parse(session).unwrap(),
            amount: Rupiah::new(5).unwrap(),
            created_at: self.now(),
            state: ExceptionState {
                version: Version::FIRST,
                status: ExceptionStatus::Open,
                note: None,
                adjustment_id: None,
                resolved_at: None,
            },
        };
        let writes = vec![Write::InsertException(exception.clone())];
        self.lands(&ChangeSet { writes, ..self.change(placed.account_id) }).await;
        exception
    }

    /// A change set that only opens an account.
    pub(super) fn opening(&self) -> (AccountId, ChangeSet) {
        let id = self.context(None).ids.account();
        let account = Account {
            id,
            name: "Bare".to_owned(),
            created_at: self.now(),
            state: AccountState {
                version: Version::FIRST,
                tier: Tier::Free,
                modules: Modules::default(),
                plugipay_account_id: None,
            },
        };
        (id, ChangeSet { writes: vec![Write::InsertAccount(account)], ..self.change(id) })
    }

    pub(super) fn token(&self) -> AccessToken {
        AccessToken::from_bytes(&self.world.secrets.draw().expect("a secret"))
    }

    /// The change set that places an order, not committed.
    pub(super) async fn placing(
        &self,
        seller: &Seller,
        request: Option<IdempotentRequest>,
    ) -> (OrderId, AccessToken, ChangeSet) {
        self.placing_of(seller, world::SERVICE_SLUG, request).await
    }

    /// The same for another service of the seller.
    pub(super) async fn placing_of(
        &self,
        seller: &Seller,
        service_slug: &str,
        request: Option<IdempotentRequest>,
    ) -> (OrderId, AccessToken, ChangeSet) {
        let slug = serront_core::primitives::text::Slug::parse("slug", &seller.slug).expect("a slug");
        let shop = self
            .storage()
            .shop(&slug, request.map(|request| request.scope))
            .await
            .expect("a read")
            .expect("a storefront");
        let access_token = self.token();
        let input = OrderInput { service_slug: service_slug.to_owned(), ..world::order_input("Budi") };
        let command = PlaceOrder { input: &input, language: Language::Id, access_token: access_token.clone() };
        match decide::place_order(&shop, &command, &mut self.context(request)).expect("an order") {
            Decision::Change(change, placed) => (placed.order_id.expect("an id"), access_token, *change),
            Decision::Unchanged(_) | Decision::Replayed(_) => panic!("an order changes something"),
        }
    }

    /// The change set that confirms a payment, not committed.
    pub(super) async fn confirming(&self, placed: &Placed, request: Option<IdempotentRequest>) -> ChangeSet {
        let snapshot = self.snapshot(placed.account_id, placed.id).await;
        let decided = decide::confirm_payment(&snapshot, &world::host(), None, &mut self.context(request));
        change_of(decided.expect("a confirmation"))
    }

    /// The same; `None` if the payment is already confirmed.
    pub(super) async fn confirming_if_open(&self, placed: &Placed) -> Option<ChangeSet> {
        let snapshot = self.snapshot(placed.account_id, placed.id).await;
        let decided = decide::confirm_payment(&snapshot, &world::host(), None, &mut self.context(None));
        decided.ok().map(change_of)
    }

    /// The change set that sets a quote, not committed.
    pub(super) async fn quoting(&self, placed: &Placed, quote: i64) -> ChangeSet {
        let snapshot = self.snapshot(placed.account_id, placed.id).await;
        let patch = OrderPatch { quoted_price_idr: Some(quote), status: None };
        change_of(decide::patch_order(&snapshot, patch, &world::host(), &mut self.context(None)).expect("a quote"))
    }

    /// The change set that creates a service, not committed.
    pub(super) async fn creating(&self, account_id: AccountId, slug: &str) -> ChangeSet {
        let snapshot = self.account(account_id).await;
        let input = world::service_input(slug, 5_000);
        change_of(decide::create_service(&snapshot, &input, &mut self.context(None)).expect("a service"))
    }

    /// Commits this many removals, the simplest kind of effect, due immediately.
    pub(super) async fn queue_removals(&self, account_id: AccountId, count: usize) -> Vec<EffectId> {
        let mut ids = self.context(None).ids;
        let removal = |_| Effect::Removal { id: ids.removal(), upload_id: ids.upload() };
        let effects: Vec<_> = (0..count).map(removal).collect();
        let queued = effects.iter().map(Effect::id).collect();
        self.lands(&ChangeSet { effects, ..self.change(account_id) }).await;
        queued
    }

    /// Commits this many errands, the only kind of effect with a due time.
    pub(super) async fn queue_errands(&self, account_id: AccountId, count: usize, due_at: Timestamp) -> Vec<EffectId> {
        let mut ids = self.context(None).ids;
        let errand = |_| Effect::Errand { id: ids.errand(), errand: Errand::Poll(ids.checkout()), due_at };
        let effects: Vec<_> = (0..count).map(errand).collect();
        let queued = effects.iter().map(Effect::id).collect();
        self.lands(&ChangeSet { effects, ..self.change(account_id) }).await;
        queued
    }

    /// Commits this many deliveries of different events to a subscription.
    pub(super) async fn queue_deliveries(
        &self,
        account_id: AccountId,
        subscription_id: SubscriptionId,
        count: usize,
    ) -> Vec<EffectId> {
        let mut ids = self.context(None).ids;
        let delivery = |_| {
            Effect::Delivery(Delivery {
                id: ids.delivery(),
                subscription_id,
                event_id: ids.event(),
                event_type: EventType::OrderStatusChanged,
                body: MarkedText::plain("{}".to_owned()),
            })
        };
        let effects: Vec<_> = (0..count).map(delivery).collect();
        let queued = effects.iter().map(Effect::id).collect();
        self.lands(&ChangeSet { effects, ..self.change(account_id) }).await;
        queued
    }

    pub(super) async fn snapshot(&self, account_id: AccountId, id: OrderId) -> OrderSnapshot {
        self.storage().order(OrderKey::Id(account_id, id), None).await.expect("a read").expect("an order")
    }

    pub(super) async fn account(&self, id: AccountId) -> AccountSnapshot {
        self.storage().account(id, None).await.expect("a read").expect("an account")
    }

    pub(super) async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        self.storage().commit(change).await
    }

    pub(super) async fn lands(&self, change: &ChangeSet) -> Committed {
        self.commit(change).await.expect("the change set lands")
    }

    /// All readable data of an account.
    pub(super) async fn picture(&self, id: AccountId) -> Picture {
        let storage = self.storage();
        let orders = self.all_orders(id, &OrderFilter::default()).await;
        let mut audit = Vec::new();
        for row in &orders {
            audit.push(storage.audit(id, row.order.id).await.expect("a read"));
        }
        Picture {
            account: storage.account(id, None).await.expect("a read"),
            services: storage.services(id).await.expect("a read"),
            keys: storage.keys(id).await.expect("a read"),
            counts: storage.counts(id).await.expect("a read"),
            deliveries: self.all_deliveries(id, &DeliveryFilter::default()).await,
            next_due: self.world.next_due().await,
            orders,
            audit,
        }
    }

    /// All orders, read page by page.
    pub(super) async fn all_orders(&self, id: AccountId, filter: &OrderFilter) -> Vec<OrderRow> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.storage().orders(id, filter, after, limit(7)).await.expect("a page");
            after = page.position(OrderRow::position);
            rows.extend(page.rows);
            if after.is_none() {
                return rows;
            }
        }
    }

    /// All deliveries, read page by page.
    pub(super) async fn all_deliveries(&self, id: AccountId, filter: &DeliveryFilter) -> Vec<DeliveryRecord> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.storage().deliveries(id, filter, after, limit(3)).await.expect("a page");
            after = page.position(DeliveryRecord::position);
            rows.extend(page.rows);
            if after.is_none() {
                return rows;
            }
        }
    }

    /// Takes due work from each of the dispatcher's lanes, up to `limit` per lane.
    pub(super) async fn take(&self, count: u32) -> Vec<Due> {
        let mut taken = Vec::new();
        for lane in Lane::OUTBOX {
            let due = self.storage().take_due(lane, count, DeliveryShares::UNLIMITED, LEASE).await;
            taken.extend(due.expect("due effects"));
        }
        taken
    }

    /// The only effect that is due.
    pub(super) async fn take_one(&self) -> Due {
        let mut taken = self.take(100).await;
        assert_eq!(taken.len(), 1, "one effect is due: {taken:?}");
        taken.pop().expect("one")
    }

    pub(super) async fn record(&self, due: &Due, next: NextAttempt) -> Result<(), RecordError> {
        let attempt = self.attempt(due, next);
        // The attempt ends a little after its start; the storage computes the next attempt from the end.
        let next = match next {
            NextAttempt::At(time) => NextAttempt::At(time.by_clock(self.now(), attempt.ended_at())),
            NextAttempt::Succeeded | NextAttempt::Failed => next,
        };
        self.storage().record_attempt(due.account_id, due.id, due.fence, &attempt, next).await
    }

    /// The attempt that [`Bench::record`] writes.
    pub(super) fn attempt(&self, due: &Due, next: NextAttempt) -> Attempt {
        let succeeded = next == NextAttempt::Succeeded;
        Attempt {
            attempt_number: due.attempts + 1,
            status: if succeeded { EffectStatus::Succeeded } else { EffectStatus::Failed },
            response_code: if succeeded { Some(200) } else { None },
            error: (!succeeded).then(|| "no answer — 'quoted'".to_owned()),
            duration_ms: 17,
            attempted_at: self.now(),
            next_retry_at: match next {
                NextAttempt::At(time) => Some(time),
                NextAttempt::Succeeded | NextAttempt::Failed => None,
            },
        }
    }
}

/// All readable data of an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    account: Option<AccountSnapshot>,
    services: Vec<Service>,
    keys: Vec<KeyRecord>,
    orders: Vec<OrderRow>,
    audit: Vec<Vec<AuditRecord>>,
    counts: WorkCounts,
    deliveries: Vec<DeliveryRecord>,
    next_due: Option<Timestamp>,
}

pub(super) fn change_of<T>(decision: Decision<T>) -> ChangeSet {
    match decision {
        Decision::Change(change, _) => *change,
        Decision::Unchanged(_) | Decision::Replayed(_) => panic!("something is to be changed"),
    }
}

pub(super) fn limit(count: u32) -> Limit {
    Limit::parse(Some(&count.to_string())).expect("a limit")
}

pub(super) fn exact(row: Row, version: Version) -> Guard {
    Guard::Exact { row, version }
}

/// The result of a commit, comparable as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landed {
    Yes(Committed),
    Conflict,
    Duplicate(ClaimName),
    Port(PortErrorKind),
}

pub(super) fn landed(result: &Result<Committed, CommitError>) -> Landed {
    match result {
        Ok(committed) => Landed::Yes(*committed),
        Err(CommitError::Conflict) => Landed::Conflict,
        Err(CommitError::Duplicate(duplicate)) => Landed::Duplicate(duplicate.claim.clone()),
        Err(CommitError::Port(error)) => Landed::Port(error.kind()),
    }
}

/// A result without an order's number.
pub(super) const UNNUMBERED: Landed = Landed::Yes(Committed { number: None });

pub(super) fn request(account: AccountId, key: &str, body: &[u8]) -> IdempotentRequest {
    IdempotentRequest::new(account, "POST", "/conformance", key, body).expect("a key")
}

pub(super) fn delivery_id(due: &Due) -> DeliveryId {
    match due.id {
        EffectId::Delivery(id) => id,
        EffectId::Mail(_) | EffectId::Removal(_) | EffectId::Errand(_) => panic!("a delivery"),
    }
}

/// Runs the futures as tasks, so that they really run at the same time.
pub(super) async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut outputs = Vec::with_capacity(running.len());
    for task in running {
        outputs.push(task.await.expect("a task that ends well"));
    }
    outputs
}

/// Commits all change sets at the same time.
pub(super) async fn commit_at_once(storage: &Arc<dyn WorkStorage>, changes: Vec<ChangeSet>) -> Vec<Landed> {
    at_once(changes.into_iter().map(|change| {
        let storage = Arc::clone(storage);
        async move { landed(&storage.commit(&change).await) }
    }))
    .await
}
