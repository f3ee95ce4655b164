//! What one host or one account holds on PostgreSQL, and that nothing of it stops another's (#16).
#![cfg(all(feature = "postgres", feature = "system"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::system::SystemClock;
use serront_core::accounts::account::AccountState;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use serront_core::changes::effect::{Attempt, Effect, EffectStatus, Errand, Lane};
use serront_core::funds::books::Verification;
use serront_core::orders::mail::MailMessage;
use serront_core::policy::DeliveryShares;
use serront_core::ports::{
    AccountReads as _, Bookkeeping as _, Clock as _, CommitError, Commits as _, Ids as _, Mailer, OrderReads as _,
    Outbox as _, PortError, PortErrorKind, Posted, RecordError, Upkeep as _, WebhookReads as _, WorkStorage,
};
use serront_core::primitives::ids::{AccountId, ChangeSetId, MailId, SubscriptionId};
use serront_core::primitives::provider::ProviderEventId;
use serront_core::primitives::rejection::Code;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, Environment, Failure};
use serront_core::snapshots::{Due, Fence, NextAttempt};
use serront_core::work::dispatch::Dispatcher;
use serront_testkit::memory::{Mailbox, ManualClock, RecordingSink};
use serront_testkit::postgres::{Cluster, fresh_schema, server_url};
use serront_testkit::proxy::Proxy;
use serront_testkit::world::{Placed, Seller, World, host};
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgPool};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A bound for what must come to an end at all.
const BOUND: Duration = Duration::from_secs(60);
/// A lease that does not run out in a test.
const LEASE: Duration = Duration::from_secs(3_600);
const EVENT: &str = "serront.order.payment_confirmed.v1";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

/// Two hosts of one schema: one behind the proxy, and one with a direct connection.
struct Hosts {
    proxied: Arc<PostgresStorage>,
    world: Arc<World<PostgresStorage>>,
    schema: String,
    proxy: Proxy,
    pool: PgPool,
}

impl Hosts {
    /// Whose server ends a transaction that stands still for so long.
    async fn open(idle_transaction_time_max: Duration) -> Self {
        let server: PgConnectOptions = server_url().parse().unwrap();
        let address = tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await;
        let proxy = Proxy::start(address.unwrap().next().unwrap()).await.unwrap();
        let through = server.clone().host("127.0.0.1").port(proxy.address().port()).ssl_mode(PgSslMode::Disable);
        let (clock, schema) = (Arc::new(ManualClock::default()), fresh_schema());
        let open = async |connect| {
            let mut options = PostgresOptions::new(connect);
            options.schema.clone_from(&schema);
            options.clock = Some(clock.clone());
            // The other host is stopped, and does not tell its server that it gives up.
            options.statement_time_max = Duration::from_secs(600);
            options.idle_transaction_time_max = idle_transaction_time_max;
            Arc::new(within(PostgresStorage::open(options)).await.unwrap())
        };
        let (proxied, storage) = (open(through).await, open(server.clone()).await);
        let world = Arc::new(World::over(storage, clock.clone()));
        let pool = PgPool::connect_with(server).await.unwrap();
        Self { proxied, world, schema, proxy, pool }
    }

    async fn sql(&self, sql: &str) {
        let sql = sql.replace("@.", &format!("{}.", self.schema));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// Queues something in each lane.
    async fn queue(&self, seller: &Seller) {
        let placed = self.world.place(seller, "Budi").await;
        confirm(&self.world, &placed).await.unwrap();
        let now = self.world.clock.now();
        let mut ids = self.world.ids.sequence(now);
        let effects = vec![
            Effect::Removal { id: ids.removal(), upload_id: ids.upload() },
            Effect::Errand { id: ids.errand(), errand: Errand::Poll(ids.checkout()), due_at: now },
        ];
        let change = ChangeSet { effects, ..empty(seller.account_id, ids.change_set(), now) };
        within(self.world.storage.commit(&change)).await.unwrap();
        // More than the network holds for a host that does not read.
        self.sql(
            "UPDATE @.effects SET content = content || repeat(' ', 4000000) \
             WHERE kind IN ('mail', 'delivery') AND pg_column_size(content) < 10000",
        )
        .await;
    }

    /// Runs this on the host that stops after so many requests to the server; answers whether it came to its end before.
    async fn stopped_in<T: Send + 'static>(
        &self,
        requests: u64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> (bool, JoinHandle<()>) {
        // On a connection that is there.
        within(self.proxied.ready()).await.unwrap();
        self.proxy.stall_after(requests);
        let mut working = tokio::spawn(async move { drop(work.await) });
        let done = loop {
            if self.proxy.is_stalled() {
                break false;
            }
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(5), &mut working).await {
                done.unwrap();
                break true;
            }
        };
        // It keeps its connections, as a process does that is stopped.
        (done, working)
    }

