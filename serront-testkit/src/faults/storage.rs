//! A storage that fails as a test's [`Faults`] say, and records every change set sent to it.

use std::sync::{Arc, Mutex};

use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::forward_port;
use serront_core::ports::{CommitError, Commits};

use super::outside::wrapper;
use super::{Call, Fault, Faults, refused};
use crate::memory::locked;

wrapper! {
    /// Wraps a storage: calls fail as its [`Faults`] say, and change sets are recorded.
    FaultyStorage { sent: Mutex<Vec<ChangeSet>> }
}

impl<S: ?Sized> FaultyStorage<S> {
    /// Every change set that was sent, in order, including those that did not land.
    #[must_use]
    pub fn sent(&self) -> Vec<ChangeSet> {
        locked(&self.sent).clone()
    }
}

impl<S: Commits + ?Sized> FaultyStorage<S> {
    async fn commit_or_fail(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        locked(&self.sent).push(change.clone());
        let (life, fault) = self.faults.next(Call::Commit).await;
        if fault == Some(Fault::Conflict) {
            // A storage looks up the id before it tests guards, so a change set that landed never conflicts with itself.
            let landed = self.inner.outcome(change.account_id, change.id).await?;
            return landed.ok_or(CommitError::Conflict);
        }
        self.faults.carry_out(life, Call::Commit, fault, || self.inner.commit(change), refused).await
    }
}

/// The body of every method: the call on the wrapped storage, with a fault around it. What is not named here is a read.
macro_rules! faulty {
    ($this:ident.commit($change:ident) $_:tt) => { $this.commit_or_fail($change).await };
    ($this:ident.take_due $arguments:tt $_:tt) => { faulty!(@write TakeDue, $this.take_due $arguments) };
    ($this:ident.record_attempt $arguments:tt $_:tt) => { faulty!(@write RecordAttempt, $this.record_attempt $arguments) };
    ($this:ident.fold_deltas $arguments:tt $_:tt) => { faulty!(@write FoldDeltas, $this.fold_deltas $arguments) };
    ($this:ident.prune $arguments:tt $_:tt) => { faulty!(@write Prune, $this.prune $arguments) };
    ($this:ident.touch_key $arguments:tt $_:tt) => { faulty!(@write TouchKey, $this.touch_key $arguments) };
    ($this:ident.begin_installation $arguments:tt $_:tt) => {
        faulty!(@write BeginInstallation, $this.begin_installation $arguments)
    };
    ($this:ident.put_key_check $arguments:tt $_:tt) => { faulty!(@write PutKeyCheck, $this.put_key_check $arguments) };
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => {
        $this.faults.read(Call::Read, || $this.inner.$method($(Clone::clone(&$argument)),*)).await
    };
    (@write $call:ident, $this:ident.$method:ident($($argument:ident),*)) => {
        $this.faults.write(Call::$call, || $this.inner.$method($(Clone::clone(&$argument)),*)).await
    };
}

forward_port! { impl<S> WorkStorage for FaultyStorage<S> { faulty! } }
