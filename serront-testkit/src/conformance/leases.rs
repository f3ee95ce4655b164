//! Due work is taken under a lease, and only the lease's holder records the attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serront_core::changes::change::ChangeSet;
use serront_core::changes::effect::{Effect, EffectId, EffectStatus, Errand, Lane};
use serront_core::policy::DeliveryShares;
use serront_core::ports::RecordError;
use serront_core::snapshots::{Due, DueEffect, Fence, NextAttempt, Prune};
use serront_core::webhooks::subscription::SubscriptionInput;

use super::Harness;
use super::bench::{Bench, LEASE, at_once, delivery_id};

const SECOND: Duration = Duration::from_secs(1);

fn ids(taken: &[Due]) -> Vec<EffectId> {
    taken.iter().map(|due| due.id).collect()
}

fn lost(result: &Result<(), RecordError>) -> bool {
    matches!(result, Err(RecordError::LeaseLost(_)))
}

/// With many takers at the same time, every effect is given to one of them.
pub async fn each_effect_is_taken_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let mut queued = bench.queue_removals(seller.account_id, 30).await;
    let takers = (0..8).map(|_| {
        let storage = bench.world.storage.clone();
        async move {
            let mut taken = Vec::new();
            loop {
                let some = storage.take_due(Lane::Removals, 3, DeliveryShares::default(), LEASE).await.unwrap();
                assert!(some.len() <= 3);
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some);
            }
        }
    });
    let taken: Vec<_> = at_once(takers).await.into_iter().flatten().collect();
    let mut taken_ids = ids(&taken);
    taken_ids.sort();
    queued.sort();
    assert_eq!(taken_ids, queued);
    assert!(taken.iter().all(|due| due.attempts == 0 && due.account_id == seller.account_id));
    assert_eq!(bench.storage().next_due(Lane::Removals).await.unwrap(), None, "everything is under lease");
}

/// An effect with an expired lease is given to the next taker, under a higher fence.
pub async fn an_expired_lease_raises_the_fence(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.queue_removals(seller.account_id, 1).await;
    let first = bench.take_one().await;
    bench.advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(bench.take(10).await, []);
    bench.advance(Duration::from_millis(1)).await;
    assert!(bench.storage().next_due(Lane::Removals).await.unwrap().is_some(), "an expired lease holds nothing");
    let second = bench.take_one().await;
    assert!(second.fence > first.fence);
    assert_eq!(second, Due { fence: second.fence, ..first });
    bench.advance(LEASE).await;
    let bench = bench.reopen().await;
    assert!(bench.take_one().await.fence > second.fence);
}

/// A worker without the lease writes nothing, and does not affect the holder.
pub async fn a_late_record_is_refused(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(seller.account_id, subscription_id, 1).await;
    let late = bench.take_one().await;
    bench.advance(LEASE).await;
    let present = bench.take_one().await;
    assert!(lost(&bench.record(&late, NextAttempt::Succeeded).await));
    let record = bench.storage().delivery(seller.account_id, delivery_id(&late)).await.unwrap().unwrap();
    assert_eq!((record.status, record.attempts), (EffectStatus::Pending, vec![]));
    bench.record(&present, NextAttempt::Failed).await.unwrap();
    assert!(lost(&bench.record(&late, NextAttempt::Succeeded).await));
    let record = bench.storage().delivery(seller.account_id, delivery_id(&late)).await.unwrap().unwrap();
    assert_eq!(record.status, EffectStatus::Failed);
    assert_eq!(record.attempts, [bench.attempt(&present, NextAttempt::Failed)]);
}

/// A slow worker's record counts if no other worker took the effect.
pub async fn an_expired_lease_without_a_new_holder_can_be_recorded(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.queue_removals(seller.account_id, 1).await;
    let slow = bench.take_one().await;
    bench.advance(LEASE * 2).await;
    bench.record(&slow, NextAttempt::Succeeded).await.unwrap();
    assert_eq!(bench.take(10).await, []);
}

/// A repeated record answers that the lease is lost, regardless of later records.
pub async fn a_record_lands_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    for next in [NextAttempt::Succeeded, NextAttempt::Failed, NextAttempt::At(bench.now().plus(SECOND))] {
        bench.queue_deliveries(seller.account_id, subscription_id, 1).await;
        let due = bench.take_one().await;
        let again = (0..4).map(|_| {
            let (storage, due, attempt) = (bench.world.storage.clone(), due.clone(), bench.attempt(&due, next));
            async move { storage.record_attempt(due.account_id, due.id, due.fence, &attempt, next).await }
        });
        let results = at_once(again).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{next:?}");
        assert_eq!(results.iter().filter(|result| lost(result)).count(), 3, "{next:?}");
        let record = bench.storage().delivery(seller.account_id, delivery_id(&due)).await.unwrap().unwrap();
        assert_eq!(record.attempts, [bench.attempt(&due, next)]);
    }
}

