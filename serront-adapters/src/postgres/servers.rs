//! The servers of an address: to which one a connection is opened, the settings of each session, and questions about a
//! session that does not answer.
//!
//! ```text
//! open   ─▶ each host, from the one that answered last ─▶ it accepts writes, or any is wanted ─▶ settings by SET
//! inspect ─▶ at start: the encoding, and whether a pooler shares connections
//! ask    ─▶ a connection for one question ─▶ does that session still run its statement?
//! ```
//!
//! Settings are sent by `SET`, because poolers accept few parameters in the start-up packet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serront_core::ports::{PortError, PortErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Row as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::TargetSession;
use super::connections::{Opened, Opener};
use super::error::classified;
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;

/// Identifies the session, and reads properties of the server. A process number alone may be reused.
const GREETING: &str = "SELECT a.pid::int8 AS process, coalesce(a.backend_start::text, '') AS began, \
     current_setting('transaction_read_only')::bool AS reads_only, current_setting('server_encoding') AS encoding \
     FROM pg_catalog.pg_stat_activity a WHERE a.pid = pg_backend_pid()";

/// Whether a session runs a statement, and since when it is in this state.
const STATE: &str = "SELECT a.state, a.state_change::text AS since FROM pg_catalog.pg_stat_activity a \
     WHERE a.pid = $1::int4 AND coalesce(a.backend_start::text, '') = $2";

const CANCEL: &str = "SELECT pg_cancel_backend(a.pid) FROM pg_catalog.pg_stat_activity a \
     WHERE a.pid = $1::int4 AND coalesce(a.backend_start::text, '') = $2";

/// The pause before the hosts are tried again if none accepts writes: usually one is being promoted.
const PROMOTION_PAUSE: Duration = Duration::from_millis(100);

/// How often they are tried before the call fails: about a second. A commit is sent again several times after that.
const PROMOTION_ROUNDS_MAX: u32 = 10;

/// How often two connections check whether they share a server process. If a pooler is idle, the first check finds it;
/// if others use it, one of several does.
const POOLER_ROUNDS: u32 = 3;

/// The servers of an address.
pub(super) struct Servers {
    /// In the order of the address.
    hosts: Vec<PgConnectOptions>,
    target: TargetSession,
    /// The first statements of every session.
    settings: String,
    /// Time limit of connecting to one host.
    attempt_time_max: Duration,
    answered_last: AtomicUsize,
    /// One question at a time, so that questions use one connection.
    asking: Mutex<()>,
}

/// Identifies a connection to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Index of its host.
    host: usize,
    process: i64,
    began: String,
}

/// The state of a session, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    /// It runs a statement.
    Working,
    /// It has been waiting for a statement since this time.
    Waiting(String),
    /// The server knows no such session.
    Gone,
    /// There was no answer, or the server hides the state.
    Unknown,
}

/// A new connection, with the server's properties.
struct Entered {
    connection: PgConnection,
    session: Session,
    reads_only: bool,
    encoding: String,
}

/// The `SET` statements for these settings.
pub(super) fn settings(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("SET {name} = '{value}';")).collect()
}

impl Servers {
    pub(super) fn new(
        hosts: Vec<PgConnectOptions>,
        target: TargetSession,
        attempt_time_max: Duration,
        settings: String,
    ) -> Self {
        let hosts = hosts
            .into_iter()
            // Poolers refuse this parameter, and no column here is a float.
            .map(|host| host.extra_float_digits(None))
            .collect();
        Self { hosts, target, settings, attempt_time_max, answered_last: AtomicUsize::new(0), asking: Mutex::new(()) }
    }

    /// Connects to one host. Uses the simple protocol, which prepares no statement, because a pooler may be between.
    async fn enter(&self, host: &PgConnectOptions, settings: &str) -> Result<Entered, Failed> {
        let entering = async {
            let mut connection = host.connect().await?;
            let sql = AssertSqlSafe(format!("{settings}{GREETING}"));
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await?;
            let row = rows.first().ok_or(Failed::Unreadable("session"))?;
            Ok(Entered {
                session: Session { host: 0, process: row.int("process")?, began: row.text("began")?.to_owned() },
                reads_only: row.flag("reads_only")?,
                encoding: row.text("encoding")?.to_owned(),
                connection,
            })
        };
        timeout(self.attempt_time_max, entering).await.unwrap_or(Err(Failed::Busy))
    }

    /// Connects to the wanted host.
    async fn wanted(&self, settings: &str) -> Result<Entered, Failed> {
        for round in 0.. {
            let first = self.answered_last.load(Ordering::Relaxed);
            let (mut failed, mut reads_only) = (Failed::Closed, false);
            for at in (0..self.hosts.len()).map(|n| first.wrapping_add(n) % self.hosts.len()) {
                let Some(host) = self.hosts.get(at) else { continue };
                match self.enter(host, settings).await {
                    Ok(entered) if entered.reads_only && self.target == TargetSession::ReadWrite => {
                        reads_only = true;
                        let _ = timeout(self.attempt_time_max, entered.connection.close()).await;
                    }
                    Ok(mut entered) => {
                        self.answered_last.store(at, Ordering::Relaxed);
                        entered.session.host = at;
                        return Ok(entered);
                    }
                    Err(other) => failed = other,
                }
            }
            if !reads_only {
                return Err(failed);
            }
            if round >= PROMOTION_ROUNDS_MAX {
                break;
            }
            tokio::time::sleep(PROMOTION_PAUSE).await;
        }
        Err(Failed::ReadOnly)
    }

