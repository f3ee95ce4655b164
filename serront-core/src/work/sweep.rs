//! The sweeper: moves receipts that nothing names into quarantine, deletes them from there later, and prunes what has had its
//! time.
//!
//! ```text
//! nothing names it, older than a day ─▶ quarantine ─┬─▶ 30 days later still nothing names it: deleted
//!                                                   └─▶ something names it after all: moved back
//! ```
//!
//! That no payment names a receipt only says something if it is the right database. So each pass through the receipts begins with
//! [`installation::meet`]: where database and store do not belong together, it moves nothing and deletes nothing. All ages are
//! by the storage's clock.
//!
//! As the dispatcher, it is a `step(now)`: it does a bounded piece of work and says when to be called next.

use crate::ports::{PortError, Receipts, WorkStorage};
use crate::primitives::ids::{AccountId, UploadId};
use crate::primitives::time::Timestamp;
use crate::service::Environment;
use crate::snapshots::{Prune, Pruned};
use crate::work::installation::{self, MeetError};

/// Most rows or uploads that one step looks at.
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

type Place = Option<(AccountId, UploadId)>;

/// Sweeps, over borrowed ports. It remembers how far it came in the lists of receipts.
#[derive(Debug)]
pub struct Sweeper<'p, S: ?Sized, R: ?Sized> {
    storage: &'p S,
    receipts: &'p R,
    environment: Environment<'p>,
    after: Place,
    quarantined_after: Place,
}

impl<'p, S: WorkStorage + ?Sized, R: Receipts + ?Sized> Sweeper<'p, S, R> {
    /// Over these ports.
    pub const fn new(storage: &'p S, receipts: &'p R, environment: Environment<'p>) -> Self {
        Self { storage, receipts, environment, after: None, quarantined_after: None }
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// The first failure of a port; the next step goes on. A receipt that can't be moved or deleted does not keep those behind
    /// it. [`MeetError::Strangers`] if the storage and the receipts' store do not belong together.
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

    /// Moves what nothing names into quarantine. Answers how many that were, and whether there may be more.
    async fn quarantine(&mut self, now: Timestamp, failed: &mut Option<PortError>) -> Result<(usize, bool), PortError> {
        let old = now.minus(self.environment.policy.retention.orphan_age);
        let uploads = self.receipts.list(old, self.after, BATCH).await?;
        let ids: Vec<_> = uploads.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        let named = self.storage.named_uploads(&ids).await?;
        self.after = goes_on(&ids);
        let mut moved = 0;
        for (account_id, upload_id) in ids.iter().filter(|(_, upload_id)| !named.contains(upload_id)) {
            let done = self.receipts.quarantine(*account_id, *upload_id, now).await;
            moved += counted(done, failed);
        }
        Ok((moved, self.after.is_some()))
    }

    /// Deletes what has been in quarantine long enough, and moves back what something names after all.
    async fn empty_quarantine(
        &mut self,
        now: Timestamp,
        failed: &mut Option<PortError>,
    ) -> Result<(usize, usize, bool), PortError> {
        let old = now.minus(self.environment.policy.retention.quarantine_kept);
        let uploads = self.receipts.quarantined(old, self.quarantined_after, BATCH).await?;
        let ids: Vec<_> = uploads.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        let named = self.storage.named_uploads(&ids).await?;
        self.quarantined_after = goes_on(&ids);
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

/// Where the next step goes on: behind the last of a full batch.
fn goes_on(ids: &[(AccountId, UploadId)]) -> Place {
    ids.last().copied().filter(|_| u32::try_from(ids.len()).unwrap_or(u32::MAX) >= BATCH)
}

/// 1 if it was done; the first failure is kept for later.
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
