//! The pages of errors that no other page shows.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use serront_core::primitives::rejection::Code;

use crate::pages::layout::{self, Area, Page};
use crate::pages::visit::Visit;

pub(crate) fn error_page(visit: &Visit, code: Code, request_id: &str) -> Response {
    let say = visit.say;
    let title = if matches!(code, Code::NotFound | Code::MethodNotAllowed) {
        say.of("Tidak ditemukan", "Not found")
    } else {
        say.of("Belum berhasil", "Something went wrong")
    };
    let home = ["/dashboard", "/operator"].into_iter().find(|home| visit.here.starts_with(home));
    let body = html! {
        div.card.narrow {
            h1 { (title) }
            p { (say.code(code)) }
            @if code == Code::NotFound && visit.here.starts_with("/o/") {
                // A checkout that started at an order's previous address returns there.
                p { (say.of(
                    "Penjual bisa mengganti alamat halaman pesanan: mintalah alamat barunya. Jika Anda baru saja membayar online, pembayaran itu tetap tercatat.",
                    "A seller can change the address of an order's page: ask for the new one. If you have just paid online, the payment is still recorded.",
                )) }
            }
            @if let Some(home) = home { p { a href=(visit.to(home)) { (say.of("Kembali ke awal", "Back to the start page")) } } }
            p.muted.small { (say.of("Nomor permintaan", "Request")) ": " code { (request_id) } }
        }
    };
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = layout::show(visit, Page { title, area: Area::Plain, body });
    *response.status_mut() = status;
    response
}

/// The page after a form of an earlier session, or of another site. The form was not carried out.
pub(super) fn stale_form(visit: &Visit) -> Response {
    let say = visit.say;
    let title = say.of("Formulir sudah kedaluwarsa", "This form is out of date");
    let body = html! {
        div.card.narrow {
            h1 { (title) }
            p {
                (say.of(
                    "Anda sudah masuk lagi sejak halamannya dibuka. Tidak ada yang berubah. Kembali, muat ulang halamannya, lalu kirim lagi.",
                    "You signed in again after this page was opened. Nothing was changed. Go back, reload the page, and send the form again.",
                ))
            }
        }
    };
    let mut response = layout::show(visit, Page { title, area: Area::Plain, body });
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}
