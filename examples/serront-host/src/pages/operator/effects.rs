//! Effects that were given up: mails, deliveries, removals and errands without attempts left, with a button to retry.

use maud::{Markup, html};
use serront_core::changes::effect::{Attempt, EffectId, EffectRecord};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{self, Limit};
use serront_core::service::Failure;

use super::parts::{ON_A_PAGE, PATH, onward};
use crate::pages::parts::{Tone, hidden, pill};
use crate::pages::say::Say;
use crate::pages::session::Staff;
use crate::pages::visit::Turn;

/// The query's value for the notice of a retry.
pub(super) const QUEUED: &str = "queued";

/// The section, newest first.
pub(super) async fn section(staff: &Staff, cursor: Option<&str>) -> Result<Markup, Turn> {
    let say = staff.visit.say;
    let after = page::parse_cursor(AccountId::OPERATORS, cursor)?;
    let found = staff.caller.storage().given_up(after, Limit::parse(Some(ON_A_PAGE))?).await.map_err(Failure::from)?;
    let next = found.position(EffectRecord::position).map(|position| page::cursor(AccountId::OPERATORS, &position));
    Ok(html! {
        section.card #effects aria-labelledby="effects-title" {
            h2 #effects-title { (say.of("Yang gagal setelah semua percobaan", "Given up")) }
            @if found.rows.is_empty() {
                p.empty { (say.of("Tidak ada yang perlu diurus di sini.", "Nothing needs attention.")) }
            } @else {
                p.muted { (say.of("Percobaannya sudah habis, atau ditolak untuk seterusnya. Setelah penyebabnya diperbaiki, coba lagi di sini.", "All attempts failed, or they were refused permanently. After you fix the cause, retry them here.")) }
                ul.cases { @for effect in &found.rows { (case(staff, effect)) } }
            }
            (onward(&staff.visit, "effects", next.as_deref()))
        }
    })
}

fn case(staff: &Staff, effect: &EffectRecord) -> Markup {
    let (visit, say) = (&staff.visit, staff.visit.say);
    let EffectRecord { id, account_id, created_at, attempts, last_attempt, delivery, .. } = effect;
    html! {
        li {
            div.row { h3 { (kind(say, *id)) } (pill(Tone::Bad, say.of("Gagal", "Given up"))) }
            @if let Some(attempt) = last_attempt { p { (why(say, attempt)) } }
            p.muted.small {
                (say.of(format!("{attempts} kali dicoba"), format!("Attempts: {attempts}")))
                @if let Some(attempt) = last_attempt { (say.of(", terakhir ", ", last ")) (say.moment(attempt.attempted_at)) }
                " · " (say.of("dibuat ", "created ")) (say.moment(*created_at))
                " · " code { (account_id) } " · " code { (id) }
                @if let Some(delivery) = delivery { " · " code { (delivery.event_type.as_str()) } " · " code { (delivery.subscription_id) } }
            }
            form method="post" action=(visit.to(&format!("{PATH}/effects/{account_id}/{id}/retry"))) data-once="" {
                (hidden(staff))
                div.actions {
                    button.secondary type="submit" aria-label=(say.of(format!("Coba lagi: {id}"), format!("Try again: {id}"))) { (say.of("Coba lagi", "Try again")) }
                }
            }
        }
    }
}

fn kind(say: Say, id: EffectId) -> &'static str {
    match id {
        EffectId::Mail(_) => say.of("Email kepada pembeli", "Mail to a buyer"),
        EffectId::Delivery(_) => say.of("Webhook kepada penjual", "Webhook to a seller"),
        EffectId::Removal(_) => say.of("Penghapusan bukti transfer lama", "Removal of an old receipt"),
        EffectId::Errand(_) => say.of("Permintaan ke Plugipay", "Errand at Plugipay"),
    }
}

/// How the last attempt failed. The text contains no secrets and no content of the effect.
fn why(say: Say, attempt: &Attempt) -> String {
    let answered = attempt.response_code.map(|code| say.of(format!("Dijawab {code}"), format!("Answered {code}")));
    match (answered, &attempt.error) {
        (Some(answered), Some(error)) => format!("{answered}: {error}"),
        (Some(answered), None) => answered,
        (None, Some(error)) => error.clone(),
        (None, None) => say.of("Tidak ada keterangan", "No reason is known").to_owned(),
    }
}

/// The notice after a retry.
pub(super) fn done_text(say: Say, done: &str) -> Option<&'static str> {
    (done == QUEUED).then(|| say.of("Masuk antrean lagi, dan segera dicoba.", "Queued again; it will be retried soon."))
}
