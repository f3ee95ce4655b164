//! The tables whose rows are values of the core. Each is named here once, with its key, its columns and their types.
//!
//! A definition has a variable for each column, of the same name, and one pattern of the core's type. The pattern
//! destructures a value to write it, and is the expression that builds one from a row. So a new field is a compile
//! error here, and the number of cells is always the number of columns.
//!
//! The columns that only one engine has, such as order numbers and leases, are in that engine's statements.

use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::AccessToken;
use serront_core::changes::change::SessionName;
use serront_core::funds::balance::Funds;
use serront_core::funds::fee::FeeRate;
use serront_core::funds::ledger::{Book, Direction, EntryCode, SourceType};
use serront_core::funds::payout::{BankDetails, DefaultBankAccount, DefaultDetails, PayoutState};
use serront_core::online::checkout::{Checkout, CheckoutState, CheckoutStatus, Session};
use serront_core::online::exception::ExceptionState;
use serront_core::online::inbox::InboxStatus;
use serront_core::online::provisioning::ProvisioningState;
use serront_core::orders::audit::Act;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::orders::instructions::PaymentSettings;
use serront_core::orders::order::{Buyer, Language, Order, OrderState, OrderedService, WorkStatus};
use serront_core::orders::payment::{Payment, PaymentState, PaymentStatus};
use serront_core::orders::receipt::Receipt;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::{AdjustmentId, AuditId, EntryId, PaymentId, TransactionId};
use serront_core::primitives::image::ImageType;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::text::EmailAddress;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::{Offer, Pricing};
use serront_core::shop::storefront::{Profile, Storefront};
use serront_core::webhooks::subscription::{EventFilter, Subscription, SubscriptionState};

use super::cells::{Cell, Cells, Read, Value};
use super::error::Failed;

/// Columns of a table that are written together; the key comes first.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) table: &'static str,
    /// The table's name, or another one for columns that a special write sets.
    pub(crate) name: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) key_len: usize,
    /// Further assignments of an update, as SQL.
    pub(crate) also_set: &'static str,
}

impl Columns {
    pub(crate) fn key(&self) -> &'static [&'static str] {
        self.names.get(..self.key_len).unwrap_or_default()
    }

    /// The column that identifies a row within its account; `None` if an account has one row.
    pub(crate) fn id(&self) -> Option<&'static str> {
        self.key().iter().copied().find(|column| *column != "account_id")
    }

    /// The columns that an update changes, with their places.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let columns = self.names.iter().copied().enumerate().skip(self.key_len);
        columns.filter(|(_, column)| *column != "created_at")
    }
}

/// A type whose values are rows of one table.
pub(crate) trait Record: Sized {
    /// What an insertion writes.
    const COLUMNS: &'static Columns;
    /// What an update of its state writes; only the key if the record has no separate state.
    const STATE_COLUMNS: &'static Columns;
    /// The columns of a `SELECT`, from the table's alias.
    const SELECT: &'static str;
    /// The cells of the key.
    type Key: IntoIterator<Item = Cell>;
    /// The cells of an insertion that the value does not hold.
    type More: IntoIterator<Item = Cell>;

    /// The cells of an insertion.
    fn cells(&self, account_id: AccountId, more: Self::More) -> Result<Vec<Cell>, Failed>;

    fn read(row: &impl Cells) -> Read<Self>;

    /// Reads a row of a left join: `None` if there is none.
    fn optional(row: &impl Cells) -> Read<Option<Self>>;
}

/// The state of a record, which changes as a whole.
pub(crate) trait State: Sized {
    type Of: Record;

    fn add_to(&self, cells: &mut Vec<Cell>) -> Result<(), Failed>;

    fn read(row: &impl Cells) -> Read<Self>;
}

/// A column, of a table with this alias, as it is named in a row.
macro_rules! column {
    ($alias:literal "" $column:ident) => {
        concat!($alias, ".", stringify!($column))
    };
    ($alias:literal $prefix:literal $column:ident) => {
        concat!($alias, ".", stringify!($column), " AS ", $prefix, stringify!($column))
    };
}

/// Joins constant texts to one.
macro_rules! joined {
    ($($part:expr),* $(,)?) => {{
        const PARTS: &[&str] = &[$($part),*];
        const BYTES: [u8; $crate::sql::tables::joined_len(PARTS)] = $crate::sql::tables::joined_bytes(PARTS);
        const TEXT: &str = match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => "",
        };
        TEXT
    }};
}
pub(crate) use joined;

#[allow(clippy::indexing_slicing, reason = "runs in constants only, where it can't be out of bounds")]
pub(crate) const fn joined_len(parts: &[&str]) -> usize {
    let (mut len, mut part) = (0, 0);
    while part < parts.len() {
        len += parts[part].len();
        part += 1;
    }
    len
}

