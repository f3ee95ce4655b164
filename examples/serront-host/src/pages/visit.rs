//! A request for a page: its language and address, and the ways in which it ends without that page.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};
use serront_core::orders::order::Language;
use serront_core::primitives::rejection::{Code, Invalid, Rejection};
use serront_core::service::Failure;

use crate::language;
use crate::pages::say::Say;
use crate::problem::Problem;
use crate::state::Host;

pub(super) const LANGUAGE_COOKIE: &str = "serront_language";

/// A request for a page.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(super) say: Say,
    /// The path of the public address, without a trailing slash. A proxy or an outer app may serve the pages below one.
    pub(super) base: Arc<str>,
    /// Path and query of the request, below the base.
    pub(super) here: String,
}

impl Visit {
    pub(super) fn of(host: &Host, uri: &Uri, headers: &HeaderMap) -> Self {
        let language = cookie(headers, LANGUAGE_COOKIE).and_then(|code| Language::parse(&code));
        let say = Say(language.unwrap_or_else(|| language::preferred(headers)));
        // Two slashes at the start would mean another host.
        let path = uri.path_and_query().map_or("/", |whole| whole.as_str());
        let here = format!("/{}", path.trim_start_matches('/'));
        Self { say, base: Arc::clone(&host.base), here }
    }

    /// The address of a path below the base.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of a path with these parameters, without empty ones.
    pub(super) fn link<'a>(&self, path: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(parameters.into_iter().filter(|(_, value)| !value.is_empty())).finish();
        self.to(&if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
    }

    /// Redirects there with GET.
    pub(super) fn go(&self, path: &str) -> Response {
        see_other(&self.to(path))
    }

    /// The address of this page in another language.
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

pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// Sets a cookie below a path; 0 seconds delete it.
pub(super) fn set_cookie(
    host: &Host,
    response: &mut Response,
    (name, value): (&str, &str),
    path: String,
    seconds: u32,
) -> Result<(), Turn> {
    let cookie = Cookie::build((name, value))
        .path(path)
        .max_age(cookie::time::Duration::seconds(seconds.into()))
        .same_site(SameSite::Lax)
        .http_only(true)
        .secure(host.is_secure());
    let value = HeaderValue::try_from(cookie.to_string()).map_err(|_| Problem::internal("a cookie is no header"))?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// Redirects there with GET.
pub(super) fn see_other(address: &str) -> Response {
    match HeaderValue::try_from(address) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => Problem::internal("an address is no header").into_response(),
    }
}

/// The result of every page handler.
pub(super) type Shown = Result<Response, Turn>;

/// The end of a request without its page: an error's page, or a redirect.
pub(crate) struct Turn(Box<Response>);

impl Turn {
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

/// Why a form was refused, to be shown with the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The field's name in the service. `None` if the refusal names no field.
    pub(super) param: Option<String>,
    pub(super) text: Cow<'static, str>,
    pub(super) status: StatusCode,
}

impl Trouble {
    /// Gives the form's page the refusal's status.
    pub(super) fn on(&self, mut page: Response) -> Response {
        *page.status_mut() = self.status;
        page
    }

    /// The trouble of a refused form. A failure with another cause stays one.
    pub(super) fn of(say: Say, failure: Failure) -> Result<Self, Turn> {
        match failure {
            Failure::Provider { .. } => Ok(Self::code(say, Code::PlugipayError)),
            // Without the object there is no form to show it with.
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

    /// The trouble of a body that could not be read.
    pub(super) fn problem(say: Say, problem: Problem) -> Result<Self, Turn> {
        let code = problem.code;
        if code.http_status() < 500 { Ok(Self::code(say, code)) } else { Err(problem.into()) }
    }

    pub(super) fn code(say: Say, code: Code) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { param: None, text: say.code(code).into(), status }
    }
}

/// Whether a browser asks for a page.
pub(super) fn asks_for_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    accepts.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

#[derive(Clone)]
pub(crate) enum Face {
    Envelope,
    Page(Visit),
}

impl Face {
    /// A page, if a browser asks outside of the API.
    pub(crate) fn of(host: &Host, request: &Request) -> Self {
        if asks_for_page(request.headers()) && !request.uri().path().starts_with("/api/") {
            return Self::Page(Visit::of(host, request.uri(), request.headers()));
        }
        Self::Envelope
    }
}
