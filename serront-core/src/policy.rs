//! Policy: the figures that a host can set, grouped by subject.

use std::time::Duration;

use crate::changes::effect::Lane;
use crate::funds::fee::FeeRate;
use crate::primitives::time::Timestamp;
use crate::webhooks::subscription::Streak;

/// The library's adjustable figures. [`Policy::default`] has the wire contract's values.
///
/// ```
/// use std::time::Duration;
///
/// use serront_core::policy::Policy;
///
/// let policy = Policy::default().with(|policy| policy.retention.effects_kept = Duration::from_secs(30 * 86_400));
/// assert_eq!(policy.commits, Policy::default().commits);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Rounds after a conflict, and resends after an unknown outcome.
    pub commits: CommitPolicy,
    /// Attempts at mails and removals, leases, and how many effects one host attempts concurrently.
    pub outbox: OutboxPolicy,
    /// Deliveries to subscriptions, and their secrets.
    pub webhooks: WebhookPolicy,
    /// Online payment: the fee, sessions, polling, notifications and endpoints.
    pub online: OnlinePolicy,
    /// How long rows and files are kept.
    pub retention: RetentionPolicy,
    /// How often deltas are folded into their totals.
    pub folding: FoldingPolicy,
    /// How far a host's clock may differ from the storage's.
    pub clock: ClockPolicy,
    /// The shortest time between two updates of a key's last use.
    pub key_touch_interval: Duration,
}

/// Rounds after a conflict, and resends after an unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitPolicy {
    /// How often a command is decided before it fails with `Busy`, if each commit conflicts.
    pub rounds_max: u32,
    /// The longest pause before the second round. The limit doubles each round, up to `round_pause_max`; jitter picks a
    /// pause below it.
    pub round_pause_first: Duration,
    /// The longest pause between two rounds.
    pub round_pause_max: Duration,
    /// How often the identical change set is resent after an unknown or transient failure.
    pub resend_max: u32,
    /// How long an idempotency key is remembered.
    pub idempotency_kept: Duration,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self {
            rounds_max: 16,
            round_pause_first: Duration::from_millis(4),
            round_pause_max: Duration::from_millis(250),
            resend_max: 4,
            idempotency_kept: DAY,
        }
    }
}

/// Attempts at mails and removals, leases, and how many effects one host attempts concurrently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxPolicy {
    /// The pauses between the attempts at a mail. The first ones are short because greylisting servers accept a mail
    /// after about ten minutes.
    pub mail_retry_after: Vec<Duration>,
    /// The pauses between the attempts at removing a receipt. The sweeper deletes what is given up.
    pub removal_retry_after: Vec<Duration>,
    /// How long a worker owns an effect that it took. Longer than the longest attempt (10 s), and short enough that
    /// another host takes over a dead host's work within 60 s.
    pub lease: Duration,
    /// How many effects of each lane one host attempts concurrently.
    pub places: Places,
    /// How long an idle dispatcher waits before it looks for work again, such as a dead host's.
    pub idle_pause: Duration,
}

impl Default for OutboxPolicy {
    fn default() -> Self {
        Self {
            mail_retry_after: vec![MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR],
            removal_retry_after: vec![MINUTE, HOUR, 6 * HOUR],
            lease: Duration::from_secs(30),
            places: Places::default(),
            idle_pause: Duration::from_secs(10),
        }
    }
}

/// Deliveries to subscriptions, and their secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookPolicy {
    /// The pauses after the first, second, … failed attempt at a delivery. When they are used up, the delivery has
    /// failed.
    pub retry_after: Vec<Duration>,
    /// How many failed attempts in a row, over all its deliveries, switch a subscription off.
    pub switch_off_failures: u32,
    /// The shortest time that such a streak lasts before it switches a subscription off.
    pub switch_off_after: Duration,
    /// How long a subscription's previous secret still signs together with the new one.
    pub secret_kept: Duration,
    /// How concurrent deliveries are shared among subscriptions and accounts.
    pub shares: DeliveryShares,
}

impl Default for WebhookPolicy {
    fn default() -> Self {
        Self {
            retry_after: vec![MINUTE, 5 * MINUTE, 25 * MINUTE, 2 * HOUR, 12 * HOUR],
            switch_off_failures: 20,
            switch_off_after: DAY,
            secret_kept: DAY,
            shares: DeliveryShares::default(),
        }
    }
}

/// Online payment: the fee, sessions, polling, notifications and endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnlinePolicy {
    /// The fee on online payments. Each checkout keeps the rate of when it began.
    pub fee: FeeRate,
    /// How long a janitor owns an errand: longer than calls usually take. Two janitors with one errand do no harm.
    pub errand_lease: Duration,
    /// How long a buyer has to pay a session.
    pub session_valid_for: Duration,
    /// When a checkout is first polled, after it began. The pauses double from there.
    pub poll_first: Duration,
    /// The longest pause between two polls of a checkout that has not ended.
    pub poll_pause_max: Duration,
    /// How long a checkout is still polled after it ended unpaid, because money can still arrive.
    pub poll_after_end_for: Duration,
    /// The pause between two polls of an ended checkout.
    pub poll_after_end_pause: Duration,
    /// How long the janitor retries a parked notification. Later only a manual retry applies it.
    pub unpark_for: Duration,
    /// How far a notification's time may differ from the host's, either way.
    pub notification_tolerance: Duration,
    /// How long a replaced endpoint's secret is still accepted.
    pub endpoint_secret_kept: Duration,
    /// How long a registration may take before another one replaces it: longer than one call. A replaced registration
    /// that still finishes notices it, and removes its endpoint.
    pub endpoint_patience: Duration,
}

