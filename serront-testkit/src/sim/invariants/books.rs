//! Orders in the books: numbers without gaps, stored counts that equal the rows, amounts due that equal the quotes.
//! Other invariants read the orders through this file.

use std::collections::BTreeMap;

use serront_core::changes::change::Write;
use serront_core::orders::order::WorkStatus;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::Limit;
use serront_core::snapshots::{OrderFilter, OrderRow};

use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

/// One account's orders, highest number first.
pub(super) fn orders(view: &View<'_>, account: AccountId) -> Result<Vec<OrderRow>, String> {
    let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
    let page = at_once(view.storage.orders(account, &OrderFilter::default(), None, limit));
    page.map(|page| page.rows).map_err(|error| error.to_string())
}

/// All orders of all sellers.
pub(super) fn all_orders(view: &View<'_>) -> Result<Vec<OrderRow>, String> {
    let mut rows = Vec::new();
    for seller in view.sellers {
        rows.extend(orders(view, seller.account)?);
    }
    Ok(rows)
}

#[derive(Default)]
pub(super) struct Books;

fn check(view: &View<'_>, account: AccountId) -> Verdict {
    let rows = orders(view, account)?;
    let mut tally = BTreeMap::<WorkStatus, u64>::new();
    for (row, number) in rows.iter().rev().zip(1..) {
        if row.number.0 != number {
            return Err(format!("the account's order number {number} is missing: found {}", row.number));
        }
        if row.order.state.payment_status != row.payment.state.status {
            return Err(format!("order {} and its payment are not in the same state", row.order.id));
        }
        *tally.entry(row.order.state.status).or_default() += 1;
    }
    let mut counts = at_once(view.storage.counts(account)).map_err(|error| error.to_string())?;
    for status in WorkStatus::ALL {
        let (kept, counted) = (*counts.of(status), tally.get(&status).copied().unwrap_or(0));
        if kept != counted {
            return Err(format!("{kept} orders are counted as {}, but there are {counted}", status.as_str()));
        }
    }
    Ok(())
}

impl Invariant for Books {
    fn name(&self) -> &'static str {
        "books: numbers and counts"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        let Event::Landed { change, committed } = event else { return Ok(()) };
        for write in &change.writes {
            if let Write::InsertOrder(order, _) = write {
                let row = orders(view, change.account_id)?.into_iter().find(|row| row.order.id == order.id);
                let stored = row.map(|row| row.number);
                if stored.is_none() || stored != committed.number {
                    return Err(format!(
                        "order {} has number {stored:?}, but its commit answered {:?}",
                        order.id, committed.number
                    ));
                }
            }
        }
        let touches = |write: &Write| matches!(write, Write::InsertOrder(..) | Write::UpdateOrder { .. });
        if change.writes.iter().any(touches) { check(view, change.account_id) } else { Ok(()) }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        view.sellers.iter().try_for_each(|seller| check(view, seller.account))
    }
}
