//! The order's page for the buyer: the amount due, how to pay it, and the order's state.
//!
//! Payment instructions are shown only until the payment is confirmed; after that the page is a receipt. The page's address is
//! the only credential, so caches must not store the page and search engines must not index it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use serront_core::accounts::key::AccessToken;
use serront_core::orders::payment::PaymentStatus;
use serront_core::orders::receipt::RECEIPT_BYTES_MAX;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::views::{BuyerOrder, PaymentInstructions};

use super::form;
use super::layout::{self, Area, Page};
use super::parts::{account_number, alert, facts, notice, ordered, payment_pill, work_pill};
use super::say::Say;
use super::visit::{Shown, Trouble, Visit};
use crate::auth::Id;
use crate::body::Intake;
use crate::query::Query;
use crate::state::Host;

const RECEIPT: &str = "receipt";
/// The file types of the upload: the accepted images, and a type that does not exist.
///
/// If a field accepts only images, Chrome for Android 14 and 15 opens the photo picker, which has no camera. A type that the
/// picker can't offer makes it open the general chooser, which has one. No file has this type, so nothing more can be chosen.
const ACCEPTED: &str = "image/png,image/jpeg,image/webp,image/gif,android/allow-camera";

/// The context of the page: why it is shown.
#[derive(Default)]
struct Context<'a> {
    /// The buyer returns from the checkout.
    is_back: bool,
    done: Option<&'a str>,
    trouble: Option<&'a Trouble>,
}

pub(super) async fn show(
    State(host): State<Arc<Host>>,
    visit: Visit,
    Id(token): Id<AccessToken>,
    query: Query,
) -> Shown {
    let order = host.commands().buyer_order(&token).await?;
    let context = Context { is_back: query.one("paid")?.is_some(), done: query.one("done")?, trouble: None };
    Ok(page(&visit, &token, &order, &context))
}

/// GET at a form's address, from a reload or a language switch after a refusal: redirects to the page.
pub(super) async fn back(visit: Visit, Id(token): Id<AccessToken>) -> Response {
    visit.go(&format!("/o/{}", token.reveal()))
}

pub(super) async fn claim(State(host): State<Arc<Host>>, visit: Visit, Id(token): Id<AccessToken>) -> Shown {
    match host.commands().claim_payment(&token).await {
        Ok(_) => Ok(visit.go(&format!("/o/{}?done=claimed", token.reveal()))),
        Err(failure) => again(&host, &visit, &token, failure, "").await,
    }
}

/// Sends the buyer to the checkout, with a page that refreshes to it. A redirect would not work: the policy `form-action 'self'`
/// also applies to redirects after a form.
pub(super) async fn pay(State(host): State<Arc<Host>>, visit: Visit, Id(token): Id<AccessToken>) -> Shown {
    let checkout = match host.online().pay(&token).await {
        Ok(checkout) => checkout,
        Err(failure) => return again(&host, &visit, &token, failure, "").await,
    };
    let say = visit.say;
    let title = say.of("Menuju pembayaran", "Continue to the payment");
    let body = html! {
        div.card.narrow {
            h1 { (title) }
            p { (say.of("Anda diteruskan ke halaman pembayaran Plugipay.", "You are taken to Plugipay's payment page.")) }
            p { a.button.wide #go-on href=(checkout.hosted_url) rel="noreferrer" { (say.of("Lanjut ke pembayaran", "Continue to the payment")) } }
        }
    };
    let mut response = layout::show(&visit, Page { title, area: Area::Plain, body });
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={}", checkout.hosted_url)) {
        response.headers_mut().insert(HeaderName::from_static("refresh"), refresh);
    }
    Ok(response)
}

/// Stores the receipt of a form. The script sends the same form and takes the refusal from the returned page. The image's type is
/// detected from its bytes.
pub(super) async fn upload(
    State(host): State<Arc<Host>>,
    visit: Visit,
    Id(token): Id<AccessToken>,
    headers: HeaderMap,
    intake: Intake,
) -> Shown {
    // 404 precedes every refusal of the body.
    host.commands().buyer_order(&token).await?;
    let file = match form::upload(&intake, &headers, RECEIPT).await {
        Ok(file) => file,
        Err(problem) => return again_for(&host, &visit, &token, &Trouble::problem(visit.say, problem)?, RECEIPT).await,
    };
    match host.receipt_uploads().upload(&token, None, file).await {
        Ok(_) => Ok(visit.go(&format!("/o/{}?done=uploaded", token.reveal()))),
        Err(failure) => again(&host, &visit, &token, failure, RECEIPT).await,
    }
}

