//! Keyset pages: limits, opaque cursors, and a page of rows.

use std::fmt::Display;
use std::str::FromStr;

use crate::primitives::digest::{Digest256, hex};
use crate::primitives::ids::AccountId;
use crate::primitives::rejection::Invalid;
use crate::primitives::time::Timestamp;

/// Rows on a page if nothing is asked for.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most rows on a page.
pub const LIMIT_MAX: u32 = 100;

/// How many rows a page holds: 1–100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// What an export reads at once: more than a page on the wire, so that a million rows are a thousand reads.
    pub const EXPORT: Self = Self(1_000);

    /// A single row.
    pub const ONE: Self = Self(1);

    /// Parses the query's text; nothing given means 50.
    ///
    /// # Errors
    /// [`Invalid`] naming `limit`.
    pub fn parse(raw: Option<&str>) -> Result<Self, Invalid> {
        let Some(raw) = raw else {
            return Ok(Self(LIMIT_DEFAULT));
        };
        raw.parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit) && raw.bytes().all(|byte| byte.is_ascii_digit()))
            .map(Self)
            .ok_or_else(|| Invalid::new("limit", "must be a whole number from 1 to 100"))
    }

    /// The number of rows.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where a list goes on: after this row.
pub trait Position: Sized {
    /// The list that it belongs to; part of the cursor's checksum.
    const LIST: &'static str;
    /// As text.
    fn to_text(&self) -> String;
    /// From text.
    fn from_text(text: &str) -> Option<Self>;
}

/// A position of a time and an id, as text.
pub(crate) fn position_text(created_at: Timestamp, id: &impl Display) -> String {
    format!("{}.{id}", created_at.millis())
}

/// A position of a time and an id, from text.
pub(crate) fn parse_position<I: FromStr>(text: &str) -> Option<(Timestamp, I)> {
    let (millis, id) = text.split_once('.')?;
    Some((Timestamp::from_millis(millis.parse().ok()?), id.parse().ok()?))
}

/// The cursor that goes on after `position` in this account's list. Opaque to callers; it carries a checksum over the
/// account and the list, so that another account's or another list's cursor is refused rather than misread.
#[must_use]
pub fn cursor<P: Position>(account: AccountId, position: &P) -> String {
    let text = position.to_text();
    let sum = checksum::<P>(account, &text);
    format!("{}{sum}", hex(text.as_bytes()))
}

/// The position that a cursor of this account's list stands for.
///
/// # Errors
/// [`Invalid`] naming `cursor` if it was not made by [`cursor`] for the same account and list.
pub fn parse_cursor<P: Position>(account: AccountId, raw: Option<&str>) -> Result<Option<P>, Invalid> {
    let Some(raw) = raw else { return Ok(None) };
    let position = || {
        let (digits, sum) = raw.split_at_checked(raw.len().checked_sub(CHECKSUM_DIGITS)?)?;
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        for pair in digits.as_bytes().chunks(2) {
            bytes.extend(crate::primitives::digest::unhex::<1>(std::str::from_utf8(pair).ok()?)?);
        }
        let text = String::from_utf8(bytes).ok()?;
        (checksum::<P>(account, &text) == sum).then(|| P::from_text(&text)).flatten()
    };
    position().map(Some).ok_or_else(|| Invalid::new("cursor", "must be one that this list answered"))
}

const CHECKSUM_DIGITS: usize = 16;

fn checksum<P: Position>(account: AccountId, text: &str) -> String {
    let digest = Digest256::of(format!("{}\n{account}\n{text}", P::LIST).as_bytes());
    digest.to_string().chars().take(CHECKSUM_DIGITS).collect()
}

/// A page of rows, and whether more follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Makes a page from one row more than wanted, if there is one.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, limit: Limit) -> Self {
        let wanted = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        Self { rows, has_more }
    }

    /// The position after the last row, if more rows follow.
    pub fn position<P>(&self, of: impl FnOnce(&T) -> P) -> Option<P> {
        self.rows.last().filter(|_| self.has_more).map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_one_to_a_hundred() {
        assert_eq!(Limit::parse(None).unwrap().get(), 50);
        assert_eq!(Limit::parse(Some("100")).unwrap().get(), 100);
        for bad in ["0", "101", "-1", "+5", "1.0", "", "ten", "99999999999"] {
            assert!(Limit::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
