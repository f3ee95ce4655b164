//! What bad input gets: the wire contract's refusal, and nothing changed by it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests"
)]

use std::iter::repeat_n;

use in_process::{Ask, HOOK, House, NOTIFIED, ask, but, buyers_order, service, storefront, without};
use serde_json::{Value, json};
use serront_core::receipt::{RECEIPT_BYTES_MAX, samples};
use serront_core::tier::Tier;

mod in_process;

/// One mistake, and what it gets.
struct Row {
    what: &'static str,
    ask: Ask,
    refusal: (u16, &'static str, Option<&'static str>),
}

fn row(what: &'static str, ask: Ask, status: u16, code: &'static str, param: Option<&'static str>) -> Row {
    Row { what, ask, refusal: (status, code, param) }
}

fn invalid(what: &'static str, ask: Ask, param: &'static str) -> Row {
    row(what, ask, 400, "VALIDATION_ERROR", Some(param))
}

/// Invalid as a whole: no one field is to blame.
fn malformed(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 400, "VALIDATION_ERROR", None)
}

fn missing(what: &'static str, ask: Ask) -> Row {
    row(what, ask, 404, "NOT_FOUND", None)
}

/// What one seller has.
struct Seller {
    slug: &'static str,
    key: String,
    service: String,
    order: String,
    token: String,
    subscription: String,
    delivery: String,
    api_key: String,
    orders_cursor: String,
    deliveries_cursor: String,
}

impl Seller {
    async fn open(house: &House, tier: Tier, slug: &'static str) -> Self {
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

    fn get(&self, path: &str) -> Ask {
        ask("GET", path).key(&self.key)
    }

    fn post(&self, path: &str, body: &Value) -> Ask {
        ask("POST", path).key(&self.key).json(body)
    }

    fn patch(&self, path: &str, body: &Value) -> Ask {
        ask("PATCH", path).key(&self.key).json(body)
    }

    fn delete(&self, path: &str) -> Ask {
        ask("DELETE", path).key(&self.key)
    }

    /// The seller's good storefront with these fields in the place of its own.
    fn put_storefront(&self, fields: Value) -> Ask {
        ask("PUT", "/api/v1/storefront").key(&self.key).json(&but(storefront(self.slug), fields))
    }
}

/// Two sellers that know nothing of each other. The first is on the free tier, its catalog is full, and it has an order
/// in each state of the payment track, the last two with a receipt.
struct Town {
    house: House,
    seller: Seller,
    other: Seller,
    claimed: String,
    confirmed: String,
    confirmed_token: String,
    revoked: String,
}

impl Town {
    async fn open() -> Self {
        Self::around(House::open().await).await
    }

