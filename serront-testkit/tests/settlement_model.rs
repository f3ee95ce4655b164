//! Model-checks every interleaving of concurrent commands on one order: the real decisions over the real memory
//! storage.
//!
//! ```text
//! a process:  read and decide ─▶ commit ─▶ (call Plugipay ─▶ read and decide ─▶ commit ─▶ unpark …)
//!             between two steps of one process, others may take any number of steps
//! ```
//!
//! Processes are requests on any number of hosts, which share only the storage. Plugipay's answers may be lost, and its
//! notifications come late, twice, before their session is known, or never. Every state must satisfy rules 1 and 2. In
//! a *quiet* state, in which no process runs and the janitor has no work, every payment must be booked and reported.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a model for tests, which clippy.toml does not reach"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::task::{Context as Poller, Poll, Waker};
use std::time::Duration;

use serront_core::changes::change::ChangeSet;
use serront_core::changes::effect::{Errand, Lane};
use serront_core::decide::{self, Begun, Context, Decision, OrderPatch};
use serront_core::funds::ledger::{EntryCode, LedgerEntry};
use serront_core::online::checkout::{Checkout, CheckoutStatus, Session, SessionStatus};
use serront_core::online::inbox::{InboxRecord, InboxStatus};
use serront_core::online::plugipay::{Minted, Observation, Returns};
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::policy::{DeliveryShares, Policy};
use serront_core::ports::{
    AccountReads, Clock, CommitError, Commits, FundsReads, OnlineReads, OperatorReads, OrderReads, Outbox,
};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{CheckoutId, IdSequence};
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::{ProviderEventId, SessionId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Due, DueEffect, EntryFilter, OrderKey, OrderSnapshot};
use serront_testkit::memory::MemoryStorage;
use serront_testkit::world::{Placed, World, host};
use stateright::{Checker, Model, Property};

/// The memory storage never waits for other tasks, so its futures are ready after a few polls.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut poller = Poller::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut poller) {
            return output;
        }
    }
}

/// A request of the model, which happens as often as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Request {
    /// The buyer presses "pay online".
    Pay,
    /// The seller confirms.
    Confirm,
    /// The seller cancels the order.
    Cancel,
    /// The seller sets another quote.
    Quote,
    /// The janitor works on a checkout, as often as it has work.
    Attend(CheckoutId),
    /// Plugipay notifies of its nth session: completed (0) or expired (1).
    Notify(usize, usize),
}

/// The next step of a process.
#[derive(Clone)]
enum At {
    /// Decided, not committed.
    Decided(Box<ChangeSet>, Then),
    /// To call Plugipay.
    Call(CheckoutId, Call),
    /// Plugipay answered: to be read, decided and committed.
    Answered(CheckoutId, Answer),
    /// To retry the notifications parked under this session.
    Unpark(SessionId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Mint,
    Ask,
    Cancel,
}

#[derive(Debug, Clone)]
enum Answer {
    Minted(Minted),
    Observed(Observation),
}

/// What follows a commit that landed.
#[derive(Debug, Clone)]
enum Then {
    Nothing,
    /// The intent is written: make the call.
    Mint(CheckoutId),
    /// The session is written: look for what came before it.
    Unpark(SessionId),
}

#[derive(Clone)]
struct Process {
    request: Request,
    /// Number of the process, so that its ids are unique.
    seed: u64,
    at: At,
    /// The complete change, for comparing.
    digest: Digest256,
}

impl Process {
    fn new(request: Request, seed: u64, at: At) -> Self {
        let text = match &at {
            At::Decided(change, then) => format!("{request:?} {change:?} {then:?}"),
            At::Call(id, call) => format!("{request:?} {id} {call:?}"),
            At::Answered(id, answer) => format!("{request:?} {id} {answer:?}"),
            At::Unpark(session) => format!("{request:?} unpark {session}"),
        };
        Self { request, seed, at, digest: Digest256::of(format!("{seed} {text}").as_bytes()) }
    }
}

/// A session at Plugipay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hosted {
    id: SessionId,
    amount: i64,
    status: SessionStatus,
    /// How often each kind of news may still be delivered: completed, expired.
    news: [u8; 2],
}

