//! Reads of the money: the ledger, exceptions, payouts and what they need. Each is one statement, so that it sees one
//! snapshot.

use std::time::Duration;

use serront_core::changes::idempotency::Scope;
use serront_core::funds::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::primitives::ids::{AccountId, ExceptionId, PayoutId};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{AdjustmentKey, ExceptionSnapshot, FundsSnapshot, PayoutKey, PayoutSnapshot};
use serront_core::snapshots::{EntryFilter, EntryPosition, ExceptionPosition, PayoutPosition};
use sqlx::postgres::{PgConnection, PgRow};

use super::read::{KEPT, Query};
use crate::sql::error::Failed;
use crate::sql::ledger::{ENTRY, entry_bounds, entry_parts};
use crate::sql::money::{self, IN_FLIGHT, exception_columns, payout_columns};
use crate::sql::names::directory;
use crate::sql::rows::{Cells as _, account_columns};
use crate::sql::set_aside::{self, Found, Wanted};

type Read<T> = Result<T, Failed>;

/// The totals and what is not folded into them yet, in one snapshot.
pub(super) async fn balance(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<Vec<CodeTotals>> {
    let sql = "SELECT code, sum(debits)::int8 AS debits, sum(credits)::int8 AS credits FROM (\
               SELECT code, debits, credits FROM @.ledger_balances WHERE account_id = $1 UNION ALL \
               SELECT code, debits, credits FROM @.ledger_deltas WHERE account_id = $1) every GROUP BY code ORDER BY code";
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows.iter().map(money::totals).collect()
}

/// The storage's time, and for how long the oldest transaction has been open that posted something; `None` if that can't be seen.
///
/// Who posts holds a lock on the table until it ends, prepared transactions too; who reads holds another. When a session of another
/// role began its transaction is hidden from this one, unless it is a member of `pg_read_all_stats`.
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

/// A page of the legs on the seller's balance.
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
    let columns = ENTRY.join(", ");
    let newest = "ORDER BY created_at DESC, entry_id DESC LIMIT $2";
    // The names of codes and kinds are ours.
    let parts = entry_parts(filter)
        .into_iter()
        .map(|(code, source_type)| format!("code = '{}' AND source_type = '{}'", code.as_str(), source_type.as_str()));
    let sql = if filter.source_id.is_some() {
        // All of one source, by its index and no other.
        let any: Vec<_> = parts.map(|part| format!("({part})")).collect();
        format!(
            "SELECT {columns} FROM (SELECT {columns} FROM @.ledger_entries WHERE source_id = $6 \
             AND account_id = $1 AND book = 'seller' OFFSET 0) every WHERE ({}) AND {between} {newest}",
            any.join(" OR ")
        )
    } else {
        let parts: Vec<_> = parts
            .map(|part| {
                format!(
                    "(SELECT {columns} FROM @.ledger_entries WHERE account_id = $1 AND book = 'seller' AND {part} \
                     AND {between} {newest})"
                )
            })
            .collect();
        format!("SELECT {columns} FROM ({}) every {newest}", parts.join(" UNION ALL "))
    };
    let (from, (millis, id)) = entry_bounds(filter, after);
    let query = Query::new(schema, &sql).bind(account.to_string())?.bind(i64::from(limit.get()) + 1)?;
    let mut query = query.bind(from)?.bind(millis)?.bind(id)?;
    if let Some(source) = &filter.source_id {
        query = query.bind(source.clone())?;
    }
    let rows = query.all(connection).await?;
    Ok(Page::cut(rows.iter().map(money::entry).collect::<Read<Vec<_>>>()?, limit))
}

/// A page of one account's rows, newest first, merged from a short read of each of these states. `table` is its name and its
/// columns' prefix.
async fn by_status(
    connection: &mut PgConnection,
    schema: &str,
    (table, columns, id): (&str, &str, &str),
    account: AccountId,
    states: impl Iterator<Item = &'static str>,
    after: Option<(Timestamp, String)>,
    limit: Limit,
) -> Read<Vec<PgRow>> {
    let position = if after.is_some() { format!(" AND (created_at, {id}) < ($3, $4)") } else { String::new() };
    let newest = format!("ORDER BY created_at DESC, {id} DESC LIMIT $2");
    // The states' names are ours.
    let parts: Vec<_> = states
        .map(|status| {
            format!(
                "(SELECT {columns} FROM @.{table} WHERE account_id = $1 AND status = '{status}'{position} {newest})"
            )
        })
        .collect();
    let sql = format!("SELECT * FROM ({}) every {newest}", parts.join(" UNION ALL "));
    let mut query = Query::new(schema, &sql).bind(account.to_string())?.bind(i64::from(limit.get()) + 1)?;
    if let Some((created_at, id)) = after {
        query = query.bind(created_at.millis())?.bind(id)?;
    }
    query.all(connection).await
}

