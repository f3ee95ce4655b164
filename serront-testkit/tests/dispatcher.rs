//! The dispatcher carries out the effects of commits at least once, on schedule, with the same ids and bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests, which clippy.toml does not reach")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serront_core::accounts::key::WebhookSecret;
use serront_core::accounts::sealed::{FreshSecret, SealedSecret, SecretHolder};
use serront_core::changes::change::Guard;
use serront_core::changes::effect::{Attempt, EffectStatus, Lane};
use serront_core::decide::{self, Context, Decision};
use serront_core::orders::mail::{BuiltInTemplates, Mail, MailTemplates, MailText};
use serront_core::ports::{
    AccountReads, Clock, Commits, Ids, OperatorReads, OrderReads, PortErrorKind, Posted, RecordError, WorkStorage,
};
use serront_core::primitives::ids::SubscriptionId;
use serront_core::primitives::page::Limit;
use serront_core::snapshots::{DeliveryFilter, Due, OrderKey};
use serront_core::views::{DeliveryView, NewSubscriptionView};
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::signature;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_core::work::dispatch::Dispatcher;
use serront_testkit::faults::{Call, Fault, FaultyStorage};
use serront_testkit::memory::{ManualClock, MemoryStorage};
use serront_testkit::world::{Placed, Seller, World, host, subscription_input};

const URL: &str = "https://one.example/hook";
const CONFIRMED: &str = "serront.order.payment_confirmed.v1";
const MILLISECOND: Duration = Duration::from_millis(1);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

async fn subscribe<S: WorkStorage>(world: &World<S>, seller: &Seller) -> NewSubscriptionView {
    let input = subscription_input(URL, &[CONFIRMED]);
    world.webhook_registration().create_subscription(seller.account_id, &input, None).await.unwrap().value
}

async fn confirm<S: WorkStorage>(world: &World<S>, placed: &Placed) {
    world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await.unwrap();
}

/// The account's only delivery.
async fn delivery<S: WorkStorage>(world: &World<S>, seller: &Seller) -> DeliveryView {
    let (filter, limit) = (DeliveryFilter::default(), Limit::parse(None).unwrap());
    let (log, _) = world.commands().deliveries(seller.account_id, &filter, None, limit).await.unwrap();
    <[_; 1]>::try_from(log).map(|[delivery]| delivery).unwrap()
}

async fn attempted<S: WorkStorage>(world: &World<S>) -> usize {
    world.dispatcher().step(world.clock.now(), 16).await.unwrap().attempted
}

fn faulty() -> World<FaultyStorage<MemoryStorage>> {
    let clock = Arc::new(ManualClock::default());
    World::over(Arc::new(FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())))), clock)
}

