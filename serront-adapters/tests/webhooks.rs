//! Posting to a real receiver on this machine, over plain HTTP.
#![cfg(feature = "webhooks")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as PlainListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::webhooks::{HttpSink, Resolve, SystemResolver, Targets};
use serront_core::ports::{Post, Posted, Sink, TargetError, TargetRefused};
use serront_core::webhooks::event::EventType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};

const BODY: &str = r#"{"id":"evt_01jtestvector000000000000","note":"kopi susu — 日本"}"#;

fn post_to(url: &str) -> Post {
    Post {
        url: url.to_owned(),
        signature: "t=1767225600,v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc".to_owned(),
        event_id: "evt_01jtestvect0r0000000000001".parse().unwrap(),
        event_type: EventType::OrderPaymentConfirmed,
        delivery_id: "whd_01jtestvect0r0000000000002".parse().unwrap(),
        attempt: 3,
        body: BODY.to_owned(),
    }
}

async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(BODY.as_bytes()) {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
    }
    request
}

/// Takes one request, answers these bytes, and holds the connection open until the sender closes it.
async fn receive_one(listener: TcpListener, answer: &'static [u8]) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let request = read_request(&mut stream).await;
    stream.write_all(answer).await.unwrap();
    // A sender that drops an answer half-read may reset the connection.
    while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
    request
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn posted(answer: &'static [u8]) -> (Posted, Vec<u8>) {
    let (listener, port) = listen().await;
    let receiver = tokio::spawn(receive_one(listener, answer));
    let sink = HttpSink::new(Targets::Development).unwrap();
    let posted = sink.post(&post_to(&format!("http://127.0.0.1:{port}/hooks?token=s3cret"))).await;
    (posted, receiver.await.unwrap())
}

/// Answers each question with the next list; the last one stays.
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

fn scripted(answers: &[&[&str]]) -> Arc<Scripted> {
    let answers = answers.iter().map(|list| list.iter().map(|address| address.parse().unwrap()).collect());
    Arc::new(Scripted(Mutex::new(answers.collect())))
}

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.ok_or_else(|| io::Error::other("no such name"))
    }
}

/// A resolver that never answers.
struct Silent;

#[async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

fn sink_with(targets: Targets, resolver: Arc<dyn Resolve>) -> HttpSink {
    HttpSink::builder(targets).resolver(resolver).resolve_timeout(Duration::from_millis(200)).build().unwrap()
}

fn failed(text: &str) -> Posted {
    Posted::Failed(text.to_owned())
}

fn target_refused(text: &'static str) -> TargetError {
    TargetRefused(text).into()
}

const REFUSED: &str = "must lead to public addresses only";

#[tokio::test]
async fn the_contracts_headers_and_the_bodys_bytes_arrive_exactly() {
    let (posted, request) = posted(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(posted, Posted::Answered(204));
    let request = String::from_utf8(request).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("Host: 127.0.0.1:")).collect();
    lines[1..].sort_unstable();
    let length = format!("Content-Length: {}", BODY.len());
    assert_eq!(
        lines,
        [
            "POST /hooks?token=s3cret HTTP/1.1",
            "Accept: */*",
            &length,
            "Content-Type: application/json",
            "Serront-Delivery-Attempt: 3",
            "Serront-Delivery-Id: whd_01jtestvect0r0000000000002",
            "Serront-Event-Id: evt_01jtestvect0r0000000000001",
            "Serront-Event-Type: serront.order.payment_confirmed.v1",
            "Serront-Signature: t=1767225600,\
             v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc",
            "User-Agent: Serront-Webhooks/1.0",
        ]
    );
}

