//! Payouts with the real binary: from a seller's online sales to the bank.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use support::shop::{Shop, payout_to_bca};
use support::{Client, Engine, Reply};

mod support;

on_both_engines!(
    a_payout_moves_from_request_to_paid_and_every_balance_is_shown,
    what_is_cancelled_or_failed_is_available_again,
    a_payout_knows_no_other_way_than_its_table,
    the_default_account_is_copied_into_what_is_asked_for,
    with_the_module_off_only_operators_go_on_and_history_stays,
    an_operators_key_opens_operators_routes_alone,
    an_adjustment_is_made_once_and_may_turn_what_is_available_below_zero,
    an_exception_names_the_adjustment_that_settled_it,
    a_repeated_key_moves_no_money_twice,
    of_concurrent_cancelling_and_transferring_one_wins,
    of_thirty_concurrent_payouts_for_a_fifth_each_five_are_paid_and_the_books_are_clean,
);

const PAYOUTS: &str = "/api/v1/payouts";
const BANK_ACCOUNT: &str = "/api/v1/payouts/bank-account";

/// A sale of this much earns 0.3 % less.
const SALE: i64 = 1_000_000;
const EARNED: i64 = 997_000;

async fn shop_with_money(engine: Engine) -> Shop {
    let shop = Shop::open(engine).await;
    shop.earn(SALE).await;
    shop
}

fn balance(ledger: i64, in_flight: i64) -> Value {
    json!({
        "ledgerBalance": ledger, "pending": in_flight, "locked": in_flight, "available": ledger - in_flight,
        "currency": "IDR",
    })
}

fn id(payout: &Value) -> &str {
    payout["id"].as_str().unwrap()
}

async fn post(client: &Client, path: &str, body: Value) -> Reply {
    client.call("POST", path, Some(body)).await
}

async fn step(client: &Client, payout: &Value, step: &str, body: Value) -> Reply {
    post(client, &format!("{PAYOUTS}/{}/{step}", id(payout)), body).await
}

async fn list(client: &Client, query: &str) -> Vec<Value> {
    client.call("GET", &format!("{PAYOUTS}{query}"), None).await.data()["payouts"].as_array().unwrap().clone()
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Verifies the books of all accounts. Returns the number of entries.
fn verified(shop: &Shop) -> u64 {
    let report = shop.installation.admin(&["ledger", "verify"]);
    assert_eq!(report["differences"], json!([]), "{report}");
    report["entries"].as_u64().unwrap()
}

async fn a_payout_moves_from_request_to_paid_and_every_balance_is_shown(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator) = (&shop.client, shop.operator());
    assert_eq!(shop.payout_balance().await, balance(EARNED, 0));
    let note = json!({"note": "For the rent"});
    let mut wanted = payout_to_bca(400_000);
    wanted["note"] = note["note"].clone();
    let asked = post(client, PAYOUTS, wanted).await;
    assert_eq!(asked.status, 201);
    let asked = asked.data();
    let mut expected = json!({
        "id": asked["id"], "accountId": shop.account, "amount": 400_000, "currency": "IDR", "status": "pending",
        "method": "manual", "bankCode": null, "bankName": "BCA", "bankAccountNumber": "123-456-7890",
        "bankAccountHolder": "Renata Wijaya", "note": "For the rent", "reference": null, "failureReason": null,
        "processedAt": null, "completedAt": null, "createdAt": asked["createdAt"], "updatedAt": asked["createdAt"],
    });
    assert_eq!(asked, expected);
    assert_eq!(shop.payout_balance().await, balance(EARNED, 400_000));
    assert_eq!(shop.balance().await["balance"], EARNED, "what is in flight is not posted");
    assert_eq!(shop.installation.lines(&["payout", "list"]), std::slice::from_ref(&asked));

    let moving = step(&operator, &asked, "mark-in-transit", json!({"reference": "T-1"})).await.data();
    expected["status"] = json!("in_transit");
    expected["reference"] = json!("T-1");
    expected["processedAt"] = moving["updatedAt"].clone();
    expected["updatedAt"] = moving["updatedAt"].clone();
    assert_eq!(moving, expected);
    assert_eq!(shop.payout_balance().await, balance(EARNED, 400_000));

    let paid = step(&operator, &asked, "mark-paid", json!({})).await.data();
    expected["status"] = json!("paid");
    expected["completedAt"] = paid["updatedAt"].clone();
    expected["updatedAt"] = paid["updatedAt"].clone();
    assert_eq!(paid, expected, "a reference that is left out stays");
    assert_eq!(shop.payout_balance().await, balance(EARNED - 400_000, 0));
    let by_code = json!([
        {"code": "module_fee", "debits": 3_000, "credits": 0, "balance": -3_000, "currency": "IDR"},
        {"code": "payout", "debits": 400_000, "credits": 0, "balance": -400_000, "currency": "IDR"},
        {"code": "sale", "debits": 0, "credits": SALE, "balance": SALE, "currency": "IDR"},
    ]);
    assert_eq!(shop.balance().await, json!({"balance": EARNED - 400_000, "currency": "IDR", "byCode": by_code}));
    let entries = shop.entries(&format!("?sourceType=payout&sourceId={}", id(&asked))).await;
    assert_eq!(entries.len(), 1);
    let shown = [&entries[0]["code"], &entries[0]["direction"], &entries[0]["amount"]];
    assert_eq!(shown, [&json!("payout"), &json!("debit"), &json!(400_000)]);

    // The seller, the list, and an operator without an account see the same.
    let path = format!("{PAYOUTS}/{}", id(&asked));
    for reader in [client, &operator] {
        assert_eq!(reader.call("GET", &path, None).await.data(), paid);
    }
    assert_eq!(list(client, "?status=paid").await, [paid]);
    assert_eq!(list(client, "?status=pending").await, Vec::<Value>::new());
    assert_eq!(shop.installation.lines(&["payout", "list"]), Vec::<Value>::new());
    assert_eq!(verified(&shop), 6);
}

