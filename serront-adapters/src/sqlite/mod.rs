//! Storage in one SQLite file: the engine that needs nothing installed.
//!
//! ```text
//! reads  ─▶ a pool of connections that only read, each read one snapshot
//! writes ─▶ one writer: whatever waits shares a transaction and its fsync, a failing one fails alone
//! ```
//!
//! The file is in WAL mode with `synchronous=FULL`: what was acknowledged survives a crash of the machine. Several
//! processes on one machine may open the same file (the admin subcommands beside a running host); their writers wait for
//! each other up to [`BUSY_TIMEOUT`].
//!
//! What it does not do: it is not for network file systems, and it does not serve several machines. No type of the
//! database's appears in the ports.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_core::audit::AuditRecord;
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Committed};
use serront_core::checkout::{MerchantId, ProviderEventId, SessionId};
use serront_core::effect::{Attempt, DeliveryRecord, EffectId, Lane};
use serront_core::exception::{ExceptionStatus, PaymentException};
use serront_core::idempotency::Scope;
use serront_core::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, KeyId, OrderId, ServiceId, UploadId,
};
use serront_core::inbox::InboxRecord;
use serront_core::key::KeyRecord;
use serront_core::ledger::{CodeTotals, LedgerEntry};
use serront_core::order::{OrderNumber, WorkCounts};
use serront_core::page::{
    DeliveryFilter, DeliveryPosition, EntryFilter, EntryPosition, ExceptionPosition, Limit, OrderFilter, OrderRow, Page,
};
use serront_core::ports::{
    AccountSnapshot, CheckoutSnapshot, Clock, CommitError, Due, ExceptionSnapshot, Fence, NextAttempt, OrderKey,
    OrderSnapshot, PortError, Prune, Pruned, RecordError, ServiceSnapshot, SessionSnapshot, ShopSnapshot, Storage,
    WorkStorage,
};
use serront_core::provisioning::Provisioning;
use serront_core::receipt::Digest256;
use serront_core::text::Slug;
use serront_core::time::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr, Sqlite};
use tokio::sync::{mpsc, oneshot};

mod bound;
mod commit;
mod error;
mod read;
mod script;
mod work;
mod writer;
mod writes;

pub use bound::SqliteTransaction;
pub(crate) use error::{is_busy, passes};

use crate::sql::connections::Connections;
use crate::sql::error::Failed;
use writer::{Job, Record};

/// How long a writer waits for another process's writer.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many reads run at the same time.
const READERS: usize = 8;

/// The schema, in the order of its versions. What has landed is never edited; a change is a new file.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("migrations/0001_first.sql")),
    (2, "online", include_str!("migrations/0002_online.sql")),
];

/// Storage in one SQLite file.
pub struct SqliteStorage {
    jobs: mpsc::Sender<Job>,
    readers: Connections<Sqlite>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SqliteStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteStorage").finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Opens the file, makes it if it is not there, and applies pending migrations.
    ///
    /// `clock` is the storage's own clock, by which leases run; processes on one machine share the system's.
    ///
    /// # Errors
    /// [`PortError`] if the file can't be opened, or if its layout is newer than this code.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(512)
            .disable_statement_logging();
        // A checkpoint holds the writer up: ten times as seldom as the engine would, for as much more of a log.
        // What a savepoint would need to undo is kept in memory, not in a file.
        let writer = options.clone().pragma("wal_autocheckpoint", "10000").pragma("temp_store", "memory");
        let writers = SqlitePoolOptions::new().max_connections(1).connect_with(writer).await;
        let writers = writers.map_err(Failed::from)?;
        migrate(&writers).await?;
        let connection = writers.acquire().await.map_err(Failed::from)?.detach();
        let readers = Connections::new(options.pragma("query_only", "on"), READERS, BUSY_TIMEOUT);
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        tokio::spawn(writer::run(connection, queue));
        Ok(Self { jobs, readers, clock })
    }

    /// Finishes what is under way and closes the file. What comes later is refused.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Job::Close(closed)).await.is_ok() {
            let _ = done.await;
        }
        self.readers.close().await;
    }

    /// Hands work to the writer and waits for its answer. Once handed over it is done even if the caller goes away.
    async fn write<T, E: From<Failed>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job + Send,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| Failed::Closed)?;
        answer.await.unwrap_or_else(|_| Err(Failed::Lost.into()))
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.to_vec())
}

