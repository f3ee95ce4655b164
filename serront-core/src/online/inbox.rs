//! The inbox: Plugipay's notifications as raw bytes, each event once.

use crate::primitives::ids::AccountId;
use crate::primitives::macros::named_enum;
use crate::primitives::provider::{ProviderEventId, SessionId};
use crate::primitives::time::Timestamp;

named_enum! {
    /// The result of processing a notification.
    pub enum InboxStatus {
        /// The observation was applied to its checkout.
        Applied = "applied",
        /// The library does not use events of this type.
        Noted = "noted",
        /// The merchant has no such session, or not yet. Nothing is posted.
        Parked = "parked",
        /// The amount is in another currency. Nothing is posted, and an operator must look into it.
        ForeignCurrency = "foreign_currency",
        /// The type is known, but the content is malformed. An operator must look into it.
        Unreadable = "unreadable",
    }
}

/// A notification as stored. `Debug` hides the body.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct InboxRecord {
    pub account_id: AccountId,
    pub event_id: ProviderEventId,
    /// Up to 200 characters; may be a type unknown to this library.
    pub event_type: String,
    /// `None` if the notification names no readable session.
    pub session_id: Option<SessionId>,
    /// The JSON as received.
    pub body: String,
    pub received_at: Timestamp,
    pub status: InboxStatus,
}

impl std::fmt::Debug for InboxRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { account_id, event_id, event_type, session_id, received_at, status, .. } = self;
        formatter
            .debug_struct("InboxRecord")
            .field("account_id", account_id)
            .field("event_id", event_id)
            .field("event_type", event_type)
            .field("session_id", session_id)
            .field("received_at", received_at)
            .field("status", status)
            .finish_non_exhaustive()
    }
}
