//! Rule 1: an order is confirmed at most once, with exactly one event and one confirmation mail, each under one id.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Effect, EffectId};
use serront_core::orders::mail::{Mail, MailMessage};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::{MailId, PaymentId};
use serront_core::snapshots::NextAttempt;
use serront_core::webhooks::event::EventType;

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct ConfirmedOnce {
    confirmed: BTreeSet<PaymentId>,
    mails: BTreeMap<String, BTreeMap<MailId, MailMessage>>,
    /// Recipient of each mail.
    to: BTreeMap<EffectId, String>,
    /// Recipients whose mail was given up.
    given_up: BTreeSet<String>,
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
        for write in &change.writes {
            if let Write::Requeue(id) = write
                && let Some(to) = self.to.get(id)
            {
                self.given_up.remove(to);
            }
        }
        for effect in &change.effects {
            if let Effect::Mail { mail: Mail::PaymentConfirmedV1(mail), .. } = effect {
                self.to.insert(effect.id(), mail.to.as_str().to_owned());
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
                Effect::Delivery(_) | Effect::Mail { .. } | Effect::Removal { .. } | Effect::Errand { .. } => None,
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
            return Err(format!("mail {} was repeated with a different text", message.id));
        }
        // Every order has a unique address in the simulation.
        if arrived.len() > 1 {
            return Err("a buyer got two confirmation mails with different ids".to_owned());
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
            // `deliveries` checks whether giving up was due.
            Event::Recorded { id, next: NextAttempt::Failed, .. } => {
                self.given_up.extend(self.to.get(id).cloned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        for row in books::all_orders(view)? {
            let confirmed = row.payment.state.status == PaymentStatus::PaymentConfirmed;
            let email = row.order.buyer.email.as_str();
            let mails = self.mails.get(email).map_or(0, BTreeMap::len);
            let lost = mails == 0 && self.given_up.contains(email);
            if mails != usize::from(confirmed) && !lost {
                return Err(format!("order {}: confirmed is {confirmed}, but {mails} mails arrived", row.order.id));
            }
        }
        Ok(())
    }
}
