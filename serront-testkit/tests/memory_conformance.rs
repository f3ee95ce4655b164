//! The memory storage keeps every promise of the storage ports.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::primitives::time::Timestamp;
use serront_testkit::conformance::Harness;
use serront_testkit::memory::{ManualClock, MemoryStorage};

struct Memory {
    clock: Arc<ManualClock>,
    storage: MemoryStorage,
}

impl Memory {
    fn fresh() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { storage: MemoryStorage::new(clock.clone()), clock }
    }
}

#[async_trait]
impl Harness for Memory {
    fn storage(&self) -> Arc<dyn WorkStorage> {
        Arc::new(self.storage.reopen())
    }

    // Every handle is a new one already.
    async fn reopen(&self) {}

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

serront_testkit::storage_conformance!(Memory::fresh());
