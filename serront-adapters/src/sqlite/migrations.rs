//! The schema's migrations, and applying them when the storage is opened.

use std::time::Duration;

use serront_core::ports::{PortError, PortErrorKind};
use sqlx::AssertSqlSafe;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions};
use tokio::time::Instant;

use super::error::{classified, is_busy};
use super::options::{BUSY_TIMEOUT, SqliteOptions};
use crate::sql::error::Failed;
use crate::sql::migrations::{self, Step, migrations};
use crate::sql::set_aside::reader;

const MIGRATIONS: &[Step] = &migrations!();

/// The newest migration that this code knows.
pub(super) fn layout() -> i64 {
    migrations::layout(MIGRATIONS)
}

/// This reader's version, as the records of rows that can't be read have it.
pub(super) fn reads() -> i64 {
    reader(layout())
}

/// How long one try to open a locked file waits. After the first, `on_lock_wait` is called.
const TRY: Duration = Duration::from_secs(1);

/// Opens the writer's connection and applies pending migrations. If another process has locked the file, it tries again
/// until the time limit.
pub(super) async fn begin(
    connect: SqliteConnectOptions,
    options: &SqliteOptions,
) -> Result<SqliteConnection, PortError> {
    let connect = connect.busy_timeout(TRY);
    let began = Instant::now();
    let mut said = false;
    loop {
        match migrated(&connect).await {
            Err(Failed::Engine(error, _)) if is_busy(&error) => {}
            Err(failed) => return Err(classified(failed).into()),
            Ok(mut connection) => {
                let patience = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
                let set = sqlx::query(AssertSqlSafe(patience)).execute(&mut connection).await;
                set.map_err(Failed::from).map_err(classified)?;
                return Ok(connection);
            }
        }
        if began.elapsed() >= options.lock_wait_max {
            let why =
                format!("another process has the file locked; given up after {} s", options.lock_wait_max.as_secs());
            return Err(PortError::new(PortErrorKind::Busy, why));
        }
        if let (false, Some(waits)) = (said, &options.on_lock_wait) {
            waits();
        }
        said = true;
    }
}

/// Two processes that start at the same time may both migrate: the second one fails, tries again and finds nothing
/// pending.
async fn migrated(connect: &SqliteConnectOptions) -> Result<SqliteConnection, Failed> {
    let migrator = Migrator::with_migrations(migrations::in_schema(MIGRATIONS, ""));
    let mut attempts = 0;
    loop {
        // A pool of one, because it resets or replaces a connection after a failure.
        let writers = SqlitePoolOptions::new().max_connections(1).connect_with(connect.clone()).await?;
        let error = match migrator.run(&writers).await {
            Ok(()) => return Ok(writers.acquire().await?.detach()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_busy(&error) => {
                return Err(error.into());
            }
            Err(error) => error,
        };
        attempts += 1;
        if attempts >= 3 {
            return Err(sqlx::Error::from(error).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
