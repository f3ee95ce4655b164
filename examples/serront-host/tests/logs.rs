//! The log: one line per request with its id, from an allow-list of fields, and no personal data.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use in_process::{Ask, HOOK, House, NOTIFIED, PANIC, ask, but, buyers_order, storefront};
use serde_json::{Value, json};
use serront_core::orders::receipt::samples;
use serront_core::primitives::tier::Tier;
use serront_testkit::sandbox::Trouble;
use tracing_subscriber::fmt::MakeWriter;

mod in_process;

/// An amount that only the payout and the adjustment have.
const PAID_OUT: i64 = 8_765_432_106_543;

/// Collects what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Paper {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Takes the lines so far.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        self.0.lock().unwrap().clear();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Every line of every crate, as `serve` logs them.
fn listen() -> (Paper, tracing::subscriber::DefaultGuard) {
    let paper = Paper::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(paper.clone())
        .finish();
    (paper, tracing::subscriber::set_default(subscriber))
}

fn ours(lines: Vec<Value>) -> Vec<Value> {
    lines.into_iter().filter(|line| line["target"].as_str().is_some_and(|of| of.starts_with("serront"))).collect()
}

#[tokio::test]
async fn a_request_is_one_line_of_allowed_fields() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "renata").await;
    let (order, token) = house.order(&key, "renata").await;
    let account = house.get(&key, &format!("/api/v1/orders/{order}")).await["accountId"].clone();
    let (paper, _guard) = listen();
    for (ask, expected) in [
        (
            ask("GET", format!("/api/v1/orders/{order}?q=secret")).key(&key),
            json!({"level": "INFO", "method": "GET", "route": "/api/v1/orders/{id}", "status": 200, "account_id": account}),
        ),
        (
            ask("POST", format!("/api/v1/public/orders/{token}/claim-payment")),
            json!({"level": "INFO", "method": "POST", "route": "/api/v1/public/orders/{token}/claim-payment", "status": 200}),
        ),
        (
            ask("GET", format!("/{token}")),
            json!({"level": "INFO", "method": "GET", "route": "none", "status": 404, "code": "NOT_FOUND"}),
        ),
        (
            ask("STEAL", "/healthz"),
            json!({"level": "INFO", "method": "other", "route": "/healthz", "status": 405, "code": "METHOD_NOT_ALLOWED"}),
        ),
        (
            ask("GET", "/api/v1/orders").key("nobody"),
            json!({"level": "INFO", "method": "GET", "route": "/api/v1/orders", "status": 401, "code": "UNAUTHORIZED"}),
        ),
    ] {
        let reply = house.send(ask).await;
        let mut lines = ours(paper.lines());
        assert_eq!(lines.len(), 1, "{lines:?}");
        let mut line = lines.remove(0);
        let fields = line.as_object_mut().unwrap();
        assert_eq!(fields.remove("request_id").unwrap().as_str(), reply.header("x-request-id"));
        assert!(fields.remove("duration_ms").unwrap().is_u64());
        assert!(fields.remove("timestamp").unwrap().is_string());
        assert_eq!(fields.remove("message").unwrap(), "answered");
        assert_eq!(fields.remove("target").unwrap(), "serront_host::log");
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn everything_logged_within_a_request_carries_its_id() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    let (paper, _guard) = listen();
    std::panic::set_hook(Box::new(|_| tracing::error!("a panic")));
    let panic = ask("POST", "/api/v1/webhook-subscriptions").key(&key).json(&json!({"url": PANIC}));
    let reply = house.send(panic).await;
    let _ = std::panic::take_hook();
    assert_eq!(reply.status, 500);
    let lines = paper.lines();
    let on_the_way = lines.iter().find(|line| line["message"] == "a panic").unwrap();
    assert_eq!(on_the_way["span"]["request_id"].as_str(), reply.header("x-request-id"));
    let answered = ours(lines).pop().unwrap();
    assert_eq!((&answered["level"], &answered["cause"]), (&json!("ERROR"), &json!("a handler panicked")));

    house.storage.close().await;
    for (path, level, code) in [("/readyz", "WARN", "BUSY"), ("/api/v1/orders", "ERROR", "INTERNAL_ERROR")] {
        let reply = house.send(ask("GET", path).key(&key)).await;
        let lines = ours(paper.lines());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["request_id"].as_str(), reply.header("x-request-id"));
        assert_eq!((&lines[0]["level"], &lines[0]["code"]), (&json!(level), &json!(code)));
        assert!(lines[0]["cause"].is_string());
    }
}

