//! Leases: no effect has two leases at the same time, and only the holder of the present lease writes to the log.
//! Nothing is taken before its time or after its end. Deliveries are shared: no subscription's first delivery waits
//! behind another subscription's second.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Attempt, Effect, EffectId, EffectStatus};
use serront_core::primitives::ids::{AccountId, SubscriptionId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Due, Fence, NextAttempt};

use crate::sim::events::{Event, Invariant, Verdict, View};

struct Known {
    account: AccountId,
    subscription: Option<SubscriptionId>,
    /// The due time.
    due: i64,
    fence: Option<Fence>,
    /// The fence and the end of the present lease.
    held_until: Option<i64>,
    attempts: u32,
    finished: bool,
}

#[derive(Default)]
pub(super) struct Leases {
    known: BTreeMap<EffectId, Known>,
    /// Subscriptions whose last attempt failed.
    failing: BTreeSet<SubscriptionId>,
}

impl Leases {
    /// Adds the effects that a commit creates, due by the storage's clock.
    fn landed(&mut self, change: &ChangeSet, now: i64) {
        for write in &change.writes {
            match write {
                Write::GiveUpDeliveries(subscription) => {
                    for known in self.known.values_mut().filter(|known| known.subscription == Some(*subscription)) {
                        (known.finished, known.held_until) = (true, None);
                    }
                }
                Write::Requeue(id) => {
                    if let Some(known) = self.known.get_mut(id) {
                        (known.finished, known.held_until, known.due) = (false, None, now);
                    }
                }
                Write::UpdateSubscription(id, _) | Write::DeleteSubscription(id) => {
                    self.failing.remove(id);
                }
                _ => {}
            }
        }
        for effect in &change.effects {
            let subscription = match effect {
                Effect::Delivery(delivery) => Some(delivery.subscription_id),
                Effect::Mail { .. } | Effect::Removal { .. } | Effect::Errand { .. } => None,
            };
            let due = effect.due_at(change.at).by_clock(change.at, Timestamp::from_millis(now)).millis();
            let account = change.account_id;
            let known =
                Known { account, subscription, due, fence: None, held_until: None, attempts: 0, finished: false };
            self.known.insert(effect.id(), known);
        }
    }

    fn taken(&mut self, due: &[Due], lease_ms: i64, view: &View<'_>) -> Verdict {
        let now = view.now;
        for Due { id, fence, attempts, .. } in due {
            let Some(known) = self.known.get_mut(id) else {
                return Err(format!("{id} was taken, but no commit created it"));
            };
            if known.finished {
                return Err(format!("{id} was taken after its end"));
            }
            if known.due > now {
                return Err(format!("{id} was taken {} ms before its time", known.due - now));
            }
            if known.held_until.is_some_and(|until| until > now) {
                return Err(format!("{id} has two leases at the same time"));
            }
            if known.fence.is_some_and(|before| before >= *fence) || known.attempts != *attempts {
                return Err(format!("{id} was taken under {fence:?} with {attempts} attempts in its log"));
            }
            (known.fence, known.held_until) = (Some(*fence), Some(now.saturating_add(lease_ms)));
        }
        self.shared_out(due, view)
    }

    /// Deliveries taken and in progress keep to the shares, and delay no subscription's first delivery.
    fn shared_out(&self, taken: &[Due], view: &View<'_>) -> Verdict {
        let shares = &view.policy.webhooks.shares;
        let taken: BTreeSet<_> = taken.iter().map(|due| due.id).collect();
        let now = view.now;
        let (mut held, mut of_account) = (BTreeMap::<SubscriptionId, u32>::new(), BTreeMap::<AccountId, u32>::new());
        let mut failing = 0_u32;
        for known in self.known.values().filter(|known| known.held_until.is_some_and(|until| until > now)) {
            let Some(subscription) = known.subscription else { continue };
            *held.entry(subscription).or_default() += 1;
            *of_account.entry(known.account).or_default() += 1;
            failing += u32::from(self.failing.contains(&subscription));
        }
        let mut further = false;
        for known in taken.iter().filter_map(|id| self.known.get(id)) {
            let Some(subscription) = known.subscription else { continue };
            let count = held.get(&subscription).copied().unwrap_or_default();
            if count > shares.per_subscription {
                return Err(format!("{count} deliveries to {subscription} are in progress"));
            }
            let whole = of_account.get(&known.account).copied().unwrap_or_default();
            let firsts = held.keys().count();
            if count > 1 && whole > shares.per_account.saturating_add(u32::try_from(firsts).unwrap_or(u32::MAX)) {
                return Err(format!("{whole} deliveries of one account are in progress"));
            }
            if self.failing.contains(&subscription) && failing > shares.failing {
                return Err(format!("{failing} deliveries to failing receivers are in progress"));
            }
            further |= count > 1;
        }
        let passed_over = |(id, known): (&EffectId, &Known)| {
            let subscription = known.subscription?;
            let waits = !known.finished && known.due <= now && known.held_until.is_none_or(|until| until <= now);
            let first = !held.contains_key(&subscription) && !self.failing.contains(&subscription);
            (waits && first).then_some(*id)
        };
        match self.known.iter().find_map(passed_over) {
            Some(id) if further => Err(format!("{id} waits behind a second delivery of another subscription")),
            _ => Ok(()),
        }
    }

    fn recorded(&mut self, id: EffectId, fence: Fence, attempt: &Attempt, next: NextAttempt, now: i64) -> Verdict {
        let Some(known) = self.known.get_mut(&id) else {
            return Err(format!("{id} has a log, but no commit created it"));
        };
        if known.fence != Some(fence) || known.held_until.is_none() {
            return Err(format!("{id}: a host without the lease wrote to the log"));
        }
        known.attempts += 1;
        known.held_until = None;
        if attempt.attempt_number != known.attempts {
            return Err(format!("{id}: attempt {} is number {}", attempt.attempt_number, known.attempts));
        }
        if let Some(subscription) = known.subscription {
            if attempt.status == EffectStatus::Succeeded {
                self.failing.remove(&subscription);
            } else {
                self.failing.insert(subscription);
            }
        }
        match next {
            NextAttempt::At(time) => {
                known.due = time.by_clock(attempt.ended_at(), Timestamp::from_millis(now)).millis();
            }
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
                self.landed(change, view.now);
                Ok(())
            }
            Event::Taken { due, lease } => {
                self.taken(due, i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 4), view)
            }
            Event::Recorded { id, fence, attempt, next, .. } => self.recorded(*id, *fence, attempt, *next, view.now),
            _ => Ok(()),
        }
    }
}
