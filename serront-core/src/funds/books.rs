//! Verification of the books: recomputes every balance from the entries and compares it with the stored one.
//!
//! A storage passes on its content in pieces of one snapshot
//! ([`Bookkeeping::books`](crate::ports::Bookkeeping::books)). [`Verification`] adds them up and reports differences.
//! It corrects nothing: people have to look into differences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::funds::ledger::{Book, CodeTotals, EntryCode};
use crate::primitives::ids::{AccountId, TransactionId};

/// Sums of entries with the same account, book and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct BookSums {
    pub account_id: AccountId,
    pub book: Book,
    pub code: EntryCode,
    /// In rupiah.
    pub debits: i64,
    /// In rupiah.
    pub credits: i64,
}

/// A transaction whose legs in one piece do not balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Uneven {
    pub account_id: AccountId,
    pub tx_id: TransactionId,
    /// Credits minus debits, in rupiah.
    pub excess: i64,
}

/// An account's payouts in flight: the stored sum and the recomputed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct FundsSums {
    pub account_id: AccountId,
    /// In rupiah; negative only if the row is corrupt.
    pub stored: i64,
    /// The sum of the payouts that are pending or in transit, in rupiah.
    pub counted: i64,
}

/// A piece of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksPiece {
    /// The approximate number of entries, for a progress bar.
    Expected(u64),
    /// Summed entries. Each entry is in exactly one piece.
    Entries {
        /// Number of entries.
        count: u64,
        /// Their sums.
        sums: Vec<BookSums>,
        /// Transactions that do not balance within this piece. Their other legs may be in another piece.
        uneven: Vec<Uneven>,
    },
    /// Stored totals of sellers' books, including those not folded yet. Each account and code occurs once.
    Totals(Vec<(AccountId, CodeTotals)>),
    /// Payouts in flight. Each account with a stored sum or such payouts occurs once.
    Funds(Vec<FundsSums>),
    /// Parts that cannot be read or added up.
    Unreadable(Vec<UnreadableBooks>),
}

/// A part of an account's books that cannot be read, or whose sum exceeds 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableBooks {
    /// `None` if the account's id is unreadable, too.
    pub account_id: Option<AccountId>,
    /// The column's or part's name, never its content.
    pub what: &'static str,
}

/// Debits and credits, in rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Sums {
    pub debits: i64,
    pub credits: i64,
}

impl Sums {
    pub(crate) const fn add(&mut self, debits: i64, credits: i64) {
        self.debits = self.debits.saturating_add(debits);
        self.credits = self.credits.saturating_add(credits);
    }

    /// Adds both; changes nothing and returns `false` on overflow.
    const fn try_add(&mut self, debits: i64, credits: i64) -> bool {
        let (Some(debits), Some(credits)) = (self.debits.checked_add(debits), self.credits.checked_add(credits)) else {
            return false;
        };
        (self.debits, self.credits) = (debits, credits);
        true
    }
}

/// An inconsistency in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub enum Difference {
    /// A stored balance differs from the sum of its entries.
    Balance {
        account_id: AccountId,
        code: EntryCode,
        /// Including totals that are not folded yet.
        stored: Sums,
        /// Recomputed from the entries.
        counted: Sums,
    },
    /// A transaction's debits and credits differ.
    Transaction {
        account_id: AccountId,
        tx_id: TransactionId,
        /// Credits minus debits, in rupiah.
        excess: i64,
    },
    /// The stored sum in flight differs from the sum of the payouts that are pending or in transit.
    InFlight {
        account_id: AccountId,
        /// In rupiah.
        stored: i64,
        /// Recomputed from the payouts, in rupiah.
        counted: i64,
    },
    /// A part of an account's books cannot be read, or its sum exceeds 64 bits. The account is not verified.
    Unreadable {
        /// `None` if the account's id is unreadable, too.
        account_id: Option<AccountId>,
        /// The column's or part's name, never its content.
        what: &'static str,
    },
}

