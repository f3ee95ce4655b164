//! Notifications from Plugipay that could not be applied. They book nothing until they are resolved.

use std::time::Duration;

use axum::extract::RawPathParams;
use maud::{Markup, html};
use serront_core::online::inbox::{InboxRecord, InboxStatus};
use serront_core::primitives::provider::ProviderEventId;
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;

use super::parts::{PATH, account_of, age, named, segment};
use crate::body::Intake;
use crate::pages::parts::{Tone, hidden, pill};
use crate::pages::say::Say;
use crate::pages::session::Staff;
use crate::pages::visit::{Shown, Turn};
use crate::problem::Problem;

/// How long the janitor retries a parked notification before the operator sees it.
const PARKED_FOR: Duration = Duration::from_secs(24 * 3_600);
const SHOWN_MAX: usize = 20;

/// The section of the notifications that wait for an operator, oldest first.
pub(super) async fn section(staff: &Staff, with_young: bool, now: Timestamp) -> Result<Markup, Turn> {
    let (visit, say) = (&staff.visit, staff.visit.say);
    // In the future of every host's clock, or a day ago.
    let parked_before = if with_young { now.plus(PARKED_FOR) } else { now.minus(PARKED_FOR) };
    let limit = u32::try_from(SHOWN_MAX).unwrap_or(u32::MAX).saturating_add(1);
    let found = staff.caller.storage().waiting(parked_before, limit).await.map_err(Failure::from)?;
    let link = if with_young { PATH.to_owned() } else { format!("{PATH}?parked=all") };
    Ok(html! {
        section.card #notifications aria-labelledby="notifications-title" {
            h2 #notifications-title { (say.of("Pemberitahuan Plugipay yang tertahan", "Waiting notifications from Plugipay")) }
            @if found.is_empty() {
                p.empty { (say.of("Tidak ada yang tertahan.", "None is waiting.")) }
            } @else {
                p.muted {
                    (say.of(
                        "Belum ada yang dibukukan dari pemberitahuan ini. Coba lagi, atau bandingkan dengan Plugipay lewat rekonsiliasi.",
                        "These notifications are not booked. Retry them, or compare with Plugipay by a reconciliation.",
                    ))
                }
                ul.cases { @for record in found.iter().take(SHOWN_MAX) { (case(staff, record, now)) } }
                @if found.len() > SHOWN_MAX {
                    p.muted { (say.of(format!("Hanya {SHOWN_MAX} yang paling lama yang tampil."), format!("Only the {SHOWN_MAX} oldest are shown."))) }
                }
            }
            p.small {
                a href=(visit.to(&format!("{link}#notifications"))) {
                    @if with_young { (say.of("Hanya yang tertahan lebih dari 24 jam", "Only those parked for more than 24 hours")) }
                    @else { (say.of("Juga yang tertahan kurang dari 24 jam", "Include those parked for less than 24 hours")) }
                }
            }
        }
    })
}

fn case(staff: &Staff, record: &InboxRecord, now: Timestamp) -> Markup {
    let (visit, say) = (&staff.visit, staff.visit.say);
    let InboxRecord { account_id, event_id, event_type, session_id, received_at, status, .. } = record;
    let address = format!("{PATH}/notifications/{account_id}/{}/retry", segment(event_id.as_str()));
    html! {
        li {
            div.row { h3 { code { (event_id.as_str()) } } (state(say, *status)) }
            p { (meaning(say, *status)) }
            p.muted.small {
                (say.of("Diterima ", "Received ")) (age(say, now.since(*received_at))) " · " code { (event_type) }
                " · " code { (account_id) }
                @if let Some(session) = session_id { " · " code { (session.as_str()) } }
            }
            form method="post" action=(visit.to(&address)) data-once="" {
                (hidden(staff))
                div.actions {
                    button.secondary type="submit" aria-label=(say.of(format!("Coba lagi: {}", event_id.as_str()), format!("Try again: {}", event_id.as_str()))) {
                        (say.of("Coba lagi", "Try again"))
                    }
                }
            }
        }
    }
}

fn state(say: Say, status: InboxStatus) -> Markup {
    match status {
        InboxStatus::Applied => pill(Tone::Good, say.of("Dibukukan", "Applied")),
        InboxStatus::Noted => pill(Tone::Calm, say.of("Dicatat", "Noted")),
        InboxStatus::Parked => pill(Tone::Waiting, say.of("Tertahan", "Parked")),
        InboxStatus::ForeignCurrency => pill(Tone::Bad, say.of("Mata uang lain", "Foreign currency")),
        InboxStatus::Unreadable => pill(Tone::Bad, say.of("Tidak terbaca", "Unreadable")),
    }
}

fn meaning(say: Say, status: InboxStatus) -> &'static str {
    match status {
        InboxStatus::Applied => say.of("Isinya sudah dibukukan.", "Its content is booked."),
        InboxStatus::Noted => say.of("Jenis ini tidak perlu ditindaklanjuti.", "This type needs no action."),
        InboxStatus::Parked => say.of(
            "Menyebut sesi yang tidak dikenal pada penjual ini. Dicoba lagi sendiri selama tujuh hari.",
            "It names a session that this seller does not have. It is retried automatically for seven days.",
        ),
        InboxStatus::ForeignCurrency => say.of(
            "Menyebut uang selain rupiah, yang tidak dibukukan di sini. Periksa di Plugipay.",
            "It is about money in another currency than rupiah, which is not booked here. Check it at Plugipay.",
        ),
        InboxStatus::Unreadable => say.of(
            "Isinya tidak seperti seharusnya. Periksa sesinya di Plugipay.",
            "Its content is not as expected. Check its session at Plugipay.",
        ),
    }
}

/// The notice after a retry.
pub(super) fn done_text(say: Say, done: &str) -> Option<&'static str> {
    Some(match InboxStatus::parse(done)? {
        InboxStatus::Applied => say.of("Pemberitahuan dibukukan.", "The notification is applied."),
        InboxStatus::Noted => {
            say.of("Pemberitahuan dicatat; tidak perlu tindakan.", "The notification is noted; no action is needed.")
        }
        InboxStatus::Parked => {
            say.of("Sudah dicoba: sesinya masih belum dikenal.", "Retried: its session is still unknown.")
        }
        InboxStatus::ForeignCurrency => {
            say.of("Sudah dicoba: mata uangnya bukan rupiah.", "Retried: its currency is not rupiah.")
        }
        InboxStatus::Unreadable => say.of("Sudah dicoba: masih tidak terbaca.", "Retried: it is still unreadable."),
    })
}

pub(super) async fn retry(staff: Staff, params: RawPathParams, intake: Intake) -> Shown {
    staff.form(&intake).await?;
    let (account, event) = (account_of(&params)?, named(&params, "event", ProviderEventId::parse)?);
    let tried = staff.caller.commands().retry_notification(account, &event).await?;
    let (status, _) = tried.ok_or_else(|| Problem::not_found("notification"))?;
    Ok(staff.visit.go(&format!("{PATH}?done={}", status.as_str())))
}
