//! Common parts of the operator's page: addresses, ages, and the link to the next page.

use std::time::Duration;

use axum::extract::RawPathParams;
use maud::Markup;
use serront_core::primitives::ids::AccountId;

use crate::pages::parts::more;
use crate::pages::say::Say;
use crate::pages::visit::{Turn, Visit};
use crate::problem::Problem;

pub(super) const PATH: &str = "/operator";
/// Payouts, and effects, on a page.
pub(super) const ON_A_PAGE: &str = "20";

/// The link to the next page of a list.
pub(super) fn onward(visit: &Visit, list: &str, cursor: Option<&str>) -> Markup {
    more(visit.say, cursor.map(|cursor| format!("{}#{list}", visit.link(PATH, [(list, cursor)]))))
}

/// An age in its largest unit: `3 hari lalu`.
pub(super) fn age(say: Say, since: Duration) -> String {
    let minutes = since.as_secs() / 60;
    let (count, indonesian, english) = match minutes {
        0 => return say.of("baru saja", "just now").to_owned(),
        1..60 => (minutes, "menit", "minute"),
        60..1_440 => (minutes / 60, "jam", "hour"),
        _ => (minutes / 1_440, "hari", "day"),
    };
    let several = if count == 1 { "" } else { "s" };
    say.of(format!("{count} {indonesian} lalu"), format!("{count} {english}{several} ago"))
}

/// A parameter of the route, found by its name, since an outer app may add parameters.
pub(super) fn named<T>(params: &RawPathParams, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Turn> {
    let found = params.iter().find(|(given, _)| *given == name).and_then(|(_, raw)| parse(raw));
    found.ok_or_else(|| Problem::not_found("page").into())
}

pub(super) fn account_of(params: &RawPathParams) -> Result<AccountId, Turn> {
    named(params, "account", |raw| raw.parse().ok())
}

/// Encodes a foreign text as one segment of an address.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serront_core::orders::order::Language;

    use super::*;

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        for (seconds, indonesian, english) in [
            (59, "baru saja", "just now"),
            (60, "1 menit lalu", "1 minute ago"),
            (7_199, "1 jam lalu", "1 hour ago"),
            (7_200, "2 jam lalu", "2 hours ago"),
            (86_400 * 3, "3 hari lalu", "3 days ago"),
        ] {
            let since = Duration::from_secs(seconds);
            assert_eq!(age(Say(Language::Id), since), indonesian);
            assert_eq!(age(Say(Language::En), since), english);
        }
    }

    #[test]
    fn an_event_of_any_name_is_one_segment() {
        assert_eq!(segment("evt_hollow"), "evt_hollow");
        assert_eq!(segment("evt/../1?x#y%"), "evt%2F..%2F1%3Fx%23y%25");
    }
}
