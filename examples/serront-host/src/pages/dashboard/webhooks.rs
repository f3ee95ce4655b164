//! Webhooks: where the seller's own systems are told of events, what was sent there, and sending it again.

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::changes::effect::{Attempt, EffectStatus};
use serront_core::primitives::ids::{DeliveryId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::primitives::text::trimmed;
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;
use serront_core::snapshots::DeliveryFilter;
use serront_core::views::{DeliveryView, NewSubscriptionView, SubscriptionView};
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::{FILTERS_MAX, SubscriptionInput};

use super::super::Shown;
use super::super::layout::{Section, dashboard};
use super::super::parts::{Field, Input, Tone, alert, delivery_pill, facts, hidden, notice, once, pill};
use super::super::say::Say;
use super::super::session::Seller;
use super::super::visit::{Trouble, Turn, Visit};
use super::question::Question;
use super::settings::{Part, not_made, shown_once};
use crate::auth::Id;
use crate::body::Intake;
use crate::query::Query;
use crate::state::Host;

const PATH: &str = "/dashboard/webhooks";

/// How many deliveries a page lists.
const DELIVERIES_ON_A_PAGE: &str = "20";
/// How many attempts of a delivery are listed, the last ones. Only somebody who sends it again by hand makes more.
const ATTEMPTS_SHOWN: usize = 30;
/// How many filters of a subscription are listed; few have more than one or two.
const FILTERS_SHOWN: usize = 6;
/// What a seller has to know when a secret is replaced.
const BOTH_SIGN: (&str, &str) = (
    "Rahasia sebelumnya ikut menandatangani selama 24 jam lagi, sehingga sistem Anda sempat diganti tanpa ada kiriman yang ditolak.",
    "The one before signs beside it for another 24 hours, so that your system can be changed without refusing a delivery.",
);
/// Where a long address is cut in a list, in characters.
const ADDRESS_CHARACTERS: usize = 60;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(PATH, get(list).post(create))
        .route("/dashboard/webhooks/{id}/switch", get(back).post(switch))
        .route("/dashboard/webhooks/{id}/rotate-secret", get(rotation).post(rotate_secret))
        .route("/dashboard/webhooks/{id}/delete", get(question).post(delete))
        .route("/dashboard/webhooks/deliveries/{id}", get(delivery))
        .route("/dashboard/webhooks/deliveries/{id}/retry", get(back).post(retry))
}

/// What is asked of the lists.
#[derive(Default)]
struct Asked<'a> {
    /// The subscriptions behind this one.
    after: Option<&'a str>,
    /// The deliveries in this state, to this subscription.
    status: Option<EffectStatus>,
    subscription_id: Option<SubscriptionId>,
    cursor: Option<&'a str>,
}

/// What stands in the form of a new subscription.
#[derive(Default)]
struct Draft {
    url: String,
    events: String,
}

impl Draft {
    fn input(&self) -> SubscriptionInput {
        let events: Vec<_> =
            self.events.split([' ', ',', '\n', '\r', '\t']).filter(|filter| !filter.is_empty()).collect();
        let events = (!events.is_empty()).then(|| events.into_iter().map(str::to_owned).collect());
        SubscriptionInput { url: Some(trimmed(&self.url).to_owned()), events, active: None }
    }
}

async fn list(seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("active") => Some(say.of(
            "Webhook aktif. Kejadian berikutnya dikirim ke sana.",
            "The webhook is active. What happens from now on is sent there.",
        )),
        Some("paused") => Some(say.of(
            "Webhook dijeda. Tidak ada yang dikirim ke sana sampai diaktifkan lagi.",
            "The webhook is paused. Nothing is sent there until it is active again.",
        )),
        Some("deleted") => Some(
            say.of("Webhook dihapus. Catatan kirimannya tetap ada.", "The webhook is deleted. Its delivery log stays."),
        ),
        _ => None,
    };
    let asked = Asked {
        after: query.one("after")?,
        status: query.one("status")?.and_then(EffectStatus::parse),
        // What is empty, or no id, filters nothing: the field shows so.
        subscription_id: query.one("subscriptionId")?.and_then(|raw| raw.parse().ok()),
        cursor: query.one("cursor")?,
    };
    show(&seller, &asked, &Draft::default(), done, None).await
}

