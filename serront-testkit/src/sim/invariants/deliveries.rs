//! Deliveries: every attempt has the same bytes and ids and is signed for its receiver. Success is recorded only if the
//! receiver answered so. Retries follow the schedule, and are given up only at its end. Paused and deleted
//! subscriptions get nothing.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::accounts::key::WebhookSecret;
use serront_core::accounts::sealed::{SealedSecret, SecretHolder};
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{Attempt, EffectId, EffectStatus};
use serront_core::ports::Post;
use serront_core::primitives::ids::{DeliveryId, SubscriptionId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::NextAttempt;
use serront_core::webhooks::signature;

use crate::memory::{FIRST_KEY, MemorySealer};
use crate::sim::events::{Event, Invariant, Verdict, View};

/// Longest duration of an attempt that began before a pause.
const UNDER_WAY_MS: i64 = 120_000;

/// A subscription's secrets.
struct Secrets {
    present: WebhookSecret,
    /// The previous secret, the end of its grace period, and when it was replaced.
    previous: Option<(WebhookSecret, i64, i64)>,
    /// The secret before that, which may have signed attempts that were on their way when it was replaced.
    earlier: Option<WebhookSecret>,
}

impl Secrets {
    /// Every signature that this body may have now.
    fn signatures(&self, at: Timestamp, body: &str, now: i64) -> Vec<String> {
        let Some((previous, until, replaced_at)) = &self.previous else {
            return vec![signature::sign(&self.present, at, body)];
        };
        let mut allowed = Vec::new();
        if now >= *until {
            allowed.push(signature::sign(&self.present, at, body));
        }
        if now <= until + UNDER_WAY_MS {
            allowed.push(signature::sign_with([previous, &self.present], at, body));
        }
        if now <= replaced_at + UNDER_WAY_MS {
            allowed.push(signature::sign(previous, at, body));
            allowed.extend(self.earlier.iter().map(|earlier| signature::sign_with([earlier, previous], at, body)));
        }
        allowed
    }
}

#[derive(Default)]
pub(super) struct Deliveries {
    first: BTreeMap<DeliveryId, Post>,
    accepted: BTreeSet<DeliveryId>,
    to: BTreeMap<DeliveryId, SubscriptionId>,
    secrets: BTreeMap<SubscriptionId, Secrets>,
    /// Mails that the server refused permanently.
    refused: BTreeSet<EffectId>,
    /// The time since which a subscription must get nothing, in true time.
    silent: BTreeMap<SubscriptionId, i64>,
}

/// A subscription's secret, opened with the run's first key.
fn opened(change: &ChangeSet, id: SubscriptionId, secret: &SealedSecret) -> Option<WebhookSecret> {
    let holder = SecretHolder::Subscription(change.account_id, id);
    WebhookSecret::parse(&secret.open(&MemorySealer::from_key(FIRST_KEY), holder).ok()?)
}

impl Deliveries {
    fn posted(&mut self, post: &Post, status: Option<u16>, view: &View<'_>) -> Verdict {
        let id = post.delivery_id;
        let first = self.first.entry(id).or_insert_with(|| post.clone());
        let same = (&first.url, first.event_id, first.event_type, &first.body)
            == (&post.url, post.event_id, post.event_type, &post.body);
        if !same {
            return Err(format!("{id} was repeated with different bytes or ids"));
        }
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.accepted.insert(id);
        }
        let Some(subscription) = self.to.get(&id) else { return Ok(()) };
        if self.silent.get(subscription).is_some_and(|since| since + UNDER_WAY_MS < view.now) {
            return Err(format!("{id} was posted to {subscription}, which is paused or deleted"));
        }
        let signed = self.secrets.get(subscription).is_some_and(|secrets| {
            let time = post.signature.strip_prefix("t=").and_then(|rest| rest.split(',').next()?.parse::<i64>().ok());
            time.is_some_and(|seconds| {
                let at = Timestamp::from_millis(seconds.saturating_mul(1_000));
                let near = (view.now - at.millis()).abs() <= view.skew_ms + UNDER_WAY_MS;
                near && secrets.signatures(at, &post.body, view.now).contains(&post.signature)
            })
        });
        if signed { Ok(()) } else { Err(format!("{id} is not signed as its receiver expects")) }
    }

    fn recorded(&self, id: EffectId, attempt: &Attempt, next: NextAttempt, view: &View<'_>) -> Verdict {
        let schedule = match id {
            EffectId::Mail(_) => &view.policy.outbox.mail_retry_after,
            EffectId::Delivery(_) => &view.policy.webhooks.retry_after,
            EffectId::Removal(_) => &view.policy.outbox.removal_retry_after,
            // Errands have a separate schedule.
            EffectId::Errand(_) => return Ok(()),
        };
        if let (EffectId::Delivery(delivery), EffectStatus::Succeeded) = (id, attempt.status)
            && !self.accepted.contains(&delivery)
        {
            return Err(format!("{delivery} is recorded as delivered, but its receiver never accepted it"));
        }
        let nth = usize::try_from(attempt.attempt_number).unwrap_or(usize::MAX);
        let pause = schedule.get(nth.saturating_sub(1));
        match (attempt.status, next, pause) {
            (EffectStatus::Succeeded, NextAttempt::Succeeded, _) => Ok(()),
            (EffectStatus::Failed, NextAttempt::At(time), Some(pause)) => {
                let ended = attempt.attempted_at.plus(std::time::Duration::from_millis(attempt.duration_ms));
                // A clock that is set during an attempt moves both of its ends.
                let off = (time.millis() - ended.plus(*pause).millis()).abs();
                if off <= view.skew_ms { Ok(()) } else { Err(format!("{id} is retried {off} ms off its schedule")) }
            }
            (EffectStatus::Failed, NextAttempt::Failed, None) => Ok(()),
            // Its subscription no longer exists.
            (EffectStatus::Failed, NextAttempt::Failed, Some(_)) if attempt.response_code.is_none() => {
                let gone = match id {
                    EffectId::Delivery(delivery) => {
                        self.to.get(&delivery).is_some_and(|to| self.silent.contains_key(to))
                    }
                    EffectId::Mail(_) => self.refused.contains(&id),
                    EffectId::Removal(_) | EffectId::Errand(_) => false,
                };
                // The pause may have ended since the attempt read the subscription.
                if gone { Ok(()) } else { Err(format!("{id} was given up before its schedule ended")) }
            }
            (status, next, _) => Err(format!("{id}: attempt {nth} is {status:?} and continues as {next:?}")),
        }
    }
}

