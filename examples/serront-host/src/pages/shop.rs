//! The storefront: the seller's profile, services and the order form. It never shows a bank account.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serront_core::orders::order::{OrderInput, PricingType};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::rejection::{Code, Invalid, Rejection};
use serront_core::service::Failure;
use serront_core::views::{ShopService, ShopView};

use super::form::{self, Form};
use super::guard::Findable;
use super::layout::{self, Area, Page};
use super::parts::{self, Field, Input, alert, day_rule};
use super::say::Say;
use super::visit::{Shown, Trouble, Visit};
use crate::auth::{Id, ShopSlug};
use crate::body::Intake;
use crate::query::Query;
use crate::state::Host;

/// Services on a page. Each may have five packages, and the page should stay far below 50 kB.
const SERVICES_ON_A_PAGE: usize = 12;
/// Most characters of a service's description.
const DETAIL_CHARACTERS_MAX: usize = 160;

pub(super) async fn show(
    State(host): State<Arc<Host>>,
    visit: Visit,
    Id(ShopSlug(slug)): Id<ShopSlug>,
    query: Query,
) -> Shown {
    let shop = host.commands().shop(&slug).await?;
    let from = query.one("from")?.and_then(|from| from.parse().ok()).unwrap_or(0);
    let once = form::fresh_once(host.ports.secrets.as_ref())?;
    Ok(page(&visit, &shop, &Displayed { from, once: &once, input: &OrderInput::default(), trouble: None }))
}

/// Places the order and redirects to its page. A form that is sent twice places one order.
pub(super) async fn order(
    State(host): State<Arc<Host>>,
    visit: Visit,
    Id(ShopSlug(slug)): Id<ShopSlug>,
    intake: Intake,
) -> Shown {
    let commands = host.commands();
    let shop = commands.shop(&slug).await?;
    let form = Form::read(&intake).await?;
    let input = read(&form);
    let request = form.once_at(&shop.storefront.slug, &address(&shop))?;
    match commands.place_order(&slug, &input, visit.say.0, request).await {
        Ok(placed) => Ok(visit.go(&format!("/o/{}", placed.value.access_token.reveal()))),
        Err(failure) => {
            // The shop exists, so the service does not: none was chosen, or it was deleted.
            let trouble = match failure {
                Failure::Rejected(Rejection::NotFound(_)) => {
                    Trouble::invalid(visit.say, Invalid::new("serviceSlug", "must be one of the services"))
                }
                // The buyer went back from the order's page, changed the form and sent it. It is unclear whether that is a second
                // order or a correction.
                Failure::Rejected(Rejection::IdempotencyKeyInUse(_)) => {
                    let text = visit.say.of(
                        "Pesanan dari formulir ini sudah terkirim. Kirim lagi hanya bila Anda ingin memesan sekali lagi.",
                        "An order was already placed with this form. Send it again only if you want another one.",
                    );
                    Trouble { text: text.into(), ..Trouble::code(visit.say, Code::IdempotencyKeyInUse) }
                }
                other @ (Failure::Rejected(_) | _) => Trouble::of(visit.say, other)?,
            };
            let chosen = shop.services.iter().position(|service| service.slug.as_str() == input.service_slug);
            let from = chosen.unwrap_or(0) / SERVICES_ON_A_PAGE * SERVICES_ON_A_PAGE;
            let once = form::fresh_once(host.ports.secrets.as_ref())?;
            Ok(trouble.on(page(
                &visit,
                &shop,
                &Displayed { from, once: &once, input: &input, trouble: Some(&trouble) },
            )))
        }
    }
}

fn read(form: &Form) -> OrderInput {
    // The value names service and package, so that all packages of all services are choices of one field.
    let (service, package) = match form.text("service").split_once(':') {
        Some((service, package)) => (service, Some(package.to_owned())),
        None => (form.text("service"), None),
    };
    OrderInput {
        service_slug: service.to_owned(),
        package_name: package,
        buyer_name: form.text("buyerName").to_owned(),
        buyer_email: form.text("buyerEmail").trim().to_owned(),
        buyer_phone: form.optional("buyerPhone"),
        preferred_date: form.optional("preferredDate"),
        notes: form.optional("notes"),
        ..OrderInput::default()
    }
}

fn address(shop: &ShopView) -> String {
    format!("/s/{}", shop.storefront.slug)
}

/// What the page shows besides the shop.
struct Displayed<'a> {
    /// Index of the first service.
    from: usize,
    once: &'a str,
    input: &'a OrderInput,
    trouble: Option<&'a Trouble>,
}

