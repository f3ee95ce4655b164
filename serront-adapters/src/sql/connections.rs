//! Connections that are kept open between statements.
//!
//! Not the driver's own pool, which asks a connection whether it is well each time it is given back: a round trip for each
//! statement. Here a connection is kept if its last statement came to its end, and closed if it did not, because it was lost or
//! because its caller went away in the middle.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection, Database};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::Failed;

type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Up to so many connections, opened when they are needed.
pub(crate) struct Connections<DB: Database> {
    options: Options<DB>,
    idle: Mutex<Vec<DB::Connection>>,
    free: Semaphore,
    wait_max: Duration,
}

/// A connection in use. It goes back only if [`Lease::keep`] was called.
pub(crate) struct Lease<'c, DB: Database> {
    // Emptied when it goes back.
    connection: Option<DB::Connection>,
    of: &'c Connections<DB>,
    kept: bool,
    _free: SemaphorePermit<'c>,
}

impl<DB: Database> Connections<DB> {
    pub(crate) fn new(options: Options<DB>, most: usize, wait_max: Duration) -> Self {
        Self { options, idle: Mutex::default(), free: Semaphore::new(most), wait_max }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<DB::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free one, for a bounded time.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_, DB>, Failed> {
        let until = Instant::now().checked_add(self.wait_max);
        let free = in_time(until, self.free.acquire()).await?;
        let free = free.map_err(|_| Failed::Closed)?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => in_time(until, self.options.connect()).await??,
        };
        Ok(Lease { connection: Some(connection), of: self, kept: false, _free: free })
    }

    /// Refuses everybody from now on, waits for nobody, and closes what is idle.
    pub(crate) async fn close(&self) {
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            let _ = connection.close().await;
        }
    }
}

/// Bounds a wait. Beyond what a clock can show there is no bound.
async fn in_time<T>(until: Option<Instant>, waiting: impl Future<Output = T>) -> Result<T, Failed> {
    match until {
        Some(until) => tokio::time::timeout_at(until, waiting).await.map_err(|_| Failed::Busy),
        None => Ok(waiting.await),
    }
}

impl<DB: Database> Lease<'_, DB> {
    /// The last statement came to its end: the connection can be used again.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }

    pub(crate) fn connection(&mut self) -> Result<&mut DB::Connection, Failed> {
        self.connection.as_mut().ok_or(Failed::Closed)
    }
}

impl<DB: Database> Drop for Lease<'_, DB> {
    fn drop(&mut self) {
        if self.kept
            && !self.of.free.is_closed()
            && let Some(connection) = self.connection.take()
        {
            self.of.idle().push(connection);
        }
    }
}
