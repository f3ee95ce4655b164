//! Online checkout with the real binary over HTTP; the sandbox is Plugipay.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use serront_core::accounts::key::WebhookSecret;
use serront_testkit::sandbox::{Route, Trouble};
use support::sandbox::{COMPLETED, EXPIRED};
use support::shop::{NEVER, Shop};
use support::{Client, Engine, Installation, eventually};

mod support;

const NOTIFIED: &str = "/api/v1/webhooks/plugipay";

on_both_engines!(
    the_module_is_provisioned_once_and_switched_without_losing_anything,
    an_endpoint_whose_secret_was_never_seen_is_deleted_and_recreated,
    an_online_payment_is_confirmed_mailed_delivered_and_booked_once,
    with_the_module_off_money_is_not_shown_and_what_was_minted_still_settles,
    paying_is_refused_in_the_order_of_the_contract,
    a_notification_is_believed_only_with_the_merchants_signature_of_now,
    what_names_no_session_of_ours_is_parked_and_shown_to_the_operator,
    a_payment_whose_notification_was_lost_is_found_by_asking,
    a_manual_confirmation_cancels_the_session,
    another_amount_is_booked_as_it_came_and_left_to_the_seller,
    a_rotated_secret_and_the_previous_one_are_accepted,
    a_storm_of_notifications_to_two_hosts_settles_once,
);

impl Shop {
    /// Posts a notification's bytes with this signature.
    async fn post(&self, signature: Option<&str>, body: &str) -> support::Reply {
        let headers: Vec<(&str, &str)> = signature.map(|value| ("x-plugipay-signature", value)).into_iter().collect();
        self.client.send("POST", NOTIFIED, &headers, Some(body.as_bytes().to_vec())).await
    }

    /// Sends a notification of a session's state, like Plugipay.
    async fn tell(&self, event: &str, kind: &str, session: &Value) -> support::Reply {
        let merchant = self.merchant().await;
        let body = notification(&merchant, event, kind, session);
        let secret = self.provider.secret(&merchant);
        self.post(Some(&support::sandbox::signed(&secret, 0, &body)), &body).await
    }

    /// The mails and events so far; fails if there are more later.
    async fn delivered_once(&self, count: usize) {
        let (installation, receiver) = (&self.installation, &self.receiver);
        eventually("the mail and the event", || {
            installation.mails().len() >= count && receiver.received().len() >= count
        })
        .await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!((installation.mails().len(), receiver.received().len()), (count, count));
    }
}

fn notification(merchant: &str, event: &str, kind: &str, session: &Value) -> String {
    json!({
        "id": event, "type": kind, "accountId": merchant, "occurredAt": "2026-11-22T09:36:00.000Z",
        "data": {"object": session},
    })
    .to_string()
}

fn session(id: &str, amount: i64) -> Value {
    json!({"id": id, "status": "completed", "amount": amount, "currency": "IDR"})
}

async fn the_module_is_provisioned_once_and_switched_without_losing_anything(engine: Engine) {
    let shop = Shop::closed(engine, NEVER).await;
    let (free, free_key) = shop.installation.account("free");
    let free_client = Client::new(&shop.host, &free_key);
    let refused = free_client.call("PATCH", "/api/v1/modules", Some(json!({"payment": true}))).await;
    assert_eq!(refused.refusal(), (403, "UPGRADE_REQUIRED".into()));
    assert_eq!(shop.provider.workspaces(), 0, "no workspace without the plan");

    let modules = shop.client.call("GET", "/api/v1/modules", None).await.data();
    assert_eq!(modules["available"], json!({"payment": true, "marketing": false}));
    assert_eq!(modules["plugipayAccountId"], Value::Null);
    let on = shop.switch(true).await.data();
    assert_eq!(on["modules"], json!({"payment": true, "marketing": false}));
    let merchant = on["plugipayAccountId"].as_str().unwrap().to_owned();
    let provisioned = |shop: &Shop| (shop.provider.workspaces(), shop.provider.endpoints(&merchant));
    let first = provisioned(&shop);
    assert_eq!((first.0, first.1.len()), (1, 1));
    assert_eq!(shop.switch(true).await.data(), on);

    let (id, token) = shop.order(125_000).await;
    shop.provider.pay(&shop.pay(&token).await);
    shop.confirmed(&id).await;
    let balance = shop.balance().await;
    for switch in ["by hand", "by the tier"] {
        match switch {
            "by hand" => assert_eq!(shop.switch(false).await.data()["modules"]["payment"], false),
            _ => {
                let set = shop.installation.admin(&["account", "set-tier", &shop.account, "free"]);
                assert_eq!(set["modules"], json!({"payment": false, "marketing": false}));
                let refused = shop.switch(true).await;
                assert_eq!(refused.refusal(), (403, "UPGRADE_REQUIRED".into()));
                let set = shop.installation.admin(&["account", "set-tier", &shop.account, "growth"]);
                assert_eq!(set["modules"]["payment"], false, "an upgrade switches nothing on");
            }
        }
        let off = shop.client.call("GET", "/api/v1/modules", None).await.data();
        assert_eq!((&off["modules"]["payment"], &off["plugipayAccountId"]), (&json!(false), &json!(merchant)));
        assert_eq!(shop.switch(true).await.data(), on, "{switch}");
        assert_eq!(shop.balance().await, balance, "{switch}");
    }
    assert_eq!(provisioned(&shop), first, "there was no second provisioning");
    assert_ne!(free, shop.account);
}

