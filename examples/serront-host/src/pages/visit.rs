//! A request for a page: its language and address, and how it ends other than with the page that was asked for.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use cookie::Cookie;
use serront_core::order::Language;
use serront_core::rejection::{Code, Invalid, Rejection};
use serront_core::service::Failure;

use crate::language;
use crate::pages::say::Say;
use crate::problem::Problem;
use crate::state::Host;

/// The cookie that holds the language chosen by the switch.
pub(super) const LANGUAGE_COOKIE: &str = "serront_language";

/// A request for a page.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(super) say: Say,
    /// The path of the public address, without a slash at its end: a proxy or an app may serve the pages below one.
    pub(super) base: Arc<str>,
    /// Path and query as asked for, below the base.
    pub(super) here: String,
}

impl Visit {
    pub(super) fn of(host: &Host, uri: &Uri, headers: &HeaderMap) -> Self {
        let language = cookie(headers, LANGUAGE_COOKIE).and_then(|code| Language::parse(&code));
        let say = Say(language.unwrap_or_else(|| language::preferred(headers)));
        // Two slashes at its beginning would make it another host's.
        let path = uri.path_and_query().map_or("/", |whole| whole.as_str());
        let here = format!("/{}", path.trim_start_matches('/'));
        Self { say, base: Arc::clone(&host.base), here }
    }

    /// A page's address.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Goes there by GET, whatever the method was.
    pub(super) fn go(&self, path: &str) -> Response {
        see_other(&self.to(path))
    }

    /// This page in that language.
    pub(super) fn switched(&self, language: Language) -> String {
        let (path, query) = self.here.split_once('?').unwrap_or((&self.here, ""));
        let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "lang");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept).append_pair("lang", language.as_str());
        self.to(&format!("{path}?{}", query.finish()))
    }
}

impl FromRequestParts<Arc<Host>> for Visit {
    type Rejection = Turn;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Turn> {
        Ok(Self::of(host, &parts.uri, &parts.headers))
    }
}

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// Another page, by GET.
pub(super) fn see_other(address: &str) -> Response {
    match HeaderValue::try_from(address) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => Problem::internal("an address is no header").into_response(),
    }
}

/// The result of every page handler.
pub(super) type Shown = Result<Response, Turn>;

/// How a request ends when it does not end with the page: with an error's page, or elsewhere.
pub(crate) struct Turn(Box<Response>);

impl Turn {
    /// Elsewhere.
    pub(super) fn to(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Turn {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl<T: Into<Problem>> From<T> for Turn {
    fn from(problem: T) -> Self {
        Self::to(problem.into().into_response())
    }
}

/// Why a form was not carried out, to be shown with the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The field as the service names it, if it names one.
    pub(super) param: Option<String>,
    /// What to tell.
    pub(super) text: Cow<'static, str>,
    pub(super) status: StatusCode,
}

impl Trouble {
    /// Shown with its form again.
    pub(super) fn on(&self, mut page: Response) -> Response {
        *page.status_mut() = self.status;
        page
    }

    /// Of a refusal. What is none of the form's doing stays a failure.
    pub(super) fn of(say: Say, failure: Failure) -> Result<Self, Turn> {
        if matches!(failure, Failure::Provider { .. }) {
            return Ok(Self::code(say, Code::PlugipayError));
        }
        match failure {
            // What is not there has no form to be told on.
            Failure::Rejected(rejection) if rejection.code() != Code::NotFound => Ok(Self::refused(say, &rejection)),
            other @ (Failure::Rejected(_) | _) => Err(other.into()),
        }
    }

    pub(super) fn refused(say: Say, rejection: &Rejection) -> Self {
        let text = say.refusal(rejection).into();
        Self { param: rejection.param().map(str::to_owned), text, ..Self::code(say, rejection.code()) }
    }

    pub(super) fn invalid(say: Say, invalid: Invalid) -> Self {
        Self::refused(say, &invalid.into())
    }

    /// Of a body that could not be taken.
    pub(super) fn problem(say: Say, problem: Problem) -> Result<Self, Turn> {
        let code = problem.code;
        if code.http_status() < 500 { Ok(Self::code(say, code)) } else { Err(problem.into()) }
    }

    pub(super) fn code(say: Say, code: Code) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { param: None, text: say.code(code).into(), status }
    }
}

/// Whether a browser asks, for people.
pub(super) fn asks_for_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    accepts.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

/// In which shape an answer goes out.
#[derive(Clone)]
pub(crate) enum Face {
    /// The wire contract's envelope.
    Envelope,
    /// A page for people.
    Page(Visit),
}

impl Face {
    /// A page is what a browser asks for outside the API.
    pub(crate) fn of(host: &Host, request: &Request) -> Self {
        if asks_for_page(request.headers()) && !request.uri().path().starts_with("/api/") {
            return Self::Page(Visit::of(host, request.uri(), request.headers()));
        }
        Self::Envelope
    }
}
