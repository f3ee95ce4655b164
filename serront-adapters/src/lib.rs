//! Implementations of the ports of `serront-core`. Each has a feature; none is enabled by default.
//!
//! | feature | types | port |
//! |---|---|---|
//! | `keyfile` | `KeyFile` | `Sealer`: secrets at rest, under the keys of a local file |
//! | `plugipay` | `PlugipayClient` | `Plugipay`: the provider of online checkout, over HTTP |
//! | `postgres` | `PostgresStorage`, `PostgresOptions` | `Storage` and `WorkStorage`, for several hosts |
//! | `proofs` | `ObjectReceipts` | `Receipts`: the bytes of receipts, in a folder or another object store |
//! | `smtp` | `SmtpMailer`, `MailFiles` | `Mailer`: mail over SMTP, or as files |
//! | `sqlite` | `SqliteStorage`, `SqliteOptions` | `Storage` and `WorkStorage`, in one file |
//! | `system` | `SystemClock`, `RandomIds`, `SystemSecrets` | `Clock`, `Ids` and `Secrets` of the operating system |
//! | `webhooks` | `HttpSink`, `Targets` | `Sink`: signed events to the sellers' systems |
//!
//! An adapter decides nothing: it carries out what the core decided, and reports the result. No type of a wire library
//! appears in a port; a module's constructors may take one.
//!
//! # To embed the library
//!
//! Choose a storage and the other adapters, and call the commands of `serront_core::service`. `examples/embed`
//! continues this to a confirmed payment and its mail; `examples/own-transaction` commits a payment together with rows
//! of the host.
//!
//! ```
//! # #[cfg(not(all(feature = "sqlite", feature = "system")))]
//! # fn main() {}
//! # #[cfg(all(feature = "sqlite", feature = "system"))]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use serront_adapters::{RandomIds, SqliteStorage, SystemClock, SystemSecrets};
//! use serront_core::policy::Policy;
//! use serront_core::ports::NoKeys;
//! use serront_core::service::{Environment, Commands};
//! use serront_core::primitives::tier::Tier;
//!
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("payments.db");
//! let clock = Arc::new(SystemClock);
//! let storage = SqliteStorage::open(&file, clock.clone()).await?;
//! // Webhooks and online payment have secrets at rest, and need a `KeyFile` instead of `NoKeys`.
//! let (ids, secrets, sealer, policy) = (&RandomIds, &SystemSecrets, &NoKeys, &Policy::default());
//! let payments = Commands::new(&storage, Environment { clock: &*clock, ids, secrets, sealer, policy });
//!
//! let (account, _api_key) = payments.open_account("Studio Contoh", Tier::Free).await?.value;
//! assert!(payments.services(account.id).await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # To write an adapter
//!
//! Implement the port's trait; its documentation lists the guarantees. A storage runs
//! `serront_testkit::storage_conformance!`, as this crate's tests do for `PostgresStorage` and `SqliteStorage`.
//!
//! ```
//! use async_trait::async_trait;
//! use serront_core::orders::mail::MailMessage;
//! use serront_core::ports::{Mailer, PortError};
//!
//! struct ApiMailer;
//!
//! #[async_trait]
//! impl Mailer for ApiMailer {
//!     async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
//!         match call_provider(message.id.to_string(), message.to.as_str(), &message.text).await {
//!             Ok(202) => Ok(()),
//!             Ok(429 | 503) => Err(PortError::transient("the provider is busy")),
//!             Ok(_) => Err(PortError::permanent("the provider refused the mail")),
//!             Err(()) => Err(PortError::outcome_unknown("the provider did not answer")),
//!         }
//!     }
//! }
//! # async fn call_provider(_id: String, _to: &str, _text: &str) -> Result<u16, ()> {
//! #     Ok(202)
//! # }
//! ```
//!
//! # To receive webhooks in another framework
//!
//! A host passes Plugipay's notifications to `Commands::receive_notification`, with the header `X-Plugipay-Signature` and
//! the raw bytes of the body. A seller's system checks the events that it gets with `serront_core::webhooks::signature::verify`.
//!
//! ```
//! use serront_core::ports::Storage;
//! use serront_core::service::{Failure, Commands};
//!
//! async fn notified(payments: &Commands<'_, impl Storage>, signature: Option<&str>, body: &[u8]) -> u16 {
//!     match payments.receive_notification(signature, body).await {
//!         Ok(_) => 200,                     // stored, so that Plugipay may forget it
//!         Err(Failure::Rejected(_)) => 401, // not signed by Plugipay, or malformed
//!         Err(_) => 503,                    // Plugipay sends it again
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let world = serront_testkit::world::World::default();
//! assert_eq!(notified(&world.commands(), None, b"{}").await, 401);
//! # });
//! ```
//!
//! # To test
//!
//! `serront_testkit` has adapters in memory, faults for every port, a sandbox of Plugipay and a simulator.
#![deny(missing_docs)]

#[cfg(feature = "keyfile")]
pub mod keyfile;
#[cfg(feature = "plugipay")]
pub mod plugipay;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "proofs")]
pub mod proofs;
#[cfg(feature = "smtp")]
pub mod smtp;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
#[cfg(feature = "webhooks")]
pub mod webhooks;

#[cfg(feature = "keyfile")]
pub use keyfile::KeyFile;
#[cfg(feature = "plugipay")]
pub use plugipay::PlugipayClient;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStorage};
#[cfg(feature = "proofs")]
pub use proofs::ObjectReceipts;
#[cfg(feature = "smtp")]
pub use smtp::{MailFiles, SmtpMailer};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStorage};
#[cfg(feature = "system")]
pub use system::{RandomIds, SystemClock, SystemSecrets};
#[cfg(feature = "webhooks")]
pub use webhooks::{HttpSink, Targets};
