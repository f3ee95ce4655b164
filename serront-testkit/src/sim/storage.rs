//! The storage behind the simulated network.
//!
//! A call is a message that arrives some time later, by itself; what it does there happens at one moment, and its answer
//! is another message. A commit may arrive twice, or long after whoever sent it has given up. Deltas are folded when a host
//! asks for it, and now and then right before any other call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::effect::{Attempt, DeliveryRecord, Discard, EffectId, EffectRecord, Lane};
use serront_core::changes::idempotency::Scope;
use serront_core::funds::books::Verification;
use serront_core::funds::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::online::inbox::InboxRecord;
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::{OrderNumber, WorkCounts};
use serront_core::policy::DeliveryShares;
use serront_core::ports::{CommitError, PortError, PortErrorKind, RecordError, Storage, WorkStorage};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, InstallationId, KeyId, OrderId, PayoutId, ServiceId,
    SubscriptionId, UploadId,
};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::shop::catalog::Service;
use serront_core::snapshots::set_aside::SetAsides;
use serront_core::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, ExceptionSnapshot, Fence, FundsSnapshot, InstallationRow,
    NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot, SessionSnapshot,
    ShopSnapshot, SubscriptionSecrets,
};
use serront_core::snapshots::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, OrderFilter,
    OrderRow, PayoutPosition,
};
use serront_core::webhooks::subscription::Streak;

use super::events::Event;
use super::executor::{answer, at_once};
use super::network::Fate;
use super::plan::Link;
use super::random::Random;
use super::world::World;
use crate::memory::locked;

/// How long the client side of the storage waits for an answer.
const GIVE_UP_MS: u64 = 10_000;

/// The far end of the network.
pub(crate) struct Server {
    world: Arc<World>,
    landed: Mutex<BTreeSet<ChangeSetId>>,
    sent: Mutex<BTreeSet<ChangeSetId>>,
    folding: Mutex<Random>,
}

impl Server {
    /// `folding` says when something is folded that no host asked for.
    pub(crate) fn new(world: Arc<World>, folding: Random) -> Self {
        Self { world, landed: Mutex::default(), sent: Mutex::default(), folding: Mutex::new(folding) }
    }

    fn fold(&self, limit: u32) -> Result<u64, PortError> {
        let folded = at_once(self.world.storage.fold_deltas(limit))?;
        if folded > 0 {
            self.world.line(&format!("fold {folded}"));
            self.world.see(&Event::Folded);
        }
        Ok(folded)
    }

    /// Folding may happen at any moment, so now and then it happens right before a call, a few deltas at a time.
    fn fold_now_and_then(&self) {
        let limit = {
            let mut random = locked(&self.folding);
            random.per_mille(40).then(|| random.pick(&[1, 2, 1_000], 1))
        };
        if let Some(limit) = limit {
            let _ = self.fold(limit);
        }
    }

    fn commit(&self, change: &ChangeSet, conflict: bool) -> Result<Committed, CommitError> {
        if conflict {
            return Err(CommitError::Conflict);
        }
        let result = at_once(self.world.storage.commit(change));
        let told = match &result {
            Ok(committed) => format!("landed {:?}", committed.number.map(|number| number.0)),
            Err(error) => error.to_string(),
        };
        self.world.line(&format!("commit {} {told}", change.id));
        match &result {
            Ok(committed) => {
                if locked(&self.landed).insert(change.id) {
                    self.world.see(&Event::Landed { change, committed: *committed });
                    self.world.see(&Event::Said(&format!("{change:?}")));
                }
            }
            Err(error) => self.world.see(&Event::Said(&format!("{error} {error:?}"))),
        }
        result
    }

    fn take_due(&self, lane: Lane, limit: u32, shares: DeliveryShares, lease: Duration) -> Result<Vec<Due>, PortError> {
        let due = at_once(self.world.storage.take_due(lane, limit, shares, lease))?;
        if !due.is_empty() {
            self.world.line(&format!("take {:?}", due.iter().map(|due| due.id.to_string()).collect::<Vec<_>>()));
            self.world.see(&Event::Said(&format!("{due:?}")));
            self.world.see(&Event::Taken { due: &due, lease });
        }
        Ok(due)
    }

