//! What answers reveal: new orders with their numbers and tokens, API keys, payouts.

use serde_json::Value;

use super::engine::Engine;
use super::key::KeyModel;
use super::keyed::KeyLifetime;
use super::order::{self, Order, OrderModel, Shown};
use super::{FIRST_PRICE, Oracle, Placing};
use crate::sim::events::{Call, Reply, Verb, Verdict, View, text};

impl Oracle {
    /// Adds the objects that an answer reveals.
    pub(super) fn learn(&mut self, call: &Call, reply: &Reply, view: &View<'_>) -> Verdict {
        let Reply::Done { data, .. } = reply else { return Ok(()) };
        match &call.verb {
            Verb::Place { buyer, .. } => {
                let order = text(data, "orderId").to_owned();
                let number = data.get("number").and_then(Value::as_i64).unwrap_or(-1);
                let quote = data.get("quotedPriceIdr").and_then(Value::as_i64).unwrap_or(-1);
                let token = text(data, "accessToken");
                self.tokens.insert(token.to_owned(), order.clone());
                self.learn_order(call.seller, buyer, &order, number, Shown::placed(quote, token), view)
            }
            Verb::List => {
                for row in data.get("orders").and_then(Value::as_array).into_iter().flatten() {
                    let (order, buyer) = (text(row, "id"), text(row, "buyerName"));
                    let number = row.get("number").and_then(Value::as_i64).unwrap_or(-1);
                    let shown = Shown::of(row).unwrap_or_else(|| Shown::placed(-1, ""));
                    self.tokens.insert(text(row, "accessToken").to_owned(), order.to_owned());
                    // A known order was compared when the answer was checked.
                    if !self.orders.contains_key(order) {
                        self.learn_order(call.seller, buyer, order, number, shown, view)?;
                    }
                }
                Ok(())
            }
            Verb::IssueKey { .. } | Verb::AddKey { .. } => {
                let (id, key) = (text(data, "id").to_owned(), text(data, "key").to_owned());
                self.keys.insert(key.clone(), Engine::new(KeyModel, [true]));
                self.key_ids.insert(id, key);
                Ok(())
            }
            Verb::RequestPayout { .. } => self.learn_payout(call.seller, data),
            Verb::Payouts => {
                let mut rows = data.as_array().into_iter().flatten();
                rows.try_for_each(|row| self.learn_payout(call.seller, row))
            }
            _ => Ok(()),
        }
    }

    /// Records the payout of a request, which must be its only one.
    fn learn_payout(&mut self, seller: usize, shown: &Value) -> Verdict {
        let (id, of) = (text(shown, "id").to_owned(), (seller, text(shown, "note").to_owned()));
        if self.payouts.iter().any(|(other, known)| *other != id && *known == of) {
            return Err(format!("one request created two payouts, {id} and another"));
        }
        self.payouts.insert(id, of);
        Ok(())
    }

    fn learn_order(
        &mut self,
        seller: usize,
        buyer: &str,
        order: &str,
        number: i64,
        shown: Shown,
        view: &View<'_>,
    ) -> Verdict {
        let place = (seller, buyer.to_owned());
        match self.placings.get(&place) {
            None => return Err(format!("order {order} exists without a request for it")),
            Some(Placing::Never) => {
                return Err(format!("order {order} exists, but its request was refused"));
            }
            Some(Placing::Done(other)) if other != order => {
                return Err(format!("one request placed two orders, {other} and {order}"));
            }
            Some(Placing::Done(_) | Placing::Open) => {}
        }
        let is_price = shown.quote == FIRST_PRICE || self.prices.contains(&shown.quote);
        // Neither its buyer nor its seller knew it before, so that nothing can have changed it.
        if shown != Shown::placed(shown.quote, &shown.token) || !is_price {
            return Err(format!("a new order looks like {shown:?}"));
        }
        self.placings.insert(place, Placing::Done(order.to_owned()));
        if self.orders.contains_key(order) {
            return Ok(());
        }
        let engine = Engine::new(OrderModel(KeyLifetime::of(view)), [order::State::new(shown)]);
        self.orders.insert(order.to_owned(), Order { engine, number, buyer: buyer.to_owned() });
        Ok(())
    }
}
