//! Calling Plugipay over HTTP: the testkit's sandbox, and servers that misbehave.
#![cfg(feature = "plugipay")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serront_adapters::plugipay::{PlugipayClient, PlugipaySetupError};
use serront_core::funds::fee::FeeRate;
use serront_core::online::plugipay::{
    self, Minted, Observation, PlugipayAnswer, PlugipayCall, PlugipayMethod, Returns,
};
use serront_core::ports::{Clock as _, Plugipay as _, PortError};
use serront_core::primitives::provider::{MerchantId, SessionId};
use serront_core::primitives::time::Timestamp;
use serront_testkit::memory::ManualClock;
use serront_testkit::sandbox::{Route, SandboxServer, Trouble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "ak_test_platform";
const SECRET: &str = "sk_test_vector";

fn client(url: &str) -> PlugipayClient {
    client_at(url, &Arc::new(ManualClock::at(Timestamp::from_millis(1_767_225_600_000))))
}

fn client_at(url: &str, clock: &Arc<ManualClock>) -> PlugipayClient {
    PlugipayClient::new(url, KEY, SECRET, Arc::clone(clock) as _).unwrap()
}

/// One that waits for a second at most.
fn impatient(url: &str, clock: &Arc<ManualClock>) -> PlugipayClient {
    let second = Duration::from_secs(1);
    PlugipayClient::builder(url, KEY, SECRET, Arc::clone(clock) as _).timeout(second).build().unwrap()
}

fn call(method: PlugipayMethod, key: Option<&str>) -> PlugipayCall {
    let body = if method == PlugipayMethod::Post { r#"{"amount":125000,"currency":"IDR"}"# } else { "" };
    PlugipayCall {
        method,
        path: "/api/v1/checkout-sessions".to_owned(),
        on_behalf_of: Some("plg_1".to_owned()),
        idempotency_key: key.map(str::to_owned),
        body: body.to_owned(),
    }
}

/// Kind and text, as a log may show them.
fn told(answer: &Result<PlugipayAnswer, PortError>) -> String {
    match answer {
        Ok(_) => "Ok".to_owned(),
        Err(error) => format!("{:?}: {}", error.kind(), error.source().unwrap()),
    }
}

// --- A scripted server ----------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Deed {
    /// Answers these bytes, and ends the connection.
    Answer(Vec<u8>),
    /// Answers these bytes, and holds the connection open.
    Hang(Vec<u8>),
    /// Ends the connection.
    Close,
    /// Ends the connection in the middle of the request.
    Reset,
}

/// A status line, headers, and a body of the right length.
fn answer(status: &str, headers: &str, body: &[u8]) -> Deed {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    Deed::Answer([head.as_bytes(), body].concat())
}

fn json(body: &str) -> Deed {
    answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return text.into_owned();
        }
    }
}

/// Does one deed for each request, the last one again and again, and keeps what was asked.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    async fn start(deeds: Vec<Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            let mut left = deeds.into_iter().peekable();
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let deed = left.next().unwrap();
                if left.peek().is_none() {
                    left = vec![deed.clone()].into_iter().peekable();
                }
                if matches!(deed, Deed::Reset) {
                    // What lies unread when it is dropped resets the connection.
                    stream.read_exact(&mut [0; 8]).await.unwrap();
                    kept.lock().unwrap().push("half a request".to_owned());
                    continue;
                }
                let request = read_request(&mut stream).await;
                kept.lock().unwrap().push(request);
                match deed {
                    Deed::Answer(bytes) => {
                        // A client that has read enough may hang up in the middle.
                        let _ = stream.write_all(&bytes).await;
                    }
                    Deed::Hang(bytes) => {
                        stream.write_all(&bytes).await.unwrap();
                        held.push(stream);
                    }
                    Deed::Close | Deed::Reset => {}
                }
            }
        });
        Self { url, requests, serving }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// What comes back of such a call, and how many requests arrived.
