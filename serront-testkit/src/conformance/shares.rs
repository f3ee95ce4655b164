//! Shares of deliveries: a slow or dead receiver does not delay the deliveries of others.

use std::collections::BTreeMap;
use std::time::Duration;

use serront_core::changes::effect::{Attempt, EffectId, Lane};
use serront_core::policy::DeliveryShares;
use serront_core::primitives::ids::SubscriptionId;
use serront_core::snapshots::{Due, DueEffect, NextAttempt};
use serront_core::webhooks::subscription::SubscriptionInput;

use super::Harness;
use super::bench::{Bench, LEASE, at_once};
use crate::world::Seller;

const SECOND: Duration = Duration::from_secs(1);
/// No event of these cases matches this filter.
const QUIET: &[&str] = &["serront.billing.*"];

/// Shares that only limit a subscription to two deliveries.
const TWO_EACH: DeliveryShares = DeliveryShares { per_subscription: 2, ..DeliveryShares::UNLIMITED };

fn per_subscription(taken: &[Due]) -> BTreeMap<SubscriptionId, usize> {
    taken.iter().fold(BTreeMap::new(), |mut counts, due| {
        if let DueEffect::Delivery { target: Some(target), .. } = &due.effect {
            *counts.entry(target.subscription.id).or_default() += 1;
        }
        counts
    })
}

fn ids(taken: &[Due]) -> Vec<EffectId> {
    taken.iter().map(|due| due.id).collect()
}

async fn take<H: Harness + ?Sized>(bench: &Bench<'_, H>, limit: u32, shares: DeliveryShares) -> Vec<Due> {
    bench.storage().take_due(Lane::Deliveries, limit, shares, LEASE).await.unwrap()
}

/// This many subscriptions, each with this many due deliveries.
async fn queues<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    seller: &Seller,
    count: usize,
    deliveries: usize,
) -> Vec<SubscriptionId> {
    let mut subscriptions = Vec::new();
    for n in 0..count {
        let id = bench.world.subscribe(seller, &format!("https://receiver-{n}.example"), QUIET).await;
        bench.queue_deliveries(seller.account_id, id, deliveries).await;
        subscriptions.push(id);
    }
    subscriptions
}

/// Gives these subscriptions a streak of failed attempts. None of their deliveries may be due.
async fn fail<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    seller: &Seller,
    subscriptions: &[SubscriptionId],
    times: usize,
) {
    for _ in 0..times {
        for id in subscriptions {
            bench.queue_deliveries(seller.account_id, *id, 1).await;
        }
        for due in take(bench, 1_000, DeliveryShares::UNLIMITED).await {
            bench.record(&due, NextAttempt::Failed).await.unwrap();
        }
    }
}

/// A subscription has a maximum of leased deliveries over all takers; deliveries of others pass the waiting ones.
pub async fn a_subscription_has_so_many_at_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let slow = queues(&bench, &seller, 1, 20).await[0];
    bench.advance(SECOND).await;
    let quick = queues(&bench, &seller, 1, 3).await[0];
    let taken = take(&bench, 5, TWO_EACH).await;
    assert_eq!(per_subscription(&taken), BTreeMap::from([(slow, 2), (quick, 2)]));
    assert_eq!(take(&bench, 5, TWO_EACH).await, []);
    let done = taken.iter().find(|due| per_subscription(std::slice::from_ref(due)).contains_key(&quick)).unwrap();
    bench.record(done, NextAttempt::Succeeded).await.unwrap();
    assert_eq!(per_subscription(&take(&bench, 5, TWO_EACH).await), BTreeMap::from([(quick, 1)]));
    bench.advance(LEASE).await;
    let storage = &bench.world.storage;
    let takers = (0..8).map(|_| {
        let storage = storage.clone();
        async move { storage.take_due(Lane::Deliveries, 3, TWO_EACH, LEASE).await.unwrap() }
    });
    let taken: Vec<_> = at_once(takers).await.into_iter().flatten().collect();
    assert_eq!(per_subscription(&taken), BTreeMap::from([(slow, 2), (quick, 2)]));
}

/// For every queue length and limit, the subscription with the fewest deliveries in progress comes first.
pub async fn a_long_queue_hides_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let slow = queues(&bench, &seller, 1, 1_500).await[0];
    bench.advance(SECOND).await;
    let quick = queues(&bench, &seller, 1, 1).await[0];
    assert_eq!(per_subscription(&take(&bench, 2, TWO_EACH).await), BTreeMap::from([(slow, 1), (quick, 1)]));
    assert_eq!(per_subscription(&take(&bench, 2, TWO_EACH).await), BTreeMap::from([(slow, 1)]));
}

