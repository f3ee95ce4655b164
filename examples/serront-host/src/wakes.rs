//! Wakes the loop of a lane when this host commits work for it.

use std::sync::Arc;

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::effect::Lane;
use serront_core::forward_port;
use serront_core::ports::{CommitError, PortErrorKind, WorkStorage};
use tokio::sync::Notify;

/// A signal for each lane.
#[derive(Default)]
pub(crate) struct Wakes {
    mails: Notify,
    deliveries: Notify,
    removals: Notify,
    errands: Notify,
}

impl Wakes {
    const fn of(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Mails => &self.mails,
            Lane::Deliveries => &self.deliveries,
            Lane::Removals => &self.removals,
            Lane::Errands => &self.errands,
        }
    }

    /// Wakes the lane's loop now, or when it waits next.
    pub(crate) fn wake(&self, lane: Lane) {
        self.of(lane).notify_one();
    }

    pub(crate) async fn woken(&self, lane: Lane) {
        self.of(lane).notified().await;
    }
}

/// The host's storage. A commit wakes the lanes in which it puts work, and no others.
pub(crate) struct Waking {
    storage: Arc<dyn WorkStorage>,
    wakes: Arc<Wakes>,
}

impl Waking {
    pub(crate) const fn new(storage: Arc<dyn WorkStorage>, wakes: Arc<Wakes>) -> Self {
        Self { storage, wakes }
    }

    fn committed(&self, change: &ChangeSet, result: &Result<Committed, CommitError>) {
        let may_have_landed = match result {
            Ok(_) => true,
            Err(CommitError::Port(error)) => error.kind() == PortErrorKind::OutcomeUnknown,
            Err(CommitError::Conflict | CommitError::Duplicate(_)) => false,
        };
        if may_have_landed {
            change.lanes().for_each(|lane| self.wakes.wake(lane));
        }
    }
}

macro_rules! waking {
    ($this:ident.commit($change:ident) $_:tt) => {{
        let result = $this.storage.commit($change).await;
        $this.committed($change, &result);
        result
    }};
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { $this.storage.$method($($argument),*).await };
}

forward_port! { impl WorkStorage for Waking { waking! } }
