//! Every answer, compared whole with its file: `tests/golden/answer_*.json` for successes, `tests/golden/error_*.json` for each
//! kind of refusal. `UPDATE_GOLDEN=1` writes them; read the diff.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use in_process::{Ask, HOOK, House, NOTIFIED, PANIC, Reply, ask, but, buyers_order, payout, service, storefront};
use serde_json::{Map, Value, json};
use serront_core::orders::receipt::samples;
use serront_core::ports::Posted;
use serront_core::primitives::tier::Tier;
use serront_testkit::golden;
use serront_testkit::sandbox::Trouble;

mod in_process;

/// The golden files of one kind, and which of them were compared.
struct Golden {
    kind: &'static str,
    pinned: BTreeSet<String>,
}

impl Golden {
    fn of(kind: &'static str) -> Self {
        Self { kind, pinned: BTreeSet::new() }
    }

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
    }

    /// Compares an answer with its file: status, headers and body.
    #[track_caller]
    fn pin(&mut self, name: &str, reply: &Reply) {
        let body = if reply.header("content-type") == Some("application/json") {
            assert_eq!(reply.header("x-request-id"), reply.body()["meta"]["requestId"].as_str(), "{name}");
            reply.body()
        } else if reply.header("content-type").is_some_and(|media_type| media_type.starts_with("text/")) {
            String::from_utf8(reply.bytes.clone()).unwrap().lines().collect()
        } else {
            json!(format!("{} bytes", reply.bytes.len()))
        };
        let headers: Map<String, Value> = reply
            .headers
            .iter()
            .filter(|(name, _)| *name != "content-length")
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let answer = comparable(json!({"status": reply.status, "headers": headers, "body": body}));
        let text = without_ids(&serde_json::to_string_pretty(&answer).unwrap()) + "\n";
        let file = format!("{}_{name}.json", self.kind);
        golden::check(&Self::folder().join(&file), &text);
        assert!(self.pinned.insert(file), "{name} is pinned twice");
    }

    /// Every file was compared.
    fn end(self) {
        golden::check_names(&Self::folder(), self.kind, &self.pinned);
    }
}

/// Cursors are opaque: only their presence is compared. Fields are sorted by name, since their order depends on the features that
/// are built with these tests.
fn comparable(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().collect();
            let shown = fields.into_iter().map(|(name, field)| {
                let opaque = name == "cursor" && field.is_string();
                let field = if opaque { json!("(a cursor)") } else { comparable(field) };
                (name, field)
            });
            Value::Object(shown.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(comparable).collect()),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}

/// Ids, tokens, keys and secrets as their prefix and a number, the same number for the same id.
fn without_ids(text: &str) -> String {
    let mut numbers: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut shown = String::new();
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| is_word(character) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let prefix = &word[..word.rfind('_').map_or(0, |at| at + 1)];
        let tail = &word[prefix.len()..];
        let is_ulid = tail.len() == 26 && !prefix.is_empty();
        let is_secret = tail.len() == 48 && tail.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_ulid || is_secret {
            let seen = numbers.entry(prefix.to_owned()).or_default();
            let next = seen.len() + 1;
            let number = *seen.entry(tail.to_owned()).or_insert(next);
            shown.push_str(&format!("{prefix}#{number}"));
        } else if prefix == "sk_live_" && tail.len() == 4 {
            shown.push_str("sk_live_####");
        } else {
            shown.push_str(word);
        }
        rest = after;
    }
    shown
}

