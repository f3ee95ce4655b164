//! Deliveries: the list with its filters, one delivery with its attempts, and sending it again.

use maud::{Markup, html};
use serront_core::changes::effect::{Attempt, EffectStatus};
use serront_core::primitives::ids::{DeliveryId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::DeliveryFilter;
use serront_core::views::{DeliveryView, SubscriptionView};

use super::events;
use super::subscription::{PATH, find, shortened};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{alert, choices, delivery_pill, facts, hidden, more, notice, once};
use crate::pages::say::Say;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;

const DELIVERIES_ON_A_PAGE: &str = "20";
/// Attempts listed of a delivery, the latest ones. There are more only after many manual retries.
const ATTEMPTS_SHOWN: usize = 30;

#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) status: Option<EffectStatus>,
    pub(super) subscription_id: Option<SubscriptionId>,
    pub(super) cursor: Option<&'a str>,
}

pub(super) async fn section(
    seller: &Seller,
    wanted: &Wanted<'_>,
    subscriptions: &[SubscriptionView],
) -> Result<Markup, Turn> {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let filter =
        DeliveryFilter { status: wanted.status, subscription_id: wanted.subscription_id, ..DeliveryFilter::default() };
    let is_filtered = filter != DeliveryFilter::default() || wanted.cursor.is_some();
    let limit = Limit::parse(Some(DELIVERIES_ON_A_PAGE))?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let (deliveries, cursor) = commands.deliveries(account, &filter, wanted.cursor, limit).await?;
    let address = |id| {
        let found = subscriptions.iter().find(|subscription| subscription.id == id);
        found.map_or_else(|| deleted(say).to_owned(), |subscription| shortened(&subscription.url))
    };
    let next = cursor.map(|cursor| {
        let status = wanted.status.map_or("", EffectStatus::as_str);
        let id = wanted.subscription_id.map(|id| id.to_string()).unwrap_or_default();
        visit.link(PATH, [("status", status), ("subscriptionId", &id), ("cursor", &cursor)]) + "#deliveries"
    });
    Ok(html! {
        section.card #deliveries aria-labelledby="deliveries-title" {
            h2 #deliveries-title { (say.of("Kiriman", "Deliveries")) }
            @if is_filtered || !deliveries.is_empty() { (filters(visit, wanted, subscriptions)) }
            @if deliveries.is_empty() {
                p.empty {
                    @if is_filtered { (say.of("Tidak ada kiriman yang cocok.", "No matching deliveries.")) }
                    @else { (say.of("Belum ada yang dikirim.", "Nothing has been sent yet.")) }
                }
            } @else {
                ul.rows { @for delivery in &deliveries { (row(visit, delivery, &address(delivery.subscription_id))) } }
            }
            (more(say, next))
        }
    })
}

fn deleted(say: Say) -> &'static str {
    say.of("Webhook yang sudah dihapus", "A deleted webhook")
}

fn filters(visit: &Visit, wanted: &Wanted<'_>, subscriptions: &[SubscriptionView]) -> Markup {
    let say = visit.say;
    let chosen = wanted.subscription_id.map(|id| id.to_string()).unwrap_or_default();
    let urls: Vec<_> = subscriptions.iter().rev().map(|one| (one.id.to_string(), shortened(&one.url))).collect();
    let states = [EffectStatus::Pending, EffectStatus::Succeeded, EffectStatus::Failed];
    let states = states.map(|one| (one.as_str(), say.delivery(one)));
    html! {
        form.filters.pair method="get" action=(visit.to(&format!("{PATH}#deliveries"))) {
            (choices(say, "subscriptionId", say.of("Tujuan", "To"), &chosen, urls.iter().map(|(id, url)| (id.as_str(), url.as_str()))))
            (choices(say, "status", say.of("Status", "State"), wanted.status.map_or("", EffectStatus::as_str), states))
            button.secondary type="submit" { (say.of("Tampilkan", "Show")) }
        }
    }
}

