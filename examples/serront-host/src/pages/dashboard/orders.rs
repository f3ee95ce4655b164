//! The seller's orders: those that await the check first, then all of them, and one of them whole.

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::decide::OrderPatch;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::OrderId;
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::search::search_words;
use serront_core::snapshots::OrderFilter;
use serront_core::views::SellerOrder;

use super::super::Shown;
use super::super::layout::{Section, dashboard};
use super::super::parts::{Field, Input, alert, facts, hidden, more, notice, payment_pill, work_pill};
use super::super::session::Seller;
use super::super::visit::{Trouble, Turn, Visit};
use super::question::Question;
use crate::auth::Id;
use crate::body::Intake;
use crate::query::Query;
use crate::state::Host;

/// How many orders a page lists: what a phone scrolls through, and far below 50 kB.
const ORDERS_ON_A_PAGE: &str = "20";
/// How many records of the history are shown: a buyer can add to it without end.
const RECORDS_SHOWN: usize = 30;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route("/dashboard", get(list))
        .route("/dashboard/orders/{id}", get(detail))
        .route("/dashboard/orders/{id}/confirm", get(question).post(confirm))
        .route("/dashboard/orders/{id}/rotate-token", get(rotation).post(rotate_token))
        .route("/dashboard/orders/{id}/quote", get(back).post(quote))
        .route("/dashboard/orders/{id}/status", get(back).post(status))
        .route("/dashboard/orders/{id}/proof", get(proof))
}

async fn list(seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let (status, payment, words) = (query.one("status")?, query.one("paymentStatus")?, query.one("q")?);
    let (status, payment, words) = (status.unwrap_or(""), payment.unwrap_or(""), words.unwrap_or(""));
    let filter = OrderFilter {
        status: WorkStatus::parse(status),
        payment_status: PaymentStatus::parse(payment),
        service_id: None,
        words: search_words(words)?,
    };
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let limit = Limit::parse(Some(ORDERS_ON_A_PAGE))?;
    let cursor = query.one("cursor")?;
    let is_filtered = filter != OrderFilter::default() || cursor.is_some();
    let (awaiting, more_await) = if is_filtered {
        (Vec::new(), false)
    } else {
        let claimed = OrderFilter { payment_status: Some(PaymentStatus::PaymentClaimed), ..OrderFilter::default() };
        let page = commands.orders(account, &claimed, None, limit).await?;
        (page.orders, page.cursor.is_some())
    };
    let page = commands.orders(account, &filter, cursor, limit).await?;
    let body = html! {
        h1 { (say.of("Pesanan", "Orders")) }
        @if !awaiting.is_empty() {
            section.card #awaiting aria-labelledby="awaiting-title" {
                h2 #awaiting-title { (say.of("Menunggu pengecekan Anda", "Awaiting your check")) }
                p.muted { (say.of("Pembeli menyatakan sudah transfer. Cek rekening Anda, lalu konfirmasi.", "These buyers say that they have paid. Look at your bank account, then confirm.")) }
                (rows(&seller.visit, &awaiting))
                @if more_await {
                    p { a.button.secondary href=(seller.visit.to("/dashboard?paymentStatus=payment_claimed")) { (say.of("Lihat semua yang menunggu", "See all that wait")) } }
                }
            }
        }
        section.card aria-labelledby="all-title" {
            h2 #all-title { (say.of("Semua pesanan", "All orders")) }
            (filters(&seller.visit, status, payment, words))
            @if page.orders.is_empty() {
                p.empty {
                    @if is_filtered { (say.of("Tidak ada pesanan yang cocok.", "No order matches.")) }
                    @else { (say.of("Belum ada pesanan. Bagikan alamat etalase Anda kepada pembeli.", "There are no orders yet. Share your storefront's address with buyers.")) }
                }
            } @else { (rows(&seller.visit, &page.orders)) }
            (more(&seller.visit, "/dashboard", &[("status", status), ("paymentStatus", payment), ("q", words)], page.cursor.as_deref()))
        }
    };
    Ok(dashboard(&seller, Section::Orders, say.of("Pesanan", "Orders"), body))
}

