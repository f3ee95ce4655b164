//! Effects: what is to be done outside the process after a commit, stored in that commit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::accounts::actor::Actor;
use crate::orders::mail::Mail;
use crate::orders::marked::MarkedText;
use crate::primitives::ids::{
    AccountId, AuditId, CheckoutId, DeliveryId, ErrandId, EventId, MailId, MalformedId, RemovalId, SubscriptionId,
    UploadId,
};
use crate::primitives::macros::named_enum;
use crate::primitives::provider::ProviderEventId;
use crate::primitives::time::Timestamp;
use crate::webhooks::event::EventType;

/// Something to do outside the process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of the ids name them")]
pub enum Effect {
    /// A mail to a buyer.
    Mail {
        /// Also names the mail's file and its Message-ID.
        id: MailId,
        mail: Mail,
    },
    /// A delivery of one event to one subscription.
    Delivery(Delivery),
    /// The deletion of a receipt's bytes that no payment names any longer.
    Removal { id: RemovalId, upload_id: UploadId },
    /// Something to do at Plugipay, for the janitor.
    Errand {
        id: ErrandId,
        errand: Errand,
        /// The earliest time to do it, by the clock of the host that decided.
        due_at: Timestamp,
    },
}

/// Something to do at Plugipay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum Errand {
    /// Ask Plugipay for this checkout's state until it ends, and for a while afterwards.
    Poll(CheckoutId),
    /// Cancel this checkout's session.
    Cancel(CheckoutId),
    /// Apply this parked notification, if its session is known by now.
    Unpark(ProviderEventId),
}

/// A queue of effects. Each lane has its own places, so a receiver or a provider that hangs delays no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Mails; the dispatcher takes them.
    Mails,
    /// Deliveries of events; the dispatcher takes them.
    Deliveries,
    /// Removals of receipts; the dispatcher takes them.
    Removals,
    /// Errands; the janitor takes them.
    Errands,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 4] = [Self::Mails, Self::Deliveries, Self::Removals, Self::Errands];
    /// The lanes that the dispatcher takes from.
    pub const OUTBOX: [Self; 3] = [Self::Mails, Self::Deliveries, Self::Removals];
}

/// A delivery of one event to one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of the ids name them")]
pub struct Delivery {
    pub id: DeliveryId,
    pub subscription_id: SubscriptionId,
    pub event_id: EventId,
    pub event_type: EventType,
    /// The same bytes in every attempt and for every subscription.
    pub body: MarkedText,
}

impl Effect {
    /// The effect's id.
    #[must_use]
    pub const fn id(&self) -> EffectId {
        match self {
            Self::Mail { id, .. } => EffectId::Mail(*id),
            Self::Delivery(delivery) => EffectId::Delivery(delivery.id),
            Self::Removal { id, .. } => EffectId::Removal(*id),
            Self::Errand { id, .. } => EffectId::Errand(*id),
        }
    }

    /// When it is due if it was decided at this time.
    #[must_use]
    pub const fn due_at(&self, decided: Timestamp) -> Timestamp {
        match self {
            Self::Mail { .. } | Self::Delivery(_) | Self::Removal { .. } => decided,
            Self::Errand { due_at, .. } => *due_at,
        }
    }
}

/// The id of an effect; its prefix says which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectId {
    /// A mail.
    Mail(MailId),
    /// A delivery.
    Delivery(DeliveryId),
    /// A removal.
    Removal(RemovalId),
    /// An errand.
    Errand(ErrandId),
}

impl EffectId {
    /// The lane that holds the effect.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Mail(_) => Lane::Mails,
            Self::Delivery(_) => Lane::Deliveries,
            Self::Removal(_) => Lane::Removals,
            Self::Errand(_) => Lane::Errands,
        }
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(id) => fmt::Display::fmt(id, formatter),
            Self::Delivery(id) => fmt::Display::fmt(id, formatter),
            Self::Removal(id) => fmt::Display::fmt(id, formatter),
            Self::Errand(id) => fmt::Display::fmt(id, formatter),
        }
    }
}

impl FromStr for EffectId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        text.parse()
            .map(Self::Mail)
            .or_else(|_| text.parse().map(Self::Delivery))
            .or_else(|_| text.parse().map(Self::Removal))
            .or_else(|_| text.parse().map(Self::Errand))
    }
}

named_enum! {
    /// The state of an effect, or the result of one attempt at it.
    pub enum EffectStatus {
        /// Waits for its next attempt, or is being attempted.
        Pending = "pending",
        /// Done.
        Succeeded = "succeeded",
        /// Given up.
        Failed = "failed",
    }
}

/// One attempt at an effect, as its log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1.
    pub attempt_number: u32,
    /// The result of this attempt, not the effect's state: succeeded or failed.
    pub status: EffectStatus,
    /// The receiver's HTTP status; `None` if it did not answer, or if this is no delivery.
    pub response_code: Option<u16>,
    /// Why it failed, without secrets; `None` if it succeeded.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
    /// When it began, by the clock of the host that made it.
    pub attempted_at: Timestamp,
    /// When the next attempt is due, by the clock of the host that made this one; `None` if there is none.
    pub next_retry_at: Option<Timestamp>,
}

impl Attempt {
    /// When it ended, by the clock of the host that made it. The pause before the next attempt starts here.
    #[must_use]
    pub fn ended_at(&self) -> Timestamp {
        self.attempted_at.plus(std::time::Duration::from_millis(self.duration_ms))
    }
}

/// A delivery and its log, as the seller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of the ids name them")]
pub struct DeliveryRecord {
    pub id: DeliveryId,
    pub subscription_id: SubscriptionId,
    pub event_id: EventId,
    pub event_type: EventType,
    /// The bytes sent.
    pub body: String,
    pub status: EffectStatus,
    /// By the storage's clock.
    pub created_at: Timestamp,
    /// When the next attempt is due; `None` unless it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// The latest attempts, at most [`ATTEMPTS_KEPT`], oldest first.
    pub attempts: Vec<Attempt>,
}

/// How many attempts an effect's log keeps. Manual retries have no limit, and reads answer the whole log.
pub const ATTEMPTS_KEPT: u32 = 50;

/// An effect as an operator sees it. It leaves out the content, which may hold a buyer's data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of the ids name them")]
pub struct EffectRecord {
    pub id: EffectId,
    pub account_id: AccountId,
    pub status: EffectStatus,
    /// By the storage's clock.
    pub created_at: Timestamp,
    /// Whether it was given up and needs no operator: one discarded it, or its subscription was paused, switched off or
    /// deleted.
    pub discarded: bool,
    /// How many attempts were made.
    pub attempts: u32,
    /// `None` before the first attempt.
    pub last_attempt: Option<Attempt>,
    /// `None` unless it is a delivery.
    pub delivery: Option<DeliveryAddress>,
}

/// The record of an operator who discarded an effect that was given up. It stays when the effect is pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of the ids name them")]
pub struct Discard {
    pub id: AuditId,
    pub account_id: AccountId,
    pub effect_id: EffectId,
    /// By the clock of the host that decided.
    pub at: Timestamp,
    pub actor: Actor,
    /// Up to 2,000 characters.
    pub reason: String,
}

/// A delivery's subscription and the type of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types name the fields")]
pub struct DeliveryAddress {
    pub subscription_id: SubscriptionId,
    pub event_type: EventType,
}
