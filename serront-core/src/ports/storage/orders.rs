//! Orders, their counts and their audit trails.

use crate::ports::signatures::*;

part! {
    __order_reads!
    /// Reads orders.
    pub trait OrderReads {
        /// One order. `scope` belongs to the order's account.
        async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError>;

        /// A page of the account's orders with numbers below `after`, highest first.
        ///
        /// Unless the filter searches for words, must touch about as many rows as it returns, however deep the page.
        async fn orders(
            &self,
            account_id: AccountId,
            filter: &OrderFilter,
            after: Option<OrderNumber>,
            limit: Limit,
        ) -> Result<Page<OrderRow>, PortError>;

        /// The number of the account's orders in each state. Must read stored counts, not count rows.
        async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError>;

        /// The audit trail of one order, oldest first.
        async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError>;
    }
}
