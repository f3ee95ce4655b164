//! What one host or one account holds on PostgreSQL, and that nothing of it stops another's (#16).
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::system::SystemClock;
use serront_core::books::Verification;
use serront_core::change::ChangeSet;
use serront_core::dispatch::Dispatcher;
use serront_core::effect::{Effect, EffectId, Errand, Lane};
use serront_core::ids::AccountId;
use serront_core::mail::MailMessage;
use serront_core::policy::DeliveryShares;
use serront_core::ports::{Clock, Ids as _, Mailer, PortError, Storage as _, WorkStorage};
use serront_core::service::{Environment, Failure};
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{Cluster, fresh_schema, server_url};
use serront_testkit::proxy::Proxy;
use serront_testkit::world::{Placed, Seller, World, host, service_input};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool};

/// A bound for what must come to an end at all.
const BOUND: Duration = Duration::from_secs(60);
/// A lease that does not run out in a test.
const LEASE: Duration = Duration::from_secs(3_600);
const EVENT: &str = "serront.order.payment_confirmed.v1";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

/// Two hosts of one schema: one past the proxy, and one that has a way of its own to the server.
struct Hosts {
    proxied: Arc<PostgresStorage>,
    world: Arc<World<PostgresStorage>>,
    schema: String,
    proxy: Proxy,
    pool: PgPool,
}

impl Hosts {
    async fn open() -> Self {
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
            options.idle_transaction_time_max = Duration::from_secs(1);
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
    async fn queue(&self, seller: &Seller) -> Vec<EffectId> {
        let placed = self.world.place(seller, "Budi").await;
        confirm(&self.world, &placed).await.unwrap();
        let now = self.world.clock.now();
        let mut ids = self.world.ids.sequence(now);
        let effects = vec![
            Effect::Removal { id: ids.removal(), upload_id: ids.upload() },
            Effect::Errand { id: ids.errand(), errand: Errand::Poll(ids.checkout()), due_at: now },
        ];
        let queued = effects.iter().map(Effect::id).collect();
        let change = ChangeSet { effects, ..empty(seller.account_id, ids.change_set(), now) };
        within(self.world.storage.commit(&change)).await.unwrap();
        // More than the network holds for a host that does not read.
        self.sql("UPDATE @.effects SET content = content || repeat(' ', 4000000) WHERE status = 'pending' AND kind IN ('mail', 'delivery')").await;
        queued
    }

    /// Runs this on the host that stops after so many requests to the server; answers whether it came to its end before.
    async fn stopped_in<T: Send + 'static>(
        &self,
        requests: u64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> bool {
        self.proxy.stall_after(requests);
        let mut working = tokio::spawn(work);
        let done = loop {
            if self.proxy.is_stalled() {
                break false;
            }
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(5), &mut working).await {
                done.unwrap();
                break true;
            }
        };
        working.abort();
        done
    }

    /// As when its machine is gone for good: what it has not heard of ends.
    async fn gone(&self) {
        self.proxy.heal();
        self.proxy.cut_all();
    }
}

fn empty(account_id: AccountId, id: serront_core::ids::ChangeSetId, at: serront_core::time::Timestamp) -> ChangeSet {
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
    within(world.local().confirm_payment(placed.account_id, placed.id, &host(), None, None)).await.map(drop)
}

/// A host that stops at whatever word to the server, and keeps its connections, keeps no other from its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_while_it_takes_work_holds_no_lane() {
    let hosts = Hosts::open().await;
    let seller = hosts.world.seller("studio").await;
    hosts.world.subscribe(&seller, "https://hooks.example.com", &[EVENT]).await;
    for lane in Lane::ALL {
        let mut stops = 0;
        loop {
            hosts.queue(&seller).await;
            let stopping = Arc::clone(&hosts.proxied);
            let taking = async move { stopping.take_due(lane, 100, DeliveryShares::UNLIMITED, LEASE).await.map(drop) };
            let done = hosts.stopped_in(stops + 1, taking).await;
            // What the other one has under its lease comes back when that runs out; what is new is nobody's.
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
            hosts.gone().await;
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
    let hosts = Hosts::open().await;
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
                        let ports = (Arc::clone(&world.clock), Arc::clone(&world.ids));
                        let local = serront_core::service::Local::new(&*stopping, world.environment());
                        let _ = local.confirm_payment(account_id, order.id, &host(), None, None).await;
                        if what == "record" {
                            let mailer = serront_testkit::memory::Mailbox::default();
                            let sink = serront_testkit::memory::RecordingSink::default();
                            let environment = world.environment();
                            let of = Dispatcher::new(&*stopping, &mailer, &sink, &*world.receipts, environment);
                            let _ = of.step(ports.0.now(), 16).await;
                        }
                    }
                }
            };
            let done = hosts.stopped_in(stops + 1, working).await;
            within(async {
                while hosts.world.storage.fold_deltas(1_000).await.is_err() {}
                // Whatever became of the other's confirmation, this one is answered.
                while matches!(confirm(&hosts.world, &placed).await, Err(Failure::Busy | Failure::Port { .. })) {}
                hosts.world.storage.books(None, &Verification::default()).await.unwrap();
            })
            .await;
            hosts.world.clock.advance(LEASE);
            within(hosts.world.dispatch_all()).await;
            hosts.gone().await;
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

/// A host's own transaction holds one order of an account, and its next number; two hundred wait for it. Everybody else pays
/// meanwhile, and those that waited get through when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_one_account_takes_no_place_of_anothers() {
    let mut options = PostgresOptions::at(&server_url()).unwrap();
    options.schema = fresh_schema();
    // Nobody here may wait so long.
    options.acquire_time_max = BOUND;
    options.lock_time_max = BOUND;
    let clock = Arc::new(ManualClock::default());
    options.clock = Some(clock.clone());
    let schema = options.schema.clone();
    let mut world = World::over(Arc::new(PostgresStorage::open(options).await.unwrap()), clock);
    world.policy.commit_rounds_max = 1_000;
    let world = Arc::new(world);
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let held = world.seller("held").await;
    let (locked, other) = (world.place(&held, "Budi").await, world.place(&held, "Sari").await);
    world.local().create_service(held.account_id, &service_input("other", 5_000), None).await.unwrap();

    let mut transaction = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {schema}.orders WHERE order_id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).bind(locked.id.to_string()).execute(&mut *transaction).await.unwrap();
    let sql = format!("UPDATE {schema}.order_numbers SET last_number = last_number WHERE account_id = $1");
    sqlx::query(AssertSqlSafe(sql)).bind(held.account_id.to_string()).execute(&mut *transaction).await.unwrap();

    let waits = |index: usize| {
        let (world, held, locked) = (Arc::clone(&world), held.clone(), locked.clone());
        tokio::spawn(async move {
            if index % 2 == 0 {
                // The first lands, and the others find it confirmed.
                let answer = confirm(&world, &locked).await;
                assert!(!matches!(answer, Err(Failure::Busy | Failure::Port { .. })), "{answer:?}");
            } else {
                drop(within(world.place(&held, "Budi")).await);
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
    let numbers = within(world.storage.counts(held.account_id)).await.unwrap();
    assert_eq!(
        numbers.of(serront_core::order::WorkStatus::Requested) + confirmed_elsewhere(&numbers),
        102,
        "none is lost"
    );
}