async fn what_is_cancelled_or_failed_is_available_again(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator) = (&shop.client, shop.operator());
    let (first, second, third) = (
        shop.request_payout(EARNED - 3).await.data(),
        shop.request_payout(1).await.data(),
        shop.request_payout(2).await.data(),
    );
    assert_eq!(shop.payout_balance().await, balance(EARNED, EARNED));
    assert_eq!(shop.request_payout(1).await.refusal(), refused(409, "INSUFFICIENT_BALANCE"));

    let cancelled = step(client, &first, "cancel", json!({})).await.data();
    assert_eq!((&cancelled["status"], &cancelled["processedAt"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(shop.payout_balance().await, balance(EARNED, 3));
    let why = json!({"failureReason": "The bank does not know the account"});
    let failed = step(&operator, &second, "mark-failed", why.clone()).await.data();
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("failed"), &why["failureReason"]));
    assert_eq!(failed["processedAt"], failed["updatedAt"]);
    assert_eq!(shop.payout_balance().await, balance(EARNED, 2));
    let moving = step(&operator, &third, "mark-in-transit", json!({"reference": null})).await.data();
    assert_eq!(moving["reference"], Value::Null);
    let failed = step(&operator, &third, "mark-failed", why).await.data();
    assert_eq!((&failed["status"], &failed["processedAt"]), (&json!("failed"), &moving["processedAt"]));
    assert_eq!(shop.payout_balance().await, balance(EARNED, 0));
    assert_eq!(shop.entries("?code=payout").await.len(), 0);

    // Everything is there again.
    shop.request_payout(EARNED).await.data();
    let pages: Vec<Value> = {
        let mut pages = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.call("GET", &format!("{PAYOUTS}?limit=3{cursor}"), None).await.data();
            pages.extend(page["payouts"].as_array().unwrap().iter().map(|payout| payout["amount"].clone()));
            assert_eq!(page["hasMore"], page["cursor"].is_string());
            let Some(next) = page["cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        pages
    };
    assert_eq!(pages, [EARNED, 2, 1, EARNED - 3].map(|amount| json!(amount)), "newest first");
    verified(&shop);
}

async fn a_payout_knows_no_other_way_than_its_table(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator) = (&shop.client, shop.operator());
    let steps = ["cancel", "mark-in-transit", "mark-paid", "mark-failed"];
    let body = json!({"reference": "T-1", "failureReason": "No such account"});
    for (way, allowed) in [
        (&[][..], &["cancel", "mark-in-transit", "mark-failed"][..]),
        (&["mark-in-transit"], &["mark-paid", "mark-failed"]),
        (&["mark-in-transit", "mark-paid"], &[]),
        (&["cancel"], &[]),
        (&["mark-failed"], &[]),
    ] {
        for next in steps {
            let payout = shop.request_payout(1).await.data();
            for gone in way {
                let caller = if *gone == "cancel" { client } else { &operator };
                step(caller, &payout, gone, body.clone()).await.data();
            }
            let caller = if next == "cancel" { client } else { &operator };
            let path = format!("{PAYOUTS}/{}", id(&payout));
            let before = client.call("GET", &path, None).await.data();
            let reply = step(caller, &payout, next, body.clone()).await;
            if allowed.contains(&next) {
                assert_eq!(reply.status, 200, "{way:?} {next}");
            } else {
                assert_eq!(reply.refusal(), refused(409, "INVALID_TRANSITION"), "{way:?} {next}");
                assert_eq!(client.call("GET", &path, None).await.data(), before, "{way:?} {next}");
            }
        }
    }
    verified(&shop);
}