async fn outcome(deeds: &[Deed], call: &PlugipayCall) -> (String, Option<Duration>, usize) {
    let server = Server::start(deeds.to_vec()).await;
    let waits = deeds.iter().any(|deed| matches!(deed, Deed::Hang(_)));
    let client = if waits { impatient(&server.url, &Arc::default()) } else { client(&server.url) };
    let answer = client.call(call).await;
    let wait = answer.as_ref().err().and_then(PortError::retry_after);
    (told(&answer), wait, server.requests().len())
}

const ENVELOPE: &str = r#"{"data":{"id":"cs_1"},"error":null,"meta":{}}"#;

/// Of a POST with a key, a POST without one, a GET and a DELETE.
const HARMLESS: [&str; 4] = ["Ok 1", "Ok 1", "Ok 1", "Ok 1"];
const UNKNOWN: [&str; 4] = ["OutcomeUnknown 1", "OutcomeUnknown 1", "Transient 1", "Transient 1"];
const REPEATED: [&str; 4] = ["OutcomeUnknown 2", "OutcomeUnknown 1", "Transient 2", "Transient 2"];
const TRANSIENT: [&str; 4] = ["Transient 1", "Transient 1", "Transient 1", "Transient 1"];
/// Of the four calls the first alone has a key.
const UNDER_WAY: [&str; 4] = ["Transient 1", "Permanent 1", "Permanent 1", "Permanent 1"];
const PERMANENT: [&str; 4] = ["Permanent 1", "Permanent 1", "Permanent 1", "Permanent 1"];

