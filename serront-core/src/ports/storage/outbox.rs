//! The outbox: leases, attempts and streaks.

use crate::ports::signatures::*;

/// The lease ran out, and another worker took the effect or finished it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost")]
pub struct LeaseLost;

/// Why an attempt was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The lease was lost, so the attempt is in no log.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The storage failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

part! {
    __outbox!
    /// Hands out effects under leases, and records attempts.
    pub trait Outbox {
        /// Leases up to `limit` due effects of one lane, the longest due first.
        ///
        /// - An effect is due if it is pending, its due time has come by the storage's clock, and no running lease holds it.
        /// - No two running leases hold the same effect, however many hosts call this.
        /// - Each lease increases the effect's fence.
        ///
        /// Deliveries are shared out according to the running leases of all hosts:
        /// - One subscription holds at most [`per_subscription`](DeliveryShares::per_subscription), the longest due first.
        /// - A subscription gets a second, third, … delivery only while its account holds fewer than
        ///   [`per_account`](DeliveryShares::per_account). So an account holds at most that number, plus one for each of its
        ///   subscriptions.
        /// - A slow or failing subscription gets nothing while [`failing`](DeliveryShares::failing) deliveries to such
        ///   subscriptions are leased. It is failing while it has a streak. It is slow if its last attempt took at least
        ///   [`slow_after`](DeliveryShares::slow_after), counted in whole seconds.
        /// - The subscription that holds fewest comes first; then the one with the shortest streak of failures; then the one
        ///   with the longest due delivery. However long a queue is, it blocks no other.
        ///
        /// # Errors
        /// [`PortError`]; effects leased by then become due again when their leases run out.
        async fn take_due(
            &self,
            lane: Lane,
            limit: u32,
            shares: DeliveryShares,
            lease: Duration,
        ) -> Result<Vec<Due>, PortError>;

        /// The due time of the lane's earliest pending effect that is not leased, by the storage's clock.
        async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError>;

        /// Writes an attempt into the effect's log, ends the lease and sets what follows, in one transaction. The log keeps the
        /// latest [`ATTEMPTS_KEPT`](crate::changes::effect::ATTEMPTS_KEPT) attempts; their numbers and the effect's count continue.
        ///
        /// An attempt at a delivery also updates its subscription: a failure adds to the streak, a success ends it. The
        /// attempt's duration is stored there in whole seconds. Neither increases the subscription's version.
        ///
        /// # Errors
        /// [`LeaseLost`] if the fence is not the effect's present one; then nothing is written. Sending the same record again
        /// after an unknown outcome returns [`LeaseLost`] if the first one had landed.
        async fn record_attempt(
            &self,
            account_id: AccountId,
            id: EffectId,
            fence: Fence,
            attempt: &Attempt,
            next: NextAttempt,
        ) -> Result<(), RecordError>;

        /// A subscription's streak of failed attempts. `None` if the last attempt succeeded, if there was none since the
        /// subscription was last changed, or if the subscription does not exist.
        async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError>;
    }
}
