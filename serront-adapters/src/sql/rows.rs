//! Rows to domain types. Enumerations are their wire names; nested values are JSON.

use std::str::FromStr;

use serde_json::from_str;
use serront_core::accounts::account::{Account, AccountState};
use serront_core::accounts::key::{AccessToken, KeyRecord};
use serront_core::changes::effect::{Attempt, DeliveryRecord, EffectStatus};
use serront_core::changes::idempotency::Kept;
use serront_core::funds::fee::FeeRate;
use serront_core::online::checkout::{Checkout, CheckoutState, CheckoutStatus, Session};
use serront_core::online::inbox::{InboxRecord, InboxStatus};
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::{Buyer, Language, Order, OrderNumber, OrderState, WorkStatus};
use serront_core::orders::payment::{Payment, PaymentState, PaymentStatus};
use serront_core::orders::receipt::Receipt;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::image::ImageType;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::provider::{ProviderEventId, SessionId};
use serront_core::primitives::text::{EmailAddress, Slug};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::{Offer, Service};
use serront_core::shop::storefront::{Profile, Storefront};
use serront_core::snapshots::OrderRow;
use serront_core::snapshots::{
    AccountSnapshot, CheckoutSnapshot, OrderSnapshot, ServiceSnapshot, SessionSnapshot, ShopSnapshot,
};
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::{Streak, Subscription, SubscriptionState};

use super::error::Failed;

type Read<T> = Result<T, Failed>;

