//! Rule 1: an order is confirmed at most once, with exactly one event and one confirmation mail, each under one id.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::change::{ChangeSet, Write};
use serront_core::effect::Effect;
use serront_core::event::EventType;
use serront_core::ids::{MailId, PaymentId};
use serront_core::mail::MailMessage;
use serront_core::payment::PaymentStatus;

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct ConfirmedOnce {
    confirmed: BTreeSet<PaymentId>,
    mails: BTreeMap<String, BTreeMap<MailId, MailMessage>>,
}

impl ConfirmedOnce {
    fn landed(&mut self, change: &ChangeSet) -> Verdict {
        let confirms = change.writes.iter().filter_map(|write| match write {
            Write::UpdatePayment { id, state, .. } if state.status == PaymentStatus::PaymentConfirmed => Some(*id),
            _ => None,
        });
        let confirms: Vec<_> = confirms.collect();
        for payment in &confirms {
            if !self.confirmed.insert(*payment) {
                return Err(format!("payment {payment} was confirmed twice"));
            }
        }
        let mails = change.effects.iter().filter(|effect| matches!(effect, Effect::Mail { .. })).count();
        let events: BTreeSet<_> = change
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Delivery(delivery) if delivery.event_type == EventType::OrderPaymentConfirmed => {
                    Some(delivery.event_id)
                }
                Effect::Delivery(_) | Effect::Mail { .. } | Effect::Removal { .. } => None,
            })
            .collect();
        if mails != confirms.len() || events.len() > confirms.len() {
            let events = events.len();
            return Err(format!("{} confirmations with {mails} mails and {events} events", confirms.len()));
        }
        Ok(())
    }

    fn mailed(&mut self, message: &MailMessage) -> Verdict {
        let arrived = self.mails.entry(message.to.as_str().to_owned()).or_default();
        let first = arrived.entry(message.id).or_insert_with(|| message.clone());
        if first != message {
            return Err(format!("mail {} came again with other words", message.id));
        }
        // Every order here has an address of its own.
        if arrived.len() > 1 {
            return Err("a buyer was told twice, under two ids, that the payment is confirmed".to_owned());
        }
        Ok(())
    }
}

impl Invariant for ConfirmedOnce {
    fn name(&self) -> &'static str {
        "rule 1: confirmed once"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change),
            Event::Mailed(message) => self.mailed(message),
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        for row in books::all_orders(view)? {
            let confirmed = row.payment.state.status == PaymentStatus::PaymentConfirmed;
            let mails = self.mails.get(row.order.buyer.email.as_str()).map_or(0, BTreeMap::len);
            if mails != usize::from(confirmed) {
                return Err(format!("order {}: confirmed is {confirmed}, and {mails} mails arrived", row.order.id));
            }
        }
        Ok(())
    }
}
