//! A subscription's queued deliveries end with it, and its failed attempts are counted.

use std::time::Duration;

use serront_core::accounts::key::WebhookSecret;
use serront_core::accounts::sealed::SecretHolder;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::{EffectId, EffectStatus};
use serront_core::ports::RecordError;
use serront_core::primitives::ids::{AccountId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::snapshots::{DeliveryFilter, DueEffect, NextAttempt, Target};
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::{Streak, SubscriptionInput};

use super::Harness;
use super::bench::{Bench, LEASE, at_once, delivery_id, request};
use crate::world::subscription_input;

fn set(active: bool) -> SubscriptionInput {
    SubscriptionInput { active: Some(active), ..SubscriptionInput::default() }
}

async fn statuses<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    account_id: AccountId,
    subscription_id: SubscriptionId,
) -> Vec<(EffectId, EffectStatus, usize)> {
    let filter = DeliveryFilter { subscription_id: Some(subscription_id), ..DeliveryFilter::default() };
    let rows = bench.all_deliveries(account_id, &filter).await;
    let mut told: Vec<_> =
        rows.iter().map(|row| (EffectId::Delivery(row.id), row.status, row.attempts.len())).collect();
    told.sort_unstable_by_key(|row| row.0);
    told
}

/// Gives up waiting, retried and leased deliveries, but no finished ones, and no effects of another subscription or
/// kind. A worker that held one records nothing, and each can be queued again.
pub async fn a_pause_or_deletion_gives_up_what_is_queued(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    for deletes in [false, true] {
        let silenced = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
        let other = bench.world.subscribe(&seller, "https://two.example", &["*"]).await;
        let done = bench.queue_deliveries(account_id, silenced, 1).await[0];
        bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
        let tried = bench.queue_deliveries(account_id, silenced, 1).await[0];
        let later = bench.now().plus(LEASE * 4);
        bench.record(&bench.take_one().await, NextAttempt::At(later)).await.unwrap();
        let leased = bench.queue_deliveries(account_id, silenced, 1).await[0];
        let held = bench.take_one().await;
        let waiting = bench.queue_deliveries(account_id, silenced, 1).await[0];
        let others = bench.queue_deliveries(account_id, other, 1).await[0];
        let removal = bench.queue_removals(account_id, 1).await[0];
        let commands = bench.world.commands();
        if deletes {
            commands.delete_subscription(account_id, silenced).await.unwrap();
        } else {
            commands.update_subscription(account_id, silenced, &set(false), None).await.unwrap();
        }
        let mut expected = vec![
            (done, EffectStatus::Succeeded, 1),
            (tried, EffectStatus::Failed, 1),
            (leased, EffectStatus::Failed, 0),
            (waiting, EffectStatus::Failed, 0),
        ];
        expected.sort_unstable_by_key(|row| row.0);
        assert_eq!(statuses(&bench, account_id, silenced).await, expected);
        for next in [NextAttempt::Succeeded, NextAttempt::At(bench.now()), NextAttempt::Failed] {
            assert!(matches!(bench.record(&held, next).await, Err(RecordError::LeaseLost(_))));
        }
        assert_eq!(statuses(&bench, account_id, silenced).await, expected);
        let mut taken: Vec<_> = bench.take(10).await;
        taken.sort_unstable_by_key(|due| due.id);
        let mut left = vec![others, removal];
        left.sort_unstable();
        assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), left);
        for due in &taken {
            bench.record(due, NextAttempt::Succeeded).await.unwrap();
        }
        if !deletes {
            commands.update_subscription(account_id, silenced, &set(true), None).await.unwrap();
            assert_eq!(statuses(&bench, account_id, silenced).await, expected, "deliveries given up stay so");
            commands.retry_delivery(account_id, delivery_id(&held), None).await.unwrap();
            let again = bench.take_one().await;
            assert!(again.fence > held.fence);
            assert!(matches!(bench.record(&held, NextAttempt::Succeeded).await, Err(RecordError::LeaseLost(_))));
            bench.record(&again, NextAttempt::Succeeded).await.unwrap();
        }
        bench.advance(LEASE * 10).await;
        assert_eq!(bench.take(10).await, []);
    }
}

/// The change set must also write the subscription; otherwise nothing of it lands.
pub async fn deliveries_are_given_up_only_with_their_subscription(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(account_id, subscription_id, 1).await;
    let alone = ChangeSet { writes: vec![Write::GiveUpDeliveries(subscription_id)], ..bench.change(account_id) };
    assert!(bench.commit(&alone).await.is_err());
    bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
}

