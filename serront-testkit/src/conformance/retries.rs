//! Effects that were given up are listed for operators, and finished effects can be queued again on request.

use std::time::Duration;

use serront_core::changes::change::{ChangeSet, ClaimName, Write};
use serront_core::changes::effect::{
    ATTEMPTS_KEPT, DeliveryAddress, Effect, EffectId, EffectRecord, EffectStatus, Errand, Lane,
};
use serront_core::decide;
use serront_core::policy::DeliveryShares;
use serront_core::ports::RecordError;
use serront_core::primitives::ids::{AccountId, PaymentId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Code;
use serront_core::service::{Answer, Failure};
use serront_core::snapshots::set_aside::SetAsides;
use serront_core::snapshots::{Due, NextAttempt, Prune};
use serront_core::views::DeliveryView;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::SubscriptionInput;

use super::Harness;
use super::bench::{
    Bench, LEASE, Landed, UNNUMBERED, at_once, change_of, commit_at_once, delivery_id, landed, limit, request,
};

const SECOND: Duration = Duration::from_secs(1);

/// A change set that queues this effect again, with a claim that lands only together with it.
fn requeueing<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    account_id: AccountId,
    id: EffectId,
) -> (ClaimName, ChangeSet) {
    let marker = ClaimName::Confirmation(PaymentId::from_ulid(bench.context(None).ids.next_ulid()));
    let change = ChangeSet { writes: vec![Write::Requeue(id)], ..bench.claiming(account_id, marker.clone()) };
    (marker, change)
}

async fn queue_errand<H: Harness + ?Sized>(bench: &Bench<'_, H>, account_id: AccountId) -> EffectId {
    let mut ids = bench.context(None).ids;
    let errand = Effect::Errand { id: ids.errand(), errand: Errand::Poll(ids.checkout()), due_at: bench.now() };
    let id = errand.id();
    bench.lands(&ChangeSet { effects: vec![errand], ..bench.change(account_id) }).await;
    id
}

/// All due effects of every lane.
pub(super) async fn take_all<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> Vec<Due> {
    let mut taken = bench.take(100).await;
    taken.extend(bench.storage().take_due(Lane::Errands, 100, DeliveryShares::UNLIMITED, LEASE).await.unwrap());
    taken
}

pub(super) async fn effect<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    account_id: AccountId,
    id: EffectId,
) -> EffectRecord {
    bench.storage().effect(account_id, id).await.unwrap().unwrap()
}

/// One effect of each kind, all due now.
pub(super) async fn one_of_each<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> (AccountId, Vec<EffectId>) {
    let (seller, placed) = bench.world.seller_with_order("studio").await;
    let account_id = seller.account_id;
    bench.lands(&bench.confirming(&placed, None).await).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(account_id, subscription_id, 1).await;
    bench.queue_removals(account_id, 1).await;
    queue_errand(bench, account_id).await;
    let taken = take_all(bench).await;
    let ids: Vec<_> = taken.iter().map(|due| due.id).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    for due in taken {
        bench.record(&due, NextAttempt::At(bench.now())).await.unwrap();
    }
    (account_id, ids)
}

/// Holds for every kind: queued, given up or discarded (#16).
pub async fn what_can_be_read_is_not_set_aside(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, ids) = one_of_each(&bench).await;
    assert_eq!(take_all(&bench).await.len(), ids.len());
    bench.advance(LEASE).await;
    for due in take_all(&bench).await {
        bench.record(&due, NextAttempt::Failed).await.unwrap();
    }
    bench.world.commands().discard_effect(account_id, ids[0], "not wanted", &crate::world::host()).await.unwrap();
    assert_eq!(given_up(&bench, limit(2)).await.len(), ids.len() - 1);
    bench.advance(Duration::from_secs(600)).await;
    assert_eq!(take_all(&bench).await, []);
    assert_eq!(bench.storage().set_aside(10).await.unwrap(), SetAsides::default());
}