fn filters(visit: &Visit, status: &str, payment: &str, words: &str) -> Markup {
    let say = visit.say;
    html! {
        form.filters method="get" action=(visit.to("/dashboard")) role="search" {
            div.field {
                label for="q" { (say.of("Cari", "Search")) }
                input #q name="q" type="search" value=(words) maxlength="200";
            }
            div.field {
                label for="paymentStatus" { (say.of("Pembayaran", "Payment")) }
                select #paymentStatus name="paymentStatus" {
                    option value="" { (say.of("Semua", "All")) }
                    @for one in PaymentStatus::ALL { option value=(one.as_str()) selected[one.as_str() == payment] { (say.payment(one)) } }
                }
            }
            div.field {
                label for="status" { (say.of("Pengerjaan", "Work")) }
                select #status name="status" {
                    option value="" { (say.of("Semua", "All")) }
                    @for one in WorkStatus::ALL { option value=(one.as_str()) selected[one.as_str() == status] { (say.work(one)) } }
                }
            }
            button.secondary type="submit" { (say.of("Tampilkan", "Show")) }
        }
    }
}

/// Orders as a list of links.
fn rows(visit: &Visit, orders: &[SellerOrder]) -> Markup {
    let say = visit.say;
    html! {
        ul.rows {
            @for order in orders {
                li {
                    a.item href=(visit.to(&format!("/dashboard/orders/{}", order.id))) {
                        span.title { "#" (order.number) " · " (order.buyer_name) }
                        span.price { @if order.quoted_price_idr.is_zero() { (say.of("Belum ada harga", "No price yet")) } @else { (order.quoted_price_idr.to_string()) } }
                        span.muted.small { (what(order)) " · " (say.day(order.created_at)) }
                        span.pills { (payment_pill(say, order.payment_status)) (work_pill(say, order.status)) }
                    }
                }
            }
        }
    }
}

fn what(order: &SellerOrder) -> String {
    match &order.package_name {
        Some(package) => format!("{} · {package}", order.service.name),
        None => order.service.name.clone(),
    }
}

async fn detail(seller: Seller, Id(id): Id<OrderId>, query: Query) -> Shown {
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("confirmed") => Some(say.of(
            "Pembayaran dikonfirmasi. Pembeli dikabari lewat email.",
            "The payment is confirmed. The buyer is told by e-mail.",
        )),
        Some("quoted") => Some(say.of("Harga disimpan.", "The price is saved.")),
        Some("rotated") => Some(say.of(
            "Alamat halaman pembeli diganti. Kirimkan alamat barunya kepada pembeli.",
            "The buyer's page has another address. Send the buyer the new one.",
        )),
        Some("moved") => Some(say.of("Pengerjaan diperbarui.", "The work's state is updated.")),
        _ => None,
    };
    show(&seller, &order, done, (None, "")).await
}

