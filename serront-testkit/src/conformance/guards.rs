//! A decision is committed only if the rows it relied on are unchanged.

use serront_core::changes::change::{ChangeSet, Guard, Row, Write};
use serront_core::decide::{self, Decision};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::version::Version;
use serront_core::snapshots::OrderKey;

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, commit_at_once, exact, landed};
use crate::world;

/// For every kind of row, its present version lands and every other version is a conflict.
pub async fn an_exact_guard_wants_its_version(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.lands(&bench.quoting(&placed, 10).await).await;
    let account = bench.account(seller.account_id).await;
    let snapshot = bench.snapshot(seller.account_id, placed.id).await;
    let service = bench.storage().service(seller.account_id, seller.service_id, None).await.unwrap().unwrap().service;
    let rows = [
        (Row::Account, account.account.state.version),
        (Row::Storefront, account.storefront.unwrap().version),
        (Row::Service(seller.service_id), service.version),
        (Row::Order(placed.id), snapshot.order.state.version),
        (Row::Subscription(subscription_id), Version::FIRST),
    ];
    for (row, version) in rows {
        for wrong in [Version::ABSENT, Version(version.0 - 1), version.next()] {
            let change = bench.guarded(seller.account_id, exact(row.clone(), wrong));
            assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "{row:?} at {wrong:?}");
        }
        let change = bench.guarded(seller.account_id, exact(row.clone(), version));
        assert_eq!(landed(&bench.commit(&change).await), UNNUMBERED, "{row:?} at {version:?}");
    }
}

/// The absence of a row is a guard as well.
pub async fn an_absent_guard_wants_no_row(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let mut ids = bench.context(None).ids;
    let rows =
        [Row::Storefront, Row::Service(ids.service()), Row::Order(ids.order()), Row::Subscription(ids.subscription())];
    for row in rows {
        let absent = bench.guarded(account_id, exact(row.clone(), Version::ABSENT));
        assert_eq!(landed(&bench.commit(&absent).await), UNNUMBERED, "{row:?}");
        let first = bench.guarded(account_id, exact(row.clone(), Version::FIRST));
        assert_eq!(landed(&bench.commit(&first).await), Landed::Conflict, "{row:?}");
    }
}

/// Of several first puts of one storefront at the same time, one lands and the others conflict.
pub async fn a_storefront_is_put_first_only_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let snapshot = bench.account(account_id).await;
    let mut changes = Vec::new();
    for index in 0..6 {
        let input = world::storefront_input(&format!("studio-{index}"));
        match decide::put_storefront(&snapshot, &input, &mut bench.context(None)).unwrap() {
            Decision::Change(change, _) => changes.push(*change),
            Decision::Unchanged(_) | Decision::Replayed(_) => panic!("a storefront is put"),
        }
    }
    let mut answers = commit_at_once(&bench.world.storage, changes).await;
    answers.sort_by_key(|answer| *answer != UNNUMBERED);
    let mut expected = vec![UNNUMBERED];
    expected.extend(vec![Landed::Conflict; 5]);
    assert_eq!(answers, expected);
}

/// An order guards its service's row without writing it.
pub async fn a_guard_without_a_write_holds_as_well(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let (_, _, placing) = bench.placing(&seller, None).await;
    let price = serront_core::shop::catalog::ServiceInput { price_idr: Some(Some(1)), ..Default::default() };
    bench.world.commands().update_service(seller.account_id, seller.service_id, &price, None).await.unwrap();
    assert_eq!(landed(&bench.commit(&placing).await), Landed::Conflict, "the price was another one");
    let (_, _, placing) = bench.placing(&seller, None).await;
    bench.lands(&placing).await;
    let (_, _, placing) = bench.placing(&seller, None).await;
    bench.lands(&placing).await;
}

/// Of several changes decided from the same state, one lands.
pub async fn contradicting_commits_never_both_land(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    for round in 0..5 {
        let mut changes = Vec::new();
        for index in 1..=8 {
            changes.push(bench.quoting(&placed, round * 10 + index).await);
        }
        let answers = commit_at_once(&bench.world.storage, changes).await;
        let winners: Vec<_> = (1..).zip(&answers).filter(|(_, answer)| **answer == UNNUMBERED).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == Landed::Conflict).count(), 7, "{answers:?}");
        let quote = Rupiah::new(round * 10 + winners[0].0).unwrap();
        let snapshot = bench.snapshot(seller.account_id, placed.id).await;
        assert_eq!((snapshot.order.state.quoted_price, snapshot.payment.state.amount_due), (quote, quote));
    }
}

