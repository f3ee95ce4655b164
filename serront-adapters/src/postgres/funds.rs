//! Reads of the ledger, exceptions, funds, payouts and adjustments. Each is one statement, so that it sees one
//! snapshot.

use serront_core::accounts::account::Account;
use serront_core::funds::balance::Funds;
use serront_core::funds::payout::DefaultBankAccount;
use serront_core::ports::prelude::*;
use sqlx::postgres::PgConnection;

use super::read::Query;
use crate::sql::cells::{Cells as _, Read};
use crate::sql::error::Failed;
use crate::sql::ledger::{entry_bounds, entry_parts};
use crate::sql::names::directory;
use crate::sql::pages::{self, asked, page, states};
use crate::sql::rows::{self, IN_FLIGHT};
use crate::sql::set_aside::{self, Found, Wanted};
use crate::sql::tables::{Record, joined};

/// The totals, with the deltas that are not folded yet, in one snapshot.
pub(super) async fn balance(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<Vec<CodeTotals>> {
    let sql = "SELECT code, sum(debits)::int8 AS debits, sum(credits)::int8 AS credits FROM (\
               SELECT code, debits, credits FROM @.ledger_balances WHERE account_id = $1 UNION ALL \
               SELECT code, debits, credits FROM @.ledger_deltas WHERE account_id = $1) every GROUP BY code ORDER BY code";
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows.iter().map(rows::totals).collect()
}

/// The storage's time, and how long the oldest transaction that posted has been open; `None` if that is hidden.
///
/// A transaction that posts holds a lock on the table until it ends, also a prepared one; readers hold another lock.
/// The server hides the start of other roles' transactions unless this role is a member of `pg_read_all_stats`.
pub(super) async fn oldest_posting(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
) -> Read<(Timestamp, Option<Duration>)> {
    let sql = format!(
        "SELECT {now} AS now, \
               coalesce(max(ceil(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)), 0)::int8 AS open, \
               coalesce(bool_or(l.pid IS NULL OR (a.pid IS NOT NULL AND a.state IS NULL)), false) AS hidden \
               FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND l.relation = '@.ledger_entries'::regclass AND l.mode = 'RowExclusiveLock'"
    );
    let row = Query::new(schema, &sql).optional(connection).await?.ok_or(Failed::Unreadable("now"))?;
    let open = u64::try_from(row.int("open")?).map_or(Duration::ZERO, Duration::from_millis);
    Ok((Timestamp::from_millis(row.int("now")?), (!row.flag("hidden")?).then_some(open)))
}

/// A page of the entries in the seller's book.
pub(super) async fn entries(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    filter: &EntryFilter,
    after: Option<EntryPosition>,
    limit: Limit,
) -> Read<Page<LedgerEntry>> {
    // $1 account, $2 limit, $3 from when, $4 and $5 below what, $6 the source.
    let between = "created_at >= $3 AND (created_at, entry_id) < ($4, $5)";
    let columns = LedgerEntry::SELECT;
    let newest = "ORDER BY created_at DESC, entry_id DESC LIMIT $2";
    // These names are constants of ours.
    let parts = entry_parts(filter)
        .into_iter()
        .map(|(code, source_type)| format!("code = '{}' AND source_type = '{}'", code.as_str(), source_type.as_str()));
    let sql = if filter.source_id.is_some() {
        // All entries of one source, by the index of sources only.
        let any: Vec<_> = parts.map(|part| format!("({part})")).collect();
        format!(
            "SELECT * FROM (SELECT {columns} FROM @.ledger_entries e WHERE source_id = $6 \
             AND account_id = $1 AND book = 'seller' OFFSET 0) every WHERE ({}) AND {between} {newest}",
            any.join(" OR ")
        )
    } else {
        let parts: Vec<_> = parts
            .map(|part| {
                format!(
                    "(SELECT {columns} FROM @.ledger_entries e WHERE account_id = $1 AND book = 'seller' AND {part} \
                     AND {between} {newest})"
                )
            })
            .collect();
        format!("SELECT * FROM ({}) every {newest}", parts.join(" UNION ALL "))
    };
    let (from, (millis, id)) = entry_bounds(filter, after);
    let query = Query::new(schema, &sql).bind(account.to_string())?.bind(asked(limit))?;
    let mut query = query.bind(from)?.bind(millis)?.bind(id)?;
    if let Some(source) = &filter.source_id {
        query = query.bind(source.clone())?;
    }
    let rows = query.all(connection).await?;
    page(&rows, limit)
}

/// A page of one account's rows in some states.
async fn by_state<T: Record>(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    account: AccountId,
    states: impl Iterator<Item = &'static str>,
    after: Option<(Timestamp, String)>,
    limit: Limit,
) -> Read<Page<T>> {
    let sql = pages::by_state::<T>(table, states, &after);
    let mut query = Query::new(schema, &sql).bind(account.to_string())?.bind(asked(limit))?;
    if let Some((created_at, id)) = after {
        query = query.bind(created_at.millis())?.bind(id)?;
    }
    page(&query.all(connection).await?, limit)
}

pub(super) async fn exceptions(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    status: Option<ExceptionStatus>,
    after: Option<ExceptionPosition>,
    limit: Limit,
) -> Read<Page<PaymentException>> {
    let states = states(ExceptionStatus::ALL, status, ExceptionStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    by_state(connection, schema, "exceptions x", account, states, after, limit).await
}

pub(super) async fn exception(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    id: ExceptionId,
    scope: Option<Scope>,
) -> Read<Option<ExceptionSnapshot>> {
    let sql = joined!(
        "SELECT ",
        PaymentException::SELECT,
        ", p.payment_id, k.fingerprint, k.outcome, k.until FROM @.exceptions x \
             JOIN @.payments p ON p.order_id = x.order_id AND p.account_id = x.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = x.account_id AND k.scope = $3 AND k.until > @now \
             WHERE x.exception_id = $1 AND x.account_id = $2"
    );
    let query = Query::at((schema, now), sql)
        .bind(id.to_string())?
        .bind(account.to_string())?
        .bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(rows::exception_snapshot).transpose()
}

/// The funds, the totals with the deltas that are not folded yet, and the default account.
pub(super) async fn funds(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    scope: Option<Scope>,
) -> Read<Option<FundsSnapshot>> {
    let sql = joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Funds::SELECT,
        ", ",
        DefaultBankAccount::SELECT,
        ", (SELECT json_agg(json_build_array(c.code, c.debits, c.credits) ORDER BY c.code)::text FROM \
         (SELECT code, sum(debits)::int8 AS debits, sum(credits)::int8 AS credits FROM \
         (SELECT code, debits, credits FROM @.ledger_balances WHERE account_id = $1 UNION ALL \
         SELECT code, debits, credits FROM @.ledger_deltas WHERE account_id = $1) every GROUP BY code) c) AS totals, \
         k.fingerprint, k.outcome, k.until FROM @.accounts a \
         LEFT JOIN @.funds funds ON funds.account_id = a.account_id \
         LEFT JOIN @.bank_accounts b ON b.account_id = a.account_id \
         LEFT JOIN @.kept_outcomes k ON k.account_id = a.account_id AND k.scope = $2 AND k.until > @now \
         WHERE a.account_id = $1"
    );
    let query = Query::at((schema, now), sql).bind(account.to_string())?.bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(rows::funds_snapshot).transpose()
}

pub(super) async fn payout(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    key: PayoutKey,
    scope: Option<Scope>,
) -> Read<Option<PayoutSnapshot>> {
    // Without an account, the directory knows whose it is.
    let (id, account) = match key {
        PayoutKey::Id(account, id) => (id, Some(account.to_string())),
        PayoutKey::Any(id) => (id, None),
    };
    let sql = joined!(
        "SELECT ",
        Payout::SELECT,
        ", ",
        Account::SELECT,
        ", ",
        Funds::SELECT,
        ", k.fingerprint, k.outcome, k.until FROM @.payouts t \
             JOIN @.accounts a ON a.account_id = t.account_id \
             LEFT JOIN @.funds funds ON funds.account_id = t.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = t.account_id AND k.scope = $2 AND k.until > @now \
             WHERE t.payout_id = $1 \
         AND t.account_id = coalesce($3, (SELECT account_id FROM @.directory WHERE kind = $4 AND name = $1))"
    );
    let query = Query::at((schema, now), sql).bind(id.to_string())?.bind(scope.map(|scope| scope.to_string()))?;
    let query = query.bind(account)?.bind(directory::PAYOUT)?;
    query.optional(connection).await?.as_ref().map(rows::payout_snapshot).transpose()
}

pub(super) async fn payouts(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    status: Option<PayoutStatus>,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Page<Payout>> {
    let states = states(PayoutStatus::ALL, status, PayoutStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    by_state(connection, schema, "payouts t", account, states, after, limit).await
}

/// The payouts of all accounts, oldest first.
pub(super) async fn payouts_in_flight(
    connection: &mut PgConnection,
    schema: &str,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Found<Payout>> {
    let position = if after.is_some() { " AND (t.created_at, t.payout_id) > ($2, $3)" } else { "" };
    let columns = Payout::SELECT;
    let sql = format!(
        "SELECT {columns} FROM @.payouts t WHERE t.{IN_FLIGHT}{position} ORDER BY t.created_at, t.payout_id LIMIT $1"
    );
    let mut wanted = Wanted::page(limit);
    loop {
        let mut query = Query::new(schema, &sql).bind(wanted.asked())?;
        if let Some(after) = after {
            query = query.bind(after.created_at.millis())?.bind(after.id.to_string())?;
        }
        let rows = query.all(&mut *connection).await?;
        let found = Found::of(&rows, set_aside::PAYOUTS, Payout::read)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

pub(super) async fn payout_audit(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: PayoutId,
) -> Read<Vec<PayoutAudit>> {
    let sql = joined!(
        "SELECT ",
        PayoutAudit::SELECT,
        " FROM @.payout_audit t WHERE payout_id = $1 AND account_id = $2 ORDER BY at, audit_id"
    );
    let rows = Query::new(schema, sql).bind(id.to_string())?.bind(account.to_string())?.all(connection).await?;
    rows.iter().map(PayoutAudit::read).collect()
}

pub(super) async fn adjustment(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    key: &AdjustmentKey,
) -> Read<Option<Adjustment>> {
    let (column, name) = match key {
        AdjustmentKey::Id(id) => ("adjustment_id", id.to_string()),
        AdjustmentKey::Reference(reference) => ("reference", reference.clone()),
    };
    let columns = Adjustment::SELECT;
    let sql = format!("SELECT {columns} FROM @.adjustments t WHERE {column} = $1 AND account_id = $2");
    let query = Query::new(schema, &sql).bind(name)?.bind(account.to_string())?;
    query.optional(connection).await?.as_ref().map(Adjustment::read).transpose()
}
