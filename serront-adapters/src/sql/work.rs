//! Statements and rows for the dispatcher and the janitor: which due effects are taken, and how an effect is read for
//! an operator.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::effect::{ATTEMPTS_KEPT, Attempt, DeliveryAddress, EffectId, EffectRecord, Lane};
use serront_core::policy::DeliveryShares;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Due, DueEffect, EffectPosition, Fence, NextAttempt, SubscriptionSecrets, Target};
use serront_core::webhooks::subscription::Subscription;

use super::cells::{Cells, Read, Value};
use super::error::Failed;
use super::rows;
use super::tables::{Record, joined};

pub(crate) const EFFECTS: &str = "effects";
pub(crate) const ERRANDS: &str = "errands";

/// The tables of effects.
pub(crate) const TABLES: [&str; 2] = [EFFECTS, ERRANDS];

/// The largest fence that can be raised.
pub(crate) const FENCE_MAX: i64 = i64::MAX - 1;

/// The condition on effects that have ended, in the states that this version knows.
pub(crate) const OVER: &str = "status IN ('succeeded', 'failed')";

/// The table of a lane. Errands have their own, so that a host of a version without errands takes none.
pub(crate) const fn table(lane: Lane) -> &'static str {
    match lane {
        Lane::Mails | Lane::Deliveries | Lane::Removals => EFFECTS,
        Lane::Errands => ERRANDS,
    }
}

/// The table of an effect.
pub(crate) const fn table_of(id: EffectId) -> &'static str {
    table(id.lane())
}

/// The table of a lane, and the condition on what is pending in it. An index covers the condition's first part and the
/// order by due time.
pub(crate) const fn pending(lane: Lane) -> (&'static str, &'static str) {
    match lane {
        Lane::Mails => (EFFECTS, "kind = 'mail' AND status = 'pending'"),
        Lane::Deliveries => (EFFECTS, "kind = 'delivery' AND status = 'pending'"),
        Lane::Removals => (EFFECTS, "kind = 'removal' AND status = 'pending'"),
        Lane::Errands => (ERRANDS, "status = 'pending'"),
    }
}

/// Finds what to take of a lane without subscriptions: $1 is the time, $2 how many.
pub(crate) fn due_statement(schema: &str, lane: Lane) -> String {
    let (table, pending) = pending(lane);
    format!(
        "SELECT effect_id, account_id, content, NULL AS subscription_id, attempts, fence FROM {schema}{table} \
         WHERE {pending} AND due_at <= $1 AND lease_until <= $1 ORDER BY due_at, effect_id LIMIT $2"
    )
}

/// With more due deliveries than this, the statement does not look at each of them.
pub(crate) const FEW_DUE: i64 = 256;

/// Counts the due deliveries, up to one more than [`FEW_DUE`]; $1 is the time.
pub(crate) fn due_count_statement(schema: &str) -> String {
    let (table, pending) = pending(Lane::Deliveries);
    format!(
        "SELECT count(*) AS due FROM (SELECT 1 FROM {schema}{table} WHERE {pending} AND due_at <= $1 AND lease_until <= $1 \
         ORDER BY due_at LIMIT {FEW_DUE} + 1) d"
    )
}

/// Finds the deliveries to take: $1 is the time, $2 how many, $3 to $5 the shares of a subscription, of an account and
/// of those held back, and $6 the seconds from which an attempt is slow.
///
/// If few are due, it looks at each of them, however many subscriptions have deliveries queued for later. If many are
/// due, it steps from one subscription's queue to the next by an index, and reads the first few of each. The cost then
/// depends on the number of queues, not on their lengths. `first` joins a queue `q` with the first $3 of its due
/// effects `e`, in the engine's own syntax.
///
/// A delivery's place is the number of deliveries that its subscription would have in progress with it.
pub(crate) fn due_deliveries_statement(schema: &str, due: i64, first: &str) -> String {
    let chosen = chosen_deliveries(schema, due, first);
    format!(
        "{chosen} SELECT e.effect_id, e.account_id, e.content, e.subscription_id, e.event_id, e.event_type, e.attempts, e.fence \
         FROM chosen c JOIN {schema}effects e ON e.effect_id = c.effect_id AND e.account_id = c.account_id \
         ORDER BY c.place, c.failures, c.due_at, c.effect_id"
    )
}