/// The limit counts the present services, not deleted ones.
pub async fn services_below_counts_the_catalog(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let below =
        async |limit| landed(&bench.commit(&bench.guarded(seller.account_id, Guard::ServicesBelow(limit))).await);
    assert_eq!(below(1).await, Landed::Conflict);
    assert_eq!(below(2).await, UNNUMBERED);
    bench.world.commands().delete_service(seller.account_id, seller.service_id).await.unwrap();
    assert_eq!(below(0).await, Landed::Conflict);
    assert_eq!(below(1).await, UNNUMBERED);
    assert_eq!(bench.account(seller.account_id).await.services, 0);
}

/// Of many services created for the last free place, one is stored.
pub async fn the_last_free_place_is_given_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    for free in 1..=3_u32 {
        let limit = bench.account(seller.account_id).await.services + free;
        let mut changes = Vec::new();
        for index in 0..8 {
            let mut change = bench.creating(seller.account_id, &format!("s-{free}-{index}")).await;
            change.guards = vec![Guard::ServicesBelow(limit)];
            changes.push(change);
        }
        let answers = commit_at_once(&bench.world.storage, changes).await;
        let landed = answers.iter().filter(|answer| **answer == UNNUMBERED).count();
        let refused = answers.iter().filter(|answer| **answer == Landed::Conflict).count();
        let free = usize::try_from(free).unwrap();
        assert_eq!((landed, refused), (free, 8 - free), "{answers:?}");
        assert_eq!(bench.account(seller.account_id).await.services, limit);
    }
}

/// An order of a service and the service's deletion exclude each other in either order.
pub async fn ordering_and_deleting_a_service_never_both_land(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    for round in 0..8 {
        let slug = format!("short-{round}");
        let creating = bench.creating(seller.account_id, &slug).await;
        bench.lands(&creating).await;
        let services = bench.storage().services(seller.account_id).await.unwrap();
        let id = services.iter().find(|service| service.offer.slug.as_str() == slug).unwrap().id;
        let snapshot = bench.storage().service(seller.account_id, id, None).await.unwrap().unwrap();
        assert!(!snapshot.has_orders);
        let Ok(Decision::Change(deleting, ())) = decide::delete_service(&snapshot, &mut bench.context(None)) else {
            panic!("a service without orders can be deleted")
        };
        let (order_id, _, placing) = bench.placing_of(&seller, &slug, None).await;
        let mut changes = vec![placing, *deleting];
        if round % 2 == 0 {
            changes.reverse();
        }
        let answers = commit_at_once(&bench.world.storage, changes).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Landed::Conflict).count(), 1, "{answers:?}");
        let order = bench.storage().order(OrderKey::Id(seller.account_id, order_id), None).await.unwrap();
        let service = bench.storage().service(seller.account_id, id, None).await.unwrap();
        assert_eq!(order.is_some(), service.is_some());
        assert!(service.is_none_or(|service| service.has_orders));
    }
    let ordered = bench.storage().services(seller.account_id).await.unwrap();
    bench.world.place(&seller, "Budi").await;
    let guard = Guard::NoOrdersOf(seller.service_id);
    let version = ordered.iter().find(|service| service.id == seller.service_id).unwrap().version;
    let mut change = bench.guarded(seller.account_id, guard);
    change.guards.push(exact(Row::Service(seller.service_id), version));
    change.writes.push(Write::DeleteService(seller.service_id));
    assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict);
}

/// Tier, modules and subscriptions change the settings epoch; orders and services do not.
pub async fn a_settings_witness_sees_every_change(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let epoch = bench.account(account_id).await.account.state.version;
    let witness = async |version| landed(&bench.commit(&bench.guarded(account_id, Guard::Settings(version))).await);
    bench.world.place(&seller, "Budi").await;
    assert_eq!(witness(epoch).await, UNNUMBERED);
    assert_eq!(witness(epoch.next()).await, Landed::Conflict);
    bench.world.commands().set_tier(account_id, Tier::Growth).await.unwrap();
    assert_eq!(witness(epoch).await, Landed::Conflict);
    assert_eq!(witness(epoch.next()).await, UNNUMBERED);
    let (_, _, placing) = bench.placing(&seller, None).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    assert_eq!(landed(&bench.commit(&placing).await), Landed::Conflict, "it would have missed a subscription");
    let (_, _, unwitnessed) = bench.placing(&seller, None).await;
    bench.lands(&ChangeSet { guards: Vec::new(), ..unwitnessed }).await;
}
