//! The calls to Plugipay, with their exact bytes.

use serde::Serialize;

use crate::funds::fee::FeeRate;
use crate::online::checkout::Checkout;
use crate::online::plugipay::{PlugipayCall, PlugipayMethod};
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, ChangeSetId, CheckoutId, OrderId};
use crate::primitives::macros::redacted_debug;
use crate::primitives::money::{CURRENCY, Rupiah};
use crate::primitives::provider::{EndpointId, MerchantId, SessionId};

/// The types of event in our subscription at Plugipay.
pub const EVENTS: [&str; 2] = ["plugipay.checkout_session.completed.v1", "plugipay.checkout_session.expired.v1"];

/// The path of the host's route for notifications.
pub const NOTIFIED_PATH: &str = "/api/v1/webhooks/plugipay";

const METHODS: [&str; 4] = ["qris", "va", "ewallet", "card"];

/// The URLs that Plugipay sends a buyer back to. `Debug` hides them, because they contain the buyer's access token.
#[derive(Clone, PartialEq, Eq)]
pub struct Returns {
    /// After the payment.
    pub success_url: String,
    /// If the buyer gives up.
    pub cancel_url: String,
}

redacted_debug!(Returns);

// Serializing only texts and numbers cannot fail.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Percent-encodes all but unreserved characters, because Plugipay's ids and cursors are opaque.
fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn call(method: PlugipayMethod, path: impl Into<String>, merchant: Option<&MerchantId>) -> PlugipayCall {
    PlugipayCall {
        method,
        path: path.into(),
        on_behalf_of: merchant.map(|merchant| merchant.as_str().to_owned()),
        idempotency_key: None,
        body: String::new(),
    }
}

/// Creates the merchant's workspace, or returns the existing one.
#[must_use]
pub fn create_workspace(account_id: AccountId, fee: FeeRate, brand_name: &str) -> PlugipayCall {
    // The rate is a JSON number with its exact decimal digits, so it is formatted as text and never becomes a float.
    let body = format!(
        "{{\"accountId\":{},\"partner\":\"serront\",\"discountRate\":{fee},\"brandName\":{}}}",
        json(&account_id),
        json(&brand_name)
    );
    // The brand name may change between two attempts, and another body needs another key. The account id still ensures
    // that there is only one workspace.
    let bytes: String = Digest256::of(body.as_bytes()).to_string().chars().take(16).collect();
    let idempotency_key = Some(format!("serront-workspace-{account_id}-{bytes}"));
    PlugipayCall { idempotency_key, body, ..call(PlugipayMethod::Post, "/api/v1/admin/workspaces", None) }
}

/// Registers a notification endpoint. Only this answer contains the endpoint's secret.
#[must_use]
pub fn create_endpoint(merchant: &MerchantId, url: &str, attempt: ChangeSetId) -> PlugipayCall {
    #[derive(Serialize)]
    struct Body<'a> {
        url: &'a str,
        events: [&'static str; 2],
        description: &'static str,
    }
    let body = json(&Body { url, events: EVENTS, description: "Serront" });
    PlugipayCall {
        idempotency_key: Some(format!("serront-endpoint-{attempt}")),
        body,
        ..call(PlugipayMethod::Post, "/api/v1/webhooks", Some(merchant))
    }
}

/// Lists the merchant's endpoints: the first page, or the page at the cursor.
#[must_use]
pub fn list_endpoints(merchant: &MerchantId, cursor: Option<&str>) -> PlugipayCall {
    let path = match cursor {
        None => "/api/v1/webhooks".to_owned(),
        Some(cursor) => format!("/api/v1/webhooks?cursor={}", segment(cursor)),
    };
    call(PlugipayMethod::Get, path, Some(merchant))
}

/// Deletes an endpoint.
#[must_use]
pub fn delete_endpoint(merchant: &MerchantId, id: &EndpointId) -> PlugipayCall {
    call(PlugipayMethod::Delete, format!("/api/v1/webhooks/{}", segment(id.as_str())), Some(merchant))
}

/// The exact body of the call that mints a session. It is stored, so that every attempt sends the same bytes.
#[must_use]
pub fn session_request(
    checkout: CheckoutId,
    order: OrderId,
    amount: Rupiah,
    item: &str,
    expires_in_seconds: u64,
    returns: &Returns,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        amount: Rupiah,
        currency: &'static str,
        methods: [&'static str; 4],
        success_url: &'a str,
        cancel_url: &'a str,
        line_items: [Item<'a>; 1],
        expires_in_sec: u64,
        metadata: Metadata,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Item<'a> {
        name: &'a str,
        quantity: u32,
        unit_amount: Rupiah,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        order_id: OrderId,
        checkout_id: CheckoutId,
    }
    json(&Body {
        amount,
        currency: CURRENCY,
        methods: METHODS,
        success_url: &returns.success_url,
        cancel_url: &returns.cancel_url,
        line_items: [Item { name: item, quantity: 1, unit_amount: amount }],
        expires_in_sec: expires_in_seconds,
        metadata: Metadata { order_id: order, checkout_id: checkout },
    })
}

/// Mints the checkout's session, with the same body and key in every attempt.
#[must_use]
pub fn create_session(merchant: &MerchantId, checkout: &Checkout) -> PlugipayCall {
    PlugipayCall {
        idempotency_key: Some(checkout.idempotency_key()),
        body: checkout.request.clone(),
        ..call(PlugipayMethod::Post, "/api/v1/checkout-sessions", Some(merchant))
    }
}

/// Reads a session.
#[must_use]
pub fn get_session(merchant: &MerchantId, id: &SessionId) -> PlugipayCall {
    call(PlugipayMethod::Get, format!("/api/v1/checkout-sessions/{}", segment(id.as_str())), Some(merchant))
}

/// Cancels a session. The answer is an observation, and may say that the session was paid.
#[must_use]
pub fn cancel_session(merchant: &MerchantId, id: &SessionId) -> PlugipayCall {
    call(PlugipayMethod::Post, format!("/api/v1/checkout-sessions/{}/cancel", segment(id.as_str())), Some(merchant))
}

/// Lists the merchant's ledger, oldest first: the first page, or the page at the cursor.
#[must_use]
pub fn list_ledger(merchant: &MerchantId, cursor: Option<&str>) -> PlugipayCall {
    let mut path = "/api/v1/ledger?limit=100&order=asc".to_owned();
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(&segment(cursor));
    }
    call(PlugipayMethod::Get, path, Some(merchant))
}
