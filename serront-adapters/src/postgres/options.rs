//! The options of the storage, and their defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serront_core::ports::{Clock, PortError};
use sqlx::postgres::PgConnectOptions;

use super::address::{self, TargetSession};

/// The schema if none is chosen.
pub const SCHEMA_DEFAULT: &str = "serront";

/// How the storage is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The address of the server.
    pub connect: PgConnectOptions,
    /// Further servers, tried in this order if the first one does not answer or is not the wanted one.
    pub others: Vec<PgConnectOptions>,
    /// Which of these servers is wanted.
    pub target: TargetSession,
    /// Time limit of connecting to one server. With several servers, each has an equal share of
    /// [`PostgresOptions::acquire_time_max`] if that is less.
    pub connect_time_max: Duration,
    /// The idle time after which a connection is closed. Some firewalls and load balancers drop silent connections
    /// after 4 to 6 minutes, so it is less than that.
    pub idle_time_max: Duration,
    /// The idle time after which a connection is pinged before it is used. One in regular use is not.
    pub ask_after: Duration,
    /// The age at which a connection is replaced, so that connections follow a changed address.
    pub lifetime_max: Duration,
    /// The schema of all tables. It is created if it does not exist.
    pub schema: String,
    /// Most connections at the same time.
    pub connections_max: u32,
    /// How long a call waits for a connection before it fails as busy.
    pub acquire_time_max: Duration,
    /// How long a commit waits for a row that another transaction has locked, usually a host's. It waits in memory, and
    /// uses a connection only for short tries.
    pub lock_time_max: Duration,
    /// Time limit of one statement, at which the server cancels it. If there is no answer for another
    /// [`PostgresOptions::acquire_time_max`], the connection is dropped.
    pub statement_time_max: Duration,
    /// How long one of the storage's transactions may be idle before the server ends it, so that a frozen host does not
    /// hold locks for longer. Less than a millisecond means no limit.
    pub idle_transaction_time_max: Duration,
    /// How long [`PostgresStorage::open`](super::PostgresStorage::open) waits for a process that applies migrations, and
    /// how long its own migrations wait for locked tables.
    pub migration_wait_max: Duration,
    /// Called when [`PostgresStorage::open`](super::PostgresStorage::open) has to wait for one of these.
    pub on_migration_wait: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The storage's clock, for tests. `None` means the server's, which all hosts share.
    pub clock: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresOptions").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The server at this address, `postgres://user:password@host:port/database`, with this library's defaults.
    ///
    /// Several servers are written in libpq's syntax: `postgres://user@one:5432,two:5433/database`. Then the one that
    /// accepts writes is wanted, unless the address has `target_session_attrs=any`. `connect_timeout` is
    /// [`PostgresOptions::connect_time_max`], in seconds.
    ///
    /// # Errors
    /// [`PortError`] if the address is invalid. The error does not repeat it, because it may have a password.
    pub fn at(url: &str) -> Result<Self, PortError> {
        let address = address::read(url)?;
        let mut servers = address.servers.into_iter();
        let first = servers.next().ok_or_else(|| PortError::permanent("an address without a server"))?;
        let mut options = Self::new(first);
        options.others = servers.collect();
        options.target = address.target;
        options.connect_time_max = address.connect_time_max.unwrap_or(options.connect_time_max);
        Ok(options)
    }

    /// The defaults: schema `serront`, 16 connections, 5 s for a connection or a lock, 30 s for a statement, 10 s for
    /// an idle transaction, 60 s for migrations by another process. A connection is closed after 60 s of idleness or at
    /// 30 min of age.
    #[must_use]
    pub fn new(connect: PgConnectOptions) -> Self {
        Self {
            connect,
            others: Vec::new(),
            target: TargetSession::Any,
            connect_time_max: Duration::from_secs(5),
            idle_time_max: Duration::from_secs(60),
            ask_after: Duration::from_secs(10),
            lifetime_max: Duration::from_secs(30 * 60),
            schema: SCHEMA_DEFAULT.to_owned(),
            connections_max: 16,
            acquire_time_max: Duration::from_secs(5),
            lock_time_max: Duration::from_secs(5),
            statement_time_max: Duration::from_secs(30),
            idle_transaction_time_max: Duration::from_secs(10),
            migration_wait_max: Duration::from_secs(60),
            on_migration_wait: None,
            clock: None,
        }
    }
}
