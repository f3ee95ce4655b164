//! The installation, readiness, and retention.

use crate::ports::signatures::*;

part! {
    __upkeep!
    /// Identifies the installation, and deletes old rows.
    pub trait Upkeep {
        /// Returns if the storage can be reached and has the layout that this code expects.
        ///
        /// # Errors
        /// [`PortError`] if not.
        async fn ready(&self) -> Result<(), PortError>;

        /// The present time by the storage's clock, which all hosts on this storage share.
        async fn now(&self) -> Result<Timestamp, PortError>;

        /// Deletes rows that are old enough by the storage's clock. Must never delete pending effects, or claims other than
        /// idempotency keys.
        async fn prune(&self, prune: Prune) -> Result<Pruned, PortError>;

        /// Those of these uploads that a payment refers to.
        async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError>;

        /// What the storage knows about its installation.
        async fn installation(&self) -> Result<InstallationRow, PortError>;

        /// Writes the installation's id unless there is one, and returns the id that is stored then. If several callers race,
        /// all of them get the same id.
        ///
        /// # Errors
        /// [`PortError`]; the call can be repeated safely.
        async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;

        /// Replaces the key check `was` by `check`, and returns whether it did. It does not if another key check is stored, or
        /// if the installation has no id yet.
        ///
        /// # Errors
        /// [`PortError`]. After an unknown outcome, read the stored key check.
        async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError>;
    }
}
