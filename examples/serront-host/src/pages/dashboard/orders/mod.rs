//! The seller's orders: the list, one order's page, and the forms on it.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::state::Host;

mod detail;
mod list;
mod steps;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route("/dashboard", get(list::list))
        .route("/dashboard/orders/{id}", get(detail::detail))
        .route("/dashboard/orders/{id}/confirm", get(steps::question).post(steps::confirm))
        .route("/dashboard/orders/{id}/rotate-token", get(steps::rotation).post(steps::rotate_token))
        .route("/dashboard/orders/{id}/quote", get(steps::back).post(steps::quote))
        .route("/dashboard/orders/{id}/status", get(steps::back).post(steps::status))
        .route("/dashboard/orders/{id}/proof", get(detail::proof))
}
