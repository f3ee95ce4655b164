//! What an adapter implements to run the cases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_core::ports::WorkStorage;
use serront_core::primitives::time::Timestamp;

/// One new, empty, durable store of an adapter's tests.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The present storage.
    fn storage(&self) -> Arc<dyn WorkStorage>;

    /// Closes the storage and opens the same durable store again. Earlier results of [`Harness::storage`] are no longer
    /// used.
    async fn reopen(&self);

    /// The storage's time.
    fn now(&self) -> Timestamp;

    /// Moves the storage's clock forward. It must not move otherwise.
    async fn advance(&self, by: Duration);
}
