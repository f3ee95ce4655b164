//! Lists: their order, their pages, their filters.

use std::collections::BTreeSet;
use std::time::Duration;

use serront_core::changes::effect::{DeliveryRecord, EffectStatus};
use serront_core::decide::OrderPatch;
use serront_core::orders::order::{OrderInput, OrderNumber, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::page::Limit;
use serront_core::primitives::search::search_words;
use serront_core::shop::catalog::ServiceInput;
use serront_core::snapshots::{DeliveryFilter, NextAttempt, OrderFilter, OrderRow};
use serront_core::webhooks::event::EventType;

use super::Harness;
use super::bench::{Bench, limit};
use crate::world::{self, Placed, Seller};

fn numbers(rows: &[OrderRow]) -> Vec<u32> {
    rows.iter().map(|row| row.number.0).collect()
}

/// Keys and subscriptions are listed by age, services by position and then by age.
pub async fn lists_come_in_their_order(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let commands = bench.world.commands();
    let mut urls = Vec::new();
    for (index, sort_order) in [3, -1, 0, 3, -1].into_iter().enumerate() {
        bench.advance(Duration::from_millis(5)).await;
        commands.create_key(seller.account_id, &format!("key {index}"), None).await.unwrap();
        let input = ServiceInput { sort_order: Some(sort_order), ..world::service_input(&format!("s{index}"), 1) };
        commands.create_service(seller.account_id, &input, None).await.unwrap();
        let url = format!("https://{}.example", 9 - index);
        bench.world.subscribe(&seller, &url, &["*"]).await;
        urls.push(url);
    }
    let keys = bench.storage().keys(seller.account_id).await.unwrap();
    let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["first key", "key 0", "key 1", "key 2", "key 3", "key 4"]);
    let slugs = |services: Vec<serront_core::shop::catalog::Service>| -> Vec<String> {
        services.into_iter().map(|service| service.offer.slug.to_string()).collect()
    };
    let expected = ["s1", "s4", "logo", "s2", "s0", "s3"];
    assert_eq!(slugs(bench.storage().services(seller.account_id).await.unwrap()), expected);
    let slug = serront_core::primitives::text::Slug::parse("slug", &seller.slug).unwrap();
    let shop = bench.storage().shop(&slug, None).await.unwrap().unwrap();
    assert_eq!(slugs(shop.services), expected);
    let told = |subscriptions: Vec<serront_core::webhooks::subscription::Subscription>| -> Vec<String> {
        subscriptions.into_iter().map(|subscription| subscription.state.url).collect()
    };
    assert_eq!(told(shop.subscriptions), urls);
    assert_eq!(told(bench.account(seller.account_id).await.subscriptions), urls);
}

/// Every order is listed once, newest first, for every page length.
pub async fn pages_of_orders_hold_each_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    for _ in 0..12 {
        bench.world.place(&seller, "Budi").await;
    }
    let filter = OrderFilter::default();
    for size in [1, 4, 5, 11, 12, 13, 100] {
        let (mut rows, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = bench.storage().orders(seller.account_id, &filter, after, limit(size)).await.unwrap();
            assert!(page.rows.len() <= usize::try_from(size).unwrap());
            pages += 1;
            after = page.position(OrderRow::position);
            rows.extend(page.rows);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(numbers(&rows), (1..=12).rev().collect::<Vec<_>>());
        assert_eq!(pages, 12_u32.div_ceil(size), "no empty page at the end");
    }
    let row = bench.all_orders(seller.account_id, &filter).await.remove(3);
    let snapshot = bench.snapshot(seller.account_id, row.order.id).await;
    let expected = OrderRow {
        order: snapshot.order,
        number: snapshot.number,
        payment: snapshot.payment,
        service: snapshot.service,
    };
    assert_eq!(row, expected);
}

/// Orders placed between two pages do not affect the later pages.
pub async fn pages_stay_whole_while_orders_come(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    for _ in 0..11 {
        bench.world.place(&seller, "Budi").await;
    }
    let filter = OrderFilter::default();
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = bench.storage().orders(seller.account_id, &filter, after, limit(3)).await.unwrap();
        after = page.position(OrderRow::position);
        rows.extend(page.rows);
        if after.is_none() {
            break;
        }
        bench.world.place(&seller, "Sari").await;
        bench.world.place(&seller, "Sari").await;
    }
    assert_eq!(numbers(&rows), (1..=11).rev().collect::<Vec<_>>());
}