/// Holds for every kind, succeeded or given up: the effect is due immediately, and its attempts and fence continue.
pub async fn what_is_over_can_be_queued_again(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, ids) = one_of_each(&bench).await;
    for end in [NextAttempt::Failed, NextAttempt::Succeeded] {
        let ended = take_all(&bench).await;
        assert_eq!(ended.len(), ids.len());
        for due in &ended {
            bench.record(due, end).await.unwrap();
        }
        bench.advance(SECOND).await;
        assert_eq!(take_all(&bench).await, []);
        for due in &ended {
            let before = effect(&bench, account_id, due.id).await;
            let (_, change) = requeueing(&bench, account_id, due.id);
            bench.lands(&change).await;
            let queued = EffectRecord { status: EffectStatus::Pending, ..before };
            assert_eq!(effect(&bench, account_id, due.id).await, queued);
            assert_eq!(bench.storage().next_due(due.id.lane()).await.unwrap(), Some(bench.now()));
            if let EffectId::Delivery(id) = due.id {
                let delivery = bench.storage().delivery(account_id, id).await.unwrap().unwrap();
                assert_eq!((delivery.status, delivery.next_attempt_at), (EffectStatus::Pending, Some(bench.now())));
            }
            let again = match take_all(&bench).await.as_slice() {
                [again] => again.clone(),
                taken => panic!("one effect is due: {taken:?}"),
            };
            assert!(again.fence > due.fence);
            assert_eq!(again, Due { fence: again.fence, attempts: due.attempts + 1, ..due.clone() });
            bench.record(&again, NextAttempt::At(bench.now())).await.unwrap();
            let logged = effect(&bench, account_id, due.id).await;
            let expected = bench.attempt(&again, NextAttempt::At(bench.now()));
            assert_eq!((logged.attempts, logged.last_attempt), (expected.attempt_number, Some(expected)));
            // Keeps it from being taken together with the next one.
            assert_eq!(take_all(&bench).await.len(), 1);
        }
        bench.advance(LEASE).await;
    }
}

/// Holds for every kind: the log is bounded, numbers and counts are not, and no other effect's log changes.
pub async fn a_log_keeps_its_latest_attempts_and_counts_on(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, ids) = one_of_each(&bench).await;
    let (other, others) = {
        let seller = bench.world.seller("other").await;
        (seller.account_id, bench.queue_removals(seller.account_id, 1).await[0])
    };
    for taken in 2..=ATTEMPTS_KEPT + 3 {
        for due in take_all(&bench).await {
            if due.id != others || taken == 2 {
                bench.record(&due, NextAttempt::At(bench.now())).await.unwrap();
            }
        }
        bench.advance(LEASE).await;
    }
    for id in ids {
        let logged = effect(&bench, account_id, id).await;
        assert_eq!(logged.attempts, ATTEMPTS_KEPT + 3);
        assert_eq!(logged.last_attempt.unwrap().attempt_number, ATTEMPTS_KEPT + 3);
        if let EffectId::Delivery(id) = id {
            let delivery = bench.storage().delivery(account_id, id).await.unwrap().unwrap();
            let numbers: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.attempt_number).collect();
            assert_eq!(numbers, Vec::from_iter(4..=ATTEMPTS_KEPT + 3));
            let view = DeliveryView::from(&delivery);
            assert_eq!((view.attempts, view.attempt_log.len()), (ATTEMPTS_KEPT + 3, numbers.len()));
        }
    }
    assert_eq!(effect(&bench, other, others).await.last_attempt.unwrap().attempt_number, 1);
}

