//! Callers and their idempotency keys.

use serde_json::json;

use super::in_process::ask;
use super::town::{Town, check, invalid, missing, row};

#[tokio::test]
async fn who_calls_is_asked_before_anything_else() {
    check(|town| {
        let Town { seller, other, revoked, .. } = town;
        let unauthorized = |what, ask| row(what, ask, 401, "UNAUTHORIZED", None);
        let others = format!("/api/v1/orders/{}", other.order);
        let storefront_of = |key: &str| ask("GET", "/api/v1/storefront").header("authorization", key);
        vec![
            unauthorized("no key", ask("GET", "/api/v1/storefront")),
            unauthorized("an empty header", storefront_of("")),
            unauthorized("no scheme", storefront_of(&seller.key)),
            unauthorized("another scheme", storefront_of(&format!("Basic {}", seller.key))),
            unauthorized("an unknown key", storefront_of(&format!("Bearer sk_live_{}", "0".repeat(48)))),
            unauthorized("an unknown operator's key", storefront_of(&format!("Bearer sk_op_{}", "0".repeat(48)))),
            unauthorized("a key in capitals", storefront_of(&format!("Bearer {}", seller.key.to_uppercase()))),
            unauthorized("a key and more", storefront_of(&format!("Bearer {} x", seller.key))),
            unauthorized("a prefix of a key", storefront_of(&format!("Bearer {}", &seller.key[..20]))),
            unauthorized("a buyer's token", storefront_of(&format!("Bearer {}", seller.token))),
            unauthorized("two keys", seller.get("/api/v1/storefront").key(&other.key)),
            unauthorized("no UTF-8", ask("GET", "/api/v1/storefront").header("authorization", b"Bearer \xff")),
            unauthorized("a revoked key", ask("GET", "/api/v1/storefront").key(revoked)),
            unauthorized("a revoked key that changes", ask("PUT", "/api/v1/storefront").key(revoked).body("{}")),
            unauthorized("before not there", ask("GET", "/api/v1/orders/nothing")),
            unauthorized("before another's", ask("GET", others)),
            unauthorized("before broken JSON", ask("POST", "/api/v1/services").body("{")),
            unauthorized("before too large", ask("POST", "/api/v1/services").header("content-length", "9999999")),
            unauthorized("before a bad limit", ask("GET", "/api/v1/orders?limit=0")),
            unauthorized("before a bad idempotency key", ask("POST", "/api/v1/api-keys").idempotent("a b").body("{}")),
            missing("an unknown route", seller.get("/api/v1/nothing")),
            missing("an unknown route, without a key", ask("GET", "/api/v1/nothing")),
            missing("a route of a later version", seller.get("/api/v1/orders/stats/now")),
            missing("a slash at the end", seller.get("/api/v1/orders/")),
            missing("two slashes", seller.get("/api/v1//orders")),
            missing("the root", ask("GET", "/")),
            missing("capitals", seller.get("/API/v1/orders")),
        ]
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_is_printable_bounded_and_single() {
    check(|town| {
        let Town { seller, .. } = town;
        let asks = [
            seller.post("/api/v1/api-keys", &json!({"name": "second"})),
            seller.put_storefront(json!({})),
            seller.patch(&format!("/api/v1/orders/{}", seller.order), &json!({"status": "confirmed"})),
            ask("POST", format!("/api/v1/orders/{}/confirm-payment", seller.order)).key(&seller.key),
            ask("POST", format!("/api/v1/orders/{}/rotate-token", seller.order)).key(&seller.key),
        ];
        let mut rows = Vec::new();
        for ask in asks {
            for key in ["", "a b", "ключ", "a\tb", &"k".repeat(256)] {
                rows.push(invalid("a bad key", ask.clone().header("idempotency-key", key), "Idempotency-Key"));
            }
            rows.push(invalid("two keys", ask.idempotent("a").idempotent("a"), "Idempotency-Key"));
        }
        rows
    })
    .await;
}
