//! Online payment through the service, against Plugipay's sandbox in process: provisioning, sessions, settlement by
//! notifications and by the janitor, each also with lost answers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy.toml does not reach")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serront_core::accounts::actor::Actor;
use serront_core::changes::effect::Lane;
use serront_core::decide::{ModuleSwitches, OrderPatch};
use serront_core::online::inbox::InboxStatus;
use serront_core::orders::audit::Act;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::{Clock, OperatorReads, OrderReads, Outbox};
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::rejection::Code;
use serront_core::primitives::tier::Tier;
use serront_core::service::Failure;
use serront_core::snapshots::{EntryFilter, OrderKey};
use serront_testkit::sandbox::{Notification, Route, Sandbox, SandboxStatus, Trouble};
use serront_testkit::world::{Placed, Seller, World, host, storefront_input};

const ON: ModuleSwitches = ModuleSwitches { payment: Some(true), marketing: None };
const OFF: ModuleSwitches = ModuleSwitches { payment: Some(false), marketing: None };

struct Scene {
    world: World,
    sandbox: Arc<Sandbox>,
    seller: Seller,
    placed: Placed,
}

impl Scene {
    async fn bare() -> Self {
        let mut world = World::new();
        let sandbox = Arc::new(Sandbox::new(world.clock.clone()));
        world.plugipay = Some(sandbox.clone());
        let (seller, placed) = world.seller_with_order("studio").await;
        Self { world, sandbox, seller, placed }
    }

    /// With the module on.
    async fn new() -> Self {
        let scene = Self::bare().await;
        scene.switch(ON).await.unwrap();
        scene
    }

    async fn switch(&self, switches: ModuleSwitches) -> Result<bool, Failure> {
        let answer = self.world.online().switch_modules(self.seller.account_id, switches, None).await?;
        Ok(answer.value.modules.payment)
    }

    async fn pay(&self) -> Result<SessionId, Failure> {
        Ok(self.world.online().pay(&self.placed.token).await?.checkout_session_id)
    }

    async fn notify(&self, notification: &Notification) -> Result<InboxStatus, Failure> {
        let signature = Some(notification.signature());
        self.world.commands().receive_notification(signature, notification.body.as_bytes()).await
    }

    /// Does errands until none is due.
    async fn errands(&self) {
        loop {
            let step = self.world.janitor().step(self.world.clock.now(), 16).await.unwrap();
            if step.attempted == 0 {
                return;
            }
        }
    }

    async fn confirm_by_hand(&self) {
        self.world
            .commands()
            .confirm_payment(self.seller.account_id, self.placed.id, &host(), None, None)
            .await
            .unwrap();
    }

    async fn patch(&self, status: Option<WorkStatus>, quoted_price_idr: Option<i64>) {
        let patch = OrderPatch { status, quoted_price_idr };
        self.world.commands().patch_order(self.seller.account_id, self.placed.id, patch, &host(), None).await.unwrap();
    }

    /// Payment, mails sent and to be sent, what was booked by code, and open exceptions.
    async fn told(&self) -> (PaymentStatus, usize, Vec<(String, i64)>, Vec<ExceptionKind>) {
        self.world.dispatch_all().await;
        let key = OrderKey::Id(self.seller.account_id, self.placed.id);
        let order = self.world.storage.order(key, None).await.unwrap().unwrap();
        let commands = self.world.commands();
        let limit = Limit::parse(None).unwrap();
        let balance = commands.balance(self.seller.account_id).await.unwrap();
        let exceptions = commands.exceptions(self.seller.account_id, None, None, limit).await.unwrap().exceptions;
        (
            order.payment.state.status,
            self.world.mailbox.messages().len(),
            balance.by_code.iter().map(|code| (code.code.as_str().to_owned(), code.balance)).collect(),
            exceptions.iter().map(|exception| exception.kind).collect(),
        )
    }
}

fn code<T>(result: Result<T, Failure>) -> Option<Code> {
    match result {
        Ok(_) => None,
        Err(Failure::Rejected(rejection)) => Some(rejection.code()),
        Err(Failure::Provider { .. }) => Some(Code::PlugipayError),
        Err(Failure::Busy) => Some(Code::Busy),
        Err(_) => Some(Code::InternalError),
    }
}

fn refusal() -> Trouble {
    Trouble::Refuse { status: 400, code: "VALIDATION_ERROR".to_owned() }
}

