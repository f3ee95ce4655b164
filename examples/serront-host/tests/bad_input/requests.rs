//! Methods, and unusual requests that are accepted.

use serde_json::json;

use super::in_process::ask;
use super::town::{Town, UNKNOWN};

#[tokio::test]
async fn another_method_gets_405_and_is_told_which_there_are() {
    let town = Town::open().await;
    let before = town.picture().await;
    for (path, methods) in [
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/api/v1/storefront", "GET,HEAD,PUT"),
        ("/api/v1/services", "GET,HEAD,POST"),
        ("/api/v1/services/{service}", "GET,HEAD,PATCH,DELETE"),
        ("/api/v1/orders", "GET,HEAD"),
        ("/api/v1/orders/{order}", "GET,HEAD,PATCH"),
        ("/api/v1/orders/{order}/confirm-payment", "POST"),
        ("/api/v1/orders/{order}/rotate-token", "POST"),
        ("/api/v1/orders/{order}/proof", "GET,HEAD"),
        ("/api/v1/modules", "GET,HEAD,PATCH,POST"),
        ("/api/v1/api-keys", "GET,HEAD,POST"),
        ("/api/v1/api-keys/{key}", "DELETE"),
        ("/api/v1/webhook-subscriptions", "GET,HEAD,POST"),
        ("/api/v1/webhook-subscriptions/event-types", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/deliveries", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/deliveries/{delivery}", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/deliveries/{delivery}/retry", "POST"),
        ("/api/v1/webhook-subscriptions/{subscription}", "PATCH,DELETE"),
        ("/api/v1/webhook-subscriptions/{subscription}/rotate-secret", "POST"),
        ("/api/v1/billing", "GET,HEAD"),
        ("/api/v1/ledger/balance", "GET,HEAD"),
        ("/api/v1/ledger/entries", "GET,HEAD"),
        ("/api/v1/ledger/entries.csv", "GET,HEAD"),
        ("/api/v1/payments/exceptions", "GET,HEAD"),
        ("/api/v1/payments/exceptions/{order}/resolve", "POST"),
        ("/api/v1/payouts", "GET,HEAD,POST"),
        ("/api/v1/payouts/balance", "GET,HEAD"),
        ("/api/v1/payouts/bank-account", "GET,HEAD,PATCH"),
        ("/api/v1/payouts/{order}", "GET,HEAD"),
        ("/api/v1/payouts/{order}/cancel", "POST"),
        ("/api/v1/payouts/{order}/mark-in-transit", "POST"),
        ("/api/v1/payouts/{order}/mark-paid", "POST"),
        ("/api/v1/payouts/{order}/mark-failed", "POST"),
        ("/api/v1/webhooks/plugipay", "POST"),
        ("/api/v1/public/storefront/studio-renata", "GET,HEAD"),
        ("/api/v1/public/storefront/studio-renata/order", "POST"),
        ("/api/v1/public/orders/{token}", "GET,HEAD"),
        ("/api/v1/public/orders/{token}/claim-payment", "POST"),
        ("/api/v1/public/orders/{token}/pay", "POST"),
        ("/api/v1/public/orders/{token}/proof", "PUT"),
    ] {
        let seller = &town.seller;
        let path = path
            .replace("{service}", &seller.service)
            .replace("{order}", &seller.order)
            .replace("{key}", &seller.api_key)
            .replace("{delivery}", &seller.delivery)
            .replace("{subscription}", &seller.subscription)
            .replace("{token}", &seller.token);
        let offered: Vec<&str> = methods.split(',').collect();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if offered.contains(&method) {
                continue;
            }
            let reply = town.house.send(ask(method, &path).key(&seller.key).body("{}")).await;
            assert_eq!(reply.status, 405, "{method} {path}");
            let mut told: Vec<&str> = reply.header("allow").unwrap().split(',').collect();
            told.sort_unstable();
            let mut offered = offered.clone();
            offered.sort_unstable();
            assert_eq!(told, offered, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(reply.refusal(), (405, "METHOD_NOT_ALLOWED".to_owned(), None), "{method} {path}");
            }
        }
    }
    assert_eq!(town.picture().await, before);
}

#[tokio::test]
async fn what_is_not_forbidden_is_taken() {
    let town = Town::open().await;
    let seller = &town.seller;
    let path = format!("/api/v1/orders/{}", seller.order);
    for (what, ask) in [
        ("unknown fields", seller.patch(&path, &json!({"quotedPriceIdr": 1, "colour": "red", "deep": [[{}]]}))),
        (
            "another content type",
            seller.patch(&path, &json!({"quotedPriceIdr": 2})).header("content-type", "text/plain"),
        ),
        ("no content type", ask("PATCH", &path).key(&seller.key).body(r#"{"quotedPriceIdr": 3}"#)),
        ("a field twice", ask("PATCH", &path).key(&seller.key).body(r#"{"quotedPriceIdr": 9, "quotedPriceIdr": 4}"#)),
        ("unknown parameters", seller.get("/api/v1/orders?colour=red&colour=blue&%ff=%ff")),
        ("every state", seller.get("/api/v1/orders?status=all&paymentStatus=all")),
        ("a bad key where none counts", seller.get("/api/v1/orders").idempotent("a b")),
        ("no service of that id", seller.get(&format!("/api/v1/orders?serviceId=svc_{UNKNOWN}"))),
        ("another's service", seller.get(&format!("/api/v1/orders?serviceId={}", town.other.service))),
        ("a bare percent sign", seller.get("/api/v1/orders?q=100%")),
    ] {
        let reply = town.house.send(ask).await;
        assert_eq!(reply.status, 200, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
    }
    assert_eq!(town.house.get(&seller.key, &path).await["quotedPriceIdr"], 4);
}
