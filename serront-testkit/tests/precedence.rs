//! Where several refusals apply, the answer is the first in the documented order.
//!
//! A row is a command with the flaws that a request of it can have, in the order of their precedence. Each row tries
//! every flaw alone, and every pair together: the pair must have the answer of its first flaw. Impossible pairs are
//! named with the row.
//!
//! The host authenticates the caller before a command exists, so authentication has no row here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy.toml does not reach")]

use std::sync::Arc;

use serront_core::accounts::key::AccessToken;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::changes::effect::EffectId;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{AdjustmentInput, ModuleSwitches, OrderPatch, PayoutStep, Requester};
use serront_core::funds::payout::{BankAccountInput, PayoutInput};
use serront_core::orders::order::{Language, OrderInput, WorkStatus};
use serront_core::orders::receipt::samples;
use serront_core::ports::{Clock, Commits, Ids};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{AccountId, OrderId, ServiceId, SubscriptionId};
use serront_core::primitives::tier::Tier;
use serront_core::service::{Answer, Failure, Resolution};
use serront_core::shop::catalog::ServiceInput;
use serront_core::shop::storefront::StorefrontInput;
use serront_core::snapshots::{DeliveryFilter, PayoutKey};
use serront_core::webhooks::subscription::{SUBSCRIPTIONS_MAX, SubscriptionInput};
use serront_testkit::generators;
use serront_testkit::sandbox::Sandbox;
use serront_testkit::world::{self, Placed, Seller, World, host, service_input, storefront_input, subscription_input};

/// The flaws of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// The named object does not exist for this caller.
    Missing,
    /// The upload is larger than a receipt may be.
    TooLarge,
    /// The upload is no image.
    NoImage,
    /// A field is malformed.
    Malformed,
    /// Its idempotency key was used for another request.
    KeyUsed,
    /// The request was answered before, which is not a refusal but has a place in the order.
    Answered,
    /// The plan does not include it.
    Plan,
    /// The plan's limit, or another, is used up.
    Limit,
    /// This installation lacks a required part.
    NotConfigured,
    /// The payment is confirmed already.
    Confirmed,
    /// The address must not be posted to.
    Target,
    /// The name is taken.
    NameTaken,
    /// The payment module is off.
    ModuleOff,
    /// The order was declined.
    Closed,
    /// There is no quote yet.
    NoQuote,
    /// There is no bank account.
    NoBankAccount,
    /// The balance is insufficient.
    NoMoney,
    /// Its next attempt is queued already.
    Queued,
    /// The delivery's subscription is inactive.
    Disabled,
}

use Flaw::{
    Answered, Closed, Confirmed, Disabled, KeyUsed, Limit, Malformed, Missing, ModuleOff, NameTaken, NoBankAccount,
    NoImage, NoMoney, NoQuote, NotConfigured, Plan, Queued, Target, TooLarge,
};

impl Flaw {
    const fn told(self) -> &'static str {
        match self {
            Missing => "NOT_FOUND",
            TooLarge => "PAYLOAD_TOO_LARGE",
            NoImage => "UNSUPPORTED_MEDIA_TYPE",
            Malformed | Target => "VALIDATION_ERROR",
            KeyUsed => "IDEMPOTENCY_KEY_IN_USE",
            Answered => "replayed",
            Plan => "UPGRADE_REQUIRED",
            Limit => "LIMIT_REACHED",
            NotConfigured => "NOT_CONFIGURED",
            Confirmed => "INVALID_TRANSITION",
            NameTaken => "CONFLICT",
            ModuleOff => "PAYMENT_MODULE_DISABLED",
            Closed => "ORDER_CLOSED",
            NoQuote => "NO_QUOTE",
            NoBankAccount => "BANK_ACCOUNT_REQUIRED",
            NoMoney => "INSUFFICIENT_BALANCE",
            Queued => "ALREADY_QUEUED",
            Disabled => "ENDPOINT_DISABLED",
        }
    }
}

/// No request has both flaws: a key was used for this request or for another one.
const KEYS: (Flaw, Flaw) = (KeyUsed, Answered);