#[tokio::test]
async fn whatever_a_server_does_has_one_meaning_and_is_repeated_only_if_harmless() {
    let large = vec![b' '; 10 << 20];
    let html = answer("200 OK", "Content-Type: text/html\r\n", b"<!doctype html><title>Log in to this network</title>");
    let to = "Location: http://127.0.0.1:1/elsewhere\r\n";
    let hung_body = b"HTTP/1.1 409 Conflict\r\nContent-Length: 100\r\n\r\n{\"data\":null".to_vec();
    let rows = [
        ("an envelope", json(ENVELOPE), HARMLESS, "Ok"),
        ("of no declared type", answer("200 OK", "", ENVELOPE.as_bytes()), HARMLESS, "Ok"),
        ("of another type", answer("201 Created", "Content-Type: text/plain\r\n", ENVELOPE.as_bytes()), HARMLESS, "Ok"),
        (
            "no HTTP",
            Deed::Answer(b"220 mail.example ESMTP\r\n\r\n".to_vec()),
            UNKNOWN,
            "the answer of Plugipay is not HTTP",
        ),
        ("nothing", Deed::Close, REPEATED, "the connection to Plugipay was lost"),
        ("a reset", Deed::Reset, REPEATED, "the connection to Plugipay was lost"),
        ("half a head", Deed::Answer(b"HTTP/1.1 200 O".to_vec()), REPEATED, "the connection to Plugipay was lost"),
        ("silence", Deed::Hang(Vec::new()), UNKNOWN, "Plugipay did not answer in time"),
        (
            "silence in the body",
            Deed::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\"".to_vec()),
            UNKNOWN,
            "Plugipay did not answer in time",
        ),
        (
            "half a body",
            Deed::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\"".to_vec()),
            UNKNOWN,
            "the answer of Plugipay broke off",
        ),
        ("10 MB", answer("200 OK", "", &large), UNKNOWN, "the answer of Plugipay is larger than 1 MiB"),
        ("invalid JSON", json("{\"data\":"), UNKNOWN, "the answer of Plugipay is not Plugipay's envelope"),
        ("another JSON", json("[1]"), UNKNOWN, "the answer of Plugipay is not Plugipay's envelope"),
        ("no UTF-8", answer("200 OK", "", b"{\"data\":\"\xff\"}"), UNKNOWN, "the answer of Plugipay is not UTF-8"),
        ("a page", html, UNKNOWN, "the answer of Plugipay is not Plugipay's envelope"),
        ("301", answer("301 Moved", to, b""), PERMANENT, "Plugipay answered 301"),
        ("307", answer("307 Temporary Redirect", to, b""), PERMANENT, "Plugipay answered 307"),
        ("304", answer("304 Not Modified", "", b""), PERMANENT, "Plugipay answered 304"),
        ("400", answer("400 Bad Request", "", b"no envelope"), PERMANENT, "Plugipay answered 400"),
        ("404", answer("404 Not Found", "", &large), PERMANENT, "Plugipay answered 404"),
        ("409, and silence", Deed::Hang(hung_body), UNDER_WAY, "Plugipay answered 409"),
        ("422", answer("422 Unprocessable", "", b""), PERMANENT, "Plugipay answered 422"),
        ("401", answer("401 Unauthorized", "", b""), TRANSIENT, "Plugipay answered 401"),
        ("403", answer("403 Forbidden", "", b""), TRANSIENT, "Plugipay answered 403"),
        ("408", answer("408 Request Timeout", "", b""), TRANSIENT, "Plugipay answered 408"),
        ("429", answer("429 Too Many Requests", "", b""), TRANSIENT, "Plugipay answered 429"),
        ("500", answer("500 Internal Server Error", "", b""), UNKNOWN, "Plugipay answered 500"),
        ("502", answer("502 Bad Gateway", "", b"<html>"), UNKNOWN, "Plugipay answered 502"),
        ("503", answer("503 Service Unavailable", "", b""), UNKNOWN, "Plugipay answered 503"),
    ];
    let calls = [
        call(PlugipayMethod::Post, Some("idem_1")),
        call(PlugipayMethod::Post, None),
        call(PlugipayMethod::Get, None),
        call(PlugipayMethod::Delete, None),
    ];
    for (name, deed, expected, text) in rows {
        let [keyed, bare, get, delete] = calls.each_ref().map(|call| outcome(std::slice::from_ref(&deed), call));
        let (keyed, bare, get, delete) = tokio::join!(keyed, bare, get, delete);
        let seen = [keyed, bare, get, delete].map(|(told, wait, requests)| {
            let (kind, why) = told.split_once(": ").unwrap_or((&told, "Ok"));
            assert_eq!((why, wait), (text, None), "{name}");
            format!("{kind} {requests}")
        });
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_enough_for_a_delete() {
    for deed in [answer("204 No Content", "", b""), answer("200 OK", "", b"")] {
        for (method, expected) in [
            (PlugipayMethod::Delete, "Ok"),
            (PlugipayMethod::Get, "Transient: the answer of Plugipay is not Plugipay's envelope"),
            (PlugipayMethod::Post, "OutcomeUnknown: the answer of Plugipay is not Plugipay's envelope"),
        ] {
            assert_eq!(outcome(std::slice::from_ref(&deed), &call(method, None)).await.0, expected);
        }
    }
}

#[tokio::test]
async fn after_a_lost_sending_only_a_success_is_certain() {
    let keyed = call(PlugipayMethod::Post, Some("idem_1"));
    let wait = "Retry-After: 7\r\n";
    let seven = Some(Duration::from_secs(7));
    let rows = [
        (json(ENVELOPE), "Ok", None),
        (answer("400 Bad Request", "", b""), "OutcomeUnknown: Plugipay answered 400", None),
        (answer("429 Too Many Requests", wait, b""), "OutcomeUnknown: Plugipay answered 429", seven),
        (answer("401 Unauthorized", "", b""), "OutcomeUnknown: Plugipay answered 401", None),
    ];
    for (second, expected, wait) in rows {
        let deeds = [Deed::Close, second];
        assert_eq!(outcome(&deeds, &keyed).await, (expected.to_owned(), wait, 2));
    }
    // Asked and deleted again, nothing is left unknown.
    let deeds = [Deed::Close, answer("404 Not Found", "", b"")];
    for method in [PlugipayMethod::Get, PlugipayMethod::Delete] {
        let expected = ("Permanent: Plugipay answered 404".to_owned(), None, 2);
        assert_eq!(outcome(&deeds, &call(method, None)).await, expected);
    }
}

#[tokio::test]
async fn a_second_sending_has_the_same_bytes_and_key() {
    let server = Server::start(vec![Deed::Close, json(ENVELOPE)]).await;
    assert!(client(&server.url).call(&call(PlugipayMethod::Post, Some("idem_1"))).await.is_ok());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn a_second_sending_is_within_the_same_time() {
    let server = Server::start(vec![Deed::Close, Deed::Hang(Vec::new())]).await;
    let before = std::time::Instant::now();
    let answer = impatient(&server.url, &Arc::default()).call(&call(PlugipayMethod::Get, None)).await;
    assert_eq!(told(&answer), "Transient: Plugipay did not answer in time");
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn retry_after_is_handed_on_in_seconds_and_as_a_date() {
    let get = call(PlugipayMethod::Get, None);
    for (header, seconds) in [
        ("Retry-After: 120\r\n", Some(120)),
        ("Retry-After: Thu, 01 Jan 2026 00:00:30 GMT\r\n", Some(30)),
        ("Retry-After: Wed, 31 Dec 2025 23:00:00 GMT\r\n", Some(0)),
        ("Retry-After: 99999999\r\n", Some(86_400)),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ] {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let (_, wait, requests) = outcome(&[answer(status, header, b"")], &get).await;
            assert_eq!((wait, requests), (seconds.map(Duration::from_secs), 1), "{status} {header}");
        }
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_done() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = plain.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            stream.write_all(b"this is not TLS at all, it is plain text").await.unwrap();
            while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
        }
    });
    for (url, expected) in [
        (format!("http://{free}"), "Transient: no connection to Plugipay: refused"),
        (format!("https://{no_tls}"), "Transient: no connection to Plugipay: TLS failed"),
        // How soon a name fails to resolve is not ours to say.
        ("http://plugipay.invalid".to_owned(), "Transient: no connection to Plugipay: "),
    ] {
        for key in [None, Some("k")] {
            let told = told(&client(&url).call(&call(PlugipayMethod::Post, key)).await);
            assert!(told.starts_with(expected), "{url}: {told}");
        }
    }
    answering.abort();
}