impl Invariant for Deliveries {
    fn name(&self) -> &'static str {
        "deliveries"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                for write in &change.writes {
                    match write {
                        Write::InsertSubscription(subscription, secret) => {
                            if let Some(present) = opened(change, subscription.id, secret) {
                                let secrets = Secrets { present, previous: None, earlier: None };
                                self.secrets.insert(subscription.id, secrets);
                            }
                        }
                        Write::RotateSecret { id, secret, previous_until, .. } => {
                            if let Some(secrets) = self.secrets.get_mut(id)
                                && let Some(present) = opened(change, *id, secret)
                            {
                                let replaced = std::mem::replace(&mut secrets.present, present);
                                let previous = Some((replaced, previous_until.millis(), view.now));
                                let before = std::mem::replace(&mut secrets.previous, previous);
                                secrets.earlier = before.map(|(secret, _, _)| secret);
                            }
                        }
                        Write::UpdateSubscription(id, state) if !state.active => {
                            self.silent.entry(*id).or_insert(view.now);
                        }
                        Write::UpdateSubscription(id, _) => {
                            self.silent.insert(*id, i64::MAX - UNDER_WAY_MS);
                        }
                        Write::DeleteSubscription(id) => {
                            self.silent.insert(*id, view.now);
                        }
                        _ => {}
                    }
                }
                for effect in &change.effects {
                    if let serront_core::changes::effect::Effect::Delivery(delivery) = effect {
                        self.to.insert(delivery.id, delivery.subscription_id);
                    }
                }
                Ok(())
            }
            Event::MailRefused(id) => {
                self.refused.insert(EffectId::Mail(*id));
                Ok(())
            }
            Event::Posted { post, status, .. } => self.posted(post, *status, view),
            Event::Recorded { id, attempt, next, .. } => self.recorded(*id, attempt, *next, view),
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        // The seller's log of each delivery must match what its receiver got.
        for seller in view.sellers {
            let limit = serront_core::primitives::page::Limit::parse(Some("100")).map_err(|error| error.to_string())?;
            let filter = serront_core::snapshots::DeliveryFilter::default();
            let log = crate::sim::executor::at_once(view.storage.deliveries(seller.account, &filter, None, limit));
            for delivery in log.map_err(|error| error.to_string())?.rows {
                let tried = delivery.attempts.len();
                let gone = self.silent.contains_key(&delivery.subscription_id);
                if delivery.status == EffectStatus::Failed && !gone && tried <= view.policy.webhooks.retry_after.len() {
                    return Err(format!("{} was given up after {tried} attempts", delivery.id));
                }
            }
        }
        Ok(())
    }
}
