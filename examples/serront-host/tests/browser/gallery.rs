//! Every page in both languages, on a phone and on a desktop: checked by axe, weighed, measured, and saved as an image.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::browser::{Browser, Language, Screen, Visitor};
use super::stage::{Order, STOREFRONT, Stage, Words, sign_in};
use super::support::{Client, Receiver};

/// Appended to the addresses of webhooks on the stage with long words.
const LONG_PATH: &str = "?penerima=pemberitahuanpembayarandanpesananuntuktokostudiorenatawijaya";
/// Most bytes of a page, without images.
const HTML_BYTES_MAX: u64 = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_indonesian_is_accessible_small_and_fits_a_phone() {
    walk(Language::Indonesian, Words::Usual).await;
}

/// Some pages scrolled sideways (#16).
#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_moved_sideways_by_words_of_sixty_letters() {
    walk(Language::Indonesian, Words::Long).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_english_is_accessible_small_and_fits_a_phone() {
    walk(Language::English, Words::Usual).await;
}

/// A walk through every page, and the faults found so far.
struct Critic {
    browser: Browser,
    words: Words,
    found: Vec<String>,
}

impl Critic {
    async fn visit(&mut self, path: &str, name: &str) {
        self.browser.open(path).await;
        self.look(name).await;
    }

    /// Checks the open page on every screen.
    async fn look(&mut self, name: &str) {
        for screen in [Screen::Narrow, Screen::Phone, Screen::Desk] {
            let overhang = self.browser.overhang(screen).await;
            if !overhang.is_empty() {
                self.found.push(format!("{name} at {screen:?} is too wide: {}", overhang.join("; ")));
            }
        }
        if self.words == Words::Long {
            self.browser.screenshot(&format!("{name}-long"), Screen::Narrow).await;
            self.browser.resize(Screen::Desk).await;
            return;
        }
        let bytes = self.browser.html_bytes().await;
        if bytes > HTML_BYTES_MAX {
            self.found.push(format!("{name} has {bytes} bytes"));
        }
        for screen in [Screen::Desk, Screen::Phone] {
            self.browser.resize(screen).await;
            let kept_out = self.browser.kept_out_by().await;
            self.found.extend(kept_out.into_iter().map(|what| format!("{name} at {screen:?}: {what}")));
            self.browser.screenshot(name, screen).await;
        }
        self.browser.resize(Screen::Desk).await;
        let complaints = self.browser.complaints().await;
        self.found.extend(complaints.into_iter().map(|what| format!("{name}: {what}")));
    }

    /// Sends a form with values that the browser would refuse.
    async fn send_unchecked(&mut self, action: &str, name: &str) {
        self.browser.run("document.querySelectorAll('form').forEach(form => form.noValidate = true)", &[]).await;
        self.browser.press(action).await;
        self.browser.wait_for("[role=alert]:not(:empty)").await;
        self.look(name).await;
    }
}

async fn walk(language: Language, words: Words) {
    let stage = Stage::open_with(words).await;
    let browser = stage.browser(Visitor::desk(language)).await;
    let shown = Shown::prepare(&stage, &browser).await;
    let mut critic = Critic { browser, words, found: Vec::new() };
    buyers_pages(&stage, &mut critic, &shown).await;
    sellers_orders(&stage, &mut critic, &shown).await;
    sellers_settings(&stage, &mut critic, &shown).await;
    operators_pages(&stage, &mut critic, &shown).await;
    beginners_pages(&stage, &mut critic).await;
    assert!(critic.found.is_empty(), "{}", critic.found.join("\n"));
}

/// The objects to see: an order in each state, money, and failures.
struct Shown {
    unpaid: Order,
    unquoted: Order,
    claimed: Order,
    confirmed: Order,
    declined: Order,
    payouts: Vec<String>,
    delivery: String,
    receiver: Receiver,
}

impl Shown {
    async fn prepare(stage: &Stage, browser: &Browser) -> Self {
        let client = &stage.shop.client;
        let receiver = Receiver::start().await;
        for (path, events) in [("/hook", "*"), ("/nothing", "serront.order.created.v1")] {
            let url = receiver
                .url
                .replace("/hook", &format!("{path}{}", if stage.words == Words::Long { LONG_PATH } else { "" }));
            let subscription = json!({"url": url, "events": [events]});
            client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
        }
        for amount in [1_250_000, 480_000, 2_300_000] {
            stage.shop.earn(amount).await;
        }
        let payouts = payouts(stage).await;
        stage.lose_notifications();
        let shown = Self {
            unquoted: stage.order("Agus", "konsultasi", None).await,
            declined: stage.order("Rina", "logo", None).await,
            confirmed: stage.order("Dewi Lestari", "undangan", Some("Basic")).await,
            claimed: stage.order("Sari Puspita", "undangan", Some("Premium")).await,
            unpaid: stage.order("Budi Santoso", "logo", None).await,
            payouts,
            delivery: failed_delivery(client).await,
            receiver,
        };
        let declined = format!("/api/v1/orders/{}", shown.declined.id);
        client.call("PATCH", &declined, Some(json!({"status": "declined"}))).await.data();
        upload(stage, browser, &shown.claimed).await;
        stage.claim(&shown.claimed).await;
        upload(stage, browser, &shown.confirmed).await;
        stage.claim(&shown.confirmed).await;
        stage.confirm(&shown.confirmed).await;
        // A payment for a closed order.
        let late = stage.order("Tono", "logo", None).await;
        let session = stage.shop.pay(&late.token).await;
        let canceled = format!("/api/v1/orders/{}", late.id);
        client.call("PATCH", &canceled, Some(json!({"status": "canceled"}))).await.data();
        stage.notify(&session, 750_000).await;
        stage.notify_of_nothing("evt_hollow").await;
        shown
    }
}

