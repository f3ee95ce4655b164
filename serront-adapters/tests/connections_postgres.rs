//! Connections that networks drop without a word, that lead to a server which takes no writes, and that callers abandon:
//! with real servers, a real standby and a proxy in the middle (#16).
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage, TargetSession};
use serront_core::accounts::actor::Actor;
use serront_core::orders::audit::Act;
use serront_core::ports::{
    AccountReads as _, Bookkeeping as _, OrderReads as _, PortError, PortErrorKind, Upkeep as _,
};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::page::Limit;
use serront_core::service::Failure;
use serront_core::snapshots::{OrderFilter, OrderKey};
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{Cluster, fresh_schema, server_url};
use serront_testkit::proxy::Proxy;
use serront_testkit::world::{Placed, Seller, World};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool};

/// Longer than any of these tests, so that it never ends.
const LONG: Duration = Duration::from_secs(600);

/// Time limit for calls that must end.
const BOUND: Duration = Duration::from_secs(60);

/// Everything that an error says.
fn said(error: &PortError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

/// Waits until a statement answers true.
async fn until(pool: &PgPool, sql: &str) {
    within(async {
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn run(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

/// Past the storage, and past every proxy.
async fn outside(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(4).connect(url).await.unwrap()
}

async fn address(url: &str) -> SocketAddr {
    let server: PgConnectOptions = url.parse().unwrap();
    tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await.unwrap().next().unwrap()
}

/// A seller's shop.
struct Shop {
    world: Arc<World<PostgresStorage>>,
    seller: Seller,
}

impl Shop {
    async fn over(options: PostgresOptions) -> Self {
        let clock = Arc::new(ManualClock::default());
        let options = PostgresOptions { clock: Some(clock.clone()), ..options };
        let storage = Arc::new(within(PostgresStorage::open(options)).await.unwrap());
        let world = Arc::new(World::over(storage, clock));
        let seller = world.seller("studio").await;
        Self { world, seller }
    }

    async fn place(&self) -> Placed {
        within(self.world.place(&self.seller, "Budi")).await
    }

    /// Opens some connections, and leaves them idle.
    async fn warm(&self, placed: &[Placed]) {
        let reads = placed.iter().map(|order| self.world.storage.audit(order.account_id, order.id));
        for read in within(join_all(reads)).await {
            read.unwrap();
        }
    }

    async fn read(&self, placed: &Placed) -> bool {
        let key = OrderKey::Id(placed.account_id, placed.id);
        within(self.world.storage.order(key, None)).await.unwrap().is_some()
    }

    async fn confirm(&self, placed: &Placed) -> Result<(), Failure> {
        confirm(&self.world, placed).await
    }

    async fn assert_confirmed_once(&self, placed: &Placed) {
        let trail = within(self.world.storage.audit(placed.account_id, placed.id)).await.unwrap();
        assert_eq!(trail.iter().filter(|record| matches!(record.act, Act::Payment { .. })).count(), 1);
    }
}

async fn confirm(world: &World<PostgresStorage>, placed: &Placed) -> Result<(), Failure> {
    let actor = Actor::host("tester").unwrap();
    within(world.commands().confirm_payment(placed.account_id, placed.id, &actor, None, None)).await.map(drop)
}

/// Options for a server behind a proxy, where nothing ends by its own time.
fn through(proxy: &Proxy, url: &str) -> PostgresOptions {
    let server: PgConnectOptions = url.parse().unwrap();
    let connect = server.host("127.0.0.1").port(proxy.address().port()).ssl_mode(PgSslMode::Disable);
    let mut options = PostgresOptions::new(connect);
    options.schema = fresh_schema();
    options.connections_max = 6;
    options.lock_time_max = LONG;
    options.statement_time_max = LONG;
    options
}

/// A primary, and a standby that follows it.
async fn pair() -> (Arc<Cluster>, Arc<Cluster>) {
    let starting = tokio::task::spawn_blocking(|| {
        let primary = Cluster::start();
        let standby = primary.standby();
        (Arc::new(primary), Arc::new(standby))
    });
    starting.await.unwrap()
}

/// Waits until the standby has what the primary has now.
async fn follow(primary: &PgPool, standby: &PgPool) {
    let at: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(primary).await.unwrap();
    until(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn")).await;
}

async fn control(cluster: &Arc<Cluster>, what: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || what(&cluster)).await.unwrap();
}

/// #16: connections that led to a server which took no writes were kept for ever, and the storage called itself ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_through_one_address_is_followed() {
    let (primary, standby) = pair().await;
    let (at_primary, at_standby) = (outside(&primary.url()).await, outside(&standby.url()).await);
    let proxy = Proxy::start(address(&primary.url()).await).await.unwrap();
    let shop = Shop::over(through(&proxy, &primary.url())).await;
    let placed = [shop.place().await, shop.place().await];
    within(shop.world.storage.ready()).await.unwrap();

    // The address leads to the standby: orders can be read there, and nothing pretends that they can be written.
    follow(&at_primary, &at_standby).await;
    proxy.lead_to(address(&standby.url()).await);
    proxy.cut_all();
    assert!(shop.read(&placed[0]).await);
    let error = within(shop.world.storage.ready()).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Transient);
    assert!(said(&error).contains("takes no writes"), "{error}");
    match shop.confirm(&placed[0]).await {
        Err(Failure::Port { error, .. }) => assert_eq!(error.kind(), PortErrorKind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
    // What reads there keeps no connection: the next one follows the address.
    assert!(shop.read(&placed[0]).await);
    let none_left = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'serront'";
    until(&at_standby, none_left).await;

    // It leads back, and nothing is cut.
    proxy.lead_to(address(&primary.url()).await);
    shop.confirm(&placed[0]).await.unwrap();
    within(shop.world.storage.ready()).await.unwrap();
    shop.assert_confirmed_once(&placed[0]).await;
    shop.warm(&placed).await;

    // The primary becomes read-only with all connections open, and the standby is promoted.
    follow(&at_primary, &at_standby).await;
    writable(&at_primary, false).await;
    control(&standby, Cluster::promote).await;
    proxy.lead_to(address(&standby.url()).await);
    shop.confirm(&placed[1]).await.unwrap();
    shop.assert_confirmed_once(&placed[1]).await;
    within(shop.world.storage.ready()).await.unwrap();
    // The reads follow, too.
    assert_eq!(within(shop.world.storage.audit(placed[1].account_id, placed[1].id)).await.unwrap().len(), 2);

    // The same for writes outside of commits.
    shop.warm(&placed).await;
    writable(&at_standby, false).await;
    writable(&at_primary, true).await;
    proxy.lead_to(address(&primary.url()).await);
    within(shop.world.storage.fold_deltas(100)).await.unwrap();
    within(shop.world.storage.ready()).await.unwrap();
}

/// Lets a server take writes or not, in sessions that are open, too.
async fn writable(server: &PgPool, takes_writes: bool) {
    let value = if takes_writes { "off" } else { "on" };
    run(server, format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).await;
    run(server, "SELECT pg_reload_conf()").await;
    until(server, &format!("SELECT current_setting('default_transaction_read_only') = '{value}'")).await;
}

/// #16: several servers in one address, of which the one that takes writes is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_servers_the_one_that_takes_writes_is_found() {
    let (primary, standby) = pair().await;
    let (at_primary, at_standby) = (outside(&primary.url()).await, outside(&standby.url()).await);
    // A server that accepts connections and says nothing at all, as one that is frozen.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = |ports: [u16; 3]| ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let ports = [silent.local_addr().unwrap().port(), standby.port(), primary.port()];
    let url =
        format!("postgres://postgres@{}/postgres?target_session_attrs=read-write&connect_timeout=2", hosts(ports));
    let mut options = PostgresOptions::at(&url).unwrap();
    options.schema = fresh_schema();
    options.acquire_time_max = Duration::from_secs(20);
    let schema = options.schema.clone();
    let shop = Shop::over(options).await;
    let placed = [shop.place().await, shop.place().await];
    shop.confirm(&placed[0]).await.unwrap();
    within(shop.world.storage.ready()).await.unwrap();

    // `any` uses the first server that answers.
    follow(&at_primary, &at_standby).await;
    let ports = [ports[1], ports[2], ports[0]];
    let url = format!("postgres://postgres@{}/postgres?target_session_attrs=any", hosts(ports));
    let mut options = PostgresOptions::at(&url).unwrap();
    assert_eq!(options.target, TargetSession::Any);
    options.schema = schema;
    let any = within(PostgresStorage::open(options)).await.unwrap();
    assert_eq!(within(any.audit(placed[0].account_id, placed[0].id)).await.unwrap().len(), 2);
    assert_eq!(within(any.ready()).await.unwrap_err().kind(), PortErrorKind::Transient);

    control(&primary, Cluster::stop).await;
    control(&standby, Cluster::promote).await;
    shop.confirm(&placed[1]).await.unwrap();
    within(shop.world.storage.ready()).await.unwrap();
    shop.assert_confirmed_once(&placed[1]).await;
}

/// #16: each idle connection that a firewall had dropped cost a request 35 s and a failure.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_dropped_without_a_word_cost_a_request_little_and_fail_none() {
    // Asked before it is used, and used without being asked.
    for ask_after in [Duration::ZERO, LONG] {
        let proxy = Proxy::start(address(&server_url()).await).await.unwrap();
        let mut options = through(&proxy, &server_url());
        options.ask_after = ask_after;
        let shop = Shop::over(options).await;
        let mut placed = Vec::new();
        for _ in 0..6 {
            placed.push(shop.place().await);
        }
        shop.warm(&placed).await;
        proxy.silence_all();
        assert!(shop.read(&placed[0]).await, "a read continues with a new connection");
        shop.warm(&placed).await;
        proxy.silence_all();
        shop.confirm(&placed[0]).await.unwrap();
        shop.warm(&placed).await;
        proxy.silence_all();
        for answer in within(join_all(placed[1..].iter().map(|order| shop.confirm(order)))).await {
            answer.unwrap();
        }
        for order in &placed {
            shop.assert_confirmed_once(order).await;
        }
    }
}

/// #16: what the server has done while its answer was dropped is not waited for until the statement's time is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_dropped_without_a_word_is_asked_for_again() {
    let proxy = Proxy::start(address(&server_url()).await).await.unwrap();
    let options = through(&proxy, &server_url());
    let orders = format!("{}.orders", options.schema);
    let shop = Shop::over(options).await;
    let placed = shop.place().await;
    let pool = outside(&server_url()).await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("LOCK TABLE {orders}"))).execute(&mut *holder).await.unwrap();
    let confirming = tokio::spawn({
        let (world, placed) = (Arc::clone(&shop.world), placed.clone());
        async move { confirm(&world, &placed).await }
    });
    let waits = format!("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = '{orders}'::regclass AND NOT granted)");
    until(&pool, &waits).await;
    proxy.silence_all();
    holder.rollback().await.unwrap();
    within(confirming).await.unwrap().unwrap();
    shop.assert_confirmed_once(&placed).await;
}

