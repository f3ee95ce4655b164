//! Planted bugs of reading orders and keys.

use serront_core::ports::prelude::*;

use super::Bug;
use super::storage::Defect;
use crate::memory::locked;

impl Defect {
    pub(super) async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let mut key = key;
        if let (Bug::AccountIgnored, OrderKey::Id(_, id)) = (self.bug, key)
            && let Some(token) = locked(&self.memory).tokens.get(&id)
        {
            key = OrderKey::Token(*token);
        }
        if let (Bug::OldTokenOpens, OrderKey::Token(token)) = (self.bug, key)
            && let Some((account, id)) = locked(&self.memory).opened_by.get(&token)
        {
            key = OrderKey::Id(*account, *id);
        }
        let now = self.clock.now();
        if let (Bug::StaleRead, OrderKey::Id(_, id), None) = (self.bug, key, scope)
            && let Some((at, snapshot)) = locked(&self.memory).orders.get(&id)
            && now.since(*at) < Duration::from_secs(60)
        {
            return Ok(Some(snapshot.clone()));
        }
        let mut found = self.inner.order(key, scope).await?;
        if let Some(snapshot) = &mut found {
            snapshot.number = self.shifted(snapshot.account.id, snapshot.number);
            if self.is(Bug::StaleRead) {
                locked(&self.memory).orders.insert(snapshot.order.id, (now, snapshot.clone()));
            }
        }
        Ok(found)
    }

    pub(super) async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        if self.is(Bug::KeyCached)
            && let Some(known) = locked(&self.memory).keys.get(&hash)
        {
            return Ok(Some(known.clone()));
        }
        let found = self.inner.key(hash).await?;
        if let Some(found) = &found {
            locked(&self.memory).keys.insert(hash, found.clone());
        }
        Ok(found)
    }

    pub(super) async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        let mut page = self.inner.orders(account_id, filter, after, limit).await?;
        for row in &mut page.rows {
            row.number = self.shifted(account_id, row.number);
        }
        Ok(page)
    }

    pub(super) async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        let mut counts = self.inner.counts(account_id).await?;
        for (_, status, more) in locked(&self.memory).folded.iter().filter(|(account, ..)| *account == account_id) {
            let count = counts.of(*status);
            *count = if *more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        Ok(counts)
    }
}
