//! The seller's money: the balance now and over time, what moved it, what goes to the bank, and what needs a look.
//!
//! With the module off, a page says so; what is to be looked after is shown all the same, as the API does.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Version;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::funds::ledger::{Direction, EntryCode, SourceType};
use serront_core::primitives::ids::ExceptionId;
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::{Code, Rejection};
use serront_core::service::{EntriesPage, ExceptionsPage, Failure};
use serront_core::snapshots::EntryFilter;
use serront_core::views::{EntryView, PayoutBalanceView};

use super::super::Shown;
use super::super::form::Form;
use super::super::layout::{Section, dashboard};
use super::super::parts::{Tone, notice, pill};
use super::super::say::{Say, rupiah};
use super::super::session::Seller;
use super::super::visit::{Trouble, Turn, Visit};
use crate::auth::Enabled;
use crate::query::{Period, Query};
use crate::routes::export;
use crate::state::Host;

mod chart;
mod exceptions;
mod payouts;

const PATH: &str = "/dashboard/payments";
const CSV_PATH: &str = "/dashboard/payments/entries.csv";

/// How many transactions a page lists: what a phone scrolls through, below the rest of the page.
const ENTRIES_ON_A_PAGE: &str = "15";

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(PATH, get(page))
        .route(CSV_PATH, get(csv))
        .route(payouts::LIST_PATH, get(payouts::list).post(payouts::request))
        .route(payouts::BANK_ACCOUNT_PATH, get(back).post(payouts::bank_account))
        .route("/dashboard/payments/payouts/{id}", get(payouts::detail))
        .route("/dashboard/payments/payouts/{id}/cancel", get(back).post(payouts::cancel))
        .route(exceptions::LIST_PATH, get(exceptions::list))
        .route("/dashboard/payments/exceptions/{id}/resolve", get(back).post(exceptions::resolve))
}

/// Whoever reloads what a form was answered with, or switches its language, comes here.
async fn back(visit: Visit) -> Response {
    visit.go(PATH)
}

/// A form of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Request,
    BankAccount,
    Exception(ExceptionId),
}

/// A form that was not carried out: shown again as it was sent, with the reason.
struct Refused {
    place: Place,
    form: Form,
    trouble: Trouble,
}

impl Refused {
    fn new(place: Place, form: Form, seller: &Seller, failure: Failure) -> Result<Self, Turn> {
        let is_too_much = matches!(&failure, Failure::Rejected(Rejection::InsufficientBalance { .. }));
        let mut trouble = Trouble::of(seller.visit.say, failure)?;
        if is_too_much {
            // The service names no field; here it is plain which one is meant.
            trouble.param = Some("amount".to_owned());
        }
        Ok(Self { place, form, trouble })
    }

    /// What was sent at this place, and why it was refused.
    fn at(refused: Option<&Self>, place: Place) -> Option<(&Form, &Trouble)> {
        refused.filter(|refused| refused.place == place).map(|refused| (&refused.form, &refused.trouble))
    }

    /// The page with it.
    async fn show(self, host: &Host, seller: &Seller) -> Shown {
        let page = show(host, seller, &Wanted { refused: Some(&self), ..Wanted::default() }).await?;
        Ok(self.trouble.on(page))
    }
}

/// What the page is to show beside the usual.
#[derive(Default)]
struct Wanted<'a> {
    code: Option<EntryCode>,
    /// The days that were chosen, as they were given.
    days: [Option<&'a str>; 2],
    period: Period,
    cursor: Option<&'a str>,
    done: Option<&'a str>,
    refused: Option<&'a Refused>,
}

/// Sends to the page that says so if the module is off.
async fn gate(seller: &Seller) -> Result<(), Turn> {
    if is_on(seller).await? { Ok(()) } else { Err(Turn::to(seller.visit.go(PATH))) }
}