/// Between subscriptions with equally many deliveries in progress, the longest due comes first; within one, always.
pub async fn a_subscriptions_deliveries_begin_in_their_order(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let (one, other) = {
        let both = queues(&bench, &seller, 2, 0).await;
        (both[0], both[1])
    };
    let mut queued = Vec::new();
    for id in [one, one, other, one, other] {
        queued.push(bench.queue_deliveries(seller.account_id, id, 1).await[0]);
        bench.advance(SECOND).await;
    }
    let first = take(&bench, 1, TWO_EACH).await;
    assert_eq!(ids(&first), [queued[0]]);
    assert_eq!(ids(&take(&bench, 10, TWO_EACH).await), [queued[2], queued[1], queued[4]]);
    // A retry comes after earlier deliveries.
    bench.record(&first[0], NextAttempt::At(bench.now())).await.unwrap();
    assert_eq!(ids(&take(&bench, 1, TWO_EACH).await), [queued[3]]);
    bench.advance(LEASE).await;
    assert_eq!(take(&bench, 1, TWO_EACH).await.len(), 1);
}

/// Beyond its account's share each subscription still has one place, which no other one can use.
pub async fn an_account_keeps_to_its_share(harness: &impl Harness) {
    accounts_shares(harness, 10).await;
}

/// The same with a thousand due deliveries, for which an adapter may use another query.
pub async fn an_account_keeps_to_its_share_of_a_thousand(harness: &impl Harness) {
    accounts_shares(harness, 350).await;
}

async fn accounts_shares(harness: &impl Harness, waiting: usize) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let shares = DeliveryShares { per_subscription: 4, per_account: 5, ..DeliveryShares::UNLIMITED };
    let many = queues(&bench, &seller, 3, waiting).await;
    let taken = take(&bench, 100, shares).await;
    let counts = per_subscription(&taken);
    assert_eq!(taken.len(), 5);
    assert!(many.iter().all(|id| (1..=2).contains(&counts[id])), "{counts:?}");
    assert_eq!(take(&bench, 100, shares).await, []);
    // The first place of another subscription, and all of another account's.
    let late = queues(&bench, &seller, 1, 10).await[0];
    let free = queues(&bench, &other, 1, 10).await[0];
    assert_eq!(per_subscription(&take(&bench, 100, shares).await), BTreeMap::from([(late, 1), (free, 4)]));
    assert_eq!(take(&bench, 100, shares).await, []);
}

/// Failing subscriptions have a common share, in which those with the fewest failures come first. A success ends this.
pub async fn failing_subscriptions_share_a_part(harness: &impl Harness) {
    failing_shares(harness, 10).await;
}

/// The same with a thousand due deliveries.
pub async fn failing_subscriptions_share_a_part_of_a_thousand(harness: &impl Harness) {
    failing_shares(harness, 200).await;
}

async fn failing_shares(harness: &impl Harness, waiting: usize) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let shares = DeliveryShares { per_subscription: 4, failing: 3, ..DeliveryShares::UNLIMITED };
    let dead = queues(&bench, &seller, 5, 0).await;
    let once = queues(&bench, &other, 1, 0).await[0];
    fail(&bench, &seller, &dead, 3).await;
    fail(&bench, &other, &[once], 1).await;
    for id in &dead {
        bench.queue_deliveries(seller.account_id, *id, waiting).await;
    }
    bench.advance(SECOND).await;
    bench.queue_deliveries(other.account_id, once, 10).await;
    let live = queues(&bench, &seller, 1, 10).await[0];
    let taken = take(&bench, 100, shares).await;
    let counts = per_subscription(&taken);
    assert_eq!((counts[&once], counts[&live]), (1, 4));
    assert_eq!(taken.len(), 7, "two of the dead ones: {counts:?}");
    assert_eq!(take(&bench, 100, shares).await, []);
    let tried = taken.iter().find(|due| due.account_id == other.account_id).unwrap();
    bench.record(tried, NextAttempt::Succeeded).await.unwrap();
    let counts = per_subscription(&take(&bench, 100, shares).await);
    assert_eq!(counts[&once], 4, "it no longer fails");
    assert_eq!(counts.values().sum::<usize>(), 5, "another one has its place: {counts:?}");
}

/// Slow subscriptions have the same common share as failing ones until they are quick again, but no streak.
pub async fn slow_subscriptions_are_held_back_like_failing_ones(harness: &impl Harness) {
    slow_shares(harness, 10).await;
}

