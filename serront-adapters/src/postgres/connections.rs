//! A pool of connections.
//!
//! ```text
//! acquire ─▶ idle for a short time ───────────────────▶ lease ─▶ keep       ─▶ idle again, or closed when it is old
//!         ─▶ idle for long, or doubted ─▶ pinged ─────▶       ─▶ lose       ─▶ closed; idle ones are doubted
//!         ─▶ none is idle ─▶ opened ─────────────────▶         ─▶ distrust   ─▶ closed, with all opened before
//!                                                             └▶ dropped in use ─▶ drained in a task, then idle
//! ```
//!
//! The driver's own pool pings a connection each time it is returned: a round trip for each statement. This one pings
//! only a connection that was idle for long, or that may be lost.
//!
//! If a caller is cancelled in the middle of a statement, its permit is released when the statement has ended. So the
//! server never has more connections than there are permits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::sql::error::Failed;

/// Time limit of a ping of an idle connection. A round trip takes milliseconds, and a request is waiting.
const ALIVE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long an abandoned statement may run before the server is asked to cancel it. Most end within milliseconds;
/// cancelling needs a second connection.
const ABANDONED_TIME_MAX: Duration = Duration::from_millis(500);

/// Time limit of closing a connection, which sends one message and waits for no answer.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Failures of abandoned statements that are read before the connection is closed.
const DRAINS_MAX: u32 = 64;

/// Opens one engine's connections.
pub(crate) trait Opener: Send + Sync + 'static {
    type Connection: Connection;
    /// Identifies a connection to the engine.
    type Session: Send + Sync + 'static;

    /// Opens a connection.
    fn open(&self) -> impl Future<Output = Result<Opened<Self::Connection, Self::Session>, Failed>> + Send;

    /// Asks the engine to cancel the session's statement. Returns within a bounded time.
    fn cancel(&self, session: &Self::Session) -> impl Future<Output = ()> + Send;
}

/// A connection that was just opened.
pub(crate) struct Opened<C, S> {
    pub(crate) connection: C,
    pub(crate) session: S,
    /// Whether other callers may use it later.
    pub(crate) lasting: bool,
}

/// Limits of the number of connections and of their times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most connections in use.
    pub(crate) most: usize,
    /// How long a caller waits for one.
    pub(crate) wait_max: Duration,
    /// How long one may be idle.
    pub(crate) idle_max: Duration,
    /// How long one may be idle before it is asked whether it is alive.
    pub(crate) asked_after: Duration,
    /// How old one may become.
    pub(crate) lifetime_max: Duration,
    /// How long an abandoned statement may run after the engine was asked to cancel it.
    pub(crate) drain_max: Duration,
}

/// Connections up to a limit, opened when they are needed.
pub(crate) struct Connections<O: Opener>(Arc<Shared<O>>);

struct Shared<O: Opener> {
    opener: O,
    limits: Limits,
    pool: Mutex<Pool<O>>,
    free: Arc<Semaphore>,
    runtime: Handle,
}

struct Pool<O: Opener> {
    /// The longest idle first.
    idle: Vec<Idle<O>>,
    /// When a connection was last lost: those that were idle at that time may be lost too.
    doubted: Option<Instant>,
    /// Raised to close all connections that are open, each as soon as it is unused.
    era: u64,
    /// How many were opened.
    opened: u64,
}

struct Idle<O: Opener> {
    held: Held<O>,
    since: Instant,
}

/// An open connection.
struct Held<O: Opener> {
    connection: O::Connection,
    session: O::Session,
    /// When it is too old; `None` if never.
    until: Option<Instant>,
    era: u64,
    lasting: bool,
}

/// The state of a connection when its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// No statement runs on it.
    Over,
    /// A statement may be running.
    Midway,
}

/// A connection in use. It becomes idle after [`Lease::keep`]; if it is dropped without that, once its statement has
/// ended.
pub(crate) struct Lease<O: Opener> {
    // Both are `None` once it has ended.
    held: Option<Held<O>>,
    place: Option<OwnedSemaphorePermit>,
    of: Arc<Shared<O>>,
    used: Use,
}

