//! The bookkeeping of dispatcher and janitor, as far as it is the same for both engines: which of the due effects are
//! taken, and what their rows mean.

use std::collections::BTreeMap;

use serront_core::effect::{EffectId, Lane};
use serront_core::key::WebhookSecret;
use serront_core::ports::{Due, DueEffect, Fence, NextAttempt, Target};
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

/// A subscription with its secret.
pub(crate) fn target(row: &impl Cells) -> Result<Target, Failed> {
    let secret = WebhookSecret::parse(row.text("secret")?).ok_or(Failed::Unreadable("secret"))?;
    Ok(Target { subscription: rows::subscription(row)?, secret })
}

/// The state that an attempt leaves behind, and when the next one is due.
pub(crate) fn after(next: NextAttempt) -> (&'static str, Option<i64>) {
    match next {
        NextAttempt::Succeeded => ("succeeded", None),
        NextAttempt::Failed => ("failed", None),
        NextAttempt::At(time) => ("pending", Some(Timestamp::millis(time))),
    }
}