/// The page again, with the refusal of this form.
async fn again(host: &Host, visit: &Visit, token: &AccessToken, failure: Failure, field: &str) -> Shown {
    let trouble = Trouble::of(visit.say, failure)?;
    again_for(host, visit, token, &trouble, field).await
}

async fn again_for(host: &Host, visit: &Visit, token: &AccessToken, trouble: &Trouble, field: &str) -> Shown {
    let order = host.commands().buyer_order(token).await?;
    let param = Some(field.to_owned()).filter(|field| !field.is_empty());
    let trouble = Trouble { param, ..trouble.clone() };
    Ok(trouble.on(page(visit, token, &order, &Context { trouble: Some(&trouble), ..Context::default() })))
}

fn page(visit: &Visit, token: &AccessToken, order: &BuyerOrder, context: &Context<'_>) -> Response {
    let say = visit.say;
    let is_confirmed = order.payment_status == PaymentStatus::PaymentConfirmed;
    // The script compares this: if it differs, the page has changed.
    let state = format!(
        "{}-{}-{}-{}-{}-{}",
        order.payment_status.as_str(),
        order.status.as_str(),
        order.quoted_price_idr.get(),
        order.has_proof,
        order.online_payment,
        instructions_of(order)
    );
    let here = visit.to(&format!("/o/{}{}", token.reveal(), if context.is_back { "?paid=1" } else { "" }));
    let body = html! {
        div #order data-state=(state) data-news=[(!is_confirmed).then_some(here.as_str())] {
            @match &order.payment {
                None => (receipt(visit, order)),
                Some(due) => (open(visit, token, order, due, context, &here)),
            }
        }
        p.sr-only #news role="status" data-text=(say.of("Status pesanan berubah.", "The order's state has changed."))
            data-stale=(say.of("Pesanan ini sudah berubah. Muat ulang halaman sebelum membayar.", "This order has changed. Reload the page before you pay.")) {}
    };
    let title = say.of(format!("Pesanan #{}", order.number), format!("Order #{}", order.number));
    let (name, is_branded) = match &order.storefront {
        Some(shop) => (shop.display_name.as_str(), !shop.hide_branding),
        None => ("Serront", true),
    };
    layout::show(visit, Page { title: &title, area: Area::Shop { name, is_branded }, body })
}

/// A short digest of the payment instructions: an open page must notice that a bank account was replaced.
fn instructions_of(order: &BuyerOrder) -> String {
    let json = serde_json::to_string(&order.payment).unwrap_or_default();
    Digest256::of(json.as_bytes()).to_string().chars().take(8).collect()
}

fn receipt(visit: &Visit, order: &BuyerOrder) -> Markup {
    let say = visit.say;
    let number = format!("#{}", order.number);
    let (what, placed) = (ordered(&order.service.name, order.package_name.as_deref()), say.moment(order.created_at));
    let work = say.work(order.status);
    let rows: [(&str, &dyn maud::Render); 5] = [
        (say.of("Nomor pesanan", "Order number"), &number),
        (say.of("Layanan", "Service"), &what),
        (say.of("Atas nama", "Ordered by"), &order.buyer_name),
        (say.of("Dipesan", "Placed"), &placed),
        (say.of("Pengerjaan", "Work"), &work),
    ];
    html! {
        article.card.receipt {
            (done_mark())
            h1 { (say.of("Pembayaran sudah dikonfirmasi", "Payment confirmed")) }
            @if !order.quoted_price_idr.is_zero() { p.amount { (order.quoted_price_idr.to_string()) } }
            p { (say.of("Tidak ada lagi yang perlu dibayar. Terima kasih.", "Nothing is left to pay. Thank you.")) }
            (facts(&rows))
            p.muted.small {
                (say.of(
                    "Konfirmasi juga dikirim ke email Anda. Simpan halaman ini untuk melihat kemajuan pengerjaan.",
                    "We also send a confirmation to your e-mail address. Keep this page to follow the work.",
                ))
            }
        }
    }
}

fn done_mark() -> Markup {
    PreEscaped(
        "<svg class=\"mark\" viewBox=\"0 0 48 48\" width=\"56\" height=\"56\" aria-hidden=\"true\"><circle cx=\"24\" cy=\"24\" \
         r=\"23\" fill=\"#e2f3ec\"/><path d=\"M14 24.5l7 7 13-15\" fill=\"none\" stroke=\"#0b5c4a\" stroke-width=\"4\" \
         stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>"
            .to_owned(),
    )
}

