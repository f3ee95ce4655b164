//! Notifications from Plugipay. Their only credential is the signature over the raw bytes; the `Content-Type` is ignored.

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use crate::answer::{Answer, Reply};
use crate::auth::Open;
use crate::body::Intake;

/// Most bytes of a notification. A session with its metadata is a few kilobytes.
const NOTIFICATION_BYTES_MAX: usize = 256 * 1024;
const SIGNATURE: &str = "X-Plugipay-Signature";

pub(super) async fn receive(caller: Open, headers: HeaderMap, intake: Intake) -> Reply {
    let body = intake.read(NOTIFICATION_BYTES_MAX).await?;
    caller.commands().receive_notification(signature(&headers), &body).await?;
    Answer::ok(&BTreeMap::from([("received", true)]))
}

/// The signature, if there is exactly one such header.
fn signature(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    value.to_str().ok()
}
