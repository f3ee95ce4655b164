//! Exceptions: money that arrived online but did not confirm its order. It is in the ledger nevertheless. The seller
//! resolves the exception with a note, and it stays on record.

use crate::orders::exception_kind::ExceptionKind;
use crate::primitives::ids::{AccountId, AdjustmentId, ExceptionId, OrderId};
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

named_enum! {
    /// Whether the seller has dealt with an exception.
    pub enum ExceptionStatus {
        /// Waiting for the seller.
        Open = "open",
        /// Resolved by the seller, with a note.
        Resolved = "resolved",
    }
}

/// Money that arrived but did not confirm its order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PaymentException {
    pub id: ExceptionId,
    pub account_id: AccountId,
    pub kind: ExceptionKind,
    pub order_id: OrderId,
    pub session_id: SessionId,
    /// The gross amount that arrived.
    pub amount: Rupiah,
    pub created_at: Timestamp,
    pub state: ExceptionState,
}

/// The mutable part of an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct ExceptionState {
    pub version: Version,
    pub status: ExceptionStatus,
    /// The seller's explanation; `None` while open.
    pub note: Option<String>,
    /// The operator's adjustment that settled it; `None` if the seller named none.
    pub adjustment_id: Option<AdjustmentId>,
    /// `None` while open.
    pub resolved_at: Option<Timestamp>,
}
