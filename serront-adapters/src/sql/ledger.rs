//! The ledger, as far as it is the same for both engines: what a posting adds to the seller's totals, and from which parts
//! of the index a page is merged.

use std::collections::BTreeMap;

use serront_core::change::Write;
use serront_core::exception::ExceptionStatus;
use serront_core::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::page::EntryFilter;

use super::error::Failed;

/// The columns of an entry, in the order in which they are written.
pub(crate) const ENTRY: &[&str] = &[
    "entry_id",
    "account_id",
    "tx_id",
    "book",
    "code",
    "direction",
    "amount",
    "source_type",
    "source_id",
    "description",
    "created_at",
];

/// Sums of one code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) debits: i64,
    pub(crate) credits: i64,
}

/// What the postings among these writes add to the seller's totals, by code.
pub(crate) fn added(writes: &[Write]) -> Result<BTreeMap<EntryCode, Totals>, Failed> {
    let mut added = BTreeMap::<EntryCode, Totals>::new();
    let legs =
        writes.iter().filter_map(|write| if let Write::Post(legs) = write { Some(legs) } else { None }).flatten();
    for LedgerEntry { code, direction, amount, .. } in legs.filter(|leg| leg.book == Book::Seller) {
        let totals = added.entry(*code).or_default();
        let sum = match direction {
            Direction::Debit => &mut totals.debits,
            Direction::Credit => &mut totals.credits,
        };
        *sum = sum.checked_add(amount.get()).ok_or(Failed::Refused("postings that are too large"))?;
    }
    Ok(added)
}

/// The parts that a page of entries is merged from, each read in order from the index.
pub(crate) fn entry_parts(filter: &EntryFilter) -> Vec<(EntryCode, SourceType)> {
    let codes = EntryCode::ALL.into_iter().filter(|code| filter.code.is_none_or(|wanted| wanted == *code));
    let sources = || SourceType::ALL.into_iter().filter(|of| filter.source_type.is_none_or(|wanted| wanted == *of));
    codes.flat_map(|code| sources().map(move |source| (code, source))).collect()
}

/// The states that a page of exceptions is merged from.
pub(crate) fn exception_parts(status: Option<ExceptionStatus>) -> Vec<ExceptionStatus> {
    status.map_or_else(|| ExceptionStatus::ALL.to_vec(), |status| vec![status])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_merged_from_what_the_filter_leaves_open() {
        let parts = |code, source_type| entry_parts(&EntryFilter { code, source_type, source_id: None }).len();
        let (code, source) = (Some(EntryCode::Sale), Some(SourceType::Payout));
        assert_eq!([parts(None, None), parts(code, None), parts(None, source), parts(code, source)], [12, 3, 4, 1]);
    }
}
