//! The storage port for [`SqliteStorage`] and [`SqliteTransaction`]. They differ in the connection of a read, and in
//! how a change set is applied.

use async_trait::async_trait;
use serront_core::audit::AuditRecord;
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::effect::{DeliveryRecord, EffectId, EffectRecord};
use serront_core::exception::{ExceptionStatus, PaymentException};
use serront_core::idempotency::{Kept, Scope};
use serront_core::ids::{AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, OrderId, PayoutId, ServiceId};
use serront_core::inbox::InboxRecord;
use serront_core::key::KeyRecord;
use serront_core::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::order::{OrderNumber, WorkCounts};
use serront_core::page::{
    DeliveryFilter, DeliveryPosition, EntryFilter, EntryPosition, ExceptionPosition, Limit, OrderFilter, OrderRow,
    Page, PayoutPosition,
};
use serront_core::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::ports::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Clock, CommitError, ExceptionSnapshot, FundsSnapshot, OrderKey,
    OrderSnapshot, PayoutKey, PayoutSnapshot, PortError, ServiceSnapshot, SessionSnapshot, ShopSnapshot, Storage,
};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use serront_core::text::Slug;

use super::bound::{SqliteTransaction, lent};
use super::{SqliteStorage, funds, pooled, read};

/// Drops an outcome that has expired by the storage's clock.
fn forget_ended(clock: &dyn Clock, kept: Option<&mut Option<Kept>>) {
    if let Some(kept) = kept {
        kept.take_if(|kept| kept.until <= clock.now());
    }
}

macro_rules! storage {
    ($storage:ty, $read:ident) => {
        #[async_trait]
        impl Storage for $storage {
            async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| read::account(connection, id, key))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn service(
                &self,
                account_id: AccountId,
                id: ServiceId,
                key: Option<Scope>,
            ) -> Result<Option<ServiceSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| read::service(connection, account_id, id, key))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
                let mut found = $read!(self, |connection| read::shop(connection, slug, scope))?;
                forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                Ok(found)
            }

            async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| read::order(connection, key, scope))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
                $read!(self, |connection| read::key(connection, hash))
            }

            async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
                $read!(self, |connection| read::keys(connection, account_id))
            }

            async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
                $read!(self, |connection| read::services(connection, account_id))
            }

            async fn orders(
                &self,
                account_id: AccountId,
                filter: &OrderFilter,
                after: Option<OrderNumber>,
                limit: Limit,
            ) -> Result<Page<OrderRow>, PortError> {
                $read!(self, |connection| read::orders(connection, account_id, filter, after, limit))
            }

            async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
                $read!(self, |connection| read::counts(connection, account_id))
            }

            async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
                $read!(self, |connection| read::audit(connection, account_id, order_id))
            }

            async fn deliveries(
                &self,
                account_id: AccountId,
                filter: &DeliveryFilter,
                after: Option<DeliveryPosition>,
                limit: Limit,
            ) -> Result<Page<DeliveryRecord>, PortError> {
                $read!(self, |connection| read::deliveries(connection, account_id, filter, after, limit))
            }

            async fn delivery(
                &self,
                account_id: AccountId,
                id: DeliveryId,
            ) -> Result<Option<DeliveryRecord>, PortError> {
                $read!(self, |connection| read::delivery(connection, account_id, id))
            }

            async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
                $read!(self, |connection| read::effect(connection, account_id, id))
            }

            async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
                $read!(self, |connection| read::merchant(connection, id))
            }

            async fn checkout(
                &self,
                account_id: AccountId,
                id: CheckoutId,
            ) -> Result<Option<CheckoutSnapshot>, PortError> {
                $read!(self, |connection| read::checkout(connection, account_id, id))
            }

            async fn session(
                &self,
                account_id: AccountId,
                id: &SessionId,
                event_id: Option<ProviderEventId>,
            ) -> Result<SessionSnapshot, PortError> {
                $read!(self, |connection| read::session(connection, account_id, id, event_id))
            }

            async fn inbox(
                &self,
                account_id: AccountId,
                id: &ProviderEventId,
            ) -> Result<Option<InboxRecord>, PortError> {
                $read!(self, |connection| read::inbox(connection, account_id, id))
            }

            async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
                $read!(self, |connection| funds::balance(connection, account_id))
            }

            async fn entries(
                &self,
                account_id: AccountId,
                filter: &EntryFilter,
                after: Option<EntryPosition>,
                limit: Limit,
            ) -> Result<Page<LedgerEntry>, PortError> {
                $read!(self, |connection| funds::entries(connection, account_id, filter, after, limit))
            }

            async fn exceptions(
                &self,
                account_id: AccountId,
                status: Option<ExceptionStatus>,
                after: Option<ExceptionPosition>,
                limit: Limit,
            ) -> Result<Page<PaymentException>, PortError> {
                $read!(self, |connection| funds::exceptions(connection, account_id, status, after, limit))
            }

            async fn exception(
                &self,
                account_id: AccountId,
                id: ExceptionId,
                key: Option<Scope>,
            ) -> Result<Option<ExceptionSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| funds::exception(connection, account_id, id, key))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
                $read!(self, |connection| read::outcome(connection, account_id, id))
            }

            async fn funds(
                &self,
                account_id: AccountId,
                key: Option<Scope>,
            ) -> Result<Option<FundsSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| funds::funds(connection, account_id, key))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
                {
                    let mut found = $read!(self, |connection| funds::payout(connection, key, scope))?;
                    forget_ended(self.clock(), found.as_mut().map(|found| &mut found.kept));
                    Ok(found)
                }
            }

            async fn payouts(
                &self,
                account_id: AccountId,
                status: Option<PayoutStatus>,
                after: Option<PayoutPosition>,
                limit: Limit,
            ) -> Result<Page<Payout>, PortError> {
                $read!(self, |connection| funds::payouts(connection, account_id, status, after, limit))
            }

            async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
                $read!(self, |connection| funds::payout_audit(connection, account_id, id))
            }

            async fn adjustment(
                &self,
                account_id: AccountId,
                key: &AdjustmentKey,
            ) -> Result<Option<Adjustment>, PortError> {
                $read!(self, |connection| funds::adjustment(connection, account_id, key))
            }

            async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
                self.apply(change).await
            }
        }
    };
}

storage!(SqliteStorage, pooled);
storage!(SqliteTransaction, lent);
