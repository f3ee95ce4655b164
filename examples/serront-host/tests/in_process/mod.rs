//! The router inside the test's process: a real database and real receipts in a temporary folder, a clock that the
//! test moves, and an outside world that only records.
#![allow(unreachable_pub, dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use serront_adapters::proofs::ObjectReceipts;
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::SystemSecrets;
use serront_adapters::webhooks::{HttpSink, Targets};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::WebhookSecret;
use serront_core::decide::AdjustmentInput;
use serront_core::orders::receipt::samples;
use serront_core::policy::Policy;
use serront_core::ports::{Clock as _, Plugipay, Post, Posted, Sink, TargetError};
use serront_core::primitives::tier::Tier;
use serront_core::service::{Commands, Environment};
use serront_core::webhooks::signature::sign;
use serront_core::work::dispatch::Dispatcher;
use serront_core::work::janitor::Janitor;
use serront_host::{Host, Ports};
use serront_testkit::memory::{CountingIds, Mailbox, ManualClock, MemorySealer, RecordingSink};
use serront_testkit::sandbox::Sandbox;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// A target that the check of public addresses accepts without a name server.
pub const HOOK: &str = "https://hooks.example.com/serront";
/// The route of Plugipay's notifications.
pub const NOTIFIED: &str = "/api/v1/webhooks/plugipay";
/// A target whose check panics inside a handler.
pub const PANIC: &str = "https://hooks.example.com/panic";

/// Checks targets like `serve`, and posts nothing.
#[derive(Debug)]
struct TestSink {
    checks: HttpSink,
    posts: Arc<RecordingSink>,
}

#[async_trait::async_trait]
impl Sink for TestSink {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        assert_ne!(url, PANIC, "as told");
        if url.starts_with(HOOK) { Ok(()) } else { self.checks.check_target(url).await }
    }

    async fn post(&self, post: &Post) -> Posted {
        self.posts.post(post).await
    }
}

/// A router with all its ports.
pub struct House {
    pub router: Router,
    pub host: Arc<Host>,
    pub clock: Arc<ManualClock>,
    pub mailbox: Arc<Mailbox>,
    pub posts: Arc<RecordingSink>,
    pub plugipay: Arc<Sandbox>,
    pub storage: Arc<SqliteStorage>,
    pub folder: TempDir,
    ports: Ports,
    policy: Policy,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

pub fn ask(method: &str, path: impl Into<String>) -> Ask {
    Ask { method: method.parse().unwrap(), path: path.into(), headers: Vec::new(), body: Vec::new() }
}

impl Ask {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    pub fn idempotent(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn image(self, media_type: &str, bytes: &[u8]) -> Self {
        self.header("content-type", media_type).body(bytes)
    }

    pub fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body)).unwrap()
    }
}

