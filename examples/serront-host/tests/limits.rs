//! Rate limits by address, by an order's token and for signing in, with a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use in_process::{Ask, House, NOTIFIED, Reply, ask};
use serde_json::json;
use serront_core::primitives::tier::Tier;
use serront_host::{Host, Limits, TrustedProxies, router};
use tower::ServiceExt as _;

mod in_process;

const RATE: u32 = 12;

/// A shop with an order, behind a router that knows the clients' addresses.
struct Desk {
    house: House,
    router: Router,
    key: String,
    token: String,
}

impl Desk {
    async fn open() -> Self {
        Self::with(RATE).await
    }

    async fn with(public_per_minute: u32) -> Self {
        let house = House::open().await;
        let key = house.account(Tier::Business).await;
        house.open_shop(&key, "renata").await;
        let (_, token) = house.order(&key, "renata").await;
        let limits = Limits { public_per_minute, trusted_proxies: TrustedProxies::parse("10.0.0.0/8").unwrap() };
        let host = Host::new(house.host_ports(), house.host_policy(), "http://localhost").with_limits(limits);
        Self { router: router(Arc::new(host)), house, key, token }
    }

    async fn answer(&self, request: Request<Body>) -> Reply {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// Sends a request from this address.
    async fn from(&self, address: &str, ask: Ask) -> Reply {
        let mut request = ask.request();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 4711)));
        self.answer(request).await
    }

    /// Sends this many requests. Returns how many were accepted, and the last answer.
    async fn storm(&self, times: u32, address: &str, ask: Ask) -> (u32, Reply) {
        let mut let_through = 0;
        let mut last = None;
        for _ in 0..times {
            let reply = self.from(address, ask.clone()).await;
            let_through += u32::from(reply.status != 429);
            last = Some(reply);
        }
        (let_through, last.unwrap())
    }

    fn order(&self) -> Ask {
        ask("GET", format!("/api/v1/public/orders/{}", self.token))
    }

    fn shop() -> Ask {
        ask("GET", "/api/v1/public/storefront/renata")
    }
}

#[tokio::test]
async fn one_address_at_one_route_is_limited_and_told_when_to_retry() {
    let desk = Desk::open().await;
    let (let_through, refused) = desk.storm(RATE + 3, "203.0.113.1", Desk::shop()).await;
    assert_eq!(let_through, RATE);
    assert_eq!(refused.refusal(), (429, "RATE_LIMITED".to_owned(), None));
    // Twelve a minute are one every five seconds.
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(refused.header("x-request-id").is_some());

    desk.house.clock.advance(Duration::from_millis(4_999));
    assert_eq!(desk.from("203.0.113.1", Desk::shop()).await.header("retry-after"), Some("1"));
    desk.house.clock.advance(Duration::from_millis(1));
    desk.from("203.0.113.1", Desk::shop()).await.data();
    assert_eq!(desk.from("203.0.113.1", Desk::shop()).await.status, 429);
    desk.house.clock.advance(Duration::from_secs(60));
    assert_eq!(desk.storm(RATE + 1, "203.0.113.1", Desk::shop()).await.0, RATE);
}

#[tokio::test]
async fn other_addresses_and_other_routes_are_counted_apart() {
    let desk = Desk::open().await;
    desk.storm(RATE + 1, "203.0.113.1", Desk::shop()).await;
    assert_eq!(desk.from("203.0.113.2", Desk::shop()).await.status, 200);
    assert_eq!(desk.from("203.0.113.1", desk.order()).await.status, 200);
    assert_eq!(desk.from("203.0.113.1", ask("GET", "/s/renata")).await.status, 200);
    // The route's pattern is counted, not the address.
    let unknown = ask("GET", "/api/v1/public/storefront/nobody");
    assert_eq!(desk.from("203.0.113.1", unknown).await.status, 429);
}

