//! Reads of the money: the ledger, exceptions, payouts and what they need. Each is one statement, so that it sees one
//! snapshot.

use serront_core::changes::idempotency::Scope;
use serront_core::funds::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::primitives::ids::{AccountId, ExceptionId, PayoutId};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{AdjustmentKey, ExceptionSnapshot, FundsSnapshot, PayoutKey, PayoutSnapshot};
use serront_core::snapshots::{EntryFilter, EntryPosition, ExceptionPosition, PayoutPosition};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::sql::error::Failed;
use crate::sql::ledger::{ENTRY, entry_bounds, entry_parts};
use crate::sql::money::{self, IN_FLIGHT, exception_columns, payout_columns};
use crate::sql::names::directory;
use crate::sql::rows::account_columns;
use crate::sql::set_aside::{self, Found, Wanted};

type Read<T> = Result<T, Failed>;

pub(super) async fn balance(connection: &mut SqliteConnection, account: AccountId) -> Read<Vec<CodeTotals>> {
    sqlx::query("SELECT code, debits, credits FROM ledger_balances WHERE account_id = ? ORDER BY code")
        .bind(account.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(money::totals)
        .collect()
}

/// A page of the legs on the seller's balance.
pub(super) async fn entries(
    connection: &mut SqliteConnection,
    account: AccountId,
    filter: &EntryFilter,
    after: Option<EntryPosition>,
    limit: Limit,
) -> Read<Page<LedgerEntry>> {
    // ?1 account, ?2 limit, ?3 from when, ?4 and ?5 below what, ?6 the source.
    let between = "created_at >= ?3 AND (created_at, entry_id) < (?4, ?5)";
    let columns = ENTRY.join(", ");
    let newest = "ORDER BY created_at DESC, entry_id DESC LIMIT ?2";
    // The names of codes and kinds are ours.
    let parts = entry_parts(filter)
        .into_iter()
        .map(|(code, source_type)| format!("code = '{}' AND source_type = '{}'", code.as_str(), source_type.as_str()));
    let sql = if filter.source_id.is_some() {
        // All of one source, by its index and no other.
        let any: Vec<_> = parts.map(|part| format!("({part})")).collect();
        format!(
            "SELECT {columns} FROM ledger_entries INDEXED BY ledger_entries_by_source WHERE source_id = ?6 \
             AND account_id = ?1 AND book = 'seller' AND ({}) AND {between} {newest}",
            any.join(" OR ")
        )
    } else {
        let parts: Vec<_> = parts
            .map(|part| {
                format!(
                    "SELECT * FROM (SELECT {columns} FROM ledger_entries WHERE account_id = ?1 AND book = 'seller' \
                     AND {part} AND {between} {newest})"
                )
            })
            .collect();
        format!("SELECT {columns} FROM ({}) {newest}", parts.join(" UNION ALL "))
    };
    let (from, (millis, id)) = entry_bounds(filter, after);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(account.to_string())
        .bind(i64::from(limit.get()) + 1)
        .bind(from)
        .bind(millis)
        .bind(id)
        .bind(filter.source_id.as_deref())
        .fetch_all(connection)
        .await?;
    Ok(Page::cut(rows.iter().map(money::entry).collect::<Read<Vec<_>>>()?, limit))
}

/// A page of one account's rows, newest first, merged from a short read of each of these states. `table` is its name and its
/// columns' prefix.
async fn by_status(
    connection: &mut SqliteConnection,
    (table, columns, id): (&str, &str, &str),
    account: AccountId,
    states: impl Iterator<Item = &'static str>,
    after: Option<(Timestamp, String)>,
    limit: Limit,
) -> Read<Vec<SqliteRow>> {
    let position = if after.is_some() { format!(" AND (created_at, {id}) < (?3, ?4)") } else { String::new() };
    let newest = format!("ORDER BY created_at DESC, {id} DESC LIMIT ?2");
    // The states' names are ours.
    let parts: Vec<_> = states
        .map(|status| {
            format!(
                "SELECT * FROM (SELECT {columns} FROM {table} WHERE account_id = ?1 AND status = '{status}'{position} \
                 {newest})"
            )
        })
        .collect();
    let sql = format!("SELECT * FROM ({}) {newest}", parts.join(" UNION ALL "));
    let (created_at, id) = after.unzip();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(account.to_string())
        .bind(i64::from(limit.get()) + 1)
        .bind(created_at.map(Timestamp::millis))
        .bind(id)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

pub(super) async fn exceptions(
    connection: &mut SqliteConnection,
    account: AccountId,
    status: Option<ExceptionStatus>,
    after: Option<ExceptionPosition>,
    limit: Limit,
) -> Read<Page<PaymentException>> {
    let of = ("exceptions x", exception_columns!(), "exception_id");
    let states = ExceptionStatus::ALL.into_iter().filter(|state| status.is_none_or(|wanted| wanted == *state));
    let states = states.map(ExceptionStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    let rows = by_status(connection, of, account, states, after, limit).await?;
    Ok(Page::cut(rows.iter().map(money::exception).collect::<Read<Vec<_>>>()?, limit))
}

pub(super) async fn exception(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: ExceptionId,
    scope: Option<Scope>,
) -> Read<Option<ExceptionSnapshot>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        exception_columns!(),
        ", p.payment_id, k.fingerprint, k.outcome, k.until FROM exceptions x \
         JOIN payments p ON p.order_id = x.order_id AND p.account_id = x.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ? AND k.account_id = x.account_id \
         WHERE x.exception_id = ? AND x.account_id = ?"
    ))
    .bind(scope.map(|scope| scope.to_string()))
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(money::exception_snapshot).transpose()
}

