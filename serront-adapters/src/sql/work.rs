//! The bookkeeping of dispatcher and janitor, as far as it is the same for both engines: which of the due effects are
//! taken, what their rows mean, and how an effect is read for its operator.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::effect::{ATTEMPTS_KEPT, Attempt, DeliveryAddress, Discard, EffectId, EffectRecord, Lane};
use serront_core::policy::DeliveryShares;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::EffectPosition;
use serront_core::snapshots::{Due, DueEffect, Fence, NextAttempt, SubscriptionSecrets, Target};

use super::error::Failed;
use super::rows::{self, Cells};
use super::set_aside::{self, Found};

pub(crate) const EFFECTS: &str = "effects";
pub(crate) const ERRANDS: &str = "errands";

/// Where effects are kept.
pub(crate) const TABLES: [&str; 2] = [EFFECTS, ERRANDS];

/// The largest fence that can be raised.
pub(crate) const FENCE_MAX: i64 = i64::MAX - 1;

/// The condition on effects that are over, as far as this version knows.
pub(crate) const OVER: &str = "status IN ('succeeded', 'failed')";

/// The table of a lane: a host of a version that does not know errands does not take any.
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

/// What is pending in a lane: its table, and the condition on it. The condition's first part is in an index, as is the order by
/// when it is due.
pub(crate) const fn pending(lane: Lane) -> (&'static str, &'static str) {
    match lane {
        Lane::Mails => (EFFECTS, "kind = 'mail' AND status = 'pending'"),
        Lane::Deliveries => (EFFECTS, "kind = 'delivery' AND status = 'pending'"),
        Lane::Removals => (EFFECTS, "kind = 'removal' AND status = 'pending'"),
        Lane::Errands => (ERRANDS, "status = 'pending'"),
    }
}

/// The statement that finds what to take of a lane without subscriptions: by the time, and how many are wanted.
pub(crate) fn due_statement(schema: &str, lane: Lane) -> String {
    let (table, pending) = pending(lane);
    format!(
        "SELECT effect_id, account_id, content, NULL AS subscription_id, attempts, fence FROM {schema}{table} \
         WHERE {pending} AND due_at <= $1 AND lease_until <= $1 ORDER BY due_at, effect_id LIMIT $2"
    )
}

/// Beyond how many due deliveries not each of them is looked at.
pub(crate) const FEW_DUE: i64 = 256;

/// The statement that counts the due deliveries, by the time; it stops counting beyond [`FEW_DUE`].
pub(crate) fn due_count_statement(schema: &str) -> String {
    let (table, pending) = pending(Lane::Deliveries);
    format!(
        "SELECT count(*) AS due FROM (SELECT 1 FROM {schema}{table} WHERE {pending} AND due_at <= $1 AND lease_until <= $1 \
         ORDER BY due_at LIMIT {FEW_DUE} + 1) d"
    )
}

/// The statement that finds which deliveries to take: by the time, how many are wanted, and the shares (to a subscription, of
/// an account, to those held back, and from how many seconds on an attempt is a slow one).
///
/// Where few are due it looks at each of them, however many subscriptions have something queued for later. Where many are, it
/// steps from one queue to the next (an index has them by subscription), and reads the first few of each: what that costs
/// goes by how many subscriptions have something queued, and not by how long their queues are. `first` joins a queue `q` with
/// the first $3 of its due effects `e`: each engine has its own way to say that.
///
/// A delivery's place is how many its subscription would have under way with it.
pub(crate) fn due_deliveries_statement(schema: &str, due: i64, first: &str) -> String {
    let chosen = chosen_deliveries(schema, due, first);
    format!(
        "{chosen} SELECT e.effect_id, e.account_id, e.content, e.subscription_id, e.event_id, e.event_type, e.attempts, e.fence \
         FROM chosen c JOIN {schema}effects e ON e.effect_id = c.effect_id AND e.account_id = c.account_id \
         ORDER BY c.place, c.failures, c.due_at, c.effect_id"
    )
}

/// The beginning of that statement: its steps up to `chosen`, which names the deliveries to take.
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

