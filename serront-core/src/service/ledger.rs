//! The seller's reads of the balance and the ledger.

use super::{Commands, Failure};
use crate::ports::{PortError, Storage};
use crate::primitives::ids::AccountId;
use crate::primitives::page::{self, Limit};
use crate::snapshots::EntryFilter;
use crate::views::{BalanceView, EntryView};

/// A page of ledger entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    /// The entries, newest first.
    pub entries: Vec<EntryView>,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

impl<S: Storage + ?Sized> Commands<'_, S> {
    /// The seller's balance, by code. It does not check the payment module; see [`Commands::payment_module`].
    pub async fn balance(&self, id: AccountId) -> Result<BalanceView, Failure> {
        let totals = self.storage.balance(id).await?;
        Ok(BalanceView::of(&totals).ok_or_else(|| PortError::permanent("the balance overflows"))?)
    }

    /// A page of the legs on the seller's balance, newest first. It does not check the payment module.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](crate::Rejection::Invalid) for the cursor.
    pub async fn entries(
        &self,
        id: AccountId,
        filter: &EntryFilter,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<EntriesPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.entries(id, filter, after, limit).await?;
        let position = page.position(crate::funds::ledger::LedgerEntry::position);
        Ok(EntriesPage {
            entries: page.rows.iter().map(EntryView::from).collect(),
            cursor: position.map(|position| page::cursor(id, &position)),
        })
    }
}
