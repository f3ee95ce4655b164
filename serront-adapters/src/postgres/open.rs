//! The storage, and how it is opened.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serront_core::ports::PortError;
use sqlx::ConnectOptions as _;

use super::coalesce::Coalescer;
use super::connections::{Connections, Limits};
use super::events::Events;
use super::migrations::migrate;
use super::options::PostgresOptions;
use super::pool::Base;
use super::servers::{self, Servers};
use super::together::{Commits, Keys, Merchants, Orders, Records, Sessions};
use super::waiting::Waiters;
use crate::sql::set_aside::Looks;

/// Storage in PostgreSQL.
pub struct PostgresStorage {
    pub(super) base: Arc<Base>,
    pub(super) commits: Arc<Coalescer<Commits>>,
    pub(super) orders: Arc<Coalescer<Orders>>,
    pub(super) keys: Arc<Coalescer<Keys>>,
    pub(super) merchants: Arc<Coalescer<Merchants>>,
    pub(super) sessions: Arc<Coalescer<Sessions>>,
    pub(super) records: Arc<Coalescer<Records>>,
    pub(super) events: Events,
    pub(super) looks: Looks,
    /// When [`Looks`] was last asked, which takes a round trip for the server's time.
    pub(super) asked: Mutex<Option<Instant>>,
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresStorage").finish_non_exhaustive()
    }
}

/// Quotes a schema's name, which must not need escaping.
fn quoted(schema: &str) -> Result<String, PortError> {
    let fits = (1..=63).contains(&schema.len())
        && schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !schema.starts_with(|first: char| first.is_ascii_digit())
        && !schema.starts_with("pg_");
    if fits {
        Ok(format!("\"{schema}\"."))
    } else {
        Err(PortError::permanent("a schema's name is 1 to 63 of a-z, 0-9 and _, and begins with a letter or _"))
    }
}

impl PostgresStorage {
    /// Connects and applies pending migrations.
    ///
    /// # Errors
    /// [`PortError`] if the server can't be reached, if the schema's name is not 1 to 63 of `a-z 0-9 _`, if a
    /// migration fails, or, as busy, if another process applies migrations for longer than
    /// [`PostgresOptions::migration_wait_max`].
    pub async fn open(options: PostgresOptions) -> Result<Self, PortError> {
        let schema = quoted(&options.schema)?;
        let millis = |duration: Duration| duration.as_millis().to_string();
        let ending = servers::settings(&[
            // Inside a transaction, a host waits only for the database. One that takes longer is frozen or has stopped.
            ("idle_in_transaction_session_timeout", &millis(options.idle_transaction_time_max)),
            // The server closes a dead connection within a minute.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "60000"),
        ]);
        let limits = servers::settings(&[
            ("lock_timeout", &millis(options.lock_time_max)),
            ("statement_timeout", &millis(options.statement_time_max)),
            // Each statement is a few lookups by key. One plan fits all arguments, compilation costs more than it
            // saves, and a plan that was made for an empty table must not scan a full one.
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            // Not the database's defaults.
            ("default_transaction_isolation", "read committed"),
            ("enable_seqscan", "off"),
        ]);
        let hosts: Vec<_> = std::iter::once(options.connect.clone())
            .chain(options.others.clone())
            .map(|host| {
                // The statements are long, and the host measures their times.
                let host = host.application_name("serront").disable_statement_logging();
                // Each shape of a commit has its own text.
                host.statement_cache_capacity(512)
            })
            .collect();
        let share = options.acquire_time_max / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let attempt_time_max = options.connect_time_max.min(share);
        let servers = Servers::new(hosts, options.target, attempt_time_max, format!("{ending}{limits}"));
        migrate(servers.inspect(&ending).await?, &options, &schema).await?;
        let limits = Limits {
            most: usize::try_from(options.connections_max).unwrap_or(usize::MAX),
            wait_max: options.acquire_time_max,
            idle_max: options.idle_time_max,
            asked_after: options.ask_after,
            lifetime_max: options.lifetime_max,
            drain_max: options.statement_time_max.saturating_add(options.acquire_time_max),
        };
        let connections = Connections::new(servers, limits);
        // Waiting change sets try on at most half of the connections.
        let waiters = Waiters::new(usize::try_from(options.connections_max / 2).unwrap_or(1));
        // As on the server, less than a millisecond means no limit.
        let answer_time_max = match options.statement_time_max.as_millis() {
            0 => Duration::MAX,
            _ => options.statement_time_max.saturating_add(options.acquire_time_max),
        };
        let lock_time_max = options.lock_time_max;
        let clock = options.clock;
        let base = Arc::new(Base { connections, schema, waiters, lock_time_max, answer_time_max, clock });
        Ok(Self {
            commits: Coalescer::new(Arc::new(Commits(Arc::clone(&base)))),
            orders: Coalescer::new(Arc::new(Orders(Arc::clone(&base)))),
            keys: Coalescer::new(Arc::new(Keys(Arc::clone(&base)))),
            merchants: Coalescer::new(Arc::new(Merchants(Arc::clone(&base)))),
            sessions: Coalescer::new(Arc::new(Sessions(Arc::clone(&base)))),
            records: Coalescer::new(Arc::new(Records(Arc::clone(&base)))),
            base,
            events: Events::default(),
            looks: Looks::default(),
            asked: Mutex::default(),
        })
    }

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.base.connections.close().await;
    }
}