impl<O: Opener> Connections<O> {
    pub(crate) fn new(opener: O, limits: Limits) -> Self {
        let pool = Mutex::new(Pool { idle: Vec::new(), doubted: None, era: 0, opened: 0 });
        let free = Arc::new(Semaphore::new(limits.most));
        Self(Arc::new(Shared { opener, limits, pool, free, runtime: Handle::current() }))
    }

    pub(crate) fn opener(&self) -> &O {
        &self.0.opener
    }

    /// Waits for a free one, for a bounded time.
    pub(crate) async fn acquire(&self) -> Result<Lease<O>, Failed> {
        let until = Instant::now().checked_add(self.0.limits.wait_max);
        let place = in_time(until, Arc::clone(&self.0.free).acquire_owned()).await?;
        let mut place = place.map_err(|_| Failed::Closed)?;
        while let Some((Idle { held, since }, doubtful)) = self.0.next_idle() {
            let mut lease = Lease { held: Some(held), place: Some(place), of: Arc::clone(&self.0), used: Use::Over };
            if !doubtful {
                return Ok(lease);
            }
            let alive = timeout(ALIVE_TIME_MAX, lease.connection()?.ping()).await;
            if matches!(alive, Ok(Ok(()))) {
                return Ok(lease);
            }
            if alive.is_err() {
                // Pinging each of those that were idle for as long would take as long again.
                self.0.close_idle_since(since);
            }
            place = lease.lose().ok_or(Failed::Closed)?;
        }
        self.open(place, until).await
    }

    /// In a task, so that a cancelled caller does not release its permit while the connection is half open.
    async fn open(&self, place: OwnedSemaphorePermit, until: Option<Instant>) -> Result<Lease<O>, Failed> {
        let shared = Arc::clone(&self.0);
        let opening = self.0.runtime.spawn(async move {
            let (era, until_old) = shared.birth();
            let Opened { connection, session, lasting } = in_time(until, shared.opener.open()).await??;
            let held = Held { connection, session, until: until_old, era, lasting };
            Ok(Lease { held: Some(held), place: Some(place), of: shared, used: Use::Over })
        });
        opening.await.unwrap_or(Err(Failed::Closed))
    }

    /// Closes all connections that are open, since they lead to the wrong server.
    pub(crate) fn distrust(&self) {
        let era = self.0.pool().era;
        self.0.distrust(era);
    }

    /// Refuses new callers and closes idle connections, without waiting for those in use.
    pub(crate) async fn close(&self) {
        self.0.free.close();
        let idle = std::mem::take(&mut self.0.pool().idle);
        for Idle { held, .. } in idle {
            let _ = timeout(CLOSE_TIME_MAX, held.connection.close()).await;
        }
    }
}

/// Bounds a wait. Without a time limit if it is too large for the clock.
async fn in_time<T>(until: Option<Instant>, waiting: impl Future<Output = T>) -> Result<T, Failed> {
    match until {
        Some(until) => tokio::time::timeout_at(until, waiting).await.map_err(|_| Failed::Busy),
        None => Ok(waiting.await),
    }
}

impl<O: Opener> Shared<O> {
    fn pool(&self) -> MutexGuard<'_, Pool<O>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The era of a connection that is opened now, and when it will be too old. Connections that are opened together
    /// expire at different times.
    fn birth(&self) -> (u64, Option<Instant>) {
        let mut pool = self.pool();
        pool.opened = pool.opened.wrapping_add(1);
        let whole = self.limits.lifetime_max;
        let earlier = (whole / 32).saturating_mul(u32::try_from(pool.opened % 8).unwrap_or(0));
        (pool.era, Instant::now().checked_add(whole.saturating_sub(earlier)))
    }

    /// The connection that was idle for the shortest time, and whether to ping it. Closes those that are too old.
    fn next_idle(self: &Arc<Self>) -> Option<(Idle<O>, bool)> {
        let now = Instant::now();
        let mut old = Vec::new();
        let mut pool = self.pool();
        let outstayed = pool.idle.partition_point(|idle| now.duration_since(idle.since) >= self.limits.idle_max);
        old.extend(pool.idle.drain(..outstayed));
        let next = loop {
            match pool.idle.pop() {
                Some(idle) if idle.held.is_old(now) => old.push(idle),
                next => break next,
            }
        };
        let doubted = pool.doubted;
        drop(pool);
        for Idle { held, .. } in old {
            self.close(held, None);
        }
        let idle = next?;
        let doubtful = now.duration_since(idle.since) >= self.limits.asked_after
            || doubted.is_some_and(|doubted| idle.since <= doubted);
        Some((idle, doubtful))
    }

