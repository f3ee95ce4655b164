//! Reconciliation: compares a merchant's ledger at Plugipay with ours, by session. Plugipay's ledger is authoritative
//! for the money it holds; ours records what we have observed. Reconciliation reports differences and changes nothing.
//!
//! ```text
//! Plugipay's ledger, page by page ─▶ ProviderPage ─▶ Reconciliation ◀─ our entries, page by page
//!                                    (can be stored)      └─▶ report
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::funds::books::Sums;
use crate::funds::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use crate::online::plugipay::ProviderEntry;
use crate::primitives::ids::AccountId;
use crate::primitives::money::CURRENCY;
use crate::primitives::provider::MerchantId;

/// A page of the merchant's ledger at Plugipay, reduced to what is compared. A caller that stores the pages can resume
/// an interrupted reconciliation after the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderPage {
    /// The entries, oldest first.
    pub entries: Vec<ProviderEntry>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// The sums of one code on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeComparison {
    /// The two sides use different codes for some entries.
    pub code: String,
    /// At Plugipay.
    pub theirs: Sums,
    /// In our ledger, on the seller's book.
    pub ours: Sums,
}

/// A session that is in one ledger only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct OneSided {
    pub session_id: String,
    /// The credited amount, in rupiah.
    pub amount: i64,
}

/// A session with different amounts in the two ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Unequal {
    pub session_id: String,
    /// At Plugipay, in rupiah.
    pub theirs: i64,
    /// In our ledger, in rupiah.
    pub ours: i64,
}

/// The result of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct ReconciliationReport {
    pub account_id: AccountId,
    pub merchant_id: MerchantId,
    /// Entries at Plugipay.
    pub their_entries: u64,
    /// Our entries on the seller's book.
    pub our_entries: u64,
    /// Entries at Plugipay in other currencies, which are excluded from all sums.
    pub foreign_entries: u64,
    /// Sessions with equal amounts.
    pub matched: u64,
    /// Paid sessions that are only in Plugipay's ledger, perhaps because we have not processed them yet.
    pub missing_here: Vec<OneSided>,
    /// Sessions that are only in our ledger.
    pub missing_there: Vec<OneSided>,
    pub unequal: Vec<Unequal>,
    pub by_code: Vec<CodeComparison>,
}

impl ReconciliationReport {
    /// Whether all sessions agree. The sums by code may still differ, for instance by a refund at Plugipay that has no
    /// adjustment here.
    #[must_use]
    pub const fn agrees(&self) -> bool {
        self.missing_here.is_empty() && self.missing_there.is_empty() && self.unequal.is_empty()
    }
}

/// Compares the two ledgers.
#[derive(Debug, Clone, Default)]
pub struct Reconciliation {
    their_entries: u64,
    our_entries: u64,
    foreign_entries: u64,
    sessions: BTreeMap<String, Arrived>,
    by_code: BTreeMap<String, (Sums, Sums)>,
}

/// The amounts of one session, in rupiah.
#[derive(Debug, Clone, Copy, Default)]
struct Arrived {
    /// Credited at Plugipay with code `sale`.
    sale: Option<i64>,
    /// Credited at Plugipay with any code.
    credited: Option<i64>,
    /// Credited in our ledger.
    ours: Option<i64>,
}

/// Debit and credit.
const fn sides(direction: Direction, amount: i64) -> (i64, i64) {
    match direction {
        Direction::Debit => (amount, 0),
        Direction::Credit => (0, amount),
    }
}

fn add(sum: &mut Option<i64>, amount: i64) {
    *sum = Some(sum.unwrap_or(0).saturating_add(amount));
}

impl Reconciliation {
    /// Adds a page of Plugipay's ledger. A session's amount is what was credited with code `sale`. The contract does
    /// not define Plugipay's codes, so for a session without such an entry it is everything that was credited.
    pub fn theirs(&mut self, page: &ProviderPage) {
        for ProviderEntry { code, direction, amount, currency, session_id } in &page.entries {
            self.their_entries = self.their_entries.saturating_add(1);
            if currency != CURRENCY {
                self.foreign_entries = self.foreign_entries.saturating_add(1);
                continue;
            }
            let (debits, credits) = sides(*direction, *amount);
            self.by_code.entry(code.clone()).or_default().0.add(debits, credits);
            if let (Direction::Credit, Some(session_id)) = (direction, session_id) {
                let session = self.sessions.entry(session_id.clone()).or_default();
                add(&mut session.credited, credits);
                if code == EntryCode::Sale.as_str() {
                    add(&mut session.sale, credits);
                }
            }
        }
    }

