//! Accounts and their API keys.

use serront_core::changes::change::ClaimName;
use serront_core::ports::prelude::*;

use super::{MemoryStorage, kept, subscriptions};
use crate::memory::state::State;

#[async_trait]
impl AccountReads for MemoryStorage {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        let state = self.read().await;
        Ok(state.accounts.get(&id).map(|account| AccountSnapshot {
            account: account.clone(),
            storefront: state.storefronts.get(&id).cloned(),
            subscriptions: subscriptions(&state, id),
            services: u32::try_from(state.services_of(id).count()).unwrap_or(u32::MAX),
            provisioning: state.provisioning.get(&id).cloned(),
            kept: kept(&state, id, self.lookup(key)),
        }))
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        let state = self.read().await;
        let Some(holder) = state.holder(ClaimName::KeyHash(hash)) else { return Ok(None) };
        let lowest = KeyId::from_ulid(ulid::Ulid::nil());
        Ok(State::of_account(&state.keys, holder, lowest).find(|key| key.hash == hash).cloned())
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        let state = self.read().await;
        let lowest = KeyId::from_ulid(ulid::Ulid::nil());
        let mut rows: Vec<_> = State::of_account(&state.keys, account_id, lowest).cloned().collect();
        rows.sort_by_key(|row| (row.created_at, row.id));
        Ok(rows)
    }
}
