//! Keys, subscriptions and modules.

use serde_json::{Value, json};

use super::in_process::HOOK;
use super::town::{NUL, Town, UNKNOWN, check, invalid, long, malformed, missing, row};

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
        let retry = |id: &str| seller.post(&format!("/api/v1/webhook-subscriptions/deliveries/{id}/retry"), &json!({}));
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
            missing("another's delivery, sent again", retry(&other.delivery)),
            missing("another's goes before a bad key", retry(&other.delivery).idempotent("a b")),
            missing("an unknown delivery, sent again", retry(&format!("whd_{UNKNOWN}"))),
            missing("no delivery, sent again", retry("1")),
            invalid("a bad key", retry(&seller.delivery).idempotent("a b"), "Idempotency-Key"),
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
