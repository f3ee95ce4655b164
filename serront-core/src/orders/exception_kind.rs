//! Why money that arrived online did not confirm its order.

use crate::orders::order::WorkStatus;
use crate::orders::payment::PaymentStatus;
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;

named_enum! {
    /// Why money did not confirm its order. If several kinds apply, the first one is recorded.
    pub enum ExceptionKind {
        /// The payment was already confirmed.
        AlreadyConfirmed = "already_confirmed",
        /// The order was declined or canceled.
        OrderClosed = "order_closed",
        /// The amount differs from the session's, or from the current amount due.
        AmountMismatch = "amount_mismatch",
    }
}

impl ExceptionKind {
    /// The reason why money that arrived does not confirm its order; `None` if it does. `minted` is the session's
    /// amount.
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
    fn exceptions_follow_one_table() {
        let rupiah = |amount| Rupiah::new(amount).unwrap();
        let kind = |payment, work, arrived, due| {
            ExceptionKind::of(payment, work, rupiah(arrived), rupiah(5), rupiah(due)).map_or("-", ExceptionKind::as_str)
        };
        let table: Vec<String> = PaymentStatus::ALL
            .into_iter()
            .flat_map(|payment| WorkStatus::ALL.map(|work| (payment, work)))
            .map(|(payment, work)| {
                // As minted and due; less than minted; the quote has changed since; both.
                let amounts = [(5, 5), (4, 5), (5, 6), (6, 6)].map(|(arrived, due)| kind(payment, work, arrived, due));
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
                let kinds = match (payment, work) {
                    ("payment_confirmed", _) => repeated("already_confirmed"),
                    (_, "declined" | "canceled") => repeated("order_closed"),
                    _ => mismatch.to_owned(),
                };
                format!("{payment} {work}: {kinds}")
            })
            .collect();
        assert_eq!(table, expected);
    }
}