async fn the_default_account_is_copied_into_what_is_asked_for(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let client = &shop.client;
    let patch = async |body: Value| client.call("PATCH", BANK_ACCOUNT, Some(body)).await.data();
    let none = json!({
        "bankCode": null, "bankName": null, "bankAccountNumber": null, "bankAccountHolder": null, "configured": false,
    });
    assert_eq!(client.call("GET", BANK_ACCOUNT, None).await.data(), none);
    let without_details = json!({"amount": 5});
    let asked = async || post(client, PAYOUTS, without_details.clone()).await;
    assert_eq!(asked().await.refusal(), refused(409, "BANK_ACCOUNT_REQUIRED"));
    assert_eq!(patch(json!({"bankName": "Mandiri", "bankAccountNumber": "900 1"})).await["configured"], false);
    assert_eq!(asked().await.refusal(), refused(409, "BANK_ACCOUNT_REQUIRED"), "half an account is none");
    let whole = json!({
        "bankCode": "008", "bankName": "Mandiri", "bankAccountNumber": "900 1", "bankAccountHolder": "Renata",
        "configured": true,
    });
    assert_eq!(patch(json!({"bankCode": "008", "bankAccountHolder": "Renata"})).await, whole);
    assert_eq!(client.call("GET", BANK_ACCOUNT, None).await.data(), whole);
    let payout = asked().await.data();
    let details = ["bankCode", "bankName", "bankAccountNumber", "bankAccountHolder"];
    assert!(details.iter().all(|part| payout[part] == whole[part]), "{payout}");

    patch(json!({"bankAccountNumber": "900 2"})).await;
    let path = format!("{PAYOUTS}/{}", id(&payout));
    assert_eq!(client.call("GET", &path, None).await.data(), payout, "what was asked for keeps its account");
    assert_eq!(asked().await.data()["bankAccountNumber"], "900 2");
    assert_eq!(shop.request_payout(5).await.data()["bankName"], "BCA", "what is named goes before the default");
    assert_eq!(patch(json!({"bankName": null})).await["configured"], false);
    assert_eq!(asked().await.refusal(), refused(409, "BANK_ACCOUNT_REQUIRED"));
}

