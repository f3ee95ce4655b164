//! The dispatcher: carries out the effects of commits at least once, with stable ids.
//!
//! ```text
//! take_due (lease, fence) ─▶ perform: mail · post · removal ─▶ record_attempt (fence) ─▶ done, again at, or given up
//! ```
//!
//! [`Dispatcher::step`] attempts due effects and returns when to call it next. It ends with its slowest attempt, so a
//! host calls [`Dispatcher::take`] and [`Dispatcher::perform`] instead: it has places for each lane, and a task for
//! each effect.
//!
//! The dispatcher does not decide what is sent; the change set contains that. The transports are ports.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::accounts::key::WebhookSecret;
use crate::accounts::sealed::SecretHolder;
use crate::changes::effect::{Attempt, EffectId, EffectStatus, Lane};
use crate::orders::mail::{self, BuiltInTemplates, MailTemplates};
use crate::policy::Policy;
use crate::ports::{Mailer, PortError, PortErrorKind, Post, Posted, Receipts, RecordError, Sink, WorkStorage};
use crate::primitives::time::Timestamp;
use crate::service::{Commands, Environment};
use crate::snapshots::{Due, DueEffect, NextAttempt, Target};
use crate::webhooks::signature;
use crate::webhooks::subscription::Subscription;

/// The pause after a step that took nothing although something is due. No pause would spin; due work should start
/// within a second.
const DUE_NOT_TAKEN_PAUSE: Duration = Duration::from_millis(500);

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Effects attempted.
    pub attempted: usize,
    /// When to call again at the latest; now, if more may be due. A host also calls after each of its own commits.
    pub next: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AttemptResult {
    response_code: Option<u16>,
    failure: Option<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason {
    text: String,
    /// Whether trying again can help.
    retry: bool,
}

impl AttemptResult {
    const DONE: Self = Self { response_code: None, failure: None };

    fn failed(text: impl Into<String>, retry: bool) -> Self {
        Self { response_code: None, failure: Some(Reason { text: text.into(), retry }) }
    }

    fn of(result: Result<(), PortError>, what: &str) -> Self {
        match result.map_err(|error| error.kind()) {
            Ok(()) => Self::DONE,
            Err(PortErrorKind::Transient | PortErrorKind::Busy) => Self::failed(format!("{what} failed for now"), true),
            Err(PortErrorKind::OutcomeUnknown) => Self::failed(format!("{what} did not answer"), true),
            Err(PortErrorKind::Permanent) => Self::failed(format!("{what} refused for good"), false),
        }
    }
}

/// The schedule: what follows a failed attempt, the `attempts`th of its effect.
///
/// `retry_after` holds the pauses after the first, second, … attempt. When they are used up, the effect has failed.
#[must_use]
pub fn after_failure(retry_after: &[Duration], attempts: u32, now: Timestamp) -> NextAttempt {
    let index = usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1);
    retry_after.get(index).map_or(NextAttempt::Failed, |pause| NextAttempt::At(now.plus(*pause)))
}

fn retry_after<'a>(policy: &'a Policy, effect: &DueEffect) -> &'a [Duration] {
    match effect {
        DueEffect::Mail(_) => &policy.outbox.mail_retry_after,
        DueEffect::Delivery { .. } => &policy.webhooks.retry_after,
        DueEffect::Removal(_) => &policy.outbox.removal_retry_after,
        // The janitor takes errands, and has its own schedule.
        DueEffect::Errand(_) => &[],
    }
}

/// Carries effects out, over borrowed ports.
pub struct Dispatcher<'p, S: ?Sized, M: ?Sized, K: ?Sized, R: ?Sized> {
    storage: &'p S,
    mailer: &'p M,
    sink: &'p K,
    receipts: &'p R,
    templates: &'p dyn MailTemplates,
    environment: Environment<'p>,
}