/// A pending, missing or foreign effect is a conflict, and no other part of the change set lands.
pub async fn only_what_is_over_is_queued_again(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let account_id = seller.account_id;
    bench.queue_removals(account_id, 1).await;
    let over = bench.take_one().await;
    bench.record(&over, NextAttempt::Failed).await.unwrap();
    let leased = bench.queue_removals(account_id, 1).await[0];
    assert_eq!(bench.take_one().await.id, leased);
    let waiting = bench.queue_errands(account_id, 1, bench.now().plus(SECOND)).await[0];
    let (unknown, errand) = {
        let mut ids = bench.context(None).ids;
        (EffectId::Removal(ids.removal()), EffectId::Errand(ids.errand()))
    };
    let (before, others) = (bench.picture(account_id).await, bench.picture(other.account_id).await);
    for (account_id, id) in [
        (account_id, leased),
        (account_id, waiting),
        (account_id, unknown),
        (account_id, errand),
        (other.account_id, over.id),
    ] {
        let (marker, change) = requeueing(&bench, account_id, id);
        assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "{id}");
        assert_eq!(landed(&bench.commit(&bench.claiming(account_id, marker)).await), UNNUMBERED, "{id}");
    }
    assert_eq!(bench.picture(account_id).await, before);
    assert_eq!(bench.picture(other.account_id).await, others);
    assert_eq!(effect(&bench, account_id, over.id).await.status, EffectStatus::Failed);
    assert_eq!(bench.storage().effect(other.account_id, over.id).await.unwrap(), None);
    assert_eq!(bench.storage().effect(account_id, unknown).await.unwrap(), None);
    assert_eq!(bench.storage().effect(account_id, errand).await.unwrap(), None);
}

/// Of several concurrent change sets, one queues the effect. The same change set sent again does not queue it a second
/// time, regardless of the effect's later state.
pub async fn an_effect_is_queued_again_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    let errand = queue_errand(&bench, account_id).await;
    let removal = bench.queue_removals(account_id, 1).await[0];
    for due in take_all(&bench).await {
        bench.record(&due, NextAttempt::Failed).await.unwrap();
    }
    for id in [errand, removal] {
        let changes: Vec<_> = (0..8).map(|_| requeueing(&bench, account_id, id).1).collect();
        let results = commit_at_once(&bench.world.storage, changes.clone()).await;
        assert_eq!(results.iter().filter(|result| **result == UNNUMBERED).count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(|result| **result == Landed::Conflict).count(), 7, "{results:?}");
        let taken = take_all(&bench).await;
        assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [id]);
        bench.record(&taken[0], NextAttempt::Failed).await.unwrap();
        let winner = results.iter().position(|result| *result == UNNUMBERED).unwrap();
        assert_eq!(landed(&bench.commit(&changes[winner]).await), UNNUMBERED);
        assert_eq!(effect(&bench, account_id, id).await.status, EffectStatus::Failed);
    }
}

/// A worker that held the effect before it was queued again records nothing, before and after it is taken again.
pub async fn a_late_record_of_what_was_queued_again_is_refused(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    let lost = |result: Result<(), RecordError>| matches!(result, Err(RecordError::LeaseLost(_)));
    bench.queue_removals(account_id, 1).await;
    let overtaken = bench.take_one().await;
    bench.advance(LEASE).await;
    let ended = bench.take_one().await;
    bench.record(&ended, NextAttempt::Failed).await.unwrap();
    bench.lands(&requeueing(&bench, account_id, ended.id).1).await;
    for late in [&overtaken, &ended] {
        assert!(lost(bench.record(late, NextAttempt::Succeeded).await));
    }
    let bench = bench.reopen().await;
    let present = bench.take_one().await;
    for late in [&overtaken, &ended] {
        assert!(lost(bench.record(late, NextAttempt::Succeeded).await));
    }
    bench.record(&present, NextAttempt::Failed).await.unwrap();
    let record = effect(&bench, account_id, ended.id).await;
    let expected = bench.attempt(&present, NextAttempt::Failed);
    assert_eq!((record.attempts, record.last_attempt), (2, Some(expected)));
}

/// Its age does not matter, because it is pending.
pub async fn what_was_queued_again_is_not_pruned(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    bench.queue_removals(account_id, 2).await;
    let taken = bench.take(2).await;
    for due in &taken {
        bench.record(due, NextAttempt::Failed).await.unwrap();
    }
    bench.lands(&requeueing(&bench, account_id, taken[0].id).1).await;
    bench.advance(SECOND).await;
    let prune = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::MAX, limit: 100 };
    assert_eq!(bench.storage().prune(prune).await.unwrap().effects, 1);
    assert_eq!(bench.storage().effect(account_id, taken[1].id).await.unwrap(), None);
    let again = bench.take_one().await;
    assert_eq!((again.id, again.attempts), (taken[0].id, 1));
    let (_, gone) = requeueing(&bench, account_id, taken[1].id);
    assert_eq!(landed(&bench.commit(&gone).await), Landed::Conflict);
}