async fn with_the_module_off_only_operators_go_on_and_history_stays(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator) = (&shop.client, shop.operator());
    let (first, second) = (shop.request_payout(100_000).await.data(), shop.request_payout(200_000).await.data());
    step(&operator, &first, "mark-in-transit", json!({"reference": "T-1"})).await.data();
    let entries = shop.entries("").await;
    shop.switch(false).await.data();

    let cancel = format!("{PAYOUTS}/{}/cancel", id(&second));
    let first_path = format!("{PAYOUTS}/{}", id(&first));
    let gated = [
        ("GET", "/api/v1/ledger/balance", None),
        ("GET", "/api/v1/ledger/entries", None),
        ("GET", "/api/v1/ledger/entries.csv", None),
        ("GET", PAYOUTS, None),
        ("POST", PAYOUTS, Some(payout_to_bca(1))),
        ("GET", first_path.as_str(), None),
        ("POST", cancel.as_str(), None),
        ("GET", "/api/v1/payouts/balance", None),
        ("GET", BANK_ACCOUNT, None),
        ("PATCH", BANK_ACCOUNT, Some(json!({"bankName": "BCA"}))),
    ];
    for (method, path, body) in gated {
        let reply = client.call(method, path, body).await;
        assert_eq!(reply.refusal(), refused(409, "PAYMENT_MODULE_DISABLED"), "{method} {path}");
    }
    let theirs = step(client, &first, "mark-paid", json!({})).await;
    assert_eq!(theirs.refusal(), refused(403, "OPERATOR_ONLY"), "a missing permission precedes");
    // Operators can continue, and can request another payout on the seller's behalf.
    assert_eq!(operator.call("GET", &first_path, None).await.data()["status"], "in_transit");
    step(&operator, &first, "mark-paid", json!({"reference": "T-2"})).await.data();
    step(&operator, &second, "mark-failed", json!({"failureReason": "No such account"})).await.data();
    let request = [
        "payout",
        "request",
        &shop.account,
        "300000",
        "--bank-name",
        "BRI",
        "--bank-account-number",
        "1-2",
        "--bank-account-holder",
        "Renata",
        "--note",
        "Closing down",
        "--by",
        "Sari",
    ];
    let third = shop.installation.admin(&request);
    assert_eq!(
        (&third["status"], &third["bankName"], &third["amount"]),
        (&json!("pending"), &json!("BRI"), &json!(300_000))
    );
    assert_eq!(shop.installation.lines(&["payout", "list"]), std::slice::from_ref(&third));
    step(&operator, &third, "mark-in-transit", json!({})).await.data();

    shop.switch(true).await.data();
    assert_eq!(shop.payout_balance().await, balance(EARNED - 100_000, 300_000));
    let now = shop.entries("").await;
    assert_eq!(now[1..], entries, "history is what it was");
    assert_eq!((&now[0]["code"], &now[0]["sourceId"]), (&json!("payout"), &first["id"]));
    let statuses: Vec<Value> = list(client, "").await.iter().map(|payout| payout["status"].clone()).collect();
    assert_eq!(statuses, ["in_transit", "failed", "paid"]);
    verified(&shop);
}

async fn an_operators_key_opens_operators_routes_alone(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let client = &shop.client;
    assert_eq!(shop.installation.lines(&["operator-key", "list"]), Vec::<Value>::new());
    let made = shop.installation.admin(&["operator-key", "create", "--name", "Night shift"]);
    let key = made["operatorKey"].as_str().unwrap();
    let digits = key.strip_prefix("sk_op_").unwrap();
    assert!(digits.len() == 48 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "the key's form");
    assert_eq!(made.as_object().unwrap().len(), 1);
    let operator = Client::new(&shop.host, key);
    let payout = shop.request_payout(1).await.data();
    for transition in ["mark-in-transit", "mark-paid", "mark-failed"] {
        assert_eq!(step(client, &payout, transition, json!({})).await.refusal(), refused(403, "OPERATOR_ONLY"));
        for nobody in [format!("sk_op_{}", "0".repeat(48)), format!("sk_live_{}", "0".repeat(48)), String::new()] {
            let nobody = Client::new(&shop.host, &nobody);
            assert_eq!(step(&nobody, &payout, transition, json!({})).await.refusal(), refused(401, "UNAUTHORIZED"));
        }
    }
    // An operator's key belongs to no account.
    let cancel = format!("{PAYOUTS}/{}/cancel", id(&payout));
    for (method, path) in [
        ("GET", "/api/v1/storefront"),
        ("GET", "/api/v1/orders"),
        ("GET", "/api/v1/ledger/balance"),
        ("GET", PAYOUTS),
        ("POST", PAYOUTS),
        ("POST", &cancel),
        ("GET", "/api/v1/api-keys"),
        ("POST", "/api/v1/api-keys"),
    ] {
        let reply = operator.call(method, path, None).await;
        assert_eq!(reply.refusal(), refused(401, "UNAUTHORIZED"), "{method} {path}");
    }
    // An operator can read any account's payout; a seller only their own.
    let (_, other) = shop.installation.account("starter");
    let other = Client::new(&shop.host, &other);
    other.call("PATCH", "/api/v1/modules", Some(json!({"payment": true}))).await.data();
    let path = format!("{PAYOUTS}/{}", id(&payout));
    assert_eq!(other.call("GET", &path, None).await.refusal(), refused(404, "NOT_FOUND"));
    assert_eq!(step(&other, &payout, "cancel", json!({})).await.refusal(), refused(404, "NOT_FOUND"));
    let unknown = json!({"id": "po_01jtestvect0r0000000000000"});
    for transition in ["mark-in-transit", "mark-paid", "mark-failed"] {
        assert_eq!(step(&operator, &unknown, transition, json!({})).await.refusal(), refused(404, "NOT_FOUND"));
    }
    step(&operator, &payout, "mark-in-transit", json!({})).await.data();

    let keys = shop.installation.lines(&["operator-key", "list"]);
    let prefix: String = key.chars().take("sk_op_".len() + 4).collect();
    assert_eq!((keys.len(), &keys[0]["name"], &keys[0]["keyPrefix"]), (1, &json!("Night shift"), &json!(prefix)));
    assert!(keys[0]["lastUsedAt"].is_string() && !keys[0].to_string().contains(key));
    let revoked = shop.installation.admin(&["operator-key", "revoke", keys[0]["id"].as_str().unwrap()]);
    assert_eq!(revoked, json!({"id": keys[0]["id"], "revoked": true}));
    assert_eq!(step(&operator, &payout, "mark-paid", json!({})).await.refusal(), refused(401, "UNAUTHORIZED"));
    let again = shop.installation.complaint(&["operator-key", "revoke", keys[0]["id"].as_str().unwrap()]);
    assert!(again.contains("there is no such API key"), "{again}");
}