#[tokio::test]
async fn every_route_answers_its_whole_shape() {
    let house = House::open().await;
    let key = house.account(Tier::Starter).await;
    let mut golden = Golden::of("answer");
    let get = |path: &str| house.send(ask("GET", path).key(&key));
    let send = |method: &str, path: &str, body: Value| house.send(ask(method, path).key(&key).json(&body));
    let text = |reply: &Reply, name: &str| reply.data()[name].as_str().unwrap().to_owned();

    golden.pin("healthz", &get("/healthz").await);
    golden.pin("readyz", &get("/readyz").await);
    golden.pin("billing_get", &get("/api/v1/billing").await);
    golden.pin("modules_get", &get("/api/v1/modules").await);
    golden.pin("modules_patch", &send("PATCH", "/api/v1/modules", json!({"payment": false})).await);
    let off = json!({"module": "marketing", "enabled": false});
    golden.pin("modules_post", &send("POST", "/api/v1/modules", off).await);

    golden.pin("storefront_get_before_the_first_put", &get("/api/v1/storefront").await);
    let least = json!({"slug": "renata", "displayName": "R"});
    golden.pin("storefront_put_least", &send("PUT", "/api/v1/storefront", least).await);
    let most = but(storefront("renata"), json!({"hideBranding": true}));
    golden.pin("storefront_put_most", &send("PUT", "/api/v1/storefront", most).await);
    golden.pin("storefront_get", &get("/api/v1/storefront").await);

    let logo = but(service("logo"), json!({"description": "One logo, three drafts.", "sortOrder": 1}));
    let logo = send("POST", "/api/v1/services", logo).await;
    golden.pin("services_post_fixed", &logo);
    let logo_path = format!("/api/v1/services/{}", text(&logo, "id"));
    let hours = json!({"slug": "hours", "name": "Hours", "pricingType": "hourly", "priceIdr": 100_000, "sortOrder": 2});
    golden.pin("services_post_hourly", &send("POST", "/api/v1/services", hours).await);
    let packages = json!([{"name": "Basic", "priceIdr": 1}, {"name": "Full", "priceIdr": 2, "description": "All."}]);
    let packs =
        json!({"slug": "packs", "name": "Packs", "pricingType": "package", "packages": packages, "sortOrder": 0});
    golden.pin("services_post_package", &send("POST", "/api/v1/services", packs).await);
    golden.pin("services_get", &get("/api/v1/services").await);
    golden.pin("service_get", &get(&logo_path).await);
    golden.pin("service_patch", &send("PATCH", &logo_path, json!({"name": "Logo"})).await);
    let gone = but(service("gone"), json!({"active": false}));
    let gone = format!("/api/v1/services/{}", text(&send("POST", "/api/v1/services", gone).await, "id"));
    golden.pin("public_storefront_get", &house.send(ask("GET", "/api/v1/public/storefront/renata")).await);
    golden.pin("service_delete", &house.send(ask("DELETE", gone).key(&key)).await);

    golden.pin("event_types_get", &get("/api/v1/webhook-subscriptions/event-types").await);
    let everything = send("POST", "/api/v1/webhook-subscriptions", json!({"url": HOOK})).await;
    golden.pin("subscriptions_post_least", &everything);
    let filters = json!({"url": format!("{HOOK}/2"), "events": ["serront.order.*", "serront.billing.subscribed.v1"]});
    let filtered = send("POST", "/api/v1/webhook-subscriptions", filters).await;
    golden.pin("subscriptions_post_most", &filtered);
    golden.pin("subscriptions_get", &get("/api/v1/webhook-subscriptions").await);
    let path = format!("/api/v1/webhook-subscriptions/{}", text(&filtered, "id"));
    golden.pin("subscription_patch", &send("PATCH", &path, json!({"events": ["*"], "active": false})).await);
    golden.pin("subscription_delete", &house.send(ask("DELETE", path).key(&key)).await);

    golden.pin("orders_get_none", &get("/api/v1/orders").await);
    let order_path = "/api/v1/public/storefront/renata/order";
    golden.pin("public_order_post_least", &house.send(ask("POST", order_path).json(&buyers_order())).await);
    let most = json!({
        "serviceSlug": "packs", "packageName": "Full", "buyerPhone": "+62 812", "preferredDate": "2026-12-24",
        "notes": "Merah, ya."
    });
    let placed = house.send(ask("POST", order_path).json(&but(buyers_order(), most))).await;
    golden.pin("public_order_post_most", &placed);
    golden.pin("orders_get_page", &get("/api/v1/orders?limit=1").await);
    golden.pin("orders_get_last_page", &get("/api/v1/orders?status=requested").await);
    let buyer = format!("/api/v1/public/orders/{}", text(&placed, "accessToken"));
    golden.pin("public_order_get", &house.send(ask("GET", &buyer)).await);
    let image = ask("PUT", format!("{buyer}/proof")).image("image/png", samples::PNG);
    golden.pin("public_order_proof_put", &house.send(image).await);
    let claim = ask("POST", format!("{buyer}/claim-payment"));
    golden.pin("public_order_claim", &house.send(claim.clone()).await);
    golden.pin("public_order_claim_again", &house.send(claim).await);

    let orders = get("/api/v1/orders?paymentStatus=payment_claimed").await;
    let order = format!("/api/v1/orders/{}", orders.data()["orders"][0]["id"].as_str().unwrap());
    golden.pin("order_get", &get(&order).await);
    golden.pin("order_proof_get", &get(&format!("{order}/proof")).await);
    let change = json!({"status": "confirmed", "quotedPriceIdr": 3});
    golden.pin("order_patch", &send("PATCH", &order, change).await);
    let rotate = ask("POST", format!("{order}/rotate-token")).key(&key).idempotent("once");
    let rotated = house.send(rotate.clone()).await;
    golden.pin("order_rotate_token", &rotated);
    golden.pin("order_rotate_token_replayed", &house.send(rotate).await);
    golden.pin("public_order_get_rotated", &house.send(ask("GET", &buyer)).await);
    let buyer = format!("/api/v1/public/orders/{}", text(&rotated, "accessToken"));
    let confirm = ask("POST", format!("{order}/confirm-payment")).key(&key).idempotent("once");
    golden.pin("order_confirm", &house.send(confirm.clone()).await);
    golden.pin("order_confirm_replayed", &house.send(confirm).await);
    golden.pin("public_order_get_confirmed", &house.send(ask("GET", &buyer)).await);

    let deliveries = "/api/v1/webhook-subscriptions/deliveries";
    let confirmed = format!("{deliveries}?type=serront.order.payment_confirmed.v1");
    golden.pin("deliveries_get_pending", &get(&confirmed).await);
    house.posts.answer_next([Posted::Failed("the receiver did not answer in time".into()), Posted::Answered(500)]);
    house.dispatch().await;
    golden.pin("deliveries_get_page", &get(&format!("{deliveries}?limit=1")).await);
    golden.pin("deliveries_get_failing", &get(&format!("{deliveries}?status=pending")).await);
    for (name, status) in [("delivery_get_succeeded", "succeeded"), ("delivery_get_failing", "pending")] {
        let found = get(&format!("{deliveries}?status={status}&limit=1")).await;
        let id = found.data()[0]["id"].as_str().unwrap().to_owned();
        golden.pin(name, &get(&format!("{deliveries}/{id}")).await);
    }
    let sent = get(&format!("{deliveries}?status=succeeded&limit=1")).await;
    let retry = format!("{deliveries}/{}/retry", sent.data()[0]["id"].as_str().unwrap());
    let retry = ask("POST", retry).key(&key).idempotent("once");
    golden.pin("delivery_retry", &house.send(retry.clone()).await);
    golden.pin("delivery_retry_replayed", &house.send(retry).await);

    golden.pin("api_keys_get", &get("/api/v1/api-keys").await);
    let made = send("POST", "/api/v1/api-keys", json!({"name": "Toko"})).await;
    golden.pin("api_keys_post", &made);
    let delete = ask("DELETE", format!("/api/v1/api-keys/{}", text(&made, "id"))).key(&key);
    golden.pin("api_key_delete", &house.send(delete).await);
    golden.end();
}

