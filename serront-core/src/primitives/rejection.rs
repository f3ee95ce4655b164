//! The reasons to refuse a command: a closed list with stable codes, in a fixed precedence.
//!
//! Checks run in this order: authentication; permission; the payment module (money routes only); existence; well-formed
//! input; idempotency key; plan; configuration; payment already confirmed; order closed; no quote; no bank account;
//! balance; for a redelivery, already queued, then subscription inactive. Last comes what only an external system or
//! the commit can decide: a forbidden webhook address, a name that is taken. Tests cover the pairs where two checks
//! fail.

use std::borrow::Cow;
use std::fmt;

use crate::primitives::image::ImageFault;
use crate::primitives::tier::Tier;

/// A malformed or missing input field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param} {reason}")]
pub struct Invalid {
    /// The field's path (`manualBankAccounts[5].bankName`); empty if the whole input is invalid.
    pub param: String,
    /// The predicate of a sentence that begins with the field's name.
    pub reason: Cow<'static, str>,
}

impl Invalid {
    /// Names a field and what is wrong with it. The reason must not repeat the value, which may be a secret.
    pub fn new(param: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { param: param.into(), reason: reason.into() }
    }
}

/// The wire contract's stable error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// 400: a field is malformed or missing.
    ValidationError,
    /// 401: the key is missing or unknown.
    Unauthorized,
    /// 401: a notification's signature is missing, malformed, outside the time tolerance, or made with another secret.
    InvalidSignature,
    /// 403: the plan does not include this.
    UpgradeRequired,
    /// 403: a limit of the plan or of the library is reached.
    LimitReached,
    /// 403: only an operator may do this.
    OperatorOnly,
    /// 404: it does not exist, or belongs to another account.
    NotFound,
    /// 405: the route does not support this method.
    MethodNotAllowed,
    /// 409: the state does not allow it.
    InvalidTransition,
    /// 409: the account's payment module is off.
    PaymentModuleDisabled,
    /// 409: the order was declined or canceled.
    OrderClosed,
    /// 409: the seller has not quoted a price yet.
    NoQuote,
    /// 409: the amount exceeds the available balance.
    InsufficientBalance,
    /// 409: the payout has no destination.
    BankAccountRequired,
    /// 409: the name is taken, or the object is still in use.
    Conflict,
    /// 409: the key was used for a different request.
    IdempotencyKeyInUse,
    /// 409: the next attempt is already queued.
    AlreadyQueued,
    /// 409: the webhook subscription is inactive.
    EndpointDisabled,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the file is not an accepted image.
    UnsupportedMediaType,
    /// 429: too many requests from one client or about one order; `Retry-After` says when to retry.
    RateLimited,
    /// 500: an internal failure; the request was not at fault.
    InternalError,
    /// 502: Plugipay refused the call or did not answer.
    PlugipayError,
    /// 503: this installation is not configured for the request.
    NotConfigured,
    /// 503: the server is overloaded; retry shortly.
    Busy,
}

