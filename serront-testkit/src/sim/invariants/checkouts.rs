//! Checkouts: each intent is committed before its call and gets one session. A payment has at most one live and needed
//! checkout, and none after the need to pay has ended. A checkout that ended unpaid can only become paid; a paid one
//! stays paid.

use std::collections::BTreeMap;

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::online::checkout::{CheckoutState, CheckoutStatus};
use serront_core::online::plugipay::{PlugipayCall, PlugipayMethod};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::{AccountId, CheckoutId, OrderId};
use serront_core::primitives::provider::SessionId;
use serront_core::snapshots::{CheckoutSnapshot, OrderKey};

use super::rule_02_settlements::{account_of, checkout_of};
use crate::sandbox::SandboxStatus;
use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct Checkouts {
    known: BTreeMap<CheckoutId, (AccountId, CheckoutState)>,
    minted: BTreeMap<CheckoutId, String>,
    /// Plugipay forgot its keys, so that one intent may have several sessions.
    keys_forgotten: bool,
}

/// The contract's transitions of a checkout, independent of the core's.
const fn may_go(from: CheckoutStatus, to: CheckoutStatus) -> bool {
    use CheckoutStatus::{Canceled, Completed, Expired, Failed, Intended, Open, Refused};
    matches!(
        (from, to),
        (Intended, _)
            | (Open, Open | Completed | Failed | Expired | Canceled)
            | (Failed, Failed | Completed)
            | (Expired, Expired | Completed)
            | (Canceled, Canceled | Completed)
            | (Completed, Completed)
            | (Refused, Refused)
    )
}

impl Checkouts {
    fn order(view: &View<'_>, account: AccountId, id: OrderId) -> Verdict {
        let order = at_once(view.storage.order(OrderKey::Id(account, id), None)).map_err(|error| error.to_string())?;
        let Some(order) = order else { return Ok(()) };
        let due = order.payment.state.amount_due;
        let confirmed = order.payment.state.status == PaymentStatus::PaymentConfirmed;
        let is_due = !confirmed && !order.order.state.status.is_closed();
        let needed: Vec<_> = order.checkouts.iter().filter(|checkout| !checkout.state.unneeded).collect();
        if needed.len() > 1 {
            return Err(format!("order {id} has {} checkouts that are live and needed", needed.len()));
        }
        match needed.first() {
            Some(checkout) if !is_due || checkout.amount != due => {
                Err(format!("{} of order {id} is not canceled, and nothing needs it", checkout.id))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        for write in &change.writes {
            match write {
                Write::InsertCheckout(checkout) => {
                    self.known.insert(checkout.id, (change.account_id, checkout.state.clone()));
                }
                Write::UpdateCheckout { id, state, .. } => {
                    let Some((_, before)) = self.known.get_mut(id) else { return Err(format!("{id} is not stored")) };
                    let gone = before.session.is_some() && before.session != state.session;
                    if !may_go(before.status, state.status) || before.unneeded && !state.unneeded || gone {
                        return Err(format!("{id} went from {before:?} to {state:?}"));
                    }
                    if state.status == CheckoutStatus::Refused && self.minted.contains_key(id) {
                        return Err(format!("{id} is stored as refused, but has a session"));
                    }
                    *before = state.clone();
                }
                Write::UpdateOrder { id, .. } => Self::order(view, change.account_id, *id)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn minted(&mut self, call: &PlugipayCall, data: &str) -> Verdict {
        if (call.method, call.path.as_str()) != (PlugipayMethod::Post, "/api/v1/checkout-sessions") {
            return Ok(());
        }
        let session: Value = serde_json::from_str(data).unwrap_or_default();
        let text = |pointer: &str| session.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Ok(id) = text("/metadata/checkoutId").parse::<CheckoutId>() else {
            return Err("a session was created without a checkout's id".to_owned());
        };
        let Some((_, state)) = self.known.get(&id) else {
            return Err(format!("a session was created for {id} before its commit"));
        };
        if state.status == CheckoutStatus::Refused {
            return Err(format!("{id} is stored as refused, and a session was created"));
        }
        let first = self.minted.entry(id).or_insert_with(|| text("/id").to_owned());
        if first == text("/id") || self.keys_forgotten {
            Ok(())
        } else {
            Err(format!("two sessions were created for {id}"))
        }
    }
}

impl Invariant for Checkouts {
    fn name(&self) -> &'static str {
        "checkouts"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change, view),
            Event::Called { call, answer: Ok(answer) } => self.minted(call, &answer.data),
            Event::KeysForgotten => {
                self.keys_forgotten = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        for (id, (_, state)) in &self.known {
            if state.status.is_live() {
                return Err(format!("{id} has not ended: {state:?}"));
            }
        }
        for session in view.sandbox.sessions() {
            let (Some(id), Some(account)) = (checkout_of(&session), account_of(&session, view)) else { continue };
            if session.status == SandboxStatus::Open {
                return Err(format!("{} is still open", session.id));
            }
            let Some(name) = SessionId::parse(&session.id) else { continue };
            let known = at_once(view.storage.session(account, &name, None)).map_err(|error| error.to_string())?;
            // A second session is unknown to the host unless one of its notifications was accepted; rule 2 checks
            // those.
            let own = |known: CheckoutSnapshot| known.checkout.id == id;
            if !self.keys_forgotten && !known.checkout.is_some_and(own) {
                return Err(format!("{} was created, and is not stored", session.id));
            }
        }
        Ok(())
    }
}
