//! The PostgreSQL storage keeps every promise of the storage ports.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::ports::{Clock, WorkStorage};
use serront_core::time::Timestamp;
use serront_testkit::conformance::Harness;
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{fresh_schema, server_url};

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
