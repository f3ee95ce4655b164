//! Balances, payouts and adjustments.

use crate::ports::signatures::*;

part! {
    __funds_reads!
    /// Reads sellers' balances, payouts and adjustments.
    pub trait FundsReads {
        /// The entries on the seller's balance, summed up by code and ordered by the codes' names. A code without entries is
        /// left out.
        ///
        /// Must read the stored totals and the deltas that are not folded yet in one snapshot.
        async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError>;

        /// A page of the entries on the seller's balance before `after`, newest first.
        async fn entries(
            &self,
            account_id: AccountId,
            filter: &EntryFilter,
            after: Option<EntryPosition>,
            limit: Limit,
        ) -> Result<Page<LedgerEntry>, PortError>;

        /// The amount in flight, the balance and the default bank account, all of one moment. `None` if the account does not
        /// exist.
        async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError>;

        /// One payout. `scope` belongs to the payout's account.
        async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError>;

        /// A page of the account's payouts before `after`, newest first. `None` as the status means every status.
        async fn payouts(
            &self,
            account_id: AccountId,
            status: Option<PayoutStatus>,
            after: Option<PayoutPosition>,
            limit: Limit,
        ) -> Result<Page<Payout>, PortError>;

        /// The recorded steps of one payout, oldest first.
        async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError>;

        /// One adjustment of the account.
        async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError>;
    }
}