impl Code {
    /// The code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::InvalidSignature => "INVALID_SIGNATURE",
            Self::UpgradeRequired => "UPGRADE_REQUIRED",
            Self::LimitReached => "LIMIT_REACHED",
            Self::OperatorOnly => "OPERATOR_ONLY",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::InvalidTransition => "INVALID_TRANSITION",
            Self::PaymentModuleDisabled => "PAYMENT_MODULE_DISABLED",
            Self::OrderClosed => "ORDER_CLOSED",
            Self::NoQuote => "NO_QUOTE",
            Self::InsufficientBalance => "INSUFFICIENT_BALANCE",
            Self::BankAccountRequired => "BANK_ACCOUNT_REQUIRED",
            Self::Conflict => "CONFLICT",
            Self::IdempotencyKeyInUse => "IDEMPOTENCY_KEY_IN_USE",
            Self::AlreadyQueued => "ALREADY_QUEUED",
            Self::EndpointDisabled => "ENDPOINT_DISABLED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::PlugipayError => "PLUGIPAY_ERROR",
            Self::NotConfigured => "NOT_CONFIGURED",
            Self::Busy => "BUSY",
        }
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::ValidationError => 400,
            Self::Unauthorized | Self::InvalidSignature => 401,
            Self::UpgradeRequired | Self::LimitReached | Self::OperatorOnly => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::InvalidTransition
            | Self::Conflict
            | Self::IdempotencyKeyInUse
            | Self::PaymentModuleDisabled
            | Self::OrderClosed
            | Self::NoQuote
            | Self::InsufficientBalance
            | Self::BankAccountRequired
            | Self::AlreadyQueued
            | Self::EndpointDisabled => 409,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::InternalError => 500,
            Self::PlugipayError => 502,
            Self::NotConfigured | Self::Busy => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A refused command. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The object does not exist, or belongs to another account: callers cannot distinguish the two.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A field is malformed or missing.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The uploaded file is not accepted as a receipt.
    #[error(transparent)]
    UnsupportedMediaType(ImageFault),
    /// The upload exceeds a receipt's size limit.
    #[error("the body must be at most {bytes_max} bytes")]
    PayloadTooLarge {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The idempotency key was used for a different request, or for one whose answer can only be shown once.
    #[error("{0}")]
    IdempotencyKeyInUse(&'static str),
    /// The plan does not include this.
    #[error("the {tier} plan does not include {feature}")]
    UpgradeRequired {
        /// The account's plan.
        tier: Tier,
        /// The feature that it lacks.
        feature: &'static str,
    },
    /// A limit of the plan or of the library is reached.
    #[error("at most {limit} {things} here")]
    LimitReached {
        /// The most there may be.
        limit: u32,
        /// What is limited, in the plural.
        things: &'static str,
    },
    /// This installation is not configured for the command.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A notification's signature is invalid. The reason is withheld, so that a forger learns nothing.
    #[error("the signature does not hold")]
    InvalidSignature,
    /// The account's payment module is off.
    #[error("the payment module is off")]
    PaymentModuleDisabled,
    /// The order was declined or canceled.
    #[error("the order was {0}")]
    OrderClosed(&'static str),
    /// The seller has not quoted a price yet.
    #[error("there is no quote yet")]
    NoQuote,
    /// The request names no bank account, and the seller has set no complete default.
    #[error("there is no bank account to pay to")]
    BankAccountRequired,
    /// The amount exceeds the available balance.
    #[error("{available} rupiah are available")]
    InsufficientBalance {
        /// The available balance, in rupiah; an adjustment can make it negative.
        available: i64,
    },
    /// The effect is still pending: its next attempt runs without a request.
    #[error("the next attempt is queued already")]
    AlreadyQueued,
    /// The delivery's subscription is inactive or deleted; holds the predicate that says which.
    #[error("the webhook subscription {0}")]
    EndpointDisabled(&'static str),
    /// The state does not allow the transition.
    #[error("{track} can't go from {from} to {to}")]
    InvalidTransition {
        /// The object: `the order`, `the payment`, `the payout` or `the exception`.
        track: &'static str,
        /// The current state.
        from: &'static str,
        /// The requested state or action.
        to: &'static str,
    },
    /// The name is taken, or the object is still in use.
    #[error("{0}")]
    Conflict(&'static str),
}

impl Rejection {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            Self::Invalid(_) => Code::ValidationError,
            Self::UnsupportedMediaType(_) => Code::UnsupportedMediaType,
            Self::PayloadTooLarge { .. } => Code::PayloadTooLarge,
            Self::IdempotencyKeyInUse(_) => Code::IdempotencyKeyInUse,
            Self::UpgradeRequired { .. } => Code::UpgradeRequired,
            Self::LimitReached { .. } => Code::LimitReached,
            Self::NotConfigured(_) => Code::NotConfigured,
            Self::InvalidSignature => Code::InvalidSignature,
            Self::PaymentModuleDisabled => Code::PaymentModuleDisabled,
            Self::OrderClosed(_) => Code::OrderClosed,
            Self::NoQuote => Code::NoQuote,
            Self::BankAccountRequired => Code::BankAccountRequired,
            Self::InsufficientBalance { .. } => Code::InsufficientBalance,
            Self::AlreadyQueued => Code::AlreadyQueued,
            Self::EndpointDisabled(_) => Code::EndpointDisabled,
            Self::InvalidTransition { .. } => Code::InvalidTransition,
            Self::Conflict(_) => Code::Conflict,
        }
    }

    /// The path of the invalid field; `None` for other rejections, and if the whole input is invalid.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        let Self::Invalid(invalid) = self else { return None };
        Some(invalid.param.as_str()).filter(|param| !param.is_empty())
    }
}

impl From<ImageFault> for Rejection {
    fn from(fault: ImageFault) -> Self {
        Self::UnsupportedMediaType(fault)
    }
}
