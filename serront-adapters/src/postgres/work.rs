//! Leases and pruning, for the dispatcher and the janitor.

use std::collections::HashMap;
use std::time::Duration;

use serront_core::changes::effect::Lane;
use serront_core::policy::DeliveryShares;
use serront_core::primitives::ids::{AccountId, KeyId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Due, Prune, Pruned, Target};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::of_write;
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::set_aside::{Found, effects, part};
use crate::sql::work::{
    FENCE_MAX, OVER, TABLES, TARGET, chosen_deliveries, due, due_count_statement, pending, slow_seconds, table, target,
};

type Worked<T> = Result<T, Failed>;

/// The advisory locks of a schema: for taking deliveries, and for folding.
const DELIVERIES: i32 = 1;
pub(super) const FOLDER: i32 = 2;

pub(super) fn at(schema: &str, sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("@.", schema))
}

/// The server's time.
pub(super) async fn now(connection: &mut PgConnection) -> Worked<Timestamp> {
    let row = sqlx::query("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now")
        .fetch_one(connection)
        .await?;
    Ok(Timestamp::from_millis(row.int("now")?))
}

/// Due deliveries: how many, up to a few, and when they were counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueCount {
    deliveries: i64,
    at: Timestamp,
}

/// Counts due deliveries without a lock; `None` if there are none.
pub(super) async fn due_count(connection: &mut PgConnection, (schema, now): (&str, &str)) -> Worked<Option<DueCount>> {
    // The time is a parameter of the count, so that the index is used.
    let count = due_count_statement("@.").replace("$1", "c.now");
    let sql = format!("SELECT c.now, d.due FROM (SELECT {now} AS now) c CROSS JOIN LATERAL ({count}) d");
    let row = sqlx::query(at(schema, &sql)).fetch_one(connection).await?;
    let (deliveries, now) = (row.int("due")?, row.int("now")?);
    Ok((deliveries > 0).then_some(DueCount { deliveries, at: Timestamp::from_millis(now) }))
}

/// A leased effect, without its content: so the answer fits into network buffers even if a frozen host does not read
/// it.
pub(super) struct Leased {
    effect_id: String,
    account_id: String,
    fence: i64,
    due_at: i64,
    turn: i64,
    /// When it was leased.
    pub(super) at: Timestamp,
}

/// The longest lease: any time plus it is still an integer.
const LEASE_MAX_MS: i64 = i64::MAX / 4;