/// The columns of a row, whatever the engine: every column of ours is one of three types.
pub(crate) trait Cells {
    fn text(&self, column: &str) -> Result<&str, sqlx::Error>;
    fn optional_text(&self, column: &str) -> Result<Option<&str>, sqlx::Error>;
    fn int(&self, column: &str) -> Result<i64, sqlx::Error>;
    fn optional_int(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error>;
}

macro_rules! cells {
    ($row:ty) => {
        impl Cells for $row {
            fn text(&self, column: &str) -> Result<&str, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
            fn optional_text(&self, column: &str) -> Result<Option<&str>, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
            fn int(&self, column: &str) -> Result<i64, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
            fn optional_int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
            fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
        }
    };
}
#[cfg(feature = "postgres")]
cells!(sqlx::postgres::PgRow);
#[cfg(feature = "sqlite")]
cells!(sqlx::sqlite::SqliteRow);

pub(super) fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

pub(crate) fn id<T: FromStr>(row: &impl Cells, column: &'static str) -> Read<T> {
    row.text(column)?.parse().map_err(|_| Failed::Unreadable(column))
}

pub(super) fn optional_id<T: FromStr>(row: &impl Cells, column: &'static str) -> Read<Option<T>> {
    row.optional_text(column)?.map(|text| text.parse().map_err(|_| Failed::Unreadable(column))).transpose()
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &impl Cells, column: &'static str) -> Read<T> {
    from_str(row.text(column)?).map_err(|_| Failed::Unreadable(column))
}

/// A value that was validated before it was stored, and whose type reads itself back from its JSON.
pub(super) fn word<T: serde::de::DeserializeOwned>(row: &impl Cells, column: &'static str) -> Read<T> {
    serde_json::from_value(serde_json::Value::String(row.text(column)?.to_owned()))
        .map_err(|_| Failed::Unreadable(column))
}

pub(super) fn time(row: &impl Cells, column: &'static str) -> Read<Timestamp> {
    Ok(Timestamp::from_millis(row.int(column)?))
}

pub(super) fn optional_time(row: &impl Cells, column: &'static str) -> Read<Option<Timestamp>> {
    Ok(row.optional_int(column)?.map(Timestamp::from_millis))
}

pub(crate) fn whole<T: TryFrom<i64>>(row: &impl Cells, column: &'static str) -> Read<T> {
    T::try_from(row.int(column)?).map_err(|_| Failed::Unreadable(column))
}

pub(super) fn version(row: &impl Cells, column: &'static str) -> Read<Version> {
    Ok(Version(whole(row, column)?))
}

pub(super) fn digest(row: &impl Cells, column: &'static str) -> Read<Digest256> {
    Digest256::from_hex(row.text(column)?).ok_or(Failed::Unreadable(column))
}

/// Columns of an account, for a table named `a`.
macro_rules! account_columns {
    () => {
        "a.account_id AS a_account_id, a.name AS a_name, a.created_at AS a_created_at, a.version AS a_version, \
         a.tier AS a_tier, a.modules AS a_modules, a.plugipay_account_id AS a_plugipay_account_id"
    };
}
/// Columns of a storefront, for a table named `f`.
macro_rules! storefront_columns {
    () => {
        "f.account_id AS f_account_id, f.version AS f_version, f.slug AS f_slug, f.display_name AS f_display_name, \
         f.bio AS f_bio, f.payment AS f_payment, f.hide_branding AS f_hide_branding, f.published AS f_published, \
         f.created_at AS f_created_at, f.updated_at AS f_updated_at"
    };
}
/// Columns of a service, for a table named `s`.
macro_rules! service_columns {
    () => {
        "s.account_id AS s_account_id, s.service_id AS s_service_id, s.version AS s_version, s.slug AS s_slug, \
         s.name AS s_name, s.description AS s_description, s.pricing AS s_pricing, s.active AS s_active, \
         s.sort_order AS s_sort_order, s.created_at AS s_created_at, s.updated_at AS s_updated_at"
    };
}
/// Columns of an order and its payment, for tables named `o` and `p`.
macro_rules! order_columns {
    () => {
        "o.order_id, o.account_id, o.number, o.service_id, o.access_token, o.buyer_name, o.buyer_email, \
         o.buyer_phone, o.package_name, o.preferred_date, o.notes, o.language, o.created_at, o.version, o.status, \
         o.payment_status, o.quoted_price, o.updated_at, p.payment_id, p.status AS p_status, p.amount_due, \
         p.receipt_upload_id, p.receipt_type, p.receipt_bytes, p.receipt_sha256, p.receipt_at"
    };
}
/// Columns of an account's provisioning, for a table named `v`.
macro_rules! provisioning_columns {
    () => {
        "v.account_id AS v_account_id, v.version AS v_version, v.state AS v_state"
    };
}
/// Columns of a notification, for a table named `i`.
macro_rules! inbox_columns {
    () => {
        "i.event_id, i.account_id, i.event_type, i.session_id, i.body, i.received_at, i.status"
    };
}
/// The notifications that nothing came of yet, in a table named `i`: in the words of the index's condition.
macro_rules! unapplied {
    () => {
        "i.status IN ('parked', 'foreign_currency', 'unreadable')"
    };
}
pub(crate) use {
    account_columns, inbox_columns, order_columns, provisioning_columns, service_columns, storefront_columns, unapplied,
};

pub(crate) fn account(row: &impl Cells) -> Read<Account> {
    Ok(Account {
        id: id(row, "a_account_id")?,
        name: row.text("a_name")?.to_owned(),
        created_at: time(row, "a_created_at")?,
        state: AccountState {
            version: version(row, "a_version")?,
            tier: id::<Tier>(row, "a_tier")?,
            modules: json(row, "a_modules")?,
            plugipay_account_id: owned(row.optional_text("a_plugipay_account_id")?),
        },
    })
}

/// The storefront of a row that was joined from the left: `None` where there is none.
pub(crate) fn storefront(row: &impl Cells) -> Read<Option<Storefront>> {
    if row.optional_text("f_account_id")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Storefront {
        account_id: id(row, "f_account_id")?,
        version: version(row, "f_version")?,
        profile: Profile {
            slug: word::<Slug>(row, "f_slug")?,
            display_name: row.text("f_display_name")?.to_owned(),
            bio: owned(row.optional_text("f_bio")?),
            payment: json(row, "f_payment")?,
            hide_branding: row.flag("f_hide_branding")?,
            published: row.flag("f_published")?,
        },
        created_at: time(row, "f_created_at")?,
        updated_at: time(row, "f_updated_at")?,
    }))
}