async fn create(seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let draft = Draft { url: form.text("url").to_owned(), events: form.text("events").to_owned() };
    let (registration, account) = (seller.caller.webhook_registration(), seller.caller.account());
    match registration.create_subscription(account, &draft.input(), form.once(account, PATH)?).await {
        Ok(made) => {
            let title = seller.visit.say.of("Webhook dibuat", "The webhook is made");
            Ok(shown(&seller, title, &made.value, None))
        }
        Err(failure) => {
            let trouble = at_field(seller.visit.say, &draft, not_made(&seller.visit, failure)?);
            Ok(trouble.on(show(&seller, &Asked::default(), &draft, None, Some(&trouble)).await?))
        }
    }
}

/// The service names the filter that it refuses; the form has one field for all, and tells which one it was.
fn at_field(say: Say, draft: &Draft, trouble: Trouble) -> Trouble {
    let param = trouble.param.as_deref().unwrap_or_default();
    if !param.starts_with("events") {
        return trouble;
    }
    let index =
        param.strip_prefix("events[").and_then(|rest| rest.strip_suffix(']')).and_then(|index| index.parse().ok());
    let filters = draft.input().events.unwrap_or_default();
    let text = match index.and_then(|index: usize| filters.get(index)) {
        Some(filter) => say.of(
            format!("“{filter}” bukan jenis kejadian yang ada."),
            format!("There is no type of event such as “{filter}”."),
        ),
        None => say.of(
            format!("Paling banyak {FILTERS_MAX} jenis kejadian."),
            format!("At most {FILTERS_MAX} types of event."),
        ),
    };
    Trouble { param: Some("events".to_owned()), text: text.into(), ..trouble }
}

/// A subscription's secret, this once: the answer to the form that made it. What is to be known beside it stands below.
fn shown(seller: &Seller, title: &str, made: &NewSubscriptionView, known: Option<&str>) -> Response {
    let visit = &seller.visit;
    let say = visit.say;
    let use_for = html! {
        p.muted.small {
            (say.of(
                "Dengan rahasia ini sistem Anda memeriksa header ",
                "With this secret, your system checks the header ",
            ))
            code { "Serront-Signature" }
            (say.of(
                " dari setiap kiriman, sehingga tahu bahwa kiriman itu benar dari kami.",
                " of each delivery, and so knows that it comes from us.",
            ))
        }
    };
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            p.lines { (say.of("Alamat: ", "Address: ")) strong { (made.shown.url) } }
            (shown_once(visit, made.secret.reveal(), &use_for, PATH))
            @if let Some(known) = known { p.honest { (known) } }
        }
    };
    dashboard(seller, Section::Webhooks, title, body)
}

async fn show(
    seller: &Seller,
    asked: &Asked<'_>,
    draft: &Draft,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let visit = &seller.visit;
    let say = visit.say;
    let subscriptions = seller.caller.commands().subscriptions(seller.caller.account()).await?;
    let part = Part::of(&subscriptions, |subscription| subscription.id.to_string(), asked.after);
    let body = html! {
        div.hero {
            h1 { "Webhook" }
            p.lead {
                (say.of(
                    "Sistem Anda sendiri dikabari begitu ada kejadian, misalnya pesanan baru atau pembayaran yang dikonfirmasi.",
                    "Your own systems are told as soon as something happens, such as a new order or a confirmed payment.",
                ))
            }
        }
        (notice(done))
        (alert(trouble))
        section.card #subscriptions aria-labelledby="subscriptions-title" {
            h2 #subscriptions-title { (say.of("Alamat yang dikabari", "Addresses that are told")) }
            @if part.shown.is_empty() {
                p.empty { (say.of("Belum ada webhook.", "There is no webhook yet.")) }
            } @else {
                ul.rows { @for subscription in &part.shown { (subscription_row(seller, subscription)) } }
            }
            @if let Some(last) = part.last {
                p.more { a.button.secondary href=(visit.to(&format!("{PATH}?after={}", last.id))) { (say.of("Berikutnya", "Next page")) } }
            }
        }
        (create_card(seller, draft, trouble)?)
        (deliveries_card(seller, asked, &subscriptions).await?)
    };
    Ok(dashboard(seller, Section::Webhooks, "Webhook", body))
}