    /// Closes those that have been idle since this time.
    fn close_idle_since(self: &Arc<Self>, since: Instant) {
        let mut pool = self.pool();
        let as_long = pool.idle.partition_point(|idle| idle.since <= since);
        let closed: Vec<_> = pool.idle.drain(..as_long).collect();
        drop(pool);
        for Idle { held, .. } in closed {
            self.close(held, None);
        }
    }

    /// Begins a new era, unless it has begun already: several callers may meet the same failure at the same time.
    fn distrust(&self, era: u64) {
        let mut pool = self.pool();
        if pool.era != era {
            return;
        }
        pool.era = pool.era.wrapping_add(1);
        let idle = std::mem::take(&mut pool.idle);
        drop(pool);
        for Idle { held, .. } in idle {
            self.close(held, None);
        }
    }

    /// Closes a connection, and releases its permit afterwards.
    fn close(&self, held: Held<O>, place: Option<OwnedSemaphorePermit>) {
        self.runtime.spawn(async move {
            let _ = timeout(CLOSE_TIME_MAX, held.connection.close()).await;
            drop(place);
        });
    }

    /// Makes a connection idle, or closes it if it is too old.
    fn give_back(&self, held: Held<O>, place: Option<OwnedSemaphorePermit>) {
        let mut pool = self.pool();
        let since = Instant::now();
        if held.lasting && held.era == pool.era && !held.is_old(since) && !self.free.is_closed() {
            pool.idle.push(Idle { held, since });
        } else {
            drop(pool);
            self.close(held, place);
        }
    }

    /// Waits until an abandoned statement has ended.
    async fn drain(&self, mut held: Held<O>, place: Option<OwnedSemaphorePermit>) {
        let mut ended = timeout(ABANDONED_TIME_MAX, ended(&mut held.connection)).await;
        if ended.is_err() {
            self.opener.cancel(&held.session).await;
            ended = timeout(self.limits.drain_max, self::ended(&mut held.connection)).await;
        }
        if matches!(ended, Ok(true)) && !held.connection.is_in_transaction() {
            self.give_back(held, place);
        }
    }
}

/// Reads the remaining answers of abandoned statements. Returns whether the connection can be used again.
async fn ended(connection: &mut impl Connection) -> bool {
    for _ in 0..DRAINS_MAX {
        match connection.ping().await {
            Ok(()) => return true,
            // The end of that statement.
            Err(sqlx::Error::Database(_)) => {}
            Err(_) => return false,
        }
    }
    false
}

