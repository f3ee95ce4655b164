//! The faults that a test can cause.

use std::time::Duration;

use serront_core::online::plugipay::PlugipayMethod;

/// The sandbox's behaviour until the next change. The default has no faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// Copies sent of each notification; 1 means no duplicates.
    pub copies: u32,
    /// Delay of a notification after its event.
    pub notification_delay: Duration,
    /// Notifications taken together are handed out newest first.
    pub reorder: bool,
    /// New events are never notified.
    pub lose_notifications: bool,
    /// Calls are carried out, but never answered.
    pub lose_answers: bool,
    /// Refuses every call with 503 and this `Retry-After`; nothing is carried out.
    pub outage: Option<Duration>,
    /// Delay before each call is carried out.
    pub slowness: Duration,
    /// Rows of a list's page if the call has no limit.
    pub page_size: usize,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            copies: 1,
            notification_delay: Duration::ZERO,
            reorder: false,
            lose_notifications: false,
            lose_answers: false,
            outage: None,
            slowness: Duration::ZERO,
            page_size: 50,
        }
    }
}

/// A fault of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The call never arrives.
    LoseRequest,
    /// The call is carried out, and its answer is lost.
    LoseAnswer,
    /// The call is refused and not carried out.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
    },
}

/// The route of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// `POST /api/v1/admin/workspaces`.
    CreateWorkspace,
    /// `POST /api/v1/webhooks`.
    CreateEndpoint,
    /// `GET /api/v1/webhooks`.
    ListEndpoints,
    /// `DELETE /api/v1/webhooks/:id`.
    DeleteEndpoint,
    /// `POST /api/v1/checkout-sessions`.
    CreateSession,
    /// `GET /api/v1/checkout-sessions/:id`.
    GetSession,
    /// `POST /api/v1/checkout-sessions/:id/cancel`.
    CancelSession,
    /// `GET /api/v1/ledger`.
    ListEntries,
    /// `GET /api/v1/ledger/balances`.
    ListBalances,
    /// `GET /api/v1/payouts/balance`.
    PayoutBalance,
}

impl Route {
    /// The route of this method and path; `None` if it is unknown.
    #[must_use]
    pub fn of(method: PlugipayMethod, path: &str) -> Option<Self> {
        use PlugipayMethod::{Delete, Get, Post};
        let path = path.split('?').next().unwrap_or_default().strip_prefix("/api/v1/")?;
        let segments: Vec<_> = path.split('/').collect();
        match (method, segments.as_slice()) {
            (Post, ["admin", "workspaces"]) => Some(Self::CreateWorkspace),
            (Post, ["webhooks"]) => Some(Self::CreateEndpoint),
            (Get, ["webhooks"]) => Some(Self::ListEndpoints),
            (Delete, ["webhooks", _]) => Some(Self::DeleteEndpoint),
            (Post, ["checkout-sessions"]) => Some(Self::CreateSession),
            (Get, ["checkout-sessions", _]) => Some(Self::GetSession),
            (Post, ["checkout-sessions", _, "cancel"]) => Some(Self::CancelSession),
            (Get, ["ledger"]) => Some(Self::ListEntries),
            (Get, ["ledger", "balances"]) => Some(Self::ListBalances),
            (Get, ["payouts", "balance"]) => Some(Self::PayoutBalance),
            _ => None,
        }
    }
}
