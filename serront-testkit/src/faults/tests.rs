//! Each wrapper × each fault, as a table: what the caller gets, and how many calls reach the wrapped port.

use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::changes::change::Write;
use serront_core::changes::effect::EffectStatus;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall, PlugipayMethod};
use serront_core::orders::mail::MailMessage;
use serront_core::ports::prelude::*;
use serront_core::ports::{Ids, Mailer, Plugipay, Post, Posted, Secrets, Sink, WorkStorage};
use serront_core::primitives::ids::{EventId, IdSequence, MailId, RemovalId};
use serront_core::primitives::text::EmailAddress;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::version::Version;
use serront_core::webhooks::event::EventType;
use ulid::Ulid;

use super::*;
use crate::memory::{CountingIds, CountingSecrets, Mailbox, ManualClock, MemoryReceipts, MemoryStorage, RecordingSink};
use crate::world::World;

/// Answers every call.
struct Provider;

#[async_trait::async_trait]
impl Plugipay for Provider {
    async fn call(&self, _call: &PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        Ok(PlugipayAnswer { data: "{}".to_owned(), cursor: None })
    }
}

/// Every port wrapped twice: the outer wrapper is under test, the inner one has no faults and counts calls.
struct Ports {
    faults: Faults,
    within: Faults,
    time: Arc<ManualClock>,
    storage: FaultyStorage<FaultyStorage<MemoryStorage>>,
    receipts: FaultyReceipts<FaultyReceipts<MemoryReceipts>>,
    mailer: FaultyMailer<FaultyMailer<Mailbox>>,
    sink: FaultySink<FaultySink<RecordingSink>>,
    plugipay: FaultyPlugipay<FaultyPlugipay<Provider>>,
    clock: FaultyClock<FaultyClock<ManualClock>>,
    ids: FaultyIds<FaultyIds<CountingIds>>,
    secrets: FaultySecrets<FaultySecrets<CountingSecrets>>,
}

fn ports() -> Ports {
    let time = Arc::new(ManualClock::default());
    let (faults, within) = (Faults::new(time.clone()), Faults::default());
    macro_rules! twice {
        ($wrapper:ident, $port:expr) => {
            $wrapper::with_faults(Arc::new($wrapper::with_faults(Arc::new($port), &within)), &faults)
        };
    }
    Ports {
        storage: twice!(FaultyStorage, MemoryStorage::new(time.clone())),
        receipts: twice!(FaultyReceipts, MemoryReceipts::new(time.clone())),
        mailer: twice!(FaultyMailer, Mailbox::default()),
        sink: twice!(FaultySink, RecordingSink::default()),
        plugipay: twice!(FaultyPlugipay, Provider),
        clock: FaultyClock::with_faults(Arc::new(FaultyClock::with_faults(time.clone(), &within)), &faults),
        ids: twice!(FaultyIds, CountingIds::default()),
        secrets: twice!(FaultySecrets, CountingSecrets::default()),
        faults,
        within,
        time,
    }
}

/// What a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The answer of the wrapped port.
    Fine,
    /// An error of this kind.
    Port(PortErrorKind),
    Conflict,
    /// A failure of a port that does not distinguish kinds.
    Failed,
    /// No answer at all.
    Never,
}

const TRANSIENT: Told = Told::Port(PortErrorKind::Transient);
const UNKNOWN: Told = Told::Port(PortErrorKind::OutcomeUnknown);
const BUSY: Told = Told::Port(PortErrorKind::Busy);

fn of<T>(result: Result<T, PortError>) -> Told {
    result.map_or_else(|error| Told::Port(error.kind()), |_| Told::Fine)
}

fn ulid(nth: u64) -> Ulid {
    Ulid::from_parts(nth, 1)
}

fn account_id() -> AccountId {
    AccountId::from_ulid(ulid(1))
}

fn change(nth: u64) -> ChangeSet {
    let (id, at) = (AccountId::from_ulid(ulid(nth)), Timestamp::from_millis(0));
    let state = AccountState {
        version: Version::FIRST,
        tier: Tier::Free,
        modules: Modules::default(),
        plugipay_account_id: None,
    };
    let account = Account { id, name: "Studio".to_owned(), created_at: at, state };
    ChangeSet {
        writes: vec![Write::InsertAccount(account)],
        ..ChangeSet::new(ChangeSetId::from_ulid(ulid(nth)), id, at)
    }
}

