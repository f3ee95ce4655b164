//! Test support for adapters and hosts of Serront's payment library.
//!
//! | you want | use | feature |
//! |---|---|---|
//! | to test a host | [`world`], with the adapters of [`memory`]; [`sandbox`] for Plugipay in process | |
//! | to test an adapter for storage | [`conformance`], then [`sim`] | |
//! | ports that fail | [`faults`] | |
//! | random values of the domain | [`generators`]; [`receipts`] has files as buyers upload them | |
//! | files compared with what a test produces | [`golden`] | |
//! | mocks of every port | `mocks` | `mocks` |
//! | Plugipay over HTTP, with a hosted checkout page | `sandbox::SandboxServer` | `sandbox` |
//! | a private PostgreSQL cluster, and PgBouncer | `postgres`, `pooler` | `postgres` |
//! | TCP connections that break | `proxy` | `proxy` |
//!
//! The crate names no adapter, and its memory adapters keep their state in the process only.
//!
//! # To test a host
//!
//! [`world::World`] has all ports in memory, and a clock that a test moves.
//!
//! ```
//! use serront_testkit::world::{World, host};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let world = World::new();
//! let (_, order) = world.seller_with_order("studio").await;
//! world.commands().confirm_payment(order.account_id, order.id, &host(), None, None).await.unwrap();
//! world.dispatch_all().await;
//! assert_eq!(world.mailbox.messages().len(), 1);
//! # });
//! ```
//!
//! # To test a storage
//!
//! Implement [`conformance::Harness`] for a new, empty store, and call the macro once; it expands to one test per case.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use serront_core::ports::{Clock, WorkStorage};
//! use serront_core::primitives::time::Timestamp;
//! use serront_testkit::conformance::Harness;
//! use serront_testkit::memory::{ManualClock, MemoryStorage};
//!
//! /// `MemoryStorage` takes the place of your storage.
//! struct Fresh(Arc<ManualClock>, MemoryStorage);
//!
//! #[async_trait::async_trait]
//! impl Harness for Fresh {
//!     fn storage(&self) -> Arc<dyn WorkStorage> {
//!         Arc::new(self.1.reopen())
//!     }
//!     async fn reopen(&self) {}
//!     fn now(&self) -> Timestamp {
//!         self.0.now()
//!     }
//!     async fn advance(&self, by: Duration) {
//!         self.0.advance(by);
//!     }
//! }
//!
//! fn fresh() -> Fresh {
//!     let clock = Arc::new(ManualClock::default());
//!     Fresh(clock.clone(), MemoryStorage::new(clock))
//! }
//!
//! serront_testkit::storage_conformance!(fresh());
//! # fn main() {}
//! ```
#![deny(missing_docs)]

pub mod conformance;
pub mod faults;
pub mod generators;
pub mod golden;
pub mod memory;
#[cfg(feature = "mocks")]
pub mod mocks;
#[cfg(feature = "postgres")]
pub mod pooler;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod receipts;
pub mod sandbox;
pub mod sim;
pub mod world;
