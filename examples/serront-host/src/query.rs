//! Query parameters. Unknown ones are ignored; one that is given twice is refused.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::time::Timestamp;

use crate::problem::Problem;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Most parameters of an address; no route has ten. Each takes far more memory than the two bytes it may be sent as.
const PARAMETERS_MAX: usize = 100;

pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

impl Query {
    fn parse(raw: &str) -> Result<Self, Invalid> {
        let given: Vec<_> = url::form_urlencoded::parse(raw.as_bytes()).into_owned().take(PARAMETERS_MAX + 1).collect();
        if given.len() > PARAMETERS_MAX {
            return Err(Invalid::new("", "the address has too many parameters"));
        }
        Ok(Self(given))
    }

    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Invalid> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Invalid::new(name, "must be given once"));
        }
        // Decoding replaces invalid UTF-8 with this.
        if first.is_some_and(|value| value.contains(char::REPLACEMENT_CHARACTER)) {
            return Err(Invalid::new(name, "must be UTF-8 text"));
        }
        Ok(first)
    }

    /// The value of a filter that takes one of a list of names, or `all` for no filter.
    pub(crate) fn filter<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        must_be: &'static str,
    ) -> Result<Option<T>, Invalid> {
        match self.one(name)? {
            None | Some("all") => Ok(None),
            Some(raw) => parse(raw).map(Some).ok_or_else(|| Invalid::new(name, must_be)),
        }
    }

    /// The value of a filter that takes an id.
    pub(crate) fn id<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Invalid> {
        self.one(name)?.map(|raw| raw.parse().map_err(|_| Invalid::new(name, "must be a well-formed id"))).transpose()
    }

    /// Removes empty parameters: a form also sends the fields that were not filled in.
    pub(crate) fn filled(mut self) -> Self {
        self.0.retain(|(_, value)| !value.is_empty());
        self
    }

    /// The period between two parameters, including `from`, excluding `to`. Each can be a time, which counts exactly, or a day of
    /// Western Indonesia (WIB, the sellers' time zone), which is included as a whole at either end.
    pub(crate) fn period(&self, from: &str, to: &str) -> Result<Period, Invalid> {
        let moment = |name: &str| match self.one(name)?.map(Moment::parse) {
            None => Ok(None),
            Some(Some(moment)) => Ok(Some(moment)),
            Some(None) => {
                let must_be = "must be a day such as 2026-11-30, or a time such as 2026-11-30T17:00:00Z";
                Err(Invalid::new(name, must_be))
            }
        };
        let begin = moment(from)?.map(|Moment { at, .. }| at);
        let Some(Moment { at, is_day }) = moment(to)? else {
            return Ok(Period { from: begin, before: None, ends_with_a_day: false });
        };
        let end = if is_day { at.plus(DAY) } else { at };
        // Some of the last day must remain. An empty period between two equal times is allowed.
        let is_backwards = begin.is_some_and(|begin| if is_day { begin >= end } else { begin > end });
        if is_backwards {
            return Err(Invalid::new(to, format!("must not be before {from}")));
        }
        Ok(Period { from: begin, before: Some(end), ends_with_a_day: is_day })
    }
}

/// A period; either end may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Period {
    /// Inclusive.
    pub(crate) from: Option<Timestamp>,
    /// Exclusive.
    pub(crate) before: Option<Timestamp>,
    /// Whether the end was given as a day.
    pub(crate) ends_with_a_day: bool,
}

/// A time, or the start of a day.
struct Moment {
    at: Timestamp,
    is_day: bool,
}

impl Moment {
    fn parse(raw: &str) -> Option<Self> {
        let time = |text: &str| {
            let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
            Timestamp::deserialize(deserializer).ok()
        };
        let is_day = raw.len() == "2026-11-30".len();
        let at = if is_day { time(&format!("{raw}T00:00:00+07:00"))? } else { time(raw)? };
        Some(Self { at, is_day })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_at_most_a_hundred_parameters() {
        assert!(Query::parse(&"a&".repeat(PARAMETERS_MAX)).is_ok() && Query::parse(&"&".repeat(1_000)).is_ok());
        assert!(Query::parse(&"a&".repeat(PARAMETERS_MAX + 1)).is_err());
    }

    #[test]
    fn parameters_are_decoded_and_given_once() {
        let query = Query::parse("q=kopi%20susu+x&limit=1&limit=2&status=all&other=bad&cut=%e6%97&bare=100%").unwrap();
        assert_eq!(query.one("q"), Ok(Some("kopi susu x")));
        assert_eq!(query.one("cursor"), Ok(None));
        assert_eq!(query.one("limit").unwrap_err().param, "limit");
        assert_eq!(query.one("cut").unwrap_err().param, "cut");
        assert_eq!(query.one("bare"), Ok(Some("100%")));
        assert_eq!(query.filter("status", |_| Some(()), ""), Ok(None));
        assert_eq!(query.filter("other", |_| None::<()>, "must be good").unwrap_err().param, "other");
    }

    #[test]
    fn a_day_is_the_sellers_and_counts_whole_and_a_time_exactly() {
        let period = |query: &str| Query::parse(query).unwrap().period("from", "to");
        let shown = |query: &str| {
            let Period { from, before, .. } = period(query).unwrap();
            [from, before].map(|at| at.map_or_else(|| "-".to_owned(), |at| at.to_string())).join(" ")
        };
        for (query, expected) in [
            ("", "- -"),
            ("from=2026-11-01", "2026-10-31T17:00:00.000Z -"),
            ("to=2026-11-30", "- 2026-11-30T17:00:00.000Z"),
            ("from=2026-11-30&to=2026-11-30", "2026-11-29T17:00:00.000Z 2026-11-30T17:00:00.000Z"),
            (
                "from=2026-11-30T07:00:00%2B07:00&to=2026-11-30T00:00:00.001Z",
                "2026-11-30T00:00:00.000Z 2026-11-30T00:00:00.001Z",
            ),
            ("from=2026-11-30T05:00:00Z&to=2026-11-30", "2026-11-30T05:00:00.000Z 2026-11-30T17:00:00.000Z"),
            ("from=2026-11-30T00:00:00Z&to=2026-11-30T00:00:00Z", "2026-11-30T00:00:00.000Z 2026-11-30T00:00:00.000Z"),
        ] {
            assert_eq!(shown(query), expected, "{query}");
        }
        for (query, param) in [
            ("from=", "from"),
            ("from=yesterday", "from"),
            ("from=2026-02-30", "from"),
            ("from=2026-11-30T25:00:00Z", "from"),
            ("from=2026-11-30T00:00:00", "from"),
            ("from=30-11-2026", "from"),
            ("from=2026-11-01&from=2026-11-01", "from"),
            ("to=1764460800", "to"),
            ("from=2026-11-30&to=2026-11-29", "to"),
            ("from=2026-11-30T00:00:00Z&to=2026-11-29", "to"),
            ("from=2026-11-30&to=2026-11-29T16:59:59Z", "to"),
            ("from=2026-11-30T00:00:01Z&to=2026-11-30T00:00:00Z", "to"),
        ] {
            assert_eq!(period(query).unwrap_err().param, param, "{query}");
        }
    }
}
