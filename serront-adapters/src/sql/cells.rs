//! The cells of a row: the types of columns, and how each of the core's types is stored in one.
//!
//! A column is a text, an integer or a flag. Ids and enumerations are stored by name, times as milliseconds, nested
//! values as JSON.

use serde::de::DeserializeOwned;
use serde_json::{from_str, to_string};
use serront_core::accounts::account::Modules;
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::AccessToken;
use serront_core::changes::effect::EffectStatus;
use serront_core::funds::fee::FeeRate;
use serront_core::funds::ledger::{Book, Direction, EntryCode, SourceType};
use serront_core::funds::payout::{BankDetails, DefaultDetails};
use serront_core::online::checkout::CheckoutStatus;
use serront_core::online::inbox::InboxStatus;
use serront_core::online::provisioning::ProvisioningState;
use serront_core::orders::audit::Act;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::orders::instructions::PaymentSettings;
use serront_core::orders::order::{Language, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::{AdjustmentId, AuditId, EntryId, PaymentId, TransactionId};
use serront_core::primitives::image::ImageType;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::text::EmailAddress;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::Pricing;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::EventFilter;

use super::error::Failed;

pub(crate) type Read<T> = Result<T, Failed>;

/// The cells of a stored row, by column.
pub(crate) trait Cells {
    fn optional_text(&self, column: &str) -> Read<Option<&str>>;
    fn optional_int(&self, column: &str) -> Read<Option<i64>>;
    fn text(&self, column: &str) -> Read<&str>;
    fn int(&self, column: &str) -> Read<i64>;
    fn flag(&self, column: &str) -> Read<bool>;
}

#[cfg(feature = "postgres")]
impl Cells for sqlx::postgres::PgRow {
    fn optional_text(&self, column: &str) -> Read<Option<&str>> {
        Ok(sqlx::Row::try_get(self, column)?)
    }
    fn optional_int(&self, column: &str) -> Read<Option<i64>> {
        Ok(sqlx::Row::try_get(self, column)?)
    }
    fn text(&self, column: &str) -> Read<&str> {
        Ok(sqlx::Row::try_get(self, column)?)
    }
    fn int(&self, column: &str) -> Read<i64> {
        Ok(sqlx::Row::try_get(self, column)?)
    }
    fn flag(&self, column: &str) -> Read<bool> {
        Ok(sqlx::Row::try_get(self, column)?)
    }
}

/// A row inside another one, as a JSON array in the order of its table's columns.
#[derive(Debug)]
pub(crate) struct JsonRow {
    pub(crate) columns: &'static [&'static str],
    pub(crate) cells: Vec<serde_json::Value>,
}

impl JsonRow {
    fn cell(&self, column: &str) -> Read<&serde_json::Value> {
        let place = self.columns.iter().position(|name| *name == column);
        place.and_then(|place| self.cells.get(place)).ok_or(OTHER)
    }
}

/// The cell is missing, or of another type.
const OTHER: Failed = Failed::Unreadable("text");

impl Cells for JsonRow {
    fn optional_text(&self, column: &str) -> Read<Option<&str>> {
        let cell = self.cell(column)?;
        if cell.is_null() { Ok(None) } else { cell.as_str().map(Some).ok_or(OTHER) }
    }
    fn optional_int(&self, column: &str) -> Read<Option<i64>> {
        let cell = self.cell(column)?;
        if cell.is_null() { Ok(None) } else { cell.as_i64().map(Some).ok_or(OTHER) }
    }
    fn text(&self, column: &str) -> Read<&str> {
        self.optional_text(column)?.ok_or(OTHER)
    }
    fn int(&self, column: &str) -> Read<i64> {
        self.optional_int(column)?.ok_or(OTHER)
    }
    fn flag(&self, column: &str) -> Read<bool> {
        let cell = self.cell(column)?;
        // SQLite has integers for flags.
        cell.as_bool().or_else(|| cell.as_i64().map(|flag| flag != 0)).ok_or(OTHER)
    }
}

/// A value for one column.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(Option<String>),
    Int(Option<i64>),
    Flag(bool),
}

macro_rules! cell_from {
    ($($type:ty: |$value:ident| $cell:expr;)*) => {
        $(impl From<$type> for Cell {
            fn from($value: $type) -> Self {
                $cell
            }
        })*
    };
}
cell_from! {
    String: |text| Self::Text(Some(text));
    &str: |text| Self::Text(Some(text.to_owned()));
    Option<String>: |text| Self::Text(text);
    Option<&str>: |text| Self::Text(text.map(str::to_owned));
    &String: |text| Self::Text(Some(text.clone()));
    &Option<String>: |text| Self::Text(text.clone());
    i64: |number| Self::Int(Some(number));
    u32: |number| Self::Int(Some(i64::from(number)));
    Option<i64>: |number| Self::Int(number);
    Option<u16>: |number| Self::Int(number.map(i64::from));
    bool: |flag| Self::Flag(flag);
}