fn open(
    visit: &Visit,
    token: &AccessToken,
    order: &BuyerOrder,
    due: &PaymentInstructions,
    context: &Context<'_>,
    here: &str,
) -> Markup {
    let say = visit.say;
    let is_claimed = order.payment_status == PaymentStatus::PaymentClaimed;
    let is_closed = order.status.is_closed();
    // Returning from the checkout does not prove a payment, but the page should not ask for a second one.
    let is_awaited = context.is_back && order.online_payment;
    let done = match context.done {
        Some("claimed") if is_claimed => Some(seller_knows(say)),
        Some("uploaded") if order.has_proof => {
            Some(say.of("Bukti transfer sudah terunggah.", "The receipt is uploaded."))
        }
        _ => None,
    };
    let form_trouble = context.trouble.filter(|trouble| trouble.param.is_none());
    let ways = html! {
        (transfer(visit, token, order, due, context, is_claimed))
        @if order.online_payment { (online(visit, token)) }
    };
    html! {
        section.card.summary {
            p.muted { (say.of("Pesanan", "Order")) " #" (order.number) }
            h1 { (ordered(&order.service.name, order.package_name.as_deref())) }
            @if order.quoted_price_idr.is_zero() {
                p.amount.none { (say.of("Harga belum ditentukan", "No price yet")) }
            } @else {
                p.amount { (order.quoted_price_idr.to_string()) }
            }
            dl.tracks {
                div { dt { (say.of("Pembayaran", "Payment")) } dd { (payment_pill(say, order.payment_status)) } }
                div { dt { (say.of("Pengerjaan", "Work")) } dd { (work_pill(say, order.status)) } }
            }
            p.next { (next_step(visit, order, is_awaited)) }
            @if order.online_payment && !context.is_back {
                p.actions.jump {
                    a.button.secondary href="#transfer" { (say.of("Transfer bank", "Bank transfer")) }
                    a.button.secondary href="#online" { (say.of("Bayar online", "Pay online")) }
                }
            }
            @if is_awaited {
                p { a.button.secondary #reload href=(here) { (say.of("Muat ulang", "Reload")) } }
            }
        }
        (notice(done))
        (alert(form_trouble))
        @if is_closed || is_awaited {
            details.card {
                summary {
                    @if is_closed { (say.of("Sudah telanjur transfer?", "Have you paid already?")) }
                    @else { (say.of("Bayar dengan cara lain", "Pay in another way")) }
                }
                div.ways { (ways) }
            }
        } @else {
            div.ways { (ways) }
        }
    }
}

fn seller_knows(say: Say) -> &'static str {
    say.of("Penjual sudah diberi tahu bahwa Anda sudah transfer.", "The seller has been notified that you have paid.")
}

/// The buyer's next step.
fn next_step(visit: &Visit, order: &BuyerOrder, is_awaited: bool) -> &'static str {
    let say = visit.say;
    if order.status.is_closed() {
        say.of(
            "Pesanan ini sudah tidak berjalan, jadi jangan membayar lagi. Tanyakan kepada penjual bila ragu.",
            "This order is closed, so don't pay it. Ask the seller if you are unsure.",
        )
    } else if is_awaited {
        say.of(
            "Bila sudah Anda bayar, pembayaran online sedang dikonfirmasi. Muat ulang bila halaman ini belum berubah.",
            "If you have paid, your online payment is being confirmed. Reload this page if it has not changed yet.",
        )
    } else if order.payment_status == PaymentStatus::PaymentClaimed {
        say.of(
            "Anda sudah memberi tahu bahwa Anda sudah transfer. Penjual mengecek rekeningnya sendiri lalu mengonfirmasi di sini.",
            "You have reported your payment. The seller checks the bank account and then confirms it here.",
        )
    } else if order.quoted_price_idr.is_zero() {
        say.of("Penjual akan menentukan harganya dahulu.", "The seller sets the price first.")
    } else {
        say.of(
            "Bayar jumlah di atas, lalu kabari penjual di bawah.",
            "Pay the amount above, then tell the seller below.",
        )
    }
}

