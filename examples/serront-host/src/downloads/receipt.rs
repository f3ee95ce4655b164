//! The receipt of an order: an image that a buyer uploaded.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serront_core::orders::receipt::RECEIPT_BYTES_MAX;
use serront_core::primitives::ids::OrderId;

use crate::auth::{Id, Keyed};
use crate::outgoing::until_sent;
use crate::problem::Problem;

/// The headers forbid browsers to run it or to guess its type, and forbid caches to store it.
pub(crate) async fn receipt(caller: Keyed, Id(id): Id<OrderId>) -> Result<Response, Problem> {
    let mut held = caller.room(RECEIPT_BYTES_MAX).await?;
    let image = caller.receipt_uploads().receipt(caller.account(), id).await?;
    held.shrink(image.bytes.len());
    let headers = [
        (header::CONTENT_TYPE, image.image_type.media_type()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    Ok((headers, until_sent(image.bytes.into(), held)).into_response())
}