/// What a payment of the quote, Rp 750.000, books.
fn booked() -> Vec<(String, i64)> {
    vec![("module_fee".to_owned(), -2_250), ("sale".to_owned(), 750_000)]
}

#[tokio::test]
async fn the_first_on_provisions_once_and_every_later_one_finds_it() {
    let scene = Scene::new().await;
    let merchant = scene.sandbox.merchant_of(&scene.seller.account_id.to_string()).unwrap();
    let account = scene.world.commands().account(scene.seller.account_id).await.unwrap();
    assert_eq!(account.state.plugipay_account_id, Some(merchant));
    assert_eq!(scene.sandbox.endpoints().len(), 1);
    let calls = [Route::CreateWorkspace, Route::CreateEndpoint].map(|route| scene.sandbox.arrived(route));
    assert!(!scene.switch(OFF).await.unwrap());
    assert!(scene.switch(ON).await.unwrap());
    scene.world.commands().set_tier(scene.seller.account_id, Tier::Free).await.unwrap();
    assert!(!scene.world.commands().account(scene.seller.account_id).await.unwrap().state.modules.payment);
    assert_eq!(code(scene.switch(ON).await), Some(Code::UpgradeRequired));
    scene.world.commands().set_tier(scene.seller.account_id, Tier::Starter).await.unwrap();
    assert!(scene.switch(ON).await.unwrap());
    let after = [Route::CreateWorkspace, Route::CreateEndpoint].map(|route| scene.sandbox.arrived(route));
    assert_eq!((calls, after), ([1, 1], [1, 1]));
}

#[tokio::test]
async fn provisioning_goes_on_after_whatever_failed() {
    for route in [Route::CreateWorkspace, Route::CreateEndpoint] {
        for trouble in [Trouble::LoseRequest, Trouble::LoseAnswer, refusal()] {
            let scene = Scene::bare().await;
            scene.sandbox.plan(Some(route), trouble.clone());
            assert_eq!(code(scene.switch(ON).await), Some(Code::PlugipayError), "{route:?} {trouble:?}");
            let account = scene.world.commands().account(scene.seller.account_id).await.unwrap();
            assert!(!account.state.modules.payment, "{route:?} {trouble:?}");
            assert!(scene.switch(ON).await.unwrap(), "{route:?} {trouble:?}");
            // An endpoint whose secret was never seen does not stay.
            assert_eq!(scene.sandbox.endpoints().len(), 1, "{route:?} {trouble:?}");
            let session = scene.pay().await.unwrap();
            assert!(scene.sandbox.pay(session.as_str()));
            let notifications = scene.sandbox.take_notifications();
            assert_eq!(notifications.len(), 1);
            assert_eq!(scene.notify(&notifications[0]).await.unwrap(), InboxStatus::Applied);
        }
    }
}

#[tokio::test]
async fn a_seller_that_was_renamed_between_two_tries_is_provisioned() {
    let scene = Scene::bare().await;
    scene.sandbox.plan(Some(Route::CreateWorkspace), Trouble::LoseAnswer);
    assert!(scene.switch(ON).await.is_err());
    let renamed = storefront_input("renamed");
    scene.world.commands().put_storefront(scene.seller.account_id, &renamed, None).await.unwrap();
    assert!(scene.switch(ON).await.unwrap());
}

#[tokio::test]
async fn a_registration_that_nobody_finishes_is_taken_over() {
    let scene = Scene::bare().await;
    // Its host dies during the call: the waiting future is dropped.
    scene.sandbox.switch(|switches| switches.slowness = Duration::from_secs(3));
    {
        let mut switching = std::pin::pin!(scene.switch(ON));
        for _ in 0..200 {
            let mut poller = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(switching.as_mut().poll(&mut poller).is_pending());
            tokio::task::yield_now().await;
            if scene.sandbox.arrived(Route::CreateEndpoint) > 0 {
                break;
            }
        }
    }
    scene.sandbox.heal();
    scene.world.clock.advance(scene.world.policy.online.endpoint_patience);
    assert!(scene.switch(ON).await.unwrap());
    assert_eq!(scene.sandbox.endpoints().len(), 1);
}

#[tokio::test]
async fn a_session_that_plugipay_forgot_is_given_up_in_the_end() {
    let scene = Scene::new().await;
    scene.pay().await.unwrap();
    let refusal = Trouble::Refuse { status: 404, code: "NOT_FOUND".to_owned() };
    for _ in 0..200 {
        scene.sandbox.plan(Some(Route::GetSession), refusal.clone());
        scene.world.clock.advance(Duration::from_secs(3_600));
        scene.errands().await;
    }
    assert_eq!(scene.world.storage.next_due(Lane::Errands).await.unwrap(), None);
}