pub(super) async fn funds(
    connection: &mut SqliteConnection,
    account: AccountId,
    scope: Option<Scope>,
) -> Read<Option<FundsSnapshot>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        account_columns!(),
        ", f.version AS funds_version, f.in_flight, b.version AS bank_version, b.details, \
         (SELECT json_group_array(json_array(c.code, c.debits, c.credits)) FROM \
         (SELECT * FROM ledger_balances WHERE account_id = ?1 ORDER BY code) c) AS totals, \
         k.fingerprint, k.outcome, k.until FROM accounts a LEFT JOIN funds f ON f.account_id = a.account_id \
         LEFT JOIN bank_accounts b ON b.account_id = a.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ?2 AND k.account_id = a.account_id WHERE a.account_id = ?1"
    ))
    .bind(account.to_string())
    .bind(scope.map(|scope| scope.to_string()))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(money::funds_snapshot).transpose()
}

pub(super) async fn payout(
    connection: &mut SqliteConnection,
    key: PayoutKey,
    scope: Option<Scope>,
) -> Read<Option<PayoutSnapshot>> {
    let (id, account) = match key {
        PayoutKey::Id(account, id) => (id, Some(account.to_string())),
        PayoutKey::Any(id) => (id, None),
    };
    // Without an account, the directory is who knows whose it is.
    let row = sqlx::query(concat!(
        "SELECT ",
        payout_columns!(),
        ", ",
        account_columns!(),
        ", f.version AS funds_version, f.in_flight, k.fingerprint, k.outcome, k.until FROM payouts t \
         JOIN accounts a ON a.account_id = t.account_id \
         LEFT JOIN funds f ON f.account_id = t.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ?2 AND k.account_id = t.account_id WHERE t.payout_id = ?1 \
         AND t.account_id = coalesce(?3, (SELECT account_id FROM directory WHERE kind = ?4 AND name = ?1))"
    ))
    .bind(id.to_string())
    .bind(scope.map(|scope| scope.to_string()))
    .bind(account)
    .bind(directory::PAYOUT)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(money::payout_snapshot).transpose()
}

pub(super) async fn payouts(
    connection: &mut SqliteConnection,
    account: AccountId,
    status: Option<PayoutStatus>,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Page<Payout>> {
    let of = ("payouts t", payout_columns!(), "payout_id");
    let states = PayoutStatus::ALL.into_iter().filter(|state| status.is_none_or(|wanted| wanted == *state));
    let states = states.map(PayoutStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    let rows = by_status(connection, of, account, states, after, limit).await?;
    Ok(Page::cut(rows.iter().map(money::payout).collect::<Read<Vec<_>>>()?, limit))
}

/// Of every account, oldest first.
pub(super) async fn payouts_in_flight(
    connection: &mut SqliteConnection,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Found<Payout>> {
    let position = if after.is_some() { " AND (t.created_at, t.payout_id) > (?2, ?3)" } else { "" };
    let sql = format!(
        concat!(
            "SELECT ",
            payout_columns!(),
            " FROM payouts t WHERE t.{IN_FLIGHT}{position} ORDER BY t.created_at, t.payout_id LIMIT ?1"
        ),
        IN_FLIGHT = IN_FLIGHT,
        position = position
    );
    let mut wanted = Wanted::page(limit);
    loop {
        let rows = sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(wanted.asked())
            .bind(after.map(|after| after.created_at.millis()))
            .bind(after.map(|after| after.id.to_string()))
            .fetch_all(&mut *connection)
            .await?;
        let found = Found::of(&rows, set_aside::PAYOUTS, money::payout)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

pub(super) async fn payout_audit(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: PayoutId,
) -> Read<Vec<PayoutAudit>> {
    sqlx::query(
        "SELECT audit_id, account_id, payout_id, at, actor, from_status, to_status, note FROM payout_audit \
         WHERE payout_id = ? AND account_id = ? ORDER BY at, audit_id",
    )
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(money::payout_audit)
    .collect()
}

pub(super) async fn adjustment(
    connection: &mut SqliteConnection,
    account: AccountId,
    key: &AdjustmentKey,
) -> Read<Option<Adjustment>> {
    let (column, name) = match key {
        AdjustmentKey::Id(id) => ("adjustment_id", id.to_string()),
        AdjustmentKey::Reference(reference) => ("reference", reference.clone()),
    };
    let sql = format!(
        "SELECT adjustment_id, account_id, direction, amount, reason, reference, actor, created_at \
         FROM adjustments WHERE {column} = ? AND account_id = ?"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(name).bind(account.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(money::adjustment).transpose()
}