/// Tries every flaw alone and every pair, each in a new world.
async fn check(order: &[Flaw], apart: &[(Flaw, Flaw)], ask: impl AsyncFn(&[Flaw]) -> &'static str) {
    assert_eq!(ask(&[]).await, "done", "nothing is wrong");
    for (index, first) in order.iter().enumerate() {
        assert_eq!(ask(&[*first]).await, first.told(), "{first:?} alone");
        for second in order.iter().skip(index + 1).filter(|second| !apart.contains(&(*first, **second))) {
            assert_eq!(ask(&[*first, *second]).await, first.told(), "{first:?} goes before {second:?}");
        }
    }
}

fn told<T>(result: Result<Answer<T>, Failure>) -> &'static str {
    match result {
        Ok(Answer { replayed: true, .. }) => "replayed",
        Ok(_) => "done",
        Err(Failure::Rejected(rejection)) => rejection.code().as_str(),
        Err(other) => panic!("{other:?}"),
    }
}

/// A seller with an order, and the idempotency key that the request in question carries.
struct Scene {
    world: World,
    seller: Seller,
    placed: Placed,
    request: Option<IdempotentRequest>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let (seller, placed) = world.seller_with_order("studio").await;
        let request = IdempotentRequest::new(seller.account_id, "POST", "/somewhere", "key", b"body").ok();
        Self { world, seller, placed, request }
    }

    /// Uses the request's key for something else.
    async fn use_key(&self) {
        let other = self.request.map(|request| IdempotentRequest { fingerprint: Digest256::of(b"other"), ..request });
        let account_id = self.seller.account_id;
        let input = ServiceInput { sort_order: Some(7), ..ServiceInput::default() };
        let used = self.world.commands().update_service(account_id, self.seller.service_id, &input, other).await;
        assert_eq!(told(used), "done");
    }

    async fn downgrade(&self) {
        self.world.commands().set_tier(self.seller.account_id, Tier::Free).await.unwrap();
    }

    fn nobody(&self) -> AccountId {
        self.world.ids.sequence(self.world.clock.now()).account()
    }

    fn account(&self, flaws: &[Flaw]) -> AccountId {
        if flaws.contains(&Missing) { self.nobody() } else { self.seller.account_id }
    }
}

/// Another account's order is treated as missing.
async fn order_of(scene: &Scene, flaws: &[Flaw]) -> OrderId {
    if flaws.contains(&Missing) { scene.world.seller_with_order("other").await.1.id } else { scene.placed.id }
}

async fn confirm_payment(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let confirm =
        async |id, note, request| told(commands.confirm_payment(account_id, id, &host(), note, request).await);
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        confirm(scene.placed.id, None, scene.request).await;
    } else if flaws.contains(&Confirmed) {
        confirm(scene.placed.id, None, None).await;
    }
    let note = flaws.contains(&Malformed).then_some("\0");
    confirm(order_of(&scene, flaws).await, note, scene.request).await
}

async fn patch_order(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let patch = async |id, quote| {
        let patch = OrderPatch { status: None, quoted_price_idr: Some(quote) };
        told(commands.patch_order(account_id, id, patch, &host(), scene.request).await)
    };
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        patch(scene.placed.id, 5).await;
    }
    if flaws.contains(&Confirmed) {
        commands.confirm_payment(account_id, scene.placed.id, &host(), None, None).await.unwrap();
    }
    patch(order_of(&scene, flaws).await, if flaws.contains(&Malformed) { -1 } else { 5 }).await
}

async fn upload_receipt(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    if flaws.contains(&Confirmed) {
        let (account_id, id) = (scene.seller.account_id, scene.placed.id);
        scene.world.commands().confirm_payment(account_id, id, &host(), None, None).await.unwrap();
    }
    let unknown = AccessToken::from_bytes(&[7; 24]);
    let token = if flaws.contains(&Missing) { &unknown } else { &scene.placed.token };
    let large = generators::too_large_image();
    let bytes = if flaws.contains(&TooLarge) { &large } else { samples::JPEG };
    let declared = if flaws.contains(&NoImage) { "image/svg+xml" } else { "image/jpeg" };
    told(scene.world.receipt_uploads().upload(token, declared, bytes).await)
}

async fn place_order(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let good = world::order_input("Budi");
    let service_slug = if flaws.contains(&Missing) { "nothing".to_owned() } else { good.service_slug.clone() };
    let buyer_email = if flaws.contains(&Malformed) { "nobody".to_owned() } else { good.buyer_email.clone() };
    let (commands, slug) = (scene.world.commands(), &scene.seller.slug);
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        assert_eq!(told(commands.place_order(slug, &good, Language::Id, scene.request).await), "done");
    }
    let input = OrderInput { service_slug, buyer_email, ..good };
    told(commands.place_order(slug, &input, Language::Id, scene.request).await)
}

