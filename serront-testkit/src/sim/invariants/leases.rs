//! Leases: no effect is held twice at once, only who holds the present lease writes into the log, nothing is taken before
//! its time or after its end, and one subscription has only so many at once.

use std::collections::BTreeMap;

use serront_core::change::{ChangeSet, Write};
use serront_core::effect::{Attempt, Effect, EffectId};
use serront_core::ids::SubscriptionId;
use serront_core::ports::{Due, Fence, NextAttempt};

use crate::sim::events::{Event, Invariant, Verdict, View};

struct Known {
    subscription: Option<SubscriptionId>,
    /// Not before then.
    due: i64,
    fence: Option<Fence>,
    /// By whom it is held, until then.
    held_until: Option<i64>,
    attempts: u32,
    finished: bool,
}

#[derive(Default)]
pub(super) struct Leases {
    known: BTreeMap<EffectId, Known>,
}

impl Leases {
    fn landed(&mut self, change: &ChangeSet) {
        for write in &change.writes {
            if let Write::GiveUpDeliveries(subscription) = write {
                for known in self.known.values_mut().filter(|known| known.subscription == Some(*subscription)) {
                    (known.finished, known.held_until) = (true, None);
                }
            }
        }
        for effect in &change.effects {
            let subscription = match effect {
                Effect::Delivery(delivery) => Some(delivery.subscription_id),
                Effect::Mail { .. } | Effect::Removal { .. } | Effect::Errand { .. } => None,
            };
            let due = effect.due_at(change.at).millis();
            let known = Known { subscription, due, fence: None, held_until: None, attempts: 0, finished: false };
            self.known.insert(effect.id(), known);
        }
    }

    fn taken(&mut self, due: &[Due], lease_ms: i64, view: &View<'_>) -> Verdict {
        let now = view.now;
        for Due { id, fence, attempts, .. } in due {
            let Some(known) = self.known.get_mut(id) else {
                return Err(format!("{id} was taken, and no commit has made it"));
            };
            if known.finished {
                return Err(format!("{id} was taken after its end"));
            }
            if known.due > now {
                return Err(format!("{id} was taken {} ms before its time", known.due - now));
            }
            if known.held_until.is_some_and(|until| until > now) {
                return Err(format!("{id} is held by two leases at once"));
            }
            if known.fence.is_some_and(|before| before >= *fence) || known.attempts != *attempts {
                return Err(format!("{id} was taken under {fence:?} with {attempts} attempts in its log"));
            }
            (known.fence, known.held_until) = (Some(*fence), Some(now.saturating_add(lease_ms)));
        }
        let mut held = BTreeMap::<SubscriptionId, u32>::new();
        for known in self.known.values().filter(|known| known.held_until.is_some_and(|until| until > now)) {
            if let Some(subscription) = known.subscription {
                *held.entry(subscription).or_default() += 1;
            }
        }
        let most = view.policy.delivery_shares.per_subscription;
        match held.into_iter().find(|(_, count)| *count > most) {
            None => Ok(()),
            Some((id, count)) => Err(format!("{count} deliveries to {id} are under way at once")),
        }
    }

    fn recorded(&mut self, id: EffectId, fence: Fence, attempt: &Attempt, next: NextAttempt) -> Verdict {
        let Some(known) = self.known.get_mut(&id) else { return Err(format!("{id} has a log, and no commit made it")) };
        if known.fence != Some(fence) || known.held_until.is_none() {
            return Err(format!("{id}: who had lost the lease wrote into the log"));
        }
        known.attempts += 1;
        known.held_until = None;
        if attempt.attempt_number != known.attempts {
            return Err(format!("{id}: attempt {} is number {}", attempt.attempt_number, known.attempts));
        }
        match next {
            NextAttempt::At(time) => known.due = time.millis(),
            NextAttempt::Succeeded | NextAttempt::Failed => known.finished = true,
        }
        Ok(())
    }
}

impl Invariant for Leases {
    fn name(&self) -> &'static str {
        "leases"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                self.landed(change);
                Ok(())
            }
            Event::Taken { due, lease } => {
                self.taken(due, i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 4), view)
            }
            Event::Recorded { id, fence, attempt, next, .. } => self.recorded(*id, *fence, attempt, *next),
            _ => Ok(()),
        }
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
