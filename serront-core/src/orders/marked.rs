//! Texts rendered before the order's number is known, with a marked place for it.
//!
//! The storage assigns the number inside the commit, after the decision has rendered the event's bytes and the kept
//! outcome. Both hold a [`MarkedText`] until then; an adapter fills it with [`MarkedText::fill`], or by concatenating
//! the parts in its own statement.

use serde::{Deserialize, Serialize};

use crate::orders::order::OrderNumber;

/// A text, with or without a place for the order's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedText {
    before: String,
    after: Option<String>,
}

/// How a JSON object shows that its number is not known yet.
const PLACE: &str = "\"number\":null";

impl MarkedText {
    /// A finished text.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self { before: text, after: None }
    }

    /// Marks the first `"number":null` of a rendered JSON text, if it has one.
    ///
    /// The types that are rendered this way put `number` before everything that a person typed, so that the first
    /// such place is the one meant.
    #[must_use]
    pub fn from_json(json: String) -> Self {
        match json.split_once(PLACE) {
            None => Self::plain(json),
            Some((before, after)) => Self { before: format!("{before}\"number\":"), after: Some(after.to_owned()) },
        }
    }

    /// Whether the text still waits for its number.
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.after.is_some()
    }

    /// The text before the place, and the text after it. A finished text has nothing after it.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        (&self.before, self.after.as_deref())
    }

    /// The text with the number in its place. `None` if it waits for a number and none is given.
    #[must_use]
    pub fn fill(&self, number: Option<OrderNumber>) -> Option<String> {
        match (&self.after, number) {
            (None, _) => Some(self.before.clone()),
            (Some(after), Some(number)) => Some(format!("{}{number}{after}", self.before)),
            (Some(_), None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_place_is_marked() {
        let text = MarkedText::from_json(r#"{"number":null,"name":"\"number\":null"}"#.into());
        assert_eq!(text.fill(Some(OrderNumber(7))).unwrap(), r#"{"number":7,"name":"\"number\":null"}"#);
        assert_eq!(text.fill(None), None);
        let plain = MarkedText::from_json("{}".into());
        assert!(!plain.is_marked());
        assert_eq!(plain.fill(None).as_deref(), Some("{}"));
    }
}
