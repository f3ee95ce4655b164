//! The comparison of the storage at the end of a run with the states that remain possible.

use std::collections::BTreeSet;

use serront_core::primitives::page::Limit;
use serront_core::snapshots::OrderFilter;
use serront_core::views::PayoutView;

use super::engine::Engine;
use super::order::Shown;
use super::{Oracle, funds};
use crate::sim::events::{Verdict, View};
use crate::sim::executor::at_once;

impl Oracle {
    /// Every order in the storage must be known in its present state, and every known order must be stored.
    pub(super) fn check_orders(&mut self, view: &View<'_>) -> Verdict {
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        let mut there = BTreeSet::new();
        self.orders.values_mut().for_each(|known| known.engine.settle());
        for seller in view.sellers {
            let rows = at_once(view.storage.orders(seller.account, &OrderFilter::default(), None, limit));
            for row in rows.map_err(|error| error.to_string())?.rows {
                let order = row.order.id.to_string();
                let shown = Shown {
                    status: row.order.state.status.as_str().to_owned(),
                    payment: row.payment.state.status.as_str().to_owned(),
                    quote: row.order.state.quoted_price.get(),
                    proof: row.payment.state.receipt.is_some(),
                    token: row.order.access_token.reveal().to_owned(),
                };
                let Some(known) = self.orders.get(&order) else {
                    return Err(format!("order {order} is stored, but no answer or list ever showed it"));
                };
                if !known.engine.gave_up() && !known.engine.states().any(|state| state.shown == shown) {
                    return Err(format!("order {order} ends as {shown:?}, which nothing explains"));
                }
                there.insert(order);
            }
        }
        match self.orders.keys().find(|order| !there.contains(*order)) {
            Some(order) => Err(format!("order {order} was acknowledged and is not stored")),
            None => Ok(()),
        }
    }

    /// The stored funds of each seller must be in a state that explains every answer.
    pub(super) fn check_funds(&mut self, view: &View<'_>) -> Verdict {
        let failed = |error: serront_core::ports::PortError| error.to_string();
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        self.funds.values_mut().for_each(Engine::settle);
        for (seller, facts) in view.sellers.iter().enumerate() {
            let Some(engine) = self.funds.get(&seller).filter(|engine| !engine.gave_up()) else { continue };
            let rows = at_once(view.storage.payouts(facts.account, None, None, limit)).map_err(failed)?.rows;
            let rows: Vec<_> = rows.iter().map(|row| serde_json::to_value(PayoutView::from(row))).collect();
            let rows: Vec<_> = rows.into_iter().map(Result::unwrap_or_default).collect();
            let snapshot = at_once(view.storage.funds(facts.account, None)).map_err(failed)?;
            let Some(snapshot) = snapshot else { return Err(format!("seller {seller} has no funds")) };
            let ledger: i64 = snapshot.totals.iter().map(|of| of.credits - of.debits).sum();
            let in_flight = snapshot.funds.in_flight.get();
            let bank = snapshot.bank_account.and_then(|account| account.details.bank_account_number);
            let explains = |state: &funds::State| {
                (state.ledger, state.in_flight()) == (ledger, in_flight)
                    && funds::lists(&rows, &state.payouts)
                    && state.bank.as_ref().map(|(number, _)| number) == bank.as_ref()
            };
            if !engine.states().any(explains) {
                return Err(format!(
                    "seller {seller} ends with {ledger} and {in_flight} in flight, which nothing explains"
                ));
            }
        }
        Ok(())
    }
}
