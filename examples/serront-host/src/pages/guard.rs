//! The layer around every page: protective headers, the language switch, and a check against forms from other sites.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serront_core::orders::order::Language;
use serront_core::primitives::rejection::Code;
use url::Url;

use super::visit::{LANGUAGE_COOKIE, Visit, see_other, set_cookie};
use crate::problem::Problem;
use crate::state::Host;

/// A year.
const LANGUAGE_SECONDS: u32 = 365 * 24 * 3_600;
/// Only this host's files run or load. A receipt's preview is a blob of the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "private, no-store"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

/// Marks a page that search engines may index: a storefront.
#[derive(Clone)]
pub(super) struct Findable;

pub(super) async fn guard(State(host): State<Arc<Host>>, request: Request, next: Next) -> Response {
    let mut response = if is_safe(request.method()) || is_own(&host, &request) {
        next.run(request).await
    } else {
        Problem::of(Code::Unauthorized, "a form of another site").into_response()
    };
    let findable = response.extensions_mut().remove::<Findable>().is_some();
    protect(response.headers_mut(), findable);
    response
}

/// Sets the protective headers that the page has not set itself.
pub(crate) fn protect(headers: &mut HeaderMap, findable: bool) {
    for (name, value) in HEADERS {
        if !findable || name != "x-robots-tag" {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
}

pub(super) fn is_safe(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Whether the browser reports that a form came from this site: by `Sec-Fetch-Site`, or in older browsers by `Origin` (which is
/// `null` from pages that send no referrer, as ours). Forms within a session also carry a token.
fn is_own(host: &Host, request: &Request) -> bool {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (header(HeaderName::from_static("sec-fetch-site")), header(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, None | Some("null")) => true,
        (None, Some(origin)) => {
            let public = Url::parse(host.public_url()).map(|url| url.origin().ascii_serialization());
            let asked =
                header(header::HOST).is_some_and(|host| origin.split_once("://").is_some_and(|(_, at)| at == host));
            asked || public.is_ok_and(|public| public == origin)
        }
    }
}

/// `?lang=en` on any address: sets the language cookie and redirects to the page without the parameter.
pub(crate) fn switch_language(host: &Host, request: &Request) -> Option<Response> {
    let query = request.uri().query().filter(|_| is_safe(request.method()))?;
    let pairs = || url::form_urlencoded::parse(query.as_bytes());
    let language = Language::parse(&pairs().find(|(name, _)| name == "lang")?.1)?;
    let visit = Visit::of(host, request.uri(), request.headers());
    let path = visit.here.split('?').next().unwrap_or_default();
    let mut rest = url::form_urlencoded::Serializer::new(String::new());
    let rest = rest.extend_pairs(pairs().filter(|(name, _)| name != "lang")).finish();
    let mut response = see_other(&visit.to(&if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") }));
    set_cookie(host, &mut response, (LANGUAGE_COOKIE, language.as_str()), visit.to("/"), LANGUAGE_SECONDS).ok()?;
    protect(response.headers_mut(), false);
    Some(response)
}