#[derive(Clone)]
struct State {
    storage: MemoryStorage,
    /// Everything in the storage, for comparing.
    stored: Digest256,
    facts: Facts,
    plugipay: BTreeMap<String, Hosted>,
    running: Vec<Process>,
    /// How many of each of the model's requests are still to come.
    left: Vec<u8>,
}

/// The facts that the claims use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    mails: usize,
    events: usize,
    /// Gross booked, for each session, and how many times.
    booked: BTreeMap<String, (i64, usize)>,
    balance: i64,
    entries: i64,
    exceptions: Vec<String>,
    parked: usize,
    confirmed: bool,
    checkouts: Vec<Checkout>,
    statuses: Vec<CheckoutStatus>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let running: Vec<_> = self.running.iter().map(|process| process.request).collect();
        formatter
            .debug_struct("State")
            .field("facts", &self.facts)
            .field("plugipay", &self.plugipay)
            .field("running", &running)
            .field("left", &self.left)
            .finish()
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let running = |state: &Self| state.running.iter().map(|process| process.digest).collect::<Vec<_>>();
        self.stored == other.stored
            && self.plugipay == other.plugipay
            && self.left == other.left
            && running(self) == running(other)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.stored.hash(hasher);
        self.plugipay.hash(hasher);
        self.left.hash(hasher);
        for process in &self.running {
            process.digest.hash(hasher);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// A new process reads and decides.
    Begin(usize),
    /// A process takes its next step.
    Step(usize),
    /// Plugipay does what it is asked, and the answer is lost.
    LoseAnswer(usize),
    /// The buyer pays at the hosted page.
    Pay(String),
    /// A session's time is up.
    Expire(String),
    /// Plugipay posts that a session was completed (0) or expired (1).
    Notify(String, usize),
    /// The janitor attends to a checkout.
    Attend(CheckoutId),
}

struct Order {
    requests: Vec<(Request, u8)>,
    storage: MemoryStorage,
    placed: Placed,
    policy: Policy,
    now: Timestamp,
    losses: bool,
    deliveries: u8,
}

/// Maximum of concurrent requests.
const HOSTS: usize = 2;

const MERCHANT: &str = "plg_merchant";

impl Order {
    /// An order of a seller whose module is on, and these requests, each so many times.
    fn new(requests: &[(Request, u8)], losses: bool, deliveries: u8) -> Self {
        let world = World::new();
        let (seller, placed) = at_once(world.seller_with_order("studio"));
        at_once(world.subscribe(&seller, "https://one.example", &["serront.order.payment_confirmed.v1"]));
        let snapshot = at_once(world.storage.account(seller.account_id, None)).unwrap().unwrap();
        let mut change = ChangeSet::new(
            IdSequence::from_seed(ulid::Ulid::from_parts(9, 9)).change_set(),
            seller.account_id,
            world.clock.now(),
        );
        let version = snapshot.account.state.version;
        let mut state = snapshot.account.state;
        state.version = version.next();
        state.modules.payment = true;
        state.plugipay_account_id = Some(MERCHANT.to_owned());
        change.guards = vec![serront_core::changes::change::Guard::Exact {
            row: serront_core::changes::change::Row::Account,
            version,
        }];
        change.writes = vec![serront_core::changes::change::Write::UpdateAccount(state)];
        at_once(world.storage.commit(&change)).unwrap();
        let now = world.clock.now();
        let storage = MemoryStorage::clone(&world.storage);
        // The claims do not cover the setup.
        for lane in Lane::OUTBOX {
            let lease = Duration::from_secs(1_000_000);
            at_once(storage.take_due(lane, 1_000, DeliveryShares::UNLIMITED, lease)).unwrap();
        }
        Self { requests: requests.to_vec(), storage, placed, policy: Policy::default(), now, losses, deliveries }
    }

