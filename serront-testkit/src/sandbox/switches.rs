//! What a test can make go wrong.

use std::time::Duration;

use serront_core::online::plugipay::PlugipayMethod;

/// How the sandbox behaves, until it is told otherwise. The default is good weather.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// How often each notification is sent. 1 is once.
    pub copies: u32,
    /// How long after its event a notification is due.
    pub notification_delay: Duration,
    /// What is due at the same look is handed out newest first.
    pub reorder: bool,
    /// What happens now is never notified of.
    pub lose_notifications: bool,
    /// Calls are carried out, and nothing is answered.
    pub lose_answers: bool,
    /// Every call is refused with a 503 that asks to wait this long, and nothing is carried out.
    pub outage: Option<Duration>,
    /// How long every call takes before it is carried out.
    pub slowness: Duration,
    /// How many rows a page of a list has if the call does not say.
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

/// What one call meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It never arrives.
    LoseRequest,
    /// It is carried out, and its answer is lost.
    LoseAnswer,
    /// It is refused, and not carried out.
    Refuse {
        /// With this status.
        status: u16,
        /// With this code.
        code: String,
    },
}

/// What a call is about.
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
    /// The route of this method and path, if it is one of them.
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