#[tokio::test]
async fn a_webhook_is_retried_on_the_contracts_schedule_and_then_failed() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    let subscribed = subscribe(&world, &seller).await;
    world.sink.answer_next([
        Posted::Answered(500),
        Posted::Answered(302),
        Posted::Answered(404),
        Posted::Failed("timed out".to_owned()),
        Posted::Answered(199),
        Posted::Answered(503),
    ]);
    confirm(&world, &placed).await;
    assert_eq!(attempted(&world).await, 2, "a mail and a delivery");
    let mut expected = Vec::new();
    let failures = [
        (Some(500), "the receiver answered 500"),
        (Some(302), "the receiver answered 302"),
        (Some(404), "the receiver answered 404"),
        (None, "timed out"),
        (Some(199), "the receiver answered 199"),
        (Some(503), "the receiver answered 503"),
    ];
    let pauses = [minutes(1), minutes(5), minutes(25), minutes(120), minutes(720)];
    for (index, (response_code, error)) in failures.into_iter().enumerate() {
        let now = world.clock.now();
        let next = pauses.get(index).map(|pause| now.plus(*pause));
        expected.push(Attempt {
            attempt_number: u32::try_from(index).unwrap() + 1,
            status: EffectStatus::Failed,
            response_code,
            error: Some(error.to_owned()),
            duration_ms: 0,
            attempted_at: now,
            next_retry_at: next,
        });
        let delivery = delivery(&world, &seller).await;
        assert_eq!(delivery.attempt_log, expected);
        let status = if next.is_some() { EffectStatus::Pending } else { EffectStatus::Failed };
        assert_eq!((delivery.status, delivery.next_retry_at), (status, next));
        if let Some(pause) = pauses.get(index) {
            world.clock.advance(*pause - MILLISECOND);
            assert_eq!(attempted(&world).await, 0, "before its time");
            world.clock.advance(MILLISECOND);
            assert_eq!(attempted(&world).await, 1);
        }
    }
    world.clock.advance(minutes(60 * 24 * 365));
    assert_eq!(attempted(&world).await, 0, "given up");

    let posts = world.sink.posts();
    assert_eq!(posts.iter().map(|post| post.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let unchanged: BTreeSet<_> =
        posts.iter().map(|post| (&post.url, post.event_id, post.event_type, post.delivery_id, &post.body)).collect();
    assert_eq!(unchanged.len(), 1, "the same ids and bytes on every attempt");
    for (post, attempt) in posts.iter().zip(&expected) {
        assert_eq!(post.signature, signature::sign(&subscribed.secret, attempt.attempted_at, &post.body));
    }
}

#[tokio::test]
async fn every_answer_from_200_to_299_is_success_and_nothing_else_is() {
    for (answer, status) in [
        (Posted::Answered(200), EffectStatus::Succeeded),
        (Posted::Answered(204), EffectStatus::Succeeded),
        (Posted::Answered(299), EffectStatus::Succeeded),
        (Posted::Answered(199), EffectStatus::Pending),
        (Posted::Answered(300), EffectStatus::Pending),
        (Posted::Answered(307), EffectStatus::Pending),
        (Posted::Answered(410), EffectStatus::Pending),
        (Posted::Failed("refused".to_owned()), EffectStatus::Pending),
    ] {
        let world = World::new();
        let (seller, placed) = world.seller_with_order("studio").await;
        subscribe(&world, &seller).await;
        world.sink.answer_next([answer.clone()]);
        confirm(&world, &placed).await;
        attempted(&world).await;
        assert_eq!(delivery(&world, &seller).await.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_mail_is_retried_on_its_schedule_under_one_id_and_then_given_up() {
    for (kind, arrives) in [(PortErrorKind::Transient, 0), (PortErrorKind::OutcomeUnknown, 7)] {
        let world = World::new();
        let (_, placed) = world.seller_with_order("studio").await;
        world.mailbox.fail_next(100, kind);
        confirm(&world, &placed).await;
        assert_eq!(attempted(&world).await, 1);
        for pause in [minutes(1), minutes(5), minutes(15), minutes(60), minutes(240), minutes(720)] {
            world.clock.advance(pause - MILLISECOND);
            assert_eq!(attempted(&world).await, 0, "{kind:?}: before its time");
            world.clock.advance(MILLISECOND);
            assert_eq!(attempted(&world).await, 1, "{kind:?}");
        }
        assert_eq!(world.next_due().await, None, "{kind:?}: given up");
        let messages = world.mailbox.messages();
        assert_eq!(messages.len(), arrives);
        assert!(messages.iter().all(|message| *message == messages[0]), "the same mail each time");
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_not_tried_again() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    world.mailbox.fail_next(1, PortErrorKind::Permanent);
    confirm(&world, &placed).await;
    assert_eq!(attempted(&world).await, 1);
    assert_eq!(world.next_due().await, None);
    assert_eq!(world.mailbox.messages(), []);
}

#[tokio::test]
async fn a_mail_that_arrived_in_the_end_is_not_sent_again() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    world.mailbox.fail_next(2, PortErrorKind::Transient);
    confirm(&world, &placed).await;
    for _ in 0..5 {
        world.dispatch_all().await;
        world.clock.advance(minutes(60));
    }
    assert_eq!(world.mailbox.messages().len(), 1);
}

#[tokio::test]
async fn what_is_queued_for_a_subscription_is_given_up_with_it_unsent() {
    for gone in [true, false] {
        let world = World::new();
        let (seller, placed) = world.seller_with_order("studio").await;
        let id: SubscriptionId = subscribe(&world, &seller).await.shown.id;
        confirm(&world, &placed).await;
        let commands = world.commands();
        if gone {
            commands.delete_subscription(seller.account_id, id).await.unwrap();
        } else {
            let pause = SubscriptionInput { active: Some(false), ..SubscriptionInput::default() };
            commands.update_subscription(seller.account_id, id, &pause, None).await.unwrap();
        }
        let given_up = delivery(&world, &seller).await;
        assert_eq!((given_up.status, given_up.attempts), (EffectStatus::Failed, 0));
        world.dispatch_all().await;
        assert_eq!(world.sink.posts(), [], "deleted: {gone}");
        assert_eq!(delivery(&world, &seller).await, given_up);
        assert_eq!(world.next_due().await, None);
    }
}

/// As a commit concurrent with the pause does, or a host of an earlier version.
#[tokio::test]
async fn a_delivery_that_was_queued_for_nobody_is_given_up_unsent() {
    for (gone, reason) in [(true, "the subscription was deleted"), (false, "the subscription is inactive")] {
        let world = World::new();
        let (seller, placed) = world.seller_with_order("studio").await;
        let id: SubscriptionId = subscribe(&world, &seller).await.shown.id;
        let snapshot = world.storage.order(OrderKey::Id(placed.account_id, placed.id), None).await.unwrap().unwrap();
        let ids = world.ids.sequence(world.clock.now());
        let mut context = Context { now: world.clock.now(), ids, policy: &world.policy, request: None };
        let Ok(Decision::Change(mut change, _)) = decide::confirm_payment(&snapshot, &host(), None, &mut context)
        else {
            panic!("a confirmation")
        };
        change.guards.retain(|guard| !matches!(guard, Guard::Settings(_)));
        let commands = world.commands();
        if gone {
            commands.delete_subscription(seller.account_id, id).await.unwrap();
        } else {
            let pause = SubscriptionInput { active: Some(false), ..SubscriptionInput::default() };
            commands.update_subscription(seller.account_id, id, &pause, None).await.unwrap();
        }
        world.storage.commit(&change).await.unwrap();
        world.dispatch_all().await;
        assert_eq!(world.sink.posts(), [], "{reason}");
        let delivery = delivery(&world, &seller).await;
        assert_eq!((delivery.status, delivery.attempts), (EffectStatus::Failed, 1));
        assert_eq!(delivery.last_error.as_deref(), Some(reason));
        assert_eq!(world.next_due().await, None);
    }
}

#[tokio::test]
async fn nothing_is_sent_for_a_commit_that_did_not_land() {
    for fault in [Fault::FailBefore, Fault::LoseRequest, Fault::Conflict] {
        let world = faulty();
        let (seller, placed) = world.seller_with_order("studio").await;
        subscribe(&world, &seller).await;
        world.storage.faults().rule(move |call, _| (call == Call::Commit).then_some(fault));
        let failed = world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await;
        assert!(failed.is_err());
        assert_eq!(attempted(&world).await, 0, "{fault:?}");
        assert_eq!((world.mailbox.messages().len(), world.sink.posts().len()), (0, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_sends_all_the_same() {
    let world = faulty();
    let (seller, placed) = world.seller_with_order("studio").await;
    subscribe(&world, &seller).await;
    world.storage.faults().rule(|call, _| (call == Call::Commit).then_some(Fault::LoseAnswer));
    let lost = world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await;
    assert!(lost.is_err());
    assert_eq!(attempted(&world).await, 2);
    assert_eq!((world.mailbox.messages().len(), world.sink.posts().len()), (1, 1));
}

#[tokio::test]
async fn what_was_sent_and_not_recorded_is_sent_again_with_the_same_ids_after_its_lease() {
    let world = faulty();
    let (seller, placed) = world.seller_with_order("studio").await;
    subscribe(&world, &seller).await;
    confirm(&world, &placed).await;
    let faults = world.storage.faults();
    faults.rule(|call, _| (call == Call::RecordAttempt).then_some(Fault::LoseRequest));
    assert_eq!(attempted(&world).await, 2);
    faults.rule(|_, _| None);
    world.clock.advance(world.policy.outbox.lease - MILLISECOND);
    assert_eq!(attempted(&world).await, 0, "the lease still runs");
    world.clock.advance(MILLISECOND);
    assert_eq!(attempted(&world).await, 2);
    world.clock.advance(world.policy.outbox.lease * 10);
    assert_eq!(attempted(&world).await, 0, "recorded");

    let (posts, messages) = (world.sink.posts(), world.mailbox.messages());
    assert_eq!((posts.len(), messages.len()), (2, 2));
    assert_eq!(messages[0], messages[1]);
    let shown = |index: usize| {
        let post = &posts[index];
        (post.event_id, post.delivery_id, &post.body, post.attempt)
    };
    assert_eq!(shown(0), shown(1));
    let delivery = delivery(&world, &seller).await;
    assert_eq!((delivery.status, delivery.attempts), (EffectStatus::Succeeded, 1), "the log knows of one attempt");
}

/// While the storage is unavailable, for example during a restart, a sent effect is recorded later and not sent again
/// (#16).
#[tokio::test]
async fn a_record_that_failed_is_sent_again_while_the_lease_runs() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::FailBefore, Fault::Busy] {
        let world = faulty();
        let (seller, placed) = world.seller_with_order("studio").await;
        subscribe(&world, &seller).await;
        world.sink.answer_next([Posted::Answered(500)]);
        confirm(&world, &placed).await;
        let faults = world.storage.faults();
        faults.script(Call::RecordAttempt, [fault; 12]);
        let [mail, post] = <[_; 2]>::try_from(taken(&world).await).unwrap();
        world.dispatcher().perform(&mail).await.unwrap();
        world.dispatcher().perform(&post).await.unwrap();
        assert!(faults.struck().len() >= 2, "{fault:?}");
        let recorded = delivery(&world, &seller).await;
        assert_eq!((recorded.status, recorded.attempts), (EffectStatus::Pending, 1), "{fault:?}");
        world.clock.advance(world.policy.outbox.lease);
        assert_eq!(attempted(&world).await, 0, "{fault:?}: both are in the log");
        assert_eq!((world.mailbox.messages().len(), world.sink.posts().len()), (1, 1), "{fault:?}");
    }
}

/// Takes the due effects of the outbox.
async fn taken<S: WorkStorage>(world: &World<S>) -> Vec<Due> {
    let mut taken = Vec::new();
    for lane in Lane::OUTBOX {
        taken.extend(world.dispatcher().take(lane, 16).await.unwrap());
    }
    taken
}

/// A lease that another worker has taken is lost, also after a send without an answer. Recording that always fails ends
/// (#16).
#[tokio::test]
async fn a_record_of_a_lost_lease_is_not_taken_for_landed() {
    let world = faulty();
    let (_, placed) = world.seller_with_order("studio").await;
    confirm(&world, &placed).await;
    let [late] = <[_; 1]>::try_from(taken(&world).await).unwrap();
    world.clock.advance(world.policy.outbox.lease);
    assert_eq!(taken(&world).await.len(), 1, "another worker has it");
    world.storage.faults().script(Call::RecordAttempt, [Fault::LoseAnswer]);
    assert!(matches!(world.dispatcher().perform(&late).await, Err(RecordError::LeaseLost(_))));

    for (fault, kind) in [
        (Fault::FailBefore, PortErrorKind::Transient),
        (Fault::Busy, PortErrorKind::Busy),
        (Fault::LoseRequest, PortErrorKind::OutcomeUnknown),
    ] {
        world.clock.advance(world.policy.outbox.lease);
        let [due] = <[_; 1]>::try_from(taken(&world).await).unwrap();
        let faults = world.storage.faults();
        faults.rule(move |call, _| (call == Call::RecordAttempt).then_some(fault));
        let failed = world.dispatcher().perform(&due).await;
        assert!(matches!(&failed, Err(RecordError::Port(error)) if error.kind() == kind), "{failed:?}");
        faults.rule(|_, _| None);
    }
}

#[tokio::test]
async fn what_was_recorded_without_an_answer_is_not_sent_again() {
    let world = faulty();
    let (_, placed) = world.seller_with_order("studio").await;
    confirm(&world, &placed).await;
    world.storage.faults().script(Call::RecordAttempt, [Fault::LoseAnswer]);
    assert_eq!(attempted(&world).await, 1);
    world.clock.advance(world.policy.outbox.lease * 10);
    assert_eq!(attempted(&world).await, 0);
    assert_eq!(world.mailbox.messages().len(), 1);
}

#[tokio::test]
async fn what_was_taken_by_a_host_that_died_comes_back_after_its_lease() {
    let world = faulty();
    let (_, placed) = world.seller_with_order("studio").await;
    confirm(&world, &placed).await;
    world.storage.faults().script(Call::TakeDue, [Fault::LoseAnswer]);
    assert!(world.dispatcher().step(world.clock.now(), 16).await.is_err());
    assert_eq!(attempted(&world).await, 0);
    world.clock.advance(world.policy.outbox.lease);
    assert_eq!(attempted(&world).await, 1);
    assert_eq!(world.mailbox.messages().len(), 1);
}

#[tokio::test]
async fn a_step_says_when_to_come_again() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    let now = world.clock.now();
    let step = async |capacity| world.dispatcher().step(world.clock.now(), capacity).await.unwrap();
    let idle = now.plus(world.policy.outbox.idle_pause);
    assert_eq!((step(16).await.attempted, step(16).await.next), (0, idle), "nothing to do");
    subscribe(&world, &seller).await;
    confirm(&world, &placed).await;
    world.mailbox.fail_next(1, PortErrorKind::Transient);
    let first = step(1).await;
    assert_eq!((first.attempted, first.next), (1, now), "more may be due");
    let rest = step(16).await;
    assert_eq!((rest.attempted, rest.next), (1, idle), "the retry is further off than an idle look");
    world.clock.advance(minutes(1) - Duration::from_secs(2));
    assert_eq!(step(16).await.next, now.plus(minutes(1)), "the retry comes before an idle look");
}

/// Found by the simulator: a host whose clock is ahead of the storage's asked again and again without a pause.
#[tokio::test]
async fn what_is_due_and_not_given_out_is_not_asked_for_without_a_pause() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    confirm(&world, &placed).await;
    world.mailbox.fail_next(1, PortErrorKind::Transient);
    assert_eq!(attempted(&world).await, 1);
    let ahead = world.clock.now().plus(minutes(10));
    let step = world.dispatcher().step(ahead, 16).await.unwrap();
    assert_eq!((step.attempted, step.next), (0, ahead.plus(Duration::from_millis(500))));
}

#[tokio::test]
async fn an_endpoint_that_fails_for_a_day_is_switched_off_and_the_others_are_told() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    let failing = subscribe(&world, &seller).await.shown;
    world.subscribe(&seller, "https://two.example", &["*"]).await;
    confirm(&world, &placed).await;
    world.sink.refuse(URL);
    let commands = world.commands();
    let log = async || {
        let filter = DeliveryFilter { subscription_id: Some(failing.id), ..DeliveryFilter::default() };
        let (mut log, _) =
            commands.deliveries(seller.account_id, &filter, None, Limit::parse(None).unwrap()).await.unwrap();
        log.remove(0)
    };
    let is_active = async || {
        let subscriptions = commands.subscriptions(seller.account_id).await.unwrap();
        subscriptions.iter().find(|subscription| subscription.id == failing.id).unwrap().active
    };
    // The schedule ends after six attempts; a manual retry continues after it.
    let mut attempts = 0;
    while is_active().await {
        world.dispatch_all().await;
        let delivery = log().await;
        attempts = delivery.attempts;
        if delivery.status == EffectStatus::Failed && is_active().await {
            commands.retry_delivery(seller.account_id, delivery.id, None).await.unwrap();
        }
        world.clock.advance(minutes(60));
        assert!(attempts < 100);
    }
    assert!(attempts >= 20, "{attempts}");
    world.dispatch_all().await;
    let told: Vec<_> =
        world.sink.posts().into_iter().filter(|post| post.event_type == EventType::SubscriptionDisabled).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].url, "https://two.example");
    assert!(told[0].body.contains(&failing.id.to_string()) && !told[0].body.contains(URL), "{}", told[0].body);
    let delivery = log().await;
    assert_eq!(delivery.status, EffectStatus::Failed);
    assert!(commands.retry_delivery(seller.account_id, delivery.id, None).await.is_err(), "it is switched off");
    let again = SubscriptionInput { active: Some(true), ..SubscriptionInput::default() };
    commands.update_subscription(seller.account_id, failing.id, &again, None).await.unwrap();
    commands.retry_delivery(seller.account_id, delivery.id, None).await.unwrap();
    world.dispatch_all().await;
    assert!(is_active().await, "a new streak began");
}

#[tokio::test]
async fn a_rotated_secret_signs_last_and_the_one_before_for_a_day() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    let first = subscribe(&world, &seller).await;
    let second = world.commands().rotate_secret(seller.account_id, first.shown.id, None).await.unwrap().value;
    confirm(&world, &placed).await;
    let signed = |at, secrets: &[&WebhookSecret]| {
        let posts = world.sink.posts();
        let post = posts.last().unwrap();
        assert_eq!(post.signature, signature::sign_with(secrets.iter().copied(), at, &post.body));
    };
    world.dispatch_all().await;
    signed(world.clock.now(), &[&first.secret, &second.secret]);
    world.clock.advance(minutes(24 * 60));
    world.commands().retry_delivery(seller.account_id, delivery(&world, &seller).await.id, None).await.unwrap();
    world.dispatch_all().await;
    signed(world.clock.now(), &[&second.secret]);
}

