//! (b) The library: its service over one of its storages, with the system's clock, ids and secrets.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::account::Version;
use serront_core::audit::{Actor, AuditRecord};
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::effect::{DeliveryRecord, EffectId, EffectRecord};
use serront_core::exception::{ExceptionStatus, PaymentException};
use serront_core::fold::Folder;
use serront_core::idempotency::Scope;
use serront_core::ids::{AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, OrderId, PayoutId, ServiceId};
use serront_core::inbox::{InboxRecord, InboxStatus};
use serront_core::key::KeyRecord;
use serront_core::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::order::{OrderNumber, WorkCounts};
use serront_core::page::{
    DeliveryFilter, DeliveryPosition, EntryFilter, EntryPosition, ExceptionPosition, Limit, OrderFilter, OrderRow,
    Page, PayoutPosition,
};
use serront_core::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::policy::Policy;
use serront_core::ports::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Clock, CommitError, ExceptionSnapshot, FundsSnapshot, OrderKey,
    OrderSnapshot, PayoutKey, PayoutSnapshot, PortError, ServiceSnapshot, SessionSnapshot, ShopSnapshot, Storage,
    WorkStorage,
};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use serront_core::sealed::NoKeys;
use serront_core::service::{Environment, Local};
use serront_core::text::Slug;

use tokio::sync::oneshot;

use crate::stage::{PageSeen, Request, Trouble, Way};

/// The library over a storage.
pub(crate) struct Library<S> {
    storage: Arc<S>,
    policy: Policy,
    actor: Actor,
}

impl<S: WorkStorage> Library<S> {
    pub(crate) fn new(storage: Arc<S>) -> Result<Self, Trouble> {
        Ok(Self { storage, policy: Policy::default(), actor: Actor::host(crate::hand::ACTOR)? })
    }

    /// Folds as a host does, until the sender is dropped; answers the number of deltas.
    pub(crate) async fn fold(&self, mut end: oneshot::Receiver<()>) -> Result<u64, Trouble> {
        let mut folder = Folder::new(&*self.storage, self.environment());
        let mut deltas = 0;
        loop {
            let now = SystemClock.now();
            let folded = folder.step(now).await?;
            deltas += folded.deltas;
            tokio::select! {
                biased;
                _ = &mut end => return Ok(deltas),
                () = tokio::time::sleep(folded.next.since(now)) => {}
            }
        }
    }

    fn environment(&self) -> Environment<'_> {
        Environment {
            clock: &SystemClock,
            ids: &RandomIds,
            secrets: &SystemSecrets,
            sealer: &NoKeys,
            policy: &self.policy,
        }
    }

    fn local(&self) -> Local<'_, S> {
        Local::new(&*self.storage, self.environment())
    }
}

#[async_trait]
impl<S: WorkStorage> Way for Library<S> {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let Request { account, order, stale, .. } = request;
        if *stale {
            let storage = StaleOnce { storage: &*self.storage, stale: AtomicBool::new(true) };
            let local = Local::new(&storage, self.environment());
            local.confirm_payment(*account, *order, &self.actor, None, None).await?;
        } else {
            self.local().confirm_payment(*account, *order, &self.actor, None, None).await?;
        }
        Ok(())
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let (filter, limit) = (OrderFilter::default(), Limit::parse(None)?);
        let page = self.local().orders(request.account, &filter, request.cursor.as_deref(), limit).await?;
        let WorkCounts { requested, confirmed, declined, in_progress, delivered, completed, canceled } = page.counts;
        let counts = [requested, confirmed, declined, in_progress, delivered, completed, canceled];
        Ok(PageSeen {
            rows: page.orders.len(),
            first: page.orders.first().map_or(0, |order| order.number.0),
            orders: counts.into_iter().sum(),
        })
    }

    async fn notify(&self, request: &Request) -> Result<(), Trouble> {
        let notification = request.notification.as_ref().ok_or("an order without a notification")?;
        let (signature, body) = (Some(notification.signature.as_str()), notification.body.as_bytes());
        let status = self.local().receive_notification(signature, body).await?;
        if status == InboxStatus::Applied { Ok(()) } else { Err(format!("it became {}", status.as_str()).into()) }
    }
}

/// A storage whose first answer about an order is one version behind, as if the order was written between the caller's
/// read and commit. The change set based on it conflicts exactly once.
struct StaleOnce<'s, S> {
    storage: &'s S,
    stale: AtomicBool,
}

#[async_trait]
impl<S: Storage> Storage for StaleOnce<'_, S> {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        self.storage.account(id, key).await
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        self.storage.service(account_id, id, key).await
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        self.storage.shop(slug, scope).await
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let mut found = self.storage.order(key, scope).await?;
        if let Some(snapshot) = &mut found
            && self.stale.swap(false, Ordering::Relaxed)
        {
            let version = &mut snapshot.order.state.version;
            *version = Version(version.0.saturating_sub(1));
        }
        Ok(found)
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        self.storage.key(hash).await
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        self.storage.keys(account_id).await
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        self.storage.services(account_id).await
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        self.storage.orders(account_id, filter, after, limit).await
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        self.storage.counts(account_id).await
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        self.storage.audit(account_id, order_id).await
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        self.storage.deliveries(account_id, filter, after, limit).await
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.storage.delivery(account_id, id).await
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        self.storage.effect(account_id, id).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        self.storage.merchant(id).await
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        self.storage.checkout(account_id, id).await
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        self.storage.session(account_id, id, event_id).await
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        self.storage.inbox(account_id, id).await
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        self.storage.balance(account_id).await
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        self.storage.entries(account_id, filter, after, limit).await
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        self.storage.exceptions(account_id, status, after, limit).await
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        self.storage.exception(account_id, id, key).await
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        self.storage.funds(account_id, key).await
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        self.storage.payout(key, scope).await
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        self.storage.payouts(account_id, status, after, limit).await
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        self.storage.payout_audit(account_id, id).await
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        self.storage.adjustment(account_id, key).await
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        self.storage.outcome(account_id, id).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        self.storage.commit(change).await
    }
}
