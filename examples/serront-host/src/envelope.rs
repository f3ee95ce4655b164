//! The envelope: every answer as `{"data", "error", "meta"}`, and the one middleware that dresses answers in it. A browser
//! that asked for a page gets an error as a page.
//!
//! Handlers answer an [`Answer`] or a [`Problem`], which travel as an extension of an empty response. [`dress`], the
//! outermost layer, renders them with the request's id and time. It also makes sure of what no handler can: that a
//! panic, an unknown route or a wrong method answers the same envelope, that whoever asks too often is turned away before
//! any work, that what is left of a body is drained, and that there is one log line.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use serde::Serialize;
use serront_core::ports::{PortError, PortErrorKind};
use serront_core::primitives::ids::RequestId;
use serront_core::primitives::rejection::{Code, Invalid, Rejection};
use serront_core::primitives::time::Timestamp;
use serront_core::service::{self, Failure};
use tracing::Instrument as _;

use crate::body::{Drained, Intake};
use crate::limits;
use crate::log::{self, Line, Note};
use crate::outgoing::{self, Reader, UNCOUNTED_BYTES_MAX, until_sent};
use crate::pages::{self, Face};
use crate::state::Host;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What `BUSY` asks the client to wait, in seconds. Contention passes within milliseconds; a second is the header's unit.
const BUSY_SECONDS: u64 = 1;

/// What every handler answers.
pub(crate) type Reply = Result<Answer, Problem>;

/// Where a list goes on, for lists that say so in `meta`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMeta {
    pub(crate) cursor: Option<String>,
    pub(crate) has_more: bool,
}

/// A success.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: StatusCode,
    data: String,
    page: Option<PageMeta>,
    replayed: bool,
}

impl Answer {
    fn new(status: StatusCode, data: &impl Serialize, replayed: bool) -> Reply {
        let data = serde_json::to_string(data).map_err(|_| Problem::internal("an answer can't be written as JSON"))?;
        Ok(Self { status, data, page: None, replayed })
    }

    /// 200 with this.
    pub(crate) fn ok(data: &impl Serialize) -> Reply {
        Self::new(StatusCode::OK, data, false)
    }

    /// 200 with a page, which `meta` tells how to go on from.
    pub(crate) fn page(data: &impl Serialize, cursor: Option<String>) -> Reply {
        let page = PageMeta { has_more: cursor.is_some(), cursor };
        Ok(Self { page: Some(page), ..Self::ok(data)? })
    }

    /// 200 with what a command did.
    pub(crate) fn done<T: Serialize>(answer: &service::Answer<T>) -> Reply {
        Self::new(StatusCode::OK, &answer.value, answer.replayed)
    }

    /// 201 with what a command made, also when it is told again.
    pub(crate) fn created<T: Serialize>(answer: &service::Answer<T>) -> Reply {
        Self::new(StatusCode::CREATED, &answer.value, answer.replayed)
    }
}

/// A refusal or a failure.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    param: Option<String>,
    /// When it is worth to try again, in seconds.
    retry_after: Option<u64>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn of(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (code == Code::Busy).then_some(BUSY_SECONDS);
        Self { status, code, message: message.into(), param: None, retry_after, cause: None }
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// 404 for what does not exist, or not for this caller.
    pub(crate) fn not_found(what: &'static str) -> Self {
        Rejection::NotFound(what).into()
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        Self::of(Code::Unauthorized, "a valid API key is required: Authorization: Bearer sk_live_…")
    }

    /// 403 for what only an operator may do.
    pub(crate) fn operator_only() -> Self {
        Self::of(Code::OperatorOnly, "only an operator's key may do this")
    }

    /// 405. The router adds which methods there are.
    pub(crate) fn method_not_allowed() -> Self {
        Self::of(Code::MethodNotAllowed, "this route has other methods")
    }

    /// 413.
    pub(crate) fn payload_too_large(bytes_max: usize) -> Self {
        Rejection::PayloadTooLarge { bytes_max }.into()
    }

    /// 429, with how long to wait.
    pub(crate) fn rate_limited(pause: Duration) -> Self {
        let retry_after = Some(whole_seconds(pause).max(1));
        Self { retry_after, ..Self::of(Code::RateLimited, "too many requests; Retry-After says when to come again") }
    }

    /// 500. The cause goes to the log, and must hold nothing that a caller sent.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::of(Code::InternalError, "something failed on our side; the request id helps to find out what")
        }
    }

    /// 502. What Plugipay answered goes to the log, without values.
    fn provider(error: &PortError) -> Self {
        let message = match error.kind() {
            PortErrorKind::Permanent => "Plugipay refused; the request id helps to find out why",
            PortErrorKind::OutcomeUnknown => "Plugipay did not answer in time; asking again goes on where this ended",
            PortErrorKind::Transient | PortErrorKind::Busy => "Plugipay can't do this now; try again",
        };
        let retry_after = error.retry_after().map(whole_seconds);
        Self { retry_after, cause: Some(log::describe(error)), ..Self::of(Code::PlugipayError, message) }
    }

    /// 503.
    pub(crate) fn busy(message: &'static str) -> Self {
        Self::of(Code::Busy, message)
    }

    /// The same, for this reason. It goes to the log, and must hold nothing that a caller sent.
    pub(crate) fn because(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// What a response without an envelope means. Only a framework's own answer gets here.
    fn of_status(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            404 => Code::NotFound,
            405 => Code::MethodNotAllowed,
            413 => Code::PayloadTooLarge,
            415 => Code::UnsupportedMediaType,
            400..=499 => Code::ValidationError,
            _ => Code::InternalError,
        };
        Self { status, ..Self::of(code, status.canonical_reason().unwrap_or("the request failed")) }
    }
}

