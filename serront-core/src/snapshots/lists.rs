//! Lists: the rows of pages, which rows are wanted, and where a page continues.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::changes::effect::{DeliveryRecord, EffectId, EffectRecord, EffectStatus};
use crate::funds::ledger::{EntryCode, LedgerEntry, SourceType};
use crate::funds::payout::Payout;
use crate::online::exception::PaymentException;
use crate::orders::order::{Order, OrderNumber, OrderedService, WorkStatus};
use crate::orders::payment::{Payment, PaymentStatus};
use crate::primitives::ids::{DeliveryId, EntryId, EventId, ExceptionId, PayoutId, ServiceId, SubscriptionId};
use crate::primitives::page::{Position, parse_position, position_text};
use crate::primitives::search::words_of;
use crate::primitives::time::Timestamp;
use crate::webhooks::event::EventType;

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
    pub service: OrderedService,
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
    use crate::primitives::ids::AccountId;
    use crate::primitives::page::{cursor, parse_cursor};

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
}
