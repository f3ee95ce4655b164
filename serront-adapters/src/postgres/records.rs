//! Records of attempts: one statement for one record, and one for the records that concurrent callers share.
//!
//! An attempt at a delivery locks its subscription before the effect. Commits that give up deliveries use the same
//! order. A shared statement waits for no lock: it leaves out what another transaction has locked, and each of those is
//! then sent separately.

use std::collections::HashSet;
use std::time::Duration;

use serront_core::changes::effect::{ATTEMPTS_KEPT, Attempt, EffectId, EffectStatus};
use serront_core::ports::LeaseLost;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Fence, NextAttempt};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::error::of_write;
use super::statement::{Builder, Relation, Shape};
use super::work::at;
use crate::sql::cells::{Cell, Cells as _};
use crate::sql::error::Failed;
use crate::sql::work::{after, forgotten, table_of};

/// The arguments of a record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) account_id: AccountId,
    pub(super) id: EffectId,
    pub(super) fence: Fence,
    pub(super) attempt: Attempt,
    pub(super) next: NextAttempt,
}

/// How long the recording of an attempt waits for a subscription that a host's transaction has locked, before it fails
/// as busy. The caller then waits in memory instead of on a connection, and tries again.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// The condition that sets the time limit before any lock is awaited.
const PATIENT: &str = " AND (SELECT p.ends FROM patience p) IS NOT NULL";

const INSERT: &str = "INSERT INTO @.attempts (effect_id, attempt_number, account_id, status, response_code, error, \
                      duration_ms, attempted_at, next_retry_at)";