/// Failed attempts of all deliveries of a subscription are counted together. One success resets the count, and so does
/// a change of the subscription. Neither changes a version, and nothing else is counted.
pub async fn failed_attempts_in_a_row_are_counted(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let other = bench.world.subscribe(&seller, "https://two.example", &["*"]).await;
    let before = bench.account(account_id).await;
    let streak = async |id| bench.storage().streak(account_id, id).await.unwrap();
    assert_eq!(streak(id).await, None);
    let since = bench.now();
    bench.queue_deliveries(account_id, id, 1).await;
    bench.record(&bench.take_one().await, NextAttempt::At(since)).await.unwrap();
    bench.advance(LEASE).await;
    bench.record(&bench.take_one().await, NextAttempt::Failed).await.unwrap();
    bench.queue_deliveries(account_id, id, 1).await;
    let third = bench.take_one().await;
    bench.record(&third, NextAttempt::Failed).await.unwrap();
    assert_eq!(streak(id).await, Some(Streak { failures: 3, since }));
    assert!(bench.record(&third, NextAttempt::Failed).await.is_err(), "it was recorded");
    bench.queue_removals(account_id, 1).await;
    bench.record(&bench.take_one().await, NextAttempt::Failed).await.unwrap();
    bench.queue_deliveries(account_id, other, 1).await;
    bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
    assert_eq!((streak(id).await, streak(other).await), (Some(Streak { failures: 3, since }), None));
    assert_eq!(bench.account(account_id).await, before, "counting changes no version");
    let bench = bench.reopen().await;
    let streak = async |id| bench.storage().streak(account_id, id).await.unwrap();
    assert_eq!(streak(id).await, Some(Streak { failures: 3, since }));
    bench.queue_deliveries(account_id, id, 2).await;
    let taken = bench.take(10).await;
    bench.record(&taken[0], NextAttempt::Succeeded).await.unwrap();
    assert_eq!(streak(id).await, None);
    bench.record(&taken[1], NextAttempt::Failed).await.unwrap();
    assert_eq!(streak(id).await, Some(Streak { failures: 1, since: bench.now() }));
    bench.world.commands().update_subscription(account_id, id, &set(true), None).await.unwrap();
    assert_eq!(streak(id).await, None);
    bench.queue_deliveries(account_id, id, 1).await;
    let held = bench.take_one().await;
    bench.record(&held, NextAttempt::At(bench.now())).await.unwrap();
    bench.world.commands().delete_subscription(account_id, id).await.unwrap();
    assert_eq!(streak(id).await, None);
}

/// Deliveries whose attempts end at the same time are all counted.
pub async fn attempts_that_fail_at_the_same_time_are_all_counted(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.queue_deliveries(account_id, id, 16).await;
    let records = bench.take(100).await.into_iter().map(|due| {
        let attempt = bench.attempt(&due, NextAttempt::Failed);
        let storage = bench.world.storage.clone();
        async move {
            storage.record_attempt(due.account_id, due.id, due.fence, &attempt, NextAttempt::Failed).await.unwrap();
        }
    });
    assert_eq!(at_once(records).await.len(), 16);
    let streak = bench.storage().streak(account_id, id).await.unwrap();
    assert_eq!(streak, Some(Streak { failures: 16, since: bench.now() }));
}

/// Of many hosts that find the streak long enough at the same time, one switches the subscription off, and the
/// account's other subscriptions get one event. A subscription that a seller changed in the meantime stays active.
pub async fn a_failing_subscription_is_switched_off_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let id = bench.world.subscribe(&seller, "https://dead.example", &["*"]).await;
    let other = bench.world.subscribe(&seller, "https://alive.example", &["serront.webhook_subscription.*"]).await;
    bench.world.subscribe(&seller, "https://deaf.example", &["serront.order.*"]).await;
    let fail = async |count: u32| {
        for _ in 0..count {
            bench.queue_deliveries(account_id, id, 1).await;
            bench.record(&bench.take_one().await, NextAttempt::Failed).await.unwrap();
        }
    };
    let switch_off = async || {
        let switching = (0..8).map(|_| {
            let world = bench.world.clone();
            async move { world.commands().switch_off_if_failing(account_id, id).await.unwrap() }
        });
        at_once(switching).await.into_iter().filter(|done| *done).count()
    };
    let policy = bench.world.policy.clone();
    fail(policy.webhooks.switch_off_failures).await;
    assert_eq!(switch_off().await, 0, "not long enough");
    bench.world.commands().update_subscription(account_id, id, &set(true), None).await.unwrap();
    bench.advance(policy.webhooks.switch_off_after).await;
    assert_eq!(switch_off().await, 0, "the seller changed it");
    fail(1).await;
    bench.advance(policy.webhooks.switch_off_after).await;
    fail(policy.webhooks.switch_off_failures - 2).await;
    assert_eq!(switch_off().await, 0, "not often enough");
    fail(1).await;
    let queued = bench.queue_deliveries(account_id, id, 1).await[0];
    let epoch = bench.account(account_id).await.account.state.version;
    assert_eq!(switch_off().await, 1);
    let after = bench.account(account_id).await;
    assert_eq!(after.account.state.version, epoch.next(), "events depend on the active subscriptions");
    assert!(after.subscriptions.iter().all(|subscription| subscription.state.active == (subscription.id != id)));
    let given_up = statuses(&bench, account_id, id).await;
    assert!(given_up.contains(&(queued, EffectStatus::Failed, 0)));
    let listed = bench.storage().given_up(None, Limit::EXPORT).await.unwrap().rows;
    assert!(!listed.is_empty() && listed.iter().all(|effect| effect.id != queued), "it needs no attention");
    let told = bench.take_one().await;
    let DueEffect::Delivery { event_type, body, target, .. } = &told.effect else { panic!("a delivery") };
    assert_eq!(*event_type, EventType::SubscriptionDisabled);
    assert_eq!(target.as_ref().map(|target| target.subscription.id), Some(other));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let failing_since = serde_json::to_value(bench.now().minus(policy.webhooks.switch_off_after)).unwrap();
    assert_eq!(
        body["data"],
        serde_json::json!({
            "subscriptionId": id,
            "failedAttempts": policy.webhooks.switch_off_failures,
            "failingSince": failing_since,
        })
    );
    bench.record(&told, NextAttempt::Succeeded).await.unwrap();
    assert_eq!(switch_off().await, 0);
    bench.world.commands().update_subscription(account_id, id, &set(true), None).await.unwrap();
    assert_eq!(switch_off().await, 0, "a new streak began");
    assert_eq!(bench.take(10).await, []);
}

