//! One run: open the shops, cause the planned faults, heal, wait, read everything, judge.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serront_core::policy::Policy;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::primitives::tier::Tier;
use serront_core::service::{Commands, Environment};

use super::bugs::Bug;
use super::bugs::host::HostBugs;
use super::clients::{Clients, DeviceKey};
use super::courier::Courier;
use super::events::{Call, Event, Reply, SellerFacts, Verb};
use super::executor::{Ended, Executor, Handle, Owner, answer};
use super::host::{Host, Ports};
use super::invariants;
use super::judge::{Judge, Violation};
use super::network::Network;
use super::outside::{SimMailer, SimReceipts, SimSink, hook_url};
use super::plan::{Actor, DEVICES, Fault, OPERATORS, Plan, SKEW_MS_MAX, Trouble};
use super::plugipay::SimPlugipay;
use super::random::Random;
use super::storage::{NetStorage, Server};
use super::trace::Trace;
use super::world::{Provider, SimClock, World};
use crate::memory::{CountingIds, CountingSecrets, MemoryReceipts, MemorySealer, locked};
use crate::sandbox::Sandbox;
use crate::world::{SERVICE_SLUG, service_input};

/// 2026-11-22T09:36:00.000Z, as everywhere in the testkit.
const BEGIN_MS: i64 = 1_795_340_160_000;
/// Time for opening the shops, without faults.
const FOUNDING_MS: i64 = 60_000;

/// The result of one seed's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// The seed of the run.
    pub seed: u64,
    /// The first violation; `None` if every invariant held.
    pub violation: Option<Violation>,
    /// Time that passed in the simulated world.
    pub simulated: Duration,
    /// Number of polls of tasks.
    pub polls: u64,
    /// A digest over the trace.
    pub digest: u64,
    /// The trace; `Some` only from [`Simulation::trace`](super::Simulation::trace).
    pub trace: Option<String>,
}

/// Makes a storage; the clock is the storage's own.
pub(super) type StorageFactory = dyn Fn(Arc<dyn Clock>) -> Arc<dyn WorkStorage> + Send + Sync;

/// What a run needs besides its plan.
pub(super) struct Setting<'a> {
    pub(super) policy: &'a Policy,
    pub(super) storage: &'a StorageFactory,
    pub(super) bug: Option<Bug>,
    pub(super) keep_trace: bool,
}

/// Starts and crashes hosts, and starts them again.
struct Supervisor {
    world: Arc<World>,
    server: Arc<Server>,
    clients: Arc<Clients>,
    clocks: Vec<Arc<SimClock>>,
    bugs: Arc<HostBugs>,
    bug: Option<Bug>,
    lives: Mutex<Vec<u32>>,
    down_ms: Mutex<Vec<u64>>,
}

impl Supervisor {
    fn ports(&self, at: usize) -> Ports {
        let world = &self.world;
        let clock = self.clocks.get(at).cloned().unwrap_or_else(|| Arc::new(SimClock::new(world.handle.clone())));
        let is = |bug| self.bug == Some(bug);
        let mailer = Arc::new(SimMailer { world: Arc::clone(world) });
        let storage: Arc<dyn WorkStorage> = Arc::new(NetStorage::new(Arc::clone(&self.server)));
        let storage = match self.bug {
            None => storage,
            Some(bug) => bug.plant_in_link(storage, clock.clone(), mailer.clone()),
        };
        Ports {
            storage,
            mailer,
            sink: Arc::new(SimSink { world: Arc::clone(world), redirect_is_success: is(Bug::RedirectIsSuccess) }),
            receipts: Arc::new(SimReceipts {
                world: Arc::clone(world),
                lists_nothing: is(Bug::NothingSwept),
                quarantine_cut_short: is(Bug::QuarantineCutShort),
            }),
            plugipay: Arc::new(SimPlugipay::new(Arc::clone(world), self.bug)),
            clock,
        }
    }

    fn start(&self, at: usize) {
        let life = {
            let mut lives = locked(&self.lives);
            let Some(life) = lives.get_mut(at) else { return };
            *life += 1;
            *life
        };
        self.world.line(&format!("host {at} starts life {life}"));
        let owner = Owner { host: at, life };
        let host = Host::new(Arc::clone(&self.world), owner, self.ports(at), Arc::clone(&self.bugs));
        host.start();
        self.clients.connect(at, Some(host));
    }