async fn record(storage: &impl WorkStorage) -> Told {
    let attempt = Attempt {
        attempt_number: 1,
        status: EffectStatus::Succeeded,
        response_code: None,
        error: None,
        duration_ms: 1,
        attempted_at: Timestamp::from_millis(0),
        next_retry_at: None,
    };
    let id = EffectId::Removal(RemovalId::from_ulid(ulid(1)));
    match storage.record_attempt(account_id(), id, Fence(1), &attempt, NextAttempt::Succeeded).await {
        // There is no such effect.
        Err(RecordError::LeaseLost(_)) | Ok(()) => Told::Fine,
        Err(RecordError::Port(error)) => Told::Port(error.kind()),
    }
}

async fn make(call: Call, ports: &Ports) -> Told {
    let Ports { storage, receipts, .. } = ports;
    let upload = UploadId::from_ulid(ulid(1));
    match call {
        Call::Read => of(storage.ready().await),
        Call::Commit => match storage.commit(&change(1)).await {
            Err(CommitError::Conflict) => Told::Conflict,
            Err(CommitError::Port(error)) => Told::Port(error.kind()),
            Ok(_) => Told::Fine,
            Err(CommitError::Duplicate(_)) => panic!("it claims nothing"),
        },
        Call::TakeDue => of(storage.take_due(Lane::Mails, 1, DeliveryShares::default(), Duration::ZERO).await),
        Call::RecordAttempt => record(storage).await,
        Call::FoldDeltas => of(storage.fold_deltas(1).await),
        Call::Prune => {
            let kept = Duration::ZERO;
            of(storage.prune(Prune { effects_kept: kept, change_sets_kept: kept, limit: 1 }).await)
        }
        Call::TouchKey => of(storage.touch_key(account_id(), KeyId::from_ulid(ulid(1)), Duration::ZERO).await),
        Call::BeginInstallation => of(storage.begin_installation(InstallationId::from_ulid(ulid(1))).await),
        Call::PutKeyCheck => of(storage.put_key_check(None, SealedSecret::stored("sealed:x".to_owned())).await),
        Call::PutReceipt => of(receipts.put(account_id(), upload, b"bytes").await),
        Call::GetReceipt => of(receipts.get(account_id(), upload).await),
        Call::DeleteReceipt => of(receipts.delete(account_id(), upload).await),
        Call::ListReceipts => of(receipts.list(Timestamp::from_millis(0), None, 1).await),
        Call::QuarantineReceipt => of(receipts.quarantine(account_id(), upload, Timestamp::from_millis(0)).await),
        Call::RestoreReceipt => of(receipts.restore(account_id(), upload).await),
        Call::DiscardReceipt => of(receipts.discard(account_id(), upload).await),
        Call::AdoptReceipts => of(receipts.adopt(InstallationId::from_ulid(ulid(1))).await),
        Call::SendMail => {
            let to = EmailAddress::parse("to", "budi@example.com").unwrap();
            let (id, text) = (MailId::from_ulid(ulid(1)), String::new());
            let message = MailMessage { id, to, to_name: text.clone(), subject: text.clone(), text, html: None };
            of(ports.mailer.send(&message).await)
        }
        Call::CheckTarget => match ports.sink.check_target("https://one.example").await {
            Ok(()) => Told::Fine,
            Err(_) => Told::Failed,
        },
        Call::Post => {
            let post = Post {
                url: "https://one.example".to_owned(),
                signature: String::new(),
                event_id: EventId::from_ulid(ulid(1)),
                event_type: EventType::OrderCreated,
                delivery_id: DeliveryId::from_ulid(ulid(1)),
                attempt: 1,
                body: "{}".to_owned(),
            };
            match ports.sink.post(&post).await {
                Posted::Answered(200) => Told::Fine,
                Posted::Answered(_) | Posted::Failed(_) => Told::Failed,
            }
        }
        Call::CallPlugipay => {
            let (method, path, body) = (PlugipayMethod::Get, "/".to_owned(), String::new());
            let call = PlugipayCall { method, path, on_behalf_of: None, idempotency_key: None, body };
            of(ports.plugipay.call(&call).await)
        }
        Call::Now => {
            let _time = ports.clock.now();
            Told::Fine
        }
        Call::Sleep => {
            ports.clock.sleep(Duration::from_secs(1)).await;
            Told::Fine
        }
        Call::DrawIds => {
            let _sequence: IdSequence = ports.ids.sequence(Timestamp::from_millis(1));
            Told::Fine
        }
        Call::DrawSecret => of(ports.secrets.draw()),
        Call::Point(name) => {
            ports.faults.point(name).await;
            Told::Fine
        }
    }
}