/// The beginning of that statement, up to the step `chosen` with the deliveries to take.
pub(crate) fn chosen_deliveries(schema: &str, due: i64, first: &str) -> String {
    const HELD_BACK: &str = "s.failures > 0 OR s.took_seconds >= $6";
    const TURN: &str = "place, failures, due_at, effect_id";
    let queued = format!("FROM {schema}effects n WHERE n.status = 'pending' AND n.subscription_id IS NOT NULL");
    let (queues, waiting) = if due <= FEW_DUE {
        let (table, pending) = pending(Lane::Deliveries);
        let each = format!("(SELECT * FROM {schema}{table} WHERE {pending} AND due_at <= $1 AND lease_until <= $1) e");
        (String::new(), each)
    } else {
        let queues = format!(
            "queues (subscription_id) AS (SELECT * FROM (SELECT n.subscription_id {queued} \
             ORDER BY n.subscription_id LIMIT 1) f UNION ALL SELECT (SELECT n.subscription_id {queued} \
             AND n.subscription_id > q.subscription_id ORDER BY n.subscription_id LIMIT 1) FROM queues q \
             WHERE q.subscription_id IS NOT NULL), "
        );
        (queues, format!("queues q {first}"))
    };
    format!(
        "WITH RECURSIVE {queues}\
         held AS (SELECT l.subscription_id, l.account_id, count(*) AS places FROM {schema}effects l \
         WHERE l.status = 'pending' AND l.lease_until > 0 AND l.lease_until > $1 AND l.subscription_id IS NOT NULL \
         GROUP BY l.subscription_id, l.account_id), \
         held_of_account AS (SELECT h.account_id, sum(h.places) AS places FROM held h GROUP BY h.account_id), \
         held_failing AS (SELECT coalesce(sum(h.places), 0) AS places FROM held h JOIN {schema}subscriptions s \
         ON s.subscription_id = h.subscription_id AND s.account_id = h.account_id WHERE {HELD_BACK}), \
         placed AS (SELECT e.effect_id, e.account_id, e.due_at, e.attempts, coalesce(s.failures, 0) AS failures, \
         coalesce({HELD_BACK}, false) AS held_back, \
         coalesce(h.places, 0) + row_number() OVER (PARTITION BY e.subscription_id ORDER BY e.due_at, e.effect_id) AS place \
         FROM {waiting} \
         LEFT JOIN held h ON h.subscription_id = e.subscription_id AND h.account_id = e.account_id \
         LEFT JOIN {schema}subscriptions s ON s.subscription_id = e.subscription_id AND s.account_id = e.account_id), \
         in_account AS (SELECT p.*, coalesce(a.places, 0) + row_number() OVER (PARTITION BY p.account_id ORDER BY {TURN}) \
         AS of_account FROM placed p LEFT JOIN held_of_account a ON a.account_id = p.account_id WHERE p.place <= $3), \
         in_turn AS (SELECT i.*, (SELECT places FROM held_failing) + row_number() OVER (PARTITION BY i.held_back \
         ORDER BY {TURN}) AS of_failing FROM in_account i WHERE i.place = 1 OR i.of_account <= $4), \
         chosen AS (SELECT * FROM in_turn t WHERE NOT t.held_back OR t.of_failing <= $5 ORDER BY {TURN} LIMIT $2)"
    )
}

/// Reads an effect from its row as it was before the lease. `target` is the subscription of a delivery.
pub(crate) fn due(row: &impl Cells, target: Option<Target>) -> Read<Due> {
    let id: EffectId = rows::id(row, "effect_id")?;
    let content = row.text("content")?;
    let effect = match id {
        EffectId::Mail(_) => DueEffect::Mail(serde_json::from_str(content).map_err(|_| Failed::Unreadable("mail"))?),
        EffectId::Removal(_) => DueEffect::Removal(content.parse().map_err(|_| Failed::Unreadable("upload"))?),
        EffectId::Delivery(_) => DueEffect::Delivery {
            event_id: rows::id(row, "event_id")?,
            event_type: Value::read(row, "event_type")?,
            body: content.to_owned(),
            target: target.map(Box::new),
        },
        EffectId::Errand(_) => {
            DueEffect::Errand(serde_json::from_str(content).map_err(|_| Failed::Unreadable("errand"))?)
        }
    };
    let fence = Fence(rows::whole::<u64>(row, "fence")?.saturating_add(1));
    Ok(Due { id, account_id: rows::id(row, "account_id")?, fence, attempts: rows::whole(row, "attempts")?, effect })
}

/// The columns of a subscription `u` that posting to it needs.
pub(crate) const TARGET: &str = joined!(Subscription::SELECT, ", u.secret, u.previous_secret, u.previous_until");

/// A subscription with the secrets that sign at this time.
pub(crate) fn target(row: &impl Cells, now: Timestamp) -> Read<Target> {
    let counts = Option::<Timestamp>::read(row, "previous_until")?.is_some_and(|until| now < until);
    Ok(Target {
        subscription: Subscription::read(row)?,
        secret: Value::read(row, "secret")?,
        previous_secret: SealedSecret::optional(row, "previous_secret")?.filter(|_| counts),
    })
}

/// The columns of a subscription's secrets.
pub(crate) const SECRETS: &str = "subscription_id, account_id, version, secret, previous_secret";