#[tokio::test]
async fn switching_on_twice_at_once_registers_one_endpoint() {
    let scene = Scene::bare().await;
    let (one, two, three) = tokio::join!(scene.switch(ON), scene.switch(ON), scene.switch(ON));
    assert!(one.unwrap() && two.unwrap() && three.unwrap());
    assert_eq!(scene.sandbox.endpoints().len(), 1);
}

#[tokio::test]
async fn a_rotated_secret_and_the_one_before_are_both_accepted_for_a_time() {
    let scene = Scene::new().await;
    let first = scene.pay().await.unwrap();
    scene.sandbox.pay(first.as_str());
    let old = scene.sandbox.take_notifications().remove(0);
    scene.world.online().rotate_endpoint(scene.seller.account_id).await.unwrap();
    assert_eq!(scene.sandbox.endpoints().len(), 1);
    assert_eq!(scene.notify(&old).await.unwrap(), InboxStatus::Applied);
    scene.world.clock.advance(scene.world.policy.online.endpoint_secret_kept);
    assert_eq!(code(scene.notify(&old).await), Some(Code::InvalidSignature));
    let placed = scene.world.place(&scene.seller, "Sari").await;
    let second = scene.world.online().pay(&placed.token).await.unwrap().checkout_session_id;
    scene.sandbox.pay(second.as_str());
    assert_eq!(scene.notify(&scene.sandbox.take_notifications()[0]).await.unwrap(), InboxStatus::Applied);
}

#[tokio::test]
async fn a_paid_session_confirms_its_order_once_however_often_it_is_told() {
    let scene = Scene::new().await;
    let session = scene.pay().await.unwrap();
    assert!(scene.sandbox.pay(session.as_str()));
    let notification = scene.sandbox.take_notifications().remove(0);
    for _ in 0..3 {
        assert_eq!(scene.notify(&notification).await.unwrap(), InboxStatus::Applied);
        assert_eq!(scene.told().await, (PaymentStatus::PaymentConfirmed, 1, booked(), Vec::new()));
        scene.world.clock.advance(Duration::from_secs(61));
        scene.errands().await;
    }
    let mails = scene.world.mailbox.messages();
    assert!(mails.iter().all(|mail| mail.text.contains("dikonfirmasi otomatis oleh Plugipay")), "on whose word");
    assert_eq!(code(scene.pay().await), Some(Code::InvalidTransition));
    let trail = scene.world.storage.audit(scene.seller.account_id, scene.placed.id).await.unwrap();
    let by_plugipay = trail.iter().filter(|record| matches!(record.actor, Actor::Plugipay { event_id: Some(_) }));
    let acts: Vec<_> = by_plugipay.map(|record| &record.act).collect();
    assert!(matches!(acts.as_slice(), [Act::Settled { exception: None, .. }, Act::Payment { .. }]), "{acts:?}");
    let entries = scene.world.commands();
    let limit = Limit::parse(None).unwrap();
    let entries = entries.entries(scene.seller.account_id, &EntryFilter::default(), None, limit).await.unwrap().entries;
    assert!(entries.iter().all(|entry| entry.source_id == session.as_str()));
    // Paid: nothing is left to ask after.
    assert_eq!(scene.world.storage.next_due(Lane::Errands).await.unwrap(), None);
}

#[tokio::test]
async fn presses_at_once_mint_one_session_and_all_answer_it() {
    let scene = Scene::new().await;
    let (one, two, three) = tokio::join!(scene.pay(), scene.pay(), scene.pay());
    let one = one.unwrap();
    assert_eq!([two.unwrap(), three.unwrap(), scene.pay().await.unwrap()], [(); 3].map(|()| one.clone()));
    assert_eq!(scene.sandbox.sessions().len(), 1);
}

