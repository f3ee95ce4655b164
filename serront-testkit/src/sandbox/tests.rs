use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use serront_core::funds::ledger::Direction;
use serront_core::online::plugipay::{self, EVENTS, EndpointSecret, PlugipayAnswer, PlugipayCall, PlugipayMethod};
use serront_core::ports::{Clock as _, Plugipay as _, PortErrorKind};
use serront_core::primitives::provider::{MerchantId, SessionId};
use serront_core::webhooks::signature;

use super::*;
use crate::memory::ManualClock;

const OURS: &str = "acc_01jtestvect0r0000000000001";
const TOLERANCE: Duration = Duration::from_secs(300);

struct Bench {
    clock: Arc<ManualClock>,
    sandbox: Sandbox,
    merchant: MerchantId,
}

type Told = Result<(Value, Option<String>), (PortErrorKind, String)>;

fn told(answer: Result<PlugipayAnswer, PortError>) -> Told {
    match answer {
        Ok(answer) => Ok((serde_json::from_str(&answer.data).unwrap(), answer.cursor)),
        Err(error) => Err((error.kind(), std::error::Error::source(&error).unwrap().to_string())),
    }
}

fn refused(status: u16, code: &str) -> Told {
    Err((PortErrorKind::Permanent, format!("Plugipay answered {status} {code}")))
}

fn wanted() -> Value {
    json!({
        "amount": 750_000, "currency": "IDR", "methods": ["qris", "va", "ewallet", "card"],
        "successUrl": "https://shop.example/o/1?paid=1", "cancelUrl": "https://shop.example/o/1",
        "lineItems": [{ "name": "Desain logo", "quantity": 3, "unitAmount": 250_000 }], "expiresInSec": 3_600,
        "metadata": { "orderId": "ord_1" },
    })
}

impl Bench {
    /// A sandbox with one merchant.
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let sandbox = Sandbox::new(Arc::clone(&clock) as _);
        let merchant = workspace(&sandbox, OURS).await;
        Self { clock, sandbox, merchant }
    }

    async fn send(
        &self,
        method: PlugipayMethod,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<PlugipayAnswer, PortError> {
        let call = PlugipayCall {
            method,
            path: path.to_owned(),
            on_behalf_of: Some(self.merchant.to_string()),
            idempotency_key: key.map(str::to_owned),
            body: body.to_owned(),
        };
        self.sandbox.call(&call).await
    }

    async fn get(&self, path: &str) -> Told {
        told(self.send(PlugipayMethod::Get, path, None, "").await)
    }

    async fn create(&self, key: &str, body: &Value) -> Told {
        let path = "/api/v1/checkout-sessions";
        told(self.send(PlugipayMethod::Post, path, Some(key), &body.to_string()).await)
    }

    /// A new session's id.
    async fn session(&self) -> SessionId {
        let key = format!("key_{}", self.sandbox.sessions().len());
        let (session, _) = self.create(&key, &wanted()).await.unwrap();
        SessionId::parse(session["id"].as_str().unwrap()).unwrap()
    }

    async fn asked(&self, id: &SessionId) -> Value {
        told(self.sandbox.call(&plugipay::get_session(&self.merchant, id)).await).unwrap().0
    }

    async fn canceled(&self, id: &SessionId) -> Value {
        told(self.sandbox.call(&plugipay::cancel_session(&self.merchant, id)).await).unwrap().0
    }

    /// A new endpoint's secret.
    async fn endpoint(&self, events: &[&str]) -> EndpointSecret {
        let count = self.sandbox.endpoints().len();
        let body = json!({ "url": format!("https://shop.example/{count}"), "events": events }).to_string();
        let key = format!("endpoint_{count}");
        let made = self.send(PlugipayMethod::Post, "/api/v1/webhooks", Some(&key), &body).await.unwrap();
        plugipay::endpoint(&made.data).unwrap().1
    }

    fn taken(&self) -> Vec<String> {
        self.sandbox.take_notifications().iter().map(|one| format!("{} {}", one.event_id, one.url)).collect()
    }
}

async fn workspace(sandbox: &Sandbox, ours: &str) -> MerchantId {
    let call = plugipay::create_workspace(ours.parse().unwrap(), serront_core::funds::fee::FeeRate::DEFAULT, "Renata");
    plugipay::Workspace::read(&sandbox.call(&call).await.unwrap().data).unwrap().0
}

