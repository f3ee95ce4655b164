//! The storage port, in parts by subject: one trait for each, which says what an adapter must guarantee.
//!
//! | file | part | what it holds |
//! |---|---|---|
//! | `accounts.rs` | [`AccountReads`] | accounts and their API keys |
//! | `shop.rs` | [`ShopReads`] | services and storefronts |
//! | `orders.rs` | [`OrderReads`] | orders, their counts and audit trails |
//! | `online.rs` | [`OnlineReads`] | checkouts, sessions, notifications, exceptions |
//! | `funds.rs` | [`FundsReads`] | balances, payouts, adjustments |
//! | `webhooks.rs` | [`WebhookReads`] | deliveries and other effects of one account |
//! | `commit.rs` | [`Commits`] | the only write of the domain |
//! | `outbox.rs` | [`Outbox`] | leases and attempts of the dispatcher |
//! | `bookkeeping.rs` | [`Bookkeeping`] | folding and verification |
//! | `operator.rs` | [`OperatorReads`] | lists across all accounts |
//! | `credentials.rs` | [`Credentials`] | use of keys, and secrets to seal again |
//! | `upkeep.rs` | [`Upkeep`] | the installation, readiness, and retention |
//!
//! An adapter implements the parts; [`Storage`] and [`WorkStorage`] are their sums, and every type with all parts implements
//! them. An adapter that binds to a transaction of the host implements the parts of [`Storage`] only.
//!
//! A wrapper around a storage uses [`forward_port!`](crate::forward_port), which knows every signature from here.

mod accounts;
mod bookkeeping;
mod commit;
mod credentials;
mod funds;
mod online;
mod operator;
mod orders;
mod outbox;
mod shop;
mod upkeep;
mod webhooks;

pub use accounts::AccountReads;
pub use bookkeeping::Bookkeeping;
pub use commit::{CommitError, Commits};
pub use credentials::Credentials;
pub use funds::FundsReads;
pub use online::OnlineReads;
pub use operator::OperatorReads;
pub use orders::OrderReads;
pub use outbox::{LeaseLost, Outbox, RecordError};
pub use shop::ShopReads;
pub use upkeep::Upkeep;
pub use webhooks::WebhookReads;

/// What a command needs: every read of one account, and the only write of the domain.
///
/// - Every read is a consistent snapshot of what was committed before it began.
/// - A read with an id of another account finds nothing.
/// - A read that takes an idempotency key returns the outcome stored under it only until that outcome's time ends, by the
///   storage's clock.
/// - A read fails as transient or permanent, never with an unknown outcome.
pub trait Storage: AccountReads + ShopReads + OrderReads + OnlineReads + FundsReads + WebhookReads + Commits {}

impl<T> Storage for T where T: AccountReads + ShopReads + OrderReads + OnlineReads + FundsReads + WebhookReads + Commits {}

/// What the periodic jobs and the operator need in addition: every read across accounts, and the only writes besides
/// [`Commits::commit`].
///
/// A row that this version can't read must stop nothing but itself:
/// - A method that looks at rows of many accounts ([`Outbox::take_due`], folding, verification, the lists) skips such a row
///   and continues. It leaves the row unchanged and records it for [`OperatorReads::set_aside`].
/// - [`Outbox::take_due`] tries a skipped row again: every five minutes, once after a start, and within ten seconds if only
///   older versions have tried it.
/// - A read for one account fails if it needs an unreadable row, and no other read fails with it.
pub trait WorkStorage: Storage + Outbox + Bookkeeping + OperatorReads + Credentials + Upkeep {}

impl<T: Storage + Outbox + Bookkeeping + OperatorReads + Credentials + Upkeep> WorkStorage for T {}
