//! Reads snapshots, which a decision needs of several tables, and rows that are not one value of the core.

use std::str::FromStr;

use serde_json::from_str;
use serront_core::accounts::account::Account;
use serront_core::changes::effect::EffectStatus;
use serront_core::changes::idempotency::Kept;
use serront_core::funds::balance::Funds;
use serront_core::funds::ledger::EntryCode;
use serront_core::funds::payout::DefaultBankAccount;
use serront_core::online::checkout::Checkout;
use serront_core::online::inbox::InboxStatus;
use serront_core::orders::order::{Order, WorkStatus};
use serront_core::orders::payment::Payment;
use serront_core::ports::prelude::*;
use serront_core::primitives::version::Version;
use serront_core::shop::storefront::Storefront;

use super::cells::{Cells, JsonRow, Read, Value};
use super::error::Failed;
use super::tables::{ORDERED_SERVICE, Record, joined, ordered_service};

/// An id, or another type that parses its text.
pub(crate) fn id<T: FromStr>(row: &impl Cells, column: &'static str) -> Read<T> {
    row.optional_text(column)?.and_then(|text| text.parse().ok()).ok_or(Failed::Unreadable(column))
}

pub(crate) fn whole<T: TryFrom<i64>>(row: &impl Cells, column: &'static str) -> Read<T> {
    T::try_from(row.int(column)?).map_err(|_| Failed::Unreadable(column))
}

/// The notifications that are not applied, in a table named `i`. The condition is that of the index.
pub(crate) const UNAPPLIED: &str = "i.status IN ('parked', 'foreign_currency', 'unreadable')";

/// The states whose payouts are in flight. The condition is that of the index.
pub(crate) const IN_FLIGHT: &str = "status IN ('pending', 'in_transit')";

pub(crate) fn number(row: &impl Cells) -> Read<OrderNumber> {
    Ok(OrderNumber(whole(row, "number")?))
}

/// The number in a column that is null where no order was placed.
pub(crate) fn optional_number(row: &impl Cells) -> Read<Option<OrderNumber>> {
    row.optional_int("number")?.map(|_| number(row)).transpose()
}

/// How many orders are in each state of work.
pub(crate) fn counts<R: Cells>(rows: &[R]) -> Read<WorkCounts> {
    let mut counts = WorkCounts::default();
    for row in rows {
        *counts.of(WorkStatus::read(row, "status")?) = whole(row, "orders")?;
    }
    Ok(counts)
}

pub(crate) fn totals(row: &impl Cells) -> Read<CodeTotals> {
    Ok(CodeTotals { code: EntryCode::read(row, "code")?, debits: row.int("debits")?, credits: row.int("credits")? })
}

/// The kept outcome of a row that was joined from the left.
pub(crate) fn optional_kept(row: &impl Cells) -> Read<Option<Kept>> {
    let Some(fingerprint) = Digest256::optional(row, "fingerprint")? else { return Ok(None) };
    Ok(Some(Kept { fingerprint, outcome: row.text("outcome")?.to_owned(), until: Timestamp::read(row, "until")? }))
}

/// Rows of one table, from a text that is an array of arrays.
pub(crate) fn nested<T: Record>(row: &impl Cells, column: &'static str) -> Read<Vec<T>> {
    let Some(text) = row.optional_text(column)? else { return Ok(Vec::new()) };
    let rows: Vec<Vec<serde_json::Value>> = from_str(text).map_err(|_| Failed::Unreadable(column))?;
    let columns = T::COLUMNS.names;
    let read = |cells| T::read(&JsonRow { columns, cells }).map_err(|_| Failed::Unreadable(column));
    rows.into_iter().map(read).collect()
}

/// A checkout, one text, with its order; `None` where there is none.
pub(crate) fn checkout_snapshot(row: &impl Cells) -> Read<Option<CheckoutSnapshot>> {
    let Some(checkout) = nested::<Checkout>(row, "checkout")?.pop() else { return Ok(None) };
    Ok(Some(CheckoutSnapshot { checkout, order: order_snapshot(row)? }))
}

/// What is known under a session's name. The row exists even if nothing is known.
pub(crate) fn session_snapshot(row: &impl Cells) -> Read<SessionSnapshot> {
    let parked: Vec<ProviderEventId> = match row.optional_text("parked")? {
        None => Vec::new(),
        Some(text) => from_str(text).map_err(|_| Failed::Unreadable("parked"))?,
    };
    Ok(SessionSnapshot {
        version: Version::read(row, "session_version")?,
        checkout: checkout_snapshot(row)?,
        parked,
        event: InboxStatus::optional(row, "event_status")?,
    })
}

/// A delivery without its log.
fn delivery(row: &impl Cells) -> Read<DeliveryRecord> {
    let status = EffectStatus::read(row, "status")?;
    Ok(DeliveryRecord {
        id: id(row, "effect_id")?,
        subscription_id: id(row, "subscription_id")?,
        event_id: id(row, "event_id")?,
        event_type: Value::read(row, "event_type")?,
        body: row.text("content")?.to_owned(),
        status,
        created_at: Timestamp::read(row, "created_at")?,
        next_attempt_at: (status == EffectStatus::Pending).then(|| Timestamp::read(row, "due_at")).transpose()?,
        attempts: Vec::new(),
    })
}