/// A type that is stored in one column.
pub(crate) trait Value: Sized {
    /// The cell of `None`.
    const NULL: Cell;

    fn cell(&self) -> Result<Cell, Failed>;

    /// Reads the column; `None` if it is null.
    fn optional(row: &impl Cells, column: &'static str) -> Read<Option<Self>>;

    fn read(row: &impl Cells, column: &'static str) -> Read<Self> {
        Self::optional(row, column)?.ok_or(Failed::Unreadable(column))
    }
}

impl<T: Value> Value for Option<T> {
    const NULL: Cell = T::NULL;

    fn cell(&self) -> Result<Cell, Failed> {
        self.as_ref().map_or(Ok(T::NULL), T::cell)
    }

    fn optional(row: &impl Cells, column: &'static str) -> Read<Option<Self>> {
        T::optional(row, column).map(Some)
    }

    fn read(row: &impl Cells, column: &'static str) -> Read<Self> {
        T::optional(row, column)
    }
}

impl Value for bool {
    /// No flag is optional.
    const NULL: Cell = Cell::Flag(false);

    fn cell(&self) -> Result<Cell, Failed> {
        Ok((*self).into())
    }

    fn optional(row: &impl Cells, column: &'static str) -> Read<Option<Self>> {
        Ok(Some(row.flag(column)?))
    }
}

/// Defines how types are stored as a text or an integer: the expression that writes a value, and the one that reads it,
/// which is `None` if it can't be read.
macro_rules! stored {
    ($kind:ident by $get:ident: $([$($type:ty),*] |$value:ident| $written:expr, |$found:ident| $read:expr;)*) => {
        $($(impl Value for $type {
            const NULL: Cell = Cell::$kind(None);

            fn cell(&self) -> Result<Cell, Failed> {
                let $value = self;
                Ok(Cell::$kind(Some($written)))
            }

            fn optional(row: &impl Cells, column: &'static str) -> Read<Option<Self>> {
                let Some($found) = row.$get(column)? else { return Ok(None) };
                let read: Option<Self> = $read;
                read.map(Some).ok_or(Failed::Unreadable(column))
            }
        })*)*
    };
}

stored! { Text by optional_text:
    [String] |text| text.clone(), |text| Some(text.to_owned());
    [
        AccountId, AdjustmentId, AuditId, CheckoutId, EffectId, EntryId, ExceptionId, InstallationId, KeyId, OrderId,
        PaymentId, PayoutId, ServiceId, SubscriptionId, TransactionId, UploadId
    ] |id| id.to_string(), |id| id.parse().ok();
    [
        Book, CheckoutStatus, Direction, EffectStatus, EntryCode, EventType, ExceptionKind, ExceptionStatus,
        InboxStatus, Language,
        PaymentStatus, PayoutStatus, ProviderEventId, SessionId, SourceType, WorkStatus
    ] |name| name.as_str().to_owned(), |name| Self::parse(name);
    [Tier] |tier| tier.as_str().to_owned(), |tier| tier.parse().ok();
    [EmailAddress, Slug] |word| word.as_str().to_owned(), |word| from_word(word);
    [ImageType] |image| json(image)?.trim_matches('"').to_owned(), |image| from_word(image);
    [FeeRate] |rate| rate.to_string(), |rate| Self::parse(rate);
    [AccessToken] |token| token.reveal().to_owned(), |token| Self::parse(token);
    [Digest256] |digest| digest.to_string(), |hex| Self::from_hex(hex);
    [SealedSecret] |secret| secret.as_stored().to_owned(), |secret| Some(Self::stored(secret.to_owned()));
    [
        Act, Actor, BankDetails, DefaultDetails, Modules, PaymentSettings, Pricing, ProvisioningState, Vec<EventFilter>
    ] |value| json(value)?, |value| from_str(value).ok();
}

stored! { Int by optional_int:
    [i64] |number| *number, |number| Some(number);
    [i32, u32] |number| i64::from(*number), |number| Self::try_from(number).ok();
    [Version] |version| i64::from(version.0), |version| u32::try_from(version).ok().map(Self);
    [Timestamp] |time| time.millis(), |millis| Some(Self::from_millis(millis));
    [Rupiah] |amount| amount.get(), |amount| Self::new(amount).ok();
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Failed> {
    to_string(value).map_err(|_| Failed::Refused("a value that can't be written as JSON"))
}

/// A value that was validated before it was stored, and that reads itself back from a JSON string.
fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}
