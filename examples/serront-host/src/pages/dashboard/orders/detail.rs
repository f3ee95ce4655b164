//! One order: its state, receipt, buyer, price, work and history.

use axum::response::Response;
use maud::{Markup, html};
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::OrderId;
use serront_core::views::SellerOrder;

use crate::auth::Id;
use crate::downloads::receipt;
use crate::pages::layout::Section;
use crate::pages::parts::{Field, Input, alert, facts, hidden, notice, ordered, payment_pill, work_pill};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;

/// Records of the history that are shown: a buyer can add any number.
const RECORDS_SHOWN: usize = 30;

pub(super) async fn detail(seller: Seller, Id(id): Id<OrderId>, query: Query) -> Shown {
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("confirmed") => Some(say.of(
            "Pembayaran dikonfirmasi. Pembeli dikabari lewat email.",
            "The payment is confirmed. The buyer is notified by e-mail.",
        )),
        Some("quoted") => Some(say.of("Harga disimpan.", "The price was saved.")),
        Some("rotated") => Some(say.of(
            "Alamat halaman pembeli diganti. Kirimkan alamat barunya kepada pembeli.",
            "The buyer's page has a new address. Send it to the buyer.",
        )),
        Some("moved") => Some(say.of("Pengerjaan diperbarui.", "The work's state was updated.")),
        _ => None,
    };
    show(&seller, &order, done, (None, "")).await
}

/// Shows the order. After a refusal, `typed` fills the price again.
async fn show(
    seller: &Seller,
    order: &SellerOrder,
    done: Option<&str>,
    (trouble, typed): (Option<&Trouble>, &str),
) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let history = seller.caller.commands().audit(order.account_id, order.id).await?;
    let is_confirmed = order.payment_status == PaymentStatus::PaymentConfirmed;
    let path = |end: &str| visit.to(&format!("/dashboard/orders/{}{end}", order.id));
    let buyer_page = visit.to(&format!("/o/{}", order.access_token.reveal()));
    let title = say.of(format!("Pesanan #{}", order.number), format!("Order #{}", order.number));
    let body = html! {
        p { a href=(visit.to("/dashboard")) { "← " (say.of("Semua pesanan", "All orders")) } }
        (notice(done))
        (alert(trouble))
        section.card.summary {
            p.muted { (title) }
            h1 { (ordered(&order.service.name, order.package_name.as_deref())) }
            @if order.quoted_price_idr.is_zero() { p.amount.none { (say.of("Belum ada harga", "No price yet")) } }
            @else { p.amount { (order.quoted_price_idr.to_string()) } }
            dl.tracks {
                div { dt { (say.of("Pembayaran", "Payment")) } dd { (payment_pill(say, order.payment_status)) } }
                div { dt { (say.of("Pengerjaan", "Work")) } dd { (work_pill(say, order.status)) } }
            }
            @if !is_confirmed {
                p.actions { a.button href=(path("/confirm")) { (say.of("Konfirmasi pembayaran", "Confirm the payment")) } }
            }
        }
        div.grid.wide-left {
            div.grid {
                (receipt_card(visit, order, is_confirmed))
                (buyer_card(visit, order, &buyer_page))
            }
            div.grid {
                @if !is_confirmed { (quote_card(seller, order, trouble, typed)) }
                (work_card(seller, order))
                (history_card(visit, &history))
            }
        }
    };
    Ok(seller.page(Section::Orders, &title, body))
}

fn receipt_card(visit: &Visit, order: &SellerOrder, is_confirmed: bool) -> Markup {
    let say = visit.say;
    let image = visit.to(&format!("/dashboard/orders/{}/proof", order.id));
    html! {
        section.card aria-labelledby="receipt-title" {
            h2 #receipt-title { (say.of("Bukti transfer", "Receipt")) }
            @if order.has_proof {
                a href=(image) { img.proof src=(image) alt=(say.of("Bukti transfer dari pembeli; buka ukuran penuh", "The buyer's receipt; open it in full size")) loading="lazy"; }
            } @else {
                p.empty { (say.of("Pembeli tidak mengunggah bukti transfer.", "The buyer has not uploaded a receipt.")) }
            }
            @if !is_confirmed {
                p.honest { (say.of("Gambar bisa dipalsukan. Yang menentukan adalah uang yang masuk di rekening Anda.", "A picture can be forged. Only the money in your bank account counts.")) }
            }
        }
    }
}