/// Leases due effects, in one round trip. The server commits without waiting for this host, so a host that stops at any
/// moment holds no locks.
///
/// Hosts take deliveries one after another, so that the deliveries in progress to a subscription are counted correctly.
/// In the other lanes, a host skips what another one is taking.
pub(super) async fn lease_due(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    (lane, due): (Lane, Option<DueCount>),
    limit: u32,
    shares: DeliveryShares,
    lease: Duration,
) -> Worked<Vec<Leased>> {
    let table = table(lane);
    let lease = millis(lease).min(LEASE_MAX_MS);
    // In a message of several statements, the second would see the time at which the message arrived.
    let time = due.map_or_else(|| "(SELECT now FROM clock)".to_owned(), |due| due.at.millis().to_string());
    let leases = |turn: &str| {
        format!(
            "UPDATE @.{table} e SET lease_until = $1 + {lease}, fence = least(e.fence, {FENCE_MAX}) + 1 FROM w \
             WHERE e.effect_id = w.effect_id AND e.account_id = w.account_id \
             RETURNING e.effect_id, e.account_id, e.fence, e.due_at, {turn} AS turn, ($1)::int8 AS at"
        )
    };
    let sql = match lane {
        Lane::Mails | Lane::Removals | Lane::Errands => {
            let pending = pending(lane).1;
            // If another host has changed a row, the conditions are checked again once it is locked.
            format!(
                "WITH clock (now) AS MATERIALIZED (SELECT {now}), \
                 w AS MATERIALIZED (SELECT e.effect_id, e.account_id FROM @.{table} e \
                 WHERE {pending} AND e.due_at <= $1 AND e.lease_until <= $1 ORDER BY e.due_at, e.effect_id LIMIT $2 \
                 FOR NO KEY UPDATE OF e SKIP LOCKED) {}",
                leases("0::int8")
            )
        }
        Lane::Deliveries => {
            const FIRST: &str = "CROSS JOIN LATERAL (SELECT f.* FROM @.effects f WHERE f.status = 'pending' \
                                 AND f.subscription_id = q.subscription_id AND f.due_at <= $1 AND f.lease_until <= $1 \
                                 ORDER BY f.due_at, f.effect_id LIMIT $3) e";
            // Several statements in one message are one transaction, and each sees what was committed before it began.
            // So the second sees what the previous holder of the lock has taken.
            //
            // Skips effects that a commit is giving up, or whose attempt a late worker is recording: they are no longer
            // due, or are taken next time.
            format!(
                "SELECT 1 WHERE pg_advisory_xact_lock(hashtext($0), {DELIVERIES})::text IS NULL; \
                 {}, turns AS (SELECT c.*, row_number() OVER (ORDER BY c.place, c.failures, c.due_at, c.effect_id) AS turn \
                 FROM chosen c), \
                 w AS MATERIALIZED (SELECT e.effect_id, e.account_id, c.turn FROM turns c JOIN @.{table} e \
                 ON e.effect_id = c.effect_id AND e.account_id = c.account_id AND e.attempts = c.attempts \
                 WHERE e.status = 'pending' AND e.due_at <= $1 AND e.lease_until <= $1 \
                 FOR NO KEY UPDATE OF e SKIP LOCKED) {}",
                chosen_deliveries("@.", due.map_or(0, |due| due.deliveries), FIRST),
                leases("w.turn")
            )
        }
    };
    // A message of several statements takes no arguments. These are numbers, and a schema's name without quotes.
    let arguments = [
        format!("'{schema}'"),
        time,
        limit.to_string(),
        shares.per_subscription.to_string(),
        shares.per_account.to_string(),
        shares.failing.to_string(),
        slow_seconds(shares).to_string(),
    ];
    let sql = (0..).zip(&arguments).fold(sql, |sql, (n, argument)| sql.replace(&format!("${n}"), argument));
    let rows = sqlx::raw_sql(at(schema, &sql)).fetch_all(connection).await.map_err(of_write)?;
    let mut leased = Vec::with_capacity(rows.len());
    for row in &rows {
        leased.push(Leased {
            effect_id: row.text("effect_id")?.to_owned(),
            account_id: row.text("account_id")?.to_owned(),
            fence: row.int("fence")?,
            due_at: row.int("due_at")?,
            turn: row.int("turn")?,
            at: Timestamp::from_millis(row.int("at")?),
        });
    }
    leased.sort_by(|one, other| {
        (one.turn, one.due_at, &one.effect_id).cmp(&(other.turn, other.due_at, &other.effect_id))
    });
    Ok(leased)
}

/// Reads the leased effects whose lease still holds.
pub(super) async fn leased(
    connection: &mut PgConnection,
    schema: &str,
    (lane, now): (Lane, Timestamp),
    leased: &[Leased],
) -> Worked<Found<Due>> {
    // `due` expects the row as it was before its lease.
    let of_deliveries = match lane {
        Lane::Deliveries => "e.subscription_id, e.event_id, e.event_type",
        Lane::Mails | Lane::Removals | Lane::Errands => "NULL::text AS subscription_id",
    };
    let sql = format!(
        "SELECT e.effect_id, e.account_id, e.content, {of_deliveries}, e.attempts, e.fence - 1 AS fence \
         FROM unnest($1::text[], $2::text[], $3::int8[]) WITH ORDINALITY AS w (effect_id, account_id, fence, turn) \
         JOIN @.{} e ON e.effect_id = w.effect_id AND e.account_id = w.account_id AND e.fence = w.fence \
         WHERE e.status = 'pending' AND e.lease_until > 0 ORDER BY w.turn",
        table(lane)
    );
    let rows = sqlx::query(at(schema, &sql))
        .bind(leased.iter().map(|leased| leased.effect_id.as_str()).collect::<Vec<_>>())
        .bind(leased.iter().map(|leased| leased.account_id.as_str()).collect::<Vec<_>>())
        .bind(leased.iter().map(|leased| leased.fence).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let targets = targets(connection, schema, &rows, now).await?;
    let mut found = Found::default();
    for row in &rows {
        let before = found.unread.len();
        let read = || {
            let target = row.optional_text("subscription_id")?.and_then(|id| targets.get(id));
            let target = target.map(|target| target.clone().map_err(Failed::Unreadable)).transpose()?;
            due(row, target)
        };
        found.add(row, effects(table(lane)), read())?;
        for unread in found.unread.iter_mut().skip(before) {
            unread.fence = Some(row.int("fence")?.saturating_add(1));
        }
    }
    Ok(found)
}

/// The subscriptions of deliveries, by id; an error is the part that can't be read.
async fn targets(
    connection: &mut PgConnection,
    schema: &str,
    chosen: &[PgRow],
    now: Timestamp,
) -> Worked<HashMap<String, Result<Target, &'static str>>> {
    let (mut accounts, mut ids) = (Vec::new(), Vec::new());
    for row in chosen {
        if let Some(id) = row.optional_text("subscription_id")? {
            accounts.push(row.text("account_id")?.to_owned());
            ids.push(id.to_owned());
        }
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT {TARGET} FROM @.subscriptions u WHERE (subscription_id, account_id) IN \
         (SELECT id, account_id FROM unnest($1::text[], $2::text[]) AS w (id, account_id))"
    );
    let rows = sqlx::query(at(schema, &sql)).bind(ids).bind(accounts).fetch_all(connection).await?;
    let mut targets = HashMap::with_capacity(rows.len());
    for row in &rows {
        let target = match target(row, now) {
            Ok(target) => Ok(target),
            Err(failed) => Err(part(failed)?),
        };
        targets.insert(row.text("subscription_id")?.to_owned(), target);
    }
    Ok(targets)
}

