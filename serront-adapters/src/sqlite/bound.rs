//! The storage bound to a transaction that the host opened on a connection of its own: the writes of library and host become
//! durable together, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Mutex;

use super::commit::{self, Mode};
use super::connection::Connection;
use super::error::classified;
use super::open::SqliteStorage;
use crate::sql::error::Failed;

/// A storage that reads and commits inside a transaction of the host, on a connection of the host's own pool.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound). Its commits are durable once the host commits, and
/// discarded if the host rolls back. No effect leaves the process earlier.
///
/// - Begin the transaction with `BEGIN IMMEDIATE`. After a plain `BEGIN`, a write fails as busy if another transaction has
///   written since the first read.
/// - There is no other writer, so rows that were read in the transaction do not change. [`CommitError::Conflict`] comes only
///   from a decision on rows read before it began. The transaction stays usable after a conflict and a duplicate.
/// - All other changes wait until the host ends its transaction, those of this storage too, up to
///   [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT); then they fail as busy. Nothing bounds the host's own time, so end the transaction
///   soon. The host's `busy_timeout` limits how long the host itself waits.
/// - A command whose future is dropped may have written a part: the bound storage refuses every further call, and the host must
///   roll back.
/// - Each transaction has an fsync of its own. [`SqliteStorage::transaction`] shares it with other changes.
pub struct BoundSqlite<'t> {
    connection: Mutex<&'t mut SqliteConnection>,
    clock: Arc<dyn Clock>,
    /// A commit is under way, or its future was dropped.
    midway: AtomicBool,
}

impl std::fmt::Debug for BoundSqlite<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BoundSqlite").finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Binds the storage to a transaction that the host opened, on any connection to the same file.
    pub fn bind<'t>(&self, connection: &'t mut SqliteConnection) -> BoundSqlite<'t> {
        let clock = Arc::clone(&self.clock);
        BoundSqlite { connection: Mutex::new(connection), clock, midway: AtomicBool::new(false) }
    }
}

impl BoundSqlite<'_> {
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let mut connection = self.connection.lock().await;
        if self.midway.load(Ordering::Acquire) {
            return Err(Failed::Refused("a command was dropped in the middle: the transaction is to be rolled back"));
        }
        work(&mut Connection::Host(&mut connection)).await.map_err(classified)
    }

    /// Applies a change set inside the transaction, in a savepoint.
    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let change = change.clone().by_clock_of_storage(self.clock.now());
        let applied = self
            .within(async |connection| {
                self.midway.store(true, Ordering::Release);
                let applied = commit::apply(connection, &change, Mode::Savepoint).await;
                self.midway.store(false, Ordering::Release);
                Ok(applied)
            })
            .await?;
        Ok(applied?)
    }
}