/// Eighteen orders over two services, in several states of both tracks.
async fn mixed<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> (Seller, Vec<Placed>) {
    let seller = bench.world.seller("studio").await;
    let input = world::service_input("print", 20_000);
    bench.world.commands().create_service(seller.account_id, &input, None).await.unwrap();
    let mut placed = Vec::new();
    for index in 0..18 {
        let service_slug = if index % 3 == 0 { "print" } else { world::SERVICE_SLUG };
        let input = OrderInput { service_slug: service_slug.to_owned(), ..world::order_input("Budi") };
        let order = bench.world.place_with(&seller, &input).await;
        if index % 2 == 0 {
            let patch = OrderPatch { status: Some(WorkStatus::Confirmed), quoted_price_idr: None };
            let commands = bench.world.commands();
            commands.patch_order(seller.account_id, order.id, patch, &world::host(), None).await.unwrap();
        }
        if index % 5 != 0 {
            bench.world.commands().claim_payment(&order.token).await.unwrap();
        }
        if index % 5 > 2 {
            bench.lands(&bench.confirming(&order, None).await).await;
        }
        placed.push(order);
    }
    (seller, placed)
}

/// Each filter alone and all together, compared with a check of every row.
pub async fn each_filter_of_orders_selects(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, _) = mixed(&bench).await;
    let all = bench.all_orders(seller.account_id, &OrderFilter::default()).await;
    assert_eq!(all.len(), 18);
    let unknown = bench.context(None).ids.service();
    let mut seen = BTreeSet::new();
    for status in [None, Some(WorkStatus::Requested), Some(WorkStatus::Confirmed), Some(WorkStatus::Canceled)] {
        for payment_status in std::iter::once(None).chain(PaymentStatus::ALL.map(Some)) {
            for service_id in [None, Some(seller.service_id), Some(unknown)] {
                for words in [Vec::new(), vec!["print".to_owned()]] {
                    let filter = OrderFilter { status, payment_status, service_id, words };
                    let expected: Vec<_> = all
                        .iter()
                        .filter(|row| {
                            status.is_none_or(|status| row.order.state.status == status)
                                && payment_status.is_none_or(|status| row.order.state.payment_status == status)
                                && service_id.is_none_or(|id| row.order.service_id == id)
                                && (filter.words.is_empty() || row.service.name.contains("print"))
                        })
                        .cloned()
                        .collect();
                    seen.insert(expected.len());
                    assert_eq!(bench.all_orders(seller.account_id, &filter).await, expected, "{filter:?}");
                }
            }
        }
    }
    assert!(seen.len() > 4, "the filters distinguish some rows: {seen:?}");
}

/// Every word must occur, in any case; characters of query languages have no special meaning.
pub async fn words_are_found_by_how_they_begin(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let texts = [
        ("Budi Santoso", "budi@example.com", None),
        ("SARI 100%", "sari@example.com", Some("Warna_merah \\ biru")),
        ("CAFÉ ÖKO", "halo@toko.example", Some("besok, 'segera'")),
        ("Tono", "tono.BUDI@example.com", Some("100 lembar")),
    ];
    for (name, email, notes) in texts {
        let input =
            OrderInput { buyer_email: email.to_owned(), notes: notes.map(str::to_owned), ..world::order_input(name) };
        bench.world.place_with(&seller, &input).await;
    }
    let found = async |text: &str| {
        let filter = OrderFilter { words: search_words(text).unwrap(), ..OrderFilter::default() };
        let mut found = numbers(&bench.all_orders(seller.account_id, &filter).await);
        found.reverse();
        found
    };
    let cases: [(&str, &[u32]); 27] = [
        ("", &[1, 2, 3, 4]),
        ("budi", &[1, 4]),
        ("BUDI example", &[1, 4]),
        ("santoso budi", &[1]),
        ("budi sari", &[]),
        ("bud", &[1, 4]),
        ("udi", &[]),
        ("%", &[1, 2, 3, 4]),
        ("100%", &[2, 4]),
        ("100", &[2, 4]),
        ("wa_me", &[2]),
        ("warna%merah", &[2]),
        ("tono.budi@example.com", &[4]),
        ("'segera'", &[3]),
        ("'b:*", &[1, 2, 3, 4]),
        ("café", &[3]),
        ("Café öko", &[3]),
        ("cafe", &[3]),
        ("oko CAFE\u{301}", &[3]),
        ("SÁRI", &[2]),
        ("ｂｕｄｉ", &[1, 4]),
        ("bu\u{ad}di", &[1, 4]),
        ("cafes", &[]),
        ("jasa LOGO", &[1, 2, 3, 4]),
        ("logo tono", &[4]),
        ("budi NOT sari", &[]),
        ("halo OR sari", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text).await, expected, "{text:?}");
    }
    let renamed = ServiceInput { name: Some("Spanduk".to_owned()), ..ServiceInput::default() };
    bench.world.commands().update_service(seller.account_id, seller.service_id, &renamed, None).await.unwrap();
    assert_eq!(found("spanduk").await, [1, 2, 3, 4], "the search uses the service's present name");
    assert_eq!(found("logo").await, [0; 0]);
    assert_eq!(found("spanduk tono").await, [4], "one word of the service, one of the order");
}