async fn put_storefront(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let input = StorefrontInput { hide_branding: Some(true), ..storefront_input("wanted") };
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        commands.put_storefront(account_id, &input, scene.request).await.unwrap();
        // The name acquired by this is released, so that another account can take it.
        commands.put_storefront(account_id, &storefront_input("studio"), None).await.unwrap();
    }
    if flaws.contains(&NameTaken) {
        scene.world.seller("wanted").await;
    }
    if flaws.contains(&Plan) {
        scene.downgrade().await;
    }
    let bio = flaws.contains(&Malformed).then(|| "\0".to_owned());
    told(commands.put_storefront(scene.account(flaws), &StorefrontInput { bio, ..input }, scene.request).await)
}

async fn create_service(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let input = service_input("wanted", 5);
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        commands.create_service(account_id, &input, scene.request).await.unwrap();
    } else if flaws.contains(&NameTaken) {
        commands.create_service(account_id, &input, None).await.unwrap();
    }
    if flaws.contains(&Limit) {
        for slug in ["second", "third"] {
            commands.create_service(account_id, &service_input(slug, 5), None).await.unwrap();
        }
        scene.downgrade().await;
    }
    let price = if flaws.contains(&Malformed) { -1 } else { 5 };
    told(commands.create_service(scene.account(flaws), &service_input("wanted", price), scene.request).await)
}

async fn update_service(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let input = |price| ServiceInput { slug: Some("wanted".to_owned()), ..service_input("wanted", price) };
    let update =
        async |id: ServiceId, price| told(commands.update_service(account_id, id, &input(price), scene.request).await);
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        update(scene.seller.service_id, 5).await;
        let back = ServiceInput { slug: Some("given-back".to_owned()), ..ServiceInput::default() };
        commands.update_service(account_id, scene.seller.service_id, &back, None).await.unwrap();
    }
    if flaws.contains(&NameTaken) {
        commands.create_service(account_id, &input(5), None).await.unwrap();
    }
    let id =
        if flaws.contains(&Missing) { scene.world.seller("other").await.service_id } else { scene.seller.service_id };
    update(id, if flaws.contains(&Malformed) { -1 } else { 5 }).await
}

async fn create_key(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    let name = if flaws.contains(&Malformed) { " " } else { "laptop" };
    told(scene.world.commands().create_key(scene.account(flaws), name, scene.request).await)
}

const URL: &str = "https://one.example/hook";

async fn create_subscription(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Limit) {
        for _ in 0..SUBSCRIPTIONS_MAX {
            scene.world.subscribe(&scene.seller, URL, &["*"]).await;
        }
    }
    if flaws.contains(&Target) {
        scene.world.sink.refuse(URL);
    }
    let input = subscription_input(URL, &[if flaws.contains(&Malformed) { "nothing" } else { "*" }]);
    told(scene.world.webhook_registration().create_subscription(scene.account(flaws), &input, scene.request).await)
}

async fn update_subscription(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (registration, account_id) = (scene.world.webhook_registration(), scene.seller.account_id);
    let mine = scene.world.subscribe(&scene.seller, "https://before.example", &["*"]).await;
    let update = async |id: SubscriptionId, filter| {
        let input = subscription_input(URL, &[filter]);
        told(registration.update_subscription(account_id, id, &input, scene.request).await)
    };
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        update(mine, "*").await;
    }
    if flaws.contains(&Target) {
        scene.world.sink.refuse(URL);
    }
    let id = if flaws.contains(&Missing) {
        let other = scene.world.seller("other").await;
        scene.world.subscribe(&other, "https://other.example", &["*"]).await
    } else {
        mine
    };
    update(id, if flaws.contains(&Malformed) { "nothing" } else { "*" }).await
}

/// The local form takes no address, and says so only of a subscription that is there.
async fn update_subscription_locally(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let mine = scene.world.subscribe(&scene.seller, URL, &["*"]).await;
    let id = if flaws.contains(&Missing) {
        let other = scene.world.seller("other").await;
        scene.world.subscribe(&other, URL, &["*"]).await
    } else {
        mine
    };
    let url = flaws.contains(&Malformed).then(|| URL.to_owned());
    let input = SubscriptionInput { url, active: Some(false), events: None };
    told(scene.world.commands().update_subscription(scene.seller.account_id, id, &input, scene.request).await)
}