fn subscription_row(seller: &Seller, subscription: &SubscriptionView) -> Markup {
    let visit = &seller.visit;
    let say = visit.say;
    let SubscriptionView { id, url, events, active, created_at } = subscription;
    let address = shortened(url);
    let left_out = events.len().saturating_sub(FILTERS_SHOWN);
    let (value, verb) =
        if *active { ("false", say.of("Jeda", "Pause")) } else { ("true", say.of("Aktifkan", "Activate")) };
    html! {
        li.entry {
            div.what {
                p.title { (address) }
                p.pills {
                    (active_pill(say, *active))
                    @for filter in events.iter().take(FILTERS_SHOWN) {
                        @let filter = filter.to_string();
                        @if filter == "*" { span.pill { (say.of("Semua kejadian", "All events")) } } @else { code.filter { (filter) } }
                    }
                    @if left_out > 0 { span.muted.small { (say.of(format!("dan {left_out} lainnya"), format!("and {left_out} more"))) } }
                }
                p.muted.small {
                    (say.of("Dibuat ", "Made ")) (say.day(*created_at)) " · "
                    a href=(visit.to(&format!("{PATH}?subscriptionId={id}#deliveries"))) { (say.of("Lihat kiriman", "Its deliveries")) }
                }
            }
            div.actions {
                form.inline method="post" action=(visit.to(&format!("{PATH}/{id}/switch"))) data-once="" {
                    (hidden(seller))
                    button.quiet type="submit" name="active" value=(value) aria-label=(format!("{verb}: {address}")) { (verb) }
                }
                a.button.quiet href=(visit.to(&format!("{PATH}/{id}/rotate-secret"))) aria-label=(format!("{}: {address}", say.of("Rahasia baru", "New secret")))
                    { (say.of("Rahasia baru", "New secret")) }
                a.button.quiet href=(visit.to(&format!("{PATH}/{id}/delete"))) aria-label=(format!("{}: {address}", say.of("Hapus", "Delete")))
                    { (say.of("Hapus", "Delete")) }
            }
        }
    }
}

fn active_pill(say: Say, is_active: bool) -> Markup {
    if is_active { pill(Tone::Good, say.of("Aktif", "Active")) } else { pill(Tone::Calm, say.of("Dijeda", "Paused")) }
}

/// An address as far as a list has room for it.
fn shortened(url: &str) -> String {
    let mut text: String = url.chars().take(ADDRESS_CHARACTERS).collect();
    if text.len() < url.len() {
        text.push('…');
    }
    text
}

fn create_card(seller: &Seller, draft: &Draft, trouble: Option<&Trouble>) -> Result<Markup, Turn> {
    let visit = &seller.visit;
    let say = visit.say;
    let fresh = seller.fresh_once()?;
    let url = Field::text("url", say.of("Alamat penerima", "Receiver's address"), &draft.url)
        .required()
        .rule(say.of(
            "Alamat https yang bisa dijangkau dari internet, misalnya https://toko.example/webhook",
            "An https address that the internet can reach, such as https://shop.example/webhook",
        ))
        .input(Input::Line { kind: "url", autocomplete: "off" });
    let events = Field::text("events", say.of("Jenis kejadian", "Types of event"), &draft.events)
        .rule(say.of(
            "Satu per baris, misalnya serront.order.* untuk semua kejadian pesanan. Kosongkan untuk semua jenis",
            "One a line, such as serront.order.* for all events of orders. Leave it empty for all types",
        ))
        .input(Input::Lines(3));
    Ok(html! {
        section.card aria-labelledby="new-title" {
            h2 #new-title { (say.of("Tambah webhook", "Add a webhook")) }
            form method="post" action=(visit.to(PATH)) data-once="" {
                (hidden(seller))
                (once(&fresh))
                (url.show(say, trouble))
                (events.show(say, trouble))
                p.actions { button type="submit" { (say.of("Tambah webhook", "Add the webhook")) } }
            }
            details {
                summary { (say.of("Jenis kejadian yang ada", "The types of event")) }
                ul.rows {
                    @for event in EventType::ALL {
                        li.entry { div.what { p.title { code { (event.as_str()) } } p.muted.small { (description(say, event)) } } }
                    }
                }
            }
        }
    })
}

/// What an event is called.
fn name(say: Say, event: EventType) -> &'static str {
    match event {
        EventType::OrderCreated => say.of("Pesanan baru", "New order"),
        EventType::OrderReplied => say.of("Pesan di pesanan", "Message on an order"),
        EventType::OrderStatusChanged => say.of("Pengerjaan berubah", "Work moved along"),
        EventType::OrderPaymentConfirmed => say.of("Pembayaran dikonfirmasi", "Payment confirmed"),
        EventType::BillingSubscribed => say.of("Paket berganti", "Plan changed"),
        EventType::SubscriptionDisabled => say.of("Webhook dinonaktifkan", "Webhook switched off"),
        _ => event.as_str(),
    }
}

