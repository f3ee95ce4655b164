//! Exceptions: money that arrived online and could not confirm its order. It is in the ledger all the same; the seller
//! looks at it and resolves it with a note. A resolved one stays on record.

use serde::{Deserialize, Serialize};

use crate::orders::exception_kind::ExceptionKind;
use crate::primitives::ids::{AccountId, AdjustmentId, ExceptionId, OrderId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// Whether somebody has looked after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionStatus {
    /// Nobody has yet.
    Open,
    /// The seller has, and said how.
    Resolved,
}

impl ExceptionStatus {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Open, Self::Resolved];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Money that arrived and could not confirm its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentException {
    /// Which exception.
    pub id: ExceptionId,
    /// In whose account.
    pub account_id: AccountId,
    /// Why.
    pub kind: ExceptionKind,
    /// Of which order.
    pub order_id: OrderId,
    /// Through which session.
    pub session_id: SessionId,
    /// How much arrived.
    pub amount: Rupiah,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// What may change.
    pub state: ExceptionState,
}

/// The part of an exception that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionState {
    /// How often it was written.
    pub version: Version,
    /// Whether somebody has looked after it.
    pub status: ExceptionStatus,
    /// How it was resolved, in the seller's words.
    pub note: Option<String>,
    /// The operator's adjustment that settled it, if it was named.
    pub adjustment_id: Option<AdjustmentId>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}
