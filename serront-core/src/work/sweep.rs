//! The sweeper: moves receipts that no payment names into quarantine, deletes them later, and prunes old rows.
//!
//! ```text
//! no payment names it, older than a day ─▶ quarantine ─┬─▶ 30 days later still none names it: deleted
//!                                                      └─▶ a payment names it after all: moved back
//! ```
//!
//! In a wrong database no payment names the receipts either. So each pass through the receipts begins with
//! [`installation::meet`]. If the database and the store do not belong together, it moves and deletes nothing. All ages
//! are by the storage's clock.

use crate::ports::{PortError, Receipts, WorkStorage};
use crate::primitives::ids::{AccountId, UploadId};
use crate::primitives::time::Timestamp;
use crate::service::Environment;
use crate::snapshots::{Prune, Pruned};
use crate::work::installation::{self, MeetError};

/// The most rows or uploads of each kind that one step reads.
const BATCH: u32 = 500;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Receipts moved into quarantine.
    pub quarantined: usize,
    /// Receipts moved back from there.
    pub restored: usize,
    /// Receipts deleted from there.
    pub deleted: usize,
    /// Rows pruned.
    pub pruned: Pruned,
    /// When to call again at the latest.
    pub next: Timestamp,
}

type Position = Option<(AccountId, UploadId)>;

/// Sweeps. It remembers its positions in the two lists of receipts.
#[derive(Debug)]
pub struct Sweeper<'p, S: ?Sized, R: ?Sized> {
    storage: &'p S,
    receipts: &'p R,
    environment: Environment<'p>,
    after: Position,
    quarantined_after: Position,
}

impl<'p, S: WorkStorage + ?Sized, R: Receipts + ?Sized> Sweeper<'p, S, R> {
    /// Over these ports.
    pub const fn new(storage: &'p S, receipts: &'p R, environment: Environment<'p>) -> Self {
        Self { storage, receipts, environment, after: None, quarantined_after: None }
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// A port's first failure; the next step continues. If a receipt can't be moved or deleted, the step still handles
    /// the others. [`MeetError::Strangers`] if the storage and the receipts' store do not belong together.
    pub async fn step(&mut self, now: Timestamp) -> Result<Swept, MeetError> {
        let policy = self.environment.policy;
        let prune = Prune {
            effects_kept: policy.retention.effects_kept,
            change_sets_kept: policy.retention.change_sets_kept,
            limit: BATCH,
        };
        let pruned = self.storage.prune(prune).await?;
        if self.after.is_none() && self.quarantined_after.is_none() {
            installation::meet(self.storage, self.receipts, self.environment).await?;
        }
        let storage_now = self.storage.now().await?;
        let mut failed = None;
        let (quarantined, more_uploads) = self.quarantine(storage_now, &mut failed).await?;
        let (restored, deleted, more_quarantined) = self.empty_quarantine(storage_now, &mut failed).await?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let full = |count: u64| count >= u64::from(BATCH);
        let pruned_full = full(pruned.kept) || full(pruned.effects) || full(pruned.change_sets);
        let more = more_uploads || more_quarantined || pruned_full;
        let next = if more { now } else { now.plus(policy.retention.sweep_interval) };
        Ok(Swept { quarantined, restored, deleted, pruned, next })
    }

    /// Moves receipts that no payment names into quarantine. Returns how many, and whether there may be more.
    async fn quarantine(&mut self, now: Timestamp, failed: &mut Option<PortError>) -> Result<(usize, bool), PortError> {
        let old = now.minus(self.environment.policy.retention.orphan_age);
        let uploads = self.receipts.list(old, self.after, BATCH).await?;
        let ids: Vec<_> = uploads.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        let named = self.storage.named_uploads(&ids).await?;
        self.after = next_position(&ids);
        let mut moved = 0;
        for (account_id, upload_id) in ids.iter().filter(|(_, upload_id)| !named.contains(upload_id)) {
            let done = self.receipts.quarantine(*account_id, *upload_id, now).await;
            moved += counted(done, failed);
        }
        Ok((moved, self.after.is_some()))
    }

    /// Deletes receipts that have been in quarantine long enough, and moves back those that a payment names. Returns
    /// how many were moved back and deleted, and whether there may be more.
    async fn empty_quarantine(
        &mut self,
        now: Timestamp,
        failed: &mut Option<PortError>,
    ) -> Result<(usize, usize, bool), PortError> {
        let old = now.minus(self.environment.policy.retention.quarantine_kept);
        let uploads = self.receipts.quarantined(old, self.quarantined_after, BATCH).await?;
        let ids: Vec<_> = uploads.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        let named = self.storage.named_uploads(&ids).await?;
        self.quarantined_after = next_position(&ids);
        let (mut restored, mut deleted) = (0, 0);
        for (account_id, upload_id) in ids {
            if named.contains(&upload_id) {
                restored += counted(self.receipts.restore(account_id, upload_id).await, failed);
            } else {
                deleted += counted(self.receipts.discard(account_id, upload_id).await, failed);
            }
        }
        Ok((restored, deleted, self.quarantined_after.is_some()))
    }
}

/// Where the next step continues: after the last id of a full batch, or else at the start.
fn next_position(ids: &[(AccountId, UploadId)]) -> Position {
    ids.last().copied().filter(|_| u32::try_from(ids.len()).unwrap_or(u32::MAX) >= BATCH)
}

/// 1 if it succeeded; keeps the first failure.
fn counted(done: Result<(), PortError>, failed: &mut Option<PortError>) -> usize {
    match done {
        Ok(()) => 1,
        Err(error) => {
            if failed.is_none() {
                *failed = Some(error);
            }
            0
        }
    }
}
