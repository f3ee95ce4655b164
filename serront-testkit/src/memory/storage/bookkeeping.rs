//! Folding and verification.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::funds::books::{BookSums, BooksPiece, FundsSums, Uneven};
use serront_core::funds::ledger::{Direction, POSTED_WITHIN};
use serront_core::ports::prelude::*;

use super::MemoryStorage;
use super::funds::funds;
use crate::memory::locked;

#[async_trait]
impl Bookkeeping for MemoryStorage {
    /// Counts are updated in place here, so only balances have deltas.
    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        tokio::task::yield_now().await;
        let folded = locked(&self.state).fold(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(u64::try_from(folded).unwrap_or(u64::MAX))
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        tokio::task::yield_now().await;
        let _state = locked(&self.state);
        Ok(self.clock.now().minus(POSTED_WITHIN))
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        let state = self.read().await;
        let wanted = |id: AccountId| account_id.is_none_or(|account_id| account_id == id);
        let entries: Vec<_> = state.entries.values().filter(|entry| wanted(entry.account_id)).collect();
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        verification.take(&BooksPiece::Expected(count));
        let mut sums = BTreeMap::<_, (i64, i64)>::new();
        let mut uneven = BTreeMap::<_, i64>::new();
        for LedgerEntry { account_id, tx_id, book, code, direction, amount, .. } in entries {
            let (debits, credits) = sums.entry((*account_id, *book, *code)).or_default();
            let excess = uneven.entry((*account_id, *tx_id)).or_default();
            match direction {
                Direction::Debit => {
                    *debits = debits.saturating_add(amount.get());
                    *excess = excess.saturating_sub(amount.get());
                }
                Direction::Credit => {
                    *credits = credits.saturating_add(amount.get());
                    *excess = excess.saturating_add(amount.get());
                }
            }
        }
        verification.take(&BooksPiece::Entries {
            count,
            sums: sums
                .into_iter()
                .map(|((account_id, book, code), (debits, credits))| BookSums {
                    account_id,
                    book,
                    code,
                    debits,
                    credits,
                })
                .collect(),
            uneven: uneven
                .into_iter()
                .filter(|(_, excess)| *excess != 0)
                .map(|((account_id, tx_id), excess)| Uneven { account_id, tx_id, excess })
                .collect(),
        });
        let totals = state.totals();
        let totals = totals.iter().filter(|((id, _), _)| wanted(*id));
        verification.take(&BooksPiece::Totals(
            totals
                .map(|((id, code), (debits, credits))| {
                    (*id, CodeTotals { code: *code, debits: *debits, credits: *credits })
                })
                .collect(),
        ));
        let mut in_flight = BTreeMap::<AccountId, i64>::new();
        for payout in state.payouts.values().filter(|payout| payout.state.status.is_in_flight()) {
            let sum = in_flight.entry(payout.account_id).or_default();
            *sum = sum.saturating_add(payout.amount.get());
        }
        let accounts: BTreeSet<_> =
            state.funds.keys().chain(in_flight.keys()).copied().filter(|id| wanted(*id)).collect();
        let sums = |id: AccountId| FundsSums {
            account_id: id,
            stored: funds(&state, id).in_flight.get(),
            counted: in_flight.get(&id).copied().unwrap_or(0),
        };
        verification.take(&BooksPiece::Funds(accounts.into_iter().map(sums).collect()));
        Ok(())
    }
}