async fn is_on(seller: &Seller) -> Result<bool, Turn> {
    match seller.caller.commands().payment_module(seller.caller.account()).await {
        Ok(()) => Ok(true),
        Err(Failure::Rejected(rejection)) if rejection.code() == Code::PaymentModuleDisabled => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

async fn page(State(host): State<Arc<Host>>, seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let query = query.filled();
    let done = match query.one("done")? {
        Some("requested") => Some(say.of(
            "Pencairan diminta. Operator akan meninjau lalu mentransfernya manual.",
            "The payout is requested. An operator will review it and transfer it by hand.",
        )),
        Some("bank") => Some(say.of("Rekening tujuan disimpan.", "The bank account is saved.")),
        Some("resolved") => Some(say.of("Ditandai selesai.", "Marked as resolved.")),
        _ => None,
    };
    let code = query.one("code")?.and_then(EntryCode::parse);
    let (days, period) = ([query.one("from")?, query.one("to")?], query.period("from", "to")?);
    show(&host, &seller, &Wanted { code, days, period, cursor: query.one("cursor")?, done, refused: None }).await
}

async fn show(host: &Host, seller: &Seller, wanted: &Wanted<'_>) -> Shown {
    let say = seller.visit.say;
    let title = say.of("Pembayaran", "Payments");
    let open = exceptions::open(seller).await?;
    let once_text = seller.fresh_once()?;
    let of_exceptions = exceptions::section(seller, &open, wanted.refused, &once_text);
    let is_on = is_on(seller).await?;
    let rest = if is_on {
        on(host, seller, wanted, &open, &of_exceptions, &once_text).await?
    } else {
        off(&seller.visit, &open, &of_exceptions)
    };
    let body = html! {
        h1 { (title) }
        (notice(wanted.done))
        @if let Some(refused) = wanted.refused { (refused_above(&seller.visit, refused, is_on)) }
        (rest)
    };
    Ok(dashboard(seller, Section::Payments, title, body))
}

/// Why a form was not carried out, with the way to it: the page is a long one on a phone.
fn refused_above(visit: &Visit, refused: &Refused, is_on: bool) -> Markup {
    let section = match refused.place {
        Place::Request => "#payouts",
        Place::BankAccount => "#bank-account",
        Place::Exception(_) => "#exceptions",
    };
    // With the module off, the other forms are not there.
    let is_there = is_on || section == "#exceptions";
    html! {
        p.alert role="alert" {
            (refused.trouble.text)
            @if is_there { " " a href=(section) { (visit.say.of("Lihat isiannya", "Go to the form")) } }
        }
    }
}

/// The page while the module is off.
fn off(visit: &Visit, open: &ExceptionsPage, of_exceptions: &Markup) -> Markup {
    let say = visit.say;
    html! {
        section.card aria-labelledby="off-title" {
            div.row {
                h2 #off-title { (say.of("Pembayaran online tidak aktif", "Online payment is off")) }
                (pill(Tone::Calm, say.of("Tidak aktif", "Off")))
            }
            p {
                (say.of(
                    "Saldo, transaksi dan pencairan tampil di sini selama pembayaran online aktif. Bila pernah aktif, semuanya tetap tersimpan dan pencairan yang sudah diminta tetap diproses.",
                    "Balance, transactions and payouts are shown here while online payment is on. If it has been on before, all of it is kept, and payouts that were asked for are still processed.",
                ))
            }
            div.actions { a.button href=(visit.to("/dashboard/integrations")) { (say.of("Buka integrasi", "Go to integrations")) } }
        }
        @if !open.exceptions.is_empty() { (of_exceptions) }
    }
}

async fn on(
    host: &Host,
    seller: &Seller,
    wanted: &Wanted<'_>,
    open: &ExceptionsPage,
    of_exceptions: &Markup,
    once_text: &str,
) -> Result<Markup, Turn> {
    let say = seller.visit.say;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let balance = commands.payout_balance(account).await?;
    let bank = commands.bank_account(account).await?;
    let newest = payouts::newest(seller).await?;
    let history = chart::read(commands, account, balance.ledger_balance, host.ports.clock.now()).await?;
    let Period { from, before, .. } = wanted.period;
    let filter = EntryFilter { code: wanted.code, from, before, ..EntryFilter::default() };
    let limit = Limit::parse(Some(ENTRIES_ON_A_PAGE))?;
    let entries = commands.entries(account, &filter, wanted.cursor, limit).await?;
    Ok(html! {
        (figures(say, &balance))
        @if !open.exceptions.is_empty() { (of_exceptions) }
        section.card aria-labelledby="chart-title" {
            h2 #chart-title { (say.of("Saldo 30 hari terakhir", "Balance over the last 30 days")) }
            (chart::draw(say, &history))
        }
        div.grid.wide-left {
            (payouts::section(seller, &balance, &bank, &newest, wanted.refused, once_text))
            (payouts::bank_section(seller, &bank, wanted.refused))
        }
        (transactions(&seller.visit, wanted, &entries))
        @if open.exceptions.is_empty() { (of_exceptions) }
    })
}

fn figures(say: Say, balance: &PayoutBalanceView) -> Markup {
    let figure = |name: &str, amount: i64, meaning: &str, is_main: bool| {
        html! {
            div.figure.main[is_main] {
                dt { (name) }
                dd.minus[amount < 0] { (rupiah(amount)) }
                dd.about { (meaning) }
            }
        }
    };
    html! {
        dl.figures {
            (figure(
                say.of("Bisa dicairkan", "Available"),
                balance.available,
                say.of("Saldo dikurangi yang sedang dicairkan", "The balance less what is being paid out"),
                true,
            ))
            (figure(
                say.of("Saldo", "Balance"),
                balance.ledger_balance,
                say.of("Pembayaran online dikurangi biaya dan pencairan", "Online payments less fees and payouts"),
                false,
            ))
            (figure(
                say.of("Sedang dicairkan", "Being paid out"),
                balance.pending.get(),
                say.of("Sudah diminta, belum dibayarkan", "Requested and not paid yet"),
                false,
            ))
        }
        @if balance.available < 0 {
            p.honest {
                (say.of(
                    "Angkanya di bawah nol karena ada penyesuaian, misalnya pengembalian kepada pembeli. Pencairan baru bisa diminta setelah angkanya di atas nol lagi.",
                    "It is below zero because of an adjustment, such as money given back to a buyer. Payouts can be requested once it is above zero again.",
                ))
            }
        }
    }
}

fn transactions(visit: &Visit, wanted: &Wanted<'_>, entries: &EntriesPage) -> Markup {
    let say = visit.say;
    let code = wanted.code.map_or("", EntryCode::as_str);
    let [from, to] = wanted.days.map(Option::unwrap_or_default);
    let address = |path: &str, more: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let chosen = [("code", code), ("from", from), ("to", to)];
        query.extend_pairs(chosen.iter().chain(more).filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        visit.to(&if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
    };
    html! {
        section.card #transactions aria-labelledby="transactions-title" {
            div.row {
                h2 #transactions-title { (say.of("Transaksi", "Transactions")) }
                span.small {
                    a href=(address(CSV_PATH, &[("separator", "semicolon"), ("bom", "true")])) download {
                        (say.of("Unduh untuk spreadsheet (CSV)", "Download for a spreadsheet (CSV)"))
                    }
                    " · "
                    a href=(address(CSV_PATH, &[("separator", "comma"), ("bom", "true")])) download {
                        (say.of("dengan koma", "with commas"))
                    }
                }
            }
            form.filters method="get" action=(visit.to(&format!("{PATH}#transactions"))) {
                div.field {
                    label for="code" { (say.of("Jenis", "Kind")) }
                    select #code name="code" {
                        option value="" { (say.of("Semua", "All")) }
                        @for one in EntryCode::ALL { option value=(one.as_str()) selected[Some(one) == wanted.code] { (say.entry(one)) } }
                    }
                }
                (day(visit, "from", say.of("Dari tanggal (WIB)", "From (WIB)"), from))
                (day(visit, "to", say.of("Sampai tanggal (WIB)", "To (WIB)"), to))
                button.secondary type="submit" { (say.of("Tampilkan", "Show")) }
            }
            @if entries.entries.is_empty() {
                p.empty { (say.of("Tidak ada transaksi.", "There are no transactions.")) }
            } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { (say.of("Transaksi", "Transaction")) }
                            th.right scope="col" { (say.of("Jumlah", "Amount")) }
                        }
                    }
                    tbody { @for entry in &entries.entries { (row(visit, entry)) } }
                }
            }
            @if wanted.cursor.is_some() || entries.cursor.is_some() {
                div.actions {
                    @if wanted.cursor.is_some() {
                        a.button.secondary href=(address(PATH, &[]) + "#transactions") { (say.of("Terbaru", "Newest")) }
                    }
                    @if let Some(cursor) = &entries.cursor {
                        a.button.secondary href=(address(PATH, &[("cursor", cursor)]) + "#transactions") { (say.of("Berikutnya", "Next page")) }
                    }
                }
            }
        }
    }
}

