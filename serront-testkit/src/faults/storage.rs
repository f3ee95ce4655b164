//! The storage that fails as told, and remembers what was sent to it.

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
use serront_core::ports::{CommitError, PortError, RecordError, Storage, WorkStorage};
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

use super::{Call, Fault, Faults, refused};
use crate::memory::locked;

/// A storage around another one, which fails as told by its [`Faults`] and remembers what was sent to it.
#[derive(Debug)]
pub struct FaultyStorage<S: ?Sized> {
    faults: Faults,
    sent: Mutex<Vec<ChangeSet>>,
    inner: Arc<S>,
}

impl<S: ?Sized> FaultyStorage<S> {
    /// Around this storage, with nothing told yet.
    #[must_use]
    pub fn new(inner: Arc<S>) -> Self {
        Self::told_by(inner, &Faults::default())
    }

    /// Around this storage, under a plan that others share.
    #[must_use]
    pub fn told_by(inner: Arc<S>, faults: &Faults) -> Self {
        Self { faults: faults.clone(), sent: Mutex::default(), inner }
    }

    /// The plan, to tell what is to fail.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The storage within, which never fails.
    #[must_use]
    pub fn inner(&self) -> &Arc<S> {
        &self.inner
    }

    /// Every change set that was sent, in order, also those that did not land.
    #[must_use]
    pub fn sent(&self) -> Vec<ChangeSet> {
        locked(&self.sent).clone()
    }
}

// A method that a port gains with a default would go past the faults.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Storage + ?Sized> Storage for FaultyStorage<S> {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        self.faults.read(|| self.inner.account(id, key)).await
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        self.faults.read(|| self.inner.service(account_id, id, key)).await
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        self.faults.read(|| self.inner.shop(slug, scope)).await
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        self.faults.read(|| self.inner.order(key, scope)).await
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        self.faults.read(|| self.inner.key(hash)).await
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        self.faults.read(|| self.inner.keys(account_id)).await
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        self.faults.read(|| self.inner.services(account_id)).await
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        self.faults.read(|| self.inner.orders(account_id, filter, after, limit)).await
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        self.faults.read(|| self.inner.counts(account_id)).await
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        self.faults.read(|| self.inner.audit(account_id, order_id)).await
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        self.faults.read(|| self.inner.deliveries(account_id, filter, after, limit)).await
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.faults.read(|| self.inner.delivery(account_id, id)).await
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        self.faults.read(|| self.inner.effect(account_id, id)).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        self.faults.read(|| self.inner.merchant(id)).await
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        self.faults.read(|| self.inner.checkout(account_id, id)).await
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        self.faults.read(|| self.inner.session(account_id, id, event_id.clone())).await
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        self.faults.read(|| self.inner.inbox(account_id, id)).await
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        self.faults.read(|| self.inner.balance(account_id)).await
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        self.faults.read(|| self.inner.entries(account_id, filter, after, limit)).await
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        self.faults.read(|| self.inner.exceptions(account_id, status, after, limit)).await
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        self.faults.read(|| self.inner.exception(account_id, id, key)).await
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        self.faults.read(|| self.inner.funds(account_id, key)).await
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        self.faults.read(|| self.inner.payout(key, scope)).await
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        self.faults.read(|| self.inner.payouts(account_id, status, after, limit)).await
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        self.faults.read(|| self.inner.payout_audit(account_id, id)).await
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        self.faults.read(|| self.inner.adjustment(account_id, key)).await
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        self.faults.read(|| self.inner.outcome(account_id, id)).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        locked(&self.sent).push(change.clone());
        let (life, fault) = self.faults.next(Call::Commit).await;
        if fault == Some(Fault::Conflict) {
            // A change set's id is tested before its guards: one that landed is never in conflict with itself.
            let landed = self.inner.outcome(change.account_id, change.id).await?;
            return landed.ok_or(CommitError::Conflict);
        }
        self.faults.carry_out(life, Call::Commit, fault, || self.inner.commit(change), refused).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: WorkStorage + ?Sized> WorkStorage for FaultyStorage<S> {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        self.faults.write(Call::TakeDue, || self.inner.take_due(lane, limit, shares, lease)).await
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        self.faults.read(|| self.inner.complete_before()).await
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        self.faults.read(|| self.inner.next_due(lane)).await
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let record = || self.inner.record_attempt(account_id, id, fence, attempt, next);
        self.faults.write(Call::RecordAttempt, record).await
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        self.faults.write(Call::FoldDeltas, || self.inner.fold_deltas(limit)).await
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        self.faults.read(|| self.inner.waiting(parked_before, limit)).await
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        self.faults.read(|| self.inner.payouts_in_flight(after, limit)).await
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        self.faults.read(|| self.inner.streak(account_id, id)).await
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        self.faults.read(|| self.inner.subscription_secrets(after, limit)).await
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        self.faults.read(|| self.inner.provisionings(after, limit)).await
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        self.faults.read(|| self.inner.given_up(after, limit)).await
    }

    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        self.faults.read(|| self.inner.discards(limit)).await
    }

    async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError> {
        self.faults.read(|| self.inner.set_aside(limit)).await
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        self.faults.read(|| self.inner.books(account_id, verification)).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        self.faults.write(Call::Prune, || self.inner.prune(prune)).await
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError> {
        self.faults.write(Call::TouchKey, || self.inner.touch_key(account_id, id, pause)).await
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        self.faults.read(|| self.inner.named_uploads(uploads)).await
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        self.faults.read(|| self.inner.now()).await
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        self.faults.read(|| self.inner.installation()).await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.faults.write(Call::BeginInstallation, || self.inner.begin_installation(id)).await
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        self.faults.write(Call::PutKeyCheck, || self.inner.put_key_check(was.clone(), check.clone())).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.faults.read(|| self.inner.ready()).await
    }
}
