//! Effects: everything that has to leave the process after a commit, stored in that commit.

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
use crate::primitives::provider::ProviderEventId;
use crate::primitives::time::Timestamp;
use crate::webhooks::event::EventType;

/// Something that has to leave the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A mail to a buyer.
    Mail {
        /// Names the mail's file and its Message-ID.
        id: MailId,
        /// What it says, typed and versioned.
        mail: Mail,
    },
    /// One event on its way to one subscription.
    Delivery(Delivery),
    /// A receipt's bytes that nothing names any more.
    Removal {
        /// Which removal.
        id: RemovalId,
        /// Which upload.
        upload_id: UploadId,
    },
    /// Something to do at Plugipay, for the janitor.
    Errand {
        /// Which errand.
        id: ErrandId,
        /// What is to be done.
        errand: Errand,
        /// Not before then, by the clock of the host that decided.
        due_at: Timestamp,
    },
}

/// Something to do at Plugipay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum Errand {
    /// Ask after this checkout until it ends, and for a while after.
    Poll(CheckoutId),
    /// Call this checkout off.
    Cancel(CheckoutId),
    /// Try this parked notification again.
    Unpark(ProviderEventId),
}

/// Who takes an effect: each lane is worked through on its own, with places of its own, so that a receiver or a provider that
/// hangs holds back no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Mails: the dispatcher's, as the next two are.
    Mails,
    /// Deliveries of events.
    Deliveries,
    /// Removals of receipts.
    Removals,
    /// Errands: the janitor's.
    Errands,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 4] = [Self::Mails, Self::Deliveries, Self::Removals, Self::Errands];
    /// The dispatcher's.
    pub const OUTBOX: [Self; 3] = [Self::Mails, Self::Deliveries, Self::Removals];
}

/// One event on its way to one subscription, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which delivery.
    pub id: DeliveryId,
    /// To which subscription.
    pub subscription_id: SubscriptionId,
    /// Which event.
    pub event_id: EventId,
    /// Of which type.
    pub event_type: EventType,
    /// The body, the same bytes on every attempt and for every subscription.
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

    /// When it is due, in a commit that was decided at this time.
    #[must_use]
    pub const fn due_at(&self, decided: Timestamp) -> Timestamp {
        match self {
            Self::Mail { .. } | Self::Delivery(_) | Self::Removal { .. } => decided,
            Self::Errand { due_at, .. } => *due_at,
        }
    }
}

/// The id of an effect, of whatever kind; its prefix tells the kind.
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
    /// Who takes it.
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

/// How far an effect has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectStatus {
    /// Waits for its next attempt, or is under way.
    Pending,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
}

impl EffectStatus {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Succeeded, Self::Failed];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// One attempt at an effect, as kept in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1, 2, …
    pub attempt_number: u32,
    /// `succeeded` or `failed`: this attempt, not the effect.
    pub status: EffectStatus,
    /// The receiver's HTTP status, if it answered.
    pub response_code: Option<u16>,
    /// Why it failed, without secrets.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// When it began.
    pub attempted_at: Timestamp,
    /// When the next one is due, if there is one, by the clock of the host that made this one.
    pub next_retry_at: Option<Timestamp>,
}

impl Attempt {
    /// When it ended, by the clock of the host that made it. What comes next is reckoned from there.
    #[must_use]
    pub fn ended_at(&self) -> Timestamp {
        self.attempted_at.plus(std::time::Duration::from_millis(self.duration_ms))
    }
}

/// A delivery with its log, as the seller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Which delivery.
    pub id: DeliveryId,
    /// To which subscription.
    pub subscription_id: SubscriptionId,
    /// Which event.
    pub event_id: EventId,
    /// Of which type.
    pub event_type: EventType,
    /// The bytes sent.
    pub body: String,
    /// How far it has come.
    pub status: EffectStatus,
    /// When it was made, by the storage's clock.
    pub created_at: Timestamp,
    /// When the next attempt is due, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// The attempts so far, oldest first; of more than [`ATTEMPTS_KEPT`] the latest.
    pub attempts: Vec<Attempt>,
}

/// How many attempts an effect's log keeps. Whoever tries again by hand may do so without end, and the log is answered whole.
pub const ATTEMPTS_KEPT: u32 = 50;

/// An effect of whatever kind as an operator sees it: how far it has come, and nothing of what it carries, for that may be a
/// buyer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRecord {
    /// Which effect; its prefix tells the kind.
    pub id: EffectId,
    /// Whose.
    pub account_id: AccountId,
    /// How far it has come.
    pub status: EffectStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether nobody has to look after it although it was given up: an operator discarded it, or its subscription was paused,
    /// switched off or deleted.
    pub discarded: bool,
    /// How many attempts there were.
    pub attempts: u32,
    /// The last of them.
    pub last_attempt: Option<Attempt>,
    /// Of a delivery, and of nothing else.
    pub delivery: Option<DeliveryAddress>,
}

/// The record of an effect that was given up and that an operator wants no more of. It stays when the effect is pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    /// Which record.
    pub id: AuditId,
    /// In whose account.
    pub account_id: AccountId,
    /// Which effect.
    pub effect_id: EffectId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: String,
}

/// Where a delivery goes, and of what type its event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryAddress {
    /// To which subscription.
    pub subscription_id: SubscriptionId,
    /// Of which type.
    pub event_type: EventType,
}
