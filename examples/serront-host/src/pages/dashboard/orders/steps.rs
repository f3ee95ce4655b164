//! The forms on an order, and the questions before the steps that can't be undone.

use axum::response::Response;
use maud::html;
use serront_core::decide::OrderPatch;
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::OrderId;
use serront_core::primitives::rejection::Invalid;
use serront_core::service::Failure;

use super::detail::again;
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::dashboard::question::Question;
use crate::pages::layout::Section;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble};

/// Asks before the payment is confirmed.
pub(super) async fn question(seller: Seller, Id(id): Id<OrderId>) -> Shown {
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
                    format!("Have you seen the money from {} in your bank account?", order.buyer_name),
                ))
            } @else {
                (say.of(
                    format!("Apakah Anda sudah melihat {amount} dari {} masuk di rekening Anda?", order.buyer_name),
                    format!("Have you seen {amount} from {} in your bank account?", order.buyer_name),
                ))
            }
        }
        p.honest {
            (say.of(
                "Konfirmasi tidak bisa ditarik kembali. Pembeli langsung dikabari, dan rekening Anda tidak ditampilkan lagi.",
                "This can't be undone. The buyer is notified immediately, and your bank accounts are no longer shown.",
            ))
        }
    };
    let question = Question {
        section: Section::Orders,
        title: say.of("Konfirmasi pembayaran", "Confirm the payment"),
        body,
        action: &format!("{path}/confirm"),
        once: None,
        yes: say.of("Ya, uangnya sudah masuk", "Yes, the money has arrived"),
        is_destructive: false,
        no: say.of("Belum, kembali", "Not yet, go back"),
        back: &path,
    };
    Ok(question.show(&seller))
}

pub(super) async fn confirm(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let confirmed = commands.confirm_payment(account, id, &seller.caller.actor(), None, None).await.map(drop);
    finish(&seller, id, confirmed, "confirmed").await
}

/// Asks before the address of the buyer's page changes.
pub(super) async fn rotation(seller: Seller, Id(id): Id<OrderId>) -> Shown {
    let say = seller.visit.say;
    let order = seller.caller.commands().order(seller.caller.account(), id).await?;
    let path = format!("/dashboard/orders/{id}");
    let body = html! {
        p {
            (say.of(
                format!("Lakukan ini bila alamat halaman {} sampai ke orang lain.", order.buyer_name),
                format!("Do this if another person knows the address of {}'s page.", order.buyer_name),
            ))
        }
        p.honest {
            (say.of(
                "Alamat lama langsung tidak berlaku, juga bagi pembeli: kirimkan alamat barunya. Pembayaran online yang sedang berjalan tetap tercatat.",
                "The old address stops working immediately, also for the buyer: send them the new one. An online payment in progress is still recorded.",
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

pub(super) async fn rotate_token(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    // 404 precedes a refusal of the form.
    commands.order(account, id).await?;
    let request = form.once(account, &format!("/dashboard/orders/{id}/rotate-token"))?;
    let rotated = commands.rotate_token(account, id, &seller.caller.actor(), request).await.map(drop);
    finish(&seller, id, rotated, "rotated").await
}

pub(super) async fn quote(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let quoted_price_idr = match form.amount("quotedPriceIdr") {
        Ok(amount) => Some(amount),
        Err(invalid) => {
            return again(&seller, id, &Trouble::invalid(seller.visit.say, invalid), form.text("quotedPriceIdr")).await;
        }
    };
    change(&seller, id, OrderPatch { status: None, quoted_price_idr }, "quoted").await
}

pub(super) async fn status(seller: Seller, Id(id): Id<OrderId>, intake: Intake) -> Shown {
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

/// Redirects to the order with the result, or shows it with the refusal.
async fn finish(seller: &Seller, id: OrderId, outcome: Result<(), Failure>, done: &str) -> Shown {
    match outcome {
        Ok(()) => Ok(seller.visit.go(&format!("/dashboard/orders/{id}?done={done}"))),
        Err(failure) => again(seller, id, &Trouble::of(seller.visit.say, failure)?, "").await,
    }
}

/// GET at a form's address, from a reload or a language switch after a refusal: redirects to the order.
pub(super) async fn back(seller: Seller, Id(id): Id<OrderId>) -> Response {
    seller.visit.go(&format!("/dashboard/orders/{id}"))
}
