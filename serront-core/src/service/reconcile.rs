//! Reconciliation: reads a merchant's ledger at Plugipay and ours, page by page.

use std::collections::HashSet;

use super::online::readable;
use super::{Failure, OnlinePayments};
use crate::decide;
use crate::funds::ledger::LedgerEntry;
use crate::online::plugipay::{self, Unreadable};
use crate::online::reconcile::{ProviderPage, Reconciled, Reconciliation, ReconciliationReport};
use crate::ports::WorkStorage;
use crate::primitives::ids::AccountId;
use crate::primitives::page::Limit;
use crate::primitives::provider::MerchantId;
use crate::primitives::rejection::Rejection;
use crate::snapshots::EntryFilter;

impl<S: WorkStorage + ?Sized> OnlinePayments<'_, S> {
    /// Compares the merchant's ledger at Plugipay with ours. It changes nothing on either side.
    ///
    /// `known` are the pages that an interrupted call passed to `progress`, in order; this call continues after the
    /// last one. Money that arrives during the comparison may appear on one side only.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account; [`Rejection::NotConfigured`] without a key for Plugipay, or for an
    /// account that was never provisioned; [`Failure::Provider`].
    pub async fn reconcile(
        &self,
        account_id: AccountId,
        known: &[ProviderPage],
        progress: &mut (dyn FnMut(Reconciled<'_>) + Send),
    ) -> Result<ReconciliationReport, Failure> {
        let account = self.commands().account(account_id).await?;
        let merchant =
            decide::merchant(&account).ok_or(Rejection::NotConfigured("this account was never set up at Plugipay"))?;
        let mut reconciliation = Reconciliation::default();
        known.iter().for_each(|page| reconciliation.theirs(page));
        let mut next = known.last().map_or(Some(None), |page| page.next.clone().map(Some));
        // A list whose cursor repeats would never end.
        let mut seen: HashSet<String> = known.iter().filter_map(|page| page.next.clone()).collect();
        while let Some(cursor) = next {
            let page = self.ledger_page(&merchant, cursor.as_deref()).await?;
            if page.next.as_ref().is_some_and(|next| !seen.insert(next.clone())) {
                return readable(Err(Unreadable("cursor: it repeats")));
            }
            reconciliation.theirs(&page);
            progress(Reconciled::Page(&page));
            next = page.next.map(Some);
        }
        self.our_entries(account_id, &mut reconciliation, progress).await?;
        Ok(reconciliation.report(account_id, merchant))
    }

    async fn ledger_page(&self, merchant: &MerchantId, cursor: Option<&str>) -> Result<ProviderPage, Failure> {
        let answer = self.call(&plugipay::list_ledger(merchant, cursor)).await?;
        Ok(ProviderPage { entries: readable(plugipay::ledger_entries(&answer.data))?, next: answer.cursor })
    }

    async fn our_entries(
        &self,
        account_id: AccountId,
        reconciliation: &mut Reconciliation,
        progress: &mut (dyn FnMut(Reconciled<'_>) + Send),
    ) -> Result<(), Failure> {
        let (mut after, mut read) = (None, 0_u64);
        loop {
            let page = self.storage().entries(account_id, &EntryFilter::default(), after, Limit::EXPORT).await?;
            reconciliation.ours(&page.rows);
            read = read.saturating_add(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
            progress(Reconciled::Ours(read));
            match page.position(LedgerEntry::position) {
                None => return Ok(()),
                next => after = next,
            }
        }
    }
}
