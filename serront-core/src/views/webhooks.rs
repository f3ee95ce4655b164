//! Webhook subscriptions and deliveries.

use serde::{Deserialize, Serialize};

use crate::accounts::key::WebhookSecret;
use crate::changes::effect::{Attempt, DeliveryRecord, EffectStatus};
use crate::changes::idempotency::Outcome;
use crate::primitives::ids::{DeliveryId, EventId, SubscriptionId};
use crate::primitives::time::Timestamp;
use crate::webhooks::event::EventType;
use crate::webhooks::subscription::{EventFilter, Subscription};

/// A subscription as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    pub id: SubscriptionId,
    pub url: String,
    pub events: Vec<EventFilter>,
    pub active: bool,
    pub created_at: Timestamp,
}

impl Outcome for SubscriptionView {
    const KIND: &'static str = "subscription";
}

impl From<&Subscription> for SubscriptionView {
    fn from(subscription: &Subscription) -> Self {
        Self {
            id: subscription.id,
            url: subscription.state.url.clone(),
            events: subscription.state.events.clone(),
            active: subscription.state.active,
            created_at: subscription.created_at,
        }
    }
}

/// A new subscription and its secret, which is never shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSubscriptionView {
    #[serde(flatten)]
    pub shown: SubscriptionView,
    pub secret: WebhookSecret,
}

impl Outcome for NewSubscriptionView {
    const KIND: &'static str = "new_subscription";
    const REPEATABLE: bool = false;
}

/// A delivery and its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    pub id: DeliveryId,
    pub subscription_id: SubscriptionId,
    pub event_id: EventId,
    pub r#type: EventType,
    pub body: String,
    pub status: EffectStatus,
    pub attempts: u32,
    pub next_retry_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub response_code: Option<u16>,
    pub last_error: Option<String>,
    pub attempt_log: Vec<Attempt>,
}

impl Outcome for DeliveryView {
    const KIND: &'static str = "delivery";
}

impl From<&DeliveryRecord> for DeliveryView {
    fn from(record: &DeliveryRecord) -> Self {
        let last = record.attempts.last();
        let delivered = record.attempts.iter().rfind(|attempt| attempt.status == EffectStatus::Succeeded);
        Self {
            id: record.id,
            subscription_id: record.subscription_id,
            event_id: record.event_id,
            r#type: record.event_type,
            body: record.body.clone(),
            status: record.status,
            attempts: last.map_or(0, |attempt| attempt.attempt_number),
            next_retry_at: record.next_attempt_at,
            last_attempt_at: last.map(|attempt| attempt.attempted_at),
            delivered_at: delivered
                .map(|attempt| attempt.attempted_at.plus(std::time::Duration::from_millis(attempt.duration_ms))),
            response_code: last.and_then(|attempt| attempt.response_code),
            last_error: last.and_then(|attempt| attempt.error.clone()),
            attempt_log: record.attempts.clone(),
        }
    }
}