/// Applies what is pending. Two processes that start at once may both try: the one that comes second fails, looks again
/// and finds nothing pending.
async fn migrate(writers: &SqlitePool) -> Result<(), PortError> {
    let migrator = migrator();
    let mut attempts = 0;
    loop {
        let Err(error) = migrator.run(writers).await else { return Ok(()) };
        attempts += 1;
        if attempts >= 3 {
            return Err(PortError::permanent(error));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a read of one statement.
macro_rules! read {
    ($self:expr, |$connection:ident| $read:expr) => {{
        let mut lease = $self.readers.acquire().await?;
        let $connection = lease.connection()?;
        let value = $read.await?;
        lease.keep();
        Ok::<_, PortError>(value)
    }};
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        read!(self, |connection| read::account(connection, id, key))
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        read!(self, |connection| read::service(connection, account_id, id, key))
    }

    async fn shop(&self, slug: &Slug) -> Result<Option<ShopSnapshot>, PortError> {
        read!(self, |connection| read::shop(connection, slug))
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        read!(self, |connection| read::order(connection, key, scope))
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        read!(self, |connection| read::key(connection, hash))
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        read!(self, |connection| read::keys(connection, account_id))
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        read!(self, |connection| read::services(connection, account_id))
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        read!(self, |connection| read::orders(connection, account_id, filter, after, limit))
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        read!(self, |connection| read::counts(connection, account_id))
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        read!(self, |connection| read::audit(connection, account_id, order_id))
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        read!(self, |connection| read::deliveries(connection, account_id, filter, after, limit))
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        read!(self, |connection| read::delivery(connection, account_id, id))
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        read!(self, |connection| read::merchant(connection, id))
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        read!(self, |connection| read::checkout(connection, account_id, id))
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        read!(self, |connection| read::session(connection, account_id, id, event_id))
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        read!(self, |connection| read::inbox(connection, account_id, id))
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        read!(self, |connection| read::balance(connection, account_id))
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        read!(self, |connection| read::entries(connection, account_id, filter, after, limit))
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        read!(self, |connection| read::exceptions(connection, account_id, status, after, limit))
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        read!(self, |connection| read::exception(connection, account_id, id, key))
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        read!(self, |connection| read::outcome(connection, account_id, id))
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        Ok(self.write(|reply| Job::Commit(Box::new(change.clone()), reply)).await?)
    }
}

#[async_trait]
impl WorkStorage for SqliteStorage {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        per_subscription: u32,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let now = self.clock.now();
        Ok(self.write(|reply| Job::TakeDue { lane, now, limit, per_subscription, lease, reply }).await?)
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        let now = self.clock.now();
        read!(self, |connection| read::next_due(connection, lane, now))
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let record = Record { account: account_id, id, fence, attempt: attempt.clone(), next };
        let recorded = self.write(|reply| Job::RecordAttempt(Box::new(record), reply)).await;
        Ok(recorded.map_err(|failed: Failed| PortError::from(failed))??)
    }

    /// Counts and balances are kept up to date by the one writer, so there are no deltas.
    async fn fold_deltas(&self, _limit: u32) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        read!(self, |connection| read::waiting(connection, parked_before, limit))
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        Ok(self.write(|reply| Job::Prune(prune, reply)).await?)
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, at: Timestamp) -> Result<(), PortError> {
        Ok(self.write(|reply| Job::TouchKey(account_id, id, at, reply)).await?)
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        read!(self, |connection| read::named_uploads(connection, uploads))
    }

    async fn ready(&self) -> Result<(), PortError> {
        let applied: i64 = read!(self, |connection| read::schema_version(connection))?;
        let expected = MIGRATIONS.map(|(version, _, _)| version).into_iter().max().unwrap_or(0);
        if applied == expected { Ok(()) } else { Err(PortError::permanent("the schema is of another version")) }
    }
}
