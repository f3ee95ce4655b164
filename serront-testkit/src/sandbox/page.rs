//! The hosted checkout page: plain HTML without a script, small enough for a slow connection.

use std::fmt::Write as _;

use serront_core::primitives::money::Rupiah;

use super::sessions::{SandboxSession, SandboxStatus};

/// Allows no scripts and no loading. `form-action` is not restricted, because the answer redirects to the shop.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:0 auto;padding:1rem}\
.note{border:1px dashed;border-radius:.5rem;padding:.5rem .75rem;font-size:.875rem}\
table{width:100%;border-collapse:collapse;margin:1rem 0}\
td{padding:.25rem 0;overflow-wrap:anywhere}\
td:last-child{text-align:right;white-space:nowrap;padding-left:1rem}\
.total td{border-top:1px solid;font-size:1.25rem;font-weight:600}\
fieldset{border:1px solid;border-radius:.5rem;margin:1rem 0;padding:.5rem .75rem}\
label{display:block;padding:.5rem 0}\
button{font:inherit;width:100%;padding:.75rem;margin:.25rem 0;border-radius:.5rem;border:1px solid;cursor:pointer}\
.pay{background:#0a6b3d;color:#fff;border-color:#0a6b3d;font-weight:600}";

/// A method's display name.
fn method_name(method: &str) -> &str {
    match method {
        "qris" => "QRIS",
        "va" => "Virtual account",
        "ewallet" => "E-wallet",
        "card" => "Card",
        other => other,
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

/// `Rp 750.000`; other currencies without formatting.
fn money(amount: i64, currency: &str) -> String {
    match Rupiah::new(amount) {
        Ok(rupiah) if currency == "IDR" => rupiah.to_string(),
        _ => format!("{} {amount}", escaped(currency)),
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\
         <p class=\"note\">This is a sandbox of Plugipay: no money moves.</p>{body}</body></html>\n"
    )
}

/// The page for an unknown session.
pub(super) fn missing() -> String {
    page("Checkout", "<h1>There is no such checkout</h1>")
}

/// The page of a session.
pub(super) fn checkout(session: &SandboxSession, seller: &str) -> String {
    let mut rows = String::new();
    for item in &session.line_items {
        let (name, quantity) = (escaped(&item.name), item.quantity);
        let total = money(item.unit_amount.saturating_mul(i64::from(quantity)), &session.currency);
        let times = if quantity == 1 { String::new() } else { format!(" × {quantity}") };
        // Writing to a `String` cannot fail.
        let _ = write!(rows, "<tr><td>{name}{times}</td><td>{total}</td></tr>");
    }
    let total = money(session.amount, &session.currency);
    let _ = write!(rows, "<tr class=\"total\"><td>Total</td><td>{total}</td></tr>");
    let bill = format!("<h1>{}</h1><table>{rows}</table>", escaped(seller));
    let ended = |text: &str, back: &str| {
        format!("{bill}<p><strong>{text}</strong></p><p><a href=\"{}\">Back to the seller</a></p>", escaped(back))
    };
    let body = match session.status {
        SandboxStatus::Open => format!("{bill}{}", forms(session)),
        SandboxStatus::Completed => ended("This is paid.", &session.success_url),
        SandboxStatus::Failed => ended("The payment failed.", &session.cancel_url),
        SandboxStatus::Expired => ended("The time to pay is over.", &session.cancel_url),
        SandboxStatus::Canceled => ended("This was called off.", &session.cancel_url),
    };
    page("Checkout", &body)
}

fn forms(session: &SandboxSession) -> String {
    let mut methods = String::new();
    for (index, method) in session.methods.iter().enumerate() {
        let checked = if index == 0 { " checked" } else { "" };
        let (value, name) = (escaped(method), escaped(method_name(method)));
        let _ =
            write!(methods, "<label><input type=\"radio\" name=\"method\" value=\"{value}\"{checked}> {name}</label>");
    }
    let id = escaped(&session.id);
    format!(
        "<form method=\"post\" action=\"/checkout/{id}/pay\"><fieldset><legend>Pay with</legend>{methods}</fieldset>\
         <button class=\"pay\">Pay {}</button></form>\
         <form method=\"post\" action=\"/checkout/{id}/fail\"><button>Let the payment fail</button></form>\
         <form method=\"post\" action=\"/checkout/{id}/expire\"><button>Let the time run out</button></form>\
         <p><a href=\"{}\">Back without paying</a></p>\
         <p>Can be paid until {}.</p>",
        money(session.amount, &session.currency),
        escaped(&session.cancel_url),
        session.expires_at
    )
}