/// A search may look at the newest orders or ask an index; what it finds is the same (#18).
pub async fn rare_and_frequent_words_are_found_in_pages_of_any_length(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let spare = ServiceInput { name: Some("Spanduk kain".to_owned()), ..world::service_input("spanduk", 1_000) };
    bench.world.commands().create_service(seller.account_id, &spare, None).await.unwrap();
    for at in 1..=48 {
        let name = match at {
            1 | 2 | 40 => "Ani",
            3..=20 => "Budi",
            _ => "Cici",
        };
        let notes = (at % 4 == 0).then(|| "20 lembar".to_owned());
        let service = if at == 5 || at == 44 { "spanduk" } else { "logo" };
        let input = OrderInput { notes, service_slug: service.to_owned(), ..world::order_input(name) };
        bench.world.place_with(&seller, &input).await;
    }
    bench.world.place(&other, "Ani").await;
    let every = bench.all_orders(seller.account_id, &OrderFilter::default()).await;
    assert_eq!(every.len(), 48);
    let mut seen = BTreeSet::new();
    for text in
        ["ani", "budi", "cici", "example", "lembar", "20", "spanduk", "spanduk budi", "budi lembar", "ani cici", "#7"]
    {
        let filter = OrderFilter { words: search_words(text).unwrap(), ..OrderFilter::default() };
        let matches = |row: &&OrderRow| filter.has_words(&row.order, row.number, &row.service.name);
        let expected: Vec<OrderRow> = every.iter().filter(matches).cloned().collect();
        seen.insert(expected.len());
        for rows in [1, 2, 5, 30] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page =
                    bench.storage().orders(seller.account_id, &filter, after, limit(rows)).await.expect("a page");
                after = page.position(OrderRow::position);
                found.extend(page.rows);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{text:?} in pages of {rows}");
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 12, 27, 48]);
}

/// An order is found by its complete number, alone and with other words (#16).
pub async fn an_order_is_found_by_its_number(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    for at in 1..=12 {
        let notes = (at == 3).then(|| "5 lembar".to_owned());
        let name = if at % 2 == 0 { "José" } else { "Budi" };
        bench.world.place_with(&seller, &OrderInput { notes, ..world::order_input(name) }).await;
    }
    bench.world.place(&other, "Budi").await;
    let found = async |account, filter: OrderFilter| numbers(&bench.all_orders(account, &filter).await);
    let of = |text: &str| OrderFilter { words: search_words(text).unwrap(), ..OrderFilter::default() };
    let cases: [(&str, &[u32]); 15] = [
        ("#12", &[12]),
        ("1", &[1]),
        ("5", &[5, 3]),
        ("#5", &[5, 3]),
        ("# 05", &[5]),
        ("no 5", &[]),
        ("5 budi", &[5, 3]),
        ("5 logo", &[5, 3]),
        ("jose 12", &[12]),
        ("josé #12 logo", &[12]),
        ("sari 12", &[]),
        ("2 12", &[]),
        ("13", &[]),
        ("99999999999999999999", &[]),
        ("5 5", &[5, 3]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(seller.account_id, of(text)).await, expected, "{text:?}");
    }
    assert_eq!(found(other.account_id, of("#1")).await, [1]);
    assert_eq!(found(other.account_id, of("5")).await, [0; 0]);
    let narrowed = [
        OrderFilter { status: Some(WorkStatus::Requested), payment_status: Some(PaymentStatus::Unpaid), ..of("#5") },
        OrderFilter { service_id: Some(seller.service_id), ..of("#5") },
        OrderFilter { status: Some(WorkStatus::Declined), ..of("#5") },
        OrderFilter { payment_status: Some(PaymentStatus::PaymentConfirmed), ..of("#5") },
        OrderFilter { service_id: Some(other.service_id), ..of("#5") },
    ];
    for (filter, expected) in narrowed.into_iter().zip([&[5, 3][..], &[5, 3], &[], &[], &[]]) {
        assert_eq!(found(seller.account_id, filter.clone()).await, expected, "{filter:?}");
    }
    let first = bench.storage().orders(seller.account_id, &of("#5"), None, limit(1)).await.unwrap();
    assert_eq!((numbers(&first.rows), first.has_more), (vec![5], true));
    let rest = bench.storage().orders(seller.account_id, &of("#5"), Some(OrderNumber(5)), limit(1)).await.unwrap();
    assert_eq!((numbers(&rest.rows), rest.has_more), (vec![3], false));
}

