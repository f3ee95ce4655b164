//! Payouts: the seller's requests, the operators' steps, and which keys work where.

use serde_json::{Value, json};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::tier::Tier;

use super::in_process::{Ask, House, ask, but, payout, without};
use super::town::{NUL, Row, Seller, Town, UNKNOWN, check_in, invalid, long, malformed, missing, row};

/// The steps that only operators may take.
const MARKS: [&str; 3] = ["mark-in-transit", "mark-paid", "mark-failed"];

/// A town where two sellers have money, with a payout in each state, and an operator.
struct Desk {
    town: Town,
    /// A third seller, who has a payout, an adjustment and a default account.
    third: Seller,
    thirds_payout: String,
    thirds_adjustment: String,
    operator: String,
    pending: String,
    in_transit: String,
    paid: String,
    cancelled: String,
    failed: String,
    payouts_cursor: String,
}

impl Desk {
    async fn open() -> Self {
        let town = Town::around(House::online().await).await;
        let house = &town.house;
        let third = Seller::open(house, Tier::Growth, "third-shop").await;
        for seller in [&town.other, &third] {
            house.switch_payment(&seller.key, true).await;
            house.settle(&seller.token, 750_000).await;
        }
        house.tidy().await;
        house.dispatch().await;
        let operator = house.operator().await;
        let seller = &town.other.key;
        let (in_transit, paid) = (house.payout(seller, 10).await, house.payout(seller, 20).await);
        let (cancelled, failed) = (house.payout(seller, 30).await, house.payout(seller, 40).await);
        let pending = house.payout(seller, 50).await;
        for id in [&in_transit, &paid] {
            house.mark(&operator, id, "mark-in-transit", &json!({})).await;
        }
        house.mark(&operator, &paid, "mark-paid", &json!({"reference": "T-1"})).await;
        house.mark(&operator, &failed, "mark-failed", &json!({"failureReason": "No such account."})).await;
        house.send(ask("POST", format!("/api/v1/payouts/{cancelled}/cancel")).key(seller)).await.data();
        let thirds_payout = house.payout(&third.key, 700_000).await;
        let thirds_adjustment = house.adjust(&third.key, -5, "A-1").await;
        let details = json!({"bankName": "BRI", "bankAccountNumber": "9", "bankAccountHolder": "Tiga"});
        house.send(third.patch("/api/v1/payouts/bank-account", &details)).await.data();
        let payouts_cursor = house.get(seller, "/api/v1/payouts?limit=1").await["cursor"].clone();
        let payouts_cursor = payouts_cursor.as_str().unwrap().to_owned();
        Self {
            town,
            third,
            thirds_payout,
            thirds_adjustment,
            operator,
            pending,
            in_transit,
            paid,
            cancelled,
            failed,
            payouts_cursor,
        }
    }

    fn mark(&self, id: &str, step: &str) -> Ask {
        ask("POST", format!("/api/v1/payouts/{id}/{step}")).key(&self.operator)
    }

    /// Makes each mistake; it changes no balance, including the third seller's.
    async fn check(&self, rows: impl FnOnce(&Self) -> Vec<Row>) {
        let (house, third) = (&self.town.house, &self.third);
        let before = house.picture(&third.key, third.slug).await;
        check_in(&self.town, |_| rows(self)).await;
        assert_eq!(house.picture(&third.key, third.slug).await, before);
    }
}

fn conflict(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 409, "INVALID_TRANSITION", None)
}

fn unauthorized(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 401, "UNAUTHORIZED", None)
}