async fn retry_delivery(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (commands, account_id) = (scene.world.commands(), scene.seller.account_id);
    let subscription = scene.world.subscribe(&scene.seller, URL, &["*"]).await;
    commands.confirm_payment(account_id, scene.placed.id, &host(), None, None).await.unwrap();
    let limit = serront_core::primitives::page::Limit::parse(None).unwrap();
    let (log, _) = commands.deliveries(account_id, &DeliveryFilter::default(), None, limit).await.unwrap();
    let delivery = log.first().unwrap().id;
    scene.world.dispatch_all().await;
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        commands.retry_delivery(account_id, delivery, scene.request).await.unwrap();
        scene.world.dispatch_all().await;
    }
    if flaws.contains(&Disabled) {
        let pause = SubscriptionInput { active: Some(false), ..SubscriptionInput::default() };
        commands.update_subscription(account_id, subscription, &pause, None).await.unwrap();
    }
    if flaws.contains(&Queued) {
        // As if a retry landed concurrently with the pause, which gives up only the deliveries that it sees.
        let now = scene.world.clock.now();
        let empty = ChangeSet::new(scene.world.ids.sequence(now).change_set(), account_id, now);
        let change = ChangeSet { writes: vec![Write::Requeue(EffectId::Delivery(delivery))], ..empty };
        scene.world.storage.commit(&change).await.unwrap();
    }
    let of = if flaws.contains(&Missing) { scene.world.seller("other").await.account_id } else { account_id };
    told(commands.retry_delivery(of, delivery, scene.request).await)
}

async fn switch_modules(flaws: &[Flaw]) -> &'static str {
    let mut scene = Scene::new().await;
    let on = ModuleSwitches { payment: Some(true), marketing: None };
    let account_id = scene.account(flaws);
    scene.world.plugipay = Some(Arc::new(Sandbox::new(scene.world.clock.clone())));
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    if flaws.contains(&Answered) {
        let off = ModuleSwitches { payment: Some(false), marketing: None };
        for (switches, request) in [(on, scene.request), (off, None)] {
            scene.world.online().switch_modules(account_id, switches, request).await.unwrap();
        }
    }
    if flaws.contains(&Plan) {
        scene.downgrade().await;
    }
    if flaws.contains(&NotConfigured) {
        scene.world.plugipay = None;
    }
    let switches = if flaws.contains(&Malformed) { ModuleSwitches::default() } else { on };
    told(scene.world.online().switch_modules(account_id, switches, scene.request).await)
}

async fn pay_online(flaws: &[Flaw]) -> &'static str {
    let mut scene = Scene::new().await;
    let account_id = scene.seller.account_id;
    scene.world.plugipay = Some(Arc::new(Sandbox::new(scene.world.clock.clone())));
    let on = ModuleSwitches { payment: Some(true), marketing: None };
    scene.world.online().switch_modules(account_id, on, None).await.unwrap();
    let patch = OrderPatch {
        status: flaws.contains(&Closed).then_some(WorkStatus::Declined),
        quoted_price_idr: Some(if flaws.contains(&NoQuote) { 0 } else { 5_000 }),
    };
    scene.world.commands().patch_order(account_id, scene.placed.id, patch, &host(), None).await.unwrap();
    if flaws.contains(&Confirmed) {
        scene.world.commands().confirm_payment(account_id, scene.placed.id, &host(), None, None).await.unwrap();
    }
    if flaws.contains(&ModuleOff) {
        let off = ModuleSwitches { payment: Some(false), marketing: None };
        scene.world.online().switch_modules(account_id, off, None).await.unwrap();
    }
    if flaws.contains(&NotConfigured) {
        scene.world.plugipay = None;
    }
    let token = if flaws.contains(&Missing) { AccessToken::from_bytes(&[7; 24]) } else { scene.placed.token.clone() };
    let paid = scene.world.online().pay(&token).await;
    told(paid.map(|value| Answer { value, replayed: false, change_set: None }))
}