    /// Adds entries of our ledger; ignores other books than the seller's.
    pub fn ours<'e>(&mut self, entries: impl IntoIterator<Item = &'e LedgerEntry>) {
        for entry in entries.into_iter().filter(|entry| entry.book == Book::Seller) {
            self.our_entries = self.our_entries.saturating_add(1);
            let (debits, credits) = sides(entry.direction, entry.amount.get());
            self.by_code.entry(entry.code.as_str().to_owned()).or_default().1.add(debits, credits);
            if entry.code == EntryCode::Sale && entry.source_type == SourceType::CheckoutSession {
                add(&mut self.sessions.entry(entry.source_id.clone()).or_default().ours, credits);
            }
        }
    }

    /// Finishes the comparison.
    #[must_use]
    pub fn report(self, account_id: AccountId, merchant_id: MerchantId) -> ReconciliationReport {
        let mut report = ReconciliationReport {
            account_id,
            merchant_id,
            their_entries: self.their_entries,
            our_entries: self.our_entries,
            foreign_entries: self.foreign_entries,
            matched: 0,
            missing_here: Vec::new(),
            missing_there: Vec::new(),
            unequal: Vec::new(),
            by_code: Vec::new(),
        };
        for (session_id, Arrived { sale, credited, ours }) in self.sessions {
            match (sale.or(credited), ours) {
                (Some(theirs), Some(ours)) if theirs == ours => report.matched += 1,
                (Some(theirs), Some(ours)) => report.unequal.push(Unequal { session_id, theirs, ours }),
                (Some(amount), None) => report.missing_here.push(OneSided { session_id, amount }),
                (None, Some(amount)) => report.missing_there.push(OneSided { session_id, amount }),
                (None, None) => {}
            }
        }
        report.by_code =
            self.by_code.into_iter().map(|(code, (theirs, ours))| CodeComparison { code, theirs, ours }).collect();
        report
    }
}

/// The progress of a reconciliation.
#[derive(Debug)]
pub enum Reconciled<'r> {
    /// A page of Plugipay's ledger was read. Store it to be able to resume after it.
    Page(&'r ProviderPage),
    /// The number of our entries read so far.
    Ours(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funds::ledger;
    use crate::primitives::ids::IdSequence;
    use crate::primitives::money::Rupiah;
    use crate::primitives::provider::SessionId;
    use crate::primitives::time::Timestamp;

    #[test]
    fn one_sided_and_unequal_sessions_are_reported() {
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let account_id = ids.account();
        let now = Timestamp::from_millis(0);
        let mut sale = |session: &str, amount| {
            let session = SessionId::parse(session).unwrap();
            let gross = Rupiah::new(amount).unwrap();
            ledger::sale(account_id, &session, gross, Rupiah::new(1).unwrap(), "Order 1", now, &mut ids)
        };
        let ours: Vec<_> = [("cs_both", 10), ("cs_ours", 20), ("cs_other", 30)]
            .into_iter()
            .flat_map(|(id, at)| sale(id, at))
            .collect();
        let entry = |code: &str, direction, amount, currency: &str, session: Option<&str>| ProviderEntry {
            code: code.into(),
            direction,
            amount,
            currency: currency.into(),
            session_id: session.map(str::to_owned),
        };
        let (credit, debit) = (Direction::Credit, Direction::Debit);
        let page = ProviderPage {
            entries: vec![
                entry("sale", credit, 10, "IDR", Some("cs_both")),
                entry("clearing", debit, 10, "IDR", Some("cs_both")),
                entry("fee_income", credit, 1, "IDR", Some("cs_both")),
                entry("sale", credit, 31, "IDR", Some("cs_other")),
                entry("payment", credit, 40, "IDR", Some("cs_theirs")),
                entry("sale", credit, 7, "USD", Some("cs_foreign")),
                entry("refund", debit, 3, "IDR", None),
            ],
            next: None,
        };
        let mut reconciliation = Reconciliation::default();
        reconciliation.theirs(&page);
        reconciliation.ours(&ours);
        let merchant_id = MerchantId::parse("m_1").unwrap();
        let report = reconciliation.report(account_id, merchant_id.clone());
        let one = |session_id: &str, amount| vec![OneSided { session_id: session_id.into(), amount }];
        let sums = |debits, credits| Sums { debits, credits };
        let code = |code: &str, theirs, ours| CodeComparison { code: code.into(), theirs, ours };
        assert!(!report.agrees());
        let expected = ReconciliationReport {
            account_id,
            merchant_id,
            their_entries: 7,
            our_entries: 6,
            foreign_entries: 1,
            matched: 1,
            missing_here: one("cs_theirs", 40),
            missing_there: one("cs_ours", 20),
            unequal: vec![Unequal { session_id: "cs_other".into(), theirs: 31, ours: 30 }],
            by_code: vec![
                code("clearing", sums(10, 0), sums(0, 0)),
                code("fee_income", sums(0, 1), sums(0, 0)),
                code("module_fee", sums(0, 0), sums(3, 0)),
                code("payment", sums(0, 40), sums(0, 0)),
                code("refund", sums(3, 0), sums(0, 0)),
                code("sale", sums(0, 41), sums(0, 60)),
            ],
        };
        assert_eq!(report, expected);
    }
}
