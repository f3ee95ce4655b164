//! The inbox: what Plugipay notified us of, as its raw bytes, each event once.

use serde::{Deserialize, Serialize};

use crate::primitives::ids::AccountId;
use crate::primitives::provider::{ProviderEventId, SessionId};
use crate::primitives::time::Timestamp;

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxStatus {
    /// What it says is applied.
    Applied,
    /// It is of a type that we have no use for.
    Noted,
    /// It names a session that this merchant does not have (yet). It books nothing.
    Parked,
    /// It tells of money in another currency. It books nothing; the operator looks after it.
    ForeignCurrency,
    /// It is of a type that we know, and does not say what it should. The operator looks after it.
    Unreadable,
}

impl InboxStatus {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Noted, Self::Parked, Self::ForeignCurrency, Self::Unreadable];

    /// The state's name, as stored and as listed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Noted => "noted",
            Self::Parked => "parked",
            Self::ForeignCurrency => "foreign_currency",
            Self::Unreadable => "unreadable",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A notification as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxRecord {
    /// In whose account.
    pub account_id: AccountId,
    /// Which event.
    pub event_id: ProviderEventId,
    /// Of which type, as told.
    pub event_type: String,
    /// About which session, if it names one.
    pub session_id: Option<SessionId>,
    /// The raw bytes, which are JSON and so text.
    pub body: String,
    /// When it came.
    pub received_at: Timestamp,
    /// What became of it.
    pub status: InboxStatus,
}

/// `Debug` does not show the body.
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
