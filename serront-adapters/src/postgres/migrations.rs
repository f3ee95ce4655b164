//! The schema's migrations, and applying them when the storage is opened.

use serront_core::ports::PortError;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::error::classified;
use super::options::PostgresOptions;
use super::{migration_lock, rewrite};
use crate::sql::error::Failed;
use crate::sql::migrations::{self, Step, migrations};
use crate::sql::set_aside::reader;

/// Each only adds to the schema, so that a host of the previous version can run at the same time.
const MIGRATIONS: &[Step] = &migrations!();

/// The newest migration that this code knows.
pub(super) fn layout() -> i64 {
    migrations::layout(MIGRATIONS)
}

/// This reader's version, as the records of rows that can't be read have it.
pub(super) fn reads() -> i64 {
    reader(layout())
}

/// Whether all migrations are applied in this version. Changes nothing.
async fn is_current(connection: &mut PgConnection, schema: &str) -> Result<bool, Failed> {
    let table = format!("{schema}_sqlx_migrations");
    let there = sqlx::query("SELECT to_regclass($1) IS NOT NULL AS there").bind(&table);
    if !there.fetch_one(&mut *connection).await?.try_get::<bool, _>("there")? {
        return Ok(false);
    }
    let sql = format!("SELECT version, checksum FROM {table} WHERE success");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in rows {
        applied.push((row.try_get::<i64, _>("version")?, row.try_get::<Vec<u8>, _>("checksum")?));
    }
    Ok(migrations::in_schema(MIGRATIONS, schema).iter().all(|migration| {
        applied.iter().any(|(version, checksum)| *version == migration.version && *checksum == *migration.checksum)
    }))
}

/// Applies pending migrations. Hosts that start at the same time wait for each other by an advisory lock. A host of an
/// older version ignores migrations that it does not know. If none are pending, it creates nothing, so a role without
/// that privilege can run a host.
///
/// It uses its own connection without the storage's time-outs, because a host that starts waits for one that migrates.
pub(super) async fn migrate(
    mut connection: PgConnection,
    options: &PostgresOptions,
    schema: &str,
) -> Result<(), PortError> {
    if !is_current(&mut connection, schema).await.map_err(classified)? {
        migration_lock::take(&mut connection, options).await?;
        let mut migrator = Migrator::with_migrations(migrations::in_schema(MIGRATIONS, schema));
        migrator.set_ignore_missing(true);
        migrator.create_schema(format!("\"{}\"", options.schema));
        migrator.dangerous_set_table_name(format!("{schema}_sqlx_migrations"));
        migrator.set_locking(false);
        migration_lock::apply(&migrator, &mut connection, options).await?;
    }
    rewrite::texts(&mut connection, schema).await.map_err(classified)?;
    // Closing the connection releases the lock.
    let _ = connection.close().await;
    Ok(())
}