    /// As if its machine was permanently lost: its connections end.
    fn gone(&self, stopped: &JoinHandle<()>) {
        stopped.abort();
        self.proxy.heal();
        self.proxy.cut_all();
    }
}

fn empty(account_id: AccountId, id: ChangeSetId, at: Timestamp) -> ChangeSet {
    ChangeSet {
        id,
        account_id,
        at,
        guards: Vec::new(),
        releases: Vec::new(),
        claims: Vec::new(),
        writes: Vec::new(),
        effects: Vec::new(),
    }
}

async fn confirm<S: WorkStorage>(world: &World<S>, placed: &Placed) -> Result<(), Failure> {
    within(world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None)).await.map(drop)
}

/// A host that stops at any request to the server, and keeps its connections, does not block another host.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_while_it_takes_work_holds_no_lane() {
    // Without an end by the server's own doing: there is nothing to end.
    let hosts = Hosts::open(Duration::ZERO).await;
    let seller = hosts.world.seller("studio").await;
    hosts.world.subscribe(&seller, "https://hooks.example.com", &[EVENT]).await;
    for lane in Lane::ALL {
        let mut stops = 0;
        loop {
            hosts.queue(&seller).await;
            let stopping = Arc::clone(&hosts.proxied);
            let taking = async move { stopping.take_due(lane, 100, DeliveryShares::UNLIMITED, LEASE).await.map(drop) };
            let (done, stopped) = hosts.stopped_in(stops + 1, taking).await;
            // The stopped host's effects return after its lease; new effects are free.
            hosts.queue(&seller).await;
            let took = within(async {
                loop {
                    let taken = hosts.world.storage.take_due(lane, 100, DeliveryShares::UNLIMITED, LEASE).await;
                    if let Some(taken) = taken.ok().filter(|taken| !taken.is_empty()) {
                        break taken;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            assert!(took.await.iter().all(|due| due.id.lane() == lane));
            hosts.gone(&stopped);
            if done {
                break;
            }
            stops += 1;
        }
        assert!(stops >= 3, "{lane:?}: stopped at each of its requests: {stops}");
    }
}

/// The same for the folder, for a reader of the books, for commits, and for the records of attempts.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_in_the_middle_of_other_work_holds_nothing() {
    let hosts = Hosts::open(Duration::from_secs(1)).await;
    let seller = hosts.world.seller("studio").await;
    for what in ["fold", "books", "commit", "record"] {
        let mut stops = 0;
        loop {
            let placed = hosts.world.place(&seller, "Budi").await;
            let taken = hosts.world.storage.take_due(Lane::Mails, 100, DeliveryShares::UNLIMITED, LEASE).await.unwrap();
            assert_eq!(taken, []);
            let (stopping, world) = (Arc::clone(&hosts.proxied), Arc::clone(&hosts.world));
            let (order, account_id) = (placed.clone(), seller.account_id);
            let working = async move {
                match what {
                    "fold" => drop(stopping.fold_deltas(100).await),
                    "books" => drop(stopping.books(Some(account_id), &Verification::default()).await),
                    _ => {
                        let commands = Commands::new(&*stopping, world.environment());
                        let _ = commands.confirm_payment(account_id, order.id, &host(), None, None).await;
                        if what == "record" {
                            let (mailer, sink) = (Mailbox::default(), RecordingSink::default());
                            let of = Dispatcher::new(&*stopping, &mailer, &sink, &*world.receipts, world.environment());
                            let _ = of.step(world.clock.now(), 16).await;
                        }
                    }
                }
            };
            let (done, stopped) = hosts.stopped_in(stops + 1, working).await;
            within(async {
                while hosts.world.storage.fold_deltas(1_000).await.is_err() {}
                // This confirmation is answered regardless of the other one's outcome.
                while matches!(confirm(&hosts.world, &placed).await, Err(Failure::Busy | Failure::Port { .. })) {}
                hosts.world.storage.books(None, &Verification::default()).await.unwrap();
            })
            .await;
            hosts.world.clock.advance(LEASE);
            within(hosts.world.dispatch_all()).await;
            hosts.gone(&stopped);
            if done {
                break;
            }
            stops += 1;
        }
        assert!(stops >= 1, "{what}");
    }
    // A transaction that is left open ends by the server's own doing.
    within(async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND application_name = 'serront'";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&hosts.pool).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A host's own transaction locks one order of an account, and the account's next number; two hundred calls wait for
/// it. Other accounts are not delayed, and the waiting calls continue when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_one_account_takes_no_place_of_anothers() {
    let mut options = PostgresOptions::at(&server_url()).unwrap();
    options.schema = fresh_schema();
    // Longer than any call here may wait.
    options.acquire_time_max = BOUND;
    options.lock_time_max = BOUND;
    let clock = Arc::new(ManualClock::default());
    options.clock = Some(clock.clone());
    let schema = options.schema.clone();
    let mut world = World::over(Arc::new(PostgresStorage::open(options).await.unwrap()), clock);
    world.policy.commits.rounds_max = 1_000;
    let world = Arc::new(world);
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let held = world.seller("held").await;
    let (locked, other) = (world.place(&held, "Budi").await, world.place(&held, "Sari").await);

    let mut transaction = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {schema}.orders WHERE order_id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).bind(locked.id.to_string()).execute(&mut *transaction).await.unwrap();
    let sql = format!("UPDATE {schema}.order_numbers SET last_number = last_number WHERE account_id = $1");
    sqlx::query(AssertSqlSafe(sql)).bind(held.account_id.to_string()).execute(&mut *transaction).await.unwrap();

    let confirmed = Arc::new(AtomicUsize::new(0));
    let waits = |index: u32| {
        let (world, held, locked) = (Arc::clone(&world), held.clone(), locked.clone());
        let confirmed = Arc::clone(&confirmed);
        tokio::spawn(async move {
            if index.is_multiple_of(2) {
                // The first lands, and the others find it confirmed.
                match confirm(&world, &locked).await {
                    Ok(()) => drop(confirmed.fetch_add(1, Ordering::SeqCst)),
                    Err(Failure::Rejected(rejection)) => assert_eq!(rejection.code(), Code::InvalidTransition),
                    Err(other) => panic!("{other:?}"),
                }
            } else {
                within(world.place(&held, "Budi")).await;
            }
        })
    };
    let waiting: Vec<_> = (0..200).map(waits).collect();
    // So that they are at it before the others come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let others = (0..25).map(|index| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            // A new account and a new storefront want that there is none yet.
            let seller = world.seller(&format!("free-{index}")).await;
            for _ in 0..4 {
                let placed = world.place(&seller, "Budi").await;
                confirm(&world, &placed).await.unwrap();
            }
        })
    });
    for done in within(join_all(others)).await {
        done.unwrap();
    }
    // Nor is the same account's other order held up.
    confirm(&world, &other).await.unwrap();
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "they wait for what is locked");
    transaction.rollback().await.unwrap();
    for done in within(join_all(waiting)).await {
        done.unwrap();
    }
    assert_eq!(confirmed.load(Ordering::SeqCst), 1);
    let last = within(world.place(&held, "Budi")).await;
    assert_eq!(last.number.0, 103, "each of a hundred orders has its number");
}

