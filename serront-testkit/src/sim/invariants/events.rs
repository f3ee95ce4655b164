//! Events: what happened is told to the active, matching subscriptions of its own account that there were at that moment,
//! once each, and to nobody else.

use std::collections::BTreeMap;

use serront_core::change::{ChangeSet, Write};
use serront_core::effect::Effect;
use serront_core::ids::{AccountId, SubscriptionId};
use serront_core::payment::PaymentStatus;

use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct Events {
    /// What each active subscription wants.
    wanted: BTreeMap<(AccountId, SubscriptionId), (bool, Vec<String>)>,
}

/// The contract's rule for filters, a second time.
fn wants(filters: &[String], event_type: &str) -> bool {
    filters.iter().any(|filter| match filter.strip_suffix('*') {
        Some(prefix) => event_type.starts_with(prefix),
        None => filter == event_type,
    })
}

/// Told of to the account's others.
const DISABLED: &str = "serront.webhook_subscription.disabled.v1";

fn happened(change: &ChangeSet) -> Vec<&'static str> {
    // Who was switched off and who was paused are written alike: the telling says which it was.
    let tells = |effect: &Effect| matches!(effect, Effect::Delivery(of) if of.event_type.as_str() == DISABLED);
    let disabled = change.effects.iter().any(tells).then_some(DISABLED);
    change
        .writes
        .iter()
        .filter_map(|write| match write {
            Write::InsertOrder(..) => Some("serront.order.created.v1"),
            Write::UpdateOrder { was, state, .. } if *was != state.status => Some("serront.order.status_changed.v1"),
            Write::UpdatePayment { state, .. } if state.status == PaymentStatus::PaymentConfirmed => {
                Some("serront.order.payment_confirmed.v1")
            }
            _ => None,
        })
        .chain(disabled)
        .collect()
}

/// The subscriptions that a change set makes inactive.
fn silenced(change: &ChangeSet) -> impl Iterator<Item = SubscriptionId> {
    change.writes.iter().filter_map(|write| match write {
        Write::UpdateSubscription(id, state) if !state.active => Some(*id),
        _ => None,
    })
}

impl Events {
    fn landed(&mut self, change: &ChangeSet) -> Verdict {
        let account = change.account_id;
        let mut expected = Vec::new();
        for event_type in happened(change) {
            if event_type == DISABLED && silenced(change).count() != 1 {
                return Err(format!("{} tells of a subscription that it does not switch off", change.id));
            }
            for ((owner, id), (active, filters)) in &self.wanted {
                let itself = event_type == DISABLED && silenced(change).any(|silenced| silenced == *id);
                if *owner == account && *active && !itself && wants(filters, event_type) {
                    expected.push((*id, event_type));
                }
            }
        }
        let mut told: Vec<_> = change
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Delivery(delivery) => Some((delivery.subscription_id, delivery.event_type.as_str())),
                Effect::Mail { .. } | Effect::Removal { .. } | Effect::Errand { .. } => None,
            })
            .collect();
        expected.sort_unstable();
        told.sort_unstable();
        if expected != told {
            return Err(format!("{} tells {told:?}, and {expected:?} want to hear", change.id));
        }
        for write in &change.writes {
            let text = |filters: &[serront_core::subscription::EventFilter]| {
                filters.iter().map(ToString::to_string).collect::<Vec<_>>()
            };
            match write {
                Write::InsertSubscription(subscription, _) => {
                    let state = &subscription.state;
                    self.wanted.insert((account, subscription.id), (state.active, text(&state.events)));
                }
                Write::UpdateSubscription(id, state) => {
                    self.wanted.insert((account, *id), (state.active, text(&state.events)));
                }
                Write::DeleteSubscription(id) => {
                    self.wanted.remove(&(account, *id));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Invariant for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change),
            _ => Ok(()),
        }
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