/// A day to choose; the format is for browsers that have no picker.
fn day(visit: &Visit, name: &str, label: &str, value: &str) -> Markup {
    let format = visit.say.of("Tahun-bulan-tanggal, misalnya 2026-11-30", "Year-month-day, such as 2026-11-30");
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="date" value=(value) placeholder="2026-11-30" title=(format) pattern="[0-9]{4}-[0-9]{2}-[0-9]{2}";
        }
    }
}

fn row(visit: &Visit, entry: &EntryView) -> Markup {
    let say = visit.say;
    let is_credit = entry.direction == Direction::Credit;
    html! {
        tr {
            td {
                span.strong { (say.entry(entry.code)) }
                br;
                span.muted.small { (say.moment(entry.created_at)) (about(visit, entry)) }
            }
            td.right.money.minus[!is_credit] {
                @if is_credit { "+" (entry.amount.to_string()) } @else { (rupiah(entry.amount.get().saturating_neg())) }
            }
        }
    }
}

/// What a transaction comes from.
fn about(visit: &Visit, entry: &EntryView) -> Markup {
    let say = visit.say;
    match entry.source_type {
        SourceType::Payout => {
            let address = visit.to(&format!("{}/{}", payouts::LIST_PATH, entry.source_id));
            html! { " · " a href=(address) { (say.of("Lihat pencairan", "See the payout")) } }
        }
        SourceType::CheckoutSession | SourceType::Adjustment => {
            let description = entry.description.as_deref().map(|text| described(say, entry.source_type, text));
            html! { @if let Some(description) = description { " · " (description) } }
        }
    }
}

/// The ledger's own words for an order are English; an adjustment's reason is what the operator wrote.
fn described(say: Say, source: SourceType, description: &str) -> String {
    let number = description.strip_prefix("Order ").filter(|_| source == SourceType::CheckoutSession);
    match number {
        Some(number) => format!("{} #{number}", say.of("Pesanan", "Order")),
        None => description.to_owned(),
    }
}

/// The same as a CSV, as the API answers it.
async fn csv(seller: Seller, version: Version, query: Query) -> Shown {
    gate(&seller).await?;
    Ok(export::entries(Enabled(seller.caller), version, query.filled()).await?)
}