    fn record_attempt(
        &self,
        account: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let result = at_once(self.world.storage.record_attempt(account, id, fence, attempt, next));
        self.world.line(&format!("record {id} {} {next:?} {}", attempt.attempt_number, result.is_ok()));
        if result.is_ok() {
            self.world.see(&Event::Said(&format!("{attempt:?}")));
            self.world.see(&Event::Recorded { id, fence, attempt, next });
        }
        result
    }
}

/// One host's connection to the storage.
#[derive(Clone)]
pub(crate) struct NetStorage {
    server: Arc<Server>,
}

const ON_ITS_WAY: &str = "lost on its way";

impl NetStorage {
    pub(crate) const fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    fn fate(&self) -> Fate {
        let world = &self.server.world;
        locked(&world.network).fate(Link::Storage, world.handle.now())
    }

    /// One call. `PortError` says what the network did to it; what the storage answered is inside.
    async fn call<T: Send + 'static>(
        &self,
        fate: Fate,
        work: impl Fn(&Server) -> T + Send + Sync + 'static,
        again: impl Fn(&Server) + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let handle = &self.server.world.handle;
        if fate.refused || fate.busy {
            handle.sleep_ms(fate.request_ms).await;
            self.server.world.see(&Event::Hindered);
            let kind = if fate.busy { PortErrorKind::Busy } else { PortErrorKind::Transient };
            return Err(PortError::new(kind, "turned away"));
        }
        let (answerer, awaited) = answer();
        let server = Arc::clone(&self.server);
        handle.spawn(None, async move {
            let handle = server.world.handle.clone();
            handle.sleep_ms(fate.request_ms).await;
            if !fate.loses_request {
                server.fold_now_and_then();
                let result = work(&server);
                handle.sleep_ms(fate.answer_ms).await;
                if fate.loses_answer {
                    drop(answerer);
                } else {
                    answerer.answer(result);
                }
                if let Some(pause) = fate.again_after {
                    handle.sleep_ms(pause).await;
                    again(&server);
                }
            }
        });
        let answered = handle.within(GIVE_UP_MS, awaited).await;
        answered.flatten().ok_or_else(|| {
            self.server.world.see(&Event::Hindered);
            PortError::outcome_unknown(ON_ITS_WAY)
        })
    }

    /// A read changes nothing, so its outcome is never unknown: it failed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn WorkStorage) -> Result<T, PortError> + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let fate = Fate { again_after: None, ..self.fate() };
        let result = self.call(fate, move |server| read(&*server.world.storage), |_| {}).await;
        result.map_err(|error| PortError::new(known(error.kind()), ON_ITS_WAY))?
    }
}