#[tokio::test]
async fn a_workspace_is_made_once_for_an_account() {
    let bench = Bench::new().await;
    assert_ne!(bench.merchant.as_str(), OURS);
    assert_eq!(workspace(&bench.sandbox, OURS).await, bench.merchant);
    bench.sandbox.forget_idempotency_keys();
    assert_eq!(workspace(&bench.sandbox, OURS).await, bench.merchant);
    assert_ne!(workspace(&bench.sandbox, "acc_01jtestvect0r0000000000002").await, bench.merchant);
    assert_eq!(bench.sandbox.merchant_of(OURS).as_deref(), Some(bench.merchant.as_str()));
    assert_eq!(bench.sandbox.arrived(Route::CreateWorkspace), 4);
}

#[tokio::test]
async fn every_call_but_provisioning_is_for_a_merchant_that_there_is() {
    let bench = Bench::new().await;
    let id = bench.session().await;
    let ask = plugipay::get_session(&bench.merchant, &id);
    let nobody = PlugipayCall { on_behalf_of: None, ..ask.clone() };
    assert_eq!(told(bench.sandbox.call(&nobody).await), refused(400, "VALIDATION_ERROR"));
    let unknown = PlugipayCall { on_behalf_of: Some(OURS.to_owned()), ..ask.clone() };
    assert_eq!(told(bench.sandbox.call(&unknown).await), refused(404, "NOT_FOUND"));
    let other = workspace(&bench.sandbox, "acc_01jtestvect0r0000000000002").await;
    for call in [plugipay::get_session(&other, &id), plugipay::cancel_session(&other, &id)] {
        assert_eq!(told(bench.sandbox.call(&call).await), refused(404, "NOT_FOUND"));
    }
    assert!(bench.sandbox.call(&ask).await.is_ok());
    assert_eq!(bench.get("/api/v1/unknown").await, refused(404, "NOT_FOUND"));
}

#[tokio::test]
async fn an_endpoints_secret_is_shown_once_and_endpoints_are_listed_and_deleted() {
    let bench = Bench::new().await;
    let body = json!({ "url": "https://shop.example/0", "events": EVENTS }).to_string();
    let create = || bench.send(PlugipayMethod::Post, "/api/v1/webhooks", Some("first"), &body);
    let (made, _) = told(create().await).unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let (again, _) = told(create().await).unwrap();
    assert_eq!((&again["id"], again.get("secret")), (&made["id"], None));
    assert_ne!(bench.endpoint(&EVENTS).await.reveal(), made["secret"]);
    bench.endpoint(&EVENTS).await;

    bench.sandbox.switch(|switches| switches.page_size = 2);
    let first = bench.sandbox.call(&plugipay::list_endpoints(&bench.merchant, None)).await.unwrap();
    assert!(!first.data.contains("secret"));
    assert_eq!(plugipay::endpoints(&first.data).unwrap().len(), 2);
    let next = plugipay::list_endpoints(&bench.merchant, first.cursor.as_deref());
    let last = bench.sandbox.call(&next).await.unwrap();
    assert_eq!((plugipay::endpoints(&last.data).unwrap().len(), last.cursor), (1, None));

    let listed = plugipay::endpoints(&first.data).unwrap().remove(0);
    let delete = plugipay::delete_endpoint(&bench.merchant, &listed.id);
    assert!(bench.sandbox.call(&delete).await.is_ok());
    assert_eq!(told(bench.sandbox.call(&delete).await), refused(404, "NOT_FOUND"));
    assert_eq!(bench.sandbox.endpoints().len(), 2);
}

