//! Input of buyers.

use serde_json::json;

use super::in_process::{ask, but, buyers_order, without};
use super::town::{NUL, Town, check, invalid, long, malformed, missing, row};

#[tokio::test]
async fn a_buyers_mistakes_are_named_and_place_nothing() {
    check(|town| {
        let Town { seller, other, confirmed_token, .. } = town;
        let at = |slug: &str| format!("/api/v1/public/storefront/{slug}/order");
        let order = |fields| ask("POST", at(seller.slug)).json(&but(buyers_order(), fields));
        let lacks = |field| ask("POST", at(seller.slug)).json(&without(buyers_order(), field));
        let address = format!("{}@example.com", "a".repeat(243));
        let claim = |token: &str| ask("POST", format!("/api/v1/public/orders/{token}/claim-payment"));
        vec![
            invalid("no name", lacks("buyerName"), "buyerName"),
            invalid("no address", lacks("buyerEmail"), "buyerEmail"),
            invalid("no service", lacks("serviceSlug"), "serviceSlug"),
            invalid("a blank name", order(json!({"buyerName": " "})), "buyerName"),
            invalid("a name of 101", order(json!({"buyerName": long(101)})), "buyerName"),
            invalid("a header in a name", order(json!({"buyerName": "B\r\nBcc: x@example.com"})), "buyerName"),
            invalid("no at sign", order(json!({"buyerEmail": "budi.example.com"})), "buyerEmail"),
            invalid("two addresses", order(json!({"buyerEmail": "a@example.com, b@example.com"})), "buyerEmail"),
            invalid(
                "a header in an address",
                order(json!({"buyerEmail": "a@b.co\r\nBcc: x@example.com"})),
                "buyerEmail",
            ),
            invalid("an address of 255", order(json!({"buyerEmail": address})), "buyerEmail"),
            invalid("a phone of 101", order(json!({"buyerPhone": "1".repeat(101)})), "buyerPhone"),
            invalid("NUL in a phone", order(json!({"buyerPhone": NUL})), "buyerPhone"),
            invalid("a word for a date", order(json!({"preferredDate": "soon"})), "preferredDate"),
            invalid("no such day", order(json!({"preferredDate": "2026-02-30"})), "preferredDate"),
            invalid("notes of 2,001", order(json!({"notes": long(2_001)})), "notes"),
            invalid("NUL in notes", order(json!({"notes": NUL})), "notes"),
            invalid("a list for notes", order(json!({"notes": ["a"]})), "notes"),
            invalid("a discount", order(json!({"discountCode": "WELCOME"})), "discountCode"),
            invalid("a package of none", order(json!({"packageName": "Basic"})), "packageName"),
            invalid("no package", order(json!({"serviceSlug": "packs"})), "packageName"),
            invalid(
                "an unknown package",
                order(json!({"serviceSlug": "packs", "packageName": "basic"})),
                "packageName",
            ),
            missing("an unknown service", order(json!({"serviceSlug": "logos"}))),
            missing("another's service", order(json!({"serviceSlug": "inactive"}))),
            missing("an unknown service goes before invalid", order(json!({"serviceSlug": "x", "buyerName": ""}))),
            missing(
                "an inactive service",
                ask("POST", at(other.slug)).json(&but(buyers_order(), json!({"serviceSlug": "inactive"}))),
            ),
            missing("no storefront", ask("POST", at("nobody")).json(&buyers_order())),
            missing("no storefront goes before broken JSON", ask("POST", at("nobody")).body("{")),
            missing("no slug", ask("POST", at("No%20Slug")).json(&buyers_order())),
            missing("no storefront, read", ask("GET", "/api/v1/public/storefront/nobody")),
            malformed("broken JSON", ask("POST", at(seller.slug)).body("{")),
            malformed("no body", ask("POST", at(seller.slug))),
            row(
                "an order of more than 64 KiB",
                ask("POST", at(seller.slug)).body(vec![b' '; 64 * 1024 + 1]),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
            missing("no token", ask("GET", "/api/v1/public/orders/1")),
            missing("an unknown token", ask("GET", format!("/api/v1/public/orders/{}", "0".repeat(48)))),
            missing("an id for a token", ask("GET", format!("/api/v1/public/orders/{}", seller.order))),
            missing("a token in capitals", ask("GET", format!("/api/v1/public/orders/{}", "AB".repeat(24)))),
            missing("an unknown claim", claim(&"0".repeat(48))),
            missing("unknown goes before too large", claim(&"0".repeat(48)).body(vec![b' '; 1024 * 1024 + 1])),
            row(
                "a claim of more than 64 KiB",
                claim(&seller.token).body(vec![0; 64 * 1024 + 1]),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
            row("a confirmed order claimed", claim(confirmed_token), 409, "INVALID_TRANSITION", None),
        ]
    })
    .await;
}