async fn an_adjustment_is_made_once_and_may_turn_what_is_available_below_zero(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let operator = shop.operator();
    let payout = shop.request_payout(EARNED).await.data();
    let adjust = |amount: &str, reference: &str| {
        let reason = "A refund at Plugipay";
        shop.installation.admin(&[
            "ledger",
            "adjust",
            &shop.account,
            amount,
            "--reason",
            reason,
            "--reference",
            reference,
        ])
    };
    let refund = adjust("-250000", "RE-1");
    let shown = [&refund["accountId"], &refund["direction"], &refund["amount"], &refund["reference"]];
    assert_eq!(shown, [&json!(shop.account), &json!("debit"), &json!(250_000), &json!("RE-1")]);
    assert_eq!(adjust("-250000", "RE-1"), refund, "again it is the first");
    let another = ["ledger", "adjust", &shop.account, "-1", "--reason", "Another", "--reference", "RE-1"];
    let complaint = shop.installation.complaint(&another);
    assert!(complaint.contains("reference"), "{complaint}");
    assert_eq!(shop.payout_balance().await, balance(EARNED - 250_000, EARNED));
    assert_eq!(shop.request_payout(1).await.refusal(), refused(409, "INSUFFICIENT_BALANCE"));
    // A payout in transit is still marked as paid, since the money moves anyway.
    step(&operator, &payout, "mark-in-transit", json!({})).await.data();
    step(&operator, &payout, "mark-paid", json!({})).await.data();
    assert_eq!(shop.payout_balance().await, balance(-250_000, 0));
    assert_eq!(shop.request_payout(1).await.refusal(), refused(409, "INSUFFICIENT_BALANCE"));
    assert_eq!(adjust("+250001", "BANK-7")["direction"], "credit");
    assert_eq!(shop.payout_balance().await, balance(1, 0));
    assert_eq!(shop.request_payout(2).await.refusal(), refused(409, "INSUFFICIENT_BALANCE"));
    shop.request_payout(1).await.data();
    let entries = shop.entries(&format!("?sourceType=adjustment&sourceId={}", refund["id"].as_str().unwrap())).await;
    let shown = [&entries[0]["code"], &entries[0]["direction"], &entries[0]["description"]];
    assert_eq!(shown, [&json!("adjustment"), &json!("debit"), &json!("A refund at Plugipay")]);

    for (bad, told) in [
        (["0", "A reason", "R-9"], "amount"),
        (["9007199254740992", "A reason", "R-9"], "amount"),
        (["5", " ", "R-9"], "reason"),
        (["5", "A reason", " "], "reference"),
    ] {
        let [amount, reason, reference] = bad;
        let arguments = ["ledger", "adjust", &shop.account, amount, "--reason", reason, "--reference", reference];
        let complaint = shop.installation.complaint(&arguments);
        assert!(complaint.contains(told), "{bad:?}: {complaint}");
    }
    let nobody = "acc_01jtestvect0r0000000000000";
    shop.installation.complaint(&["ledger", "adjust", nobody, "5", "--reason", "A reason", "--reference", "R-9"]);
    shop.installation.complaint(&["payout", "request", nobody, "5"]);
    let complaint = shop.installation.complaint(&["ledger", "verify", nobody]);
    assert!(complaint.contains("there is no such account"), "{complaint}");
    assert_eq!(verified(&shop), 10);
}

