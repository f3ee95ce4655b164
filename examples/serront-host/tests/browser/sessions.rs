//! Sessions: how they start and end, and where they lead.

use serde_json::json;

use super::browser::{Browser, Language, Visitor};
use super::stage::{Stage, sign_in, tampered};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_a_key_and_ends_with_it_or_by_signing_out() {
    let stage = Stage::open().await;
    let order = stage.order("Budi", "logo", None).await;
    let browser = stage.browser(Visitor::phone(Language::Indonesian)).await;
    browser.open("/").await;
    browser.arrive("/dashboard/login").await;

    // No key, then a wrong one, then one of another role.
    let operator = stage.shop.operator().key;
    let unknown = format!("sk_live_{}", "0".repeat(48));
    for key in ["secret", unknown.as_str(), operator.as_str()] {
        browser.fill("key", key).await;
        browser.press("/dashboard/login").await;
        browser.refusal_of("key").await;
        assert_eq!(browser.value("key").await, "", "a key is not sent back");
        assert!(browser.cookie("serront_session").await.is_none());
    }
    assert_eq!(browser.attribute("[name=key]", "type").await.as_deref(), Some("password"));

    // After signing in, the visitor gets to the requested page.
    browser.open(&order.detail()).await;
    let place = browser.arrive("/dashboard/login?").await;
    assert!(place.contains("next=") && !place.contains("ended="), "{place}");
    browser.fill("key", &stage.shop.client.key).await;
    browser.press("/dashboard/login").await;
    browser.arrive_at(&order.detail()).await;
    let cookie = browser.cookie("serront_session").await.unwrap();
    assert_eq!((cookie.path.as_deref(), cookie.http_only), (Some("/dashboard"), Some(true)));
    assert!(cookie.expiry.is_some(), "it expires");
    assert!(!cookie.value.contains(&stage.shop.client.key), "the key is not in it");
    assert_eq!(browser.run("return document.cookie", &[]).await, "", "no script reads it");

    browser.press("/dashboard/logout").await;
    browser.arrive("/dashboard/login?out=1").await;
    browser.open("/dashboard").await;
    browser.arrive("/dashboard/login").await;

    // A changed cookie, and one whose key was deleted, are no sessions; the page says that the session has ended.
    sign_in(&browser, "/dashboard", &stage.shop.client.key).await;
    let cookie = browser.cookie("serront_session").await.unwrap();
    browser.set_cookie(tampered(&cookie)).await;
    browser.open("/dashboard/payments").await;
    assert_ended(&browser).await;

    let another = json!({"name": "Another"});
    let another = stage.shop.client.call("POST", "/api/v1/api-keys", Some(another)).await.data();
    sign_in(&browser, "/dashboard", another["key"].as_str().unwrap()).await;
    let id = another["id"].as_str().unwrap();
    stage.shop.client.call("DELETE", &format!("/api/v1/api-keys/{id}"), None).await.data();
    browser.open("/dashboard/payments").await;
    assert_ended(&browser).await;
    // A new key leads to the page where the old session ended.
    browser.fill("key", &stage.shop.client.key).await;
    browser.press("/dashboard/login").await;
    browser.arrive_at("/dashboard/payments").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

async fn assert_ended(browser: &Browser) {
    browser.arrive("/dashboard/login?ended=1").await;
    assert!(browser.notice().await.contains("sudah berakhir"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sellers_and_operators_have_sessions_of_their_own() {
    let stage = Stage::open().await;
    let browser = stage.seller(Visitor::desk(Language::English)).await;
    browser.open("/operator").await;
    browser.arrive("/operator/login").await;
    browser.fill("key", &stage.shop.client.key).await;
    browser.press("/operator/login").await;
    browser.refusal_of("key").await;
    sign_in(&browser, "/operator", &stage.shop.operator().key).await;
    let cookie = browser.cookie("serront_operator").await.unwrap();
    assert_eq!((cookie.path.as_deref(), cookie.http_only), (Some("/operator"), Some(true)));
    assert!(browser.cookie("serront_session").await.is_none(), "the seller's does not come here");
    browser.press("/operator/logout").await;
    browser.arrive("/operator/login?out=1").await;
    browser.open("/dashboard").await;
    browser.arrive_at("/dashboard").await;
}
