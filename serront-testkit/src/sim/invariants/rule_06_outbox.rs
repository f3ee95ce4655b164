//! Rule 6: no effect leaves the process before its commit; every committed effect leaves, despite a crash at any point.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Effect, EffectId, Lane};
use serront_core::primitives::ids::SubscriptionId;
use serront_core::snapshots::NextAttempt;

use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

/// State of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Succeeded,
    GivenUp,
}

#[derive(Default)]
pub(super) struct Outbox {
    effects: BTreeMap<EffectId, Fate>,
    arrived: BTreeSet<EffectId>,
    to: BTreeMap<EffectId, SubscriptionId>,
}

impl Outbox {
    fn landed(&mut self, change: &ChangeSet) {
        for write in &change.writes {
            if let Write::GiveUpDeliveries(subscription) = write {
                for (id, fate) in &mut self.effects {
                    if *fate == Fate::Pending && self.to.get(id) == Some(subscription) {
                        *fate = Fate::GivenUp;
                    }
                }
            }
        }
        for write in &change.writes {
            if let Write::Requeue(id) = write {
                self.effects.insert(*id, Fate::Pending);
            }
        }
        for effect in &change.effects {
            self.effects.insert(effect.id(), Fate::Pending);
            if let Effect::Delivery(delivery) = effect {
                self.to.insert(effect.id(), delivery.subscription_id);
            }
        }
    }

    fn leaves(&self, id: EffectId) -> Verdict {
        if self.effects.contains_key(&id) { Ok(()) } else { Err(format!("{id} left before its commit")) }
    }
}

impl Invariant for Outbox {
    fn name(&self) -> &'static str {
        "rule 6: outbox"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                self.landed(change);
                Ok(())
            }
            Event::Mailed(message) => {
                self.arrived.insert(EffectId::Mail(message.id));
                self.leaves(EffectId::Mail(message.id))
            }
            Event::Posted { post, status, .. } => {
                let id = EffectId::Delivery(post.delivery_id);
                if status.is_some_and(|status| (200..300).contains(&status)) {
                    self.arrived.insert(id);
                }
                self.leaves(id)
            }
            Event::Recorded { id, next, .. } => {
                let fate = match next {
                    NextAttempt::Succeeded => Fate::Succeeded,
                    NextAttempt::Failed => Fate::GivenUp,
                    NextAttempt::At(_) => Fate::Pending,
                };
                // `errands` checks whether an errand was done.
                let leaves = !matches!(id, EffectId::Removal(_) | EffectId::Errand(_));
                if fate == Fate::Succeeded && leaves && !self.arrived.contains(id) {
                    return Err(format!("{id} is recorded as done, but never arrived"));
                }
                self.effects.insert(*id, fate);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        if let Some((id, _)) = self.effects.iter().find(|(_, fate)| **fate == Fate::Pending) {
            return Err(format!("{id} was committed and did not end"));
        }
        Lane::ALL.into_iter().try_for_each(|lane| match at_once(view.storage.next_due(lane)) {
            Ok(None) => Ok(()),
            Ok(Some(due)) => Err(format!("an effect is still pending, due at {due}")),
            Err(error) => Err(error.to_string()),
        })
    }
}