/// What an event tells.
fn description(say: Say, event: EventType) -> &'static str {
    let indonesian = match event {
        EventType::OrderCreated => "Pembeli membuat pesanan.",
        EventType::OrderReplied => "Seseorang menulis pesan di sebuah pesanan (belum dikirim).",
        EventType::OrderStatusChanged => "Pengerjaan sebuah pesanan maju atau berhenti.",
        EventType::OrderPaymentConfirmed => "Pembayaran sebuah pesanan dikonfirmasi.",
        EventType::BillingSubscribed => "Akun berganti paket (belum dikirim).",
        EventType::SubscriptionDisabled => "Sebuah webhook dinonaktifkan karena penerimanya terlalu lama gagal.",
        _ => event.description(),
    };
    say.of(indonesian, event.description())
}

async fn deliveries_card(
    seller: &Seller,
    asked: &Asked<'_>,
    subscriptions: &[SubscriptionView],
) -> Result<Markup, Turn> {
    let visit = &seller.visit;
    let say = visit.say;
    let filter =
        DeliveryFilter { status: asked.status, subscription_id: asked.subscription_id, ..DeliveryFilter::default() };
    let is_filtered = filter != DeliveryFilter::default() || asked.cursor.is_some();
    let limit = Limit::parse(Some(DELIVERIES_ON_A_PAGE))?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let (deliveries, cursor) = commands.deliveries(account, &filter, asked.cursor, limit).await?;
    let address = |id| {
        let found = subscriptions.iter().find(|subscription| subscription.id == id);
        found.map_or_else(|| deleted(say).to_owned(), |subscription| shortened(&subscription.url))
    };
    Ok(html! {
        section.card #deliveries aria-labelledby="deliveries-title" {
            h2 #deliveries-title { (say.of("Kiriman", "Deliveries")) }
            @if is_filtered || !deliveries.is_empty() { (filters(visit, asked, subscriptions)) }
            @if deliveries.is_empty() {
                p.empty {
                    @if is_filtered { (say.of("Tidak ada kiriman yang cocok.", "No delivery matches.")) }
                    @else { (say.of("Belum ada yang dikirim.", "Nothing has been sent yet.")) }
                }
            } @else {
                ul.rows { @for delivery in &deliveries { (delivery_row(visit, delivery, &address(delivery.subscription_id))) } }
            }
            @if let Some(cursor) = cursor {
                p.more { a.button.secondary href=(behind(visit, asked, &cursor)) { (say.of("Berikutnya", "Next page")) } }
            }
        }
    })
}

fn deleted(say: Say) -> &'static str {
    say.of("Webhook yang sudah dihapus", "A webhook that was deleted")
}

/// The deliveries behind these, at their place on the page.
fn behind(visit: &Visit, asked: &Asked<'_>, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(status) = asked.status {
        query.append_pair("status", status.as_str());
    }
    if let Some(id) = asked.subscription_id {
        query.append_pair("subscriptionId", &id.to_string());
    }
    visit.to(&format!("{PATH}?{}#deliveries", query.append_pair("cursor", cursor).finish()))
}

fn filters(visit: &Visit, asked: &Asked<'_>, subscriptions: &[SubscriptionView]) -> Markup {
    let say = visit.say;
    html! {
        form.filters.pair method="get" action=(visit.to(&format!("{PATH}#deliveries"))) {
            div.field {
                label for="subscriptionId" { (say.of("Tujuan", "To")) }
                select #subscriptionId name="subscriptionId" {
                    option value="" { (say.of("Semua", "All")) }
                    @for subscription in subscriptions.iter().rev() {
                        option value=(subscription.id) selected[asked.subscription_id == Some(subscription.id)] { (shortened(&subscription.url)) }
                    }
                }
            }
            div.field {
                label for="status" { (say.of("Status", "State")) }
                select #status name="status" {
                    option value="" { (say.of("Semua", "All")) }
                    @for one in [EffectStatus::Pending, EffectStatus::Succeeded, EffectStatus::Failed] {
                        option value=(one.as_str()) selected[asked.status == Some(one)] { (say.delivery(one)) }
                    }
                }
            }
            button.secondary type="submit" { (say.of("Tampilkan", "Show")) }
        }
    }
}