#[tokio::test]
async fn an_error_says_status_and_code_and_nothing_of_the_body() {
    let refusal = |code: &str| {
        let body = format!(r#"{{"data":null,"error":{{"code":"{code}","message":"key sk_test_vector of Budi"}}}}"#);
        answer("409 Conflict", "", body.as_bytes())
    };
    for (code, expected) in [
        ("idempotency_mismatch", "Permanent: Plugipay answered 409 idempotency_mismatch"),
        ("whsec_ of Budi", "Permanent: Plugipay answered 409"),
        (&"x".repeat(65), "Permanent: Plugipay answered 409"),
    ] {
        assert_eq!(outcome(&[refusal(code)], &call(PlugipayMethod::Get, None)).await.0, expected);
    }
}

// --- What goes out ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_contracts_headers_and_bytes_go_out_exactly() {
    let server = Server::start(vec![json(ENVELOPE)]).await;
    let lines = async |call: &PlugipayCall, url: &str| {
        client(url).call(call).await.unwrap();
        let request = server.requests().pop().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, call.body);
        let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("Host: ")).map(str::to_owned).collect();
        lines[1..].sort_unstable();
        lines
    };
    let agent = format!("User-Agent: Serront/{}", env!("CARGO_PKG_VERSION"));
    let signed =
        |signature: &str| format!("Authorization: Plugipay-HMAC-SHA256 keyId={KEY}, scope=*, signature={signature}");
    // The signature is the contract's vector.
    assert_eq!(
        lines(&call(PlugipayMethod::Post, Some("idem_1")), &server.url).await,
        [
            "POST /api/v1/checkout-sessions HTTP/1.1",
            "Accept: application/json",
            &signed("24444d96783673a0d455299dd1fd466495f4cc5f500d49cf726ebdefaf8eac0a"),
            "Content-Length: 34",
            "Content-Type: application/json",
            "Idempotency-Key: idem_1",
            &agent,
            "X-Plugipay-On-Behalf-Of: plg_1",
            "X-Plugipay-Timestamp: 1767225600",
        ]
    );
    let get = PlugipayCall {
        path: "/api/v1/webhooks?cursor=a%2Fb".to_owned(),
        on_behalf_of: None,
        ..call(PlugipayMethod::Get, None)
    };
    let signature = |path: &str| {
        let call = PlugipayCall { path: path.to_owned(), ..get.clone() };
        plugipay::authorization(KEY, SECRET, &call, 1_767_225_600)
    };
    let expected = |path: &str| {
        vec![
            format!("GET {path} HTTP/1.1"),
            "Accept: application/json".to_owned(),
            format!("Authorization: {}", signature(path)),
            agent.clone(),
            "X-Plugipay-Timestamp: 1767225600".to_owned(),
        ]
    };
    // A slash at the base's end is nothing; a path of the base is part of what is sent, and of what is signed.
    for (base, path) in [
        (server.url.clone(), "/api/v1/webhooks?cursor=a%2Fb"),
        (format!("{}/", server.url), "/api/v1/webhooks?cursor=a%2Fb"),
        (format!("{}/plugipay/", server.url), "/plugipay/api/v1/webhooks?cursor=a%2Fb"),
    ] {
        assert_eq!(lines(&get, &base).await, expected(path));
    }
}