fn row(visit: &Visit, delivery: &DeliveryView, address: &str) -> Markup {
    let say = visit.say;
    html! {
        li {
            a.item href=(visit.to(&format!("{PATH}/deliveries/{}", delivery.id))) {
                span.title { (events::name(say, delivery.r#type)) }
                (delivery_pill(say, delivery.status))
                span.small.lines.across { (address) }
                span.muted.small.across { (tried(say, delivery)) }
            }
        }
    }
}

/// The number of attempts, the time of the last one, and the receiver's answer.
fn tried(say: Say, delivery: &DeliveryView) -> String {
    let Some(at) = delivery.last_attempt_at else {
        return say.of("belum dicoba", "not tried yet").to_owned();
    };
    let attempts = delivery.attempts;
    let mut text = say.of(
        format!("{attempts} kali dicoba, terakhir {}", say.moment(at)),
        format!(
            "tried {}, last on {}",
            if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") },
            say.moment(at)
        ),
    );
    if let Some(code) = delivery.response_code {
        text.push_str(&say.of(format!(", jawaban {code}"), format!(", answer {code}")));
    }
    text
}

pub(super) async fn detail(seller: Seller, Id(id): Id<DeliveryId>, query: Query) -> Shown {
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("queued") => Some(
            say.of("Kiriman masuk antrean dan segera dicoba lagi.", "The delivery is queued and will be retried soon."),
        ),
        _ => None,
    };
    let delivery = seller.caller.commands().delivery(seller.caller.account(), id).await?;
    show(&seller, &delivery, done, None).await
}

pub(super) async fn retry(seller: Seller, Id(id): Id<DeliveryId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let path = format!("{PATH}/deliveries/{id}");
    match commands.retry_delivery(account, id, form.once(account, &path)?).await {
        Ok(_) => Ok(seller.visit.go(&format!("{path}?done=queued"))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            let delivery = commands.delivery(account, id).await?;
            Ok(trouble.on(show(&seller, &delivery, None, Some(&trouble)).await?))
        }
    }
}

async fn show(seller: &Seller, delivery: &DeliveryView, done: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let subscription = find(seller, delivery.subscription_id).await?;
    let address = subscription.as_ref().map_or(deleted(say), |subscription| subscription.url.as_str());
    let (kind, event) = (delivery.r#type.as_str(), delivery.event_id.to_string());
    let (kind, event) = (html! { code { (kind) } }, html! { code { (event) } });
    let answer = delivery.response_code.map_or_else(|| "–".to_owned(), |code| code.to_string());
    let (sent, next) = (moment_or_none(say, delivery.delivered_at), moment_or_none(say, delivery.next_retry_at));
    let title = events::name(say, delivery.r#type);
    let body = html! {
        p { a href=(visit.to(&format!("{PATH}#deliveries"))) { "← " (say.of("Semua kiriman", "All deliveries")) } }
        (notice(done))
        (alert(trouble))
        section.card.summary {
            p.muted { (say.of("Kiriman webhook", "Webhook delivery")) }
            h1 { (title) }
            p { (delivery_pill(say, delivery.status)) }
            (retry_form(seller, delivery, subscription.as_ref())?)
        }
        div.grid.wide-left {
            section.card aria-labelledby="facts-title" {
                h2 #facts-title { (say.of("Rincian", "Details")) }
                (facts(&[
                    (say.of("Tujuan", "To"), &address),
                    (say.of("Jenis", "Type"), &kind),
                    (say.of("Nomor kejadian", "Event"), &event),
                    (say.of("Jawaban terakhir", "Last answer"), &answer),
                    (say.of("Terkirim", "Delivered"), &sent),
                    (say.of("Percobaan berikutnya", "Next attempt"), &next),
                ]))
                h3 { (say.of("Isi yang dikirim", "What is sent")) }
                pre.payload { (delivery.body) }
            }
            (attempts_card(say, delivery))
        }
    };
    Ok(seller.page(Section::Webhooks, title, body))
}

fn moment_or_none(say: Say, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "–".to_owned(), |at| say.moment(at))
}

/// The form that sends it again, or why that is not possible now.
fn retry_form(
    seller: &Seller,
    delivery: &DeliveryView,
    subscription: Option<&SubscriptionView>,
) -> Result<Markup, Turn> {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let path = format!("{PATH}/deliveries/{}", delivery.id);
    let is_open = subscription.is_some_and(|subscription| subscription.active);
    if delivery.status == EffectStatus::Pending {
        return Ok(html! {
            @if is_open {
                p { (say.of("Dikirim dengan sendirinya begitu gilirannya tiba.", "It will be sent automatically.")) }
            } @else {
                p { (say.of("Tujuannya dijeda atau sudah dihapus, jadi kiriman ini tidak akan dikirim.", "Its webhook is paused or deleted, so it will not be sent.")) }
            }
            p.actions { a.button.secondary href=(visit.to(&path)) { (say.of("Muat ulang", "Reload")) } }
        });
    }
    let fresh = seller.fresh_once()?;
    Ok(match subscription {
        None => html! {
            p.muted { (say.of("Webhook tujuannya sudah dihapus, jadi tidak bisa dikirim ulang.", "The webhook was deleted, so it can't be sent again.")) }
        },
        Some(_) if !is_open => html! {
            p.muted { (say.of("Aktifkan lagi webhook tujuannya untuk mengirim ulang.", "Activate the webhook to send it again.")) }
        },
        Some(_) => html! {
            form method="post" action=(visit.to(&format!("{path}/retry"))) data-once="" {
                (hidden(seller))
                (once(&fresh))
                p.actions { button.secondary type="submit" { (say.of("Kirim ulang", "Send it again")) } }
            }
        },
    })
}

/// The attempts, newest first.
fn attempts_card(say: Say, delivery: &DeliveryView) -> Markup {
    let left_out = delivery.attempt_log.len().saturating_sub(ATTEMPTS_SHOWN);
    html! {
        section.card #attempts aria-labelledby="attempts-title" {
            h2 #attempts-title { (say.of("Percobaan", "Attempts")) }
            @if delivery.attempt_log.is_empty() {
                p.empty { (say.of("Belum dicoba.", "Not tried yet.")) }
            } @else {
                ol.history {
                    @for attempt in delivery.attempt_log.iter().rev().take(ATTEMPTS_SHOWN) {
                        li {
                            p.strong { (attempt.attempt_number) ". " (outcome(say, attempt)) }
                            p.muted.small { (say.moment(attempt.attempted_at)) " · " (attempt.duration_ms) " ms" }
                            @if let Some(next) = attempt.next_retry_at {
                                p.muted.small { (say.of("Dicoba lagi ", "Tried again on ")) (say.moment(next)) }
                            }
                        }
                    }
                }
            }
            @if left_out > 0 {
                p.muted.small {
                    (say.of(format!("Dan {left_out} percobaan sebelumnya."), format!("And {left_out} earlier attempts.")))
                }
            }
        }
    }
}

/// The result of an attempt. Unknown errors are shown as logged.
fn outcome(say: Say, attempt: &Attempt) -> String {
    if attempt.status == EffectStatus::Succeeded {
        let code = attempt.response_code.map(|code| format!(" ({code})")).unwrap_or_default();
        return format!("{}{code}", say.of("Diterima", "Accepted"));
    }
    if let Some(code) = attempt.response_code {
        return say.of(format!("Penerima menjawab {code}"), format!("The receiver answered {code}"));
    }
    let error = attempt.error.as_deref().unwrap_or_default();
    let reason = match error {
        "timed out" => say.of("Tidak ada jawaban dalam 10 detik", "No answer within 10 seconds"),
        "connection refused" => say.of("Sambungan ditolak", "The connection was refused"),
        "connection reset" | "connection failed" => say.of("Sambungan terputus", "The connection was lost"),
        "host unreachable" => say.of("Alamat tidak terjangkau", "The address is unreachable"),
        "TLS failed" => say.of("Sertifikat https tidak bisa dipercaya", "The https certificate is not trusted"),
        "no valid answer" => say.of("Jawaban tidak bisa dibaca", "The answer was not valid HTTP"),
        "the subscription was deleted" => say.of("Webhook sudah dihapus", "The webhook was deleted"),
        "the subscription is inactive" => say.of("Webhook dijeda", "The webhook is paused"),
        "" => say.of("Gagal", "Failed"),
        other => return say.of(format!("Gagal: {other}"), format!("Failed: {other}")),
    };
    reason.to_owned()
}
