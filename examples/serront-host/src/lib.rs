//! The reference host: Serront's HTTP API on axum over `serront-core`.
//!
//! [`router`] is the whole HTTP interface; another axum app can nest it under any path. The binary adds what a process needs:
//! settings, adapters, the loops of [`work`], bounded connections and a graceful stop.
//!
//! ```text
//! request ─▶ dress ─▶ auth ─▶ routes::* ─▶ serront_core::service ─▶ ports
//!            (id,      (401)   (input, 404,
//!             log line,         then 400)
//!             rate limits,
//!             body's bounds,
//!             panics, envelope)
//! ```
//!
//! It decides nothing about payments: a route reads its input, calls the service, and sends the result.
//!
//! From low to high: `problem` and `answer`; `spool`, `outgoing`, `limits`, `json`, `body` and `query` (bounds and input);
//! `wakes` (which loop has work), `state`, `auth`; `downloads` (what API and pages both send); `pages`; `dress`; `routes`. No module names a higher one.

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
mod wakes;
pub mod work;

pub use client_address::{NoNetworks, TrustedProxies};
pub use limits::Limits;
pub use routes::router;
pub use session_key::SessionKey;
pub use state::{Host, Ports};
