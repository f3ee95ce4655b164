//! Records, lists and tries again rows that can't be read.

use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::set_aside::SetAsides;
use sqlx::postgres::{PgConnection, PgRow};

use super::fold::{FOLDED, WITHIN};
use super::migrations::reads;
use super::read::Query;
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::set_aside::{
    COUNT, LIST, RECORDED, REST, RESTED, Rested, TRIED_MAX, Unread, again_statement, again_to, effects_table, listed,
    put_off_until, rested, still_unread, stranger, strangers,
};
use crate::sql::work::{TABLES, TARGET};

type Worked<T> = Result<T, Failed>;

/// The number of rows that are set aside, and the oldest of them.
pub(super) async fn list(connection: &mut PgConnection, schema: &str, limit: u32) -> Worked<SetAsides> {
    let counted = Query::new(schema, COUNT).optional(&mut *connection).await?;
    let counted = counted.map(|row| row.int("rows")).transpose()?.unwrap_or(0);
    let rows = Query::new(schema, LIST).bind(i64::from(limit))?.all(connection).await?;
    let rows = rows.iter().map(listed).collect::<Worked<_>>()?;
    Ok(SetAsides { count: u64::try_from(counted).unwrap_or(0), rows })
}

fn texts<'r>(rows: &[&'r Unread], of: impl Fn(&'r Unread) -> &'r str) -> Vec<&'r str> {
    rows.iter().copied().map(of).collect()
}

/// Records rows that can't be read.
pub(super) async fn record(
    connection: &mut PgConnection,
    schema: &str,
    unread: &[Unread],
    now: Timestamp,
) -> Worked<()> {
    // Sorted, so that two hosts do not deadlock.
    let sql = format!(
        "INSERT INTO @.set_aside AS n (kind, row_id, account_id, what, since, tried_at, tried_by) \
         SELECT o.kind, o.row_id, o.account_id, min(o.what), $5, $5, $6 \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS o (kind, row_id, account_id, what) \
         GROUP BY o.kind, o.row_id, o.account_id ORDER BY o.kind, o.row_id, o.account_id {RECORDED}"
    );
    let rows: Vec<_> = unread.iter().collect();
    Query::new(schema, &sql)
        .bind(texts(&rows, |row| row.kind.as_str()))?
        .bind(texts(&rows, |row| &row.id))?
        .bind(texts(&rows, |row| &row.account_id))?
        .bind(texts(&rows, |row| row.what))?
        .bind(now.millis())?
        .bind(reads())?
        .all(connection)
        .await?;
    Ok(())
}

/// Sets effects aside: records them, postpones them until they are tried again, and ends their leases.
pub(super) async fn put_off(
    connection: &mut PgConnection,
    schema: &str,
    unread: &[Unread],
    now: Timestamp,
) -> Worked<()> {
    for table in TABLES {
        let rows: Vec<_> = unread.iter().filter(|row| effects_table(row.kind) == Some(table)).collect();
        if rows.is_empty() {
            continue;
        }
        let sql = format!(
            "WITH w AS MATERIALIZED (SELECT e.effect_id, e.account_id, o.fence \
             FROM unnest($2::text[], $3::text[], $4::int8[]) AS o (effect_id, account_id, fence) \
             JOIN @.{table} e ON e.effect_id = o.effect_id AND e.account_id = o.account_id \
             WHERE e.status = 'pending' AND (o.fence IS NULL OR o.fence = e.fence) FOR NO KEY UPDATE OF e SKIP LOCKED) \
             UPDATE @.{table} e SET due_at = $1, lease_until = CASE WHEN w.fence IS NULL THEN e.lease_until ELSE 0 END \
             FROM w WHERE e.effect_id = w.effect_id AND e.account_id = w.account_id"
        );
        Query::new(schema, &sql)
            .bind(put_off_until(now).millis())?
            .bind(texts(&rows, |row| &row.id))?
            .bind(texts(&rows, |row| &row.account_id))?
            .bind(rows.iter().map(|row| row.fence).collect::<Vec<_>>())?
            .all(&mut *connection)
            .await?;
    }
    record(connection, schema, unread, now).await
}

