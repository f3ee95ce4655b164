//! Planted bugs of the outbox and of retention.

use serront_core::changes::effect::EffectStatus;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::EventId;
use serront_core::snapshots::DueEffect;

use super::Bug;
use super::storage::Defect;
use crate::memory::locked;

impl Defect {
    pub(super) async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let shares = match self.bug {
            Bug::SubscriptionLimitIgnored => DeliveryShares { per_subscription: u32::MAX, ..shares },
            Bug::SharesIgnored => DeliveryShares { per_account: u32::MAX, failing: u32::MAX, ..shares },
            _ => shares,
        };
        let mut due = self.inner.take_due(lane, limit, shares, lease).await?;
        let mut lost = Vec::new();
        {
            let mut memory = locked(&self.memory);
            if self.is(Bug::LeaseIgnored) {
                let again = memory.taken.values().filter(|due| due.id.lane() == lane).cloned();
                due.extend(again.map(|due| Due { fence: Fence(due.fence.0 + 1), ..due }));
            }
            due.retain(|due| !memory.gone.contains(&due.id));
            for due in &due {
                memory.taken.insert(due.id, due.clone());
            }
            if self.is(Bug::DoneWhenTaken) {
                lost.extend(due.iter().cloned());
            }
        }
        for due in lost {
            let attempt = Attempt {
                attempt_number: due.attempts.saturating_add(1),
                status: EffectStatus::Succeeded,
                response_code: None,
                error: None,
                duration_ms: 0,
                attempted_at: self.clock.now(),
                next_retry_at: None,
            };
            let _ =
                self.inner.record_attempt(due.account_id, due.id, due.fence, &attempt, NextAttempt::Succeeded).await;
        }
        due.iter_mut().for_each(|due| self.spoil_due(due));
        Ok(due)
    }

    pub(super) async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        if !locked(&self.memory).gone.is_empty() {
            return Ok(None);
        }
        self.inner.next_due(lane).await
    }

    pub(super) async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        if self.is(Bug::DoneWhenTaken) {
            return Ok(());
        }
        let known = locked(&self.memory).taken.get(&id).map(|due| due.fence);
        let fence = if self.is(Bug::FenceIgnored) { known.unwrap_or(fence) } else { fence };
        let next = match (self.bug, next) {
            (Bug::RetriedEarly, NextAttempt::At(time)) => {
                NextAttempt::At(self.clock.now().plus(time.since(self.clock.now()) / 4))
            }
            (Bug::GivenUpEarly, NextAttempt::At(_)) if attempt.attempt_number >= 3 => NextAttempt::Failed,
            (Bug::PollEndsAtExpiry, NextAttempt::At(_)) if self.has_ended_unpaid(account_id, id).await? => {
                NextAttempt::Succeeded
            }
            (_, next) => next,
        };
        self.inner.record_attempt(account_id, id, fence, attempt, next).await?;
        let mut memory = locked(&self.memory);
        memory.taken.remove(&id);
        if !matches!(next, NextAttempt::At(_)) {
            memory.pending.remove(&id);
        }
        Ok(())
    }

    pub(super) async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        let streak = self.inner.streak(account_id, id).await?;
        if self.is(Bug::SwitchedOffEarly) {
            return Ok(streak.map(|_| Streak { failures: u32::MAX, since: Timestamp::from_millis(0) }));
        }
        if self.is(Bug::NeverSwitchedOff) {
            return Ok(None);
        }
        Ok(streak)
    }

    pub(super) async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        if self.is(Bug::PendingPruned) {
            let mut memory = locked(&self.memory);
            let pending = memory.pending.clone();
            memory.gone.extend(pending);
        }
        self.inner.prune(prune).await
    }

    pub(super) async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        if self.is(Bug::NamedUploadsForgotten) {
            return Ok(Vec::new());
        }
        self.inner.named_uploads(uploads).await
    }

    fn spoil_due(&self, due: &mut Due) {
        let bug = self.bug;
        let fresh = self.fresh();
        if let DueEffect::Delivery { event_id, body, target, .. } = &mut due.effect {
            match bug {
                Bug::BodyRenderedAgain if due.attempts > 0 => body.push(' '),
                Bug::EventIdRenewed if due.attempts > 0 => *event_id = EventId::from_ulid(fresh),
                Bug::OldSecretForgotten => {
                    if let Some(target) = target {
                        target.previous_secret = None;
                    }
                }
                Bug::PausedPosted => {
                    if let Some(target) = target {
                        target.subscription.state.active = true;
                    }
                }
                _ => {}
            }
        }
    }
}