async fn an_endpoint_whose_secret_was_never_seen_is_deleted_and_recreated(engine: Engine) {
    let shop = Shop::closed(engine, NEVER).await;
    // The adapter retries once, and is not shown the secret of the existing endpoint.
    shop.provider.sandbox().plan(Some(Route::CreateEndpoint), Trouble::LoseAnswer);
    assert_eq!(shop.switch(true).await.refusal(), (502, "PLUGIPAY_ERROR".into()));
    let modules = shop.client.call("GET", "/api/v1/modules", None).await.data();
    assert_eq!(modules["modules"]["payment"], false, "a failure half way leaves the module off");
    let merchant = shop.merchant().await;
    let orphan = shop.provider.endpoints(&merchant);
    assert_eq!(orphan.len(), 1);
    shop.switch(true).await.data();
    let endpoints = shop.provider.endpoints(&merchant);
    assert_eq!((endpoints.len(), shop.provider.workspaces()), (1, 1));
    assert_ne!(endpoints, orphan);

    let (id, token) = shop.order(1_000).await;
    shop.provider.pay(&shop.pay(&token).await);
    shop.confirmed(&id).await;
}

async fn an_online_payment_is_confirmed_mailed_delivered_and_booked_once(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (id, token) = shop.order(125_000).await;
    let view = shop.client.call("GET", &format!("/api/v1/public/orders/{token}"), None).await.data();
    assert_eq!(view["onlinePayment"], true);
    let presses = join_all((0..12).map(|_| shop.press(&token))).await;
    let sessions: Vec<Value> = presses.into_iter().map(support::Reply::data).collect();
    assert!(sessions.iter().all(|session| session == &sessions[0]), "{sessions:?}");
    let id_there = sessions[0]["checkoutSessionId"].as_str().unwrap().to_owned();
    assert_eq!(shop.provider.sessions(), [(id_there.clone(), "open".to_owned())], "simultaneous presses mint one");
    assert_eq!(shop.pay(&token).await, id_there);

    shop.provider.pay(&id_there);
    shop.confirmed(&id).await;
    shop.delivered_once(1).await;
    let balance = json!({
        "balance": 124_625, "currency": "IDR",
        "byCode": [
            {"code": "module_fee", "debits": 375, "credits": 0, "balance": -375, "currency": "IDR"},
            {"code": "sale", "debits": 0, "credits": 125_000, "balance": 125_000, "currency": "IDR"},
        ],
    });
    assert_eq!(shop.balance().await, balance);
    let entries = shop.entries(&format!("?sourceType=checkout_session&sourceId={id_there}")).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(shop.entries("?code=sale").await.len(), 1);
    assert_eq!(shop.entries("?code=payout").await.len(), 0);
    assert_eq!(shop.entries("?sourceId=cs_another").await.len(), 0);

    // The same event repeatedly, the same content under another event's id, and late events.
    let completed = session(&id_there, 125_000);
    for event in ["evt_again", "evt_again", "evt_another"] {
        assert_eq!(shop.tell(event, COMPLETED, &completed).await.data(), json!({"received": true}));
    }
    let expired = json!({"id": id_there, "status": "expired", "amount": 125_000, "currency": "IDR"});
    assert_eq!(shop.tell("evt_late", EXPIRED, &expired).await.status, 200);
    assert_eq!(shop.balance().await, balance);
    assert_eq!(shop.status(&id).await, "payment_confirmed");
    assert_eq!(shop.exceptions().await, Vec::<Value>::new());
    shop.delivered_once(1).await;
    assert_eq!(shop.press(&token).await.refusal(), (409, "INVALID_TRANSITION".into()));
    assert!(shop.host.stop(), "SIGTERM ends the host with status 0");
}

