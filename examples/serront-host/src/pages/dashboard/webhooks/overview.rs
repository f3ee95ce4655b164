//! The webhooks page: the subscriptions, the form for a new one, and the deliveries.

use axum::response::Response;
use maud::{Markup, html};
use serront_core::changes::effect::EffectStatus;
use serront_core::primitives::ids::SubscriptionId;
use serront_core::primitives::text::trimmed;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::{FILTERS_MAX, SubscriptionInput};

use super::deliveries::{self, Wanted};
use super::events;
use super::subscription::{self, PATH, shown};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::dashboard::settings::{Part, not_made};
use crate::pages::layout::Section;
use crate::pages::parts::{Field, Input, alert, hidden, more, notice, once};
use crate::pages::say::Say;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn};
use crate::query::Query;

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

pub(super) async fn list(seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("active") => Some(say.of(
            "Webhook aktif. Kejadian berikutnya dikirim ke sana.",
            "The webhook is active. New events will be delivered to it.",
        )),
        Some("paused") => Some(say.of(
            "Webhook dijeda. Tidak ada yang dikirim ke sana sampai diaktifkan lagi.",
            "The webhook is paused. Nothing is delivered until you activate it again.",
        )),
        Some("deleted") => Some(say.of(
            "Webhook dihapus. Catatan kirimannya tetap ada.",
            "The webhook was deleted. Its delivery log is kept.",
        )),
        _ => None,
    };
    let wanted = Wanted {
        status: query.one("status")?.and_then(EffectStatus::parse),
        // An invalid id does not filter, as the field shows.
        subscription_id: query.one("subscriptionId")?.and_then(|raw| raw.parse().ok()),
        cursor: query.one("cursor")?,
    };
    show(&seller, query.one("after")?, &wanted, &Draft::default(), done, None).await
}

pub(super) async fn create(seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let draft = Draft { url: form.text("url").to_owned(), events: form.text("events").to_owned() };
    let (registration, account) = (seller.caller.webhook_registration(), seller.caller.account());
    match registration.create_subscription(account, &draft.input(), form.once(account, PATH)?).await {
        Ok(made) => {
            let title = seller.visit.say.of("Webhook dibuat", "Webhook created");
            Ok(shown(&seller, title, &made.value, None))
        }
        Err(failure) => {
            let trouble = at_field(seller.visit.say, &draft, not_made(&seller.visit, failure)?);
            Ok(trouble.on(show(&seller, None, &Wanted::default(), &draft, None, Some(&trouble)).await?))
        }
    }
}

/// The service names the refused filter; the form has one field for all filters, so the text quotes it.
fn at_field(say: Say, draft: &Draft, trouble: Trouble) -> Trouble {
    let param = trouble.param.as_deref().unwrap_or_default();
    if !param.starts_with("events") {
        return trouble;
    }
    let index =
        param.strip_prefix("events[").and_then(|rest| rest.strip_suffix(']')).and_then(|index| index.parse().ok());
    let filters = draft.input().events.unwrap_or_default();
    let text = match index.and_then(|index: usize| filters.get(index)) {
        Some(filter) => {
            say.of(format!("“{filter}” bukan jenis kejadian yang ada."), format!("There is no event type “{filter}”."))
        }
        None => say
            .of(format!("Paling banyak {FILTERS_MAX} jenis kejadian."), format!("At most {FILTERS_MAX} event types.")),
    };
    Trouble { param: Some("events".to_owned()), text: text.into(), ..trouble }
}

async fn show(
    seller: &Seller,
    after: Option<&str>,
    wanted: &Wanted<'_>,
    draft: &Draft,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let subscriptions = seller.caller.commands().subscriptions(seller.caller.account()).await?;
    let part = Part::of(&subscriptions, |subscription| subscription.id.to_string(), after);
    let body = html! {
        div.hero {
            h1 { "Webhook" }
            p.lead {
                (say.of(
                    "Sistem Anda sendiri dikabari begitu ada kejadian, misalnya pesanan baru atau pembayaran yang dikonfirmasi.",
                    "Webhooks notify your own systems of events, such as a new order or a confirmed payment.",
                ))
            }
        }
        (notice(done))
        (alert(trouble))
        section.card #subscriptions aria-labelledby="subscriptions-title" {
            h2 #subscriptions-title { (say.of("Alamat yang dikabari", "Your webhooks")) }
            @if part.shown.is_empty() {
                p.empty { (say.of("Belum ada webhook.", "There are no webhooks yet.")) }
            } @else {
                ul.rows { @for subscription in &part.shown { (subscription::row(seller, subscription)) } }
            }
            (more(say, part.last.map(|last| visit.link(PATH, [("after", last.id.to_string().as_str())]))))
        }
        (create_card(seller, draft, trouble)?)
        (deliveries::section(seller, wanted, &subscriptions).await?)
    };
    Ok(seller.page(Section::Webhooks, "Webhook", body))
}

fn create_card(seller: &Seller, draft: &Draft, trouble: Option<&Trouble>) -> Result<Markup, Turn> {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let fresh = seller.fresh_once()?;
    let url = Field::text("url", say.of("Alamat penerima", "Receiver's address"), &draft.url)
        .required()
        .rule(say.of(
            "Alamat https yang bisa dijangkau dari internet, misalnya https://toko.example/webhook",
            "An https address on the public internet, such as https://shop.example/webhook",
        ))
        .input(Input::Line { kind: "url", autocomplete: "off" });
    let events = Field::text("events", say.of("Jenis kejadian", "Event types"), &draft.events)
        .rule(say.of(
            "Satu per baris, misalnya serront.order.* untuk semua kejadian pesanan. Kosongkan untuk semua jenis",
            "One per line, such as serront.order.* for all events of orders. Leave it empty for all types",
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
                summary { (say.of("Jenis kejadian yang ada", "All event types")) }
                ul.rows {
                    @for event in EventType::ALL {
                        li.entry { div.what { p.title { code { (event.as_str()) } } p.muted.small { (events::description(say, event)) } } }
                    }
                }
            }
        }
    })
}

pub(super) async fn switch(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let is_active = form.text("active") == "true";
    let input = SubscriptionInput { active: Some(is_active), ..SubscriptionInput::default() };
    let (registration, account) = (seller.caller.webhook_registration(), seller.caller.account());
    match registration.update_subscription(account, id, &input, None).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done={}", if is_active { "active" } else { "paused" }))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            Ok(trouble.on(show(&seller, None, &Wanted::default(), &Draft::default(), None, Some(&trouble)).await?))
        }
    }
}

/// GET at a form's address, from a reload or a language switch after a refusal: redirects to the page.
pub(super) async fn back(seller: Seller) -> Response {
    seller.visit.go(PATH)
}
