//! A host: it answers requests with the real service, takes Plugipay's notifications, and runs the real dispatcher, janitor,
//! sweeper and folder. It can die between any two polls, and start again with nothing but what is in the storage.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serront_core::accounts::account::Modules;
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, Caller, WebhookSecret};
use serront_core::accounts::sealed::SecretHolder;
use serront_core::changes::effect::Lane;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{
    AdjustmentInput, Context, Decision, ModuleSwitches, OrderPatch, PayoutStep, Requester, switch_modules,
};
use serront_core::funds::books::Verification;
use serront_core::funds::payout::{BankAccountInput, PayoutInput};
use serront_core::online::inbox::InboxStatus;
use serront_core::orders::order::{Language, OrderInput, WorkStatus};
use serront_core::ports::{Clock, Ids, Mailer, Plugipay, PortErrorKind, Receipts, Sink, WorkStorage};
use serront_core::primitives::ids::{AccountId, KeyId};
use serront_core::primitives::page::Limit;
use serront_core::service::verify;
use serront_core::service::{
    Answer, Commands, Environment, Failure, OnlinePayments, Provider, ReceiptUploads, Resealed, Resolution,
    WebhookRegistration,
};
use serront_core::shop::catalog::ServiceInput;
use serront_core::snapshots::PayoutKey;
use serront_core::snapshots::{DeliveryFilter, EntryFilter, OrderFilter};
use serront_core::views::AdjustmentView;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_core::work::dispatch::Dispatcher;
use serront_core::work::fold::Folder;
use serront_core::work::janitor::Janitor;
use serront_core::work::sweep::Sweeper;

use super::bugs::Bug;
use super::bugs::host::{Bare, HostBugs};
use super::events::{Call, Event, Notified, Reply, Step, Verb};
use super::executor::{Answerer, Handle, Owner, Poke};
use super::plugipay::Letter;
use super::world::{SimClock, World};
use crate::memory::{CountingIds, CountingSecrets};
use crate::world::{SERVICE_SLUG, order_input, service_input, storefront_input};

/// How many passes over the secrets at rest are made until one finds nothing to do.
const RESEALS_MAX: usize = 8;
/// How long a loop sleeps at least while something is due.
const ROUND: Duration = Duration::from_millis(500);

/// The ports of one host in one of its lives.
pub(crate) struct Host {
    pub(crate) world: Arc<World>,
    pub(crate) owner: Owner,
    storage: Arc<dyn WorkStorage>,
    mailer: Arc<dyn Mailer>,
    sink: Arc<dyn Sink>,
    receipts: Arc<dyn Receipts>,
    plugipay: Arc<dyn Plugipay>,
    clock: Arc<SimClock>,
    ids: CountingIds,
    secrets: CountingSecrets,
    bugs: Arc<HostBugs>,
    /// Something may be due in this lane.
    pokes: BTreeMap<Lane, Poke>,
}

/// What a host is connected to.
pub(crate) struct Ports {
    pub(crate) storage: Arc<dyn WorkStorage>,
    pub(crate) mailer: Arc<dyn Mailer>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) receipts: Arc<dyn Receipts>,
    pub(crate) plugipay: Arc<dyn Plugipay>,
    pub(crate) clock: Arc<SimClock>,
}

type Shown = Result<(Value, bool), Failure>;

/// Tells the judge that the host is through with a request, also when it dies over it.
struct Through {
    world: Arc<World>,
    id: u64,
}

impl Drop for Through {
    fn drop(&mut self) {
        self.world.see(&Event::Ended { id: self.id });
    }
}

impl Host {
    pub(crate) fn new(world: Arc<World>, owner: Owner, ports: Ports, bugs: Arc<HostBugs>) -> Arc<Self> {
        let Ports { storage, mailer, sink, receipts, plugipay, clock } = ports;
        // Every life draws ids and secrets of its own.
        let start = u32::try_from(owner.host).unwrap_or(0).saturating_mul(10_000).saturating_add(owner.life + 1);
        let (ids, secrets) = (CountingIds::starting_at(start), CountingSecrets::starting_at(start.into()));
        let pokes = Lane::ALL.map(|lane| (lane, Poke::default())).into();
        Arc::new(Self { world, owner, storage, mailer, sink, receipts, plugipay, clock, ids, secrets, bugs, pokes })
    }

