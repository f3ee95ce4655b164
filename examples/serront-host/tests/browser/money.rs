//! The seller's money on its way to the bank, and payments that could not confirm an order.

use serde_json::json;

use super::browser::{Language, Visitor};
use super::stage::Stage;

const REQUEST: &str = "/dashboard/payments/payouts";
const BANK_ACCOUNT: &str = "/dashboard/payments/bank-account";

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_moves_from_request_to_paid_through_the_operators_page() {
    let stage = Stage::open().await;
    stage.shop.earn(1_000_000).await;
    let seller = stage.seller(Visitor::phone(Language::Indonesian)).await;
    seller.open("/dashboard/payments").await;
    seller.wait_to_read("Rp 997.000").await;
    seller.wait_for("svg#balance-chart").await;

    // Without a bank account there is no destination for a payout.
    let fields = [("bankName", "BCA"), ("bankAccountNumber", "123-456-7890"), ("bankAccountHolder", "Renata Wijaya")];
    for (field, text) in fields {
        seller.fill_in(BANK_ACCOUNT, field, text).await;
    }
    seller.press(BANK_ACCOUNT).await;
    seller.notice().await;
    seller.fill_in(REQUEST, "amount", "2.000.000").await;
    seller.press(REQUEST).await;
    seller.wait_for("[role=alert]").await;
    seller.wait_to_read("Rp 997.000").await;
    assert_eq!(stage.shop.payout_balance().await["pending"], 0);
    seller.fill_in(REQUEST, "amount", "400.000").await;
    seller.fill_in(REQUEST, "note", "Sewa").await;
    seller.press(REQUEST).await;
    seller.notice().await;
    assert_eq!(stage.shop.payout_balance().await["available"], 597_000);
    let payouts = stage.shop.client.call("GET", "/api/v1/payouts", None).await.data();
    let id = payouts["payouts"][0]["id"].as_str().unwrap().to_owned();

    // A filter can be submitted repeatedly (#7).
    for kind in ["sale", "sale", "payout"] {
        seller.run("document.getElementById('code').value = arguments[0]", &[json!(kind)]).await;
        seller.click("form:has(#code) button").await;
        seller.arrive(&format!("/dashboard/payments?code={kind}")).await;
    }

    let operator = stage.operator(Visitor::desk(Language::English)).await;
    let detail = format!("/operator/payouts/{id}");
    operator.follow(&detail).await;
    operator.arrive(&detail).await;
    for told in ["BCA", "123-456-7890", "Renata Wijaya", "Rp 400.000"] {
        operator.wait_to_read(told).await;
    }
    operator.fill_in("/in-transit", "reference", "T-1").await;
    operator.press("/in-transit").await;
    operator.notice().await;
    let seen = || async { stage.shop.client.call("GET", &format!("/api/v1/payouts/{id}"), None).await.data() };
    assert_eq!((&seen().await["status"], &seen().await["reference"]), (&json!("in_transit"), &json!("T-1")));
    operator.press("/paid").await;
    operator.notice().await;
    assert_eq!(seen().await["status"], "paid");
    assert_eq!(seen().await["reference"], "T-1");

    seller.open(&format!("/dashboard/payments/payouts/{id}")).await;
    seller.wait_to_read("Sudah dibayarkan").await;
    seller.wait_to_read("T-1").await;
    assert!(!seller.has("form[action$=\"/cancel\"]").await);

    // One that is cancelled, and one that fails.
    for (amount, end) in [(10_000, "cancelled"), (20_000, "failed")] {
        let asked = stage.shop.request_payout(amount).await.data();
        let id = asked["id"].as_str().unwrap();
        if end == "cancelled" {
            seller.open(&format!("/dashboard/payments/payouts/{id}")).await;
            seller.press("/cancel").await;
            seller.notice().await;
        } else {
            operator.open(&format!("/operator/payouts/{id}")).await;
            operator.fill_in("/failed", "failureReason", "The account is closed").await;
            operator.press("/failed").await;
            operator.notice().await;
            seller.open(&format!("/dashboard/payments/payouts/{id}")).await;
            seller.wait_to_read("The account is closed").await;
        }
        let seen = stage.shop.client.call("GET", &format!("/api/v1/payouts/{id}"), None).await.data();
        assert_eq!(seen["status"], end);
    }
    assert_eq!(stage.shop.payout_balance().await["available"], 597_000);
    for browser in [&seller, &operator] {
        assert_eq!(browser.complaints().await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_found_no_order_is_shown_until_the_seller_has_dealt_with_it() {
    let stage = Stage::open().await;
    let order = stage.order("Budi", "logo", None).await;
    let session = stage.shop.pay(&order.token).await;
    stage.notify(&session, 700_000).await;
    let exceptions = || async { stage.shop.exceptions().await };
    assert_eq!(exceptions().await[0]["status"], "open");
    let seller = stage.seller(Visitor::desk(Language::English)).await;
    seller.open("/dashboard/payments").await;
    let told = seller.text_of("#exceptions").await;
    assert!(told.contains("Rp 700.000"), "{told}");
    let resolve = format!("/dashboard/payments/exceptions/{}/resolve", exceptions().await[0]["id"].as_str().unwrap());
    seller.fill_in(&resolve, "note", "The rest came by transfer.").await;
    seller.press(&resolve).await;
    seller.notice().await;
    assert_eq!(
        (&exceptions().await[0]["status"], &exceptions().await[0]["note"]),
        (&json!("resolved"), &json!("The rest came by transfer."))
    );
    assert!(!seller.has(&format!("form[action$=\"{resolve}\"]")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_is_stuck_and_tries_it_again() {
    let stage = Stage::open().await;
    stage.notify_of_nothing("evt_hollow").await;
    let operator = stage.operator(Visitor::desk(Language::English)).await;
    let told = operator.text_of("#notifications").await;
    assert!(told.contains("evt_hollow"), "{told}");
    operator.press(&format!("/operator/notifications/{}/evt_hollow/retry", stage.shop.account)).await;
    operator.wait_for("#notifications").await;
    assert_eq!(operator.complaints().await, [""; 0]);
}