#[tokio::test]
async fn a_request_with_a_mistake_asks_for_nothing() {
    let desk = Desk::open().await;
    let available = desk.town.house.get(&desk.town.other.key, "/api/v1/payouts/balance").await["available"].clone();
    assert_eq!(available, 747_750 - 10 - 20 - 50);
    desk.check(|desk| {
        let seller = &desk.town.other;
        let request = |fields: Value| seller.post("/api/v1/payouts", &but(payout(1), fields));
        let raw = |body: &str| ask("POST", "/api/v1/payouts").key(&seller.key).body(body);
        let refused = |what, code, ask| row(what, ask, 409, code, None);
        let (required, insufficient) = ("BANK_ACCOUNT_REQUIRED", "INSUFFICIENT_BALANCE");
        let lacks = |field: &str| seller.post("/api/v1/payouts", &without(payout(1), field));
        let bare = |amount: i64| seller.post("/api/v1/payouts", &json!({"amount": amount}));
        vec![
            invalid("nothing", request(json!({"amount": 0})), "amount"),
            invalid("less than nothing", request(json!({"amount": -1})), "amount"),
            invalid("the least number", request(json!({"amount": i64::MIN})), "amount"),
            invalid("half a rupiah", request(json!({"amount": 0.5})), "amount"),
            invalid("a whole number with a fraction", request(json!({"amount": 1.0})), "amount"),
            invalid("2^53", request(json!({"amount": 9_007_199_254_740_992_i64})), "amount"),
            invalid("more than 64 bits", request(json!({"amount": 1e30})), "amount"),
            invalid("a text for an amount", request(json!({"amount": "1"})), "amount"),
            invalid("null for an amount", request(json!({"amount": null})), "amount"),
            invalid("no amount", lacks("amount"), "amount"),
            invalid("dollars", request(json!({"currency": "USD"})), "currency"),
            invalid("small letters", request(json!({"currency": "idr"})), "currency"),
            invalid("a number for a currency", request(json!({"currency": 360})), "currency"),
            invalid("no bank", lacks("bankName"), "bankName"),
            invalid("a blank bank", request(json!({"bankName": " "})), "bankName"),
            invalid("a bank of 101", request(json!({"bankName": long(101)})), "bankName"),
            invalid(
                "a bank's code alone",
                seller.post("/api/v1/payouts", &json!({"amount": 1, "bankCode": "014"})),
                "bankName",
            ),
            invalid("NUL in a bank's code", request(json!({"bankCode": NUL})), "bankCode"),
            invalid("no account number", lacks("bankAccountNumber"), "bankAccountNumber"),
            invalid("letters in a number", request(json!({"bankAccountNumber": "12a"})), "bankAccountNumber"),
            invalid("no digits", request(json!({"bankAccountNumber": "- -"})), "bankAccountNumber"),
            invalid("a number for a number", request(json!({"bankAccountNumber": 1})), "bankAccountNumber"),
            invalid("no holder", lacks("bankAccountHolder"), "bankAccountHolder"),
            invalid("a line break in a holder", request(json!({"bankAccountHolder": "a\nb"})), "bankAccountHolder"),
            invalid("a note of 2,001", request(json!({"note": long(2_001)})), "note"),
            invalid("NUL in a note", request(json!({"note": NUL})), "note"),
            invalid("a list for a note", request(json!({"note": ["a"]})), "note"),
            malformed("no body", raw("")),
            malformed("broken JSON", raw("{")),
            malformed("a list", raw("[1]")),
            invalid("a bad idempotency key", raw("{\"amount\": 1}").idempotent("a b"), "Idempotency-Key"),
            row("more than 256 KiB", raw(&" ".repeat(262_145)), 413, "PAYLOAD_TOO_LARGE", None),
            refused("no account to pay to", required, bare(1)),
            refused("no account goes before no money", required, bare(Rupiah::MAX.get())),
            refused(
                "blanks for an account",
                required,
                seller.post("/api/v1/payouts", &json!({"amount": 1, "bankName": " "})),
            ),
            refused("a rupiah more than is available", insufficient, request(json!({"amount": 747_671}))),
            refused("what the ledger holds", insufficient, request(json!({"amount": 747_730}))),
            refused("the most", insufficient, request(json!({"amount": Rupiah::MAX}))),
            invalid("invalid goes before no account", bare(0), "amount"),
        ]
    })
    .await;
    // The exact available amount can be paid out.
    desk.town.house.payout(&desk.town.other.key, 747_670).await;
    let funds = desk.town.house.get(&desk.town.other.key, "/api/v1/payouts/balance").await;
    let all = json!({
        "ledgerBalance": 747_730, "pending": 747_730, "locked": 747_730, "available": 0, "currency": "IDR",
    });
    assert_eq!(funds, all);
}

