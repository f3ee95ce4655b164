//! The janitor: does the errands at Plugipay. It finds out by asking what no notification reported.
//!
//! ```text
//! take_due(errands) ─▶ attend the checkout: mint again · ask · cancel ─▶ observe, commit ─▶ record_attempt ─▶ again
//! ```
//!
//! [`next_poll`], [`next_after_refusal`] and [`next_try`] are the schedule.

use std::time::Duration;

use crate::changes::effect::{Errand, Lane};
use crate::online::checkout::{Checkout, CheckoutStatus};
use crate::online::inbox::InboxStatus;
use crate::policy::{DeliveryShares, Policy};
use crate::ports::{PortError, PortErrorKind, RecordError, WorkStorage};
use crate::primitives::time::Timestamp;
use crate::service::{Failure, OnlinePayments};
use crate::snapshots::{Due, DueEffect, NextAttempt};
use crate::work::dispatch::{Step, join_all, log, record, stepped};

/// The pause after this many polls. It doubles from `poll_first` up to `poll_pause_max`.
fn pause(policy: &Policy, polls: u32) -> Duration {
    let factor = 1_u32.checked_shl(polls.min(31)).unwrap_or(u32::MAX);
    policy.online.poll_first.saturating_mul(factor).min(policy.online.poll_pause_max)
}

/// When a checkout is polled again after this many polls.
///
/// Until it ends the pauses double. If it ended unpaid, polls continue at long intervals for a while, because money can
/// still arrive. A paid checkout, or one that was never minted, is not polled again.
#[must_use]
pub fn next_poll(policy: &Policy, checkout: &Checkout, polls: u32, now: Timestamp) -> NextAttempt {
    match (checkout.state.status, checkout.state.ended_at) {
        (CheckoutStatus::Completed | CheckoutStatus::Refused, _) => NextAttempt::Succeeded,
        (_, Some(ended_at)) => {
            let next = now.plus(policy.online.poll_after_end_pause);
            if next <= ended_at.plus(policy.online.poll_after_end_for) {
                NextAttempt::At(next)
            } else {
                NextAttempt::Succeeded
            }
        }
        (_, None) => NextAttempt::At(now.plus(pause(policy, polls))),
    }
}

/// When a checkout is polled again after Plugipay refused the call, for example because it forgot the session. Polls
/// stop when they would stop for a session that Plugipay remembers.
#[must_use]
pub fn next_after_refusal(policy: &Policy, checkout: &Checkout, polls: u32, now: Timestamp) -> NextAttempt {
    let next = match checkout.state.ended_at {
        Some(_) => next_poll(policy, checkout, polls, now),
        None => NextAttempt::At(next_try(policy, polls, None, now)),
    };
    let valid_until = match &checkout.state.session {
        Some(session) => session.expires_at,
        None => checkout.created_at.plus(policy.online.session_valid_for),
    };
    match next {
        NextAttempt::At(time) if time <= valid_until.plus(policy.online.poll_after_end_for) => NextAttempt::At(time),
        NextAttempt::At(_) | NextAttempt::Succeeded | NextAttempt::Failed => NextAttempt::Failed,
    }
}

/// When a failed errand is tried again: after the pause, or after Plugipay's `retry_after` if that is longer.
#[must_use]
pub fn next_try(policy: &Policy, attempts: u32, retry_after: Option<Duration>, now: Timestamp) -> Timestamp {
    now.plus(pause(policy, attempts).max(retry_after.unwrap_or_default()))
}

/// Does errands.
#[derive(Debug)]
pub struct Janitor<'p, S: ?Sized> {
    online: OnlinePayments<'p, S>,
}

/// The result of an errand.
enum Done {
    /// The checkout is up to date.
    Attended(Box<Checkout>),
    /// The notification is no longer parked.
    Unparked,
    /// The notification is still parked, since this time.
    Parked(Timestamp),
    /// Plugipay refused the call about this checkout.
    Refused(Box<Checkout>),
    /// There is no such checkout or notification.
    NotFound,
}

impl<'p, S: WorkStorage + ?Sized> Janitor<'p, S> {
    /// Over these commands.
    pub const fn new(online: OnlinePayments<'p, S>) -> Self {
        Self { online }
    }

