//! The caller's idempotency key over HTTP: one action, and its outcome for every repetition.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use in_process::{Ask, HOOK, House, Reply, ask, but, buyers_order, payout, service, storefront};
use serde_json::{Value, json};
use serront_core::primitives::tier::Tier;

mod in_process;

const REPLAYED: &str = "idempotent-replayed";
const DAY: Duration = Duration::from_secs(86_400);

/// The route on which buyers order.
const ORDER: &str = "/api/v1/public/storefront/renata/order";

/// Concurrent requests.
const CROWD: usize = 24;

struct Shop {
    house: Arc<House>,
    key: String,
    service: String,
    order: String,
    token: String,
    subscription: String,
}

impl Shop {
    async fn open() -> Self {
        let house = Arc::new(House::open().await);
        let key = house.account(Tier::Starter).await;
        house.open_shop(&key, "renata").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let service = text(&house.get(&key, "/api/v1/services").await[0]["id"]);
        let subscribe = ask("POST", "/api/v1/webhook-subscriptions").key(&key).json(&json!({"url": HOOK}));
        let subscription = text(&house.send(subscribe).await.data()["id"]);
        let (order, token) = house.order(&key, "renata").await;
        Self { house, key, service, order, token, subscription }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Ask {
        ask(method, path).key(&self.key).json(body)
    }

    fn confirm(&self) -> Ask {
        ask("POST", format!("/api/v1/orders/{}/confirm-payment", self.order)).key(&self.key)
    }

    fn new_service(&self, slug: &str) -> Ask {
        self.ask("POST", "/api/v1/services", &service(slug))
    }

    fn new_key(&self) -> Ask {
        self.ask("POST", "/api/v1/api-keys", &json!({"name": "Toko"}))
    }

    fn new_subscription(&self) -> Ask {
        self.ask("POST", "/api/v1/webhook-subscriptions", &json!({"url": HOOK}))
    }

    /// One request of each route that stores its outcome, with a different body for the same route.
    fn every_route(&self) -> Vec<(Ask, Value)> {
        let order = format!("/api/v1/orders/{}", self.order);
        let service_path = format!("/api/v1/services/{}", self.service);
        let subscription = format!("/api/v1/webhook-subscriptions/{}", self.subscription);
        let renamed = but(storefront("renata"), json!({"displayName": "Renata"}));
        let off = json!({"module": "payment", "enabled": false});
        vec![
            // A buyer's key, whose scope is the storefront (#16).
            (ask("POST", ORDER).json(&buyers_order()), but(buyers_order(), json!({"buyerName": "Ani"}))),
            (self.ask("PUT", "/api/v1/storefront", &renamed), storefront("renata")),
            (self.new_service("poster"), service("flyer")),
            (self.ask("PATCH", &service_path, &json!({"priceIdr": 5})), json!({"priceIdr": 6})),
            (self.ask("PATCH", &order, &json!({"status": "confirmed"})), json!({"status": "in_progress"})),
            (self.ask("POST", &format!("{order}/rotate-token"), &json!({})), json!({"x": 1})),
            (self.confirm(), json!({})),
            (self.ask("PATCH", &subscription, &json!({"active": false})), json!({"active": true})),
            (self.ask("PATCH", "/api/v1/modules", &json!({"payment": false})), json!({"marketing": false})),
            (self.ask("POST", "/api/v1/modules", &off), json!({"module": "marketing", "enabled": false})),
        ]
    }

    async fn picture(&self) -> Value {
        self.house.picture(&self.key, "renata").await
    }

    /// The number of objects of a kind.
    async fn count(&self, path: &str, list: &str) -> usize {
        let data = self.house.get(&self.key, path).await;
        if list.is_empty() { &data } else { &data[list] }.as_array().unwrap().len()
    }
}

fn is_replay(reply: &Reply) -> bool {
    match reply.header(REPLAYED) {
        None => false,
        Some("true") => true,
        Some(other) => panic!("{REPLAYED}: {other}"),
    }
}

#[track_caller]
fn assert_in_use(reply: &Reply) {
    assert_eq!(reply.refusal(), (409, "IDEMPOTENCY_KEY_IN_USE".to_owned(), None));
    assert!(!is_replay(reply));
}

#[tokio::test]
async fn a_repeated_key_answers_the_first_outcome_and_changes_nothing() {
    let shop = Shop::open().await;
    for (ask, other) in shop.every_route() {
        let ask = ask.idempotent("!once~");
        let first = shop.house.send(ask.clone()).await;
        first.data();
        assert!(!is_replay(&first), "{ask:?}");
        shop.house.dispatch().await;
        let (before, mails) = (shop.picture().await, shop.house.mailbox.messages().len());
        for _ in 0..2 {
            let again = shop.house.send(ask.clone()).await;
            assert!(is_replay(&again), "{ask:?}");
            assert_eq!((again.status, again.data()), (first.status, first.data()), "{ask:?}");
        }
        assert_in_use(&shop.house.send(ask.clone().body(other.to_string())).await);
        assert_eq!(shop.picture().await, before, "{ask:?}");
        shop.house.dispatch().await;
        assert_eq!(shop.house.mailbox.messages().len(), mails, "{ask:?}");
    }
}

#[tokio::test]
async fn the_first_outcome_is_answered_also_after_things_went_on() {
    let shop = Shop::open().await;
    let path = format!("/api/v1/orders/{}", shop.order);
    let quote = |amount: i64| shop.ask("PATCH", &path, &json!({"quotedPriceIdr": amount}));
    let first = shop.house.send(quote(5).idempotent("a")).await.data();
    shop.house.send(quote(6)).await.data();
    shop.house.send(shop.confirm()).await.data();
    let again = shop.house.send(quote(5).idempotent("a")).await;
    assert!(is_replay(&again), "the replay goes before the state's refusal");
    assert_eq!(again.data(), first);
    assert_eq!(shop.house.get(&shop.key, &path).await["quotedPriceIdr"], 6);
}

#[tokio::test]
async fn the_same_object_written_otherwise_is_another_body() {
    let shop = Shop::open().await;
    let put = |body: &str| ask("POST", "/api/v1/services").key(&shop.key).idempotent("a").body(body);
    let body = service("poster").to_string();
    shop.house.send(put(&body)).await.data();
    assert_in_use(&shop.house.send(put(&format!("{body} "))).await);
    assert!(is_replay(&shop.house.send(put(&body)).await));
}

#[tokio::test]
async fn only_a_success_is_kept() {
    let shop = Shop::open().await;
    let refused = [
        (shop.ask("POST", "/api/v1/services", &but(service("poster"), json!({"name": ""}))), 400),
        (ask("POST", "/api/v1/services").key(&shop.key).body("{"), 400),
        (shop.new_service("logo"), 409),
    ];
    for (ask, status) in refused {
        for _ in 0..2 {
            let reply = shop.house.send(ask.clone().idempotent("a")).await;
            assert_eq!((reply.status, is_replay(&reply)), (status, false));
        }
    }
    let made = shop.house.send(shop.new_service("poster").idempotent("a")).await;
    assert_eq!((made.status, is_replay(&made)), (201, false));

    let account = shop.house.get(&shop.key, &format!("/api/v1/orders/{}", shop.order)).await;
    let account = account["accountId"].as_str().unwrap().parse().unwrap();
    shop.house.commands().set_tier(account, Tier::Free).await.unwrap();
    let hidden = but(storefront("renata"), json!({"hideBranding": true}));
    let hide = shop.ask("PUT", "/api/v1/storefront", &hidden).idempotent("a");
    assert_eq!(shop.house.send(hide.clone()).await.status, 403);
    shop.house.commands().set_tier(account, Tier::Starter).await.unwrap();
    let hid = shop.house.send(hide).await;
    assert_eq!((hid.status, is_replay(&hid)), (200, false));
}

#[tokio::test]
async fn a_key_counts_for_its_account_method_and_path() {
    let shop = Shop::open().await;
    let other = shop.house.account(Tier::Starter).await;
    shop.house.send(shop.new_service("poster").idempotent("a")).await.data();
    let second = shop.house.send(shop.new_key()).await.data()["key"].as_str().unwrap().to_owned();

    let service_path = format!("/api/v1/services/{}", shop.service);
    for (what, ask) in [
        ("another account", ask("POST", "/api/v1/services").key(&other).json(&service("poster"))),
        ("another path", shop.ask("PATCH", &service_path, &json!({"priceIdr": 1}))),
        ("another route", shop.ask("POST", "/api/v1/modules", &json!({"module": "payment", "enabled": false}))),
        ("another method", shop.ask("PATCH", "/api/v1/modules", &json!({"payment": false}))),
    ] {
        let reply = shop.house.send(ask.idempotent("a")).await;
        assert!(reply.status < 300 && !is_replay(&reply), "{what}: {reply:?}");
    }
    let of_second = ask("POST", "/api/v1/services?colour=red").key(&second).json(&service("poster")).idempotent("a");
    assert!(is_replay(&shop.house.send(of_second).await), "another API key and query are the same");
    assert_eq!(shop.house.send(shop.new_service("poster").idempotent("A")).await.status, 409, "another key is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_requests_one_acts_and_all_answer_its_outcome() {
    for nth in 0..Shop::open().await.every_route().len() {
        let shop = Shop::open().await;
        let (ask, _) = shop.every_route().swap_remove(nth);
        let crowd = shop.house.send_all(vec![ask.clone().idempotent("a"); CROWD]).await;
        let acted: Vec<&Reply> = crowd.iter().filter(|reply| !is_replay(reply)).collect();
        assert_eq!(acted.len(), 1, "{ask:?}");
        for reply in &crowd {
            assert_eq!((reply.status, reply.data()), (acted[0].status, acted[0].data()), "{ask:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_resolved_once_and_provisioning_is_begun_once_under_one_key() {
    let house = Arc::new(House::online().await);
    let key = house.account(Tier::Starter).await;
    house.open_shop(&key, "renata").await;
    let on = ask("PATCH", "/api/v1/modules").key(&key).json(&json!({"payment": true})).idempotent("on");
    let crowd = house.send_all(vec![on; CROWD]).await;
    assert!(crowd.iter().all(|reply| reply.data() == crowd[0].data()));
    assert_eq!(crowd.iter().filter(|reply| !is_replay(reply)).count(), 1);
    assert_eq!(house.plugipay.endpoints().len(), 1);

    let (_, token) = house.order(&key, "renata").await;
    house.settle(&token, 1).await;
    let exceptions = house.get(&key, "/api/v1/payments/exceptions").await;
    let path = format!("/api/v1/payments/exceptions/{}/resolve", exceptions["exceptions"][0]["id"].as_str().unwrap());
    let resolve = ask("POST", &path).key(&key).json(&json!({"note": "Paid back."}));
    let crowd = house.send_all(vec![resolve.clone().idempotent("a"); CROWD]).await;
    assert!(crowd.iter().all(|reply| reply.data() == crowd[0].data() && reply.data()["status"] == "resolved"));
    assert_eq!(crowd.iter().filter(|reply| !is_replay(reply)).count(), 1);
    assert_in_use(&house.send(resolve.clone().idempotent("a").body(r#"{"note": "Another."}"#)).await);
    assert_eq!(house.send(resolve).await.refusal(), (409, "INVALID_TRANSITION".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_asked_for_and_moved_once_under_one_key() {
    let house = Arc::new(House::online().await);
    let key = house.account(Tier::Starter).await;
    house.open_shop(&key, "renata").await;
    house.switch_payment(&key, true).await;
    let (_, token) = house.order(&key, "renata").await;
    house.settle(&token, 750_000).await;
    let operator = house.operator().await;
    let bank = ask("PATCH", "/api/v1/payouts/bank-account").key(&key).json(&json!({"bankName": "BCA"}));
    let request = ask("POST", "/api/v1/payouts").key(&key).json(&payout(700_000));
    // Each route with its status, another body under the same key, and the refusal without a key.
    let crowd = async |ask: Ask, other: Value| -> Value {
        let crowd = house.send_all(vec![ask.clone().idempotent("a"); CROWD]).await;
        assert!(crowd.iter().all(|reply| reply.data() == crowd[0].data() && reply.status == crowd[0].status));
        assert_eq!(crowd.iter().filter(|reply| !is_replay(reply)).count(), 1, "{ask:?}");
        assert_in_use(&house.send(ask.idempotent("a").body(other.to_string())).await);
        crowd[0].data()
    };
    crowd(bank, json!({"bankName": "BRI"})).await;
    let asked = crowd(request.clone(), payout(1)).await;
    assert_eq!(house.send(request).await.refusal(), (409, "INSUFFICIENT_BALANCE".to_owned(), None));
    let path = format!("/api/v1/payouts/{}", asked["id"].as_str().unwrap());
    let mark = |step: &str| ask("POST", format!("{path}/{step}")).key(&operator);
    for (step, status) in [("mark-in-transit", "in_transit"), ("mark-paid", "paid")] {
        let moved = crowd(mark(step).json(&json!({"reference": "T-1"})), json!({})).await;
        assert_eq!(moved["status"], status);
        assert_eq!(house.send(mark(step)).await.refusal(), (409, "INVALID_TRANSITION".to_owned(), None));
    }
    let cancelled = house.payout(&key, 1).await;
    crowd(ask("POST", format!("/api/v1/payouts/{cancelled}/cancel")).key(&key), json!({})).await;
    let payouts = house.get(&key, "/api/v1/payouts").await;
    assert_eq!(payouts["payouts"].as_array().unwrap().len(), 2);
    let posted = house.get(&key, "/api/v1/ledger/entries?code=payout").await;
    assert_eq!(posted["entries"].as_array().unwrap().len(), 1);

    // The keys of the seller and of the operators are separate, and so are those of two payouts.
    let second = house.payout(&key, 1).await;
    let failing = ask("POST", format!("/api/v1/payouts/{second}/mark-failed")).key(&operator);
    let failed = house.send(failing.json(&json!({"failureReason": "Closed."})).idempotent("a")).await;
    assert_eq!((failed.data()["status"].clone(), is_replay(&failed)), (json!("failed"), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_sent_again_once_under_one_key() {
    let shop = Shop::open().await;
    let (house, key) = (&shop.house, &shop.key);
    let deliveries = "/api/v1/webhook-subscriptions/deliveries";
    let delivery = house.get(key, deliveries).await[0]["id"].as_str().unwrap().to_owned();
    let retry = ask("POST", format!("{deliveries}/{delivery}/retry")).key(key);
    house.dispatch().await;
    let posts = house.posts.posts().len();
    let crowd = house.send_all(vec![retry.clone().idempotent("a"); CROWD]).await;
    assert!(crowd.iter().all(|reply| (reply.status, reply.data()) == (202, crowd[0].data())));
    assert_eq!(crowd.iter().filter(|reply| !is_replay(reply)).count(), 1);
    assert_eq!((&crowd[0].data()["status"], &crowd[0].data()["attempts"]), (&json!("pending"), &json!(1)));
    assert_eq!(house.send(retry.clone()).await.refusal(), (409, "ALREADY_QUEUED".to_owned(), None));
    house.dispatch().await;
    assert_eq!(house.posts.posts().len(), posts + 1);

    // Later changes do not matter.
    let again = house.send(retry.clone().idempotent("a")).await;
    assert_eq!((again.status, is_replay(&again), again.data()), (202, true, crowd[0].data()));
    assert_in_use(&house.send(retry.clone().idempotent("a").body("{}")).await);
    house.dispatch().await;
    assert_eq!(house.posts.posts().len(), posts + 1);
    let path = format!("/api/v1/webhook-subscriptions/{}", shop.subscription);
    house.send(shop.ask("PATCH", &path, &json!({"active": false}))).await.data();
    assert_eq!(house.send(retry).await.refusal(), (409, "ENDPOINT_DISABLED".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_confirmations_with_one_key_send_one_mail_and_one_event() {
    let shop = Shop::open().await;
    shop.house.dispatch().await;
    let posts = shop.house.posts.posts().len();
    for reply in shop.house.send_all(vec![shop.confirm().idempotent("a"); CROWD]).await {
        assert_eq!(reply.data()["paymentStatus"], "payment_confirmed");
    }
    shop.house.dispatch().await;
    assert_eq!((shop.house.mailbox.messages().len(), shop.house.posts.posts().len()), (1, posts + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_concurrent_bodies_under_one_key_one_wins() {
    let shop = Shop::open().await;
    let asks = (0..CROWD).map(|nth| shop.new_service(if nth % 2 == 0 { "even" } else { "odd" }).idempotent("a"));
    let crowd = shop.house.send_all(asks).await;
    let winners: Vec<&Reply> = crowd.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(winners.len(), CROWD / 2);
    assert_eq!(winners.iter().filter(|reply| !is_replay(reply)).count(), 1);
    assert!(winners.iter().all(|reply| reply.data() == winners[0].data()));
    crowd.iter().filter(|reply| reply.status != 201).for_each(assert_in_use);
    assert_eq!(shop.count("/api/v1/services", "").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_a_secret_is_made_once_and_never_shown_again() {
    let shop = Shop::open().await;
    for (ask, path, list) in [
        (shop.new_key(), "/api/v1/api-keys", "apiKeys"),
        (shop.new_subscription(), "/api/v1/webhook-subscriptions", "subscriptions"),
    ] {
        let before = shop.count(path, list).await;
        let made = shop.house.send(ask.clone().idempotent("a")).await;
        assert_eq!(made.status, 201);
        assert_in_use(&shop.house.send(ask.clone().idempotent("a")).await);
        assert_in_use(
            &shop
                .house
                .send(ask.clone().idempotent("a").body(r#"{"name": "b", "url": "https://hooks.example.com/serront"}"#))
                .await,
        );
        assert_eq!(shop.count(path, list).await, before + 1);

        let crowd = shop.house.send_all(vec![ask.idempotent("b"); CROWD]).await;
        assert_eq!(crowd.iter().filter(|reply| reply.status == 201).count(), 1);
        crowd.iter().filter(|reply| reply.status != 201).for_each(assert_in_use);
        assert_eq!(shop.count(path, list).await, before + 2);
    }
}

#[tokio::test]
async fn a_key_is_forgotten_after_24_hours() {
    let shop = Shop::open().await;
    let make = shop.new_key().idempotent("a");
    shop.house.send(shop.confirm().idempotent("a")).await.data();
    shop.house.send(make.clone()).await.data();
    shop.house.clock.advance(DAY - Duration::from_millis(1));
    assert!(is_replay(&shop.house.send(shop.confirm().idempotent("a")).await));
    assert_in_use(&shop.house.send(make.clone()).await);
    shop.house.clock.advance(Duration::from_millis(1));
    let again = shop.house.send(shop.confirm().idempotent("a")).await;
    assert_eq!(again.refusal(), (409, "INVALID_TRANSITION".to_owned(), None));
    assert_eq!(shop.house.send(make.clone()).await.status, 201);
    assert_in_use(&shop.house.send(make).await);
}

#[tokio::test]
async fn a_buyers_key_counts_for_its_storefront_alone() {
    let shop = Shop::open().await;
    let place = |slug: &str| ask("POST", format!("/api/v1/public/storefront/{slug}/order")).json(&buyers_order());
    let first = shop.house.send(place("renata").idempotent("a")).await;
    assert_eq!((first.status, is_replay(&first), first.data()["number"].clone()), (201, false, json!(2)));
    assert_eq!(first.data()["accessToken"].as_str().map(str::len), Some(48));
    // The first order is answered, even if the service has changed since.
    let hidden = shop.ask("PATCH", &format!("/api/v1/services/{}", shop.service), &json!({"active": false}));
    shop.house.send(hidden).await.data();
    let again = shop.house.send(place("renata").idempotent("a")).await;
    assert_eq!((again.status, is_replay(&again), again.data()), (201, true, first.data()));
    assert_eq!(shop.house.send(place("renata").idempotent("b")).await.status, 404);

    let other = shop.house.account(Tier::Starter).await;
    shop.house.open_shop(&other, "elsewhere").await;
    let elsewhere = shop.house.send(place("elsewhere").idempotent("a")).await;
    assert_eq!((elsewhere.status, is_replay(&elsewhere), elsewhere.data()["number"].clone()), (201, false, json!(1)));
    // The seller's keys are separate, too.
    let seller = shop.house.send(shop.new_service("poster").idempotent("a")).await;
    assert_eq!((seller.status, is_replay(&seller)), (201, false));

    for bad in ["a b", "", &"x".repeat(256)] {
        let refused = shop.house.send(place("elsewhere").idempotent(bad)).await.refusal();
        assert_eq!(refused, (400, "VALIDATION_ERROR".to_owned(), Some("Idempotency-Key".to_owned())), "{bad:?}");
        assert_eq!(shop.house.send(place("nobody").idempotent(bad)).await.status, 404, "{bad:?}");
    }
    let claim = ask("POST", format!("/api/v1/public/orders/{}/claim-payment", shop.token)).idempotent("a");
    for _ in 0..2 {
        let reply = shop.house.send(claim.clone()).await;
        assert_eq!((reply.status, is_replay(&reply)), (200, false));
    }
}
