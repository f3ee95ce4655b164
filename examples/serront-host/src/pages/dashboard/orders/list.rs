//! The orders: those that wait for the seller's review, then all of them with filters.

use maud::{Markup, html};
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::page::Limit;
use serront_core::primitives::search::search_words;
use serront_core::snapshots::OrderFilter;
use serront_core::views::SellerOrder;

use crate::pages::layout::Section;
use crate::pages::parts::{choices, more, ordered, payment_pill, work_pill};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Visit};
use crate::query::Query;

/// Orders on a page: what a phone scrolls through, and far below 50 kB.
const ORDERS_ON_A_PAGE: &str = "20";

pub(super) async fn list(seller: Seller, query: Query) -> Shown {
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
    let next = page.cursor.as_deref().map(|cursor| {
        let parameters = [("status", status), ("paymentStatus", payment), ("q", words), ("cursor", cursor)];
        seller.visit.link("/dashboard", parameters)
    });
    let body = html! {
        h1 { (say.of("Pesanan", "Orders")) }
        @if !awaiting.is_empty() {
            section.card #awaiting aria-labelledby="awaiting-title" {
                h2 #awaiting-title { (say.of("Menunggu pengecekan Anda", "Waiting for your review")) }
                p.muted { (say.of("Pembeli menyatakan sudah transfer. Cek rekening Anda, lalu konfirmasi.", "These buyers report that they have paid. Check your bank account, then confirm.")) }
                (rows(&seller.visit, &awaiting))
                @if more_await {
                    p { a.button.secondary href=(seller.visit.to("/dashboard?paymentStatus=payment_claimed")) { (say.of("Lihat semua yang menunggu", "See all waiting orders")) } }
                }
            }
        }
        section.card aria-labelledby="all-title" {
            h2 #all-title { (say.of("Semua pesanan", "All orders")) }
            (filters(&seller.visit, status, payment, words))
            @if page.orders.is_empty() {
                p.empty {
                    @if is_filtered { (say.of("Tidak ada pesanan yang cocok.", "No matching orders.")) }
                    @else { (say.of("Belum ada pesanan. Bagikan alamat etalase Anda kepada pembeli.", "There are no orders yet. Share your storefront's address with buyers.")) }
                }
            } @else { (rows(&seller.visit, &page.orders)) }
            (more(say, next))
        }
    };
    Ok(seller.page(Section::Orders, say.of("Pesanan", "Orders"), body))
}

fn filters(visit: &Visit, status: &str, payment: &str, words: &str) -> Markup {
    let say = visit.say;
    html! {
        form.filters method="get" action=(visit.to("/dashboard")) role="search" {
            div.field {
                label for="q" { (say.of("Cari", "Search")) }
                input #q name="q" type="search" value=(words) maxlength="200";
            }
            (choices(say, "paymentStatus", say.of("Pembayaran", "Payment"), payment, PaymentStatus::ALL.map(|one| (one.as_str(), say.payment(one)))))
            (choices(say, "status", say.of("Pengerjaan", "Work"), status, WorkStatus::ALL.map(|one| (one.as_str(), say.work(one)))))
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
                        span.muted.small { (ordered(&order.service.name, order.package_name.as_deref())) " · " (say.day(order.created_at)) }
                        span.pills { (payment_pill(say, order.payment_status)) (work_pill(say, order.status)) }
                    }
                }
            }
        }
    }
}
