//! Deliveries and other effects.

use serront_core::changes::effect::{DeliveryAddress, EffectStatus};
use serront_core::ports::prelude::*;

use super::{MemoryStorage, newest_first};
use crate::memory::state::{Content, StoredEffect};

fn delivery(id: EffectId, stored: &StoredEffect) -> Option<DeliveryRecord> {
    let (EffectId::Delivery(id), Content::Delivery { subscription_id, event_id, event_type, body }) =
        (id, &stored.content)
    else {
        return None;
    };
    Some(DeliveryRecord {
        id,
        subscription_id: *subscription_id,
        event_id: *event_id,
        event_type: *event_type,
        body: body.clone(),
        status: stored.status,
        created_at: stored.created_at,
        next_attempt_at: (stored.status == EffectStatus::Pending).then_some(stored.due),
        attempts: stored.attempts.clone(),
    })
}

fn wanted(filter: &DeliveryFilter, row: &DeliveryRecord) -> bool {
    filter.subscription_id.is_none_or(|id| id == row.subscription_id)
        && filter.status.is_none_or(|status| status == row.status)
        && filter.event_type.is_none_or(|event_type| event_type == row.event_type)
        && filter.event_id.is_none_or(|id| id == row.event_id)
}

pub(super) fn effect((account_id, id): (AccountId, EffectId), stored: &StoredEffect) -> EffectRecord {
    EffectRecord {
        id,
        account_id,
        status: stored.status,
        discarded: stored.discarded,
        created_at: stored.created_at,
        attempts: stored.attempted(),
        last_attempt: stored.attempts.last().cloned(),
        delivery: match &stored.content {
            Content::Delivery { subscription_id, event_type, .. } => {
                Some(DeliveryAddress { subscription_id: *subscription_id, event_type: *event_type })
            }
            Content::Mail(_) | Content::Removal(_) | Content::Errand(_) => None,
        },
    }
}

#[async_trait]
impl WebhookReads for MemoryStorage {
    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        let state = self.read().await;
        let effects = state.effects.iter().filter(|((owner, _), _)| *owner == account_id);
        let rows = effects.filter_map(|((_, id), stored)| delivery(*id, stored)).filter(|row| wanted(filter, row));
        Ok(newest_first(rows, DeliveryRecord::position, after, limit))
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        let id = EffectId::Delivery(id);
        Ok(self.read().await.effects.get(&(account_id, id)).and_then(|stored| delivery(id, stored)))
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        let key = (account_id, id);
        Ok(self.read().await.effects.get(&key).map(|stored| effect(key, stored)))
    }
}
