//! The seller's money: the balance now and over time, transactions, payouts, and exceptions.
//!
//! If the module is off, the page says so and shows only the open exceptions, as the API does.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::state::Host;

mod chart;
mod entries;
mod exceptions;
mod form;
mod overview;
mod payouts;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(form::PATH, get(overview::page))
        .route(entries::CSV_PATH, get(entries::csv))
        .route(payouts::LIST_PATH, get(payouts::list).post(overview::request))
        .route(payouts::BANK_ACCOUNT_PATH, get(overview::back).post(overview::bank_account))
        .route("/dashboard/payments/payouts/{id}", get(payouts::detail))
        .route("/dashboard/payments/payouts/{id}/cancel", get(overview::back).post(payouts::cancel))
        .route(exceptions::LIST_PATH, get(exceptions::list))
        .route("/dashboard/payments/exceptions/{id}/resolve", get(overview::back).post(overview::resolve))
}
