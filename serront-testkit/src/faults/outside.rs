//! Faults of the outside world: receipts, mail, sellers' systems, Plugipay.

use std::sync::Arc;

use async_trait::async_trait;
use serront_core::forward_port;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::orders::mail::MailMessage;
use serront_core::ports::{Mailer, Plugipay, PortError, PortErrorKind, Post, Posted, Sink, TargetError, TargetRefused};

use super::{Call, FAILURE, Faults};

/// Declares a wrapper that consists of a port and its faults, and of one field more if it needs one.
macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident $({ $field:ident: $type:ty })?) => {
        $(#[$doc])*
        pub struct $name<P: ?Sized> {
            faults: Faults,
            $($field: $type,)?
            inner: Arc<P>,
        }

        impl<P: ?Sized> std::fmt::Debug for $name<P> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl<P: ?Sized> $name<P> {
            /// Wraps this port with a new, empty plan.
            #[must_use]
            pub fn new(inner: Arc<P>) -> Self {
                Self::with_faults(inner, &Faults::default())
            }

            /// Wraps this port with a plan that other wrappers share.
            #[must_use]
            pub fn with_faults(inner: Arc<P>, faults: &Faults) -> Self {
                Self { faults: faults.clone(), $($field: <$type>::default(),)? inner }
            }

            /// The plan. Use it to say which calls fail.
            #[must_use]
            pub fn faults(&self) -> Faults {
                self.faults.clone()
            }

            /// The wrapped port, which never fails.
            #[must_use]
            pub fn inner(&self) -> &Arc<P> {
                &self.inner
            }
        }
    };
}
pub(super) use wrapper;

wrapper! {
    /// Wraps a receipts' store: calls fail as its [`Faults`] say.
    FaultyReceipts
}

/// The body of every method: the call on the wrapped store, with a fault around it.
macro_rules! faulty {
    ($this:ident.put $arguments:tt $_:tt) => { faulty!(write, PutReceipt, $this.put $arguments) };
    ($this:ident.delete $arguments:tt $_:tt) => { faulty!(write, DeleteReceipt, $this.delete $arguments) };
    ($this:ident.quarantine $arguments:tt $_:tt) => { faulty!(write, QuarantineReceipt, $this.quarantine $arguments) };
    ($this:ident.restore $arguments:tt $_:tt) => { faulty!(write, RestoreReceipt, $this.restore $arguments) };
    ($this:ident.discard $arguments:tt $_:tt) => { faulty!(write, DiscardReceipt, $this.discard $arguments) };
    ($this:ident.begin_installation $arguments:tt $_:tt) => {
        faulty!(write, BeginInstallation, $this.begin_installation $arguments)
    };
    ($this:ident.adopt $arguments:tt $_:tt) => { faulty!(write, AdoptReceipts, $this.adopt $arguments) };
    ($this:ident.get $arguments:tt $_:tt) => { faulty!(read, GetReceipt, $this.get $arguments) };
    ($this:ident.installation $arguments:tt $_:tt) => { faulty!(read, GetReceipt, $this.installation $arguments) };
    ($this:ident.list $arguments:tt $_:tt) => { faulty!(read, ListReceipts, $this.list $arguments) };
    ($this:ident.quarantined $arguments:tt $_:tt) => { faulty!(read, ListReceipts, $this.quarantined $arguments) };
    ($kind:ident, $call:ident, $this:ident.$method:ident($($argument:ident),*)) => {
        $this.faults.$kind(Call::$call, || $this.inner.$method($($argument),*)).await
    };
}

forward_port! { impl<P> Receipts for FaultyReceipts<P> { faulty! } }

wrapper! {
    /// Wraps a mailer: calls fail as its [`Faults`] say.
    FaultyMailer
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Mailer + ?Sized> Mailer for FaultyMailer<P> {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        self.faults.write(Call::SendMail, || self.inner.send(message)).await
    }
}

wrapper! {
    /// Wraps a sink: calls fail as its [`Faults`] say. A failed check is refused or busy; a failed post has no answer.
    FaultySink
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Sink + ?Sized> Sink for FaultySink<P> {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        let failed = |kind| match kind {
            PortErrorKind::Busy => TargetError::Busy,
            PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => {
                TargetRefused(FAILURE).into()
            }
        };
        self.faults.around(Call::CheckTarget, || self.inner.check_target(url), |kind| Err(failed(kind))).await
    }

    async fn post(&self, post: &Post) -> Posted {
        self.faults.around(Call::Post, || self.inner.post(post), |_| Posted::Failed(FAILURE.to_owned())).await
    }
}

wrapper! {
    /// Wraps Plugipay: calls fail as its [`Faults`] say.
    FaultyPlugipay
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Plugipay + ?Sized> Plugipay for FaultyPlugipay<P> {
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        self.faults.write(Call::CallPlugipay, || self.inner.call(call)).await
    }
}
