//! The lines of change sets that lost to another debit of their account.
//!
//! Debits of one account contradict each other: of those that read the same funds, one lands and the others conflict. If all
//! of them read and decided again at once, all but one would conflict again, at the cost of everybody. So each waits here,
//! and each that lands lets one go on. Guards hold either way: this is only about speed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Guard, Row};
use serront_core::primitives::ids::AccountId;
use tokio::sync::oneshot;

/// How long one waits if nobody lets it go on, for example because the one before it was refused: many commits long, and
/// still short for a user.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// The lines of all accounts.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<AccountId, VecDeque<oneshot::Sender<()>>>>);

/// Whether a change set debits its account.
pub(super) fn debits(change: &ChangeSet) -> bool {
    change.guards.iter().any(|guard| matches!(guard, Guard::Exact { row: Row::Funds, .. }))
}

impl Lines {
    fn lines(&self) -> MutexGuard<'_, HashMap<AccountId, VecDeque<oneshot::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a debit of this account has landed, in order.
    pub(super) async fn wait(&self, account: AccountId) {
        let (go_on, told) = oneshot::channel();
        self.lines().entry(account).or_default().push_back(go_on);
        if tokio::time::timeout(WAIT_MAX, told).await.is_err() {
            self.leave(account);
        }
    }

    /// Forgets those of this account that no longer wait.
    fn leave(&self, account: AccountId) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&account) else { return };
        line.retain(|waiting| !waiting.is_closed());
        if line.is_empty() {
            lines.remove(&account);
        }
    }

    /// Lets the next one of this account go on.
    pub(super) fn landed(&self, account: AccountId) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&account) else { return };
        // Those that no longer wait are passed over.
        while line.pop_front().is_some_and(|next| next.send(()).is_err()) {}
        if line.is_empty() {
            lines.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_that_lands_lets_the_next_one_go_on() {
        let (lines, account) = (Lines::default(), "acc_01jtestvect0r0000000000000".parse().unwrap());
        lines.landed(account);
        let mut first = Box::pin(lines.wait(account));
        let mut dropped = Box::pin(lines.wait(account));
        let mut last = Box::pin(lines.wait(account));
        for waiting in [&mut first, &mut dropped, &mut last] {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        lines.landed(account);
        assert!(futures_util::poll!(&mut first).is_ready());
        drop(dropped);
        assert!(futures_util::poll!(&mut last).is_pending());
        lines.landed(account);
        assert!(futures_util::poll!(&mut last).is_ready());
        assert!(lines.lines().is_empty());
    }
}
