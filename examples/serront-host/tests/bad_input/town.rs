//! Two sellers to make mistakes with, and the check of each mistake's answer.

use std::iter::repeat_n;

use serde_json::{Value, json};
use serront_core::primitives::tier::Tier;

use super::in_process::{Ask, HOOK, House, ask, but, service, storefront};

/// A mistake and its expected answer.
pub(super) struct Row {
    what: &'static str,
    ask: Ask,
    refusal: (u16, &'static str, Option<&'static str>),
}

pub(super) fn row(what: &'static str, ask: Ask, status: u16, code: &'static str, param: Option<&'static str>) -> Row {
    Row { what, ask, refusal: (status, code, param) }
}

pub(super) fn invalid(what: &'static str, ask: Ask, param: &'static str) -> Row {
    row(what, ask, 400, "VALIDATION_ERROR", Some(param))
}

/// Invalid as a whole: no single field is wrong.
pub(super) fn malformed(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 400, "VALIDATION_ERROR", None)
}

pub(super) fn missing(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 404, "NOT_FOUND", None)
}

/// The objects of one seller.
pub(super) struct Seller {
    pub(super) slug: &'static str,
    pub(super) key: String,
    pub(super) service: String,
    pub(super) order: String,
    pub(super) token: String,
    pub(super) subscription: String,
    pub(super) delivery: String,
    pub(super) api_key: String,
    pub(super) orders_cursor: String,
    pub(super) deliveries_cursor: String,
}

impl Seller {
    pub(super) async fn open(house: &House, tier: Tier, slug: &'static str) -> Self {
        let key = house.account(tier).await;
        let subscription = json!({"url": HOOK, "events": ["serront.order.*"]});
        let subscribe = ask("POST", "/api/v1/webhook-subscriptions").key(&key).json(&subscription);
        house.send(subscribe).await.data();
        house.open_shop(&key, slug).await;
        let (order, token) = house.order(&key, slug).await;
        house.order(&key, slug).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let deliveries = ask("GET", "/api/v1/webhook-subscriptions/deliveries?limit=1").key(&key);
        let deliveries = house.send(deliveries).await.body();
        Self {
            slug,
            service: text(&house.get(&key, "/api/v1/services").await[0]["id"]),
            order,
            token,
            subscription: text(&house.get(&key, "/api/v1/webhook-subscriptions").await["subscriptions"][0]["id"]),
            delivery: text(&deliveries["data"][0]["id"]),
            api_key: text(&house.get(&key, "/api/v1/api-keys").await["apiKeys"][0]["id"]),
            orders_cursor: text(&house.get(&key, "/api/v1/orders?limit=1").await["cursor"]),
            deliveries_cursor: text(&deliveries["meta"]["cursor"]),
            key,
        }
    }

    pub(super) fn get(&self, path: &str) -> Ask {
        ask("GET", path).key(&self.key)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Ask {
        ask("POST", path).key(&self.key).json(body)
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Ask {
        ask("PATCH", path).key(&self.key).json(body)
    }

    pub(super) fn delete(&self, path: &str) -> Ask {
        ask("DELETE", path).key(&self.key)
    }

    /// The seller's valid storefront, with these fields replaced.
    pub(super) fn put_storefront(&self, fields: Value) -> Ask {
        ask("PUT", "/api/v1/storefront").key(&self.key).json(&but(storefront(self.slug), fields))
    }
}

/// Two independent sellers. The first is on the free tier, its catalog is full, and it has an order
/// in each state of the payment track, the last two with a receipt.
pub(super) struct Town {
    pub(super) house: House,
    pub(super) seller: Seller,
    pub(super) other: Seller,
    pub(super) claimed: String,
    pub(super) confirmed: String,
    pub(super) confirmed_token: String,
    pub(super) revoked: String,
}

impl Town {
    pub(super) async fn open() -> Self {
        Self::around(House::open().await).await
    }

    pub(super) async fn around(house: House) -> Self {
        let seller = Seller::open(&house, Tier::Free, "studio-renata").await;
        let other = Seller::open(&house, Tier::Starter, "other-shop").await;
        let hours = json!({"slug": "hours", "name": "Hours", "pricingType": "hourly", "priceIdr": 100_000});
        house.send(seller.post("/api/v1/services", &hours)).await.data();
        let packages = json!([{"name": "Basic", "priceIdr": 1}, {"name": "Full", "priceIdr": 2}]);
        let packs = json!({"slug": "packs", "name": "Packs", "pricingType": "package", "packages": packages});
        house.send(seller.post("/api/v1/services", &packs)).await.data();
        let inactive = but(service("inactive"), json!({"active": false}));
        house.send(other.post("/api/v1/services", &inactive)).await.data();

        let (claimed, claimed_token) = house.order(&seller.key, seller.slug).await;
        let (confirmed, confirmed_token) = house.order(&seller.key, seller.slug).await;
        for token in [&claimed_token, &confirmed_token] {
            house.upload(token).await;
            house.send(ask("POST", format!("/api/v1/public/orders/{token}/claim-payment"))).await.data();
        }
        let confirm = ask("POST", format!("/api/v1/orders/{confirmed}/confirm-payment")).key(&seller.key);
        house.send(confirm).await.data();

        let made = house.send(seller.post("/api/v1/api-keys", &json!({"name": "lost"}))).await.data();
        let delete = seller.delete(&format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap()));
        house.send(delete).await.data();
        let revoked = made["key"].as_str().unwrap().to_owned();
        house.dispatch().await;
        Self { house, seller, other, claimed, confirmed, confirmed_token, revoked }
    }

    pub(super) async fn picture(&self) -> Value {
        json!([
            self.house.picture(&self.seller.key, self.seller.slug).await,
            self.house.picture(&self.other.key, self.other.slug).await,
        ])
    }
}

/// Makes each mistake, checks its answer, and checks that both sellers and their buyers see the same as before.
pub(super) async fn check(rows: impl FnOnce(&Town) -> Vec<Row>) {
    check_in(&Town::open().await, rows).await;
}

pub(super) async fn check_in(town: &Town, rows: impl FnOnce(&Town) -> Vec<Row>) {
    let before = town.picture().await;
    let (mails, posts) = (town.house.mailbox.messages().len(), town.house.posts.posts().len());
    for Row { what, ask, refusal: (status, code, param) } in rows(town) {
        let reply = town.house.send(ask).await;
        assert_eq!(reply.status, status, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
        let expected = (status, code.to_owned(), param.map(str::to_owned));
        assert_eq!(reply.refusal(), expected, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
        assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        assert_eq!(reply.header("x-request-id"), reply.body()["meta"]["requestId"].as_str(), "{what}");
        assert_eq!(town.picture().await, before, "{what}");
    }
    town.house.dispatch().await;
    assert_eq!((town.house.mailbox.messages().len(), town.house.posts.posts().len()), (mails, posts));
}

pub(super) const NUL: &str = "a\0b";
pub(super) const UNKNOWN: &str = "01jtestvect0r0000000000000";

pub(super) fn long(characters: usize) -> String {
    repeat_n('é', characters).collect()
}
