//! Rule 4: what is available is never negative after an accepted payout; moving a payout never changes the total.
//!
//! There are no payouts yet, so there is nothing that this could find; it says so. When they come: sum balance and payouts
//! in flight at every landing.

use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct Payouts;

impl Invariant for Payouts {
    fn name(&self) -> &'static str {
        "rule 4: payouts"
    }

    fn not_yet(&self) -> Option<&'static str> {
        Some("there are no payouts; nothing is checked")
    }

    fn see(&mut self, _event: &Event<'_>, _view: &View<'_>) -> Verdict {
        Ok(())
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
