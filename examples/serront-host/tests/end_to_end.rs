//! The real binary over HTTP, used by a seller and a buyer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use serront_core::accounts::key::WebhookSecret;
use serront_core::orders::receipt::samples;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::sign;
use support::{Client, Engine, Installation, Receiver, Silent, eventually};

mod support;

on_both_engines!(
    a_transfer_is_claimed_confirmed_mailed_and_delivered,
    of_twelve_concurrent_confirmations_one_wins,
    a_killed_host_loses_nothing_that_it_acknowledged,
    admin_subcommands_work_while_a_host_runs,
    two_hosts_on_one_database_have_one_winner_for_each_order,
    ninety_nine_endpoints_that_hang_delay_no_other,
);

async fn a_transfer_is_claimed_confirmed_mailed_and_delivered(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    let receiver = Receiver::start().await;
    client.open_shop("studio-renata").await;
    let subscription = json!({"url": receiver.url, "events": ["serront.order.*"]});
    let made = client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
    let secret = WebhookSecret::parse(made["secret"].as_str().unwrap()).unwrap();

    let (number, token) = client.order("studio-renata").await;
    assert_eq!(number, 1);
    let buyer = format!("/api/v1/public/orders/{token}");
    let view = client.call("GET", &buyer, None).await.data();
    assert_eq!(view["payment"]["bankAccounts"][0]["accountNumber"], "123-456-7890");
    assert_eq!(view["payment"]["whatsappLink"], "https://wa.me/628120000000");
    let png = [("content-type", "image/png")];
    let uploaded = client.send("PUT", &format!("{buyer}/proof"), &png, Some(samples::PNG.to_vec())).await.data();
    assert_eq!(uploaded, json!({"hasProof": true}));
    let claimed = client.call("POST", &format!("{buyer}/claim-payment"), None).await.data();
    assert_eq!(claimed["paymentStatus"], "payment_claimed");

    let page = client.call("GET", "/api/v1/orders?paymentStatus=payment_claimed", None).await.data();
    let id = page["orders"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(page["counts"]["requested"], 1);
    let (headers, bytes) = client.download(&format!("/api/v1/orders/{id}/proof")).await;
    assert_eq!(bytes, samples::PNG);
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "private, no-store");

    let confirmed = client.call("POST", &format!("/api/v1/orders/{id}/confirm-payment"), None).await.data();
    assert_eq!(confirmed["paymentStatus"], "payment_confirmed");
    let view = client.call("GET", &buyer, None).await.data();
    assert_eq!(view["payment"], Value::Null);

    eventually("the mail and both events", || installation.mails().len() == 1 && receiver.received().len() == 2).await;
    let mail = &installation.mails()[0];
    assert!(mail.0.starts_with("mail_") && mail.1.contains("To: Budi <budi@example.com>"), "{mail:?}");
    let types: Vec<_> = receiver.received().iter().map(|received| received.event()["type"].clone()).collect();
    assert!(types.contains(&json!("serront.order.created.v1")));
    assert!(types.contains(&json!("serront.order.payment_confirmed.v1")));
    for received in receiver.received() {
        let signature = received.header("serront-signature");
        let seconds: i64 = signature["t=".len()..signature.find(',').unwrap()].parse().unwrap();
        assert_eq!(signature, sign(&secret, Timestamp::from_millis(seconds * 1_000), &received.body));
        assert_eq!(received.header("serront-event-id"), received.event()["id"]);
        assert_eq!(received.header("user-agent"), "Serront-Webhooks/1.0");
    }
    // An attempt is recorded after the receiver has it.
    #[cfg(unix)]
    for (file, mode) in installation.modes() {
        assert_eq!(mode & 0o077, 0, "{} is for its owner alone", file.display());
    }
    let log = client.list_of("/api/v1/webhook-subscriptions/deliveries?status=succeeded", 2).await;
    assert_eq!(log.body["meta"]["hasMore"], false);
    let log = log.data();
    assert_eq!(log[0]["attemptLog"][0]["responseCode"], 204);
    assert!(host.stop(), "SIGTERM ends the host with status 0");
}

