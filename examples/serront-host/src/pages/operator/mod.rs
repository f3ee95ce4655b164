//! The operator's page: payouts to process, notifications that could not be applied, what was given up, and
//! rows that can't be read. Of every account.
//!
//! It shows what an operator needs to act, and nothing of buyers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawPathParams, State};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::funds::payout::Payout;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{self, Limit};
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;

use super::Shown;
use super::layout;
use super::parts::{alert, bank_details, notice, payout_pill};
use super::say::Say;
use super::session::Staff;
use super::visit::{Trouble, Turn, Visit};
use crate::envelope::Problem;
use crate::query::Query;
use crate::state::Host;

mod effects;
mod notifications;
mod payout;
mod set_aside;

const PATH: &str = "/operator";

/// How many payouts, and how many effects, the page lists at once.
const ON_A_PAGE: &str = "20";

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(PATH, get(page))
        .route("/operator/payouts/{id}", get(payout::detail))
        .route("/operator/payouts/{id}/in-transit", get(payout::back).post(payout::in_transit))
        .route("/operator/payouts/{id}/paid", get(payout::back).post(payout::paid))
        .route("/operator/payouts/{id}/failed", get(payout::back).post(payout::failed))
        .route("/operator/notifications/{account}/{event}/retry", get(back).post(notifications::retry))
        .route("/operator/effects/{account}/{effect}/retry", get(back).post(effects::retry))
}

/// Whoever reloads what a form was answered with, or switches its language, comes here.
async fn back(visit: Visit) -> Response {
    visit.go(PATH)
}

async fn page(State(host): State<Arc<Host>>, staff: Staff, query: Query) -> Shown {
    let say = staff.visit.say;
    let done = match query.one("done")? {
        Some(done) => notifications::told(say, done).or_else(|| effects::told(say, done)),
        None => None,
    };
    show(&host, &staff, &query, done, None).await
}

async fn show(host: &Host, staff: &Staff, query: &Query, done: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let visit = &staff.visit;
    let say = visit.say;
    let now = host.ports.clock.now();
    let of_payouts = payouts(staff, query.one("payouts")?, now).await?;
    let of_notifications = notifications::section(staff, query.one("parked")? == Some("all"), now).await?;
    let of_effects = effects::section(staff, query.one("effects")?).await?;
    let of_rows = set_aside::section(staff).await?;
    let title = say.of("Operator", "Operator");
    let body = html! {
        h1 { (title) }
        (notice(done))
        (alert(trouble))
        (of_rows)
        (of_payouts)
        (of_notifications)
        (of_effects)
    };
    Ok(layout::operator(staff, title, body))
}

/// The payouts that are pending or in transit, the oldest first.
async fn payouts(staff: &Staff, cursor: Option<&str>, now: Timestamp) -> Result<Markup, Turn> {
    let say = staff.visit.say;
    let after = page::parse_cursor(AccountId::OPERATORS, cursor)?;
    let found = staff.caller.storage().payouts_in_flight(after, Limit::parse(Some(ON_A_PAGE))?).await;
    let found = found.map_err(Failure::from)?;
    let next = found.position(Payout::position).map(|position| page::cursor(AccountId::OPERATORS, &position));
    Ok(html! {
        section.card #payouts aria-labelledby="payouts-title" {
            h2 #payouts-title { (say.of("Pencairan yang perlu diproses", "Payouts to process")) }
            @if found.rows.is_empty() {
                p.empty { (say.of("Tidak ada pencairan yang menunggu.", "No payout is waiting.")) }
            } @else {
                p.muted { (say.of("Yang paling lama menunggu ada di atas.", "Those that have waited longest come first.")) }
                ul.cases { @for payout in &found.rows { (waiting(&staff.visit, payout, now)) } }
            }
            (onward(&staff.visit, "payouts", next.as_deref()))
        }
    })
}

fn waiting(visit: &Visit, payout: &Payout, now: Timestamp) -> Markup {
    let say = visit.say;
    html! {
        li {
            div.row {
                h3.money { (payout.amount.to_string()) }
                (payout_pill(say, payout.state.status))
            }
            (bank_details(say, &payout.bank))
            p.muted.small { (say.of("Diminta ", "Requested ")) (age(say, now.since(payout.created_at))) " · " code { (payout.account_id) } }
            div.actions {
                a.button.secondary href=(visit.to(&format!("{PATH}/payouts/{}", payout.id)))
                    aria-label=(say.of(format!("Proses pencairan {}", payout.amount), format!("Process the payout of {}", payout.amount))) {
                    (say.of("Proses", "Process"))
                }
            }
        }
    }
}

/// The way on in one of the page's lists, and back to its beginning.
fn onward(visit: &Visit, list: &str, cursor: Option<&str>) -> Markup {
    let say = visit.say;
    let address = |cursor: &str| visit.to(&format!("{PATH}?{list}={cursor}#{list}"));
    html! { @if let Some(cursor) = cursor { p.more { a.button.secondary href=(address(cursor)) { (say.of("Berikutnya", "Next page")) } } } }
}

/// How long ago it was, in its largest unit: `3 hari lalu`.
fn age(say: Say, since: Duration) -> String {
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

/// The part of the address that names one thing. By its name: an app that nests the pages may have parameters of its own.
fn named<T>(params: &RawPathParams, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Turn> {
    let found = params.iter().find(|(given, _)| *given == name).and_then(|(_, raw)| parse(raw));
    found.ok_or_else(|| Problem::not_found("page").into())
}

/// An account in the address.
fn account_of(params: &RawPathParams) -> Result<AccountId, Turn> {
    named(params, "account", |raw| raw.parse().ok())
}

/// A text of somebody else's as one segment of an address.
fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serront_core::orders::order::Language;

    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
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