const fn known(kind: PortErrorKind) -> PortErrorKind {
    match kind {
        PortErrorKind::Busy => PortErrorKind::Busy,
        PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => PortErrorKind::Transient,
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Storage for NetStorage {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.account(id, key))).await
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.service(account_id, id, key))).await
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        let slug = slug.clone();
        self.read(move |storage| at_once(storage.shop(&slug, scope))).await
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.order(key, scope))).await
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        self.read(move |storage| at_once(storage.key(hash))).await
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        self.read(move |storage| at_once(storage.keys(account_id))).await
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        self.read(move |storage| at_once(storage.services(account_id))).await
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        let filter = filter.clone();
        self.read(move |storage| at_once(storage.orders(account_id, &filter, after, limit))).await
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        self.read(move |storage| at_once(storage.counts(account_id))).await
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        self.read(move |storage| at_once(storage.audit(account_id, order_id))).await
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        let filter = filter.clone();
        self.read(move |storage| at_once(storage.deliveries(account_id, &filter, after, limit))).await
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.read(move |storage| at_once(storage.delivery(account_id, id))).await
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        self.read(move |storage| at_once(storage.effect(account_id, id))).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        let id = id.clone();
        self.read(move |storage| at_once(storage.merchant(&id))).await
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.checkout(account_id, id))).await
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let id = id.clone();
        self.read(move |storage| at_once(storage.session(account_id, &id, event_id.clone()))).await
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        let id = id.clone();
        self.read(move |storage| at_once(storage.inbox(account_id, &id))).await
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        self.read(move |storage| at_once(storage.balance(account_id))).await
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        let filter = filter.clone();
        self.read(move |storage| at_once(storage.entries(account_id, &filter, after, limit))).await
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        self.read(move |storage| at_once(storage.exceptions(account_id, status, after, limit))).await
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.exception(account_id, id, key))).await
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.funds(account_id, key))).await
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        self.read(move |storage| at_once(storage.payout(key, scope))).await
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        self.read(move |storage| at_once(storage.payouts(account_id, status, after, limit))).await
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        self.read(move |storage| at_once(storage.payout_audit(account_id, id))).await
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        let key = key.clone();
        self.read(move |storage| at_once(storage.adjustment(account_id, &key))).await
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        self.read(move |storage| at_once(storage.outcome(account_id, id))).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let mut fate = self.fate();
        // A conflict that is none is told of a first sending only: an earlier one, still on its way, could land after it.
        let first = locked(&self.server.sent).insert(change.id);
        fate.conflict &= first;
        let (change, copy) = (change.clone(), change.clone());
        let again = move |server: &Server| {
            // No storage's protocol repeats a request that was answered with a refusal.
            if locked(&server.landed).contains(&copy.id) {
                let _ = server.commit(&copy, false);
            }
        };
        let committed = self.call(fate, move |server| server.commit(&change, fate.conflict), again).await?;
        if committed.is_err() {
            self.server.world.see(&Event::Hindered);
        }
        committed
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl WorkStorage for NetStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let take = move |server: &Server| server.take_due(lane, limit, shares, lease);
        self.call(self.fate(), take, move |server| drop(take(server))).await?
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        self.read(move |storage| at_once(storage.complete_before())).await
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        self.read(move |storage| at_once(storage.next_due(lane))).await
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let (attempt, copy) = (attempt.clone(), attempt.clone());
        let again = move |server: &Server| drop(server.record_attempt(account_id, id, fence, &copy, next));
        let record = move |server: &Server| server.record_attempt(account_id, id, fence, &attempt, next);
        self.call(self.fate(), record, again).await?
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        let work = move |server: &Server| server.fold(limit);
        self.call(self.fate(), work, move |server| drop(work(server))).await?
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        self.read(move |storage| at_once(storage.waiting(parked_before, limit))).await
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        self.read(move |storage| at_once(storage.payouts_in_flight(after, limit))).await
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        self.read(move |storage| at_once(storage.streak(account_id, id))).await
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        self.read(move |storage| at_once(storage.subscription_secrets(after, limit))).await
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        self.read(move |storage| at_once(storage.provisionings(after, limit))).await
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        self.read(move |storage| at_once(storage.given_up(after, limit))).await
    }

    /// All of one moment, as the port wants it: what is read stays here, and only the way there and back is the network's.
    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        self.read(move |storage| at_once(storage.discards(limit))).await
    }

    async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError> {
        self.read(move |storage| at_once(storage.set_aside(limit))).await
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let verification = verification.clone();
        self.read(move |storage| at_once(storage.books(account_id, &verification))).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        let work = move |server: &Server| at_once(server.world.storage.prune(prune));
        self.call(self.fate(), work, move |server| drop(work(server))).await?
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError> {
        let work = move |server: &Server| at_once(server.world.storage.touch_key(account_id, id, pause));
        self.call(self.fate(), work, move |server| drop(work(server))).await?
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        let uploads = uploads.to_vec();
        self.read(move |storage| at_once(storage.named_uploads(&uploads))).await
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        self.read(move |storage| at_once(storage.now())).await
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        self.read(move |storage| at_once(storage.installation())).await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        let work = move |server: &Server| at_once(server.world.storage.begin_installation(id));
        self.call(self.fate(), work, move |server| drop(work(server))).await?
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        let work = move |server: &Server| at_once(server.world.storage.put_key_check(was.clone(), check.clone()));
        let again = work.clone();
        self.call(self.fate(), work, move |server| drop(again(server))).await?
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.read(move |storage| at_once(storage.ready())).await
    }
}
