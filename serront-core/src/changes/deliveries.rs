//! The deliveries that an event causes.

use serde::Serialize;

use crate::changes::effect::{Delivery, Effect};
use crate::orders::marked::MarkedText;
use crate::primitives::ids::{AccountId, EventId, IdSequence};
use crate::primitives::time::Timestamp;
use crate::webhooks::event::{EventData, EventType};
use crate::webhooks::subscription::Subscription;

/// One delivery of an event for each active subscription that wants its type, all with the same bytes.
pub(crate) fn deliveries(
    account_id: AccountId,
    data: &EventData,
    subscriptions: &[Subscription],
    now: Timestamp,
    ids: &mut IdSequence,
) -> Vec<Effect> {
    let event_id = ids.event();
    let event_type = data.event_type();
    let body = Body { id: event_id, r#type: event_type, occurred_at: now, account_id, data };
    // Rendering strings, numbers and enums does not fail.
    let body = MarkedText::from_json(serde_json::to_string(&body).unwrap_or_default());
    subscriptions
        .iter()
        .filter(|subscription| subscription.wants(event_type))
        .map(|subscription| {
            Effect::Delivery(Delivery {
                id: ids.delivery(),
                subscription_id: subscription.id,
                event_id,
                event_type,
                body: body.clone(),
            })
        })
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: EventId,
    r#type: EventType,
    occurred_at: Timestamp,
    account_id: AccountId,
    data: &'a EventData,
}