impl<S: ?Sized, M: ?Sized, K: ?Sized, R: ?Sized> fmt::Debug for Dispatcher<'_, S, M, K, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dispatcher").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl<'p, S, M, K, R> Dispatcher<'p, S, M, K, R>
where
    S: WorkStorage + ?Sized,
    M: Mailer + ?Sized,
    K: Sink + ?Sized,
    R: Receipts + ?Sized,
{
    /// Over these ports.
    pub const fn new(
        storage: &'p S,
        mailer: &'p M,
        sink: &'p K,
        receipts: &'p R,
        environment: Environment<'p>,
    ) -> Self {
        Self { storage, mailer, sink, receipts, templates: &BuiltInTemplates, environment }
    }

    /// Uses these templates for mails instead of the library's.
    #[must_use]
    pub const fn with_templates(self, templates: &'p dyn MailTemplates) -> Self {
        Self { templates, ..self }
    }

    /// Takes up to `capacity` due effects of a lane in [`Lane::OUTBOX`] under a lease.
    ///
    /// # Errors
    /// The storage's failure.
    pub async fn take(&self, lane: Lane, capacity: u32) -> Result<Vec<Due>, PortError> {
        let policy = self.environment.policy;
        self.storage.take_due(lane, capacity, policy.webhooks.shares, policy.outbox.lease).await
    }

    /// Attempts one effect and records the result.
    ///
    /// # Errors
    /// [`RecordError`]: the attempt could not be recorded while the lease ran, or could not be made because the secret
    /// to sign with can't be opened for now. Either way the effect is due again when its lease ends, with the same ids
    /// and bytes.
    pub async fn perform(&self, due: &Due) -> Result<(), RecordError> {
        let clock = self.environment.clock;
        let attempted_at = clock.now();
        let attempt_number = due.attempts.saturating_add(1);
        let outcome = match self.signing(due) {
            Ok(signing) => self.attempt(due, &signing, attempt_number, attempted_at).await,
            // No key will open it, so another attempt can't help.
            Err(error) if error.kind() == PortErrorKind::Permanent => {
                AttemptResult::failed("the secret to sign with can't be opened", false)
            }
            // Not counted as an attempt, because a key that is missing here is not the receiver's failure.
            Err(error) => return Err(error.into()),
        };
        // The next attempt's time counts from this one's end. If the clock was set back, the end is no earlier than the
        // start.
        let now = clock.now().max(attempted_at);
        let next = match &outcome.failure {
            None => NextAttempt::Succeeded,
            Some(Reason { retry: false, .. }) => NextAttempt::Failed,
            Some(Reason { retry: true, .. }) => {
                after_failure(retry_after(self.environment.policy, &due.effect), attempt_number, now)
            }
        };
        let error = outcome.failure.map(|reason| reason.text);
        let attempt = Attempt { response_code: outcome.response_code, ..log(due, attempted_at, now, error, next) };
        record(self.storage, self.environment, due, &attempt, next, self.environment.policy.outbox.lease).await?;
        if let (EffectStatus::Failed, DueEffect::Delivery { target: Some(target), .. }) = (attempt.status, &due.effect)
        {
            let commands = Commands::new(self.storage, self.environment);
            // The attempt is already recorded. If this fails, the next failed attempt tries again.
            let _ = commands.switch_off_if_failing(due.account_id, target.subscription.id).await;
        }
        Ok(())
    }

    /// The secrets that sign a delivery: the previous one first, while it still signs.
    fn signing(&self, due: &Due) -> Result<Vec<WebhookSecret>, PortError> {
        let DueEffect::Delivery { target: Some(target), .. } = &due.effect else { return Ok(Vec::new()) };
        let Target { subscription, secret, previous_secret } = &**target;
        if !subscription.state.active {
            return Ok(Vec::new());
        }
        let holder = SecretHolder::Subscription(due.account_id, subscription.id);
        let sealed = previous_secret.iter().chain([secret]);
        sealed
            .map(|sealed| {
                let opened = sealed.open(self.environment.sealer, holder)?;
                WebhookSecret::parse(&opened).ok_or_else(|| PortError::permanent("a malformed webhook secret"))
            })
            .collect()
    }

    async fn attempt(&self, due: &Due, signing: &[WebhookSecret], attempt: u32, now: Timestamp) -> AttemptResult {
        match (&due.effect, due.id) {
            (DueEffect::Mail(content), EffectId::Mail(id)) => {
                AttemptResult::of(self.mailer.send(&mail::render(self.templates, id, content)).await, "the mail server")
            }
            (DueEffect::Removal(upload_id), _) => {
                AttemptResult::of(self.receipts.delete(due.account_id, *upload_id).await, "the receipts' store")
            }
            (DueEffect::Delivery { event_id, event_type, body, target }, EffectId::Delivery(delivery_id)) => {
                let Some(Target { subscription: Subscription { state, .. }, .. }) = target.as_deref() else {
                    return AttemptResult::failed("the subscription was deleted", false);
                };
                if !state.active {
                    return AttemptResult::failed("the subscription is inactive", false);
                }
                let post = Post {
                    url: state.url.clone(),
                    // Receivers that expect one signature read the last one.
                    signature: signature::sign_with(signing, now, body),
                    event_id: *event_id,
                    event_type: *event_type,
                    delivery_id,
                    attempt,
                    body: body.clone(),
                };
                match self.sink.post(&post).await {
                    Posted::Answered(code @ 200..=299) => AttemptResult { response_code: Some(code), failure: None },
                    Posted::Answered(code) => AttemptResult {
                        response_code: Some(code),
                        failure: Some(Reason { text: format!("the receiver answered {code}"), retry: true }),
                    },
                    Posted::Failed(text) => AttemptResult::failed(text, true),
                }
            }
            (DueEffect::Errand(_), _) => AttemptResult::failed("errands are for the janitor", false),
            (DueEffect::Mail(_) | DueEffect::Delivery { .. }, _) => {
                AttemptResult::failed("the effect's id is of another kind", false)
            }
        }
    }

    /// Attempts up to `capacity` due effects of all its lanes concurrently, taking mails first.
    ///
    /// [`Step::attempted`] includes attempts that could not be recorded; these effects are due again when their leases
    /// end.
    ///
    /// # Errors
    /// The storage's failure to take effects or to tell when the next one is due. Effects that were taken are attempted
    /// anyway.
    pub async fn step(&self, now: Timestamp, capacity: u32) -> Result<Step, PortError> {
        let (mut due, mut failed) = (Vec::new(), None);
        for lane in Lane::OUTBOX {
            let left = capacity.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
            match self.take(lane, left).await {
                Ok(taken) => due.extend(taken),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        join_all(due.iter().map(|due| self.perform(due)).collect()).await;
        match failed {
            Some(error) => Err(error),
            None => stepped(self.storage, &Lane::OUTBOX, self.environment.policy, now, due.len(), capacity).await,
        }
    }
}

/// The pause before a record is sent again for the first time. It doubles, up to [`RECORD_PAUSE_MAX`].
const RECORD_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause before a record is sent again: soon after the storage recovers.
const RECORD_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Records an attempt. If the storage fails for now or does not answer, it sends the record again while the lease runs,
/// because an unrecorded attempt is repeated and its receiver gets the same twice. The fence makes sending a record
/// twice harmless.
pub(crate) async fn record<S: WorkStorage + ?Sized>(
    storage: &S,
    Environment { clock, .. }: Environment<'_>,
    due: &Due,
    attempt: &Attempt,
    next: NextAttempt,
    lease: Duration,
) -> Result<(), RecordError> {
    let until = attempt.attempted_at.plus(lease);
    let (mut pause, mut paused) = (RECORD_PAUSE_FIRST, Duration::ZERO);
    let mut unknown = None;
    loop {
        let error = match storage.record_attempt(due.account_id, due.id, due.fence, attempt, next).await {
            Ok(()) => return Ok(()),
            // An earlier record may have been written, which ended the lease.
            Err(RecordError::LeaseLost(lost)) => match unknown {
                Some(unknown) => {
                    return is_recorded(storage, due, attempt).await.map_err(|_| unknown)?.ok_or(lost.into());
                }
                None => return Err(lost.into()),
            },
            Err(RecordError::Port(error)) => error,
        };
        let permanent = error.kind() == PortErrorKind::Permanent;
        // Once one record has an unknown outcome, a later failure does not settle it.
        let error = unknown.take().unwrap_or(error);
        // The sum of the pauses is limited too, because clocks may jump.
        if permanent || paused >= lease || clock.now() >= until {
            return Err(error.into());
        }
        unknown = Some(error).filter(|error| error.kind() == PortErrorKind::OutcomeUnknown);
        clock.sleep(pause).await;
        paused = paused.saturating_add(pause);
        pause = pause.saturating_mul(2).min(RECORD_PAUSE_MAX);
    }
}

/// Whether the log ends with this attempt.
async fn is_recorded<S: WorkStorage + ?Sized>(
    storage: &S,
    due: &Due,
    attempt: &Attempt,
) -> Result<Option<()>, PortError> {
    let effect = storage.effect(due.account_id, due.id).await?;
    Ok(effect.and_then(|effect| effect.last_attempt).filter(|last| last == attempt).map(drop))
}

/// An attempt's entry in its effect's log, without a receiver's response code.
pub(crate) fn log(
    due: &Due,
    attempted_at: Timestamp,
    now: Timestamp,
    error: Option<String>,
    next: NextAttempt,
) -> Attempt {
    Attempt {
        attempt_number: due.attempts.saturating_add(1),
        status: if error.is_none() { EffectStatus::Succeeded } else { EffectStatus::Failed },
        response_code: None,
        error,
        duration_ms: u64::try_from(now.since(attempted_at).as_millis()).unwrap_or(u64::MAX),
        attempted_at,
        next_retry_at: match next {
            NextAttempt::At(time) => Some(time),
            NextAttempt::Succeeded | NextAttempt::Failed => None,
        },
    }
}

/// The result of a step that attempted so many effects of these lanes.
pub(crate) async fn stepped<S: WorkStorage + ?Sized>(
    storage: &S,
    lanes: &[Lane],
    policy: &Policy,
    now: Timestamp,
    attempted: usize,
    capacity: u32,
) -> Result<Step, PortError> {
    let full = u32::try_from(attempted).unwrap_or(u32::MAX) >= capacity;
    let idle = now.plus(policy.outbox.idle_pause);
    let mut next = if full { now } else { idle };
    for lane in lanes.iter().filter(|_| !full) {
        next = storage.next_due(*lane).await?.map_or(next, |due| due.min(next));
    }
    // Due, but not taken: the storage's clock is behind this host's, or a subscription's share is used up.
    let next = if attempted == 0 && next <= now { now.plus(DUE_NOT_TAKEN_PAUSE) } else { next };
    Ok(Step { attempted, next: next.max(now) })
}

/// Runs all futures concurrently, without a runtime. They are few and wait long, so polling each at every wake costs
/// little.
pub(crate) async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs = Vec::with_capacity(running.len());
    std::future::poll_fn(move |context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() { Poll::Ready(std::mem::take(&mut outputs)) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_retried_on_the_contracts_schedule() {
        let now = Timestamp::from_millis(0);
        let policy = Policy::default();
        let minutes: Vec<_> = (1..=6)
            .map(|attempts| match after_failure(&policy.webhooks.retry_after, attempts, now) {
                NextAttempt::At(time) => Some(time.millis() / 60_000),
                NextAttempt::Failed | NextAttempt::Succeeded => None,
            })
            .collect();
        assert_eq!(minutes, [Some(1), Some(5), Some(25), Some(120), Some(720), None]);
    }
}