/// The same with a thousand due deliveries.
pub async fn slow_subscriptions_among_a_thousand_are_held_back(harness: &impl Harness) {
    slow_shares(harness, 200).await;
}

async fn slow_shares(harness: &impl Harness, waiting: usize) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let shares =
        DeliveryShares { per_subscription: 4, failing: 3, slow_after: 2 * SECOND, ..DeliveryShares::UNLIMITED };
    let slow = queues(&bench, &seller, 5, 1).await;
    take_and_answer(&bench, 2_000).await;
    let quick = queues(&bench, &seller, 1, 1).await[0];
    take_and_answer(&bench, 1_999).await;
    for id in &slow {
        assert_eq!(bench.storage().streak(seller.account_id, *id).await.unwrap(), None);
        bench.queue_deliveries(seller.account_id, *id, waiting).await;
    }
    bench.advance(SECOND).await;
    bench.queue_deliveries(seller.account_id, quick, 10).await;
    let taken = take(&bench, 100, shares).await;
    let counts = per_subscription(&taken);
    assert_eq!((counts[&quick], taken.len()), (4, 7), "three of the slow ones: {counts:?}");
    assert_eq!(take(&bench, 100, shares).await, []);
    let of_slow = |due: &&Due| !per_subscription(std::slice::from_ref(*due)).contains_key(&quick);
    answer(&bench, taken.iter().find(of_slow).unwrap(), 0).await;
    let counts = per_subscription(&take(&bench, 100, shares).await);
    assert_eq!(counts.values().copied().max(), Some(4), "one is no longer slow: {counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 5, "another one has its place: {counts:?}");
}

async fn take_and_answer<H: Harness + ?Sized>(bench: &Bench<'_, H>, duration_ms: u64) {
    for due in take(bench, 1_000, DeliveryShares::UNLIMITED).await {
        answer(bench, &due, duration_ms).await;
    }
}

/// Records a successful delivery of this duration.
async fn answer<H: Harness + ?Sized>(bench: &Bench<'_, H>, due: &Due, duration_ms: u64) {
    let next = NextAttempt::Succeeded;
    let attempt = Attempt { duration_ms, ..bench.attempt(due, next) };
    bench.storage().record_attempt(due.account_id, due.id, due.fence, &attempt, next).await.unwrap();
}

/// Events for a live endpoint, and for another account, are taken immediately despite a hundred dead endpoints with
/// long queues.
pub async fn a_hundred_dead_endpoints_delay_no_others(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let shares = DeliveryShares::default();
    let dead = queues(&bench, &seller, 99, 8).await;
    assert_eq!(take(&bench, 512, shares).await.len(), 128);
    let live = queues(&bench, &seller, 1, 1).await[0];
    let others = queues(&bench, &other, 1, 1).await[0];
    assert_eq!(per_subscription(&take(&bench, 2, shares).await), BTreeMap::from([(live, 1), (others, 1)]));
    // All of them have failed, and keep failing.
    bench.advance(LEASE).await;
    for due in take(&bench, 1_000, DeliveryShares::UNLIMITED).await {
        let next = if dead.iter().any(|id| per_subscription(std::slice::from_ref(&due)).contains_key(id)) {
            NextAttempt::At(bench.now())
        } else {
            NextAttempt::Succeeded
        };
        bench.record(&due, next).await.unwrap();
    }
    assert_eq!(take(&bench, 512, shares).await.len(), 128);
    for (account_id, id) in [(seller.account_id, live), (other.account_id, others)] {
        bench.queue_deliveries(account_id, id, 1).await;
    }
    assert_eq!(per_subscription(&take(&bench, 2, shares).await), BTreeMap::from([(live, 1), (others, 1)]));
}

/// Deliveries without a subscription are handed out too, so that they end.
pub async fn what_has_no_subscription_is_given_out(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let both = queues(&bench, &seller, 2, 0).await;
    let input = SubscriptionInput { active: Some(false), ..SubscriptionInput::default() };
    bench.world.webhook_registration().update_subscription(seller.account_id, both[0], &input, None).await.unwrap();
    bench.world.commands().delete_subscription(seller.account_id, both[1]).await.unwrap();
    let mut queued = Vec::new();
    for id in both {
        queued.push(bench.queue_deliveries(seller.account_id, id, 1).await[0]);
    }
    let mut taken = ids(&take(&bench, 10, DeliveryShares::default()).await);
    taken.sort();
    assert_eq!(taken, queued);
}