#[tokio::test]
async fn an_answer_is_its_status_whatever_it_is() {
    for (answer, status) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], 200),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 307),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", 500),
    ] {
        assert_eq!(posted(answer).await.0, Posted::Answered(status));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_though_it_leads_to_the_same_receiver() {
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let (listener, port) = listen().await;
        let url = format!("http://127.0.0.1:{port}/hooks");
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        let receiver = tokio::spawn(async move {
            let mut requests = 0;
            while let Ok(Ok((mut stream, _))) =
                tokio::time::timeout(Duration::from_millis(300), listener.accept()).await
            {
                read_request(&mut stream).await;
                requests += 1;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        let sink = HttpSink::new(Targets::Development).unwrap();
        let code = status.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(sink.post(&post_to(&url)).await, Posted::Answered(code));
        assert_eq!(receiver.await.unwrap(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_answers_body_is_not_waited_for() {
    let (posted, _) = posted(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nthe rest never comes").await;
    assert_eq!(posted, Posted::Answered(200));
}

#[tokio::test]
async fn no_answer_has_a_short_reason() {
    assert_eq!(posted(b"220 mail.example ESMTP\r\n\r\n").await.0, failed("no valid answer"));

    let (listener, port) = listen().await;
    let url = format!("http://127.0.0.1:{port}/?token=s3cret");
    let sink = HttpSink::builder(Targets::Development).timeout(Duration::from_millis(300)).build().unwrap();
    let silent = tokio::spawn(async move {
        let connection = listener.accept().await;
        std::future::pending::<()>().await;
        drop(connection);
    });
    assert_eq!(sink.post(&post_to(&url)).await, failed("timed out"));
    silent.abort();

    let sink = HttpSink::new(Targets::Development).unwrap();
    let (listener, port) = listen().await;
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/?token=s3cret");
    assert_eq!(sink.post(&post_to(&url)).await, failed("connection refused"));

    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"this is not TLS at all, it is plain text").await.unwrap();
        while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
    });
    assert_eq!(sink.post(&post_to(&format!("https://127.0.0.1:{port}/"))).await, failed("TLS failed"));

    let mut unsendable = post_to(&url);
    unsendable.signature = "two\r\nlines".to_owned();
    assert_eq!(sink.post(&unsendable).await, failed("request could not be made"));
}

/// Each interim answer is complete, so a client that reads them all never ends.
#[tokio::test]
async fn interim_answers_without_end_are_no_valid_answer_and_delay_nobody() {
    let flood = PlainListener::bind("127.0.0.1:0").unwrap();
    let flooded = format!("http://{}/", flood.local_addr().unwrap());
    let sender = std::thread::spawn(move || {
        let (mut stream, _) = flood.accept().unwrap();
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
        while stream.write_all(interim.as_bytes()).is_ok() {}
    });
    let (listener, port) = listen().await;
    let receiver = tokio::spawn(receive_one(listener, b"HTTP/1.1 200 OK\r\n\r\n"));
    let sink = HttpSink::new(Targets::Development).unwrap();
    let (flooded, other) = (post_to(&flooded), post_to(&format!("http://127.0.0.1:{port}/")));
    let both = tokio::join!(sink.post(&flooded), sink.post(&other));
    assert_eq!(both, (failed("no valid answer"), Posted::Answered(200)), "and not that it timed out");
    sender.join().unwrap();
    receiver.await.unwrap();
}

#[tokio::test]
async fn a_name_is_resolved_by_the_sinks_own_resolver() {
    let (listener, port) = listen().await;
    let receiver = tokio::spawn(receive_one(listener, b"HTTP/1.1 200 OK\r\n\r\n"));
    let sink = sink_with(Targets::Development, scripted(&[&["127.0.0.1"]]));
    let url = format!("http://receiver.test:{port}/");
    assert_eq!(sink.check_target(&url).await, Ok(()));
    assert_eq!(sink.post(&post_to(&url)).await, Posted::Answered(200));
    let request = String::from_utf8(receiver.await.unwrap()).unwrap();
    assert!(request.contains(&format!("\r\nHost: receiver.test:{port}\r\n")), "{request}");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_refused_when_it_is_posted_to() {
    let listener = PlainListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://rebinding.example:{}/", listener.local_addr().unwrap().port());
    let sink = sink_with(Targets::Public, scripted(&[&["1.1.1.1"], &["127.0.0.1"]]));
    assert_eq!(sink.check_target(&url).await, Ok(()));
    assert_eq!(sink.post(&post_to(&url)).await, failed(&format!("target refused: {REFUSED}")));
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody connected");
}

/// Says of itself how often it was asked.
struct Counting {
    answers: Arc<Scripted>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Counting {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.resolve(name).await
    }
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked_whatever_the_name_says_a_moment_later() {
    let (listener, port) = listen().await;
    let receiver = tokio::spawn(receive_one(listener, b"HTTP/1.1 200 OK\r\n\r\n"));
    // The same port on another address of this machine, where a second resolution would lead.
    let other = PlainListener::bind(("127.0.0.2", port)).unwrap();
    other.set_nonblocking(true).unwrap();
    let answers = scripted(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let resolver = Arc::new(Counting { answers, asked: AtomicUsize::new(0) });
    let sink = sink_with(Targets::Development, resolver.clone());
    assert_eq!(sink.post(&post_to(&format!("http://rebinding.example:{port}/"))).await, Posted::Answered(200));
    receiver.await.unwrap();
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "checked and connected to by one answer");
    assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Runs another test of this file in a process whose environment names proxies: variables can't be set in this one.
#[test]
fn the_environments_proxies_are_not_used() {
    let proxy = PlainListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", "a_name_is_resolved_by_the_sinks_own_resolver"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(variable, &url);
    }
    let output = again.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(proxy.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody connected");
}

#[tokio::test]
async fn one_bad_address_spoils_a_name() {
    for addresses in [&["1.1.1.1", "127.0.0.1"], &["2606:4700:4700::1111", "::ffff:10.0.0.1"]] {
        let sink = sink_with(Targets::Public, scripted(&[addresses]));
        assert_eq!(sink.check_target("https://mixed.example/").await, Err(target_refused(REFUSED)));
        let posted = sink.post(&post_to("https://mixed.example/")).await;
        assert_eq!(posted, failed(&format!("target refused: {REFUSED}")));
    }
}

#[tokio::test]
async fn metadata_services_are_refused_in_development_too() {
    let sink = sink_with(Targets::Development, scripted(&[&["169.254.169.254"]]));
    assert_eq!(sink.check_target("http://metadata.example/").await, Err(target_refused(REFUSED)));
    for url in ["http://metadata.example/", "http://169.254.169.254/", "http://[::ffff:169.254.169.254]/"] {
        assert_eq!(sink.post(&post_to(url)).await, failed(&format!("target refused: {REFUSED}")), "{url}");
    }
}

#[tokio::test]
async fn addresses_need_no_resolver_to_be_refused() {
    let sink = sink_with(Targets::Public, scripted(&[&["1.1.1.1"]]));
    for url in ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://10.0.0.1./"] {
        assert_eq!(sink.check_target(url).await, Err(target_refused(REFUSED)), "{url}");
        assert_eq!(sink.post(&post_to(url)).await, failed(&format!("target refused: {REFUSED}")), "{url}");
    }
    assert_eq!(sink.post(&post_to("http://shop.example/")).await, failed("target refused: must begin with https://"));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_refused() {
    let expected = "must have a name that resolves";
    let resolvers: [Arc<dyn Resolve>; 3] = [scripted(&[]), scripted(&[&[]]), Arc::new(Silent)];
    for resolver in resolvers {
        let sink = sink_with(Targets::Public, resolver);
        assert_eq!(sink.check_target("https://nowhere.example/").await, Err(target_refused(expected)));
        let posted = sink.post(&post_to("https://nowhere.example/")).await;
        assert_eq!(posted, failed(&format!("target refused: {expected}")));
    }
}

#[tokio::test]
async fn the_systems_resolver_is_checked_as_well() {
    let url = "https://localhost/";
    assert_eq!(HttpSink::new(Targets::Public).unwrap().check_target(url).await, Err(target_refused(REFUSED)));
    assert_eq!(HttpSink::new(Targets::Development).unwrap().check_target(url).await, Ok(()));
}

/// A name server on this machine. It answers nothing about names that begin with `silent`; every other one is at the next of these
/// addresses, for an hour, and the last one stays.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const SILENT: &str = "silent";

impl NameServer {
    async fn start(addresses: &[[u8; 4]]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let mut addresses = VecDeque::from(addresses.to_vec());
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                let (name, end) = name_of(&question[..length]);
                let silent = name.starts_with(SILENT);
                log.lock().unwrap().push(name);
                if !silent {
                    socket.send_to(&answer_to(&question[..end], &mut addresses), from).await.unwrap();
                }
            }
        });
        Self { address, asked, task }
    }

    fn resolver(&self) -> SystemResolver {
        SystemResolver::asking(&[self.address])
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok(), "not so: {what}");
}

/// Takes out those that have ended, and answers how many they are.
fn ended<T: 'static>(tasks: &mut JoinSet<T>) -> usize {
    std::iter::from_fn(|| tasks.try_join_next()).count()
}

/// The name that is asked about, and where the question ends.
fn name_of(question: &[u8]) -> (String, usize) {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name.push_str(std::str::from_utf8(&question[at + 1..end]).unwrap());
        name.push('.');
        at = end;
    }
    (name, at + 5)
}

/// There are addresses of the fourth version only.
fn answer_to(question: &[u8], addresses: &mut VecDeque<[u8; 4]>) -> Vec<u8> {
    let has_address = question[question.len() - 4..] == [0, 1, 0, 1];
    let mut answer = question.to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    if has_address {
        let address = if addresses.len() > 1 { addresses.pop_front() } else { addresses.front().copied() };
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        answer.extend(address.unwrap());
    }
    answer
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    line.trim().parse().unwrap()
}

/// Nowhere else they can be counted so simply.
#[cfg(not(target_os = "linux"))]
const fn threads() -> usize {
    0
}

#[tokio::test]
async fn names_whose_servers_are_silent_delay_no_other_name_hold_no_thread_and_end_when_they_are_dropped() {
    const NAMES: usize = 200;
    let server = NameServer::start(&[[127, 0, 0, 1]]).await;
    let resolver = server.resolver();
    assert_eq!(resolver.resolve("live.example").await.unwrap(), [Ipv4Addr::LOCALHOST]);
    let before = threads();
    let mut silent = JoinSet::new();
    for number in 0..NAMES {
        let resolver = resolver.clone();
        silent.spawn(async move { resolver.resolve(&format!("{SILENT}-{number}.example")).await });
    }
    let distinct = || server.asked().into_iter().collect::<BTreeSet<_>>().len();
    // Not of all of them: a datagram may be lost.
    eventually("most are asked for", || distinct() > NAMES / 2).await;
    assert_eq!(resolver.resolve("live.example").await.unwrap(), [Ipv4Addr::LOCALHOST]);
    assert!(ended(&mut silent) < NAMES, "silent ones are still waited for");
    assert!(threads() < before + 16, "{} threads, {before} before", threads());

    silent.shutdown().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = server.asked().len();
    // A question is repeated within less.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(server.asked().len(), asked, "no lookup is left");
}

#[tokio::test]
async fn a_name_is_asked_for_again_each_time_and_no_domain_is_appended_to_it() {
    let server = NameServer::start(&[[1, 1, 1, 1], [127, 0, 0, 1]]).await;
    let sink = sink_with(Targets::Public, Arc::new(server.resolver()));
    assert_eq!(sink.check_target("https://rebinding.example/").await, Ok(()));
    assert_eq!(sink.check_target("https://rebinding.example/").await, Err(target_refused(REFUSED)));
    assert_eq!(sink.check_target("https://intranet/").await, Err(target_refused(REFUSED)));
    let names = server.asked().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(Vec::from_iter(names), ["intranet.", "rebinding.example."]);
}

#[tokio::test]
async fn a_name_server_that_is_silent_leaves_time_for_the_next_one() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (silent, live) = (silent.local_addr().unwrap(), NameServer::start(&[[127, 0, 0, 1]]).await);
    for servers in [[silent, live.address], [live.address, silent]] {
        let resolver = Arc::new(SystemResolver::asking(&servers));
        let sink = HttpSink::builder(Targets::Development).resolver(resolver).build().unwrap();
        assert_eq!(sink.check_target("http://live.example/").await, Ok(()));
    }
}

#[tokio::test]
async fn registrations_of_silent_names_leave_deliveries_alone_and_those_beyond_a_bound_are_told_to_come_again() {
    let server = NameServer::start(&[[127, 0, 0, 1]]).await;
    let sink = HttpSink::builder(Targets::Development).resolver(Arc::new(server.resolver())).build().unwrap();
    let mut checks = JoinSet::new();
    for number in 0..200 {
        let sink = sink.clone();
        checks.spawn(async move { sink.check_target(&format!("http://{SILENT}-{number}.example/")).await });
    }
    eventually("as many as the limit are checked concurrently", || server.asked().len() >= 64).await;
    let (listener, port) = listen().await;
    let receiver = tokio::spawn(receive_one(listener, b"HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(sink.post(&post_to(&format!("http://live.example:{port}/"))).await, Posted::Answered(200));
    receiver.await.unwrap();
    assert!(ended(&mut checks) < 200, "silent ones are still waited for");

    let answers = checks.join_all().await;
    let refused = target_refused("must have a name that resolves");
    assert!(answers.iter().all(|answer| *answer == Err(refused.clone()) || *answer == Err(TargetError::Busy)));
    assert!(answers.contains(&Err(refused)));
}
