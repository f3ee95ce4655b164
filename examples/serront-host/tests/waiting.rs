//! Waiting in the real binary: for a database that another process has locked, and not for another host that
//! is frozen (#16).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::proxy::Proxy;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use support::{Client, Engine, Installation, Receiver, eventually};

mod support;

on_both_engines!(
    a_start_waits_for_a_locked_database_with_a_word_and_a_bound,
    a_start_that_waits_ends_on_sigterm,
    a_start_that_waits_continues_when_the_lock_is_free,
);

/// A database that another process has locked while it is still empty.
struct Locked {
    installation: Installation,
    lock: Lock,
}

enum Lock {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Locked {
    async fn new(engine: Engine, wait_seconds: u32) -> Self {
        let wait = ("SERRONT_DATABASE_WAIT_SECONDS", wait_seconds.to_string());
        match engine {
            Engine::Postgres => {
                // The lock is on the whole database.
                let server: PgConnectOptions = server_url().parse().unwrap();
                let database = fresh_schema();
                let mut outside = PgConnection::connect_with(&server).await.unwrap();
                let create = AssertSqlSafe(format!("CREATE DATABASE {database}"));
                sqlx::raw_sql(create).execute(&mut outside).await.unwrap();
                let mut lock = PgConnection::connect_with(&server.clone().database(&database)).await.unwrap();
                lock.lock().await.unwrap();
                let (place, _) = server_url().rsplit_once('/').map(|(place, _)| (place.to_owned(), ())).unwrap();
                let url = ("DATABASE_URL", format!("{place}/{database}"));
                Self { installation: Installation::new(engine).with([wait, url]), lock: Lock::Postgres(lock) }
            }
            Engine::Sqlite => {
                let installation = Installation::new(engine).with([wait]);
                let file = SqliteConnectOptions::new().filename(installation.path().join("serront.db"));
                let mut lock = SqliteConnection::connect_with(&file.create_if_missing(true)).await.unwrap();
                sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut lock).await.unwrap();
                Self { installation, lock: Lock::Sqlite(lock) }
            }
        }
    }

    fn start(&self, arguments: &[&str]) -> Starting {
        let mut command = self.installation.command();
        let log = tempfile::NamedTempFile::new().unwrap();
        command.args(arguments).stdout(Stdio::piped()).stderr(log.reopen().unwrap());
        Starting { child: command.spawn().unwrap(), log }
    }

    async fn free(self) -> Installation {
        match self.lock {
            Lock::Postgres(lock) => lock.close().await.unwrap(),
            Lock::Sqlite(lock) => lock.close().await.unwrap(),
        }
        self.installation
    }
}

/// A starting process; killed at the end of the test.
struct Starting {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Starting {
    fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    async fn until_it_says_that_it_waits(&self) {
        eventually("a word that it waits", || self.said().contains("\"waiting\"")).await;
    }

    /// Its status, if it has ended.
    async fn ended(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        eventually("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];

async fn a_start_waits_for_a_locked_database_with_a_word_and_a_bound(engine: Engine) {
    let locked = Locked::new(engine, 3).await;
    for arguments in [SERVE, &["migrate"], &["outbox", "list"]] {
        let mut starting = locked.start(arguments);
        let status = starting.ended().await;
        let said = starting.said();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("\"waiting\"") && said.contains("given up after 3 s"), "{arguments:?}: {said}");
        let mut answered = String::new();
        starting.child.stdout.take().unwrap().read_to_string(&mut answered).unwrap();
        assert_eq!(answered, "", "{arguments:?}");
    }
}

async fn a_start_that_waits_ends_on_sigterm(engine: Engine) {
    let locked = Locked::new(engine, 600).await;
    for (arguments, code) in [(SERVE, Some(0)), (&["migrate"], None)] {
        let mut starting = locked.start(arguments);
        starting.until_it_says_that_it_waits().await;
        let began = Instant::now();
        let pid = starting.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(starting.ended().await.code(), code, "{arguments:?}: {}", starting.said());
        assert!(began.elapsed() < Duration::from_secs(10), "within what a supervisor waits");
    }
}

async fn a_start_that_waits_continues_when_the_lock_is_free(engine: Engine) {
    let locked = Locked::new(engine, 600).await;
    let mut starting = locked.start(&["account", "create", "--name", "Studio", "--tier", "growth"]);
    starting.until_it_says_that_it_waits().await;
    let installation = locked.free().await;
    assert!(starting.ended().await.success(), "{}", starting.said());
    installation.account("free");
}

/// A host that freezes while it takes due work: another host sends its mails and deliveries within the contract's minute,
/// including those that the frozen one had taken.
#[tokio::test(flavor = "multi_thread")]
async fn next_to_a_frozen_host_everything_is_sent_within_a_minute() {
    let installation = Installation::new(Engine::Postgres);
    let (_, key) = installation.account("growth");
    let server: PgConnectOptions = server_url().parse().unwrap();
    let address = tokio::net::lookup_host((server.get_host().to_owned(), server.get_port())).await;
    let proxy = Proxy::start(address.unwrap().next().unwrap()).await.unwrap();
    let through = server_url().replace(&format!(":{}/", server.get_port()), &format!(":{}/", proxy.address().port()));
    let mut freezing = installation.command();
    freezing.args(SERVE).env("DATABASE_URL", format!("{through}?sslmode=disable")).stdout(Stdio::piped());
    let frozen = support::Host::started(freezing);
    let receiver = Receiver::start().await;
    let first = Client::new(&frozen, &key);
    first.open_shop("studio").await;
    let hook = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
    first.call("POST", "/api/v1/webhook-subscriptions", Some(hook)).await.data();
    for _ in 0..2 {
        first.order("studio").await;
    }
    let orders = first.order_ids().await;

    // It freezes while it takes deliveries, and so keeps its leases.
    proxy.stall_at("pg_advisory_xact_lock");
    let confirm = |id: &str| format!("/api/v1/orders/{id}/confirm-payment");
    first.call("POST", &confirm(&orders[0]), Some(json!({}))).await.data();
    eventually("the frozen host's take", || proxy.is_stalled()).await;
    frozen.freeze();
    let running = installation.serve();
    let second = Client::new(&running, &key);
    second.call("POST", &confirm(&orders[1]), Some(json!({}))).await.data();
    eventually("every mail and delivery", || installation.mails().len() == 2 && receiver.received().len() >= 2).await;
}
