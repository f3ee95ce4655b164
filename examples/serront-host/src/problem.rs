//! A refusal or a failure: the `error` of the envelope.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serront_core::ports::{PortError, PortErrorKind};
use serront_core::primitives::rejection::{Code, Invalid, Rejection};
use serront_core::service::Failure;

use crate::log;

/// `Retry-After` of `BUSY`, in seconds. Contention passes within milliseconds; a second is the header's unit.
const BUSY_SECONDS: u64 = 1;

#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    pub(crate) param: Option<String>,
    /// Seconds until a retry makes sense.
    pub(crate) retry_after: Option<u64>,
    /// For the log only; never sent.
    pub(crate) cause: Option<String>,
}

impl Problem {
    pub(crate) fn of(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (code == Code::Busy).then_some(BUSY_SECONDS);
        Self { status, code, message: message.into(), param: None, retry_after, cause: None }
    }

    /// 404: it does not exist, or belongs to another account.
    pub(crate) fn not_found(what: &'static str) -> Self {
        Rejection::NotFound(what).into()
    }

    pub(crate) fn unauthorized() -> Self {
        Self::of(Code::Unauthorized, "a valid API key is required: Authorization: Bearer sk_live_…")
    }

    pub(crate) fn operator_only() -> Self {
        Self::of(Code::OperatorOnly, "only an operator's key may do this")
    }

    /// 405. The router adds the `Allow` header.
    pub(crate) fn method_not_allowed() -> Self {
        Self::of(Code::MethodNotAllowed, "this route does not support the method")
    }

    pub(crate) fn payload_too_large(bytes_max: usize) -> Self {
        Rejection::PayloadTooLarge { bytes_max }.into()
    }

    /// 429, with `Retry-After`.
    pub(crate) fn rate_limited(pause: Duration) -> Self {
        let retry_after = Some(whole_seconds(pause).max(1));
        Self { retry_after, ..Self::of(Code::RateLimited, "too many requests; Retry-After says when to try again") }
    }

    /// 500. The cause is logged, so it must not contain anything that the caller sent.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::of(Code::InternalError, "something failed on our side; give the request id when you report it")
        }
    }

    /// 502. Plugipay's answer is logged without values.
    fn provider(error: &PortError) -> Self {
        let message = match error.kind() {
            PortErrorKind::Permanent => "Plugipay refused; give the request id when you report it",
            PortErrorKind::OutcomeUnknown => "Plugipay did not answer in time; send the request again to continue",
            PortErrorKind::Transient | PortErrorKind::Busy => "Plugipay is not available; try again",
        };
        let retry_after = error.retry_after().map(whole_seconds);
        Self { retry_after, cause: Some(log::describe(error)), ..Self::of(Code::PlugipayError, message) }
    }

    pub(crate) fn busy(message: &'static str) -> Self {
        Self::of(Code::Busy, message)
    }

    /// Adds a cause. It is logged, so it must not contain anything that the caller sent.
    pub(crate) fn because(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The problem of a response that carries none: axum itself refused the request.
    pub(crate) fn of_status(status: StatusCode) -> Self {
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

/// Rounds up.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        // The text starts with a space if there is no field.
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
            Failure::Busy | Failure::Conflict => Self::busy("concurrent requests changed the same data; try again"),
            Failure::Provider { error } => Self::provider(&error),
            Failure::Port { error, .. } => Self::internal(log::describe(&error)),
            _ => Self::internal("an unknown failure"),
        }
    }
}

/// An empty response that carries the problem as an extension.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
