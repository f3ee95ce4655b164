//! What a team needs to test its own adapter or host of Serront's payment library.
//!
//! - [`memory`]: strict adapters in memory, for every port that a test has to bring.
//! - [`conformance`]: the suite that every storage adapter runs, one named test per case, from one list.
//! - [`faults`]: every port wrapped so that it fails as told, by script, rule or seed.
//! - [`generators`]: proptest strategies for the domain's types.
//! - [`golden`]: files compared whole with what a test makes; `UPDATE_GOLDEN=1` writes them.
//! - `postgres` (feature `postgres`): a private PostgreSQL cluster, gone with the process that started it.
//! - [`receipts`]: files as buyers upload them, each with what has to become of it.
//! - `pooler` (feature `postgres`): PgBouncer in front of such a cluster.
//! - [`sandbox`]: Plugipay in process; with the feature `sandbox` over HTTP too, with a hosted checkout page.
//! - [`sim`]: a deterministic simulator with an oracle; the binary `sim` runs it.
//! - `proxy` (feature `proxy`): a TCP proxy that cuts connections as told, for whatever speaks to a server.
//! - [`world`]: all memory ports as one bundle, so that a test is short.
//! - `mocks` (feature `mocks`): mockall's mocks of every port.
//!
//! This crate is test support. It names no adapter, and its memory adapters keep nothing beyond the process.
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