fn number<T>(value: T) -> i64
where
    i64: TryFrom<T>,
{
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Records an attempt in one statement, if the lease is still that of the fence.
pub(super) async fn one(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    record: &Record,
    patience: Duration,
) -> Result<Result<(), LeaseLost>, Failed> {
    let Record { account_id, id, fence, attempt, next } = record;
    let (status, due_in) = after(attempt, *next);
    let (locked, waits, counted) = match id {
        EffectId::Delivery(_) => {
            let (which, set) = if attempt.status == EffectStatus::Succeeded {
                (
                    " AND (u.failures > 0 OR u.took_seconds <> $10 / 1000)",
                    "failures = 0, failing_since = NULL, took_seconds = $10 / 1000",
                )
            } else {
                (
                    "",
                    &*format!(
                        "failures = u.failures + 1, failing_since = coalesce(u.failing_since, {now}), \
                         took_seconds = $10 / 1000"
                    ),
                )
            };
            (
                format!(
                    "whose AS MATERIALIZED (SELECT u.subscription_id, u.account_id FROM @.subscriptions u \
                     WHERE (u.subscription_id, u.account_id) IN (SELECT e.subscription_id, e.account_id \
                     FROM @.effects e WHERE e.effect_id = $3 AND e.account_id = $4){which}{PATIENT} FOR NO KEY UPDATE OF u), "
                ),
                " AND (SELECT count(*) FROM whose) >= 0",
                format!(
                    "counted AS (UPDATE @.subscriptions u SET {set} FROM whose w, kept \
                     WHERE u.subscription_id = w.subscription_id AND u.account_id = w.account_id) "
                ),
            )
        }
        EffectId::Mail(_) | EffectId::Removal(_) | EffectId::Errand(_) => (String::new(), "", String::new()),
    };
    let forgets = if forgotten(attempt).is_some() {
        format!(
            ", forgotten AS (DELETE FROM @.attempts a USING kept WHERE a.effect_id = $3 AND a.account_id = $4 \
             AND a.attempt_number <= $6 - {ATTEMPTS_KEPT}) "
        )
    } else {
        String::new()
    };
    let comma = if counted.is_empty() { " " } else { ", " };
    let sql = format!(
        "WITH patience (ends) AS MATERIALIZED (SELECT set_config('lock_timeout', '{}', true)), \
         {locked}kept AS (UPDATE @.{} SET status = $1, due_at = coalesce({now} + $2, due_at), attempts = attempts + 1, \
         lease_until = 0 WHERE effect_id = $3 AND account_id = $4 AND fence = $5 AND status = 'pending' \
         AND lease_until > 0{PATIENT}{waits} RETURNING 1){comma}{counted}{forgets}\
         {INSERT} SELECT $3, $6, $4, $7, $8, $9, $10, $11, $12 FROM kept",
        // 0 would mean no limit.
        patience.as_millis().clamp(1, 60_000),
        table_of(*id)
    );
    let written = sqlx::query(at(schema, &sql))
        .bind(status)
        .bind(due_in)
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(number(fence.0))
        .bind(i64::from(attempt.attempt_number))
        .bind(attempt.status.as_str())
        .bind(attempt.response_code.map(i64::from))
        .bind(&attempt.error)
        .bind(number(attempt.duration_ms))
        .bind(attempt.attempted_at.millis())
        .bind(attempt.next_retry_at.map(Timestamp::millis))
        .execute(connection)
        .await
        .map_err(of_write)?
        .rows_affected();
    Ok(if written == 0 { Err(LeaseLost) } else { Ok(()) })
}

/// The records of a shared statement.
const RECORDS: &Shape<12> = &Shape(
    "records",
    [
        "effect_id",
        "account_id",
        "fence",
        "status",
        "due_in",
        "attempt_number",
        "attempt_status",
        "response_code",
        "error",
        "duration_ms",
        "attempted_at",
        "next_retry_at",
    ],
);

fn cells(record: &Record) -> [Cell; 12] {
    let Record { account_id, id, fence, attempt, next } = record;
    let (status, due_in) = after(attempt, *next);
    let text = |text: &str| Cell::Text(Some(text.to_owned()));
    let int = |number| Cell::Int(Some(number));
    [
        text(&id.to_string()),
        text(&account_id.to_string()),
        int(number(fence.0)),
        text(status),
        Cell::Int(due_in),
        int(i64::from(attempt.attempt_number)),
        text(attempt.status.as_str()),
        Cell::Int(attempt.response_code.map(i64::from)),
        Cell::Text(attempt.error.clone()),
        int(number(attempt.duration_ms)),
        int(attempt.attempted_at.millis()),
        Cell::Int(attempt.next_retry_at.map(Timestamp::millis)),
    ]
}

/// Records attempts at different effects of one table in one statement, and returns the places of those that are
/// written. The lease of each other one is lost, or another transaction has locked its effect or its subscription:
/// [`one`] tells.
pub(super) async fn many(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    records: &[Record],
) -> Result<HashSet<usize>, Failed> {
    let Some(first) = records.first() else { return Ok(HashSet::new()) };
    let deliveries = records.iter().any(|record| matches!(record.id, EffectId::Delivery(_)));
    let forgets = records.iter().any(|record| forgotten(&record.attempt).is_some());
    let (sql, arguments) = statement(table_of(first.id), records, (deliveries, forgets), now)?.finish(schema);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await.map_err(of_write)?;
    let mut written = HashSet::with_capacity(rows.len());
    for row in &rows {
        written.insert(usize::try_from(row.int("n")?).map_err(|_| Failed::Unreadable("n"))?);
    }
    Ok(written)
}

fn statement(
    table: &str,
    records: &[Record],
    (deliveries, forgets): (bool, bool),
    now: &str,
) -> Result<Builder, Failed> {
    const LEASED: &str = "e.status = 'pending' AND e.lease_until > 0";
    let mut sql = Builder::new();
    sql.step("clock (now)").push(&format!("MATERIALIZED (SELECT {now})"));
    sql.relation(&Relation::of(RECORDS, records.iter().map(cells)), true)?;
    let mut free = "";
    if deliveries {
        sql.step("aimed").push(&format!(
            "MATERIALIZED (SELECT r.n, r.account_id, e.subscription_id, r.attempt_status = 'succeeded' AS succeeded, \
             r.duration_ms / 1000 AS took FROM records r JOIN @.{table} e ON e.effect_id = r.effect_id \
             AND e.account_id = r.account_id AND e.fence = r.fence WHERE e.subscription_id IS NOT NULL AND {LEASED})"
        ));
        // A success changes nothing if the attempt before succeeded as fast.
        sql.step("changed").push(
            "MATERIALIZED (SELECT DISTINCT a.subscription_id, a.account_id FROM aimed a JOIN @.subscriptions u \
             ON u.subscription_id = a.subscription_id AND u.account_id = a.account_id \
             WHERE NOT a.succeeded OR u.failures > 0 OR u.took_seconds <> a.took)",
        );
        sql.step("whose").push(
            "MATERIALIZED (SELECT u.subscription_id, u.account_id FROM @.subscriptions u \
             WHERE (u.subscription_id, u.account_id) IN (SELECT c.subscription_id, c.account_id FROM changed c) \
             ORDER BY u.subscription_id, u.account_id FOR NO KEY UPDATE OF u SKIP LOCKED)",
        );
        free = " WHERE (SELECT count(*) FROM whose) >= 0 AND r.n NOT IN (SELECT a.n FROM aimed a \
                JOIN changed c USING (subscription_id, account_id) LEFT JOIN whose w USING (subscription_id, account_id) \
                WHERE w.subscription_id IS NULL)";
    }
    sql.step("held").push(&format!(
        "MATERIALIZED (SELECT e.effect_id, e.account_id, e.fence FROM @.{table} e WHERE (e.effect_id, e.account_id) IN \
         (SELECT r.effect_id, r.account_id FROM records r{free}) AND {LEASED} \
         ORDER BY e.effect_id, e.account_id FOR NO KEY UPDATE OF e SKIP LOCKED)"
    ));
    sql.step("kept").push(&format!(
        "(UPDATE @.{table} e SET status = r.status, due_at = coalesce((SELECT now FROM clock) + r.due_in, e.due_at), \
         attempts = e.attempts + 1, lease_until = 0 FROM records r JOIN held h ON h.effect_id = r.effect_id \
         AND h.account_id = r.account_id AND h.fence = r.fence WHERE e.effect_id = h.effect_id \
         AND e.account_id = h.account_id RETURNING r.n)"
    ));
    if deliveries {
        // As if they were recorded one after another: the failures after the last success are the streak.
        sql.step("counted").push(
            "(UPDATE @.subscriptions u SET failures = CASE WHEN c.ended THEN 0 ELSE u.failures END + c.failed, \
             failing_since = CASE WHEN c.failed = 0 THEN NULL WHEN c.ended THEN (SELECT now FROM clock) \
             ELSE coalesce(u.failing_since, (SELECT now FROM clock)) END, took_seconds = c.took \
             FROM (SELECT l.subscription_id, l.account_id, bool_or(l.succeeded) AS ended, \
             count(*) FILTER (WHERE l.n > coalesce(l.last, -1)) AS failed, (array_agg(l.took ORDER BY l.n DESC))[1] AS took \
             FROM (SELECT a.*, max(a.n) FILTER (WHERE a.succeeded) OVER (PARTITION BY a.subscription_id, a.account_id) AS last \
             FROM aimed a JOIN kept k USING (n)) l GROUP BY l.subscription_id, l.account_id) c, whose w \
             WHERE u.subscription_id = c.subscription_id AND u.account_id = c.account_id \
             AND w.subscription_id = c.subscription_id AND w.account_id = c.account_id)",
        );
    }
    if forgets {
        sql.step("forgotten").push(&format!(
            "(DELETE FROM @.attempts a USING kept k JOIN records r USING (n) WHERE a.effect_id = r.effect_id \
             AND a.account_id = r.account_id AND a.attempt_number <= r.attempt_number - {ATTEMPTS_KEPT})"
        ));
    }
    sql.step("logged").push(&format!(
        "({INSERT} SELECT r.effect_id, r.attempt_number, r.account_id, r.attempt_status, r.response_code, r.error, \
         r.duration_ms, r.attempted_at, r.next_retry_at FROM kept k JOIN records r USING (n))"
    ));
    sql.push("\nSELECT n FROM kept");
    Ok(sql)
}