    /// Ids that depend on the process and on the data read: the same decision always has the same ids, so that states
    /// that differ in nothing else are the same.
    fn context(&self, seed: u64, phase: u64, storage: &MemoryStorage) -> Context<'_> {
        let version = self.snapshot(storage).order.state.version;
        let random = (u128::from(seed) * 1_000 + u128::from(version.0)) * 1_000 + u128::from(phase) * 100;
        let ids = IdSequence::from_seed(ulid::Ulid::from_parts(u64::try_from(self.now.millis()).unwrap(), random));
        Context { now: self.now, ids, policy: &self.policy, request: None }
    }

    fn snapshot(&self, storage: &MemoryStorage) -> OrderSnapshot {
        at_once(storage.order(OrderKey::Id(self.placed.account_id, self.placed.id), None)).unwrap().unwrap()
    }

    /// Reads what is stored: as text, and as the facts of the claims.
    fn look(&self, storage: &MemoryStorage) -> (Digest256, Facts) {
        let account = self.placed.account_id;
        let snapshot = self.snapshot(storage);
        let fork = storage.fork();
        let lease = Duration::from_secs(1);
        let due = |lane| at_once(fork.take_due(lane, 1_000, DeliveryShares::UNLIMITED, lease)).unwrap();
        let outbox: Vec<Due> = Lane::OUTBOX.into_iter().flat_map(due).collect();
        // Polls are due later; cancellations and retries of parked notifications are looked at through what they lead to.
        let errands: Vec<Due> = due(Lane::Errands);
        let limit = Limit::parse(Some("100")).unwrap();
        let entries = at_once(storage.entries(account, &EntryFilter::default(), None, limit)).unwrap().rows;
        let exceptions = at_once(storage.exceptions(account, None, None, limit)).unwrap().rows;
        let far = Timestamp::from_millis(i64::MAX);
        let parked = at_once(storage.waiting(far, 100)).unwrap();
        let balance = at_once(storage.balance(account)).unwrap();
        let mut booked = BTreeMap::<String, (i64, usize)>::new();
        for entry in entries.iter().filter(|entry| entry.code == EntryCode::Sale) {
            let sum = booked.entry(entry.source_id.clone()).or_default();
            *sum = (sum.0 + entry.amount.get(), sum.1 + 1);
        }
        let signed = |entry: &LedgerEntry| match entry.direction {
            serront_core::funds::ledger::Direction::Credit => entry.amount.get(),
            serront_core::funds::ledger::Direction::Debit => -entry.amount.get(),
        };
        let checkouts = self.checkouts(storage);
        let facts = Facts {
            mails: outbox.iter().filter(|due| matches!(due.effect, DueEffect::Mail(_))).count(),
            events: outbox.iter().filter(|due| matches!(due.effect, DueEffect::Delivery { .. })).count(),
            booked,
            balance: balance.iter().map(|code| code.credits - code.debits).sum(),
            entries: entries.iter().map(signed).sum(),
            exceptions: exceptions
                .iter()
                .map(|exception| format!("{} {:?}", exception.session_id, exception.kind))
                .collect(),
            parked: parked.len(),
            confirmed: snapshot.payment.state.status == PaymentStatus::PaymentConfirmed,
            statuses: checkouts.iter().map(|checkout| checkout.state.status).collect(),
            checkouts,
        };
        let errands: Vec<_> = errands.into_iter().map(|due| due.effect).collect();
        // What is known under each session's name, and of each event.
        let names: Vec<_> = (0..=self.requests.iter().map(|(_, times)| usize::from(*times)).sum())
            .flat_map(|n| [0, 1].map(|kind| (session_id(n), event_id(&session_id(n), kind))))
            .map(|(session, event)| {
                let name = at_once(storage.session(account, &session, Some(event))).unwrap();
                (name.version, name.event, name.parked, name.checkout.map(|known| known.checkout.id))
            })
            .collect();
        let stored = format!("{snapshot:?} {facts:?} {errands:?} {parked:?} {names:?}");
        (Digest256::of(stored.as_bytes()), facts)
    }

    /// Every checkout of the order: the storage lists those that are live, so the others are found by their errands.
    fn checkouts(&self, storage: &MemoryStorage) -> Vec<Checkout> {
        let fork = storage.fork_at(self.now.plus(self.policy.online.poll_first));
        let polls =
            at_once(fork.take_due(Lane::Errands, 1_000, DeliveryShares::UNLIMITED, Duration::from_secs(1))).unwrap();
        let mut ids: Vec<_> = polls
            .into_iter()
            .filter_map(|due| match due.effect {
                DueEffect::Errand(Errand::Poll(id)) => Some(id),
                _ => None,
            })
            .collect();
        ids.sort();
        let found = |id| at_once(storage.checkout(self.placed.account_id, id)).unwrap().unwrap().checkout;
        ids.into_iter().map(found).collect()
    }

    /// Reads and decides; `None` if nothing is to be done.
    fn begin(&self, state: &State, request: Request, seed: u64) -> Option<Process> {
        let snapshot = self.snapshot(&state.storage);
        let mut context = self.context(seed, 0, &state.storage);
        let at = match request {
            Request::Pay => {
                let returns = Returns { success_url: "https://a".into(), cancel_url: "https://b".into() };
                match decide::begin_checkout(&snapshot, &returns, &mut context).ok()? {
                    Decision::Change(change, Begun::Mint(_, checkout)) => At::Decided(change, Then::Mint(checkout.id)),
                    Decision::Unchanged(Begun::Mint(_, checkout)) => At::Call(checkout.id, Call::Mint),
                    _ => return None,
                }
            }
            Request::Confirm => {
                decided(decide::confirm_payment(&snapshot, &host(), None, &mut context).ok()?, Then::Nothing)?
            }
            Request::Cancel | Request::Quote => {
                let patch = match request {
                    Request::Cancel => OrderPatch { status: Some(WorkStatus::Canceled), quoted_price_idr: None },
                    _ => OrderPatch { status: None, quoted_price_idr: Some(5_000) },
                };
                decided(decide::patch_order(&snapshot, patch, &host(), &mut context).ok()?, Then::Nothing)?
            }
            Request::Attend(id) => {
                let checkout = at_once(state.storage.checkout(self.placed.account_id, id)).unwrap()?.checkout;
                At::Call(id, call_of(&checkout)?)
            }
            Request::Notify(..) => return None,
        };
        Some(Process::new(request, seed, at))
    }

    /// A notification is read, decided and to be committed.
    fn notify(&self, state: &State, hosted: &Hosted, kind: usize, seed: u64) -> Option<Process> {
        let status = if kind == 0 { SessionStatus::Completed } else { SessionStatus::Expired };
        let observation = observation(hosted, status);
        let event_id = event_id(&hosted.id, kind);
        let account_id = self.placed.account_id;
        let snapshot = at_once(state.storage.session(account_id, &hosted.id, Some(event_id.clone()))).unwrap();
        let body = serde_json::json!({
            "id": event_id, "type": if kind == 0 { serront_core::online::plugipay::EVENTS[0] } else { serront_core::online::plugipay::EVENTS[1] },
            "accountId": MERCHANT,
            "data": { "object": { "id": hosted.id, "status": "open", "amount": hosted.amount, "currency": "IDR" } },
        });
        let record = InboxRecord {
            account_id,
            event_id,
            event_type: "told".to_owned(),
            session_id: Some(hosted.id.clone()),
            body: body.to_string(),
            received_at: self.now,
            status: InboxStatus::Parked,
        };
        let decision =
            decide::notify(record, Some((&observation, &snapshot)), &mut self.context(seed, 0, &state.storage));
        let nth = state.plugipay.values().filter(|other| other.id < hosted.id).count();
        Some(Process::new(Request::Notify(nth, kind), seed, decided(decision, Then::Nothing)?))
    }

    /// Takes a process's next step; `None` if it has finished.
    fn step(&self, state: &mut State, process: Process, lose: bool) -> Option<Process> {
        let Process { request, seed, at, .. } = process;
        let account_id = self.placed.account_id;
        let next = match at {
            At::Decided(change, then) => {
                let storage = state.storage.fork();
                match at_once(storage.commit(&change)) {
                    Ok(_) => {
                        state.storage = storage;
                        (state.stored, state.facts) = self.look(&state.storage);
                        match then {
                            Then::Nothing => return None,
                            Then::Mint(id) => At::Call(id, Call::Mint),
                            Then::Unpark(session) => At::Unpark(session),
                        }
                    }
                    // Read and decide again.
                    Err(CommitError::Conflict | CommitError::Duplicate(_)) => {
                        return self.again(state, request, seed, then);
                    }
                    Err(CommitError::Port(error)) => panic!("{error:?}"),
                }
            }
            At::Call(id, call) => {
                let checkout = at_once(state.storage.checkout(account_id, id)).unwrap()?.checkout;
                let answer = self.call(state, &checkout, call)?;
                if lose {
                    return None;
                }
                At::Answered(id, answer)
            }
            At::Answered(id, answer) => self.answered(state, id, answer, seed)?,
            At::Unpark(session) => {
                let snapshot = at_once(state.storage.session(account_id, &session, None)).unwrap();
                let event_id = snapshot.parked.first()?.clone();
                let record = at_once(state.storage.inbox(account_id, &event_id)).unwrap()?;
                let notification = serront_core::online::plugipay::Notification::read(&record.body).unwrap();
                let observation = notification.observed.unwrap().unwrap();
                let snapshot = at_once(state.storage.session(account_id, &session, Some(event_id.clone()))).unwrap();
                let context = &mut self.context(seed, 3, &state.storage);
                decided(decide::unpark(&event_id, &observation, &snapshot, context), Then::Unpark(session))?
            }
        };
        Some(Process::new(request, seed, next))
    }

    fn answered(&self, state: &State, id: CheckoutId, answer: Answer, seed: u64) -> Option<At> {
        let account_id = self.placed.account_id;
        let snapshot = at_once(state.storage.checkout(account_id, id)).unwrap()?;
        match answer {
            Answer::Minted(minted) => {
                let session_id = minted.session.id.clone();
                let name = at_once(state.storage.session(account_id, &session_id, None)).unwrap();
                let context = &mut self.context(seed, 1, &state.storage);
                let decision = decide::record_session(&snapshot, &name, &minted, context);
                Some(decided(decision, Then::Unpark(session_id.clone())).unwrap_or(At::Unpark(session_id)))
            }
            Answer::Observed(observation) => {
                let context = &mut self.context(seed, 2, &state.storage);
                decided(decide::observe(&snapshot, &observation, context), Then::Nothing)
            }
        }
    }

    /// Restarts a process whose change set conflicted from its read.
    fn again(&self, state: &State, request: Request, seed: u64, then: Then) -> Option<Process> {
        match (request, then) {
            // A process that recorded a session calls Plugipay again: the same bytes and key have the same answer.
            (Request::Pay | Request::Attend(_), Then::Unpark(session)) => {
                let known = at_once(state.storage.session(self.placed.account_id, &session, None)).unwrap();
                if known.checkout.is_some() {
                    return Some(Process::new(request, seed, At::Unpark(session)));
                }
                let id = match request {
                    Request::Attend(id) => id,
                    _ => state.facts.checkouts.last()?.id,
                };
                Some(Process::new(request, seed, At::Call(id, Call::Mint)))
            }
            (Request::Notify(nth, kind), _) => {
                let hosted = state.plugipay.values().find(|hosted| hosted.id == session_id(nth))?;
                self.notify(state, hosted, kind, seed)
            }
            _ => self.begin(state, request, seed),
        }
    }

    /// Plugipay does what it is asked.
    fn call(&self, state: &mut State, checkout: &Checkout, call: Call) -> Option<Answer> {
        let key = checkout.idempotency_key();
        let minted = state.plugipay.len();
        match call {
            Call::Mint => {
                let hosted = state.plugipay.entry(key).or_insert_with(|| Hosted {
                    id: session_id(minted),
                    amount: checkout.amount.get(),
                    status: SessionStatus::Pending,
                    news: [self.deliveries; 2],
                });
                let session = Session {
                    id: hosted.id.clone(),
                    hosted_url: "https://pay.example".to_owned(),
                    expires_at: self.now.plus(Duration::from_secs(60)),
                };
                Some(Answer::Minted(Minted { session, observation: observation(hosted, hosted.status) }))
            }
            Call::Ask => {
                let hosted = state.plugipay.get(&key)?;
                Some(Answer::Observed(observation(hosted, hosted.status)))
            }
            Call::Cancel => {
                let hosted = state.plugipay.get_mut(&key)?;
                if hosted.status == SessionStatus::Pending {
                    hosted.status = SessionStatus::Canceled;
                }
                Some(Answer::Observed(observation(hosted, hosted.status)))
            }
        }
    }

    /// The janitor's work: intents, sessions to cancel, sessions of which Plugipay knows more.
    fn to_attend(&self, state: &State) -> Vec<CheckoutId> {
        let needs = |checkout: &&Checkout| {
            let hosted = state.plugipay.get(&checkout.idempotency_key());
            let told = hosted.map_or(SessionStatus::Pending, |hosted| hosted.status);
            let status = checkout.state.status;
            match status {
                CheckoutStatus::Completed | CheckoutStatus::Refused => false,
                CheckoutStatus::Intended => true,
                CheckoutStatus::Open if checkout.state.unneeded => true,
                _ => status.observe(told) != status,
            }
        };
        state.facts.checkouts.iter().filter(needs).map(|checkout| checkout.id).collect()
    }

    fn is_quiet(&self, state: &State) -> bool {
        state.running.is_empty() && self.to_attend(state).is_empty()
    }
}