#[tokio::test]
async fn a_payout_is_seen_and_cancelled_by_its_seller_only() {
    let desk = Desk::open().await;
    desk.check(|desk| {
        let seller = &desk.town.other;
        let path = |id: &str| format!("/api/v1/payouts/{id}");
        let cancel = |id: &str| ask("POST", format!("{}/cancel", path(id))).key(&seller.key);
        let unknown = format!("po_{UNKNOWN}");
        let list = |query: &str| seller.get(&format!("/api/v1/payouts?{query}"));
        let mut rows = vec![
            missing("unknown", seller.get(&path(&unknown))),
            missing("another's", seller.get(&path(&desk.thirds_payout))),
            missing("no id", seller.get(&path("1"))),
            missing("capitals in an id", seller.get(&path(&desk.pending.to_uppercase()))),
            missing("an order's id", seller.get(&path(&seller.order))),
            missing("NUL in an id", seller.get(&path("po_%00"))),
            missing("unknown, cancelled", cancel(&unknown)),
            missing("another's, cancelled", cancel(&desk.thirds_payout)),
            missing("another's, with a bad idempotency key", cancel(&desk.thirds_payout).idempotent("a b")),
            missing("no id, cancelled", cancel("nothing")),
            invalid("a bad idempotency key", cancel(&desk.pending).idempotent("a b"), "Idempotency-Key"),
            conflict("what is in transit", cancel(&desk.in_transit)),
            conflict("what is paid", cancel(&desk.paid)),
            conflict("what is cancelled", cancel(&desk.cancelled)),
            conflict("what has failed", cancel(&desk.failed)),
            invalid("an order's spelling", list("status=canceled"), "status"),
            invalid("an empty state", list("status="), "status"),
            invalid("a state twice", list("status=paid&status=paid"), "status"),
            invalid("the orders' cursor", list(&format!("cursor={}", seller.orders_cursor)), "cursor"),
            invalid(
                "another's cursor",
                desk.third.get(&format!("/api/v1/payouts?cursor={}", desk.payouts_cursor)),
                "cursor",
            ),
            invalid(
                "the payouts' cursor",
                seller.get(&format!("/api/v1/ledger/entries?cursor={}", desk.payouts_cursor)),
                "cursor",
            ),
        ];
        for query in ["limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=", "limit=x", "limit=1&limit=1"] {
            rows.push(invalid("a limit out of range", list(query), "limit"));
        }
        for query in ["cursor=", "cursor=1", "cursor=%00", "cursor=%ff", "cursor=00000000000000000000"] {
            rows.push(invalid("a made-up cursor", list(query), "cursor"));
        }
        rows
    })
    .await;
}

#[tokio::test]
async fn only_an_operator_moves_a_payout_along_and_only_where_it_may_go() {
    let desk = Desk::open().await;
    desk.check(|desk| {
        let mark = |step: &str, body: Value| desk.mark(&desk.in_transit, step).json(&body);
        let unknown = format!("po_{UNKNOWN}");
        let failed = |body: Value| mark("mark-failed", body);
        let mut rows = vec![
            invalid("a reference of 2,001", mark("mark-paid", json!({"reference": long(2_001)})), "reference"),
            invalid("NUL in a reference", mark("mark-paid", json!({"reference": NUL})), "reference"),
            invalid("a number for a reference", mark("mark-paid", json!({"reference": 1})), "reference"),
            invalid("no reason", failed(json!({})), "failureReason"),
            invalid("no body for a reason", desk.mark(&desk.in_transit, "mark-failed"), "failureReason"),
            invalid("null for a reason", failed(json!({"failureReason": null})), "failureReason"),
            invalid("a blank reason", failed(json!({"failureReason": " \n"})), "failureReason"),
            invalid("a reason of 2,001", failed(json!({"failureReason": long(2_001)})), "failureReason"),
            invalid("a list for a reason", failed(json!({"failureReason": ["a"]})), "failureReason"),
            invalid("a reference for a reason", failed(json!({"reference": "T-1"})), "failureReason"),
            invalid(
                "invalid goes before the wrong state",
                desk.mark(&desk.paid, "mark-paid").json(&json!({"reference": NUL})),
                "reference",
            ),
        ];
        for step in MARKS {
            let named = |id: &str| desk.mark(id, step).json(&json!({"failureReason": "x"}));
            rows.extend([
                missing("unknown", named(&unknown)),
                missing("no id", named("nothing")),
                missing("an order's id", named(&desk.town.other.order)),
                missing("unknown goes before broken JSON", desk.mark(&unknown, step).body("{")),
                missing("unknown goes before a bad idempotency key", named(&unknown).idempotent("a b")),
                malformed("broken JSON", desk.mark(&desk.pending, step).body("{")),
                malformed("a list", desk.mark(&desk.pending, step).body("[]")),
                invalid("a bad idempotency key", named(&desk.pending).idempotent("a b"), "Idempotency-Key"),
                conflict("what is paid", named(&desk.paid)),
                conflict("what is cancelled", named(&desk.cancelled)),
                conflict("what has failed", named(&desk.failed)),
            ]);
        }
        rows.extend([
            conflict("paid before it is in transit", desk.mark(&desk.pending, "mark-paid")),
            conflict("in transit again", desk.mark(&desk.in_transit, "mark-in-transit")),
        ]);
        rows
    })
    .await;
}