impl Difference {
    /// `None` if the account's id is unreadable.
    #[must_use]
    pub const fn account_id(&self) -> Option<AccountId> {
        match self {
            Self::Balance { account_id, .. }
            | Self::Transaction { account_id, .. }
            | Self::InFlight { account_id, .. } => Some(*account_id),
            Self::Unreadable { account_id, .. } => *account_id,
        }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationReport {
    /// Accounts with entries, a stored balance or payouts.
    pub accounts: usize,
    /// Entries added up.
    pub entries: u64,
    /// Empty if the books are consistent.
    pub differences: Vec<Difference>,
}

/// Adds up the pieces of the books. Clones share one state, so one thread can feed pieces while another reads the
/// progress.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    tally: Arc<Mutex<Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    progress: Progress,
    counted: BTreeMap<(AccountId, EntryCode), Sums>,
    stored: BTreeMap<(AccountId, EntryCode), Sums>,
    uneven: BTreeMap<(AccountId, TransactionId), i64>,
    funds: BTreeMap<AccountId, FundsSums>,
    unreadable: BTreeSet<UnreadableBooks>,
}

/// The progress of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries added up so far.
    pub entries: u64,
    /// Approximate total.
    pub expected: u64,
}

impl Verification {
    // The lock is never poisoned: no code panics while holding it.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece.
    pub fn take(&self, piece: &BooksPiece) {
        self.tally().take(piece);
    }

    /// The progress so far.
    pub fn progress(&self) -> Progress {
        self.tally().progress
    }

    /// The result for the pieces so far.
    pub fn report(&self) -> VerificationReport {
        self.tally().report()
    }
}

impl Tally {
    fn take(&mut self, piece: &BooksPiece) {
        match piece {
            BooksPiece::Expected(expected) => self.progress.expected = *expected,
            BooksPiece::Entries { count, sums, uneven } => {
                self.progress.entries = self.progress.entries.saturating_add(*count);
                for BookSums { account_id, book, code, debits, credits } in sums {
                    // Only the seller's book has stored balances. Balanced transactions imply the other books' sums.
                    if *book == Book::Seller
                        && !self.counted.entry((*account_id, *code)).or_default().try_add(*debits, *credits)
                    {
                        self.overflowed(*account_id, "entries");
                    }
                }
                for Uneven { account_id, tx_id, excess } in uneven {
                    let key = (*account_id, *tx_id);
                    match self.uneven.get(&key).copied().unwrap_or(0).checked_add(*excess) {
                        Some(0) => drop(self.uneven.remove(&key)),
                        Some(sum) => drop(self.uneven.insert(key, sum)),
                        None => self.overflowed(*account_id, "transaction"),
                    }
                }
            }
            BooksPiece::Totals(totals) => {
                for (account_id, CodeTotals { code, debits, credits }) in totals {
                    if !self.stored.entry((*account_id, *code)).or_default().try_add(*debits, *credits) {
                        self.overflowed(*account_id, "balance");
                    }
                }
            }
            BooksPiece::Funds(funds) => self.funds.extend(funds.iter().map(|sums| (sums.account_id, *sums))),
            BooksPiece::Unreadable(parts) => self.unreadable.extend(parts),
        }
    }

    /// Records that a sum of this account exceeds 64 bits.
    fn overflowed(&mut self, account_id: AccountId, what: &'static str) {
        self.unreadable.insert(UnreadableBooks { account_id: Some(account_id), what });
    }

