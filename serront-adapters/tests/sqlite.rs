//! SQLite under the storage conformance suite.
#![cfg(feature = "sqlite")]

use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::time::Timestamp;
use serront_testkit::conformance::Harness;
use serront_testkit::memory::ManualClock;
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