pub(super) async fn exceptions(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    status: Option<ExceptionStatus>,
    after: Option<ExceptionPosition>,
    limit: Limit,
) -> Read<Page<PaymentException>> {
    let of = ("exceptions x", exception_columns!(), "exception_id");
    let states = ExceptionStatus::ALL.into_iter().filter(|state| status.is_none_or(|wanted| wanted == *state));
    let states = states.map(ExceptionStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    let rows = by_status(connection, schema, of, account, states, after, limit).await?;
    Ok(Page::cut(rows.iter().map(money::exception).collect::<Read<Vec<_>>>()?, limit))
}

pub(super) async fn exception(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    id: ExceptionId,
    scope: Option<Scope>,
) -> Read<Option<ExceptionSnapshot>> {
    let sql = format!(
        concat!(
            "SELECT ",
            exception_columns!(),
            ", p.payment_id, {KEPT} FROM @.exceptions x \
             JOIN @.payments p ON p.order_id = x.order_id AND p.account_id = x.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = x.account_id AND k.scope = $3 AND k.until > {now} \
             WHERE x.exception_id = $1 AND x.account_id = $2"
        ),
        KEPT = KEPT,
        now = now
    );
    let query = Query::new(schema, &sql)
        .bind(id.to_string())?
        .bind(account.to_string())?
        .bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(money::exception_snapshot).transpose()
}

/// The funds, the totals with what is not folded into them yet, and the default account.
pub(super) async fn funds(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    scope: Option<Scope>,
) -> Read<Option<FundsSnapshot>> {
    let sql = format!(
        concat!(
            "SELECT ",
            account_columns!(),
            ", f.version AS funds_version, f.in_flight, b.version AS bank_version, b.details, \
         (SELECT json_agg(json_build_array(c.code, c.debits, c.credits) ORDER BY c.code)::text FROM \
         (SELECT code, sum(debits)::int8 AS debits, sum(credits)::int8 AS credits FROM \
         (SELECT code, debits, credits FROM @.ledger_balances WHERE account_id = $1 UNION ALL \
         SELECT code, debits, credits FROM @.ledger_deltas WHERE account_id = $1) every GROUP BY code) c) AS totals, \
         {KEPT} FROM @.accounts a LEFT JOIN @.funds f ON f.account_id = a.account_id \
         LEFT JOIN @.bank_accounts b ON b.account_id = a.account_id \
         LEFT JOIN @.kept_outcomes k ON k.account_id = a.account_id AND k.scope = $2 AND k.until > {now} WHERE a.account_id = $1"
        ),
        KEPT = KEPT,
        now = now
    );
    let query = Query::new(schema, &sql).bind(account.to_string())?.bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(money::funds_snapshot).transpose()
}

pub(super) async fn payout(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    key: PayoutKey,
    scope: Option<Scope>,
) -> Read<Option<PayoutSnapshot>> {
    let (id, account) = match key {
        PayoutKey::Id(account, id) => (id, Some(account.to_string())),
        PayoutKey::Any(id) => (id, None),
    };
    let of = match account {
        Some(_) => "$3".to_owned(),
        // The directory is who knows whose it is.
        None => format!("(SELECT account_id FROM @.directory WHERE kind = '{}' AND name = $1)", directory::PAYOUT),
    };
    let sql = format!(
        concat!(
            "SELECT ",
            payout_columns!(),
            ", ",
            account_columns!(),
            ", f.version AS funds_version, f.in_flight, {KEPT} FROM @.payouts t \
             JOIN @.accounts a ON a.account_id = t.account_id \
             LEFT JOIN @.funds f ON f.account_id = t.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = t.account_id AND k.scope = $2 AND k.until > {now} \
             WHERE t.payout_id = $1 AND t.account_id = {of}"
        ),
        KEPT = KEPT,
        now = now,
        of = of
    );
    let mut query = Query::new(schema, &sql).bind(id.to_string())?.bind(scope.map(|scope| scope.to_string()))?;
    if let Some(account) = account {
        query = query.bind(account)?;
    }
    query.optional(connection).await?.as_ref().map(money::payout_snapshot).transpose()
}

pub(super) async fn payouts(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    status: Option<PayoutStatus>,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Page<Payout>> {
    let of = ("payouts t", payout_columns!(), "payout_id");
    let states = PayoutStatus::ALL.into_iter().filter(|state| status.is_none_or(|wanted| wanted == *state));
    let states = states.map(PayoutStatus::as_str);
    let after = after.map(|after| (after.created_at, after.id.to_string()));
    let rows = by_status(connection, schema, of, account, states, after, limit).await?;
    Ok(Page::cut(rows.iter().map(money::payout).collect::<Read<Vec<_>>>()?, limit))
}

/// Of every account, oldest first.
pub(super) async fn payouts_in_flight(
    connection: &mut PgConnection,
    schema: &str,
    after: Option<PayoutPosition>,
    limit: Limit,
) -> Read<Found<Payout>> {
    let position = if after.is_some() { " AND (t.created_at, t.payout_id) > ($2, $3)" } else { "" };
    let sql = format!(
        concat!(
            "SELECT ",
            payout_columns!(),
            " FROM @.payouts t WHERE t.{IN_FLIGHT}{position} ORDER BY t.created_at, t.payout_id LIMIT $1"
        ),
        IN_FLIGHT = IN_FLIGHT,
        position = position
    );
    let mut wanted = Wanted::page(limit);
    loop {
        let mut query = Query::new(schema, &sql).bind(wanted.asked())?;
        if let Some(after) = after {
            query = query.bind(after.created_at.millis())?.bind(after.id.to_string())?;
        }
        let rows = query.all(&mut *connection).await?;
        let found = Found::of(&rows, set_aside::PAYOUTS, money::payout)?;
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
    let sql = "SELECT audit_id, account_id, payout_id, at, actor, from_status, to_status, note FROM @.payout_audit \
               WHERE payout_id = $1 AND account_id = $2 ORDER BY at, audit_id";
    let rows = Query::new(schema, sql).bind(id.to_string())?.bind(account.to_string())?.all(connection).await?;
    rows.iter().map(money::payout_audit).collect()
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
    let sql = format!(
        "SELECT adjustment_id, account_id, direction, amount, reason, reference, actor, created_at \
         FROM @.adjustments WHERE {column} = $1 AND account_id = $2"
    );
    let query = Query::new(schema, &sql).bind(name)?.bind(account.to_string())?;
    query.optional(connection).await?.as_ref().map(money::adjustment).transpose()
}
