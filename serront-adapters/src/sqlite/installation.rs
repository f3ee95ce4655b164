//! Reads and writes the installation's row.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::primitives::ids::InstallationId;
use serront_core::snapshots::InstallationRow;

use super::connection::{Connection, query};

use crate::sql::error::Failed;
use crate::sql::installation::{self, INSTALLATION};

pub(super) async fn read(connection: &mut Connection<'_>) -> Result<InstallationRow, Failed> {
    let sql = INSTALLATION.replace("@.", "");
    installation::row(&query(sql).fetch_one(connection).await?)
}

/// Writes the id unless one exists, and returns the stored one. Runs in the writer.
pub(super) async fn begin(connection: &mut Connection<'_>, id: InstallationId) -> Result<InstallationId, Failed> {
    query("INSERT INTO installation (one, installation_id) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    read(connection).await?.id.ok_or(Failed::Unreadable("installation_id"))
}

pub(super) async fn put_key_check(
    connection: &mut Connection<'_>,
    was: Option<&SealedSecret>,
    check: &SealedSecret,
) -> Result<bool, Failed> {
    let done = query("UPDATE installation SET key_check = ?2 WHERE key_check IS ?1")
        .bind(was.map(SealedSecret::as_stored))
        .bind(check.as_stored())
        .execute(connection)
        .await?;
    Ok(done > 0)
}
