//! The gate through which the writer's transactions end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sql::error::Failed;

/// Who may end a transaction. Only the writer commits, and it has to know of every rollback: the engine may roll back on its
/// own initiative, and would then commit every further statement separately.
#[derive(Debug, Default)]
pub(super) struct Gate {
    committing: AtomicBool,
    rolled_back: AtomicBool,
}

impl Gate {
    /// Watches the connection's transactions.
    pub(super) fn watch(self: &Arc<Self>, connection: &rusqlite::Connection) -> Result<(), Failed> {
        let (commits, rollbacks) = (Arc::clone(self), Arc::clone(self));
        connection.commit_hook(Some(move || !commits.committing.load(Ordering::Acquire)))?;
        connection.rollback_hook(Some(move || rollbacks.rolled_back.store(true, Ordering::Release)))?;
        Ok(())
    }

    pub(super) fn has_rolled_back(&self) -> bool {
        self.rolled_back.load(Ordering::Acquire)
    }

    /// A new transaction begins.
    pub(super) fn begin(&self) {
        self.rolled_back.store(false, Ordering::Release);
    }

    /// Lets a commit through, or no longer.
    pub(super) fn open(&self, open: bool) {
        self.committing.store(open, Ordering::Release);
    }
}