async fn with_the_module_off_money_is_not_shown_and_what_was_minted_still_settles(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    shop.switch(false).await.data();
    for path in ["ledger/balance", "ledger/entries", "ledger/entries.csv", "payouts", "payouts/balance", "payouts/1"] {
        let refused = shop.client.call("GET", &format!("/api/v1/{path}"), None).await;
        assert_eq!(refused.refusal(), (409, "PAYMENT_MODULE_DISABLED".into()), "{path}");
    }
    assert_eq!(shop.press(&token).await.refusal(), (409, "PAYMENT_MODULE_DISABLED".into()));
    let view = shop.client.call("GET", &format!("/api/v1/public/orders/{token}"), None).await.data();
    assert_eq!(view["onlinePayment"], false);

    shop.provider.pay(&minted);
    shop.confirmed(&id).await;
    shop.delivered_once(1).await;
    assert_eq!(shop.exceptions().await.len(), 0, "exceptions are shown in every state of the module");
    shop.switch(true).await.data();
    assert_eq!(shop.balance().await["balance"], 124_625);
}

async fn paying_is_refused_in_the_order_of_the_contract(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (confirmed, confirmed_token) = shop.order(0).await;
    let (_, unquoted_token) = shop.order(0).await;
    let (declined, declined_token) = shop.order(0).await;
    shop.client.call("POST", &format!("/api/v1/orders/{confirmed}/confirm-payment"), None).await.data();
    for id in [&confirmed, &declined] {
        shop.patch(id, json!({"status": "declined"})).await;
    }
    let code = async |token: &str| shop.press(token).await.refusal();
    assert_eq!(code(&"0".repeat(48)).await, (404, "NOT_FOUND".into()));
    assert_eq!(code(&confirmed_token).await, (409, "INVALID_TRANSITION".into()));
    assert_eq!(code(&declined_token).await, (409, "ORDER_CLOSED".into()));
    assert_eq!(code(&unquoted_token).await, (409, "NO_QUOTE".into()));
    shop.switch(false).await.data();
    assert_eq!(code(&"0".repeat(48)).await, (404, "NOT_FOUND".into()));
    for token in [&confirmed_token, &declined_token, &unquoted_token] {
        assert_eq!(code(token).await, (409, "PAYMENT_MODULE_DISABLED".into()));
    }
    assert_eq!(shop.provider.sessions(), []);
}