#[tokio::test]
async fn a_session_is_what_was_asked_for_or_refused() {
    let bench = Bench::new().await;
    let (session, _) = bench.create("whole", &wanted()).await.unwrap();
    let id = session["id"].as_str().unwrap();
    assert!(id.starts_with("cs_"));
    assert_eq!(
        session,
        json!({
            "id": id, "accountId": bench.merchant.as_str(), "amount": 750_000, "currency": "IDR", "status": "open",
            "methods": ["qris", "va", "ewallet", "card"], "paymentMethod": null,
            "lineItems": [{ "name": "Desain logo", "quantity": 3, "unitAmount": 250_000 }],
            "successUrl": "https://shop.example/o/1?paid=1", "cancelUrl": "https://shop.example/o/1",
            "hostedUrl": format!("https://plugipay.sandbox.invalid/checkout/{id}"),
            "expiresAt": "2026-11-22T10:36:00.000Z", "completedAt": null, "metadata": { "orderId": "ord_1" },
            "createdAt": "2026-11-22T09:36:00.000Z", "updatedAt": "2026-11-22T09:36:00.000Z",
        })
    );
    for (name, value) in [
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(1.5)),
        ("amount", json!("750000")),
        ("amount", json!(750_001)),
        ("currency", json!("USD")),
        ("methods", json!([])),
        ("methods", json!(["qris", "qris"])),
        ("methods", json!(["cash"])),
        ("successUrl", json!("javascript:alert(1)")),
        ("cancelUrl", json!("/o/1")),
        ("lineItems", json!([{ "name": " ", "quantity": 1, "unitAmount": 750_000 }])),
        ("lineItems", json!([{ "name": "x", "quantity": 0, "unitAmount": 750_000 }])),
        ("expiresInSec", json!(0)),
        ("metadata", json!({ "orderId": 1 })),
    ] {
        let mut body = wanted();
        body[name] = value.clone();
        assert_eq!(bench.create("bad", &body).await, refused(400, "VALIDATION_ERROR"), "{name} {value}");
    }
    let mut least = wanted();
    for name in ["expiresInSec", "metadata", "lineItems"] {
        least.as_object_mut().unwrap().remove(name);
    }
    let (session, _) = bench.create("bad", &least).await.unwrap();
    assert_eq!(session["expiresAt"], "2026-11-23T09:36:00.000Z");
}

#[tokio::test]
async fn a_key_stands_for_its_bytes_until_it_is_forgotten() {
    let bench = Bench::new().await;
    let first = bench.create("key", &wanted()).await.unwrap();
    bench.sandbox.pay(first.0["id"].as_str().unwrap());
    assert_eq!(bench.create("key", &wanted()).await.unwrap(), first);
    let mut other = wanted();
    other["metadata"] = json!({});
    assert_eq!(bench.create("key", &other).await, refused(409, "idempotency_mismatch"));
    let elsewhere = bench.send(PlugipayMethod::Post, "/api/v1/webhooks", Some("key"), "{}").await;
    assert_eq!(told(elsewhere), refused(409, "idempotency_mismatch"));
    assert_eq!(bench.create("two words", &wanted()).await, refused(400, "VALIDATION_ERROR"));
    assert_eq!(bench.sandbox.sessions().len(), 1);
    bench.sandbox.forget_idempotency_keys();
    assert_ne!(bench.create("key", &wanted()).await.unwrap(), first);
    assert_eq!(bench.sandbox.sessions().len(), 2);
}

#[tokio::test]
async fn a_session_ends_once_and_money_can_follow() {
    let bench = Bench::new().await;
    for (end, status) in [("fail", "failed"), ("expire", "expired"), ("cancel", "canceled"), ("time", "expired")] {
        let id = bench.session().await;
        match end {
            "fail" => assert!(bench.sandbox.fail(id.as_str())),
            "expire" => assert!(bench.sandbox.expire(id.as_str())),
            "cancel" => assert_eq!(bench.canceled(&id).await["status"], status),
            _ => bench.clock.advance(Duration::from_secs(3_600)),
        }
        assert_eq!(bench.asked(&id).await["status"], status);
        assert!(!bench.sandbox.fail(id.as_str()) && !bench.sandbox.expire(id.as_str()), "{end}");
        assert_eq!(bench.canceled(&id).await["status"], status, "a session that ended stays as it is");
        assert!(bench.sandbox.pay(id.as_str()), "{end}");
        assert!(!bench.sandbox.pay(id.as_str()), "{end}");
        let session = bench.canceled(&id).await;
        assert_eq!((&session["status"], &session["paymentMethod"]), (&json!("completed"), &json!("qris")), "{end}");
        assert!(session["completedAt"].is_string());
    }
    assert!(!bench.sandbox.pay("cs_unknown"));
}

#[tokio::test]
async fn a_session_lasts_until_its_time_is_over() {
    let bench = Bench::new().await;
    let id = bench.session().await;
    bench.clock.advance(Duration::from_millis(3_599_999));
    assert_eq!(bench.asked(&id).await["status"], "open");
    assert_eq!(bench.sandbox.next_due(), Some(bench.clock.now().plus(Duration::from_millis(1))));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.asked(&id).await["status"], "expired");
    assert_eq!(bench.sandbox.next_due(), None);
}

