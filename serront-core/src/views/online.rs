//! Checkouts and exceptions.

use serde::{Deserialize, Serialize};

use crate::changes::idempotency::Outcome;
use crate::online::exception::{ExceptionStatus, PaymentException};
use crate::orders::exception_kind::ExceptionKind;
use crate::primitives::ids::{AdjustmentId, ExceptionId, OrderId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

/// A checkout session to send the buyer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckoutView {
    pub checkout_session_id: SessionId,
    /// The page at Plugipay where the buyer pays.
    pub hosted_url: String,
}

/// An exception as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionView {
    pub id: ExceptionId,
    pub kind: ExceptionKind,
    pub order_id: OrderId,
    pub checkout_session_id: SessionId,
    pub amount: Rupiah,
    pub status: ExceptionStatus,
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// The adjustment that settled it; left out if the seller named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment_id: Option<AdjustmentId>,
}

impl Outcome for ExceptionView {
    const KIND: &'static str = "exception";
}

impl From<&PaymentException> for ExceptionView {
    fn from(exception: &PaymentException) -> Self {
        let PaymentException { id, kind, order_id, session_id, amount, created_at, state, .. } = exception;
        Self {
            id: *id,
            kind: *kind,
            order_id: *order_id,
            checkout_session_id: session_id.clone(),
            amount: *amount,
            status: state.status,
            note: state.note.clone(),
            created_at: *created_at,
            resolved_at: state.resolved_at,
            adjustment_id: state.adjustment_id,
        }
    }
}
