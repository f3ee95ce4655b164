//! The pages for buyers, sellers and operators, rendered on the server.
//!
//! ```text
//! request ─▶ dress ─▶ guard ─▶ session ─▶ pages::* ─▶ the same service as the API ─▶ maud ─▶ HTML
//!            (as for  (headers, (login)                                             │
//!             the API) origin)                            form ─▶ 303 ─▶ page ◀─────┘
//! ```
//!
//! They decide nothing: a page reads from the service, a form calls a command, and a refusal is shown at the field that it names.
//! Everything works without scripts; `app.js` adds copying, the preview and progress of an upload, and updates of an order. No
//! page contains inline scripts or styles, so the content security policy forbids them.
//!
//! Not here: editing the catalog (use the API), accounts and plans (the host's subcommands), passwords (a key opens a session).

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::state::Host;

mod address;
mod assets;
mod dashboard;
mod error_page;
mod form;
mod guard;
mod layout;
mod login;
mod operator;
mod order;
mod parts;
mod say;
mod session;
mod shop;
mod visit;

pub(crate) use address::correct_address;
pub(crate) use error_page::error_page;
pub(crate) use guard::{protect, switch_language};
pub(crate) use visit::Face;

/// The pages' routes with their common layer.
pub(crate) fn router(host: &Arc<Host>) -> Router<Arc<Host>> {
    Router::new()
        .route("/", get(login::entrance))
        .route("/s/{slug}", get(shop::show).post(shop::order))
        .route("/o/{token}", get(order::show))
        .route("/o/{token}/claim", get(order::back).post(order::claim))
        .route("/o/{token}/pay", get(order::back).post(order::pay))
        .route("/o/{token}/proof", get(order::back).post(order::upload))
        .route("/dashboard/login", get(login::seller).post(login::seller_in))
        .route("/dashboard/logout", get(login::entrance).post(login::seller_out))
        .route("/operator/login", get(login::operator).post(login::operator_in))
        .route("/operator/logout", get(login::staff_entrance).post(login::operator_out))
        .merge(dashboard::routes())
        .merge(operator::routes())
        .layer(from_fn_with_state(Arc::clone(host), guard::guard))
        .route("/assets/{version}/{name}", get(assets::get))
}