/// Issue 5: a buyer was sent back to a session that had failed until the janitor asked after it.
#[tokio::test]
async fn a_session_that_failed_since_is_not_answered_again() {
    let scene = Scene::new().await;
    let first = scene.pay().await.unwrap();
    assert!(scene.sandbox.fail(first.as_str()));
    // Just minted: nothing is asked, and simultaneous presses answer the same.
    assert_eq!(scene.pay().await.unwrap(), first);
    scene.world.clock.advance(scene.world.policy.online.poll_first);
    scene.sandbox.plan(Some(Route::GetSession), Trouble::LoseAnswer);
    assert_eq!(scene.pay().await.unwrap(), first, "as it was last heard of, where Plugipay does not answer");
    let second = scene.pay().await.unwrap();
    assert_ne!(second, first);
    // The press itself books a payment that arrived in the meantime.
    scene.sandbox.pay(second.as_str());
    scene.world.clock.advance(scene.world.policy.online.poll_first);
    assert_eq!(code(scene.pay().await), Some(Code::InvalidTransition));
    assert_eq!(scene.told().await, (PaymentStatus::PaymentConfirmed, 1, booked(), Vec::new()));
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    for trouble in [Trouble::LoseAnswer, Trouble::LoseRequest] {
        for by_the_janitor in [false, true] {
            let scene = Scene::new().await;
            scene.sandbox.plan(Some(Route::CreateSession), trouble.clone());
            assert_eq!(code(scene.pay().await), Some(Code::PlugipayError));
            if by_the_janitor {
                scene.world.clock.advance(scene.world.policy.online.poll_first);
                scene.errands().await;
            }
            let session = scene.pay().await.unwrap();
            let sessions = scene.sandbox.sessions();
            assert_eq!(sessions.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), [session.as_str()]);
        }
    }
}

#[tokio::test]
async fn a_refused_intent_ends_and_the_next_press_begins_another() {
    let scene = Scene::new().await;
    scene.sandbox.plan(Some(Route::CreateSession), refusal());
    assert_eq!(code(scene.pay().await), Some(Code::PlugipayError));
    assert!(scene.pay().await.is_ok());
}

#[tokio::test]
async fn what_ends_the_need_to_pay_calls_sessions_and_intents_off() {
    for end in ["confirm", "cancel", "quote"] {
        for lost in [false, true] {
            let scene = Scene::new().await;
            if lost {
                scene.sandbox.plan(Some(Route::CreateSession), Trouble::LoseAnswer);
            }
            assert_eq!(scene.pay().await.is_err(), lost);
            match end {
                "confirm" => scene.confirm_by_hand().await,
                "cancel" => scene.patch(Some(WorkStatus::Canceled), None).await,
                _ => scene.patch(None, Some(800_000)).await,
            }
            scene.errands().await;
            let statuses: Vec<_> = scene.sandbox.sessions().iter().map(|session| session.status).collect();
            assert_eq!(statuses, [SandboxStatus::Canceled], "{end} {lost}");
            let expected = match end {
                "confirm" => Some(Code::InvalidTransition),
                "cancel" => Some(Code::OrderClosed),
                _ => None,
            };
            assert_eq!(code(scene.pay().await), expected, "{end} {lost}");
        }
    }
}

#[tokio::test]
async fn money_that_can_not_confirm_is_booked_and_leaves_an_exception() {
    for (what, kind) in [
        ("confirm", ExceptionKind::AlreadyConfirmed),
        ("cancel", ExceptionKind::OrderClosed),
        ("quote", ExceptionKind::AmountMismatch),
        ("amount", ExceptionKind::AmountMismatch),
    ] {
        let scene = Scene::new().await;
        let session = scene.pay().await.unwrap();
        let amount = if what == "amount" { 700_000 } else { 750_000 };
        assert!(scene.sandbox.pay_amount(session.as_str(), amount, "IDR"));
        match what {
            "confirm" => scene.confirm_by_hand().await,
            "cancel" => scene.patch(Some(WorkStatus::Canceled), None).await,
            "quote" => scene.patch(None, Some(800_000)).await,
            _ => {}
        }
        // Learned from the answer to the cancellation, or from a poll, and then from the notification.
        scene.world.clock.advance(scene.world.policy.online.poll_first);
        scene.errands().await;
        assert_eq!(scene.notify(&scene.sandbox.take_notifications()[0]).await.unwrap(), InboxStatus::Applied);
        let confirmed = what == "confirm";
        let status = if confirmed { PaymentStatus::PaymentConfirmed } else { PaymentStatus::Unpaid };
        let fee = if what == "amount" { 2_100 } else { 2_250 };
        let booked = vec![("module_fee".to_owned(), -fee), ("sale".to_owned(), amount)];
        assert_eq!(scene.told().await, (status, usize::from(confirmed), booked, vec![kind]), "{what}");
    }
}

