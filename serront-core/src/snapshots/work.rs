//! The outbox as the dispatcher sees it, retention, and secrets to seal again.

use std::time::Duration;

use crate::account::Version;
use crate::effect::{EffectId, Errand};
use crate::event::EventType;
use crate::ids::{AccountId, EventId, SubscriptionId, UploadId};
use crate::mail::Mail;
use crate::sealed::SealedSecret;
use crate::subscription::Subscription;
use crate::time::Timestamp;

/// The number of times that an effect was leased. A worker whose number is not the latest has lost its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// The recipient of a delivery, as the subscription stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The subscription, which holds the address.
    pub subscription: Subscription,
    /// The secret that signs.
    pub secret: SealedSecret,
    /// The previous secret, which signs too. `None` once its time has ended by the storage's clock.
    pub previous_secret: Option<SealedSecret>,
}

/// The secrets in a subscription's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSecrets {
    /// The subscription's account.
    pub account_id: AccountId,
    /// The subscription.
    pub id: SubscriptionId,
    /// The row's version, for a guard.
    pub version: Version,
    /// The present secret.
    pub secret: SealedSecret,
    /// The previous secret, whether its time has ended or not.
    pub previous_secret: Option<SealedSecret>,
}

/// A due effect, with what is needed to carry it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueEffect {
    /// A mail to send.
    Mail(Mail),
    /// A webhook delivery to post.
    Delivery {
        /// The event that it reports.
        event_id: EventId,
        /// The event's type.
        event_type: EventType,
        /// The exact body to post; every attempt sends the same bytes.
        body: String,
        /// `None` if the subscription has been deleted.
        target: Option<Box<Target>>,
    },
    /// A receipt to remove from the receipts' store.
    Removal(UploadId),
    /// An errand to run.
    Errand(Errand),
}

/// An effect taken under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The effect.
    pub id: EffectId,
    /// The effect's account.
    pub account_id: AccountId,
    /// The number of this lease.
    pub fence: Fence,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The work to do.
    pub effect: DueEffect,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// Nothing: the effect succeeded.
    Succeeded,
    /// Another attempt at this time, by the clock of the host that recorded
    /// [`Attempt::ended_at`](crate::effect::Attempt::ended_at). The storage converts it to its own clock.
    At(Timestamp),
    /// Nothing: the effect is given up.
    Failed,
}

/// Retention limits for one prune, as ages by the storage's clock. Stored outcomes are deleted once their time has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    /// Finished effects older than this are deleted with their logs.
    pub effects_kept: Duration,
    /// Ids of change sets that landed longer ago than this are deleted.
    pub change_sets_kept: Duration,
    /// The maximum number of rows deleted of each kind.
    pub limit: u32,
}

/// Rows deleted by one prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Stored outcomes.
    pub kept: u64,
    /// Effects.
    pub effects: u64,
    /// Ids of change sets.
    pub change_sets: u64,
}