#[tokio::test]
async fn what_is_no_request_is_not_sent() {
    let server = Server::start(vec![json(ENVELOPE)]).await;
    let good = call(PlugipayMethod::Post, Some("k"));
    for bad in [
        PlugipayCall { idempotency_key: Some("two\r\nlines".to_owned()), ..good.clone() },
        PlugipayCall { on_behalf_of: Some("two\nlines".to_owned()), ..good.clone() },
        PlugipayCall { path: ".evil.example/".to_owned(), ..good.clone() },
        PlugipayCall { path: "@evil.example/".to_owned(), ..good.clone() },
        PlugipayCall { path: String::new(), ..good },
    ] {
        let answer = client(&server.url).call(&bad).await;
        assert_eq!(told(&answer), "Permanent: the call can't be written as a request to Plugipay");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_client_needs_a_usable_address_and_key_and_shows_neither() {
    let clock = || Arc::new(ManualClock::default()) as _;
    let of = |url: &str, key: &str, secret: &str| PlugipayClient::new(url, key, secret, clock()).map(|_| ());
    for url in
        ["https://plugipay.com", "https://plugipay.com/", "http://127.0.0.1:8080", "https://gateway.example/a/b/"]
    {
        assert!(of(url, KEY, SECRET).is_ok(), "{url}");
    }
    for url in [
        "",
        "plugipay.com",
        "ftp://plugipay.com",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@plugipay.com",
        "https://plugipay.com?x=1",
        "https://plugipay.com#x",
    ] {
        assert!(matches!(of(url, KEY, SECRET), Err(PlugipaySetupError::BaseUrl)), "{url}");
    }
    for key in ["", "two words", "two\nlines", "a,b", "é"] {
        assert!(matches!(of("https://plugipay.com", key, SECRET), Err(PlugipaySetupError::KeyId)), "{key}");
    }
    for secret in ["", "two\nlines", "nul\0"] {
        assert!(matches!(of("https://plugipay.com", KEY, secret), Err(PlugipaySetupError::Secret)), "{secret}");
    }
    let builder = PlugipayClient::builder("https://plugipay.com", KEY, SECRET, clock());
    let shown = format!("{builder:?} {:?}", client("https://plugipay.com"));
    assert!(!shown.contains(SECRET) && !shown.contains(KEY), "{shown}");
}

// --- The sandbox -------------------------------------------------------------------------------------------------------

struct Bench {
    clock: Arc<ManualClock>,
    server: SandboxServer,
    client: PlugipayClient,
    merchant: MerchantId,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = SandboxServer::start(listen, Arc::clone(&clock) as _, KEY, SECRET).await.unwrap();
        let client = client_at(server.url(), &clock);
        let account = "acc_01jtestvect0r0000000000001".parse().unwrap();
        let made = client.call(&plugipay::create_workspace(account, FeeRate::DEFAULT, "Renata")).await.unwrap();
        Self { clock, server, client, merchant: plugipay::Workspace::read(&made.data).unwrap().0 }
    }

    fn mint(&self, key: &str) -> PlugipayCall {
        let page = "https://shop.example/o/1".to_owned();
        let body = plugipay::session_request(
            "chk_01jtestvect0r0000000000003".parse().unwrap(),
            "ord_01jtestvect0r0000000000002".parse().unwrap(),
            serront_core::primitives::money::Rupiah::new(750_000).unwrap(),
            "Desain logo — 日本",
            3_600,
            &Returns { success_url: format!("{page}?paid=1"), cancel_url: page },
        );
        PlugipayCall {
            method: PlugipayMethod::Post,
            path: "/api/v1/checkout-sessions".to_owned(),
            on_behalf_of: Some(self.merchant.to_string()),
            idempotency_key: Some(key.to_owned()),
            body,
        }
    }

    async fn minted(&self, key: &str) -> SessionId {
        let answer = self.client.call(&self.mint(key)).await.unwrap();
        Minted::read(&answer.data, self.clock.now()).unwrap().session.id
    }

    async fn status(&self, call: &PlugipayCall) -> String {
        format!("{:?}", Observation::read(&self.client.call(call).await.unwrap().data).unwrap().status)
    }
}

#[tokio::test]
async fn every_call_of_the_core_gets_along_with_the_sandbox() {
    let bench = Bench::new().await;
    let (client, merchant) = (&bench.client, &bench.merchant);
    let attempt = "chg_01jtestvect0r0000000000009".parse().unwrap();
    let made = client.call(&plugipay::create_endpoint(merchant, "https://shop.example/hook", attempt)).await.unwrap();
    let (endpoint, secret) = plugipay::endpoint(&made.data).unwrap();
    let id = bench.minted("one").await;
    assert_eq!(bench.minted("one").await, id);
    assert_eq!(bench.status(&plugipay::get_session(merchant, &id)).await, "Pending");
    bench.server.sandbox().switch(|switches| switches.lose_notifications = true);
    assert!(bench.server.sandbox().pay(id.as_str()));
    assert_eq!(bench.status(&plugipay::cancel_session(merchant, &id)).await, "Completed");
    let other = bench.minted("two").await;
    assert_eq!(bench.status(&plugipay::cancel_session(merchant, &other)).await, "Canceled");

    bench.server.sandbox().switch(|switches| switches.page_size = 1);
    let second = "chg_01jtestvect0r000000000000a".parse().unwrap();
    client.call(&plugipay::create_endpoint(merchant, "https://shop.example/hook", second)).await.unwrap();
    let page = client.call(&plugipay::list_endpoints(merchant, None)).await.unwrap();
    assert_eq!(plugipay::endpoints(&page.data).unwrap()[0].id, endpoint);
    assert!(!page.data.contains(secret.reveal()));
    let last = client.call(&plugipay::list_endpoints(merchant, page.cursor.as_deref())).await.unwrap();
    assert_eq!((plugipay::endpoints(&last.data).unwrap().len(), last.cursor), (1, None));
    let delete = plugipay::delete_endpoint(merchant, &endpoint);
    assert_eq!(told(&client.call(&delete).await), "Ok");
    assert_eq!(told(&client.call(&delete).await), "Permanent: Plugipay answered 404 NOT_FOUND");
}

#[tokio::test]
async fn what_the_sandbox_refuses_is_told_with_its_code() {
    let bench = Bench::new().await;
    bench.minted("one").await;
    let other = PlugipayCall { body: bench.mint("one").body.replace("3600", "7200"), ..bench.mint("one") };
    assert_eq!(told(&bench.client.call(&other).await), "Permanent: Plugipay answered 409 idempotency_mismatch");
    let bad = PlugipayCall { body: "{}".to_owned(), ..bench.mint("two") };
    assert_eq!(told(&bench.client.call(&bad).await), "Permanent: Plugipay answered 400 VALIDATION_ERROR");
    let unknown = plugipay::get_session(&bench.merchant, &SessionId::parse("cs_?/../x").unwrap());
    assert_eq!(told(&bench.client.call(&unknown).await), "Permanent: Plugipay answered 404 NOT_FOUND");

    let of = |key: &str, secret: &str| {
        PlugipayClient::new(bench.server.url(), key, secret, Arc::clone(&bench.clock) as _).unwrap()
    };
    let ask = plugipay::list_endpoints(&bench.merchant, None);
    let answer = of("ak_other", SECRET).call(&ask).await;
    assert_eq!(told(&answer), "Transient: Plugipay answered 401 INVALID_KEY");
    let answer = of(KEY, "sk_other").call(&ask).await;
    assert_eq!(told(&answer), "Transient: Plugipay answered 401 INVALID_SIGNATURE");
    let late = client(bench.server.url()).call(&ask).await;
    assert_eq!(told(&late), "Transient: Plugipay answered 401 INVALID_TIMESTAMP");

    bench.server.sandbox().switch(|switches| switches.outage = Some(Duration::from_secs(30)));
    let error = bench.client.call(&ask).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(told(&Err(error)), "Transient: Plugipay answered 503 SERVICE_UNAVAILABLE");
    let answer = bench.client.call(&bench.mint("three")).await;
    assert_eq!(told(&answer), "OutcomeUnknown: Plugipay answered 503 SERVICE_UNAVAILABLE");
}

#[tokio::test]
async fn a_lost_answer_is_found_again_under_its_key() {
    let bench = Bench::new().await;
    let sandbox = bench.server.sandbox();
    let create = Some(Route::CreateSession);
    // Once: the second sending of the same call heals it, whether the first was carried out or not.
    for trouble in [Trouble::LoseRequest, Trouble::LoseAnswer] {
        sandbox.plan(create, trouble.clone());
        bench.minted(&format!("{trouble:?}")).await;
    }
    assert_eq!((sandbox.arrived(Route::CreateSession), sandbox.sessions().len()), (4, 2));
    // Twice: the outcome is unknown until the same bytes are sent again.
    sandbox.plan(create, Trouble::LoseAnswer);
    sandbox.plan(create, Trouble::LoseAnswer);
    let answer = bench.client.call(&bench.mint("three")).await;
    assert_eq!(told(&answer), "OutcomeUnknown: the connection to Plugipay was lost");
    assert_eq!(sandbox.sessions().len(), 3);
    assert_eq!(bench.minted("three").await.as_str(), sandbox.sessions()[2].id);
    // Calling off has no key, and is sent once.
    let id = bench.minted("three").await;
    sandbox.plan(Some(Route::CancelSession), Trouble::LoseAnswer);
    let cancel = plugipay::cancel_session(&bench.merchant, &id);
    assert_eq!(told(&bench.client.call(&cancel).await), "OutcomeUnknown: the connection to Plugipay was lost");
    assert_eq!(sandbox.arrived(Route::CancelSession), 1);
    assert_eq!(bench.status(&plugipay::get_session(&bench.merchant, &id)).await, "Canceled");
    // Too slow is not sent again.
    sandbox.switch(|switches| switches.slowness = Duration::from_secs(5));
    let answer = impatient(bench.server.url(), &bench.clock).call(&bench.mint("four")).await;
    assert_eq!(told(&answer), "OutcomeUnknown: Plugipay did not answer in time");
}
