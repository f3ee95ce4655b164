//! The balance: what the seller has, what is on its way to the bank, and what can be drawn on.
//!
//! Credits commute, debits serialize: a settlement writes nothing here; a payout asked for, moved along or paid, and an
//! adjustment, write the account's [`Funds`], so two of them never spend the same rupiah.

use crate::funds::ledger::CodeTotals;
use crate::primitives::ids::AccountId;
use crate::primitives::money::Rupiah;
use crate::primitives::version::Version;

/// The row that all debits of an account write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    /// Whose.
    pub account_id: AccountId,
    /// How often it was written; [`Version::ABSENT`] before the first time.
    pub version: Version,
    /// The sum of the payouts that are pending or in transit.
    pub in_flight: Rupiah,
}

impl Funds {
    /// Of an account without a payout or an adjustment.
    #[must_use]
    pub const fn none(account_id: AccountId) -> Self {
        Self { account_id, version: Version::ABSENT, in_flight: Rupiah::ZERO }
    }

    /// The same, written once more, with so much in flight.
    #[must_use]
    pub const fn with(self, in_flight: Rupiah) -> Self {
        Self { version: self.version.next(), in_flight, ..self }
    }
}

/// A seller's balance, in rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Credits less debits on the seller's book; below zero after an adjustment of more than there was.
    pub ledger: i64,
    /// The sum of the payouts that are pending or in transit.
    pub in_flight: Rupiah,
}

impl Balance {
    /// Of these sums; `None` if they are larger than can be told.
    #[must_use]
    pub fn of(totals: &[CodeTotals], funds: &Funds) -> Option<Self> {
        let ledger =
            totals.iter().try_fold(0_i64, |sum, code| sum.checked_add(code.credits.checked_sub(code.debits)?))?;
        Some(Self { ledger, in_flight: funds.in_flight })
    }

    /// What can be drawn on: below zero if more is in flight than there is.
    #[must_use]
    pub const fn available(self) -> i64 {
        self.ledger.saturating_sub(self.in_flight.get())
    }

    /// Whether so much can be drawn.
    #[must_use]
    pub const fn covers(self, amount: Rupiah) -> bool {
        self.available() >= amount.get()
    }
}
