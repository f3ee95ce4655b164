//! The storage bound to a transaction of the host's own: what the library changes and what the host writes become durable
//! together, or not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serront_core::accounts::key::KeyRecord;
use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::idempotency::Scope;
use serront_core::online::provisioning::Provisioning;
use serront_core::ports::{Clock, CommitError, PortError};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{AccountId, ChangeSetId};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::snapshots::{OrderKey, OrderSnapshot, SessionSnapshot};
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};

use super::commit::{self, Mode, Refusal, Status};
use super::{PostgresStorage, clock, error, first, read};
use crate::sql::error::Failed;

/// A storage that reads and commits inside a transaction of the host's own.
///
/// Give it to [`Commands::bound`](serront_core::service::Commands::bound). What it commits is durable when the host commits, and
/// gone when the host rolls back; nothing leaves the process before.
///
/// - It works at `READ COMMITTED` and above. [`CommitError::Conflict`] means that what was decided on has changed: at
///   `READ COMMITTED` the host may read and decide again in the same transaction, above it only a new one helps.
/// - The transaction stays usable after a conflict and after a duplicate: each commit has a savepoint of its own.
/// - The order in which rows are locked is that of every commit: service counts, accounts, storefronts, services, orders,
///   subscriptions, sessions, provisioning, exceptions, payouts, bank accounts, funds, keys, effects, errands, released names,
///   each by key; then order numbers. A host that locks rows of its own always before its calls, or always after them, meets no deadlock with
///   another such transaction.
/// - The rows stay locked until the host ends its transaction. Whoever else wants to change the same order waits, up to
///   [`PostgresOptions::lock_time_max`](super::PostgresOptions::lock_time_max), and is then told that the storage is busy.
///   How long the host itself waits for a lock is its own `lock_timeout`.
/// - At `SERIALIZABLE` a read may fail as transient, and the host's own `COMMIT` with SQLSTATE 40001; a deadlock is a conflict
///   for the one that is its victim. All three: roll back and begin anew.
/// - A command whose future is dropped in the middle may or may not have changed something, never half of it. The bound
///   storage refuses everything afterwards: roll back.
/// - If the connection is lost, everything in the transaction is gone, and what is tried in it fails as transient. Only
///   after the host has sent its `COMMIT` is the outcome unknown.
/// - What became of a change set whose transaction's end was not heard of can be asked for afterwards, by its id, from the
///   storage that is not bound.
pub struct BoundPostgres<'t> {
    connection: Mutex<&'t mut PgConnection>,
    pub(super) schema: &'t str,
    clock: Option<Arc<dyn Clock>>,
    /// A commit is under way, or was when its future was dropped.
    midway: AtomicBool,
}

impl std::fmt::Debug for BoundPostgres<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BoundPostgres").finish_non_exhaustive()
    }
}

impl PostgresStorage {
    /// Binds the storage to a transaction that the host opened, on a connection of the same database and of whatever pool.
    /// Where no transaction is open, every commit is refused.
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
        $read.await
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
    /// The storage's time, as an expression for a statement.
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

/// Applies a change set in a savepoint, for a race on a unique constraint and a deadlock raise, and the host's transaction
/// has to survive that. Its name may be the host's too: of several, the one made last is meant.
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
    // If the connection is gone, these fail too, and there is nothing to roll back.
    let _ = run(connection, "ROLLBACK TO SAVEPOINT serront").await;
    let _ = run(connection, "RELEASE SAVEPOINT serront").await;
    Err(match refusal {
        Refusal::Raced => CommitError::Conflict,
        Refusal::Failed(Failed::Engine(error)) if error::is_victim(&error) => CommitError::Conflict,
        // It had not been committed, so it is known what became of it.
        Refusal::Failed(Failed::Lost) => Failed::RolledBack.into(),
        Refusal::Failed(failed) => failed.into(),
    })
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<(), Failed> {
    Ok(sqlx::query(statement).execute(connection).await.map(drop)?)
}
