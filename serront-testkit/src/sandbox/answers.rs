//! Answers to calls.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;
use serront_core::primitives::digest::Digest256;

/// A call that was carried out.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "only HTTP shows it"))]
    pub(crate) status: u16,
    pub(crate) data: Value,
    /// Cursor of a list's next page; `None` if the answer is not a list.
    pub(crate) cursor: Option<Option<String>>,
}

impl Done {
    pub(super) const fn found(data: Value) -> Self {
        Self { status: 200, data, cursor: None }
    }

    pub(super) const fn created(data: Value) -> Self {
        Self { status: 201, data, cursor: None }
    }
}

/// A call that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "only HTTP shows it"))]
    pub(crate) message: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: code.into(), message: message.into(), retry_after: None }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "not found")
    }

    pub(crate) fn planned(status: u16, code: String) -> Self {
        Self { code: code.into(), ..Self::new(status, "", "refused, as planned") }
    }

    pub(crate) fn outage(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(503, "SERVICE_UNAVAILABLE", "planned outage") }
    }
}

/// The answer kept under an idempotency key.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) request: Digest256,
    pub(super) answer: Done,
}
