//! The fee on online payments.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::primitives::money::Rupiah;

/// The fee on online payments, as a fraction of the amount: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeRate(Decimal);

impl FeeRate {
    /// The published rate: 0.3 %.
    pub const DEFAULT: Self = Self(Decimal::from_parts(3, 0, 0, false, 3));

    /// Checks the range; `None` outside 0 to 1.
    #[must_use]
    pub fn new(rate: Decimal) -> Option<Self> {
        (Decimal::ZERO..=Decimal::ONE).contains(&rate).then_some(Self(rate))
    }

    /// Parses an exact decimal such as `0.003`; `None` if it is malformed or outside 0 to 1.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Decimal::from_str_exact(text).ok().and_then(Self::new)
    }

    /// The fee on this amount, rounded half away from zero to the rupiah.
    #[must_use]
    pub fn of(self, amount: Rupiah) -> Rupiah {
        let fee = Decimal::from(amount.get()).checked_mul(self.0).unwrap_or_default();
        let whole = fee.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        // The rate is at most 1, so the fee is in range.
        i64::try_from(whole).ok().and_then(|fee| Rupiah::new(fee).ok()).unwrap_or_default()
    }
}

impl fmt::Display for FeeRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), formatter)
    }
}
