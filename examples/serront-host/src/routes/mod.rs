//! The API's routes, by subject. The order of a handler's arguments is the precedence of its refusals.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use serront_core::online::plugipay::NOTIFIED_PATH;

use crate::dress::dress;
use crate::problem::Problem;
use crate::state::Host;
use crate::{downloads, pages};

mod billing;
mod health;
mod keys;
mod ledger;
mod modules;
mod notifications;
mod orders;
mod payments;
mod payouts;
mod public;
mod services;
mod storefront;
mod subscriptions;

async fn unknown_route() -> Problem {
    Problem::not_found("route")
}

async fn wrong_method() -> Problem {
    Problem::method_not_allowed()
}

/// The HTTP API and the pages. It includes its layers, so it works the same when nested in another app.
///
/// ```
/// # fn nested(host: std::sync::Arc<serront_host::Host>) -> axum::Router {
/// axum::Router::new().nest("/payments", serront_host::router(host))
/// # }
/// ```
pub fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/healthz", get(health::process))
        .route("/readyz", get(health::ready))
        .route("/api/v1/storefront", get(storefront::get).put(storefront::put))
        .route("/api/v1/services", get(services::list).post(services::create))
        .route("/api/v1/services/{id}", get(services::get).patch(services::patch).delete(services::delete))
        .route("/api/v1/orders", get(orders::list))
        .route("/api/v1/orders/{id}", get(orders::get).patch(orders::patch))
        .route("/api/v1/orders/{id}/confirm-payment", post(orders::confirm_payment))
        .route("/api/v1/orders/{id}/rotate-token", post(orders::rotate_token))
        .route("/api/v1/orders/{id}/proof", get(downloads::receipt))
        .route("/api/v1/modules", get(modules::get).patch(modules::patch).post(modules::switch))
        .route("/api/v1/api-keys", get(keys::list).post(keys::create))
        .route("/api/v1/api-keys/{id}", axum::routing::delete(keys::delete))
        .route("/api/v1/webhook-subscriptions", get(subscriptions::list).post(subscriptions::create))
        .route("/api/v1/webhook-subscriptions/event-types", get(subscriptions::event_types))
        .route("/api/v1/webhook-subscriptions/deliveries", get(subscriptions::deliveries))
        .route("/api/v1/webhook-subscriptions/deliveries/{id}", get(subscriptions::delivery))
        .route("/api/v1/webhook-subscriptions/deliveries/{id}/retry", post(subscriptions::retry_delivery))
        .route(
            "/api/v1/webhook-subscriptions/{id}",
            axum::routing::patch(subscriptions::patch).delete(subscriptions::delete),
        )
        .route("/api/v1/webhook-subscriptions/{id}/rotate-secret", post(subscriptions::rotate_secret))
        .route("/api/v1/billing", get(billing::get))
        .route("/api/v1/ledger/balance", get(ledger::balance))
        .route("/api/v1/ledger/entries", get(ledger::entries))
        .route("/api/v1/ledger/entries.csv", get(downloads::ledger_csv))
        .route("/api/v1/payments/exceptions", get(payments::exceptions))
        .route("/api/v1/payments/exceptions/{id}/resolve", post(payments::resolve))
        .route("/api/v1/payouts", get(payouts::list).post(payouts::create))
        .route("/api/v1/payouts/balance", get(payouts::balance))
        .route("/api/v1/payouts/bank-account", get(payouts::bank_account).patch(payouts::patch_bank_account))
        .route("/api/v1/payouts/{id}", get(payouts::get))
        .route("/api/v1/payouts/{id}/cancel", post(payouts::cancel))
        .route("/api/v1/payouts/{id}/mark-in-transit", post(payouts::mark_in_transit))
        .route("/api/v1/payouts/{id}/mark-paid", post(payouts::mark_paid))
        .route("/api/v1/payouts/{id}/mark-failed", post(payouts::mark_failed))
        .route(NOTIFIED_PATH, post(notifications::receive))
        .route("/api/v1/public/storefront/{slug}", get(public::shop))
        .route("/api/v1/public/storefront/{slug}/order", post(public::place_order))
        .route("/api/v1/public/orders/{token}", get(public::order))
        .route("/api/v1/public/orders/{token}/claim-payment", post(public::claim_payment))
        .route("/api/v1/public/orders/{token}/pay", post(public::pay))
        .route("/api/v1/public/orders/{token}/proof", put(public::put_proof))
        .merge(pages::router(&host))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&host), dress))
        .with_state(host)
}
