//! The bytes of receipts.

use async_trait::async_trait;

use crate::ids::{AccountId, UploadId};
use crate::ports::PortError;
use crate::time::Timestamp;

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

/// Keeps the bytes of receipts. Nothing about them but their account and id.
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

    /// The bytes of an upload; `None` if it is not there.
    ///
    /// # Errors
    /// Every kind.
    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError>;

    /// Removes an upload. Removing what is not there is fine.
    ///
    /// # Errors
    /// Every kind; the caller tries again.
    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

    /// Up to `limit` uploads stored before `before`, in ascending order of account and upload, beginning after `after`.
    ///
    /// Must in the end list every upload that stays; files that are no upload are passed over.
    ///
    /// # Errors
    /// Every kind; the sweeper goes on at its next step.
    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError>;
}