    fn kill(&self, at: usize) {
        if let Some(host) = self.clients.host(at) {
            self.world.line(&format!("host {at} dies"));
            self.world.handle.kill(host.owner);
            self.world.see(&Event::Hindered);
            self.clients.connect(at, None);
        }
    }

    async fn crash(&self, at: usize, down_ms: u64) {
        self.kill(at);
        self.world.handle.sleep_ms(down_ms).await;
        if self.clients.host(at).is_none() {
            self.start(at);
        }
    }

    /// Causes a trouble that the network does not handle.
    async fn trouble(&self, begin: i64, fault: Fault) {
        let due = begin.saturating_add(fault.from);
        self.world.handle.sleep_ms(u64::try_from(due - self.world.handle.now()).unwrap_or(0)).await;
        match fault.trouble {
            Trouble::Crash { host, down_ms } => self.crash(host, down_ms).await,
            Trouble::CrashInside { host, polls, down_ms } => {
                if let Some(slot) = locked(&self.down_ms).get_mut(host) {
                    *slot = down_ms;
                }
                self.world.handle.light_fuse(host, polls);
            }
            Trouble::ClockStep { host, by_ms } => {
                if let Some(clock) = self.clocks.get(host) {
                    self.world.line(&format!("host {host}'s clock is off by {by_ms} ms"));
                    clock.set_offset(by_ms.clamp(-SKEW_MS_MAX, SKEW_MS_MAX));
                }
            }
            Trouble::KeysForgotten => {
                self.world.line("plugipay forgets its keys");
                self.world.plugipay.sandbox.forget_idempotency_keys();
                self.world.see(&Event::KeysForgotten);
            }
            Trouble::Storm { .. } | Trouble::Receivers { .. } | Trouble::Mail { .. } => {}
        }
    }
}

