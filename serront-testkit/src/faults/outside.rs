//! Faults of the outside world: receipts, mail, sellers' systems, Plugipay.

use std::sync::Arc;

use async_trait::async_trait;
use serront_core::ids::{AccountId, InstallationId, UploadId};
use serront_core::mail::MailMessage;
use serront_core::ports::{
    Mailer, Plugipay, PlugipayAnswer, PlugipayCall, PortError, PortErrorKind, Post, Posted, QuarantinedReceipt,
    Receipts, Sink, StoredReceipt, TargetError, TargetRefused,
};
use serront_core::time::Timestamp;

use super::{Call, FAILURE, Faults, refused_read};

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

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Receipts + ?Sized> Receipts for FaultyReceipts<P> {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        self.faults.write(Call::PutReceipt, || self.inner.put(account_id, upload_id, bytes)).await
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        self.faults.around(Call::GetReceipt, || self.inner.get(account_id, upload_id), refused_read).await
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.faults.write(Call::DeleteReceipt, || self.inner.delete(account_id, upload_id)).await
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        self.faults.around(Call::ListReceipts, || self.inner.list(before, after, limit), refused_read).await
    }

    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError> {
        self.faults.write(Call::QuarantineReceipt, || self.inner.quarantine(account_id, upload_id, since)).await
    }

    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError> {
        self.faults.around(Call::ListReceipts, || self.inner.quarantined(before, after, limit), refused_read).await
    }

    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.faults.write(Call::RestoreReceipt, || self.inner.restore(account_id, upload_id)).await
    }

    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.faults.write(Call::DiscardReceipt, || self.inner.discard(account_id, upload_id)).await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, PortError> {
        self.faults.around(Call::GetReceipt, || self.inner.installation(), refused_read).await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.faults.write(Call::BeginInstallation, || self.inner.begin_installation(id)).await
    }

    async fn adopt(&self, id: InstallationId) -> Result<(), PortError> {
        self.faults.write(Call::AdoptReceipts, || self.inner.adopt(id)).await
    }
}

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
