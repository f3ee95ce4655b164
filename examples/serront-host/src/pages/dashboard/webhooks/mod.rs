//! Webhooks: the seller's subscriptions, their deliveries, and sending a delivery again.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::state::Host;

mod deliveries;
mod events;
mod overview;
mod subscription;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(subscription::PATH, get(overview::list).post(overview::create))
        .route("/dashboard/webhooks/{id}/switch", get(overview::back).post(overview::switch))
        .route("/dashboard/webhooks/{id}/rotate-secret", get(subscription::rotation).post(subscription::rotate_secret))
        .route("/dashboard/webhooks/{id}/delete", get(subscription::question).post(subscription::delete))
        .route("/dashboard/webhooks/deliveries/{id}", get(deliveries::detail))
        .route("/dashboard/webhooks/deliveries/{id}/retry", get(overview::back).post(deliveries::retry))
}
