//! The storefront's settings: the seller's profile, bank accounts and visibility. The catalog is listed below; it is edited
//! through the API.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::orders::order::PricingType;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::Failure;
use serront_core::views::{ServiceView, StorefrontView};

use self::draft::Draft;
use self::fields::{profile_card, taken, transfer_card, visibility_card};
use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{Tone, alert, copy_button, copy_refusal, hidden, notice, pill};
use crate::pages::say::Say;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;
use crate::state::Host;

mod draft;
mod fields;

const PATH: &str = "/dashboard/storefront";
/// Services listed: more would make the page heavy, and the API lists all.
const SERVICES_SHOWN: usize = 30;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new().route(PATH, get(settings).post(save))
}

async fn settings(State(host): State<Arc<Host>>, seller: Seller, query: Query) -> Shown {
    let stored = seller.caller.commands().storefront(seller.caller.account()).await?;
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("saved") => Some(say.of("Etalase disimpan.", "The storefront was saved.")),
        _ => None,
    };
    show(&host, &seller, stored.as_ref(), &Draft::of(stored.as_ref()), done, None).await
}

async fn save(State(host): State<Arc<Host>>, seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let draft = Draft::read(&form);
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    match commands.put_storefront(account, &draft.input(), None).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done=saved"))),
        Err(failure) => {
            let trouble = trouble_of(seller.visit.say, failure)?;
            let stored = commands.storefront(account).await?;
            Ok(trouble.on(show(&host, &seller, stored.as_ref(), &draft, None, Some(&trouble)).await?))
        }
    }
}

/// Why it was not saved. Names the field even if the service does not.
fn trouble_of(say: Say, failure: Failure) -> Result<Trouble, Turn> {
    let is_taken = matches!(&failure, Failure::Rejected(Rejection::Conflict(_)));
    let is_gated = matches!(&failure, Failure::Rejected(Rejection::UpgradeRequired { .. }));
    let mut trouble = Trouble::of(say, failure)?;
    if is_taken {
        trouble = Trouble { param: Some("slug".to_owned()), text: format!("{}.", taken(say)).into(), ..trouble };
    } else if is_gated {
        trouble.param = Some("hideBranding".to_owned());
    }
    Ok(trouble)
}

async fn show(
    host: &Host,
    seller: &Seller,
    stored: Option<&StorefrontView>,
    draft: &Draft,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let tier = commands.account(account).await?.state.tier;
    let services = commands.services(account).await?;
    let title = say.of("Etalase", "Storefront");
    let body = html! {
        h1 { (title) }
        (notice(done))
        (alert(trouble))
        @match stored {
            Some(stored) => (public_card(host, visit, stored)),
            None => (welcome(say)),
        }
        form method="post" action=(visit.to(PATH)) data-once="" {
            (hidden(seller))
            (profile_card(host, say, draft, trouble))
            (transfer_card(say, draft, trouble))
            (visibility_card(say, tier, draft, trouble))
            p.actions { button type="submit" { (say.of("Simpan etalase", "Save the storefront")) } }
        }
        (services_card(say, &services))
    };
    Ok(seller.page(Section::Storefront, title, body))
}

/// Explains storefronts to a seller without one.
fn welcome(say: Say) -> Markup {
    html! {
        section.card aria-labelledby="welcome-title" {
            h2 #welcome-title { (say.of("Buka etalase Anda", "Open your storefront")) }
            p {
                (say.of(
                    "Etalase adalah halaman toko Anda: pembeli melihat layanan, memesan, lalu mendapat petunjuk pembayaran. \
                     Isi formulir ini, terbitkan, lalu bagikan alamatnya.",
                    "The storefront is your shop's page: buyers see your services, place an order, and then get payment \
                     instructions. Fill in this form, publish the storefront, and share its address.",
                ))
            }
        }
    }
}

/// The storefront's address, if it is published.
fn public_card(host: &Host, visit: &Visit, stored: &StorefrontView) -> Markup {
    let say = visit.say;
    let address = format!("{}/s/{}", host.public_url(), stored.slug);
    html! {
        section.card aria-labelledby="public-title" {
            div.row {
                h2 #public-title { (say.of("Halaman publik", "Public page")) }
                @if stored.published { (pill(Tone::Good, say.of("Terbit", "Published"))) }
                @else { (pill(Tone::Calm, say.of("Belum terbit", "Not published"))) }
            }
            @if stored.published {
                p { (say.of("Bagikan alamat ini kepada pembeli:", "Share this address with buyers:")) }
                p.row data-copies {
                    a.lines data-copied href=(visit.to(&format!("/s/{}", stored.slug))) { (address) }
                    (copy_button(say, &address, Some(say.of("Salin alamat etalase", "Copy the storefront's address"))))
                    (copy_refusal())
                }
            } @else {
                p {
                    (say.of(
                        "Pembeli belum bisa membuka etalase ini. Centang “Terbitkan etalase” di bawah bila sudah siap.",
                        "Buyers can't open this storefront yet. Select “Publish the storefront” below when it is ready.",
                    ))
                }
            }
        }
    }
}

/// The catalog, read only.
fn services_card(say: Say, services: &[ServiceView]) -> Markup {
    let left_out = services.len().saturating_sub(SERVICES_SHOWN);
    html! {
        section.card #services aria-labelledby="services-title" {
            h2 #services-title { (say.of("Layanan", "Services")) }
            p.muted {
                (say.of("Layanan ditambah dan diubah lewat API, di ", "Add and change services through the API, at "))
                code { "/api/v1/services" } "."
            }
            @if services.is_empty() {
                p.empty { (say.of("Belum ada layanan, jadi belum ada yang bisa dipesan.", "There are no services yet, so buyers can't place orders.")) }
            } @else {
                ul.rows { @for service in services.iter().take(SERVICES_SHOWN) { (service_row(say, service)) } }
                @if left_out > 0 {
                    p.muted.small { (say.of(format!("Dan {left_out} layanan lainnya."), format!("And {left_out} more."))) }
                }
            }
        }
    }
}

fn service_row(say: Say, service: &ServiceView) -> Markup {
    html! {
        li.entry {
            div.what {
                p.title { (service.name) }
                @for package in service.packages.iter().flatten() {
                    p.muted.small { (package.name) " · " span.money { (package.price_idr.to_string()) } }
                }
                p.pills {
                    @if service.active { (pill(Tone::Good, say.of("Bisa dipesan", "Can be ordered"))) }
                    @else { (pill(Tone::Calm, say.of("Tidak ditampilkan", "Not shown"))) }
                }
            }
            @if let Some(price) = service.price_idr {
                p.price {
                    (price.to_string())
                    @if service.pricing_type == PricingType::Hourly { span.per { (say.of("/jam", "/hour")) } }
                }
            }
        }
    }
}