fn session_id(n: usize) -> SessionId {
    SessionId::parse(&format!("cs_{n}")).unwrap()
}

fn event_id(session: &SessionId, kind: usize) -> ProviderEventId {
    ProviderEventId::parse(&format!("evt_{session}_{kind}")).unwrap()
}

fn call_of(checkout: &Checkout) -> Option<Call> {
    match checkout.state.status {
        CheckoutStatus::Intended => Some(Call::Mint),
        CheckoutStatus::Open if checkout.state.unneeded => Some(Call::Cancel),
        CheckoutStatus::Completed | CheckoutStatus::Refused => None,
        CheckoutStatus::Open | CheckoutStatus::Failed | CheckoutStatus::Expired | CheckoutStatus::Canceled => {
            Some(Call::Ask)
        }
    }
}

fn observation(hosted: &Hosted, status: SessionStatus) -> Observation {
    Observation { session_id: hosted.id.clone(), status, amount: hosted.amount, currency: "IDR".to_owned() }
}

fn decided<T>(decision: Decision<T>, then: Then) -> Option<At> {
    match decision {
        Decision::Change(change, _) => Some(At::Decided(change, then)),
        Decision::Unchanged(_) | Decision::Replayed(_) => None,
    }
}

impl Model for Order {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let storage = self.storage.fork();
        let (stored, facts) = self.look(&storage);
        let left = self.requests.iter().map(|(_, times)| *times).collect();
        vec![State { storage, stored, facts, plugipay: BTreeMap::new(), running: Vec::new(), left }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // Two hosts, each with one of these in progress at a time.
        let free = state.running.len() < HOSTS;
        for (at, left) in state.left.iter().enumerate() {
            if *left > 0 && free {
                actions.push(Action::Begin(at));
            }
        }
        for (at, process) in state.running.iter().enumerate() {
            actions.push(Action::Step(at));
            if self.losses && matches!(process.at, At::Call(..)) {
                actions.push(Action::LoseAnswer(at));
            }
        }
        for (key, hosted) in &state.plugipay {
            if matches!(hosted.status, SessionStatus::Pending) {
                actions.push(Action::Pay(key.clone()));
                actions.push(Action::Expire(key.clone()));
            }
            if hosted.status == SessionStatus::Completed && hosted.news[0] > 0 && free {
                actions.push(Action::Notify(key.clone(), 0));
            }
            // Late news of an expiry comes also after the money: a reordering provider.
            if matches!(hosted.status, SessionStatus::Expired) && hosted.news[1] > 0 && free {
                actions.push(Action::Notify(key.clone(), 1));
            }
        }
        let attended = |id: &CheckoutId| state.running.iter().any(|process| process.request == Request::Attend(*id));
        if free {
            actions.extend(self.to_attend(state).into_iter().filter(|id| !attended(id)).map(Action::Attend));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Begin(at) => {
                let seed = u64::try_from(at).unwrap() * 10 + u64::from(next.left[at]);
                next.left[at] -= 1;
                next.running.extend(self.begin(state, self.requests[at].0, seed));
            }
            Action::Step(at) | Action::LoseAnswer(at) => {
                let process = next.running.remove(at);
                let lose = matches!(action, Action::LoseAnswer(_));
                if let Some(process) = self.step(&mut next, process, lose) {
                    next.running.insert(at, process);
                }
            }
            Action::Pay(key) => next.plugipay.get_mut(&key)?.status = SessionStatus::Completed,
            Action::Expire(key) => next.plugipay.get_mut(&key)?.status = SessionStatus::Expired,
            Action::Notify(key, kind) => {
                let hosted = next.plugipay.get_mut(&key)?;
                hosted.news[kind] -= 1;
                let which: u64 = hosted.id.as_str().trim_start_matches("cs_").parse().ok()?;
                let seed = 1_000 + which * 100 + u64::from(hosted.news[kind]) * 10 + u64::try_from(kind).unwrap();
                let hosted = hosted.clone();
                next.running.extend(self.notify(state, &hosted, kind, seed));
            }
            Action::Attend(id) => {
                let which = state.facts.checkouts.iter().position(|checkout| checkout.id == id)?;
                let seed = 10_000 + u64::try_from(which).unwrap();
                next.running.extend(self.begin(state, Request::Attend(id), seed));
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("rule 1: confirmed at most once, with one mail and one event", |_, state: &State| {
                let told = usize::from(state.facts.confirmed);
                (state.facts.mails, state.facts.events) == (told, told)
            }),
            Property::always("rule 2: a session is booked at most once, with what arrived", |_, state: &State| {
                state.facts.booked.iter().all(|(session, booked)| {
                    let hosted = state.plugipay.values().find(|hosted| hosted.id.as_str() == session);
                    hosted.is_some_and(|hosted| {
                        hosted.status == SessionStatus::Completed && *booked == (hosted.amount, 1)
                    })
                })
            }),
            Property::always("rule 2: once all is quiet, what was paid is booked", |model: &Self, state: &State| {
                !model.is_quiet(state)
                    || state.plugipay.values().all(|hosted| {
                        let booked = state.facts.booked.contains_key(hosted.id.as_str());
                        booked == (hosted.status == SessionStatus::Completed)
                    })
            }),
            Property::always("rule 3: the balance is the sum of the entries", |_, state: &State| {
                state.facts.balance == state.facts.entries
            }),
            Property::always("money that does not confirm leaves one exception", |_, state: &State| {
                let confirming = state.facts.booked.len() - state.facts.exceptions.len();
                confirming <= 1 && (confirming == 0 || state.facts.confirmed)
            }),
            Property::always("one session at most is open and needed", |_, state: &State| {
                let needed = |checkout: &&Checkout| checkout.state.status.is_live() && !checkout.state.unneeded;
                state.facts.checkouts.iter().filter(needed).count() <= 1
            }),
            Property::always(
                "once all is quiet, nothing can be paid that need not be",
                |model: &Self, state: &State| {
                    !model.is_quiet(state)
                        || !state.facts.confirmed
                        || state.plugipay.values().all(|hosted| hosted.status != SessionStatus::Pending)
                },
            ),
            // The model reaches what it is about.
            Property::sometimes("a settlement confirms the order", |_, state: &State| {
                state.facts.confirmed && state.facts.booked.len() == 1 && state.facts.exceptions.is_empty()
            }),
            Property::sometimes("two sessions are paid", |_, state: &State| state.facts.booked.len() == 2),
            Property::sometimes("an exception is left", |_, state: &State| !state.facts.exceptions.is_empty()),
            Property::sometimes("a notification is parked", |_, state: &State| state.facts.parked > 0),
            Property::sometimes("a session is called off", |_, state: &State| {
                state.facts.statuses.contains(&CheckoutStatus::Canceled)
            }),
        ]
    }
}

/// A model that grows beyond this is not checked whole, which is a failure.
const STATES_MAX: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3_000_000).unwrap();