pub(crate) fn service(row: &impl Cells) -> Read<Service> {
    Ok(Service {
        id: id(row, "s_service_id")?,
        account_id: id(row, "s_account_id")?,
        version: version(row, "s_version")?,
        offer: Offer {
            slug: word::<Slug>(row, "s_slug")?,
            name: row.text("s_name")?.to_owned(),
            description: owned(row.optional_text("s_description")?),
            pricing: json(row, "s_pricing")?,
            active: row.flag("s_active")?,
            sort_order: whole(row, "s_sort_order")?,
        },
        created_at: time(row, "s_created_at")?,
        updated_at: time(row, "s_updated_at")?,
    })
}

pub(crate) fn number(row: &impl Cells) -> Read<OrderNumber> {
    Ok(OrderNumber(whole(row, "number")?))
}

pub(super) fn rupiah(row: &impl Cells, column: &'static str) -> Read<Rupiah> {
    Rupiah::new(row.int(column)?).map_err(|_| Failed::Unreadable(column))
}

pub(crate) fn order(row: &impl Cells) -> Read<Order> {
    Ok(Order {
        id: id(row, "order_id")?,
        account_id: id(row, "account_id")?,
        service_id: id(row, "service_id")?,
        access_token: AccessToken::parse(row.text("access_token")?).ok_or(Failed::Unreadable("access_token"))?,
        buyer: Buyer {
            name: row.text("buyer_name")?.to_owned(),
            email: word::<EmailAddress>(row, "buyer_email")?,
            phone: owned(row.optional_text("buyer_phone")?),
        },
        package_name: owned(row.optional_text("package_name")?),
        preferred_date: owned(row.optional_text("preferred_date")?),
        notes: owned(row.optional_text("notes")?),
        language: Language::parse(row.text("language")?).ok_or(Failed::Unreadable("language"))?,
        created_at: time(row, "created_at")?,
        state: OrderState {
            version: version(row, "version")?,
            status: WorkStatus::parse(row.text("status")?).ok_or(Failed::Unreadable("status"))?,
            payment_status: PaymentStatus::parse(row.text("payment_status")?)
                .ok_or(Failed::Unreadable("payment_status"))?,
            quoted_price: rupiah(row, "quoted_price")?,
            updated_at: time(row, "updated_at")?,
        },
    })
}

pub(crate) fn payment(row: &impl Cells) -> Read<Payment> {
    let upload_id = optional_id(row, "receipt_upload_id")?;
    let receipt = upload_id
        .map(|upload_id| {
            Ok::<_, Failed>(Receipt {
                upload_id,
                image_type: word::<ImageType>(row, "receipt_type")?,
                bytes: whole(row, "receipt_bytes")?,
                sha256: digest(row, "receipt_sha256")?,
                uploaded_at: time(row, "receipt_at")?,
            })
        })
        .transpose()?;
    Ok(Payment {
        id: id(row, "payment_id")?,
        order_id: id(row, "order_id")?,
        state: PaymentState {
            status: PaymentStatus::parse(row.text("p_status")?).ok_or(Failed::Unreadable("p_status"))?,
            amount_due: rupiah(row, "amount_due")?,
            receipt,
        },
    })
}

pub(crate) fn subscription(row: &impl Cells) -> Read<Subscription> {
    Ok(Subscription {
        id: id(row, "subscription_id")?,
        account_id: id(row, "account_id")?,
        created_at: time(row, "created_at")?,
        state: SubscriptionState {
            version: version(row, "version")?,
            url: row.text("url")?.to_owned(),
            events: json(row, "events")?,
            active: row.flag("active")?,
        },
    })
}

