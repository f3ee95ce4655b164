//! Leases, attempts and pruning, for the dispatcher and the janitor. The writer runs all of it.

use serront_core::changes::effect::EffectStatus;
use serront_core::ports::LeaseLost;
use serront_core::ports::prelude::*;

use super::connection::{Connection, SqliteRow, query};

use super::set_aside;
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, effects};
use crate::sql::work::{
    FENCE_MAX, OVER, TABLES, TARGET, after, due, due_count_statement, due_deliveries_statement, due_statement,
    forgotten, slow_seconds, table, target,
};

type Worked<T> = Result<T, Failed>;

/// The deliveries to take.
async fn due_deliveries(
    connection: &mut Connection<'_>,
    now: Timestamp,
    limit: u32,
    shares: DeliveryShares,
) -> Worked<Vec<SqliteRow>> {
    const FIRST: &str = "JOIN effects e ON e.rowid IN (SELECT f.rowid FROM effects f WHERE f.status = 'pending' \
                         AND f.subscription_id = q.subscription_id AND f.due_at <= $1 AND f.lease_until <= $1 \
                         ORDER BY f.due_at, f.effect_id LIMIT $3)";
    let counted = query(due_count_statement("")).bind(now.millis()).fetch_one(connection);
    let due = counted.await?.int("due")?;
    let rows = query(due_deliveries_statement("", due, FIRST))
        .bind(now.millis())
        .bind(limit)
        .bind(shares.per_subscription)
        .bind(shares.per_account)
        .bind(shares.failing)
        .bind(slow_seconds(shares))
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// Most looks for work if none of the rows that were found can be read.
const ROUNDS_MAX: u32 = 32;

/// Takes due effects. Effects that can't be read are set aside, so that the ones due after them are found.
pub(super) async fn take_due(
    connection: &mut Connection<'_>,
    (lane, now): (Lane, Timestamp),
    limit: u32,
    shares: DeliveryShares,
    lease: Duration,
) -> Worked<Vec<Due>> {
    for _ in 0..ROUNDS_MAX {
        let found = take(connection, (lane, now), limit, shares, lease).await?;
        set_aside::put_off(connection, &found.unread, now).await?;
        if found.unread.is_empty() || !found.rows.is_empty() {
            return Ok(found.rows);
        }
    }
    Ok(Vec::new())
}

async fn take(
    connection: &mut Connection<'_>,
    (lane, now): (Lane, Timestamp),
    limit: u32,
    shares: DeliveryShares,
    lease: Duration,
) -> Worked<Found<Due>> {
    let rows = match lane {
        Lane::Deliveries => due_deliveries(connection, now, limit, shares).await?,
        Lane::Mails | Lane::Removals | Lane::Errands => {
            let sql = due_statement("", lane);
            query(sql).bind(now.millis()).bind(limit).fetch_all(connection).await?
        }
    };
    let mut found = Found::default();
    for row in &rows {
        let taken = lease_one(connection, lane, row, (now, lease)).await;
        found.add(row, effects(table(lane)), taken)?;
    }
    Ok(found)
}

/// Reads an effect, and leases it if it can be read.
async fn lease_one(
    connection: &mut Connection<'_>,
    lane: Lane,
    row: &SqliteRow,
    (now, lease): (Timestamp, Duration),
) -> Worked<Due> {
    let account = row.text("account_id")?;
    let to = match row.optional_text("subscription_id")? {
        None => None,
        Some(subscription) => {
            let sql = format!("SELECT {TARGET} FROM subscriptions u WHERE subscription_id = ? AND account_id = ?");
            let query = query(sql).bind(subscription).bind(account);
            query.fetch_optional(connection).await?
        }
    };
    let due = due(row, to.as_ref().map(|to| target(to, now)).transpose()?)?;
    let sql = format!(
        "UPDATE {} SET lease_until = ?, fence = min(fence, {FENCE_MAX}) + 1 WHERE effect_id = ? AND account_id = ?",
        table(lane)
    );
    query(sql).bind(now.plus(lease).millis()).bind(row.text("effect_id")?).bind(account).execute(connection).await?;
    Ok(due)
}

pub(super) async fn record_attempt(
    connection: &mut Connection<'_>,
    (account, id): (AccountId, EffectId),
    fence: Fence,
    attempt: &Attempt,
    (next, now): (NextAttempt, Timestamp),
) -> Worked<Result<(), LeaseLost>> {
    let (status, due_in) = after(attempt, next);
    let due_at = due_in.map(|millis| now.millis().saturating_add(millis));
    let sql = format!(
        "UPDATE {} SET status = ?, due_at = coalesce(?, due_at), attempts = attempts + 1, lease_until = 0 \
         WHERE effect_id = ? AND account_id = ? AND fence = ? AND status = 'pending' AND lease_until > 0",
        table(id.lane())
    );
    let written = query(sql)
        .bind(status)
        .bind(due_at)
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(i64::try_from(fence.0).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    if written == 0 {
        return Ok(Err(LeaseLost));
    }
    query(
        "INSERT INTO attempts (effect_id, attempt_number, account_id, status, response_code, error, duration_ms, \
         attempted_at, next_retry_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.to_string())
    .bind(attempt.attempt_number)
    .bind(account.to_string())
    .bind(attempt.status.as_str())
    .bind(attempt.response_code)
    .bind(&attempt.error)
    .bind(i64::try_from(attempt.duration_ms).unwrap_or(i64::MAX))
    .bind(attempt.attempted_at.millis())
    .bind(attempt.next_retry_at.map(Timestamp::millis))
    .execute(connection)
    .await?;
    if let Some(forgotten) = forgotten(attempt) {
        query("DELETE FROM attempts WHERE effect_id = ? AND account_id = ? AND attempt_number <= ?")
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(forgotten)
            .execute(connection)
            .await?;
    }
    if matches!(id, EffectId::Delivery(_)) {
        count_attempt(connection, account, id, (attempt, now)).await?;
    }
    Ok(Ok(()))
}

/// Updates the streak of failures of a delivery's subscription, and records how long the attempt took.
async fn count_attempt(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: EffectId,
    (attempt, now): (&Attempt, Timestamp),
) -> Worked<()> {
    let counted = if attempt.status == EffectStatus::Succeeded {
        "UPDATE subscriptions SET failures = 0, failing_since = NULL, took_seconds = ?4 \
         WHERE (failures > 0 OR took_seconds <> ?4)"
    } else {
        "UPDATE subscriptions SET failures = failures + 1, failing_since = coalesce(failing_since, ?3), took_seconds = ?4 \
         WHERE 1"
    };
    let sql = format!(
        "{counted} AND account_id = ?2 \
         AND subscription_id = (SELECT subscription_id FROM effects WHERE effect_id = ?1 AND account_id = ?2)"
    );
    query(sql)
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(now.millis())
        .bind(i64::try_from(attempt.duration_ms / 1_000).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn prune(connection: &mut Connection<'_>, prune: Prune, now: Timestamp) -> Worked<Pruned> {
    let kept =
        query("DELETE FROM kept_outcomes WHERE rowid IN (SELECT rowid FROM kept_outcomes WHERE until <= ? LIMIT ?)")
            .bind(now.millis())
            .bind(prune.limit)
            .execute(connection)
            .await?;
    let change_sets = query(
        "DELETE FROM change_sets WHERE (change_set_id, account_id) IN \
         (SELECT change_set_id, account_id FROM change_sets WHERE at < ? LIMIT ?)",
    )
    .bind(now.minus(prune.change_sets_kept).millis())
    .bind(prune.limit)
    .execute(connection)
    .await?;
    let mut effects = 0;
    for table in TABLES {
        let left = prune.limit.saturating_sub(effects);
        effects = effects.saturating_add(prune_effects(connection, table, now.minus(prune.effects_kept), left).await?);
    }
    Ok(Pruned { kept, effects: effects.into(), change_sets })
}

async fn prune_effects(connection: &mut Connection<'_>, table: &str, before: Timestamp, limit: u32) -> Worked<u32> {
    let sql = format!(
        "DELETE FROM {table} WHERE rowid IN \
         (SELECT rowid FROM {table} WHERE status <> 'pending' AND {OVER} AND created_at < ? ORDER BY created_at LIMIT ?) \
         RETURNING effect_id, account_id"
    );
    let finished = query(sql).bind(before.millis()).bind(limit).fetch_all(connection).await?;
    for row in &finished {
        query("DELETE FROM attempts WHERE effect_id = ? AND account_id = ?")
            .bind(row.text("effect_id")?)
            .bind(row.text("account_id")?)
            .execute(connection)
            .await?;
    }
    Ok(u32::try_from(finished.len()).unwrap_or(u32::MAX))
}

pub(super) async fn touch_key(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: KeyId,
    at: Timestamp,
    pause: Duration,
) -> Worked<()> {
    query(
        "UPDATE api_keys SET last_used_at = ?1 WHERE key_id = ?2 AND account_id = ?3 \
         AND (last_used_at IS NULL OR (last_used_at < ?1 AND last_used_at <= ?4))",
    )
    .bind(at.millis())
    .bind(id.to_string())
    .bind(account.to_string())
    .bind(at.minus(pause).millis())
    .execute(connection)
    .await?;
    Ok(())
}
