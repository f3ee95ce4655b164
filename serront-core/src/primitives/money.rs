//! Money: whole rupiah, checked arithmetic, no floating point.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount outside 0 ..= 2^53−1 rupiah.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of rupiah from 0 to {}", Rupiah::MAX.get())]
pub struct AmountOutOfRange;

/// A whole, non-negative number of rupiah, at most 2^53−1: the largest integer that every JSON parser keeps exact (wire
/// contract, introduction).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Rupiah(i64);

impl Rupiah {
    /// Zero. As a quote: no quote yet.
    pub const ZERO: Self = Self(0);
    /// 2^53−1 rupiah.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Checks the range.
    ///
    /// # Errors
    /// [`AmountOutOfRange`] below 0 or above [`Rupiah::MAX`].
    pub const fn new(amount: i64) -> Result<Self, AmountOutOfRange> {
        if amount < 0 || amount > Self::MAX.0 {
            return Err(AmountOutOfRange);
        }
        Ok(Self(amount))
    }

    /// The number of rupiah.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether the amount is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; `None` above [`Rupiah::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }

    /// The difference; `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(|difference| Self::new(difference).ok())
    }
}

impl TryFrom<i64> for Rupiah {
    type Error = AmountOutOfRange;

    fn try_from(amount: i64) -> Result<Self, AmountOutOfRange> {
        Self::new(amount)
    }
}

impl From<Rupiah> for i64 {
    fn from(amount: Rupiah) -> Self {
        amount.0
    }
}

/// Formats the amount as usual in Indonesia: `Rp 750.000`.
impl fmt::Display for Rupiah {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        formatter.write_str("Rp ")?;
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                formatter.write_str(".")?;
            }
            write!(formatter, "{digit}")?;
        }
        Ok(())
    }
}

/// The ISO 4217 code of the only supported currency.
pub const CURRENCY: &str = "IDR";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_bounded_and_checked() {
        assert_eq!(Rupiah::new(-1), Err(AmountOutOfRange));
        assert_eq!(Rupiah::new(1 << 53), Err(AmountOutOfRange));
        let one = Rupiah::new(1).unwrap();
        assert_eq!(Rupiah::MAX.checked_add(one), None);
        assert_eq!(Rupiah::ZERO.checked_sub(one), None);
        assert_eq!(one.checked_add(one).map(Rupiah::get), Some(2));
        assert!(serde_json::from_str::<Rupiah>("1.0").is_err());
    }

    #[test]
    fn amounts_are_formatted_as_in_indonesia() {
        for (amount, text) in [
            (0, "Rp 0"),
            (999, "Rp 999"),
            (1_000, "Rp 1.000"),
            (750_000, "Rp 750.000"),
            (9_007_199_254_740_991, "Rp 9.007.199.254.740.991"),
        ] {
            assert_eq!(Rupiah::new(amount).unwrap().to_string(), text);
        }
    }
}