/// The due time of the earliest effect that is not leased.
pub(super) async fn next_due(
    connection: &mut PgConnection,
    schema: &str,
    lane: Lane,
    now: Timestamp,
) -> Worked<Option<Timestamp>> {
    let (table, pending) = pending(lane);
    let sql = format!(
        "SELECT due_at FROM @.{table} WHERE {pending} AND lease_until <= $1 ORDER BY due_at, effect_id LIMIT 1"
    );
    let row = sqlx::query(at(schema, &sql)).bind(now.millis()).fetch_optional(connection).await?;
    row.map(|row| Ok(Timestamp::from_millis(row.int("due_at")?))).transpose()
}

/// An age in milliseconds, to subtract from a time.
fn millis(age: Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

pub(super) async fn prune(connection: &mut PgConnection, (schema, now): (&str, &str), prune: Prune) -> Worked<Pruned> {
    let limit = i64::from(prune.limit);
    let kept = format!(
        "DELETE FROM @.kept_outcomes WHERE ctid IN \
         (SELECT ctid FROM @.kept_outcomes WHERE until <= {now} - $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
    );
    let change_sets = format!(
        "DELETE FROM @.change_sets WHERE ctid IN \
         (SELECT ctid FROM @.change_sets WHERE at < {now} - $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
    );
    let mut gone = [0; 2];
    for (count, (sql, age)) in gone.iter_mut().zip([(kept, 0), (change_sets, millis(prune.change_sets_kept))]) {
        let done = sqlx::query(at(schema, &sql)).bind(age).bind(limit).execute(&mut *connection).await;
        *count = done.map_err(of_write)?.rows_affected();
    }
    let [kept, change_sets] = gone;
    let mut effects = 0;
    for table in TABLES {
        let left = u64::from(prune.limit).saturating_sub(effects);
        effects += prune_effects(connection, (schema, now), table, millis(prune.effects_kept), left).await?;
    }
    Ok(Pruned { kept, effects, change_sets })
}

async fn prune_effects(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    table: &str,
    age: i64,
    limit: u64,
) -> Worked<u64> {
    let sql = format!(
        "WITH gone AS (DELETE FROM @.{table} WHERE ctid IN (SELECT ctid FROM @.{table} \
         WHERE status <> 'pending' AND {OVER} AND created_at < {now} - $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING effect_id, account_id), \
         logs AS (DELETE FROM @.attempts t USING gone g WHERE t.effect_id = g.effect_id \
         AND t.account_id = g.account_id) SELECT 1 FROM gone"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let done = sqlx::query(at(schema, &sql)).bind(age).bind(limit).execute(connection).await;
    Ok(done.map_err(of_write)?.rows_affected())
}

pub(super) async fn touch_key(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    id: KeyId,
    pause: Duration,
) -> Worked<()> {
    // Another transaction that has locked the key records a use too, or deletes the key.
    let sql = format!(
        "UPDATE @.api_keys k SET last_used_at = {now} FROM (SELECT key_id, account_id FROM @.api_keys \
         WHERE key_id = $1 AND account_id = $2 \
         AND (last_used_at IS NULL OR (last_used_at < {now} AND last_used_at <= {now} - $3)) \
         FOR NO KEY UPDATE SKIP LOCKED) w WHERE k.key_id = w.key_id AND k.account_id = w.account_id"
    );
    sqlx::query(at(schema, &sql))
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(millis(pause))
        .execute(connection)
        .await
        .map_err(of_write)?;
    Ok(())
}