/// Lists effects of every account and kind, newest first, for every page length; no pending or successful ones.
pub async fn what_was_given_up_is_listed_page_by_page(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let mut expected = Vec::new();
    let mut retried = None;
    for slug in ["studio", "other"] {
        let (seller, placed) = bench.world.seller_with_order(slug).await;
        let account_id = seller.account_id;
        bench.lands(&bench.confirming(&placed, None).await).await;
        let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
        bench.queue_deliveries(account_id, subscription_id, 3).await;
        bench.advance(SECOND).await;
        bench.queue_removals(account_id, 2).await;
        queue_errand(&bench, account_id).await;
        let mut taken = take_all(&bench).await;
        taken.sort_by_key(|due| due.id);
        assert_eq!(taken.len(), 7, "a mail, three deliveries, two removals, an errand");
        let succeeds = taken.iter().find(|due| matches!(due.id, EffectId::Delivery(_))).unwrap().id;
        for due in &taken {
            let first = if due.id == succeeds { NextAttempt::Succeeded } else { NextAttempt::At(bench.now()) };
            bench.record(due, first).await.unwrap();
        }
        for due in take_all(&bench).await {
            let made_at = match due.id {
                EffectId::Mail(_) | EffectId::Delivery(_) => bench.now().minus(SECOND),
                EffectId::Removal(_) | EffectId::Errand(_) => bench.now(),
            };
            bench.record(&due, NextAttempt::Failed).await.unwrap();
            let delivery = matches!(due.id, EffectId::Delivery(_));
            expected.push(EffectRecord {
                id: due.id,
                account_id,
                status: EffectStatus::Failed,
                created_at: made_at,
                discarded: false,
                attempts: 2,
                last_attempt: Some(bench.attempt(&due, NextAttempt::Failed)),
                delivery: delivery
                    .then_some(DeliveryAddress { subscription_id, event_type: EventType::OrderStatusChanged }),
            });
            retried = Some((account_id, due.id));
        }
        bench.queue_errands(account_id, 1, bench.now().plus(SECOND * 60)).await;
    }
    expected.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id.to_string())));
    assert_eq!(expected.len(), 12);
    for size in [1, 5, 11, 12, 13, 100] {
        assert_eq!(given_up(&bench, limit(size)).await, expected, "pages of {size}");
    }
    for row in &expected {
        assert_eq!(effect(&bench, row.account_id, row.id).await, *row);
    }
    let (account_id, id) = retried.unwrap();
    bench.world.commands().retry_effect(account_id, id).await.unwrap();
    expected.retain(|row| row.id != id);
    assert_eq!(given_up(&bench, limit(4)).await, expected);
}

/// All effects that were given up, page by page.
pub(super) async fn given_up<H: Harness + ?Sized>(bench: &Bench<'_, H>, size: Limit) -> Vec<EffectRecord> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = bench.storage().given_up(after, size).await.unwrap();
        assert!(page.rows.len() <= usize::try_from(size.get()).unwrap());
        after = page.position(EffectRecord::position);
        assert_eq!(after.is_some(), page.has_more);
        rows.extend(page.rows);
        if after.is_none() {
            return rows;
        }
    }
}

pub(super) fn code<T>(result: Result<Answer<T>, Failure>) -> Code {
    match result {
        Err(Failure::Rejected(rejection)) => rejection.code(),
        Ok(_) => panic!("a refusal"),
        Err(other) => panic!("{other:?}"),
    }
}