/// Whole seconds, and never less than this.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        // A refusal that names no field begins with a space.
        let message = rejection.to_string().trim().to_owned();
        let param = rejection.param().map(str::to_owned);
        Self { param, ..Self::of(rejection.code(), message) }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Rejection::from(invalid).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(rejection) => rejection.into(),
            Failure::Busy | Failure::Conflict => Self::busy("too many changed the same thing at once; try again"),
            Failure::Provider { error } => Self::provider(&error),
            Failure::Port { error, .. } => Self::internal(log::describe(&error)),
            _ => Self::internal("an unknown failure"),
        }
    }
}

/// How an [`Answer`] or a [`Problem`] travels from its handler to [`dress`].
#[derive(Debug, Clone)]
enum Payload {
    Answer(Answer),
    Problem(Problem),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        carry(self.status, Payload::Answer(self))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        carry(self.status, Payload::Problem(self))
    }
}

fn carry(status: StatusCode, payload: Payload) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(payload);
    response
}

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
    // Exactly as long as it has to be: it may stay for as long as its reader takes.
    Body::from(["{\"data\":", data, ",\"error\":", error, ",\"meta\":", &json(meta), "}"].concat())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn is_page(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// How long the answer is that a handler has made.
fn made_bytes(response: &Response, payload: Option<&Payload>) -> usize {
    match payload {
        Some(Payload::Answer(answer)) => answer.data.len(),
        Some(Payload::Problem(_)) => 0,
        None if is_page(response) => {
            let exact = response.body().size_hint().exact().unwrap_or_default();
            usize::try_from(exact).unwrap_or(usize::MAX)
        }
        None => 0,
    }
}

/// Puts an error's page into the response; what the layers below set for it stays.
fn show_problem(response: &mut Response, page: Response) {
    let (parts, body) = page.into_parts();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(parts.headers);
    pages::keep(headers, false);
    *response.body_mut() = body;
}

/// The outermost layer.
pub(crate) async fn dress(State(host): State<Arc<Host>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = host.ports.ids.sequence(host.ports.clock.now()).request();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let face = Face::of(&host, &request);
    let switched = match &face {
        Face::Page(_) => pages::switch(&host, &request),
        Face::Envelope => None,
    };
    let elsewhere = pages::mend(&host, &request).or(switched);
    let note = Note::default();
    let address = host.limiter.client(&request);
    let order = limits::order_of(&mut request).await;
    let intake = Intake::of(&mut request, &host.spool);
    request.extensions_mut().insert(note.clone());
    request.extensions_mut().insert(intake.clone());

    // Whatever is logged on the way, a panic's place included, carries the request's id.
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
    if is_done && !is_read {
        host.wake();
    }

    let meta = |page| Meta { request_id, timestamp: host.ports.clock.now(), page };
    let mut payload = response.extensions_mut().remove::<Payload>().or_else(|| {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        // A page that shows a refusal itself, beside its form, stays.
        (is_error && !is_page(&response)).then(|| Payload::Problem(Problem::of_status(status)))
    });
    let bytes = made_bytes(&response, payload.as_ref());
    let mut held = None;
    if bytes > UNCOUNTED_BYTES_MAX {
        held = host.outgoing.try_take(Reader::of(note.account(), address), bytes);
        if held.is_none() && (is_read || !is_done) {
            let problem = outgoing::no_room();
            response = problem.clone().into_response();
            response.extensions_mut().remove::<Payload>();
            payload = Some(Payload::Problem(problem));
        }
    }
    let (mut code, mut cause) = (None, None);
    let rendered = match payload {
        Some(Payload::Answer(answer)) => {
            if answer.replayed {
                set(response.headers_mut(), REPLAYED, "true");
            }
            Some(render(&answer.data, "null", &meta(answer.page)))
        }
        Some(Payload::Problem(problem)) => {
            if let Some(seconds) = problem.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            let rendered = match &face {
                Face::Envelope => {
                    let param = problem.param.as_deref();
                    let error = ErrorBody { code: problem.code.as_str(), message: &problem.message, param };
                    Some(render("null", &json(&error), &meta(None)))
                }
                Face::Page(visit) => {
                    show_problem(&mut response, pages::error_page(visit, problem.code, &request_id.to_string()));
                    None
                }
            };
            (code, cause) = (Some(problem.code), problem.cause);
            rendered
        }
        None => None,
    };
    if let Some(rendered) = rendered {
        *response.body_mut() = rendered;
        let headers = response.headers_mut();
        // The router measured the empty body that the payload travelled with.
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
    let status = response.status();
    let account_id = note.account();
    log::line(&Line { request_id, method, route, status, took: started.elapsed(), account_id, code, cause });
    response
}

/// What every path without a route answers.
pub(crate) async fn unknown_route() -> Problem {
    Problem::not_found("route")
}

/// What every route answers to a method that it does not have.
pub(crate) async fn wrong_method() -> Problem {
    Problem::method_not_allowed()
}
