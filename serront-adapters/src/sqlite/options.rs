//! The options of the storage, and their defaults.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serront_core::ports::Clock;

/// How long a writer waits for another process's writer.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How the storage is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The file. It is created if it does not exist.
    pub path: PathBuf,
    /// The storage's clock, which times leases. Processes on one machine share the system's.
    pub clock: Arc<dyn Clock>,
    /// How long [`SqliteStorage::open_with`](super::SqliteStorage::open_with) waits for another process that has locked
    /// the file.
    pub lock_wait_max: Duration,
    /// Called when [`SqliteStorage::open_with`](super::SqliteStorage::open_with) has to wait for such a process.
    pub on_lock_wait: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl SqliteOptions {
    /// This file, with the defaults: it waits 60 s for a locked file.
    #[must_use]
    pub fn new(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { path: path.to_owned(), clock, lock_wait_max: Duration::from_secs(60), on_lock_wait: None }
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteOptions").field("path", &self.path).finish_non_exhaustive()
    }
}
