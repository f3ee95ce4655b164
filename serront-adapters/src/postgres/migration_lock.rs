//! The lock under which one process at a time applies migrations. It is the driver's lock, so that hosts of all
//! versions wait for each other. The wait is reported and has a time limit.

use std::time::Duration;

use serront_core::ports::{PortError, PortErrorKind};
use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::error::{busy, classified, of_write};
use super::options::PostgresOptions;

/// How long one try waits. After the first, `on_migration_wait` is called.
const TRY: Duration = Duration::from_secs(1);

/// Takes the lock until this connection is closed.
///
/// A process that stops while it has the lock loses it: the server ends a session that is idle for
/// [`PostgresOptions::idle_transaction_time_max`].
pub(super) async fn take(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), PortError> {
    let idle = options.idle_transaction_time_max.as_millis();
    let began = Instant::now();
    let mut said = false;
    loop {
        let left = options.migration_wait_max.saturating_sub(began.elapsed());
        // 0 would mean no limit.
        let patience = left.min(TRY).as_millis().max(1);
        run(
            connection,
            &format!(
                "SET idle_session_timeout = {idle}; SET idle_in_transaction_session_timeout = {idle}; \
                 SET lock_timeout = {patience}"
            ),
        )
        .await?;
        match connection.lock().await {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(error)) if busy(&error) => {}
            Err(error) => return Err(PortError::permanent(error)),
        }
        if left <= TRY {
            let why = format!(
                "another process holds the lock for migrations; given up after {} s",
                options.migration_wait_max.as_secs()
            );
            return Err(PortError::new(PortErrorKind::Busy, why));
        }
        if let (false, Some(waits)) = (said, &options.on_migration_wait) {
            waits();
        }
        said = true;
    }
}

/// Applies pending migrations. It waits for a locked table in short tries, because a statement that waits for a lock
/// blocks all later ones.
pub(super) async fn apply(
    migrator: &Migrator,
    connection: &mut PgConnection,
    options: &PostgresOptions,
) -> Result<(), PortError> {
    let began = Instant::now();
    let mut said = false;
    run(connection, &format!("SET lock_timeout = {}", TRY.as_millis())).await?;
    loop {
        // `run` does not accept a borrowed connection in a future that is `Send`.
        let error = match migrator.run_direct(None, connection, false).await {
            Ok(()) => return run(connection, "RESET lock_timeout").await,
            Err(error) => error,
        };
        let (MigrateError::Execute(failed) | MigrateError::ExecuteMigration(failed, _)) = &error else {
            return Err(cannot(&error));
        };
        if !busy(failed) {
            return Err(cannot(&error));
        }
        if began.elapsed() >= options.migration_wait_max {
            let why = format!(
                "a table that pending migrations change is locked; given up after {} s",
                options.migration_wait_max.as_secs()
            );
            return Err(PortError::new(PortErrorKind::Busy, why));
        }
        if let (false, Some(waits)) = (said, &options.on_migration_wait) {
            waits();
        }
        said = true;
        tokio::time::sleep(TRY).await;
    }
}

fn cannot(error: &MigrateError) -> PortError {
    PortError::permanent(format!("pending migrations can't be applied: {error}"))
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), PortError> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| classified(of_write(error)))?)
}
