//! Rule 3: debits equal credits in each transaction. A balance is the sum of its entries, also directly after a fold. A
//! verification of the books reads every entry and finds no error. An adjustment is posted as its record says, and a
//! payment asks for its order's quote.

use std::collections::BTreeMap;

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::books::Verification;
use serront_core::funds::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::Limit;
use serront_core::service::verify;
use serront_core::snapshots::EntryFilter;

use super::books;
use crate::sim::events::{Call, Event, Invariant, Reply, Verb, Verdict, View};
use crate::sim::executor::at_once;

/// Debits and credits by code.
type Totals = BTreeMap<EntryCode, (i64, i64)>;

#[derive(Default)]
pub(super) struct DoubleEntry {
    landed: BTreeMap<AccountId, Totals>,
    /// Number of legs of each account, over all books.
    legs: BTreeMap<AccountId, u64>,
}

fn add(totals: &mut Totals, leg: &LedgerEntry) {
    let (debits, credits) = totals.entry(leg.code).or_default();
    let side = if leg.direction == Direction::Debit { debits } else { credits };
    *side = side.saturating_add(leg.amount.get());
}

fn balanced(legs: &[LedgerEntry]) -> Verdict {
    let side = |side: Direction| legs.iter().filter(move |leg| leg.direction == side).map(|leg| leg.amount.get());
    let (debits, credits): (i64, i64) = (side(Direction::Debit).sum(), side(Direction::Credit).sum());
    if debits == credits { Ok(()) } else { Err(format!("a transaction of {debits} debits and {credits} credits")) }
}

/// The posted adjustments equal the recorded ones.
fn adjusted(change: &ChangeSet) -> Verdict {
    let recorded = change.writes.iter().filter_map(|write| match write {
        Write::InsertAdjustment(made) => Some((made.id.to_string(), made.direction, made.amount)),
        _ => None,
    });
    let posted = change.writes.iter().filter_map(|write| match write {
        Write::Post(legs) => Some(legs),
        _ => None,
    });
    let posted = posted.flatten().filter(|leg| leg.source_type == SourceType::Adjustment && leg.book == Book::Seller);
    let posted: Vec<_> = posted.map(|leg| (leg.source_id.clone(), leg.direction, leg.amount)).collect();
    let recorded: Vec<_> = recorded.collect();
    if posted == recorded {
        Ok(())
    } else {
        Err(format!("{recorded:?} is recorded as adjusted, but {posted:?} is posted"))
    }
}

impl DoubleEntry {
    fn verify(&self, view: &View<'_>, account: AccountId) -> Verdict {
        let verification = Verification::default();
        let report = at_once(verify(view.storage, Some(account), &verification)).map_err(|error| error.to_string())?;
        let legs = self.legs.get(&account).copied().unwrap_or(0);
        if report.differences.is_empty() && report.entries == legs {
            Ok(())
        } else {
            Err(format!("a verification of {legs} entries finds {report:?}"))
        }
    }

    fn check(&self, view: &View<'_>, account: AccountId) -> Verdict {
        let answered = at_once(view.storage.balance(account)).map_err(|error| error.to_string())?;
        let answered: Totals = answered.into_iter().map(|of| (of.code, (of.debits, of.credits))).collect();
        let expected = self.landed.get(&account).cloned().unwrap_or_default();
        if answered == expected {
            Ok(())
        } else {
            Err(format!("the balance is {answered:?}, but its entries sum to {expected:?}"))
        }
    }

    /// The entries as they are listed, page by page.
    fn listed(view: &View<'_>, account: AccountId) -> Result<Totals, String> {
        let limit = Limit::parse(Some("7")).map_err(|error| error.to_string())?;
        let mut totals = Totals::new();
        let mut after = None;
        loop {
            let page = at_once(view.storage.entries(account, &EntryFilter::default(), after, limit));
            let page = page.map_err(|error| error.to_string())?;
            page.rows.iter().for_each(|leg| add(&mut totals, leg));
            after = page.position(LedgerEntry::position);
            if after.is_none() {
                return Ok(totals);
            }
        }
    }
}

impl Invariant for DoubleEntry {
    fn name(&self) -> &'static str {
        "rule 3: double entry"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        if matches!(event, Event::Folded) {
            return view.sellers.iter().try_for_each(|seller| self.check(view, seller.account));
        }
        if let Event::Answered { call: Call { verb: Verb::VerifyBooks, .. }, reply: Reply::Done { data, .. }, .. } =
            event
        {
            let clean = data.get("differences").and_then(Value::as_array).is_some_and(Vec::is_empty);
            return if clean { Ok(()) } else { Err(format!("a verification answered {data}")) };
        }
        let Event::Landed { change, .. } = event else { return Ok(()) };
        adjusted(change)?;
        let mut money = false;
        for write in &change.writes {
            money |= matches!(write, Write::Post(_) | Write::PutFunds(_) | Write::UpdatePayout(..));
            if let Write::Post(legs) = write {
                balanced(legs)?;
                let count = u64::try_from(legs.len()).unwrap_or(u64::MAX);
                *self.legs.entry(change.account_id).or_default() += count;
                let totals = self.landed.entry(change.account_id).or_default();
                legs.iter().filter(|leg| leg.book == Book::Seller).for_each(|leg| add(totals, leg));
                self.check(view, change.account_id)?;
            }
        }
        if money {
            self.verify(view, change.account_id)?;
        }
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

    fn end(&mut self, view: &View<'_>) -> Verdict {
        for seller in view.sellers {
            self.check(view, seller.account)?;
            self.verify(view, seller.account)?;
            let (listed, landed) = (Self::listed(view, seller.account)?, self.landed.get(&seller.account));
            if listed != landed.cloned().unwrap_or_default() {
                return Err(format!("the listed entries sum to {listed:?}, but the posted ones to {landed:?}"));
            }
        }
        Ok(())
    }
}
