//! Keyset pagination: page sizes, opaque cursors, and pages of rows.

use std::fmt::Display;
use std::str::FromStr;

use crate::primitives::digest::{Digest256, hex, unhex};
use crate::primitives::ids::AccountId;
use crate::primitives::rejection::Invalid;
use crate::primitives::time::Timestamp;

/// Default page size, in rows.
pub const LIMIT_DEFAULT: u32 = 50;
/// Largest page size that a client may request.
pub const LIMIT_MAX: u32 = 100;

/// A page size: 1–100 rows from a client, up to 1,000 for exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// Page size of exports: larger than a client may request, so that a million rows take a thousand reads.
    pub const EXPORT: Self = Self(1_000);

    /// One row.
    pub const ONE: Self = Self(1);

    /// Parses the query parameter; the default is 50.
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

/// The last row of a page: the next page starts after it.
pub trait Position: Sized {
    /// The list's name; part of the cursor's checksum.
    const LIST: &'static str;
    /// Renders the position for a cursor.
    fn to_text(&self) -> String;
    /// Parses what [`Position::to_text`] rendered; `None` for any other text.
    fn from_text(text: &str) -> Option<Self>;
}

/// Renders a position that consists of a time and an id.
pub(crate) fn position_text(created_at: Timestamp, id: &impl Display) -> String {
    format!("{}.{id}", created_at.millis())
}

/// Parses what [`position_text`] rendered.
pub(crate) fn parse_position<I: FromStr>(text: &str) -> Option<(Timestamp, I)> {
    let (millis, id) = text.split_once('.')?;
    Some((Timestamp::from_millis(millis.parse().ok()?), id.parse().ok()?))
}

/// The cursor for the page after `position`. Opaque to clients. Its checksum covers the account and the list, so a
/// cursor of another account or list is refused, not misread.
#[must_use]
pub fn cursor<P: Position>(account: AccountId, position: &P) -> String {
    let text = position.to_text();
    let sum = checksum::<P>(account, &text);
    format!("{}{sum}", hex(text.as_bytes()))
}

/// Parses a cursor; `None` without one.
///
/// # Errors
/// [`Invalid`] naming `cursor` if [`cursor`] did not make it for the same account and list.
pub fn parse_cursor<P: Position>(account: AccountId, raw: Option<&str>) -> Result<Option<P>, Invalid> {
    let Some(raw) = raw else { return Ok(None) };
    let position = || {
        let (digits, sum) = raw.split_at_checked(raw.len().checked_sub(CHECKSUM_DIGITS)?)?;
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        for pair in digits.as_bytes().chunks(2) {
            bytes.extend(unhex::<1>(std::str::from_utf8(pair).ok()?)?);
        }
        let text = String::from_utf8(bytes).ok()?;
        (checksum::<P>(account, &text) == sum).then(|| P::from_text(&text)).flatten()
    };
    position().map(Some).ok_or_else(|| Invalid::new("cursor", "must be a cursor that this list returned"))
}

const CHECKSUM_DIGITS: usize = 16;

fn checksum<P: Position>(account: AccountId, text: &str) -> String {
    let digest = Digest256::of(format!("{}\n{account}\n{text}", P::LIST).as_bytes());
    digest.to_string().chars().take(CHECKSUM_DIGITS).collect()
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// Whether another page follows.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Makes a page from rows that were read with `limit + 1`: an extra row shows that more follow, and is dropped.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, limit: Limit) -> Self {
        let wanted = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        Self { rows, has_more }
    }

    /// The position of the last row; `None` if no page follows.
    pub fn position<P>(&self, of: impl FnOnce(&T) -> P) -> Option<P> {
        self.rows.last().filter(|_| self.has_more).map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_range_from_1_to_100() {
        assert_eq!(Limit::parse(None).unwrap().get(), 50);
        assert_eq!(Limit::parse(Some("100")).unwrap().get(), 100);
        for bad in ["0", "101", "-1", "+5", "1.0", "", "ten", "99999999999"] {
            assert!(Limit::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
