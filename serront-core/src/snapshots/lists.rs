//! Lists: the rows of a page, the filters that select them, and the position at which the next page continues.

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

/// The list of orders continues below this number.
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
    ($($(#[$meta:meta])* $name:ident { $id:ident } after $row:ident in $list:literal;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of the row")]
        pub struct $name {
            pub created_at: Timestamp,
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

        impl $row {
            /// The position after which the list continues if this is the last row of a page.
            #[must_use]
            pub const fn position(&self) -> $name {
                $name { created_at: self.created_at, id: self.id }
            }
        }
    )+};
}

positions! {
    /// The list of deliveries continues before this time and id.
    #[derive(PartialOrd, Ord)]
    DeliveryPosition { DeliveryId } after DeliveryRecord in "deliveries";
    /// The list of ledger entries continues before this time and id.
    #[derive(PartialOrd, Ord)]
    EntryPosition { EntryId } after LedgerEntry in "entries";
    /// The list of exceptions continues before this time and id.
    #[derive(PartialOrd, Ord)]
    ExceptionPosition { ExceptionId } after PaymentException in "exceptions";
    /// The list of payouts continues before this time and id.
    #[derive(PartialOrd, Ord)]
    PayoutPosition { PayoutId } after Payout in "payouts";
    /// The list of effects that were given up continues before this time and id.
    EffectPosition { EffectId } after EffectRecord in "effects";
}

/// By time, then by the text of the id, because the list holds ids of several kinds.
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

/// Selects orders. A field that is `None` selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the other fields are those of the order")]
pub struct OrderFilter {
    pub status: Option<WorkStatus>,
    pub payment_status: Option<PaymentStatus>,
    pub service_id: Option<ServiceId>,
    /// Words as [`words_of`] makes them. Each must be the order's number, or begin a word of the buyer's name or e-mail
    /// address, of the notes, or of the service's name.
    pub words: Vec<String>,
}

impl OrderFilter {
    /// Whether an order contains the filter's words: the part of the filter that an index of words answers.
    #[must_use]
    pub fn has_words(&self, order: &Order, number: OrderNumber, service_name: &str) -> bool {
        let notes = order.notes.as_deref().unwrap_or_default();
        let texts = [&order.buyer.name, order.buyer.email.as_str(), notes, service_name];
        let words: Vec<_> = texts.into_iter().flat_map(words_of).collect();
        self.words.iter().all(|wanted| {
            number_in(wanted) == Some(number) || words.iter().any(|word| word.starts_with(wanted.as_str()))
        })
    }

    /// The order numbers among the words, each once.
    #[must_use]
    pub fn numbers(&self) -> Vec<OrderNumber> {
        let numbers: BTreeSet<_> = self.words.iter().filter_map(|word| number_in(word)).collect();
        numbers.into_iter().collect()
    }
}

/// The number that a word consists of. A number matches only as a whole: `5` finds order 5, not 50.
fn number_in(word: &str) -> Option<OrderNumber> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok().map(OrderNumber)).flatten()
}

/// A row of the list of orders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are documented on their types")]
pub struct OrderRow {
    pub order: Order,
    pub number: OrderNumber,
    pub payment: Payment,
    pub service: OrderedService,
}

impl OrderRow {
    /// The position after which the list continues if this is the last row of a page.
    #[must_use]
    pub const fn position(&self) -> OrderNumber {
        self.number
    }
}

/// Selects deliveries. A field that is `None` selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the delivery")]
pub struct DeliveryFilter {
    pub subscription_id: Option<SubscriptionId>,
    pub status: Option<EffectStatus>,
    pub event_type: Option<EventType>,
    pub event_id: Option<EventId>,
}

/// Selects ledger entries. A field that is `None` selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the other fields are those of the entry")]
pub struct EntryFilter {
    pub code: Option<EntryCode>,
    pub source_type: Option<SourceType>,
    pub source_id: Option<String>,
    /// Posted at this time or later.
    pub from: Option<Timestamp>,
    /// Posted before this time.
    pub before: Option<Timestamp>,
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
