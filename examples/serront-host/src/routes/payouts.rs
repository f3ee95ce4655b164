//! Payouts: not part of this version. Their routes are there, behind the gate that they will have, so that a seller whose
//! payment module is off is told so, and whoever has it on that there is nothing behind it yet.

use serront_core::rejection::Rejection;

use crate::auth::{Enabled, Keyed};
use crate::envelope::{Problem, Reply};

/// What the seller's routes answer.
pub(super) async fn later(_: Enabled) -> Reply {
    Err(Rejection::NotConfigured("payouts are not part of this version").into())
}

/// What the operator's routes answer to a seller's key, in every state of the module. There are no operators' keys yet.
pub(super) async fn operators(_: Keyed) -> Reply {
    Err(Problem::operator_only())
}
