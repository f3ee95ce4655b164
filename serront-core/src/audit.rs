//! The audit trail: append-only records, each in the commit of what it tells of.

use serde::{Deserialize, Serialize};

use crate::checkout::{ProviderEventId, SessionId};
use crate::exception::ExceptionKind;
use crate::ids::{AccountId, AdjustmentId, AuditId, ExceptionId, KeyId, OrderId, PaymentId};
use crate::key::AccessToken;
use crate::money::Rupiah;
use crate::order::WorkStatus;
use crate::payment::PaymentStatus;
use crate::receipt::Digest256;
use crate::rejection::Invalid;
use crate::text;
use crate::time::Timestamp;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// Whoever held the order's access token, told apart by the first eight digits of its hash.
    Buyer {
        /// The hash's first eight digits.
        token: String,
    },
    /// Whoever held this API key.
    Key {
        /// Which key.
        id: KeyId,
    },
    /// Whoever held this operator's key.
    Operator {
        /// Which key.
        id: KeyId,
    },
    /// Plugipay told of it.
    Plugipay {
        /// In this notification; `None` if it was asked.
        event_id: Option<ProviderEventId>,
    },
    /// Somebody whom the embedding host knows, by the host's own name for them.
    Host {
        /// The host's name for them, 1–100 characters.
        name: String,
    },
}

impl Actor {
    /// The holder of this token.
    #[must_use]
    pub fn buyer(token: &AccessToken) -> Self {
        Self::Buyer { token: told_apart(token) }
    }

    /// Somebody whom the host knows by this name.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not 1–100 characters.
    pub fn host(name: &str) -> Result<Self, Invalid> {
        Ok(Self::Host { name: text::name("actor", name)? })
    }
}

/// What tells a token apart from others without opening anything: the first eight digits of its hash.
fn told_apart(token: &AccessToken) -> String {
    token.hash().to_string().chars().take(8).collect()
}

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