/// A record is refused for an effect that does not exist, was not taken, or belongs to another account.
pub async fn an_unknown_effect_has_no_lease(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    bench.queue_removals(seller.account_id, 1).await;
    let due = bench.take_one().await;
    let unknown = EffectId::Removal(bench.context(None).ids.removal());
    for wrong in [
        Due { id: unknown, ..due.clone() },
        Due { account_id: other.account_id, ..due.clone() },
        Due { fence: Fence(due.fence.0 + 1), ..due.clone() },
        Due { fence: Fence(due.fence.0 - 1), ..due.clone() },
    ] {
        assert!(lost(&bench.record(&wrong, NextAttempt::Succeeded).await), "{wrong:?}");
    }
    let waiting = bench.queue_removals(seller.account_id, 1).await;
    for fence in [0, 1] {
        let untaken = Due { id: waiting[0], fence: Fence(fence), ..due.clone() };
        assert!(lost(&bench.record(&untaken, NextAttempt::Succeeded).await), "fence {fence}");
    }
    bench.record(&due, NextAttempt::Succeeded).await.unwrap();
    assert_eq!(ids(&bench.take(10).await), waiting);
}

/// The order of the commits does not matter.
pub async fn the_longest_due_comes_first(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let now = bench.now();
    let mut queued = Vec::new();
    for seconds in [3, 9, 1, 7, 5] {
        let due = now.minus(SECOND * seconds);
        queued.push((due, bench.queue_errands(seller.account_id, 1, due).await[0]));
    }
    queued.sort();
    let expected: Vec<_> = queued.iter().map(|(_, id)| *id).collect();
    let take = async |limit| {
        ids(&bench.storage().take_due(Lane::Errands, limit, DeliveryShares::default(), LEASE).await.unwrap())
    };
    assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), Some(queued[0].0));
    assert_eq!(take(2).await, expected[..2]);
    assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), Some(queued[2].0));
    assert_eq!(take(10).await, expected[2..]);
}

/// Effects are due by the storage's clock, to the millisecond.
pub async fn nothing_is_due_before_its_time(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let take =
        async |limit| bench.storage().take_due(Lane::Errands, limit, DeliveryShares::default(), LEASE).await.unwrap();
    assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), None);
    assert_eq!(take(10).await, []);
    let at = bench.now().plus(SECOND);
    bench.queue_errands(seller.account_id, 2, at).await;
    assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), Some(at));
    bench.advance(SECOND - Duration::from_millis(1)).await;
    assert_eq!(take(10).await, []);
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(take(0).await, [], "nothing was asked for");
    assert_eq!(take(1).await.len(), 1);
    assert_eq!(take(10).await.len(), 1);
}

/// A retry is due at the recorded time, not before, and knows the number of attempts.
pub async fn a_retry_waits_for_its_time(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.queue_removals(seller.account_id, 1).await;
    for attempts in 0..4 {
        let due = bench.take_one().await;
        assert_eq!(due.attempts, attempts);
        let at = bench.now().plus(SECOND * (attempts + 1));
        bench.record(&due, NextAttempt::At(at)).await.unwrap();
        assert_eq!(bench.storage().next_due(Lane::Removals).await.unwrap(), Some(at));
        bench.advance(SECOND * (attempts + 1) - Duration::from_millis(1)).await;
        assert_eq!(bench.take(10).await, []);
        bench.advance(Duration::from_millis(1)).await;
    }
}

