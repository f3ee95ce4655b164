//! Reads of the ledger, exceptions, funds, payouts and adjustments. Each is one statement, so that it sees one
//! snapshot.

use serront_core::accounts::account::Account;
use serront_core::funds::balance::Funds;
use serront_core::funds::payout::DefaultBankAccount;
use serront_core::ports::prelude::*;

use super::connection::{Connection, query};

use crate::sql::cells::Read;
use crate::sql::ledger::{entry_bounds, entry_parts};
use crate::sql::names::directory;
use crate::sql::pages::{self, asked, page, states};
use crate::sql::rows::{self, IN_FLIGHT};
use crate::sql::set_aside::{self, Found, Wanted};
use crate::sql::tables::{Record, joined};

pub(super) async fn balance(connection: &mut Connection<'_>, account: AccountId) -> Read<Vec<CodeTotals>> {
    query("SELECT code, debits, credits FROM ledger_balances WHERE account_id = ? ORDER BY code")
        .bind(account.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(rows::totals)
        .collect()
}

/// A page of the entries in the seller's book.
pub(super) async fn entries(
    connection: &mut Connection<'_>,
    account: AccountId,
    filter: &EntryFilter,
    after: Option<EntryPosition>,
    limit: Limit,
) -> Read<Page<LedgerEntry>> {
    // ?1 account, ?2 limit, ?3 from when, ?4 and ?5 below what, ?6 the source.
    let between = "created_at >= ?3 AND (created_at, entry_id) < (?4, ?5)";
    let columns = LedgerEntry::SELECT;
    let newest = "ORDER BY created_at DESC, entry_id DESC LIMIT ?2";
    // These names are constants of ours.
    let parts = entry_parts(filter)
        .into_iter()
        .map(|(code, source_type)| format!("code = '{}' AND source_type = '{}'", code.as_str(), source_type.as_str()));
    let sql = if filter.source_id.is_some() {
        // All entries of one source, by the index of sources only.
        let any: Vec<_> = parts.map(|part| format!("({part})")).collect();
        format!(
            "SELECT {columns} FROM ledger_entries e INDEXED BY ledger_entries_by_source WHERE source_id = ?6 \
             AND account_id = ?1 AND book = 'seller' AND ({}) AND {between} {newest}",
            any.join(" OR ")
        )
    } else {
        let parts: Vec<_> = parts
            .map(|part| {
                format!(
                    "SELECT * FROM (SELECT {columns} FROM ledger_entries e WHERE account_id = ?1 AND book = 'seller' \
                     AND {part} AND {between} {newest})"
                )
            })
            .collect();
        format!("SELECT * FROM ({}) {newest}", parts.join(" UNION ALL "))
    };
    let (from, (millis, id)) = entry_bounds(filter, after);
    let rows = query(sql)
        .bind(account.to_string())
        .bind(asked(limit))
        .bind(from)
        .bind(millis)
        .bind(id)
        .bind(filter.source_id.as_deref())
        .fetch_all(connection)
        .await?;
    page(&rows, limit)
}

/// A page of one account's rows in some states.
async fn by_state<T: Record>(
    connection: &mut Connection<'_>,
    table: &str,
    account: AccountId,
    states: impl Iterator<Item = &'static str>,
    after: Option<(Timestamp, String)>,
    limit: Limit,
) -> Read<Page<T>> {
    let sql = pages::by_state::<T>(table, states, &after).replace("@.", "");
    let (created_at, id) = after.unzip();
    let rows = query(sql)
        .bind(account.to_string())
        .bind(asked(limit))
        .bind(created_at.map(Timestamp::millis))
        .bind(id)
        .fetch_all(connection)
        .await?;
    page(&rows, limit)
}

pub(super) async fn exceptions(
    connection: &mut Connection<'_>,
    account: AccountId,
    status: Option<ExceptionStatus>,
    after: Option<ExceptionPosition>,
    limit: Limit,
) -> Read<Page<PaymentException>> {
    let states = states(ExceptionStatus::ALL, status, ExceptionStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    by_state(connection, "exceptions x", account, states, after, limit).await
}

pub(super) async fn exception(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: ExceptionId,
    scope: Option<Scope>,
) -> Read<Option<ExceptionSnapshot>> {
    let row = query(joined!(
        "SELECT ",
        PaymentException::SELECT,
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
    row.as_ref().map(rows::exception_snapshot).transpose()
}

pub(super) async fn funds(
    connection: &mut Connection<'_>,
    account: AccountId,
    scope: Option<Scope>,
) -> Read<Option<FundsSnapshot>> {
    let row = query(joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Funds::SELECT,
        ", ",
        DefaultBankAccount::SELECT,
        ", (SELECT json_group_array(json_array(c.code, c.debits, c.credits)) FROM \
         (SELECT * FROM ledger_balances WHERE account_id = ?1 ORDER BY code) c) AS totals, \
         k.fingerprint, k.outcome, k.until FROM accounts a LEFT JOIN funds ON funds.account_id = a.account_id \
         LEFT JOIN bank_accounts b ON b.account_id = a.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ?2 AND k.account_id = a.account_id WHERE a.account_id = ?1"
    ))
    .bind(account.to_string())
    .bind(scope.map(|scope| scope.to_string()))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::funds_snapshot).transpose()
}

pub(super) async fn payout(
    connection: &mut Connection<'_>,
    key: PayoutKey,
    scope: Option<Scope>,
) -> Read<Option<PayoutSnapshot>> {
    let (id, account) = match key {
        PayoutKey::Id(account, id) => (id, Some(account.to_string())),
        PayoutKey::Any(id) => (id, None),
    };
    // Without an account, the directory has the payout's account.
    let row = query(joined!(
        "SELECT ",
        Payout::SELECT,
        ", ",
        Account::SELECT,
        ", ",
        Funds::SELECT,
        ", k.fingerprint, k.outcome, k.until FROM payouts t \
         JOIN accounts a ON a.account_id = t.account_id \
         LEFT JOIN funds ON funds.account_id = t.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ?2 AND k.account_id = t.account_id WHERE t.payout_id = ?1 \
         AND t.account_id = coalesce(?3, (SELECT account_id FROM directory WHERE kind = ?4 AND name = ?1))"
    ))
    .bind(id.to_string())
    .bind(scope.map(|scope| scope.to_string()))
    .bind(account)
    .bind(directory::PAYOUT)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::payout_snapshot).transpose()
}

pub(super) async fn payouts(
    connection: &mut Connection<'_>,
    account: AccountId,
    status: Option<PayoutStatus>,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Page<Payout>> {
    let states = states(PayoutStatus::ALL, status, PayoutStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    by_state(connection, "payouts t", account, states, after, limit).await
}

/// The payouts of all accounts, oldest first.
pub(super) async fn payouts_in_flight(
    connection: &mut Connection<'_>,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Found<Payout>> {
    let position = if after.is_some() { " AND (t.created_at, t.payout_id) > (?2, ?3)" } else { "" };
    let columns = Payout::SELECT;
    let sql = format!(
        "SELECT {columns} FROM payouts t WHERE t.{IN_FLIGHT}{position} ORDER BY t.created_at, t.payout_id LIMIT ?1"
    );
    let mut wanted = Wanted::page(limit);
    loop {
        let rows = query(sql.clone())
            .bind(wanted.asked())
            .bind(after.map(|after| after.created_at.millis()))
            .bind(after.map(|after| after.id.to_string()))
            .fetch_all(connection)
            .await?;
        let found = Found::of(&rows, set_aside::PAYOUTS, Payout::read)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

pub(super) async fn payout_audit(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: PayoutId,
) -> Read<Vec<PayoutAudit>> {
    query(joined!(
        "SELECT ",
        PayoutAudit::SELECT,
        " FROM payout_audit t WHERE payout_id = ? AND account_id = ? ORDER BY at, audit_id"
    ))
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(PayoutAudit::read)
    .collect()
}

pub(super) async fn adjustment(
    connection: &mut Connection<'_>,
    account: AccountId,
    key: &AdjustmentKey,
) -> Read<Option<Adjustment>> {
    let (column, name) = match key {
        AdjustmentKey::Id(id) => ("adjustment_id", id.to_string()),
        AdjustmentKey::Reference(reference) => ("reference", reference.clone()),
    };
    let columns = Adjustment::SELECT;
    let sql = format!("SELECT {columns} FROM adjustments t WHERE {column} = ? AND account_id = ?");
    let row = query(sql).bind(name).bind(account.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(Adjustment::read).transpose()
}
