//! Policies: the figures that a host may set, as values, grouped by subject.

use std::time::Duration;

use crate::changes::effect::Lane;
use crate::funds::fee::FeeRate;
use crate::primitives::time::Timestamp;
use crate::webhooks::subscription::Streak;

/// The library's adjustable figures. [`Policy::default`] is what the wire contract says.
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
    /// How a command is decided again and sent again.
    pub commits: CommitPolicy,
    /// How mails and removals are attempted, and how much one host does at once.
    pub outbox: OutboxPolicy,
    /// Deliveries to subscriptions, and their secrets.
    pub webhooks: WebhookPolicy,
    /// Online payment: the fee, sessions, polling, notifications and endpoints.
    pub online: OnlinePolicy,
    /// How long rows and files are kept.
    pub retention: RetentionPolicy,
    /// How often deltas are folded into their totals.
    pub folding: FoldingPolicy,
    /// How far a host's clock may be off the storage's.
    pub clock: ClockPolicy,
    /// How often a key's last use is written.
    pub key_touch_interval: Duration,
}

/// How a command is decided again and sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitPolicy {
    /// How often a command is decided anew after a conflict before it answers `BUSY`.
    pub rounds_max: u32,
    /// The longest pause before the second round; it doubles up to `round_pause_max`, with jitter.
    pub round_pause_first: Duration,
    /// The longest pause between two rounds.
    pub round_pause_max: Duration,
    /// How often the identical change set is sent again after an unknown or transient failure.
    pub resend_max: u32,
    /// How long an idempotency key counts.
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

/// How mails and removals are attempted, and how much one host does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxPolicy {
    /// The pauses between the attempts at a mail. Mail servers that greylist ask for about ten minutes, so the first pauses are short.
    pub mail_retry_after: Vec<Duration>,
    /// Those for the removal of receipts; what is given up is found by the sweeper.
    pub removal_retry_after: Vec<Duration>,
    /// How long a worker owns what it took. Longer than the longest attempt (10 s), and short enough that the work of a
    /// host that died is taken up within 60 s.
    pub lease: Duration,
    /// How many effects of each lane one host has under way at once.
    pub places: Places,
    /// How long an idle dispatcher waits before it looks again, for work that another host left behind.
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
    /// The pauses after the first, second, … failed attempt at a webhook; after the last one it has failed.
    pub retry_after: Vec<Duration>,
    /// How many failed attempts in a row, of whichever of its deliveries, switch a subscription off.
    pub switch_off_failures: u32,
    /// How long these must go on at least.
    pub switch_off_after: Duration,
    /// How long a subscription's replaced secret still signs beside the new one.
    pub secret_kept: Duration,
    /// How the deliveries that are under way at once are shared out.
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
    /// The fee on what is paid online; noted with each checkout when it begins.
    pub fee: FeeRate,
    /// How long a janitor owns an errand: longer than calls usually take. Two janitors at one errand do no harm.
    pub errand_lease: Duration,
    /// How long a buyer has to pay a session.
    pub session_valid_for: Duration,
    /// How long after a checkout began it is first asked after. The pauses double from there.
    pub poll_first: Duration,
    /// The longest pause between two polls of a checkout that has not ended.
    pub poll_pause_max: Duration,
    /// How long an ended checkout is still asked after: money can follow every other end.
    pub poll_after_end_for: Duration,
    /// The pause between two polls of an ended checkout.
    pub poll_after_end_pause: Duration,
    /// How long a parked notification is tried again; after that only by hand.
    pub unpark_for: Duration,
    /// How far a notification's time may be off, either way.
    pub notification_tolerance: Duration,
    /// How long a replaced endpoint's secret is still accepted.
    pub endpoint_secret_kept: Duration,
    /// How long a registration under way is left alone before somebody else begins anew: longer than one call. An earlier
    /// one that goes on all the same finds itself replaced, and removes what it made.
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
    /// How old an upload that no payment names must be before the sweeper moves it into quarantine.
    pub orphan_age: Duration,
    /// How long an upload stays in quarantine before the sweeper deletes it. Long enough to notice a wrong database.
    pub quarantine_kept: Duration,
    /// How long finished effects, with the buyers' data in them, are kept.
    pub effects_kept: Duration,
    /// How long the ids of change sets are kept. Longer than anybody asks after an outcome.
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
    /// How often the folder runs while little happens.
    pub interval: Duration,
    /// About how many deltas of counts and balances may wait to be folded, over all accounts: what a read adds up at most. The
    /// folder comes as often as that takes.
    pub backlog: u32,
}

impl Default for FoldingPolicy {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), backlog: 1_000 }
    }
}

/// How far a host's clock may be off the storage's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockPolicy {
    /// How far a host's clock may be off the storage's before it says so. Ordinary clocks are kept to within a second, so this is
    /// one that nothing sets right any more.
    pub skew_warned: Duration,
    /// How far a host's clock may be off the storage's before it refuses to start. What hosts compare is the storage's time, but
    /// what people are shown, signatures' times and sessions' ends are the host's: beyond this they are misleading, and receivers
    /// that allow for 5 minutes refuse what is signed.
    pub skew_max: Duration,
}

impl Default for ClockPolicy {
    fn default() -> Self {
        Self { skew_warned: Duration::from_secs(30), skew_max: 10 * MINUTE }
    }
}

/// How many effects one host has under way at once, by lane: what one lane waits for takes no place of another's.
///
/// Each takes a file descriptor while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Mails.
    pub mails: u32,
    /// Deliveries. Far more than the shares of any two accounts together.
    pub deliveries: u32,
    /// Removals of receipts.
    pub removals: u32,
    /// Errands at Plugipay.
    pub errands: u32,
}

impl Places {
    /// Those of one lane.
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

/// How many deliveries may be under way at once, over all hosts, so that no endpoint delays another's.
///
/// The first place of each subscription is nobody else's: only the share of the failing ones, and a host that is full, keep
/// it waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryShares {
    /// To one subscription.
    pub per_subscription: u32,
    /// Of one account, before each of its subscriptions has to do with one at a time.
    pub per_account: u32,
    /// To all subscriptions together that are held back: whose last attempt failed, or was a slow one.
    pub failing: u32,
    /// From how long on an attempt is a slow one, in whole seconds, however it ended.
    pub slow_after: Duration,
}

impl DeliveryShares {
    /// No share is kept to.
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
    /// The same policy with this change.
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
