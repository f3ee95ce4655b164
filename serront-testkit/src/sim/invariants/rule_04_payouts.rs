//! Rule 4: the available amount is the balance less the payouts in flight, and not negative after an accepted payout. A
//! payout changes the balance only when it is paid, by its amount, and ends once. Its bank account stays the one of its
//! request. A settlement does not write the row on which payouts serialize.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::funds::payout::{BankDetails, PayoutStatus};
use serront_core::primitives::ids::{AccountId, PayoutId};
use serront_core::primitives::page::Limit;
use serront_core::snapshots::EntryFilter;

use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

struct Known {
    account: AccountId,
    amount: i64,
    bank: BankDetails,
    status: PayoutStatus,
}

#[derive(Default)]
pub(super) struct Payouts {
    known: BTreeMap<PayoutId, Known>,
    /// Balance of each account.
    ledger: BTreeMap<AccountId, i64>,
}

/// The contract's transitions of a payout, independent of the core's.
pub(super) const fn may_go(from: PayoutStatus, to: PayoutStatus) -> bool {
    use PayoutStatus::{Cancelled, Failed, InTransit, Paid, Pending};
    matches!((from, to), (Pending, InTransit | Cancelled | Failed) | (InTransit, Paid | Failed))
}

fn signed(leg: &LedgerEntry) -> i64 {
    if leg.direction == Direction::Credit { leg.amount.get() } else { -leg.amount.get() }
}

/// A change set's effect on payouts and ledger.
#[derive(Default)]
struct Seen<'c> {
    requested: bool,
    paid: Vec<PayoutId>,
    posted: Vec<&'c LedgerEntry>,
    funds: bool,
    settles: bool,
}

impl Payouts {
    fn take<'c>(&mut self, change: &'c ChangeSet) -> Result<Seen<'c>, String> {
        let mut seen = Seen::default();
        for write in &change.writes {
            match write {
                Write::InsertPayout(payout) => {
                    seen.requested = true;
                    let (account, amount, bank) = (payout.account_id, payout.amount.get(), payout.bank.clone());
                    let status = payout.state.status;
                    if status != PayoutStatus::Pending || amount <= 0 {
                        return Err(format!("{} starts as {} with amount {amount}", payout.id, status.as_str()));
                    }
                    self.known.insert(payout.id, Known { account, amount, bank, status });
                }
                Write::UpdatePayout(id, state) => {
                    let Some(known) = self.known.get_mut(id) else { return Err(format!("{id} was never requested")) };
                    if !may_go(known.status, state.status) {
                        let (from, to) = (known.status.as_str(), state.status.as_str());
                        return Err(format!("{id} went from {from} to {to}"));
                    }
                    known.status = state.status;
                    if state.status == PayoutStatus::Paid {
                        seen.paid.push(*id);
                    }
                }
                Write::PutFunds(_) => seen.funds = true,
                Write::Post(legs) => {
                    let ledger = self.ledger.entry(change.account_id).or_default();
                    *ledger += legs.iter().filter(|leg| leg.book == Book::Seller).map(signed).sum::<i64>();
                    seen.settles |= legs.iter().any(|leg| leg.source_type == SourceType::CheckoutSession);
                    seen.posted.extend(legs.iter().filter(|leg| leg.source_type == SourceType::Payout));
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    /// A paid payout is posted once, and no other payout is posted.
    fn posted(&self, seen: &Seen<'_>) -> Verdict {
        let mut expected = Vec::new();
        for id in &seen.paid {
            let amount = self.known.get(id).map_or(0, |known| known.amount);
            expected.push((Book::Seller, Direction::Debit, amount, id.to_string()));
            expected.push((Book::PayoutClearing, Direction::Credit, amount, id.to_string()));
        }
        let leg = |leg: &&LedgerEntry| (leg.book, leg.direction, leg.amount.get(), leg.source_id.clone());
        let mut found: Vec<_> = seen.posted.iter().map(leg).collect();
        found.sort_unstable();
        expected.sort_unstable();
        let coded = seen.posted.iter().all(|leg| leg.code == EntryCode::Payout);
        if found == expected && coded { Ok(()) } else { Err(format!("{found:?} is posted, but {expected:?} is paid")) }
    }

    fn in_flight(&self, account: AccountId) -> impl Iterator<Item = (&PayoutId, &Known)> {
        self.known.iter().filter(move |(_, known)| known.account == account && known.status.is_in_flight())
    }

    fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        let failed = |error: serront_core::ports::PortError| error.to_string();
        let seen = self.take(change)?;
        if seen.settles && seen.funds {
            return Err("a settlement writes the account's funds".to_owned());
        }
        self.posted(&seen)?;
        if !seen.funds {
            return Ok(());
        }
        let account = change.account_id;
        let Some(snapshot) = at_once(view.storage.funds(account, None)).map_err(failed)? else {
            return Err(format!("{account} has no funds"));
        };
        let answered: i64 = snapshot.totals.iter().map(|of| of.credits - of.debits).sum();
        let ledger = self.ledger.get(&account).copied().unwrap_or(0);
        let in_flight: i64 = self.in_flight(account).map(|(_, known)| known.amount).sum();
        if (answered, snapshot.funds.in_flight.get()) != (ledger, in_flight) {
            let stored = snapshot.funds.in_flight;
            return Err(format!(
                "{answered} is answered and {stored} stored as in flight; the ledger has {ledger}, and {in_flight} is in flight"
            ));
        }
        if seen.requested && ledger < in_flight {
            return Err(format!("a payout was accepted, and {} is available", ledger - in_flight));
        }
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        let listed = at_once(view.storage.payouts_in_flight(None, limit)).map_err(failed)?;
        let listed: BTreeSet<_> =
            listed.rows.iter().filter(|row| row.account_id == account).map(|row| row.id).collect();
        if listed != self.in_flight(account).map(|(id, _)| *id).collect() {
            return Err(format!("{listed:?} are listed as in flight"));
        }
        Ok(())
    }

    fn check(&self, view: &View<'_>, account: AccountId) -> Verdict {
        let failed = |error: serront_core::ports::PortError| error.to_string();
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        let rows = at_once(view.storage.payouts(account, None, None, limit)).map_err(failed)?.rows;
        let own = self.known.iter().filter(|(_, known)| known.account == account);
        if own.clone().count() != rows.len() {
            return Err(format!("{} payouts were requested, but {} are listed", own.count(), rows.len()));
        }
        for row in rows {
            let Some(known) = self.known.get(&row.id) else { return Err(format!("{} was never requested", row.id)) };
            if (row.amount.get(), row.state.status) != (known.amount, known.status) {
                return Err(format!("{} is {} with amount {}", row.id, row.state.status.as_str(), row.amount));
            }
            if row.bank != known.bank {
                return Err(format!("{} has another bank account than its request", row.id));
            }
            let source_id = Some(row.id.to_string());
            let filter = EntryFilter { source_type: Some(SourceType::Payout), source_id, ..EntryFilter::default() };
            let legs = at_once(view.storage.entries(account, &filter, None, limit)).map_err(failed)?.rows;
            let posted: i64 = legs.iter().map(signed).sum();
            let expected = if known.status == PayoutStatus::Paid { -known.amount } else { 0 };
            if posted != expected {
                return Err(format!("{} is {}, but its entries sum to {posted}", row.id, known.status.as_str()));
            }
        }
        Ok(())
    }
}

impl Invariant for Payouts {
    fn name(&self) -> &'static str {
        "rule 4: payouts"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change, view),
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        view.sellers.iter().try_for_each(|seller| self.check(view, seller.account))
    }
}