/// A missing key may return, so its deliveries wait; a secret that no key opens is given up, visible to operators (#8).
#[tokio::test]
async fn a_secret_that_can_not_be_opened_waits_for_its_key_or_is_given_up() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    let subscribed = subscribe(&world, &seller).await;
    confirm(&world, &placed).await;
    world.sealer.hold(&[]);
    assert_eq!(attempted(&world).await, 2, "a mail, and a delivery that can't be signed");
    let waiting = delivery(&world, &seller).await;
    assert_eq!((waiting.status, waiting.attempts), (EffectStatus::Pending, 0));

    world.sealer.hold(&[1]);
    let snapshot = world.storage.account(seller.account_id, None).await.unwrap().unwrap();
    let ids = world.ids.sequence(world.clock.now());
    let mut context = Context { now: world.clock.now(), ids, policy: &world.policy, request: None };
    let of_nobody = SecretHolder::Endpoint(seller.account_id);
    let secret = FreshSecret {
        sealed: SealedSecret::seal(&*world.sealer, of_nobody, subscribed.secret.reveal()).unwrap(),
        shown: subscribed.secret,
    };
    let decided = decide::rotate_secret(&snapshot, subscribed.shown.id, secret, &mut context).unwrap();
    let Decision::Change(change, _) = decided else { panic!("a rotation") };
    world.storage.commit(&change).await.unwrap();
    world.clock.advance(minutes(1));
    world.dispatch_all().await;
    let given_up = delivery(&world, &seller).await;
    assert_eq!((given_up.status, given_up.attempts), (EffectStatus::Failed, 1));
    assert_eq!(given_up.last_error.as_deref(), Some("the secret to sign with can't be opened"));
    assert_eq!(world.storage.given_up(None, Limit::EXPORT).await.unwrap().rows.len(), 1);
    assert_eq!(world.sink.posts().len(), 0);
}

/// A host's texts for one kind of mail.
struct OurWords;

impl MailTemplates for OurWords {
    fn render(&self, mail: &Mail) -> MailText {
        let Mail::PaymentConfirmedV1(content) = mail else { return BuiltInTemplates.render(mail) };
        MailText { subject: "Lunas".to_owned(), text: format!("#{} lunas.\n", content.number), html: None }
    }
}

#[tokio::test]
async fn a_hosts_own_words_go_to_the_same_recipient_under_the_same_id() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    confirm(&world, &placed).await;
    world.mailbox.fail_next(1, PortErrorKind::OutcomeUnknown);
    let step = async |dispatcher: Dispatcher<'_, _, _, _, _>| dispatcher.step(world.clock.now(), 16).await.unwrap();
    step(world.dispatcher()).await;
    world.clock.advance(minutes(1));
    step(world.dispatcher().with_templates(&OurWords)).await;
    let [ours, own] = <[_; 2]>::try_from(world.mailbox.messages()).unwrap();
    assert_eq!((ours.id, &ours.to, &ours.to_name), (own.id, &own.to, &own.to_name));
    assert_eq!((own.subject.as_str(), own.text.as_str(), own.html), ("Lunas", "#1 lunas.\n", None));
}