async fn resolve_exception(flaws: &[Flaw]) -> &'static str {
    let mut scene = Scene::new().await;
    let account_id = scene.seller.account_id;
    let sandbox = Arc::new(Sandbox::new(scene.world.clock.clone()));
    scene.world.plugipay = Some(sandbox.clone());
    let on = ModuleSwitches { payment: Some(true), marketing: None };
    scene.world.online().switch_modules(account_id, on, None).await.unwrap();
    let session = scene.world.online().pay(&scene.placed.token).await.unwrap().checkout_session_id;
    scene.world.commands().confirm_payment(account_id, scene.placed.id, &host(), None, None).await.unwrap();
    assert!(sandbox.pay(session.as_str()));
    scene.world.clock.advance(scene.world.policy.online.poll_first);
    scene.world.janitor().step(scene.world.clock.now(), 8).await.unwrap();
    let limit = serront_core::primitives::page::Limit::parse(None).unwrap();
    let exceptions = scene.world.commands().exceptions(account_id, None, None, limit).await.unwrap().exceptions;
    let open = exceptions.first().unwrap().id;
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    let commands = scene.world.commands();
    let refunded = Resolution { note: Some("refunded"), adjustment_id: None };
    if flaws.contains(&Answered) {
        commands.resolve_exception(account_id, open, refunded, &host(), scene.request).await.unwrap();
    } else if flaws.contains(&Confirmed) {
        commands.resolve_exception(account_id, open, refunded, &host(), None).await.unwrap();
    }
    let id =
        if flaws.contains(&Missing) { scene.world.ids.sequence(scene.world.clock.now()).exception() } else { open };
    let malformed = Resolution { note: Some("\0"), adjustment_id: None };
    let resolution = if flaws.contains(&Malformed) { malformed } else { refunded };
    told(commands.resolve_exception(account_id, id, resolution, &host(), scene.request).await)
}

/// A request for 1,000 rupiah to the default account, where both are there.
async fn request_payout(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (account_id, commands) = (scene.seller.account_id, scene.world.commands());
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    let (actor, off) = (host(), ModuleSwitches { payment: Some(false), marketing: None });
    let by = (Requester::Seller, &actor);
    scene.world.switch_payment_on(account_id).await;
    let amount = if flaws.contains(&NoMoney) && !flaws.contains(&Answered) { 1 } else { 1_000 };
    let funds = AdjustmentInput { amount, reason: "a sale".into(), reference: "R1".into() };
    commands.adjust(account_id, &funds, &host()).await.unwrap();
    if !flaws.contains(&NoBankAccount) || flaws.contains(&Answered) {
        let account = BankAccountInput {
            bank_name: Some(Some("Bank Contoh".into())),
            bank_account_number: Some(Some("123".into())),
            bank_account_holder: Some(Some("Renata".into())),
            ..BankAccountInput::default()
        };
        commands.patch_bank_account(account_id, &account, None).await.unwrap();
    }
    let input = PayoutInput { amount: 1_000, ..PayoutInput::default() };
    if flaws.contains(&Answered) {
        commands.request_payout(account_id, &input, by, scene.request).await.unwrap();
        if flaws.contains(&NoBankAccount) {
            let gone = BankAccountInput { bank_name: Some(None), ..BankAccountInput::default() };
            commands.patch_bank_account(account_id, &gone, None).await.unwrap();
        }
    }
    if flaws.contains(&ModuleOff) {
        scene.world.online().switch_modules(account_id, off, None).await.unwrap();
    }
    let input = if flaws.contains(&Malformed) { PayoutInput { amount: 0, ..input } } else { input };
    told(commands.request_payout(scene.account(flaws), &input, by, scene.request).await)
}

async fn fail_payout(flaws: &[Flaw]) -> &'static str {
    let scene = Scene::new().await;
    let (account_id, commands) = (scene.seller.account_id, scene.world.commands());
    scene.world.switch_payment_on(account_id).await;
    if flaws.contains(&KeyUsed) {
        scene.use_key().await;
    }
    let funds = AdjustmentInput { amount: 1_000, reason: "a sale".into(), reference: "R1".into() };
    commands.adjust(account_id, &funds, &host()).await.unwrap();
    let input = PayoutInput {
        amount: 1_000,
        bank_name: Some("Bank Contoh".into()),
        bank_account_number: Some("123".into()),
        bank_account_holder: Some("Renata".into()),
        ..PayoutInput::default()
    };
    let payout =
        commands.request_payout(account_id, &input, (Requester::Operator, &host()), None).await.unwrap().value.id;
    let failed =
        |failure_reason: Option<&str>| PayoutStep::MarkFailed { failure_reason: failure_reason.map(str::to_owned) };
    let mine = PayoutKey::Id(account_id, payout);
    if flaws.contains(&Answered) {
        commands.move_payout(mine, &failed(Some("closed")), &host(), scene.request).await.unwrap();
    } else if flaws.contains(&Confirmed) {
        commands.move_payout(mine, &PayoutStep::Cancel, &host(), None).await.unwrap();
    }
    let key = if flaws.contains(&Missing) { PayoutKey::Id(scene.nobody(), payout) } else { PayoutKey::Any(payout) };
    let step = failed((!flaws.contains(&Malformed)).then_some("closed"));
    told(commands.move_payout(key, &step, &host(), scene.request).await)
}

