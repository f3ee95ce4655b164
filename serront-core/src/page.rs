//! Keyset pages: limits, opaque cursors, and what a page holds.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use crate::catalog::Service;
use crate::compare::folded;
use crate::effect::{DeliveryRecord, EffectId, EffectRecord, EffectStatus};
use crate::event::EventType;
use crate::exception::PaymentException;
use crate::ids::{AccountId, DeliveryId, EntryId, EventId, ExceptionId, PayoutId, ServiceId, SubscriptionId};
use crate::ledger::{EntryCode, LedgerEntry, SourceType};
use crate::order::{Order, OrderNumber, WorkStatus};
use crate::payment::{Payment, PaymentStatus};
use crate::payout::Payout;
use crate::receipt::Digest256;
use crate::rejection::Invalid;
use crate::signature::hex;
use crate::time::Timestamp;

/// Rows on a page if nothing is asked for.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most rows on a page.
pub const LIMIT_MAX: u32 = 100;
/// Longest search text, in characters.
pub const SEARCH_CHARACTERS_MAX: usize = 200;

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

/// Where the list of orders goes on: below this number.
impl Position for OrderNumber {
    const LIST: &'static str = "orders";

    fn to_text(&self) -> String {
        self.0.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident of $id:ident in $list:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name {
            /// When the row was made.
            pub created_at: Timestamp,
            /// Which row.
            pub id: $id,
        }

        impl Position for $name {
            const LIST: &'static str = $list;

            fn to_text(&self) -> String {
                position_text(self.created_at, &self.id)
            }

            fn from_text(text: &str) -> Option<Self> {
                let (created_at, id) = parse_position(text)?;
                Some(Self { created_at, id })
            }
        }
    )+};
}

positions! {
    /// Where the list of deliveries goes on: before this time and id.
    DeliveryPosition of DeliveryId in "deliveries";
    /// Where the list of ledger entries goes on: before this time and id.
    EntryPosition of EntryId in "entries";
    /// Where the list of exceptions goes on: before this time and id.
    ExceptionPosition of ExceptionId in "exceptions";
    /// Where the list of payouts goes on: before this time and id.
    PayoutPosition of PayoutId in "payouts";
}

/// Where the list of effects that were given up goes on: before this time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectPosition {
    /// When the effect was made.
    pub created_at: Timestamp,
    /// Which effect.
    pub id: EffectId,
}

/// By time, and then by the ids' texts: the kinds stand mixed in one list.
impl Ord for EffectPosition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.created_at.cmp(&other.created_at).then_with(|| self.id.to_string().cmp(&other.id.to_string()))
    }
}

impl PartialOrd for EffectPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Position for EffectPosition {
    const LIST: &'static str = "effects";

    fn to_text(&self) -> String {
        position_text(self.created_at, &self.id)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (created_at, id) = parse_position(text)?;
        Some(Self { created_at, id })
    }
}

/// A position of a time and an id, as text.
fn position_text(created_at: Timestamp, id: &impl Display) -> String {
    format!("{}.{id}", created_at.millis())
}

/// A position of a time and an id, from text.
fn parse_position<I: FromStr>(text: &str) -> Option<(Timestamp, I)> {
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
            bytes.extend(crate::signature::unhex::<1>(std::str::from_utf8(pair).ok()?)?);
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

/// Which orders are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderFilter {
    /// In this state of the work track.
    pub status: Option<WorkStatus>,
    /// In this state of the payment track.
    pub payment_status: Option<PaymentStatus>,
    /// Of this service.
    pub service_id: Option<ServiceId>,
    /// Each of these, as [`words_of`] makes them, is the order's number, or begins a word of the buyer's name or e-mail
    /// address, of the notes, or of the service's name.
    pub words: Vec<String>,
}

impl OrderFilter {
    /// Whether the words that are searched for are found in an order: the part of the filter that an index of words answers.
    #[must_use]
    pub fn has_words(&self, order: &Order, number: OrderNumber, service_name: &str) -> bool {
        let notes = order.notes.as_deref().unwrap_or_default();
        let texts = [&order.buyer.name, order.buyer.email.as_str(), notes, service_name];
        let words: Vec<_> = texts.into_iter().flat_map(words_of).collect();
        self.words.iter().all(|wanted| {
            number_in(wanted) == Some(number) || words.iter().any(|word| word.starts_with(wanted.as_str()))
        })
    }

