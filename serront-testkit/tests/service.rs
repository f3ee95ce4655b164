//! What the service does around a decision: rounds after a conflict, the same change set again after an unknown outcome,
//! and the answers to repeated idempotency keys.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy.toml does not reach"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serront_core::changes::change::ChangeSet;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{ModuleSwitches, OrderPatch};
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::{AccountReads, Clock, Commits, PortErrorKind};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::rejection::{Code, Rejection};
use serront_core::service::{Answer, Commands, Failure, WebhookRegistration};
use serront_core::shop::catalog::ServiceInput;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_testkit::faults::{Call, Fault, Faults, FaultySink, FaultyStorage};
use serront_testkit::memory::{ManualClock, MemoryStorage};
use serront_testkit::sandbox::Sandbox;
use serront_testkit::world::{Placed, Seller, World, host, service_input, storefront_input, subscription_input};

type FaultyWorld = World<FaultyStorage<MemoryStorage>>;

async fn faulty() -> (FaultyWorld, Faults, Seller, Placed) {
    let clock = Arc::new(ManualClock::default());
    let storage = FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())));
    let faults = storage.faults();
    let world = World::over(Arc::new(storage), clock);
    let (seller, placed) = world.seller_with_order("studio").await;
    (world, faults, seller, placed)
}

/// What was sent since then.
fn sent_since(world: &FaultyWorld, before: usize) -> Vec<ChangeSet> {
    world.storage.sent().split_off(before)
}

fn request(seller: &Seller, key: &str, body: &str) -> Option<IdempotentRequest> {
    IdempotentRequest::new(seller.account_id, "POST", "/api/v1/somewhere", key, body.as_bytes()).ok()
}