async fn an_exception_names_the_adjustment_that_settled_it(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (_, token) = shop.order(125_000).await;
    let session = shop.pay(&token).await;
    assert!(shop.provider.sandbox().pay_amount(&session, 100_000, "IDR"));
    while shop.exceptions().await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let exception = shop.exceptions().await.remove(0);
    let path = format!("/api/v1/payments/exceptions/{}/resolve", id(&exception));
    let adjust = ["ledger", "adjust", &shop.account, "-100000", "--reason", "Paid back", "--reference", "RE-1"];
    let adjustment = shop.installation.admin(&adjust)["id"].clone();
    for bad in [json!("adj_01jtestvect0r0000000000000"), json!("RE-1"), json!(1)] {
        let reply = post(&shop.client, &path, json!({"note": "Paid back.", "adjustmentId": bad})).await;
        assert_eq!(reply.refusal(), refused(400, "VALIDATION_ERROR"));
        assert_eq!(reply.body["error"]["param"], "adjustmentId");
    }
    let resolved = post(&shop.client, &path, json!({"note": "Paid back.", "adjustmentId": adjustment})).await.data();
    assert_eq!((&resolved["status"], &resolved["adjustmentId"]), (&json!("resolved"), &adjustment));
    assert_eq!(shop.exceptions().await, [resolved]);
}

async fn a_repeated_key_moves_no_money_twice(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator, other_host) = (&shop.client, shop.operator(), shop.installation.serve());
    let elsewhere = Client::new(&other_host, &client.key);
    let send = async |client: &Client, path: &str, body: Value, key: &str| {
        client.send("POST", path, &[("idempotency-key", key)], Some(body.to_string().into_bytes())).await
    };
    let is_replay = |reply: &Reply| reply.headers.get("idempotent-replayed").is_some_and(|told| told == "true");
    let wanted = payout_to_bca(100_000);
    let crowd = (0..12).map(|nth| {
        let client = if nth % 2 == 0 { client } else { &elsewhere };
        send(client, PAYOUTS, wanted.clone(), "once")
    });
    let crowd = join_all(crowd).await;
    assert_eq!(crowd.iter().filter(|reply| !is_replay(reply)).count(), 1);
    let mut payouts: Vec<Value> = crowd
        .into_iter()
        .map(|reply| {
            assert_eq!(reply.status, 201);
            reply.data()
        })
        .collect();
    payouts.dedup();
    assert_eq!(payouts.len(), 1);
    let payout = &payouts[0];
    assert_eq!(shop.payout_balance().await, balance(EARNED, 100_000));
    let other_body = send(client, PAYOUTS, payout_to_bca(100_001), "once").await;
    assert_eq!(other_body.refusal(), refused(409, "IDEMPOTENCY_KEY_IN_USE"));

    let path = |step: &str| format!("{PAYOUTS}/{}/{step}", id(payout));
    for (step, body) in [("mark-in-transit", json!({"reference": "T-1"})), ("mark-paid", json!({}))] {
        let path = path(step);
        let steps = join_all((0..8).map(|_| send(&operator, &path, body.clone(), "once"))).await;
        assert_eq!(steps.iter().filter(|reply| !is_replay(reply)).count(), 1, "{step}");
        let told: Vec<Value> = steps.into_iter().map(Reply::data).collect();
        assert!(told.iter().all(|one| one == &told[0]), "{step}");
        let other = send(&operator, &path, json!({"reference": "T-9"}), "once").await;
        assert_eq!(other.refusal(), refused(409, "IDEMPOTENCY_KEY_IN_USE"), "{step}");
    }
    // With the key, the first answer, even after changes; without it, the present state.
    let first = send(&operator, &path("mark-in-transit"), json!({"reference": "T-1"}), "once").await;
    assert_eq!((is_replay(&first), first.data()["status"].clone()), (true, json!("in_transit")));
    let now = step(&operator, payout, "mark-in-transit", json!({"reference": "T-1"})).await;
    assert_eq!(now.refusal(), refused(409, "INVALID_TRANSITION"));
    assert_eq!(shop.payout_balance().await, balance(EARNED - 100_000, 0));
    // The same key of the seller is a different one.
    let second = shop.request_payout(5).await.data();
    let cancel = format!("{PAYOUTS}/{}/cancel", id(&second));
    for replay in [false, true] {
        let reply = send(client, &cancel, json!({}), "once").await;
        assert_eq!((is_replay(&reply), reply.data()["status"].clone()), (replay, json!("cancelled")));
    }
    verified(&shop);
}