    /// The orders' numbers among the words, each once.
    #[must_use]
    pub fn numbers(&self) -> Vec<OrderNumber> {
        let numbers: BTreeSet<_> = self.words.iter().filter_map(|word| number_in(word)).collect();
        numbers.into_iter().collect()
    }
}

/// The number that a word is, if it is one. A number is searched for whole: `5` is order 5, and not 50.
fn number_in(word: &str) -> Option<OrderNumber> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok().map(OrderNumber)).flatten()
}

/// Longest word that is told apart, in characters: more is cut, here as there.
const WORD_CHARACTERS_MAX: usize = 64;

/// The words of a text, [folded]: runs of letters and digits. An engine that indexes words indexes these.
#[must_use]
pub fn words_of(text: &str) -> Vec<String> {
    folded(text)
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARACTERS_MAX).collect())
        .collect()
}

/// Whether a text has a word that begins with this one.
#[must_use]
pub fn has_word(text: &str, beginning: &str) -> bool {
    words_of(text).iter().any(|word| word.starts_with(beginning))
}

/// Splits a search text into its words. A text without a letter or a digit searches for nothing.
///
/// # Errors
/// [`Invalid`] naming `q` above 200 characters or with control characters in it.
pub fn search_words(raw: &str) -> Result<Vec<String>, Invalid> {
    if raw.chars().count() > SEARCH_CHARACTERS_MAX || raw.chars().any(char::is_control) {
        return Err(Invalid::new("q", "must be at most 200 characters, none of them a control character"));
    }
    Ok(words_of(raw))
}

/// An order with what its list shows beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order: Order,
    /// Its number.
    pub number: OrderNumber,
    /// Its payment.
    pub payment: Payment,
    /// Its service.
    pub service: Service,
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// To this subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// This far.
    pub status: Option<EffectStatus>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Of this event.
    pub event_id: Option<EventId>,
}

/// Which ledger entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryFilter {
    /// Of this code.
    pub code: Option<EntryCode>,
    /// From a source of this kind.
    pub source_type: Option<SourceType>,
    /// From the source of this id.
    pub source_id: Option<String>,
    /// Posted then or later.
    pub from: Option<Timestamp>,
    /// Posted before then.
    pub before: Option<Timestamp>,
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

impl OrderRow {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> OrderNumber {
        self.number
    }
}

impl LedgerEntry {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> EntryPosition {
        EntryPosition { created_at: self.created_at, id: self.id }
    }
}

impl PaymentException {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> ExceptionPosition {
        ExceptionPosition { created_at: self.created_at, id: self.id }
    }
}

impl Payout {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> PayoutPosition {
        PayoutPosition { created_at: self.created_at, id: self.id }
    }
}

impl DeliveryRecord {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> DeliveryPosition {
        DeliveryPosition { created_at: self.created_at, id: self.id }
    }
}

impl EffectRecord {
    /// Where the list goes on after this row.
    #[must_use]
    pub const fn position(&self) -> EffectPosition {
        EffectPosition { created_at: self.created_at, id: self.id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(last: char) -> AccountId {
        format!("acc_01jtestvect0r000000000000{last}").parse().unwrap()
    }

    #[test]
    fn a_cursor_belongs_to_its_account_and_list() {
        let mine = cursor(account('1'), &OrderNumber(42));
        assert_eq!(parse_cursor(account('1'), Some(&mine)), Ok(Some(OrderNumber(42))));
        assert_eq!(parse_cursor::<OrderNumber>(account('1'), None), Ok(None));
        assert!(parse_cursor::<OrderNumber>(account('2'), Some(&mine)).is_err());
        assert!(parse_cursor::<DeliveryPosition>(account('1'), Some(&mine)).is_err());
        for at in 0..mine.len() {
            let mut forged = mine.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(parse_cursor::<OrderNumber>(account('1'), Some(&forged)).is_err(), "{forged}");
        }
        for bad in ["", "1", "é".repeat(20).as_str(), "zz00000000000000000"] {
            assert!(parse_cursor::<OrderNumber>(account('1'), Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_one_to_a_hundred() {
        assert_eq!(Limit::parse(None).unwrap().get(), 50);
        assert_eq!(Limit::parse(Some("100")).unwrap().get(), 100);
        for bad in ["0", "101", "-1", "+5", "1.0", "", "ten", "99999999999"] {
            assert!(Limit::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
