//! A storage in memory, in the same parts as the port: one file for each part.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex};

use serront_core::changes::change::ClaimName;
use serront_core::changes::idempotency::{Kept, Scope};
use serront_core::ports::Clock;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::subscription::Subscription;

mod accounts;
mod bookkeeping;
mod commit;
mod credentials;
mod funds;
mod online;
mod operator;
mod orders;
mod outbox;
mod shop;
mod upkeep;
mod webhooks;

use super::state::State;
use super::{ManualClock, locked};

/// A storage in memory. Clones share the durable state, as two connections to one database do.
#[derive(Clone)]
pub struct MemoryStorage {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

impl MemoryStorage {
    /// An empty storage. This clock is the storage's clock, which decides when leases end and effects are due.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// The same durable state behind a new handle.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.clone()
    }

    /// An independent copy: later changes to one do not show in the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), state: Arc::new(Mutex::new(locked(&self.state).clone())) }
    }

    /// An independent copy like [`MemoryStorage::fork`], with a clock that stands at this time.
    #[must_use]
    pub fn fork_at(&self, now: Timestamp) -> Self {
        Self { clock: Arc::new(ManualClock::at(now)), ..self.fork() }
    }

    fn lookup(&self, scope: Option<Scope>) -> Lookup {
        scope.map(|scope| (scope, self.clock.now()))
    }

    /// The committed state. Yields first, as a real storage does while it waits for its disk.
    async fn read(&self) -> State {
        tokio::task::yield_now().await;
        locked(&self.state).clone()
    }
}

/// A lookup under an idempotency key at a time.
type Lookup = Option<(Scope, Timestamp)>;

/// The outcome stored under an idempotency key, if its time has not ended.
fn kept(state: &State, account_id: AccountId, lookup: Lookup) -> Option<Kept> {
    let (scope, now) = lookup?;
    let claim = state.claim(account_id, ClaimName::Idempotency(scope))?;
    claim.kept.clone().filter(|kept| kept.until > now)
}

fn subscriptions(state: &State, account_id: AccountId) -> Vec<Subscription> {
    let mut rows: Vec<_> = state.subscriptions_of(account_id).cloned().collect();
    rows.sort_by_key(|row| (row.created_at, row.id));
    rows
}

/// A page of the rows before `after`, newest first.
fn newest_first<T: Clone, P: Ord + Copy>(
    rows: impl Iterator<Item = T>,
    position: impl Fn(&T) -> P,
    after: Option<P>,
    limit: Limit,
) -> Page<T> {
    let mut rows: Vec<_> = rows.filter(|row| after.is_none_or(|after| position(row) < after)).collect();
    rows.sort_by_key(|row| Reverse(position(row)));
    Page::cut(rows, limit)
}