/// A subscription that a host's own transaction holds takes no connection from others, however many records wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_wait_for_a_lock_take_no_connection() {
    let mut options = PostgresOptions::at(&server_url()).unwrap();
    options.schema = fresh_schema();
    options.connections_max = 2;
    options.acquire_time_max = BOUND;
    options.lock_time_max = BOUND;
    options.clock = Some(Arc::new(ManualClock::default()));
    let schema = options.schema.clone();
    let world = World::over(Arc::new(PostgresStorage::open(options).await.unwrap()), Arc::default());
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let seller = world.seller("studio").await;
    let subscription = world.subscribe(&seller, "https://hooks.example.com", &[EVENT]).await;
    for _ in 0..4 {
        confirm(&world, &world.place(&seller, "Budi").await).await.unwrap();
    }
    // Each adds to the streak.
    world.sink.answer_next(std::iter::repeat_n(Posted::Answered(500), 4));
    let shares = DeliveryShares::UNLIMITED;
    let taken = world.storage.take_due(Lane::Deliveries, 10, shares, LEASE).await.unwrap();
    assert_eq!(taken.len(), 4);
    let mut transaction = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {schema}.subscriptions WHERE subscription_id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).bind(subscription.to_string()).execute(&mut *transaction).await.unwrap();
    let environment = Environment { clock: &SystemClock, ..world.environment() };
    let dispatcher = Dispatcher::new(&*world.storage, &*world.mailbox, &*world.sink, &*world.receipts, environment);
    let recording = join_all(taken.iter().map(|due| dispatcher.perform(due)));
    let others = async {
        for _ in 0..20 {
            world.storage.counts(seller.account_id).await.unwrap();
        }
        transaction.rollback().await.unwrap();
    };
    let (recorded, ()) = within(async { tokio::join!(recording, others) }).await;
    assert!(recorded.iter().all(Result::is_ok), "{recorded:?}");
    assert_eq!(world.sink.posts().len(), 4);
}

