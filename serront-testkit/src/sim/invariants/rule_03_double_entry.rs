//! Rule 3: debits equal credits; a balance is the sum of its entries.
//!
//! There is no ledger yet. The only amounts are an order's quote and what its one payment asks for, and these two must
//! not drift apart. When the ledger comes: sum each transaction, and each account, at every landing.

use serront_core::change::Write;

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct DoubleEntry;

impl Invariant for DoubleEntry {
    fn name(&self) -> &'static str {
        "rule 3: double entry"
    }

    fn not_yet(&self) -> Option<&'static str> {
        Some("there is no ledger; checked: the amount due is the quote")
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        let Event::Landed { change, .. } = event else { return Ok(()) };
        if !change.writes.iter().any(|write| matches!(write, Write::UpdatePayment { .. } | Write::UpdateOrder { .. })) {
            return Ok(());
        }
        let drifted = books::orders(view, change.account_id)?
            .into_iter()
            .find(|row| row.payment.state.amount_due != row.order.state.quoted_price);
        match drifted {
            None => Ok(()),
            Some(row) => Err(format!("order {} asks for another amount than its quote", row.order.id)),
        }
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