/// Checks every state, and says how many there were.
fn check(requests: &[(Request, u8)], losses: bool, deliveries: u8, reached: &[&str]) -> usize {
    let model = Order::new(requests, losses, deliveries);
    let checker = model.checker().threads(2).target_state_count(STATES_MAX.get()).spawn_bfs().join();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Sometimes => {
                assert_eq!(found.is_some(), reached.contains(&property.name), "{}", property.name);
            }
            stateright::Expectation::Always | stateright::Expectation::Eventually => {
                if let Some(path) = found {
                    let (actions, last) = (path.clone().into_actions(), path.last_state().clone());
                    panic!("{}\n{actions:#?}\n{last:#?}", property.name);
                }
            }
        }
    }
    assert!(checker.state_count() < STATES_MAX.get(), "not every state was looked at");
    checker.unique_state_count()
}

const CONFIRMS: &str = "a settlement confirms the order";
const TWICE: &str = "two sessions are paid";
const EXCEPTION: &str = "an exception is left";
const PARKED: &str = "a notification is parked";
const CALLED_OFF: &str = "a session is called off";

/// Checks every state; `states` is how many there are, so that a model that silently shrinks is noticed.
fn whole(requests: &[(Request, u8)], losses: bool, deliveries: u8, reached: &[&str], states: usize) {
    assert_eq!(check(requests, losses, deliveries, reached), states);
}

#[test]
fn two_presses_whose_answers_may_be_lost() {
    whole(&[(Request::Pay, 2)], true, 2, &[CONFIRMS, PARKED], 55_149);
}

#[test]
fn a_press_a_confirmation_a_cancellation_and_another_quote() {
    let requests = [(Request::Pay, 1), (Request::Confirm, 1), (Request::Cancel, 1), (Request::Quote, 1)];
    whole(&requests, true, 2, &[CONFIRMS, EXCEPTION, PARKED, CALLED_OFF], 60_835);
}

#[test]
fn two_presses_and_a_confirmation() {
    let requests = [(Request::Pay, 2), (Request::Confirm, 1)];
    whole(&requests, false, 1, &[CONFIRMS, EXCEPTION, PARKED, CALLED_OFF], 35_263);
}

#[test]
fn two_presses_and_another_quote_between_them() {
    let requests = [(Request::Pay, 2), (Request::Quote, 1)];
    whole(&requests, false, 0, &[CONFIRMS, TWICE, EXCEPTION, CALLED_OFF], 35_991);
}
