//! Events: each event is delivered once to every subscription of its account that was active and matched at that
//! moment, and to no other. A subscription is switched off once, only after enough failed attempts in a row, and its
//! account's other subscriptions get an event of it. It must be switched off when the failures are enough and last long
//! enough by every clock, unless the host is hindered.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Attempt, Effect, EffectId, EffectStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::{AccountId, SubscriptionId};

use crate::sim::events::{Event, Invariant, Verb, Verdict, View};

/// Longest delay between a host's reading of a streak and its commit.
const DECIDING_MS: i64 = 600_000;
/// An attempt reaches the log within this time, even if its host died.
const ON_ITS_WAY_MS: i64 = 100_000;
/// A host that is not hindered switches off within this time after a failed attempt. It makes four calls, the record,
/// two reads and the commit, and is hindered if one takes more than ten seconds.
const SWITCHING_MS: i64 = 60_000;

#[derive(Default)]
pub(super) struct Events {
    /// Subscriptions that a client asked to pause.
    paused: BTreeSet<String>,
    to: BTreeMap<EffectId, SubscriptionId>,
    /// Failed attempts in a row, and when the first of them began.
    streaks: BTreeMap<SubscriptionId, (u32, i64)>,
    /// When a streak last allowed switching off.
    over: BTreeMap<SubscriptionId, i64>,
    /// Subscriptions that must be switched off, and since when.
    overdue: BTreeMap<SubscriptionId, i64>,
    /// When a host was last hindered.
    hindered: Option<i64>,
    /// The filters of each active subscription.
    wanted: BTreeMap<(AccountId, SubscriptionId), (bool, Vec<String>)>,
}

/// The contract's rule for filters, independent of the core's.
fn wants(filters: &[String], event_type: &str) -> bool {
    filters.iter().any(|filter| match filter.strip_suffix('*') {
        Some(prefix) => event_type.starts_with(prefix),
        None => filter == event_type,
    })
}

/// The event for the account's other subscriptions.
const DISABLED: &str = "serront.webhook_subscription.disabled.v1";

fn happened(change: &ChangeSet, switched_off: bool) -> Vec<&'static str> {
    let disabled = switched_off.then_some(DISABLED);
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
    /// Checks whether the change switches a subscription off. It stores the same state as a pause; only its event, and
    /// the lack of a client's request, distinguish the two.
    fn switches_off(&self, change: &ChangeSet, now: i64) -> Result<bool, String> {
        let tells = |effect: &Effect| matches!(effect, Effect::Delivery(of) if of.event_type.as_str() == DISABLED);
        let tells = change.effects.iter().any(tells);
        let silenced: Vec<_> = silenced(change).collect();
        if tells && silenced.len() != 1 {
            return Err(format!(
                "{} has an event of switching off a subscription that it does not switch off",
                change.id
            ));
        }
        let Some(id) = silenced.first() else { return Ok(false) };
        if !tells && self.paused.contains(&id.to_string()) {
            return Ok(false);
        }
        if !self.wanted.get(&(change.account_id, *id)).is_some_and(|(active, _)| *active) {
            return Err(format!("{id} was switched off although it was inactive"));
        }
        if self.over.get(id).is_none_or(|over| now - over > DECIDING_MS) {
            return Err(format!("{id} was switched off although it had not failed long enough"));
        }
        Ok(true)
    }

    fn recorded(&mut self, id: EffectId, attempt: &Attempt, view: &View<'_>) {
        let Some(to) = self.to.get(&id) else { return };
        if attempt.status == EffectStatus::Succeeded {
            self.streaks.remove(to);
            self.overdue.remove(to);
            return;
        }
        let began = attempt.attempted_at.millis();
        let (failures, since) = self.streaks.entry(*to).or_insert((0, began));
        *failures += 1;
        let after = i64::try_from(view.policy.webhooks.switch_off_after.as_millis()).unwrap_or(i64::MAX);
        if *failures >= view.policy.webhooks.switch_off_failures && view.now - *since + 2 * view.skew_ms >= after {
            self.over.insert(*to, view.now);
        }
        let surely = *failures >= view.policy.webhooks.switch_off_failures && view.now - *since - view.skew_ms >= after;
        let active = self.wanted.iter().any(|((_, id), (active, _))| id == to && *active);
        let free = self.hindered.is_none_or(|hindered| view.now - hindered > ON_ITS_WAY_MS);
        if surely && active && free {
            self.overdue.entry(*to).or_insert(view.now);
        }
    }

    fn switched_off_in_time(&self, now: i64) -> Verdict {
        match self.overdue.iter().find(|(_, since)| now - **since > SWITCHING_MS) {
            Some((id, _)) => Err(format!("{id} failed long enough, but was not switched off")),
            None => Ok(()),
        }
    }

    fn landed(&mut self, change: &ChangeSet, now: i64) -> Verdict {
        let account = change.account_id;
        let switched_off = self.switches_off(change, now)?;
        let mut expected = Vec::new();
        for event_type in happened(change, switched_off) {
            for ((owner, id), (active, filters)) in &self.wanted {
                let itself = event_type == DISABLED && silenced(change).any(|silenced| silenced == *id);
                if *owner == account && *active && !itself && wants(filters, event_type) {
                    expected.push((*id, event_type));
                }
            }
        }
        let mut delivered: Vec<_> = change
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Delivery(delivery) => Some((delivery.subscription_id, delivery.event_type.as_str())),
                Effect::Mail { .. } | Effect::Removal { .. } | Effect::Errand { .. } => None,
            })
            .collect();
        expected.sort_unstable();
        delivered.sort_unstable();
        if expected != delivered {
            return Err(format!("{} has deliveries to {delivered:?}, expected {expected:?}", change.id));
        }
        for write in &change.writes {
            let text = |filters: &[serront_core::webhooks::subscription::EventFilter]| {
                filters.iter().map(ToString::to_string).collect::<Vec<_>>()
            };
            match write {
                Write::InsertSubscription(subscription, _) => {
                    let state = &subscription.state;
                    self.wanted.insert((account, subscription.id), (state.active, text(&state.events)));
                }
                Write::UpdateSubscription(id, state) => {
                    self.wanted.insert((account, *id), (state.active, text(&state.events)));
                    self.streaks.remove(id);
                    self.over.remove(id);
                    self.overdue.remove(id);
                }
                Write::DeleteSubscription(id) => {
                    self.wanted.remove(&(account, *id));
                    self.overdue.remove(id);
                }
                _ => {}
            }
        }
        for effect in &change.effects {
            if let Effect::Delivery(delivery) = effect {
                self.to.insert(effect.id(), delivery.subscription_id);
            }
        }
        Ok(())
    }
}

impl Invariant for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        self.switched_off_in_time(view.now)?;
        match event {
            Event::Hindered => {
                self.hindered = Some(view.now);
                self.overdue.clear();
                Ok(())
            }
            Event::Landed { change, .. } => self.landed(change, view.now),
            Event::Requested { call, .. } => {
                if let Verb::Pause { subscription, active: false } = &call.verb {
                    self.paused.insert(subscription.clone());
                }
                Ok(())
            }
            Event::Recorded { id, attempt, .. } => {
                self.recorded(*id, attempt, view);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        self.switched_off_in_time(view.now)
    }
}
