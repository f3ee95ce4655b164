//! Strict adapters in memory: what a real adapter must refuse, these refuse too.
//!
//! They never panic, never block for long, and answer only after at least one turn of the runtime, so that tasks that
//! run side by side really do interleave between a read and the commit that follows it.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod environment;
mod outside;
mod state;
mod storage;

pub(crate) use environment::FIRST_KEY;
pub use environment::{CountingIds, CountingSecrets, ManualClock, MemorySealer};
pub use outside::{Mailbox, MemoryReceipts, RecordingSink};
pub use storage::MemoryStorage;

/// The value in the lock. A test that panicked while holding it must not hide the first failure behind a second.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