/// Another account's orders are not found, and all pages together have every match.
pub async fn what_is_found_is_paged(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    for at in 0..7 {
        let name = if at % 2 == 0 { "Budi Genap" } else { "Budi Ganjil" };
        bench.world.place_with(&seller, &world::order_input(name)).await;
        bench.world.place_with(&other, &world::order_input("Budi Genap")).await;
    }
    let filter = OrderFilter { words: search_words("budi genap").unwrap(), ..OrderFilter::default() };
    let limit = Limit::parse(Some("3")).unwrap();
    let first = bench.storage().orders(seller.account_id, &filter, None, limit).await.unwrap();
    assert_eq!((numbers(&first.rows), first.has_more), (vec![7, 5, 3], true));
    let rest = bench.storage().orders(seller.account_id, &filter, Some(OrderNumber(3)), limit).await.unwrap();
    assert_eq!((numbers(&rest.rows), rest.has_more), (vec![1], false));
    let declined = OrderFilter { status: Some(WorkStatus::Declined), ..filter.clone() };
    assert_eq!(bench.all_orders(seller.account_id, &declined).await, []);
    let elsewhere = OrderFilter { service_id: Some(other.service_id), ..filter };
    assert_eq!(bench.all_orders(seller.account_id, &elsewhere).await, []);
}

/// Each filter alone and all together, compared with a check of every row.
pub async fn each_filter_of_deliveries_selects(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let one = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let two = bench.world.subscribe(&seller, "https://two.example", &["serront.order.created.v1"]).await;
    for _ in 0..4 {
        let placed = bench.world.place(&seller, "Budi").await;
        bench.advance(Duration::from_millis(3)).await;
        bench.lands(&bench.confirming(&placed, None).await).await;
    }
    for (index, due) in bench.take(7).await.iter().enumerate() {
        let next = match index % 3 {
            0 => NextAttempt::Succeeded,
            1 => NextAttempt::Failed,
            _ => NextAttempt::At(bench.now()),
        };
        bench.record(due, next).await.unwrap();
    }
    let all = bench.all_deliveries(seller.account_id, &DeliveryFilter::default()).await;
    assert_eq!(all.len(), 12, "no mail among them");
    let positions: Vec<_> = all.iter().map(DeliveryRecord::position).collect();
    assert!(positions.is_sorted_by(|newer, older| newer > older), "{positions:?}");
    let unknown = bench.context(None).ids.subscription();
    for subscription_id in [None, Some(one), Some(two), Some(unknown)] {
        for status in std::iter::once(None).chain(EffectStatus::ALL.map(Some)) {
            for event_type in [None, Some(EventType::OrderCreated), Some(EventType::OrderPaymentConfirmed)] {
                for event_id in [None, Some(all[5].event_id)] {
                    let filter = DeliveryFilter { subscription_id, status, event_type, event_id };
                    let expected: Vec<_> = all
                        .iter()
                        .filter(|row| {
                            subscription_id.is_none_or(|id| row.subscription_id == id)
                                && status.is_none_or(|status| row.status == status)
                                && event_type.is_none_or(|event_type| row.event_type == event_type)
                                && event_id.is_none_or(|id| row.event_id == id)
                        })
                        .cloned()
                        .collect();
                    assert_eq!(bench.all_deliveries(seller.account_id, &filter).await, expected, "{filter:?}");
                }
            }
        }
    }
    for row in &all {
        let single = bench.storage().delivery(seller.account_id, row.id).await.unwrap();
        assert_eq!(single.as_ref(), Some(row));
    }
}

/// Deliveries of the same millisecond are ordered by their ids.
pub async fn deliveries_of_one_moment_are_paged_by_id(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let mut queued = bench.queue_deliveries(seller.account_id, subscription_id, 10).await;
    queued.sort();
    queued.reverse();
    let rows = bench.all_deliveries(seller.account_id, &DeliveryFilter::default()).await;
    let ids: Vec<_> = rows.iter().map(|row| serront_core::changes::effect::EffectId::Delivery(row.id)).collect();
    assert_eq!(ids, queued);
}
