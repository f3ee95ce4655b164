//! The PostgreSQL storage keeps every guarantee of the storage ports.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::decide::AdjustmentInput;
use serront_core::funds::books::{Difference, Sums, Verification, VerificationReport};
use serront_core::funds::ledger::{EntryCode, POSTED_WITHIN};
use serront_core::ports::{Bookkeeping as _, Clock, FundsReads as _, Upkeep as _, WorkStorage};
use serront_core::primitives::page::Limit;
use serront_core::primitives::search::search_words;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, Failure, verify};
use serront_core::snapshots::{EntryFilter, OrderFilter};
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

/// The tables that change sets write can be distributed by account. The directories are separate from them.
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

/// Hosts that start at the same time wait for each other; a host of the previous version does not change a newer
/// layout.
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

/// An entry is changed directly in the database. The verification reports its balance and its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_tampered_with_is_told() {
    let postgres = Postgres::fresh().await;
    let world = World::over(postgres.storage(), postgres.clock.clone());
    let mut accounts = Vec::new();
    for name in ["Renata", "Sari"] {
        let account_id = world.commands().open_account(name, Tier::Starter).await.unwrap().value.0.id;
        let input = AdjustmentInput { amount: -1_000, reason: "a refund".to_owned(), reference: "R1".to_owned() };
        world.commands().adjust(account_id, &input, &host()).await.unwrap();
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
        let told = verify(&*world.storage, of, &Verification::default()).await.unwrap();
        let entries = u64::try_from(accounts).unwrap() * 2;
        assert_eq!(told, VerificationReport { accounts, entries, differences: differences.clone() });
    }
    let told = verify(&*world.storage, Some(accounts[1]), &Verification::default()).await.unwrap();
    assert_eq!(told.differences, []);
}

/// What an earlier version stored is found as well: orders by words with accents, adjustments by references (#16).
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_earlier_versions_are_found() {
    let postgres = Postgres::fresh().await;
    let world = World::over(postgres.storage(), postgres.clock.clone());
    let seller = world.seller("studio").await;
    // More than one piece of what is rewritten, ASCII in between.
    for nth in 0..1_010 {
        world.place(&seller, if nth % 2 == 0 { "José Ångström" } else { "Budi" }).await;
    }
    let input = |reference: &str| AdjustmentInput {
        amount: -5,
        reason: "a refund".to_owned(),
        reference: reference.to_owned(),
    };
    for reference in ["Réf 1", "Réf 2", "twice"] {
        world.commands().adjust(seller.account_id, &input(reference), &host()).await.unwrap();
    }
    let schema = &postgres.options.schema;
    let mark = seller.account_id.ulid().to_string().to_lowercase();
    let pool = sqlx::PgPool::connect(&server_url()).await.unwrap();
    let is_of_jose = "buyer_name LIKE 'José%'";
    let words =
        format!("array_to_tsvector(ARRAY['{mark}josé', '{mark}ångström', '{mark}budi', '{mark}com', '{mark}example'])");
    for sql in [
        format!("UPDATE {schema}.orders SET search = {words} WHERE {is_of_jose}"),
        format!("UPDATE {schema}.adjustments SET reference = normalize(reference, NFD)"),
        format!("UPDATE {schema}.claims SET name = normalize(name, NFD) WHERE kind = 'adjustment'"),
        format!("UPDATE {schema}.rewritten SET up_to = ''"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    let found = async |text: &str| {
        let filter = OrderFilter { words: search_words(text).unwrap(), ..OrderFilter::default() };
        let page = postgres.storage().orders(seller.account_id, &filter, None, Limit::EXPORT).await.unwrap();
        page.rows.len()
    };
    // A search also looks at the newest orders themselves, so the index is asked here.
    let indexed = async |word: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {schema}.orders WHERE search @@ $1::text::tsquery");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).bind(format!("'{mark}{word}':*"));
        count.fetch_one(&pool).await.unwrap()
    };
    assert_eq!(indexed("jose").await, 0, "as the earlier version stored them");
    for _ in 0..2 {
        postgres.reopen().await;
        assert_eq!((indexed("jose").await, indexed("angstrom").await, indexed("josé").await), (505, 505, 0));
        for (text, orders) in [("jose", 505), ("JOSÉ angstrom", 505), ("logo jose", 505), ("joseph", 0)] {
            assert_eq!(found(text).await, orders, "{text}");
        }
    }
    let world = world.with_storage(postgres.storage());
    world.place(&seller, "Zoë").await;
    postgres.reopen().await;
    assert_eq!((found("zoe").await, found("jose").await), (1, 505));
    let world = world.with_storage(postgres.storage());
    for (reference, replayed) in
        [("Réf 1", true), ("Re\u{301}f 1", true), ("Réf 2", true), ("twice", true), ("R\u{e9}f 3", false)]
    {
        let answer = world.commands().adjust(seller.account_id, &input(reference), &host()).await.unwrap();
        assert_eq!(answer.replayed, replayed, "{reference:?}");
    }
}

/// The ledger is not reported complete while a host's transaction is open that has posted something. Once it is reported complete
/// before a time, no earlier entry appears (#16).
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_keeps_the_ledger_from_being_complete() {
    let mut options = PostgresOptions::new(server_url().parse().unwrap());
    options.schema = fresh_schema();
    let storage = Arc::new(PostgresStorage::open(options.clone()).await.unwrap());
    let pool = sqlx::PgPool::connect(&server_url()).await.unwrap();
    let server_time = async || {
        let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8";
        Timestamp::from_millis(sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap())
    };
    let clock = Arc::new(ManualClock::at(server_time().await));
    let world = World::over(Arc::clone(&storage), clock.clone());
    let account_id = world.commands().open_account("Renata", Tier::Starter).await.unwrap().value.0.id;
    let input = |reference: &str| AdjustmentInput {
        amount: 1_000,
        reason: "a sale at the counter".to_owned(),
        reference: reference.to_owned(),
    };
    let before = async |time: Timestamp| {
        let filter = EntryFilter { before: Some(time), ..EntryFilter::default() };
        storage.entries(account_id, &filter, None, Limit::EXPORT).await.unwrap().rows
    };

    // One transaction posts, and stays open; another one posts after it, and commits before it.
    let mut slow = pool.begin().await.unwrap();
    {
        let bound = storage.bind(&mut slow);
        let commands = Commands::bound(&bound, world.environment());
        commands.adjust(account_id, &input("slow"), &host()).await.unwrap();
    }
    let posted = server_time().await;
    let other = world.commands().open_account("Sari", Tier::Starter).await.unwrap().value.0.id;
    world.commands().adjust(other, &input("quick"), &host()).await.unwrap();
    let open = storage.complete_before().await.unwrap();
    assert!(open.plus(POSTED_WITHIN) <= posted, "{open}: the slow one began before {posted}");
    let read = before(open).await;
    slow.commit().await.unwrap();
    assert_eq!(before(open).await, read, "nothing came late");

    let ended = server_time().await;
    let complete = storage.complete_before().await.unwrap();
    assert!(complete.plus(POSTED_WITHIN) >= ended, "{complete}: nothing is open since {ended}");

    // A decision that is too old is made again; with a clock that is too slow it stays too old.
    clock.set(ended.minus(POSTED_WITHIN + Duration::from_secs(1)));
    let late = world.commands().adjust(account_id, &input("late"), &host()).await;
    assert!(matches!(late, Err(Failure::Busy)), "{late:?}");
    clock.set(server_time().await);
    world.commands().adjust(account_id, &input("late"), &host()).await.unwrap();
    assert_eq!(before(Timestamp::from_millis(i64::MAX)).await.len(), 2);
}