#[tokio::test]
async fn what_was_paid_is_in_the_ledger_of_its_merchant() {
    let bench = Bench::new().await;
    let (first, second, foreign) = (bench.session().await, bench.session().await, bench.session().await);
    assert!(bench.sandbox.pay(first.as_str()));
    assert!(bench.sandbox.pay_amount(second.as_str(), 1_000, "IDR"));
    assert!(bench.sandbox.pay_amount(foreign.as_str(), 99, "USD"));
    assert_eq!(bench.asked(&second).await["amount"], 1_000);
    assert_eq!(bench.asked(&foreign).await["currency"], "USD");
    assert_eq!(
        bench.get("/api/v1/ledger/balances").await.unwrap().0,
        json!([
            { "code": "clearing", "debits": 751_000, "credits": 0, "balance": -751_000 },
            { "code": "sale", "debits": 0, "credits": 751_000, "balance": 751_000 },
        ])
    );
    assert_eq!(
        bench.get("/api/v1/payouts/balance").await.unwrap().0,
        json!({ "ledgerBalance": 751_000, "locked": 0, "available": 751_000, "currency": "IDR" })
    );
    let (page, cursor) = bench.get("/api/v1/ledger?limit=4").await.unwrap();
    let sources: Vec<_> = page.as_array().unwrap().iter().map(|entry| entry["sourceId"].as_str().unwrap()).collect();
    assert_eq!(sources, [foreign.as_str(), foreign.as_str(), second.as_str(), second.as_str()]);
    let (rest, end) = bench.get(&format!("/api/v1/ledger?limit=4&cursor={}", cursor.unwrap())).await.unwrap();
    assert_eq!((rest.as_array().unwrap().len(), end), (2, None));
    let path = format!("/api/v1/ledger?code=sale&sourceType=checkout_session&sourceId={first}");
    let (found, _) = bench.get(&path).await.unwrap();
    let entry = &found[0];
    assert_eq!(
        *entry,
        json!({
            "id": entry["id"], "accountId": bench.merchant.as_str(), "txId": entry["txId"], "code": "sale",
            "direction": "credit", "amount": 750_000, "currency": "IDR", "sourceType": "checkout_session",
            "sourceId": first.as_str(), "memo": null, "postedAt": "2026-11-22T09:36:00.000Z",
        })
    );
    assert_eq!(bench.get("/api/v1/ledger?limit=0").await, refused(400, "VALIDATION_ERROR"));
    assert_eq!(bench.get("/api/v1/ledger?cursor=forged").await, refused(400, "VALIDATION_ERROR"));
}

#[tokio::test]
async fn a_test_posts_into_a_ledger_and_takes_out_of_it() {
    let bench = Bench::new().await;
    let (kept, lost) = (bench.session().await, bench.session().await);
    assert!(bench.sandbox.pay(kept.as_str()) && bench.sandbox.pay(lost.as_str()));
    let refund = SandboxEntry {
        code: "refund".to_owned(),
        direction: Direction::Debit,
        amount: 5,
        currency: "IDR".to_owned(),
        source_type: "refund".to_owned(),
        source_id: "re_1".to_owned(),
        memo: Some("Too dear".to_owned()),
    };
    assert!(bench.sandbox.post_entry(bench.merchant.as_str(), refund.clone()));
    assert!(!bench.sandbox.post_entry("plg_nobody", refund));
    assert_eq!(bench.sandbox.forget_entries(lost.as_str()), 2);
    assert_eq!(bench.sandbox.forget_entries(lost.as_str()), 0);
    let (page, _) = bench.get("/api/v1/ledger?order=asc&limit=100").await.unwrap();
    let seen = page.as_array().unwrap().iter().map(|entry| (entry["code"].clone(), entry["sourceId"].clone()));
    let expected = [("clearing", kept.as_str()), ("sale", kept.as_str()), ("refund", "re_1")];
    assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(code, source)| (json!(code), json!(source))));
    assert_eq!(bench.get("/api/v1/ledger?sourceType=refund").await.unwrap().0[0]["memo"], "Too dear");
}

