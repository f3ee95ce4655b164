//! A host: answers requests with the real service, receives Plugipay's notifications, and runs the real dispatcher,
//! janitor, sweeper and folder. It can die between any two polls, and starts again with nothing but the storage's
//! contents.

mod inputs;
mod requests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serront_core::accounts::key::WebhookSecret;
use serront_core::accounts::sealed::SecretHolder;
use serront_core::changes::effect::Lane;
use serront_core::online::inbox::InboxStatus;
use serront_core::ports::{Clock, Mailer, Plugipay, PortErrorKind, Receipts, Sink, WorkStorage};
use serront_core::service::{Answer, Commands, Environment, Failure, OnlinePayments, Provider, ReceiptUploads};
use serront_core::work::dispatch::Dispatcher;
use serront_core::work::fold::Folder;
use serront_core::work::janitor::Janitor;
use serront_core::work::sweep::Sweeper;

pub(crate) use self::inputs::bank_account;

use super::bugs::Bug;
use super::bugs::host::{Bare, HostBugs};
use super::events::{Call, Event, Notified, Reply, Verb};
use super::executor::{Answerer, Handle, Owner, Poke};
use super::plugipay::Letter;
use super::world::{SimClock, World};
use crate::memory::{CountingIds, CountingSecrets};
use crate::world::PUBLIC_URL;

/// Shortest sleep of a loop while work is due.
const ROUND: Duration = Duration::from_millis(500);
/// Pause of the sweeper or the folder after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// One host, from a start to its next crash.
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
    /// Raised when a lane may have due work.
    pokes: BTreeMap<Lane, Poke>,
}

/// A host's ports.
pub(crate) struct Ports {
    pub(crate) storage: Arc<dyn WorkStorage>,
    pub(crate) mailer: Arc<dyn Mailer>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) receipts: Arc<dyn Receipts>,
    pub(crate) plugipay: Arc<dyn Plugipay>,
    pub(crate) clock: Arc<SimClock>,
}

/// An answer's data, and whether it is a replay.
type Served = Result<(Value, bool), Failure>;

/// Reports the end of a request to the judge when dropped, also when the host dies during it.
struct RequestEnd {
    world: Arc<World>,
    id: u64,
}

impl Drop for RequestEnd {
    fn drop(&mut self) {
        self.world.see(&Event::Ended { id: self.id });
    }
}

impl Host {
    pub(crate) fn new(world: Arc<World>, owner: Owner, ports: Ports, bugs: Arc<HostBugs>) -> Arc<Self> {
        let Ports { storage, mailer, sink, receipts, plugipay, clock } = ports;
        // Ids and secrets of different lives never collide.
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
        let provider = Provider { plugipay: Some(&*self.plugipay), public_url: PUBLIC_URL };
        OnlinePayments::new(&*self.storage, provider, self.environment())
    }

    fn handle(&self) -> &Handle {
        &self.world.handle
    }

    /// Starts the background loops.
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

    /// Works through a lane as the reference host does: one task per effect, while places are free.
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
                    // The work may have created mails and deliveries.
                    host.wake();
                });
            }
            let Ok(next) = self.storage.next_due(lane).await else {
                self.handle().sleep_ms(2_000).await;
                continue;
            };
            // Due work that was not handed out waits for its subscription's share, or for the storage's clock.
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
            let pause = sweeper.step(now).await.map_or(RETRY, |swept| swept.next.since(now));
            self.handle().sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    async fn fold(&self) {
        let mut folder = Folder::new(&*self.storage, self.environment());
        loop {
            let now = self.clock.now();
            let pause = folder.step(now).await.map_or(RETRY, |folded| folded.next.since(now));
            self.handle().sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    /// Answers one request, in a task that dies with the host.
    pub(crate) fn serve(self: &Arc<Self>, id: u64, call: Call, answerer: Answerer<Reply>) {
        let host = Arc::clone(self);
        let end = RequestEnd { world: Arc::clone(&self.world), id };
        self.handle().spawn(Some(self.owner), async move {
            let _end = end;
            let reply = host.answer(&call).await;
            host.wake();
            answerer.answer(reply);
        });
    }

    /// Receives one of Plugipay's notifications, in a task that dies with the host. Answers whether it was accepted.
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
            policy.online.notification_tolerance = Duration::from_secs(86_400);
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
        let shown = match caller {
            None => self.carry_out_public(call).await,
            Some(caller) => self.carry_out_keyed(call, caller).await,
        };
        let reply = self.reply(shown);
        self.bugs.remember_refusal(call, &reply);
        if let (true, Reply::Refused(code), Some(bearer)) = (self.bugs.is(Bug::SecretLogged), &reply, &call.bearer) {
            self.world.see(&Event::Said(&format!("{code} for {bearer}")));
        }
        reply
    }

    /// An operator's route, requested without an operator's key.
    async fn refuse_sellers_key(&self, call: &Call) -> Reply {
        match self.commands().authenticate(call.bearer.as_deref().unwrap_or_default()).await {
            Ok(None) => Reply::Refused("UNAUTHORIZED".to_owned()),
            Ok(Some(_)) => Reply::Refused("OPERATOR_ONLY".to_owned()),
            Err(failure) => self.failed(&failure),
        }
    }

    fn reply(&self, shown: Served) -> Reply {
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
            // `Failure` is non-exhaustive: a new variant counts as an unknown outcome.
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
}