/// Waits for hosts whose fuse burned down, and starts them again.
async fn revive(supervisor: Arc<Supervisor>) {
    loop {
        let at = supervisor.world.handle.next_blown().await;
        let down_ms = locked(&supervisor.down_ms).get(at).copied().unwrap_or(0);
        let crashed = Arc::clone(&supervisor);
        supervisor.world.handle.spawn(None, async move { crashed.crash(at, down_ms).await });
    }
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Time after healing within which all work ends: twice the longest pause between two attempts, the sweeper's waiting
/// time, and the longest polling of a session, or retrying of a parked notification, that starts last.
fn rest_ms(policy: &Policy) -> i64 {
    let schedules = [&policy.webhooks.retry_after, &policy.outbox.mail_retry_after, &policy.outbox.removal_retry_after];
    let longest = schedules.into_iter().flatten().max().copied().unwrap_or_default();
    let sweeping = policy.retention.orphan_age + 2 * policy.retention.sweep_interval;
    let polling =
        policy.online.session_valid_for + policy.online.poll_after_end_for + policy.online.poll_after_end_pause;
    // The first notification of an unknown session may be its expiry.
    let unparking = policy.online.session_valid_for + policy.online.unpark_for;
    let errands = polling.max(unparking) + 2 * policy.online.poll_pause_max;
    duration_ms(sweeping.max(2 * longest).max(errands)) + 2 * SKEW_MS_MAX + 3_600_000
}

struct Director {
    world: Arc<World>,
    clients: Arc<Clients>,
    supervisor: Arc<Supervisor>,
    plan: Plan,
}

impl Director {
    /// Opens the shops, through the hosts where clients do so.
    async fn found(&self) -> Result<(), String> {
        let world = &self.world;
        let mut random = Random::of(self.plan.seed, "founding");
        let operators = self.hire().await.map_err(|failure| format!("founding failed: {failure}"))?;
        self.clients.hire(operators);
        for seller in 0..self.plan.sellers {
            // The account and its service are created directly, as an operator's tool would.
            let clock = SimClock::new(world.handle.clone());
            let start = 900_000 + u32::try_from(seller).unwrap_or(0);
            let (ids, secrets) = (CountingIds::starting_at(start), CountingSecrets::starting_at(start.into()));
            let (sealer, policy) = (&world.sealer, &world.policy);
            let environment = Environment { clock: &clock, ids: &ids, secrets: &secrets, sealer, policy };
            let storage = NetStorage::new(Arc::clone(&self.supervisor.server));
            let commands = Commands::new(&storage, environment);
            let name = format!("Studio {seller}");
            let founded = async {
                let (account, _) = commands.open_account(&name, Tier::Business).await?.value;
                let service =
                    commands.create_service(account.id, &service_input(SERVICE_SLUG, 750_000), None).await?.value;
                Ok::<_, serront_core::service::Failure>((account.id, service.id.to_string()))
            };
            let (account, service) = founded.await.map_err(|failure| format!("founding failed: {failure}"))?;
            let facts = SellerFacts { account, slug: format!("studio-{seller}"), service };
            locked(&world.judge).introduce(facts.clone());
            self.clients.open_shop(facts);
            let mut keys = Vec::new();
            for _ in 0..DEVICES {
                let verb = Verb::IssueKey { account: account.to_string() };
                let data = self.ask(seller, None, verb, &mut random).await?;
                let text =
                    |field: &str| data.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
                keys.push(DeviceKey { id: text("id"), key: text("key") });
            }
            let bearer = keys.first().map(|key| key.key.clone());
            self.clients.give_keys(seller, keys);
            let slug = format!("studio-{seller}");
            let front = Verb::PutStorefront { slug, variant: 0, hide_branding: false, published: true };
            self.ask(seller, bearer.clone(), front, &mut random).await?;
            let crowd = self.plan.crowd.as_ref().and_then(|crowd| crowd.receivers.get(seller).copied());
            for hook in 0..crowd.unwrap_or(2) {
                let events = if hook == 1 { vec!["serront.order.payment_confirmed.v1"] } else { vec!["*"] };
                let verb = Verb::Subscribe { url: hook_url(seller, hook), events };
                self.ask(seller, bearer.clone(), verb, &mut random).await?;
            }
        }
        Ok(())
    }

    /// Creates the operators' keys, as an operator's tool would.
    async fn hire(&self) -> Result<Vec<String>, serront_core::service::Failure> {
        let world = &self.world;
        let clock = SimClock::new(world.handle.clone());
        let (ids, secrets) = (CountingIds::starting_at(800_000), CountingSecrets::starting_at(800_000));
        let (sealer, policy) = (&world.sealer, &world.policy);
        let environment = Environment { clock: &clock, ids: &ids, secrets: &secrets, sealer, policy };
        let storage = NetStorage::new(Arc::clone(&self.supervisor.server));
        let commands = Commands::new(&storage, environment);
        let mut keys = Vec::new();
        for operator in 0..OPERATORS {
            let (_, key) = commands.create_operator_key(&format!("Operator {operator}")).await?;
            world.see(&Event::Secret(key.reveal()));
            keys.push(key.reveal().to_owned());
        }
        Ok(keys)
    }

    async fn ask(
        &self,
        seller: usize,
        bearer: Option<String>,
        verb: Verb,
        random: &mut Random,
    ) -> Result<serde_json::Value, String> {
        let call = Call { seller, bearer, idempotency_key: None, verb };
        match self.clients.settle(call, random).await {
            Reply::Done { data, .. } => Ok(data),
            other => Err(format!("founding failed: {other:?}")),
        }
    }

    async fn direct(self) {
        let (world, plan) = (&self.world, &self.plan);
        let begin = BEGIN_MS + FOUNDING_MS;
        world.handle.spawn(None, revive(Arc::clone(&self.supervisor)));
        (0..plan.hosts).for_each(|at| self.supervisor.start(at));
        if let Err(what) = self.found().await {
            world.accuse("founding", what);
            return;
        }
        let courier = Courier::new(Arc::clone(world), Arc::clone(&self.clients), plan.hosts);
        world.handle.spawn(None, Arc::new(courier).run());
        for fault in plan.faults.clone() {
            let supervisor = Arc::clone(&self.supervisor);
            world.handle.spawn(None, async move { supervisor.trouble(begin, fault).await });
        }
        let mut done = Vec::new();
        for actor in actors(plan) {
            let items: Vec<_> = plan.items.iter().filter(|item| item.actor == actor).cloned().collect();
            let (answerer, awaited) = answer();
            let clients = Arc::clone(&self.clients);
            world.handle.spawn(None, async move {
                clients.act(begin, items).await;
                answerer.answer(());
            });
            done.push(awaited);
        }
        for awaited in done {
            awaited.await;
        }
        self.wait_until(begin + plan.chaos_ms).await;
        if plan.crowd.is_some() {
            // Such a run checks only the time up to here: deliveries to dead receivers would go on for days.
            locked(&world.judge).end(world.handle.now());
            world.handle.stop();
            return;
        }
        self.heal();
        // Calls on their way arrive.
        world.handle.sleep_ms(200_000).await;
        self.clients.look_around().await;
        world.handle.sleep_ms(u64::try_from(rest_ms(&world.policy)).unwrap_or(0)).await;
        self.clients.look_around().await;
        let now = world.handle.now();
        locked(&world.judge).end(now);
        world.handle.stop();
    }

    async fn wait_until(&self, time: i64) {
        let pause = time.saturating_sub(self.world.handle.now());
        self.world.handle.sleep_ms(u64::try_from(pause).unwrap_or(0)).await;
    }

    fn heal(&self) {
        self.world.line("everything heals");
        locked(&self.world.network).heal();
        for (at, clock) in self.supervisor.clocks.iter().enumerate() {
            clock.set_offset(0);
            self.world.handle.light_fuse(at, u64::MAX);
            if self.clients.host(at).is_none() {
                self.supervisor.start(at);
            }
        }
    }
}

fn actors(plan: &Plan) -> Vec<Actor> {
    let mut actors: Vec<_> = plan.items.iter().map(|item| item.actor).collect();
    actors.sort_unstable();
    actors.dedup();
    actors
}

/// Plays a plan.
pub(super) fn play(plan: &Plan, setting: &Setting<'_>) -> RunReport {
    let handle = Handle::default();
    handle.set_now(BEGIN_MS);
    let storage_clock = Arc::new(SimClock::new(handle.clone()));
    let storage = (setting.storage)(storage_clock.clone());
    let storage = match setting.bug {
        None => storage,
        Some(bug) => bug.plant(storage, storage_clock.clone()),
    };
    let receipts = Arc::new(MemoryReceipts::new(storage_clock.clone()));
    let sandbox = Arc::new(Sandbox::new(storage_clock));
    let begin = BEGIN_MS + FOUNDING_MS;
    let trace = Trace::new(setting.keep_trace);
    let policy = setting.policy.clone();
    let invariants = plan.crowd.as_ref().map_or_else(invariants::all, invariants::beside_a_crowd);
    let looks_at = (Arc::clone(&storage), Arc::clone(&receipts), Arc::clone(&sandbox));
    let judge = Judge::new(invariants, looks_at, policy.clone(), begin, trace);
    let network = Network::new(Random::of(plan.seed, "network"), plan.faults.clone(), begin);
    let world = Arc::new(World {
        handle: handle.clone(),
        network: Mutex::new(network),
        judge: Mutex::new(judge),
        storage,
        receipts,
        sealer: MemorySealer::default(),
        plugipay: Provider::new(sandbox),
        policy,
    });
    let clients = Arc::new(Clients::new(Arc::clone(&world), plan.hosts));
    let supervisor = Arc::new(Supervisor {
        world: Arc::clone(&world),
        server: Arc::new(Server::new(Arc::clone(&world), Random::of(plan.seed, "folding"))),
        clients: Arc::clone(&clients),
        clocks: (0..plan.hosts).map(|_| Arc::new(SimClock::new(handle.clone()))).collect(),
        bugs: Arc::new(HostBugs::new(setting.bug)),
        bug: setting.bug,
        lives: Mutex::new(vec![0; plan.hosts]),
        down_ms: Mutex::new(vec![0; plan.hosts]),
    });
    let mut executor = Executor::new(handle.clone(), Random::of(plan.seed, "order"));
    let director =
        Director { world: Arc::clone(&world), clients: Arc::clone(&clients), supervisor, plan: plan.clone() };
    handle.spawn(None, director.direct());
    match executor.run() {
        Ended::Stopped => {}
        Ended::Stuck => world.accuse("progress", "no task is ready and none sleeps".to_owned()),
        Ended::Spinning => world.accuse("progress", "a task loops without waiting".to_owned()),
    }
    // Dropping hosts and tasks must not be judged.
    let polls = executor.polls();
    let simulated = Duration::from_millis(u64::try_from(handle.now() - BEGIN_MS).unwrap_or(0));
    let (violation, digest, trace) = {
        let mut judge = locked(&world.judge);
        judge.close();
        let found = judge.found().cloned();
        (found, judge.trace.digest(), judge.trace.take())
    };
    for at in 0..plan.hosts {
        clients.connect(at, None);
    }
    drop(executor);
    RunReport { seed: plan.seed, violation, simulated, polls, digest, trace }
}
