//! Balances, payouts and adjustments.

use serront_core::changes::change::ClaimName;
use serront_core::funds::balance::Funds;
use serront_core::funds::ledger::Book;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::{AdjustmentId, EntryId};

use super::{MemoryStorage, kept, newest_first};
use crate::memory::state::State;

pub(super) fn funds(state: &State, account_id: AccountId) -> Funds {
    state.funds.get(&account_id).copied().unwrap_or_else(|| Funds::none(account_id))
}

#[async_trait]
impl FundsReads for MemoryStorage {
    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        Ok(self.read().await.balance_of(account_id))
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        let state = self.read().await;
        let lowest = EntryId::from_ulid(ulid::Ulid::nil());
        let wanted = |entry: &&LedgerEntry| {
            entry.book == Book::Seller
                && filter.code.is_none_or(|code| code == entry.code)
                && filter.source_type.is_none_or(|source_type| source_type == entry.source_type)
                && filter.source_id.as_ref().is_none_or(|source_id| *source_id == entry.source_id)
                && filter.from.is_none_or(|from| entry.created_at >= from)
                && filter.before.is_none_or(|before| entry.created_at < before)
        };
        let rows = State::of_account(&state.entries, account_id, lowest).filter(wanted).cloned();
        Ok(newest_first(rows, LedgerEntry::position, after, limit))
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        let state = self.read().await;
        let account = state.accounts.get(&account_id).cloned();
        Ok(account.map(|account| FundsSnapshot {
            account,
            funds: funds(&state, account_id),
            totals: state.balance_of(account_id),
            bank_account: state.bank_accounts.get(&account_id).cloned(),
            kept: kept(&state, account_id, self.lookup(key)),
        }))
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        let state = self.read().await;
        let found = match key {
            PayoutKey::Id(account_id, id) => Some((account_id, id)),
            PayoutKey::Any(id) => state.holder(ClaimName::Payout(id)).map(|account_id| (account_id, id)),
        };
        let payout = found.and_then(|key| state.payouts.get(&key)).cloned();
        let account = payout.as_ref().and_then(|payout| state.accounts.get(&payout.account_id)).cloned();
        Ok(payout.zip(account).map(|(payout, account)| PayoutSnapshot {
            account,
            funds: funds(&state, payout.account_id),
            kept: kept(&state, payout.account_id, self.lookup(scope)),
            payout,
        }))
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        let state = self.read().await;
        let lowest = PayoutId::from_ulid(ulid::Ulid::nil());
        let rows = State::of_account(&state.payouts, account_id, lowest)
            .filter(|row| status.is_none_or(|status| status == row.state.status));
        Ok(newest_first(rows.cloned(), Payout::position, after, limit))
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        let state = self.read().await;
        Ok(state.payout_audit.get(&(account_id, id)).into_iter().flatten().cloned().collect())
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        let state = self.read().await;
        let lowest = AdjustmentId::from_ulid(ulid::Ulid::nil());
        let found = State::of_account(&state.adjustments, account_id, lowest).find(|adjustment| match key {
            AdjustmentKey::Id(id) => adjustment.id == *id,
            AdjustmentKey::Reference(reference) => adjustment.reference == *reference,
        });
        Ok(found.cloned())
    }
}
