//! Webhook subscriptions: where a seller's system wants to be told, and of what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::ids::{AccountId, SubscriptionId};
use crate::primitives::rejection::Invalid;
use crate::primitives::text::is_invisible;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;
use crate::webhooks::event::EventType;

/// Most subscriptions of one account.
pub const SUBSCRIPTIONS_MAX: u32 = 100;
/// Most filters of one subscription.
pub const FILTERS_MAX: usize = 20;
/// Longest address, in characters.
pub const URL_CHARACTERS_MAX: usize = 2_048;

/// What a subscription wants to hear of: everything (`*`), one type, or every type under a prefix (`serront.order.*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventFilter(String);

impl EventFilter {
    /// Parses one filter. It must be able to match some event type: a filter that never fires is a typing error.
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

    /// Whether an event of this type is wanted.
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

/// A subscription. Its secret is kept apart and is read only to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Whose.
    pub account_id: AccountId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What may change.
    pub state: SubscriptionState,
}

/// The part of a subscription that may change.
#[derive(Clone, PartialEq, Eq)]
pub struct SubscriptionState {
    /// How often it was written.
    pub version: Version,
    /// Where to post. It may hold a token of the receiver's, so `Debug` does not show it.
    pub url: String,
    /// What is wanted.
    pub events: Vec<EventFilter>,
    /// Whether anything is sent.
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
    /// Whether an event of this type goes here.
    #[must_use]
    pub fn wants(&self, event_type: EventType) -> bool {
        self.state.active && self.state.events.iter().any(|filter| filter.matches(event_type))
    }
}

/// The failed attempts in a row at a subscription's deliveries, of whichever of them. Bookkeeping beside the subscription: it
/// moves no version. A success ends it, and so does every change of the subscription ([`Write::UpdateSubscription`]).
///
/// [`Write::UpdateSubscription`]: crate::changes::change::Write::UpdateSubscription
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// How many.
    pub failures: u32,
    /// When the first of them was recorded, by the storage's clock.
    pub since: Timestamp,
}

/// A new subscription, or changes to one, not yet validated.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionInput {
    /// Where to post; required for a new one.
    #[serde(default)]
    pub url: Option<String>,
    /// What is wanted; everything, for a new one.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// Whether anything is sent; a new one is active.
    #[serde(default)]
    pub active: Option<bool>,
}

impl fmt::Debug for SubscriptionInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubscriptionInput(…)")
    }
}

impl SubscriptionInput {
    /// Validates the filters; the default is everything.
    ///
    /// # Errors
    /// [`Invalid`] naming the offending filter.
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

    /// Validates the address's length and characters. Whether it may be posted to is the sink's to say.
    ///
    /// # Errors
    /// [`Invalid`] naming `url`.
    pub fn address(&self) -> Result<Option<&str>, Invalid> {
        // What nobody sees comes along when an address is copied.
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
    fn filters_match_all_a_type_or_a_prefix() {
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
