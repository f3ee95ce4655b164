//! Effects that were given up: mails, deliveries, removals and errands without attempts left, or with a permanent failure.

use serde_json::{Value, json};
use serront_core::changes::effect::{Discard, EffectRecord};
use serront_core::policy::Policy;
use serront_core::ports::{PortError, WorkStorage};
use serront_core::primitives::page::Limit;
use serront_core::service::Commands;

use crate::adapters;
use crate::commands::OutboxCommand;
use crate::console::{self, Fatal};
use crate::settings::Settings;

pub(crate) async fn outbox(settings: &Settings, command: OutboxCommand) -> Result<(), Fatal> {
    let lines: Vec<Value> = adapters::with_storage(settings, async |storage| {
        let policy = Policy::default();
        let commands = Commands::new(storage, adapters::environment(&policy));
        Ok(match command {
            OutboxCommand::List { discarded: false, limit } => {
                given_up(storage, limit).await?.iter().map(shown).collect()
            }
            OutboxCommand::List { discarded: true, limit } => {
                storage.discards(limit).await?.iter().map(record).collect()
            }
            OutboxCommand::Retry { account, effect } => {
                vec![shown(&commands.retry_effect(account, effect).await?.value)]
            }
            OutboxCommand::Discard { account, effect, reason, by } => {
                vec![shown(&commands.discard_effect(account, effect, &reason, &by.actor()?).await?.value)]
            }
        })
    })
    .await?;
    lines.iter().try_for_each(console::result)
}

async fn given_up(storage: &dyn WorkStorage, limit: u32) -> Result<Vec<EffectRecord>, PortError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut effects = Vec::new();
    loop {
        let after = effects.last().map(EffectRecord::position);
        let page = storage.given_up(after, Limit::EXPORT).await?;
        effects.extend(page.rows);
        if !page.has_more || effects.len() >= wanted {
            effects.truncate(wanted);
            return Ok(effects);
        }
    }
}

/// A line of the list. It leaves out what the effect carries, which may be a buyer's data.
fn shown(effect: &EffectRecord) -> Value {
    let EffectRecord { id, account_id, status, discarded, created_at, attempts, last_attempt, delivery } = effect;
    let last_attempt = last_attempt.as_ref();
    json!({
        "id": id.to_string(),
        "accountId": account_id,
        "status": status,
        "discarded": discarded,
        "createdAt": created_at,
        "attempts": attempts,
        "lastAttemptAt": last_attempt.map(|attempt| attempt.attempted_at),
        "responseCode": last_attempt.and_then(|attempt| attempt.response_code),
        "lastError": last_attempt.and_then(|attempt| attempt.error.as_deref()),
        "subscriptionId": delivery.map(|delivery| delivery.subscription_id),
        "type": delivery.map(|delivery| delivery.event_type.as_str()),
    })
}

fn record(discard: &Discard) -> Value {
    let Discard { id: _, account_id, effect_id, at, actor, reason } = discard;
    json!({
        "id": effect_id.to_string(),
        "accountId": account_id,
        "discardedAt": at,
        "by": actor,
        "reason": reason,
    })
}
