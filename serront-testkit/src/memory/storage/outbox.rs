//! Leases and attempts.

use std::collections::BTreeMap;

use serront_core::changes::effect::EffectStatus;
use serront_core::ports::LeaseLost;
use serront_core::ports::prelude::*;
use serront_core::snapshots::{DueEffect, Target};

use super::MemoryStorage;
use crate::memory::locked;
use crate::memory::state::{Content, State, StoredEffect};

/// What the dispatcher needs to carry an effect out, at this time.
fn due_effect(state: &State, account_id: AccountId, stored: &StoredEffect, now: Timestamp) -> DueEffect {
    match &stored.content {
        Content::Mail(mail) => DueEffect::Mail(mail.clone()),
        Content::Removal(upload_id) => DueEffect::Removal(*upload_id),
        Content::Errand(errand) => DueEffect::Errand(errand.clone()),
        Content::Delivery { subscription_id, event_id, event_type, body } => DueEffect::Delivery {
            event_id: *event_id,
            event_type: *event_type,
            body: body.clone(),
            target: state.subscriptions.get(&(account_id, *subscription_id)).map(|(subscription, secrets)| {
                let previous = secrets.previous.as_ref().filter(|(_, until)| now < *until);
                Box::new(Target {
                    subscription: subscription.clone(),
                    secret: secrets.present.clone(),
                    previous_secret: previous.map(|(secret, _)| secret.clone()),
                })
            }),
        },
    }
}

/// The queue of a subscription.
#[derive(Debug, Clone, Copy)]
struct Queue {
    key: (AccountId, SubscriptionId),
    /// Failed attempts in a row.
    failures: u32,
    /// Whether the subscription is failing or slow.
    held_back: bool,
}

/// A due effect: its due time, id and account, and its queue if it is a delivery.
type Candidate = (Timestamp, EffectId, AccountId, Option<Queue>);

/// The number of leased deliveries.
#[derive(Debug, Default)]
struct Held {
    by_subscription: BTreeMap<(AccountId, SubscriptionId), u32>,
    by_account: BTreeMap<AccountId, u32>,
    held_back: u32,
}

impl Held {
    fn add(&mut self, queue: Queue) {
        *self.by_subscription.entry(queue.key).or_default() += 1;
        *self.by_account.entry(queue.key.0).or_default() += 1;
        self.held_back += u32::from(queue.held_back);
    }

    /// The effects that may be leased, in order.
    fn turns(
        mut self,
        mut candidates: Vec<Candidate>,
        shares: DeliveryShares,
    ) -> impl Iterator<Item = (AccountId, EffectId)> {
        candidates.sort_unstable_by_key(|(due, id, _, _)| (*due, *id));
        // A delivery's place is the number of leased deliveries that its subscription would have with it.
        let mut places = self.by_subscription.clone();
        let mut placed: Vec<_> = candidates
            .into_iter()
            .map(|(due, id, account_id, queue)| {
                let place = queue.map_or(0, |queue| {
                    let place = places.entry(queue.key).or_default();
                    *place += 1;
                    *place
                });
                (place, queue.map_or(0, |queue| queue.failures), due, id, account_id, queue)
            })
            .collect();
        placed.sort_unstable_by_key(|(place, failures, due, id, ..)| (*place, *failures, *due, *id));
        placed.into_iter().filter_map(move |(place, _, _, id, account_id, queue)| {
            if let Some(queue) = queue {
                let of_account = self.by_account.get(&account_id).copied().unwrap_or_default();
                let allowed = place <= shares.per_subscription
                    && (place == 1 || of_account < shares.per_account)
                    && (!queue.held_back || self.held_back < shares.failing);
                if !allowed {
                    return None;
                }
                self.add(queue);
            }
            Some((account_id, id))
        })
    }
}

#[async_trait]
impl Outbox for MemoryStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        tokio::task::yield_now().await;
        let now = self.clock.now();
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let mut held = Held::default();
        let mut candidates = Vec::new();
        for (&(account_id, id), stored) in &state.effects {
            if stored.status != EffectStatus::Pending || id.lane() != lane {
                continue;
            }
            let queue = stored.subscription_id().map(|subscription_id| {
                let key = (account_id, subscription_id);
                let failures = state.streaks.get(&key).map_or(0, |streak| streak.failures);
                let slow = state.took_seconds.get(&key).is_some_and(|took| *took >= shares.slow_after.as_secs());
                Queue { key, failures, held_back: failures > 0 || slow }
            });
            if stored.is_leased(now) {
                queue.into_iter().for_each(|queue| held.add(queue));
            } else if stored.due <= now {
                candidates.push((stored.due, id, account_id, queue));
            }
        }
        let mut taken = Vec::new();
        for (account_id, id) in held.turns(candidates, shares).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let Some(mut stored) = state.effects.get(&(account_id, id)).cloned() else { continue };
            stored.fence = stored.fence.saturating_add(1);
            stored.leased_until = Some(now.plus(lease));
            taken.push(Due {
                id,
                account_id,
                fence: Fence(stored.fence),
                attempts: stored.attempted(),
                effect: due_effect(state, account_id, &stored, now),
            });
            state.effects.insert((account_id, id), stored);
        }
        Ok(taken)
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        let state = self.read().await;
        let now = self.clock.now();
        let of_lane = state.effects.iter().filter(|((_, id), _)| id.lane() == lane).map(|(_, stored)| stored);
        let waiting = of_lane.filter(|stored| stored.status == EffectStatus::Pending && !stored.is_leased(now));
        Ok(waiting.map(|stored| stored.due).min())
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let stored = state.effects.get_mut(&(account_id, id));
        // After a lease ran out, the worker keeps the effect until another worker leases it and raises the fence.
        let held = stored.filter(|stored| stored.leased_until.is_some() && Fence(stored.fence) == fence);
        let stored = held.ok_or(LeaseLost)?;
        stored.log(attempt);
        stored.leased_until = None;
        match next {
            NextAttempt::Succeeded => stored.status = EffectStatus::Succeeded,
            NextAttempt::Failed => stored.status = EffectStatus::Failed,
            NextAttempt::At(time) => stored.due = time.by_clock(attempt.ended_at(), self.clock.now()),
        }
        if let Some(subscription_id) = stored.subscription_id() {
            state.count_attempt((account_id, subscription_id), attempt, self.clock.now());
        }
        Ok(())
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        Ok(self.read().await.streaks.get(&(account_id, id)).copied())
    }
}
