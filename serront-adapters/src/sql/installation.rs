//! Reads the installation's row.

use serront_core::snapshots::InstallationRow;

use super::cells::{Cells, Read, Value};

/// The statement that reads it; `@.` is replaced by the schema. It returns a row even if the table has none yet.
pub(crate) const INSTALLATION: &str = "SELECT i.installation_id, i.key_check, \
     EXISTS (SELECT 1 FROM @.accounts) AS has_accounts, \
     EXISTS (SELECT 1 FROM @.payments p WHERE p.receipt_upload_id IS NOT NULL) AS names_receipts \
     FROM (SELECT 1 AS one) o LEFT JOIN @.installation i ON i.one = o.one";

pub(crate) fn row(row: &impl Cells) -> Read<InstallationRow> {
    Ok(InstallationRow {
        id: Value::read(row, "installation_id")?,
        key_check: Value::read(row, "key_check")?,
        has_accounts: row.flag("has_accounts")?,
        names_receipts: row.flag("names_receipts")?,
    })
}