/// A new secret signs immediately, together with the previous one until its time ends by the storage's clock. The
/// settings epoch and the streak stay unchanged.
pub async fn a_rotated_secret_signs_together_with_the_previous_one(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (seller, other) = (bench.world.seller("studio").await, bench.world.seller("other").await);
    let account_id = seller.account_id;
    let input = subscription_input("https://one.example", &["*"]);
    let created = bench.world.webhook_registration().create_subscription(account_id, &input, None).await.unwrap().value;
    let id = created.shown.id;
    let kept = bench.world.policy.webhooks.secret_kept;
    let signs = async |bench: &Bench<'_, _>| {
        bench.queue_deliveries(account_id, id, 1).await;
        let due = bench.take_one().await;
        bench.record(&due, NextAttempt::Failed).await.unwrap();
        let DueEffect::Delivery { target: Some(target), .. } = due.effect else { panic!("a delivery") };
        let Target { secret, previous_secret, .. } = *target;
        let open = |secret: serront_core::accounts::sealed::SealedSecret| {
            let holder = SecretHolder::Subscription(account_id, id);
            WebhookSecret::parse(&secret.open(&*bench.world.sealer, holder).unwrap()).unwrap()
        };
        (previous_secret.map(open), open(secret))
    };
    assert_eq!(signs(&bench).await, (None, created.secret.clone()));
    let before = bench.account(account_id).await;
    let commands = bench.world.commands();
    let keyed = request(account_id, "rotate", b"");
    let second = commands.rotate_secret(account_id, id, Some(keyed)).await.unwrap().value;
    assert_eq!(second.shown, created.shown);
    assert_ne!(second.secret, created.secret);
    assert_eq!(signs(&bench).await, (Some(created.secret.clone()), second.secret.clone()));
    let after = bench.account(account_id).await;
    assert_eq!(after.account, before.account);
    assert_eq!(after.subscriptions[0].state.version, before.subscriptions[0].state.version.next());
    assert_eq!(bench.storage().streak(account_id, id).await.unwrap().map(|streak| streak.failures), Some(2));
    let refused = |result: Result<_, Failure>| match result {
        Err(Failure::Rejected(rejection)) => rejection.code(),
        Ok(_) | Err(_) => panic!("a refusal"),
    };
    assert_eq!(refused(commands.rotate_secret(account_id, id, Some(keyed)).await), Code::IdempotencyKeyInUse);
    assert_eq!(refused(commands.rotate_secret(other.account_id, id, None).await), Code::NotFound);
    bench.advance(kept - Duration::from_millis(1)).await;
    let bench = bench.reopen().await;
    assert_eq!(signs(&bench).await, (Some(created.secret), second.secret.clone()));
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(signs(&bench).await, (None, second.secret.clone()));
    let commands = bench.world.commands();
    let third = commands.rotate_secret(account_id, id, None).await.unwrap().value.secret;
    let fourth = commands.rotate_secret(account_id, id, None).await.unwrap().value.secret;
    assert_eq!(signs(&bench).await, (Some(third), fourth), "after two rotations the first secret no longer signs");
    let rotations = (0..4).map(|_| {
        let world = bench.world.clone();
        async move { world.commands().rotate_secret(account_id, id, None).await.unwrap().value.secret }
    });
    let drawn = at_once(rotations).await;
    let (previous, present) = signs(&bench).await;
    assert!(drawn.contains(&present) && previous.is_some_and(|previous| drawn.contains(&previous)));
}