async fn ninety_nine_endpoints_that_hang_delay_no_other(engine: Engine) {
    let installation = Installation::new(engine);
    let ((_, key), (_, others_key)) = (installation.account("free"), installation.account("free"));
    let host = installation.serve();
    let (client, other) = (Client::new(&host, &key), Client::new(&host, &others_key));
    let (live, others, silent) = (Receiver::start().await, Receiver::start().await, Silent::start().await);
    let subscribe = async |client: &Client, url: String| {
        let subscription = json!({"url": url, "events": ["serront.order.*"]});
        client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
    };
    client.open_shop("busy").await;
    other.open_shop("quiet").await;
    // The dead receivers first: they have the oldest deliveries.
    for n in 0..99 {
        subscribe(&client, format!("{}/{n}", silent.url)).await;
    }
    subscribe(&client, live.url.clone()).await;
    subscribe(&other, others.url.clone()).await;

    for _ in 0..4 {
        client.order("busy").await;
    }
    eventually("all of them hang", || silent.hanging().len() >= 99 && live.received().len() == 4).await;
    let hanging = silent.hanging();
    client.order("busy").await;
    other.order("quiet").await;
    let confirm = format!("/api/v1/orders/{}/confirm-payment", client.order_ids().await[0]);
    client.call("POST", &confirm, None).await.data();
    let all_is_told = || live.received().len() == 6 && others.received().len() == 1 && installation.mails().len() == 1;
    eventually("the live ones and the mail", all_is_told).await;
    assert!(!hanging.is_disjoint(&silent.hanging()), "what hung before hangs still");
    host.kill();
}

async fn of_twelve_concurrent_confirmations_one_wins(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    let receiver = Receiver::start().await;
    client.open_shop("s").await;
    let subscription = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
    client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();

    let numbers: BTreeSet<u64> =
        join_all((0..24).map(|_| client.order("s"))).await.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=24).collect());

    let path = format!("/api/v1/orders/{}/confirm-payment", client.order_ids().await[0]);
    let mut statuses: Vec<u16> =
        join_all((0..12).map(|_| client.call("POST", &path, None))).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![409; 11]].concat());
    eventually("one mail and one event", || installation.mails().len() == 1 && receiver.received().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!((installation.mails().len(), receiver.received().len()), (1, 1));
}

async fn a_killed_host_loses_nothing_that_it_acknowledged(engine: Engine) {
    const ORDERS: usize = 60;
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    let receiver = Receiver::start().await;
    client.open_shop("s").await;
    let subscription = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
    client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
    join_all((0..ORDERS).map(|_| client.order("s"))).await;
    let ids = client.order_ids().await;
    assert_eq!(ids.len(), ORDERS);

    // One by one, until the host is killed in between.
    let confirming = tokio::spawn({
        let (url, key, ids) = (host.url.clone(), key.clone(), ids.clone());
        async move {
            let http = support::http();
            let mut acknowledged = Vec::new();
            for id in ids {
                let path = format!("{url}/api/v1/orders/{id}/confirm-payment");
                match http.post(path).bearer_auth(&key).send().await {
                    Ok(response) if response.status() == 200 => acknowledged.push(id),
                    Ok(response) => panic!("{}", response.status()),
                    Err(_) => break,
                }
            }
            acknowledged
        }
    });
    eventually("some confirmations", || receiver.received().len() >= 5).await;
    host.kill();
    let acknowledged = confirming.await.unwrap();
    assert!(acknowledged.len() >= 5);

    let host = installation.serve();
    let client = Client::new(&host, &key);
    for id in &acknowledged {
        let order = client.call("GET", &format!("/api/v1/orders/{id}"), None).await.data();
        assert_eq!(order["paymentStatus"], "payment_confirmed", "{id}");
    }
    let page = client.call("GET", "/api/v1/orders?limit=100&paymentStatus=payment_confirmed", None).await.data();
    let confirmed = page["orders"].as_array().unwrap().len();
    assert!(confirmed == acknowledged.len() || confirmed == acknowledged.len() + 1);

    // Work that was leased when the host died is taken up after the lease has expired.
    let events = || -> BTreeSet<String> {
        receiver.received().iter().map(|received| received.header("serront-event-id").to_owned()).collect()
    };
    eventually("every mail and event", || installation.mails().len() == confirmed && events().len() == confirmed).await;
    let told: BTreeSet<String> = receiver
        .received()
        .iter()
        .map(|received| format!("{} {}", received.event()["data"]["orderId"], received.header("serront-event-id")))
        .collect();
    assert_eq!(told.len(), confirmed, "an order's event has one id however often it is sent");
    let subjects: BTreeSet<String> = installation
        .mails()
        .iter()
        .map(|(_, text)| text.lines().find(|line| line.starts_with("Subject:")).unwrap().to_owned())
        .collect();
    assert_eq!(subjects.len(), confirmed, "an order has one mail");
}

