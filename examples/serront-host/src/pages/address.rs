//! Corrects mistyped addresses of pages: a trailing slash, capitals, punctuation at the end.
//!
//! A messenger includes the `.` or `)` after an address in the link, a keyboard capitalises a slug, a person adds a slash. All of
//! these are redirected to the intended page. The API does none of this.

use axum::extract::Request;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serront_core::accounts::key::AccessToken;
use serront_core::primitives::text::Slug;

use super::guard::{is_safe, protect};
use super::visit::{Visit, see_other};
use crate::state::Host;

/// Redirects to the intended page, if the address is nearly one of a page.
pub(crate) fn correct_address(host: &Host, request: &Request) -> Option<Response> {
    let uri = request.uri();
    let path = meant(uri.path()).filter(|_| is_safe(request.method()))?;
    let visit = Visit::of(host, uri, request.headers());
    let query = uri.query().filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = see_other(&visit.to(&format!("{path}{query}")));
    protect(response.headers_mut(), false);
    Some(response)
}

/// The path of the intended page, if it differs.
fn meant(path: &str) -> Option<String> {
    let (room, name) = path.strip_prefix('/')?.split_once('/')?;
    let mended = match room {
        "s" | "S" => shop(name).or_else(|| without_slash(path)),
        "o" | "O" => order(name).or_else(|| without_slash(path)),
        "dashboard" | "operator" => without_slash(path),
        _ => None,
    };
    mended.filter(|mended| mended != path)
}

fn without_slash(path: &str) -> Option<String> {
    path.ends_with('/').then(|| path.trim_end_matches('/').to_owned())
}

fn shop(name: &str) -> Option<String> {
    let slug = bare(name, |character| character.is_ascii_alphanumeric() || character == '-')?.to_ascii_lowercase();
    Slug::parse("slug", &slug).ok().map(|slug| format!("/s/{slug}"))
}

fn order(name: &str) -> Option<String> {
    let token = bare(name, |character| character.is_ascii_alphanumeric())?;
    AccessToken::parse(&token).map(|token| format!("/o/{}", token.reveal()))
}

/// The name, decoded, without all other characters around it: there are many ways to end a sentence or a quotation.
fn bare(name: &str, is_allowed: impl Fn(char) -> bool) -> Option<String> {
    let decoded = percent_decode_str(name).decode_utf8().ok()?;
    Some(decoded.trim_matches(|character| !is_allowed(character)).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these answered 404 (#16).
    #[test]
    fn addresses_as_changed_by_messengers_and_keyboards_lead_to_the_page() {
        let token = "0123456789abcdef".repeat(3);
        let order = format!("/o/{token}");
        for (path, page) in [
            ("/s/studio/", Some("/s/studio")),
            ("/s/Studio-Renata", Some("/s/studio-renata")),
            ("/S/STUDIO", Some("/s/studio")),
            ("/s/studio.", Some("/s/studio")),
            ("/s/studio%E2%80%9D", Some("/s/studio")),
            ("/s/studio%20", Some("/s/studio")),
            ("/s/studio-", None),
            ("/s/studio", None),
            ("/s/st.udio", None),
            ("/s/st.udio/", Some("/s/st.udio")),
            ("/s/%ff", None),
            ("/s/", Some("/s")),
            ("/dashboard/", Some("/dashboard")),
            ("/dashboard/payments//", Some("/dashboard/payments")),
            ("/operator/", Some("/operator")),
            ("/dashboard", None),
            ("/", None),
            ("//", None),
            ("//elsewhere.example/", None),
            ("/api/v1/orders/", None),
            ("/healthz/", None),
        ] {
            assert_eq!(meant(path).as_deref(), page, "{path}");
        }
        for end in [
            "/",
            "//",
            ".",
            ")",
            ",",
            ";",
            "!",
            "%3F",
            "%3E",
            "%22",
            "'",
            "]",
            ").",
            "*",
            "_",
            "%E2%80%8B",
            "%C2%BB",
            ")/",
            "/.",
            "%0A",
        ] {
            assert_eq!(meant(&format!("{order}{end}")), Some(order.clone()), "{end}");
        }
        assert_eq!(meant(&format!("/o/{token}/claim/")), Some(format!("/o/{token}/claim")));
        for other in [order.clone(), format!("{order}0"), format!("{order}.0"), format!("/o/{token}/claim")] {
            assert_eq!(meant(&other), None, "{other}");
        }
    }
}
