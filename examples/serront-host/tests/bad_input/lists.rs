//! Filters, limits and cursors.

use super::town::{Town, check, invalid};

#[tokio::test]
async fn a_list_refuses_what_it_does_not_understand() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let orders = |query: &str| seller.get(&format!("/api/v1/orders?{query}"));
        let deliveries = |query: &str| seller.get(&format!("/api/v1/webhook-subscriptions/deliveries?{query}"));
        let mut forged = seller.orders_cursor.clone();
        let first = if forged.starts_with('0') { "1" } else { "0" };
        forged.replace_range(0..1, first);
        let mut rows = vec![
            invalid("an unknown state", orders("status=lost"), "status"),
            invalid("an empty state", orders("status="), "status"),
            invalid("a payout's spelling", orders("status=cancelled"), "status"),
            invalid("an unknown payment state", orders("paymentStatus=paid"), "paymentStatus"),
            invalid("a state twice", orders("status=all&status=requested"), "status"),
            invalid("a slug for an id", orders("serviceId=logo"), "serviceId"),
            invalid("a search of 201", orders(&format!("q={}", "a".repeat(201))), "q"),
            invalid("NUL in a search", orders("q=a%00b"), "q"),
            invalid("no UTF-8 in a search", orders("q=%e6%97"), "q"),
            invalid("the other list's cursor", orders(&format!("cursor={}", seller.deliveries_cursor)), "cursor"),
            invalid("another's cursor", orders(&format!("cursor={}", other.orders_cursor)), "cursor"),
            invalid("a forged cursor", orders(&format!("cursor={forged}")), "cursor"),
            invalid("an unknown delivery state", deliveries("status=delivered"), "status"),
            invalid("an unknown type", deliveries("type=order.created"), "type"),
            invalid("a word for an id", deliveries("subscriptionId=mine"), "subscriptionId"),
            invalid("the other list's cursor", deliveries(&format!("cursor={}", seller.orders_cursor)), "cursor"),
            invalid("another's cursor", deliveries(&format!("cursor={}", other.deliveries_cursor)), "cursor"),
        ];
        for query in
            ["limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=%2B5", "limit=", "limit=x", "limit=1&limit=1"]
        {
            rows.push(invalid("a limit out of range", orders(query), "limit"));
            rows.push(invalid("a limit out of range", deliveries(query), "limit"));
        }
        for query in ["cursor=", "cursor=1", "cursor=%00", "cursor=%ff", "cursor=00000000000000000000"] {
            rows.push(invalid("a made-up cursor", orders(query), "cursor"));
            rows.push(invalid("a made-up cursor", deliveries(query), "cursor"));
        }
        rows
    })
    .await;
}
