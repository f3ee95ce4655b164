//! The core of Serront's payment library: types, decisions, ports, and the service that combines them.
//!
//! A backend team embeds it to be paid by bank transfer, with a receipt as proof, and online at Plugipay. It does no
//! I/O, starts no task, and reads neither a clock nor a random source. Its main idea is that *a change is a value*:
//!
//! ```text
//! request ─▶ service ─▶ storage.read ─▶ decide(snapshot, command, context) ─▶ ChangeSet ─▶ storage.commit
//!                                       pure; or a Rejection                    one atomic write
//! effects in the same commit ─▶ dispatcher ─▶ mail · webhook sink · receipts ─▶ storage.record_attempt
//!                               janitor ─▶ Plugipay
//! ```
//!
//! # To embed it
//!
//! Take a storage, a clock and the rest of an [`Environment`] from `serront-adapters`, and call [`Commands`],
//! [`ReceiptUploads`], [`WebhookRegistration`] or [`OnlinePayments`]. Run the jobs in [`work`] in a loop. The
//! repository's `examples/embed` is a complete program, and `examples/own-transaction` calls commands in a transaction
//! that the host opened.
//!
//! ```
//! use serront_core::{AccountId, Actor, Answer, Commands, Environment, Failure, OrderId, Storage, views::SellerOrder};
//!
//! /// The seller saw the money on the bank statement.
//! async fn confirm<S: Storage>(
//!     storage: &S,
//!     environment: Environment<'_>,
//!     (account, order): (AccountId, OrderId),
//! ) -> Result<Answer<SellerOrder>, Failure> {
//!     let cashier = Actor::host("cashier 7")?;
//!     let note = Some("on the statement of 3 March");
//!     Commands::new(storage, environment).confirm_payment(account, order, &cashier, note, None).await
//! }
//! ```
//!
//! # To write a storage or another adapter
//!
//! Implement a trait in [`ports`]; each method lists what it must guarantee. A storage passes the conformance suite in
//! `serront-testkit`. The small ports take a few lines:
//!
//! ```
//! use serront_core::ports::Ids;
//! use serront_core::primitives::ids::IdSequence;
//! use serront_core::Timestamp;
//! use ulid::Ulid;
//!
//! struct RandomIds(fn() -> u128);
//!
//! impl Ids for RandomIds {
//!     fn sequence(&self, now: Timestamp) -> IdSequence {
//!         IdSequence::from_seed(Ulid::from_parts(now.millis().unsigned_abs(), (self.0)()))
//!     }
//! }
//!
//! let ids = RandomIds(|| 7); // A host passes its random source.
//! let now = Timestamp::from_millis(1_767_225_600_000);
//! assert!(ids.sequence(now).order().to_string().starts_with("ord_"));
//! ```
//!
//! # To receive webhooks
//!
//! With any web framework, pass the raw body and the `Serront-Signature` header to [`webhooks::signature::verify`]:
//!
//! ```
//! use std::time::Duration;
//! use serront_core::{Timestamp, WebhookSecret, webhooks::signature::{sign, verify}};
//!
//! let secret = WebhookSecret::from_bytes(&[7; 24]);
//! let now = Timestamp::from_millis(1_767_225_600_000);
//! let (header, body) = (sign(&secret, now, "{}"), b"{}"); // Both from the request.
//! assert!(verify(&header, body, &[secret.reveal()], now, Duration::from_secs(300)).is_ok());
//! ```
//!
//! # To write tests
//!
//! A decision is a pure function, so a test of it needs no storage. For tests of a host's own code, `serront-testkit`
//! has a storage in memory, mocks of every port, faults, and a simulator.
//!
//! ```
//! use serront_core::accounts::key::ApiKey;
//! use serront_core::changes::change::Write;
//! use serront_core::decide::{Context, Decision, open_account};
//! use serront_core::primitives::ids::IdSequence;
//! use serront_core::{Policy, Rejection, Tier, Timestamp};
//! use ulid::Ulid;
//!
//! let policy = Policy::default();
//! let (now, ids) = (Timestamp::from_millis(0), IdSequence::from_seed(Ulid::from_parts(1, 1)));
//! let mut context = Context { now, ids, policy: &policy, request: None };
//! let key = ApiKey::from_bytes(&[7; 24]);
//! let Decision::Change(change, (account, _)) = open_account("Kopi Susu", Tier::Free, key, &mut context)? else {
//!     panic!("opening an account changes something")
//! };
//! assert_eq!(change.writes.first(), Some(&Write::InsertAccount(account)));
//! # Ok::<(), Rejection>(())
//! ```
//!
//! # The rooms
//!
//! A room names only rooms above it in this table; `scripts/circles` checks it.
//!
//! | room | what it holds |
//! |---|---|
//! | [`primitives`] | money, time, ids, checked text, digests, image formats, rejections |
//! | [`accounts`] | accounts, API keys and other credentials, actors, sealed secrets |
//! | [`orders`] | orders, payments, receipts, the audit trail, mails |
//! | [`funds`] | the ledger, balances, payouts, and the sums that verify them |
//! | [`online`] | checkouts, notifications, endpoints and exceptions at Plugipay, reconciliation |
//! | [`webhooks`] | subscriptions, events, signatures |
//! | [`shop`] | the storefront and the catalog; no room above it names them |
//! | [`changes`] | change sets: guards, writes, claims, effects; idempotency |
//! | [`policy`] | the figures that a host can set |
//! | [`snapshots`] | what a storage's reads return |
//! | [`views`] | what sellers, buyers and operators see |
//! | [`ports`] | the traits that a host implements, or takes from `serront-adapters` |
//! | [`decide`] | the decisions: pure functions |
//! | [`service`] | the commands: read, decide, commit, and again after a conflict |
//! | [`work`] | the periodic jobs: dispatcher, janitor, folder, sweeper; the check of an installation |
#![deny(missing_docs)]

pub mod accounts;
pub mod changes;
pub mod decide;
pub mod funds;
pub mod online;
pub mod orders;
pub mod policy;
pub mod ports;
pub mod primitives;
pub mod service;
pub mod shop;
pub mod snapshots;
pub mod views;
pub mod webhooks;
pub mod work;

// The commands, what they need, and what they answer.
pub use policy::Policy;
pub use ports::{PortError, Storage, WorkStorage};
pub use service::{
    Answer, Commands, Environment, Failure, OnlinePayments, Provider, ReceiptUploads, WebhookRegistration,
};
// Who calls, and with which credential or key.
pub use accounts::actor::Actor;
pub use accounts::key::{AccessToken, ApiKey, WebhookSecret};
pub use changes::idempotency::IdempotentRequest;
// The values in commands and answers, and why one is refused.
pub use orders::order::{Language, OrderInput};
pub use primitives::ids::{AccountId, OrderId, PayoutId, ServiceId, SubscriptionId};
pub use primitives::money::Rupiah;
pub use primitives::page::Limit;
pub use primitives::rejection::{Invalid, Rejection};
pub use primitives::tier::Tier;
pub use primitives::time::Timestamp;
