//! The ports: the traits that a host must provide. `serront-adapters` implements them; `serront-testkit` has strict
//! implementations in memory and a conformance suite.
//!
//! The documentation of each method lists what an implementation must guarantee. No port names a database, a runtime or a
//! wire library. The rows that reads return are in [`snapshots`](crate::snapshots).

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Declares a port, or a part of one: its trait exactly as written, and the macro `$signatures!`, which passes the trait's
/// signatures to another macro. `$` itself is passed as `$dollar`, because the inner macro has variables too.
macro_rules! part {
    ($signatures:ident! $(#[$about:meta])* pub trait $Part:ident {
        $($(#[$doc:meta])* async fn $method:ident $inputs:tt -> $answer:ty;)+
    }) => {
        part! {
            @declare ($) $signatures [$(#[$about])*] $Part
            [$($(#[$doc])* async fn $method $inputs -> $answer;)+] [$(async fn $method $inputs -> $answer;)+]
        }
    };
    (@declare ($dollar:tt) $signatures:ident [$($about:tt)*] $Part:ident [$($documented:tt)*] [$($signature:tt)*]) => {
        $($about)*
        #[async_trait::async_trait]
        pub trait $Part: Send + Sync { $($documented)* }

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $signatures {
            ([$dollar($dollar callback:tt)*] $dollar($dollar context:tt)*) => {
                $dollar($dollar callback)*! { $dollar($dollar context)* trait $Part { $($signature)* } }
            };
        }
    };
}

mod environment;
mod forward;
mod mail;
mod plugipay;
pub mod prelude;
mod receipts;
mod sealing;
mod signatures;
mod sink;
mod storage;

pub use environment::{Clock, Ids, Sealer, Secrets};
pub use mail::Mailer;
pub use plugipay::Plugipay;
pub use receipts::{QuarantinedReceipt, Receipts, StoredReceipt};
pub use sealing::NoKeys;
pub use sink::{Post, Posted, Sink, TargetError, TargetRefused};
pub use storage::{
    AccountReads, Bookkeeping, CommitError, Commits, Credentials, FundsReads, LeaseLost, OnlineReads, OperatorReads,
    OrderReads, Outbox, RecordError, ShopReads, Storage, Upkeep, WebhookReads, WorkStorage,
};

/// What a failed call to a port means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortErrorKind {
    /// The call changed nothing; the same call may succeed shortly.
    Transient,
    /// The call changed nothing, and trying again does not help.
    Permanent,
    /// The call changed nothing, because the port is overloaded. An immediate retry makes it worse; the client gets `BUSY`.
    Busy,
    /// The call may or may not have taken effect (a time-out, a connection lost before the answer). Neither success nor
    /// failure.
    OutcomeUnknown,
}

/// A failed call to a port. `Display` does not show the source, whose text may contain what no client should see.
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

    /// A transient failure.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::Transient, source)
    }

    /// A permanent failure.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::Permanent, source)
    }

    /// A call with an unknown outcome.
    pub fn outcome_unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(PortErrorKind::OutcomeUnknown, source)
    }

    /// Sets the time that the other side asked us to wait before another call.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The time that the other side asked us to wait before another call, if it did.
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
