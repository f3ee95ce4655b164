//! Records, lists and tries again rows that can't be read. What writes runs in the writer.

use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::set_aside::SetAsides;

use super::connection::{Connection, SqliteRow, query};

use super::error::ends_transaction;
use super::migrations::reads;
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::set_aside::{
    COUNT, LIST, RECORDED, REST, RESTED, Rested, TRIED_MAX, Unread, again_statement, again_to, effects_table, listed,
    put_off_until, rested, still_unread, stranger, strangers,
};
use crate::sql::work::TARGET;

type Worked<T> = Result<T, Failed>;

fn at(sql: &str) -> String {
    sql.replace("@.", "")
}

/// The number of rows that are set aside, and the oldest of them.
pub(super) async fn list(connection: &mut Connection<'_>, limit: u32) -> Worked<SetAsides> {
    let counted = query(at(COUNT)).fetch_one(connection).await?.int("rows")?;
    let rows = query(at(LIST)).bind(limit).fetch_all(connection).await?;
    let rows = rows.iter().map(listed).collect::<Worked<_>>()?;
    Ok(SetAsides { count: u64::try_from(counted).unwrap_or(0), rows })
}

/// Records rows that can't be read.
pub(super) async fn record(connection: &mut Connection<'_>, unread: &[Unread], now: Timestamp) -> Worked<()> {
    let sql = format!(
        "INSERT INTO set_aside AS n (kind, row_id, account_id, what, since, tried_at, tried_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) {RECORDED}"
    );
    for row in unread {
        query(sql.clone())
            .bind(row.kind.as_str())
            .bind(&row.id)
            .bind(&row.account_id)
            .bind(row.what)
            .bind(now.millis())
            .bind(reads())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Sets effects aside: records them, and postpones them until they are tried again.
pub(super) async fn put_off(connection: &mut Connection<'_>, unread: &[Unread], now: Timestamp) -> Worked<()> {
    for row in unread {
        let Some(table) = effects_table(row.kind) else { continue };
        let sql =
            format!("UPDATE {table} SET due_at = ? WHERE effect_id = ? AND account_id = ? AND status = 'pending'");
        query(sql).bind(put_off_until(now).millis()).bind(&row.id).bind(&row.account_id).execute(connection).await?;
    }
    record(connection, unread, now).await
}

/// Tries rows again that were set aside. A failure is ignored until the next look, unless it ends the transaction.
pub(super) async fn look_again(connection: &mut Connection<'_>, began: Timestamp, now: Timestamp) -> Worked<()> {
    match try_again(connection, began, now).await {
        Err(failed) if ends_transaction(&failed) => Err(failed),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn try_again(connection: &mut Connection<'_>, began: Timestamp, now: Timestamp) -> Worked<()> {
    for (named, what, sql) in strangers() {
        let rows = query(at(&sql)).bind(TRIED_MAX).fetch_all(connection).await?;
        let found: Vec<_> = rows.iter().filter_map(|row| stranger(row, named, what)).collect();
        record(connection, &found, now).await?;
    }
    let rows = query(at(RESTED))
        .bind(now.minus(REST).millis())
        .bind(began.millis())
        .bind(reads())
        .bind(TRIED_MAX)
        .fetch_all(connection)
        .await?;
    for row in rows.iter().map(rested).collect::<Worked<Vec<_>>>()? {
        match again(connection, &row, now).await? {
            Some(what) => {
                let Rested { kind, id, account_id, .. } = row;
                put_off(connection, &[Unread { kind, id, account_id, what, fence: None }], now).await?;
            }
            None => take_up(connection, &row, now).await?,
        }
    }
    Ok(())
}

/// The part of a row that still can't be read; `None` if all can, or the row no longer exists.
async fn again(connection: &mut Connection<'_>, row: &Rested, now: Timestamp) -> Worked<Option<&'static str>> {
    let Some(sql) = again_statement(row.kind) else { return Ok(Some("kind")) };
    let found = one(connection, &sql, &row.id, &row.account_id).await?;
    let Some(found) = found else { return Ok(None) };
    let to = match again_to(&found, row.kind) {
        None => None,
        Some(id) => {
            let sql = format!("SELECT {TARGET} FROM subscriptions u WHERE subscription_id = $1 AND account_id = $2");
            one(connection, &sql, id, &row.account_id).await?
        }
    };
    still_unread(&found, row.kind, to.as_ref(), now)
}

async fn one(connection: &mut Connection<'_>, sql: &str, id: &str, account: &str) -> Worked<Option<SqliteRow>> {
    query(at(sql)).bind(id).bind(account).fetch_optional(connection).await
}

/// Makes a postponed effect due, and deletes the record.
async fn take_up(connection: &mut Connection<'_>, row: &Rested, now: Timestamp) -> Worked<()> {
    if let Some(table) = effects_table(row.kind) {
        let sql = format!(
            "UPDATE {table} SET due_at = ? WHERE effect_id = ? AND account_id = ? AND status = 'pending' AND due_at = ?"
        );
        query(sql)
            .bind(now.millis())
            .bind(&row.id)
            .bind(&row.account_id)
            .bind(put_off_until(row.tried_at).millis())
            .execute(connection)
            .await?;
    }
    query("DELETE FROM set_aside WHERE kind = ? AND row_id = ? AND account_id = ?")
        .bind(row.kind.as_str())
        .bind(&row.id)
        .bind(&row.account_id)
        .execute(connection)
        .await?;
    Ok(())
}
