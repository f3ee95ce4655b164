//! Events: what a seller's systems are told, with its bytes rendered once.

use serde::{Deserialize, Serialize};

use crate::orders::order::{OrderNumber, WorkStatus};
use crate::primitives::ids::{OrderId, ServiceId, SubscriptionId};
use crate::primitives::money::Rupiah;
use crate::primitives::text::Slug;
use crate::primitives::time::Timestamp;

/// The types of event (wire contract, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventType {
    /// An order was placed.
    #[serde(rename = "serront.order.created.v1")]
    OrderCreated,
    /// A message was written. Listed, not yet emitted.
    #[serde(rename = "serront.order.replied.v1")]
    OrderReplied,
    /// The work moved along its track.
    #[serde(rename = "serront.order.status_changed.v1")]
    OrderStatusChanged,
    /// The payment was confirmed.
    #[serde(rename = "serront.order.payment_confirmed.v1")]
    OrderPaymentConfirmed,
    /// The account took another plan. Listed, not yet emitted.
    #[serde(rename = "serront.billing.subscribed.v1")]
    BillingSubscribed,
    /// A subscription was switched off, for its receiver failed for too long. Told to the account's others.
    #[serde(rename = "serront.webhook_subscription.disabled.v1")]
    SubscriptionDisabled,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::OrderCreated,
        Self::OrderReplied,
        Self::OrderStatusChanged,
        Self::OrderPaymentConfirmed,
        Self::BillingSubscribed,
        Self::SubscriptionDisabled,
    ];

    /// The type's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "serront.order.created.v1",
            Self::OrderReplied => "serront.order.replied.v1",
            Self::OrderStatusChanged => "serront.order.status_changed.v1",
            Self::OrderPaymentConfirmed => "serront.order.payment_confirmed.v1",
            Self::BillingSubscribed => "serront.billing.subscribed.v1",
            Self::SubscriptionDisabled => "serront.webhook_subscription.disabled.v1",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.as_str() == name)
    }

    /// What it tells, for people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::OrderCreated => "A buyer placed an order.",
            Self::OrderReplied => "Somebody wrote a message on an order (not yet emitted).",
            Self::OrderStatusChanged => "An order moved along its work track.",
            Self::OrderPaymentConfirmed => "The payment of an order was confirmed.",
            Self::BillingSubscribed => "The account took another plan (not yet emitted).",
            Self::SubscriptionDisabled => "A webhook subscription was switched off: its receiver failed for too long.",
        }
    }
}

/// What an event tells. `number` comes before everything that a person typed (see [`MarkedText::from_json`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EventData {
    /// Of [`EventType::OrderCreated`].
    #[serde(rename_all = "camelCase")]
    OrderCreated {
        /// Which order.
        order_id: OrderId,
        /// `None` until the commit assigns it.
        number: Option<OrderNumber>,
        /// Of which service.
        service_id: ServiceId,
        /// The service's slug.
        service_slug: Slug,
        /// Which package.
        package_name: Option<String>,
        /// Zero if there is no quote yet.
        quoted_price_idr: Rupiah,
    },
    /// Of [`EventType::OrderStatusChanged`].
    #[serde(rename_all = "camelCase")]
    OrderStatusChanged {
        /// Which order.
        order_id: OrderId,
        /// Its number.
        number: OrderNumber,
        /// From here.
        from: WorkStatus,
        /// To here.
        to: WorkStatus,
    },
    /// Of [`EventType::OrderPaymentConfirmed`].
    #[serde(rename_all = "camelCase")]
    OrderPaymentConfirmed {
        /// Which order.
        order_id: OrderId,
        /// Its number.
        number: OrderNumber,
        /// The quote when it was confirmed.
        quoted_price_idr: Rupiah,
    },
    /// Of [`EventType::SubscriptionDisabled`]. Without the address: it may hold a token of the receiver's, which is none of
    /// the other receivers' business.
    #[serde(rename_all = "camelCase")]
    SubscriptionDisabled {
        /// Which subscription.
        subscription_id: SubscriptionId,
        /// How many attempts failed in a row.
        failed_attempts: u32,
        /// When the first of them began.
        failing_since: Timestamp,
    },
}

impl EventData {
    /// The type that this data belongs to.
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