fn transfer(
    visit: &Visit,
    token: &AccessToken,
    order: &BuyerOrder,
    due: &PaymentInstructions,
    context: &Context<'_>,
    is_claimed: bool,
) -> Markup {
    let say = visit.say;
    html! {
        section.card aria-labelledby="transfer" {
            h2 #transfer { (say.of("Transfer bank", "Bank transfer")) }
            @if due.bank_accounts.is_empty() {
                p { (say.of("Penjual belum mencantumkan rekening. Tanyakan langsung kepada penjual.", "The seller has not added a bank account yet. Please ask the seller.")) }
            } @else {
                ul.banks {
                    @for account in &due.bank_accounts {
                        li {
                            p.bank { (account.bank_name) }
                            (account_number(say, &account.bank_name, &account.account_number))
                            p.muted { (say.of("a.n. ", "Holder: ")) (account.account_holder) }
                        }
                    }
                }
            }
            @if let Some(instructions) = &due.instructions { p.instructions.lines { (instructions) } }
            @if let Some(link) = &due.whatsapp_link {
                p { a.button.secondary href=(link) rel="noopener noreferrer" { (say.of("Hubungi penjual di WhatsApp", "Ask the seller on WhatsApp")) } }
            }
            (receipt_form(visit, token, order, context))
            @if is_claimed {
                p.muted { (seller_knows(say)) }
            } @else {
                form method="post" action=(visit.to(&format!("/o/{}/claim", token.reveal()))) data-once="" {
                    button.wide type="submit" { (say.of("Saya sudah transfer", "I have paid")) }
                }
            }
            p.honest {
                (say.of(
                    "Transfer manual dikonfirmasi oleh penjual setelah mengecek rekeningnya sendiri. Kami tidak memverifikasinya secara otomatis.",
                    "The seller confirms a manual transfer after checking the bank account. We don't verify it automatically.",
                ))
            }
        }
    }
}

/// The upload: a plain form. The script adds a preview, the progress, and refusals without leaving the page.
fn receipt_form(visit: &Visit, token: &AccessToken, order: &BuyerOrder, context: &Context<'_>) -> Markup {
    let say = visit.say;
    let trouble = context.trouble.filter(|trouble| trouble.param.as_deref() == Some(RECEIPT));
    let text = |code| say.code(code);
    let address = visit.to(&format!("/o/{}/proof", token.reveal()));
    html! {
        form.upload method="post" enctype="multipart/form-data" action=(address) data-upload=(address)
            data-done=(visit.to(&format!("/o/{}?done=uploaded", token.reveal())))
            data-bytes-max=(RECEIPT_BYTES_MAX) data-unsupported=(text(Code::UnsupportedMediaType)) data-large=(text(Code::PayloadTooLarge))
            data-changed=(text(Code::InvalidTransition)) data-busy=(text(Code::Busy)) data-wrong=(text(Code::InternalError))
            data-failed=(say.of("Unggahan terputus. Coba lagi.", "The upload was interrupted. Try again.")) {
            label.strong for=(RECEIPT) {
                @if order.has_proof { (say.of("Ganti bukti transfer", "Replace the receipt")) }
                @else { (say.of("Bukti transfer", "Receipt of the transfer")) }
            }
            @if order.has_proof { p.have { (say.of("Bukti transfer sudah ada.", "A receipt was uploaded.")) } }
            input #receipt type="file" name=(RECEIPT) accept=(ACCEPTED) required
                aria-describedby="receipt-error receipt-hint" aria-invalid=[trouble.map(|_| "true")];
            p.hint #receipt-hint { (say.of("Foto atau tangkapan layar, paling besar 5 MB.", "A photo or a screenshot, at most 5 MB.")) }
            p.error #receipt-error role="alert" { @if let Some(trouble) = trouble { (trouble.text) } }
            img.preview #receipt-preview alt=(say.of("Pratinjau bukti transfer", "Preview of the receipt")) hidden;
            progress #receipt-progress max="100" value="0" hidden aria-label=(say.of("Kemajuan unggahan", "Progress of the upload")) {}
            button.secondary type="submit" { (say.of("Unggah bukti", "Upload the receipt")) }
        }
    }
}

fn online(visit: &Visit, token: &AccessToken) -> Markup {
    let say = visit.say;
    html! {
        section.card aria-labelledby="online" {
            h2 #online { (say.of("Bayar online", "Pay online")) }
            p { (say.of("QRIS, virtual account, dompet digital atau kartu, di halaman Plugipay.", "QRIS, virtual account, e-wallet or card, on Plugipay's page.")) }
            form method="post" action=(visit.to(&format!("/o/{}/pay", token.reveal()))) data-once="" {
                button.wide.online type="submit" { (say.of("Bayar online", "Pay online")) }
            }
            p.honest { (say.of("Dikonfirmasi otomatis begitu pembayarannya masuk.", "Confirmed automatically as soon as the payment arrives.")) }
        }
    }
}
