//! Where an upload lies: `<account id>/<upload id>`. Ids are of lowercase letters, digits and `_` only, so their order
//! as text is their order as ids, and no store has to escape them.

use object_store::path::Path;
use serront_core::ids::{AccountId, UploadId};

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

/// The upload that lies there; `None` for a foreign file.
pub(super) fn upload_of(location: &Path) -> Option<(AccountId, UploadId)> {
    let (account_id, upload_id) = location.as_ref().split_once('/')?;
    Some((account_id.parse().ok()?, upload_id.parse().ok()?))
}
