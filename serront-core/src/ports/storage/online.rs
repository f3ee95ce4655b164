//! Online payment: checkouts, Plugipay's sessions and notifications, and exceptions.

use crate::ports::signatures::*;

part! {
    __online_reads!
    /// Reads what online payment stores.
    pub trait OnlineReads {
        /// The provisioning of the account that is this merchant at Plugipay.
        async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError>;

        /// One checkout with its order.
        async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError>;

        /// What the storage knows about a session id, and the status of one event for it.
        async fn session(
            &self,
            account_id: AccountId,
            id: &SessionId,
            event_id: Option<ProviderEventId>,
        ) -> Result<SessionSnapshot, PortError>;

        /// One notification.
        async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError>;

        /// A page of the account's exceptions before `after`, newest first. `None` as the status means every status.
        async fn exceptions(
            &self,
            account_id: AccountId,
            status: Option<ExceptionStatus>,
            after: Option<ExceptionPosition>,
            limit: Limit,
        ) -> Result<Page<PaymentException>, PortError>;

        /// One exception.
        async fn exception(
            &self,
            account_id: AccountId,
            id: ExceptionId,
            key: Option<Scope>,
        ) -> Result<Option<ExceptionSnapshot>, PortError>;
    }
}