pub(crate) fn key(row: &impl Cells) -> Read<KeyRecord> {
    Ok(KeyRecord {
        id: id(row, "key_id")?,
        account_id: id(row, "account_id")?,
        name: row.text("name")?.to_owned(),
        prefix: row.text("prefix")?.to_owned(),
        hash: digest(row, "hash")?,
        created_at: time(row, "created_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

fn kept(row: &impl Cells) -> Read<Kept> {
    Ok(Kept {
        fingerprint: digest(row, "fingerprint")?,
        outcome: row.text("outcome")?.to_owned(),
        until: time(row, "until")?,
    })
}

pub(crate) fn audit(row: &impl Cells) -> Read<AuditRecord> {
    Ok(AuditRecord {
        id: id(row, "audit_id")?,
        account_id: id(row, "account_id")?,
        order_id: id(row, "order_id")?,
        payment_id: id(row, "payment_id")?,
        at: time(row, "at")?,
        actor: json(row, "actor")?,
        act: json(row, "act")?,
        note: owned(row.optional_text("note")?),
    })
}

pub(super) fn status(row: &impl Cells, column: &'static str) -> Read<EffectStatus> {
    EffectStatus::parse(row.text(column)?).ok_or(Failed::Unreadable(column))
}

pub(crate) fn event_type(row: &impl Cells) -> Read<EventType> {
    EventType::parse(row.text("event_type")?).ok_or(Failed::Unreadable("event_type"))
}

/// A delivery without its log.
fn delivery(row: &impl Cells) -> Read<DeliveryRecord> {
    let status = status(row, "status")?;
    Ok(DeliveryRecord {
        id: id(row, "effect_id")?,
        subscription_id: id(row, "subscription_id")?,
        event_id: id(row, "event_id")?,
        event_type: event_type(row)?,
        body: row.text("content")?.to_owned(),
        status,
        created_at: time(row, "created_at")?,
        next_attempt_at: (status == EffectStatus::Pending).then(|| time(row, "due_at")).transpose()?,
        attempts: Vec::new(),
    })
}

/// A subscription's streak of failed attempts, where there is one.
pub(crate) fn streak(row: &impl Cells) -> Read<Streak> {
    Ok(Streak { failures: whole(row, "failures")?, since: time(row, "failing_since")? })
}

/// The account's subscriptions, from one text.
pub(crate) fn subscriptions(row: &impl Cells, account_id: AccountId) -> Read<Vec<Subscription>> {
    let Some(text) = row.optional_text("subscriptions")? else { return Ok(Vec::new()) };
    let unreadable = || Failed::Unreadable("subscriptions");
    from_str::<Vec<(String, i64, u32, String, String, bool)>>(text)
        .map_err(|_| unreadable())?
        .into_iter()
        .map(|(id, created_at, version, url, events, active)| {
            Ok(Subscription {
                id: id.parse().map_err(|_| unreadable())?,
                account_id,
                created_at: Timestamp::from_millis(created_at),
                state: SubscriptionState {
                    version: Version(version),
                    url,
                    events: from_str(&events).map_err(|_| unreadable())?,
                    active,
                },
            })
        })
        .collect()
}

/// A checkout as an array, in this order.
#[derive(serde::Deserialize)]
struct CheckoutRow {
    checkout_id: String,
    order_id: String,
    payment_id: String,
    amount: i64,
    fee_rate: String,
    request: String,
    created_at: i64,
    status: String,
    session_id: Option<String>,
    hosted_url: Option<String>,
    expires_at: Option<i64>,
    unneeded: bool,
    ended_at: Option<i64>,
}

fn read_checkout(row: CheckoutRow, account_id: AccountId) -> Read<Checkout> {
    fn of<T>(value: Option<T>) -> Read<T> {
        value.ok_or(Failed::Unreadable("checkout"))
    }
    let session = match row.session_id {
        None => None,
        Some(id) => Some(Session {
            id: of(SessionId::parse(&id))?,
            hosted_url: of(row.hosted_url)?,
            expires_at: of(row.expires_at.map(Timestamp::from_millis))?,
        }),
    };
    Ok(Checkout {
        id: of(row.checkout_id.parse().ok())?,
        account_id,
        order_id: of(row.order_id.parse().ok())?,
        payment_id: of(row.payment_id.parse().ok())?,
        amount: of(Rupiah::new(row.amount).ok())?,
        fee_rate: of(FeeRate::parse(&row.fee_rate))?,
        request: row.request,
        created_at: Timestamp::from_millis(row.created_at),
        state: CheckoutState {
            status: of(CheckoutStatus::parse(&row.status))?,
            session,
            unneeded: row.unneeded,
            ended_at: row.ended_at.map(Timestamp::from_millis),
        },
    })
}

/// An order's live checkouts, from one text.
fn checkouts(row: &impl Cells, account_id: AccountId) -> Read<Vec<Checkout>> {
    let Some(text) = row.optional_text("checkouts")? else { return Ok(Vec::new()) };
    let rows: Vec<CheckoutRow> = from_str(text).map_err(|_| Failed::Unreadable("checkouts"))?;
    rows.into_iter().map(|row| read_checkout(row, account_id)).collect()
}

/// A checkout, one text, with its order; `None` where there is none.
pub(crate) fn checkout_snapshot(row: &impl Cells) -> Read<Option<CheckoutSnapshot>> {
    let Some(text) = row.optional_text("checkout")? else { return Ok(None) };
    let found: CheckoutRow = from_str(text).map_err(|_| Failed::Unreadable("checkout"))?;
    let order = order_snapshot(row)?;
    Ok(Some(CheckoutSnapshot { checkout: read_checkout(found, order.account.id)?, order }))
}

/// What is known under a session's name. The row is there whatever is known.
pub(crate) fn session_snapshot(row: &impl Cells) -> Read<SessionSnapshot> {
    let parked: Vec<ProviderEventId> = match row.optional_text("parked")? {
        None => Vec::new(),
        Some(text) => from_str(text).map_err(|_| Failed::Unreadable("parked"))?,
    };
    let event = row.optional_text("event_status")?;
    Ok(SessionSnapshot {
        version: version(row, "session_version")?,
        checkout: checkout_snapshot(row)?,
        parked,
        event: event.map(|name| InboxStatus::parse(name).ok_or(Failed::Unreadable("event_status"))).transpose()?,
    })
}

/// The provisioning of a row that was joined from the left: `None` where there is none.
pub(crate) fn provisioning(row: &impl Cells) -> Read<Option<Provisioning>> {
    if row.optional_text("v_account_id")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Provisioning {
        account_id: id(row, "v_account_id")?,
        version: version(row, "v_version")?,
        state: json(row, "v_state")?,
    }))
}

/// The provisioning of a row that is there.
pub(crate) fn endpoint(row: &impl Cells) -> Read<Provisioning> {
    provisioning(row)?.ok_or(Failed::Unreadable("v_account_id"))
}

pub(crate) fn notification(row: &impl Cells) -> Read<InboxRecord> {
    let session_id = row.optional_text("session_id")?;
    Ok(InboxRecord {
        account_id: id(row, "account_id")?,
        event_id: ProviderEventId::parse(row.text("event_id")?).ok_or(Failed::Unreadable("event_id"))?,
        event_type: row.text("event_type")?.to_owned(),
        session_id: session_id.map(|id| SessionId::parse(id).ok_or(Failed::Unreadable("session_id"))).transpose()?,
        body: row.text("body")?.to_owned(),
        received_at: time(row, "received_at")?,
        status: InboxStatus::parse(row.text("status")?).ok_or(Failed::Unreadable("status"))?,
    })
}

/// The kept outcome of a row that was joined from the left.
pub(crate) fn optional_kept(row: &impl Cells) -> Read<Option<Kept>> {
    if row.optional_text("fingerprint")?.is_none() { Ok(None) } else { Ok(Some(kept(row)?)) }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRow {
    attempt_number: u32,
    status: EffectStatus,
    response_code: Option<u16>,
    error: Option<String>,
    duration_ms: u64,
    attempted_at: i64,
    next_retry_at: Option<i64>,
}

/// The attempt of a row that was joined from the left: `None` where there is none.
pub(super) fn optional_attempt(row: &impl Cells) -> Read<Option<Attempt>> {
    if row.optional_int("attempt_number")?.is_none() {
        return Ok(None);
    }
    let response_code = row.optional_int("response_code")?.map(u16::try_from).transpose();
    Ok(Some(Attempt {
        attempt_number: whole(row, "attempt_number")?,
        status: status(row, "attempt_status")?,
        response_code: response_code.map_err(|_| Failed::Unreadable("response_code"))?,
        error: owned(row.optional_text("error")?),
        duration_ms: whole(row, "duration_ms")?,
        attempted_at: time(row, "attempted_at")?,
        next_retry_at: optional_time(row, "next_retry_at")?,
    }))
}

/// A delivery with its log, which is one text.
pub(crate) fn logged_delivery(row: &impl Cells) -> Read<DeliveryRecord> {
    let mut delivery = delivery(row)?;
    let Some(log) = row.optional_text("log")? else { return Ok(delivery) };
    let log: Vec<LogRow> = from_str(log).map_err(|_| Failed::Unreadable("log"))?;
    delivery.attempts = log
        .into_iter()
        .map(|row| Attempt {
            attempt_number: row.attempt_number,
            status: row.status,
            response_code: row.response_code,
            error: row.error,
            duration_ms: row.duration_ms,
            attempted_at: Timestamp::from_millis(row.attempted_at),
            next_retry_at: row.next_retry_at.map(Timestamp::from_millis),
        })
        .collect();
    Ok(delivery)
}

/// A shop from its rows: one for each service, or one without any.
pub(crate) fn shop<R: Cells>(rows: &[R]) -> Read<Option<ShopSnapshot>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let account = account(row)?;
    Ok(Some(ShopSnapshot {
        storefront: storefront(row)?.ok_or(Failed::Unreadable("storefront"))?,
        services: rows
            .iter()
            .filter_map(|row| match row.optional_text("s_service_id") {
                Ok(None) => None,
                Ok(Some(_)) => Some(service(row)),
                Err(error) => Some(Err(error.into())),
            })
            .collect::<Read<_>>()?,
        subscriptions: subscriptions(row, account.id)?,
        kept: optional_kept(row)?,
        account,
    }))
}

/// An account with its settings.
pub(crate) fn account_snapshot(row: &impl Cells) -> Read<AccountSnapshot> {
    let account = account(row)?;
    Ok(AccountSnapshot {
        storefront: storefront(row)?,
        services: whole(row, "services")?,
        subscriptions: subscriptions(row, account.id)?,
        provisioning: provisioning(row)?,
        kept: optional_kept(row)?,
        account,
    })
}

/// A service with its account.
pub(crate) fn service_snapshot(row: &impl Cells) -> Read<ServiceSnapshot> {
    Ok(ServiceSnapshot {
        account: account(row)?,
        service: service(row)?,
        has_orders: row.flag("has_orders")?,
        kept: optional_kept(row)?,
    })
}

/// An order with everything that a decision about it needs.
pub(crate) fn order_snapshot(row: &impl Cells) -> Read<OrderSnapshot> {
    let account = account(row)?;
    Ok(OrderSnapshot {
        seller: storefront(row)?.map(|storefront| storefront.profile.seller()),
        order: order(row)?,
        number: number(row)?,
        payment: payment(row)?,
        service: service(row)?.ordered(),
        checkouts: checkouts(row, account.id)?,
        subscriptions: subscriptions(row, account.id)?,
        kept: optional_kept(row)?,
        account,
    })
}

/// An order as its list shows it.
pub(crate) fn order_row(row: &impl Cells) -> Read<OrderRow> {
    Ok(OrderRow { order: order(row)?, number: number(row)?, payment: payment(row)?, service: service(row)?.ordered() })
}