const STORAGE_WRITES: [Call; 5] = [Call::TakeDue, Call::RecordAttempt, Call::FoldDeltas, Call::Prune, Call::TouchKey];
const OUTSIDE_WRITES: [Call; 4] = [Call::PutReceipt, Call::DeleteReceipt, Call::SendMail, Call::CallPlugipay];
const READS: [Call; 3] = [Call::Read, Call::GetReceipt, Call::ListReceipts];
const A_WHILE: Duration = Duration::from_secs(7);

const FAULTS: [Fault; 11] = [
    Fault::FailBefore,
    Fault::LoseRequest,
    Fault::LoseAnswer,
    Fault::Conflict,
    Fault::Busy,
    Fault::Delay(A_WHILE),
    Fault::DelayAnswer(A_WHILE),
    Fault::Duplicate,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Step(7),
];

/// For each of [`FAULTS`]: what the caller gets, and how many calls reach the wrapped port.
type Row = [(Told, u64); 11];

const FINE: (Told, u64) = (Told::Fine, 1);
const TWICE: (Told, u64) = (Told::Fine, 2);
const DIED_BEFORE: (Told, u64) = (Told::Never, 0);
const DIED_AFTER: (Told, u64) = (Told::Never, 1);

#[rustfmt::skip]
const TABLE: [(&[Call], Row); 8] = [
    //                 FailBefore           LoseRequest          LoseAnswer           Conflict             Busy              Delay Answer Duplicate CrashBefore CrashAfter Step
    (&[Call::Commit], [(TRANSIENT, 0),      (UNKNOWN, 0),        (UNKNOWN, 1),        (Told::Conflict, 0), (BUSY, 0),        FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&STORAGE_WRITES, [(TRANSIENT, 0),      (UNKNOWN, 0),        (UNKNOWN, 1),        (TRANSIENT, 0),      (BUSY, 0),        FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&OUTSIDE_WRITES, [(TRANSIENT, 0),      (UNKNOWN, 0),        (UNKNOWN, 1),        (TRANSIENT, 0),      (BUSY, 0),        FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&READS,          [(TRANSIENT, 0),      (TRANSIENT, 0),      (TRANSIENT, 1),      (TRANSIENT, 0),      (BUSY, 0),        FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&[Call::CheckTarget, Call::Post],
                      [(Told::Failed, 0),   (Told::Failed, 0),   (Told::Failed, 1),   (Told::Failed, 0),   (Told::Failed, 0), FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&[Call::Sleep],  [FINE,                FINE,                FINE,                FINE,                FINE,             FINE, FINE, TWICE, DIED_BEFORE, DIED_AFTER, FINE]),
    (&[Call::DrawSecret],
                      [(TRANSIENT, 0),      (UNKNOWN, 0),        (UNKNOWN, 1),        (TRANSIENT, 0),      (BUSY, 0),        FINE, FINE, TWICE, DIED_AFTER, DIED_AFTER, FINE]),
    (&[Call::Now],    [FINE,                FINE,                FINE,                FINE,                FINE,             FINE, FINE, FINE, DIED_AFTER, DIED_AFTER, FINE]),
];

#[tokio::test]
async fn each_fault_does_to_each_port_what_it_says() {
    for (calls, row) in TABLE {
        for &call in calls {
            for (fault, expected) in FAULTS.into_iter().zip(row) {
                let ports = ports();
                ports.faults.script(call, [fault]);
                let told = tokio::select! {
                    biased;
                    // A call that can't wait returns, and stops the world nevertheless.
                    told = async {
                        let told = make(call, &ports).await;
                        ports.faults.live(0).await;
                        told
                    } => told,
                    at = ports.faults.stopped() => {
                        assert_eq!(at, call);
                        Told::Never
                    }
                };
                assert_eq!((told, ports.within.calls(call)), expected, "{call:?} {fault:?}");
                assert_eq!(ports.faults.struck(), [(call, fault)]);
                ports.faults.restart();
                assert_eq!(
                    make(call, &ports).await,
                    Told::Fine,
                    "{call:?} after {fault:?}: only one fault was scripted"
                );
            }
        }
    }
}

/// Ids and points can't fail, so no fault changes their answer.
#[tokio::test]
async fn what_cannot_fail_does_not() {
    for call in [Call::DrawIds, Call::Point("after the upload")] {
        for fault in FAULTS {
            if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
                continue;
            }
            let ports = ports();
            ports.faults.script(call, [fault]);
            let told = make(call, &ports).await;
            assert_eq!(told, Told::Fine, "{call:?} {fault:?}");
        }
    }
}

/// Counts how long it was slept on.
#[derive(Default)]
struct Slept(Mutex<Duration>);

#[async_trait::async_trait]
impl Clock for Slept {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    async fn sleep(&self, duration: Duration) {
        *locked(&self.0) += duration;
    }
}

#[tokio::test]
async fn a_delay_passes_by_the_clock_port() {
    let clock = Arc::new(Slept::default());
    let faults = Faults::new(clock.clone());
    let mailer = FaultyMailer::with_faults(Arc::new(Mailbox::default()), &faults);
    let to = EmailAddress::parse("to", "budi@example.com").unwrap();
    let (id, text) = (MailId::from_ulid(ulid(1)), String::new());
    let message = MailMessage { id, to, to_name: text.clone(), subject: text.clone(), text, html: None };
    faults.script(Call::SendMail, [Fault::Delay(A_WHILE), Fault::DelayAnswer(A_WHILE)]);
    mailer.send(&message).await.unwrap();
    assert_eq!(*locked(&clock.0), A_WHILE);
    mailer.send(&message).await.unwrap();
    assert_eq!(*locked(&clock.0), A_WHILE * 2);
}

#[tokio::test]
async fn a_stepped_clock_stays_stepped() {
    let ports = ports();
    let before = ports.time.now();
    ports.faults.script(Call::Now, [Fault::Step(-5_000), Fault::Step(2_000)]);
    assert_eq!(ports.clock.now().millis(), before.millis() - 5_000);
    assert_eq!(ports.clock.now().millis(), before.millis() - 3_000);
    assert_eq!(ports.clock.now().millis(), before.millis() - 3_000);
    assert_eq!(ports.time.now(), before);
}

/// A crash ends every call under way, at every port; calls that begin after a restart succeed.
#[tokio::test]
async fn a_stopped_world_answers_nobody() {
    let ports = Arc::new(ports());
    ports.faults.script(Call::Point("the answer is on its way"), [Fault::CrashAfter]);
    let before = tokio::spawn({
        let ports = ports.clone();
        async move {
            // Slept through the crash, and asked for more afterwards.
            ports.faults.script(Call::Sleep, [Fault::DelayAnswer(A_WHILE)]);
            make(Call::Sleep, &ports).await;
            make(Call::Commit, &ports).await
        }
    });
    let crashing = tokio::spawn({
        let ports = ports.clone();
        async move { ports.faults.point("the answer is on its way").await }
    });
    assert_eq!(ports.faults.stopped().await, Call::Point("the answer is on its way"));
    let during = tokio::spawn({
        let ports = ports.clone();
        async move { make(Call::SendMail, &ports).await }
    });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    ports.faults.restart();
    assert_eq!(make(Call::SendMail, &ports).await, Told::Fine);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    for hanging in [before, during] {
        assert!(!hanging.is_finished());
        hanging.abort();
    }
    assert!(!crashing.is_finished());
    crashing.abort();
    assert_eq!((ports.within.calls(Call::Commit), ports.within.calls(Call::SendMail)), (0, 1));
}

/// The service, its host killed after a commit landed and before it heard of it, and started again.
#[tokio::test]
async fn a_crash_after_the_commit_is_found_done_after_the_restart() {
    let clock = Arc::new(ManualClock::default());
    let storage = FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())));
    let faults = storage.faults();
    let world = World::over(Arc::new(storage), clock);
    let (seller, placed) = world.seller_with_order("studio").await;
    faults.script(Call::Commit, [Fault::CrashAfter]);
    let actor = Actor::host("tester").unwrap();
    let (commands, id) = (world.commands(), placed.id);
    tokio::select! {
        answer = commands.confirm_payment(seller.account_id, id, &actor, None, None) => panic!("{answer:?}"),
        at = faults.stopped() => assert_eq!(at, Call::Commit),
    }
    faults.restart();
    assert!(commands.confirm_payment(seller.account_id, id, &actor, None, None).await.is_err(), "it is confirmed");
    assert_eq!(world.dispatch_all().await, 1, "one mail");
}

#[test]
fn the_same_seed_draws_the_same_faults_whatever_comes_between() {
    let rates = Rates { crash_after: 20, ..Rates::each(40) };
    let drawn = |seed: u64, call: Call| -> Vec<_> { (0..2_000).map(|before| rates.draw(seed, call, before)).collect() };
    for call in [Call::Commit, Call::Point("one"), Call::Now] {
        assert_eq!(drawn(7, call), drawn(7, call));
        assert_ne!(drawn(7, call), drawn(8, call));
        assert_ne!(drawn(7, call), drawn(7, Call::Point("two")));
    }
    let first = |faults: &[Option<Fault>]| -> Vec<_> { faults.iter().flatten().copied().take(4).collect() };
    // Written down, so that a seed that was noted once stays what it was.
    assert_eq!(first(&drawn(7, Call::Commit)), SEVENTH);
    let mut seen = std::collections::BTreeSet::new();
    for fault in drawn(1, Call::Commit).into_iter().chain(drawn(1, Call::Now)).flatten() {
        seen.insert(format!("{fault:?}").split('(').next().unwrap_or_default().to_owned());
    }
    let expected = [
        "Busy",
        "Conflict",
        "CrashAfter",
        "Delay",
        "DelayAnswer",
        "Duplicate",
        "FailBefore",
        "LoseAnswer",
        "LoseRequest",
        "Step",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    // Within a quarter of what the rate says, over many draws.
    let conflicts = drawn(3, Call::Commit).iter().filter(|fault| **fault == Some(Fault::Conflict)).count();
    assert!((60..=100).contains(&conflicts), "{conflicts} of 2,000 at 40 of 1,000");
    assert!((0..1_000).all(|before| Rates::NONE.draw(1, Call::Commit, before).is_none()));
}

const SEVENTH: [Fault; 4] = [
    Fault::DelayAnswer(Duration::from_millis(1_177)),
    Fault::LoseRequest,
    Fault::DelayAnswer(Duration::from_millis(1_178)),
    Fault::LoseRequest,
];

#[tokio::test]
async fn a_seeded_storage_fails_and_the_books_are_whole() {
    for seed in 0..20 {
        let clock = Arc::new(ManualClock::default());
        let storage = FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())));
        let faults = storage.faults();
        let world = World::over(Arc::new(storage), clock);
        let (seller, placed) = world.seller_with_order("studio").await;
        faults.seed(seed, Rates::each(60));
        let actor = Actor::host("tester").unwrap();
        for _ in 0..10 {
            let _ = world.commands().confirm_payment(seller.account_id, placed.id, &actor, None, None).await;
        }
        assert!(!faults.struck().is_empty(), "seed {seed}");
        faults.heal();
        let trail = world.commands().audit(seller.account_id, placed.id).await.unwrap();
        assert_eq!(trail.len(), 2, "seed {seed}: placed and confirmed");
        assert_eq!(world.dispatch_all().await, 1, "seed {seed}: one mail");
    }
}

