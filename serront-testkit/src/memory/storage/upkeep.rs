//! The installation, and retention.

use serront_core::changes::effect::EffectStatus;
use serront_core::ports::prelude::*;

use super::MemoryStorage;
use crate::memory::locked;

#[async_trait]
impl Upkeep for MemoryStorage {
    async fn ready(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        tokio::task::yield_now().await;
        Ok(self.clock.now())
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        tokio::task::yield_now().await;
        let limit = usize::try_from(prune.limit).unwrap_or(usize::MAX);
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let now = self.clock.now();
        let expired = |until: Timestamp| until <= now;
        let claims =
            state.claims.iter().filter(|(_, claim)| claim.kept.as_ref().is_some_and(|kept| expired(kept.until)));
        let claims: Vec<_> = claims.map(|(key, _)| key.clone()).take(limit).collect();
        let effects = state.effects.iter().filter(|(_, stored)| {
            stored.status != EffectStatus::Pending && stored.created_at < now.minus(prune.effects_kept)
        });
        let effects: Vec<_> = effects.map(|(key, _)| *key).take(limit).collect();
        let change_sets = state.change_sets.iter().filter(|(_, (at, _))| *at < now.minus(prune.change_sets_kept));
        let change_sets: Vec<_> = change_sets.map(|(key, _)| *key).take(limit).collect();
        for key in &claims {
            state.claims.remove(key);
        }
        for key in &effects {
            state.effects.remove(key);
        }
        for key in &change_sets {
            state.change_sets.remove(key);
        }
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Ok(Pruned { kept: count(claims.len()), effects: count(effects.len()), change_sets: count(change_sets.len()) })
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        let state = self.read().await;
        let named = |&(account_id, upload_id): &(AccountId, UploadId)| {
            let mut orders = state.orders_of(account_id);
            orders
                .any(|order| {
                    let payment = state.payments.get(&(account_id, order.id));
                    let receipt = payment.and_then(|payment| payment.state.receipt.as_ref());
                    receipt.is_some_and(|receipt| receipt.upload_id == upload_id)
                })
                .then_some(upload_id)
        };
        Ok(uploads.iter().filter_map(named).collect())
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        let state = self.read().await;
        Ok(InstallationRow {
            id: state.installation.as_ref().map(|(id, _)| *id),
            key_check: state.installation.as_ref().and_then(|(_, check)| check.clone()),
            has_accounts: !state.accounts.is_empty(),
            names_receipts: state.payments.values().any(|payment| payment.state.receipt.is_some()),
        })
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        tokio::task::yield_now().await;
        Ok(locked(&self.state).installation.get_or_insert((id, None)).0)
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.state);
        let present = state.installation.as_mut().filter(|(_, present)| *present == was);
        let Some((_, present)) = present else { return Ok(false) };
        *present = Some(check);
        Ok(true)
    }
}
