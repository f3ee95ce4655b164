//! PgBouncer in front of the database, as Debian ships it, with its defaults: which of its modes the storage works with, and
//! how it refuses the others (#16).
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::accounts::actor::Actor;
use serront_core::ports::{PortError, PortErrorKind, Upkeep as _};
use serront_core::service::Failure;
use serront_testkit::memory::ManualClock;
use serront_testkit::pooler::Pooler;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::world::World;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

const BOUND: Duration = Duration::from_secs(60);

/// Everything that an error says.
fn said(error: &PortError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

async fn server() -> SocketAddr {
    let server: PgConnectOptions = server_url().parse().unwrap();
    tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await.unwrap().next().unwrap()
}

async fn pooler(settings: &str) -> Pooler {
    let (server, settings) = (server().await, settings.to_owned());
    tokio::task::spawn_blocking(move || Pooler::start(server, &settings)).await.unwrap()
}

fn options(pooler: &Pooler) -> PostgresOptions {
    let database = server_url().parse::<PgConnectOptions>().unwrap().get_database().unwrap_or("postgres").to_owned();
    let mut options = PostgresOptions::at(&pooler.url(&database)).unwrap();
    options.schema = fresh_schema();
    options
}

/// The settings of each session apply, and PgBouncer needs no setting but its mode, which is the default.
#[tokio::test(flavor = "multi_thread")]
async fn session_pooling_works_as_it_is_shipped() {
    let pooler = pooler("").await;
    let clock = Arc::new(ManualClock::default());
    let mut options = options(&pooler);
    options.clock = Some(clock.clone());
    options.lock_time_max = Duration::from_millis(300);
    let schema = options.schema.clone();
    let storage = Arc::new(within(PostgresStorage::open(options)).await.unwrap());
    let world = Arc::new(World::over(storage, clock));
    let seller = world.seller("studio").await;
    let mut placed = Vec::new();
    for index in 0..12 {
        placed.push(world.place(&seller, &format!("Budi {index}")).await);
    }
    let confirm = async |order: &serront_testkit::world::Placed| {
        let actor = Actor::host("tester").unwrap();
        within(world.commands().confirm_payment(order.account_id, order.id, &actor, None, None)).await.map(drop)
    };
    let (first, others) = placed.split_first().unwrap();
    for answer in join_all(others.iter().map(&confirm)).await {
        answer.unwrap();
    }
    within(world.storage.ready()).await.unwrap();

    // A lock that is held for longer than the storage waits: the session's own `lock_timeout` ends the wait.
    let pool = PgPool::connect(&server_url()).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM {schema}.orders FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *holder).await.unwrap();
    assert!(matches!(confirm(first).await, Err(Failure::Busy)));
    holder.rollback().await.unwrap();
    confirm(first).await.unwrap();
    world.storage.close().await;
}

/// Another client would get the session's settings and prepared statements.
#[tokio::test(flavor = "multi_thread")]
async fn pooling_by_transaction_or_statement_is_refused_in_plain_words() {
    for settings in [
        "pool_mode = transaction",
        "pool_mode = statement",
        // Another one each time, of several that are there already.
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 2\nserver_check_delay = 0",
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 5",
    ] {
        let pooler = pooler(settings).await;
        let options = options(&pooler);
        let schema = options.schema.clone();
        let error = within(PostgresStorage::open(options)).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Permanent, "{settings}");
        assert!(said(&error).contains("pool_mode = session"), "{settings}: {error}");
        let pool = PgPoolOptions::new().connect(&server_url()).await.unwrap();
        let made: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = $1")
            .bind(&schema)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(made, 0, "{settings}: nothing is created");
    }
}
