//! The storage bound to a transaction of the host: the writes of library and host become durable together, or not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::ports::{Clock, CommitError};
use sqlx::Connection as _;
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
/// - It works at `READ COMMITTED` and above. [`CommitError::Conflict`] means that the rows behind the decision have changed, or
///   that another transaction claimed the same name at the same moment. Roll back, and decide again in a new transaction.
/// - There is no savepoint around a commit. A duplicate leaves the transaction usable. A conflict may leave it *aborted*, and so
///   do a lock that was not free in time, a deadlock and every other error: the server then refuses further statements until
///   the host rolls back. Further calls fail as transient. A `COMMIT` of an aborted transaction rolls back, and the server
///   reports no error. So a host must never commit after a call that failed with anything but a rejection.
/// - Rows are locked in the order of every commit: service counts, accounts, storefronts, services, orders,
///   subscriptions, sessions, provisioning, exceptions, payouts, bank accounts, funds, keys, effects, errands, released names,
///   each by key; then order numbers. A host that locks its own rows always before its calls, or always after them, causes no deadlock with
///   another such transaction.
/// - The rows stay locked until the host ends its transaction. Other changes of the same order wait up to
///   [`PostgresOptions::lock_time_max`](super::PostgresOptions::lock_time_max), and then fail as busy.
/// - A commit waits for a lock as long, or up to the host's `lock_timeout` if that is shorter. Then it fails as busy. The host's
///   `lock_timeout` is the same before and after each call.
/// - At `SERIALIZABLE` a read may fail as transient, and the host's `COMMIT` with SQLSTATE 40001. The victim of a deadlock gets
///   a conflict.
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

/// Applies a change set. Only a bug, a race on a unique constraint, a lock that is not free in time, and a deadlock raise an
/// error, which aborts the host's transaction.
async fn apply(
    connection: &mut PgConnection,
    place: (&str, &str),
    change: &ChangeSet,
    patience: Patience,
) -> Result<Status, CommitError> {
    in_transaction(connection).await?;
    Err(match commit::apply(connection, place, &[change], Mode::Waiting, patience).await {
        Ok(statuses) => return Ok(statuses.into_iter().next().ok_or(Failed::Unreadable("status"))?),
        Err(Refusal::Raced) => CommitError::Conflict,
        Err(Refusal::Failed(Failed::Engine(error, _))) if error::is_victim(&error) => CommitError::Conflict,
        // The host had not committed, so the change set certainly did not land.
        Err(Refusal::Failed(Failed::Lost)) => Failed::RolledBack.into(),
        Err(Refusal::Failed(failed)) => error::classified(failed).into(),
    })
}

/// Fails without an open transaction. The driver knows of those that it began; the server knows of all, because a savepoint
/// needs one.
async fn in_transaction(connection: &mut PgConnection) -> Result<(), Failed> {
    if connection.is_in_transaction() {
        return Ok(());
    }
    let asked = sqlx::raw_sql("SAVEPOINT serront; RELEASE SAVEPOINT serront").execute(connection).await;
    asked.map(drop).map_err(|failed| error::classified(failed.into()))
}