impl Reply {
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub fn data(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, String::from_utf8_lossy(&self.bytes));
        let body = self.body();
        assert_eq!(body["error"], Value::Null);
        body["data"].clone()
    }

    /// Status, code and param of a refusal.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String, Option<String>) {
        let body = self.body();
        assert_eq!(body["data"], Value::Null, "{body}");
        let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
        (self.status, text("code").expect("a code"), text("param"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl House {
    /// Without a Plugipay.
    pub async fn open() -> Self {
        Self::with(Policy::default()).await
    }

    pub async fn with(policy: Policy) -> Self {
        Self::furnished(policy, false).await
    }

    /// With a Plugipay.
    pub async fn online() -> Self {
        Self::furnished(Policy::default(), true).await
    }

    async fn furnished(policy: Policy, online: bool) -> Self {
        static PROVIDER: std::sync::Once = std::sync::Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::default());
        let (mailbox, posts) = (Arc::new(Mailbox::default()), Arc::new(RecordingSink::default()));
        let storage = Arc::new(SqliteStorage::open(&folder.path().join("serront.db"), clock.clone()).await.unwrap());
        let checks = HttpSink::new(Targets::Public).unwrap();
        let plugipay = Arc::new(Sandbox::new(clock.clone()));
        let ports = Ports {
            storage: storage.clone(),
            receipts: Arc::new(ObjectReceipts::local(folder.path().join("proofs")).unwrap()),
            mailer: mailbox.clone(),
            sink: Arc::new(TestSink { checks, posts: posts.clone() }),
            plugipay: online.then(|| Arc::clone(&plugipay) as Arc<dyn Plugipay>),
            clock: clock.clone(),
            ids: Arc::new(CountingIds::default()),
            secrets: Arc::new(SystemSecrets),
            sealer: Arc::new(MemorySealer::default()),
        };
        let host = Arc::new(Host::new(ports.clone(), policy.clone(), "http://localhost"));
        let router = serront_host::router(host.clone());
        Self { router, host, clock, mailbox, posts, plugipay, storage, folder, ports, policy }
    }

    fn environment(&self) -> Environment<'_> {
        let Ports { clock, ids, secrets, sealer, .. } = &self.ports;
        Environment {
            clock: clock.as_ref(),
            ids: ids.as_ref(),
            secrets: secrets.as_ref(),
            sealer: sealer.as_ref(),
            policy: &self.policy,
        }
    }

    /// The ports, for a second host.
    pub fn host_ports(&self) -> Ports {
        self.ports.clone()
    }

    /// The host's policy.
    pub fn host_policy(&self) -> Policy {
        self.policy.clone()
    }

    /// The commands without a route.
    pub fn commands(&self) -> Commands<'_, SqliteStorage> {
        Commands::new(&self.storage, self.environment())
    }

    /// Opens an account and returns its key.
    pub async fn account(&self, tier: Tier) -> String {
        let (_, key) = self.commands().open_account("Studio Renata", tier).await.unwrap().value;
        key.key.reveal().to_owned()
    }

    pub async fn send(&self, ask: Ask) -> Reply {
        self.answer(ask.request()).await
    }

    pub async fn answer(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// Sends all requests concurrently.
    pub async fn send_all(self: &Arc<Self>, asks: impl IntoIterator<Item = Ask>) -> Vec<Reply> {
        let tasks = asks.into_iter().map(|ask| {
            let house = Arc::clone(self);
            tokio::spawn(async move { house.send(ask).await })
        });
        join_all(tasks).await.into_iter().map(Result::unwrap).collect()
    }

    pub async fn get(&self, key: &str, path: &str) -> Value {
        self.send(ask("GET", path).key(key)).await.data()
    }

    /// Carries out due effects.
    pub async fn dispatch(&self) {
        let Ports { storage, mailer, sink, receipts, .. } = &self.ports;
        let (storage, mailer) = (storage.as_ref(), mailer.as_ref());
        let dispatcher = Dispatcher::new(storage, mailer, sink.as_ref(), receipts.as_ref(), self.environment());
        while dispatcher.step(self.ports.clock.now(), 64).await.unwrap().attempted > 0 {}
    }

    /// Carries out due errands.
    pub async fn tidy(&self) {
        let janitor = Janitor::new(self.host.online());
        while janitor.step(self.ports.clock.now(), 64).await.unwrap().attempted > 0 {}
    }

    /// Switches the payment module and returns the merchant's account at Plugipay.
    pub async fn switch_payment(&self, key: &str, on: bool) -> String {
        let ask = ask("PATCH", "/api/v1/modules").key(key).json(&json!({"payment": on}));
        self.send(ask).await.data()["plugipayAccountId"].as_str().unwrap().to_owned()
    }

    /// The buyer presses "pay online". Returns the session's id.
    pub async fn pay(&self, token: &str) -> String {
        let pay = ask("POST", format!("/api/v1/public/orders/{token}/pay"));
        self.send(pay).await.data()["checkoutSessionId"].as_str().unwrap().to_owned()
    }

    /// The secret of a merchant's endpoint.
    pub fn endpoint_secret(&self, merchant: &str) -> WebhookSecret {
        self.plugipay.endpoints().into_iter().rfind(|endpoint| endpoint.account_id == merchant).unwrap().secret
    }

    /// These bytes as a notification of this merchant, signed now.
    pub fn signed(&self, merchant: &str, body: &str) -> Ask {
        let signature = sign(&self.endpoint_secret(merchant), self.clock.now(), body);
        ask("POST", NOTIFIED).header("x-plugipay-signature", signature).body(body)
    }

    /// A notification that a session was paid.
    pub fn notification(&self, merchant: &str, event: &str, session: &Value) -> Ask {
        let body = json!({
            "id": event, "type": "plugipay.checkout_session.completed.v1", "accountId": merchant,
            "occurredAt": self.clock.now(), "data": {"object": session},
        });
        self.signed(merchant, &body.to_string())
    }

    /// The buyer pays this much online, and Plugipay sends a notification. Returns the session's id.
    pub async fn settle(&self, token: &str, amount: i64) -> String {
        let session = self.pay(token).await;
        assert!(self.plugipay.pay_amount(&session, amount, "IDR"));
        for told in self.plugipay.take_notifications() {
            let ask = ask("POST", NOTIFIED).header("x-plugipay-signature", told.signature()).body(&told.body);
            self.send(ask).await.data();
        }
        session
    }

    /// Creates an operator's key.
    pub async fn operator(&self) -> String {
        let (_, key) = self.commands().create_operator_key("The desk").await.unwrap();
        key.reveal().to_owned()
    }

    /// Requests a payout and returns its id.
    pub async fn payout(&self, key: &str, amount: i64) -> String {
        let ask = ask("POST", "/api/v1/payouts").key(key).json(&payout(amount));
        self.send(ask).await.data()["id"].as_str().unwrap().to_owned()
    }

    /// An operator marks a payout.
    pub async fn mark(&self, operator: &str, payout: &str, step: &str, body: &Value) -> Value {
        let ask = ask("POST", format!("/api/v1/payouts/{payout}/{step}")).key(operator).json(body);
        self.send(ask).await.data()
    }

    /// An operator adjusts a seller's balance. Returns the adjustment's id.
    pub async fn adjust(&self, key: &str, amount: i64, reference: &str) -> String {
        let account = self.get(key, "/api/v1/orders?limit=1").await["orders"][0]["accountId"].clone();
        let account = account.as_str().unwrap().parse().unwrap();
        let (reason, reference) = ("A refund.".to_owned(), reference.to_owned());
        let input = AdjustmentInput { amount, reason, reference };
        let operator = Actor::host("the desk").unwrap();
        self.commands().adjust(account, &input, &operator).await.unwrap().value.id.to_string()
    }

    /// Serves on loopback, for tests that need a connection. Returns the address.
    pub async fn listen(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, self.router.clone()).into_future());
        address
    }

    /// A published storefront at this slug with a service of 750,000 rupiah.
    pub async fn open_shop(&self, key: &str, slug: &str) {
        self.send(ask("PUT", "/api/v1/storefront").key(key).json(&storefront(slug))).await.data();
        self.send(ask("POST", "/api/v1/services").key(key).json(&service("logo"))).await.data();
    }

    /// Places an order and returns its id and token.
    pub async fn order(&self, key: &str, slug: &str) -> (String, String) {
        let path = format!("/api/v1/public/storefront/{slug}/order");
        let placed = self.send(ask("POST", path).json(&buyers_order())).await.data();
        let page = self.get(key, "/api/v1/orders?limit=1").await;
        (page["orders"][0]["id"].as_str().unwrap().to_owned(), placed["accessToken"].as_str().unwrap().to_owned())
    }

    /// Uploads a receipt.
    pub async fn upload(&self, token: &str) {
        let path = format!("/api/v1/public/orders/{token}/proof");
        self.send(ask("PUT", path).image("image/png", samples::PNG)).await.data();
    }

    /// Everything that a seller and its buyers can see, the audit trail, and the number of stored receipts.
    pub async fn picture(&self, key: &str, slug: &str) -> Value {
        let orders = self.get(key, "/api/v1/orders?limit=100").await;
        let mut each = Vec::new();
        for order in orders["orders"].as_array().unwrap() {
            let (id, token) = (order["id"].as_str().unwrap(), order["accessToken"].as_str().unwrap());
            let account = order["accountId"].as_str().unwrap().parse().unwrap();
            let proof = self.send(ask("GET", format!("/api/v1/orders/{id}/proof")).key(key)).await;
            let audit = self.commands().audit(account, id.parse().unwrap()).await.unwrap();
            each.push(json!({
                "seller's": self.get(key, &format!("/api/v1/orders/{id}")).await,
                "buyer's": self.send(ask("GET", format!("/api/v1/public/orders/{token}"))).await.data(),
                "proof": if proof.status == 200 { json!(proof.bytes) } else { Value::Null },
                "audit": format!("{audit:?}"),
            }));
        }
        // With the module off these can't be read.
        let payouts = self.send(ask("GET", "/api/v1/payouts?limit=100").key(key)).await.body()["data"].clone();
        let mut steps = Vec::new();
        for payout in payouts["payouts"].as_array().into_iter().flatten() {
            let (account, id) = (payout["accountId"].as_str().unwrap(), payout["id"].as_str().unwrap());
            let audit = self.commands().payout_audit(account.parse().unwrap(), id.parse().unwrap()).await.unwrap();
            steps.push(format!("{audit:?}"));
        }
        let shop = self.send(ask("GET", format!("/api/v1/public/storefront/{slug}"))).await;
        json!({
            "storefront": self.get(key, "/api/v1/storefront").await,
            "shop": (shop.status, shop.body()["data"].clone()),
            "services": self.get(key, "/api/v1/services").await,
            "orders": orders,
            "each": each,
            "modules": self.get(key, "/api/v1/modules").await,
            "keys": self.get(key, "/api/v1/api-keys").await,
            "subscriptions": self.get(key, "/api/v1/webhook-subscriptions").await,
            "deliveries": self.get(key, "/api/v1/webhook-subscriptions/deliveries?limit=100").await,
            "billing": self.get(key, "/api/v1/billing").await,
            "exceptions": self.get(key, "/api/v1/payments/exceptions?limit=100").await,
            "ledger": self.send(ask("GET", "/api/v1/ledger/balance").key(key)).await.body()["data"],
            "entries": self.send(ask("GET", "/api/v1/ledger/entries?limit=100").key(key)).await.body()["data"],
            "payouts": payouts,
            "steps": steps,
            "funds": self.send(ask("GET", "/api/v1/payouts/balance").key(key)).await.body()["data"],
            "bank account": self.send(ask("GET", "/api/v1/payouts/bank-account").key(key)).await.body()["data"],
            "uploads": self.uploads(),
        })
    }

    /// The number of files in the folder of receipts.
    pub fn uploads(&self) -> usize {
        let mut folders = vec![self.folder.path().join("proofs")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files += 1 }
            }
        }
        files
    }
}

