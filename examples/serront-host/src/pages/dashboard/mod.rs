//! The seller's dashboard, behind a session that an API key opens.

use std::sync::Arc;

use axum::Router;

use crate::state::Host;

mod integrations;
mod keys;
mod orders;
mod payments;
mod question;
mod settings;
mod storefront;
mod webhooks;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .merge(orders::routes())
        .merge(payments::routes())
        .merge(storefront::routes())
        .merge(integrations::routes())
        .merge(webhooks::routes())
        .merge(keys::routes())
}
