//! Integrations: the payment module, what it does and costs, and its switch.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::decide::ModuleSwitches;
use serront_core::funds::fee::FeeRate;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::tier::{Tier, TierTerms};
use serront_core::views::ModulesView;

use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{Tone, alert, hidden, notice, pill};
use crate::pages::say::{Say, rupiah};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble};
use crate::query::Query;
use crate::state::Host;

const PATH: &str = "/dashboard/integrations";
/// The amount of the example for the fee.
const EXAMPLE_IDR: i64 = 750_000;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new().route(PATH, get(page).post(switch))
}

async fn page(State(host): State<Arc<Host>>, seller: Seller, query: Query) -> Shown {
    if query.one("ask")? == Some("off") {
        return question(&seller).await;
    }
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("on") => Some(say.of(
            "Pembayaran online aktif. Pembeli kini bisa membayar online di halaman pesanannya.",
            "Online payment is on. Buyers can now pay online on their order's page.",
        )),
        Some("off") => Some(say.of(
            "Pembayaran online dinonaktifkan. Saldo dan riwayat Anda tetap tersimpan.",
            "Online payment is off. Your balance and history are kept.",
        )),
        _ => None,
    };
    show(&host, &seller, done, None).await
}

async fn show(host: &Host, seller: &Seller, done: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let say = seller.visit.say;
    let account = seller.caller.commands().account(seller.caller.account()).await?;
    let modules = seller.caller.online().modules(account.id).await?;
    let tier = account.state.tier;
    let title = say.of("Integrasi", "Integrations");
    let state = if modules.modules.payment {
        pill(Tone::Good, say.of("Aktif", "On"))
    } else {
        pill(Tone::Calm, say.of("Tidak aktif", "Off"))
    };
    let body = html! {
        h1 { (title) }
        (notice(done))
        (alert(trouble))
        section.card aria-labelledby="payment-title" {
            div.row { h2 #payment-title { (say.of("Pembayaran online", "Online payment")) } (state) }
            p {
                (say.of(
                    "Pembeli membayar di halaman Plugipay. Begitu uangnya masuk, pesanan dikonfirmasi dengan sendirinya dan jumlahnya tercatat di saldo Anda.",
                    "Buyers pay on a page hosted by Plugipay. As soon as the payment arrives, the order is confirmed automatically and the amount is added to your balance.",
                ))
            }
            (terms(say, host.policy.online.fee))
            (control(seller, &modules, tier))
        }
        @if !tier.terms().module_access { (plans(say, tier)) }
    };
    Ok(seller.page(Section::Integrations, title, body))
}

/// What the module offers, and what it costs.
fn terms(say: Say, rate: FeeRate) -> Markup {
    let percent = percent(say, rate);
    let fee = Rupiah::new(EXAMPLE_IDR).map_or_else(
        |_| percent.clone(),
        |example| {
            let fee = rate.of(example);
            say.of(
                format!("{percent} dari yang dibayar online. Contoh: {example}, biayanya {fee}."),
                format!("{percent} of what is paid online. For example {fee} on {example}."),
            )
        },
    );
    let rows = [
        (
            say.of("Cara bayar", "Ways to pay"),
            say.of("QRIS, virtual account, e-wallet, kartu", "QRIS, virtual account, e-wallet, card"),
        ),
        (say.of("Biaya", "Fee"), fee.as_str()),
        (
            say.of("Transfer manual", "Manual transfers"),
            say.of("Tetap gratis, dan tetap Anda konfirmasi sendiri", "Still free, and still confirmed by you"),
        ),
        (
            say.of("Pencairan ke bank", "Payouts to your bank"),
            say.of(
                "Ditinjau dan ditransfer manual, biasanya tidak langsung",
                "Reviewed and transferred manually, usually not instant",
            ),
        ),
    ];
    html! { dl.terms { @for (name, text) in rows { div { dt { (name) } dd { (text) } } } } }
}

/// A rate as written in the language: `0,3 %`.
fn percent(say: Say, rate: FeeRate) -> String {
    const MILLION: i64 = 1_000_000;
    // The fee of a million is the rate in millionths.
    let share = Rupiah::new(MILLION).map_or(0, |million| rate.of(million).get());
    let (whole, rest) = (share.div_euclid(MILLION / 100), share.rem_euclid(MILLION / 100));
    let digits = format!("{rest:04}");
    match digits.trim_end_matches('0') {
        "" => format!("{whole} %"),
        rest => format!("{whole}{}{rest} %", say.of(',', '.')),
    }
}

/// The switch, or why it is not available.
fn control(seller: &Seller, modules: &ModulesView, tier: Tier) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    html! {
        @if modules.modules.payment {
            div.actions {
                a.button href=(visit.to("/dashboard/payments")) { (say.of("Lihat saldo", "See the balance")) }
                a.button.secondary href=(visit.to(&format!("{PATH}?ask=off"))) { (say.of("Nonaktifkan", "Switch off")) }
            }
        } @else if !tier.terms().module_access {
            p.honest {
                (say.of(
                    format!("Paket Anda sekarang {}. Pembayaran online tersedia mulai paket {}.", tier.terms().name, Tier::Starter.terms().name),
                    format!("Your plan is {}. Online payment is available from the {} plan up.", tier.terms().name, Tier::Starter.terms().name),
                ))
            }
            (kept(say, modules))
        } @else if !modules.available.payment {
            p.honest {
                (say.of(
                    "Pembayaran online belum disiapkan di sini, jadi belum bisa diaktifkan. Tanyakan kepada pengelola layanan ini.",
                    "Online payment is not set up here, so it can't be switched on yet. Ask the operator of this service.",
                ))
            }
            (kept(say, modules))
        } @else {
            (kept(say, modules))
            form method="post" action=(visit.to(PATH)) data-once="" {
                (hidden(seller))
                div.actions {
                    button type="submit" name="payment" value="on" { (say.of("Aktifkan pembayaran online", "Switch online payment on")) }
                }
            }
        }
    }
}