    /// Takes up to `capacity` due errands under a lease.
    ///
    /// # Errors
    /// The storage's failure.
    pub async fn take(&self, capacity: u32) -> Result<Vec<Due>, PortError> {
        let lease = self.online.environment().policy.online.errand_lease;
        self.online.storage().take_due(Lane::Errands, capacity, DeliveryShares::UNLIMITED, lease).await
    }

    /// Does one errand and records the result.
    ///
    /// # Errors
    /// [`RecordError`]: the result could not be recorded while the lease ran. The errand will be repeated, which
    /// changes nothing.
    pub async fn perform(&self, due: &Due) -> Result<(), RecordError> {
        let environment = self.online.environment();
        let attempted_at = environment.clock.now();
        let attempt_number = due.attempts.saturating_add(1);
        let DueEffect::Errand(errand) = &due.effect else { return Ok(()) };
        let done = self.errand(due, errand).await;
        // If the clock was set back, the errand ends no earlier than it began.
        let now = environment.clock.now().max(attempted_at);
        let (next, error) = self.next(errand, done, attempt_number, now);
        let attempt = log(due, attempted_at, now, error, next);
        record(self.online.storage(), environment, due, &attempt, next, environment.policy.online.errand_lease).await
    }

    async fn errand(&self, due: &Due, errand: &Errand) -> Result<Done, Failure> {
        match errand {
            Errand::Poll(id) | Errand::Cancel(id) => match self.online.attend(due.account_id, *id).await {
                Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {
                    let found = self.online.storage().checkout(due.account_id, *id).await?;
                    Ok(found.map_or(Done::NotFound, |snapshot| Done::Refused(Box::new(snapshot.checkout))))
                }
                attended => Ok(attended?.map_or(Done::NotFound, |checkout| Done::Attended(Box::new(checkout)))),
            },
            Errand::Unpark(event_id) => {
                Ok(match self.online.commands().retry_notification(due.account_id, event_id).await? {
                    None => Done::NotFound,
                    Some((InboxStatus::Parked, received_at)) => Done::Parked(received_at),
                    Some(_) => Done::Unparked,
                })
            }
        }
    }

    fn next(
        &self,
        errand: &Errand,
        done: Result<Done, Failure>,
        attempts: u32,
        now: Timestamp,
    ) -> (NextAttempt, Option<String>) {
        let policy = self.online.environment().policy;
        match (errand, done) {
            (Errand::Poll(_), Ok(Done::Attended(checkout))) => (next_poll(policy, &checkout, attempts, now), None),
            // If a session is not canceled yet, the checkout's polls keep canceling it.
            (_, Ok(Done::Attended(_) | Done::Unparked | Done::NotFound)) => (NextAttempt::Succeeded, None),
            (Errand::Poll(_), Ok(Done::Refused(checkout))) => {
                (next_after_refusal(policy, &checkout, attempts, now), Some("Plugipay refused".to_owned()))
            }
            (_, Ok(Done::Refused(_))) => (NextAttempt::Failed, Some("Plugipay refused".to_owned())),
            (_, Ok(Done::Parked(received_at))) => {
                let next = next_try(policy, attempts, None, now);
                let until = received_at.plus(policy.online.unpark_for);
                (if next <= until { NextAttempt::At(next) } else { NextAttempt::Failed }, None)
            }
            (_, Err(failure)) => {
                let (text, retry_after) = match &failure {
                    Failure::Provider { error } => (
                        match error.kind() {
                            PortErrorKind::Permanent => "Plugipay refused",
                            PortErrorKind::OutcomeUnknown => "Plugipay did not answer",
                            PortErrorKind::Transient | PortErrorKind::Busy => "Plugipay failed for now",
                        },
                        error.retry_after(),
                    ),
                    Failure::Rejected(_) => ("refused", None),
                    Failure::Busy | Failure::Conflict | Failure::Port { .. } => ("the storage failed", None),
                };
                (NextAttempt::At(next_try(policy, attempts, retry_after, now)), Some(text.to_owned()))
            }
        }
    }

