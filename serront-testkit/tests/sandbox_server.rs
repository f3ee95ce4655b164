//! The sandbox over HTTP: authentication, the hosted page, and its notifications.
#![cfg(feature = "sandbox")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serront_core::online::plugipay::{EVENTS, PlugipayCall, PlugipayMethod, authorization};
use serront_core::ports::Clock as _;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature;
use serront_testkit::memory::ManualClock;
use serront_testkit::sandbox::{Route, SandboxServer, SandboxStatus, Trouble};

const KEY: &str = "ak_test_platform";
const SECRET: &str = "sk_test_secret";
const SESSIONS: &str = "/api/v1/checkout-sessions";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (told, value) = line.split_once(": ")?;
            told.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends one request on a new connection; `None` if it ends without an answer.
fn request(server: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(server.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n");
    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

struct Bench {
    clock: Arc<ManualClock>,
    server: SandboxServer,
    merchant: String,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = SandboxServer::start(listen, Arc::clone(&clock) as _, KEY, SECRET).await.unwrap();
        let mut bench = Self { clock, server, merchant: String::new() };
        let body =
            json!({ "accountId": "acc_1", "partner": "serront", "discountRate": 0.003, "brandName": "Re<nata>" });
        let made = bench.call(PlugipayMethod::Post, "/api/v1/admin/workspaces", Some("w"), &body.to_string()).unwrap();
        assert_eq!(made.status, 201);
        bench.merchant = made.json()["data"]["accountId"].as_str().unwrap().to_owned();
        bench
    }

    fn signed(&self, method: PlugipayMethod, path: &str, key: Option<&str>, body: &str) -> Vec<(&'static str, String)> {
        let call = PlugipayCall {
            method,
            path: path.to_owned(),
            on_behalf_of: None,
            idempotency_key: key.map(str::to_owned),
            body: body.to_owned(),
        };
        let seconds = self.clock.now().unix_seconds();
        let mut headers = vec![
            ("Authorization", authorization(KEY, SECRET, &call, seconds)),
            ("X-Plugipay-Timestamp", seconds.to_string()),
            ("Content-Type", "application/json".to_owned()),
        ];
        headers.extend(key.map(|key| ("Idempotency-Key", key.to_owned())));
        if !self.merchant.is_empty() {
            headers.push(("X-Plugipay-On-Behalf-Of", self.merchant.clone()));
        }
        headers
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Option<Answer> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(self.server.url(), method, path, &headers, body)
    }

    fn call(&self, method: PlugipayMethod, path: &str, key: Option<&str>, body: &str) -> Option<Answer> {
        self.send(method.as_str(), path, &self.signed(method, path, key, body), body.as_bytes())
    }

    fn session(&self, item: &str) -> Value {
        let body = json!({
            "amount": 750_000, "currency": "IDR", "methods": ["qris", "va", "ewallet", "card"],
            "successUrl": "https://shop.example/o/1?paid=1&x=2", "cancelUrl": "https://shop.example/o/1",
            "lineItems": [{ "name": item, "quantity": 1, "unitAmount": 750_000 }],
        });
        let key = format!("s{}", self.server.sandbox().sessions().len());
        let made = self.call(PlugipayMethod::Post, SESSIONS, Some(&key), &body.to_string()).unwrap();
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["data"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_signs_these_very_bytes_about_now_gets_in() {
    let bench = Bench::new().await;
    let (method, body) = (PlugipayMethod::Post, r#"{"amount":1}"#);
    let good = bench.signed(method, SESSIONS, Some("k"), body);
    let with = |name: &str, value: &str| {
        let mut headers = good.clone();
        headers.iter_mut().find(|(told, _)| *told == name).unwrap().1 = value.to_owned();
        headers
    };
    let without = |name: &str| good.iter().filter(|(told, _)| *told != name).cloned().collect::<Vec<_>>();
    let told = |headers: &[(&str, String)], path: &str, body: &[u8]| {
        let answer = bench.send("POST", path, headers, body).unwrap();
        format!("{} {}", answer.status, answer.json()["error"]["code"].as_str().unwrap())
    };
    let whole = body.as_bytes();
    // Authenticated, but invalid.
    assert_eq!(told(&good, SESSIONS, whole), "400 VALIDATION_ERROR");
    let seconds = bench.clock.now().unix_seconds();
    let wrong = good[0].1.replace(KEY, "ak_other");
    for (headers, path, body, expected) in [
        (without("Authorization"), SESSIONS, whole, "401 INVALID_SIGNATURE"),
        (with("Authorization", "Bearer sk_test_secret"), SESSIONS, whole, "401 INVALID_SIGNATURE"),
        (with("Authorization", &wrong), SESSIONS, whole, "401 INVALID_KEY"),
        (without("X-Plugipay-Timestamp"), SESSIONS, whole, "401 INVALID_TIMESTAMP"),
        (with("X-Plugipay-Timestamp", "now"), SESSIONS, whole, "401 INVALID_TIMESTAMP"),
        (with("X-Plugipay-Timestamp", &(seconds - 301).to_string()), SESSIONS, whole, "401 INVALID_TIMESTAMP"),
        (with("X-Plugipay-Timestamp", &(seconds + 301).to_string()), SESSIONS, whole, "401 INVALID_TIMESTAMP"),
        (with("X-Plugipay-Timestamp", &(seconds + 300).to_string()), SESSIONS, whole, "401 INVALID_SIGNATURE"),
        (with("Idempotency-Key", "other"), SESSIONS, whole, "401 INVALID_SIGNATURE"),
        (without("Idempotency-Key"), SESSIONS, whole, "401 INVALID_SIGNATURE"),
        (good.clone(), SESSIONS, br#"{"amount":2}"#, "401 INVALID_SIGNATURE"),
        (good.clone(), "/api/v1/checkout-sessions?x=1", whole, "401 INVALID_SIGNATURE"),
        (good.clone(), SESSIONS, b"\xff", "400 VALIDATION_ERROR"),
        (with("Content-Type", "text/plain"), SESSIONS, whole, "415 UNSUPPORTED_MEDIA_TYPE"),
    ] {
        assert_eq!(told(&headers, path, body), expected, "{headers:?}");
    }
    // Five minutes of difference are allowed in both directions.
    let late = bench.signed(method, SESSIONS, Some("k"), body);
    for minutes in [5, -10] {
        bench.clock.set(Timestamp::from_millis(bench.clock.now().millis() + minutes * 60_000));
        assert_eq!(told(&late, SESSIONS, whole), "400 VALIDATION_ERROR");
    }
    let patched = bench.send("PATCH", SESSIONS, &good, whole).unwrap();
    assert_eq!((patched.status, patched.json()["data"].is_null()), (405, true));
    let large = bench.send("POST", SESSIONS, &good, &vec![b' '; 256 * 1024 + 1]).unwrap();
    assert_eq!(large.status, 413);
    assert!(bench.server.sandbox().sessions().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_ride_the_envelope() {
    let bench = Bench::new().await;
    let id = bench.session("Desain logo")["id"].as_str().unwrap().to_owned();
    let found = bench.call(PlugipayMethod::Get, &format!("{SESSIONS}/{id}"), None, "").unwrap();
    assert_eq!((found.status, found.header("content-type")), (200, Some("application/json")));
    let found = found.json();
    assert_eq!((&found["data"]["id"], &found["error"]), (&json!(id), &Value::Null));
    assert!(found["meta"]["requestId"].is_string() && found["meta"]["timestamp"].is_string());
    let list = bench.call(PlugipayMethod::Get, "/api/v1/webhooks?limit=1", None, "").unwrap().json();
    assert_eq!(
        (&list["data"], &list["meta"]["cursor"], &list["meta"]["hasMore"]),
        (&json!([]), &Value::Null, &json!(false))
    );

    let sandbox = bench.server.sandbox();
    sandbox.switch(|switches| switches.outage = Some(Duration::from_millis(1_500)));
    let out = bench.call(PlugipayMethod::Get, "/api/v1/webhooks", None, "").unwrap();
    assert_eq!((out.status, out.header("retry-after")), (503, Some("2")));
    sandbox.heal();
    sandbox.plan(None, Trouble::Refuse { status: 418, code: "TEAPOT".to_owned() });
    let planned = bench.call(PlugipayMethod::Get, "/api/v1/webhooks", None, "").unwrap();
    assert_eq!((planned.status, &planned.json()["error"]["code"]), (418, &json!("TEAPOT")));
    sandbox.switch(|switches| switches.slowness = Duration::from_millis(200));
    let before = Instant::now();
    assert_eq!(bench.call(PlugipayMethod::Get, "/api/v1/webhooks", None, "").unwrap().status, 200);
    assert!(before.elapsed() >= Duration::from_millis(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_ends_the_connection_with_no_byte_of_it() {
    let bench = Bench::new().await;
    let id = bench.session("Desain logo")["id"].as_str().unwrap().to_owned();
    let cancel = format!("{SESSIONS}/{id}/cancel");
    for (trouble, status) in
        [(Trouble::LoseRequest, SandboxStatus::Open), (Trouble::LoseAnswer, SandboxStatus::Canceled)]
    {
        bench.server.sandbox().plan(Some(Route::CancelSession), trouble);
        assert!(bench.call(PlugipayMethod::Post, &cancel, None, "").is_none());
        assert_eq!(bench.server.sandbox().session(&id).unwrap().status, status);
    }
    assert_eq!(bench.call(PlugipayMethod::Post, &cancel, None, "").unwrap().json()["data"]["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosted_page_shows_what_is_paid_and_its_buttons_do_what_they_say() {
    let bench = Bench::new().await;
    let url = bench.server.url().to_owned();
    let press = |path: &str, deed: &str, form: &str| {
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = request(&url, "POST", &format!("{path}/{deed}"), &form_type, form.as_bytes()).unwrap();
        (answer.status, answer.header("location").map(str::to_owned))
    };
    for (deed, form, status, to) in [
        ("pay", "method=ewallet", "completed", "https://shop.example/o/1?paid=1&x=2"),
        ("fail", "", "failed", "https://shop.example/o/1"),
        ("expire", "", "expired", "https://shop.example/o/1"),
    ] {
        let session = bench.session("Desain <logo> & \"kartu\"");
        let path = session["hostedUrl"].as_str().unwrap().strip_prefix(&url).unwrap().to_owned();
        let page = request(&url, "GET", &path, &[], b"").unwrap();
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        for part in
            ["Desain &lt;logo&gt; &amp; &quot;kartu&quot;", "Rp 750.000", "Re&lt;nata&gt;", "width=device-width"]
        {
            assert!(page.body.contains(part), "{part} in {}", page.body);
        }
        for method in ["QRIS", "Virtual account", "E-wallet", "Card"] {
            assert!(page.body.contains(method), "{method} in {}", page.body);
        }
        for button in ["pay", "fail", "expire"] {
            assert!(page.body.contains(&format!("action=\"{path}/{button}\"")), "{button}");
        }
        assert!(!page.body.contains("<script") && !page.body.contains("<logo>"));

        assert_eq!(press(&path, deed, form), (303, Some(to.to_owned())));
        // The session is no longer open: redirects back to the page, which says so.
        assert_eq!(press(&path, "pay", ""), (303, Some(path.clone())));
        let kept = bench.server.sandbox().session(session["id"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::to_value(kept.status).unwrap(), status);
        assert_eq!(kept.payment_method.as_deref(), (deed == "pay").then_some("ewallet"));
        let page = request(&url, "GET", &path, &[], b"").unwrap();
        assert!(!page.body.contains("<form") && page.body.contains("Back to the seller"), "{}", page.body);
        assert_eq!(press(&path, "steal", "").0, 404);
    }
    assert_eq!(request(&url, "GET", "/checkout/cs_unknown", &[], b"").unwrap().status, 404);
    assert_eq!(press("/checkout/cs_unknown", "pay", "").0, 404);
}

/// Answers each request with the next status, and reports the request.
fn receiver(statuses: &'static [u16]) -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let (head, body) = loop {
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).unwrap();
                assert_ne!(read, 0, "the request ended early");
                request.extend_from_slice(&bytes[..read]);
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if length == Some(body.len()) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if tell.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_posted_and_posted_again_until_they_are_taken() {
    let bench = Bench::new().await;
    let (hook, told) = receiver(&[500, 302, 200, 204]);
    let body = json!({ "url": hook, "events": EVENTS }).to_string();
    let made = bench.call(PlugipayMethod::Post, "/api/v1/webhooks", Some("e"), &body).unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();

    let session = bench.session("Desain logo");
    assert!(bench.server.sandbox().pay(session["id"].as_str().unwrap()));
    let first = next();
    let secret = bench.server.sandbox().endpoints().remove(0).secret;
    let signed = format!("x-plugipay-signature: {}", signature::sign(&secret, bench.clock.now(), &first.1));
    assert!(first.0.starts_with("POST /hook?x=1 HTTP/1.1"), "{}", first.0);
    assert!(first.0.lines().any(|line| line.eq_ignore_ascii_case(&signed)), "{}", first.0);
    assert!(first.0.lines().any(|line| line.eq_ignore_ascii_case("content-type: application/json")), "{}", first.0);
    for seconds in [1, 2] {
        // The pauses pass on the sandbox's clock; the moment at which the failure is noticed is not controlled.
        until(|| bench.server.sandbox().next_due() == Some(bench.clock.now().plus(Duration::from_secs(seconds)))).await;
        bench.clock.advance(Duration::from_secs(seconds));
        assert_eq!(next().1, first.1);
    }
    bench.clock.advance(Duration::from_secs(86_400));
    let late = bench.session("Kartu nama");
    bench.clock.advance(Duration::from_secs(86_400));
    let expired: Value = serde_json::from_str(&next().1).unwrap();
    assert_eq!((&expired["type"], &expired["data"]["object"]["id"]), (&json!(EVENTS[1]), &late["id"]));
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
}

async fn until(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "never reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_gone() {
    let bench = Bench::new().await;
    let address = bench.server.url().strip_prefix("http://").unwrap().to_owned();
    // An idle connection does not delay the stop.
    let _idle = TcpStream::connect(&address).unwrap();
    let before = Instant::now();
    bench.server.stop().await;
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(&address).is_err());
}
