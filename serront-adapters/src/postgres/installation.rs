//! Reads and writes the installation's row.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::primitives::ids::InstallationId;
use serront_core::snapshots::InstallationRow;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::error::of_write;
use crate::sql::error::Failed;
use crate::sql::installation::{self, INSTALLATION};

fn at(schema: &str, sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("@.", schema))
}

pub(super) async fn read(connection: &mut PgConnection, schema: &str) -> Result<InstallationRow, Failed> {
    installation::row(&sqlx::query(at(schema, INSTALLATION)).fetch_one(connection).await?)
}

/// Writes the id unless one exists. Another statement then reads the row, so that it sees an id that was written first.
pub(super) async fn begin(
    connection: &mut PgConnection,
    schema: &str,
    id: InstallationId,
) -> Result<InstallationId, Failed> {
    let sql = "INSERT INTO @.installation (one, installation_id) VALUES (1, $1) ON CONFLICT DO NOTHING";
    sqlx::query(at(schema, sql)).bind(id.to_string()).execute(&mut *connection).await.map_err(of_write)?;
    read(connection, schema).await?.id.ok_or(Failed::Unreadable("installation_id"))
}

pub(super) async fn put_key_check(
    connection: &mut PgConnection,
    schema: &str,
    was: Option<&SealedSecret>,
    check: &SealedSecret,
) -> Result<bool, Failed> {
    let sql = "UPDATE @.installation SET key_check = $2 WHERE key_check IS NOT DISTINCT FROM $1";
    let done = sqlx::query(at(schema, sql))
        .bind(was.map(SealedSecret::as_stored))
        .bind(check.as_stored())
        .execute(connection)
        .await
        .map_err(of_write)?;
    Ok(done.rows_affected() > 0)
}