    /// Does up to `capacity` due errands concurrently.
    ///
    /// # Errors
    /// The storage's failure to take errands or to tell when the next one is due.
    pub async fn step(&self, now: Timestamp, capacity: u32) -> Result<Step, PortError> {
        let due = self.take(capacity).await?;
        join_all(due.iter().map(|due| self.perform(due)).collect()).await;
        let policy = self.online.environment().policy;
        stepped(self.online.storage(), &[Lane::Errands], policy, now, due.len(), capacity).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funds::fee::FeeRate;
    use crate::online::checkout::CheckoutState;
    use crate::primitives::ids::IdSequence;
    use crate::primitives::money::Rupiah;

    const MINUTE: i64 = 60_000;

    fn checkout(status: CheckoutStatus, ended_at: Option<Timestamp>) -> Checkout {
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        Checkout {
            id: ids.checkout(),
            account_id: ids.account(),
            order_id: ids.order(),
            payment_id: ids.payment(),
            amount: Rupiah::ZERO,
            fee_rate: FeeRate::DEFAULT,
            request: String::new(),
            created_at: Timestamp::from_millis(0),
            state: CheckoutState { status, session: None, unneeded: false, ended_at },
        }
    }

    #[test]
    fn an_open_checkout_is_polled_at_doubling_pauses_of_at_most_an_hour() {
        let (policy, now) = (Policy::default(), Timestamp::from_millis(0));
        for status in [CheckoutStatus::Intended, CheckoutStatus::Open] {
            let pauses: Vec<_> = (1..=8)
                .map(|polls| match next_poll(&policy, &checkout(status, None), polls, now) {
                    NextAttempt::At(time) => time.millis() / MINUTE,
                    NextAttempt::Succeeded | NextAttempt::Failed => panic!("{polls}"),
                })
                .collect();
            assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        }
        assert!(matches!(next_poll(&policy, &checkout(CheckoutStatus::Open, None), u32::MAX, now), NextAttempt::At(_)));
    }

    #[test]
    fn an_ended_checkout_is_polled_for_three_days_more_unless_nothing_can_follow() {
        let policy = Policy::default();
        let hours = |hours: i64| Timestamp::from_millis(hours * 60 * MINUTE);
        for status in [CheckoutStatus::Failed, CheckoutStatus::Expired, CheckoutStatus::Canceled] {
            let ended = checkout(status, Some(hours(0)));
            assert_eq!(next_poll(&policy, &ended, 30, hours(1)), NextAttempt::At(hours(13)));
            assert_eq!(next_poll(&policy, &ended, 30, hours(60)), NextAttempt::At(hours(72)));
            assert_eq!(next_poll(&policy, &ended, 30, hours(61)), NextAttempt::Succeeded);
        }
        for status in [CheckoutStatus::Completed, CheckoutStatus::Refused] {
            let ended = checkout(status, Some(hours(0)));
            assert_eq!(next_poll(&policy, &ended, 1, hours(0)), NextAttempt::Succeeded);
        }
    }

    #[test]
    fn a_session_that_plugipay_forgot_is_not_polled_forever() {
        let policy = Policy::default();
        let open = checkout(CheckoutStatus::Open, None);
        let hours = |hours: i64| Timestamp::from_millis(hours * 60 * MINUTE);
        // Valid for 24 hours, and 72 more.
        assert_eq!(next_after_refusal(&policy, &open, 30, hours(95)), NextAttempt::At(hours(96)));
        assert_eq!(next_after_refusal(&policy, &open, 30, hours(96)), NextAttempt::Failed);
        let ended = checkout(CheckoutStatus::Expired, Some(hours(24)));
        assert_eq!(next_after_refusal(&policy, &ended, 30, hours(25)), NextAttempt::At(hours(37)));
        assert_eq!(next_after_refusal(&policy, &ended, 30, hours(90)), NextAttempt::Failed);
    }

    #[test]
    fn a_later_retry_after_of_plugipay_replaces_the_pause() {
        let (policy, now) = (Policy::default(), Timestamp::from_millis(0));
        let at = |seconds| next_try(&policy, 1, Some(Duration::from_secs(seconds)), now).millis() / 1_000;
        assert_eq!((at(5), at(119), at(600)), (120, 120, 600));
    }
}
