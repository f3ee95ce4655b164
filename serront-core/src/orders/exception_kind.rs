//! Why money that arrived for an order did not confirm it.

use serde::{Deserialize, Serialize};

use crate::orders::order::WorkStatus;
use crate::orders::payment::PaymentStatus;
use crate::primitives::money::Rupiah;

/// Why the money could not confirm its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionKind {
    /// The payment was confirmed already.
    AlreadyConfirmed,
    /// The order was declined or canceled.
    OrderClosed,
    /// It is not the amount that the session was minted for, or no longer the quote.
    AmountMismatch,
}

impl ExceptionKind {
    /// Every kind, the first that holds first.
    pub const ALL: [Self; 3] = [Self::AlreadyConfirmed, Self::OrderClosed, Self::AmountMismatch];

    /// The kind's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyConfirmed => "already_confirmed",
            Self::OrderClosed => "order_closed",
            Self::AmountMismatch => "amount_mismatch",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What keeps money that arrived from confirming its order, if anything does.
    #[must_use]
    pub fn of(
        payment: PaymentStatus,
        work: WorkStatus,
        arrived: Rupiah,
        minted: Rupiah,
        amount_due: Rupiah,
    ) -> Option<Self> {
        match (payment, work) {
            (PaymentStatus::PaymentConfirmed, _) => Some(Self::AlreadyConfirmed),
            (PaymentStatus::Unpaid | PaymentStatus::PaymentClaimed, WorkStatus::Declined | WorkStatus::Canceled) => {
                Some(Self::OrderClosed)
            }
            (
                PaymentStatus::Unpaid | PaymentStatus::PaymentClaimed,
                WorkStatus::Requested
                | WorkStatus::Confirmed
                | WorkStatus::InProgress
                | WorkStatus::Delivered
                | WorkStatus::Completed,
            ) => (arrived != minted || arrived != amount_due).then_some(Self::AmountMismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_money_from_confirming_is_one_table() {
        let rupiah = |amount| Rupiah::new(amount).unwrap();
        let told = |payment, work, arrived, due| {
            ExceptionKind::of(payment, work, rupiah(arrived), rupiah(5), rupiah(due)).map_or("-", ExceptionKind::as_str)
        };
        let table: Vec<String> = PaymentStatus::ALL
            .into_iter()
            .flat_map(|payment| WorkStatus::ALL.map(|work| (payment, work)))
            .map(|(payment, work)| {
                // What was minted and is due; another amount; no longer the quote; both.
                let amounts = [(5, 5), (4, 5), (5, 6), (6, 6)].map(|(arrived, due)| told(payment, work, arrived, due));
                format!("{} {}: {}", payment.as_str(), work.as_str(), amounts.join(" "))
            })
            .collect();
        let mismatch = "- amount_mismatch amount_mismatch amount_mismatch";
        let repeated = |kind: &str| [kind; 4].join(" ");
        let expected: Vec<String> = ["unpaid", "payment_claimed", "payment_confirmed"]
            .into_iter()
            .flat_map(|payment| {
                ["requested", "confirmed", "declined", "in_progress", "delivered", "completed", "canceled"]
                    .map(|work| (payment, work))
            })
            .map(|(payment, work)| {
                let told = match (payment, work) {
                    ("payment_confirmed", _) => repeated("already_confirmed"),
                    (_, "declined" | "canceled") => repeated("order_closed"),
                    _ => mismatch.to_owned(),
                };
                format!("{payment} {work}: {told}")
            })
            .collect();
        assert_eq!(table, expected);
    }
}
