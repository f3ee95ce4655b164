//! The transactions: the list with its filters, and the download.

use axum::http::Version;
use maud::{Markup, html};
use serront_core::funds::ledger::{Direction, EntryCode, SourceType};
use serront_core::service::EntriesPage;
use serront_core::views::EntryView;

use super::form::{PATH, gate};
use super::payouts::LIST_PATH as PAYOUTS_PATH;
use crate::auth::Enabled;
use crate::downloads::ledger_csv;
use crate::pages::parts::choices;
use crate::pages::say::{Say, rupiah};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Visit};
use crate::query::{Period, Query};

pub(super) const CSV_PATH: &str = "/dashboard/payments/entries.csv";
/// Transactions on a page: what a phone scrolls through, below the rest of the page.
pub(super) const ENTRIES_ON_A_PAGE: &str = "15";

#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) code: Option<EntryCode>,
    /// The days as they were given.
    pub(super) days: [Option<&'a str>; 2],
    pub(super) period: Period,
    pub(super) cursor: Option<&'a str>,
}

pub(super) fn section(visit: &Visit, wanted: &Wanted<'_>, entries: &EntriesPage) -> Markup {
    let say = visit.say;
    let code = wanted.code.map_or("", EntryCode::as_str);
    let [from, to] = wanted.days.map(Option::unwrap_or_default);
    let address = |path: &str, more: &[(&str, &str)]| {
        visit.link(path, [("code", code), ("from", from), ("to", to)].into_iter().chain(more.iter().copied()))
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
                (choices(say, "code", say.of("Jenis", "Kind"), code, EntryCode::ALL.map(|one| (one.as_str(), say.entry(one)))))
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

/// The field of a day. The format is for browsers without a picker.
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

fn about(visit: &Visit, entry: &EntryView) -> Markup {
    let say = visit.say;
    match entry.source_type {
        SourceType::Payout => {
            let address = visit.to(&format!("{}/{}", PAYOUTS_PATH, entry.source_id));
            html! { " · " a href=(address) { (say.of("Lihat pencairan", "See the payout")) } }
        }
        SourceType::CheckoutSession | SourceType::Adjustment => {
            let description = entry.description.as_deref().map(|text| described(say, entry.source_type, text));
            html! { @if let Some(description) = description { " · " (description) } }
        }
    }
}

/// Translates the ledger's description of an order. An adjustment's reason stays as the operator wrote it.
fn described(say: Say, source: SourceType, description: &str) -> String {
    let number = description.strip_prefix("Order ").filter(|_| source == SourceType::CheckoutSession);
    match number {
        Some(number) => format!("{} #{number}", say.of("Pesanan", "Order")),
        None => description.to_owned(),
    }
}

/// The same CSV as from the API.
pub(super) async fn csv(seller: Seller, version: Version, query: Query) -> Shown {
    gate(&seller).await?;
    Ok(ledger_csv(Enabled(seller.caller), version, query.filled()).await?)
}