fn delivery_row(visit: &Visit, delivery: &DeliveryView, address: &str) -> Markup {
    let say = visit.say;
    html! {
        li {
            a.item href=(visit.to(&format!("{PATH}/deliveries/{}", delivery.id))) {
                span.title { (name(say, delivery.r#type)) }
                (delivery_pill(say, delivery.status))
                span.small.lines.across { (address) }
                span.muted.small.across { (tried(say, delivery)) }
            }
        }
    }
}

/// How often it was sent, when last, and what the receiver said to that.
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

/// Where a form leads whose page is reloaded, or read in the other language, after a refusal.
async fn back(seller: Seller) -> Response {
    seller.visit.go(PATH)
}

async fn switch(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let is_active = form.text("active") == "true";
    let input = SubscriptionInput { active: Some(is_active), ..SubscriptionInput::default() };
    let (registration, account) = (seller.caller.webhook_registration(), seller.caller.account());
    match registration.update_subscription(account, id, &input, None).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done={}", if is_active { "active" } else { "paused" }))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            Ok(trouble.on(show(&seller, &Asked::default(), &Draft::default(), None, Some(&trouble)).await?))
        }
    }
}

/// Asks before a subscription signs with another secret.
async fn rotation(seller: Seller, Id(id): Id<SubscriptionId>) -> Shown {
    ask_rotation(&seller, id, None).await
}

async fn ask_rotation(seller: &Seller, id: SubscriptionId, trouble: Option<&Trouble>) -> Shown {
    let say = seller.visit.say;
    let subscription = find(seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let body = html! {
        (alert(trouble))
        p.lines { strong { (subscription.url) } }
        p {
            (say.of(
                "Lakukan ini bila rahasianya mungkin diketahui orang lain. Rahasia baru langsung menandatangani semua kiriman.",
                "Do this if somebody else may know the secret. The new one signs all deliveries at once.",
            ))
        }
        p.honest { (say.of(BOTH_SIGN.0, BOTH_SIGN.1)) }
    };
    let question = Question {
        section: Section::Webhooks,
        title: say.of("Buat rahasia baru untuk webhook ini?", "Make a new secret for this webhook?"),
        body,
        action: &format!("{PATH}/{id}/rotate-secret"),
        once: Some(seller.fresh_once()?),
        yes: say.of("Ya, buat rahasia baru", "Yes, make a new secret"),
        is_destructive: false,
        no: say.of("Tidak jadi, kembali", "No, go back"),
        back: PATH,
    };
    Ok(question.show(seller))
}

async fn rotate_secret(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    // What is not there goes before what is not well filled in.
    find(&seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let request = form.once(account, &format!("{PATH}/{id}/rotate-secret"))?;
    match commands.rotate_secret(account, id, request).await {
        Ok(rotated) => {
            let say = seller.visit.say;
            let title = say.of("Rahasia webhook diganti", "The webhook has a new secret");
            Ok(shown(&seller, title, &rotated.value, Some(say.of(BOTH_SIGN.0, BOTH_SIGN.1))))
        }
        Err(failure) => {
            let trouble = not_made(&seller.visit, failure)?;
            Ok(trouble.on(ask_rotation(&seller, id, Some(&trouble)).await?))
        }
    }
}

/// Asks before a subscription is deleted.
async fn question(seller: Seller, Id(id): Id<SubscriptionId>) -> Shown {
    let say = seller.visit.say;
    let subscription = find(&seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let body = html! {
        p.lines { strong { (subscription.url) } }
        p {
            (say.of(
                "Kejadian tidak lagi dikirim ke alamat ini, juga yang masih dalam antrean, dan rahasianya tidak berlaku lagi. \
                 Catatan kiriman tetap ada.",
                "Nothing is sent to this address any more, nor what is still queued, and its secret is gone. The delivery log \
                 stays.",
            ))
        }
    };
    let question = Question {
        section: Section::Webhooks,
        title: say.of("Hapus webhook ini?", "Delete this webhook?"),
        body,
        action: &format!("{PATH}/{id}/delete"),
        once: None,
        yes: say.of("Ya, hapus webhook", "Yes, delete the webhook"),
        is_destructive: true,
        no: say.of("Tidak jadi, kembali", "No, go back"),
        back: PATH,
    };
    Ok(question.show(&seller))
}

async fn find(seller: &Seller, id: SubscriptionId) -> Result<Option<SubscriptionView>, Failure> {
    let subscriptions = seller.caller.commands().subscriptions(seller.caller.account()).await?;
    Ok(subscriptions.into_iter().find(|subscription| subscription.id == id))
}

async fn delete(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    seller.caller.commands().delete_subscription(seller.caller.account(), id).await?;
    Ok(seller.visit.go(&format!("{PATH}?done=deleted")))
}

async fn delivery(seller: Seller, Id(id): Id<DeliveryId>, query: Query) -> Shown {
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("queued") => Some(
            say.of("Kiriman masuk antrean dan segera dicoba lagi.", "The delivery is queued and tried again at once."),
        ),
        _ => None,
    };
    let delivery = seller.caller.commands().delivery(seller.caller.account(), id).await?;
    show_delivery(&seller, &delivery, done, None).await
}

async fn retry(seller: Seller, Id(id): Id<DeliveryId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let path = format!("{PATH}/deliveries/{id}");
    match commands.retry_delivery(account, id, form.once(account, &path)?).await {
        Ok(_) => Ok(seller.visit.go(&format!("{path}?done=queued"))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            let delivery = commands.delivery(account, id).await?;
            Ok(trouble.on(show_delivery(&seller, &delivery, None, Some(&trouble)).await?))
        }
    }
}

async fn show_delivery(
    seller: &Seller,
    delivery: &DeliveryView,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let visit = &seller.visit;
    let say = visit.say;
    let subscription = find(seller, delivery.subscription_id).await?;
    let address = subscription.as_ref().map_or(deleted(say), |subscription| subscription.url.as_str());
    let (kind, event) = (delivery.r#type.as_str(), delivery.event_id.to_string());
    let (kind, event) = (html! { code { (kind) } }, html! { code { (event) } });
    let answer = delivery.response_code.map_or_else(|| "–".to_owned(), |code| code.to_string());
    let (sent, next) = (moment_or_none(say, delivery.delivered_at), moment_or_none(say, delivery.next_retry_at));
    let title = name(say, delivery.r#type);
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
    Ok(dashboard(seller, Section::Webhooks, title, body))
}

fn moment_or_none(say: Say, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "–".to_owned(), |at| say.moment(at))
}

/// Sending it again, or why that is not to be done now.
fn retry_form(
    seller: &Seller,
    delivery: &DeliveryView,
    subscription: Option<&SubscriptionView>,
) -> Result<Markup, Turn> {
    let visit = &seller.visit;
    let say = visit.say;
    let path = format!("{PATH}/deliveries/{}", delivery.id);
    let is_open = subscription.is_some_and(|subscription| subscription.active);
    if delivery.status == EffectStatus::Pending {
        return Ok(html! {
            @if is_open {
                p { (say.of("Dikirim dengan sendirinya begitu gilirannya tiba.", "It is sent by itself when its turn comes.")) }
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

/// The attempts, the newest first.
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
                    (say.of(format!("Dan {left_out} percobaan sebelumnya."), format!("And {left_out} attempts before.")))
                }
            }
        }
    }
}

/// What came of an attempt, in words. What was not foreseen here is told as the log has it.
fn outcome(say: Say, attempt: &Attempt) -> String {
    if attempt.status == EffectStatus::Succeeded {
        let code = attempt.response_code.map(|code| format!(" ({code})")).unwrap_or_default();
        return format!("{}{code}", say.of("Diterima", "Taken"));
    }
    if let Some(code) = attempt.response_code {
        return say.of(format!("Penerima menjawab {code}"), format!("The receiver answered {code}"));
    }
    let error = attempt.error.as_deref().unwrap_or_default();
    let told = match error {
        "timed out" => say.of("Tidak ada jawaban dalam 10 detik", "No answer within 10 seconds"),
        "connection refused" => say.of("Sambungan ditolak", "The connection was refused"),
        "connection reset" | "connection failed" => say.of("Sambungan terputus", "The connection broke off"),
        "host unreachable" => say.of("Alamat tidak terjangkau", "The address can't be reached"),
        "TLS failed" => say.of("Sertifikat https tidak bisa dipercaya", "The https certificate can't be trusted"),
        "no valid answer" => say.of("Jawaban tidak bisa dibaca", "The answer could not be read"),
        "the subscription was deleted" => say.of("Webhook sudah dihapus", "The webhook was deleted"),
        "the subscription is inactive" => say.of("Webhook dijeda", "The webhook is paused"),
        "" => say.of("Gagal", "Failed"),
        other => return say.of(format!("Gagal: {other}"), format!("Failed: {other}")),
    };
    told.to_owned()
}