async fn of_concurrent_cancelling_and_transferring_one_wins(engine: Engine) {
    let shop = shop_with_money(engine).await;
    let (client, operator) = (&shop.client, shop.operator());
    for round in 0..12 {
        let payout = shop.request_payout(1_000).await.data();
        let (cancelled, moved) = join(
            step(client, &payout, "cancel", json!({})),
            step(&operator, &payout, "mark-in-transit", json!({"reference": "T-1"})),
        )
        .await;
        let (winner, loser) = if cancelled.status == 200 { (cancelled, moved) } else { (moved, cancelled) };
        let status = winner.data()["status"].clone();
        assert_eq!(loser.refusal(), refused(409, "INVALID_TRANSITION"), "round {round}");
        let path = format!("{PAYOUTS}/{}", id(&payout));
        assert_eq!(client.call("GET", &path, None).await.data()["status"], status, "round {round}");
    }
    let in_transit = i64::try_from(list(client, "?status=in_transit").await.len()).unwrap();
    assert_eq!(shop.payout_balance().await, balance(EARNED, in_transit * 1_000));
    verified(&shop);
}

async fn of_thirty_concurrent_payouts_for_a_fifth_each_five_are_paid_and_the_books_are_clean(engine: Engine) {
    const SALES: usize = 8;
    let shop = shop_with_money(engine).await;
    let (operator, other_host) = (shop.operator(), shop.installation.serve());
    let elsewhere = Client::new(&other_host, &shop.client.key);
    // Sales of one rupiah cost no fee, and leave too little for a sixth payout.
    let mut sessions = Vec::new();
    for _ in 0..SALES {
        let (_, token) = shop.order(1).await;
        sessions.push(shop.pay(&token).await);
    }
    let fifth = EARNED / 5;
    let asks = (0..30).map(|nth| {
        let client = if nth % 2 == 0 { &shop.client } else { &elsewhere };
        post(client, PAYOUTS, payout_to_bca(fifth))
    });
    let sales = async { sessions.iter().for_each(|session| shop.provider.pay(session)) };
    let (replies, ()) = join(join_all(asks), sales).await;
    let mut payouts = Vec::new();
    for reply in replies {
        if reply.status == 201 {
            payouts.push(reply.data());
        } else {
            assert_eq!(reply.refusal(), refused(409, "INSUFFICIENT_BALANCE"));
        }
    }
    assert_eq!(payouts.len(), 5);
    let all = EARNED + i64::try_from(SALES).unwrap();
    let began = std::time::Instant::now();
    while shop.payout_balance().await != balance(all, 5 * fifth) {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{}", shop.payout_balance().await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Then all are paid concurrently while the books are verified.
    let paid = join_all(payouts.iter().map(async |payout| {
        step(&operator, payout, "mark-in-transit", json!({})).await.data();
        step(&operator, payout, "mark-paid", json!({})).await.data()["status"].clone()
    }));
    let installation = &shop.installation;
    let verify = async { tokio::task::block_in_place(|| installation.admin(&["ledger", "verify", &shop.account])) };
    let (paid, meanwhile) = join(paid, verify).await;
    assert!(paid.iter().all(|status| status == "paid"), "{paid:?}");
    assert_eq!(meanwhile["differences"], json!([]), "{meanwhile}");
    assert_eq!(shop.payout_balance().await, balance(all - 5 * fifth, 0));
    // Four legs of the sale with a fee, two of each other sale and of each payout.
    assert_eq!(verified(&shop), 4 + 2 * (8 + 5));
    assert!(shop.host.stop() && other_host.stop());
}
