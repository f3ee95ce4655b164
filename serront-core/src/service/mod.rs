//! The service: reads, decides, commits, and decides again after a conflict.
//!
//! | type | its commands | needs |
//! |---|---|---|
//! | [`Commands`] | every read, and every command that needs only the storage | a storage |
//! | [`ReceiptUploads`] | storing and reading receipts | a storage and a store of receipts |
//! | [`WebhookRegistration`] | registering a subscription's address | a storage and a sink |
//! | [`OnlinePayments`] | modules, paying online, reconciliation | a storage and Plugipay |
//!
//! [`Commands`] can run in a transaction that the host opened ([`Commands::bound`]). The others wait for something
//! outside, so they can't.
//!
//! Every method can fail with [`Failure::Port`] or [`Failure::Busy`]. The `# Errors` sections list only what comes in
//! addition. Hosts and the periodic [`work`](crate::work) call this module; it authorizes nothing beyond finding a
//! key's holder.

use crate::policy::Policy;
use crate::ports::{Clock, Ids, PortError, PortErrorKind, Sealer, Secrets};
use crate::primitives::ids::ChangeSetId;
use crate::primitives::rejection::Rejection;

mod accounts;
mod authentication;
mod commands;
mod exceptions;
mod ledger;
mod notifications;
mod online;
mod orders;
mod payouts;
mod provisioning;
mod receipts;
mod reconcile;
mod registration;
mod secrets;
mod shop;
mod verification;
mod webhooks;

pub use commands::Commands;
pub use exceptions::{ExceptionsPage, Resolution};
pub use ledger::EntriesPage;
pub use online::{OnlinePayments, Provider};
pub use orders::OrdersPage;
pub use payouts::PayoutsPage;
pub use receipts::{ReceiptImage, ReceiptUploads};
pub use registration::WebhookRegistration;
pub use secrets::{KeysError, OtherKeys, Resealed};
pub use verification::verify;

/// What every command needs besides a storage.
#[derive(Clone, Copy)]
pub struct Environment<'p> {
    /// The time, and pauses.
    pub clock: &'p dyn Clock,
    /// The source of ids.
    pub ids: &'p dyn Ids,
    /// The source of random secrets, such as API keys and access tokens.
    pub secrets: &'p dyn Secrets,
    /// Encrypts and decrypts secrets at rest.
    pub sealer: &'p dyn Sealer,
    /// The host's figures.
    pub policy: &'p Policy,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").field("policy", self.policy).finish_non_exhaustive()
    }
}

/// Why a command did not succeed. Each family says what the caller does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command was refused, and nothing changed. Show the caller why.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too many concurrent changes of the same row, or a port is busy. Nothing changed; try again shortly.
    #[error("too many concurrent changes")]
    Busy,
    /// In the host's transaction, a guard does not hold. Roll back, and begin a new transaction.
    #[error("what was read has changed since")]
    Conflict,
    /// Plugipay refused or failed. If the kind is *outcome unknown*, the call may have succeeded; repeating the command
    /// settles it.
    #[error("Plugipay refused or did not answer")]
    #[allow(missing_docs, reason = "described at the variant")]
    Provider {
        #[source]
        error: PortError,
    },
    /// A port failed. If the kind is *outcome unknown*, [`Commands::outcome`] says whether the change set was
    /// committed.
    #[error("{error}")]
    Port {
        /// The port's error.
        #[source]
        error: PortError,
        /// The change set of the failed commit; `None` if nothing was being committed.
        change_set: Option<ChangeSetId>,
    },
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        if error.kind() == PortErrorKind::Busy {
            return Self::Busy;
        }
        Self::Port { error, change_set: None }
    }
}

impl From<crate::primitives::rejection::Invalid> for Failure {
    fn from(invalid: crate::primitives::rejection::Invalid) -> Self {
        Self::Rejected(invalid.into())
    }
}

/// A command's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The outcome.
    pub value: T,
    /// Whether an earlier request with the same idempotency key had this outcome.
    pub replayed: bool,
    /// The committed change set; `None` if nothing changed.
    pub change_set: Option<ChangeSetId>,
}

impl<T> Answer<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), replayed: self.replayed, change_set: self.change_set }
    }
}
