//! The paths of uploads: `<account id>/<upload id>`, and in quarantine `quarantine/<account id>/<upload
//! id>.<milliseconds>`, with the time of the move. Ids have only lowercase letters, digits and `_`, so that their order
//! as text is their order as ids, and no store must escape them.

use object_store::path::Path;
use serront_core::primitives::ids::{AccountId, UploadId};
use serront_core::primitives::time::Timestamp;

/// The object with the installation's id.
pub(super) const INSTALLATION: &str = "installation";

/// The folder of the quarantine. No account has this name.
pub(super) const QUARANTINE: &str = "quarantine";

pub(super) fn of_account(account_id: AccountId) -> Path {
    Path::from(account_id.to_string())
}

pub(super) fn of_upload(account_id: AccountId, upload_id: UploadId) -> Path {
    Path::from(format!("{account_id}/{upload_id}"))
}

/// The account whose folder this is; `None` for a foreign folder.
pub(super) fn account_of(folder: &Path) -> Option<AccountId> {
    folder.as_ref().parse().ok()
}

/// The upload at this path; `None` for a foreign file.
pub(super) fn upload_of(location: &Path) -> Option<(AccountId, UploadId)> {
    let (account_id, upload_id) = location.as_ref().split_once('/')?;
    Some((account_id.parse().ok()?, upload_id.parse().ok()?))
}

pub(super) fn of_quarantined_account(account_id: AccountId) -> Path {
    Path::from(format!("{QUARANTINE}/{account_id}"))
}

pub(super) fn of_quarantined(account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Path {
    Path::from(format!("{QUARANTINE}/{account_id}/{upload_id}.{}", since.millis()))
}

/// The account of this folder in quarantine; `None` for a foreign folder.
pub(super) fn quarantined_account_of(folder: &Path) -> Option<AccountId> {
    folder.as_ref().strip_prefix(QUARANTINE)?.strip_prefix('/')?.parse().ok()
}

/// The upload at this path in quarantine, and the time of its move; `None` for a foreign file.
pub(super) fn quarantined_of(location: &Path) -> Option<(AccountId, UploadId, Timestamp)> {
    let (account_id, file) = location.as_ref().strip_prefix(QUARANTINE)?.strip_prefix('/')?.split_once('/')?;
    let (upload_id, since) = file.split_once('.')?;
    let millis: i64 = since.parse().ok()?;
    Some((account_id.parse().ok()?, upload_id.parse().ok()?, Timestamp::from_millis(millis)))
}
