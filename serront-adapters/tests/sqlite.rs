//! SQLite under the storage conformance suite.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::decide::AdjustmentInput;
use serront_core::funds::books::{Difference, Sums, Verification, VerificationReport};
use serront_core::funds::ledger::{EntryCode, POSTED_WITHIN};
use serront_core::ports::{Bookkeeping as _, Clock, FundsReads as _, WorkStorage};
use serront_core::primitives::page::Limit;
use serront_core::primitives::search::search_words;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, verify};
use serront_core::snapshots::{EntryFilter, OrderFilter};
use serront_testkit::conformance::Harness;
use serront_testkit::memory::ManualClock;
use serront_testkit::world::{World, host};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    clock: Arc<ManualClock>,
    storage: RwLock<Arc<SqliteStorage>>,
}

impl Sqlite {
    async fn fresh() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::default());
        let storage = SqliteStorage::open(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        Self { folder, clock, storage: RwLock::new(Arc::new(storage)) }
    }
}

#[async_trait]
impl Harness for Sqlite {
    fn storage(&self) -> Arc<dyn WorkStorage> {
        self.storage.read().unwrap().clone()
    }

    async fn reopen(&self) {
        let before = self.storage.read().unwrap().clone();
        before.close().await;
        let after = SqliteStorage::open(&self.folder.path().join("test.db"), self.clock.clone()).await.unwrap();
        *self.storage.write().unwrap() = Arc::new(after);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

serront_testkit::storage_conformance!(Sqlite::fresh().await);

/// As on the other engine, where it is what allows partitioning.
#[tokio::test(flavor = "multi_thread")]
async fn every_unique_constraint_includes_the_account() {
    let sqlite = Sqlite::fresh().await;
    let file = sqlite.folder.path().join("test.db").display().to_string();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await.unwrap();
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT t.name FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.\"unique\" \
         AND NOT EXISTS (SELECT 1 FROM pragma_index_info(i.name) c WHERE c.name = 'account_id') ORDER BY t.name",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // Those of the index of words are the engine's own.
    let without: Vec<_> = without.iter().filter(|name| !name.starts_with("order_words")).collect();
    assert_eq!(without, ["_sqlx_migrations", "directory"]);
}

/// An entry is changed directly in the database. The verification reports its balance and its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_tampered_with_is_told() {
    let sqlite = Sqlite::fresh().await;
    let world = World::over(sqlite.storage(), sqlite.clock.clone());
    let mut accounts = Vec::new();
    for name in ["Renata", "Sari"] {
        let account_id = world.commands().open_account(name, Tier::Starter).await.unwrap().value.0.id;
        let input = AdjustmentInput { amount: -1_000, reason: "a refund".to_owned(), reference: "R1".to_owned() };
        world.commands().adjust(account_id, &input, &host()).await.unwrap();
        accounts.push(account_id);
    }
    let file = sqlite.folder.path().join("test.db").display().to_string();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await.unwrap();
    let tx_id: String = sqlx::query_scalar(
        "UPDATE ledger_entries SET amount = amount + 1 WHERE account_id = ? AND book = 'seller' RETURNING tx_id",
    )
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
    let sqlite = Sqlite::fresh().await;
    let world = World::over(sqlite.storage(), sqlite.clock.clone());
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
    let mark = seller.account_id.ulid().to_string().to_lowercase();
    let file = sqlite.folder.path().join("test.db").display().to_string();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await.unwrap();
    let words = |name: &str| {
        ["budi", "com", "example"]
            .into_iter()
            .chain(name.split(' '))
            .map(|word| format!("{mark}{word}"))
            .collect::<BTreeSet<_>>()
    };
    let words = |name: &str| words(name).into_iter().collect::<Vec<_>>().join(" ");
    for (sql, name) in [
        (
            "INSERT INTO order_words (order_words, rowid, words) SELECT 'delete', place, ? FROM orders WHERE buyer_name LIKE 'José%'",
            "jose angstrom",
        ),
        (
            "INSERT INTO order_words (rowid, words) SELECT place, ? FROM orders WHERE buyer_name LIKE 'José%'",
            "josé ångström",
        ),
    ] {
        sqlx::query(sql).bind(words(name)).execute(&pool).await.unwrap();
    }
    for (composed, decomposed) in [("Réf 1", "Re\u{301}f 1"), ("Réf 2", "Re\u{301}f 2")] {
        for sql in [
            "UPDATE adjustments SET reference = ? WHERE reference = ?",
            "UPDATE claims SET name = ? WHERE name = ? AND kind = 'adjustment'",
        ] {
            sqlx::query(sql).bind(decomposed).bind(composed).execute(&pool).await.unwrap();
        }
    }
    sqlx::query("UPDATE rewritten SET up_to = 0, last = (SELECT max(place) FROM orders)").execute(&pool).await.unwrap();
    // A search also looks at the newest orders themselves, so the index is asked here.
    let indexed = async |word: &str| -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM order_words WHERE order_words MATCH ?");
        count.bind(format!("\"{mark}{word}\"*")).fetch_one(&pool).await.unwrap()
    };
    let found = async |text: &str| {
        let filter = OrderFilter { words: search_words(text).unwrap(), ..OrderFilter::default() };
        let page = sqlite.storage().orders(seller.account_id, &filter, None, Limit::EXPORT).await.unwrap();
        page.rows.len()
    };
    assert_eq!(indexed("jose").await, 0, "as the earlier version stored them");
    for _ in 0..2 {
        sqlite.reopen().await;
        assert_eq!((indexed("jose").await, indexed("angstrom").await, indexed("josé").await), (505, 505, 0));
        for (text, orders) in [("jose", 505), ("JOSÉ angstrom", 505), ("logo jose", 505), ("joseph", 0)] {
            assert_eq!(found(text).await, orders, "{text}");
        }
    }
    let world = world.with_storage(sqlite.storage());
    world.place(&seller, "Zoë").await;
    sqlite.reopen().await;
    assert_eq!((found("zoe").await, found("jose").await), (1, 505));
    let world = world.with_storage(sqlite.storage());
    for (reference, replayed) in
        [("Réf 1", true), ("Re\u{301}f 1", true), ("Réf 2", true), ("twice", true), ("R\u{e9}f 3", false)]
    {
        let answer = world.commands().adjust(seller.account_id, &input(reference), &host()).await.unwrap();
        assert_eq!(answer.replayed, replayed, "{reference:?}");
    }
}

