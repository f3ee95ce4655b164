//! The routes behind the module: the gate, exceptions, notifications and the ledger.

use serde_json::{Value, json};

use super::in_process::{Ask, House, NOTIFIED, ask};
use super::town::{NUL, Seller, Town, UNKNOWN, check, check_in, invalid, long, malformed, missing, row};

/// The routes that need the module, with other mistakes added.
fn money_routes(seller: &Seller) -> Vec<(&'static str, Ask)> {
    let post = |path: &str| ask("POST", path).key(&seller.key);
    vec![
        ("the balance", seller.get("/api/v1/ledger/balance")),
        ("entries", seller.get("/api/v1/ledger/entries")),
        ("entries, before a bad limit", seller.get("/api/v1/ledger/entries?limit=0")),
        ("entries as CSV", seller.get("/api/v1/ledger/entries.csv")),
        ("entries as CSV, before a bad date", seller.get("/api/v1/ledger/entries.csv?from=yesterday")),
        ("payouts", seller.get("/api/v1/payouts")),
        ("payouts, before a bad filter", seller.get("/api/v1/payouts?status=canceled")),
        ("a payout asked for", seller.post("/api/v1/payouts", &json!({"amount": 1}))),
        ("a payout, before broken JSON", post("/api/v1/payouts").body("{")),
        ("a payout, before a bad idempotency key", post("/api/v1/payouts").idempotent("a b").body("{}")),
        ("a payout, before not there", seller.get("/api/v1/payouts/nothing")),
        ("a cancellation", post(&format!("/api/v1/payouts/po_{UNKNOWN}/cancel"))),
        ("the payouts' balance", seller.get("/api/v1/payouts/balance")),
        ("the bank account", seller.get("/api/v1/payouts/bank-account")),
        ("the bank account, before invalid", seller.patch("/api/v1/payouts/bank-account", &json!({"bankName": 1}))),
    ]
}

#[tokio::test]
async fn with_the_module_off_the_money_routes_say_so_before_anything_else() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let mut rows = Vec::new();
        for seller in [seller, other] {
            for (what, ask) in money_routes(seller) {
                rows.push(row(what, ask, 409, "PAYMENT_MODULE_DISABLED", None));
            }
            for transition in ["mark-in-transit", "mark-paid", "mark-failed"] {
                let mark = ask("POST", format!("/api/v1/payouts/nothing/{transition}"));
                rows.push(row("an operator's", mark.clone().key(&seller.key), 403, "OPERATOR_ONLY", None));
                rows.push(row("nobody's", mark, 401, "UNAUTHORIZED", None));
            }
        }
        let pay = |token: &str| ask("POST", format!("/api/v1/public/orders/{token}/pay"));
        rows.extend([
            row("no key", ask("GET", "/api/v1/ledger/balance"), 401, "UNAUTHORIZED", None),
            row("no key for a payout", ask("POST", "/api/v1/payouts").body("{"), 401, "UNAUTHORIZED", None),
            row("paying", pay(&seller.token), 409, "PAYMENT_MODULE_DISABLED", None),
            row("paying what is confirmed", pay(&town.confirmed_token), 409, "PAYMENT_MODULE_DISABLED", None),
            missing("paying for nothing", pay(&"0".repeat(48))),
            missing("paying without a token", pay("1")),
            invalid("an unknown state", seller.get("/api/v1/payments/exceptions?status=closed"), "status"),
        ]);
        rows
    })
    .await;
}

