//! Webhook subscriptions: a URL of the seller's, and the events to send to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::ids::{AccountId, SubscriptionId};
use crate::primitives::macros::redacted_debug;
use crate::primitives::rejection::Invalid;
use crate::primitives::text::is_invisible;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;
use crate::webhooks::event::EventType;

/// Most subscriptions per account.
pub const SUBSCRIPTIONS_MAX: u32 = 100;
/// Most filters per subscription.
pub const FILTERS_MAX: usize = 20;
/// Longest URL, in characters.
pub const URL_CHARACTERS_MAX: usize = 2_048;

/// The events of a subscription: all (`*`), one type, or all types with a prefix (`serront.order.*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventFilter(String);

impl EventFilter {
    /// Parses a filter. It must match at least one event type: otherwise it is probably a typing error.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let filter = Self(raw.to_owned());
        if EventType::ALL.into_iter().any(|event_type| filter.matches(event_type)) {
            Ok(filter)
        } else {
            Err(Invalid::new(param, "must be \"*\", an event type, or a prefix such as serront.order.*"))
        }
    }

    /// Whether the filter includes this type.
    #[must_use]
    pub fn matches(&self, event_type: EventType) -> bool {
        match self.0.strip_suffix('*') {
            Some("") => true,
            Some(prefix) => prefix.ends_with('.') && event_type.as_str().starts_with(prefix),
            None => self.0 == event_type.as_str(),
        }
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A subscription. Its secret is stored separately and read only to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Subscription {
    pub id: SubscriptionId,
    pub account_id: AccountId,
    pub created_at: Timestamp,
    pub state: SubscriptionState,
}

/// The mutable part of a subscription.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct SubscriptionState {
    pub version: Version,
    /// Receives the deliveries. It may contain a secret token, so `Debug` hides it.
    pub url: String,
    /// At least one filter must match.
    pub events: Vec<EventFilter>,
    /// Nothing is sent to an inactive subscription.
    pub active: bool,
}

impl fmt::Debug for SubscriptionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SubscriptionState")
            .field("version", &self.version)
            .field("events", &self.events)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// Whether events of this type are sent to the subscription.
    #[must_use]
    pub fn wants(&self, event_type: EventType) -> bool {
        self.state.active && self.state.events.iter().any(|filter| filter.matches(event_type))
    }
}

/// Consecutive failed attempts over all deliveries of a subscription. Stored separately, without changing the version.
/// A success ends the streak, and so does every change of the subscription ([`Write::UpdateSubscription`]).
///
/// [`Write::UpdateSubscription`]: crate::changes::change::Write::UpdateSubscription
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// Number of failed attempts.
    pub failures: u32,
    /// When the first of them was recorded, by the storage's clock.
    pub since: Timestamp,
}

/// A new subscription, or changes to one, not yet validated. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionInput {
    /// Required for a new subscription.
    #[serde(default)]
    pub url: Option<String>,
    /// 1 to 20 filters; a new subscription defaults to `*`.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// A new subscription defaults to `true`.
    #[serde(default)]
    pub active: Option<bool>,
}

redacted_debug!(SubscriptionInput);

impl SubscriptionInput {
    /// Validates the filters; `None` if none were given.
    ///
    /// # Errors
    /// [`Invalid`] naming the first invalid filter.
    pub fn filters(&self) -> Result<Option<Vec<EventFilter>>, Invalid> {
        let Some(raw) = &self.events else {
            return Ok(None);
        };
        if raw.is_empty() || raw.len() > FILTERS_MAX {
            return Err(Invalid::new("events", "must hold 1 to 20 filters"));
        }
        raw.iter()
            .enumerate()
            .map(|(index, raw)| EventFilter::parse(&format!("events[{index}]"), raw))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Validates the URL's length and characters. The sink decides whether it may be posted to.
    ///
    /// # Errors
    /// [`Invalid`] naming `url`.
    pub fn address(&self) -> Result<Option<&str>, Invalid> {
        // Copied URLs may have invisible characters at their ends.
        let Some(url) = self.url.as_deref().map(|url| url.trim_matches(is_invisible)) else {
            return Ok(None);
        };
        let fits = !url.is_empty()
            && url.chars().count() <= URL_CHARACTERS_MAX
            && !url.chars().any(|character| character.is_control() || character.is_whitespace());
        if fits { Ok(Some(url)) } else { Err(Invalid::new("url", "must be a URL of at most 2,048 characters")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_everything_one_type_or_a_prefix() {
        let matched = |filter: &str| {
            EventFilter::parse("events[0]", filter)
                .map(|filter| EventType::ALL.into_iter().filter(|event| filter.matches(*event)).count())
                .ok()
        };
        assert_eq!(matched("*"), Some(EventType::ALL.len()));
        assert_eq!(matched("serront.order.*"), Some(4));
        assert_eq!(matched("serront.order.created.v1"), Some(1));
        for bad in ["", "serront.order", "serront.order.cre*", "serront.nothing.*", "order.created.v1", ".*", "**"] {
            assert_eq!(matched(bad), None, "{bad}");
        }
    }
}
