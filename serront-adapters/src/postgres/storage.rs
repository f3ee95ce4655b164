//! The storage port for [`PostgresStorage`] and [`BoundPostgres`]. They differ in the connection of a read, in what
//! concurrent callers share, and in how a change set is applied.

use async_trait::async_trait;
use serront_core::audit::AuditRecord;
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::effect::{DeliveryRecord, EffectId, EffectRecord};
use serront_core::exception::{ExceptionStatus, PaymentException};
use serront_core::idempotency::Scope;
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
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, CommitError, ExceptionSnapshot, FundsSnapshot, OrderKey,
    OrderSnapshot, PayoutKey, PayoutSnapshot, PortError, ServiceSnapshot, SessionSnapshot, ShopSnapshot, Storage,
};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use serront_core::text::Slug;

use super::bound::{BoundPostgres, inside};
use super::{PostgresStorage, funds, pooled, read};

macro_rules! storage {
    ($storage:ty, $read:ident) => {
        #[async_trait]
        impl Storage for $storage {
            async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| read::account(connection, (schema, &self.now_sql()), id, key))?)
            }

            async fn service(
                &self,
                account_id: AccountId,
                id: ServiceId,
                key: Option<Scope>,
            ) -> Result<Option<ServiceSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| read::service(
                    connection,
                    (schema, &self.now_sql()),
                    account_id,
                    id,
                    key
                ))?)
            }

            async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| read::shop(connection, (schema, &self.now_sql()), slug, scope))?)
            }

            async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
                self.find_order(key, scope).await
            }

            async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
                self.find_key(hash).await
            }

            async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::keys(connection, schema, account_id))?)
            }

            async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
                Ok($read!(self, |connection, schema| read::services(connection, schema, account_id))?)
            }

            async fn orders(
                &self,
                account_id: AccountId,
                filter: &OrderFilter,
                after: Option<OrderNumber>,
                limit: Limit,
            ) -> Result<Page<OrderRow>, PortError> {
                Ok($read!(self, |connection, schema| read::orders(
                    connection, schema, account_id, filter, after, limit
                ))?)
            }

            async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
                Ok($read!(self, |connection, schema| read::counts(connection, schema, account_id))?)
            }

            async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::audit(connection, schema, account_id, order_id))?)
            }

            async fn deliveries(
                &self,
                account_id: AccountId,
                filter: &DeliveryFilter,
                after: Option<DeliveryPosition>,
                limit: Limit,
            ) -> Result<Page<DeliveryRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::deliveries(
                    connection, schema, account_id, filter, after, limit
                ))?)
            }

            async fn delivery(
                &self,
                account_id: AccountId,
                id: DeliveryId,
            ) -> Result<Option<DeliveryRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::delivery(connection, schema, account_id, id))?)
            }

            async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::effect(connection, schema, account_id, id))?)
            }

            async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
                self.find_merchant(id).await
            }

            async fn checkout(
                &self,
                account_id: AccountId,
                id: CheckoutId,
            ) -> Result<Option<CheckoutSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| read::checkout(connection, schema, account_id, id))?)
            }

            async fn session(
                &self,
                account_id: AccountId,
                id: &SessionId,
                event_id: Option<ProviderEventId>,
            ) -> Result<SessionSnapshot, PortError> {
                self.find_session(account_id, id, event_id).await
            }

            async fn inbox(
                &self,
                account_id: AccountId,
                id: &ProviderEventId,
            ) -> Result<Option<InboxRecord>, PortError> {
                Ok($read!(self, |connection, schema| read::inbox(connection, schema, account_id, id))?)
            }

            async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
                Ok($read!(self, |connection, schema| funds::balance(connection, schema, account_id))?)
            }

            async fn entries(
                &self,
                account_id: AccountId,
                filter: &EntryFilter,
                after: Option<EntryPosition>,
                limit: Limit,
            ) -> Result<Page<LedgerEntry>, PortError> {
                Ok($read!(self, |connection, schema| funds::entries(
                    connection, schema, account_id, filter, after, limit
                ))?)
            }

            async fn exceptions(
                &self,
                account_id: AccountId,
                status: Option<ExceptionStatus>,
                after: Option<ExceptionPosition>,
                limit: Limit,
            ) -> Result<Page<PaymentException>, PortError> {
                Ok($read!(self, |connection, schema| funds::exceptions(
                    connection, schema, account_id, status, after, limit
                ))?)
            }

            async fn exception(
                &self,
                account_id: AccountId,
                id: ExceptionId,
                key: Option<Scope>,
            ) -> Result<Option<ExceptionSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| funds::exception(
                    connection,
                    (schema, &self.now_sql()),
                    account_id,
                    id,
                    key
                ))?)
            }

            async fn funds(
                &self,
                account_id: AccountId,
                key: Option<Scope>,
            ) -> Result<Option<FundsSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| funds::funds(
                    connection,
                    (schema, &self.now_sql()),
                    account_id,
                    key
                ))?)
            }

            async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
                Ok($read!(self, |connection, schema| funds::payout(connection, (schema, &self.now_sql()), key, scope))?)
            }

            async fn payouts(
                &self,
                account_id: AccountId,
                status: Option<PayoutStatus>,
                after: Option<PayoutPosition>,
                limit: Limit,
            ) -> Result<Page<Payout>, PortError> {
                Ok($read!(self, |connection, schema| funds::payouts(
                    connection, schema, account_id, status, after, limit
                ))?)
            }

            async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
                Ok($read!(self, |connection, schema| funds::payout_audit(connection, schema, account_id, id))?)
            }

            async fn adjustment(
                &self,
                account_id: AccountId,
                key: &AdjustmentKey,
            ) -> Result<Option<Adjustment>, PortError> {
                Ok($read!(self, |connection, schema| funds::adjustment(connection, schema, account_id, key))?)
            }

            async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
                self.find_outcome(account_id, id).await
            }

            async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
                self.apply(change).await
            }
        }
    };
}

storage!(PostgresStorage, pooled);
storage!(BoundPostgres<'_>, inside);