#[tokio::test]
async fn every_route_about_money_answers_its_whole_shape() {
    let house = House::online().await;
    let key = house.account(Tier::Starter).await;
    let mut golden = Golden::of("money");
    let get = |path: &str| house.send(ask("GET", path).key(&key));
    house.open_shop(&key, "renata").await;

    golden.pin("modules_get", &get("/api/v1/modules").await);
    let on = ask("PATCH", "/api/v1/modules").key(&key).json(&json!({"payment": true})).idempotent("once");
    let switched = house.send(on.clone()).await;
    golden.pin("modules_patch_on", &switched);
    golden.pin("modules_patch_on_replayed", &house.send(on).await);
    let merchant = switched.data()["plugipayAccountId"].as_str().unwrap().to_owned();
    let switch = |enabled: bool| {
        ask("POST", "/api/v1/modules").key(&key).json(&json!({"module": "payment", "enabled": enabled}))
    };
    golden.pin("modules_post_off", &house.send(switch(false)).await);
    golden.pin("modules_post_on_again", &house.send(switch(true)).await);
    golden.pin("public_storefront_get", &house.send(ask("GET", "/api/v1/public/storefront/renata")).await);
    golden.pin("ledger_balance_get_none", &get("/api/v1/ledger/balance").await);
    golden.pin("ledger_entries_get_none", &get("/api/v1/ledger/entries").await);
    golden.pin("exceptions_get_none", &get("/api/v1/payments/exceptions").await);

    let (order, token) = house.order(&key, "renata").await;
    let buyer = format!("/api/v1/public/orders/{token}");
    golden.pin("public_order_get", &house.send(ask("GET", &buyer)).await);
    let pay = ask("POST", format!("{buyer}/pay"));
    golden.pin("public_order_pay", &house.send(pay.clone()).await);
    golden.pin("public_order_pay_again", &house.send(pay).await);
    let session = house.pay(&token).await;
    let paid = json!({"id": session, "status": "completed", "amount": 750_000, "currency": "IDR"});
    let told = house.notification(&merchant, "evt_1", &paid);
    golden.pin("notification", &house.send(told.clone()).await);
    golden.pin("notification_again", &house.send(told).await);
    golden.pin("order_get_paid", &get(&format!("/api/v1/orders/{order}")).await);
    golden.pin("public_order_get_paid", &house.send(ask("GET", &buyer)).await);

    let (_, token) = house.order(&key, "renata").await;
    house.settle(&token, 500_000).await;
    golden.pin("ledger_balance_get", &get("/api/v1/ledger/balance").await);
    golden.pin("ledger_entries_get_page", &get("/api/v1/ledger/entries?limit=1").await);
    let sales = format!("/api/v1/ledger/entries?code=sale&sourceType=checkout_session&sourceId={session}");
    golden.pin("ledger_entries_get_of_a_session", &get(&sales).await);
    let open = get("/api/v1/payments/exceptions?status=open").await;
    golden.pin("exceptions_get_open", &open);
    let exception = open.data()["exceptions"][0]["id"].as_str().unwrap().to_owned();
    let resolve = ask("POST", format!("/api/v1/payments/exceptions/{exception}/resolve"));
    let resolve = resolve.key(&key).json(&json!({"note": "Paid back by hand."})).idempotent("once");
    golden.pin("exception_resolve", &house.send(resolve.clone()).await);
    golden.pin("exception_resolve_replayed", &house.send(resolve).await);
    golden.pin("exceptions_get_resolved", &get("/api/v1/payments/exceptions?status=resolved").await);

    let (_, token) = house.order(&key, "renata").await;
    house.settle(&token, 1).await;
    let open = get("/api/v1/payments/exceptions?status=open").await;
    let exception = open.data()["exceptions"][0]["id"].as_str().unwrap().to_owned();
    let adjustment = house.adjust(&key, -1, "refund-1").await;
    let resolution = json!({"note": "Paid back.", "adjustmentId": adjustment});
    let resolve = ask("POST", format!("/api/v1/payments/exceptions/{exception}/resolve")).key(&key).json(&resolution);
    golden.pin("exception_resolve_by_an_adjustment", &house.send(resolve).await);
    golden.pin("ledger_entries_get_of_an_adjustment", &get("/api/v1/ledger/entries?code=adjustment").await);
    golden.end();
}

