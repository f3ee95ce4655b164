//! The ports: what a host has to bring. `serront-adapters` has implementations, `serront-testkit` strict ones in
//! memory and a conformance suite.
//!
//! Each method's documentation lists what an implementation must guarantee. No port names a database, a runtime or a
//! wire library.

use std::error::Error;
use std::fmt;
use std::time::Duration;

mod environment;
mod mail;
mod plugipay;
mod receipts;
mod sink;
mod storage;

pub use environment::{Clock, Ids, Sealer, Secrets};
pub use mail::Mailer;
pub use plugipay::{Plugipay, PlugipayAnswer, PlugipayCall, PlugipayMethod};
pub use receipts::{QuarantinedReceipt, Receipts, StoredReceipt};
pub use sink::{Post, Posted, Sink, TargetError, TargetRefused};
#[doc(hidden)]
pub use storage::signatures;
pub use storage::{
    AccountReads, Bookkeeping, CommitError, Commits, Credentials, FundsReads, LeaseLost, OnlineReads, OperatorReads,
    OrderReads, Outbox, RecordError, ShopReads, Storage, Upkeep, WebhookReads, WorkStorage,
};

pub use crate::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, DueEffect, ExceptionSnapshot, Fence, FundsSnapshot,
    InstallationRow, NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot,
    SessionSnapshot, ShopSnapshot, SubscriptionSecrets, Target,
};

/// What a failed call to a port means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortErrorKind {
    /// It did not happen; the same call may succeed shortly.
    Transient,
    /// It did not happen, and will not by trying again.
    Permanent,
    /// It did not happen: too much is under way. Trying again at once makes it worse; the caller is told `BUSY`.
    Busy,
    /// Whether it happened is not known (a time-out, a connection lost on the way back). Neither success nor failure.
    OutcomeUnknown,
}

/// A failed call to a port. The source stays inside: its text may hold what no client should see.
#[derive(Debug)]
pub struct PortError {
    kind: PortErrorKind,
    retry_after: Option<Duration>,
    source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// A failure of this kind.
    pub fn new(kind: PortErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, retry_after: None, source: source.into() }
    }

    /// A failure that may pass.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::Transient, source)
    }

    /// A failure that stays.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::Permanent, source)
    }

    /// A call whose outcome is not known.
    pub fn outcome_unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::OutcomeUnknown, source)
    }

    /// The same, with how long the other side asked to be left alone.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// How long the other side asked to be left alone, if it did.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What it means for the caller.
    #[must_use]
    pub const fn kind(&self) -> PortErrorKind {
        self.kind
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            PortErrorKind::Transient => "a port failed for now",
            PortErrorKind::Permanent => "a port failed",
            PortErrorKind::Busy => "a port is busy",
            PortErrorKind::OutcomeUnknown => "a port did not say what became of a call",
        })
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