#[tokio::test]
async fn a_sellers_key_and_an_operators_open_different_doors() {
    let desk = Desk::open().await;
    desk.check(|desk| {
        let seller = &desk.town.other;
        let operator = |method: &str, path: &str| ask(method, path).key(&desk.operator);
        let known = format!("/api/v1/payouts/{}", desk.pending);
        let mut rows = Vec::new();
        for step in MARKS {
            for id in [&desk.pending, &desk.thirds_payout, "nothing"] {
                let mark = ask("POST", format!("/api/v1/payouts/{id}/{step}"));
                let stranger = mark.clone().key(&format!("sk_op_{}", "0".repeat(48)));
                let only = |what, ask| row(what, ask, 403, "OPERATOR_ONLY", None);
                rows.extend([
                    only("a seller's", mark.clone().key(&seller.key)),
                    only("a seller's, before broken JSON", mark.clone().key(&seller.key).body("{")),
                    only("a seller's whose module is off", mark.clone().key(&desk.town.seller.key)),
                    unauthorized("nobody's", mark.clone()),
                    unauthorized("an unknown operator's", stranger),
                    unauthorized("a revoked key", mark.clone().key(&desk.town.revoked)),
                    unauthorized("two keys", mark.key(&desk.operator).key(&desk.operator)),
                ]);
            }
        }
        for (method, path) in [
            ("GET", "/api/v1/payouts"),
            ("POST", "/api/v1/payouts"),
            ("GET", "/api/v1/payouts/balance"),
            ("GET", "/api/v1/payouts/bank-account"),
            ("PATCH", "/api/v1/payouts/bank-account"),
            ("POST", &format!("{known}/cancel")),
            ("GET", "/api/v1/ledger/balance"),
            ("GET", "/api/v1/ledger/entries"),
            ("GET", "/api/v1/ledger/entries.csv"),
            ("GET", "/api/v1/payments/exceptions"),
            ("GET", "/api/v1/storefront"),
            ("GET", "/api/v1/orders"),
            ("GET", "/api/v1/modules"),
            ("PATCH", "/api/v1/modules"),
            ("GET", "/api/v1/api-keys"),
            ("POST", "/api/v1/api-keys"),
            ("GET", "/api/v1/webhook-subscriptions"),
        ] {
            rows.push(unauthorized("an operator's, for a seller's route", operator(method, path).body("{}")));
        }
        rows.extend([
            unauthorized("nobody's", ask("GET", &known)),
            unauthorized("an unknown operator's", ask("GET", &known).key(&format!("sk_op_{}", "0".repeat(48)))),
            row("a seller whose module is off", desk.town.seller.get(&known), 409, "PAYMENT_MODULE_DISABLED", None),
            missing("unknown, to an operator", operator("GET", &format!("/api/v1/payouts/po_{UNKNOWN}"))),
            missing("no id, to an operator", operator("GET", "/api/v1/payouts/1")),
        ]);
        rows
    })
    .await;
    for id in [&desk.pending, &desk.thirds_payout] {
        let seen = desk.town.house.get(&desk.operator, &format!("/api/v1/payouts/{id}")).await;
        assert_eq!(seen["id"], json!(id), "an operator sees every account's");
    }
}