#[tokio::test]
async fn every_route_about_payouts_answers_its_whole_shape() {
    let house = House::online().await;
    let key = house.account(Tier::Starter).await;
    let mut golden = Golden::of("payout");
    let get = |path: &str| house.send(ask("GET", path).key(&key));
    let send = |method: &str, path: &str, body: Value| house.send(ask(method, path).key(&key).json(&body));
    house.open_shop(&key, "renata").await;
    house.switch_payment(&key, true).await;

    golden.pin("list_none", &get("/api/v1/payouts").await);
    golden.pin("balance_none", &get("/api/v1/payouts/balance").await);
    let bank_account = "/api/v1/payouts/bank-account";
    golden.pin("bank_account_none", &get(bank_account).await);
    let half = json!({"bankCode": "014", "bankName": "BCA"});
    golden.pin("bank_account_patch_half", &send("PATCH", bank_account, half).await);
    let rest = json!({"bankCode": null, "bankAccountNumber": "123-456", "bankAccountHolder": "Renata"});
    golden.pin("bank_account_patch", &send("PATCH", bank_account, rest).await);
    golden.pin("bank_account_get", &get(bank_account).await);

    let (_, token) = house.order(&key, "renata").await;
    house.settle(&token, 750_000).await;
    golden.pin("post_least", &send("POST", "/api/v1/payouts", json!({"amount": 1})).await);
    let most = ask("POST", "/api/v1/payouts").key(&key).json(&payout(100_000)).idempotent("once");
    let asked = house.send(most.clone()).await;
    golden.pin("post_most", &asked);
    golden.pin("post_replayed", &house.send(most).await);
    golden.pin("balance_get", &get("/api/v1/payouts/balance").await);
    golden.pin("list_page", &get("/api/v1/payouts?limit=1").await);
    golden.pin("list_of_a_state", &get("/api/v1/payouts?status=in_transit").await);

    let operator = house.operator().await;
    let first = format!("/api/v1/payouts/{}", asked.data()["id"].as_str().unwrap());
    let mark = |step: &str| ask("POST", format!("{first}/{step}")).key(&operator);
    let in_transit = mark("mark-in-transit").json(&json!({"reference": "T-1"})).idempotent("once");
    golden.pin("mark_in_transit", &house.send(in_transit.clone()).await);
    golden.pin("mark_in_transit_replayed", &house.send(in_transit).await);
    golden.pin("mark_paid", &house.send(mark("mark-paid")).await);
    golden.pin("get", &get(&first).await);
    golden.pin("get_by_an_operator", &house.send(ask("GET", &first).key(&operator)).await);
    golden.pin("ledger_entries", &get("/api/v1/ledger/entries?code=payout&sourceType=payout").await);
    golden.pin("ledger_entries_csv", &get("/api/v1/ledger/entries.csv").await);
    let failing = format!("/api/v1/payouts/{}/mark-failed", house.payout(&key, 2).await);
    let failing = ask("POST", failing).key(&operator).json(&json!({"failureReason": "No such account."}));
    golden.pin("mark_failed", &house.send(failing).await);
    let cancelled = house.payout(&key, 3).await;
    golden.pin("cancel", &house.send(ask("POST", format!("/api/v1/payouts/{cancelled}/cancel")).key(&key)).await);
    golden.end();
}

