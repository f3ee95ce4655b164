//! The bytes of receipts.

use async_trait::async_trait;

use crate::ports::PortError;
use crate::primitives::ids::{AccountId, InstallationId, UploadId};
use crate::primitives::time::Timestamp;

/// An upload that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredReceipt {
    /// In whose account.
    pub account_id: AccountId,
    /// Which upload.
    pub upload_id: UploadId,
    /// Since when, by the store's clock.
    pub stored_at: Timestamp,
}

/// An upload in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuarantinedReceipt {
    /// In whose account.
    pub account_id: AccountId,
    /// Which upload.
    pub upload_id: UploadId,
    /// Since when, as its mover said.
    pub since: Timestamp,
}

/// Keeps the bytes of receipts. Nothing about them but their account and id.
///
/// What nothing names is not deleted but moved into a quarantine first, for "nothing names it" may only mean that the wrong
/// storage was asked. The store also holds the id of its installation, so that this is seen before anything is moved.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Stores an upload.
    ///
    /// - `Ok` only once the bytes survive a crash of this process.
    /// - All or nothing: a reader never sees a part of them.
    /// - Idempotent: the same id always comes with the same bytes.
    ///
    /// # Errors
    /// Every kind; the caller then uploads under a new id, and the sweeper removes what was left.
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError>;

    /// The bytes of an upload, also while it is in quarantine; `None` if it is nowhere.
    ///
    /// # Errors
    /// Every kind.
    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError>;

    /// Deletes an upload. Deleting a missing one is fine, and a copy in quarantine stays there.
    ///
    /// # Errors
    /// Every kind; the caller tries again.
    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

    /// Up to `limit` uploads stored before `before`, in ascending order of account and upload, beginning after `after`.
    ///
    /// Must in the end list every upload that stays; files that are no upload, and what is in quarantine, are passed over.
    ///
    /// # Errors
    /// Every kind; the sweeper goes on at its next step.
    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError>;

    /// Moves an upload into quarantine, since this time. Moving what is not there is fine.
    ///
    /// - At no time is the upload in neither place; after a failure it may be in both.
    ///
    /// # Errors
    /// Every kind; the caller tries again.
    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError>;

    /// Up to `limit` uploads that are in quarantine since before `before`, in ascending order of account and upload, beginning
    /// after `after`. One that is there twice counts from the later time, and is listed once.
    ///
    /// # Errors
    /// Every kind; the sweeper goes on at its next step.
    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError>;

    /// Moves an upload out of quarantine, back to where it was. Moving what is not there is fine.
    ///
    /// # Errors
    /// Every kind; the caller tries again.
    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

    /// Deletes an upload from quarantine. Deleting a missing one is fine.
    ///
    /// # Errors
    /// Every kind; the caller tries again.
    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

    /// The id of the installation that the store belongs to, once one was written.
    ///
    /// # Errors
    /// Every kind; permanent if there is something else in its place.
    async fn installation(&self) -> Result<Option<InstallationId>, PortError>;

    /// Writes the installation's id unless there is one, and answers the one that counts. Of several callers at once one's id
    /// is kept, and all are answered that.
    ///
    /// # Errors
    /// Every kind; calling again is harmless.
    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;

    /// Writes the installation's id, in place of another one.
    ///
    /// # Errors
    /// Every kind; calling again is harmless.
    async fn adopt(&self, id: InstallationId) -> Result<(), PortError>;
}