async fn a_notification_is_believed_only_with_the_merchants_signature_of_now(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (_, other_key) = shop.installation.account("growth");
    let other = Client::new(&shop.host, &other_key);
    let switched = other.call("PATCH", "/api/v1/modules", Some(json!({"payment": true}))).await.data();
    let other_merchant = switched["plugipayAccountId"].as_str().unwrap().to_owned();
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    let merchant = shop.merchant().await;
    let (secret, other_secret) = (shop.provider.secret(&merchant), shop.provider.secret(&other_merchant));
    assert_ne!(secret, other_secret, "each merchant has a different secret");

    let body = notification(&merchant, "evt_forged", COMPLETED, &session(&minted, 125_000));
    let sign = |secret: &WebhookSecret, off: i64, body: &str| Some(support::sandbox::signed(secret, off, body));
    let good = sign(&secret, 0, &body).unwrap();
    for (what, signature, body) in [
        ("missing", None, body.clone()),
        ("empty", Some(String::new()), body.clone()),
        ("malformed", Some("t=now,v1=good".to_owned()), body.clone()),
        ("cut off", Some(good.trim_end_matches(|last| last != ',').to_owned()), body.clone()),
        ("of a minute that has passed", sign(&secret, -310, &body), body.clone()),
        ("of a minute to come", sign(&secret, 310, &body), body.clone()),
        ("another merchant's", sign(&other_secret, 0, &body), body.clone()),
        ("of another body", Some(good.clone()), body.replace("125000", "125001")),
        ("of a body that is no JSON", sign(&secret, 0, "{"), "{".to_owned()),
        ("of an unknown merchant", sign(&secret, 0, "{\"accountId\":\"x\"}"), "{\"accountId\":\"x\"}".to_owned()),
        ("of nothing", sign(&secret, 0, ""), String::new()),
    ] {
        let refused = shop.post(signature.as_deref(), &body).await;
        assert_eq!(refused.refusal(), (401, "INVALID_SIGNATURE".into()), "{what}");
    }
    // Another merchant sends a valid signature for a session that is not theirs.
    let stolen = notification(&other_merchant, "evt_stolen", COMPLETED, &session(&minted, 125_000));
    assert_eq!(shop.post(sign(&other_secret, 0, &stolen).as_deref(), &stolen).await.status, 200);
    assert_eq!(shop.status(&id).await, "unpaid");
    assert_eq!(shop.balance().await["balance"], 0);

    for off in [-290, 290] {
        assert_eq!(shop.post(sign(&secret, off, &body).as_deref(), &body).await.data(), json!({"received": true}));
    }
    shop.confirmed(&id).await;
    assert_eq!(other.call("GET", "/api/v1/ledger/balance", None).await.data()["balance"], 0);
}

async fn what_names_no_session_of_ours_is_parked_and_shown_to_the_operator(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    let answer = shop.tell("evt_unheard_of", "plugipay.refund.created.v1", &session(&minted, 125_000)).await;
    assert_eq!(answer.data(), json!({"received": true}));
    assert_eq!(shop.tell("evt_parked", COMPLETED, &session("cs_nobodys", 5)).await.status, 200);
    let dollars = json!({"id": minted, "status": "completed", "amount": 125_000, "currency": "USD"});
    assert_eq!(shop.tell("evt_dollars", COMPLETED, &dollars).await.status, 200);
    assert_eq!(shop.tell("evt_hollow", COMPLETED, &json!({})).await.status, 200);

    let shown = |lines: Vec<Value>| -> Vec<(Value, Value)> {
        lines.into_iter().map(|line| (line["eventId"].clone(), line["status"].clone())).collect()
    };
    let urgent = [("evt_dollars", "foreign_currency"), ("evt_hollow", "unreadable")]
        .map(|(event, status)| (json!(event), json!(status)));
    let parked = (json!("evt_parked"), json!("parked"));
    assert_eq!(shown(shop.installation.lines(&["inbox", "list"])), urgent);
    let all = shop.installation.lines(&["inbox", "list", "--all"]);
    assert_eq!(all[0]["accountId"], json!(shop.account));
    assert_eq!(all[0]["type"], json!(COMPLETED));
    assert_eq!(all[0]["sessionId"], json!("cs_nobodys"));
    assert!(all[0]["receivedAt"].is_string());
    assert_eq!(shown(all), [std::slice::from_ref(&parked), &urgent[..]].concat());
    let tried = shop.installation.admin(&["inbox", "retry", &shop.account, "evt_parked"]);
    assert_eq!((tried["eventId"].clone(), tried["status"].clone()), parked);
    let unknown = shop.installation.complaint(&["inbox", "retry", &shop.account, "evt_unknown"]);
    assert!(unknown.contains("no notification"), "{unknown}");
    assert_eq!((shop.status(&id).await, shop.balance().await["balance"].clone()), (json!("unpaid"), json!(0)));
    assert_eq!(shop.exceptions().await.len(), 0);
}

async fn a_payment_whose_notification_was_lost_is_found_by_asking(engine: Engine) {
    let shop = Shop::asking_after(engine, 200).await;
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    shop.provider.sandbox().switch(|switches| switches.lose_notifications = true);
    shop.provider.pay(&minted);
    shop.confirmed(&id).await;
    shop.delivered_once(1).await;
    assert_eq!(shop.balance().await["balance"], 124_625);
    // Later it arrives after all.
    assert_eq!(shop.tell("evt_after_all", COMPLETED, &session(&minted, 125_000)).await.status, 200);
    assert_eq!(shop.balance().await["balance"], 124_625);
    shop.delivered_once(1).await;
}

