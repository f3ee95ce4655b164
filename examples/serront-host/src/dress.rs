//! The outermost layer: dresses every answer with the envelope `{"data", "error", "meta"}`, a request id and a log line. A
//! browser that asked for a page gets an error as a page.
//!
//! Handlers answer an [`Answer`] or a [`Problem`], which travel as an extension of an empty response. [`dress`] renders them.
//! It also covers what no handler can: a panic, an unknown route or a wrong method answers the same envelope; a client over its
//! rate limit is refused before any work; the unread rest of a body is drained; each request logs one line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use serde::Serialize;
use serront_core::primitives::ids::RequestId;
use serront_core::primitives::time::Timestamp;
use tracing::Instrument as _;

use crate::answer::{Answer, PageMeta};
use crate::body::{Drained, Intake};
use crate::limits;
use crate::log::{self, Line, Note};
use crate::outgoing::{self, Reader, UNCOUNTED_BYTES_MAX, until_sent};
use crate::pages::{self, Face};
use crate::problem::Problem;
use crate::state::Host;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    request_id: RequestId,
    timestamp: Timestamp,
    #[serde(flatten)]
    page: Option<PageMeta>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
}

fn json(value: &impl Serialize) -> String {
    // Strings and numbers only: rendering them does not fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn render(data: &str, error: &str, meta: &Meta) -> Body {
    // `concat` allocates the exact length: the body may stay in memory until a slow client has read it.
    Body::from(["{\"data\":", data, ",\"error\":", error, ",\"meta\":", &json(meta), "}"].concat())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn is_page(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// Bytes of the answer or the page; 0 for anything else, which is short or counted where it is made.
fn made_bytes(response: &Response, answer: Option<&Answer>) -> usize {
    match answer {
        Some(answer) => answer.data.len(),
        None if is_page(response) => {
            let exact = response.body().size_hint().exact().unwrap_or_default();
            usize::try_from(exact).unwrap_or(usize::MAX)
        }
        None => 0,
    }
}

/// Replaces the body with an error's page. Keeps the headers that inner layers set.
fn show_problem(response: &mut Response, page: Response) {
    let (parts, body) = page.into_parts();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(parts.headers);
    pages::protect(headers, false);
    *response.body_mut() = body;
}

pub(crate) async fn dress(State(host): State<Arc<Host>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = host.ports.ids.sequence(host.ports.clock.now()).request();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let face = Face::of(&host, &request);
    let switched = match &face {
        Face::Page(_) => pages::switch_language(&host, &request),
        Face::Envelope => None,
    };
    let elsewhere = pages::correct_address(&host, &request).or(switched);
    let note = Note::default();
    let address = host.limiter.client(&request);
    let order = limits::order_of(&mut request).await;
    let intake = Intake::of(&mut request, &host.spool);
    request.extensions_mut().insert(note.clone());
    request.extensions_mut().insert(intake.clone());

    // Everything logged within the request carries its id, a panic's location included.
    let span = tracing::error_span!("request", %request_id);
    let mut response = match host.limiter.admit(&request, order.as_ref()) {
        Ok(()) => match elsewhere {
            Some(elsewhere) => elsewhere,
            None => {
                let result = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind().await;
                result.unwrap_or_else(|_| Problem::internal("a handler panicked").into_response())
            }
        },
        Err(problem) => problem.into_response(),
    };
    let is_done = response.status().is_success() || response.status().is_redirection();
    let is_read = method == Method::GET || method == Method::HEAD;

    let mut answer = response.extensions_mut().remove::<Answer>();
    let mut problem = response.extensions_mut().remove::<Problem>();
    if answer.is_none() && problem.is_none() {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        // A form's page that shows the refusal itself stays.
        problem = (is_error && !is_page(&response)).then(|| Problem::of_status(status));
    }
    let bytes = made_bytes(&response, answer.as_ref());
    let mut held = None;
    if bytes > UNCOUNTED_BYTES_MAX {
        held = host.outgoing.try_take(Reader::of(note.account(), address), bytes);
        if held.is_none() && (is_read || !is_done) {
            response = outgoing::no_room().into_response();
            (answer, problem) = (None, response.extensions_mut().remove::<Problem>());
        }
    }
    let meta = |page| Meta { request_id, timestamp: host.ports.clock.now(), page };
    let mut rendered = None;
    if let Some(answer) = answer {
        if answer.replayed {
            set(response.headers_mut(), REPLAYED, "true");
        }
        rendered = Some(render(&answer.data, "null", &meta(answer.page)));
    } else if let Some(Problem { code, message, param, retry_after, .. }) = &problem {
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        match &face {
            Face::Envelope => {
                let error = ErrorBody { code: code.as_str(), message, param: param.as_deref() };
                rendered = Some(render("null", &json(&error), &meta(None)));
            }
            Face::Page(visit) => {
                show_problem(&mut response, pages::error_page(visit, *code, &request_id.to_string()));
            }
        }
    }
    if let Some(rendered) = rendered {
        *response.body_mut() = rendered;
        let headers = response.headers_mut();
        // The router measured the empty body that carried the extension.
        headers.remove(header::CONTENT_LENGTH);
        set(headers, header::CONTENT_TYPE, "application/json");
        set(headers, header::CACHE_CONTROL, "no-store");
    }
    if let Some(held) = held {
        response = response.map(|body| until_sent(body, held));
    }
    if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if intake.drain().await == Drained::Partly {
        set(response.headers_mut(), header::CONNECTION, "close");
    }
    let (code, cause) = problem.map_or((None, None), |problem| (Some(problem.code), problem.cause));
    let (status, account_id) = (response.status(), note.account());
    log::line(&Line { request_id, method, route, status, took: started.elapsed(), account_id, code, cause });
    response
}
