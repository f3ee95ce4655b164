//! Deliveries, and the other effects of one account.

use crate::ports::signatures::*;

part! {
    __webhook_reads!
    /// Reads the log of deliveries.
    pub trait WebhookReads {
        /// A page of the account's deliveries before `after`, newest first.
        async fn deliveries(
            &self,
            account_id: AccountId,
            filter: &DeliveryFilter,
            after: Option<DeliveryPosition>,
            limit: Limit,
        ) -> Result<Page<DeliveryRecord>, PortError>;

        /// One delivery.
        async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError>;

        /// One effect of the account, of any kind.
        async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError>;
    }
}
