//! The schema's migrations, and applying them when the storage is opened.

use std::time::Duration;

use serront_core::ports::{PortError, PortErrorKind};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;

use super::error::{classified, is_busy};
use super::options::SqliteOptions;
use super::rewrite;
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

/// Creates the file if it does not exist, applies pending migrations, and rewrites what earlier versions stored by other
/// rules. If another process has locked the file, it tries again until the time limit.
pub(super) async fn apply(options: &SqliteOptions) -> Result<(), PortError> {
    let connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(TRY)
        .disable_statement_logging();
    let began = Instant::now();
    let mut said = false;
    let mut connection = loop {
        match migrated(&connect).await {
            Err(Failed::Engine(error, _)) if is_busy(&error) => {}
            Err(failed) => return Err(classified(failed).into()),
            Ok(connection) => break connection,
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
    };
    match rewrite::texts(&mut connection).await {
        // Another process writes; the next start continues.
        Err(Failed::Engine(error, _)) if is_busy(&error) => {}
        outcome => outcome.map_err(classified)?,
    }
    connection.close().await.map_err(Failed::from).map_err(classified)?;
    Ok(())
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
