//! The store for the bytes of receipts.

use crate::ports::signatures::*;

/// A stored upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredReceipt {
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// The upload.
    pub upload_id: UploadId,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// An upload in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuarantinedReceipt {
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// The upload.
    pub upload_id: UploadId,
    /// When it was moved here, by the clock of the host that moved it.
    pub since: Timestamp,
}

part! {
    __receipts!
    /// Stores the bytes of receipts by account and id, and nothing else about them.
    ///
    /// An upload that no payment refers to is first moved into quarantine, because the sweeper may be connected to the wrong
    /// storage. The store also holds the id of its installation, so that a host notices this before it moves anything.
    pub trait Receipts {
        /// Stores an upload.
        ///
        /// - Must return `Ok` only after the bytes would survive a crash of this process.
        /// - Must never let a reader see part of the bytes.
        /// - Must accept the same upload again: the same id always comes with the same bytes.
        ///
        /// # Errors
        /// Every kind; the caller then uploads under a new id, and the sweeper removes the leftovers.
        async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError>;

        /// The bytes of an upload, in quarantine or not. `None` if it is in neither place.
        ///
        /// # Errors
        /// Every kind.
        async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError>;

        /// Deletes an upload, but not a copy in quarantine. Deleting a missing upload succeeds.
        ///
        /// # Errors
        /// Every kind; the caller tries again.
        async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

        /// Up to `limit` uploads stored before `before`, in ascending order of account and upload, beginning after `after`.
        ///
        /// Repeated calls must list every upload that stays. Other files, and uploads in quarantine, are skipped.
        ///
        /// # Errors
        /// Every kind; the sweeper continues at its next step.
        async fn list(
            &self,
            before: Timestamp,
            after: Option<(AccountId, UploadId)>,
            limit: u32,
        ) -> Result<Vec<StoredReceipt>, PortError>;

        /// Moves an upload into quarantine and records this time. Moving a missing upload succeeds.
        ///
        /// The upload must always be in at least one of the two places; after a failure it may be in both.
        ///
        /// # Errors
        /// Every kind; the caller tries again.
        async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError>;

        /// Up to `limit` uploads moved into quarantine before `before`, in ascending order of account and upload, beginning after
        /// `after`. An upload that is there twice is listed once, with the later time.
        ///
        /// # Errors
        /// Every kind; the sweeper continues at its next step.
        async fn quarantined(
            &self,
            before: Timestamp,
            after: Option<(AccountId, UploadId)>,
            limit: u32,
        ) -> Result<Vec<QuarantinedReceipt>, PortError>;

        /// Moves an upload from quarantine back to the stored uploads. Moving a missing upload succeeds.
        ///
        /// # Errors
        /// Every kind; the caller tries again.
        async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

        /// Deletes an upload from quarantine. Deleting a missing upload succeeds.
        ///
        /// # Errors
        /// Every kind; the caller tries again.
        async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;

        /// The id of the installation that the store belongs to. `None` if none was written yet.
        ///
        /// # Errors
        /// Every kind; permanent if what is stored in its place is not an id.
        async fn installation(&self) -> Result<Option<InstallationId>, PortError>;

        /// Writes the installation's id unless there is one, and returns the id that is stored then. If several callers race,
        /// all of them get the same id.
        ///
        /// # Errors
        /// Every kind; the call can be repeated safely.
        async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;

        /// Replaces the installation's id.
        ///
        /// # Errors
        /// Every kind; the call can be repeated safely.
        async fn adopt(&self, id: InstallationId) -> Result<(), PortError>;
    }
}
