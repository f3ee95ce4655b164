//! The service: it reads, lets a decision decide, commits, and decides again after a conflict.
//!
//! | type | its commands | needs |
//! |---|---|---|
//! | [`Commands`] | every read, and every command that waits for nothing but the storage | a storage |
//! | [`ReceiptUploads`] | storing and reading receipts | a storage and a store of receipts |
//! | [`WebhookRegistration`] | registering a subscription's address | a storage and a sink |
//! | [`OnlinePayments`] | modules, paying online, reconciliation | a storage and Plugipay |
//!
//! [`Commands`] can be bound to a transaction that the host opened ([`Commands::bound`]). The others wait for something
//! outside, so they can't.

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

/// Time, ids, secrets, keys and figures: what every command is given.
#[derive(Clone, Copy)]
pub struct Environment<'p> {
    /// Tells the time.
    pub clock: &'p dyn Clock,
    /// Gives ids.
    pub ids: &'p dyn Ids,
    /// Gives secrets.
    pub secrets: &'p dyn Secrets,
    /// Seals secrets at rest, and opens them.
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
    /// The command is refused; nothing was changed. Tell whoever asked.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too many changed the same thing at once; nothing was changed. Try again shortly.
    #[error("too many changed the same thing at once")]
    Busy,
    /// Bound to the host's transaction, and a guard does not hold. Roll back, and begin a new transaction.
    #[error("what was read has changed meanwhile")]
    Conflict,
    /// Plugipay refused or failed. If the kind is *outcome unknown*, the call may have been carried out; the same command
    /// settles it.
    #[error("Plugipay refused or did not answer")]
    Provider {
        /// Its error.
        #[source]
        error: PortError,
    },
    /// A port failed. If the kind is *outcome unknown*, whether the change landed can be asked for by its change set's id.
    #[error("{error}")]
    Port {
        /// The port's error.
        #[source]
        error: PortError,
        /// The change set under way, if there was one.
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

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The outcome.
    pub value: T,
    /// Whether it is the outcome of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The change set that made it so; `None` if nothing changed.
    pub change_set: Option<ChangeSetId>,
}

impl<T> Answer<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), replayed: self.replayed, change_set: self.change_set }
    }
}
