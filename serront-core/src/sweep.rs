//! The sweeper: deletes receipts that nothing names, and prunes what has had its time.
//!
//! As the dispatcher, it is a `step(now)`: it does a bounded piece of work and says when to be called next.

use crate::ids::{AccountId, UploadId};
use crate::ports::{PortError, Prune, Pruned, Receipts, WorkStorage};
use crate::service::Environment;
use crate::time::Timestamp;

/// Most rows or uploads that one step looks at.
const BATCH: u32 = 500;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Receipts deleted.
    pub receipts: usize,
    /// Rows pruned.
    pub pruned: Pruned,
    /// When to call again at the latest.
    pub next: Timestamp,
}

/// Sweeps, over borrowed ports. It remembers how far it came in the list of receipts.
#[derive(Debug)]
pub struct Sweeper<'p, S: ?Sized, R: ?Sized> {
    storage: &'p S,
    receipts: &'p R,
    environment: Environment<'p>,
    after: Option<(AccountId, UploadId)>,
}

impl<'p, S: WorkStorage + ?Sized, R: Receipts + ?Sized> Sweeper<'p, S, R> {
    /// Over these ports.
    pub const fn new(storage: &'p S, receipts: &'p R, environment: Environment<'p>) -> Self {
        Self { storage, receipts, environment, after: None }
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// The first failure of a port; the next step goes on. A receipt that can't be deleted does not keep those behind it.
    pub async fn step(&mut self, now: Timestamp) -> Result<Swept, PortError> {
        let policy = self.environment.policy;
        let pruned = self
            .storage
            .prune(Prune {
                kept_until: now,
                effects_before: now.minus(policy.effects_kept),
                change_sets_before: now.minus(policy.change_sets_kept),
                limit: BATCH,
            })
            .await?;
        let uploads = self.receipts.list(now.minus(policy.orphan_age), self.after, BATCH).await?;
        let ids: Vec<_> = uploads.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        let named = self.storage.named_uploads(&ids).await?;
        let full = |count: u64| count >= u64::from(BATCH);
        let more_uploads = full(u64::try_from(ids.len()).unwrap_or(u64::MAX));
        self.after = ids.last().copied().filter(|_| more_uploads);
        let (mut receipts, mut failed) = (0, None);
        for (account_id, upload_id) in ids.iter().filter(|(_, upload_id)| !named.contains(upload_id)) {
            match self.receipts.delete(*account_id, *upload_id).await {
                Ok(()) => receipts += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let more = more_uploads || full(pruned.kept) || full(pruned.effects) || full(pruned.change_sets);
        let next = if more { now } else { now.plus(policy.sweep_interval) };
        Ok(Swept { receipts, pruned, next })
    }
}
