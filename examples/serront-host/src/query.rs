//! Queries of addresses. A parameter that a route does not know is passed over; one given twice is refused.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serront_core::rejection::Invalid;

/// The parameters of a request.
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    fn parse(raw: &str) -> Self {
        Self(url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// The value of one parameter.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Invalid> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Invalid::new(name, "must be given once"));
        }
        // Decoding puts this in the place of what is no UTF-8.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_given_once() {
        let query = Query::parse("q=kopi%20susu+x&limit=1&limit=2&status=all&other=bad&cut=%e6%97&bare=100%");
        assert_eq!(query.one("q"), Ok(Some("kopi susu x")));
        assert_eq!(query.one("cursor"), Ok(None));
        assert_eq!(query.one("limit").unwrap_err().param, "limit");
        assert_eq!(query.one("cut").unwrap_err().param, "cut");
        assert_eq!(query.one("bare"), Ok(Some("100%")));
        assert_eq!(query.filter("status", |_| Some(()), ""), Ok(None));
        assert_eq!(query.filter("other", |_| None::<()>, "must be good").unwrap_err().param, "other");
    }
}