async fn a_manual_confirmation_cancels_the_session(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    let confirm = format!("/api/v1/orders/{id}/confirm-payment");
    shop.client.call("POST", &confirm, None).await.data();
    let provider = &shop.provider;
    eventually("the cancellation", || provider.sessions() == [(minted.clone(), "canceled".to_owned())]).await;
    shop.delivered_once(1).await;

    // A new quote cancels the session of the old one and needs a new session.
    let (id, token) = shop.order(50_000).await;
    let dear = shop.pay(&token).await;
    shop.patch(&id, json!({"quotedPriceIdr": 40_000})).await;
    eventually("the cancellation", || provider.status(&dear) == "canceled").await;
    let cheap = shop.pay(&token).await;
    assert_ne!(cheap, dear);
    provider.pay(&cheap);
    shop.confirmed(&id).await;
    assert_eq!(shop.balance().await["balance"], 40_000 - 120);
}

async fn another_amount_is_booked_as_it_came_and_left_to_the_seller(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (id, token) = shop.order(125_000).await;
    let minted = shop.pay(&token).await;
    assert_eq!(shop.tell("evt_less", COMPLETED, &session(&minted, 100_000)).await.status, 200);
    assert_eq!(shop.status(&id).await, "unpaid");
    assert_eq!(shop.balance().await["balance"], 99_700);
    let exceptions = shop.exceptions().await;
    let exception = &exceptions[0];
    let shown = [&exception["kind"], &exception["orderId"], &exception["checkoutSessionId"], &exception["amount"]];
    assert_eq!(shown, [&json!("amount_mismatch"), &json!(id), &json!(minted), &json!(100_000)]);
    assert_eq!((&exception["status"], &exception["note"]), (&json!("open"), &Value::Null));

    let path = format!("/api/v1/payments/exceptions/{}/resolve", exception["id"].as_str().unwrap());
    let note = json!({"note": "The rest came by transfer."});
    let resolved = shop.client.call("POST", &path, Some(note.clone())).await.data();
    assert_eq!((&resolved["status"], &resolved["note"]), (&json!("resolved"), &note["note"]));
    assert!(resolved["resolvedAt"].is_string());
    assert_eq!(shop.client.call("POST", &path, Some(note)).await.refusal(), (409, "INVALID_TRANSITION".into()));
    let open = shop.client.call("GET", "/api/v1/payments/exceptions?status=open", None).await.data();
    assert_eq!(open, json!({"exceptions": [], "cursor": null, "hasMore": false}));
    assert_eq!(shop.exceptions().await, [resolved]);
    shop.delivered_once(0).await;
}

async fn a_rotated_secret_and_the_previous_one_are_accepted(engine: Engine) {
    let shop = Shop::open(engine).await;
    let merchant = shop.merchant().await;
    let before = (shop.provider.endpoints(&merchant), shop.provider.secret(&merchant));
    let guessed = shop.installation.complaint(&["plugipay", "rotate-secret", &shop.account, "--listen", "127.0.0.1:0"]);
    assert!(guessed.contains("--public-url"), "{guessed}");
    let rotate = ["plugipay", "rotate-secret", &shop.account, "--public-url", &shop.host.url];
    assert_eq!(shop.installation.admin(&rotate)["rotated"], true);
    let after = (shop.provider.endpoints(&merchant), shop.provider.secret(&merchant));
    assert_eq!(after.0.len(), 1);
    assert!(before.0 != after.0 && before.1 != after.1);

    for (event, secret) in [("evt_before", &before.1), ("evt_after", &after.1)] {
        let body = notification(&merchant, event, "plugipay.refund.created.v1", &json!({}));
        let reply = shop.post(Some(&support::sandbox::signed(secret, 0, &body)), &body).await;
        assert_eq!(reply.status, 200, "{event}");
    }
    let (id, token) = shop.order(1_000).await;
    shop.provider.pay(&shop.pay(&token).await);
    shop.confirmed(&id).await;
}