/// An effect from its row as it was before the lease, and where it goes if it is a delivery.
pub(crate) fn due(row: &impl Cells, target: Option<Target>) -> Result<Due, Failed> {
    let id: EffectId = rows::id(row, "effect_id")?;
    let content = row.text("content")?;
    let effect = match id {
        EffectId::Mail(_) => DueEffect::Mail(serde_json::from_str(content).map_err(|_| Failed::Unreadable("mail"))?),
        EffectId::Removal(_) => DueEffect::Removal(content.parse().map_err(|_| Failed::Unreadable("upload"))?),
        EffectId::Delivery(_) => DueEffect::Delivery {
            event_id: rows::id(row, "event_id")?,
            event_type: rows::event_type(row)?,
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

/// What is read of a subscription, to post to it.
pub(crate) const TARGET: &str = "subscription_id, account_id, created_at, version, url, events, active, secret, \
                                 previous_secret, previous_until";

/// A subscription with what signs for it at this time.
pub(crate) fn target(row: &impl Cells, now: Timestamp) -> Result<Target, Failed> {
    let counts = row.optional_int("previous_until")?.is_some_and(|until| now.millis() < until);
    let previous = row.optional_text("previous_secret")?.filter(|_| counts);
    Ok(Target {
        subscription: rows::subscription(row)?,
        secret: SealedSecret::stored(row.text("secret")?.to_owned()),
        previous_secret: previous.map(|secret| SealedSecret::stored(secret.to_owned())),
    })
}

/// What is read of a subscription's secrets.
pub(crate) const SECRETS: &str = "subscription_id, account_id, version, secret, previous_secret";

pub(crate) fn stored_secrets(row: &impl Cells) -> Result<SubscriptionSecrets, Failed> {
    Ok(SubscriptionSecrets {
        account_id: rows::id(row, "account_id")?,
        id: rows::id(row, "subscription_id")?,
        version: rows::version(row, "version")?,
        secret: SealedSecret::stored(row.text("secret")?.to_owned()),
        previous_secret: row.optional_text("previous_secret")?.map(|secret| SealedSecret::stored(secret.to_owned())),
    })
}

/// From how many seconds on an attempt is a slow one.
pub(crate) fn slow_seconds(shares: DeliveryShares) -> i64 {
    i64::try_from(shares.slow_after.as_secs()).unwrap_or(i64::MAX)
}

/// Up to which number the log forgets its attempts when this one is written; `None` if it keeps them all.
pub(crate) fn forgotten(attempt: &Attempt) -> Option<u32> {
    attempt.attempt_number.checked_sub(ATTEMPTS_KEPT).filter(|number| *number > 0)
}

/// The state that an attempt leaves behind, and in how many milliseconds from now the next one is due.
pub(crate) fn after(attempt: &Attempt, next: NextAttempt) -> (&'static str, Option<i64>) {
    match next {
        NextAttempt::Succeeded => ("succeeded", None),
        NextAttempt::Failed => ("failed", None),
        NextAttempt::At(time) => ("pending", Some(time.millis().saturating_sub(attempt.ended_at().millis()))),
    }
}

/// What an operator is shown of an effect, but for its last attempt, and the table where it is.
fn shown(table: &str) -> &'static str {
    if table == ERRANDS {
        "effect_id, account_id, status, discarded, created_at, attempts, NULL AS subscription_id, NULL AS event_type, \
         'errands' AS place"
    } else {
        "effect_id, account_id, status, discarded, created_at, attempts, subscription_id, event_type, 'effects' AS place"
    }
}

/// The statement that reads everything of one effect: of this table, with its id and its account's in the first places.
pub(crate) fn whole_statement(schema: &str, table: &str) -> String {
    let more = if table == ERRANDS { "NULL AS kind, NULL AS event_id" } else { "kind, event_id" };
    let columns = shown(table);
    let effect = format!(
        "SELECT {columns}, {more}, content, fence FROM {schema}{table} WHERE effect_id = $1 AND account_id = $2"
    );
    with_last_attempt(schema, &effect)
}

/// What those rows of [`given_up_statement`] can be read to, and which not.
pub(crate) fn given_up<R: Cells>(rows: &[R]) -> Result<Found<EffectRecord>, Failed> {
    let mut found = Found::default();
    for row in rows {
        found.add(row, set_aside::effects(row.text("place")?), effect(row))?;
    }
    Ok(found)
}

/// The statement that reads effects with the last attempt of each. `schema` stands before the tables' names, `effects` is what
/// selects them.
fn with_last_attempt(schema: &str, effects: &str) -> String {
    format!(
        "SELECT e.*, t.attempt_number, t.status AS attempt_status, t.response_code, t.error, t.duration_ms, \
         t.attempted_at, t.next_retry_at FROM ({effects}) e LEFT JOIN {schema}attempts t \
         ON t.effect_id = e.effect_id AND t.attempt_number = e.attempts AND t.account_id = e.account_id"
    )
}

/// The statement that reads one effect: of this lane, with its id and its account's in the first places.
pub(crate) fn effect_statement(schema: &str, lane: Lane) -> String {
    let table = table(lane);
    let effect = format!("SELECT {} FROM {schema}{table} WHERE effect_id = $1 AND account_id = $2", shown(table));
    with_last_attempt(schema, &effect)
}

/// The statement that reads a page of the effects that were given up: merged from one short read for each table. Its places are
/// those of [`given_up_after`], and how many rows are wanted.
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

/// Where a page of the effects that were given up goes on: before this time and this id.
pub(crate) fn given_up_after(after: Option<EffectPosition>) -> (i64, String) {
    after.map_or((i64::MAX, String::new()), |after| (after.created_at.millis(), after.id.to_string()))
}

/// What is read of a record of a discarded effect.
pub(crate) const DISCARD: &str = "audit_id, account_id, effect_id, at, actor, reason";

/// The record of a discarded effect.
pub(crate) fn discard(row: &impl Cells) -> Result<Discard, Failed> {
    Ok(Discard {
        id: rows::id(row, "audit_id")?,
        account_id: rows::id(row, "account_id")?,
        effect_id: rows::id(row, "effect_id")?,
        at: rows::time(row, "at")?,
        actor: rows::json(row, "actor")?,
        reason: row.text("reason")?.to_owned(),
    })
}

/// An effect with its last attempt.
pub(crate) fn effect(row: &impl Cells) -> Result<EffectRecord, Failed> {
    let delivery = match row.optional_text("subscription_id")? {
        None => None,
        Some(_) => Some(DeliveryAddress {
            subscription_id: rows::id(row, "subscription_id")?,
            event_type: rows::event_type(row)?,
        }),
    };
    Ok(EffectRecord {
        id: rows::id(row, "effect_id")?,
        account_id: rows::id(row, "account_id")?,
        status: rows::status(row, "status")?,
        discarded: row.flag("discarded")?,
        created_at: rows::time(row, "created_at")?,
        attempts: rows::whole(row, "attempts")?,
        last_attempt: rows::optional_attempt(row)?,
        delivery,
    })
}
