//! The seller's side: finding orders, and every form of the dashboard.

use serde_json::json;

use super::browser::{Language, Visitor};
use super::stage::{ACCOUNTS, Stage, sign_in};
use super::support::{Client, Receiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_quoted_and_moved_along() {
    let stage = Stage::open().await;
    let (budi, sari) = (stage.order("Budi", "logo", None).await, stage.order("Sari", "konsultasi", None).await);
    let claimed = stage.order("Dewi", "undangan", Some("Basic")).await;
    stage.claim(&claimed).await;
    let seller = stage.seller(Visitor::desk(Language::English)).await;
    // Orders that wait for review come first.
    let awaiting = seller.text_of("#awaiting").await;
    assert!(awaiting.contains("Dewi") && !awaiting.contains("Budi"), "{awaiting}");
    let is_listed = |detail: String| {
        let seller = &seller;
        async move { seller.has(&format!("a[href$=\"{detail}\"]")).await }
    };
    seller.fill("q", "budi").await;
    seller.press("/dashboard").await;
    seller.arrive("/dashboard?").await;
    assert_eq!(seller.value("q").await, "budi");
    assert!(is_listed(budi.detail()).await && !is_listed(sari.detail()).await);
    seller.open("/dashboard?paymentStatus=payment_claimed").await;
    assert!(is_listed(claimed.detail()).await && !is_listed(budi.detail()).await);
    seller.open("/dashboard?status=requested&paymentStatus=unpaid").await;
    assert!(is_listed(budi.detail()).await && is_listed(sari.detail()).await);
    seller.open("/dashboard?q=nobody").await;
    assert!(!is_listed(budi.detail()).await && !seller.text_of("#main").await.is_empty());

    // The seller quotes an hourly service.
    seller.open(&sari.detail()).await;
    seller.fill("quotedPriceIdr", "many").await;
    seller.press("/quote").await;
    seller.refusal_of("quotedPriceIdr").await;
    assert_eq!(stage.seen(&sari).await["quotedPriceIdr"], 0);
    // Switching the language there leads to a page, not to an address that only accepts forms.
    seller.click("header a[hreflang=id]").await;
    seller.arrive_at(&sari.detail()).await;
    seller.fill("quotedPriceIdr", "1.200.000").await;
    seller.press("/quote").await;
    seller.notice().await;
    assert_eq!(stage.seen(&sari).await["quotedPriceIdr"], 1_200_000);
    for status in ["confirmed", "in_progress"] {
        seller.choose("status", status).await;
        seller.press("/status").await;
        seller.notice().await;
        assert_eq!(stage.seen(&sari).await["status"], status);
    }
    assert!(!seller.has("option[value=requested], button[value=requested]").await, "there is no way back");
    assert_eq!(seller.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storefronts_settings_are_saved_and_a_mistake_is_shown_at_its_field() {
    let stage = Stage::open().await;
    let seller = stage.seller(Visitor::phone(Language::Indonesian)).await;
    let settings = || async { stage.shop.client.call("GET", "/api/v1/storefront", None).await.data() };
    let before = settings().await;
    seller.open("/dashboard/storefront").await;
    assert_eq!(seller.value("accountNumber1").await, ACCOUNTS[1]);
    seller.fill("whatsappNumber", "0812").await;
    seller.fill("bio", "Baru").await;
    seller.press("/dashboard/storefront").await;
    seller.refusal_of("whatsappNumber").await;
    assert_eq!(
        (seller.value("bio").await.as_str(), settings().await),
        ("Baru", before),
        "nothing typed is lost, nothing kept"
    );

    seller.fill("whatsappNumber", "+62 812-3456-7890").await;
    if seller.has("[name=bankName2]").await {
        for (field, text) in [("bankName2", "BRI"), ("accountNumber2", "0012 3456"), ("accountHolder2", "Renata")] {
            seller.fill(field, text).await;
        }
    }
    seller.tick("hideBranding", true).await;
    seller.press("/dashboard/storefront").await;
    seller.notice().await;
    let after = settings().await;
    assert_eq!(after["bio"], "Baru");
    assert_eq!(after["hideBranding"], true);
    assert_eq!(
        after["manualBankAccounts"][2],
        json!({"bankName": "BRI", "accountNumber": "0012 3456", "accountHolder": "Renata"})
    );
    assert_eq!(after["published"], true);

    // Another seller's slug.
    stage.free_seller().open_shop("taken").await;
    seller.fill("slug", "taken").await;
    seller.press("/dashboard/storefront").await;
    seller.refusal_of("slug").await;
    assert_eq!(settings().await, after);
    assert_eq!(seller.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn online_payment_is_switched_and_the_plans_gate_is_explained() {
    let stage = Stage::open().await;
    let seller = stage.seller(Visitor::desk(Language::English)).await;
    let is_on =
        || async { stage.shop.client.call("GET", "/api/v1/modules", None).await.data()["modules"]["payment"].clone() };
    seller.open("/dashboard/integrations").await;
    let told = seller.text_of("#main").await;
    assert!(told.contains("0.3") && told.contains("free"), "{told}");
    for (switch, on) in [("off", false), ("on", true), ("off", false)] {
        if !on {
            // Buyers lose a way to pay, so the page asks first.
            seller.follow("/dashboard/integrations?ask=off").await;
            seller.arrive_at("/dashboard/integrations?ask=off").await;
            assert_eq!(is_on().await, true, "a question switches nothing");
        }
        seller.press_of("/dashboard/integrations", "payment", switch).await;
        seller.notice().await;
        assert_eq!(is_on().await, on);
    }
    // With the module off, the payments page says so instead of failing.
    seller.open("/dashboard/payments").await;
    seller.wait_for("a[href$=\"/dashboard/integrations\"]").await;
    assert_eq!(seller.complaints().await, [""; 0]);

    let free = stage.browser(Visitor::desk(Language::English)).await;
    sign_in(&free, "/dashboard", &stage.free_seller().key).await;
    free.open("/dashboard/integrations").await;
    let told = free.text_of("#main").await;
    assert!(told.contains("Starter"), "{told}");
    assert!(
        !free.has("button[name=payment][value=on]:enabled").await,
        "there is nothing to press that would be refused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_paused_and_deleted_and_what_was_sent_is_sent_again() {
    let stage = Stage::open().await;
    let seller = stage.seller(Visitor::desk(Language::English)).await;
    let seen = |path: String| {
        let client = stage.shop.client.clone();
        async move { client.call("GET", &format!("/api/v1/webhook-subscriptions{path}"), None).await.data() }
    };
    let made = || async {
        let listed = seen(String::new()).await["subscriptions"].as_array().unwrap().clone();
        listed.into_iter().find(|made| made["events"] == json!(["serront.order.*", "serront.billing.subscribed.v1"]))
    };
    seller.open("/dashboard/webhooks").await;
    seller.fill("url", "not an address").await;
    seller.run("document.querySelectorAll('form').forEach(form => form.noValidate = true)", &[]).await;
    seller.press("/dashboard/webhooks").await;
    seller.refusal_of("url").await;
    let receiver = Receiver::start().await;
    seller.fill("url", &receiver.url).await;
    seller.fill("events", "serront.order.*\nserront.billing.subscribed.v1").await;
    seller.press("/dashboard/webhooks").await;
    let secret = seller.text_of("#secret").await;
    assert!(secret.contains("whsec_"), "{secret}");
    let id = made().await.unwrap()["id"].as_str().unwrap().to_owned();
    seller.open("/dashboard/webhooks").await;
    assert!(!seller.html().await.contains("whsec_"), "the secret is shown once");

    stage.order("Budi", "logo", None).await;
    eventually("the event", || receiver.received().len() == 1).await;
    let deliveries = seen("/deliveries".to_owned()).await;
    let delivery = deliveries[0]["id"].as_str().unwrap().to_owned();
    let detail = format!("/dashboard/webhooks/deliveries/{delivery}");
    let retry = format!("{detail}/retry");
    seller.open("/dashboard/webhooks").await;
    seller.follow(&detail).await;
    seller.arrive_at(&detail).await;
    // The receiver has it before it is recorded.
    seller.reload_until(&format!("form[action$=\"{retry}\"]")).await;
    seller.press(&retry).await;
    seller.notice().await;
    eventually("the same event again", || receiver.received().len() == 2).await;
    let received = receiver.received();
    assert_eq!(received[0].body, received[1].body);

    let switch = format!("/dashboard/webhooks/{id}/switch");
    for (value, other) in [("false", "true"), ("true", "false")] {
        seller.open("/dashboard/webhooks").await;
        seller.press_of(&switch, "active", value).await;
        seller.wait_for(&format!("form[action$=\"{switch}\"] [name=active][value={other}]")).await;
        assert_eq!(made().await.unwrap()["active"].to_string(), value);
        if value == "false" {
            seller.open(&detail).await;
            assert!(!seller.has(&format!("form[action$=\"{retry}\"]")).await, "nothing is sent while it is paused");
        }
    }
    let rotate = format!("/dashboard/webhooks/{id}/rotate-secret");
    seller.open("/dashboard/webhooks").await;
    seller.follow(&rotate).await;
    seller.press(&rotate).await;
    let rotated = seller.text_of("#secret").await;
    assert!(rotated.contains("whsec_") && rotated != secret, "{rotated}");
    seller.open(&detail).await;
    seller.press(&retry).await;
    eventually("the event a third time", || receiver.received().len() == 3).await;
    let signature = receiver.received()[2].header("serront-signature").to_owned();
    assert_eq!(signature.matches("v1=").count(), 2, "{signature}");

    let delete = format!("/dashboard/webhooks/{id}/delete");
    seller.open("/dashboard/webhooks").await;
    seller.follow(&delete).await;
    seller.press(&delete).await;
    seller.notice().await;
    assert_eq!(made().await, None);
    assert_eq!(seller.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_shown_once_and_deleted() {
    let stage = Stage::open().await;
    let seller = stage.seller(Visitor::phone(Language::Indonesian)).await;
    seller.open("/dashboard/api-keys").await;
    seller.fill("name", "Kasir <i>toko</i>").await;
    seller.press("/dashboard/api-keys").await;
    let shown = seller.text_of("#secret").await;
    let key = shown.split_whitespace().find(|word| word.starts_with("sk_live_")).unwrap().to_owned();
    seller.wait_to_read("Kasir <i>toko</i>").await;
    let other = Client::new(&stage.shop.host, &key);
    let keys = other.call("GET", "/api/v1/api-keys", None).await.data();
    let made = keys["apiKeys"].as_array().unwrap().iter().find(|made| made["name"] == "Kasir <i>toko</i>").unwrap();
    seller.open("/dashboard/api-keys").await;
    assert!(!seller.html().await.contains(&key), "the key is shown once");
    let delete = format!("/dashboard/api-keys/{}/delete", made["id"].as_str().unwrap());
    seller.follow(&delete).await;
    seller.press(&delete).await;
    seller.notice().await;
    assert_eq!(other.call("GET", "/api/v1/orders", None).await.status, 401);
    assert_eq!(seller.complaints().await, [""; 0]);
}
