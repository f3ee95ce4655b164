//! Bodies over a real connection: bounded while they arrive, and drained after a refusal, so that a client that
//! is still sending can read its answer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::stream;
use in_process::{House, ask};
use serde_json::{Value, json};
use serront_core::orders::receipt::{RECEIPT_BYTES_MAX, samples};
use serront_core::primitives::tier::Tier;
use serront_host::{Host, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

mod in_process;

const MIB: usize = 1024 * 1024;

/// An order at a shop, and a connection to the host that serves it.
struct Line {
    house: House,
    key: String,
    token: String,
    connection: TcpStream,
}

/// An answer as received over the connection.
#[derive(Debug)]
struct Heard {
    status: u16,
    head: String,
    body: Value,
}

impl Line {
    async fn open() -> Self {
        let house = House::open().await;
        let key = house.account(Tier::Free).await;
        house.open_shop(&key, "renata").await;
        let (_, token) = house.order(&key, "renata").await;
        let connection = TcpStream::connect(house.listen().await).await.unwrap();
        Self { house, key, token, connection }
    }

    fn proof(&self, headers: &str) -> String {
        let path = format!("/api/v1/public/orders/{}/proof", self.token);
        format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n{headers}\r\n\r\n")
    }

    fn service(&self, headers: &str) -> String {
        let key = &self.key;
        format!("POST /api/v1/services HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n{headers}\r\n\r\n")
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The head of the next answer, or of the next interim one.
    async fn hear_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.connection.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    async fn hear(&mut self) -> Heard {
        let head = self.hear_head().await;
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.connection.read_exact(&mut body).await.unwrap();
        Heard { status: head[9..12].parse().unwrap(), body: serde_json::from_slice(&body).unwrap(), head }
    }

    /// The connection still works: another request on it is answered.
    async fn works(&mut self) {
        self.say("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(self.hear().await.status, 200);
    }

    /// The host has closed the connection without sending anything more.
    async fn has_ended(&mut self) {
        let mut rest = Vec::new();
        let read = self.connection.read_to_end(&mut rest).await;
        assert!(rest.is_empty() && (read.is_ok() || read.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset));
    }

    async fn has_no_proof(&self) {
        let order = self.house.send(ask("GET", format!("/api/v1/public/orders/{}", self.token))).await;
        assert_eq!((&order.data()["hasProof"], self.house.uploads()), (&json!(false), 0));
    }
}

#[track_caller]
fn assert_refused(heard: &Heard, status: u16, code: &str) {
    assert_eq!((heard.status, heard.body["error"]["code"].as_str()), (status, Some(code)), "{heard:?}");
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

#[tokio::test]
async fn a_receipt_that_is_announced_too_large_is_drained_and_its_413_is_read() {
    let mut line = Line::open().await;
    let length = 6 * MIB;
    let head = line.proof(&format!("Content-Length: {length}"));
    line.say(head).await;
    line.say(vec![0; length]).await;
    assert_refused(&line.hear().await, 413, "PAYLOAD_TOO_LARGE");
    line.works().await;
    line.has_no_proof().await;
}

#[tokio::test]
async fn a_receipt_that_turns_out_too_large_is_drained_and_its_413_is_read() {
    let mut line = Line::open().await;
    let head = line.proof("Transfer-Encoding: chunked");
    line.say(head).await;
    for _ in 0..6 {
        line.say(chunk(&vec![0; MIB])).await;
    }
    line.say("0\r\n\r\n").await;
    assert_refused(&line.hear().await, 413, "PAYLOAD_TOO_LARGE");
    line.works().await;
    line.has_no_proof().await;
}

#[tokio::test]
async fn json_above_256_kib_is_refused_with_and_without_a_length() {
    let mut line = Line::open().await;
    let body = vec![b' '; MIB / 4 + 1];
    let head = line.service(&format!("Content-Length: {}", body.len()));
    line.say([head.as_bytes(), &body].concat()).await;
    assert_refused(&line.hear().await, 413, "PAYLOAD_TOO_LARGE");
    let head = line.service("Transfer-Encoding: chunked");
    line.say([head.as_bytes(), &chunk(&body), b"0\r\n\r\n"].concat()).await;
    assert_refused(&line.hear().await, 413, "PAYLOAD_TOO_LARGE");
    line.works().await;
}

#[tokio::test]
async fn a_request_refused_for_another_reason_is_drained_too() {
    let mut line = Line::open().await;
    let length = 7 * MIB;
    for (path, status, code) in [
        ("PUT /api/v1/storefront", 401, "UNAUTHORIZED"),
        ("POST /api/v1/nothing", 404, "NOT_FOUND"),
        ("DELETE /healthz", 405, "METHOD_NOT_ALLOWED"),
    ] {
        line.say(format!("{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")).await;
        line.say(vec![b'x'; length]).await;
        assert_refused(&line.hear().await, status, code);
        line.works().await;
    }
}

#[tokio::test]
async fn a_body_above_8_mib_is_answered_and_its_connection_closed() {
    let mut line = Line::open().await;
    let head = line.proof(&format!("Content-Length: {}", 64 * MIB));
    line.say(head).await;
    // One byte more than is drained: anything sent after that may meet a closed connection.
    line.say(vec![0; 8 * MIB + 1]).await;
    let heard = line.hear().await;
    assert_refused(&heard, 413, "PAYLOAD_TOO_LARGE");
    assert!(heard.head.contains("\r\nconnection: close\r\n"), "{}", heard.head);
    line.has_ended().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_taken_within_its_bounds() {
    let mut line = Line::open().await;
    let head = line.proof("Transfer-Encoding: chunked");
    line.say(head).await;
    for part in samples::PNG.chunks(7) {
        line.say(chunk(part)).await;
    }
    line.say("0\r\n\r\n").await;
    assert_eq!(line.hear().await.body["data"], json!({"hasProof": true}));
    line.works().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue_or_refused_immediately() {
    let mut line = Line::open().await;
    let head = line.proof(&format!("Expect: 100-continue\r\nContent-Length: {}", samples::PNG.len()));
    line.say(head).await;
    assert!(line.hear_head().await.starts_with("http/1.1 100 "));
    line.say(samples::PNG).await;
    assert_eq!(line.hear().await.status, 200);

    let head = line.proof(&format!("Expect: 100-continue\r\nContent-Length: {}", RECEIPT_BYTES_MAX + 1));
    line.say(head).await;
    let heard = line.hear().await;
    assert_refused(&heard, 413, "PAYLOAD_TOO_LARGE");
    assert!(heard.head.contains("\r\nconnection: close\r\n"), "the body it may still send would be read as a request");
    line.has_ended().await;
}

#[tokio::test]
async fn a_question_about_no_body_keeps_the_connection() {
    let mut line = Line::open().await;
    line.say("GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(line.hear().await.status, 200);
    line.works().await;
}

#[tokio::test]
async fn a_body_that_ends_too_early_changes_nothing() {
    let mut line = Line::open().await;
    let head = line.proof(&format!("Content-Length: {}", samples::PNG.len() + 1));
    line.say(head).await;
    line.say(samples::PNG).await;
    line.connection.shutdown().await.unwrap();
    let mut rest = Vec::new();
    // The answer may be lost with the connection; the order must not be.
    let _ = line.connection.read_to_end(&mut rest).await;
    line.has_no_proof().await;
}

#[tokio::test]
async fn a_receipt_for_an_unknown_order_is_not_collected() {
    let line = Line::open().await;
    let host = Host::new(line.house.host_ports(), line.house.host_policy(), "http://localhost");
    let router = router(Arc::new(host.with_spool("/nonexistent")));
    let unknown = "0".repeat(line.token.len());
    for (token, status) in [(&unknown, 404), (&line.token, 500)] {
        let path = format!("/api/v1/public/orders/{token}/proof");
        let request = ask("PUT", path).image("image/png", &vec![0; MIB]).request();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_read_to_8_mib_and_no_further() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = stream::repeat_with(move || {
        counted.fetch_add(MIB, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from(vec![b' '; MIB]))
    });
    let request = Request::post("/api/v1/services").header("authorization", format!("Bearer {key}"));
    let reply = house.answer(request.body(Body::from_stream(endless)).unwrap()).await;
    assert_eq!(reply.refusal().0, 413);
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(sent.load(Ordering::SeqCst), 9 * MIB);
}