/// A storage whose subscriptions can be locked, with sellers who are subscribed.
struct Recording {
    world: World<PostgresStorage>,
    schema: String,
}

impl Recording {
    async fn open() -> Self {
        let mut options = PostgresOptions::at(&server_url()).unwrap();
        options.schema = fresh_schema();
        options.clock = Some(Arc::new(ManualClock::default()));
        let schema = options.schema.clone();
        let storage = Arc::new(PostgresStorage::open(options).await.unwrap());
        Self { world: World::over(storage, Arc::default()), schema }
    }

    /// A subscription, its deliveries, and the mails of the same confirmations, all of them leased.
    async fn leased(&self, slug: &str, orders: usize) -> (SubscriptionId, Vec<Due>, Vec<Due>) {
        let seller = self.world.seller(slug).await;
        let subscription = self.world.subscribe(&seller, "https://hooks.example.com", &[EVENT]).await;
        for _ in 0..orders {
            confirm(&self.world, &self.world.place(&seller, "Budi").await).await.unwrap();
        }
        let take = async |lane| self.world.storage.take_due(lane, 100, DeliveryShares::UNLIMITED, LEASE).await.unwrap();
        let (deliveries, mails) = (take(Lane::Deliveries).await, take(Lane::Mails).await);
        assert_eq!((deliveries.len(), mails.len()), (orders, orders));
        (subscription, deliveries, mails)
    }

    fn attempt(&self, due: &Due, succeeded: bool) -> (Attempt, NextAttempt) {
        let next = if succeeded { NextAttempt::Succeeded } else { NextAttempt::Failed };
        let attempt = Attempt {
            attempt_number: due.attempts + 1,
            status: if succeeded { EffectStatus::Succeeded } else { EffectStatus::Failed },
            response_code: None,
            error: (!succeeded).then(|| "refused".to_owned()),
            duration_ms: if succeeded { 3_000 } else { 20 },
            attempted_at: self.world.clock.now(),
            next_retry_at: None,
        };
        (attempt, next)
    }

