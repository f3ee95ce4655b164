//! The audit trail: append-only records, each written in the same commit as the change that it describes.

use serde::{Deserialize, Serialize};

use crate::accounts::actor::{Actor, token_fingerprint};
use crate::accounts::key::AccessToken;
use crate::orders::exception_kind::ExceptionKind;
use crate::orders::order::WorkStatus;
use crate::orders::payment::PaymentStatus;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, AdjustmentId, AuditId, ExceptionId, OrderId, PaymentId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

/// A recorded change of an order, with old and new values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub enum Act {
    /// The order was placed.
    Placed {
        /// The first quote; zero if there is none yet.
        quote: Rupiah,
    },
    /// The payment's status changed.
    Payment {
        from: PaymentStatus,
        to: PaymentStatus,
        /// The digest of the receipt at that time; `None` without one.
        proof_sha256: Option<Digest256>,
    },
    /// The buyer uploaded a receipt.
    Receipt {
        proof_sha256: Digest256,
        /// The digest of the replaced receipt; `None` for the first one.
        replaced_sha256: Option<Digest256>,
    },
    /// The seller set the quote.
    Quote { from: Rupiah, to: Rupiah },
    /// Money arrived online and was posted to the ledger.
    Settled {
        session_id: SessionId,
        /// Gross, before the fee.
        amount: Rupiah,
        fee: Rupiah,
        /// Why the money did not confirm the order; `None` if it did.
        exception: Option<ExceptionKind>,
    },
    /// The seller resolved an exception.
    Resolved {
        exception_id: ExceptionId,
        /// The adjustment that settled it; `None` if the seller named none.
        adjustment_id: Option<AdjustmentId>,
    },
    /// The order's work status changed.
    Work { from: WorkStatus, to: WorkStatus },
    /// The order's access token was replaced. Both are recorded as fingerprints, as in [`Actor::Buyer`].
    TokenRotated { from: String, to: String },
}

impl Act {
    /// Records a replaced access token, by fingerprints.
    #[must_use]
    pub fn token_rotated(from: &AccessToken, to: &AccessToken) -> Self {
        Self::TokenRotated { from: token_fingerprint(from), to: token_fingerprint(to) }
    }
}

/// One record of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct AuditRecord {
    pub id: AuditId,
    pub account_id: AccountId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub at: Timestamp,
    pub actor: Actor,
    pub act: Act,
    /// The actor's comment, if any.
    pub note: Option<String>,
}
