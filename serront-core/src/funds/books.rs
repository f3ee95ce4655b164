//! The books, verified: every balance recomputed from the entries and compared with what is stored.
//!
//! A storage hands over what it holds in pieces, all of one snapshot ([`Bookkeeping::books`](crate::ports::Bookkeeping::books)); [`Verification`] adds them up
//! and says what differs. It changes nothing: what is wrong in the books is for people to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::funds::ledger::{Book, CodeTotals, EntryCode};
use crate::primitives::ids::{AccountId, TransactionId};

/// Sums of entries on one book, of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookSums {
    /// In whose account.
    pub account_id: AccountId,
    /// On which book.
    pub book: Book,
    /// Of which code.
    pub code: EntryCode,
    /// The sum of the debits, in rupiah.
    pub debits: i64,
    /// The sum of the credits, in rupiah.
    pub credits: i64,
}

/// A transaction whose legs, as far as a piece holds them, do not balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uneven {
    /// In whose account.
    pub account_id: AccountId,
    /// Which transaction.
    pub tx_id: TransactionId,
    /// Credits less debits, in rupiah.
    pub excess: i64,
}

/// What is stored of an account's payouts in flight, and what they add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FundsSums {
    /// Whose.
    pub account_id: AccountId,
    /// The sum that is stored; what is corrupt may be below zero.
    pub stored: i64,
    /// The sum of the payouts that are pending or in transit.
    pub counted: i64,
}

/// A piece of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksPiece {
    /// About how many entries will come: for a progress bar.
    Expected(u64),
    /// Entries, added up; no entry is in two pieces.
    Entries {
        /// How many.
        count: u64,
        /// Their sums.
        sums: Vec<BookSums>,
        /// The transactions among them of which a part may be in another piece, or that do not balance.
        uneven: Vec<Uneven>,
    },
    /// Stored totals of sellers' books, with what is not folded into them yet. Each account and code once.
    Totals(Vec<(AccountId, CodeTotals)>),
    /// Sums of payouts in flight: every account with a stored sum or with such payouts, once.
    Funds(Vec<FundsSums>),
    /// What of some accounts can't be read or added up.
    Unreadable(Vec<UnreadableBooks>),
}

/// A part of an account's books that can't be read, or whose sum is beyond an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableBooks {
    /// Whose; `None` if that can't be read either.
    pub account_id: Option<AccountId>,
    /// Which part: a column's name, never its content.
    pub what: &'static str,
}

/// Debits and credits, in rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sums {
    /// The debits.
    pub debits: i64,
    /// The credits.
    pub credits: i64,
}

impl Sums {
    pub(crate) const fn add(&mut self, debits: i64, credits: i64) {
        self.debits = self.debits.saturating_add(debits);
        self.credits = self.credits.saturating_add(credits);
    }

    /// Adds both, or answers `false` where one is beyond an integer.
    const fn add_within(&mut self, debits: i64, credits: i64) -> bool {
        let (Some(debits), Some(credits)) = (self.debits.checked_add(debits), self.credits.checked_add(credits)) else {
            return false;
        };
        (self.debits, self.credits) = (debits, credits);
        true
    }
}

/// Something in the books that is not as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Difference {
    /// A stored balance is not the sum of its entries.
    Balance {
        /// Whose.
        account_id: AccountId,
        /// Of which code.
        code: EntryCode,
        /// As stored, with what is not folded yet.
        stored: Sums,
        /// As the entries have it.
        counted: Sums,
    },
    /// A transaction's debits do not equal its credits.
    Transaction {
        /// In whose account.
        account_id: AccountId,
        /// Which transaction.
        tx_id: TransactionId,
        /// Credits less debits, in rupiah.
        excess: i64,
    },
    /// What is stored as in flight is not the sum of the payouts that are pending or in transit.
    InFlight {
        /// Whose.
        account_id: AccountId,
        /// As stored.
        stored: i64,
        /// As the payouts have it.
        counted: i64,
    },
    /// A part of an account's books can't be read, or its sum is beyond an integer: that account is not verified.
    Unreadable {
        /// Whose; `None` if that can't be read either.
        account_id: Option<AccountId>,
        /// Which part: a column's name, never its content.
        what: &'static str,
    },
}

impl Difference {
    /// In whose account; `None` if that can't be read.
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

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationReport {
    /// How many accounts have entries, a stored balance or payouts.
    pub accounts: usize,
    /// How many entries were added up.
    pub entries: u64,
    /// What is not as it has to be; empty for clean books.
    pub differences: Vec<Difference>,
}

/// Adds up the pieces of the books. Clones are one verification: whoever hands pieces over holds one, whoever asks how far it
/// is another.
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

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries added up so far.
    pub entries: u64,
    /// About how many there are.
    pub expected: u64,
}

impl Verification {
    // A poisoned lock is a panic's doing; there is none in here.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece in.
    pub fn take(&self, piece: &BooksPiece) {
        self.tally().take(piece);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.tally().progress
    }

    /// What was found in the pieces so far.
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
                    // The other books are the seller's, seen from the other side: a transaction that balances keeps them.
                    if *book == Book::Seller
                        && !self.counted.entry((*account_id, *code)).or_default().add_within(*debits, *credits)
                    {
                        self.beyond(*account_id, "entries");
                    }
                }
                for Uneven { account_id, tx_id, excess } in uneven {
                    let key = (*account_id, *tx_id);
                    match self.uneven.get(&key).copied().unwrap_or(0).checked_add(*excess) {
                        Some(0) => drop(self.uneven.remove(&key)),
                        Some(sum) => drop(self.uneven.insert(key, sum)),
                        None => self.beyond(*account_id, "transaction"),
                    }
                }
            }
            BooksPiece::Totals(totals) => {
                for (account_id, CodeTotals { code, debits, credits }) in totals {
                    if !self.stored.entry((*account_id, *code)).or_default().add_within(*debits, *credits) {
                        self.beyond(*account_id, "balance");
                    }
                }
            }
            BooksPiece::Funds(funds) => self.funds.extend(funds.iter().map(|sums| (sums.account_id, *sums))),
            BooksPiece::Unreadable(parts) => self.unreadable.extend(parts),
        }
    }

    /// A sum of this account is beyond an integer.
    fn beyond(&mut self, account_id: AccountId, what: &'static str) {
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
        // Of an account that can't be read whole, what else differs says nothing.
        let partly: BTreeSet<_> = self.unreadable.iter().filter_map(|part| part.account_id).collect();
        let differences = balances.chain(transactions).chain(in_flight);
        let differences =
            differences.filter(|difference| difference.account_id().is_none_or(|id| !partly.contains(&id)));
        let differences = differences.chain(unreadable).collect();
        VerificationReport { accounts: accounts.len(), entries: self.progress.entries, differences }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::ids::IdSequence;

    #[test]
    fn what_differs_is_said_and_nothing_else() {
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

    /// #16: a sum beyond an integer was cut to the largest one, on both sides alike, so nothing differed.
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