#[tokio::test]
async fn whoever_subscribed_is_told_of_it_and_can_verify_it() {
    let bench = Bench::new().await;
    let [completed, expired] = EVENTS;
    let (first, second) = (bench.endpoint(&[completed]).await, bench.endpoint(&["plugipay.checkout_session.*"]).await);
    let paid = bench.session().await;
    bench.sandbox.pay(paid.as_str());
    let notifications = bench.sandbox.take_notifications();
    let urls: Vec<_> = notifications.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls, ["https://shop.example/0", "https://shop.example/1"]);
    assert_eq!(notifications[0].body, notifications[1].body);
    let body: Value = serde_json::from_str(&notifications[0].body).unwrap();
    assert_eq!(
        body,
        json!({
            "id": notifications[0].event_id, "type": completed, "accountId": bench.merchant.as_str(),
            "occurredAt": "2026-11-22T09:36:00.000Z", "data": { "object": bench.asked(&paid).await },
        })
    );
    for (notification, secret) in notifications.iter().zip([first, second.clone()]) {
        let (header, body) = (Some(notification.signature()), notification.body.as_bytes());
        plugipay::verify(header, body, [&secret], bench.clock.now(), TOLERANCE).unwrap();
        assert_eq!(plugipay::named_merchant(body), Some(bench.merchant.clone()));
    }
    assert!(bench.taken().is_empty(), "once");

    let (late, failed) = (bench.session().await, bench.session().await);
    bench.sandbox.fail(failed.as_str());
    bench.clock.advance(Duration::from_secs(3_600));
    let told = bench.sandbox.take_notifications();
    assert_eq!((told.len(), told[0].event_type, told[0].url.as_str()), (1, expired, "https://shop.example/1"));
    let body = told[0].body.as_bytes();
    plugipay::verify(Some(told[0].signature()), body, [&second], bench.clock.now(), TOLERANCE).unwrap();
    assert_eq!(bench.asked(&late).await["status"], "expired");
}

#[tokio::test]
async fn a_signature_is_of_the_moment_in_which_it_is_taken() {
    let bench = Bench::new().await;
    bench.endpoint(&["*"]).await;
    bench.sandbox.pay(bench.session().await.as_str());
    bench.clock.advance(Duration::from_secs(1_000));
    let [mut one] = bench.sandbox.take_notifications().try_into().unwrap();
    for attempt in 1..=8 {
        let secret = bench.sandbox.endpoints().remove(0).secret;
        assert_eq!(one.attempt, attempt);
        assert_eq!(one.signature(), signature::sign(&secret, bench.clock.now(), &one.body));
        bench.sandbox.give_back(one.clone(), Duration::from_secs(60));
        assert!(bench.taken().is_empty(), "not yet");
        bench.clock.advance(Duration::from_secs(60));
        match bench.sandbox.take_notifications().pop() {
            Some(again) => {
                assert_eq!((&again.event_id, &again.body), (&one.event_id, &one.body));
                one = again;
            }
            None => assert_eq!(attempt, 8),
        }
    }
    let shown = format!("{one:?} {:?} {:?}", bench.sandbox, bench.sandbox.endpoints());
    assert!(!shown.contains("v1=") && !shown.contains("whsec_") && !shown.contains("ewallet"), "{shown}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_hears_nothing() {
    let bench = Bench::new().await;
    bench.endpoint(&["*"]).await;
    bench.sandbox.pay(bench.session().await.as_str());
    let id = bench.sandbox.endpoints().remove(0).id;
    let path = format!("/api/v1/webhooks/{id}");
    assert!(bench.send(PlugipayMethod::Delete, &path, None, "").await.is_ok());
    assert!(bench.taken().is_empty());
}

#[tokio::test]
async fn notifications_are_copied_delayed_reordered_and_lost_as_told() {
    let bench = Bench::new().await;
    bench.endpoint(&["*"]).await;
    let pay = async || {
        let id = bench.session().await;
        assert!(bench.sandbox.pay(id.as_str()));
    };
    bench.sandbox.switch(|switches| switches.copies = 3);
    pay().await;
    let copies = bench.taken();
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| *copy == copies[0]));

    bench.sandbox.heal();
    bench.sandbox.switch(|switches| switches.notification_delay = Duration::from_secs(60));
    pay().await;
    bench.clock.advance(Duration::from_secs(59));
    assert!(bench.taken().is_empty());
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.taken().len(), 1);

    bench.sandbox.heal();
    let mut orders = Vec::new();
    for reorder in [false, true] {
        bench.sandbox.switch(|switches| switches.reorder = reorder);
        pay().await;
        pay().await;
        orders.push(bench.taken());
    }
    assert!(orders[0].is_sorted() && orders[1].iter().rev().is_sorted(), "{orders:?}");

    bench.sandbox.heal();
    bench.sandbox.switch(|switches| switches.lose_notifications = true);
    pay().await;
    bench.sandbox.heal();
    assert!(bench.taken().is_empty());
    pay().await;
    assert_eq!(bench.taken().len(), 1);
}