/// The log has all attempts, complete and in order.
pub async fn a_log_holds_every_attempt(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(seller.account_id, subscription_id, 1).await;
    let id = delivery_id(&bench.take_one().await);
    let made = bench.storage().delivery(seller.account_id, id).await.unwrap().unwrap();
    let queued_at = bench.now();
    assert_eq!((made.created_at, made.next_attempt_at), (queued_at, Some(queued_at)));
    assert_eq!((made.status, &made.attempts), (EffectStatus::Pending, &vec![]));
    let mut log = Vec::new();
    for index in 0..4_u32 {
        bench.advance(LEASE).await;
        let due = bench.take_one().await;
        let next = if index == 3 { NextAttempt::Succeeded } else { NextAttempt::At(bench.now().plus(SECOND)) };
        log.push(bench.attempt(&due, next));
        bench.record(&due, next).await.unwrap();
        let record = bench.storage().delivery(seller.account_id, id).await.unwrap().unwrap();
        let expected = serront_core::changes::effect::DeliveryRecord {
            status: if index == 3 { EffectStatus::Succeeded } else { EffectStatus::Pending },
            next_attempt_at: (index < 3).then(|| bench.now().plus(SECOND)),
            attempts: log.clone(),
            ..made.clone()
        };
        assert_eq!(record, expected);
    }
    assert_eq!(log.iter().map(|attempt| attempt.attempt_number).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

/// Effects that succeeded or were given up are finished, also after a reopen.
pub async fn finished_effects_are_not_taken_again(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.queue_removals(seller.account_id, 2).await;
    let taken = bench.take(10).await;
    bench.record(&taken[0], NextAttempt::Succeeded).await.unwrap();
    bench.record(&taken[1], NextAttempt::Failed).await.unwrap();
    bench.advance(LEASE * 100).await;
    assert_eq!(bench.storage().next_due(Lane::Removals).await.unwrap(), None);
    assert_eq!(bench.take(10).await, []);
    let bench = bench.reopen().await;
    assert_eq!(bench.take(10).await, []);
}

/// The target is the subscription at the time of taking: changed, paused, or deleted.
pub async fn a_target_is_read_when_it_is_taken(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let changed = bench.world.subscribe(&seller, "https://old.example", &["*"]).await;
    let deleted = bench.world.subscribe(&seller, "https://gone.example", &["*"]).await;
    let untouched = bench.world.subscribe(&seller, "https://same.example", &["*"]).await;
    let input = SubscriptionInput { url: Some("https://new.example".to_owned()), events: None, active: Some(false) };
    bench.world.webhook_registration().update_subscription(account_id, changed, &input, None).await.unwrap();
    bench.world.commands().delete_subscription(account_id, deleted).await.unwrap();
    let mut expected = BTreeMap::new();
    for id in [changed, deleted, untouched] {
        expected.insert(bench.queue_deliveries(account_id, id, 1).await[0], id);
    }
    let subscriptions = bench.account(account_id).await.subscriptions;
    let taken = bench.take(10).await;
    assert_eq!(taken.len(), 3);
    let mut secrets = BTreeSet::new();
    for due in taken {
        let DueEffect::Delivery { target, .. } = due.effect else { panic!("a delivery") };
        let id = expected[&due.id];
        if id == deleted {
            assert_eq!(target, None);
        } else {
            let target = target.unwrap();
            assert!(secrets.insert(target.secret.as_stored().to_owned()));
            assert_eq!(Some(&target.subscription), subscriptions.iter().find(|row| row.id == id));
            let address = if id == changed { "https://new.example" } else { "https://same.example" };
            assert_eq!(target.subscription.state.url, address);
            assert_eq!(target.subscription.state.active, id == untouched);
        }
    }
    // The log of the subscription's deliveries stays.
    let filter = serront_core::snapshots::DeliveryFilter { subscription_id: Some(deleted), ..Default::default() };
    assert_eq!(bench.all_deliveries(account_id, &filter).await.len(), 1);
}

/// Errands have due times and a separate lane, with the same leases and logs.
pub async fn each_lane_is_taken_separately(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let start = bench.now();
    let due_at = start.plus(Duration::from_secs(60));
    let mut ids = bench.context(None).ids;
    let errands = [
        Errand::Poll(ids.checkout()),
        Errand::Cancel(ids.checkout()),
        Errand::Unpark(serront_core::primitives::provider::ProviderEventId::parse("evt_'1'").unwrap()),
    ];
    let effects: Vec<_> = errands
        .iter()
        .enumerate()
        .map(|(n, errand)| {
            let due_at = if n == 0 { due_at } else { start };
            Effect::Errand { id: ids.errand(), errand: errand.clone(), due_at }
        })
        .collect();
    bench.lands(&ChangeSet { effects, ..bench.change(account_id) }).await;
    bench.queue_removals(account_id, 1).await;
    let storage = bench.storage();
    assert!(matches!(bench.take(10).await.as_slice(), [Due { effect: DueEffect::Removal(_), .. }]));
    let take = async || storage.take_due(Lane::Errands, 10, DeliveryShares::default(), LEASE).await.unwrap();
    assert_eq!(storage.next_due(Lane::Errands).await.unwrap(), Some(start));
    let taken = take().await;
    let mut told: Vec<_> = taken.iter().map(|due| due.effect.clone()).collect();
    told.sort_by_key(|effect| format!("{effect:?}"));
    assert_eq!(told, errands[1..].iter().cloned().map(DueEffect::Errand).collect::<Vec<_>>());
    assert_eq!(take().await, []);
    assert_eq!(storage.next_due(Lane::Errands).await.unwrap(), Some(due_at));
    assert_eq!(storage.next_due(Lane::Removals).await.unwrap(), None, "the removal is under lease");
    let again = bench.now().plus(Duration::from_secs(30));
    bench.record(&taken[0], NextAttempt::At(again)).await.unwrap();
    bench.record(&taken[1], NextAttempt::Succeeded).await.unwrap();
    assert!(matches!(bench.record(&taken[1], NextAttempt::Succeeded).await, Err(RecordError::LeaseLost(_))));
    assert_eq!(storage.next_due(Lane::Errands).await.unwrap(), Some(again));
    bench.advance(Duration::from_secs(61)).await;
    let late = take().await;
    assert_eq!(late.iter().map(|due| due.attempts).sum::<u32>(), 1, "one of them was tried before");
    assert_eq!(late.len(), 2);
    bench.advance(SECOND).await;
    let prune = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::MAX, limit: 100 };
    assert_eq!(storage.prune(prune).await.unwrap().effects, 1, "pending effects stay");
}