    async fn record(&self, due: &Due, succeeded: bool) -> Result<(), RecordError> {
        let (attempt, next) = self.attempt(due, succeeded);
        self.world.storage.record_attempt(due.account_id, due.id, due.fence, &attempt, next).await
    }

    /// Asserts that the effect's log has the attempt.
    async fn has(&self, due: &Due, succeeded: bool) {
        let effect = self.world.storage.effect(due.account_id, due.id).await.unwrap().unwrap();
        let (attempt, _) = self.attempt(due, succeeded);
        assert_eq!(
            (effect.status, effect.attempts, effect.last_attempt),
            (attempt.status, 1, Some(attempt)),
            "{}",
            due.id
        );
    }
}

/// Records that share a statement leave what the same records leave one after another.
#[tokio::test(flavor = "multi_thread")]
async fn records_at_once_count_a_streak_as_one_after_another() {
    let recording = Recording::open().await;
    let results = [
        vec![true, false, true, false, false],
        vec![false, false, false],
        vec![false, false, true],
        vec![true, true],
        vec![false, true, true, true, false],
    ];
    let (mut at_once, mut in_turn, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
    for (n, results) in results.iter().enumerate() {
        for (records, how) in [(&mut at_once, "at-once"), (&mut in_turn, "in-turn")] {
            let (subscription, deliveries, mails) = recording.leased(&format!("{how}-{n}"), results.len()).await;
            subscriptions.push((deliveries[0].account_id, subscription));
            records.extend(deliveries.into_iter().zip(results.iter().copied()));
            records.extend(mails.into_iter().map(|mail| (mail, true)));
        }
    }
    let recorded = within(join_all(at_once.iter().map(|(due, succeeded)| recording.record(due, *succeeded)))).await;
    assert!(recorded.iter().all(Result::is_ok), "{recorded:?}");
    for (due, succeeded) in &in_turn {
        recording.record(due, *succeeded).await.unwrap();
    }
    for (due, succeeded) in at_once.iter().chain(&in_turn) {
        recording.has(due, *succeeded).await;
    }
    for ((pair, results), streak) in subscriptions.chunks(2).zip(&results).zip([2, 3, 0, 0, 1]) {
        let [at_once, in_turn] = [pair[0], pair[1]];
        let at_once = recording.world.storage.streak(at_once.0, at_once.1).await.unwrap();
        let in_turn = recording.world.storage.streak(in_turn.0, in_turn.1).await.unwrap();
        assert_eq!(at_once, in_turn, "{results:?}");
        assert_eq!(at_once.map_or(0, |streak| streak.failures), streak, "{results:?}");
    }
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let took = format!("SELECT took_seconds FROM {}.subscriptions WHERE subscription_id = $1", recording.schema);
    for pair in subscriptions.chunks(2) {
        let mut times = Vec::new();
        for (_, subscription) in pair {
            let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(took.clone())).bind(subscription.to_string());
            times.push(query.fetch_one(&pool).await.unwrap());
        }
        assert_eq!(times[0], times[1]);
    }
    let again = within(join_all(at_once.iter().map(|(due, succeeded)| recording.record(due, *succeeded)))).await;
    assert!(again.iter().all(|again| matches!(again, Err(RecordError::LeaseLost(_)))), "{again:?}");
}

/// A record that the server refuses fails alone, and one whose lease is lost too.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_fails_alone() {
    let recording = Recording::open().await;
    let (_, deliveries, mails) = recording.leased("studio", 6).await;
    let all: Vec<Due> = deliveries.into_iter().chain(mails).collect();
    let recorded = within(join_all(all.iter().enumerate().map(async |(n, due)| {
        let (mut attempt, next) = recording.attempt(due, false);
        // No text of PostgreSQL has this character.
        if n == 5 {
            attempt.error = Some("\0".to_owned());
        }
        let fence = if n == 7 { Fence(due.fence.0 + 1) } else { due.fence };
        recording.world.storage.record_attempt(due.account_id, due.id, fence, &attempt, next).await
    })))
    .await;
    for (n, (due, recorded)) in all.iter().zip(recorded).enumerate() {
        match (n, recorded) {
            (5, recorded) => assert!(matches!(recorded, Err(RecordError::Port(_))), "{recorded:?}"),
            (7, recorded) => assert!(matches!(recorded, Err(RecordError::LeaseLost(_))), "{recorded:?}"),
            (_, recorded) => {
                recorded.unwrap();
                recording.has(due, false).await;
            }
        }
    }
}