/// Tries rows again that were set aside.
pub(super) async fn look_again(
    connection: &mut PgConnection,
    schema: &str,
    began: Timestamp,
    now: Timestamp,
) -> Worked<()> {
    for (named, what, sql) in strangers() {
        let rows = Query::new(schema, &sql).bind(TRIED_MAX)?.all(&mut *connection).await?;
        let found: Vec<_> = rows.iter().filter_map(|row| stranger(row, named, what)).collect();
        if !found.is_empty() {
            record(connection, schema, &found, now).await?;
        }
    }
    let query = Query::new(schema, RESTED).bind(now.minus(REST).millis())?.bind(began.millis())?;
    let rows = query.bind(reads())?.bind(TRIED_MAX)?.all(&mut *connection).await?;
    for row in rows.iter().map(rested).collect::<Worked<Vec<_>>>()? {
        match again(connection, schema, &row, now).await? {
            Some(what) => {
                let Rested { kind, id, account_id, .. } = row;
                put_off(connection, schema, &[Unread { kind, id, account_id, what, fence: None }], now).await?;
            }
            None => take_up(connection, schema, &row, now).await?,
        }
    }
    Ok(())
}

/// The part of a row that still can't be read; `None` if all can, or the row no longer exists.
async fn again(
    connection: &mut PgConnection,
    schema: &str,
    row: &Rested,
    now: Timestamp,
) -> Worked<Option<&'static str>> {
    let Some(sql) = again_statement(row.kind) else { return sum(connection, schema, row).await };
    let Some(found) = one(connection, schema, &sql, &row.id, &row.account_id).await? else { return Ok(None) };
    let to = match again_to(&found, row.kind) {
        None => None,
        Some(id) => {
            let sql = format!("SELECT {TARGET} FROM @.subscriptions u WHERE subscription_id = $1 AND account_id = $2");
            one(connection, schema, &sql, id, &row.account_id).await?
        }
    };
    still_unread(&found, row.kind, to.as_ref(), now)
}

/// `"sum"` if a sum still overflows an integer, `None` if it fits again.
async fn sum(connection: &mut PgConnection, schema: &str, row: &Rested) -> Worked<Option<&'static str>> {
    let Some((_, deltas, totals, by, sums)) = FOLDED.into_iter().find(|(kind, ..)| *kind == row.kind) else {
        return Ok(Some("kind"));
    };
    let sums: Vec<_> = sums
        .iter()
        .map(|(delta, total)| {
            let of = |table: &str, value: &str| {
                format!("SELECT {value}::numeric AS value FROM @.{table} WHERE {by} = $1 AND account_id = $2")
            };
            let (deltas, totals) = (of(deltas, delta), of(totals, total));
            format!("(SELECT coalesce(sum(value), 0) FROM ({deltas} UNION ALL {totals}) every) {WITHIN}")
        })
        .collect();
    let sql = format!("SELECT {} AS fits", sums.join(" AND "));
    let found = one(connection, schema, &sql, &row.id, &row.account_id).await?;
    let fits = found.map(|row| row.flag("fits")).transpose()?.unwrap_or(false);
    Ok(if fits { None } else { Some("sum") })
}

async fn one(connection: &mut PgConnection, schema: &str, sql: &str, id: &str, account: &str) -> Worked<Option<PgRow>> {
    Query::new(schema, sql).bind(id)?.bind(account)?.optional(connection).await
}

/// Makes a postponed effect due, and deletes the record.
async fn take_up(connection: &mut PgConnection, schema: &str, row: &Rested, now: Timestamp) -> Worked<()> {
    if let Some(table) = effects_table(row.kind) {
        let sql = format!(
            "UPDATE @.{table} SET due_at = $1 WHERE effect_id = $2 AND account_id = $3 AND status = 'pending' \
             AND due_at = $4"
        );
        Query::new(schema, &sql)
            .bind(now.millis())?
            .bind(row.id.as_str())?
            .bind(row.account_id.as_str())?
            .bind(put_off_until(row.tried_at).millis())?
            .all(&mut *connection)
            .await?;
    }
    let sql = "DELETE FROM @.set_aside WHERE kind = $1 AND row_id = $2 AND account_id = $3";
    let query = Query::new(schema, sql).bind(row.kind.as_str())?.bind(row.id.as_str())?;
    query.bind(row.account_id.as_str())?.all(connection).await?;
    Ok(())
}
