//! Texts with a placeholder for an order number that is not known yet.
//!
//! The storage assigns the number inside the commit, after the decision has rendered the event and the stored response.
//! Both are a [`MarkedText`] until then. An adapter fills it with [`MarkedText::fill`], or concatenates its parts in
//! SQL.

use serde::{Deserialize, Serialize};

use crate::orders::order::OrderNumber;

/// A text, with or without a placeholder for the order's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedText {
    before: String,
    after: Option<String>,
}

/// The placeholder: a JSON object whose number is not known yet.
const PLACE: &str = "\"number\":null";

impl MarkedText {
    /// A text without a placeholder.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self { before: text, after: None }
    }

    /// Uses the first `"number":null` of a JSON text as the placeholder, if there is one.
    ///
    /// Types rendered this way must put `number` before all typed texts, so that the first match is the right one.
    #[must_use]
    pub fn from_json(json: String) -> Self {
        match json.split_once(PLACE) {
            None => Self::plain(json),
            Some((before, after)) => Self { before: format!("{before}\"number\":"), after: Some(after.to_owned()) },
        }
    }

    /// Whether the text has a placeholder.
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.after.is_some()
    }

    /// The text before and after the placeholder; `None` after it if there is no placeholder.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        (&self.before, self.after.as_deref())
    }

    /// Replaces the placeholder; `None` if there is one and `number` is `None`.
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
    fn only_the_first_match_is_the_placeholder() {
        let text = MarkedText::from_json(r#"{"number":null,"name":"\"number\":null"}"#.into());
        assert_eq!(text.fill(Some(OrderNumber(7))).unwrap(), r#"{"number":7,"name":"\"number\":null"}"#);
        assert_eq!(text.fill(None), None);
        let plain = MarkedText::from_json("{}".into());
        assert!(!plain.is_marked());
        assert_eq!(plain.fill(None).as_deref(), Some("{}"));
    }
}