fn code<T>(result: Result<Answer<T>, Failure>) -> Option<Code> {
    match result {
        Err(Failure::Rejected(rejection)) => Some(rejection.code()),
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn after_an_unknown_outcome_the_identical_change_set_is_sent_and_lands_once() {
    use Fault::{FailBefore, LoseAnswer, LoseRequest};
    for script in [
        vec![LoseAnswer],
        vec![LoseRequest],
        vec![FailBefore],
        vec![LoseAnswer, LoseAnswer],
        vec![LoseRequest, FailBefore, LoseAnswer, LoseRequest],
    ] {
        let (world, faults, _, placed) = faulty().await;
        let before = world.storage.sent().len();
        faults.script(Call::Commit, script.iter().copied());
        let confirmed =
            world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await.unwrap();
        let sent = sent_since(&world, before);
        assert_eq!(sent.len(), script.len() + 1, "{script:?}");
        assert!(sent.iter().all(|change| *change == sent[0]), "{script:?}: not the same change set");
        assert_eq!(confirmed.change_set, Some(sent[0].id));
        let audit = world.commands().audit(placed.account_id, placed.id).await.unwrap();
        assert_eq!(audit.len(), 2, "{script:?}: placed and confirmed");
        assert_eq!(world.dispatch_all().await, 1, "{script:?}: one mail");
    }
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_and_repeated() {
    for (fault, landed) in [(Fault::LoseAnswer, true), (Fault::LoseRequest, false)] {
        let (world, faults, seller, placed) = faulty().await;
        let (commands, request) = (world.commands(), request(&seller, "key", "body"));
        let before = world.storage.sent().len();
        faults.rule(move |call, _| (call == Call::Commit).then_some(fault));
        let lost = commands.confirm_payment(placed.account_id, placed.id, &host(), None, request).await;
        let Err(Failure::Port { error, change_set: Some(id) }) = lost else { panic!("{lost:?}") };
        assert_eq!(error.kind(), PortErrorKind::OutcomeUnknown);
        assert_eq!(sent_since(&world, before).len(), 5, "once, and four times more");
        faults.heal();
        assert_eq!(commands.outcome(placed.account_id, id).await.unwrap().is_some(), landed);
        let again = commands.confirm_payment(placed.account_id, placed.id, &host(), None, request).await.unwrap();
        assert_eq!(again.replayed, landed);
        assert_eq!(again.value.payment_status, PaymentStatus::PaymentConfirmed);
        assert_eq!(world.dispatch_all().await, 1, "one mail");
    }
}

#[tokio::test]
async fn a_storage_that_refuses_for_now_is_told_as_transient_and_nothing_changed() {
    let (world, faults, _, placed) = faulty().await;
    faults.rule(|call, _| (call == Call::Commit).then_some(Fault::FailBefore));
    let failed = world.commands().claim_payment(&placed.token).await;
    assert!(
        matches!(&failed, Err(Failure::Port { error, .. }) if error.kind() == PortErrorKind::Transient),
        "{failed:?}"
    );
    faults.heal();
    let order = world.commands().order(placed.account_id, placed.id).await.unwrap();
    assert_eq!(order.payment_status, PaymentStatus::Unpaid);
}

#[tokio::test]
async fn a_busy_storage_is_left_alone() {
    let (world, faults, _, placed) = faulty().await;
    let before = world.storage.sent().len();
    faults.script(Call::Commit, [Fault::Busy]);
    let busy = world.commands().claim_payment(&placed.token).await;
    assert!(matches!(busy, Err(Failure::Busy)), "{busy:?}");
    assert_eq!(sent_since(&world, before).len(), 1);
    faults.script(Call::Read, [Fault::Busy]);
    let busy = world.commands().claim_payment(&placed.token).await;
    assert!(matches!(busy, Err(Failure::Busy)), "{busy:?}");
}

/// With too many registrations at the same time the answer is busy, not that the address is invalid.
#[tokio::test]
async fn a_sink_that_is_busy_registers_nothing_and_says_so() {
    let (world, _, seller, _) = faulty().await;
    let sink = FaultySink::new(world.sink.clone());
    sink.faults().script(Call::CheckTarget, [Fault::Busy]);
    let registration = WebhookRegistration::new(&*world.storage, &sink, world.environment());
    let input = subscription_input("https://two.example", &["serront.order.*"]);
    let before = world.storage.sent().len();
    let busy = registration.create_subscription(seller.account_id, &input, None).await;
    assert!(matches!(busy, Err(Failure::Busy)), "{busy:?}");
    assert_eq!(sent_since(&world, before), []);
    registration.create_subscription(seller.account_id, &input, None).await.unwrap();
}

/// That a later sending surely failed says nothing of the one before.
#[tokio::test]
async fn once_an_outcome_is_unknown_no_later_failure_makes_it_known() {
    use Fault::{Busy, FailBefore, LoseAnswer};
    for script in [vec![LoseAnswer, Busy], vec![FailBefore, LoseAnswer, FailBefore, FailBefore, FailBefore]] {
        let (world, faults, _, placed) = faulty().await;
        faults.script(Call::Commit, script.iter().copied());
        let lost = world.commands().claim_payment(&placed.token).await;
        let Err(Failure::Port { error, change_set: Some(id) }) = lost else { panic!("{script:?}: {lost:?}") };
        assert_eq!(error.kind(), PortErrorKind::OutcomeUnknown, "{script:?}");
        assert!(world.commands().outcome(placed.account_id, id).await.unwrap().is_some(), "{script:?}: it had landed");
    }
}

#[tokio::test]
async fn after_a_conflict_it_is_read_and_decided_anew() {
    let (world, faults, _, placed) = faulty().await;
    let (before, reads) = (world.storage.sent().len(), faults.calls(Call::Read));
    faults.script(Call::Commit, [Fault::Conflict; 9]);
    let claimed = world.commands().claim_payment(&placed.token).await.unwrap();
    let sent = sent_since(&world, before);
    let ids: BTreeSet<_> = sent.iter().map(|change| change.id).collect();
    assert_eq!((sent.len(), ids.len(), faults.calls(Call::Read) - reads), (10, 10, 10));
    assert_eq!(claimed.change_set, sent.last().map(|change| change.id));
}

#[tokio::test]
async fn after_all_rounds_of_conflict_the_answer_is_busy() {
    let (world, faults, _, placed) = faulty().await;
    let before = world.storage.sent().len();
    faults.rule(|call, _| (call == Call::Commit).then_some(Fault::Conflict));
    let busy = world.commands().claim_payment(&placed.token).await;
    assert!(matches!(busy, Err(Failure::Busy)), "{busy:?}");
    let rounds = sent_since(&world, before).len();
    assert_eq!(u32::try_from(rounds).unwrap(), world.policy.commits.rounds_max);
    assert!(rounds >= 10);
    faults.heal();
    let order = world.commands().order(placed.account_id, placed.id).await.unwrap();
    assert_eq!(order.payment_status, PaymentStatus::Unpaid, "nothing was changed");
}

#[tokio::test]
async fn a_bound_storage_is_asked_once_whatever_it_answers() {
    for (fault, landed) in
        [(Fault::Conflict, false), (Fault::FailBefore, false), (Fault::LoseRequest, false), (Fault::LoseAnswer, true)]
    {
        let (world, faults, _, placed) = faulty().await;
        let before = world.storage.sent().len();
        faults.script(Call::Commit, [fault]);
        let failed = Commands::bound(&*world.storage, world.environment()).claim_payment(&placed.token).await;
        match (fault, &failed) {
            (Fault::Conflict, Err(Failure::Conflict)) => {}
            (Fault::FailBefore, Err(Failure::Port { error, .. })) => {
                assert_eq!(error.kind(), PortErrorKind::Transient);
            }
            (_, Err(Failure::Port { error, .. })) => assert_eq!(error.kind(), PortErrorKind::OutcomeUnknown),
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
        let sent = sent_since(&world, before);
        assert_eq!(sent.len(), 1, "{fault:?}");
        let outcome = world.storage.outcome(placed.account_id, sent[0].id).await.unwrap();
        assert_eq!(outcome.is_some(), landed, "{fault:?}");
    }
}

#[tokio::test]
async fn a_bound_storage_lands_and_refuses_as_any_other() {
    let (world, _, _, placed) = faulty().await;
    let bound = Commands::bound(&*world.storage, world.environment());
    assert!(bound.claim_payment(&placed.token).await.unwrap().change_set.is_some());
    assert!(bound.confirm_payment(placed.account_id, placed.id, &host(), None, None).await.is_ok());
    assert_eq!(code(bound.claim_payment(&placed.token).await), Some(Code::InvalidTransition));
}

/// A repeatable command, sent twice under one key and once under the same key with another body. Its object may change
/// between the first two requests; the second one still gets the first answer.
async fn check_repeats<T: Serialize>(
    what: &str,
    ask: impl AsyncFn(&FaultyWorld, &Seller, &Placed, Option<IdempotentRequest>) -> Result<Answer<T>, Failure>,
) {
    let (mut world, _, seller, placed) = faulty().await;
    world.plugipay = Some(Arc::new(Sandbox::new(world.clock.clone())));
    world.subscribe(&seller, "https://one.example", &["*"]).await;
    let shown = |answer: Answer<T>| (serde_json::to_value(answer.value).unwrap(), answer.replayed);
    let first = shown(ask(&world, &seller, &placed, request(&seller, "key", "body")).await.unwrap());
    assert!(!first.1, "{what}");
    change_everything(&world, &seller, &placed).await;
    world.clock.advance(world.policy.commits.idempotency_kept - Duration::from_millis(1));
    let before = world.storage.sent().len();
    let second = shown(ask(&world, &seller, &placed, request(&seller, "key", "body")).await.unwrap());
    assert_eq!(second, (first.0, true), "{what}");
    let other = ask(&world, &seller, &placed, request(&seller, "key", "other body")).await;
    assert_eq!(code(other), Some(Code::IdempotencyKeyInUse), "{what}");
    assert_eq!(world.storage.sent().len(), before, "{what}: nothing was sent for the second and third asking");
    // The time is up: the key is as good as new.
    world.clock.advance(Duration::from_millis(1));
    let late = ask(&world, &seller, &placed, request(&seller, "key", "other body")).await;
    assert_ne!(code(late), Some(Code::IdempotencyKeyInUse), "{what}");
}

async fn change_everything(world: &FaultyWorld, seller: &Seller, placed: &Placed) {
    let commands = world.commands();
    let patch = OrderPatch { status: Some(WorkStatus::Canceled), quoted_price_idr: None };
    commands.patch_order(placed.account_id, placed.id, patch, &host(), None).await.unwrap();
    commands.put_storefront(seller.account_id, &storefront_input("elsewhere"), None).await.unwrap();
    let input = ServiceInput { name: Some("Renamed".to_owned()), ..ServiceInput::default() };
    commands.update_service(seller.account_id, seller.service_id, &input, None).await.unwrap();
    let subscription = commands.subscriptions(seller.account_id).await.unwrap()[0].id;
    let input = subscription_input("https://else.example", &["serront.billing.*"]);
    world.webhook_registration().update_subscription(seller.account_id, subscription, &input, None).await.unwrap();
    // The first request's address is no longer allowed, because its name now resolves to another one.
    world.sink.refuse("https://two.example");
    let off = ModuleSwitches { payment: Some(false), marketing: None };
    world.online().switch_modules(seller.account_id, off, None).await.unwrap();
}

#[tokio::test]
async fn a_repeated_key_has_the_first_answer_and_no_second_effect() {
    check_repeats("confirm", async |world, _, placed, request| {
        world.commands().confirm_payment(placed.account_id, placed.id, &host(), Some("seen"), request).await
    })
    .await;
    check_repeats("patch an order", async |world, _, placed, request| {
        let patch = OrderPatch { status: None, quoted_price_idr: Some(5) };
        world.commands().patch_order(placed.account_id, placed.id, patch, &host(), request).await
    })
    .await;
    check_repeats("put the storefront", async |world, seller, _, request| {
        world.commands().put_storefront(seller.account_id, &storefront_input("wanted"), request).await
    })
    .await;
    check_repeats("create a service", async |world, seller, _, request| {
        world.commands().create_service(seller.account_id, &service_input("second", 5), request).await
    })
    .await;
    check_repeats("change a service", async |world, seller, _, request| {
        let input = ServiceInput { price_idr: Some(Some(5)), ..ServiceInput::default() };
        world.commands().update_service(seller.account_id, seller.service_id, &input, request).await
    })
    .await;
    check_repeats("change a subscription", async |world, seller, _, request| {
        let id = world.commands().subscriptions(seller.account_id).await.unwrap()[0].id;
        let input = subscription_input("https://two.example", &["*"]);
        world.webhook_registration().update_subscription(seller.account_id, id, &input, request).await
    })
    .await;
    check_repeats("pause a subscription", async |world, seller, _, request| {
        let id = world.commands().subscriptions(seller.account_id).await.unwrap()[0].id;
        let input = SubscriptionInput { active: Some(false), ..SubscriptionInput::default() };
        world.commands().update_subscription(seller.account_id, id, &input, request).await
    })
    .await;
    check_repeats("switch a module", async |world, seller, _, request| {
        let on = ModuleSwitches { payment: Some(true), marketing: None };
        world.online().switch_modules(seller.account_id, on, request).await
    })
    .await;
}

#[tokio::test]
async fn what_shows_a_secret_is_never_shown_again_and_nothing_is_made() {
    let (world, _, seller, _) = faulty().await;
    let (commands, registration, request) =
        (world.commands(), world.webhook_registration(), request(&seller, "key", "body"));
    let made = commands.create_key(seller.account_id, "laptop", request).await.unwrap().value;
    let again = commands.create_key(seller.account_id, "laptop", request).await;
    assert_eq!(code(again), Some(Code::IdempotencyKeyInUse));
    assert_eq!(commands.keys(seller.account_id).await.unwrap().len(), 2, "the first key and the new one");

    let other = IdempotentRequest { scope: Digest256::of(b"another path"), ..request.unwrap() };
    let input = subscription_input("https://one.example", &["*"]);
    let subscribed = registration.create_subscription(seller.account_id, &input, Some(other)).await.unwrap().value;
    let again = registration.create_subscription(seller.account_id, &input, Some(other)).await;
    assert_eq!(code(again), Some(Code::IdempotencyKeyInUse));
    assert_eq!(commands.subscriptions(seller.account_id).await.unwrap().len(), 1);

    for (scope, secret) in [(request.unwrap().scope, made.key.reveal()), (other.scope, subscribed.secret.reveal())] {
        let kept = world.storage.account(seller.account_id, Some(scope)).await.unwrap().unwrap().kept.unwrap();
        let kept: Value = serde_json::from_str(&kept.outcome).unwrap();
        assert_eq!(kept["data"], Value::Null, "the outcome is not written down");
        assert!(!kept.to_string().contains(secret));
    }
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let (world, _, seller, placed) = faulty().await;
    let (commands, request) = (world.commands(), request(&seller, "key", "body"));
    let to = |status| OrderPatch { status: Some(status), quoted_price_idr: None };
    let deliver = to(WorkStatus::Delivered);
    let early = commands.patch_order(placed.account_id, placed.id, deliver, &host(), request).await;
    assert_eq!(code(early), Some(Code::InvalidTransition));
    for status in [WorkStatus::Confirmed, WorkStatus::InProgress] {
        commands.patch_order(placed.account_id, placed.id, to(status), &host(), None).await.unwrap();
    }
    let now = commands.patch_order(placed.account_id, placed.id, deliver, &host(), request).await.unwrap();
    assert_eq!((now.value.status, now.replayed), (WorkStatus::Delivered, false));
}

#[test]
fn a_key_is_one_of_its_account_method_and_path() {
    let account = |last: char| format!("acc_01jtestvect0r000000000000{last}").parse().unwrap();
    let scope = |account, method, path, key| IdempotentRequest::new(account, method, path, key, b"").unwrap().scope;
    let scopes: BTreeSet<_> = [
        scope(account('1'), "POST", "/a", "key"),
        scope(account('2'), "POST", "/a", "key"),
        scope(account('1'), "PATCH", "/a", "key"),
        scope(account('1'), "POST", "/b", "key"),
        scope(account('1'), "POST", "/a", "key2"),
        scope(account('1'), "POST", "/ak", "ey"),
    ]
    .into();
    assert_eq!(scopes.len(), 6);
}

#[tokio::test]
async fn a_slug_that_is_taken_is_a_conflict_and_not_tried_again() {
    let (world, _, seller, _) = faulty().await;
    world.seller("other").await;
    let before = world.storage.sent().len();
    let taken = world.commands().put_storefront(seller.account_id, &storefront_input("other"), None).await;
    assert!(matches!(taken, Err(Failure::Rejected(Rejection::Conflict(_)))), "{taken:?}");
    assert_eq!(sent_since(&world, before).len(), 1);
}

/// A key's last use is written at most once a minute, and a deleted key stops working immediately.
#[tokio::test]
async fn a_keys_last_use_is_written_at_most_once_a_minute() {
    let world = World::new();
    let seller = world.seller("studio").await;
    let used = async || {
        for _ in 0..10 {
            let caller = world.commands().authenticate(seller.key.reveal()).await.unwrap().unwrap();
            assert_eq!((caller.account_id, caller.key_id), (seller.account_id, seller.key_id));
        }
        world.storage.key(seller.key.hash()).await.unwrap().unwrap().last_used_at
    };
    let first = world.clock.now();
    assert_eq!(used().await, Some(first));
    world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(used().await, Some(first));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(used().await, Some(first.plus(Duration::from_secs(60))));

    world.commands().delete_key(seller.account_id, seller.key_id).await.unwrap();
    assert_eq!(world.commands().authenticate(seller.key.reveal()).await.unwrap(), None);
    assert_eq!(world.commands().holder(seller.key.hash()).await.unwrap(), None);
}