    fn report(&self) -> VerificationReport {
        let mut keys: Vec<_> = self.counted.keys().chain(self.stored.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut accounts: Vec<_> = keys.iter().map(|(account_id, _)| *account_id).collect();
        accounts.extend(self.funds.keys());
        accounts.extend(self.unreadable.iter().filter_map(|part| part.account_id));
        accounts.sort_unstable();
        accounts.dedup();
        let sums = |of: &BTreeMap<_, Sums>, key| of.get(key).copied().unwrap_or_default();
        let balances = keys.iter().filter_map(|key| {
            let (stored, counted) = (sums(&self.stored, key), sums(&self.counted, key));
            let (account_id, code) = *key;
            (stored != counted).then_some(Difference::Balance { account_id, code, stored, counted })
        });
        let transactions = self.uneven.iter().map(|(&(account_id, tx_id), &excess)| Difference::Transaction {
            account_id,
            tx_id,
            excess,
        });
        let in_flight = self.funds.values().filter(|sums| sums.stored != sums.counted).map(|sums| {
            let FundsSums { account_id, stored, counted } = *sums;
            Difference::InFlight { account_id, stored, counted }
        });
        let unreadable = self.unreadable.iter().map(|part| {
            let UnreadableBooks { account_id, what } = *part;
            Difference::Unreadable { account_id, what }
        });
        // For an account with unreadable parts, other differences are meaningless.
        let unverified: BTreeSet<_> = self.unreadable.iter().filter_map(|part| part.account_id).collect();
        let differences = balances.chain(transactions).chain(in_flight);
        let differences =
            differences.filter(|difference| difference.account_id().is_none_or(|id| !unverified.contains(&id)));
        let differences = differences.chain(unreadable).collect();
        VerificationReport { accounts: accounts.len(), entries: self.progress.entries, differences }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::ids::IdSequence;

    #[test]
    fn exactly_the_differences_are_reported() {
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let (account_id, other) = (ids.account(), ids.account());
        let (split, broken) = (ids.transaction(), ids.transaction());
        let (code, book) = (EntryCode::Sale, Book::Seller);
        let sums = |account_id, book, debits, credits| BookSums { account_id, book, code, debits, credits };
        let uneven = |tx_id, excess| Uneven { account_id, tx_id, excess };
        let verification = Verification::default();
        for piece in [
            BooksPiece::Expected(7),
            BooksPiece::Entries {
                count: 3,
                sums: vec![sums(account_id, book, 1, 10), sums(account_id, Book::PlugipayClearing, 10, 0)],
                uneven: vec![uneven(split, 10)],
            },
            BooksPiece::Entries {
                count: 4,
                sums: vec![sums(account_id, book, 0, 5), sums(other, book, 0, 4)],
                uneven: vec![uneven(broken, 5), uneven(split, -10)],
            },
            BooksPiece::Totals(vec![(account_id, CodeTotals { code, debits: 1, credits: 15 })]),
            BooksPiece::Funds(vec![
                FundsSums { account_id, stored: 3, counted: 3 },
                FundsSums { account_id: other, stored: 0, counted: 2 },
            ]),
        ] {
            verification.take(&piece);
        }
        let expected = VerificationReport {
            accounts: 2,
            entries: 7,
            differences: vec![
                Difference::Balance {
                    account_id: other,
                    code,
                    stored: Sums::default(),
                    counted: Sums { debits: 0, credits: 4 },
                },
                Difference::Transaction { account_id, tx_id: broken, excess: 5 },
                Difference::InFlight { account_id: other, stored: 0, counted: 2 },
            ],
        };
        assert_eq!(verification.report(), expected);
    }

    /// #16: sums were saturated at 64 bits on both sides, so an overflow showed no difference.
    #[test]
    fn an_account_that_cannot_be_added_up_is_named_and_others_are_verified() {
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let (huge, damaged, other) = (ids.account(), ids.account(), ids.account());
        let (code, book) = (EntryCode::Sale, Book::Seller);
        let entries = |account_id, credits| BooksPiece::Entries {
            count: 1,
            sums: vec![BookSums { account_id, book, code, debits: 0, credits }],
            uneven: Vec::new(),
        };
        let verification = Verification::default();
        for piece in [
            entries(huge, i64::MAX),
            entries(huge, 1),
            entries(other, 4),
            BooksPiece::Totals(vec![
                (huge, CodeTotals { code, debits: 0, credits: i64::MAX }),
                (other, CodeTotals { code, debits: 0, credits: 3 }),
            ]),
            BooksPiece::Unreadable(vec![
                UnreadableBooks { account_id: Some(damaged), what: "code" },
                UnreadableBooks { account_id: None, what: "account_id" },
            ]),
        ] {
            verification.take(&piece);
        }
        let report = verification.report();
        assert_eq!((report.accounts, report.entries), (3, 3));
        let (stored, counted) = (Sums { debits: 0, credits: 3 }, Sums { debits: 0, credits: 4 });
        let expected = [
            Difference::Balance { account_id: other, code, stored, counted },
            Difference::Unreadable { account_id: None, what: "account_id" },
            Difference::Unreadable { account_id: Some(huge), what: "entries" },
            Difference::Unreadable { account_id: Some(damaged), what: "code" },
        ];
        assert_eq!(report.differences, expected);
    }
}
