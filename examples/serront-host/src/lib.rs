//! The reference host: Serront's HTTP API on axum over `serront-core`.
//!
//! [`router`] is all of it that speaks HTTP; another axum app can nest it under a path of its own. The binary beside it
//! adds what a process needs: settings, adapters, the loops of [`work`], a graceful stop.
//!
//! ```text
//! request ─▶ envelope::dress ─▶ auth ─▶ routes::* ─▶ serront_core::service ─▶ ports
//!            (id, log line,     (401)   (input, 404,
//!             body's bounds,             then 400)
//!             panics, envelope)
//! ```
//!
//! It decides nothing about payments: a route reads its input, asks the service, and answers what it said.

mod auth;
mod body;
mod envelope;
mod language;
mod log;
mod pages;
mod query;
mod routes;
mod state;
pub mod work;

pub use pages::SessionKey;
pub use routes::router;
pub use state::{Host, Ports};
