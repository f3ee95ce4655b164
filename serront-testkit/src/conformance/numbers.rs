//! Counters of a commit: the orders' numbers, and the number of orders in each status.

use serront_core::changes::change::{Claim, ClaimName, Committed};
use serront_core::decide::OrderPatch;
use serront_core::orders::order::{OrderNumber, WorkCounts, WorkStatus};
use serront_core::primitives::digest::Digest256;
use serront_core::snapshots::{DeliveryFilter, OrderFilter};

use super::Harness;
use super::bench::{Bench, Landed, at_once, commit_at_once, request};
use crate::world;

/// 24 orders placed at the same time, among failing ones, get the numbers 1 to 24.
pub async fn orders_placed_at_once_are_numbered_without_gaps(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let taken = ClaimName::AccessToken(Digest256::of(b"taken"));
    bench.lands(&bench.claiming(seller.account_id, taken.clone())).await;
    let mut changes = Vec::new();
    for index in 0..36 {
        let (_, _, mut change) = bench.placing(&seller, None).await;
        if index % 3 == 1 {
            change.claims.push(Claim::of(taken.clone()));
        }
        changes.push(change);
    }
    let answers = commit_at_once(&bench.world.storage, changes).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Landed::Duplicate(taken.clone())).count(), 12);
    let mut numbers: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Landed::Yes(Committed { number }) => number.map(|number| number.0),
            Landed::Conflict | Landed::Duplicate(_) | Landed::Port(_) => None,
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
    let rows = bench.all_orders(seller.account_id, &OrderFilter::default()).await;
    assert_eq!(rows.iter().map(|row| row.number.0).collect::<Vec<_>>(), (1..=24).rev().collect::<Vec<_>>());
}

/// Two accounts that take orders at the same time each count from 1.
pub async fn each_account_counts_for_itself(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let sellers = [bench.world.seller("one").await, bench.world.seller("two").await];
    let placing = (0..12).map(|index| {
        let (world, seller) = (bench.world.clone(), sellers[index % 2].clone());
        async move { world.place(&seller, "Budi").await.number }
    });
    let numbers = at_once(placing).await;
    for first in 0..2 {
        let mut own: Vec<_> = numbers.iter().skip(first).step_by(2).copied().collect();
        own.sort_unstable();
        assert_eq!(own, (1..=6).map(OrderNumber).collect::<Vec<_>>());
    }
}

/// The event's bytes and the kept outcome contain the number that the commit assigned.
pub async fn the_number_is_filled_in_everywhere(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.world.place(&seller, "Budi").await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.world.subscribe(&seller, "https://two.example", &["serront.order.*"]).await;
    let request = request(seller.account_id, "key-1", b"");
    let (_, _, change) = bench.placing(&seller, Some(request)).await;
    assert_eq!(bench.lands(&change).await, Committed { number: Some(OrderNumber(2)) });
    let fill = |text: &serront_core::orders::marked::MarkedText| {
        assert!(text.is_marked());
        text.fill(Some(OrderNumber(2))).unwrap()
    };
    let mut expected: Vec<_> = change
        .effects
        .iter()
        .map(|effect| match effect {
            serront_core::changes::effect::Effect::Delivery(delivery) => fill(&delivery.body),
            serront_core::changes::effect::Effect::Mail { .. }
            | serront_core::changes::effect::Effect::Removal { .. }
            | serront_core::changes::effect::Effect::Errand { .. } => {
                panic!("a placed order has deliveries only")
            }
        })
        .collect();
    expected.sort();
    let mut bodies: Vec<_> = bench
        .all_deliveries(seller.account_id, &DeliveryFilter::default())
        .await
        .into_iter()
        .map(|delivery| delivery.body)
        .collect();
    bodies.sort();
    assert_eq!(bodies, expected);
    assert_eq!(bodies.len(), 2);
    let account = bench.storage().account(seller.account_id, Some(request.scope)).await.unwrap().unwrap();
    let outcome = &change.claims[0].kept.as_ref().unwrap().outcome;
    assert_eq!(account.kept.unwrap().outcome, fill(outcome));
}

/// The counts equal the orders' statuses after every change, also with concurrent changes.
pub async fn counts_are_kept(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let counts = async || bench.storage().counts(account_id).await.unwrap();
    assert_eq!(counts().await, WorkCounts::default());
    let mut placed = Vec::new();
    for _ in 0..12 {
        placed.push(bench.world.place(&seller, "Budi").await);
    }
    assert_eq!(counts().await, WorkCounts { requested: 12, ..WorkCounts::default() });
    let paths: [&[WorkStatus]; 4] = [
        &[],
        &[WorkStatus::Declined],
        &[WorkStatus::Confirmed, WorkStatus::InProgress, WorkStatus::Canceled],
        &[WorkStatus::Confirmed, WorkStatus::InProgress, WorkStatus::Delivered, WorkStatus::Completed],
    ];
    let moving = placed.iter().enumerate().map(|(index, placed)| {
        let (world, id, path) = (bench.world.clone(), placed.id, paths[index % 4]);
        async move {
            for status in path {
                let patch = OrderPatch { status: Some(*status), quoted_price_idr: None };
                world.commands().patch_order(account_id, id, patch, &world::host(), None).await.unwrap();
            }
        }
    });
    at_once(moving).await;
    let expected = WorkCounts { requested: 3, declined: 3, canceled: 3, completed: 3, ..WorkCounts::default() };
    assert_eq!(counts().await, expected);
    // A new quote and a confirmed payment change no count.
    bench.lands(&bench.quoting(&placed[0], 5).await).await;
    bench.lands(&bench.confirming(&placed[1], None).await).await;
    assert_eq!(counts().await, expected);
    while bench.storage().fold_deltas(5).await.unwrap() > 0 {
        assert_eq!(counts().await, expected, "folding does not change the counts");
    }
    let bench = bench.reopen().await;
    assert_eq!(bench.storage().counts(account_id).await.unwrap(), expected);
}