/// A locked subscription makes no other record fail that shares its statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_subscription_delays_only_its_own_records() {
    let recording = Recording::open().await;
    let (locked, of_locked, mails) = recording.leased("locked", 3).await;
    let (_, of_others, _) = recording.leased("others", 3).await;
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {}.subscriptions WHERE subscription_id = $1 FOR UPDATE", recording.schema);
    sqlx::query(AssertSqlSafe(sql)).bind(locked.to_string()).execute(&mut *transaction).await.unwrap();
    let others: Vec<&Due> = mails.iter().chain(&of_others).collect();
    let all = of_locked.iter().chain(others.iter().copied());
    let recorded = within(join_all(all.map(|due| recording.record(due, false)))).await;
    for (n, recorded) in recorded.into_iter().enumerate() {
        match recorded {
            Err(RecordError::Port(error)) if n < of_locked.len() => assert_eq!(error.kind(), PortErrorKind::Busy),
            recorded => assert!(n >= of_locked.len() && recorded.is_ok(), "{n}: {recorded:?}"),
        }
    }
    for due in others {
        recording.has(due, false).await;
    }
    transaction.rollback().await.unwrap();
    for due in &of_locked {
        within(recording.record(due, false)).await.unwrap();
    }
}

/// A change set that claims an event, and takes the account's settings from this version to the next one.
fn claiming(world: &World<PostgresStorage>, account: &AccountState, account_id: AccountId, event: &str) -> ChangeSet {
    let now = world.clock.now();
    let state = AccountState { version: account.version.next(), ..account.clone() };
    ChangeSet {
        guards: vec![Guard::Exact { row: Row::Account, version: account.version }],
        writes: vec![Write::UpdateAccount(state)],
        claims: vec![Claim::of(ClaimName::ProviderEvent(ProviderEventId::parse(event).unwrap()))],
        ..empty(account_id, world.ids.sequence(now).change_set(), now)
    }
}

/// Of change sets that claim one event at the same moment one lands, and the others are told so. None waits for a caller
/// that has gone, and a change set that is sent twice at once has one result.
#[tokio::test(flavor = "multi_thread")]
async fn of_one_event_at_once_one_lands() {
    let recording = Recording::open().await;
    let (world, schema) = (&recording.world, &recording.schema);
    let seller = world.seller("studio").await;
    let settings = async || world.storage.account(seller.account_id, None).await.unwrap().unwrap().account.state;
    let before = settings().await;
    let changes: Vec<_> = (0..5).map(|_| claiming(world, &before, seller.account_id, "evt_one")).collect();
    let results = within(join_all(changes.iter().map(|change| world.storage.commit(change)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let duplicates = results.iter().filter(|result| match result {
        Err(CommitError::Duplicate(duplicate)) => duplicate.claim == changes[0].claims[0].name,
        Ok(_) | Err(_) => false,
    });
    assert_eq!(duplicates.count(), 4, "{results:?}");
    assert_eq!(settings().await.version, before.version.next());

    // The first one waits for a lock when its caller goes; the second one lands. It is sent twice.
    let before = settings().await;
    let [first, second] = [(); 2].map(|()| claiming(world, &before, seller.account_id, "evt_two"));
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {schema}.accounts WHERE account_id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).bind(seller.account_id.to_string()).execute(&mut *transaction).await.unwrap();
    let gone = {
        let mut going = Box::pin(world.storage.commit(&first));
        tokio::time::timeout(Duration::from_millis(100), &mut going).await
    };
    assert!(gone.is_err(), "it waits: {gone:?}");
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        transaction.rollback().await.unwrap();
    };
    let (second_result, again, ()) =
        within(async { tokio::join!(world.storage.commit(&second), world.storage.commit(&second), releasing) }).await;
    // A statement that was on its way when its caller went may still land.
    let landed = world.storage.outcome(seller.account_id, first.id).await.unwrap().is_some();
    assert_eq!(second_result.is_ok(), !landed, "{second_result:?}");
    assert_eq!(again.is_ok(), !landed, "{again:?}");
}

/// Counts what it is given, and takes until the restart has begun.
struct Counting {
    sent: Mutex<BTreeMap<MailId, usize>>,
    restarting: watch::Receiver<bool>,
}

#[async_trait]
impl Mailer for Counting {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        let nth = {
            let mut sent = self.sent.lock().unwrap();
            *sent.entry(message.id).or_default() += 1;
            u64::try_from(sent.len()).unwrap()
        };
        let _ = self.restarting.clone().wait_for(|restarting| *restarting).await;
        // Some are through before the server has ended, some while it is away, and some when it is there again.
        tokio::time::sleep(Duration::from_millis(nth * 25)).await;
        Ok(())
    }
}