impl Default for OnlinePolicy {
    fn default() -> Self {
        Self {
            fee: FeeRate::DEFAULT,
            errand_lease: Duration::from_secs(45),
            session_valid_for: DAY,
            poll_first: MINUTE,
            poll_pause_max: HOUR,
            poll_after_end_for: 72 * HOUR,
            poll_after_end_pause: 12 * HOUR,
            unpark_for: 7 * DAY,
            notification_tolerance: 5 * MINUTE,
            endpoint_secret_kept: DAY,
            endpoint_patience: Duration::from_secs(15),
        }
    }
}

/// How long rows and files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// The age at which the sweeper moves an upload that no payment names into quarantine.
    pub orphan_age: Duration,
    /// How long an upload stays in quarantine before the sweeper deletes it. Long enough to notice a wrong database.
    pub quarantine_kept: Duration,
    /// How long finished effects are kept. They contain buyers' data.
    pub effects_kept: Duration,
    /// How long the ids of change sets are kept, for a caller that asks whether one was committed.
    pub change_sets_kept: Duration,
    /// How often the sweeper runs.
    pub sweep_interval: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            orphan_age: DAY,
            quarantine_kept: 30 * DAY,
            effects_kept: 90 * DAY,
            change_sets_kept: 30 * DAY,
            sweep_interval: HOUR,
        }
    }
}

/// How often deltas are folded into their totals.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoldingPolicy {
    /// The longest time between two runs of the folder.
    pub interval: Duration,
    /// About how many deltas of counts and balances may wait to be folded, over all accounts. A read adds up at most
    /// that many, so the folder runs more often while many commits arrive.
    pub backlog: u32,
}

impl Default for FoldingPolicy {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), backlog: 1_000 }
    }
}

/// How far a host's clock may differ from the storage's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockPolicy {
    /// A host whose clock differs by more logs a warning. Synchronized clocks stay within a second, so a larger
    /// difference means that synchronization has stopped.
    pub skew_warned: Duration,
    /// A host whose clock differs by more refuses to start. Hosts compare the storage's times, but displayed times,
    /// signatures' times and sessions' ends come from the host's clock. Beyond this they mislead, and receivers with a
    /// tolerance of 5 minutes reject signatures.
    pub skew_max: Duration,
}

impl Default for ClockPolicy {
    fn default() -> Self {
        Self { skew_warned: Duration::from_secs(30), skew_max: 10 * MINUTE }
    }
}

/// How many effects one host attempts concurrently, by lane: a lane that waits takes no place of another lane.
///
/// Each effect uses a file descriptor while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Mails.
    pub mails: u32,
    /// Deliveries. Far more than two accounts' shares together, so two accounts can't fill a host.
    pub deliveries: u32,
    /// Removals of receipts.
    pub removals: u32,
    /// Errands at Plugipay.
    pub errands: u32,
}

impl Places {
    /// The places of one lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Mails => self.mails,
            Lane::Deliveries => self.deliveries,
            Lane::Removals => self.removals,
            Lane::Errands => self.errands,
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { mails: 64, deliveries: 512, removals: 16, errands: 64 }
    }
}

/// How many deliveries may run concurrently, over all hosts, so that no endpoint delays another's deliveries.
///
/// Each subscription has one place that no other subscription takes. It waits only if its receiver is failing and the
/// share of failing ones is used up, or if the host has no free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryShares {
    /// Concurrent deliveries to one subscription.
    pub per_subscription: u32,
    /// Concurrent deliveries of one account. Beyond this, each of its subscriptions gets one at a time.
    pub per_account: u32,
    /// Concurrent deliveries to all failing subscriptions together: those whose last attempt failed or was slow.
    pub failing: u32,
    /// The duration from which an attempt counts as slow, in whole seconds, whether it succeeded or not.
    pub slow_after: Duration,
}

impl DeliveryShares {
    /// Deliveries are not limited.
    pub const UNLIMITED: Self =
        Self { per_subscription: u32::MAX, per_account: u32::MAX, failing: u32::MAX, slow_after: Duration::MAX };
}

impl Default for DeliveryShares {
    fn default() -> Self {
        Self { per_subscription: 4, per_account: 128, failing: 256, slow_after: Duration::from_secs(2) }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Policy {
    /// Applies a change and returns the policy.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Whether a streak of failed attempts is long enough, in attempts and in time, to switch its subscription off.
    #[must_use]
    pub fn switches_off(&self, streak: Streak, now: Timestamp) -> bool {
        streak.failures >= self.webhooks.switch_off_failures
            && now.since(streak.since) >= self.webhooks.switch_off_after
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            commits: CommitPolicy::default(),
            outbox: OutboxPolicy::default(),
            webhooks: WebhookPolicy::default(),
            online: OnlinePolicy::default(),
            retention: RetentionPolicy::default(),
            folding: FoldingPolicy::default(),
            clock: ClockPolicy::default(),
            key_touch_interval: MINUTE,
        }
    }
}
