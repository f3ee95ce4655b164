//! The PostgreSQL storage keeps every promise of the storage ports.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::books::{self, Difference, Sums, Verification, VerificationReport};
use serront_core::decide::AdjustmentInput;
use serront_core::ledger::EntryCode;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::tier::Tier;
use serront_core::time::Timestamp;
use serront_testkit::conformance::Harness;
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::world::{World, host};

struct Postgres {
    options: PostgresOptions,
    clock: Arc<ManualClock>,
    storage: Mutex<Arc<PostgresStorage>>,
}

impl Postgres {
    async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::default());
        let mut options = PostgresOptions::new(server_url().parse().unwrap());
        options.schema = fresh_schema();
        options.connections_max = 6;
        options.clock = Some(clock.clone());
        let storage = Mutex::new(Arc::new(PostgresStorage::open(options.clone()).await.unwrap()));
        Self { options, clock, storage }
    }
}

#[async_trait]
impl Harness for Postgres {
    fn storage(&self) -> Arc<dyn WorkStorage> {
        self.storage.lock().unwrap().clone()
    }

    async fn reopen(&self) {
        let before = self.storage.lock().unwrap().clone();
        before.close().await;
        let after = Arc::new(PostgresStorage::open(self.options.clone()).await.unwrap());
        *self.storage.lock().unwrap() = after;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

serront_testkit::storage_conformance!(Postgres::fresh().await);

/// The tables that change sets write can be distributed by account. The directories are what they exist beside.
#[tokio::test(flavor = "multi_thread")]
async fn every_unique_constraint_includes_the_account() {
    let postgres = Postgres::fresh().await;
    let pool = sqlx::PgPool::connect(&server_url()).await.unwrap();
    let rows: Vec<(String, String, Vec<String>)> = sqlx::query_as(
        "SELECT t.relname::text, i.relname::text, array_agg(a.attname::text) FROM pg_index x \
         JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid \
         JOIN pg_namespace n ON n.oid = t.relnamespace \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey) \
         WHERE n.nspname = $1 AND x.indisunique GROUP BY t.relname, i.relname ORDER BY 1, 2",
    )
    .bind(&postgres.options.schema)
    .fetch_all(&pool)
    .await
    .unwrap();
    let without: Vec<&str> = rows
        .iter()
        .filter(|(_, _, columns)| !columns.iter().any(|column| column == "account_id"))
        .map(|(table, _, _)| table.as_str())
        .collect();
    // The installation has one row.
    assert_eq!(without, ["_sqlx_migrations", "directory", "installation"]);
    assert!(rows.len() > 20, "{rows:?}");
}

/// Hosts that start at once wait for each other; one of the version before leaves a newer layout alone.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_migrate_once() {
    let mut options = PostgresOptions::at(&server_url()).unwrap();
    options.schema = fresh_schema();
    options.connections_max = 2;
    let opened = futures_util::future::join_all((0..8).map(|_| PostgresStorage::open(options.clone()))).await;
    for storage in opened {
        storage.unwrap().ready().await.unwrap();
    }
    let pool = sqlx::PgPool::connect(&server_url()).await.unwrap();
    let newer = format!(
        "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'of a newer version', true, '', 0)",
        options.schema
    );
    sqlx::query(sqlx::AssertSqlSafe(newer)).execute(&pool).await.unwrap();
    PostgresStorage::open(options).await.unwrap().ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_needs_escaping_is_refused() {
    for schema in ["", "a b", "A", "1a", "pg_x", "x\"; drop table y", &"x".repeat(64)] {
        let mut options = PostgresOptions::at(&server_url()).unwrap();
        options.schema = schema.to_owned();
        assert!(PostgresStorage::open(options).await.is_err(), "{schema}");
    }
}

/// What nobody but the engine's owner can do: an entry is changed by hand. Its balance and its transaction are told.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_tampered_with_is_told() {
    let postgres = Postgres::fresh().await;
    let world = World::over(postgres.storage(), postgres.clock.clone());
    let mut accounts = Vec::new();
    for name in ["Renata", "Sari"] {
        let account_id = world.local().open_account(name, Tier::Starter).await.unwrap().value.0.id;
        let input = AdjustmentInput { amount: -1_000, reason: "a refund".to_owned(), reference: "R1".to_owned() };
        world.local().adjust(account_id, &input, &host()).await.unwrap();
        accounts.push(account_id);
    }
    let pool = sqlx::PgPool::connect(&server_url()).await.unwrap();
    let tampering = format!(
        "UPDATE {}.ledger_entries SET amount = amount + 1 WHERE account_id = $1 AND book = 'seller' RETURNING tx_id",
        postgres.options.schema
    );
    let tx_id: String = sqlx::query_scalar(sqlx::AssertSqlSafe(tampering))
        .bind(accounts[0].to_string())
        .fetch_one(&pool)
        .await
        .unwrap();
    let (account_id, code, tx_id) = (accounts[0], EntryCode::Adjustment, tx_id.parse().unwrap());
    let sums = |debits| Sums { debits, credits: 0 };
    let differences = vec![
        Difference::Balance { account_id, code, stored: sums(1_000), counted: sums(1_001) },
        Difference::Transaction { account_id, tx_id, excess: -1 },
    ];
    for (of, accounts) in [(None, 2), (Some(account_id), 1)] {
        let told = books::verify(&*world.storage, of, &Verification::default()).await.unwrap();
        let entries = u64::try_from(accounts).unwrap() * 2;
        assert_eq!(told, VerificationReport { accounts, entries, differences: differences.clone() });
    }
    let told = books::verify(&*world.storage, Some(accounts[1]), &Verification::default()).await.unwrap();
    assert_eq!(told.differences, []);
}
