//! The lock under which one process at a time applies migrations: the driver's own, so that hosts of every version wait for each
//! other. Not for ever: whoever waits says so, and gives up.

use std::time::Duration;

use serront_core::ports::{PortError, PortErrorKind};
use sqlx::AssertSqlSafe;
use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::PostgresOptions;
use super::error::{busy, of_write};

/// How long one try waits. After the first, the caller hears that it waits.
const TRY: Duration = Duration::from_secs(1);

/// Takes the lock for as long as this connection lives.
///
/// A process that stops while it has the lock loses it: its server ends a session that says nothing for
/// [`PostgresOptions::idle_transaction_time_max`].
pub(super) async fn take(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), PortError> {
    let idle = options.idle_transaction_time_max.as_millis();
    let began = Instant::now();
    let mut said = false;
    loop {
        let left = options.migration_wait_max.saturating_sub(began.elapsed());
        // None at all would be no bound.
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

/// Applies what is pending. A table that somebody has locked is waited for in short tries: what waits for a lock holds up everybody
/// who comes after it.
pub(super) async fn apply(
    migrator: &Migrator,
    connection: &mut PgConnection,
    options: &PostgresOptions,
) -> Result<(), PortError> {
    let began = Instant::now();
    let mut said = false;
    run(connection, &format!("SET lock_timeout = {}", TRY.as_millis())).await?;
    loop {
        // What `run` takes is implemented for no borrowed connection in a future that changes threads.
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
    Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop).map_err(of_write)?)
}
