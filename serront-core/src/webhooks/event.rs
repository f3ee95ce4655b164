//! Events for the seller's systems. Each event's JSON is rendered once, so all deliveries have the same bytes.

use serde::Serialize;

use crate::orders::order::{OrderNumber, WorkStatus};
use crate::primitives::ids::{OrderId, ServiceId, SubscriptionId};
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;
use crate::primitives::text::Slug;
use crate::primitives::time::Timestamp;

named_enum! {
    /// The types of event (wire contract, section 3).
    #[non_exhaustive]
    pub enum EventType {
        /// An order was placed.
        OrderCreated = "serront.order.created.v1",
        /// A message was written. Listed, but not emitted yet.
        OrderReplied = "serront.order.replied.v1",
        /// An order's work status changed.
        OrderStatusChanged = "serront.order.status_changed.v1",
        /// An order's payment was confirmed.
        OrderPaymentConfirmed = "serront.order.payment_confirmed.v1",
        /// The account changed its plan. Listed, but not emitted yet.
        BillingSubscribed = "serront.billing.subscribed.v1",
        /// A subscription was switched off because its receiver failed for too long. Sent to the account's other ones.
        SubscriptionDisabled = "serront.webhook_subscription.disabled.v1",
    }
}

impl EventType {
    /// The description in the list of event types.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::OrderCreated => "A buyer placed an order.",
            Self::OrderReplied => "A message was written on an order (not yet emitted).",
            Self::OrderStatusChanged => "An order moved along its work track.",
            Self::OrderPaymentConfirmed => "The payment of an order was confirmed.",
            Self::BillingSubscribed => "The account changed its plan (not yet emitted).",
            Self::SubscriptionDisabled => "A webhook subscription was switched off: its receiver failed for too long.",
        }
    }
}

/// An event's `data`. `number` comes before all typed texts; see
/// [`MarkedText::from_json`](crate::orders::marked::MarkedText::from_json).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub enum EventData {
    /// Of [`EventType::OrderCreated`].
    #[serde(rename_all = "camelCase")]
    OrderCreated {
        order_id: OrderId,
        /// `None` until the commit assigns it.
        number: Option<OrderNumber>,
        service_id: ServiceId,
        service_slug: Slug,
        /// `None` if the service has no packages.
        package_name: Option<String>,
        /// Zero if there is no quote yet.
        quoted_price_idr: Rupiah,
    },
    /// Of [`EventType::OrderStatusChanged`].
    #[serde(rename_all = "camelCase")]
    OrderStatusChanged { order_id: OrderId, number: OrderNumber, from: WorkStatus, to: WorkStatus },
    /// Of [`EventType::OrderPaymentConfirmed`].
    #[serde(rename_all = "camelCase")]
    OrderPaymentConfirmed {
        order_id: OrderId,
        number: OrderNumber,
        /// The quote at the time of the confirmation.
        quoted_price_idr: Rupiah,
    },
    /// Of [`EventType::SubscriptionDisabled`]. Omits the URL, which may contain a secret token of that receiver.
    #[serde(rename_all = "camelCase")]
    SubscriptionDisabled {
        subscription_id: SubscriptionId,
        /// Consecutive failed attempts.
        failed_attempts: u32,
        /// When the first of them was recorded.
        failing_since: Timestamp,
    },
}

impl EventData {
    /// The type of event that this data belongs to.
    #[must_use]
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::OrderCreated { .. } => EventType::OrderCreated,
            Self::OrderStatusChanged { .. } => EventType::OrderStatusChanged,
            Self::OrderPaymentConfirmed { .. } => EventType::OrderPaymentConfirmed,
            Self::SubscriptionDisabled { .. } => EventType::SubscriptionDisabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_json_and_in_code() {
        for event_type in EventType::ALL {
            assert_eq!(serde_json::to_string(&event_type).unwrap(), format!("\"{}\"", event_type.as_str()));
            assert_eq!(EventType::parse(event_type.as_str()), Some(event_type));
        }
    }
}