    /// Opens a connection for the migrations, with these settings and without the storage's time limits. Fails if the
    /// storage could not work with the database.
    pub(super) async fn inspect(&self, settings: &str) -> Result<PgConnection, PortError> {
        let mut entered = self.wanted(settings).await.map_err(|failed| {
            if matches!(failed, Failed::Busy) {
                PortError::new(PortErrorKind::Busy, "the database server does not answer")
            } else {
                classified(failed).into()
            }
        })?;
        if entered.encoding != "UTF8" {
            let encoding = entered.encoding;
            let what = format!("the database's encoding is {encoding}; create it with the encoding UTF8");
            return Err(PortError::permanent(what));
        }
        if self.hands_around(&mut entered).await.map_err(classified)? {
            let what = "a pooler between here and the database gives one connection to several clients in turn \
                        (PgBouncer: pool_mode transaction or statement); it has to be pool_mode = session, or no pooler";
            return Err(PortError::permanent(what));
        }
        Ok(entered.connection)
    }

    /// Whether a pooler assigns the server's connections by transaction or by statement. Then two connected clients
    /// have the same server process, or one client's process changes.
    async fn hands_around(&self, first: &mut Entered) -> Result<bool, Failed> {
        async fn process(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
            let rows = sqlx::raw_sql("SELECT pg_backend_pid()::int8 AS process").fetch_all(connection).await?;
            rows.first().map(|row| row.try_get("process")).transpose()
        }
        let host = self.hosts.get(self.answered_last.load(Ordering::Relaxed)).ok_or(Failed::Closed)?;
        // If no second connection is available, the first one has the only one, and does not share it.
        let Ok(mut second) = self.enter(host, "").await else { return Ok(false) };
        let looking = async {
            for _ in 0..POOLER_ROUNDS {
                // Twice, because a pooler that takes its connections in turn gives another one the second time.
                for _ in 0..2 {
                    if process(&mut first.connection).await? != Some(first.session.process) {
                        return Ok(true);
                    }
                }
                if process(&mut second.connection).await? == Some(first.session.process) {
                    return Ok(true);
                }
            }
            Ok(second.session.process == first.session.process)
        };
        let found = timeout(self.attempt_time_max, looking).await.unwrap_or(Ok(false));
        let _ = timeout(self.attempt_time_max, second.connection.close()).await;
        found.map_err(|error: sqlx::Error| error.into())
    }

    /// Sends a query about a session to its server, on a new connection; `None` if there is no answer.
    async fn ask(
        &self,
        session: &Session,
        query: Query<'static, Postgres, sqlx::postgres::PgArguments>,
    ) -> Option<Option<PgRow>> {
        let time_max = self.attempt_time_max.saturating_mul(2);
        let asking = async {
            let _turn = self.asking.lock().await;
            let mut connection = self.enter(self.hosts.get(session.host)?, "").await.ok()?.connection;
            let found = query.fetch_optional(&mut connection).await.ok()?;
            let _ = connection.close().await;
            Some(found)
        };
        timeout(time_max, asking).await.ok().flatten()
    }

    /// The state of this session.
    pub(super) async fn doing(&self, session: &Session) -> Doing {
        let query = sqlx::query(STATE).bind(session.process).bind(session.began.clone());
        let Some(found) = self.ask(session, query).await else {
            // If another host is in use, one that does not answer is considered dead.
            let is_replaced = self.answered_last.load(Ordering::Relaxed) != session.host;
            return if is_replaced { Doing::Gone } else { Doing::Unknown };
        };
        let Some(row) = found else { return Doing::Gone };
        match (row.optional_text("state"), row.optional_text("since")) {
            (Ok(Some("active")), _) => Doing::Working,
            (Ok(Some(state)), Ok(Some(since))) if state.starts_with("idle") => Doing::Waiting(since.to_owned()),
            _ => Doing::Unknown,
        }
    }
}

impl Opener for Servers {
    type Connection = PgConnection;
    type Session = Session;

    async fn open(&self) -> Result<Opened<PgConnection, Session>, Failed> {
        let Entered { connection, session, reads_only, .. } = self.wanted(&self.settings).await?;
        // A connection to a read-only server is used for one caller's reads only. After a failover, a new one reaches
        // another server.
        Ok(Opened { connection, session, lasting: !reads_only })
    }

    async fn cancel(&self, session: &Session) {
        let query = sqlx::query(CANCEL).bind(session.process).bind(session.began.clone());
        // Without an answer, the statement runs until its time limit.
        let _ = self.ask(session, query).await;
    }
}