impl<O: Opener> Held<O> {
    fn is_old(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl<O: Opener> Lease<O> {
    /// Returns the connection after its last statement has ended.
    pub(crate) fn keep(mut self) {
        self.used = Use::Over;
    }

    /// Drops a lost connection. Returns the permit.
    pub(crate) fn lose(mut self) -> Option<OwnedSemaphorePermit> {
        self.held = None;
        self.of.pool().doubted = Some(Instant::now());
        self.place.take()
    }

    /// Closes the connection and all others that are open, since they lead to the wrong server.
    pub(crate) fn distrust(mut self) {
        if let Some(held) = &self.held {
            self.of.distrust(held.era);
        }
        // Its era is over, so that dropping it closes it.
        self.used = Use::Over;
    }

    pub(crate) fn connection(&mut self) -> Result<&mut O::Connection, Failed> {
        Ok(self.parts()?.0)
    }

    /// The connection and its session.
    pub(crate) fn parts(&mut self) -> Result<(&mut O::Connection, &O::Session), Failed> {
        self.used = Use::Midway;
        let held = self.held.as_mut().ok_or(Failed::Closed)?;
        Ok((&mut held.connection, &held.session))
    }
}

impl<O: Opener> Drop for Lease<O> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let place = self.place.take();
        match self.used {
            Use::Over => self.of.give_back(held, place),
            Use::Midway => {
                let shared = Arc::clone(&self.of);
                self.of.runtime.spawn(async move { shared.drain(held, place).await });
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use sqlx::SqliteConnection;

    use super::*;

    /// Connections to an empty database in memory, numbered as they are opened.
    #[derive(Default)]
    struct Counting {
        opened: AtomicI64,
        passing: bool,
    }

    impl Opener for Counting {
        type Connection = SqliteConnection;
        type Session = i64;

        async fn open(&self) -> Result<Opened<SqliteConnection, i64>, Failed> {
            let session = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Opened { connection: SqliteConnection::connect(":memory:").await?, session, lasting: !self.passing })
        }

        async fn cancel(&self, _: &i64) {}
    }

    const FOR_EVER: Limits = Limits {
        most: 2,
        wait_max: Duration::from_secs(60),
        idle_max: Duration::MAX,
        asked_after: Duration::MAX,
        lifetime_max: Duration::MAX,
        drain_max: Duration::MAX,
    };

    fn connections(limits: Limits) -> Connections<Counting> {
        Connections::new(Counting::default(), limits)
    }

    /// Uses a connection and gives it back. Answers which one it was.
    async fn used(connections: &Connections<Counting>) -> i64 {
        let mut lease = connections.acquire().await.unwrap();
        let session = *lease.parts().unwrap().1;
        lease.keep();
        session
    }

    #[tokio::test]
    async fn a_connection_is_used_again_until_it_is_idle_or_open_for_too_long() {
        let kept = connections(FOR_EVER);
        assert_eq!((used(&kept).await, used(&kept).await), (1, 1));
        let idle = connections(Limits { idle_max: Duration::ZERO, ..FOR_EVER });
        assert_eq!((used(&idle).await, used(&idle).await), (1, 2));
        let old = connections(Limits { lifetime_max: Duration::ZERO, ..FOR_EVER });
        assert_eq!((used(&old).await, used(&old).await), (1, 2));
        let passing = Connections::new(Counting { passing: true, ..Counting::default() }, FOR_EVER);
        assert_eq!((used(&passing).await, used(&passing).await), (1, 2));
    }

    /// What was opened at the same time is not opened again at the same time.
    #[tokio::test]
    async fn lifetimes_end_one_after_another() {
        let connections = connections(Limits { lifetime_max: Duration::from_secs(3_200), ..FOR_EVER });
        let now = Instant::now();
        let mut ends: Vec<_> = (0..8).map(|_| connections.0.birth().1.unwrap().duration_since(now).as_secs()).collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), 8, "{ends:?}");
        assert!(ends.iter().all(|end| (2_400..=3_201).contains(end)), "{ends:?}");
    }

    /// #16: those that were opened before a server was found to take no writes are used by nobody, in use or idle then.
    #[tokio::test]
    async fn a_distrusted_connection_takes_all_that_are_as_old_along() {
        let connections = connections(FOR_EVER);
        let mut first = connections.acquire().await.unwrap();
        let mut second = connections.acquire().await.unwrap();
        assert_eq!((*first.parts().unwrap().1, *second.parts().unwrap().1), (1, 2));
        first.distrust();
        assert_eq!(used(&connections).await, 3);
        // It was in use when the other one was distrusted, and says nothing of those that came later.
        second.distrust();
        assert_eq!(used(&connections).await, 3);
        let mut third = connections.acquire().await.unwrap();
        third.parts().unwrap();
        connections.distrust();
        third.keep();
        assert_eq!(used(&connections).await, 4);
    }

    /// #16: a place is free when its statement has ended, and not when its caller went away.
    #[tokio::test]
    async fn an_abandoned_connection_is_used_again_once_its_statement_has_ended() {
        let connections = connections(Limits { most: 1, ..FOR_EVER });
        let mut lease = connections.acquire().await.unwrap();
        let sql =
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000) SELECT max(n) FROM n";
        let counting = sqlx::query(sql).fetch_one(lease.connection().unwrap());
        assert!(timeout(Duration::ZERO, counting).await.is_err(), "it has not ended");
        drop(lease);
        assert_eq!(connections.0.free.available_permits(), 0);
        assert_eq!(used(&connections).await, 1);
    }
}
