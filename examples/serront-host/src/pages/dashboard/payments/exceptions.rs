//! Exceptions: money that arrived online but could not confirm its order. They are shown even if the module is off, since the
//! money has arrived.

use maud::{Markup, html};
use serront_core::online::exception::ExceptionStatus;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::primitives::ids::ExceptionId;
use serront_core::primitives::page::Limit;
use serront_core::service::ExceptionsPage;
use serront_core::views::ExceptionView;

use super::form::{PATH, Place, Refused};
use crate::pages::layout::Section;
use crate::pages::parts::{Tone, hidden, more, once, pill};
use crate::pages::say::Say;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;

/// The list of resolved exceptions.
pub(super) const LIST_PATH: &str = "/dashboard/payments/exceptions";
/// Exceptions on a page; each open one has a form.
const ON_A_PAGE: &str = "10";

/// The exceptions in this state, newest first.
async fn read(seller: &Seller, status: ExceptionStatus, cursor: Option<&str>) -> Result<ExceptionsPage, Turn> {
    let limit = Limit::parse(Some(ON_A_PAGE))?;
    Ok(seller.caller.commands().exceptions(seller.caller.account(), Some(status), cursor, limit).await?)
}

/// The open exceptions, newest first.
pub(super) async fn open(seller: &Seller) -> Result<ExceptionsPage, Turn> {
    read(seller, ExceptionStatus::Open, None).await
}

pub(super) fn section(seller: &Seller, open: &ExceptionsPage, refused: Option<&Refused>, once_text: &str) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    html! {
        section.card #exceptions aria-labelledby="exceptions-title" {
            h2 #exceptions-title { (say.of("Perlu Anda tindak lanjuti", "Needs your attention")) }
            @if open.exceptions.is_empty() {
                p.empty { (say.of("Tidak ada. Semua uang yang masuk cocok dengan pesanannya.", "Nothing. All payments match their orders.")) }
            } @else {
                p.muted {
                    (say.of(
                        "Uang ini masuk lewat pembayaran online, tetapi tidak bisa mengonfirmasi pesanannya. Uangnya sudah ada di saldo Anda.",
                        "These payments arrived online but could not confirm their orders. The money is in your balance.",
                    ))
                }
                ul.cases { @for exception in &open.exceptions { (case(seller, exception, refused, once_text)) } }
                @if open.cursor.is_some() {
                    p.muted { (say.of("Masih ada lagi. Yang lain tampil setelah ini diselesaikan.", "There are more. They are shown after you resolve these.")) }
                }
            }
            p.small { a href=(visit.to(LIST_PATH)) { (say.of("Lihat yang sudah selesai", "See resolved exceptions")) } }
        }
    }
}

fn case(seller: &Seller, exception: &ExceptionView, refused: Option<&Refused>, once_text: &str) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let again = Refused::at(refused, Place::Exception(exception.id));
    let typed = again.map_or("", |(form, _)| form.text("note"));
    html! {
        li {
            (head(visit, exception, &html! { h3 { (say.exception(exception.kind)) } }))
            p { (advice(say, exception.kind)) }
            form method="post" action=(visit.to(&format!("{LIST_PATH}/{}/resolve", exception.id))) data-once="" {
                (hidden(seller))
                (once(once_text))
                (note_field(say, exception.id, typed, again.map(|(_, trouble)| trouble)))
                div.actions { button.secondary type="submit" { (say.of("Tandai selesai", "Mark as resolved")) } }
            }
        }
    }
}

/// The heading's level depends on the page.
fn head(visit: &Visit, exception: &ExceptionView, title: &Markup) -> Markup {
    let say = visit.say;
    let order = visit.to(&format!("/dashboard/orders/{}", exception.order_id));
    html! {
        div.row { (title) span.price { (exception.amount.to_string()) } }
        p.muted.small {
            (say.moment(exception.created_at)) " · " a href=(order) { (say.of("Lihat pesanan", "See the order")) }
        }
    }
}

fn advice(say: Say, kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::AlreadyConfirmed => say.of(
            "Mungkin pembeli membayar dua kali, misalnya sudah transfer manual lebih dulu. Hubungi pembeli dan sepakati pengembaliannya.",
            "The buyer may have paid twice, for example by a manual transfer first. Contact the buyer and agree on a refund.",
        ),
        ExceptionKind::OrderClosed => say.of(
            "Pembeli membayar setelah pesanan ditutup. Sepakati dengan pembeli: kembalikan uangnya, atau buat pesanan baru.",
            "The buyer paid after the order was closed. Agree with the buyer: refund the money, or take a new order.",
        ),
        ExceptionKind::AmountMismatch => say.of(
            "Pesanan belum dikonfirmasi. Selesaikan selisihnya dengan pembeli, lalu konfirmasi sendiri di halaman pesanan.",
            "The order is not confirmed. Settle the difference with the buyer, then confirm it yourself on the order's page.",
        ),
    }
}

/// The note's field. A page has several, so the id differs from the name.
fn note_field(say: Say, id: ExceptionId, typed: &str, trouble: Option<&Trouble>) -> Markup {
    let is_wrong = trouble.is_some_and(|trouble| trouble.param.as_deref() == Some("note"));
    let (field, hint, error) = (format!("note-{id}"), format!("note-{id}-hint"), format!("note-{id}-error"));
    let described = if is_wrong { format!("{error} {hint}") } else { hint.clone() };
    let rule = say.of("Misalnya: sudah dikembalikan lewat transfer", "For example: refunded by transfer");
    html! {
        div.field {
            label for=(field) { (say.of("Bagaimana Anda menyelesaikannya?", "How did you resolve it?")) }
            textarea id=(field) name="note" rows="2" required aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described) { (typed) }
            @if is_wrong { p.error #(error) { (say.of("Tulis catatannya, paling banyak 2.000 huruf.", "Write a note of at most 2,000 characters.")) } }
            p.hint #(hint) { (rule) "." }
        }
    }
}

pub(super) async fn list(seller: Seller, query: Query) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let resolved = read(&seller, ExceptionStatus::Resolved, query.one("cursor")?).await?;
    let title = say.of("Masalah yang sudah selesai", "Resolved exceptions");
    let body = html! {
        p { a href=(visit.to(PATH)) { "← " (say.of("Pembayaran", "Payments")) } }
        h1 { (title) }
        section.card aria-label=(title) {
            @if resolved.exceptions.is_empty() { p.empty { (say.of("Belum ada.", "There are none yet.")) } }
            @else {
                ul.cases {
                    @for exception in &resolved.exceptions {
                        li {
                            (head(visit, exception, &html! { h2 { (say.exception(exception.kind)) } }))
                            @if let Some(note) = &exception.note { p.instructions.lines { (note) } }
                            p.muted.small {
                                (pill(Tone::Good, say.exception_status(exception.status)))
                                @if let Some(at) = exception.resolved_at { " " (say.moment(at)) }
                            }
                        }
                    }
                }
            }
            (more(say, resolved.cursor.as_deref().map(|cursor| visit.link(LIST_PATH, [("cursor", cursor)]))))
        }
    };
    Ok(seller.page(Section::Payments, title, body))
}