#[tokio::test]
async fn every_kind_of_refusal_has_its_envelope() {
    let house = House::open().await;
    let (key, other) = (house.account(Tier::Free).await, house.account(Tier::Starter).await);
    house.open_shop(&key, "renata").await;
    let (order, token) = house.order(&key, "renata").await;
    let mut golden = Golden::of("error");
    let send = |ask: Ask| house.send(ask.key(&key));

    let six = json!({"manualBankAccounts": vec![storefront("s")["manualBankAccounts"][0].clone(); 6]});
    let six = ask("PUT", "/api/v1/storefront").json(&but(storefront("renata"), six));
    golden.pin("400_with_a_param", &send(six).await);
    golden.pin("400_without_a_param", &send(ask("POST", "/api/v1/services").body("{")).await);
    golden.pin("401", &house.send(ask("GET", "/api/v1/orders")).await);
    let branding = but(storefront("renata"), json!({"hideBranding": true}));
    golden.pin("403_upgrade", &send(ask("PUT", "/api/v1/storefront").json(&branding)).await);
    for slug in ["b", "c"] {
        send(ask("POST", "/api/v1/services").json(&service(slug))).await.data();
    }
    golden.pin("403_limit", &send(ask("POST", "/api/v1/services").json(&service("d"))).await);
    golden.pin("404_route", &send(ask("GET", "/api/v1/nothing")).await);
    golden.pin("404_thing", &house.send(ask("GET", format!("/api/v1/orders/{order}")).key(&other)).await);
    golden.pin("405", &send(ask("DELETE", "/api/v1/storefront")).await);
    let confirm = ask("POST", format!("/api/v1/orders/{order}/confirm-payment")).idempotent("once");
    send(confirm.clone()).await.data();
    golden.pin("409_idempotency_key", &send(confirm.body("{}")).await);
    let new_key = ask("POST", "/api/v1/api-keys").idempotent("once").json(&json!({"name": "Toko"}));
    send(new_key.clone()).await.data();
    golden.pin("409_idempotency_key_of_a_secret", &send(new_key).await);
    golden
        .pin("409_transition", &house.send(ask("POST", format!("/api/v1/public/orders/{token}/claim-payment"))).await);
    let slug = ask("PUT", "/api/v1/storefront").key(&other).json(&storefront("renata"));
    golden.pin("409_conflict", &house.send(slug).await);
    let subscribe = ask("POST", "/api/v1/webhook-subscriptions").json(&json!({"url": HOOK}));
    let subscription = send(subscribe).await.data()["id"].as_str().unwrap().to_owned();
    house.order(&key, "renata").await;
    let deliveries = "/api/v1/webhook-subscriptions/deliveries";
    let delivery = house.get(&key, deliveries).await[0]["id"].as_str().unwrap().to_owned();
    let retry = ask("POST", format!("{deliveries}/{delivery}/retry"));
    golden.pin("409_already_queued", &send(retry.clone()).await);
    house.dispatch().await;
    let pause = ask("PATCH", format!("/api/v1/webhook-subscriptions/{subscription}")).json(&json!({"active": false}));
    send(pause).await.data();
    golden.pin("409_endpoint_disabled", &send(retry).await);
    golden.pin("413", &send(ask("POST", "/api/v1/services").body(vec![b' '; 262_145])).await);
    let (_, token) = house.order(&key, "renata").await;
    let proof = ask("PUT", format!("/api/v1/public/orders/{token}/proof")).image("image/jpeg", samples::PNG);
    golden.pin("415", &house.send(proof).await);
    let on = ask("PATCH", "/api/v1/modules").key(&other).json(&json!({"payment": true}));
    golden.pin("503_not_configured", &house.send(on).await);
    let online = House::online().await;
    let starter = online.account(Tier::Starter).await;
    online.open_shop(&starter, "renata").await;
    let (order, token) = online.order(&starter, "renata").await;
    let balance = ask("GET", "/api/v1/ledger/balance").key(&starter);
    golden.pin("409_module_disabled", &online.send(balance).await);
    let mark = ask("POST", "/api/v1/payouts/po_01jtestvect0r0000000000000/mark-paid").key(&starter);
    golden.pin("403_operator", &online.send(mark).await);
    online.switch_payment(&starter, true).await;
    let request = |body: Value| online.send(ask("POST", "/api/v1/payouts").key(&starter).json(&body));
    golden.pin("409_bank_account_required", &request(json!({"amount": 1})).await);
    golden.pin("409_insufficient_balance", &request(payout(1)).await);
    let (_, paid) = online.order(&starter, "renata").await;
    online.settle(&paid, 750_000).await;
    let asked = request(payout(1)).await.data()["id"].as_str().unwrap().to_owned();
    let operator = online.operator().await;
    let too_soon = ask("POST", format!("/api/v1/payouts/{asked}/mark-paid")).key(&operator);
    golden.pin("409_payout_transition", &online.send(too_soon).await);
    golden.pin("401_operator", &online.send(ask("GET", "/api/v1/payouts").key(&operator)).await);
    let dates = ask("GET", "/api/v1/ledger/entries.csv?from=2026-11-30&to=2026-11-01").key(&starter);
    golden.pin("400_dates", &online.send(dates).await);
    golden.pin("401_signature", &online.send(ask("POST", NOTIFIED).body("{}")).await);
    let pay = ask("POST", format!("/api/v1/public/orders/{token}/pay"));
    online.plugipay.plan(None, Trouble::LoseAnswer);
    golden.pin("502_no_answer", &online.send(pay.clone()).await);
    online.plugipay.switch(|switches| switches.outage = Some(Duration::from_millis(6_500)));
    golden.pin("502_not_now", &online.send(pay.clone()).await);
    online.plugipay.heal();
    online.plugipay.plan(None, Trouble::Refuse { status: 422, code: "teapot".to_owned() });
    golden.pin("502_refused", &online.send(pay.clone()).await);
    let patch = |body: Value| ask("PATCH", format!("/api/v1/orders/{order}")).key(&starter).json(&body);
    online.send(patch(json!({"quotedPriceIdr": 0}))).await.data();
    golden.pin("409_no_quote", &online.send(pay.clone()).await);
    online.send(patch(json!({"status": "declined"}))).await.data();
    golden.pin("409_order_closed", &online.send(pay).await);

    let panic = ask("POST", "/api/v1/webhook-subscriptions").json(&json!({"url": PANIC}));
    golden.pin("500_panic", &send(panic).await);
    send(ask("GET", "/api/v1/orders")).await.data();

    house.storage.close().await;
    golden.pin("500_storage", &send(ask("GET", "/api/v1/orders")).await);
    golden.pin("503_busy", &send(ask("GET", "/readyz")).await);
    golden.pin("404_route_without_a_storage", &send(ask("GET", "/api/v1/nothing")).await);
    golden.end();
}

#[tokio::test]
async fn head_answers_what_get_would_without_the_body() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    for path in ["/healthz", "/api/v1/storefront", "/api/v1/orders", "/api/v1/orders/nothing", "/api/v1/nothing"] {
        let (head, get) = (house.send(ask("HEAD", path).key(&key)).await, house.send(ask("GET", path).key(&key)).await);
        assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert_eq!(get.header("content-length"), Some(get.bytes.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn the_router_answers_the_same_nested_in_another_app() {
    let mut house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.router = axum::Router::new().nest("/pay/{shop}", house.router);
    let call = |method: &str, path: &str| ask(method, format!("/pay/renata{path}")).key(&key);
    let made = house.send(call("POST", "/api/v1/services").json(&service("logo"))).await.data();
    let path = format!("/api/v1/services/{}", made["id"].as_str().unwrap());
    assert_eq!(house.send(call("GET", &path)).await.data(), made);
    assert_eq!(house.send(call("GET", "/api/v1/nothing")).await.refusal().0, 404);
    let wrong = house.send(call("PUT", &path)).await;
    assert_eq!((wrong.refusal().0, wrong.header("allow")), (405, Some("GET,HEAD,PATCH,DELETE")));
}
