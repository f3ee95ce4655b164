//! The reference host: Serront's HTTP API on axum over `serront-core`.
//!
//! [`router`] is all of it that speaks HTTP; another axum app can nest it under a path of its own. The binary beside it
//! adds what a process needs: settings, adapters, the loops of [`work`], connections with bounds, a graceful stop.
//!
//! ```text
//! request ─▶ envelope::dress ─▶ auth ─▶ routes::* ─▶ serront_core::service ─▶ ports
//!            (id, log line,     (401)   (input, 404,
//!             rate limits,               then 400)
//!             body's bounds,
//!             panics, envelope)
//! ```
//!
//! It decides nothing about payments: a route reads its input, asks the service, and answers what it said.

mod answer;
mod auth;
mod body;
mod client_address;
mod downloads;
mod dress;
mod json;
mod language;
mod limits;
mod log;
mod outgoing;
mod pages;
mod problem;
mod query;
mod routes;
mod session_key;
mod spool;
mod state;
pub mod work;

pub use client_address::{NoNetworks, TrustedProxies};
pub use limits::Limits;
pub use routes::router;
pub use session_key::SessionKey;
pub use state::{Host, Ports};