#[tokio::test]
async fn a_script_goes_before_the_rule_and_healing_ends_both() {
    let ports = ports();
    let faults = &ports.faults;
    faults.rule(|call, before| (call == Call::Read && before % 2 == 1).then_some(Fault::FailBefore));
    faults.script(Call::Read, [Fault::FailBefore]);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(ports.storage.ready().await.is_ok());
    }
    assert_eq!(answers, [false, false, true, false]);
    assert_eq!(faults.calls(Call::Read), 4);
    assert_eq!(faults.struck(), [(Call::Read, Fault::FailBefore); 3]);
    assert!(
        ports.storage.take_due(Lane::Mails, 1, DeliveryShares::default(), Duration::ZERO).await.is_ok(),
        "the rule is about reads"
    );
    faults.script(Call::Read, [Fault::LoseAnswer]);
    faults.heal();
    for _ in 0..4 {
        assert!(ports.storage.ready().await.is_ok());
    }
}

#[tokio::test]
async fn a_commit_that_landed_is_never_in_conflict_with_itself() {
    let ports = ports();
    ports.faults.script(Call::Commit, [Fault::LoseAnswer, Fault::Conflict]);
    assert!(ports.storage.commit(&change(1)).await.is_err());
    assert!(ports.storage.commit(&change(1)).await.is_ok());
    assert_eq!(ports.storage.sent().len(), 2);
}
