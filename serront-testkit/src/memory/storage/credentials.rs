//! The use of keys, and sealed secrets.

use serront_core::ports::prelude::*;

use super::MemoryStorage;
use crate::memory::locked;

#[async_trait]
impl Credentials for MemoryStorage {
    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        let at = self.clock.now();
        if let Some(key) = locked(&self.state).keys.get_mut(&(account_id, id))
            && key.last_used_at.is_none_or(|last| last < at && last.plus(pause) <= at)
        {
            key.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .subscriptions
            .iter()
            .filter(|((_, id), _)| after.is_none_or(|after| *id > after))
            .map(|((account_id, id), (subscription, secrets))| SubscriptionSecrets {
                account_id: *account_id,
                id: *id,
                version: subscription.state.version,
                secret: secrets.present.clone(),
                previous_secret: secrets.previous.as_ref().map(|(secret, _)| secret.clone()),
            })
            .collect();
        rows.sort_by_key(|row| row.id);
        Ok(Page::cut(rows, limit))
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        let state = self.read().await;
        let rows = state.provisioning.values().filter(|row| after.is_none_or(|after| row.account_id > after));
        Ok(Page::cut(rows.cloned().collect(), limit))
    }
}