fn page(visit: &Visit, shop: &ShopView, shown: &Displayed<'_>) -> Response {
    let Displayed { from, once, input, trouble } = *shown;
    let say = visit.say;
    let profile = &shop.storefront;
    let body = html! {
        section.hero {
            h1 { (profile.display_name) }
            @if let Some(bio) = &profile.bio { p.lead.lines { (bio) } }
            @if let Some(number) = &profile.whatsapp_number {
                p { a.button.secondary href=(number.link()) rel="noopener noreferrer" { (say.of("Tanya lewat WhatsApp", "Ask on WhatsApp")) } }
            }
        }
        @if shop.services.is_empty() {
            p.card { (say.of("Belum ada layanan yang bisa dipesan.", "There are no services yet.")) }
        } @else {
            form.card method="post" action=(visit.to(&address(shop))) data-once="" {
                (parts::once(once))
                h2 { (say.of("Pesan layanan", "Place an order")) }
                (alert(trouble))
                fieldset.choices {
                    legend { (say.of("Layanan", "Service")) }
                    @if trouble.is_some_and(|trouble| matches!(trouble.param.as_deref(), Some("serviceSlug" | "packageName"))) {
                        p.error #service-error { (say.of("Pilih salah satu layanan.", "Choose one of the services.")) }
                    }
                    @for service in shop.services.iter().skip(from).take(SERVICES_ON_A_PAGE) { (choice(say, service, input)) }
                    (others(visit, shop, from))
                }
                (fields(say, input, trouble))
                button.wide type="submit" { (say.of("Kirim pesanan", "Place the order")) }
                p.muted.small {
                    (say.of(
                        "Cara membayar muncul setelah pesanan dikirim.",
                        "Payment instructions are shown after you place the order.",
                    ))
                    @if profile.online_payment {
                        " " (say.of("Bisa transfer bank atau bayar online.", "You can pay by bank transfer or online."))
                    }
                }
            }
        }
    };
    let area = Area::Shop { name: &profile.display_name, is_branded: !profile.hide_branding };
    let title = say.of("Pesan", "Order");
    let mut response = layout::show(visit, Page { title, area, body });
    response.extensions_mut().insert(Findable);
    response
}

fn others(visit: &Visit, shop: &ShopView, from: usize) -> Markup {
    let say = visit.say;
    let at = |from: usize| visit.to(&format!("{}?from={from}", address(shop)));
    let next = from.saturating_add(SERVICES_ON_A_PAGE);
    html! {
        @if from > 0 || next < shop.services.len() {
            p.actions {
                @if from > 0 { a.button.secondary href=(at(from.saturating_sub(SERVICES_ON_A_PAGE))) { (say.of("Layanan sebelumnya", "Earlier services")) } }
                @if next < shop.services.len() { a.button.secondary href=(at(next)) { (say.of("Layanan lainnya", "More services")) } }
            }
        }
    }
}

fn brief(description: &str) -> String {
    let mut brief: String = description.chars().take(DETAIL_CHARACTERS_MAX).collect();
    if brief.len() < description.len() {
        brief.push('…');
    }
    brief
}

/// A service to choose, or each of its packages.
fn choice(say: Say, service: &ShopService, input: &OrderInput) -> Markup {
    let one = |value: &str, name: &str, detail: Option<&str>, price: Option<Rupiah>, is_chosen: bool| {
        html! {
            label.choice {
                input type="radio" name="service" value=(value) required checked[is_chosen];
                span.what { strong { (name) } @if let Some(detail) = detail { span.detail { (brief(detail)) } } }
                span.price { (price_of(say, service.pricing_type, price)) }
            }
        }
    };
    let is_chosen = input.service_slug == service.slug.as_str();
    match &service.packages {
        None => one(service.slug.as_str(), &service.name, service.description.as_deref(), service.price_idr, is_chosen),
        Some(packages) => html! {
            div.packages {
                p.what { strong { (service.name) } @if let Some(detail) = &service.description { span.detail { (brief(detail)) } } }
                @for package in packages {
                    (one(
                        &format!("{}:{}", service.slug, package.name),
                        &package.name,
                        package.description.as_deref(),
                        Some(package.price_idr),
                        is_chosen && input.package_name.as_deref() == Some(package.name.as_str()),
                    ))
                }
            }
        },
    }
}

fn price_of(say: Say, pricing: PricingType, price: Option<Rupiah>) -> Markup {
    html! {
        @match price {
            None => (say.of("Harga menyusul", "Price on request")),
            Some(price) => { (price.to_string()) @if pricing == PricingType::Hourly { span.per { (say.of("/jam", "/hour")) } } },
        }
    }
}

fn fields(say: Say, input: &OrderInput, trouble: Option<&Trouble>) -> Markup {
    let line = |kind, autocomplete| Input::Line { kind, autocomplete };
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    let (phone, date, notes) = (value(&input.buyer_phone), value(&input.preferred_date), value(&input.notes));
    let name = Field::text("buyerName", say.of("Nama Anda", "Your name"), &input.buyer_name)
        .required()
        .rule(say.of("Paling banyak 100 huruf", "At most 100 characters"))
        .input(line("text", "name"));
    let email = Field::text("buyerEmail", say.of("Alamat email", "E-mail address"), &input.buyer_email)
        .required()
        .rule(say.of("Konfirmasi pembayaran dikirim ke sini", "We send the payment confirmation to this address"))
        .wrong(say.of("Alamat email ini tidak lengkap atau salah ketik", "This is not a valid e-mail address"))
        .input(line("email", "email"));
    let phone = Field::text("buyerPhone", say.of("Nomor telepon", "Phone number"), &phone).input(line("tel", "tel"));
    let date = Field::text("preferredDate", say.of("Tanggal yang diinginkan", "Preferred date"), &date)
        .wrong(day_rule(say))
        .input(Input::Day);
    let notes = Field::text("notes", say.of("Catatan untuk penjual", "Notes for the seller"), &notes)
        .rule(say.of("Paling banyak 2.000 huruf", "At most 2,000 characters"))
        .input(Input::Lines(3));
    html! {
        (name.show(say, trouble))
        (email.show(say, trouble))
        (phone.show(say, trouble))
        (date.show(say, trouble))
        (notes.show(say, trouble))
    }
}
