//! Lists across all accounts, for the operator.

use crate::ports::signatures::*;

part! {
    __operator_reads!
    /// Reads what waits for the operator, across all accounts.
    pub trait OperatorReads {
        /// The notifications that need the operator, oldest first: those parked before `parked_before`, and every one that is
        /// unreadable or in a foreign currency.
        async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError>;

        /// A page of the payouts after `after` that are pending or in transit, oldest first.
        async fn payouts_in_flight(
            &self,
            after: Option<PayoutPosition>,
            limit: Limit,
        ) -> Result<Page<Payout>, PortError>;

        /// A page of the effects of every kind before `after` that were given up and not discarded, newest first.
        ///
        /// Must touch about as many rows as it returns, however many effects there are.
        async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError>;

        /// Up to `limit` records of discarded effects, latest first.
        async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError>;

        /// Up to `limit` rows that this version can't read, oldest first, and their total number.
        async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError>;
    }
}