    fn environment(&self) -> Environment<'_> {
        Environment {
            clock: &*self.clock,
            ids: &self.ids,
            secrets: &self.secrets,
            sealer: if self.bugs.is(Bug::SecretsInPlain) { &Bare } else { &self.world.sealer },
            policy: &self.world.policy,
        }
    }

    fn commands(&self) -> Commands<'_, dyn WorkStorage> {
        Commands::new(&*self.storage, self.environment())
    }

    fn receipt_uploads(&self) -> ReceiptUploads<'_, dyn WorkStorage, dyn Receipts> {
        ReceiptUploads::new(&*self.storage, &*self.receipts, self.environment())
    }

    fn online(&self) -> OnlinePayments<'_, dyn WorkStorage> {
        let provider = Provider { plugipay: Some(&*self.plugipay), public_url: crate::world::PUBLIC_URL };
        OnlinePayments::new(&*self.storage, provider, self.environment())
    }

    fn handle(&self) -> &Handle {
        &self.world.handle
    }

    /// Starts the loops of the periodic halves.
    pub(crate) fn start(self: &Arc<Self>) {
        let (sweeping, folding) = (Arc::clone(self), Arc::clone(self));
        for lane in Lane::ALL {
            let working = Arc::clone(self);
            self.handle().spawn(Some(self.owner), async move { working.work(lane).await });
        }
        self.handle().spawn(Some(self.owner), async move { sweeping.sweep().await });
        self.handle().spawn(Some(self.owner), async move { folding.fold().await });
    }

    fn wake(&self) {
        self.pokes.values().for_each(Poke::raise);
    }

    fn dispatcher(&self) -> Dispatcher<'_, dyn WorkStorage, dyn Mailer, dyn Sink, dyn Receipts> {
        Dispatcher::new(&*self.storage, &*self.mailer, &*self.sink, &*self.receipts, self.environment())
    }

    /// Works through a lane, as the reference host does: an effect in a task of its own, while places are free.
    async fn work(self: &Arc<Self>, lane: Lane) {
        let Some(poke) = self.pokes.get(&lane) else { return };
        let running = Arc::new(AtomicU32::new(0));
        loop {
            let free = self.world.policy.outbox.places.of(lane).saturating_sub(running.load(Ordering::Relaxed));
            if free == 0 {
                poke.raised().await;
                continue;
            }
            let taken = match lane {
                Lane::Mails | Lane::Deliveries | Lane::Removals => self.dispatcher().take(lane, free).await,
                Lane::Errands => Janitor::new(self.online()).take(free).await,
            };
            let Ok(taken) = taken else {
                self.handle().sleep_ms(2_000).await;
                continue;
            };
            for due in taken {
                let (host, running) = (Arc::clone(self), Arc::clone(&running));
                running.fetch_add(1, Ordering::Relaxed);
                self.handle().spawn(Some(self.owner), async move {
                    let _ = match lane {
                        Lane::Mails | Lane::Deliveries | Lane::Removals => host.dispatcher().perform(&due).await,
                        Lane::Errands => Janitor::new(host.online()).perform(&due).await,
                    };
                    running.fetch_sub(1, Ordering::Relaxed);
                    // What it settled has mails and deliveries.
                    host.wake();
                });
            }
            let Ok(next) = self.storage.next_due(lane).await else {
                self.handle().sleep_ms(2_000).await;
                continue;
            };
            // What is due and was not given out waits for a place of its subscription's, or for the storage's clock.
            let now = self.clock.now();
            let idle = self.world.policy.outbox.idle_pause;
            let pause = next.map_or(idle, |due| due.since(now).max(ROUND).min(idle));
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let _ = self.handle().within(pause, poke.raised()).await;
        }
    }

    async fn sweep(&self) {
        let mut sweeper = Sweeper::new(&*self.storage, &*self.receipts, self.environment());
        loop {
            let now = self.clock.now();
            let pause = match sweeper.step(now).await {
                Ok(swept) => swept.next.since(now),
                Err(_) => std::time::Duration::from_secs(60),
            };
            self.handle().sleep(pause.max(std::time::Duration::from_millis(1))).await;
        }
    }

    async fn fold(&self) {
        let mut folder = Folder::new(&*self.storage, self.environment());
        loop {
            let now = self.clock.now();
            let pause = match folder.step(now).await {
                Ok(folded) => folded.next.since(now),
                Err(_) => std::time::Duration::from_secs(60),
            };
            self.handle().sleep(pause.max(std::time::Duration::from_millis(1))).await;
        }
    }

    /// Answers one request, in a task that dies with the host.
    pub(crate) fn serve(self: &Arc<Self>, id: u64, call: Call, answerer: Answerer<Reply>) {
        let host = Arc::clone(self);
        let through = Through { world: Arc::clone(&self.world), id };
        self.handle().spawn(Some(self.owner), async move {
            let _through = through;
            let reply = host.answer(&call).await;
            host.wake();
            answerer.answer(reply);
        });
    }

    /// Takes one of Plugipay's notifications, in a task that dies with the host. Answers whether it may be forgotten.
    pub(crate) fn take_notification(self: &Arc<Self>, letter: Letter, answerer: Answerer<bool>) {
        let host = Arc::clone(self);
        self.handle().spawn(Some(self.owner), async move {
            let began = host.clock.now();
            let answer = host.receive(&letter).await;
            host.world.see(&Event::Said(&format!("{answer:?}")));
            let refused;
            let answer = match answer {
                Ok(status) => Ok(status),
                Err(Failure::Rejected(rejection)) => {
                    refused = rejection.code().as_str().to_owned();
                    Err(refused.as_str())
                }
                Err(_) => Err("INTERNAL_ERROR"),
            };
            let taken = answer.is_ok();
            host.world.line(&format!("notification {}: {answer:?}", if letter.genuine { "genuine" } else { "forged" }));
            host.world.see(&Event::Notified(&Notified {
                body: &letter.body,
                genuine: letter.genuine,
                signed_at: letter.signed_at(),
                during: (began, host.clock.now()),
                answer,
            }));
            host.wake();
            answerer.answer(taken);
        });
    }

    async fn receive(&self, letter: &Letter) -> Result<InboxStatus, Failure> {
        let mut policy = self.world.policy.clone();
        let mut signature = letter.signature.clone();
        let merchant = serront_core::online::plugipay::named_merchant(letter.body.as_bytes());
        if let Some(merchant) = merchant
            && (self.bugs.is(Bug::SignatureNotChecked) || self.bugs.is(Bug::DisabledStopsSettlements))
            && let Some(known) = self.storage.merchant(&merchant).await?
        {
            if self.bugs.is(Bug::DisabledStopsSettlements)
                && self.commands().payment_module(known.account_id).await.is_err()
            {
                return Ok(InboxStatus::Noted);
            }
            if self.bugs.is(Bug::SignatureNotChecked)
                && let Some(endpoint) = known.state.endpoint
                && let Ok(secret) = endpoint.secret.open(&self.world.sealer, SecretHolder::Endpoint(known.account_id))
                && let Some(secret) = WebhookSecret::parse(&secret)
            {
                signature = Some(serront_core::webhooks::signature::sign(&secret, self.clock.now(), &letter.body));
            }
        }
        if self.bugs.is(Bug::StaleAccepted) {
            policy.online.notification_tolerance = std::time::Duration::from_secs(86_400);
        }
        let environment = Environment { policy: &policy, ..self.environment() };
        let commands = Commands::new(&*self.storage, environment);
        commands.receive_notification(signature.as_deref(), letter.body.as_bytes()).await
    }

    async fn answer(&self, call: &Call) -> Reply {
        if let (true, Some(bearer)) = (call.is_operators(), &call.bearer) {
            let shown = match self.commands().authenticate_operator(bearer).await {
                Ok(None) => return Reply::Refused("UNAUTHORIZED".to_owned()),
                Ok(Some(key_id)) => self.carry_out_operators(call, key_id).await,
                Err(failure) => Err(failure),
            };
            return self.reply(shown);
        }
        if matches!(call.verb, Verb::MovePayout { .. }) && !self.bugs.is(Bug::AnybodyMovesPayouts) {
            return self.refuse_sellers_key(call).await;
        }
        let caller = match &call.bearer {
            None => None,
            Some(bearer) => match self.commands().authenticate(bearer).await {
                Ok(None) => return Reply::Refused("UNAUTHORIZED".to_owned()),
                Ok(caller) => caller,
                Err(failure) => return self.failed(&failure),
            },
        };
        if let (Verb::Receipt { order }, Some(caller)) = (&call.verb, caller) {
            let Ok(order) = order.parse() else { return Reply::Refused("NOT_FOUND".to_owned()) };
            return match self.receipt_uploads().receipt(caller.account_id, order).await {
                Ok(image) => {
                    self.world.see(&Event::Said(&format!("{image:?}")));
                    Reply::Bytes(image.bytes)
                }
                Err(failure) => self.failed(&failure),
            };
        }
        if let Some(reply) = self.bugs.remembered_refusal(call) {
            return reply;
        }
        let shown = self.carry_out(call, caller).await;
        let reply = self.reply(shown);
        self.bugs.remember_refusal(call, &reply);
        if let (true, Reply::Refused(code), Some(bearer)) = (self.bugs.is(Bug::SecretLogged), &reply, &call.bearer) {
            self.world.see(&Event::Said(&format!("{code} for {bearer}")));
        }
        reply
    }

    /// An operator's route, asked for without an operator's key.
    async fn refuse_sellers_key(&self, call: &Call) -> Reply {
        match self.commands().authenticate(call.bearer.as_deref().unwrap_or_default()).await {
            Ok(None) => Reply::Refused("UNAUTHORIZED".to_owned()),
            Ok(Some(_)) => Reply::Refused("OPERATOR_ONLY".to_owned()),
            Err(failure) => self.failed(&failure),
        }
    }

    fn reply(&self, shown: Shown) -> Reply {
        match shown {
            Ok((data, replayed)) => Reply::Done { data, replayed },
            Err(failure) => self.failed(&failure),
        }
    }

    fn failed(&self, failure: &Failure) -> Reply {
        self.world.see(&Event::Said(&format!("{failure} {failure:?}")));
        match failure {
            Failure::Rejected(rejection) => Reply::Refused(rejection.code().as_str().to_owned()),
            Failure::Port { error, .. } if error.kind() == PortErrorKind::Transient => Reply::NotDone,
            Failure::Busy | Failure::Conflict => Reply::NotDone,
            Failure::Provider { .. } => Reply::Refused("PLUGIPAY_ERROR".to_owned()),
            Failure::Port { .. } => Reply::Unknown,
            // The list of failures may grow; one that is not known here is an answer that nobody understands.
            _ => Reply::Unknown,
        }
    }

    fn shown<T: Serialize + Debug>(&self, answer: &Answer<T>) -> (Value, bool) {
        self.world.see(&Event::Said(&format!("{answer:?}")));
        (serde_json::to_value(&answer.value).unwrap_or_default(), answer.replayed)
    }

    fn seen<T: Serialize + Debug>(&self, value: &T) -> (Value, bool) {
        self.world.see(&Event::Said(&format!("{value:?}")));
        (serde_json::to_value(value).unwrap_or_default(), false)
    }

    async fn carry_out(&self, call: &Call, caller: Option<Caller>) -> Shown {
        match caller {
            None => self.carry_out_open(call).await,
            Some(caller) => self.carry_out_keyed(call, caller).await,
        }
    }

    /// What buyers and the admin ask: there is no API key.
    async fn carry_out_open(&self, call: &Call) -> Shown {
        let commands = self.commands();
        match &call.verb {
            Verb::Place { slug, buyer, email } => {
                let input = OrderInput { buyer_email: email.clone(), ..order_input(buyer) };
                let answer = commands.place_order(slug, &input, Language::Id, None).await?;
                let id = answer.value.order_id.map(|id| id.to_string());
                let (mut data, replayed) = self.shown(&answer);
                if let (Value::Object(fields), Some(id)) = (&mut data, id) {
                    fields.insert("orderId".to_owned(), Value::String(id));
                }
                Ok((data, replayed))
            }
            Verb::Claim { token } => Ok(self.shown(&commands.claim_payment(&parse_token(token)?).await?)),
            Verb::Upload { token, bytes } => {
                let answer = ReceiptUploads::new(&*self.storage, &*self.receipts, self.environment())
                    .upload(&parse_token(token)?, "image/jpeg", bytes)
                    .await?;
                Ok(self.shown(&answer))
            }
            Verb::View { token } => {
                let mut view = commands.buyer_order(&parse_token(token)?).await?;
                if self.bugs.is(Bug::BankDetailsAfterConfirmation) && view.payment.is_none() {
                    view.payment = self.bugs.remembered_instructions(token);
                } else {
                    self.bugs.remember_instructions(token, view.payment.as_ref());
                }
                Ok(self.seen(&view))
            }
            Verb::Pay { token } => Ok(self.seen(&self.online().pay(&parse_token(token)?).await?)),
            Verb::Rotate { account } => {
                self.online().rotate_endpoint(parse(account)?).await?;
                Ok((Value::Null, false))
            }
            Verb::RetryParked => {
                for parked in self.storage.waiting(self.clock.now(), 100).await? {
                    commands.retry_notification(parked.account_id, &parked.event_id).await?;
                }
                Ok((Value::Null, false))
            }
            Verb::Reseal => Ok((told_of(commands.reseal().await?), false)),
            Verb::ForgetKeys => self.forget_keys().await,
            Verb::Visit { slug } => Ok(self.shown_shop(commands.shop(slug).await?)),
            Verb::RevokeKey { account, id } => {
                commands.delete_key(parse(account)?, parse(id)?).await?;
                Ok((Value::Null, false))
            }
            Verb::IssueKey { account } => {
                let answer = commands.create_key(parse(account)?, "issued", None).await?;
                self.world.see(&Event::Secret(answer.value.key.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::SetTier { account, tier } => {
                let tier = tier.parse().map_err(|_| not_found())?;
                let answer = commands.set_tier(parse(account)?, tier).await?;
                self.world.see(&Event::Said(&format!("{answer:?}")));
                Ok((Value::String(answer.value.state.tier.as_str().to_owned()), answer.replayed))
            }
            other => Err(unexpected(other)),
        }
    }

    /// What operators ask. None of it looks at the module.
    async fn carry_out_operators(&self, call: &Call, key_id: KeyId) -> Shown {
        let commands = self.commands();
        let actor = Actor::Operator { id: key_id };
        match &call.verb {
            Verb::MovePayout { payout, .. } => {
                let key = PayoutKey::Any(parse(payout)?);
                if self.bugs.is(Bug::OperatorsGated) {
                    commands.payment_module(commands.payout(key).await?.account_id).await?;
                }
                self.move_payout(call, key, &actor, AccountId::OPERATORS).await
            }
            Verb::RequestPayout { account, .. } => {
                let request = self.request(call, AccountId::OPERATORS)?;
                let input = payout_input(call.seller, &call.verb);
                Ok(self.shown(
                    &commands.request_payout(parse(account)?, &input, (Requester::Operator, &actor), request).await?,
                ))
            }
            Verb::Adjust { account, amount, reference } => {
                let reason = "as agreed".to_owned();
                let input = AdjustmentInput { amount: *amount, reason, reference: reference.clone() };
                let Answer { value, replayed, .. } = commands.adjust(parse(account)?, &input, &actor).await?;
                Ok((self.seen(&AdjustmentView::from(&value)).0, replayed))
            }
            Verb::RetryGivenUp => {
                for given_up in self.storage.given_up(None, Limit::parse(Some("100"))?).await?.rows {
                    // Of deliveries, some are no longer wanted; of several operators, one is first.
                    if let Err(failure) = commands.retry_effect(given_up.account_id, given_up.id).await {
                        self.failed(&failure);
                    }
                }
                Ok((Value::Null, false))
            }
            Verb::VerifyBooks => Ok(self.seen(&verify(&*self.storage, None, &Verification::default()).await?)),
            other => Err(unexpected(other)),
        }
    }

    async fn move_payout(&self, call: &Call, key: PayoutKey, actor: &Actor, account: AccountId) -> Shown {
        let Verb::MovePayout { step, text, .. } = &call.verb else { return Err(unexpected(&call.verb)) };
        let (request, text) = (self.request(call, account)?, text.clone());
        let step = match step {
            Step::InTransit => PayoutStep::MarkInTransit { reference: text },
            Step::Paid => PayoutStep::MarkPaid { reference: text },
            Step::Failed => PayoutStep::MarkFailed { failure_reason: text },
        };
        Ok(self.shown(&self.commands().move_payout(key, &step, actor, request).await?))
    }

    /// As the reference host's `secrets forget`.
    async fn forget_keys(&self) -> Shown {
        for _ in 0..RESEALS_MAX {
            let pass = if self.bugs.is(Bug::KeysForgottenEarly) {
                Resealed::default()
            } else {
                self.commands().reseal().await?
            };
            if pass.unopened > 0 {
                return Ok((told_of(pass), false));
            }
            if pass.resealed == 0 {
                self.world.line("old keys for secrets at rest are forgotten");
                self.world.sealer.forget();
                return Ok((told_of(pass), false));
            }
        }
        Err(Failure::Busy)
    }

    fn shown_shop(&self, shop: serront_core::views::ShopView) -> (Value, bool) {
        let mut shop = shop;
        if self.bugs.is(Bug::BankDetailsOnStorefront) {
            // What a careless page does: it prints everything that the seller typed.
            let typed = storefront_input(shop.storefront.slug.as_str()).manual_instructions;
            shop.storefront.bio = typed.or(shop.storefront.bio);
        }
        self.seen(&shop)
    }

    async fn carry_out_keyed(&self, call: &Call, caller: Caller) -> Shown {
        let commands = self.commands();
        let account = caller.account_id;
        let actor = Actor::Key { id: caller.key_id };
        let request = self.request(call, account)?;
        let limit = Limit::parse(Some("100"))?;
        match &call.verb {
            Verb::Confirm { order, note } => {
                let answer = commands.confirm_payment(account, parse(order)?, &actor, note.as_deref(), request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Patch { order, status, quote } => {
                let patch = OrderPatch { status: status.and_then(WorkStatus::parse), quoted_price_idr: *quote };
                let answer = commands.patch_order(account, parse(order)?, patch, &actor, request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Read { order } => Ok(self.seen(&commands.order(account, parse(order)?).await?)),
            Verb::RotateToken { order } => {
                Ok(self.shown(&commands.rotate_token(account, parse(order)?, &actor, request).await?))
            }
            Verb::List => {
                let page = commands.orders(account, &OrderFilter::default(), None, limit).await?;
                Ok((serde_json::json!({"orders": self.seen(&page.orders).0, "counts": page.counts}), false))
            }
            Verb::PutStorefront { slug, variant, hide_branding, published } => {
                let input = storefront(call.seller, slug, *variant, *hide_branding, *published);
                Ok(self.shown(&commands.put_storefront(account, &input, request).await?))
            }
            Verb::GetStorefront => Ok(self.seen(&commands.storefront(account).await?)),
            Verb::Reprice { service, price } => {
                let input = ServiceInput { price_idr: Some(Some(*price)), ..ServiceInput::default() };
                Ok(self.shown(&commands.update_service(account, parse(service)?, &input, request).await?))
            }
            Verb::AddService { slug } => {
                Ok(self.shown(&commands.create_service(account, &service_input(slug, 5_000), request).await?))
            }
            Verb::Services => Ok(self.seen(&commands.services(account).await?)),
            Verb::DropService { service } => {
                commands.delete_service(account, parse(service)?).await?;
                Ok((Value::Null, false))
            }
            Verb::Subscribe { url, events } => {
                let events = Some(events.iter().map(|event| (*event).to_owned()).collect());
                let input = SubscriptionInput { url: Some(url.clone()), events, active: None };
                let answer = WebhookRegistration::new(&*self.storage, &*self.sink, self.environment())
                    .create_subscription(account, &input, request)
                    .await?;
                self.world.see(&Event::Secret(answer.value.secret.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::Pause { subscription, active } => {
                let input = SubscriptionInput { active: Some(*active), ..SubscriptionInput::default() };
                let answer = commands.update_subscription(account, parse(subscription)?, &input, request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Unsubscribe { subscription } => {
                commands.delete_subscription(account, parse(subscription)?).await?;
                Ok((Value::Null, false))
            }
            Verb::RotateSecret { subscription } => {
                let answer = commands.rotate_secret(account, parse(subscription)?, request).await?;
                self.world.see(&Event::Secret(answer.value.secret.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::Redeliver { delivery } => {
                Ok(self.shown(&commands.retry_delivery(account, parse(delivery)?, request).await?))
            }
            Verb::Subscriptions => Ok(self.seen(&commands.subscriptions(account).await?)),
            Verb::Deliveries => {
                let (log, _) = commands.deliveries(account, &DeliveryFilter::default(), None, limit).await?;
                Ok(self.seen(&log))
            }
            Verb::AddKey { name } => {
                let answer = commands.create_key(account, name, request).await?;
                self.world.see(&Event::Secret(answer.value.key.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::SwitchPayment { on } => {
                let switches = ModuleSwitches { payment: Some(*on), marketing: None };
                Ok(self.shown(&self.online().switch_modules(account, switches, request).await?))
            }
            Verb::SwitchMarketing { on } => {
                let switches = ModuleSwitches { payment: None, marketing: Some(*on) };
                if self.bugs.is(Bug::ModuleAlwaysAvailable) {
                    return self.switch_whatever_is_available(account, switches).await;
                }
                Ok(self.shown(&self.online().switch_modules(account, switches, request).await?))
            }
            Verb::RequestPayout { .. } => {
                commands.payment_module(account).await?;
                let input = payout_input(call.seller, &call.verb);
                Ok(self.shown(&commands.request_payout(account, &input, (Requester::Seller, &actor), request).await?))
            }
            Verb::CancelPayout { payout } => {
                commands.payment_module(account).await?;
                let key = PayoutKey::Id(account, parse(payout)?);
                Ok(self.shown(&commands.move_payout(key, &PayoutStep::Cancel, &actor, request).await?))
            }
            Verb::MovePayout { payout, .. } => {
                self.move_payout(call, PayoutKey::Any(parse(payout)?), &actor, account).await
            }
            Verb::PatchBankAccount { variant, whole } => {
                commands.payment_module(account).await?;
                let input = bank_account_input(call.seller, *variant, *whole);
                Ok(self.shown(&commands.patch_bank_account(account, &input, request).await?))
            }
            Verb::BankAccount => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.bank_account(account).await?))
            }
            Verb::Payouts => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.payouts(account, None, None, limit).await?.payouts))
            }
            Verb::Payout { payout } => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.payout(PayoutKey::Id(account, parse(payout)?)).await?))
            }
            Verb::PayoutBalance => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.payout_balance(account).await?))
            }
            Verb::Balance => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.balance(account).await?))
            }
            Verb::Entries => {
                commands.payment_module(account).await?;
                Ok(self.seen(&commands.entries(account, &EntryFilter::default(), None, limit).await?.entries))
            }
            Verb::Exceptions => Ok(self.seen(&commands.exceptions(account, None, None, limit).await?.exceptions)),
            Verb::Resolve { exception, note, adjustment } => {
                let adjustment_id = adjustment.as_deref().map(parse).transpose()?;
                let resolution = Resolution { note: Some(note), adjustment_id };
                let answer =
                    commands.resolve_exception(account, parse(exception)?, resolution, &actor, request).await?;
                Ok(self.shown(&answer))
            }
            other => Err(unexpected(other)),
        }
    }

    /// A planted bug: switches as if everything were set up.
    async fn switch_whatever_is_available(&self, account: AccountId, switches: ModuleSwitches) -> Shown {
        let snapshot = self.storage.account(account, None).await?.ok_or_else(not_found)?;
        let now = self.clock.now();
        let ids = self.ids.sequence(now);
        let mut context = Context { now, ids, policy: &self.world.policy, request: None };
        let available = Modules { payment: true, marketing: true };
        if let Decision::Change(change, _) = switch_modules(&snapshot, switches, available, &mut context)? {
            self.storage.commit(&change).await.map_err(|_| Failure::Busy)?;
        }
        Ok((serde_json::json!({"modules": {"marketing": switches.marketing}}), false))
    }

    fn request(&self, call: &Call, account: AccountId) -> Result<Option<IdempotentRequest>, Failure> {
        let Some(key) = &call.idempotency_key else { return Ok(None) };
        let (method, path) = call.verb.route();
        let body = if self.bugs.is(Bug::IdempotencyByKeyOnly) { String::new() } else { call.verb.body() };
        Ok(Some(IdempotentRequest::new(account, method, &path, key, body.as_bytes())?))
    }
}

fn told_of(Resealed { seen, resealed, unopened }: Resealed) -> Value {
    serde_json::json!({"seen": seen, "resealed": resealed, "unopened": unopened})
}

/// What seller number so puts as its storefront. The bank account's number carries the variant, so that a view tells
/// which storefront it was taken from.
pub(crate) fn storefront(
    seller: usize,
    slug: &str,
    variant: u32,
    hide_branding: bool,
    published: bool,
) -> serront_core::shop::storefront::StorefrontInput {
    let mut input = storefront_input(slug);
    input.display_name = format!("Studio {seller}");
    for account in input.manual_bank_accounts.iter_mut().flatten() {
        account.account_number = bank_account(seller, variant);
    }
    input.hide_branding = Some(hide_branding);
    input.published = Some(published);
    input
}

/// The bank account's number in this variant of a seller's storefront.
pub(crate) fn bank_account(seller: usize, variant: u32) -> String {
    format!("7700-{seller:04}-{variant:08}")
}

/// A request for a payout.
fn payout_input(seller: usize, verb: &Verb) -> PayoutInput {
    let Verb::RequestPayout { amount, bank, note, .. } = verb else { return PayoutInput::default() };
    PayoutInput {
        amount: *amount,
        bank_name: bank.map(|_| BANK.to_owned()),
        bank_account_number: bank.map(|variant| bank_account(seller, variant)),
        bank_account_holder: bank.map(|_| HOLDER.to_owned()),
        note: Some(note.clone()),
        ..PayoutInput::default()
    }
}

/// A change of the default bank account. Without its holder it is not whole, so that nothing can be paid to it.
fn bank_account_input(seller: usize, variant: u32, whole: bool) -> BankAccountInput {
    BankAccountInput {
        bank_code: None,
        bank_name: Some(Some(BANK.to_owned())),
        bank_account_number: Some(Some(bank_account(seller, variant))),
        bank_account_holder: Some(whole.then(|| HOLDER.to_owned())),
    }
}

const BANK: &str = "Bank Nusantara";
const HOLDER: &str = "Renata";

/// The slug of the service that every seller has.
pub(crate) const SERVICE: &str = SERVICE_SLUG;

fn not_found() -> serront_core::primitives::rejection::Rejection {
    serront_core::primitives::rejection::Rejection::NotFound("thing")
}

/// As the reference host: an id that is not well formed names nothing.
fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| not_found().into())
}

fn parse_token(text: &str) -> Result<AccessToken, Failure> {
    AccessToken::parse(text).ok_or_else(|| not_found().into())
}

fn unexpected(_verb: &Verb) -> Failure {
    serront_core::ports::PortError::permanent("a request without its credential").into()
}
