//! Faults of networks, disks and servers under the PostgreSQL storage: no partial change, no wrong answer, and normal
//! operation afterwards.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::accounts::actor::Actor;
use serront_core::changes::change::{ChangeSet, Committed, Guard, Row};
use serront_core::changes::effect::Lane;
use serront_core::decide::{self, Context, Decision};
use serront_core::orders::audit::Act;
use serront_core::orders::payment::PaymentStatus;
use serront_core::policy::DeliveryShares;
use serront_core::ports::{
    Clock as _, CommitError, Commits as _, Ids as _, OrderReads as _, Outbox as _, PortErrorKind,
};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::snapshots::{OrderFilter, OrderKey, OrderSnapshot};
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{Cluster, fresh_schema, server_url};
use serront_testkit::proxy::{Moment, Proxy};
use serront_testkit::world::{Placed, Seller, World};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool};

/// Longer than any of these tests, so that it never ends.
const LONG: Duration = Duration::from_secs(600);

/// Time limit for calls that must end.
const BOUND: Duration = Duration::from_secs(60);

const MOMENTS: [Moment; 3] = [Moment::BeforeRequest, Moment::AfterRequest, Moment::AfterAnswer];

/// A seller's shop in a separate schema, behind a proxy.
struct Shop {
    world: Arc<World<PostgresStorage>>,
    seller: Seller,
    schema: String,
    proxy: Proxy,
    /// Past the proxy, and past the storage.
    pool: PgPool,
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(choose: impl FnOnce(&mut PostgresOptions)) -> Self {
        Self::open_at(server_url().parse().unwrap(), choose).await
    }

    async fn open_at(server: PgConnectOptions, choose: impl FnOnce(&mut PostgresOptions)) -> Self {
        let address = tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await;
        let proxy = Proxy::start(address.unwrap().next().unwrap()).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        // What is encrypted has no marks in it.
        let connect = server.clone().host("127.0.0.1").port(proxy.address().port()).ssl_mode(PgSslMode::Disable);
        let mut options = PostgresOptions::new(connect);
        options.schema = fresh_schema();
        options.connections_max = 6;
        options.acquire_time_max = LONG;
        options.lock_time_max = LONG;
        options.statement_time_max = LONG;
        options.clock = Some(clock.clone());
        choose(&mut options);
        let schema = options.schema.clone();
        let storage = Arc::new(within(PostgresStorage::open(options)).await.unwrap());
        let pool = PgPool::connect_with(server).await.unwrap();
        let world = Arc::new(World::over(storage, clock));
        let seller = world.seller("studio").await;
        world.subscribe(&seller, "https://hooks.example.com/a", &["serront.order.payment_confirmed.v1"]).await;
        Self { world, seller, schema, proxy, pool }
    }

    async fn place(&self, count: usize) -> Vec<Placed> {
        let mut placed = Vec::new();
        for index in 0..count {
            placed.push(self.world.place(&self.seller, &format!("Budi {index}")).await);
        }
        placed
    }