#[tokio::test]
async fn of_two_refusals_of_money_the_first_is_told() {
    check(&[Missing, ModuleOff, NotConfigured, Confirmed, Closed, NoQuote], &[], pay_online).await;
    // A resolved exception takes the place of a confirmed payment.
    let apart = [KEYS, (Answered, Confirmed)];
    check(&[Missing, Malformed, KeyUsed, Answered, Confirmed], &apart, resolve_exception).await;
    // A missing account has no module, no used key and no balance.
    let apart = [
        KEYS,
        (ModuleOff, Missing),
        (Missing, KeyUsed),
        (Missing, Answered),
        (Missing, NoBankAccount),
        (Missing, NoMoney),
    ];
    let order = [ModuleOff, Missing, Malformed, KeyUsed, Answered, NoBankAccount, NoMoney];
    check(&order, &apart, request_payout).await;
    // An ended payout takes the place of a confirmed payment.
    let apart = [KEYS, (Answered, Confirmed), (Missing, KeyUsed), (Missing, Answered)];
    check(&[Missing, Malformed, KeyUsed, Answered, Confirmed], &apart, fail_payout).await;
}

#[tokio::test]
async fn of_two_refusals_of_an_order_the_first_is_told() {
    let money = [Missing, Malformed, KeyUsed, Answered, Confirmed];
    check(&money, &[KEYS], confirm_payment).await;
    check(&money, &[KEYS], patch_order).await;
    check(&[Missing, TooLarge, NoImage, Confirmed], &[], upload_receipt).await;
    // The service is part of the body: a repeated request gets the first answer, regardless of the service's present
    // state (#16).
    check(&[Answered, Missing, Malformed, KeyUsed], &[(Answered, KeyUsed)], place_order).await;
}

/// A missing account has no used key, no plan and no limit.
const NO_ACCOUNT: [(Flaw, Flaw); 7] = [
    (Missing, KeyUsed),
    (Missing, Answered),
    (Missing, Plan),
    (Missing, Limit),
    (Missing, NotConfigured),
    (Missing, NameTaken),
    KEYS,
];

#[tokio::test]
async fn of_two_refusals_of_a_shop_the_first_is_told() {
    check(&[Missing, Malformed, KeyUsed, Answered, Plan, NameTaken], &NO_ACCOUNT, put_storefront).await;
    check(&[Missing, Malformed, KeyUsed, Answered, Limit, NameTaken], &NO_ACCOUNT, create_service).await;
    check(&[Missing, Malformed, KeyUsed, Answered, NameTaken], &[KEYS], update_service).await;
}

#[tokio::test]
async fn of_two_refusals_of_settings_the_first_is_told() {
    check(&[Missing, Malformed, KeyUsed], &NO_ACCOUNT, create_key).await;
    // A name's addresses are not part of the input: they are resolved last, and never for a repeated request.
    check(&[Missing, Malformed, KeyUsed, Limit, Target], &NO_ACCOUNT, create_subscription).await;
    check(&[Missing, Malformed, KeyUsed, Answered, Target], &[KEYS], update_subscription).await;
    check(&[Missing, Malformed], &[], update_subscription_locally).await;
    check(&[Missing, KeyUsed, Answered, Queued, Disabled], &[KEYS], retry_delivery).await;
    // Empty switches need nothing that a plan could lack.
    let apart = [&NO_ACCOUNT[..], &[(Malformed, Plan), (Malformed, NotConfigured)]].concat();
    check(&[Missing, Malformed, KeyUsed, Answered, Plan, NotConfigured], &apart, switch_modules).await;
}
