//! The pool of connections that read.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::error::classified;
use super::options::BUSY_TIMEOUT;
use crate::sql::connections::{Limits, Opened, Opener};
use crate::sql::error::Failed;

/// Most reads that run at the same time.
const READERS: usize = 8;

/// Connections to a file always lead to the same file, and are never lost.
pub(super) const READER_LIMITS: Limits = Limits {
    most: READERS,
    wait_max: BUSY_TIMEOUT,
    idle_max: Duration::MAX,
    asked_after: Duration::MAX,
    lifetime_max: Duration::MAX,
    drain_max: Duration::MAX,
};

/// Opens connections that read.
pub(super) struct Readers(pub(super) SqliteConnectOptions);

impl Opener for Readers {
    type Connection = SqliteConnection;
    type Session = ();

    async fn open(&self) -> Result<Opened<SqliteConnection, ()>, Failed> {
        Ok(Opened {
            connection: self.0.connect().await.map_err(Failed::from).map_err(classified)?,
            session: (),
            lasting: true,
        })
    }

    /// SQLite can't cancel another connection's statement.
    async fn cancel(&self, (): &()) {}
}

/// Runs a read on a connection of the pool.
macro_rules! pooled {
    ($self:expr, |$connection:ident| $read:expr) => {{
        let mut lease = $self.readers.acquire().await?;
        let $connection = lease.connection()?;
        let value = $read.await.map_err($crate::sqlite::error::classified)?;
        lease.keep();
        Ok::<_, PortError>(value)
    }};
}
pub(super) use pooled;