#[tokio::test]
async fn a_default_account_with_a_mistake_is_not_kept() {
    let desk = Desk::open().await;
    desk.check(|desk| {
        let seller = &desk.third;
        let patch = |body: Value| seller.patch("/api/v1/payouts/bank-account", &body);
        let raw = |body: &str| ask("PATCH", "/api/v1/payouts/bank-account").key(&seller.key).body(body);
        vec![
            malformed("nothing", patch(json!({}))),
            malformed("nothing known", patch(json!({"accountNumber": "1"}))),
            malformed("broken JSON", raw("{")),
            malformed("no body", raw("")),
            invalid("a number for a bank", patch(json!({"bankName": 1})), "bankName"),
            invalid("a bank of 101", patch(json!({"bankName": long(101)})), "bankName"),
            invalid("NUL in a bank's code", patch(json!({"bankCode": NUL})), "bankCode"),
            invalid("letters in a number", patch(json!({"bankAccountNumber": "12a"})), "bankAccountNumber"),
            invalid("no digits", patch(json!({"bankAccountNumber": "-"})), "bankAccountNumber"),
            invalid("a list for a holder", patch(json!({"bankAccountHolder": ["a"]})), "bankAccountHolder"),
            invalid(
                "half of it good",
                patch(json!({"bankName": "BNI", "bankAccountNumber": "x"})),
                "bankAccountNumber",
            ),
            invalid("a bad idempotency key", patch(json!({"bankName": "BNI"})).idempotent("a b"), "Idempotency-Key"),
        ]
    })
    .await;
}

#[tokio::test]
async fn an_exception_names_an_adjustment_of_its_own_account_or_none() {
    let desk = Desk::open().await;
    let (house, other) = (&desk.town.house, &desk.town.other);
    let (_, token) = house.order(&other.key, other.slug).await;
    house.settle(&token, 5).await;
    house.dispatch().await;
    house.tidy().await;
    let exceptions = house.get(&other.key, "/api/v1/payments/exceptions").await;
    let path = format!("/api/v1/payments/exceptions/{}/resolve", exceptions["exceptions"][0]["id"].as_str().unwrap());
    let resolve = |adjustment: Value| other.post(&path, &json!({"note": "Paid back.", "adjustmentId": adjustment}));
    desk.check(|desk| {
        vec![
            invalid("no id", resolve(json!("A-1")), "adjustmentId"),
            invalid("a number for an id", resolve(json!(1)), "adjustmentId"),
            invalid("a payout's id", resolve(json!(desk.paid)), "adjustmentId"),
            invalid("an unknown adjustment", resolve(json!(format!("adj_{UNKNOWN}"))), "adjustmentId"),
            invalid("another's adjustment", resolve(json!(desk.thirds_adjustment)), "adjustmentId"),
            invalid("no note", other.post(&path, &json!({})), "note"),
        ]
    })
    .await;
    let mine = house.adjust(&other.key, -5, "A-1").await;
    let resolved = house.send(resolve(json!(mine))).await.data();
    assert_eq!((&resolved["status"], &resolved["adjustmentId"]), (&json!("resolved"), &json!(mine)));
}

#[tokio::test]
async fn a_revoked_operators_key_opens_nothing() {
    let desk = Desk::open().await;
    let house = &desk.town.house;
    let operators = AccountId::OPERATORS;
    let keys = house.commands().keys(operators).await.unwrap();
    house.commands().delete_key(operators, keys[0].id).await.unwrap();
    desk.check(|desk| {
        let mut rows =
            vec![unauthorized("read", ask("GET", format!("/api/v1/payouts/{}", desk.pending)).key(&desk.operator))];
        rows.extend(MARKS.map(|step| unauthorized("moved along", desk.mark(&desk.pending, step))));
        rows
    })
    .await;
    let second = house.operator().await;
    house.mark(&second, &desk.pending, "mark-in-transit", &json!({})).await;
}