#[tokio::test]
async fn an_outage_refuses_everything_and_says_for_how_long() {
    let bench = Bench::new().await;
    bench.sandbox.switch(|switches| switches.outage = Some(Duration::from_secs(30)));
    let ask = plugipay::list_endpoints(&bench.merchant, None);
    let error = bench.sandbox.call(&ask).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (PortErrorKind::Transient, Some(Duration::from_secs(30))));
    assert!(bench.create("key", &wanted()).await.is_err());
    bench.sandbox.heal();
    assert!(bench.sandbox.sessions().is_empty() && bench.sandbox.call(&ask).await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_is_of_a_call_that_was_carried_out() {
    let bench = Bench::new().await;
    bench.sandbox.switch(|switches| switches.lose_answers = true);
    let lost = "the connection to Plugipay was lost".to_owned();
    assert_eq!(bench.create("key", &wanted()).await, Err((PortErrorKind::OutcomeUnknown, lost.clone())));
    assert_eq!(bench.get("/api/v1/webhooks").await, Err((PortErrorKind::Transient, lost)));
    bench.sandbox.heal();
    let id = bench.sandbox.sessions().remove(0).id;
    assert_eq!(bench.create("key", &wanted()).await.unwrap().0["id"], id);
}

#[tokio::test]
async fn planned_trouble_meets_one_call_of_its_route() {
    let bench = Bench::new().await;
    let create = Some(Route::CreateSession);
    bench.sandbox.plan(create, Trouble::LoseRequest);
    bench.sandbox.plan(create, Trouble::LoseAnswer);
    bench.sandbox.plan(create, Trouble::Refuse { status: 429, code: "RATE_LIMITED".to_owned() });
    bench.sandbox.plan(create, Trouble::Refuse { status: 422, code: "NO".to_owned() });
    bench.sandbox.plan(create, Trouble::Refuse { status: 500, code: "OOPS".to_owned() });
    assert!(bench.get("/api/v1/webhooks").await.is_ok());
    let mut seen = Vec::new();
    for _ in 0..6 {
        let kind = bench.create("key", &wanted()).await.err().map(|(kind, _)| kind);
        seen.push((kind, bench.sandbox.sessions().len()));
    }
    assert_eq!(
        seen,
        [
            (Some(PortErrorKind::OutcomeUnknown), 0),
            (Some(PortErrorKind::OutcomeUnknown), 1),
            (Some(PortErrorKind::Transient), 1),
            (Some(PortErrorKind::Permanent), 1),
            (Some(PortErrorKind::OutcomeUnknown), 1),
            (None, 1),
        ]
    );
    assert_eq!(bench.sandbox.arrived(Route::CreateSession), 6);
    bench.sandbox.plan(None, Trouble::LoseRequest);
    assert!(bench.get("/api/v1/webhooks").await.is_err());
    bench.sandbox.plan(None, Trouble::LoseRequest);
    bench.sandbox.heal();
    assert!(bench.get("/api/v1/webhooks").await.is_ok());
}

/// A clock that records how long callers slept.
struct Slept(ManualClock, Mutex<Vec<Duration>>);

#[async_trait]
impl Clock for Slept {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.1.lock().unwrap().push(duration);
    }
}

#[tokio::test]
async fn slowness_passes_on_the_sandboxs_clock() {
    let clock = Arc::new(Slept(ManualClock::default(), Mutex::default()));
    let sandbox = Sandbox::new(Arc::clone(&clock) as _);
    workspace(&sandbox, OURS).await;
    sandbox.switch(|switches| switches.slowness = Duration::from_secs(5));
    workspace(&sandbox, OURS).await;
    assert_eq!(*clock.1.lock().unwrap(), [Duration::from_secs(5)]);
}

#[tokio::test]
async fn the_same_calls_give_the_same_ids_and_other_prefixes_give_others() {
    let play = async |prefix: &str| {
        let clock = Arc::new(ManualClock::default());
        let sandbox = Sandbox::with_prefix(Arc::clone(&clock) as _, prefix);
        let merchant = workspace(&sandbox, OURS).await;
        let bench = Bench { clock, sandbox, merchant };
        let secret = bench.endpoint(&["*"]).await;
        bench.sandbox.pay(bench.session().await.as_str());
        let [notification] = bench.sandbox.take_notifications().try_into().unwrap();
        (secret.reveal().to_owned(), notification.body)
    };
    assert_eq!(play("a").await, play("a").await);
    let (one, other) = (play("a").await, play("b").await);
    assert!(one.0 != other.0 && one.1 != other.1);
}
