//! SQLite under the storage conformance suite.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::books::{self, Difference, Sums, Verification, VerificationReport};
use serront_core::decide::AdjustmentInput;
use serront_core::ledger::EntryCode;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::tier::Tier;
use serront_core::time::Timestamp;
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

/// What nobody but the engine's owner can do: an entry is changed by hand. Its balance and its transaction are told.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_tampered_with_is_told() {
    let sqlite = Sqlite::fresh().await;
    let world = World::over(sqlite.storage(), sqlite.clock.clone());
    let mut accounts = Vec::new();
    for name in ["Renata", "Sari"] {
        let account_id = world.local().open_account(name, Tier::Starter).await.unwrap().value.0.id;
        let input = AdjustmentInput { amount: -1_000, reason: "a refund".to_owned(), reference: "R1".to_owned() };
        world.local().adjust(account_id, &input, &host()).await.unwrap();
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
        let told = books::verify(&*world.storage, of, &Verification::default()).await.unwrap();
        let entries = u64::try_from(accounts).unwrap() * 2;
        assert_eq!(told, VerificationReport { accounts, entries, differences: differences.clone() });
    }
    let told = books::verify(&*world.storage, Some(accounts[1]), &Verification::default()).await.unwrap();
    assert_eq!(told.differences, []);
}