/// The server is restarted while forty mails leave: each is sent once, for its record is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_sends_no_mail_twice() {
    for mode in ["fast", "immediate"] {
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        let storage = PostgresStorage::open(PostgresOptions::at(&cluster.url()).unwrap()).await.unwrap();
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let world = Arc::new(World::over(Arc::new(storage), clock));
        let seller = world.seller("studio").await;
        for _ in 0..40 {
            confirm(&world, &world.place(&seller, "Budi").await).await.unwrap();
        }
        let (restart, restarting) = watch::channel(false);
        let mailer = Arc::new(Counting { sent: Mutex::default(), restarting });
        let mut working = JoinSet::new();
        let restarted = tokio::task::spawn_blocking({
            let (mailer, mode) = (Arc::clone(&mailer), mode.to_owned());
            move || {
                while mailer.sent.lock().unwrap().len() < 40 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                restart.send_replace(true);
                cluster.restart_in(&mode);
                cluster
            }
        });
        let mut recorded = 0;
        within(async {
            // As the host's loop does, which asks again and again.
            while recorded < 40 {
                let taken = world.storage.take_due(Lane::Mails, 64, DeliveryShares::default(), LEASE / 60).await;
                for due in taken.unwrap_or_default() {
                    let (world, mailer) = (Arc::clone(&world), Arc::clone(&mailer));
                    working.spawn(async move {
                        let environment = Environment { clock: &SystemClock, ..world.environment() };
                        let (sink, receipts) = (&*world.sink, &*world.receipts);
                        Dispatcher::new(&*world.storage, &*mailer, sink, receipts, environment).perform(&due).await
                    });
                }
                while let Some(performed) = working.try_join_next() {
                    performed.unwrap().unwrap();
                    recorded += 1;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let _cluster = within(restarted).await.unwrap();
        let sent: Vec<usize> = mailer.sent.lock().unwrap().values().copied().collect();
        assert_eq!(sent, [1; 40], "{mode}: each once");
        world.storage.close().await;
    }
}

/// A pending migration waits for a locked table in short tries: other users of the table go first, and its wait is
/// limited (#16).
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_holds_nobody_up() {
    let server: PgConnectOptions = server_url().parse().unwrap();
    let database = fresh_schema();
    let outside = PgPool::connect_with(server.clone()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&outside).await.unwrap();
    let server = server.database(&database);
    let heard = Arc::new(AtomicUsize::new(0));
    let options = |wait_max| {
        let heard = Arc::clone(&heard);
        let mut options = PostgresOptions::new(server.clone());
        options.migration_wait_max = wait_max;
        options.on_migration_wait = Some(Arc::new(move || {
            heard.fetch_add(1, Ordering::SeqCst);
        }));
        options
    };
    within(PostgresStorage::open(options(BOUND))).await.unwrap().close().await;
    // As it was before its last migrations.
    let pool = PgPool::connect_with(server.clone()).await.unwrap();
    let undo = "DELETE FROM serront._sqlx_migrations WHERE version >= 10; \
                DROP TABLE serront.set_aside, serront.rewritten; DROP INDEX serront.effects_unknown, \
                serront.errands_unknown, serront.payouts_unknown, serront.inbox_unknown";
    sqlx::raw_sql(undo).execute(&pool).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE serront.effects IN ROW EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();

    let error = within(PostgresStorage::open(options(Duration::from_millis(1_500)))).await.unwrap_err();
    assert_eq!((error.kind(), heard.load(Ordering::SeqCst)), (PortErrorKind::Busy, 1));
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(why, "a table that pending migrations change is locked; given up after 1 s");

    let opening = tokio::spawn(PostgresStorage::open(options(BOUND)));
    within(async {
        while heard.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The migration delays a concurrent write for at most one of its tries.
    within(sqlx::raw_sql("UPDATE serront.effects SET due_at = due_at").execute(&pool)).await.unwrap();
    assert!(!opening.is_finished());
    holder.rollback().await.unwrap();
    within(opening).await.unwrap().unwrap().close().await;
    pool.close().await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {database} WITH (FORCE)"))).execute(&outside).await.unwrap();
}

/// A process that migrates is waited for, which the caller hears of, and not for ever; one that stands still loses the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_for_migrations_is_waited_for_and_not_for_ever() {
    // The lock is the whole database's.
    let server: PgConnectOptions = server_url().parse().unwrap();
    let database = fresh_schema();
    let outside = PgPool::connect_with(server.clone()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&outside).await.unwrap();
    let server = server.database(&database);
    let options = |wait_max, heard: &Arc<AtomicUsize>| {
        let heard = Arc::clone(heard);
        let mut options = PostgresOptions::new(server.clone());
        options.migration_wait_max = wait_max;
        options.on_migration_wait = Some(Arc::new(move || {
            heard.fetch_add(1, Ordering::SeqCst);
        }));
        options
    };
    let mut holder = sqlx::PgConnection::connect_with(&server).await.unwrap();
    holder.lock().await.unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let error = within(PostgresStorage::open(options(Duration::from_millis(2_500), &heard))).await.unwrap_err();
    assert_eq!((error.kind(), heard.load(Ordering::SeqCst)), (PortErrorKind::Busy, 1));
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(why, "another process holds the lock for migrations; given up after 2 s");

    let heard = Arc::new(AtomicUsize::new(0));
    let opening = tokio::spawn(PostgresStorage::open(options(BOUND, &heard)));
    within(async {
        while heard.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!opening.is_finished());
    holder.unlock().await.unwrap();
    within(opening).await.unwrap().unwrap().close().await;

    // One that has it, and stops.
    let address = tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await;
    let proxy = Proxy::start(address.unwrap().next().unwrap()).await.unwrap();
    let through = server.clone().host("127.0.0.1").port(proxy.address().port()).ssl_mode(PgSslMode::Disable);
    let mut stops = 0;
    loop {
        let mut stopping = PostgresOptions::new(through.clone());
        stopping.schema = format!("s{stops}");
        stopping.idle_transaction_time_max = Duration::from_millis(500);
        proxy.stall_after(stops + 1);
        let opened = tokio::spawn(PostgresStorage::open(stopping));
        while !proxy.is_stalled() && !opened.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let done = !proxy.is_stalled();
        let heard = Arc::new(AtomicUsize::new(0));
        within(PostgresStorage::open(options(BOUND, &heard))).await.unwrap().close().await;
        opened.abort();
        proxy.heal();
        proxy.cut_all();
        if done {
            break;
        }
        stops += 4;
    }
    assert!(stops > 8, "{stops}");
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {database} WITH (FORCE)"))).execute(&outside).await.unwrap();
}
