//! Checkouts: attempts to collect a payment at Plugipay. Each is an intent first, and has a session once it is minted.
//!
//! ```text
//! Intended ─▶ Open ─▶ Completed
//!    │         ├────▶ Failed · Expired · Canceled ─▶ Completed
//!    └▶ Refused
//! ```
//!
//! A checkout belongs to an order, whose version covers it: conflicting changes meet on the order's row. A session's
//! status at Plugipay is an *observation*, from a notification, the janitor's poll or the answer to a call. All
//! observations go through one table, [`CheckoutStatus::observe`].

use std::fmt;

use crate::funds::fee::FeeRate;
use crate::primitives::ids::{AccountId, CheckoutId, OrderId, PaymentId};
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

/// A session's status at Plugipay (wire contract, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// The session can still be paid. Unknown statuses count as pending, because they decide nothing.
    Pending,
    /// The buyer paid.
    Completed,
    /// The payment failed.
    Failed,
    /// The session was not paid in time.
    Expired,
    /// The session was canceled.
    Canceled,
}

impl SessionStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Completed, Self::Failed, Self::Expired, Self::Canceled];

    /// Parses Plugipay's name of a status. `open`, `pending`, `pending_review` and every unknown name are pending.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "expired" => Self::Expired,
            "canceled" => Self::Canceled,
            _ => Self::Pending,
        }
    }
}

named_enum! {
    /// A checkout's status. Failed, expired and canceled are what Plugipay reported; money can still arrive after them.
    pub enum CheckoutStatus {
        /// The call that mints the session is pending, or its outcome is unknown.
        Intended = "intended",
        /// The session is minted and has not ended.
        Open = "open",
        /// The money arrived. Final.
        Completed = "completed",
        /// The payment failed.
        Failed = "failed",
        /// The session was not paid in time.
        Expired = "expired",
        /// The session was canceled.
        Canceled = "canceled",
        /// Plugipay refused to mint a session.
        Refused = "refused",
    }
}

impl CheckoutStatus {
    /// Whether the checkout has not ended, as far as is known.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Intended | Self::Open)
    }

    /// The transition table of checkouts: the status after an observation of its session.
    ///
    /// `Completed` wins over every other status and is final. Among the other ends, the first one observed stays, so
    /// late and reordered observations change nothing.
    #[must_use]
    pub const fn observe(self, observed: SessionStatus) -> Self {
        match (self, observed) {
            (
                Self::Intended | Self::Open | Self::Failed | Self::Expired | Self::Canceled | Self::Refused,
                SessionStatus::Completed,
            )
            | (Self::Completed, _) => Self::Completed,
            (Self::Intended | Self::Open, SessionStatus::Pending) => Self::Open,
            (Self::Intended | Self::Open, SessionStatus::Failed) => Self::Failed,
            (Self::Intended | Self::Open, SessionStatus::Expired) => Self::Expired,
            (Self::Intended | Self::Open, SessionStatus::Canceled) => Self::Canceled,
            (
                Self::Failed | Self::Expired | Self::Canceled | Self::Refused,
                SessionStatus::Pending | SessionStatus::Failed | SessionStatus::Expired | SessionStatus::Canceled,
            ) => self,
        }
    }
}

/// A session that Plugipay minted for a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Session {
    pub id: SessionId,
    /// Plugipay's page where the buyer pays.
    pub hosted_url: String,
    pub expires_at: Timestamp,
}

/// One attempt to collect a payment online.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Checkout {
    pub id: CheckoutId,
    pub account_id: AccountId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    /// The payment's amount due at the start.
    pub amount: Rupiah,
    /// The fee rate at the start.
    pub fee_rate: FeeRate,
    /// The exact body of the call that mints the session, the same for every attempt.
    pub request: String,
    pub created_at: Timestamp,
    pub state: CheckoutState,
}

/// Hides the request: it contains the buyer's return URLs, and so the access token.
impl fmt::Debug for Checkout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, amount, state, .. } = self;
        formatter.debug_struct("Checkout").field("id", id).field("amount", amount).field("state", state).finish()
    }
}

/// The mutable part of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct CheckoutState {
    pub status: CheckoutStatus,
    /// `None` until the session is minted.
    pub session: Option<Session>,
    /// The payment is no longer needed, so the janitor cancels the session.
    pub unneeded: bool,
    /// `None` while the checkout is live.
    pub ended_at: Option<Timestamp>,
}

impl Checkout {
    /// The idempotency key at Plugipay for the call that mints the session. Derived from the id, so the same body
    /// always has the same key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("serront-{}", self.id)
    }

    /// The session, if a buyer can now pay this amount with it.
    #[must_use]
    pub fn payable(&self, amount: Rupiah, now: Timestamp) -> Option<&Session> {
        let open = self.state.status == CheckoutStatus::Open && !self.state.unneeded && self.amount == amount;
        self.state.session.as_ref().filter(|session| open && session.expires_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkouts_follow_one_table() {
        let table: Vec<String> = CheckoutStatus::ALL
            .into_iter()
            .map(|from| {
                let to: Vec<_> = SessionStatus::ALL.into_iter().map(|status| from.observe(status).as_str()).collect();
                format!("{}: {}", from.as_str(), to.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                // observed: pending, completed, failed, expired, canceled
                "intended: open completed failed expired canceled",
                "open: open completed failed expired canceled",
                "completed: completed completed completed completed completed",
                "failed: failed completed failed failed failed",
                "expired: expired completed expired expired expired",
                "canceled: canceled completed canceled canceled canceled",
                "refused: refused completed refused refused refused",
            ]
        );
    }

    #[test]
    fn the_fee_is_rounded_half_away_from_zero() {
        let rate = FeeRate::DEFAULT;
        assert_eq!(rate.to_string(), "0.003");
        for (amount, fee) in [
            (0, 0),
            (166, 0),
            (167, 1),
            (500, 2),
            (499, 1),
            (125_000, 375),
            (9_007_199_254_740_991, 27_021_597_764_223),
        ] {
            assert_eq!(rate.of(Rupiah::new(amount).unwrap()).get(), fee, "{amount}");
        }
        assert_eq!(FeeRate::parse("1.1"), None);
        assert_eq!(FeeRate::parse("-0.1"), None);
        assert_eq!(FeeRate::parse("1").unwrap().of(Rupiah::MAX), Rupiah::MAX);
    }

    #[test]
    fn an_unknown_status_means_pending() {
        for name in ["open", "pending", "pending_review", "", "COMPLETED", "refunded"] {
            assert_eq!(SessionStatus::from_name(name), SessionStatus::Pending, "{name}");
        }
    }
}