pub(crate) fn stored_secrets(row: &impl Cells) -> Read<SubscriptionSecrets> {
    Ok(SubscriptionSecrets {
        account_id: rows::id(row, "account_id")?,
        id: rows::id(row, "subscription_id")?,
        version: Value::read(row, "version")?,
        secret: Value::read(row, "secret")?,
        previous_secret: Value::read(row, "previous_secret")?,
    })
}

/// The seconds from which an attempt is slow.
pub(crate) fn slow_seconds(shares: DeliveryShares) -> i64 {
    i64::try_from(shares.slow_after.as_secs()).unwrap_or(i64::MAX)
}

/// The number up to which attempts are deleted when this one is recorded; `None` if all are kept.
pub(crate) fn forgotten(attempt: &Attempt) -> Option<u32> {
    attempt.attempt_number.checked_sub(ATTEMPTS_KEPT).filter(|number| *number > 0)
}

/// The effect's state after an attempt, and the milliseconds until the next one; `None` if there is none.
pub(crate) fn after(attempt: &Attempt, next: NextAttempt) -> (&'static str, Option<i64>) {
    match next {
        NextAttempt::Succeeded => ("succeeded", None),
        NextAttempt::Failed => ("failed", None),
        NextAttempt::At(time) => ("pending", Some(time.millis().saturating_sub(attempt.ended_at().millis()))),
    }
}

/// The columns of an effect that an operator sees, without its last attempt, and the table's name as `place`.
fn shown(table: &str) -> &'static str {
    if table == ERRANDS {
        "effect_id, account_id, status, discarded, created_at, attempts, NULL AS subscription_id, NULL AS event_type, \
         'errands' AS place"
    } else {
        "effect_id, account_id, status, discarded, created_at, attempts, subscription_id, event_type, 'effects' AS place"
    }
}

/// Reads all of one effect in this table: $1 is its id, $2 its account's.
pub(crate) fn whole_statement(schema: &str, table: &str) -> String {
    let more = if table == ERRANDS { "NULL AS kind, NULL AS event_id" } else { "kind, event_id" };
    let columns = shown(table);
    let effect = format!(
        "SELECT {columns}, {more}, content, fence FROM {schema}{table} WHERE effect_id = $1 AND account_id = $2"
    );
    with_last_attempt(schema, &effect)
}

/// Reads effects with the last attempt of each. `schema` is the prefix of the tables' names, `effects` selects the
/// effects.
fn with_last_attempt(schema: &str, effects: &str) -> String {
    format!(
        "SELECT e.*, t.attempt_number, t.status AS attempt_status, t.response_code, t.error, t.duration_ms, \
         t.attempted_at, t.next_retry_at FROM ({effects}) e LEFT JOIN {schema}attempts t \
         ON t.effect_id = e.effect_id AND t.attempt_number = e.attempts AND t.account_id = e.account_id"
    )
}

/// Reads one effect of this lane: $1 is its id, $2 its account's.
pub(crate) fn effect_statement(schema: &str, lane: Lane) -> String {
    let table = table(lane);
    let effect = format!("SELECT {} FROM {schema}{table} WHERE effect_id = $1 AND account_id = $2", shown(table));
    with_last_attempt(schema, &effect)
}

/// Reads a page of failed effects that are not discarded, merged from one short read of each table. $1 and $2 are the
/// result of [`given_up_after`], $3 is how many.
pub(crate) fn given_up_statement(schema: &str) -> String {
    const NEWEST: &str = "ORDER BY created_at DESC, effect_id DESC LIMIT $3";
    let tables = TABLES.map(|table| {
        format!(
            "SELECT * FROM (SELECT {} FROM {schema}{table} WHERE status = 'failed' AND NOT discarded \
             AND (created_at, effect_id) < ($1, $2) {NEWEST}) {table}",
            shown(table)
        )
    });
    let page = format!("SELECT * FROM ({}) page {NEWEST}", tables.join(" UNION ALL "));
    format!("{} ORDER BY e.created_at DESC, e.effect_id DESC", with_last_attempt(schema, &page))
}

/// The position below which a page of failed effects starts: a time and an id.
pub(crate) fn given_up_after(after: Option<EffectPosition>) -> (i64, String) {
    after.map_or((i64::MAX, String::new()), |after| (after.created_at.millis(), after.id.to_string()))
}

/// An effect with its last attempt.
pub(crate) fn effect(row: &impl Cells) -> Read<EffectRecord> {
    let delivery = match row.optional_text("subscription_id")? {
        None => None,
        Some(_) => Some(DeliveryAddress {
            subscription_id: rows::id(row, "subscription_id")?,
            event_type: Value::read(row, "event_type")?,
        }),
    };
    Ok(EffectRecord {
        id: rows::id(row, "effect_id")?,
        account_id: rows::id(row, "account_id")?,
        status: Value::read(row, "status")?,
        discarded: row.flag("discarded")?,
        created_at: Value::read(row, "created_at")?,
        attempts: rows::whole(row, "attempts")?,
        last_attempt: rows::optional_attempt(row)?,
        delivery,
    })
}