/// What was typed as the price, if it was refused, stands there again.
async fn show(
    seller: &Seller,
    order: &SellerOrder,
    done: Option<&str>,
    (trouble, typed): (Option<&Trouble>, &str),
) -> Shown {
    let visit = &seller.visit;
    let say = visit.say;
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
            h1 { (what(order)) }
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
    Ok(dashboard(seller, Section::Orders, &title, body))
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
                p.honest { (say.of("Gambar bisa dipalsukan. Yang menentukan adalah uang yang masuk di rekening Anda.", "A picture can be forged. What counts is the money in your bank account.")) }
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
    let visit = &seller.visit;
    let say = visit.say;
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
    let visit = &seller.visit;
    let say = visit.say;
    let next = WorkStatus::ALL.into_iter().filter(|to| order.status.go(*to).is_ok());
    html! {
        section.card aria-labelledby="work-title" {
            h2 #work-title { (say.of("Pengerjaan", "Work")) }
            p { (say.of("Sekarang: ", "Now: ")) (work_pill(say, order.status)) }
            @if order.status.go(WorkStatus::Canceled).is_err() {
                p.muted { (say.of("Tidak ada langkah berikutnya.", "There is no next step.")) }
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

/// The audit trail, the newest first.
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

/// Asks before a step that nothing takes back.
async fn question(seller: Seller, Id(id): Id<OrderId>) -> Shown {
    let say = seller.visit.say;
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    let path = format!("/dashboard/orders/{id}");
    if order.payment_status == PaymentStatus::PaymentConfirmed {
        return Ok(seller.visit.go(&path));
    }
    let amount = order.quoted_price_idr;
    let body = html! {
        p {
            @if amount.is_zero() {
                (say.of(
                    format!("Apakah Anda sudah melihat uang dari {} masuk di rekening Anda?", order.buyer_name),
                    format!("Have you seen the money of {} in your bank account?", order.buyer_name),
                ))
            } @else {
                (say.of(
                    format!("Apakah Anda sudah melihat {amount} dari {} masuk di rekening Anda?", order.buyer_name),
                    format!("Have you seen {amount} of {} in your bank account?", order.buyer_name),
                ))
            }
        }
        p.honest {
            (say.of(
                "Konfirmasi tidak bisa ditarik kembali. Pembeli langsung dikabari, dan rekening Anda tidak ditampilkan lagi.",
                "This can't be taken back. The buyer is told at once, and your bank accounts are no longer shown.",
            ))
        }
    };
    let question = Question {
        section: Section::Orders,
        title: say.of("Konfirmasi pembayaran", "Confirm the payment"),
        body,
        action: &format!("{path}/confirm"),
        once: None,
        yes: say.of("Ya, uangnya sudah masuk", "Yes, the money is there"),
        is_destructive: false,
        no: say.of("Belum, kembali", "Not yet, go back"),
        back: &path,
    };
    Ok(question.show(&seller))
}

/// Asks before the buyer's address stops working.
async fn rotation(seller: Seller, Id(id): Id<OrderId>) -> Shown {
    let say = seller.visit.say;
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    let path = format!("/dashboard/orders/{id}");
    let body = html! {
        p {
            (say.of(
                format!("Lakukan ini bila alamat halaman {} sampai ke orang lain.", order.buyer_name),
                format!("Do this if the address of {}'s page got to somebody else.", order.buyer_name),
            ))
        }
        p.honest {
            (say.of(
                "Alamat lama langsung tidak berlaku, juga bagi pembeli: kirimkan alamat barunya. Pembayaran online yang sedang berjalan tetap tercatat.",
                "The old address stops working at once, for the buyer, too: send the new one. An online payment that is under way still counts.",
            ))
        }
    };
    let question = Question {
        section: Section::Orders,
        title: say.of("Ganti alamat halaman pembeli", "Change the address of the buyer's page"),
        body,
        action: &format!("{path}/rotate-token"),
        once: Some(seller.fresh_once()?),
        yes: say.of("Ya, ganti alamatnya", "Yes, change the address"),
        is_destructive: false,
        no: say.of("Kembali", "Go back"),
        back: &path,
    };
    Ok(question.show(&seller))
}

async fn rotate_token(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    // What is not there goes before what is not well filled in.
    commands.order(account, id).await?;
    let request = form.once(account, &format!("/dashboard/orders/{id}/rotate-token"))?;
    let rotated = commands.rotate_token(account, id, &seller.caller.actor(), request).await.map(drop);
    finish(&seller, id, rotated, "rotated").await
}

async fn confirm(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let confirmed = commands.confirm_payment(account, id, &seller.caller.actor(), None, None).await.map(drop);
    finish(&seller, id, confirmed, "confirmed").await
}

/// Where a form leads whose page is reloaded, or read in the other language, after a refusal.
async fn back(seller: Seller, Id(id): Id<OrderId>) -> Response {
    seller.visit.go(&format!("/dashboard/orders/{id}"))
}

async fn quote(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let quoted_price_idr = match form.amount("quotedPriceIdr") {
        Ok(amount) => Some(amount),
        Err(invalid) => {
            return again(&seller, id, &Trouble::invalid(seller.visit.say, invalid), form.text("quotedPriceIdr")).await;
        }
    };
    change(&seller, id, OrderPatch { status: None, quoted_price_idr }, "quoted").await
}

async fn status(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let status = WorkStatus::parse(form.text("status"))
        .ok_or_else(|| Invalid::new("status", "must be a state of the work track"))?;
    change(&seller, id, OrderPatch { status: Some(status), quoted_price_idr: None }, "moved").await
}

async fn change(seller: &Seller, id: OrderId, patch: OrderPatch, done: &str) -> Shown {
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let changed = commands.patch_order(account, id, patch, &seller.caller.actor(), None).await.map(drop);
    finish(seller, id, changed, done).await
}

/// Back to the order, with what was done or why not.
async fn finish(
    seller: &Seller,
    id: OrderId,
    outcome: Result<(), serront_core::service::Failure>,
    done: &str,
) -> Shown {
    match outcome {
        Ok(()) => Ok(seller.visit.go(&format!("/dashboard/orders/{id}?done={done}"))),
        Err(failure) => again(seller, id, &Trouble::of(seller.visit.say, failure)?, "").await,
    }
}

async fn again(seller: &Seller, id: OrderId, trouble: &Trouble, typed: &str) -> Shown {
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    Ok(trouble.on(show(seller, &order, None, (Some(trouble), typed)).await?))
}

/// The image, as the API has it.
async fn proof(seller: Seller, id: Id<OrderId>) -> Result<Response, Turn> {
    Ok(crate::routes::orders::proof(seller.caller, id).await?)
}