/// A payout in each state, oldest first.
async fn payouts(stage: &Stage) -> Vec<String> {
    let operator = stage.shop.operator();
    let mut ids = Vec::new();
    for (amount, steps) in [
        (500_000, &[("mark-in-transit", json!({"reference": stage.text("TRF-2201")})), ("mark-paid", json!({}))][..]),
        (250_000, &[("mark-failed", json!({"failureReason": stage.text("The account number is unknown")}))]),
        (300_000, &[("mark-in-transit", json!({"reference": stage.text("TRF-2202")}))]),
        (150_000, &[]),
    ] {
        let request = json!({
            "amount": amount, "bankName": stage.text("BCA"), "bankAccountNumber": "123-456-7890",
            "bankAccountHolder": stage.text("Renata Wijaya"), "note": stage.text("Sewa studio"),
        });
        let asked = stage.shop.client.call("POST", "/api/v1/payouts", Some(request)).await.data();
        let id = asked["id"].as_str().unwrap().to_owned();
        for (step, body) in steps {
            operator.call("POST", &format!("/api/v1/payouts/{id}/{step}"), Some(body.clone())).await.data();
        }
        ids.push(id);
    }
    ids
}

/// A delivery that was answered with an error at least once.
async fn failed_delivery(client: &Client) -> String {
    let began = std::time::Instant::now();
    loop {
        let listed = client.call("GET", "/api/v1/webhook-subscriptions/deliveries?limit=100", None).await.body;
        let is_tried = |row: &&Value| row["responseCode"] == 404;
        if let Some(row) = listed["data"].as_array().unwrap().iter().find(is_tried) {
            return row["id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed().as_secs() < 30, "no delivery was tried");
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
}

/// The text of the buyer's bank.
const TRANSFER: &str = "data:text/html,<meta name=viewport content=width=device-width>\
    <body style='font:18px sans-serif;padding:24px;background:%23eef4ff'>\
    <h2>Transfer berhasil</h2><p>Ke BCA 123-456-7890<br>a.n. Renata Wijaya<h1>Rp 900.000</h1><p>Ref. 8841 2207";

/// Its picture.
async fn receipt(stage: &Stage, browser: &Browser) -> PathBuf {
    let path = stage.shop.installation.path().join("transfer.png");
    if !path.exists() {
        browser.resize(Screen::Phone).await;
        browser.open(TRANSFER).await;
        browser.photograph(&path).await;
        browser.resize(Screen::Desk).await;
    }
    path
}

async fn upload(stage: &Stage, browser: &Browser, order: &Order) {
    let bytes = std::fs::read(receipt(stage, browser).await).unwrap();
    let path = format!("/api/v1/public/orders/{}/proof", order.token);
    stage.shop.client.send("PUT", &path, &[("content-type", "image/png")], Some(bytes)).await.data();
}

async fn buyers_pages(stage: &Stage, critic: &mut Critic, shown: &Shown) {
    critic.visit(STOREFRONT, "storefront").await;
    critic.browser.fill("buyerName", &stage.text("Budi")).await;
    critic.browser.fill("buyerEmail", "budi").await;
    critic.send_unchecked(STOREFRONT, "storefront-refused").await;
    critic.visit("/s/nobody", "not-found").await;

    for (order, name) in [
        (&shown.unpaid, "order-unpaid"),
        (&shown.unquoted, "order-unquoted"),
        (&shown.claimed, "order-claimed"),
        (&shown.confirmed, "order-confirmed"),
        (&shown.declined, "order-declined"),
    ] {
        critic.visit(&order.page(), name).await;
    }
    critic.browser.open(&shown.unpaid.page()).await;
    critic.browser.attach("receipt", &receipt(stage, &critic.browser).await).await;
    critic.browser.wait_for("#receipt-preview[src^=\"blob:\"]").await;
    critic.look("order-preview").await;
    critic.browser.open(&shown.unpaid.page()).await;
    critic.browser.attach("receipt", &stage.file("receipt.pdf", b"%PDF-1.7\n%%EOF\n")).await;
    critic.browser.press("/proof").await;
    critic.browser.read_some("#receipt-error").await;
    critic.look("order-refused").await;
    stage.shop.pay(&shown.unpaid.token).await;
    critic.visit(&format!("{}?paid=1", shown.unpaid.page()), "order-being-confirmed").await;
}

async fn sellers_orders(stage: &Stage, critic: &mut Critic, shown: &Shown) {
    critic.visit("/dashboard/login", "login").await;
    critic.browser.fill("key", "sk_live_").await;
    critic.browser.press("/dashboard/login").await;
    critic.browser.refusal_of("key").await;
    critic.look("login-refused").await;
    critic.visit("/dashboard/login?ended=1", "login-ended").await;

    sign_in(&critic.browser, "/dashboard", &stage.shop.client.key).await;
    critic.look("orders").await;
    critic.visit("/dashboard?q=nobody", "orders-none-found").await;
    for (order, name) in [
        (&shown.unpaid, "order-detail-unpaid"),
        (&shown.unquoted, "order-detail-unquoted"),
        (&shown.claimed, "order-detail-claimed"),
        (&shown.confirmed, "order-detail-confirmed"),
    ] {
        critic.visit(&order.detail(), name).await;
    }
    critic.visit(&format!("{}/confirm", shown.claimed.detail()), "order-confirm").await;
    critic.visit(&format!("{}/rotate-token", shown.claimed.detail()), "order-rotate-token").await;
    critic.browser.open(&shown.unquoted.detail()).await;
    critic.browser.fill("quotedPriceIdr", "1.2").await;
    critic.send_unchecked("/quote", "order-detail-refused").await;
}

async fn sellers_settings(stage: &Stage, critic: &mut Critic, shown: &Shown) {
    critic.visit("/dashboard/storefront", "settings").await;
    critic.browser.fill("whatsappNumber", "0812").await;
    critic.send_unchecked("/dashboard/storefront", "settings-refused").await;

    critic.visit("/dashboard/payments", "payments").await;
    critic.browser.fill_in("/dashboard/payments/payouts", "amount", "900.000.000").await;
    critic.send_unchecked("/dashboard/payments/payouts", "payments-refused").await;
    for (payout, name) in shown.payouts.iter().zip(["paid", "failed", "in-transit", "pending"]) {
        critic.visit(&format!("/dashboard/payments/payouts/{payout}"), &format!("payout-{name}")).await;
    }

    critic.visit("/dashboard/payments/payouts", "payouts").await;
    critic.visit("/dashboard/payments/exceptions", "exceptions").await;

    critic.visit("/dashboard/webhooks", "webhooks").await;
    critic.browser.fill("url", &shown.receiver.url).await;
    critic.browser.press("/dashboard/webhooks").await;
    critic.browser.wait_for("#secret").await;
    critic.look("webhooks-secret").await;
    critic.browser.open("/dashboard/webhooks").await;
    critic.browser.follow("/rotate-secret").await;
    critic.browser.wait_for("form[action$=\"/rotate-secret\"]").await;
    critic.look("webhooks-rotation").await;
    critic.browser.press("/rotate-secret").await;
    critic.browser.wait_for("#secret").await;
    critic.look("webhooks-new-secret").await;
    critic.visit(&format!("/dashboard/webhooks/deliveries/{}", shown.delivery), "delivery").await;

    critic.visit("/dashboard/api-keys", "api-keys").await;
    critic.browser.fill("name", &stage.text("Kasir")).await;
    critic.browser.press("/dashboard/api-keys").await;
    critic.browser.wait_for("#secret").await;
    critic.look("api-keys-secret").await;

    critic.visit("/dashboard/integrations", "integrations-on").await;
    critic.visit("/dashboard/integrations?ask=off", "integrations-question").await;
    critic.browser.press_of("/dashboard/integrations", "payment", "off").await;
    critic.browser.notice().await;
    critic.look("integrations-off").await;
    critic.visit("/dashboard/payments", "payments-off").await;
    stage.shop.switch(true).await.data();
}

async fn operators_pages(stage: &Stage, critic: &mut Critic, shown: &Shown) {
    critic.visit("/operator/login", "operator-login").await;
    sign_in(&critic.browser, "/operator", &stage.shop.operator().key).await;
    critic.look("operator").await;
    for (payout, name) in shown.payouts.iter().zip(["paid", "failed", "in-transit", "pending"]) {
        critic.visit(&format!("/operator/payouts/{payout}"), &format!("operator-payout-{name}")).await;
    }
}

/// A seller on the free tier without anything.
async fn beginners_pages(stage: &Stage, critic: &mut Critic) {
    sign_in(&critic.browser, "/dashboard", &stage.free_seller().key).await;
    critic.look("orders-none").await;
    for (page, name) in [
        ("storefront", "settings-none"),
        ("integrations", "integrations-free"),
        ("payments", "payments-none"),
        ("webhooks", "webhooks-none"),
    ] {
        critic.visit(&format!("/dashboard/{page}"), name).await;
    }
}
