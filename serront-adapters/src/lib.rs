//! Implementations of the ports of `serront-core`, one feature each, none on by default.
//!
//! | feature | module | port |
//! |---|---|---|
//! | `keyfile` | `keyfile` | `Sealer`: secrets at rest, under the keys of a local file |
//! | `plugipay` | `plugipay` | `Plugipay`: the provider of online checkout, over HTTP |
//! | `postgres` | `postgres` | `Storage` and `WorkStorage`, for several hosts |
//! | `proofs` | `proofs` | `Receipts`: the bytes of receipts, in a folder or another object store |
//! | `smtp` | `smtp` | `Mailer`: mail over SMTP, or as files |
//! | `sqlite` | `sqlite` | `Storage` and `WorkStorage`, in one file |
//! | `system` | `system` | `Clock`, `Ids` and `Secrets` of the operating system |
//! | `webhooks` | `webhooks` | `Sink`: signed events to the sellers' systems |
//!
//! Nothing here decides anything: an adapter carries out what the core decided, and tells what became of it. No type of
//! a wire library appears in a port; each module's own constructors may take one.
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
