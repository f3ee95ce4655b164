//! Immediate sending: despite dead receivers, each mail and each event of a live receiver is on its way within a second
//! of its commit.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Effect, EffectId};
use serront_core::primitives::ids::SubscriptionId;

use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::outside::hook_url;
use crate::sim::plan::Crowd;

/// The contract's limit.
const WITHIN_MS: i64 = 1_000;

pub(super) struct AtOnce {
    alive: BTreeSet<String>,
    subscriptions: BTreeSet<SubscriptionId>,
    /// Effects that have not left yet, with the time of their commit.
    waiting: BTreeMap<EffectId, i64>,
    left: usize,
}

impl AtOnce {
    pub(super) fn new(crowd: &Crowd) -> Self {
        let alive = crowd.alive.iter().map(|(seller, hook)| hook_url(*seller, *hook)).collect();
        Self { alive, subscriptions: BTreeSet::new(), waiting: BTreeMap::new(), left: 0 }
    }

    fn landed(&mut self, change: &ChangeSet, now: i64) {
        for write in &change.writes {
            if let Write::InsertSubscription(subscription, _) = write
                && self.alive.contains(&subscription.state.url)
            {
                self.subscriptions.insert(subscription.id);
            }
        }
        for effect in &change.effects {
            let judged = match effect {
                Effect::Mail { .. } => true,
                Effect::Delivery(delivery) => self.subscriptions.contains(&delivery.subscription_id),
                Effect::Removal { .. } | Effect::Errand { .. } => false,
            };
            if judged {
                self.waiting.insert(effect.id(), now);
            }
        }
    }

    fn leaves(&mut self, id: EffectId, now: i64) -> Verdict {
        let Some(since) = self.waiting.remove(&id) else { return Ok(()) };
        self.left += 1;
        let waited = now - since;
        if waited <= WITHIN_MS { Ok(()) } else { Err(format!("{id} left {waited} ms after its commit")) }
    }
}

impl Invariant for AtOnce {
    fn name(&self) -> &'static str {
        "at once"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                self.landed(change, view.now);
                Ok(())
            }
            Event::Mailed(message) => self.leaves(EffectId::Mail(message.id), view.now),
            Event::Posted { post, .. } => self.leaves(EffectId::Delivery(post.delivery_id), view.now),
            _ => Ok(()),
        }
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        match self.waiting.keys().next() {
            Some(id) => Err(format!("{id} has not left")),
            None if self.left == 0 => Err("no effect was committed".to_owned()),
            None => Ok(()),
        }
    }
}