#[allow(clippy::indexing_slicing, reason = "runs in constants only, where it can't be out of bounds")]
pub(crate) const fn joined_bytes<const LEN: usize>(parts: &[&str]) -> [u8; LEN] {
    let (mut bytes, mut place, mut part) = ([0; LEN], 0, 0);
    while part < parts.len() {
        let mut of_part = 0;
        while of_part < parts[part].len() {
            bytes[place] = parts[part].as_bytes()[of_part];
            (place, of_part) = (place + 1, of_part + 1);
        }
        part += 1;
    }
    bytes
}

/// Counts, in a constant.
macro_rules! count {
    ($($item:ident)*) => {
        <[&str]>::len(&[$(stringify!($item)),*])
    };
}

/// Defines a table: its name, its alias in a `SELECT`, the prefix of its columns' names in a row, the core's type as a
/// pattern, the columns of the key, and the others. `account` binds the account for a type that does not hold it.
/// `more` are further columns of an insertion. `state` is the part that updates write, and `optional` a part of that,
/// which is `None` if its first column is null.
macro_rules! table {
    (
        $table:ident as $alias:tt $prefix:tt,
        $record:ident $shape:tt
        [$first:ident: $first_type:ty $(, $key:ident: $key_type:ty)*]
        [$($column:ident: $type:ty),* $(,)?]
        $(account $account:ident)?
        $(more [$($more:ident),*])?
        $(state $state:ident: $state_type:ident $state_shape:tt
            [$($of_state:ident: $of_state_type:ty),* $(,)?]
            $(also_set $also_set:literal)?
            $(optional $option:ident: $inner:ident $inner_shape:tt
                [$of_first:ident: $of_first_type:ty $(, $of_inner:ident: $of_inner_type:ty)* $(,)?])?
        )?
    ) => {
        impl Record for $record {
            const COLUMNS: &'static Columns = &Columns {
                table: stringify!($table),
                name: stringify!($table),
                names: &[
                    stringify!($first) $(, stringify!($key))* $(, stringify!($column))*
                    $( $(, stringify!($of_state))* $(, stringify!($of_first) $(, stringify!($of_inner))*)? )?
                    $( $(, stringify!($more))* )?
                ],
                key_len: 1 + count!($($key)*),
                also_set: "",
            };
            const STATE_COLUMNS: &'static Columns = &Columns {
                table: stringify!($table),
                name: stringify!($table),
                names: &[
                    stringify!($first) $(, stringify!($key))*
                    $( $(, stringify!($of_state))* $(, stringify!($of_first) $(, stringify!($of_inner))*)? )?
                ],
                key_len: 1 + count!($($key)*),
                also_set: concat!("" $($(, $also_set)?)?),
            };
            const SELECT: &'static str = concat!(
                column!($alias $prefix $first)
                $(, ", ", column!($alias $prefix $key))*
                $(, ", ", column!($alias $prefix $column))*
                $(
                    $(, ", ", column!($alias $prefix $of_state))*
                    $(
                        , ", ", column!($alias $prefix $of_first)
                        $(, ", ", column!($alias $prefix $of_inner))*
                    )?
                )?
            );
            type Key = [Cell; 1 + count!($($key)*)];
            type More = [Cell; count!($($($more)*)?)];

            fn cells(&self, account_id: AccountId, more: Self::More) -> Result<Vec<Cell>, Failed> {
                let _of = &account_id;
                $(let $account = &account_id;)?
                let $record $shape = self;
                let mut cells = Vec::with_capacity(Self::COLUMNS.names.len());
                cells.push(<$first_type as Value>::cell($first)?);
                $(cells.push(<$key_type as Value>::cell($key)?);)*
                $(cells.push(<$type as Value>::cell($column)?);)*
                $($state.add_to(&mut cells)?;)?
                cells.extend(more);
                Ok(cells)
            }

            fn read(row: &impl Cells) -> Read<Self> {
                let $first = <$first_type as Value>::read(row, concat!($prefix, stringify!($first)))?;
                $(let $key = <$key_type as Value>::read(row, concat!($prefix, stringify!($key)))?;)*
                $(let $column = <$type as Value>::read(row, concat!($prefix, stringify!($column)))?;)*
                $(let $state = <$state_type as State>::read(row)?;)?
                $(let _: AccountId = $account;)?
                Ok($record $shape)
            }

            fn optional(row: &impl Cells) -> Read<Option<Self>> {
                let is_there = row.optional_text(concat!($prefix, stringify!($first)))?.is_some();
                is_there.then(|| Self::read(row)).transpose()
            }
        }

        $(impl State for $state_type {
            type Of = $record;

            fn add_to(&self, cells: &mut Vec<Cell>) -> Result<(), Failed> {
                let $state_type $state_shape = self;
                $(cells.push(<$of_state_type as Value>::cell($of_state)?);)*
                $(match $option {
                    None => cells.extend([
                        <$of_first_type as Value>::NULL $(, <$of_inner_type as Value>::NULL)*
                    ]),
                    Some($inner $inner_shape) => {
                        cells.push(<$of_first_type as Value>::cell($of_first)?);
                        $(cells.push(<$of_inner_type as Value>::cell($of_inner)?);)*
                    }
                })?
                Ok(())
            }

            fn read(row: &impl Cells) -> Read<Self> {
                $(let $of_state = <$of_state_type as Value>::read(row, concat!($prefix, stringify!($of_state)))?;)*
                $(let first = <$of_first_type as Value>::optional(row, concat!($prefix, stringify!($of_first)))?;
                let $option = match first {
                    None => None,
                    Some($of_first) => {
                        $(let $of_inner =
                            <$of_inner_type as Value>::read(row, concat!($prefix, stringify!($of_inner)))?;)*
                        Some($inner $inner_shape)
                    }
                };)?
                Ok($state_type $state_shape)
            }
        })?
    };
}

