//! Commits.

use serront_core::ports::prelude::*;

use super::MemoryStorage;
use crate::memory::locked;

#[async_trait]
impl Commits for MemoryStorage {
    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        Ok(self.read().await.change_sets.get(&(account_id, id)).map(|(_, committed)| *committed))
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let (next, committed) = state.after(&change.clone().by_clock_of_storage(self.clock.now()))?;
        *state = next;
        Ok(committed)
    }
}