/// A subscription's streak of failed attempts, where there is one.
pub(crate) fn streak(row: &impl Cells) -> Read<Streak> {
    Ok(Streak { failures: whole(row, "failures")?, since: Timestamp::read(row, "failing_since")? })
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
        status: Value::read(row, "attempt_status")?,
        response_code: response_code.map_err(|_| Failed::Unreadable("response_code"))?,
        error: Value::read(row, "error")?,
        duration_ms: whole(row, "duration_ms")?,
        attempted_at: Timestamp::read(row, "attempted_at")?,
        next_retry_at: Value::read(row, "next_retry_at")?,
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
    let account = Account::read(row)?;
    Ok(Some(ShopSnapshot {
        storefront: Storefront::optional(row)?.ok_or(Failed::Unreadable("storefront"))?,
        services: rows
            .iter()
            .filter_map(|row| match row.optional_text("s_service_id") {
                Ok(None) => None,
                Ok(Some(_)) => Some(Service::read(row)),
                Err(error) => Some(Err(error)),
            })
            .collect::<Read<_>>()?,
        subscriptions: nested(row, "subscriptions")?,
        kept: optional_kept(row)?,
        account,
    }))
}

/// An account with its settings.
pub(crate) fn account_snapshot(row: &impl Cells) -> Read<AccountSnapshot> {
    let account = Account::read(row)?;
    Ok(AccountSnapshot {
        storefront: Storefront::optional(row)?,
        services: whole(row, "services")?,
        subscriptions: nested(row, "subscriptions")?,
        provisioning: Provisioning::optional(row)?,
        kept: optional_kept(row)?,
        account,
    })
}

/// A service with its account.
pub(crate) fn service_snapshot(row: &impl Cells) -> Read<ServiceSnapshot> {
    Ok(ServiceSnapshot {
        account: Account::read(row)?,
        service: Service::read(row)?,
        has_orders: row.flag("has_orders")?,
        kept: optional_kept(row)?,
    })
}

/// An order with everything that a decision about it needs.
pub(crate) fn order_snapshot(row: &impl Cells) -> Read<OrderSnapshot> {
    let account = Account::read(row)?;
    Ok(OrderSnapshot {
        seller: Storefront::optional(row)?.map(|storefront| storefront.profile.seller()),
        order: Order::read(row)?,
        number: number(row)?,
        payment: Payment::read(row)?,
        service: ordered_service(row)?,
        checkouts: nested(row, "checkouts")?,
        subscriptions: nested(row, "subscriptions")?,
        kept: optional_kept(row)?,
        account,
    })
}

/// What is read of an order for its list: of tables named `o`, `p` and `s`.
pub(crate) const ORDER_ROW: &str = joined!(Order::SELECT, ", o.number, ", Payment::SELECT, ", ", ORDERED_SERVICE);

/// An order as its list shows it.
pub(crate) fn order_row(row: &impl Cells) -> Read<OrderRow> {
    Ok(OrderRow {
        order: Order::read(row)?,
        number: number(row)?,
        payment: Payment::read(row)?,
        service: ordered_service(row)?,
    })
}

/// An exception with its payment and what was kept.
pub(crate) fn exception_snapshot(row: &impl Cells) -> Read<ExceptionSnapshot> {
    Ok(ExceptionSnapshot {
        exception: PaymentException::read(row)?,
        payment_id: id(row, "payment_id")?,
        kept: optional_kept(row)?,
    })
}

/// A payout with its account's funds and what was kept.
pub(crate) fn payout_snapshot(row: &impl Cells) -> Read<PayoutSnapshot> {
    let account = Account::read(row)?;
    let funds = Funds::optional(row)?.unwrap_or_else(|| Funds::none(account.id));
    Ok(PayoutSnapshot { account, funds, payout: Payout::read(row)?, kept: optional_kept(row)? })
}

/// An account's funds, its totals as one text of arrays, the default account and what was kept.
pub(crate) fn funds_snapshot(row: &impl Cells) -> Read<FundsSnapshot> {
    let account = Account::read(row)?;
    let totals: Vec<(EntryCode, i64, i64)> = match row.optional_text("totals")? {
        None => Vec::new(),
        Some(text) => from_str(text).map_err(|_| Failed::Unreadable("totals"))?,
    };
    Ok(FundsSnapshot {
        funds: Funds::optional(row)?.unwrap_or_else(|| Funds::none(account.id)),
        totals: totals.into_iter().map(|(code, debits, credits)| CodeTotals { code, debits, credits }).collect(),
        bank_account: DefaultBankAccount::optional(row)?,
        kept: optional_kept(row)?,
        account,
    })
}