/// A database of the test's own.
async fn with_database(options: &str, test: impl AsyncFnOnce(&PgPool, String, &str)) {
    let outside = outside(&server_url()).await;
    let database = fresh_schema();
    run(&outside, format!("CREATE DATABASE {database} {options}")).await;
    let mut url = server_url();
    url.truncate(url.rfind('/').unwrap());
    test(&outside, format!("{url}/{database}"), &database).await;
    run(&outside, format!("DROP DATABASE {database} WITH (FORCE)")).await;
}

/// #16: dropped calls left their statements running, 72 of them on 16 connections.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_hang_up_leave_no_more_statements_than_there_are_connections() {
    with_database("", async |outside, url, database| {
        let mut options = PostgresOptions::at(&url).unwrap();
        options.connections_max = 4;
        options.lock_time_max = LONG;
        options.statement_time_max = LONG;
        let shop = Shop::over(options).await;
        let placed = shop.place().await;
        let pool = PgPool::connect(&url).await.unwrap();
        let mut holder = pool.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE serront.orders").execute(&mut *holder).await.unwrap();

        let most = Arc::new(AtomicI64::new(0));
        let counting = tokio::spawn({
            let (most, outside, database) = (Arc::clone(&most), outside.clone(), database.to_owned());
            async move {
                // Not the sessions: one that is closed is listed until its process has ended.
                let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'serront' \
                           AND state = 'active'";
                loop {
                    let count = sqlx::query_scalar(sql).bind(&database).fetch_one(&outside).await.unwrap();
                    most.fetch_max(count, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        // Reads that wait for the table, of callers that go away: each while its statement waits.
        for _ in 0..6 {
            let now: String = sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(outside).await.unwrap();
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    let (world, placed) = (Arc::clone(&shop.world), placed.clone());
                    let filter = OrderFilter::default();
                    tokio::spawn(
                        async move { world.storage.orders(placed.account_id, &filter, None, Limit::ONE).await },
                    )
                })
                .collect();
            let all_wait = format!(
                "SELECT count(*) = 4 FROM pg_stat_activity WHERE datname = '{database}' \
                 AND wait_event_type = 'Lock' AND query_start > '{now}'"
            );
            until(outside, &all_wait).await;
            for caller in callers {
                caller.abort();
                let _ = caller.await;
            }
        }
        // While the table is still locked, what does not need it finds a place: those statements have ended.
        assert!(within(shop.world.storage.key(Digest256::of(b"nobody's"))).await.unwrap().is_none());
        holder.rollback().await.unwrap();
        shop.confirm(&placed).await.unwrap();
        counting.abort();
        let most = most.load(Ordering::SeqCst);
        // One more asks the server to end them.
        assert!((1..=5).contains(&most), "{most} statements");
        shop.assert_confirmed_once(&placed).await;
        shop.world.storage.close().await;
        pool.close().await;
    })
    .await;
}

/// #16: a role that may not create anything could not start a host, though there was nothing to create.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_the_right_to_create_serves_where_nothing_is_pending() {
    with_database("", async |outside, url, database| {
        let role = format!("r_{database}");
        run(outside, format!("CREATE ROLE {role} LOGIN; GRANT {role} TO CURRENT_USER")).await;
        let connect: PgConnectOptions = url.parse().unwrap();
        let limited = PostgresOptions::new(connect.username(&role));

        let error = within(PostgresStorage::open(limited.clone())).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Permanent);
        assert!(said(&error).contains("permission denied"), "{error}");

        within(PostgresStorage::open(PostgresOptions::at(&url).unwrap())).await.unwrap().close().await;
        let pool = PgPool::connect(&url).await.unwrap();
        let grants = "GRANT USAGE ON SCHEMA serront TO {role}; \
                      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA serront TO {role}";
        run(&pool, grants.replace("{role}", &role)).await;
        let shop = Shop::over(limited).await;
        let placed = shop.place().await;
        shop.confirm(&placed).await.unwrap();
        within(shop.world.storage.ready()).await.unwrap();
        shop.world.storage.close().await;
        run(&pool, format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        pool.close().await;
    })
    .await;
}

/// #16: names and addresses of buyers need every letter there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_encoding_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options = format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        with_database(&options, async |_, url, _| {
            let error = within(PostgresStorage::open(PostgresOptions::at(&url).unwrap())).await.unwrap_err();
            assert_eq!(error.kind(), PortErrorKind::Permanent);
            let text = said(&error);
            assert!(text.contains(encoding) && text.contains("UTF8"), "{text}");
            let pool = PgPool::connect(&url).await.unwrap();
            let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'serront'";
            assert_eq!(sqlx::query_scalar::<_, i64>(made).fetch_one(&pool).await.unwrap(), 0, "nothing is created");
            pool.close().await;
        })
        .await;
    }
}