/// Whether a forbidden text can be searched in the log: it must not be one that clocks, ports, ids or counts write by chance. The
/// fraction of a second has up to nine digits, and a clock in milliseconds thirteen that start with a 1 (#16).
fn is_telling(needle: &str) -> bool {
    let digits: String = needle.chars().filter(char::is_ascii_digit).collect();
    let has_letter = |of: fn(char) -> bool| needle.chars().any(|character| character.is_alphabetic() && of(character));
    let is_word =
        has_letter(|character| !character.is_ascii_hexdigit()) || (needle.contains(' ') && has_letter(|_| true));
    // Tokens are random, and long enough.
    is_word || needle.len() >= 24 || (digits.len() >= 13 && !digits.starts_with('1'))
}

#[test]
fn what_a_clock_or_a_port_writes_is_not_looked_for() {
    for bad in ["6543", "6_543", "812 555", "5550123", "2026-11-27", "1795340160000", "beef", "BCA", "54321"] {
        assert!(!is_telling(bad), "{bad}");
    }
    for good in ["Budi", "a bad", "sk_live_", "8765432106543", "0812-8765-4321-0987"] {
        assert!(is_telling(good), "{good}");
    }
}

#[tokio::test]
async fn nothing_of_anybodys_is_in_the_log() {
    let (paper, _guard) = listen();
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "renata").await;
    let send = |ask: Ask| house.send(ask);
    let bank = json!([{"bankName": "Bank Anggrek", "accountNumber": "8765-4321-0987-6", "accountHolder": "Renata"}]);
    let details = json!({"manualBankAccounts": bank, "whatsappNumber": "+628765432109876"});
    send(ask("PUT", "/api/v1/storefront").key(&key).json(&but(storefront("renata"), details))).await.data();
    let secret = |value: &Value| value.as_str().unwrap().to_owned();
    let made = send(ask("POST", "/api/v1/api-keys").key(&key).json(&json!({"name": "Toko"}))).await.data();
    let hook = format!("{HOOK}?token=a-secret-of-the-hook");
    let subscription = ask("POST", "/api/v1/webhook-subscriptions").key(&key).json(&json!({"url": hook}));
    let subscription = send(subscription).await.data();
    let buyer = json!({"buyerPhone": "+628128765432109", "notes": "a note of Budi's"});
    let path = "/api/v1/public/storefront/renata/order";
    let placed = send(ask("POST", path).json(&but(buyers_order(), buyer))).await.data();
    let token = placed["accessToken"].as_str().unwrap();
    let order = format!("/api/v1/public/orders/{token}");
    send(ask("GET", &order)).await.data();
    send(ask("PUT", format!("{order}/proof")).image("image/png", samples::PNG)).await.data();
    send(ask("PUT", format!("{order}/proof")).image("image/png", b"<svg>a bad image</svg>")).await;
    send(ask("POST", format!("{order}/claim-payment"))).await.data();
    let page = house.get(&key, "/api/v1/orders?q=budi@example.com").await;
    let id = page["orders"][0]["id"].as_str().unwrap();
    let confirm = ask("POST", format!("/api/v1/orders/{id}/confirm-payment")).key(&key).idempotent("my-own-key");
    send(confirm).await.data();
    let typo =
        but(storefront("renata"), json!({"whatsappNumber": "0812-8765-4321-0987", "bio": 8_555_012_300_777_i64}));
    send(ask("PUT", "/api/v1/storefront").key(&key).json(&typo)).await;
    send(ask("PUT", format!("/{token}?key={key}")).key(&key).body("a bad body")).await;
    house.dispatch().await;

    // Online payment: failures at Plugipay, its notifications, and the requests to it.
    let online = House::online().await;
    let seller = online.account(Tier::Starter).await;
    online.open_shop(&seller, "renata").await;
    let merchant = online.switch_payment(&seller, true).await;
    let (_, paid) = online.order(&seller, "renata").await;
    let pay = ask("POST", format!("/api/v1/public/orders/{paid}/pay"));
    for status in [401, 422, 500] {
        let code = "said 'a-secret-of-plugipay' to budi@example.com 8765-4321-0987-6543".to_owned();
        online.plugipay.plan(None, Trouble::Refuse { status, code });
        assert_eq!(online.send(pay.clone()).await.status, 502);
    }
    let session = online.pay(&paid).await;
    let told = json!({"id": session, "status": "completed", "amount": 8_432_100_004_321_i64, "currency": "IDR"});
    online.send(online.notification(&merchant, "evt_secret_1", &told)).await.data();
    online.send(online.notification(&merchant, "evt_secret_2", &json!({"id": "cs_secret"}))).await.data();
    let forged =
        ask("POST", NOTIFIED).header("x-plugipay-signature", "t=1,v1=a-secret-signature").body(told.to_string());
    assert_eq!(online.send(forged).await.status, 401);
    let exceptions = online.get(&seller, "/api/v1/payments/exceptions").await;
    let exception = exceptions["exceptions"][0]["id"].as_str().unwrap();
    let resolve = ask("POST", format!("/api/v1/payments/exceptions/{exception}/resolve")).key(&seller);
    online.send(resolve.json(&json!({"note": "a note of Renata's"}))).await.data();
    send(ask("GET", "/api/v1/ledger/entries?sourceId=cs_secret").key(&seller)).await;
    // Payouts: the bank account, the note, and the key that marks it.
    let operator = online.operator().await;
    let details =
        json!({"bankName": "Bank Rahasia", "bankAccountNumber": "7778-8899-8765-4321", "bankAccountHolder": "Wijaya"});
    let bank_account = ask("PATCH", "/api/v1/payouts/bank-account").key(&seller).json(&details);
    online.send(bank_account).await.data();
    let (_, second) = online.order(&seller, "renata").await;
    online.settle(&second, 9_000_000_000_000).await;
    let bodies = [json!({"amount": PAID_OUT}), json!({"amount": PAID_OUT, "bankAccountNumber": "a bad number"})];
    let [asked, refused] = bodies.map(|body| online.send(ask("POST", "/api/v1/payouts").key(&seller).json(&body)));
    let payout = secret(&asked.await.data()["id"]);
    assert_eq!(refused.await.status, 400);
    let reference = json!({"reference": "a-secret-reference"});
    online.mark(&operator, &payout, "mark-in-transit", &reference).await;
    let failed = json!({"failureReason": "a-secret-reason"});
    online.mark(&operator, &payout, "mark-failed", &failed).await;
    let again = ask("POST", format!("/api/v1/payouts/{payout}/mark-paid")).key(&operator).json(&reference);
    assert_eq!(online.send(again).await.status, 409);
    online.adjust(&seller, -PAID_OUT, "a-secret-adjustment").await;
    assert_eq!(online.send(ask("GET", "/api/v1/ledger/entries.csv?from=2026-01-01").key(&seller)).await.status, 200);
    online.tidy().await;
    online.dispatch().await;
    online.storage.close().await;
    for path in ["payouts", "payouts/balance", "ledger/entries.csv"] {
        assert_eq!(online.send(ask("GET", format!("/api/v1/{path}")).key(&seller)).await.status, 500);
    }
    assert_eq!(online.send(ask("GET", format!("/api/v1/payouts/{payout}")).key(&operator)).await.status, 500);
    let unstored = online.notification(&merchant, "evt_secret_3", &told);
    assert_eq!(online.send(unstored).await.status, 500);
    let endpoint_secret = online.endpoint_secret(&merchant);

    house.storage.close().await;
    send(ask("GET", &order)).await;
    send(ask("GET", format!("/api/v1/orders/{id}")).key(&key)).await;

    let text = paper.text();
    assert!(text.lines().count() > 10, "{text}");
    for private in [
        key.as_str(),
        token,
        &secret(&made["key"]),
        &secret(&subscription["secret"]),
        "sk_live_",
        "whsec_",
        "8765-4321-0987-6",
        "628765432109876",
        "Renata",
        "Anggrek",
        "Tulis",
        "Budi",
        "budi@",
        "8128765432109",
        "a note",
        "a-secret-of",
        "my-own-key",
        "0812-8765-4321-0987",
        "8555012300777",
        "a bad",
        "Logo",
        &paid,
        &seller,
        endpoint_secret.reveal(),
        "a-secret",
        "8765-4321-0987-6543",
        "evt_secret",
        "cs_secret",
        &session,
        "8432100004321",
        "8_432_100_004_321",
        "8.432.100.004.321",
        &operator,
        "sk_op_",
        "Rahasia",
        "7778-8899-8765-4321",
        "Wijaya",
        &payout,
        "8765432106543",
        "8_765_432_106_543",
        "8.765.432.106.543",
    ] {
        assert!(is_telling(private), "{private} can stand in a log by chance");
        assert!(!text.contains(private), "{private}: {text}");
    }
}