async fn admin_subcommands_work_while_a_host_runs(engine: Engine) {
    let installation = Installation::new(engine);
    let host = installation.serve();
    let (account, key) = installation.account("free");
    let client = Client::new(&host, &key);
    client.open_shop("s").await;
    let branding = json!({"slug": "s", "displayName": "S", "hideBranding": true});
    let refused = client.call("PUT", "/api/v1/storefront", Some(branding.clone())).await;
    assert_eq!(refused.refusal(), (403, "UPGRADE_REQUIRED".into()));
    installation.admin(&["account", "set-tier", &account, "starter"]);
    assert_eq!(client.call("PUT", "/api/v1/storefront", Some(branding)).await.status, 200);
    let modules = client.call("PATCH", "/api/v1/modules", Some(json!({"payment": true}))).await;
    assert_eq!(modules.refusal(), (503, "NOT_CONFIGURED".into()));

    let made = client.call("POST", "/api/v1/api-keys", Some(json!({"name": "second"}))).await.data();
    let second = Client::new(&host, made["key"].as_str().unwrap());
    assert_eq!(second.call("GET", "/api/v1/billing", None).await.data()["effectiveTier"], "starter");
    let path = format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap());
    assert_eq!(client.call("DELETE", &path, None).await.data(), json!({"deleted": true}));
    assert_eq!(second.call("GET", "/api/v1/billing", None).await.refusal(), (401, "UNAUTHORIZED".into()));
}

async fn two_hosts_on_one_database_have_one_winner_for_each_order(engine: Engine) {
    const ORDERS: usize = 40;
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    // Both hosts migrate at the same time.
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| installation.serve());
        let other = scope.spawn(|| installation.serve());
        (one.join().unwrap(), other.join().unwrap())
    });
    let clients = [Client::new(&one, &key), Client::new(&other, &key)];
    let receiver = Receiver::start().await;
    clients[0].open_shop("s").await;
    let subscription = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
    clients[0].call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
    let placed = join_all((0..ORDERS).map(|at| clients[at % 2].order("s"))).await;
    let numbers: BTreeSet<u64> = placed.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=ORDERS as u64).collect());

    let paths: Vec<String> =
        clients[1].order_ids().await.iter().map(|id| format!("/api/v1/orders/{id}/confirm-payment")).collect();
    let replies =
        join_all(paths.iter().flat_map(|path| (0..4).map(|at| clients[at % 2].call("POST", path, None)))).await;
    for replies in replies.chunks(4) {
        let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409]);
    }
    let told = || -> BTreeSet<String> {
        receiver.received().iter().map(|received| received.event()["data"]["orderId"].to_string()).collect()
    };
    eventually("every mail and event", || installation.mails().len() == ORDERS && told().len() == ORDERS).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!((installation.mails().len(), receiver.received().len()), (ORDERS, ORDERS));
    assert!(one.stop() && other.stop());
}
