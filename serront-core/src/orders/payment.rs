//! An order's payment and its track: unpaid → payment_claimed → payment_confirmed.

use crate::orders::receipt::Receipt;
use crate::primitives::ids::{OrderId, PaymentId};
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::Rejection;

named_enum! {
    /// The payment track.
    pub enum PaymentStatus {
        /// Nothing is claimed or confirmed.
        Unpaid = "unpaid",
        /// The buyer claims to have transferred the money.
        PaymentClaimed = "payment_claimed",
        /// The seller or Plugipay has confirmed that the money arrived. Final.
        PaymentConfirmed = "payment_confirmed",
    }
}

/// An action on a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentAct {
    /// The buyer claims to have transferred the money.
    Claim,
    /// The seller or Plugipay confirms that the money arrived.
    Confirm,
    /// The buyer uploads a receipt.
    AttachReceipt,
    /// The seller changes the amount due.
    Quote,
    /// The buyer starts to pay online.
    PayOnline,
}

impl PaymentAct {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Claim, Self::Confirm, Self::AttachReceipt, Self::Quote, Self::PayOnline];

    /// The action's name in error messages.
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
    /// The transition table of the payment track. A repeated claim changes nothing.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every action on a confirmed payment.
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

/// A payment of an order. Currently each order has exactly one, for the whole quote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Payment {
    pub id: PaymentId,
    /// The order, whose version covers the payment.
    pub order_id: OrderId,
    pub state: PaymentState,
}

/// The mutable part of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PaymentState {
    pub status: PaymentStatus,
    /// Currently always equal to the quote, but stored separately.
    pub amount_due: Rupiah,
    /// The buyer's last receipt; `None` until one is uploaded.
    pub receipt: Option<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payment_track_follows_one_table() {
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
