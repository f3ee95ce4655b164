//! The bookkeeping of dispatcher and janitor, as far as it is the same for both engines: which of the due effects are
//! taken, what their rows mean, and how an effect is read for its operator.

use std::collections::BTreeMap;

use serront_core::effect::{DeliveryAddress, Discard, EffectId, EffectRecord, Lane};
use serront_core::page::EffectPosition;
use serront_core::ports::{Due, DueEffect, Fence, NextAttempt, SubscriptionSecrets, Target};
use serront_core::sealed::SealedSecret;
use serront_core::time::Timestamp;

use super::error::Failed;
use super::rows::{self, Cells};

/// How many due effects are looked at for each one wanted, so that a subscription with a long queue does not hide the
/// others behind it.
pub(crate) const LOOK_AHEAD: u32 = 8;

/// The table of a lane: a host of a version that does not know a lane does not take from it.
pub(crate) const fn table(lane: Lane) -> &'static str {
    match lane {
        Lane::Outbox => "effects",
        Lane::Errands => "errands",
    }
}

/// The first rows up to the limit, with no more of one subscription than may be under way at once. `under_way` is how many
/// already are.
pub(crate) fn choose<R: Cells>(rows: &[R], limit: u32, per_subscription: u32) -> Result<Vec<&R>, Failed> {
    let mut under_way = BTreeMap::<String, i64>::new();
    let mut chosen = Vec::new();
    for row in rows {
        if chosen.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
        if let Some(subscription) = row.optional_text("subscription_id")? {
            let before = row.int("under_way")?;
            let count = under_way.entry(subscription.to_owned()).or_insert(before);
            if *count >= i64::from(per_subscription) {
                continue;
            }
            *count += 1;
        }
        chosen.push(row);
    }
    Ok(chosen)
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

/// The state that an attempt leaves behind, and when the next one is due.
pub(crate) fn after(next: NextAttempt) -> (&'static str, Option<i64>) {
    match next {
        NextAttempt::Succeeded => ("succeeded", None),
        NextAttempt::Failed => ("failed", None),
        NextAttempt::At(time) => ("pending", Some(Timestamp::millis(time))),
    }
}

/// What an operator is shown of an effect, but for its last attempt.
fn shown(lane: Lane) -> &'static str {
    match lane {
        Lane::Outbox => "effect_id, account_id, status, discarded, created_at, attempts, subscription_id, event_type",
        Lane::Errands => {
            "effect_id, account_id, status, discarded, created_at, attempts, NULL AS subscription_id, NULL AS event_type"
        }
    }
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
    let effect =
        format!("SELECT {} FROM {schema}{} WHERE effect_id = $1 AND account_id = $2", shown(lane), table(lane));
    with_last_attempt(schema, &effect)
}

/// The statement that reads a page of the effects that were given up: merged from one short read for each lane. Its places are
/// those of [`given_up_after`], and how many rows are wanted.
pub(crate) fn given_up_statement(schema: &str) -> String {
    const NEWEST: &str = "ORDER BY created_at DESC, effect_id DESC LIMIT $3";
    let lanes = Lane::ALL.map(|lane| {
        format!(
            "SELECT * FROM (SELECT {} FROM {schema}{} WHERE status = 'failed' AND NOT discarded AND (created_at, effect_id) < ($1, $2) \
             {NEWEST}) {}",
            shown(lane),
            table(lane),
            table(lane)
        )
    });
    let page = format!("SELECT * FROM ({}) page {NEWEST}", lanes.join(" UNION ALL "));
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
