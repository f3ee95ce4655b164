//! Waits for rows that another transaction has locked, usually a host's.
//!
//! ```text
//! join ─▶ the account's turn ─▶ a place ─▶ a try, for a moment ─┬─▶ done
//!          ▲                                                     │
//!          └────────────────────── a pause ◀─────────────────────┘
//! ```
//!
//! A change set waits in memory instead of on a connection. It tries repeatedly, each time briefly, until it gets its
//! locks or its time limit passes. One change set of an account tries at a time, and tries get shorter as more wait. So
//! waiting for one account's lock does not take places from other accounts.
//!
//! The caller does the tries; this module has no statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serront_core::primitives::ids::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// How long one try waits for a lock while few wait: long enough to get a row that many write briefly.
const TRY_MAX: Duration = Duration::from_millis(100);

/// How long one try waits for a lock while many wait.
const TRY_MIN: Duration = Duration::from_millis(2);

/// The pause between two tries of a change set, so that others of its account get a turn.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

struct Line {
    waiting: usize,
    turn: Arc<Semaphore>,
}

#[derive(Default)]
struct Lines {
    of: HashMap<AccountId, Line>,
    waiting: usize,
}

/// All change sets that wait.
pub(super) struct Waiters {
    lines: Mutex<Lines>,
    /// The connections on which they may try at the same time.
    places: Semaphore,
    most: usize,
}

/// A waiting change set, until it is dropped.
pub(super) struct Waiter<'w> {
    of: &'w Waiters,
    account: AccountId,
    turn: Arc<Semaphore>,
}

/// A try, until it is dropped.
pub(super) struct Turn<'w> {
    _place: SemaphorePermit<'w>,
    _turn: OwnedSemaphorePermit,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { lines: Mutex::default(), places: Semaphore::new(most), most }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the queue of this account.
    pub(super) fn join(&self, account: AccountId) -> Waiter<'_> {
        let mut lines = self.lines();
        lines.waiting += 1;
        let line = lines.of.entry(account).or_insert_with(|| Line { waiting: 0, turn: Arc::new(Semaphore::new(1)) });
        line.waiting += 1;
        Waiter { of: self, account, turn: Arc::clone(&line.turn) }
    }

    /// Whether anything of this account waits.
    pub(super) fn has(&self, account: AccountId) -> bool {
        self.lines().of.contains_key(&account)
    }
}

impl<'w> Waiter<'w> {
    /// Waits for a turn. Never `None`, because the semaphores are not closed.
    pub(super) async fn turn(&self) -> Option<Turn<'w>> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let place = self.of.places.acquire().await.ok()?;
        Some(Turn { _place: place, _turn: turn })
    }

    /// How long this try may wait for a lock.
    pub(super) fn patience(&self) -> Duration {
        let waiting = self.of.lines().waiting.max(1);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (TRY_MAX.saturating_mul(count(self.of.most)) / count(waiting)).clamp(TRY_MIN, TRY_MAX)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut lines = self.of.lines();
        lines.waiting -= 1;
        if let Some(line) = lines.of.get_mut(&self.account) {
            line.waiting -= 1;
            if line.waiting == 0 {
                lines.of.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u32) -> AccountId {
        format!("acc_{number:026}").parse().unwrap()
    }

    #[test]
    fn the_more_wait_the_shorter_is_a_try() {
        let waiters = Waiters::new(8);
        let first = waiters.join(account(1));
        assert_eq!(first.patience(), TRY_MAX);
        let others: Vec<_> = (0..199).map(|_| waiters.join(account(1))).collect();
        assert_eq!(first.patience(), Duration::from_millis(4));
        let more: Vec<_> = (2..2_000).map(|number| waiters.join(account(number))).collect();
        assert_eq!(first.patience(), TRY_MIN);
        drop((others, more));
        assert_eq!(first.patience(), TRY_MAX);
        assert!(waiters.has(account(1)) && !waiters.has(account(2)));
        drop(first);
        assert!(!waiters.has(account(1)));
    }

    #[tokio::test]
    async fn one_of_an_account_tries_at_a_time_and_takes_no_place_of_anothers() {
        let waiters = Waiters::new(2);
        let (first, second, other) = (waiters.join(account(1)), waiters.join(account(1)), waiters.join(account(2)));
        let turn = first.turn().await.unwrap();
        let mut waiting = Box::pin(second.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(other.turn().await.unwrap());
        drop(turn);
        waiting.await.unwrap();
    }
}
