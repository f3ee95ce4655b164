//! The payment under an order and its track: unpaid → payment_claimed → payment_confirmed.

use serde::{Deserialize, Serialize};

use crate::orders::receipt::Receipt;
use crate::primitives::ids::{OrderId, PaymentId};
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::Rejection;

/// The payment track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing was said about money yet.
    Unpaid,
    /// The buyer says that the transfer was made.
    PaymentClaimed,
    /// The seller has seen the money. Final.
    PaymentConfirmed,
}

/// What can be done to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentAct {
    /// The buyer says that the transfer was made.
    Claim,
    /// The seller says that the money is there.
    Confirm,
    /// The buyer uploads a receipt.
    AttachReceipt,
    /// The seller changes the amount due.
    Quote,
    /// The buyer begins to pay online.
    PayOnline,
}

impl PaymentAct {
    /// Every act.
    pub const ALL: [Self; 5] = [Self::Claim, Self::Confirm, Self::AttachReceipt, Self::Quote, Self::PayOnline];

    /// The act, in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Confirm => "confirm",
            Self::AttachReceipt => "attach receipt",
            Self::Quote => "quote",
            Self::PayOnline => "pay online",
        }
    }
}

impl PaymentStatus {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Unpaid, Self::PaymentClaimed, Self::PaymentConfirmed];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpaid => "unpaid",
            Self::PaymentClaimed => "payment_claimed",
            Self::PaymentConfirmed => "payment_confirmed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The one transition of the payment track. A repeated claim stays where it is; a confirmed payment is final.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every act on a confirmed payment.
    pub const fn apply(self, act: PaymentAct) -> Result<Self, Rejection> {
        match (self, act) {
            (Self::Unpaid | Self::PaymentClaimed, PaymentAct::Claim) => Ok(Self::PaymentClaimed),
            (Self::Unpaid | Self::PaymentClaimed, PaymentAct::Confirm) => Ok(Self::PaymentConfirmed),
            (
                Self::Unpaid | Self::PaymentClaimed,
                PaymentAct::AttachReceipt | PaymentAct::Quote | PaymentAct::PayOnline,
            ) => Ok(self),
            (
                Self::PaymentConfirmed,
                PaymentAct::Claim
                | PaymentAct::Confirm
                | PaymentAct::AttachReceipt
                | PaymentAct::Quote
                | PaymentAct::PayOnline,
            ) => Err(Rejection::InvalidTransition { track: "the payment", from: self.as_str(), to: act.as_str() }),
        }
    }
}

/// A payment under an order. Today an order has one, over the whole quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Which payment.
    pub id: PaymentId,
    /// Under which order. The order's version covers it.
    pub order_id: OrderId,
    /// What may change.
    pub state: PaymentState,
}

/// The part of a payment that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentState {
    /// The payment track.
    pub status: PaymentStatus,
    /// What is to be paid: today the quote, but a value of its own.
    pub amount_due: Rupiah,
    /// The buyer's receipt, if any.
    pub receipt: Option<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payment_track_is_one_table() {
        let table: Vec<_> = PaymentStatus::ALL
            .into_iter()
            .flat_map(|from| PaymentAct::ALL.map(|act| (from, act)))
            .map(|(from, act)| (from.as_str(), act.as_str(), from.apply(act).map(PaymentStatus::as_str).ok()))
            .collect();
        assert_eq!(
            table,
            [
                ("unpaid", "claim", Some("payment_claimed")),
                ("unpaid", "confirm", Some("payment_confirmed")),
                ("unpaid", "attach receipt", Some("unpaid")),
                ("unpaid", "quote", Some("unpaid")),
                ("unpaid", "pay online", Some("unpaid")),
                ("payment_claimed", "claim", Some("payment_claimed")),
                ("payment_claimed", "confirm", Some("payment_confirmed")),
                ("payment_claimed", "attach receipt", Some("payment_claimed")),
                ("payment_claimed", "quote", Some("payment_claimed")),
                ("payment_claimed", "pay online", Some("payment_claimed")),
                ("payment_confirmed", "claim", None),
                ("payment_confirmed", "confirm", None),
                ("payment_confirmed", "attach receipt", None),
                ("payment_confirmed", "quote", None),
                ("payment_confirmed", "pay online", None),
            ]
        );
    }
}
