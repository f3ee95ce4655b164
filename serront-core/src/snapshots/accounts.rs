//! An account with its settings, and the installation that all accounts share.

use crate::accounts::account::Account;
use crate::accounts::sealed::SealedSecret;
use crate::changes::idempotency::Kept;
use crate::online::provisioning::Provisioning;
use crate::primitives::ids::InstallationId;
use crate::shop::storefront::Storefront;
use crate::webhooks::subscription::Subscription;

/// What a decision about an account's settings needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The account.
    pub account: Account,
    /// Its storefront. `None` until the seller has saved one.
    pub storefront: Option<Storefront>,
    /// Its webhook subscriptions, oldest first.
    pub subscriptions: Vec<Subscription>,
    /// The number of services in its catalog.
    pub services: u32,
    /// Its notification endpoint at Plugipay. `None` until provisioning has begun.
    pub provisioning: Option<Provisioning>,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}

/// What a storage knows about the installation that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstallationRow {
    /// Its id. `None` until [`begin_installation`](crate::ports::Upkeep::begin_installation) has written one.
    pub id: Option<InstallationId>,
    /// A known text, sealed under the keys of this installation. `None` until
    /// [`put_key_check`](crate::ports::Upkeep::put_key_check) has written one.
    pub key_check: Option<SealedSecret>,
    /// Whether any account exists.
    pub has_accounts: bool,
    /// Whether any payment refers to a receipt.
    pub names_receipts: bool,
}
