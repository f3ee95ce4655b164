//! The folder: moves the deltas of kept counts into their totals, so that what a read adds up stays short.
//!
//! As the dispatcher, it is a `step(now)`: it does a bounded piece of work and says when to be called next.

use crate::ports::{PortError, WorkStorage};
use crate::service::Environment;
use crate::time::Timestamp;

/// Most deltas that one step folds.
const BATCH: u32 = 1_000;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// How many deltas were folded.
    pub deltas: u64,
    /// When to call again at the latest.
    pub next: Timestamp,
}

/// Folds, over a borrowed storage.
#[derive(Debug)]
pub struct Folder<'p, S: ?Sized> {
    storage: &'p S,
    environment: Environment<'p>,
}

impl<'p, S: WorkStorage + ?Sized> Folder<'p, S> {
    /// Over this storage.
    pub const fn new(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment }
    }

    /// Folds once.
    ///
    /// # Errors
    /// The storage's failure; nothing is lost by it, and the next step goes on.
    pub async fn step(&self, now: Timestamp) -> Result<Folded, PortError> {
        let deltas = self.storage.fold_deltas(BATCH).await?;
        let next = if deltas >= u64::from(BATCH) { now } else { now.plus(self.environment.policy.fold_interval) };
        Ok(Folded { deltas, next })
    }
}
