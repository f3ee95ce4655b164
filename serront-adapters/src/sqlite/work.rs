//! The dispatcher's bookkeeping: leases, attempts, pruning. All of it runs in the writer.

use std::collections::BTreeMap;
use std::time::Duration;

use serront_core::effect::{Attempt, EffectId};
use serront_core::ids::{AccountId, KeyId};
use serront_core::key::WebhookSecret;
use serront_core::ports::{Due, DueEffect, Fence, LeaseLost, NextAttempt, Prune, Pruned, Target};
use serront_core::time::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::sql::error::Failed;
use crate::sql::rows;

type Worked<T> = Result<T, Failed>;

/// How many due effects are looked at for each one wanted, so that a subscription with a long queue does not hide the
/// others behind it.
const LOOK_AHEAD: u32 = 8;

pub(super) async fn take_due(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
    per_subscription: u32,
    lease: Duration,
) -> Worked<Vec<Due>> {
    let rows = sqlx::query(
        "SELECT effect_id, account_id, kind, content, subscription_id, event_id, event_type, attempts, fence, \
         (SELECT count(*) FROM effects l WHERE l.status = 'pending' AND l.lease_until > 0 AND l.lease_until > ?1 \
          AND l.subscription_id = e.subscription_id) AS under_way \
         FROM effects e WHERE status = 'pending' AND due_at <= ?1 AND lease_until <= ?1 AND under_way < ?2 \
         ORDER BY due_at, effect_id LIMIT ?3",
    )
    .bind(now.millis())
    .bind(per_subscription)
    .bind(limit.saturating_mul(LOOK_AHEAD))
    .fetch_all(&mut *connection)
    .await?;
    let mut under_way = BTreeMap::<String, i64>::new();
    let mut taken = Vec::new();
    for row in &rows {
        if taken.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
        if let Some(subscription) = row.try_get::<Option<String>, _>("subscription_id")? {
            let before = row.try_get("under_way")?;
            let count = under_way.entry(subscription).or_insert(before);
            if *count >= i64::from(per_subscription) {
                continue;
            }
            *count += 1;
        }
        taken.push(lease_one(connection, row, now.plus(lease)).await?);
    }
    Ok(taken)
}

async fn lease_one(connection: &mut SqliteConnection, row: &SqliteRow, until: Timestamp) -> Worked<Due> {
    let id: EffectId = rows::id(row, "effect_id")?;
    let account_id: AccountId = rows::id(row, "account_id")?;
    let fence = rows::whole::<u64>(row, "fence")?.saturating_add(1);
    sqlx::query("UPDATE effects SET lease_until = ?, fence = fence + 1 WHERE effect_id = ? AND account_id = ?")
        .bind(until.millis())
        .bind(id.to_string())
        .bind(account_id.to_string())
        .execute(&mut *connection)
        .await?;
    let content: String = row.try_get("content")?;
    let effect = match id {
        EffectId::Mail(_) => DueEffect::Mail(serde_json::from_str(&content).map_err(|_| Failed::Unreadable("mail"))?),
        EffectId::Removal(_) => DueEffect::Removal(content.parse().map_err(|_| Failed::Unreadable("upload"))?),
        EffectId::Delivery(_) => DueEffect::Delivery {
            event_id: rows::id(row, "event_id")?,
            event_type: rows::event_type(row)?,
            body: content,
            target: target(connection, account_id, row.try_get("subscription_id")?).await?,
        },
    };
    Ok(Due { id, account_id, fence: Fence(fence), attempts: rows::whole(row, "attempts")?, effect })
}

async fn target(
    connection: &mut SqliteConnection,
    account: AccountId,
    subscription: &str,
) -> Worked<Option<Box<Target>>> {
    let row = sqlx::query(
        "SELECT subscription_id, account_id, created_at, version, url, events, active, secret FROM subscriptions \
         WHERE subscription_id = ? AND account_id = ?",
    )
    .bind(subscription)
    .bind(account.to_string())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let secret = WebhookSecret::parse(row.try_get("secret")?).ok_or(Failed::Unreadable("secret"))?;
    Ok(Some(Box::new(Target { subscription: rows::subscription(&row)?, secret })))
}

pub(super) async fn record_attempt(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: EffectId,
    fence: Fence,
    attempt: &Attempt,
    next: NextAttempt,
) -> Worked<Result<(), LeaseLost>> {
    let (status, due_at) = match next {
        NextAttempt::Succeeded => ("succeeded", None),
        NextAttempt::Failed => ("failed", None),
        NextAttempt::At(time) => ("pending", Some(time.millis())),
    };
    let written = sqlx::query(
        "UPDATE effects SET status = ?, due_at = coalesce(?, due_at), attempts = attempts + 1, lease_until = 0 \
         WHERE effect_id = ? AND account_id = ? AND fence = ? AND status = 'pending' AND lease_until > 0",
    )
    .bind(status)
    .bind(due_at)
    .bind(id.to_string())
    .bind(account.to_string())
    .bind(i64::try_from(fence.0).unwrap_or(i64::MAX))
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if written == 0 {
        return Ok(Err(LeaseLost));
    }
    sqlx::query(
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
    Ok(Ok(()))
}

pub(super) async fn prune(connection: &mut SqliteConnection, prune: Prune) -> Worked<Pruned> {
    let kept = sqlx::query(
        "DELETE FROM kept_outcomes WHERE rowid IN (SELECT rowid FROM kept_outcomes WHERE until <= ? LIMIT ?)",
    )
    .bind(prune.kept_until.millis())
    .bind(prune.limit)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let change_sets = sqlx::query(
        "DELETE FROM change_sets WHERE (change_set_id, account_id) IN \
         (SELECT change_set_id, account_id FROM change_sets WHERE at < ? LIMIT ?)",
    )
    .bind(prune.change_sets_before.millis())
    .bind(prune.limit)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let finished = sqlx::query(
        "DELETE FROM effects WHERE rowid IN \
         (SELECT rowid FROM effects WHERE status <> 'pending' AND created_at < ? ORDER BY created_at LIMIT ?) \
         RETURNING effect_id, account_id",
    )
    .bind(prune.effects_before.millis())
    .bind(prune.limit)
    .fetch_all(&mut *connection)
    .await?;
    for row in &finished {
        sqlx::query("DELETE FROM attempts WHERE effect_id = ? AND account_id = ?")
            .bind(row.try_get::<&str, _>("effect_id")?)
            .bind(row.try_get::<&str, _>("account_id")?)
            .execute(&mut *connection)
            .await?;
    }
    let effects = u64::try_from(finished.len()).unwrap_or(u64::MAX);
    Ok(Pruned { kept, effects, change_sets })
}

pub(super) async fn touch_key(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: KeyId,
    at: Timestamp,
) -> Worked<()> {
    sqlx::query(
        "UPDATE api_keys SET last_used_at = ?1 WHERE key_id = ?2 AND account_id = ?3 \
         AND (last_used_at IS NULL OR last_used_at < ?1)",
    )
    .bind(at.millis())
    .bind(id.to_string())
    .bind(account.to_string())
    .execute(connection)
    .await?;
    Ok(())
}
