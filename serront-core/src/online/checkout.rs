//! Online checkout: a payment's tries to be paid at Plugipay, each an intent first and a session once it is minted.
//!
//! ```text
//! Intended ─▶ Open ─▶ Completed
//!    │         ├────▶ Failed · Expired · Canceled ─▶ Completed
//!    └▶ Refused
//! ```
//!
//! A checkout lies under its order: the order's version covers it, so whatever contradicts a checkout meets it on the
//! order's row. What Plugipay says about a session is an *observation*, told by a notification, found by the janitor or
//! answered to a call; all of them go through one table, [`CheckoutStatus::observe`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::funds::fee::FeeRate;
use crate::primitives::ids::{AccountId, CheckoutId, OrderId, PaymentId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

/// What Plugipay says of a session (wire contract, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// Can be paid. A status that we don't know means this too: nothing has been decided.
    Pending,
    /// Paid.
    Completed,
    /// Not paid, for good.
    Failed,
    /// Not paid in time.
    Expired,
    /// Called off.
    Canceled,
}

impl SessionStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Completed, Self::Failed, Self::Expired, Self::Canceled];

    /// The status of this name. `open`, `pending`, `pending_review` and every unknown one are pending.
    #[must_use]
    pub fn told(name: &str) -> Self {
        match name {
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "expired" => Self::Expired,
            "canceled" => Self::Canceled,
            _ => Self::Pending,
        }
    }
}

/// How far a checkout has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckoutStatus {
    /// The call that mints the session is to be made, or its outcome is not known.
    Intended,
    /// There is a session, and nothing final is known of it.
    Open,
    /// The money arrived. Final.
    Completed,
    /// Not paid, for good, as far as was told.
    Failed,
    /// Not paid in time, as far as was told.
    Expired,
    /// Called off, as far as was told.
    Canceled,
    /// Plugipay refused to mint a session: there is none. Final.
    Refused,
}

impl CheckoutStatus {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Intended, Self::Open, Self::Completed, Self::Failed, Self::Expired, Self::Canceled, Self::Refused];

    /// The state's name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Refused => "refused",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether it may still be paid, as far as we know.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Intended | Self::Open)
    }

    /// The one transition of a checkout whose session is known: where it stands once this was told.
    ///
    /// Money that arrived is believed in every state; nothing is believed after it. Between the other ends the first one
    /// told stays, so that late and reordered news changes nothing.
    #[must_use]
    pub const fn observe(self, told: SessionStatus) -> Self {
        match (self, told) {
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
pub struct Session {
    /// Its id there.
    pub id: SessionId,
    /// Where the buyer pays.
    pub hosted_url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// One try to have a payment paid online.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Which checkout.
    pub id: CheckoutId,
    /// In whose account.
    pub account_id: AccountId,
    /// Under which order.
    pub order_id: OrderId,
    /// For which payment.
    pub payment_id: PaymentId,
    /// What is to be paid.
    pub amount: Rupiah,
    /// The fee's rate when it was begun.
    pub fee_rate: FeeRate,
    /// The exact bytes of the call that mints the session, the same on every sending.
    pub request: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What may change.
    pub state: CheckoutState,
}

/// `Debug` does not show the request: it holds the addresses that the buyer comes back to.
impl fmt::Debug for Checkout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, amount, state, .. } = self;
        formatter.debug_struct("Checkout").field("id", id).field("amount", amount).field("state", state).finish()
    }
}

/// The part of a checkout that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutState {
    /// How far it has come.
    pub status: CheckoutStatus,
    /// The session, once minted.
    pub session: Option<Session>,
    /// The need to pay has ended: it is to be called off.
    pub unneeded: bool,
    /// When it ended; `None` while it is live.
    pub ended_at: Option<Timestamp>,
}

impl Checkout {
    /// Our key towards Plugipay for the call that mints the session: derived from the id, so that the same bytes always
    /// go out under the same key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("serront-{}", self.id)
    }

    /// The session to send a buyer to who is to pay this amount, if this is one.
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
    fn a_checkout_goes_where_the_table_says() {
        let table: Vec<String> = CheckoutStatus::ALL
            .into_iter()
            .map(|from| {
                let to: Vec<_> = SessionStatus::ALL.into_iter().map(|told| from.observe(told).as_str()).collect();
                format!("{}: {}", from.as_str(), to.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                // told: pending, completed, failed, expired, canceled
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
            assert_eq!(SessionStatus::told(name), SessionStatus::Pending, "{name}");
        }
    }
}
