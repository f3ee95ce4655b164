//! The operator's page, for all accounts: payouts to process, notifications that could not be applied, effects that were given
//! up, and rows that can't be read.
//!
//! It shows what an operator needs to act, and no data of buyers.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::state::Host;

mod effects;
mod notifications;
mod overview;
mod parts;
mod payout;
mod set_aside;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route(parts::PATH, get(overview::page))
        .route("/operator/payouts/{id}", get(payout::detail))
        .route("/operator/payouts/{id}/in-transit", get(payout::back).post(payout::in_transit))
        .route("/operator/payouts/{id}/paid", get(payout::back).post(payout::paid))
        .route("/operator/payouts/{id}/failed", get(payout::back).post(payout::failed))
        .route("/operator/notifications/{account}/{event}/retry", get(overview::back).post(notifications::retry))
        .route("/operator/effects/{account}/{effect}/retry", get(overview::back).post(overview::retry_effect))
}
