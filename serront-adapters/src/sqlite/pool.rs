//! The connections that read.
//!
//! A read by a key, or of a page of orders without a search, takes microseconds. It runs on the thread that asks for it,
//! because handing it to another thread costs more. A read that may take long (a search, an export, the books) runs on the
//! runtime's threads for blocking work, on at most [`LONG_READS_MAX`] at the same time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::connection::{Connection, at_once};
use super::file::{Access, connect};
use super::options::BUSY_TIMEOUT;
use crate::sql::error::Failed;

/// Most reads at the same time that may take long.
const LONG_READS_MAX: usize = 8;

/// Most connections that are kept while they are idle: those of the long reads, and of as many threads again.
const IDLE_MAX: usize = 2 * LONG_READS_MAX;

/// Opens connections that read, and keeps them.
#[derive(Clone)]
pub(super) struct Readers(Arc<Shared>);

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<rusqlite::Connection>>,
    long: Arc<Semaphore>,
    closed: AtomicBool,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let long = Arc::new(Semaphore::new(LONG_READS_MAX));
        Self(Arc::new(Shared { path, idle: Mutex::default(), long, closed: AtomicBool::new(false) }))
    }

    /// Runs a read on the calling thread.
    pub(super) fn read<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection<'_>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let mut connection = self.0.take()?;
        let found = at_once(read(&mut Connection::Own(&mut connection)));
        self.0.give_back(connection);
        found
    }

    /// Runs a read on a thread for blocking work. It is finished even if the caller is cancelled.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        read: impl AsyncFnOnce(&mut Connection<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Failed> {
        let place = tokio::time::timeout(BUSY_TIMEOUT, Arc::clone(&self.0.long).acquire_owned());
        let place = place.await.map_err(|_| Failed::Busy)?.map_err(|_| Failed::Closed)?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let found = readers.read(read);
            drop(place);
            found
        });
        reading.await.unwrap_or(Err(Failed::Closed))
    }

    /// Closes idle connections, and refuses new reads.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.long.close();
        self.0.idle().clear();
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<rusqlite::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<rusqlite::Connection, Failed> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failed::Closed);
        }
        let idle = self.idle().pop();
        idle.map_or_else(|| connect(&self.path, Access::Read), Ok)
    }

    fn give_back(&self, connection: rusqlite::Connection) {
        let mut idle = self.idle();
        // A read that failed in its transaction would lend its snapshot to the next one.
        let usable = connection.is_autocommit() && idle.len() < IDLE_MAX;
        if usable && !self.closed.load(Ordering::Acquire) {
            idle.push(connection);
        }
    }
}
