//! The protection of forms and pages, tested without a browser: a plain client sends requests that no browser would.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::json;

use super::stage::{STOREFRONT, Stage};
use super::support;

/// A client with a session's cookie that follows no redirects.
struct Plain {
    http: reqwest::Client,
    url: String,
    cookie: String,
}

impl Plain {
    async fn sign_in(url: &str, home: &str, key: &str) -> Self {
        // The other client sets up TLS for both.
        drop(support::http());
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let answer = http.post(format!("{url}{home}/login")).body(form(&[("key", key)])).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        for wanted in ["HttpOnly", "SameSite=Lax", "Max-Age=43200"] {
            assert!(cookie.contains(wanted), "{wanted}: {cookie}");
        }
        assert!(!cookie.contains("Secure"), "plain http here");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { http, url: url.to_owned(), cookie }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.url)).header("accept", "text/html");
        request.header(COOKIE, &self.cookie).send().await.unwrap()
    }

    /// The token of the session's forms.
    async fn token(&self, path: &str) -> String {
        let page = self.get(path).await.text().await.unwrap();
        let after =
            page.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{path} has no token: {page}"));
        after.split('"').next().unwrap().to_owned()
    }

    /// Sends a form with additional headers. Returns the status and the target of the redirect.
    async fn post(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> (u16, String) {
        let mut request = self.http.post(format!("{}{path}", self.url)).header("accept", "text/html");
        request = request.header(COOKIE, &self.cookie).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(form(fields)).send().await.unwrap();
        let location = answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_its_sessions_token_or_from_another_site_changes_nothing() {
    let stage = Stage::open().await;
    let order = stage.order("Budi", "logo", None).await;
    let seller = Plain::sign_in(&stage.shop.host.url, "/dashboard", &stage.shop.client.key).await;
    let quote = format!("{}/quote", order.detail());
    let confirm = format!("{}/confirm", order.detail());
    let rotate = format!("{}/rotate-token", order.detail());
    let token = seller.token(&order.detail()).await;
    let other = stage.free_seller();
    let others = Plain::sign_in(&stage.shop.host.url, "/dashboard", &other.key).await;
    let foreign_token = others.token("/dashboard").await;

    let payouts = "/dashboard/payments/payouts";
    let webhook = [("url", "https://evil.example/x")];
    let forms: [(&str, &[(&str, &str)]); 7] = [
        (&quote, &[("quotedPriceIdr", "1")]),
        (&confirm, &[]),
        (&rotate, &[("once", "x")]),
        (payouts, &[("amount", "1")]),
        ("/dashboard/webhooks", &webhook),
        ("/dashboard/api-keys", &[("name", "x")]),
        ("/dashboard/integrations", &[("payment", "off")]),
    ];
    let kept = || async {
        let mut kept = BTreeMap::new();
        for path in ["orders", "payouts", "webhook-subscriptions", "api-keys", "modules"] {
            let mut data = stage.shop.client.call("GET", &format!("/api/v1/{path}"), None).await.data();
            // A request is a use of the key.
            for key in data["apiKeys"].as_array_mut().into_iter().flatten() {
                key["lastUsedAt"] = json!(null);
            }
            kept.insert(path, data);
        }
        kept
    };
    let before = kept().await;
    for (path, fields) in forms {
        for (what, headers, token) in [
            ("no token", &[][..], None),
            ("an empty token", &[], Some("")),
            ("another session's token", &[], Some(foreign_token.as_str())),
            ("another site", &[("origin", "https://evil.example")], Some(token.as_str())),
            (
                "another site, as browsers tell",
                &[("sec-fetch-site", "cross-site"), ("origin", "null")],
                Some(token.as_str()),
            ),
            ("a sister site", &[("sec-fetch-site", "same-site")], Some(token.as_str())),
        ] {
            let mut fields = fields.to_vec();
            fields.extend(token.map(|token| ("csrf", token)));
            let (status, _) = seller.post(path, headers, &fields).await;
            assert!((400..500).contains(&status), "{path} with {what}: {status}");
        }
        assert_eq!(kept().await, before, "{path}");
    }
    // Signing out is a form, too.
    assert_eq!(seller.post("/dashboard/logout", &[], &[]).await.0, 401);
    // A session's own form is accepted, and so is one from a browser that names its origin.
    for (headers, price) in [(&[][..], "5000"), (&[("sec-fetch-site", "same-origin")], "6000")] {
        let fields = [("csrf", token.as_str()), ("quotedPriceIdr", price)];
        assert_eq!(seller.post(&quote, headers, &fields).await.0, 303);
        assert_eq!(stage.seen(&order).await["quotedPriceIdr"].to_string(), price);
    }

    // Public forms have no session: only their origin is checked.
    let fields = [("service", "logo"), ("buyerName", "Eve"), ("buyerEmail", "eve@example.com")];
    for headers in [[("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]] {
        for (path, fields) in [(STOREFRONT.to_owned(), &fields[..]), (format!("{}/claim", order.page()), &[])] {
            let (status, _) = seller.post(&path, &headers, fields).await;
            assert!((400..500).contains(&status), "{path}: {status}");
        }
    }
    assert_eq!(stage.seen(&order).await["paymentStatus"], "unpaid");
    let own = [("origin", stage.shop.host.url.as_str())];
    let (status, place) = seller.post(STOREFRONT, &own, &fields).await;
    assert!(status == 303 && place.starts_with("/o/"), "{status} {place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_with_a_token_or_a_session_are_not_cached_and_run_nothing_foreign() {
    let stage = Stage::open().await;
    let order = stage.order("Budi", "logo", None).await;
    let url = &stage.shop.host.url;
    let seller = Plain::sign_in(url, "/dashboard", &stage.shop.client.key).await;
    let operator = Plain::sign_in(url, "/operator", &stage.shop.operator().key).await;
    let (order_page, detail, confirm) = (order.page(), order.detail(), format!("{}/confirm", order.detail()));
    let unknown = format!("/o/{}", "0".repeat(48));
    let pages = [
        (&seller, order_page.as_str(), 200),
        (&seller, unknown.as_str(), 404),
        (&seller, "/dashboard/login", 200),
        (&seller, "/dashboard", 200),
        (&seller, detail.as_str(), 200),
        (&seller, confirm.as_str(), 200),
        (&seller, "/dashboard/storefront", 200),
        (&seller, "/dashboard/integrations", 200),
        (&seller, "/dashboard/payments", 200),
        (&seller, "/dashboard/webhooks", 200),
        (&seller, "/dashboard/api-keys", 200),
        (&operator, "/operator/login", 200),
        (&operator, "/operator", 200),
    ];
    for (visitor, path, status) in pages {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(header("cache-control").contains("no-store"), "{path}: {}", header("cache-control"));
        assert!(header("x-robots-tag").contains("noindex"), "{path}");
        assert_page_policy(&header, path);
    }
    let storefront = seller.get(STOREFRONT).await;
    let header = |name: &str| storefront.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert_eq!(header("x-robots-tag"), "", "a storefront wants to be found");
    assert_page_policy(&header, STOREFRONT);
}

fn assert_page_policy(header: &dyn Fn(&str) -> String, path: &str) {
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    let policy = header("content-security-policy");
    for wanted in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(wanted), "{path}: {wanted} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
}
