//! The operator's page: its sections in order, with the payouts that wait for a transfer.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::response::Response;
use maud::{Markup, html};
use serront_core::changes::effect::EffectId;
use serront_core::funds::payout::Payout;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{self, Limit};
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;

use super::parts::{ON_A_PAGE, PATH, account_of, age, named, onward};
use super::{effects, notifications, set_aside};
use crate::body::Intake;
use crate::pages::parts::{alert, bank_details, notice, payout_pill};
use crate::pages::session::Staff;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;
use crate::state::Host;

pub(super) async fn page(State(host): State<Arc<Host>>, staff: Staff, query: Query) -> Shown {
    let say = staff.visit.say;
    let done = match query.one("done")? {
        Some(done) => notifications::done_text(say, done).or_else(|| effects::done_text(say, done)),
        None => None,
    };
    show(&host, &staff, &query, done, None).await
}

async fn show(host: &Host, staff: &Staff, query: &Query, done: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let say = staff.visit.say;
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
    Ok(staff.page(title, body))
}

/// The payouts that are pending or in transit, oldest first.
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
                p.empty { (say.of("Tidak ada pencairan yang menunggu.", "No payouts are waiting.")) }
            } @else {
                p.muted { (say.of("Yang paling lama menunggu ada di atas.", "The longest waiting come first.")) }
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

/// GET at a form's address, from a reload or a language switch: redirects to the page.
pub(super) async fn back(visit: Visit) -> Response {
    visit.go(PATH)
}

pub(super) async fn retry_effect(
    State(host): State<Arc<Host>>,
    staff: Staff,
    query: Query,
    params: RawPathParams,
    intake: Intake,
) -> Shown {
    staff.form(&intake).await?;
    let (account, effect) = (account_of(&params)?, named(&params, "effect", |raw| raw.parse::<EffectId>().ok())?);
    match staff.caller.commands().retry_effect(account, effect).await {
        Ok(_) => Ok(staff.visit.go(&format!("{PATH}?done={}", effects::QUEUED))),
        Err(failure) => {
            let trouble = Trouble::of(staff.visit.say, failure)?;
            Ok(trouble.on(show(&host, &staff, &query, None, Some(&trouble)).await?))
        }
    }
}