#[tokio::test]
async fn ipv6_clients_are_counted_by_their_network() {
    let desk = Desk::open().await;
    for host in 0..RATE {
        assert_eq!(desk.from(&format!("2001:db8::{host:x}"), Desk::shop()).await.status, 200);
    }
    assert_eq!(desk.from("2001:db8::ffff", Desk::shop()).await.status, 429);
    assert_eq!(desk.from("2001:db8:0:1::1", Desk::shop()).await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_counted_and_elsewhere_the_header_is_nothing() {
    let desk = Desk::open().await;
    let told = |address: &str| Desk::shop().header("x-forwarded-for", address);
    desk.storm(RATE + 1, "10.0.0.1", told("203.0.113.1")).await;
    assert_eq!(desk.from("10.0.0.2", told("203.0.113.1")).await.status, 429);
    assert_eq!(desk.from("10.0.0.1", told("203.0.113.2")).await.status, 200);
    for guess in 0..RATE {
        assert_eq!(desk.from("198.51.100.1", told(&format!("203.0.113.{guess}"))).await.status, 200);
    }
    assert_eq!(desk.from("198.51.100.1", told("203.0.113.99")).await.status, 429);
}

#[tokio::test]
async fn one_orders_routes_are_limited_from_however_many_addresses() {
    let desk = Desk::open().await;
    let mut let_through = 0;
    for address in 0..60 {
        let reply = desk.from(&format!("203.0.113.{address}"), desk.order()).await;
        let_through += u32::from(reply.status == 200);
    }
    assert_eq!(let_through, 4 * RATE);
    let page = ask("GET", format!("/o/{}", desk.token));
    assert_eq!(desk.from("198.51.100.1", page).await.status, 429, "the page is one of them");
    assert_eq!(desk.from("198.51.100.1", Desk::shop()).await.status, 200);
    for at in 0..desk.token.len() {
        let (before, rest) = desk.token.split_at(at);
        let (digit, after) = rest.split_at(1);
        let path = format!("/api/v1/public/orders/{before}%{:02X}{after}", digit.as_bytes()[0]);
        assert_eq!(desk.from("198.51.100.2", ask("GET", path)).await.status, 429, "the same token in other letters");
        desk.house.clock.advance(Duration::from_millis(1));
    }
    let other = ask("GET", format!("/api/v1/public/orders/{}", "0".repeat(desk.token.len())));
    assert_eq!(desk.from("198.51.100.1", other).await.status, 404, "another token has its own");
}

#[tokio::test]
async fn an_open_order_page_asks_for_its_news_within_the_limits() {
    let desk = Desk::with(Limits::default().public_per_minute).await;
    let page = ask("GET", format!("/o/{}", desk.token));
    // Three tabs, each at the shortest interval, for ten minutes.
    for _ in 0..300 {
        for _ in 0..3 {
            assert_eq!(desk.from("203.0.113.1", page.clone()).await.status, 200);
        }
        desk.house.clock.advance(Duration::from_secs(2));
    }
}

#[tokio::test]
async fn signing_in_is_limited_more_strictly_and_looking_at_the_form_is_not() {
    let desk = Desk::open().await;
    let guess = |page: &str| ask("POST", page).header("accept", "text/html").body("key=sk_live_guess");
    let (let_through, refused) = desk.storm(RATE, "203.0.113.1", guess("/dashboard/login")).await;
    assert_eq!(let_through, RATE / 6);
    let page = String::from_utf8(refused.bytes.clone()).unwrap();
    assert!(page.contains("Terlalu banyak permintaan") && page.starts_with("<!DOCTYPE html>"), "{page}");
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(desk.from("203.0.113.1", guess("/operator/login")).await.status, 429, "both are one");
    assert_eq!(desk.from("203.0.113.1", ask("GET", "/dashboard/login")).await.status, 200);
    assert_eq!(desk.from("203.0.113.2", guess("/dashboard/login")).await.status, 401);
}

#[tokio::test]
async fn what_has_a_key_or_a_signature_is_not_counted() {
    let desk = Desk::open().await;
    for (ask, status) in
        [(ask("GET", "/healthz"), 200), (ask("GET", "/api/v1/orders"), 401), (ask("POST", NOTIFIED), 401)]
    {
        for _ in 0..2 * RATE {
            assert_eq!(desk.from("203.0.113.1", ask.clone()).await.status, status);
        }
    }
}

#[tokio::test]
async fn zero_is_no_limit() {
    let desk = Desk::with(0).await;
    assert_eq!(desk.storm(500, "203.0.113.1", desk.order()).await.0, 500);
}

#[tokio::test]
async fn unreceived_answers_leave_room_only_for_answers_of_commands() {
    let desk = Desk::with(0).await;
    let text = "\u{1f58b}".repeat(2_000);
    let packages: Vec<_> =
        (1..=5).map(|n| json!({"name": format!("P{n}"), "priceIdr": 1_000, "description": text})).collect();
    for number in 1..=12 {
        let service =
            json!({"slug": format!("s-{number}"), "name": "S", "pricingType": "package", "packages": packages});
        desk.house.send(ask("POST", "/api/v1/services").key(&desk.key).json(&service)).await.data();
    }
    let answer = async |ask: Ask| desk.router.clone().oneshot(ask.request()).await.unwrap();
    let page = |method: &'static str| ask(method, "/s/renata").header("accept", "text/html");
    let mut answers = Vec::new();
    // First the long answers, then shorter ones, until none fits.
    for read in [Desk::shop(), page("GET")] {
        let last = loop {
            assert!(answers.len() < 1_000, "no end of them");
            let answer = answer(read.clone()).await;
            if answer.status() != 200 {
                break answer;
            }
            answers.push(answer);
        };
        assert_eq!((last.status().as_u16(), &last.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    }
    let bytes: u64 = answers.iter().map(|answer| answer.body().size_hint().exact().unwrap()).sum();
    assert!((23..=25).contains(&(bytes >> 20)), "{bytes}");
    assert_eq!(answer(page("POST").body("serviceSlug=x")).await.status(), 503, "a form that did nothing");
    let order = json!({"serviceSlug": "logo", "buyerName": "Budi", "buyerEmail": "budi@example.com"});
    let placed = answer(ask("POST", "/api/v1/public/storefront/renata/order").json(&order)).await;
    assert_eq!(placed.status(), 201);
    assert_eq!(answer(ask("GET", "/api/v1/services").key(&desk.key)).await.status(), 200, "who has a key has room");
    drop(answers);
    assert_eq!(answer(Desk::shop()).await.status(), 200);
}

#[tokio::test]
async fn nested_in_an_app_that_tells_no_peer_only_the_orders_limit_holds() {
    let desk = Desk::open().await;
    let app = Router::new().nest("/payments", desk.router.clone());
    let asked = |path: String| {
        let app = app.clone();
        async move {
            let request = ask("GET", path).request();
            app.oneshot(request).await.unwrap().status().as_u16()
        }
    };
    for _ in 0..5 * RATE {
        assert_eq!(asked("/payments/api/v1/public/storefront/renata".to_owned()).await, 200);
    }
    let mut let_through = 0;
    for _ in 0..5 * RATE {
        let_through += u32::from(asked(format!("/payments/o/{}", desk.token)).await == 200);
    }
    assert_eq!(let_through, 4 * RATE);
}

#[tokio::test]
async fn nested_in_an_app_that_tells_the_peer_every_limit_holds() {
    let desk = Desk::open().await;
    let app = Router::new().nest("/payments", desk.router.clone());
    let mut statuses = Vec::new();
    for _ in 0..=RATE {
        let mut request = ask("GET", "/payments/s/renata").request();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 1], 4711))));
        statuses.push(app.clone().oneshot(request).await.unwrap().status().as_u16());
    }
    assert_eq!((statuses[0], statuses[RATE as usize - 1], statuses[RATE as usize]), (200, 200, 429));
}