    async fn around(house: House) -> Self {
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

    async fn picture(&self) -> Value {
        json!([
            self.house.picture(&self.seller.key, self.seller.slug).await,
            self.house.picture(&self.other.key, self.other.slug).await,
        ])
    }
}

/// Makes each mistake, compares what it gets, and that everything that both sellers and their buyers see is as before.
async fn check(rows: impl FnOnce(&Town) -> Vec<Row>) {
    check_in(&Town::open().await, rows).await;
}

async fn check_in(town: &Town, rows: impl FnOnce(&Town) -> Vec<Row>) {
    let before = town.picture().await;
    let (mails, posts) = (town.house.mailbox.messages().len(), town.house.posts.posts().len());
    for Row { what, ask, refusal: (status, code, param) } in rows(town) {
        let reply = town.house.send(ask).await;
        let expected = (status, code.to_owned(), param.map(str::to_owned));
        assert_eq!(reply.refusal(), expected, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
        assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        assert_eq!(reply.header("x-request-id"), reply.body()["meta"]["requestId"].as_str(), "{what}");
        assert_eq!(town.picture().await, before, "{what}");
    }
    town.house.dispatch().await;
    assert_eq!((town.house.mailbox.messages().len(), town.house.posts.posts().len()), (mails, posts));
}

const NUL: &str = "a\0b";
const UNKNOWN: &str = "01jtestvect0r0000000000000";

fn long(characters: usize) -> String {
    repeat_n('é', characters).collect()
}

#[tokio::test]
async fn a_storefront_with_a_mistake_is_refused_whole() {
    check(|town| {
        let Town { seller, .. } = town;
        let put = |fields| seller.put_storefront(fields);
        let raw = |body: &[u8]| ask("PUT", "/api/v1/storefront").key(&seller.key).body(body);
        let bank = json!({"bankName": "BCA", "accountNumber": "1", "accountHolder": "R"});
        let banks = |count, last: Value| {
            let mut banks = vec![bank.clone(); count];
            banks.push(but(bank.clone(), last));
            put(json!({"manualBankAccounts": banks}))
        };
        let nested = [b"[".repeat(200_000), b"]".repeat(200_000)].concat();
        vec![
            invalid("six bank accounts", banks(5, json!({})), "manualBankAccounts"),
            invalid("a blank bank", banks(4, json!({"bankName": " "})), "manualBankAccounts[4].bankName"),
            invalid("a bank of 101", banks(0, json!({"bankName": long(101)})), "manualBankAccounts[0].bankName"),
            invalid("NUL in a bank", banks(0, json!({"bankName": NUL})), "manualBankAccounts[0].bankName"),
            invalid("letters", banks(1, json!({"accountNumber": "12a"})), "manualBankAccounts[1].accountNumber"),
            invalid("no digits", banks(1, json!({"accountNumber": "- -"})), "manualBankAccounts[1].accountNumber"),
            invalid("a blank number", banks(1, json!({"accountNumber": ""})), "manualBankAccounts[1].accountNumber"),
            invalid("a number", banks(3, json!({"accountNumber": 123})), "manualBankAccounts[3].accountNumber"),
            invalid("no holder", banks(2, json!({"accountHolder": null})), "manualBankAccounts[2].accountHolder"),
            invalid(
                "a broken holder",
                banks(2, json!({"accountHolder": "a\nb"})),
                "manualBankAccounts[2].accountHolder",
            ),
            invalid("a text for an account", put(json!({"manualBankAccounts": ["BCA 1"]})), "manualBankAccounts[0]"),
            invalid("a list for one", put(json!({"manualBankAccounts": [["b", "1", "h"]]})), "manualBankAccounts[0]"),
            invalid("an object for the list", put(json!({"manualBankAccounts": bank})), "manualBankAccounts"),
            invalid("no slug", put(json!({"slug": null})), "slug"),
            invalid("an empty slug", put(json!({"slug": ""})), "slug"),
            invalid("capitals in a slug", put(json!({"slug": "Renata"})), "slug"),
            invalid("a slug of 61", put(json!({"slug": "a".repeat(61)})), "slug"),
            invalid("NUL in a slug", put(json!({"slug": "a\0"})), "slug"),
            invalid("a blank name", put(json!({"displayName": " \t "})), "displayName"),
            invalid("a name of 101", put(json!({"displayName": long(101)})), "displayName"),
            invalid("a line break in a name", put(json!({"displayName": "a\r\nBcc: x@example.com"})), "displayName"),
            invalid("a list for a name", put(json!({"displayName": ["a"]})), "displayName"),
            invalid("a bio of 2,001", put(json!({"bio": long(2_001)})), "bio"),
            invalid("an escape in a bio", put(json!({"bio": "\u{1b}[31m"})), "bio"),
            invalid("instructions of 2,001", put(json!({"manualInstructions": long(2_001)})), "manualInstructions"),
            invalid("NUL in instructions", put(json!({"manualInstructions": NUL})), "manualInstructions"),
            invalid("no plus", put(json!({"whatsappNumber": "628120000000"})), "whatsappNumber"),
            invalid("a trunk zero", put(json!({"whatsappNumber": "08120000000"})), "whatsappNumber"),
            invalid("blanks in a number", put(json!({"whatsappNumber": "+62 812 0000"})), "whatsappNumber"),
            invalid("16 digits", put(json!({"whatsappNumber": "+6281234567890123"})), "whatsappNumber"),
            invalid("no number", put(json!({"whatsappNumber": ""})), "whatsappNumber"),
            invalid("a number for a number", put(json!({"whatsappNumber": 628_120_000_000_i64})), "whatsappNumber"),
            invalid("a word for a switch", put(json!({"published": "yes"})), "published"),
            invalid("1 for a switch", put(json!({"hideBranding": 1})), "hideBranding"),
            row("hidden branding, free", put(json!({"hideBranding": true})), 403, "UPGRADE_REQUIRED", None),
            row("another's slug", put(json!({"slug": "other-shop"})), 409, "CONFLICT", None),
            invalid("invalid goes before the plan", put(json!({"hideBranding": true, "bio": NUL})), "bio"),
            malformed("no body", raw(b"")),
            malformed("broken JSON", raw(b"{\"slug\": \"a\",")),
            malformed("more than JSON", raw(b"{} {}")),
            malformed("no JSON", raw(b"slug=a&displayName=A")),
            malformed("a list", raw(b"[]")),
            malformed("null", raw(b"null")),
            malformed("no UTF-8", raw(b"{\"slug\":\"a\",\"displayName\":\"\xff\"}")),
            malformed("half a pair of surrogates", raw(br#"{"slug":"a","displayName":"\ud800"}"#)),
            malformed("a deep list", raw(&nested)),
            row("more than 1 MiB", raw(&vec![b' '; 1024 * 1024 + 1]), 413, "PAYLOAD_TOO_LARGE", None),
            row(
                "more than 1 MiB, as announced",
                raw(b"{}").header("content-length", "1048577"),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_service_with_a_mistake_is_refused_whole() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let post = |fields| other.post("/api/v1/services", &but(service("new"), fields));
        let packages = |packages: Value| {
            let fields = json!({"pricingType": "package", "priceIdr": null, "packages": packages});
            post(fields)
        };
        let lacks = |field| other.post("/api/v1/services", &without(service("new"), field));
        let mine = format!("/api/v1/services/{}", seller.service);
        let others = format!("/api/v1/services/{}", other.service);
        let unknown = format!("/api/v1/services/svc_{UNKNOWN}");
        let free = |body: &Value| seller.post("/api/v1/services", body);
        vec![
            invalid("no slug", lacks("slug"), "slug"),
            invalid("no name", lacks("name"), "name"),
            invalid("no kind of pricing", lacks("pricingType"), "pricingType"),
            invalid("no price", lacks("priceIdr"), "priceIdr"),
            invalid("a blank in a slug", post(json!({"slug": "a b"})), "slug"),
            invalid("a blank name", post(json!({"name": "  "})), "name"),
            invalid("a bell in a name", post(json!({"name": "a\u{7}"})), "name"),
            invalid("a description of 2,001", post(json!({"description": long(2_001)})), "description"),
            invalid("an unknown kind of pricing", post(json!({"pricingType": "daily"})), "pricingType"),
            invalid("capitals in the kind", post(json!({"pricingType": "Fixed"})), "pricingType"),
            invalid("an object for the kind", post(json!({"pricingType": {"fixed": null}})), "pricingType"),
            invalid("a negative price", post(json!({"priceIdr": -1})), "priceIdr"),
            invalid("a price of 2^53", post(json!({"priceIdr": 9_007_199_254_740_992_i64})), "priceIdr"),
            invalid("a price above 64 bits", post(json!({"priceIdr": 1e30})), "priceIdr"),
            invalid("half a rupiah", post(json!({"priceIdr": 0.5})), "priceIdr"),
            invalid("a text for a price", post(json!({"priceIdr": "750000"})), "priceIdr"),
            invalid("a place above 32 bits", post(json!({"sortOrder": 2_147_483_648_i64})), "sortOrder"),
            invalid("a word for a switch", post(json!({"active": "true"})), "active"),
            invalid("packages beside a price", post(json!({"packages": [{"name": "a", "priceIdr": 1}]})), "packages"),
            invalid("no packages", packages(json!([])), "packages"),
            invalid("six packages", packages(json!(vec![json!({"name": "a", "priceIdr": 1}); 6])), "packages"),
            invalid(
                "two packages of a name",
                packages(json!([{"name": "a", "priceIdr": 1}, {"name": " a", "priceIdr": 1}])),
                "packages[1].name",
            ),
            invalid("a blank package", packages(json!([{"name": "", "priceIdr": 1}])), "packages[0].name"),
            invalid("a package without a price", packages(json!([{"name": "a"}])), "packages[0].priceIdr"),
            invalid(
                "a package's negative price",
                packages(json!([{"name": "a", "priceIdr": 1}, {"name": "b", "priceIdr": -5}])),
                "packages[1].priceIdr",
            ),
            invalid(
                "NUL in a package",
                packages(json!([{"name": "a", "priceIdr": 1, "description": NUL}])),
                "packages[0].description",
            ),
            row("a slug of one's own", other.post("/api/v1/services", &service("logo")), 409, "CONFLICT", None),
            row("a fourth service, free", free(&service("fourth")), 403, "LIMIT_REACHED", None),
            invalid("invalid goes before the plan", free(&but(service("fourth"), json!({"name": ""}))), "name"),
            malformed("an empty change", seller.patch(&mine, &json!({}))),
            malformed("a change of nothing known", seller.patch(&mine, &json!({"colour": "red"}))),
            invalid("a null price", seller.patch(&mine, &json!({"priceIdr": null})), "priceIdr"),
            invalid("a kind without its prices", seller.patch(&mine, &json!({"pricingType": "package"})), "packages"),
            row("a slug that is taken", seller.patch(&mine, &json!({"slug": "hours"})), 409, "CONFLICT", None),
            row("to delete what has orders", seller.delete(&mine), 409, "CONFLICT", None),
            missing("another's, read", seller.get(&others)),
            missing("another's, changed", seller.patch(&others, &json!({"name": "Mine"}))),
            missing("another's goes before invalid", seller.patch(&others, &json!({"name": 7}))),
            missing("another's, deleted", seller.delete(&others)),
            missing("unknown", seller.get(&unknown)),
            missing("unknown goes before broken JSON", ask("PATCH", &unknown).key(&seller.key).body("{")),
            missing("an order's id", seller.get(&format!("/api/v1/services/{}", seller.order))),
            missing("no id", seller.get("/api/v1/services/logo")),
            missing("capitals in an id", seller.get(&mine.replace("svc_", "SVC_"))),
            missing("no UTF-8 in an id", seller.get("/api/v1/services/%ff")),
            missing("NUL in an id", seller.get("/api/v1/services/svc_%00")),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_list_refuses_what_it_does_not_understand() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let orders = |query: &str| seller.get(&format!("/api/v1/orders?{query}"));
        let deliveries = |query: &str| seller.get(&format!("/api/v1/webhook-subscriptions/deliveries?{query}"));
        let mut forged = seller.orders_cursor.clone();
        let first = if forged.starts_with('0') { "1" } else { "0" };
        forged.replace_range(0..1, first);
        let mut rows = vec![
            invalid("an unknown state", orders("status=lost"), "status"),
            invalid("an empty state", orders("status="), "status"),
            invalid("a payout's spelling", orders("status=cancelled"), "status"),
            invalid("an unknown payment state", orders("paymentStatus=paid"), "paymentStatus"),
            invalid("a state twice", orders("status=all&status=requested"), "status"),
            invalid("a slug for an id", orders("serviceId=logo"), "serviceId"),
            invalid("a search of 201", orders(&format!("q={}", "a".repeat(201))), "q"),
            invalid("NUL in a search", orders("q=a%00b"), "q"),
            invalid("no UTF-8 in a search", orders("q=%e6%97"), "q"),
            invalid("the other list's cursor", orders(&format!("cursor={}", seller.deliveries_cursor)), "cursor"),
            invalid("another's cursor", orders(&format!("cursor={}", other.orders_cursor)), "cursor"),
            invalid("a forged cursor", orders(&format!("cursor={forged}")), "cursor"),
            invalid("an unknown delivery state", deliveries("status=delivered"), "status"),
            invalid("an unknown type", deliveries("type=order.created"), "type"),
            invalid("a word for an id", deliveries("subscriptionId=mine"), "subscriptionId"),
            invalid("the other list's cursor", deliveries(&format!("cursor={}", seller.orders_cursor)), "cursor"),
            invalid("another's cursor", deliveries(&format!("cursor={}", other.deliveries_cursor)), "cursor"),
        ];
        for query in
            ["limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=%2B5", "limit=", "limit=x", "limit=1&limit=1"]
        {
            rows.push(invalid("a limit out of range", orders(query), "limit"));
            rows.push(invalid("a limit out of range", deliveries(query), "limit"));
        }
        for query in ["cursor=", "cursor=1", "cursor=%00", "cursor=%ff", "cursor=00000000000000000000"] {
            rows.push(invalid("a made-up cursor", orders(query), "cursor"));
            rows.push(invalid("a made-up cursor", deliveries(query), "cursor"));
        }
        rows
    })
    .await;
}

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
            missing("no token", ask("GET", "/api/v1/public/orders/1")),
            missing("an unknown token", ask("GET", format!("/api/v1/public/orders/{}", "0".repeat(48)))),
            missing("an id for a token", ask("GET", format!("/api/v1/public/orders/{}", seller.order))),
            missing("a token in capitals", ask("GET", format!("/api/v1/public/orders/{}", "AB".repeat(24)))),
            missing("an unknown claim", claim(&"0".repeat(48))),
            missing("unknown goes before too large", claim(&"0".repeat(48)).body(vec![b' '; 1024 * 1024 + 1])),
            row(
                "a claim of 1 MiB",
                claim(&seller.token).body(vec![0; 1024 * 1024 + 1]),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
            row("a confirmed order claimed", claim(confirmed_token), 409, "INVALID_TRANSITION", None),
        ]
    })
    .await;
}

/// A PNG of this many bytes, filled up with a chunk of text.
/// A JPEG of this size: zeros may follow one.
fn jpeg_of(bytes: usize) -> Vec<u8> {
    let mut image = samples::JPEG.to_vec();
    image.resize(bytes, 0);
    image
}

#[tokio::test]
async fn what_is_no_receipt_is_not_kept() {
    check(|town| {
        let Town { seller, confirmed_token, .. } = town;
        let proof = |token: &str| ask("PUT", format!("/api/v1/public/orders/{token}/proof"));
        let put = |media_type: &str, bytes: &[u8]| proof(&seller.token).image(media_type, bytes);
        let unsupported = |what, ask| row(what, ask, 415, "UNSUPPORTED_MEDIA_TYPE", None);
        let too_large = |what, ask| row(what, ask, 413, "PAYLOAD_TOO_LARGE", None);
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        let html = b"<!doctype html><html><body><script>alert(1)</script></body></html>";
        let mut scripted = samples::GIF[..samples::GIF.len() - 1].to_vec();
        scripted.extend_from_slice(b"\x21\xfe\x08<script>\x00\x3b");
        let large = jpeg_of(RECEIPT_BYTES_MAX + 1);
        vec![
            unsupported("nothing", put("image/png", b"")),
            unsupported("SVG as itself", put("image/svg+xml", svg)),
            unsupported("SVG as PNG", put("image/png", svg)),
            unsupported("HTML as itself", put("text/html", html)),
            unsupported("HTML as JPEG", put("image/jpeg", html)),
            unsupported("PDF as itself", put("application/pdf", b"%PDF-1.7\n%%EOF")),
            unsupported("PDF as WebP", put("image/webp", b"%PDF-1.7\n%%EOF")),
            unsupported("PNG as JPEG", put("image/jpeg", samples::PNG)),
            unsupported("JPEG as PNG", put("image/png", samples::JPEG)),
            unsupported("GIF as WebP", put("image/webp", samples::GIF)),
            unsupported("PNG as octets", put("application/octet-stream", samples::PNG)),
            unsupported("PNG as nothing", proof(&seller.token).body(samples::PNG)),
            unsupported("PNG in a form", put("multipart/form-data; boundary=x", samples::PNG)),
            unsupported("two types declared", put("image/png, image/jpeg", samples::PNG)),
            unsupported("half a PNG", put("image/png", &samples::PNG[..40])),
            unsupported("PNG and an archive", put("image/png", &[samples::PNG, b"PK\x03\x04"].concat())),
            unsupported("GIF and a page", put("image/gif", &[samples::GIF, &html[..]].concat())),
            unsupported("a page in a GIF", put("image/gif", &scripted)),
            unsupported("two images", put("image/png", &[samples::PNG, samples::PNG].concat())),
            too_large("one byte too many", put("image/png", &large)),
            too_large("too many as announced", put("image/png", b"").header("content-length", "5242881")),
            too_large("too large goes before no image", put("text/html", &large)),
            missing("an unknown token", proof(&"0".repeat(48)).image("image/png", samples::PNG)),
            missing("unknown goes before too large", proof(&"0".repeat(48)).image("image/jpeg", &large)),
            missing("unknown goes before no image", proof(&"0".repeat(48)).image("text/html", html)),
            unsupported("no image goes before final", proof(confirmed_token).image("image/png", html)),
            row(
                "a confirmed order's new receipt",
                proof(confirmed_token).image("image/jpeg", samples::JPEG),
                409,
                "INVALID_TRANSITION",
                None,
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_receipt_of_exactly_5_mib_is_kept() {
    let town = Town::open().await;
    let large = jpeg_of(RECEIPT_BYTES_MAX);
    let path = format!("/api/v1/public/orders/{}/proof", town.seller.token);
    let reply = town.house.send(ask("PUT", path).image("image/jpeg", &large)).await;
    assert_eq!(reply.data(), json!({"hasProof": true}));
    let kept = town.house.send(town.seller.get(&format!("/api/v1/orders/{}/proof", town.seller.order))).await;
    assert!(kept.bytes == large);
}

#[tokio::test]
async fn keys_subscriptions_and_modules_refuse_mistakes() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let key = |body: Value| seller.post("/api/v1/api-keys", &body);
        let subscribe = |body: Value| seller.post("/api/v1/webhook-subscriptions", &body);
        let to = |url: &str| subscribe(json!({"url": url}));
        let events = |events: Value| subscribe(json!({"url": HOOK, "events": events}));
        let mine = format!("/api/v1/webhook-subscriptions/{}", seller.subscription);
        let others = format!("/api/v1/webhook-subscriptions/{}", other.subscription);
        let delivery = |id: &str| seller.get(&format!("/api/v1/webhook-subscriptions/deliveries/{id}"));
        let delete_key = |id: &str| seller.delete(&format!("/api/v1/api-keys/{id}"));
        let modules = |body: Value| seller.patch("/api/v1/modules", &body);
        let switch = |body: Value| seller.post("/api/v1/modules", &body);
        let starter = |body: Value| other.patch("/api/v1/modules", &body);
        vec![
            invalid("a key without a name", key(json!({})), "name"),
            invalid("a blank name", key(json!({"name": " "})), "name"),
            invalid("a name of 101", key(json!({"name": long(101)})), "name"),
            invalid("NUL in a name", key(json!({"name": NUL})), "name"),
            invalid("a number for a name", key(json!({"name": 1})), "name"),
            missing("another's key", delete_key(&other.api_key)),
            missing("an unknown key", delete_key(&format!("key_{UNKNOWN}"))),
            missing("the key itself", delete_key(&seller.key)),
            invalid("no address", subscribe(json!({"events": ["*"]})), "url"),
            invalid("an empty address", to(""), "url"),
            invalid("no URL", to("hooks.example.com"), "url"),
            invalid("plain http", to("http://hooks.example.com/"), "url"),
            invalid("another scheme", to("file:///etc/passwd"), "url"),
            invalid("loopback", to("https://127.0.0.1/"), "url"),
            invalid("loopback in other words", to("https://2130706433/"), "url"),
            invalid("loopback by name", to("https://localhost/"), "url"),
            invalid("a private address", to("https://10.0.0.1/"), "url"),
            invalid("the metadata service", to("https://169.254.169.254/latest/meta-data"), "url"),
            invalid("loopback mapped", to("https://[::ffff:127.0.0.1]/"), "url"),
            invalid("a line break in an address", to("https://hooks.example.com/\r\nX: y"), "url"),
            invalid("an address of 2,049", to(&format!("{HOOK}/{}", "a".repeat(2_048))), "url"),
            invalid("a list for an address", subscribe(json!({"url": [HOOK]})), "url"),
            invalid("no events", events(json!([])), "events"),
            invalid("21 events", events(json!(vec!["*"; 21])), "events"),
            invalid("a text for events", events(json!("*")), "events"),
            invalid("an unknown event", events(json!(["*", "order.created"])), "events[1]"),
            invalid("a prefix in a word", events(json!(["serront.ord*"])), "events[0]"),
            invalid("a number for an event", events(json!(["*", 1])), "events[1]"),
            malformed("an empty change", seller.patch(&mine, &json!({}))),
            invalid("a change to plain http", seller.patch(&mine, &json!({"url": "http://a.example/"})), "url"),
            invalid("a word for a switch", seller.patch(&mine, &json!({"active": "no"})), "active"),
            missing("another's, changed", seller.patch(&others, &json!({"active": false}))),
            missing("another's goes before invalid", seller.patch(&others, &json!({"url": "http://127.0.0.1/"}))),
            missing("another's goes before a wrong type", seller.patch(&others, &json!({"active": 1}))),
            missing("another's, deleted", seller.delete(&others)),
            missing("another's delivery", delivery(&other.delivery)),
            missing("an unknown delivery", delivery(&format!("whd_{UNKNOWN}"))),
            missing("no delivery", delivery("1")),
            malformed("no switch", modules(json!({}))),
            malformed("an unknown switch", modules(json!({"loyalty": true}))),
            invalid("a word for a switch", modules(json!({"payment": "on"})), "payment"),
            invalid("an unknown module", switch(json!({"module": "loyalty", "enabled": true})), "module"),
            invalid("an object for a module", switch(json!({"module": {"payment": null}, "enabled": true})), "module"),
            invalid("no position", switch(json!({"module": "payment"})), "enabled"),
            row("payment on, free", modules(json!({"payment": true})), 403, "UPGRADE_REQUIRED", None),
            row(
                "payment on by name, free",
                switch(json!({"module": "payment", "enabled": true})),
                403,
                "UPGRADE_REQUIRED",
                None,
            ),
            row("payment on, not set up", starter(json!({"payment": true})), 503, "NOT_CONFIGURED", None),
            row("marketing on, not set up", starter(json!({"marketing": true})), 503, "NOT_CONFIGURED", None),
        ]
    })
    .await;
}

/// The routes behind the module's gate, with whatever else is wrong with them.
fn money_routes(seller: &Seller) -> Vec<(&'static str, Ask)> {
    let post = |path: &str| ask("POST", path).key(&seller.key);
    vec![
        ("the balance", seller.get("/api/v1/ledger/balance")),
        ("entries", seller.get("/api/v1/ledger/entries")),
        ("entries, before a bad limit", seller.get("/api/v1/ledger/entries?limit=0")),
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
    // One order paid with another amount than its quote, which is an exception, and declined since; one without a quote;
    // and one paid as it should be.
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
        for (what, ask) in money_routes(other) {
            if what.contains("payout") || what.contains("bank") || what.contains("cancel") {
                rows.push(row(what, ask, 503, "NOT_CONFIGURED", None));
            }
        }
        let mark = ask("POST", "/api/v1/payouts/nothing/mark-paid").key(&other.key);
        rows.push(row("an operator's", mark, 403, "OPERATOR_ONLY", None));
        rows
    })
    .await;
}

#[tokio::test]
async fn who_calls_is_asked_before_anything_else() {
    check(|town| {
        let Town { seller, other, revoked, .. } = town;
        let unauthorized = |what, ask| row(what, ask, 401, "UNAUTHORIZED", None);
        let others = format!("/api/v1/orders/{}", other.order);
        let storefront_of = |key: &str| ask("GET", "/api/v1/storefront").header("authorization", key);
        vec![
            unauthorized("no key", ask("GET", "/api/v1/storefront")),
            unauthorized("an empty header", storefront_of("")),
            unauthorized("no scheme", storefront_of(&seller.key)),
            unauthorized("another scheme", storefront_of(&format!("Basic {}", seller.key))),
            unauthorized("an unknown key", storefront_of(&format!("Bearer sk_live_{}", "0".repeat(48)))),
            unauthorized("an unknown operator's key", storefront_of(&format!("Bearer sk_op_{}", "0".repeat(48)))),
            unauthorized("a key in capitals", storefront_of(&format!("Bearer {}", seller.key.to_uppercase()))),
            unauthorized("a key and more", storefront_of(&format!("Bearer {} x", seller.key))),
            unauthorized("a prefix of a key", storefront_of(&format!("Bearer {}", &seller.key[..20]))),
            unauthorized("a buyer's token", storefront_of(&format!("Bearer {}", seller.token))),
            unauthorized("two keys", seller.get("/api/v1/storefront").key(&other.key)),
            unauthorized("no UTF-8", ask("GET", "/api/v1/storefront").header("authorization", b"Bearer \xff")),
            unauthorized("a revoked key", ask("GET", "/api/v1/storefront").key(revoked)),
            unauthorized("a revoked key that changes", ask("PUT", "/api/v1/storefront").key(revoked).body("{}")),
            unauthorized("before not there", ask("GET", "/api/v1/orders/nothing")),
            unauthorized("before another's", ask("GET", others)),
            unauthorized("before broken JSON", ask("POST", "/api/v1/services").body("{")),
            unauthorized("before too large", ask("POST", "/api/v1/services").header("content-length", "9999999")),
            unauthorized("before a bad limit", ask("GET", "/api/v1/orders?limit=0")),
            unauthorized("before a bad idempotency key", ask("POST", "/api/v1/api-keys").idempotent("a b").body("{}")),
            missing("an unknown route", seller.get("/api/v1/nothing")),
            missing("an unknown route, without a key", ask("GET", "/api/v1/nothing")),
            missing("a route of a later version", seller.get("/api/v1/orders/stats/now")),
            missing("a slash at the end", seller.get("/api/v1/orders/")),
            missing("two slashes", seller.get("/api/v1//orders")),
            missing("the root", ask("GET", "/")),
            missing("capitals", seller.get("/API/v1/orders")),
        ]
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_is_printable_bounded_and_single() {
    check(|town| {
        let Town { seller, .. } = town;
        let asks = [
            seller.post("/api/v1/api-keys", &json!({"name": "second"})),
            seller.put_storefront(json!({})),
            seller.patch(&format!("/api/v1/orders/{}", seller.order), &json!({"status": "confirmed"})),
            ask("POST", format!("/api/v1/orders/{}/confirm-payment", seller.order)).key(&seller.key),
        ];
        let mut rows = Vec::new();
        for ask in asks {
            for key in ["", "a b", "ключ", "a\tb", &"k".repeat(256)] {
                rows.push(invalid("a bad key", ask.clone().header("idempotency-key", key), "Idempotency-Key"));
            }
            rows.push(invalid("two keys", ask.idempotent("a").idempotent("a"), "Idempotency-Key"));
        }
        rows
    })
    .await;
}

#[tokio::test]
async fn another_method_gets_405_and_is_told_which_there_are() {
    let town = Town::open().await;
    let before = town.picture().await;
    for (path, methods) in [
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/api/v1/storefront", "GET,HEAD,PUT"),
        ("/api/v1/services", "GET,HEAD,POST"),
        ("/api/v1/services/{service}", "GET,HEAD,PATCH,DELETE"),
        ("/api/v1/orders", "GET,HEAD"),
        ("/api/v1/orders/{order}", "GET,HEAD,PATCH"),
        ("/api/v1/orders/{order}/confirm-payment", "POST"),
        ("/api/v1/orders/{order}/proof", "GET,HEAD"),
        ("/api/v1/modules", "GET,HEAD,PATCH,POST"),
        ("/api/v1/api-keys", "GET,HEAD,POST"),
        ("/api/v1/api-keys/{key}", "DELETE"),
        ("/api/v1/webhook-subscriptions", "GET,HEAD,POST"),
        ("/api/v1/webhook-subscriptions/event-types", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/deliveries", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/deliveries/{delivery}", "GET,HEAD"),
        ("/api/v1/webhook-subscriptions/{subscription}", "PATCH,DELETE"),
        ("/api/v1/billing", "GET,HEAD"),
        ("/api/v1/ledger/balance", "GET,HEAD"),
        ("/api/v1/ledger/entries", "GET,HEAD"),
        ("/api/v1/payments/exceptions", "GET,HEAD"),
        ("/api/v1/payments/exceptions/{order}/resolve", "POST"),
        ("/api/v1/payouts", "GET,HEAD,POST"),
        ("/api/v1/payouts/balance", "GET,HEAD"),
        ("/api/v1/payouts/bank-account", "GET,HEAD,PATCH"),
        ("/api/v1/payouts/{order}", "GET,HEAD"),
        ("/api/v1/payouts/{order}/cancel", "POST"),
        ("/api/v1/payouts/{order}/mark-in-transit", "POST"),
        ("/api/v1/payouts/{order}/mark-paid", "POST"),
        ("/api/v1/payouts/{order}/mark-failed", "POST"),
        ("/api/v1/webhooks/plugipay", "POST"),
        ("/api/v1/public/storefront/studio-renata", "GET,HEAD"),
        ("/api/v1/public/storefront/studio-renata/order", "POST"),
        ("/api/v1/public/orders/{token}", "GET,HEAD"),
        ("/api/v1/public/orders/{token}/claim-payment", "POST"),
        ("/api/v1/public/orders/{token}/pay", "POST"),
        ("/api/v1/public/orders/{token}/proof", "PUT"),
    ] {
        let seller = &town.seller;
        let path = path
            .replace("{service}", &seller.service)
            .replace("{order}", &seller.order)
            .replace("{key}", &seller.api_key)
            .replace("{delivery}", &seller.delivery)
            .replace("{subscription}", &seller.subscription)
            .replace("{token}", &seller.token);
        let offered: Vec<&str> = methods.split(',').collect();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if offered.contains(&method) {
                continue;
            }
            let reply = town.house.send(ask(method, &path).key(&seller.key).body("{}")).await;
            assert_eq!(reply.status, 405, "{method} {path}");
            let mut told: Vec<&str> = reply.header("allow").unwrap().split(',').collect();
            told.sort_unstable();
            let mut offered = offered.clone();
            offered.sort_unstable();
            assert_eq!(told, offered, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(reply.refusal(), (405, "METHOD_NOT_ALLOWED".to_owned(), None), "{method} {path}");
            }
        }
    }
    assert_eq!(town.picture().await, before);
}

#[tokio::test]
async fn what_is_not_forbidden_is_taken() {
    let town = Town::open().await;
    let seller = &town.seller;
    let path = format!("/api/v1/orders/{}", seller.order);
    for (what, ask) in [
        ("unknown fields", seller.patch(&path, &json!({"quotedPriceIdr": 1, "colour": "red", "deep": [[{}]]}))),
        (
            "another content type",
            seller.patch(&path, &json!({"quotedPriceIdr": 2})).header("content-type", "text/plain"),
        ),
        ("no content type", ask("PATCH", &path).key(&seller.key).body(r#"{"quotedPriceIdr": 3}"#)),
        ("a field twice", ask("PATCH", &path).key(&seller.key).body(r#"{"quotedPriceIdr": 9, "quotedPriceIdr": 4}"#)),
        ("unknown parameters", seller.get("/api/v1/orders?colour=red&colour=blue&%ff=%ff")),
        ("every state", seller.get("/api/v1/orders?status=all&paymentStatus=all")),
        ("a bad key where none counts", seller.get("/api/v1/orders").idempotent("a b")),
        ("no service of that id", seller.get(&format!("/api/v1/orders?serviceId=svc_{UNKNOWN}"))),
        ("another's service", seller.get(&format!("/api/v1/orders?serviceId={}", town.other.service))),
        ("a bare percent sign", seller.get("/api/v1/orders?q=100%")),
    ] {
        let reply = town.house.send(ask).await;
        assert_eq!(reply.status, 200, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
    }
    assert_eq!(town.house.get(&seller.key, &path).await["quotedPriceIdr"], 4);
}