async fn a_storm_of_notifications_to_two_hosts_settles_once(engine: Engine) {
    const ORDERS: usize = 6;
    let shop = Shop::open(engine).await;
    let other = shop.installation.serve();
    let (merchant, mut orders) = (shop.merchant().await, Vec::new());
    let secret = shop.provider.secret(&merchant);
    for _ in 0..ORDERS {
        let (id, token) = shop.order(125_000).await;
        let minted = shop.pay(&token).await;
        orders.push((id, minted));
    }
    // Each payment causes three events, each sent four times, half of them to the other host. Meanwhile every order is also
    // confirmed manually.
    let http = support::http();
    let mut posts = Vec::new();
    for nth in 0..12 {
        for (_, minted) in &orders {
            let url = if nth % 2 == 0 { &shop.host.url } else { &other.url };
            let event = format!("evt_{minted}_{}", nth % 3);
            let body = notification(&merchant, &event, COMPLETED, &session(minted, 125_000));
            let signature = support::sandbox::signed(&secret, 0, &body);
            let post = http.post(format!("{url}{NOTIFIED}")).header("x-plugipay-signature", signature).body(body);
            posts.push(async { post.send().await.unwrap().status().as_u16() });
        }
    }
    let client = &shop.client;
    let by_hand = orders.iter().map(|(id, _)| async move {
        let path = format!("/api/v1/orders/{id}/confirm-payment");
        client.call("POST", &path, None).await.status
    });
    let (told, by_hand) = futures_util::future::join(join_all(posts), join_all(by_hand)).await;
    assert!(told.iter().all(|status| *status == 200), "{told:?}");
    let won_by_hand = by_hand.iter().filter(|status| **status == 200).count();
    assert!(by_hand.iter().all(|status| [200, 409].contains(status)), "{by_hand:?}");

    for (id, _) in &orders {
        assert_eq!(shop.status(id).await, "payment_confirmed");
    }
    let orders_told = i64::try_from(ORDERS).unwrap();
    assert_eq!(shop.balance().await["balance"], 124_625 * orders_told, "each payment is booked once");
    assert_eq!(shop.entries("?code=sale").await.len(), ORDERS);
    let exceptions = shop.exceptions().await;
    assert_eq!(exceptions.len(), won_by_hand, "what was confirmed by hand before is an exception");
    assert!(exceptions.iter().all(|exception| exception["kind"] == "already_confirmed"));
    shop.delivered_once(ORDERS).await;
    assert!(shop.host.stop() && other.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_plugipay_hangs_serves_everything_else_and_ends_in_time() {
    let shop = Shop::open(Engine::Sqlite).await;
    let (id, token) = shop.order(125_000).await;
    let (paid_by_hand, minted_token) = shop.order(125_000).await;
    shop.pay(&minted_token).await;
    shop.provider.sandbox().switch(|switches| switches.slowness = Duration::from_secs(60));
    let client = shop.client.clone();
    let pressed = tokio::spawn(async move {
        let path = format!("{}/api/v1/public/orders/{token}/pay", client.url);
        support::http().post(path).send().await.map(|response| response.status().as_u16())
    });
    let confirm = format!("/api/v1/orders/{paid_by_hand}/confirm-payment");
    shop.client.call("POST", &confirm, None).await.data();
    // The cancellation that this causes hangs too, and delays neither the mail nor the event.
    shop.delivered_once(1).await;
    assert_eq!(shop.status(&id).await, "unpaid");
    let began = std::time::Instant::now();
    let Shop { host, .. } = shop;
    assert!(host.stop(), "SIGTERM ends the host with status 0");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let answer = pressed.await.unwrap();
    assert!(answer.is_err() || answer.is_ok_and(|status| status == 502), "the press ends, too");
}

#[test]
fn half_a_key_and_a_schedule_of_nothing_are_refused_at_the_start() {
    let installation = Installation::new(Engine::Sqlite);
    for (arguments, told) in [
        (&["--plugipay-key-id", "an-id"][..], "--plugipay-secret"),
        (&["--plugipay-secret", "a-secret"], "--plugipay-key-id"),
        (&["--janitor-first-poll-ms", "0"], "--janitor-first-poll-ms"),
        (&["--plugipay-key-id", "an-id", "--plugipay-secret", "a-secret", "--plugipay-url", "not a url"], "lugipay"),
    ] {
        let complaint = installation.complaint(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
        assert!(complaint.contains(told) && !complaint.contains("a-secret"), "{complaint}");
    }
}
