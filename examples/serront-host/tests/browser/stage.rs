//! The stage for the browsers: a shop with services of each kind, online payment on, and a browser for each role.

use std::path::PathBuf;

use serde_json::{Value, json};
use serront_core::orders::receipt::samples;
use thirtyfour::Cookie;

use super::browser::{Browser, Language, Visitor};
use super::support::sandbox::{COMPLETED, signed};
use super::support::shop::Shop;
use super::support::{Client, Engine};

/// The storefront's address.
pub(crate) const STOREFRONT: &str = "/s/renata";
/// The seller's bank accounts as they were typed in.
pub(crate) const ACCOUNTS: [&str; 2] = ["123-456-7890", "900 00 1234567 8"];

pub(crate) struct Stage {
    pub(crate) shop: Shop,
    pub(crate) words: Words,
}

/// The kind of words in names and texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Words {
    Usual,
    /// Single words of sixty letters.
    Long,
}

impl Words {
    fn of(self, text: &str) -> String {
        match self {
            Self::Usual => text.to_owned(),
            Self::Long => text.split_whitespace().chain(std::iter::repeat("m")).flat_map(str::chars).take(60).collect(),
        }
    }
}

/// An order as seen by both sides.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) number: u64,
}

impl Order {
    /// The buyer's page.
    pub(crate) fn page(&self) -> String {
        format!("/o/{}", self.token)
    }