/// Tells a seller who used the module before that nothing is lost.
fn kept(say: Say, modules: &ModulesView) -> Markup {
    html! {
        @if modules.plugipay_account_id.is_some() {
            p.muted {
                (say.of(
                    "Saldo, riwayat dan pencairan Anda tetap tersimpan. Semuanya terlihat lagi begitu diaktifkan.",
                    "Your balance, history and payouts are kept. They are shown again when online payment is on.",
                ))
            }
        }
    }
}

/// A table of the plans and their prices.
fn plans(say: Say, present: Tier) -> Markup {
    html! {
        section.card aria-labelledby="plans-title" {
            h2 #plans-title { (say.of("Paket", "Plans")) }
            table {
                thead {
                    tr {
                        th scope="col" { (say.of("Paket", "Plan")) }
                        th.right scope="col" { (say.of("Harga per bulan", "Price a month")) }
                        th.right scope="col" { "Online" }
                    }
                }
                tbody {
                    @for TierTerms { id, name, price_idr, module_access, .. } in Tier::ALL.map(Tier::terms) {
                        tr {
                            th scope="row" {
                                (name)
                                @if id == present { " " (pill(Tone::Calm, say.of("Paket Anda", "Yours"))) }
                            }
                            td.right.money { @if price_idr == 0 { (say.of("Gratis", "Free")) } @else { (rupiah(price_idr)) } }
                            td.right { @if module_access { (say.of("Ya", "Yes")) } @else { (say.of("Tidak", "No")) } }
                        }
                    }
                }
            }
            p.muted { (say.of("Untuk pindah paket, hubungi pengelola layanan ini.", "To change your plan, ask the operator of this service.")) }
        }
    }
}

/// Asks before buyers lose a way to pay.
async fn question(seller: &Seller) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    if !seller.caller.online().modules(seller.caller.account()).await?.modules.payment {
        return Ok(visit.go(PATH));
    }
    let title = say.of("Nonaktifkan pembayaran online?", "Switch online payment off?");
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            h2 { (say.of("Yang berubah", "What changes")) }
            ul.points {
                li { (say.of("Pembeli tidak bisa memulai pembayaran online lagi. Transfer manual tetap bisa.", "Buyers can no longer start online payments. Manual transfers still work.")) }
                li { (say.of("Saldo, transaksi dan pencairan tidak ditampilkan sampai Anda mengaktifkannya lagi.", "Balance, transactions and payouts are hidden until you switch it on again.")) }
            }
            h2 { (say.of("Yang tetap", "What stays")) }
            ul.points {
                li { (say.of("Saldo dan riwayat Anda tersimpan utuh.", "Your balance and history are kept.")) }
                li { (say.of("Pembayaran yang sudah dibuka pembeli tetap diselesaikan dan masuk ke saldo.", "Payments that buyers have started still settle and are added to your balance.")) }
                li { (say.of("Pencairan yang sudah diminta tetap diproses.", "Requested payouts are still processed.")) }
            }
            form method="post" action=(visit.to(PATH)) data-once="" {
                (hidden(seller))
                button.danger.wide type="submit" name="payment" value="off" { (say.of("Ya, nonaktifkan", "Yes, switch it off")) }
            }
            a.button.secondary href=(visit.to(PATH)) { (say.of("Tidak, kembali", "No, go back")) }
        }
    };
    Ok(seller.page(Section::Integrations, title, body))
}

async fn switch(State(host): State<Arc<Host>>, seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let payment = match form.text("payment") {
        "on" => true,
        "off" => false,
        _ => return Err(Invalid::new("payment", "must be on or off").into()),
    };
    let switches = ModuleSwitches { payment: Some(payment), marketing: None };
    match seller.caller.online().switch_modules(seller.caller.account(), switches, None).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done={}", if payment { "on" } else { "off" }))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            Ok(trouble.on(show(&host, &seller, None, Some(&trouble)).await?))
        }
    }
}

#[cfg(test)]
mod tests {
    use serront_core::orders::order::Language;

    use super::*;

    #[test]
    fn a_rate_is_shown_in_percent() {
        for (rate, indonesian, english) in [
            ("0.003", "0,3 %", "0.3 %"),
            ("0.0125", "1,25 %", "1.25 %"),
            ("0.02", "2 %", "2 %"),
            ("0", "0 %", "0 %"),
            ("1", "100 %", "100 %"),
        ] {
            let rate = FeeRate::parse(rate).unwrap();
            assert_eq!(percent(Say(Language::Id), rate), indonesian);
            assert_eq!(percent(Say(Language::En), rate), english);
        }
    }
}
