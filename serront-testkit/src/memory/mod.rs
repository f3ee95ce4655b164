//! Strict adapters in memory: they refuse everything that a real adapter must refuse.
//!
//! They never panic and never block for long. Each call yields to the runtime at least once, so that concurrent tasks do
//! interleave between a read and the commit that follows it.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod environment;
mod outside;
mod state;
mod storage;

pub(crate) use environment::FIRST_KEY;
pub use environment::{CountingIds, CountingSecrets, ManualClock, MemorySealer};
pub use outside::{Mailbox, MemoryReceipts, RecordingSink};
pub use storage::MemoryStorage;

/// Locks the mutex, poisoned or not: if a test panicked while it held the lock, a second panic would hide the first.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
