//! Online payment: checkouts, Plugipay's sessions, and payments that need a person.

use crate::account::Version;
use crate::checkout::{Checkout, ProviderEventId};
use crate::exception::PaymentException;
use crate::idempotency::Kept;
use crate::ids::PaymentId;
use crate::inbox::InboxStatus;
use crate::snapshots::OrderSnapshot;

/// What a decision about a checkout needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutSnapshot {
    /// The checkout's order, with its account and payment.
    pub order: OrderSnapshot,
    /// The checkout, live or ended.
    pub checkout: Checkout,
}

/// What the storage knows about a session id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// The version of the session's row; [`Version::ABSENT`] if the id is unknown.
    pub version: Version,
    /// The checkout that the session was minted for. `None` if the session is not ours.
    pub checkout: Option<CheckoutSnapshot>,
    /// The parked events for this session, in order of arrival.
    pub parked: Vec<ProviderEventId>,
    /// The status of the event that was asked for. `None` if it has not arrived.
    pub event: Option<InboxStatus>,
}

/// What resolving an exception needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionSnapshot {
    /// The exception.
    pub exception: PaymentException,
    /// The payment that the money was meant for.
    pub payment_id: PaymentId,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}
