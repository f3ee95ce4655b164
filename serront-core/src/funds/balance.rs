//! The balance: the seller's money in the ledger, payouts in flight, and the available rest.
//!
//! Credits commute, debits serialize. A settlement does not write the account's [`Funds`]. An adjustment does, and so
//! does a payout when it is requested, cancelled, failed or paid. So two of them cannot spend the same rupiah.

use crate::funds::ledger::CodeTotals;
use crate::primitives::ids::AccountId;
use crate::primitives::money::Rupiah;
use crate::primitives::version::Version;

/// The row that every debit of an account writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Funds {
    pub account_id: AccountId,
    /// [`Version::ABSENT`] until the first payout or adjustment.
    pub version: Version,
    /// The sum of the payouts that are pending or in transit.
    pub in_flight: Rupiah,
}

impl Funds {
    /// The funds of an account that has had no payout or adjustment.
    #[must_use]
    pub const fn none(account_id: AccountId) -> Self {
        Self { account_id, version: Version::ABSENT, in_flight: Rupiah::ZERO }
    }

    /// The next version, with a new sum in flight.
    #[must_use]
    pub const fn with(self, in_flight: Rupiah) -> Self {
        Self { version: self.version.next(), in_flight, ..self }
    }
}

/// A seller's balance, in rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Credits minus debits on the seller's book; an adjustment can make it negative.
    pub ledger: i64,
    /// The sum of the payouts that are pending or in transit.
    pub in_flight: Rupiah,
}

impl Balance {
    /// Adds up the totals; `None` on overflow.
    #[must_use]
    pub fn of(totals: &[CodeTotals], funds: &Funds) -> Option<Self> {
        let ledger =
            totals.iter().try_fold(0_i64, |sum, code| sum.checked_add(code.credits.checked_sub(code.debits)?))?;
        Some(Self { ledger, in_flight: funds.in_flight })
    }

    /// The amount available for payouts; negative if more is in flight than in the ledger.
    #[must_use]
    pub const fn available(self) -> i64 {
        self.ledger.saturating_sub(self.in_flight.get())
    }

    /// Whether a payout of this amount is possible.
    #[must_use]
    pub const fn covers(self, amount: Rupiah) -> bool {
        self.available() >= amount.get()
    }
}