pub fn storefront(slug: &str) -> Value {
    json!({
        "slug": slug, "displayName": "Studio Renata", "bio": "Logos since 2019.", "whatsappNumber": "+628120000000",
        "manualBankAccounts": [{"bankName": "BCA", "accountNumber": "123-456-7890", "accountHolder": "Renata"}],
        "manualInstructions": "Tulis nomor pesanan sebagai berita.", "published": true
    })
}

pub fn service(slug: &str) -> Value {
    json!({"slug": slug, "name": "Logo design", "pricingType": "fixed", "priceIdr": 750_000})
}

/// A request for a payout of this much, with all fields.
pub fn payout(amount: i64) -> Value {
    json!({
        "amount": amount, "currency": "IDR", "bankCode": "014", "bankName": "BCA", "bankAccountNumber": "123-456-7890",
        "bankAccountHolder": "Renata", "note": "Untuk sewa."
    })
}

pub fn buyers_order() -> Value {
    json!({"serviceSlug": "logo", "buyerName": "Budi", "buyerEmail": "budi@example.com"})
}

/// An object with some fields replaced; null included.
pub fn but(mut object: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// An object without one field.
pub fn without(mut object: Value, field: &str) -> Value {
    object.as_object_mut().unwrap().remove(field).unwrap();
    object
}