    /// The seller's page.
    pub(crate) fn detail(&self) -> String {
        format!("/dashboard/orders/{}", self.id)
    }
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::open_with(Words::Usual).await
    }

    /// The same with such words in all of the shop's texts.
    pub(crate) async fn open_with(words: Words) -> Self {
        let shop = Shop::open(Engine::Sqlite).await;
        let text = |text: &str| words.of(text);
        let client = &shop.client;
        let storefront = json!({
            "slug": "renata", "displayName": text("Studio Renata"),
            "bio": text("Logo, undangan dan desain cetak.\nJakarta, sejak 2019."),
            "whatsappNumber": "+628120000000", "published": true,
            "manualBankAccounts": [
                {"bankName": text("BCA"), "accountNumber": ACCOUNTS[0], "accountHolder": text("Renata Wijaya")},
                {"bankName": text("Bank Mandiri"), "accountNumber": ACCOUNTS[1], "accountHolder": text("Renata Wijaya")},
            ],
            "manualInstructions": text("Transfer sesuai jumlah, lalu unggah bukti transfer."),
        });
        client.call("PUT", "/api/v1/storefront", Some(storefront)).await.data();
        let packages = json!([
            {"name": text("Basic"), "priceIdr": 350_000, "description": text("Satu desain, dua revisi")},
            {"name": text("Premium"), "priceIdr": 900_000, "description": text("Tiga desain, revisi sepuasnya")},
        ]);
        for service in [
            json!({"slug": "undangan", "name": text("Undangan pernikahan"), "pricingType": "package", "packages": packages}),
            json!({"slug": "konsultasi", "name": text("Konsultasi desain"), "pricingType": "hourly", "priceIdr": 200_000}),
        ] {
            client.call("POST", "/api/v1/services", Some(service)).await.data();
        }
        if words == Words::Long {
            let services = client.call("GET", "/api/v1/services", None).await.data();
            let logo = services.as_array().unwrap().iter().find(|service| service["slug"] == "logo").unwrap();
            let change = json!({"name": text("Logo"), "description": text("Logo")});
            client
                .call("PATCH", &format!("/api/v1/services/{}", logo["id"].as_str().unwrap()), Some(change))
                .await
                .data();
        }
        Self { shop, words }
    }

    /// A name or a text with the words of this stage.
    pub(crate) fn text(&self, text: &str) -> String {
        self.words.of(text)
    }

    /// A browser that is not signed in.
    pub(crate) async fn browser(&self, visitor: Visitor) -> Browser {
        Browser::start(visitor, &self.shop.host.url).await
    }

    /// The seller's browser, signed in.
    pub(crate) async fn seller(&self, visitor: Visitor) -> Browser {
        let browser = self.browser(visitor).await;
        sign_in(&browser, "/dashboard", &self.shop.client.key).await;
        browser
    }

    /// An operator's browser, signed in.
    pub(crate) async fn operator(&self, visitor: Visitor) -> Browser {
        let browser = self.browser(visitor).await;
        sign_in(&browser, "/operator", &self.shop.operator().key).await;
        browser
    }

    /// Places an order through the API.
    pub(crate) async fn order(&self, buyer: &str, service: &str, package: Option<&str>) -> Order {
        let (buyer, package) = (self.text(buyer), package.map(|package| self.text(package)));
        let order = json!({
            "serviceSlug": service, "packageName": package, "buyerName": buyer, "buyerPhone": self.text("+628111111111"),
            "buyerEmail": format!("{}@example.com", buyer.split_whitespace().next().unwrap().to_lowercase()),
            "preferredDate": "2027-02-14", "notes": self.text("Warna biru, tanpa foto."),
        });
        let path = "/api/v1/public/storefront/renata/order";
        let placed = self.shop.client.call("POST", path, Some(order)).await.data();
        let token = placed["accessToken"].as_str().unwrap().to_owned();
        self.known_as(token).await
    }

    /// The order with this token.
    pub(crate) async fn known_as(&self, token: String) -> Order {
        let orders = self.shop.client.call("GET", "/api/v1/orders?limit=100", None).await.data();
        let orders = orders["orders"].as_array().unwrap();
        let order = orders.iter().find(|order| order["accessToken"] == json!(token)).unwrap();
        Order { id: order["id"].as_str().unwrap().to_owned(), number: order["number"].as_u64().unwrap(), token }
    }

    /// The order from the seller's API.
    pub(crate) async fn seen(&self, order: &Order) -> Value {
        self.shop.client.call("GET", &format!("/api/v1/orders/{}", order.id), None).await.data()
    }

    pub(crate) async fn confirm(&self, order: &Order) {
        let path = format!("/api/v1/orders/{}/confirm-payment", order.id);
        self.shop.client.call("POST", &path, None).await.data();
    }

    pub(crate) async fn claim(&self, order: &Order) {
        let path = format!("/api/v1/public/orders/{}/claim-payment", order.token);
        self.shop.client.call("POST", &path, None).await.data();
    }

    /// From here on payments are made without a notification.
    pub(crate) fn lose_notifications(&self) {
        self.shop.provider.sandbox().switch(|switches| switches.lose_notifications = true);
    }

    /// Sends the host the notification that a session is completed.
    pub(crate) async fn notify(&self, session: &str, amount: i64) {
        let object = json!({"id": session, "status": "completed", "amount": amount, "currency": "IDR"});
        self.tell(&format!("evt_{session}"), &object).await;
    }

    /// Sends an unreadable notification, which waits for an operator.
    pub(crate) async fn notify_of_nothing(&self, event: &str) {
        self.tell(event, &json!({})).await;
    }

    async fn tell(&self, event: &str, object: &Value) {
        let merchant = self.shop.merchant().await;
        let body = json!({
            "id": event, "type": COMPLETED, "accountId": merchant, "occurredAt": "2026-11-22T09:36:00.000Z",
            "data": {"object": object},
        });
        let body = body.to_string();
        let signature = signed(&self.shop.provider.secret(&merchant), 0, &body);
        let headers = [("x-plugipay-signature", signature.as_str())];
        let client = &self.shop.client;
        client.send("POST", "/api/v1/webhooks/plugipay", &headers, Some(body.into_bytes())).await.data();
    }

    /// The latest session.
    pub(crate) fn last_session(&self) -> String {
        self.shop.provider.sessions().pop().unwrap().0
    }

    /// A file on the buyer's device.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.shop.installation.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// An image that is accepted as a receipt.
    pub(crate) fn receipt(&self) -> PathBuf {
        self.file("receipt.png", samples::PNG)
    }

    /// A seller on the free tier, without anything.
    pub(crate) fn free_seller(&self) -> Client {
        let (_, key) = self.shop.installation.account("free");
        Client::new(&self.shop.host, &key)
    }
}

/// Signs in with a key at the dashboard or as an operator.
pub(crate) async fn sign_in(browser: &Browser, home: &str, key: &str) {
    browser.open(&format!("{home}/login")).await;
    browser.fill("key", key).await;
    browser.press(&format!("{home}/login")).await;
    browser.arrive_at(home).await;
}

/// The same cookie with its value changed in the middle.
pub(crate) fn tampered(cookie: &Cookie) -> Cookie {
    let mut value: Vec<char> = cookie.value.chars().collect();
    let middle = value.len() / 2;
    value[middle] = if value[middle] == 'A' { 'B' } else { 'A' };
    Cookie { value: value.into_iter().collect(), ..cookie.clone() }
}

/// The text of an order's page after its payment is confirmed.
pub(crate) fn confirmed_in(language: Language) -> &'static str {
    language.of("Pembayaran sudah dikonfirmasi", "Payment confirmed")
}