#[tokio::test]
async fn foreign_money_books_nothing_and_waits_for_the_operator() {
    for by_notification in [true, false] {
        let scene = Scene::new().await;
        let session = scene.pay().await.unwrap();
        assert!(scene.sandbox.pay_amount(session.as_str(), 50, "USD"));
        if by_notification {
            let told = scene.notify(&scene.sandbox.take_notifications()[0]).await.unwrap();
            assert_eq!(told, InboxStatus::ForeignCurrency);
        }
        for _ in 0..3 {
            scene.world.clock.advance(Duration::from_secs(3_600));
            scene.errands().await;
        }
        assert_eq!(scene.told().await, (PaymentStatus::Unpaid, 0, Vec::new(), Vec::new()));
        let waiting = scene.world.storage.waiting(scene.world.clock.now(), 10).await.unwrap();
        assert_eq!(waiting.iter().map(|record| record.status).collect::<Vec<_>>(), [InboxStatus::ForeignCurrency]);
    }
}

#[tokio::test]
async fn a_notification_before_its_session_is_parked_and_applied_once_it_is_known() {
    let scene = Scene::new().await;
    scene.sandbox.plan(Some(Route::CreateSession), Trouble::LoseAnswer);
    assert!(scene.pay().await.is_err());
    let session = scene.sandbox.sessions()[0].id.clone();
    assert!(scene.sandbox.pay(&session));
    let notification = scene.sandbox.take_notifications().remove(0);
    assert_eq!(scene.notify(&notification).await.unwrap(), InboxStatus::Parked);
    assert_eq!(scene.told().await, (PaymentStatus::Unpaid, 0, Vec::new(), Vec::new()));
    let day = scene.world.clock.now().plus(Duration::from_secs(1));
    assert_eq!(scene.world.storage.waiting(day, 10).await.unwrap().len(), 1);
    // The next press finds the session, and with it the money.
    assert_eq!(code(scene.pay().await), Some(Code::InvalidTransition));
    assert_eq!(scene.told().await, (PaymentStatus::PaymentConfirmed, 1, booked(), Vec::new()));
    assert_eq!(scene.world.storage.waiting(day, 10).await.unwrap(), []);
    assert_eq!(scene.notify(&notification).await.unwrap(), InboxStatus::Applied);
}

#[tokio::test]
async fn a_payment_after_the_expiry_is_found() {
    let scene = Scene::new().await;
    let session = scene.pay().await.unwrap();
    assert!(scene.sandbox.expire(session.as_str()));
    let expired = scene.sandbox.take_notifications().remove(0);
    assert_eq!(scene.notify(&expired).await.unwrap(), InboxStatus::Applied);
    assert_eq!(scene.told().await.0, PaymentStatus::Unpaid);
    assert!(scene.sandbox.pay_amount(session.as_str(), 750_000, "IDR"));
    let completed = scene.sandbox.take_notifications().remove(0);
    assert_eq!(scene.notify(&completed).await.unwrap(), InboxStatus::Applied);
    let told = scene.told().await;
    assert_eq!(told, (PaymentStatus::PaymentConfirmed, 1, booked(), Vec::new()));
    // The late expiry of a session that was paid touches nothing.
    assert_eq!(scene.notify(&expired).await.unwrap(), InboxStatus::Applied);
    assert_eq!(scene.told().await, told);
}

#[tokio::test]
async fn off_and_downgraded_sessions_minted_before_still_settle() {
    let scene = Scene::new().await;
    let session = scene.pay().await.unwrap();
    scene.world.commands().set_tier(scene.seller.account_id, Tier::Free).await.unwrap();
    assert_eq!(code(scene.pay().await), Some(Code::PaymentModuleDisabled));
    assert!(scene.sandbox.pay(session.as_str()));
    assert_eq!(scene.notify(&scene.sandbox.take_notifications()[0]).await.unwrap(), InboxStatus::Applied);
    assert_eq!(scene.told().await, (PaymentStatus::PaymentConfirmed, 1, booked(), Vec::new()));
}

#[tokio::test]
async fn the_janitor_keeps_to_retry_after() {
    let scene = Scene::new().await;
    scene.pay().await.unwrap();
    scene.sandbox.switch(|switches| switches.outage = Some(Duration::from_secs(1_000)));
    scene.world.clock.advance(scene.world.policy.online.poll_first);
    scene.errands().await;
    let next = scene.world.storage.next_due(Lane::Errands).await.unwrap();
    assert_eq!(next, Some(scene.world.clock.now().plus(Duration::from_secs(1_000))));
}