table! { accounts as "a" "a_",
    Account { id: account_id, name, created_at, state }
    [account_id: AccountId]
    [name: String, created_at: Timestamp]
    state state: AccountState { version, tier, modules, plugipay_account_id }
    [version: Version, tier: Tier, modules: Modules, plugipay_account_id: Option<String>]
}

table! { storefronts as "f" "f_",
    Storefront {
        account_id, version,
        profile: Profile { slug, display_name, bio, payment, hide_branding, published },
        created_at, updated_at,
    }
    [account_id: AccountId]
    [
        version: Version, slug: Slug, display_name: String, bio: Option<String>, payment: PaymentSettings,
        hide_branding: bool, published: bool, created_at: Timestamp, updated_at: Timestamp,
    ]
}

table! { services as "s" "s_",
    Service {
        id: service_id, account_id, version,
        offer: Offer { slug, name, description, pricing, active, sort_order },
        created_at, updated_at,
    }
    [service_id: ServiceId, account_id: AccountId]
    [
        version: Version, slug: Slug, name: String, description: Option<String>, pricing: Pricing, active: bool,
        sort_order: i32, created_at: Timestamp, updated_at: Timestamp,
    ]
}

/// What an order shows of its service: columns of a table named `s`.
pub(crate) const ORDERED_SERVICE: &str =
    "s.service_id AS s_service_id, s.slug AS s_slug, s.name AS s_name, s.pricing AS s_pricing";

pub(crate) fn ordered_service(row: &impl Cells) -> Read<OrderedService> {
    Ok(OrderedService {
        id: ServiceId::read(row, "s_service_id")?,
        slug: Slug::read(row, "s_slug")?,
        name: String::read(row, "s_name")?,
        pricing_type: Pricing::read(row, "s_pricing")?.kind(),
    })
}

table! { orders as "o" "",
    Order {
        id: order_id, account_id, service_id, access_token,
        buyer: Buyer { name: buyer_name, email: buyer_email, phone: buyer_phone },
        package_name, preferred_date, notes, language, created_at, state,
    }
    [order_id: OrderId, account_id: AccountId]
    [
        service_id: ServiceId, access_token: AccessToken, buyer_name: String, buyer_email: EmailAddress,
        buyer_phone: Option<String>, package_name: Option<String>, preferred_date: Option<String>,
        notes: Option<String>, language: Language, created_at: Timestamp,
    ]
    more [access_token_hash]
    state state: OrderState { version, status, payment_status, quoted_price, updated_at }
    [
        version: Version, status: WorkStatus, payment_status: PaymentStatus, quoted_price: Rupiah,
        updated_at: Timestamp,
    ]
}

table! { payments as "p" "p_",
    Payment { id: payment_id, order_id, state }
    [payment_id: PaymentId, account_id: AccountId, order_id: OrderId]
    []
    account account_id
    state state: PaymentState { status, amount_due, receipt }
    [status: PaymentStatus, amount_due: Rupiah]
    optional receipt: Receipt {
        upload_id: receipt_upload_id, image_type: receipt_type, bytes: receipt_bytes, sha256: receipt_sha256,
        uploaded_at: receipt_at,
    }
    [
        receipt_upload_id: UploadId, receipt_type: ImageType, receipt_bytes: u32, receipt_sha256: Digest256,
        receipt_at: Timestamp,
    ]
}

table! { api_keys as "k" "",
    KeyRecord { id: key_id, account_id, name, prefix, hash, created_at, last_used_at }
    [key_id: KeyId, account_id: AccountId]
    [
        name: String, prefix: String, hash: Digest256, created_at: Timestamp, last_used_at: Option<Timestamp>,
    ]
}

