//! The seller's side of orders.

use serde_json::{Value, json};

use super::in_process::ask;
use super::town::{Town, UNKNOWN, check, invalid, malformed, missing, row};

#[tokio::test]
async fn an_order_is_changed_by_its_seller_only_and_only_where_it_may_go() {
    check(|town| {
        let Town { seller, other, claimed, confirmed, .. } = town;
        let path = |id: &str| format!("/api/v1/orders/{id}");
        let (mine, others, unknown) = (path(&seller.order), path(&other.order), path(&format!("ord_{UNKNOWN}")));
        let patch = |body: Value| seller.patch(&mine, &body);
        let patch_confirmed = |body: Value| seller.patch(&path(confirmed), &body);
        let post = |path: &str| ask("POST", path).key(&seller.key);
        let conflict = |what, ask| row(what, ask, 409, "INVALID_TRANSITION", None);
        vec![
            malformed("an empty change", patch(json!({}))),
            malformed("a change of the payment track", patch(json!({"paymentStatus": "payment_confirmed"}))),
            malformed("a change to nothing", patch(json!({"status": null, "quotedPriceIdr": null}))),
            invalid("an unknown state", patch(json!({"status": "lost"})), "status"),
            invalid("a number for a state", patch(json!({"status": 1})), "status"),
            invalid("an object for a state", patch(json!({"status": {"confirmed": null}})), "status"),
            invalid("a negative quote", patch(json!({"quotedPriceIdr": -1})), "quotedPriceIdr"),
            invalid("a quote of 2^53", patch(json!({"quotedPriceIdr": 9_007_199_254_740_992_i64})), "quotedPriceIdr"),
            invalid("a quote with a fraction", patch(json!({"quotedPriceIdr": 1.5})), "quotedPriceIdr"),
            invalid("a text for a quote", patch(json!({"quotedPriceIdr": "1"})), "quotedPriceIdr"),
            conflict("to finish what was not begun", patch(json!({"status": "completed"}))),
            conflict("to stay", patch(json!({"status": "requested"}))),
            conflict("half of it allowed", patch(json!({"status": "completed", "quotedPriceIdr": 5}))),
            conflict("a confirmed order's quote", patch_confirmed(json!({"quotedPriceIdr": 5}))),
            conflict("the same quote", patch_confirmed(json!({"quotedPriceIdr": 750_000}))),
            conflict("half of it final", patch_confirmed(json!({"status": "confirmed", "quotedPriceIdr": 5}))),
            invalid("invalid goes before final", patch_confirmed(json!({"quotedPriceIdr": -1})), "quotedPriceIdr"),
            conflict("confirmed again", post(&format!("{}/confirm-payment", path(confirmed)))),
            missing("another's, read", seller.get(&others)),
            missing("another's, changed", seller.patch(&others, &json!({"status": "declined"}))),
            missing("another's goes before invalid", seller.patch(&others, &json!({"status": "lost"}))),
            missing("another's, confirmed", post(&format!("{others}/confirm-payment"))),
            missing("another's, with a new token", post(&format!("{others}/rotate-token"))),
            missing("another's, with a bad key", post(&format!("{others}/confirm-payment")).idempotent("a b")),
            missing("another's receipt", seller.get(&format!("{others}/proof"))),
            missing("another's, by us", other.get(&path(claimed))),
            missing("no receipt", seller.get(&format!("{mine}/proof"))),
            missing("unknown", seller.get(&unknown)),
            missing("unknown, confirmed", post(&format!("{unknown}/confirm-payment"))),
            missing("unknown goes before no JSON", ask("PATCH", &unknown).key(&seller.key).body("x")),
            missing("a number for an id", seller.get(&path("1"))),
            missing("a token for an id", seller.get(&path(&seller.token))),
            missing("an id and more", seller.get(&format!("{mine}%2f"))),
        ]
    })
    .await;
}
