//! The calls that we make, with their exact bytes.

use serde::Serialize;

use crate::funds::fee::FeeRate;
use crate::online::checkout::Checkout;
use crate::online::plugipay::{PlugipayCall, PlugipayMethod};
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, ChangeSetId, CheckoutId, OrderId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::{EndpointId, MerchantId, SessionId};

/// The types of event that we ask to be notified of.
pub const EVENTS: [&str; 2] = ["plugipay.checkout_session.completed.v1", "plugipay.checkout_session.expired.v1"];

/// The path of the host's route that takes notifications.
pub const NOTIFIED_PATH: &str = "/api/v1/webhooks/plugipay";

const METHODS: [&str; 4] = ["qris", "va", "ewallet", "card"];

/// Where a buyer comes back to.
#[derive(Clone, PartialEq, Eq)]
pub struct Returns {
    /// After paying.
    pub success_url: String,
    /// After giving up.
    pub cancel_url: String,
}

/// `Debug` shows neither: the addresses hold the buyer's token.
impl std::fmt::Debug for Returns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Returns(…)")
    }
}

// Texts and numbers only: rendering them does not fail.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn segment(text: &str) -> String {
    // Theirs are opaque texts of ours-to-send: what is not unreserved in a path is escaped.
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

/// Makes the merchant's workspace, or answers the one that there is.
#[must_use]
pub fn create_workspace(account_id: AccountId, fee: FeeRate, brand_name: &str) -> PlugipayCall {
    // The rate is written as the decimal that it is; JSON knows no other kind of number, and no float comes near it.
    let body = format!(
        "{{\"accountId\":{},\"partner\":\"serront\",\"discountRate\":{fee},\"brandName\":{}}}",
        json(&account_id),
        json(&brand_name)
    );
    // The brand may have been renamed between two tries: other bytes are another call. That there is one workspace all the
    // same is the account id's doing.
    let bytes: String = Digest256::of(body.as_bytes()).to_string().chars().take(16).collect();
    let idempotency_key = Some(format!("serront-workspace-{account_id}-{bytes}"));
    PlugipayCall { idempotency_key, body, ..call(PlugipayMethod::Post, "/api/v1/admin/workspaces", None) }
}

/// Registers where notifications go. The answer shows the endpoint's secret once.
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

/// Lists the merchant's endpoints, from this cursor on.
#[must_use]
pub fn list_endpoints(merchant: &MerchantId, cursor: Option<&str>) -> PlugipayCall {
    let path = match cursor {
        None => "/api/v1/webhooks".to_owned(),
        Some(cursor) => format!("/api/v1/webhooks?cursor={}", segment(cursor)),
    };
    call(PlugipayMethod::Get, path, Some(merchant))
}

/// Removes an endpoint.
#[must_use]
pub fn delete_endpoint(merchant: &MerchantId, id: &EndpointId) -> PlugipayCall {
    call(PlugipayMethod::Delete, format!("/api/v1/webhooks/{}", segment(id.as_str())), Some(merchant))
}

/// The exact bytes of the call that mints a session.
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
        currency: "IDR",
        methods: METHODS,
        success_url: &returns.success_url,
        cancel_url: &returns.cancel_url,
        line_items: [Item { name: item, quantity: 1, unit_amount: amount }],
        expires_in_sec: expires_in_seconds,
        metadata: Metadata { order_id: order, checkout_id: checkout },
    })
}

/// Mints the checkout's session: the same bytes under the same key, however often.
#[must_use]
pub fn create_session(merchant: &MerchantId, checkout: &Checkout) -> PlugipayCall {
    PlugipayCall {
        idempotency_key: Some(checkout.idempotency_key()),
        body: checkout.request.clone(),
        ..call(PlugipayMethod::Post, "/api/v1/checkout-sessions", Some(merchant))
    }
}

/// Asks after a session.
#[must_use]
pub fn get_session(merchant: &MerchantId, id: &SessionId) -> PlugipayCall {
    call(PlugipayMethod::Get, format!("/api/v1/checkout-sessions/{}", segment(id.as_str())), Some(merchant))
}

/// Calls a session off. The answer is an observation like any other, and may say that it was paid.
#[must_use]
pub fn cancel_session(merchant: &MerchantId, id: &SessionId) -> PlugipayCall {
    call(PlugipayMethod::Post, format!("/api/v1/checkout-sessions/{}/cancel", segment(id.as_str())), Some(merchant))
}

/// A page of the merchant's ledger, oldest first, from this cursor on.
#[must_use]
pub fn list_ledger(merchant: &MerchantId, cursor: Option<&str>) -> PlugipayCall {
    let mut path = "/api/v1/ledger?limit=100&order=asc".to_owned();
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(&segment(cursor));
    }
    call(PlugipayMethod::Get, path, Some(merchant))
}