#[tokio::test]
async fn with_the_module_on_mistakes_about_money_are_refused() {
    let town = Town::around(House::online().await).await;
    let Town { house, seller, other, .. } = &town;
    let merchant = house.switch_payment(&other.key, true).await;
    // One order was paid with another amount than its quote, which is an exception, and was declined later; one has no quote;
    // and one was paid correctly.
    let (closed, closed_token) = house.order(&other.key, other.slug).await;
    let (_, unquoted_token) = house.order(&other.key, other.slug).await;
    let unquoted = house.get(&other.key, "/api/v1/orders?limit=1").await["orders"][0]["id"].clone();
    let quote = format!("/api/v1/orders/{}", unquoted.as_str().unwrap());
    house.send(other.patch(&quote, &json!({"quotedPriceIdr": 0}))).await.data();
    house.settle(&closed_token, 5).await;
    house.send(other.patch(&format!("/api/v1/orders/{closed}"), &json!({"status": "declined"}))).await.data();
    house.settle(&other.token, 750_000).await;
    let exceptions = house.get(&other.key, "/api/v1/payments/exceptions").await;
    assert_eq!(exceptions["exceptions"][0]["kind"], "amount_mismatch", "{exceptions}");
    let exception = exceptions["exceptions"][0]["id"].as_str().unwrap().to_owned();
    let entries_cursor = house.get(&other.key, "/api/v1/ledger/entries?limit=1").await["cursor"].clone();
    let entries_cursor = entries_cursor.as_str().unwrap().to_owned();
    house.tidy().await;
    house.dispatch().await;

    let signed = |body: &str| house.signed(&merchant, body);
    check_in(&town, |_| {
        let entries = |query: &str| other.get(&format!("/api/v1/ledger/entries?{query}"));
        let csv = |query: &str| other.get(&format!("/api/v1/ledger/entries.csv?{query}"));
        let exceptions = |query: &str| other.get(&format!("/api/v1/payments/exceptions?{query}"));
        let resolve_path = |id: &str| format!("/api/v1/payments/exceptions/{id}/resolve");
        let resolve = |body: Value| other.post(&resolve_path(&exception), &body);
        let pay = |token: &str| ask("POST", format!("/api/v1/public/orders/{token}/pay"));
        let unsigned = |what, ask| row(what, ask, 401, "INVALID_SIGNATURE", None);
        let body = json!({"id": "evt_9", "type": "plugipay.checkout_session.completed.v1", "accountId": merchant});
        let body = body.to_string();
        let mut rows = vec![
            invalid("an unknown code", entries("code=sales"), "code"),
            invalid("a code twice", entries("code=sale&code=sale"), "code"),
            invalid("an unknown source", entries("sourceType=order"), "sourceType"),
            invalid("an empty id", entries("sourceId="), "sourceId"),
            invalid("NUL in an id", entries("sourceId=a%00"), "sourceId"),
            invalid("an id of 256", entries(&format!("sourceId={}", "a".repeat(256))), "sourceId"),
            invalid("no date", csv("from=yesterday"), "from"),
            invalid("an empty date", csv("to="), "to"),
            invalid("no such day", csv("from=2026-02-30"), "from"),
            invalid("a time without a zone", csv("to=2026-11-30T00:00:00"), "to"),
            invalid("a date twice", csv("from=2026-11-01&from=2026-11-01"), "from"),
            invalid("dates the wrong way round", csv("from=2026-11-30&to=2026-11-29"), "to"),
            invalid("times the wrong way round", csv("from=2026-11-30T00:00:01Z&to=2026-11-30T00:00:00Z"), "to"),
            invalid("an unknown code", csv("code=tips"), "code"),
            invalid("NUL in an id", csv("sourceId=a%00"), "sourceId"),
            invalid("an unknown state", exceptions("status=new"), "status"),
            invalid("the other list's cursor", exceptions(&format!("cursor={entries_cursor}")), "cursor"),
            invalid("the orders' cursor", entries(&format!("cursor={}", other.orders_cursor)), "cursor"),
            invalid("a note of 2,001", resolve(json!({"note": long(2_001)})), "note"),
            invalid("NUL in a note", resolve(json!({"note": NUL})), "note"),
            invalid("a list for a note", resolve(json!({"note": ["a"]})), "note"),
            malformed("broken JSON", ask("POST", resolve_path(&exception)).key(&other.key).body("{")),
            missing("another's", seller.post(&resolve_path(&exception), &json!({"note": "Mine."}))),
            missing("another's goes before invalid", seller.post(&resolve_path(&exception), &json!({"note": 1}))),
            missing("unknown", other.post(&resolve_path(&format!("exc_{UNKNOWN}")), &json!({"note": "x"}))),
            missing("unknown goes before broken JSON", ask("POST", resolve_path("1")).key(&other.key).body("{")),
            row("paying what is confirmed", pay(&other.token), 409, "INVALID_TRANSITION", None),
            row("paying what was declined", pay(&closed_token), 409, "ORDER_CLOSED", None),
            row("paying without a quote", pay(&unquoted_token), 409, "NO_QUOTE", None),
            row("paying another's, whose module is off", pay(&seller.token), 409, "PAYMENT_MODULE_DISABLED", None),
            missing("paying for nothing", pay(&"0".repeat(48))),
            unsigned("no signature", ask("POST", NOTIFIED).body(&body)),
            unsigned("no body", ask("POST", NOTIFIED)),
            unsigned("no JSON", signed("x")),
            unsigned("no merchant", signed("{}")),
            unsigned("an unknown merchant", signed(&body.replace(&merchant, "nobody"))),
            unsigned("another body", signed(&body).body(body.replace("evt_9", "evt_8"))),
            unsigned("two signatures", signed(&body).header("x-plugipay-signature", "t=1,v1=00")),
            unsigned("no UTF-8 in it", ask("POST", NOTIFIED).header("x-plugipay-signature", b"t=\xff").body(&body)),
            malformed("signed, and without an id", signed(&json!({"type": "x", "accountId": merchant}).to_string())),
            row("more than 256 KiB", signed(&" ".repeat(256 * 1024 + 1)), 413, "PAYLOAD_TOO_LARGE", None),
        ];
        for query in ["limit=0", "limit=101", "limit=x"] {
            rows.push(invalid("a limit out of range", entries(query), "limit"));
            rows.push(invalid("a limit out of range", exceptions(query), "limit"));
        }
        for query in ["cursor=", "cursor=1", "cursor=%00"] {
            rows.push(invalid("a made-up cursor", entries(query), "cursor"));
            rows.push(invalid("a made-up cursor", exceptions(query), "cursor"));
        }
        rows
    })
    .await;
}