table! { subscriptions as "u" "",
    Subscription { id: subscription_id, account_id, created_at, state }
    [subscription_id: SubscriptionId, account_id: AccountId]
    [created_at: Timestamp]
    more [secret]
    state state: SubscriptionState { version, url, events, active }
    [version: Version, url: String, events: Vec<EventFilter>, active: bool]
    also_set ", failures = 0, failing_since = NULL"
}

table! { audit as "t" "",
    AuditRecord { id: audit_id, account_id, order_id, payment_id, at, actor, act, note }
    [audit_id: AuditId, account_id: AccountId]
    [order_id: OrderId, payment_id: PaymentId, at: Timestamp, actor: Actor, act: Act, note: Option<String>]
}

table! { checkouts as "h" "",
    Checkout { id: checkout_id, account_id, order_id, payment_id, amount, fee_rate, request, created_at, state }
    [checkout_id: CheckoutId, account_id: AccountId, order_id: OrderId]
    [payment_id: PaymentId, amount: Rupiah, fee_rate: FeeRate, request: String, created_at: Timestamp]
    state state: CheckoutState { status, session, unneeded, ended_at }
    [status: CheckoutStatus, unneeded: bool, ended_at: Option<Timestamp>]
    optional session: Session { id: session_id, hosted_url, expires_at }
    [session_id: SessionId, hosted_url: String, expires_at: Timestamp]
}

table! { sessions as "c" "",
    SessionName { id: session_id, version, checkout_id }
    [session_id: SessionId, account_id: AccountId]
    [version: Version, checkout_id: Option<CheckoutId>]
    account account_id
}

table! { provisioning as "v" "v_",
    Provisioning { account_id, version, state }
    [account_id: AccountId]
    [version: Version, state: ProvisioningState]
}

table! { ledger_entries as "e" "",
    LedgerEntry {
        id: entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, description, created_at,
    }
    [entry_id: EntryId, account_id: AccountId]
    [
        tx_id: TransactionId, book: Book, code: EntryCode, direction: Direction, amount: Rupiah,
        source_type: SourceType, source_id: String, description: Option<String>, created_at: Timestamp,
    ]
}

table! { exceptions as "x" "",
    PaymentException { id: exception_id, account_id, kind, order_id, session_id, amount, created_at, state }
    [exception_id: ExceptionId, account_id: AccountId]
    [kind: ExceptionKind, order_id: OrderId, session_id: SessionId, amount: Rupiah, created_at: Timestamp]
    state state: ExceptionState { version, status, note, adjustment_id, resolved_at }
    [
        version: Version, status: ExceptionStatus, note: Option<String>, adjustment_id: Option<AdjustmentId>,
        resolved_at: Option<Timestamp>,
    ]
}

table! { inbox as "i" "",
    InboxRecord { account_id, event_id, event_type, session_id, body, received_at, status }
    [event_id: ProviderEventId, account_id: AccountId]
    [
        event_type: String, session_id: Option<SessionId>, body: String, received_at: Timestamp, status: InboxStatus,
    ]
}

table! { funds as "funds" "funds_",
    Funds { account_id, version, in_flight }
    [account_id: AccountId]
    [version: Version, in_flight: Rupiah]
}

table! { bank_accounts as "b" "b_",
    DefaultBankAccount { account_id, version, details }
    [account_id: AccountId]
    [version: Version, details: DefaultDetails]
}

table! { payouts as "t" "",
    Payout { id: payout_id, account_id, amount, bank, note, created_at, state }
    [payout_id: PayoutId, account_id: AccountId]
    [amount: Rupiah, bank: BankDetails, note: Option<String>, created_at: Timestamp]
    state state: PayoutState { version, status, reference, failure_reason, processed_at, completed_at, updated_at }
    [
        version: Version, status: PayoutStatus, reference: Option<String>, failure_reason: Option<String>,
        processed_at: Option<Timestamp>, completed_at: Option<Timestamp>, updated_at: Timestamp,
    ]
}

table! { payout_audit as "t" "",
    PayoutAudit { id: audit_id, account_id, payout_id, at, actor, from: from_status, to: to_status, note }
    [audit_id: AuditId, account_id: AccountId]
    [
        payout_id: PayoutId, at: Timestamp, actor: Actor, from_status: Option<PayoutStatus>, to_status: PayoutStatus,
        note: Option<String>,
    ]
}

table! { adjustments as "t" "",
    Adjustment { id: adjustment_id, account_id, direction, amount, reason, reference, actor, created_at }
    [adjustment_id: AdjustmentId, account_id: AccountId]
    [
        direction: Direction, amount: Rupiah, reason: String, reference: String, actor: Actor,
        created_at: Timestamp,
    ]
}

table! { discards as "t" "",
    Discard { id: audit_id, account_id, effect_id, at, actor, reason }
    [audit_id: AuditId, account_id: AccountId]
    [effect_id: EffectId, at: Timestamp, actor: Actor, reason: String]
}
