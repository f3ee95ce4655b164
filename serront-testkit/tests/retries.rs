//! Sending again by hand: what may be, what that changes, and what the schedule makes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests, which clippy.toml does not reach")]

use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Guard, Write};
use serront_core::changes::effect::{DeliveryAddress, DeliveryRecord, EffectId, EffectRecord, EffectStatus};
use serront_core::decide::{self, Context, Decision};
use serront_core::policy::Policy;
use serront_core::ports::{AccountReads, Clock, Ids, OperatorReads, PortErrorKind, Posted};
use serront_core::primitives::ids::{DeliveryId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::snapshots::{AccountSnapshot, DeliveryFilter};
use serront_core::views::DeliveryView;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_testkit::world::{Placed, Seller, World, host};

const URL: &str = "https://one.example/hook";
const CONFIRMED: &str = "serront.order.payment_confirmed.v1";

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// What was decided, in a few words.
fn told<T>(decided: Result<Decision<T>, Rejection>) -> String {
    match decided {
        Ok(Decision::Change(change, _)) => changes(&change),
        Ok(Decision::Unchanged(_)) => "unchanged".to_owned(),
        Ok(Decision::Replayed(_)) => "replayed".to_owned(),
        Err(rejection) => format!("{}: {rejection}", rejection.code()),
    }
}

/// A change set that does nothing but queue one effect again, with or without a witness.
fn changes(change: &ChangeSet) -> String {
    change.check().unwrap();
    let ChangeSet { guards, writes, releases, claims, effects, .. } = change;
    assert!(matches!(writes.as_slice(), [Write::Requeue(_)]), "{writes:?}");
    assert_eq!((releases.len(), claims.len(), effects.len()), (0, 0, 0));
    match guards.as_slice() {
        [] => "queued".to_owned(),
        [Guard::Settings(_)] => "queued, witnessed".to_owned(),
        _ => format!("{guards:?}"),
    }
}

#[tokio::test]
async fn what_may_be_sent_again_is_this_table() {
    let world = World::new();
    let seller = world.seller("studio").await;
    let account_id = seller.account_id;
    let active = world.subscribe(&seller, URL, &["*"]).await;
    let inactive = world.subscribe(&seller, URL, &["*"]).await;
    set_active(&world, &seller, inactive, false).await;
    let deleted = world.subscribe(&seller, URL, &["*"]).await;
    world.commands().delete_subscription(account_id, deleted).await.unwrap();
    let snapshot = world.storage.account(account_id, None).await.unwrap().unwrap();
    let mut ids = world.ids.sequence(world.clock.now());
    let (delivery, event, mail) = (ids.delivery(), ids.event(), ids.mail());
    let policy = Policy::default();
    let context = || {
        let now = world.clock.now();
        Context { now, ids: world.ids.sequence(now), policy: &policy, request: None }
    };
    let mut table = Vec::new();
    for status in EffectStatus::ALL {
        for (to, subscription_id) in [("active", active), ("inactive", inactive), ("deleted", deleted)] {
            let record = DeliveryRecord {
                id: delivery,
                subscription_id,
                event_id: event,
                event_type: EventType::OrderCreated,
                body: "{}".to_owned(),
                status,
                created_at: world.clock.now(),
                next_attempt_at: None,
                attempts: Vec::new(),
            };
            let address = DeliveryAddress { subscription_id, event_type: EventType::OrderCreated };
            let effect = effect(&snapshot, EffectId::Delivery(delivery), status, Some(address));
            let seller = told(decide::retry_delivery(&snapshot, &record, &mut context()));
            let operator = told(decide::retry_effect(&snapshot, &effect, &mut context()));
            table.push(format!("{} to one that is {to} | {seller} | {operator}", status.as_str()));
        }
        let effect = effect(&snapshot, EffectId::Mail(mail), status, None);
        let operator = told(decide::retry_effect(&snapshot, &effect, &mut context()));
        table.push(format!("{} mail | | {operator}", status.as_str()));
    }
    let queued = "ALREADY_QUEUED: the next attempt is queued already";
    let missing = "NOT_FOUND: there is no such effect that was given up";
    let is_inactive = "ENDPOINT_DISABLED: the webhook subscription is inactive";
    let was_deleted = "ENDPOINT_DISABLED: the webhook subscription was deleted";
    let witnessed = "queued, witnessed";
    let expected = [
        format!("pending to one that is active | {queued} | {queued}"),
        format!("pending to one that is inactive | {queued} | {queued}"),
        format!("pending to one that is deleted | {queued} | {queued}"),
        format!("pending mail | | {queued}"),
        format!("succeeded to one that is active | {witnessed} | {missing}"),
        format!("succeeded to one that is inactive | {is_inactive} | {missing}"),
        format!("succeeded to one that is deleted | {was_deleted} | {missing}"),
        format!("succeeded mail | | {missing}"),
        format!("failed to one that is active | {witnessed} | {witnessed}"),
        format!("failed to one that is inactive | {is_inactive} | {is_inactive}"),
        format!("failed to one that is deleted | {was_deleted} | {was_deleted}"),
        "failed mail | | queued".to_owned(),
    ];
    assert_eq!(table, expected);
}

fn effect(
    snapshot: &AccountSnapshot,
    id: EffectId,
    status: EffectStatus,
    delivery: Option<DeliveryAddress>,
) -> EffectRecord {
    let created_at = snapshot.account.created_at;
    EffectRecord {
        id,
        account_id: snapshot.account.id,
        status,
        discarded: false,
        created_at,
        attempts: 1,
        last_attempt: None,
        delivery,
    }
}

async fn set_active(world: &World, seller: &Seller, id: SubscriptionId, active: bool) {
    let input = SubscriptionInput { active: Some(active), ..SubscriptionInput::default() };
    world.commands().update_subscription(seller.account_id, id, &input, None).await.unwrap();
}

async fn attempted(world: &World) -> usize {
    world.dispatcher().step(world.clock.now(), 16).await.unwrap().attempted
}

/// A seller with one confirmed order, its mail sent, and its only delivery, attempted once.
async fn delivered(first: Posted) -> (World, Seller, SubscriptionId, DeliveryId) {
    let world = World::new();
    let (seller, Placed { id, .. }) = world.seller_with_order("studio").await;
    let subscription_id = world.subscribe(&seller, URL, &[CONFIRMED]).await;
    world.sink.answer_next([first]);
    world.commands().confirm_payment(seller.account_id, id, &host(), None, None).await.unwrap();
    assert_eq!(attempted(&world).await, 2, "a mail and a delivery");
    let (filter, limit) = (DeliveryFilter::default(), Limit::parse(None).unwrap());
    let (log, _) = world.commands().deliveries(seller.account_id, &filter, None, limit).await.unwrap();
    let delivery_id = log[0].id;
    (world, seller, subscription_id, delivery_id)
}

async fn retry(world: &World, seller: &Seller, id: DeliveryId) -> DeliveryView {
    let queued = world.commands().retry_delivery(seller.account_id, id, None).await.unwrap();
    assert!(!queued.replayed && queued.change_set.is_some());
    assert_eq!(world.commands().delivery(seller.account_id, id).await.unwrap(), queued.value);
    assert_eq!((queued.value.status, queued.value.next_retry_at), (EffectStatus::Pending, Some(world.clock.now())));
    queued.value
}

#[tokio::test]
async fn after_the_schedule_an_attempt_by_hand_is_the_only_one() {
    let (world, seller, _, id) = delivered(Posted::Answered(500)).await;
    for pause in [1, 5, 25, 120, 720] {
        world.sink.answer_next([Posted::Answered(500)]);
        world.clock.advance(minutes(pause));
        assert_eq!(attempted(&world).await, 1);
    }
    let commands = world.commands();
    assert_eq!(commands.delivery(seller.account_id, id).await.unwrap().status, EffectStatus::Failed);
    world.clock.advance(minutes(60));

    assert_eq!(retry(&world, &seller, id).await.attempts, 6);
    world.sink.answer_next([Posted::Failed("timed out".to_owned())]);
    assert_eq!(attempted(&world).await, 1);
    let failed = commands.delivery(seller.account_id, id).await.unwrap();
    assert_eq!((failed.status, failed.attempts, failed.next_retry_at), (EffectStatus::Failed, 7, None));
    assert_eq!(failed.last_error.as_deref(), Some("timed out"));
    world.clock.advance(minutes(60 * 24 * 365));
    assert_eq!(attempted(&world).await, 0);

    retry(&world, &seller, id).await;
    assert_eq!(attempted(&world).await, 1);
    let done = commands.delivery(seller.account_id, id).await.unwrap();
    assert_eq!((done.status, done.attempts, done.delivered_at), (EffectStatus::Succeeded, 8, Some(world.clock.now())));
    let numbers: Vec<_> = done.attempt_log.iter().map(|attempt| attempt.attempt_number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let posts = world.sink.posts();
    assert_eq!(posts.iter().map(|post| post.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(posts.iter().all(|post| (post.event_id, &post.body) == (posts[0].event_id, &posts[0].body)));
}

#[tokio::test]
async fn what_was_given_up_early_goes_on_in_its_schedule() {
    let (world, seller, subscription_id, id) = delivered(Posted::Answered(500)).await;
    set_active(&world, &seller, subscription_id, false).await;
    let paused = world.commands().delivery(seller.account_id, id).await.unwrap();
    assert_eq!((paused.status, paused.attempts, paused.next_retry_at), (EffectStatus::Failed, 1, None));
    assert_eq!(paused.last_error.as_deref(), Some("the receiver answered 500"));
    world.clock.advance(minutes(1));
    assert_eq!(attempted(&world).await, 0);

    set_active(&world, &seller, subscription_id, true).await;
    retry(&world, &seller, id).await;
    world.sink.answer_next([Posted::Answered(500)]);
    assert_eq!(attempted(&world).await, 1);
    let failing = world.commands().delivery(seller.account_id, id).await.unwrap();
    assert_eq!((failing.status, failing.attempts), (EffectStatus::Pending, 2));
    assert_eq!(failing.next_retry_at, Some(world.clock.now().plus(minutes(5))), "the pause after the second attempt");
}

#[tokio::test]
async fn what_got_through_can_be_sent_again() {
    let (world, seller, _, id) = delivered(Posted::Answered(200)).await;
    let first = world.commands().delivery(seller.account_id, id).await.unwrap();
    world.clock.advance(minutes(5));
    let queued = retry(&world, &seller, id).await;
    assert_eq!((queued.attempts, queued.delivered_at), (1, first.delivered_at), "what was delivered stays so");
    assert_eq!(attempted(&world).await, 1);
    let again = world.commands().delivery(seller.account_id, id).await.unwrap();
    assert_eq!(
        (again.status, again.attempts, again.delivered_at),
        (EffectStatus::Succeeded, 2, Some(world.clock.now()))
    );
}

#[tokio::test]
async fn an_operator_tries_a_mail_again_that_was_given_up() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    world.mailbox.fail_next(1, PortErrorKind::Permanent);
    world.commands().confirm_payment(seller.account_id, placed.id, &host(), None, None).await.unwrap();
    assert_eq!(attempted(&world).await, 1);
    let limit = Limit::parse(None).unwrap();
    let given_up = world.storage.given_up(None, limit).await.unwrap().rows;
    assert_eq!(given_up.len(), 1);
    let EffectRecord { id, account_id, status, attempts, ref last_attempt, delivery, .. } = given_up[0];
    assert_eq!((account_id, status, attempts, delivery), (seller.account_id, EffectStatus::Failed, 1, None));
    let last_error = last_attempt.as_ref().and_then(|attempt| attempt.error.as_deref());
    assert_eq!(last_error, Some("the mail server refused for good"));
    // Nothing of the buyer's is shown.
    assert!(!format!("{given_up:?}").contains("Budi"));

    let queued = world.commands().retry_effect(account_id, id).await.unwrap().value;
    assert_eq!(queued, EffectRecord { status: EffectStatus::Pending, ..given_up[0].clone() });
    assert_eq!(world.storage.given_up(None, limit).await.unwrap().rows, []);
    assert_eq!(attempted(&world).await, 1);
    let mails = world.mailbox.messages();
    assert_eq!(mails.iter().map(|mail| EffectId::Mail(mail.id)).collect::<Vec<_>>(), [id]);
}
