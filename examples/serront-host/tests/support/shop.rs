//! A shop with a Plugipay sandbox and the real binary: the setup of tests about money.

use std::time::Duration;

use serde_json::{Value, json};

use super::sandbox::Provider;
use super::{Client, Engine, Host, Installation, Receiver, Reply};

/// A seller on the starter tier with the module on, and clients.
pub struct Shop {
    pub provider: Provider,
    pub installation: Installation,
    pub account: String,
    pub client: Client,
    pub host: Host,
    pub receiver: Receiver,
}

/// So far in the future that no session is found by polling.
pub const NEVER: u32 = 3_600_000;

impl Shop {
    pub async fn open(engine: Engine) -> Self {
        Self::asking_after(engine, NEVER).await
    }

    pub async fn asking_after(engine: Engine, first_poll_ms: u32) -> Self {
        let shop = Self::closed(engine, first_poll_ms).await;
        shop.switch(true).await.data();
        shop
    }

    /// The module is still off.
    pub async fn closed(engine: Engine, first_poll_ms: u32) -> Self {
        let provider = Provider::start().await;
        let first_poll = ("SERRONT_JANITOR_FIRST_POLL_MS", first_poll_ms.to_string());
        let installation = Installation::new(engine).with(provider.settings()).with([first_poll]);
        let (account, key) = installation.account("starter");
        let host = installation.serve();
        let client = Client::new(&host, &key);
        let receiver = Receiver::start().await;
        client.open_shop("renata").await;
        let subscription = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
        client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
        Self { provider, installation, account, client, host, receiver }
    }

    pub async fn switch(&self, on: bool) -> Reply {
        self.client.call("PATCH", "/api/v1/modules", Some(json!({"payment": on}))).await
    }

    pub async fn merchant(&self) -> String {
        let modules = self.client.call("GET", "/api/v1/modules", None).await.data();
        modules["plugipayAccountId"].as_str().unwrap().to_owned()
    }

    /// An order with this quote. Returns its id and token.
    pub async fn order(&self, quote: i64) -> (String, String) {
        let (_, token) = self.client.order("renata").await;
        let id = self.client.order_ids().await.pop().unwrap();
        self.patch(&id, json!({"quotedPriceIdr": quote})).await;
        (id, token)
    }

    pub async fn patch(&self, id: &str, change: Value) {
        self.client.call("PATCH", &format!("/api/v1/orders/{id}"), Some(change)).await.data();
    }

    pub async fn press(&self, token: &str) -> Reply {
        self.client.call("POST", &format!("/api/v1/public/orders/{token}/pay"), None).await
    }

    /// Presses "pay online" and returns the session's id.
    pub async fn pay(&self, token: &str) -> String {
        self.press(token).await.data()["checkoutSessionId"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, id: &str) -> Value {
        self.client.call("GET", &format!("/api/v1/orders/{id}"), None).await.data()["paymentStatus"].clone()
    }

    /// Waits until the order's payment is confirmed.
    pub async fn confirmed(&self, id: &str) {
        let began = std::time::Instant::now();
        while self.status(id).await != "payment_confirmed" {
            assert!(began.elapsed() < Duration::from_secs(60), "{id} is not confirmed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn balance(&self) -> Value {
        self.client.call("GET", "/api/v1/ledger/balance", None).await.data()
    }

    pub async fn entries(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/ledger/entries{query}");
        self.client.call("GET", &path, None).await.data()["entries"].as_array().unwrap().clone()
    }

    pub async fn exceptions(&self) -> Vec<Value> {
        let found = self.client.call("GET", "/api/v1/payments/exceptions", None).await.data();
        found["exceptions"].as_array().unwrap().clone()
    }

    /// A buyer pays this much online; waits until it is booked.
    pub async fn earn(&self, amount: i64) -> String {
        let (id, token) = self.order(amount).await;
        let session = self.pay(&token).await;
        self.provider.pay(&session);
        self.confirmed(&id).await;
        session
    }

    /// A client with an operator's key.
    pub fn operator(&self) -> Client {
        let made = self.installation.admin(&["operator-key", "create"]);
        Client::new(&self.host, made["operatorKey"].as_str().unwrap())
    }

    /// The available balance.
    pub async fn payout_balance(&self) -> Value {
        self.client.call("GET", "/api/v1/payouts/balance", None).await.data()
    }

    /// Requests a payout to this account.
    pub async fn request_payout(&self, amount: i64) -> Reply {
        self.client.call("POST", "/api/v1/payouts", Some(payout_to_bca(amount))).await
    }
}

/// A request for a payout with bank details.
pub fn payout_to_bca(amount: i64) -> Value {
    json!({
        "amount": amount, "bankName": "BCA", "bankAccountNumber": "123-456-7890", "bankAccountHolder": "Renata Wijaya",
    })
}
