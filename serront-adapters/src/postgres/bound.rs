//! The storage bound to a host's transaction: the library's changes and the host's writes are committed together, or
//! not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::idempotency::Scope;
use serront_core::ids::{AccountId, ChangeSetId};
use serront_core::key::KeyRecord;
use serront_core::ports::{Clock, CommitError, OrderKey, OrderSnapshot, PortError, SessionSnapshot};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};

use super::commit::{self, Mode, Refusal, Status};
use super::{PostgresStorage, clock, error, first, read};
use crate::sql::error::Failed;

/// A storage that reads and commits inside a host's transaction.
///
/// Give it to [`Local::bound`](serront_core::service::Local::bound). Its commits are durable when the host commits, and
/// undone when the host rolls back. Effects leave the process only after the host's commit.
///
/// - It works at `READ COMMITTED` and above. [`CommitError::Conflict`] means that rows which the decision relied on
///   have changed. At `READ COMMITTED` the host may read and decide again in the same transaction, above it only in a
///   new one.
/// - The transaction stays usable after a conflict or a duplicate, because each commit has its own savepoint.
/// - The order in which rows are locked is that of every commit: service counts, accounts, storefronts, services,
///   orders, subscriptions, sessions, provisioning, exceptions, payouts, bank accounts, funds, keys, effects, errands,
///   released names, each by key; then order numbers. A host that locks its own rows always before its calls, or always
///   after them, has no deadlock with another such transaction.
/// - The rows stay locked until the host ends its transaction. Other changes of the same rows wait, up to
///   [`PostgresOptions::lock_time_max`](super::PostgresOptions::lock_time_max), and then fail as busy. The host's own
///   waits are limited by its `lock_timeout`.
/// - At `SERIALIZABLE`, a read may fail as transient, and the host's `COMMIT` with SQLSTATE 40001. The victim of a
///   deadlock gets a conflict. In all three cases, roll back and start a new transaction.
/// - If a command's future is dropped in the middle, its change set is applied as a whole or not at all. The bound
///   storage then refuses further use: roll back.
/// - If the connection is lost, all changes in the transaction are undone, and further use fails as transient. Only
///   after the host has sent its `COMMIT` is the outcome unknown.
/// - If the end of a transaction is unknown, [`Storage::outcome`](serront_core::ports::Storage::outcome) of the storage
///   that is not bound finds a change set by its id.
pub struct BoundPostgres<'t> {
    connection: Mutex<&'t mut PgConnection>,
    pub(super) schema: &'t str,
    clock: Option<Arc<dyn Clock>>,
    /// A commit is in progress, or was when its future was dropped.
    midway: AtomicBool,
}

impl std::fmt::Debug for BoundPostgres<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BoundPostgres").finish_non_exhaustive()
    }
}

impl PostgresStorage {
    /// Binds the storage to a transaction that the host opened, on any connection to the same database. If no
    /// transaction is open, commits fail.
    pub fn bind<'t>(&'t self, connection: &'t mut PgConnection) -> BoundPostgres<'t> {
        BoundPostgres {
            connection: Mutex::new(connection),
            schema: &self.base.schema,
            clock: self.base.clock.clone(),
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
    pub(super) async fn find_order(
        &self,
        key: OrderKey,
        scope: Option<Scope>,
    ) -> Result<Option<OrderSnapshot>, PortError> {
        let wanted = [(key, scope)];
        let now = self.now_sql();
        let found = inside!(self, |connection, schema| read::orders_by_key(connection, (schema, &now), &wanted))?;
        Ok(first(found)?)
    }

    pub(super) async fn find_key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        let found = inside!(self, |connection, schema| read::keys_by_hash(connection, schema, &[hash]))?;
        Ok(first(found)?)
    }

    pub(super) async fn find_merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        let found = inside!(self, |connection, schema| read::merchants(connection, schema, std::slice::from_ref(id)))?;
        Ok(first(found)?)
    }

    pub(super) async fn find_session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let wanted = [(account_id, id.clone(), event_id)];
        let found = inside!(self, |connection, schema| read::sessions(connection, schema, &wanted))?;
        Ok(first(found)?.ok_or(Failed::Unreadable("session"))?)
    }

    pub(super) async fn find_outcome(
        &self,
        account_id: AccountId,
        id: ChangeSetId,
    ) -> Result<Option<Committed>, PortError> {
        let wanted = [(account_id, id)];
        let found = inside!(self, |connection, schema| read::outcomes(connection, schema, &wanted))?;
        Ok(found.into_iter().next().flatten())
    }

    pub(super) async fn apply(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let mut locked = self.entered().await?;
        self.midway.store(true, Ordering::Relaxed);
        let status = apply(&mut locked, (self.schema, &self.now_sql()), change).await;
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

/// Applies a change set in a savepoint, so that the host's transaction survives a violated unique constraint or a
/// deadlock. The host may use the same name: the latest savepoint of a name is the one that counts.
async fn apply(connection: &mut PgConnection, place: (&str, &str), change: &ChangeSet) -> Result<Status, CommitError> {
    run(connection, "SAVEPOINT serront").await?;
    let applied = commit::apply(connection, place, &[change], Mode::Waiting, None).await;
    let refusal = match applied {
        Ok(statuses) => {
            run(connection, "RELEASE SAVEPOINT serront").await?;
            return Ok(statuses.into_iter().next().ok_or(Failed::Unreadable("status"))?);
        }
        Err(refusal) => refusal,
    };
    // If the connection is lost, these fail too, and there is nothing to roll back.
    let _ = run(connection, "ROLLBACK TO SAVEPOINT serront").await;
    let _ = run(connection, "RELEASE SAVEPOINT serront").await;
    Err(match refusal {
        Refusal::Raced => CommitError::Conflict,
        Refusal::Failed(Failed::Engine(error, _)) if error::is_victim(&error) => CommitError::Conflict,
        // It was not committed, so its outcome is known.
        Refusal::Failed(Failed::Lost) => Failed::RolledBack.into(),
        Refusal::Failed(failed) => error::classified(failed).into(),
    })
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<(), Failed> {
    sqlx::query(statement).execute(connection).await.map(drop).map_err(|failed| error::classified(failed.into()))
}
