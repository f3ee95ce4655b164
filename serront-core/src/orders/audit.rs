//! The audit trail: append-only records, each in the commit of what it tells of.

use serde::{Deserialize, Serialize};

use crate::accounts::actor::{Actor, told_apart};
use crate::accounts::key::AccessToken;
use crate::orders::exception_kind::ExceptionKind;
use crate::orders::order::WorkStatus;
use crate::orders::payment::PaymentStatus;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, AdjustmentId, AuditId, ExceptionId, OrderId, PaymentId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// The order was placed with this first quote.
    Placed {
        /// Zero if there is none yet.
        quote: Rupiah,
    },
    /// The payment moved along its track.
    Payment {
        /// From here.
        from: PaymentStatus,
        /// To here.
        to: PaymentStatus,
        /// The digest of the receipt that was there, if any.
        proof_sha256: Option<Digest256>,
    },
    /// A receipt was uploaded.
    Receipt {
        /// Its digest.
        proof_sha256: Digest256,
        /// The digest of the one it replaced.
        replaced_sha256: Option<Digest256>,
    },
    /// The quote was set.
    Quote {
        /// From this.
        from: Rupiah,
        /// To this.
        to: Rupiah,
    },
    /// Money arrived online, and is in the ledger.
    Settled {
        /// Through this session.
        session_id: SessionId,
        /// So much.
        amount: Rupiah,
        /// Less this fee.
        fee: Rupiah,
        /// Why it could not confirm the order, if it could not.
        exception: Option<ExceptionKind>,
    },
    /// An exception was looked after.
    Resolved {
        /// Which exception.
        exception_id: ExceptionId,
        /// The adjustment that settled it, if it was named.
        adjustment_id: Option<AdjustmentId>,
    },
    /// The work moved along its track.
    Work {
        /// From here.
        from: WorkStatus,
        /// To here.
        to: WorkStatus,
    },
    /// The order got another access token. Both are told apart as in [`Actor::Buyer`].
    TokenRotated {
        /// Instead of this.
        from: String,
        /// It is this.
        to: String,
    },
}

impl Act {
    /// The access token was replaced.
    #[must_use]
    pub fn token_rotated(from: &AccessToken, to: &AccessToken) -> Self {
        Self::TokenRotated { from: told_apart(from), to: told_apart(to) }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Which record.
    pub id: AuditId,
    /// In whose account.
    pub account_id: AccountId,
    /// About which order.
    pub order_id: OrderId,
    /// About which payment of it.
    pub payment_id: PaymentId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub act: Act,
    /// What the actor added.
    pub note: Option<String>,
}