/// The ledger is not reported complete while a host's transaction is open that has posted something (#16).
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_keeps_the_ledger_from_being_complete() {
    let sqlite = Sqlite::fresh().await;
    let storage = sqlite.storage.read().unwrap().clone();
    let world = World::over(Arc::clone(&storage), sqlite.clock.clone());
    let account_id = world.commands().open_account("Renata", Tier::Starter).await.unwrap().value.0.id;
    let input = AdjustmentInput { amount: 1_000, reason: "a sale".to_owned(), reference: "slow".to_owned() };
    let file = sqlite.folder.path().join("test.db").display().to_string();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await.unwrap();
    let mut slow = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let bound = storage.bind(&mut slow);
    Commands::bound(&bound, world.environment()).adjust(account_id, &input, &host()).await.unwrap();
    drop(bound);
    // It is open for as long as what it posted may take to land, and longer.
    sqlite.advance(POSTED_WITHIN * 2).await;
    let read = async || {
        let complete = storage.complete_before().await.unwrap();
        let filter = EntryFilter { before: Some(complete), ..EntryFilter::default() };
        storage.entries(account_id, &filter, None, Limit::EXPORT).await.unwrap().rows.len()
    };
    let (rows, ended) = tokio::join!(read(), async {
        // The reader asks first.
        tokio::task::yield_now().await;
        slow.commit().await
    });
    ended.unwrap();
    assert_eq!(rows, 1, "a reader that hears that it is complete sees what was open");
}
