//! Why a command is refused: a closed list with stable codes, and the precedence among them.
//!
//! Precedence, first to last: who are you; may you do this at all; for money routes, is the module on; does it exist
//! for you; is the input well formed; has this idempotency key been used; does the plan allow it; is it configured;
//! is the payment confirmed already; is the order closed; is there a quote; is there a bank account; is there enough
//! money; for an effect that is to be sent again, is it queued already, is the subscription that it goes to inactive;
//! last, what only the outside or the commit can tell: an address that must not be posted to, a name that is
//! taken. The decisions check in this order, and each has a test where two refusals meet.

use std::borrow::Cow;
use std::fmt;

use crate::primitives::image::ImageFault;

/// Input that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param} {reason}")]
pub struct Invalid {
    /// The offending field, as a path (`manualBankAccounts[5].bankName`).
    pub param: String,
    /// What is wrong with it, to follow the field's name in a sentence.
    pub reason: Cow<'static, str>,
}

impl Invalid {
    /// A refusal of this field for this reason. The reason must not repeat the refused value: it may be a secret.
    pub fn new(param: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { param: param.into(), reason: reason.into() }
    }
}

/// The stable codes of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// 400: the input is not well formed.
    ValidationError,
    /// 401: no key, or an unknown one.
    Unauthorized,
    /// 401: a notification's signature is missing, malformed, stale, early or made with another secret.
    InvalidSignature,
    /// 403: the plan does not include this.
    UpgradeRequired,
    /// 403: the plan's limit is used up.
    LimitReached,
    /// 403: only an operator may do this.
    OperatorOnly,
    /// 404: not there, or not yours.
    NotFound,
    /// 405: the route exists, with other methods.
    MethodNotAllowed,
    /// 409: the state does not allow it.
    InvalidTransition,
    /// 409: the account's payment module is off.
    PaymentModuleDisabled,
    /// 409: the order was declined or canceled.
    OrderClosed,
    /// 409: there is no quote yet.
    NoQuote,
    /// 409: there is less than that available.
    InsufficientBalance,
    /// 409: it is not known where the money is to go.
    BankAccountRequired,
    /// 409: something else holds this name, or still needs this object.
    Conflict,
    /// 409: the key belongs to another request.
    IdempotencyKeyInUse,
    /// 409: the next attempt is queued already.
    AlreadyQueued,
    /// 409: nothing is sent to this subscription.
    EndpointDisabled,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the bytes are none of the accepted kinds.
    UnsupportedMediaType,
    /// 429: too many requests of one client, or about one order; `Retry-After` says when to come again.
    RateLimited,
    /// 500: a failure that is not the caller's.
    InternalError,
    /// 502: Plugipay refused, or did not answer.
    PlugipayError,
    /// 503: this installation lacks what the request needs.
    NotConfigured,
    /// 503: too many at once; try again shortly.
    Busy,
}

impl Code {
    /// The code as it stands on the wire.
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

    /// The HTTP status that goes with the code.
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

/// A command refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no such thing for this caller; another account's things are not told apart from missing ones.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A field is not well formed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The uploaded file is not taken as a receipt, for this reason.
    #[error(transparent)]
    UnsupportedMediaType(crate::primitives::image::ImageFault),
    /// More bytes than a receipt may have.
    #[error("the body must be at most {bytes_max} bytes")]
    PayloadTooLarge {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The idempotency key was used for another request, or for one whose answer can't be shown twice.
    #[error("{0}")]
    IdempotencyKeyInUse(&'static str),
    /// The plan does not include this.
    #[error("the {tier} plan does not include {feature}")]
    UpgradeRequired {
        /// The account's plan.
        tier: crate::primitives::tier::Tier,
        /// What it lacks.
        feature: &'static str,
    },
    /// The plan's limit is used up.
    #[error("at most {limit} {things} here")]
    LimitReached {
        /// How many there may be.
        limit: u32,
        /// Of what.
        things: &'static str,
    },
    /// This installation lacks what the command needs.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A notification's signature does not hold; it is not said why.
    #[error("the signature does not hold")]
    InvalidSignature,
    /// The account's payment module is off.
    #[error("the payment module is off")]
    PaymentModuleDisabled,
    /// The order was declined or canceled.
    #[error("the order was {0}")]
    OrderClosed(&'static str),
    /// There is nothing to pay yet.
    #[error("there is no quote yet")]
    NoQuote,
    /// It is not known where the money is to go: no details were given, and there is no default account.
    #[error("there is no bank account to pay to")]
    BankAccountRequired,
    /// There is less available than was asked for.
    #[error("{available} rupiah are available")]
    InsufficientBalance {
        /// What there is, in rupiah; below zero after an adjustment.
        available: i64,
    },
    /// The effect is still pending: its next attempt comes by itself.
    #[error("the next attempt is queued already")]
    AlreadyQueued,
    /// Nothing is sent to the delivery's subscription, for this reason.
    #[error("the webhook subscription {0}")]
    EndpointDisabled(&'static str),
    /// The state does not allow the move.
    #[error("{track} can't go from {from} to {to}")]
    InvalidTransition {
        /// Which track of the order.
        track: &'static str,
        /// The present state.
        from: &'static str,
        /// The state, or the act, that was asked for.
        to: &'static str,
    },
    /// Another object holds the name, or still needs this one.
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

    /// The offending field, where there is one.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid(invalid) => Some(invalid.param.as_str()).filter(|param| !param.is_empty()),
            Self::NotFound(_)
            | Self::UnsupportedMediaType(_)
            | Self::PayloadTooLarge { .. }
            | Self::IdempotencyKeyInUse(_)
            | Self::UpgradeRequired { .. }
            | Self::LimitReached { .. }
            | Self::NotConfigured(_)
            | Self::InvalidSignature
            | Self::PaymentModuleDisabled
            | Self::OrderClosed(_)
            | Self::NoQuote
            | Self::BankAccountRequired
            | Self::InsufficientBalance { .. }
            | Self::AlreadyQueued
            | Self::EndpointDisabled(_)
            | Self::InvalidTransition { .. }
            | Self::Conflict(_) => None,
        }
    }
}

impl From<ImageFault> for Rejection {
    fn from(fault: ImageFault) -> Self {
        Self::UnsupportedMediaType(fault)
    }
}
