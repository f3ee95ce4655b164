//! Lists across all accounts.

use serront_core::changes::effect::EffectStatus;
use serront_core::online::inbox::InboxStatus;
use serront_core::ports::prelude::*;

use super::online::inbox;
use super::webhooks::effect;
use super::{MemoryStorage, newest_first};

#[async_trait]
impl OperatorReads for MemoryStorage {
    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        let state = self.read().await;
        let mut rows = inbox(&state, |record| match record.status {
            InboxStatus::Parked => record.received_at < parked_before,
            InboxStatus::ForeignCurrency | InboxStatus::Unreadable => true,
            InboxStatus::Applied | InboxStatus::Noted => false,
        });
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state
            .payouts
            .values()
            .filter(|row| row.state.status.is_in_flight() && after.is_none_or(|after| row.position() > after))
            .cloned()
            .collect();
        rows.sort_by_key(Payout::position);
        Ok(Page::cut(rows, limit))
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        let state = self.read().await;
        let given_up =
            state.effects.iter().filter(|(_, stored)| stored.status == EffectStatus::Failed && !stored.discarded);
        let rows = given_up.map(|(key, stored)| effect(*key, stored));
        Ok(newest_first(rows, EffectRecord::position, after, limit))
    }

    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        let state = self.read().await;
        let mut rows: Vec<_> = state.discards.iter().cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.id)));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// Always empty: rows in memory are typed values, so every version of them can be read.
    async fn set_aside(&self, _limit: u32) -> Result<SetAsides, PortError> {
        let _state = self.read().await;
        Ok(SetAsides::default())
    }
}
