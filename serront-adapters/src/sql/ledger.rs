//! What a posting adds to the seller's totals, and the parts of the index that a page of entries is merged from.

use std::collections::BTreeMap;

use serront_core::changes::change::Write;
use serront_core::funds::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{EntryFilter, EntryPosition};

use super::error::Failed;

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

/// The bounds of a page of entries in their index: from a time, and below a time and an id. There is one bound on each
/// side. With two, an engine may start at the wrong one and skip all newer rows one by one.
pub(crate) fn entry_bounds(filter: &EntryFilter, after: Option<EntryPosition>) -> (i64, (i64, String)) {
    let from = filter.from.map_or(i64::MIN, Timestamp::millis);
    // The empty text is below every id.
    let before = (filter.before.map_or(i64::MAX, Timestamp::millis), String::new());
    let below = match after {
        None => before,
        Some(EntryPosition { created_at, id }) => before.min((created_at.millis(), id.to_string())),
    };
    (from, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_merged_from_what_the_filter_leaves_open() {
        let parts = |code, source_type| entry_parts(&EntryFilter { code, source_type, ..EntryFilter::default() }).len();
        let (code, source) = (Some(EntryCode::Sale), Some(SourceType::Payout));
        assert_eq!([parts(None, None), parts(code, None), parts(None, source), parts(code, source)], [12, 3, 4, 1]);
    }

    #[test]
    fn a_page_goes_on_below_its_position_or_below_the_time_that_is_asked_for() {
        let id = "le_01jtestvect0r0000000000000";
        let time = |millis| Some(Timestamp::from_millis(millis));
        let after =
            |millis| Some(EntryPosition { created_at: Timestamp::from_millis(millis), id: id.parse().unwrap() });
        for (from, before, after, expected) in [
            (None, None, None, (i64::MIN, (i64::MAX, ""))),
            (time(3), time(7), None, (3, (7, ""))),
            (time(3), None, after(5), (3, (5, id))),
            (None, time(7), after(5), (i64::MIN, (5, id))),
            (None, time(5), after(5), (i64::MIN, (5, ""))),
            (None, time(4), after(5), (i64::MIN, (4, ""))),
        ] {
            let filter = EntryFilter { from, before, ..EntryFilter::default() };
            let (from, (millis, id)) = entry_bounds(&filter, after);
            assert_eq!((from, (millis, id.as_str())), expected);
        }
    }
}