    async fn sql(&self, sql: &str) {
        let sql = sql.replace("@.", &format!("{}.", self.schema));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// Lets every change of an order's row run this first, as PL/pgSQL with a sequence `@.struck` at hand.
    async fn before_each_order(&self, body: &str) {
        self.sql(&format!(
            "CREATE SEQUENCE IF NOT EXISTS @.struck; \
             CREATE OR REPLACE FUNCTION @.strike() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN {body} RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER strike BEFORE INSERT OR UPDATE ON @.orders FOR EACH ROW EXECUTE FUNCTION @.strike()"
        ))
        .await;
    }

    async fn heal(&self) {
        self.sql("DROP TRIGGER IF EXISTS strike ON @.orders").await;
        self.proxy.heal();
    }

    async fn snapshot(&self, placed: &Placed) -> OrderSnapshot {
        let key = OrderKey::Id(placed.account_id, placed.id);
        within(self.world.storage.order(key, None)).await.unwrap().unwrap()
    }

    /// The change set that confirms a payment, decided and not committed.
    async fn confirmation(&self, placed: &Placed) -> ChangeSet {
        let snapshot = self.snapshot(placed).await;
        let now = self.world.clock.now();
        let mut context = Context { now, ids: self.world.ids.sequence(now), policy: &self.world.policy, request: None };
        match decide::confirm_payment(&snapshot, &actor(placed), None, &mut context).unwrap() {
            Decision::Change(change, _) => *change,
            Decision::Unchanged(_) | Decision::Replayed(_) => panic!("it is confirmed already"),
        }
    }

    async fn confirm(&self, placed: &Placed) -> Result<(), Failure> {
        confirm(&self.world, placed).await
    }

    /// Nothing of a confirmation is there, or all of it, once.
    async fn assert_whole(&self, placed: &Placed, confirmed: bool) {
        let snapshot = self.snapshot(placed).await;
        assert_eq!(snapshot.payment.state.status == PaymentStatus::PaymentConfirmed, confirmed);
        let trail = self.world.storage.audit(placed.account_id, placed.id).await.unwrap();
        let payments = trail.iter().filter(|record| matches!(record.act, Act::Payment { .. })).count();
        assert_eq!(payments, usize::from(confirmed), "audit");
        let effects: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM {}.effects WHERE content LIKE '%' || $1 || '%'",
            self.schema
        )))
        .bind(placed.id.to_string())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        // The event names the order; the mail goes by its number.
        assert_eq!(effects, i64::from(confirmed), "deliveries");
    }

    /// Every one of these is confirmed, once, with one mail and one event.
    async fn assert_all_confirmed(&self, placed: &[Placed]) {
        for order in placed {
            self.assert_whole(order, true).await;
        }
        // A mail and a delivery for each.
        assert_eq!(within(self.world.dispatch_all()).await, placed.len() * 2);
        let mails = self.world.mailbox.messages();
        let ids: BTreeSet<_> = mails.iter().map(|mail| mail.id).collect();
        assert_eq!((mails.len(), ids.len()), (placed.len(), placed.len()));
    }

    /// Locks an order's row, as a host's own transaction does.
    async fn hold(&self, placed: &Placed) -> Holder {
        let mut transaction = self.pool.begin().await.unwrap();
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await.unwrap();
        let sql = format!("SELECT 1 FROM {}.orders WHERE order_id = $1 FOR UPDATE", self.schema);
        let mut holder = Holder { transaction, pid, sql };
        holder.lock(placed).await;
        holder
    }

    /// Waits until another session waits for this transaction.
    async fn until_blocked_by(&self, holder: &Holder) {
        within(async {
            let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))";
            while !sqlx::query_scalar::<_, bool>(sql).bind(holder.pid).fetch_one(&self.pool).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A transaction that is not the storage's.
struct Holder {
    transaction: sqlx::PgTransaction<'static>,
    pid: i32,
    sql: String,
}

impl Holder {
    async fn lock(&mut self, placed: &Placed) {
        let sql = AssertSqlSafe(self.sql.clone());
        within(sqlx::query(sql).bind(placed.id.to_string()).execute(&mut *self.transaction)).await.unwrap();
    }

    async fn end(self) {
        self.transaction.rollback().await.unwrap();
    }
}

/// The actor of a confirmation is named after the order, so that its bytes identify confirmations, but not reads.
fn mark(placed: &Placed) -> String {
    format!("by-{}", placed.id)
}

fn actor(placed: &Placed) -> Actor {
    Actor::host(&mark(placed)).unwrap()
}

async fn confirm(world: &World<PostgresStorage>, placed: &Placed) -> Result<(), Failure> {
    within(world.commands().confirm_payment(placed.account_id, placed.id, &actor(placed), None, None)).await.map(drop)
}

fn kind<T: std::fmt::Debug>(result: Result<T, CommitError>) -> PortErrorKind {
    match result {
        Err(CommitError::Port(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

fn is_refused(failure: &Failure) -> bool {
    matches!(failure, Failure::Rejected(rejection) if rejection.code() == Code::InvalidTransition)
}

/// Confirms all of them at the same time and answers each result.
async fn crowd(shop: &Shop, placed: &[Placed]) -> Vec<Result<(), Failure>> {
    let running = placed.iter().map(|order| {
        let (world, order) = (Arc::clone(&shop.world), order.clone());
        tokio::spawn(async move { confirm(&world, &order).await })
    });
    join_all(running).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_around_the_commit_is_one_success_and_one_of_each_effect() {
    let shop = Shop::open().await;
    let placed = shop.place(3).await;
    for (order, moment) in placed.iter().zip(MOMENTS) {
        shop.proxy.cut(moment, mark(order));
        shop.confirm(order).await.unwrap();
        assert!(is_refused(&shop.confirm(order).await.unwrap_err()), "{moment:?}: once");
    }
    assert_eq!(shop.proxy.cuts(), 3);
    shop.assert_all_confirmed(&placed).await;
}

/// Several in a row, on every connection there is.
#[tokio::test(flavor = "multi_thread")]
async fn connections_lost_again_and_again_are_one_success() {
    let shop = Shop::open().await;
    let placed = shop.place(3).await;
    for (order, moment) in placed.iter().zip(MOMENTS) {
        for _ in 0..10 {
            shop.proxy.cut(moment, mark(order));
        }
        shop.confirm(order).await.unwrap();
        shop.proxy.heal();
    }
    shop.assert_all_confirmed(&placed).await;
}

/// With no way to ask again, a change set that may have arrived is neither success nor failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_for_good_is_an_unknown_outcome() {
    let shop = Shop::open().await;
    let placed = shop.place(3).await;
    for (order, moment) in placed.iter().zip(MOMENTS) {
        let change = shop.confirmation(order).await;
        shop.proxy.cut(moment, mark(order));
        shop.proxy.refuse(true);
        assert_eq!(kind(within(shop.world.storage.commit(&change)).await), PortErrorKind::OutcomeUnknown, "{moment:?}");
        // Nothing is sent now, and the adapter may know that; what it must not do is to call it done.
        let again = kind(within(shop.world.storage.commit(&change)).await);
        assert!(matches!(again, PortErrorKind::Transient | PortErrorKind::OutcomeUnknown), "{again:?}");
        shop.proxy.heal();
        let committed = within(shop.world.storage.commit(&change)).await.unwrap();
        assert_eq!(committed, Committed { number: None });
        assert_eq!(shop.world.storage.outcome(order.account_id, change.id).await.unwrap(), Some(committed));
    }
    shop.assert_all_confirmed(&placed).await;
}

/// The service says so too: the change set's id is there to ask with.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_does_not_know_either_and_says_what_to_ask_with() {
    let shop = Shop::open().await;
    let placed = shop.place(1).await;
    shop.proxy.cut(Moment::AfterAnswer, mark(&placed[0]));
    shop.proxy.refuse(true);
    // Cut off while it commits, not while it reads.
    let change_set = match shop.confirm(&placed[0]).await {
        Err(Failure::Port { error, change_set: Some(change_set) }) => {
            assert_eq!(error.kind(), PortErrorKind::OutcomeUnknown);
            change_set
        }
        other => panic!("{other:?}"),
    };
    shop.proxy.heal();
    let outcome = within(shop.world.commands().outcome(placed[0].account_id, change_set)).await.unwrap();
    assert_eq!(outcome, Some(Committed { number: None }));
    shop.assert_all_confirmed(&placed).await;
}

/// In rounds that many share, one cut takes everybody's statement along.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_under_load_lose_nothing_and_double_nothing() {
    let shop = Shop::open().await;
    let placed = shop.place(48).await;
    for (index, order) in placed.iter().enumerate() {
        if index % 2 == 0 {
            shop.proxy.cut(MOMENTS[index / 2 % 3], mark(order));
        }
    }
    let cutting = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            shop.proxy.cut_all();
        }
    };
    let (answers, ()) = tokio::join!(crowd(&shop, &placed), cutting);
    shop.heal().await;
    for (order, answer) in placed.iter().zip(answers) {
        match answer {
            Ok(()) => shop.assert_whole(order, true).await,
            Err(Failure::Port { error, .. }) => {
                assert!(matches!(error.kind(), PortErrorKind::Transient | PortErrorKind::OutcomeUnknown), "{error:?}");
                let again = shop.confirm(order).await;
                assert!(again.as_ref().err().is_none_or(is_refused), "{again:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(shop.proxy.cuts() > 0);
    shop.assert_all_confirmed(&placed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_reach_fails_for_now_and_works_again() {
    let shop = Shop::open().await;
    let placed = shop.place(2).await;
    let change = shop.confirmation(&placed[0]).await;
    shop.proxy.refuse(true);
    shop.proxy.cut_all();
    let key = OrderKey::Id(placed[0].account_id, placed[0].id);
    let read = within(shop.world.storage.order(key, None)).await.unwrap_err();
    assert_eq!(read.kind(), PortErrorKind::Transient);
    let due = within(shop.world.storage.take_due(Lane::Mails, 1, DeliveryShares::default(), LONG)).await.unwrap_err();
    assert_eq!(due.kind(), PortErrorKind::Transient);
    let kind = kind(within(shop.world.storage.commit(&change)).await);
    assert!(matches!(kind, PortErrorKind::Transient | PortErrorKind::OutcomeUnknown), "{kind:?}");
    shop.proxy.heal();
    shop.assert_whole(&placed[0], false).await;
    for order in &placed {
        shop.confirm(order).await.unwrap();
    }
    shop.assert_all_confirmed(&placed).await;
}

/// A network that drops all bytes and closes no connection: waiting calls end with an error, and later ones work again.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_keeps_nobody_for_ever() {
    let shop = Shop::open_with(|options| {
        options.statement_time_max = Duration::from_millis(300);
        options.acquire_time_max = Duration::from_millis(300);
    })
    .await;
    let placed = shop.place(6).await;
    let change = shop.confirmation(&placed[0]).await;
    shop.proxy.stall(true);
    let kind = kind(within(shop.world.storage.commit(&change)).await);
    assert_eq!(kind, PortErrorKind::OutcomeUnknown);
    for answer in crowd(&shop, &placed).await {
        assert!(matches!(answer, Err(Failure::Port { .. } | Failure::Busy)), "{answer:?}");
    }
    shop.proxy.cut_all();
    shop.proxy.heal();
    for order in &placed {
        let answer = shop.confirm(order).await;
        assert!(answer.as_ref().err().is_none_or(is_refused), "{answer:?}");
    }
    shop.assert_all_confirmed(&placed).await;
}

/// The only connection runs a long statement. All calls behind it are answered within their time limit, also those that
/// share a round.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_connections_taken_callers_are_told_that_it_is_busy() {
    let shop = Shop::open_with(|options| {
        options.connections_max = 1;
        options.acquire_time_max = Duration::from_secs(1);
    })
    .await;
    // More than could be answered within the limit one after the other.
    let placed = shop.place(100).await;
    let change = shop.confirmation(&placed[1]).await;
    shop.before_each_order(&format!(
        "IF NEW.order_id = '{}' THEN PERFORM nextval('@.struck'); \
         WHILE (SELECT last_value < 100 FROM @.struck) LOOP PERFORM pg_sleep(0.01); END LOOP; END IF;",
        placed[0].id
    ))
    .await;
    let waiting = tokio::spawn({
        let (world, order) = (Arc::clone(&shop.world), placed[0].clone());
        async move { confirm(&world, &order).await }
    });
    within(async {
        let sql = format!("SELECT is_called FROM {}.struck", shop.schema);
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql.clone())).fetch_one(&shop.pool).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    let key = OrderKey::Id(placed[1].account_id, placed[1].id);
    let filter = OrderFilter::default();
    let page = shop.world.storage.orders(placed[1].account_id, &filter, None, Limit::parse(None).unwrap());
    assert_eq!(within(page).await.unwrap_err().kind(), PortErrorKind::Busy);
    assert_eq!(within(shop.world.storage.order(key, None)).await.unwrap_err().kind(), PortErrorKind::Busy);
    assert_eq!(kind(within(shop.world.storage.commit(&change)).await), PortErrorKind::Busy);
    let commits = (1..100).map(|index| {
        let (world, change) = (Arc::clone(&shop.world), ChangeSet { id: next_id(&shop), ..change.clone() });
        tokio::spawn(async move { (index, kind(world.storage.commit(&change).await)) })
    });
    for told in within(join_all(commits)).await {
        let (index, kind) = told.unwrap();
        assert_eq!(kind, PortErrorKind::Busy, "{index}");
    }
    for answer in crowd(&shop, &placed[1..]).await {
        assert!(matches!(answer, Err(Failure::Busy)), "{answer:?}");
    }
    assert!(!waiting.is_finished());
    shop.sql("SELECT setval('@.struck', 100)").await;
    waiting.await.unwrap().unwrap();
    for answer in crowd(&shop, &placed[1..]).await {
        answer.unwrap();
    }
    shop.assert_all_confirmed(&placed).await;
}

fn next_id(shop: &Shop) -> serront_core::primitives::ids::ChangeSetId {
    shop.world.ids.sequence(shop.world.clock.now()).change_set()
}

/// The engine's answer to a full disk, raised by a trigger: to fill a disk for a server that runs as another user takes
/// rights that a test does not have everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_half_done() {
    fails_and_works_again("RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100';").await;
}

/// The same for memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_memory_leaves_nothing_half_done() {
    fails_and_works_again("RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200';").await;
}

async fn fails_and_works_again(strike: &str) {
    let shop = Shop::open().await;
    let placed = shop.place(12).await;
    let change = shop.confirmation(&placed[0]).await;
    shop.before_each_order(strike).await;
    assert_eq!(kind(within(shop.world.storage.commit(&change)).await), PortErrorKind::Transient);
    for answer in crowd(&shop, &placed).await {
        match answer {
            Err(Failure::Port { error, .. }) => assert_eq!(error.kind(), PortErrorKind::Transient),
            other => panic!("{other:?}"),
        }
    }
    for order in &placed {
        shop.assert_whole(order, false).await;
    }
    shop.heal().await;
    for answer in crowd(&shop, &placed).await {
        answer.unwrap();
    }
    shop.assert_all_confirmed(&placed).await;
}

/// A database of the test's own, whose settings it may change.
async fn with_database(test: impl AsyncFnOnce(Shop, &PgPool, &str)) {
    let server: PgConnectOptions = server_url().parse().unwrap();
    let database = fresh_schema();
    let outside = PgPool::connect_with(server.clone()).await.unwrap();
    run(&outside, format!("CREATE DATABASE {database}")).await;
    test(Shop::open_at(server.database(&database), |_| {}).await, &outside, &database).await;
    run(&outside, format!("DROP DATABASE {database} WITH (FORCE)")).await;
}

async fn run(pool: &PgPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// As after a failover to a standby: every session is read-only from one moment on, and later none is.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_read_and_not_written() {
    with_database(async |shop, outside, database| {
        let placed = shop.place(8).await;
        let change = shop.confirmation(&placed[0]).await;
        run(outside, format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
        shop.proxy.cut_all();
        // A lost connection may first be reported as an unknown outcome, before the next one gives the reason.
        let answer = kind(within(shop.world.storage.commit(&change)).await);
        assert!(matches!(answer, PortErrorKind::Transient | PortErrorKind::OutcomeUnknown), "{answer:?}");
        assert_eq!(kind(within(shop.world.storage.commit(&change)).await), PortErrorKind::Transient);
        for answer in crowd(&shop, &placed).await {
            match answer {
                Err(Failure::Port { error, .. }) => {
                    let kind = error.kind();
                    assert!(matches!(kind, PortErrorKind::Transient | PortErrorKind::OutcomeUnknown), "{kind:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        for order in &placed {
            shop.assert_whole(order, false).await;
        }
        run(outside, format!("ALTER DATABASE {database} RESET default_transaction_read_only")).await;
        shop.proxy.cut_all();
        for order in &placed {
            shop.confirm(order).await.unwrap();
        }
        shop.assert_all_confirmed(&placed).await;
    })
    .await;
}

/// The adapter's own isolation does not depend on what the database was set to.
#[tokio::test(flavor = "multi_thread")]
async fn a_databases_other_isolation_changes_nothing() {
    with_database(async |shop, outside, database| {
        let placed = shop.place(20).await;
        run(outside, format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")).await;
        shop.proxy.cut_all();
        shop.before_each_order(
            "IF current_setting('transaction_isolation') <> 'read committed' THEN RAISE EXCEPTION 'another'; END IF;",
        )
        .await;
        for answer in crowd(&shop, &placed).await {
            answer.unwrap();
        }
        shop.assert_all_confirmed(&placed).await;
    })
    .await;
}

/// The storage itself runs such a statement again, alone and in a round that many share.
#[tokio::test(flavor = "multi_thread")]
async fn a_serialization_failure_is_tried_again_inside() {
    for state in ["40001", "40P01"] {
        let shop = Shop::open().await;
        let placed = shop.place(20).await;
        let change = shop.confirmation(&placed[0]).await;
        let strike = |times: u32| {
            format!(
                "IF nextval('@.struck') <= {times} THEN RAISE EXCEPTION 'told to' USING ERRCODE = '{state}'; END IF;"
            )
        };
        shop.before_each_order(&strike(3)).await;
        within(shop.world.storage.commit(&change)).await.unwrap();
        shop.before_each_order(&strike(10)).await;
        for answer in crowd(&shop, &placed[1..]).await {
            answer.unwrap();
        }
        shop.assert_all_confirmed(&placed).await;
    }
}

/// A failure that repeats is transient: nothing happened, and it may work later.
#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_without_end_fail_for_now() {
    fails_and_works_again("RAISE EXCEPTION 'told to' USING ERRCODE = '40001';").await;
}

/// A host that holds the second row and asks for the first, while the storage holds the first and asks for the second. The
/// engine makes the storage the victim, since the host looks for deadlocks later.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again_inside() {
    let shop = Shop::open().await;
    let placed = shop.place(2).await;
    let other = shop.snapshot(&placed[1]).await;
    let mut change = shop.confirmation(&placed[0]).await;
    change.guards.push(Guard::Exact { row: Row::Order(placed[1].id), version: other.order.state.version });
    let mut holder = shop.hold(&placed[1]).await;
    sqlx::query("SET LOCAL deadlock_timeout = '10min'").execute(&mut *holder.transaction).await.unwrap();
    let committing = tokio::spawn({
        let (world, change) = (Arc::clone(&shop.world), change.clone());
        async move { world.storage.commit(&change).await }
    });
    shop.until_blocked_by(&holder).await;
    // Granted only when the storage's statement has been given up, for it waits for what is held here.
    holder.lock(&placed[0]).await;
    assert!(!committing.is_finished());
    holder.end().await;
    within(committing).await.unwrap().unwrap();
    shop.assert_whole(&placed[0], true).await;
}

/// A write of one order never ends: it is reported, and the writes of other orders land.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_out_of_time_fails_alone() {
    let shop = Shop::open_with(|options| options.statement_time_max = Duration::from_millis(500)).await;
    let placed = shop.place(16).await;
    shop.before_each_order(&format!("IF NEW.order_id = '{}' THEN PERFORM pg_sleep(600); END IF;", placed[0].id)).await;
    let change = shop.confirmation(&placed[0]).await;
    assert_eq!(kind(within(shop.world.storage.commit(&change)).await), PortErrorKind::Transient);
    let mut changes = Vec::new();
    for order in &placed {
        changes.push(shop.confirmation(order).await);
    }
    let commits = changes.into_iter().map(|change| {
        let world = Arc::clone(&shop.world);
        tokio::spawn(async move { world.storage.commit(&change).await })
    });
    let answers: Vec<_> = within(join_all(commits)).await.into_iter().map(Result::unwrap).collect();
    for (index, answer) in answers.into_iter().enumerate() {
        match index {
            0 => assert_eq!(kind(answer), PortErrorKind::Transient),
            _ => assert_eq!(answer.unwrap(), Committed { number: None }, "{index}"),
        }
    }
    shop.assert_whole(&placed[0], false).await;
    shop.heal().await;
    shop.confirm(&placed[0]).await.unwrap();
    shop.assert_all_confirmed(&placed).await;
}

/// A lease runs out, another host is about to take the mail, and then its first worker records after all (#8).
#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_worker_records_meanwhile_is_not_taken_before_its_time() {
    let shop = Shop::open().await;
    let placed = shop.place(1).await;
    shop.confirm(&placed[0]).await.unwrap();
    let mut transaction = shop.pool.begin().await.unwrap();
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await.unwrap();
    // Lets it be chosen, and not be leased.
    let sql = format!("LOCK TABLE {}.effects IN EXCLUSIVE MODE", shop.schema);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
    let holder = Holder { transaction, pid, sql: String::new() };
    let world = Arc::clone(&shop.world);
    let taking = tokio::spawn(async move {
        world.storage.take_due(Lane::Mails, 10, DeliveryShares::default(), Duration::from_secs(30)).await
    });
    shop.until_blocked_by(&holder).await;
    let later = shop.world.clock.now().plus(Duration::from_secs(60)).millis();
    let recorded = format!("UPDATE {}.effects SET attempts = attempts + 1, due_at = {later}", shop.schema);
    let Holder { mut transaction, .. } = holder;
    sqlx::query(AssertSqlSafe(recorded)).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(within(taking).await.unwrap().unwrap(), []);
    shop.world.clock.advance(Duration::from_secs(60));
    let taken = within(shop.world.storage.take_due(Lane::Mails, 10, DeliveryShares::default(), LONG)).await.unwrap();
    assert_eq!(taken.iter().map(|due| due.attempts).collect::<Vec<_>>(), [1]);
}

/// A server killed and started again, twice, while workers confirm: what was acknowledged is there, and everything is there
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_restarted_under_load_keeps_what_it_acknowledged() {
    let cluster = Arc::new(tokio::task::spawn_blocking(Cluster::start).await.unwrap());
    let shop = Shop::open_at(cluster.url().parse().unwrap(), |_| {}).await;
    let placed = shop.place(240).await;
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (world, done) = (Arc::clone(&shop.world), Arc::clone(&done));
            // Each order is for two workers.
            let mine: Vec<Placed> = placed
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 4 == worker % 4)
                .map(|(_, order)| order.clone())
                .collect();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for order in mine {
                    loop {
                        match confirm(&world, &order).await {
                            Ok(()) => acknowledged.push(order.id),
                            Err(failure) if is_refused(&failure) => {}
                            Err(Failure::Port { error, .. }) if error.kind() != PortErrorKind::Permanent => {
                                tokio::time::sleep(Duration::from_millis(10)).await;
                                continue;
                            }
                            Err(Failure::Busy) => continue,
                            Err(other) => panic!("{other:?}"),
                        }
                        done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        // Slow enough that the restarts fall into the middle.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        break;
                    }
                }
                acknowledged
            })
        })
        .collect();
    for reached in [40, 240] {
        within(async {
            while done.load(std::sync::atomic::Ordering::SeqCst) < reached {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || cluster.restart()).await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for worker in workers {
        acknowledged.extend(within(worker).await.unwrap());
    }
    let once: BTreeSet<_> = acknowledged.iter().copied().collect();
    assert_eq!(once.len(), acknowledged.len(), "no confirmation was acknowledged twice");
    assert!(once.len() > placed.len() / 2, "{} acknowledged", once.len());
    shop.assert_all_confirmed(&placed).await;
    shop.pool.close().await;
    shop.world.storage.close().await;
}

/// A call that is dropped while its statement waits leaves no lock and no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_while_it_waits_gives_its_place_back() {
    let shop = Shop::open_with(|options| options.connections_max = 2).await;
    let placed = shop.place(2).await;
    let holder = shop.hold(&placed[0]).await;
    for _ in 0..6 {
        let waiting = tokio::spawn({
            let (world, order) = (Arc::clone(&shop.world), placed[0].clone());
            async move { confirm(&world, &order).await }
        });
        shop.until_blocked_by(&holder).await;
        waiting.abort();
        let _ = waiting.await;
        shop.snapshot(&placed[1]).await;
    }
    shop.confirm(&placed[1]).await.unwrap();
    holder.end().await;
    let answer = shop.confirm(&placed[0]).await;
    assert!(answer.as_ref().err().is_none_or(is_refused), "{answer:?}: one that went away may have landed");
    shop.assert_all_confirmed(&placed).await;
}