/// A delivery is queued again before its subscription is paused, or the request is refused.
pub async fn nothing_is_queued_again_for_a_paused_subscription(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let active = |active| SubscriptionInput { active: Some(active), ..SubscriptionInput::default() };
    for _ in 0..6 {
        bench.queue_deliveries(account_id, subscription_id, 1).await;
        let due = bench.take_one().await;
        bench.record(&due, NextAttempt::Failed).await.unwrap();
        let id = delivery_id(&due);
        let (retrying, pausing) = (bench.world.clone(), bench.world.clone());
        let retrying =
            tokio::spawn(async move { retrying.commands().retry_delivery(account_id, id, None).await.map(drop) });
        let pausing = tokio::spawn(async move {
            pausing.commands().update_subscription(account_id, subscription_id, &active(false), None).await.map(drop)
        });
        let (retried, paused) = tokio::join!(retrying, pausing);
        paused.unwrap().unwrap();
        let status = effect(&bench, account_id, due.id).await.status;
        match retried.unwrap() {
            // Queued before the pause, which gives it up, or concurrently, and given up when it is due.
            Ok(()) if status == EffectStatus::Pending => {
                bench.record(&bench.take_one().await, NextAttempt::Failed).await.unwrap();
            }
            Ok(()) => assert_eq!(status, EffectStatus::Failed),
            Err(Failure::Rejected(rejection)) => {
                assert_eq!((status, rejection.code()), (EffectStatus::Failed, Code::EndpointDisabled));
            }
            Err(other) => panic!("{other:?}"),
        }
        let commands = bench.world.commands();
        assert_eq!(code(commands.retry_delivery(account_id, id, None).await), Code::EndpointDisabled);
        assert_eq!(code(commands.retry_effect(account_id, due.id).await), Code::EndpointDisabled);
        commands.update_subscription(account_id, subscription_id, &active(true), None).await.unwrap();
        commands.retry_delivery(account_id, id, None).await.unwrap();
        assert_eq!(code(commands.retry_delivery(account_id, id, None).await), Code::AlreadyQueued);
        assert_eq!(code(commands.retry_effect(account_id, due.id).await), Code::AlreadyQueued);
        bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
        assert_eq!(code(commands.retry_effect(account_id, due.id).await), Code::NotFound);
    }
    bench.queue_deliveries(account_id, subscription_id, 1).await;
    let due = bench.take_one().await;
    bench.record(&due, NextAttempt::Failed).await.unwrap();
    let delivery = bench.storage().delivery(account_id, delivery_id(&due)).await.unwrap().unwrap();
    let snapshot = bench.account(account_id).await;
    let decided = change_of(decide::retry_delivery(&snapshot, &delivery, &mut bench.context(None)).unwrap());
    bench.world.commands().update_subscription(account_id, subscription_id, &active(false), None).await.unwrap();
    assert_eq!(landed(&bench.commit(&decided).await), Landed::Conflict, "decided before the pause, committed after it");
    assert_eq!(effect(&bench, account_id, due.id).await.status, EffectStatus::Failed);
}

/// Of eight concurrent requests with one key, one queues the delivery, and all get the same answer.
pub async fn a_repeated_key_queues_a_delivery_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(account_id, subscription_id, 1).await;
    let due = bench.take_one().await;
    bench.record(&due, NextAttempt::Failed).await.unwrap();
    let (id, keyed) = (delivery_id(&due), request(account_id, "again", b""));
    let retrying = (0..8).map(|_| {
        let world = bench.world.clone();
        async move { world.commands().retry_delivery(account_id, id, Some(keyed)).await.unwrap() }
    });
    let answers = at_once(retrying).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.value == answers[0].value));
    assert_eq!((answers[0].value.status, answers[0].value.attempts), (EffectStatus::Pending, 1));
    assert_eq!(answers[0].value.next_retry_at, Some(bench.now()));
    bench.record(&bench.take_one().await, NextAttempt::Failed).await.unwrap();
    let again = bench.world.commands().retry_delivery(account_id, id, Some(keyed)).await.unwrap();
    assert!(again.replayed);
    assert_eq!((&again.value, bench.take(10).await), (&answers[0].value, vec![]));
}
