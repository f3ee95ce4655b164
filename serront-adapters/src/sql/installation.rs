//! The installation's row, as far as it is the same for both engines.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::snapshots::InstallationRow;

use super::error::Failed;
use super::rows::{self, Cells};

/// The statement that reads it; `@.` stands before the tables' names. It answers a row also where there is none yet.
pub(crate) const INSTALLATION: &str = "SELECT i.installation_id, i.key_check, \
     EXISTS (SELECT 1 FROM @.accounts) AS has_accounts, \
     EXISTS (SELECT 1 FROM @.payments p WHERE p.receipt_upload_id IS NOT NULL) AS names_receipts \
     FROM (SELECT 1 AS one) o LEFT JOIN @.installation i ON i.one = o.one";

pub(crate) fn row(row: &impl Cells) -> Result<InstallationRow, Failed> {
    Ok(InstallationRow {
        id: rows::optional_id(row, "installation_id")?,
        key_check: row.optional_text("key_check")?.map(|check| SealedSecret::stored(check.to_owned())),
        has_accounts: row.flag("has_accounts")?,
        names_receipts: row.flag("names_receipts")?,
    })
}
