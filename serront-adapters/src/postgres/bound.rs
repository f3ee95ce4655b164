//! The storage bound to a transaction of the host: the writes of library and host become durable together, or not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError};
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};

use super::commit::{self, Mode, Refusal, Status};
use super::open::PostgresStorage;
use super::statement::Patience;
use super::{clock, error};
use crate::sql::error::Failed;

/// A storage that reads and commits inside a transaction of the host.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound). Its commits are durable once the host commits, and
/// discarded if the host rolls back. No effect leaves the process earlier.
///
/// - It works at `READ COMMITTED` and above. [`CommitError::Conflict`] means that the rows behind the decision have changed. At
///   `READ COMMITTED` the host may read and decide again in the same transaction; above it, only a new transaction helps.
/// - The transaction stays usable after a conflict and after a duplicate, because each commit has its own savepoint.
/// - Rows are locked in the order of every commit: service counts, accounts, storefronts, services, orders,
///   subscriptions, sessions, provisioning, exceptions, payouts, bank accounts, funds, keys, effects, errands, released names,
///   each by key; then order numbers. A host that locks its own rows always before its calls, or always after them, causes no deadlock with
///   another such transaction.
/// - The rows stay locked until the host ends its transaction. Other changes of the same order wait up to
///   [`PostgresOptions::lock_time_max`](super::PostgresOptions::lock_time_max), and then fail as busy. The host's
///   `lock_timeout` limits how long the host itself waits for a lock.
/// - At `SERIALIZABLE` a read may fail as transient, and the host's `COMMIT` with SQLSTATE 40001. The victim of a deadlock gets
///   a conflict. In all three cases, roll back and begin a new transaction.
/// - A command whose future is dropped has changed all or nothing. The bound storage then refuses every further call: roll
///   back.
/// - If the connection is lost, the transaction is rolled back, and further calls fail as transient. The outcome is unknown
///   only after the host has sent its `COMMIT`.
/// - If the outcome is unknown, ask the unbound storage for the outcome of the change set by its id.
pub struct BoundPostgres<'t> {
    connection: Mutex<&'t mut PgConnection>,
    pub(super) schema: &'t str,
    clock: Option<Arc<dyn Clock>>,
    lock_time_max: Duration,
    /// A commit is under way, or its future was dropped.
    midway: AtomicBool,
}

impl std::fmt::Debug for BoundPostgres<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BoundPostgres").finish_non_exhaustive()
    }
}

impl PostgresStorage {
    /// Binds the storage to a transaction that the host opened, on any connection to the same database. Without an open
    /// transaction every commit is refused.
    pub fn bind<'t>(&'t self, connection: &'t mut PgConnection) -> BoundPostgres<'t> {
        BoundPostgres {
            connection: Mutex::new(connection),
            schema: &self.base.schema,
            clock: self.base.clock.clone(),
            lock_time_max: self.base.lock_time_max,
            midway: AtomicBool::new(false),
        }
    }
}

macro_rules! inside {
    ($self:expr, |$connection:ident, $schema:ident| $read:expr) => {{
        let mut locked = $self.entered().await?;
        let ($connection, $schema) = (&mut **locked, $self.schema);
        $read.await.map_err($crate::postgres::error::classified)
    }};
}
pub(super) use inside;

impl BoundPostgres<'_> {
    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let mut locked = self.entered().await?;
        self.midway.store(true, Ordering::Relaxed);
        let patience = Patience::lent(self.lock_time_max);
        let status = apply(&mut locked, (self.schema, &self.now_sql()), change, patience).await;
        self.midway.store(false, Ordering::Relaxed);
        status?.into()
    }
}

impl<'t> BoundPostgres<'t> {
    /// The storage's time, as an SQL expression.
    pub(super) fn now_sql(&self) -> Cow<'static, str> {
        clock::now_sql(self.clock.as_ref())
    }

    pub(super) async fn entered(&self) -> Result<MutexGuard<'_, &'t mut PgConnection>, Failed> {
        let locked = self.connection.lock().await;
        if self.midway.load(Ordering::Relaxed) {
            return Err(Failed::Refused("a command was dropped in the middle: the transaction is to be rolled back"));
        }
        Ok(locked)
    }
}

/// Applies a change set in a savepoint, because a race on a unique constraint and a deadlock raise errors that the host's
/// transaction must survive. The host may use the same name: a savepoint's name means the latest one.
async fn apply(
    connection: &mut PgConnection,
    place: (&str, &str),
    change: &ChangeSet,
    patience: Patience,
) -> Result<Status, CommitError> {
    run(connection, "SAVEPOINT serront").await?;
    let applied = commit::apply(connection, place, &[change], Mode::Waiting, patience).await;
    let refusal = match applied {
        Ok(statuses) => {
            run(connection, "RELEASE SAVEPOINT serront").await?;
            return Ok(statuses.into_iter().next().ok_or(Failed::Unreadable("status"))?);
        }
        Err(refusal) => refusal,
    };
    // If the connection is lost, these fail too, and the server rolls back.
    let _ = run(connection, "ROLLBACK TO SAVEPOINT serront").await;
    let _ = run(connection, "RELEASE SAVEPOINT serront").await;
    Err(match refusal {
        Refusal::Raced => CommitError::Conflict,
        Refusal::Failed(Failed::Engine(error, _)) if error::is_victim(&error) => CommitError::Conflict,
        // The host had not committed, so the change set certainly did not land.
        Refusal::Failed(Failed::Lost) => Failed::RolledBack.into(),
        Refusal::Failed(failed) => error::classified(failed).into(),
    })
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<(), Failed> {
    sqlx::query(statement).execute(connection).await.map(drop).map_err(|failed| error::classified(failed.into()))
}
