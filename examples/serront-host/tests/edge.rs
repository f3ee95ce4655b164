//! The edge of the real binary: slow clients, too many connections, a stop during a request, and the memory taken by a storm of
//! uploads and readers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use serront_core::orders::receipt::{RECEIPT_BYTES_MAX, samples};
use serront_testkit::generators::sized_jpeg;
use support::{Engine, Installation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

mod support;

/// How long the test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(240);

/// A host for this test; killed at its end.
struct Edge {
    installation: Installation,
    process: Child,
    address: String,
    key: String,
}

impl Edge {
    async fn open(settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let installation =
            Installation::new(Engine::Sqlite).with([("SERRONT_PUBLIC_RATE_PER_MINUTE", "0".to_owned())]).with(settings);
        let (_, key) = installation.account("business");
        let mut process =
            installation.command().args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        let address = listening["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        let edge = Self { installation, process, address, key };
        edge.open_shop().await;
        edge
    }

    async fn open_shop(&self) {
        let storefront = json!({"slug": "renata", "displayName": "Studio Renata", "published": true});
        let service = json!({"slug": "logo", "name": "Logo design", "pricingType": "fixed", "priceIdr": 750_000});
        let mut line = self.connect().await;
        for (method, path, body) in [("PUT", "storefront", storefront), ("POST", "services", service)] {
            assert!(self.ask(&mut line, &format!("{method} /api/v1/{path}"), &body.to_string()).await.0 < 300);
        }
    }

    /// Adds services until the shop's answer is several megabytes.
    async fn widen_shop(&self) {
        let mut line = self.connect().await;
        let text = "\u{1f58b}".repeat(2_000);
        let packages: Vec<_> =
            (1..=5).map(|n| json!({"name": format!("P{n}"), "priceIdr": 1_000, "description": text})).collect();
        for number in 1..90 {
            let service =
                json!({"slug": format!("s-{number}"), "name": "S", "pricingType": "package", "packages": packages});
            assert_eq!(self.ask(&mut line, "POST /api/v1/services", &service.to_string()).await.0, 201);
        }
    }

    fn head(&self, ask: &str) -> String {
        format!("{ask} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n", self.key)
    }

    /// Sends a request with the seller's key.
    async fn ask(&self, line: &mut Line, ask: &str, body: &str) -> (u16, Value) {
        line.say(&format!("{}Content-Length: {}\r\n\r\n{body}", self.head(ask), body.len())).await;
        line.hear().await
    }

    /// Uploads this receipt to a new order. Returns the receipt's address for the seller.
    async fn receipt(&self, image: &[u8]) -> String {
        let mut line = self.connect().await;
        let token = self.order(&mut line).await;
        line.say(&proof(&token, image.len())).await;
        line.0.write_all(image).await.unwrap();
        assert_eq!(line.hear().await.0, 200);
        let (_, list) = self.ask(&mut line, "GET /api/v1/orders?limit=1", "").await;
        format!("/api/v1/orders/{}/proof", list["data"]["orders"][0]["id"].as_str().unwrap())
    }

    /// A client that requests this with the seller's key and receives almost nothing of the answer.
    async fn dawdler(&self, path: &str) -> Line {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut line = Line(socket.connect(self.address.parse().unwrap()).await.unwrap());
        let head = if path.contains("/public/") {
            format!("GET {path} HTTP/1.1\r\nHost: h\r\n")
        } else {
            self.head(&format!("GET {path}"))
        };
        line.say(&(head + "\r\n")).await;
        line
    }

    /// Places an order and returns its token.
    async fn order(&self, line: &mut Line) -> String {
        let order = json!({"serviceSlug": "logo", "buyerName": "Budi", "buyerEmail": "budi@example.com"}).to_string();
        let head = format!(
            "POST /api/v1/public/storefront/renata/order HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            order.len()
        );
        line.say(&(head + &order)).await;
        line.hear().await.1["data"]["accessToken"].as_str().unwrap().to_owned()
    }

    async fn connect(&self) -> Line {
        Line(TcpStream::connect(&self.address).await.unwrap())
    }

    fn signal_stop(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection.
struct Line(TcpStream);

impl Line {
    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status and the body of the next answer.
    async fn hear(&mut self) -> (u16, Value) {
        let (status, body) = self.hear_bytes().await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn hear_bytes(&mut self) -> (u16, Vec<u8>) {
        tokio::time::timeout(PATIENCE, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            (head[9..12].parse().unwrap(), body)
        })
        .await
        .unwrap()
    }

    /// Only the status of the next answer.
    async fn hear_status(&mut self) -> u16 {
        let mut beginning = [0; 12];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut beginning)).await.unwrap().unwrap();
        std::str::from_utf8(&beginning[9..]).unwrap().parse().unwrap()
    }

    async fn ask_health(&mut self) {
        self.say("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    }

    /// Waits until the host has closed the connection without another byte.
    async fn ends(&mut self) {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the connection ends");
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

/// A receipt at its bound.
fn largest_receipt() -> Vec<u8> {
    sized_jpeg(RECEIPT_BYTES_MAX)
}

fn proof(token: &str, length: usize) -> String {
    let path = format!("/api/v1/public/orders/{token}/proof");
    format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_is_given_up() {
    let edge = Edge::open(&[]).await;
    let token = edge.order(&mut edge.connect().await).await;
    let began = Instant::now();

    let silent = async { edge.connect().await.ends().await };
    let half_a_head = async {
        let mut line = edge.connect().await;
        line.say("GET /healthz HTTP/1.1\r\nHost: h\r\n").await;
        line.ends().await;
    };
    let dripping = async {
        let mut line = edge.connect().await;
        line.ask_health().await;
        assert_eq!(line.hear().await.0, 200);
        line.say("GET /healthz HTTP/1.1\r\nX-Long: ").await;
        // Until the host has closed the connection, which a writer notices one write later.
        while line.0.write_all(b"x").await.is_ok() {
            assert!(began.elapsed() < PATIENCE, "a head that never ends");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let half_a_body = async {
        let mut line = edge.connect().await;
        line.say(&proof(&token, 100)).await;
        line.say("half of it").await;
        let (status, answer) = line.hear().await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("VALIDATION_ERROR")), "{answer}");
        line.ends().await;
    };
    let idle = async {
        let mut line = edge.connect().await;
        line.ask_health().await;
        assert_eq!(line.hear().await.0, 200);
        tokio::time::sleep(Duration::from_secs(12)).await;
        line.ask_health().await;
        assert_eq!(line.hear().await.0, 200, "between two requests there is more time");
    };
    tokio::join!(silent, half_a_head, dripping, half_a_body, idle);
    assert!(began.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_connections_new_ones_wait() {
    let edge = Edge::open(&[("SERRONT_CONNECTIONS_MAX", "2")]).await;
    let (mut first, mut second, mut third) = (edge.connect().await, edge.connect().await, edge.connect().await);
    for line in [&mut first, &mut second] {
        line.ask_health().await;
        assert_eq!(line.hear().await.0, 200);
    }
    third.ask_health().await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(500), third.0.peek(&mut byte)).await;
    assert!(early.is_err(), "a third connection while there may be two");
    drop(first);
    assert_eq!(third.hear().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_32_kib_long_and_no_longer_than_64() {
    let edge = Edge::open(&[]).await;
    for (length, status) in [(30 * 1024, 200), (64 * 1024, 431)] {
        let mut line = edge.connect().await;
        line.say(&format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(length))).await;
        assert_eq!(line.hear_status().await, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_places_are_short_idle_connections_end_and_busy_ones_do_not() {
    let edge = Edge::open(&[("SERRONT_CONNECTIONS_MAX", "8")]).await;
    let receipt = largest_receipt();
    let path = edge.receipt(&receipt).await;
    let mut taking = edge.connect().await;
    taking.say(&(edge.head(&format!("GET {path}")) + "\r\n")).await;
    let mut idle = Vec::new();
    for _ in 0..7 {
        let mut line = edge.connect().await;
        line.ask_health().await;
        assert_eq!(line.hear().await.0, 200);
        idle.push(line);
    }
    let began = Instant::now();
    let mut late = edge.connect().await;
    late.ask_health().await;
    assert_eq!(late.hear().await.0, 200);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(taking.hear_bytes().await == (200, receipt), "a client that receives an answer is not idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreceived_answers_are_limited_to_their_share() {
    let edge = Edge::open(&[]).await;
    edge.widen_shop().await;
    let receipt = largest_receipt();
    let path = edge.receipt(&receipt).await;
    let statuses = async |lines: &mut [Line]| join_all(lines.iter_mut().map(Line::hear_status)).await;
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(edge.dawdler(&path).await);
    }
    let mut heard = statuses(&mut mine).await;
    heard.sort_unstable();
    assert_eq!(heard, [200, 200, 200, 503, 503], "one seller has room for three");
    let mut line = edge.connect().await;
    let (status, busy) = edge.ask(&mut line, &format!("GET {path}"), "").await;
    assert_eq!((status, &busy["error"]["code"]), (503, &json!("BUSY")));
    assert_eq!(edge.ask(&mut line, "GET /api/v1/orders", "").await.0, 200, "what is short needs none");

    // Readers without a key have a separate half, and each address a share of it.
    let mut theirs = Vec::new();
    for _ in 0..8 {
        theirs.push(edge.dawdler("/api/v1/public/storefront/renata").await);
    }
    let heard = statuses(&mut theirs).await;
    assert!(heard.contains(&200) && heard.contains(&503), "{heard:?}");
    assert_eq!(edge.order(&mut line).await.len(), 48, "the command is answered");

    drop((mine, theirs));
    line.say(&(edge.head(&format!("GET {path}")) + "\r\n")).await;
    assert!(line.hear_bytes().await == (200, receipt), "the room is given back");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_an_upload_but_not_for_idle_clients() {
    let mut edge = Edge::open(&[]).await;
    let (mut uploading, mut idle) = (edge.connect().await, edge.connect().await);
    let token = edge.order(&mut uploading).await;
    idle.ask_health().await;
    assert_eq!(idle.hear().await.0, 200);
    let (half, rest) = samples::JPEG.split_at(samples::JPEG.len() / 2);
    uploading.say(&proof(&token, samples::JPEG.len())).await;
    uploading.0.write_all(half).await.unwrap();
    // The head has arrived, and so has the request, once a later one on another connection was answered.
    idle.ask_health().await;
    assert_eq!(idle.hear().await.0, 200);

    edge.signal_stop();
    idle.ends().await;
    uploading.0.write_all(rest).await.unwrap();
    let (status, answer) = uploading.hear().await;
    assert_eq!((status, &answer["data"]), (200, &json!({"hasProof": true})));
    assert!(edge.process.wait().unwrap().success());
}

/// The process's peak memory, in KiB.
#[cfg(target_os = "linux")]
fn peak_kibibytes(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_uploads_with_a_thousand_slow_ones_and_six_hundred_slow_readers_take_less_than_300_mib() {
    const UPLOADS: usize = 200;
    const SLOW: usize = 1_000;
    const DAWDLERS: usize = 300;
    const BEGINNING: usize = 64 * 1024;
    rlimit::increase_nofile_limit(4_096).unwrap();
    let edge = Edge::open(&[]).await;
    let receipt = Arc::new(largest_receipt());
    edge.widen_shop().await;
    let path = edge.receipt(&receipt).await;
    let mut line = edge.connect().await;
    let mut tokens = Vec::new();
    for _ in 0..UPLOADS {
        tokens.push(edge.order(&mut line).await);
    }

    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut line = edge.connect().await;
        line.say(&proof(&tokens[0], RECEIPT_BYTES_MAX)).await;
        line.0.write_all(&receipt[..BEGINNING]).await.unwrap();
        slow.push(line);
    }
    // They send a byte now and then, so that none of them is given up.
    let dripping = tokio::spawn(async move {
        loop {
            for line in &mut slow {
                // On a busy machine some may have used up their time.
                let _ = line.0.write_all(&[0]).await;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });

    let mut dawdlers = Vec::new();
    for _ in 0..DAWDLERS {
        dawdlers.push(edge.dawdler(&path).await);
        dawdlers.push(edge.dawdler("/api/v1/public/storefront/renata").await);
    }
    let heard = join_all(dawdlers.iter_mut().map(Line::hear_status)).await;
    let of = |status| heard.iter().filter(|heard| **heard == status).count();
    let (taken, busy) = (of(200), of(503));

    let uploads = tokens.iter().map(|token| {
        let (receipt, edge) = (Arc::clone(&receipt), &edge);
        async move {
            let mut line = edge.connect().await;
            line.say(&proof(token, receipt.len())).await;
            line.0.write_all(&receipt).await.unwrap();
            line.hear().await.0
        }
    });
    let began = Instant::now();
    let statuses = join_all(uploads).await;
    let peak = peak_kibibytes(&edge.process);
    println!(
        "{UPLOADS} uploads in {:?}, {taken} readers and {busy} that found no room, at most {} MiB",
        began.elapsed(),
        peak / 1024
    );
    dripping.abort();
    assert!(taken > 0 && busy > DAWDLERS && taken + busy == 2 * DAWDLERS, "{taken} {busy}");
    // On a slow build or machine, the last ones in the queue may be refused as busy.
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)) && statuses.contains(&200), "{statuses:?}");
    assert!(peak < 300 * 1024, "{peak} KiB");
    let left = std::fs::read_dir(edge.installation.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "bodies under way have no names");
}
