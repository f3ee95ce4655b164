//! Folding and verification.

use crate::ports::signatures::*;

part! {
    __bookkeeping!
    /// Folds deltas into totals, and supplies the data for a verification.
    pub trait Bookkeeping {
        /// Moves up to `limit` deltas of each kind (counts, balances) into their totals, and returns the number moved.
        ///
        /// Must delete a delta in the same statement that adds it, so that none counts twice. A storage without deltas
        /// returns 0.
        async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError>;

        /// The time before which the ledger is complete: no entry of any account with an earlier time will land any more.
        ///
        /// - It is [`POSTED_WITHIN`](crate::funds::ledger::POSTED_WITHIN) before the storage's present time. If an open transaction
        ///   has posted and began earlier than that, it is the beginning of the oldest such transaction.
        /// - The caller must ask for it before it reads the entries that it applies to.
        async fn complete_before(&self) -> Result<Timestamp, PortError>;

        /// Passes the books of one account, or of all accounts, to a verification.
        ///
        /// - They come in pieces: every entry in exactly one of them, the stored totals with the deltas not folded yet, and the
        ///   payouts in flight.
        /// - All pieces show the same moment, however long this takes; other commits continue.
        ///
        /// # Errors
        /// [`PortError`]; the pieces passed so far are then incomplete.
        async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError>;
    }
}