fn buyer_card(visit: &Visit, order: &SellerOrder, buyer_page: &str) -> Markup {
    let say = visit.say;
    let (phone, date) = (order.buyer_phone.as_deref().unwrap_or("–"), order.preferred_date.as_deref().unwrap_or("–"));
    let placed = say.moment(order.created_at);
    html! {
        section.card aria-labelledby="buyer-title" {
            h2 #buyer-title { (say.of("Pembeli", "Buyer")) }
            (facts(&[
                (say.of("Nama", "Name"), &order.buyer_name),
                ("Email", &order.buyer_email),
                (say.of("Telepon", "Phone"), &phone),
                (say.of("Tanggal yang diinginkan", "Preferred date"), &date),
                (say.of("Dipesan", "Placed"), &placed),
            ]))
            @if let Some(notes) = &order.notes { p.instructions.lines { (notes) } }
            p { a href=(buyer_page) rel="noreferrer" { (say.of("Halaman pembeli", "The buyer's page")) } }
            p { a href=(visit.to(&format!("/dashboard/orders/{}/rotate-token", order.id))) { (say.of("Ganti alamat halaman pembeli", "Change the address of the buyer's page")) } }
        }
    }
}

fn quote_card(seller: &Seller, order: &SellerOrder, trouble: Option<&Trouble>, typed: &str) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let present =
        if order.quoted_price_idr.is_zero() { String::new() } else { order.quoted_price_idr.get().to_string() };
    let value = if typed.is_empty() { present } else { typed.to_owned() };
    let field = Field::text("quotedPriceIdr", say.of("Harga dalam rupiah", "Price in rupiah"), &value)
        .required()
        .rule(say.of("Angka tanpa desimal, misalnya 750.000", "A whole number, such as 750.000"))
        .input(Input::Amount);
    html! {
        section.card aria-labelledby="quote-title" {
            h2 #quote-title { (say.of("Harga", "Price")) }
            form method="post" action=(visit.to(&format!("/dashboard/orders/{}/quote", order.id))) data-once="" {
                (hidden(seller))
                (field.show(say, trouble))
                button.secondary type="submit" { (say.of("Simpan harga", "Save the price")) }
            }
        }
    }
}

fn work_card(seller: &Seller, order: &SellerOrder) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let next = WorkStatus::ALL.into_iter().filter(|to| order.status.go(*to).is_ok());
    html! {
        section.card aria-labelledby="work-title" {
            h2 #work-title { (say.of("Pengerjaan", "Work")) }
            p { (say.of("Sekarang: ", "Now: ")) (work_pill(say, order.status)) }
            @if order.status.go(WorkStatus::Canceled).is_err() {
                p.muted { (say.of("Tidak ada langkah berikutnya.", "There are no further steps.")) }
            } @else {
                form method="post" action=(visit.to(&format!("/dashboard/orders/{}/status", order.id))) data-once="" {
                    (hidden(seller))
                    div.field {
                        label for="status" { (say.of("Ubah menjadi", "Change to")) }
                        select #status name="status" { @for to in next { option value=(to.as_str()) { (say.work(to)) } } }
                    }
                    button.secondary type="submit" { (say.of("Perbarui", "Update")) }
                }
            }
        }
    }
}

/// The audit trail, newest first.
fn history_card(visit: &Visit, history: &[AuditRecord]) -> Markup {
    let say = visit.say;
    html! {
        section.card #history aria-labelledby="history-title" {
            h2 #history-title { (say.of("Riwayat", "History")) }
            ol.history {
                @for record in history.iter().rev().take(RECORDS_SHOWN) {
                    li {
                        p.strong { (say.act(&record.act)) }
                        @if let Some(note) = &record.note { p.lines { (note) } }
                        p.muted.small { (say.moment(record.at)) " · " (say.actor(&record.actor)) }
                    }
                }
            }
            @if history.len() > RECORDS_SHOWN {
                p.muted.small { (say.of(format!("dan {} catatan sebelumnya", history.len() - RECORDS_SHOWN), format!("and {} earlier records", history.len() - RECORDS_SHOWN))) }
            }
        }
    }
}

pub(super) async fn again(seller: &Seller, id: OrderId, trouble: &Trouble, typed: &str) -> Shown {
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    Ok(trouble.on(show(seller, &order, None, (Some(trouble), typed)).await?))
}

/// The same image as from the API.
pub(super) async fn proof(seller: Seller, id: Id<OrderId>) -> Result<Response, Turn> {
    Ok(receipt(seller.caller, id).await?)
}
