//! The same without scripts: forms, links and a reload are enough.

use super::browser::{Language, Visitor};
use super::buyers::{assert_no_account, place_order, state, turned};
use super::stage::{Stage, confirmed_in};

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_an_order_is_placed_claimed_with_a_receipt_and_confirmed() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian).without_scripts()).await;
    let order = place_order(&stage, &buyer, "undangan:Basic").await;
    buyer.wait_to_read("Rp 350.000").await;
    let unpaid = state(&buyer).await;
    buyer.attach("receipt", &stage.receipt()).await;
    buyer.press("/proof").await;
    let uploaded = turned(&buyer, &unpaid).await;
    buyer.notice().await;
    assert_eq!(stage.seen(&order).await["hasProof"], true);
    buyer.press("/claim").await;
    let claimed = turned(&buyer, &uploaded).await;
    buyer.notice().await;

    let seller = stage.seller(Visitor::phone(Language::Indonesian).without_scripts()).await;
    seller.follow(&order.detail()).await;
    seller.follow("/confirm").await;
    seller.arrive(&format!("{}/confirm", order.detail())).await;
    seller.press("/confirm").await;
    seller.notice().await;
    assert_eq!(stage.seen(&order).await["paymentStatus"], "payment_confirmed");

    buyer.reload().await;
    turned(&buyer, &claimed).await;
    buyer.wait_to_read(confirmed_in(Language::Indonesian)).await;
    assert_no_account(&buyer, "a confirmed order's page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_payment_online_leads_there_and_back_and_shows_after_a_reload() {
    let stage = Stage::open().await;
    stage.lose_notifications();
    let buyer = stage.browser(Visitor::phone(Language::English).without_scripts()).await;
    let order = place_order(&stage, &buyer, "logo").await;
    buyer.press("/pay").await;
    // The page in between refreshes to the checkout.
    buyer.arrive(stage.shop.provider.url()).await;
    buyer.press("/pay").await;
    buyer.arrive_at(&format!("{}?paid=1", order.page())).await;
    buyer.wait_to_read("being confirmed").await;
    let waiting = state(&buyer).await;
    buyer.click("#reload").await;
    buyer.wait_to_read("being confirmed").await;
    stage.notify(&stage.last_session(), 750_000).await;
    buyer.click("#reload").await;
    turned(&buyer, &waiting).await;
    buyer.wait_to_read(confirmed_in(Language::English)).await;
}
