//! Notifications that could not be applied, and the endpoint registered at Plugipay.

use std::time::Duration;

use serde_json::json;
use serront_adapters::system::SystemClock;
use serront_core::online::inbox::InboxRecord;
use serront_core::ports::Clock as _;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::provider::ProviderEventId;
use serront_core::service::{Commands, Environment, OnlinePayments, Provider};

use crate::adapters;
use crate::commands::{InboxCommand, PlugipayCommand};
use crate::console::{self, Fatal};
use crate::settings::Settings;

/// How long the janitor retries a parked notification before the operator sees it.
const PARKED_FOR: Duration = Duration::from_secs(24 * 3_600);

pub(crate) async fn inbox(settings: &Settings, command: InboxCommand) -> Result<(), Fatal> {
    match command {
        InboxCommand::List { all, limit } => list(settings, all, limit).await,
        InboxCommand::Retry { account, event_id } => retry(settings, account, &event_id).await,
    }
}

async fn list(settings: &Settings, all: bool, limit: u32) -> Result<(), Fatal> {
    let now = SystemClock.now();
    // In the future of every host's clock, or a day ago.
    let parked_before = if all { now.plus(PARKED_FOR) } else { now.minus(PARKED_FOR) };
    let waiting = adapters::with_storage(settings, async |storage| Ok(storage.waiting(parked_before, limit).await?));
    for record in waiting.await? {
        let InboxRecord { account_id, event_id, event_type, session_id, received_at, status, .. } = record;
        console::result(&json!({
            "accountId": account_id,
            "eventId": event_id,
            "type": event_type,
            "sessionId": session_id,
            "receivedAt": received_at,
            "status": status,
        }))?;
    }
    Ok(())
}

async fn retry(settings: &Settings, account: AccountId, event_id: &ProviderEventId) -> Result<(), Fatal> {
    let policy = settings.policy()?;
    let tried = adapters::with_storage(settings, async |storage| {
        Ok(Commands::new(storage, adapters::environment(&policy)).retry_notification(account, event_id).await?)
    });
    let (status, received_at) = tried.await?.ok_or("this account has no notification of that event")?;
    console::result(&json!({
        "accountId": account,
        "eventId": event_id,
        "receivedAt": received_at,
        "status": status,
    }))
}

pub(crate) async fn plugipay(settings: &Settings, command: PlugipayCommand) -> Result<(), Fatal> {
    match command {
        PlugipayCommand::RotateSecret { account } => rotate_secret(settings, account).await,
    }
}

async fn rotate_secret(settings: &Settings, account: AccountId) -> Result<(), Fatal> {
    let (policy, public_url) = (settings.policy()?, settings.address_foreseen()?);
    let plugipay = adapters::plugipay(settings)?;
    let provider = Provider { plugipay: plugipay.as_deref(), public_url: &public_url };
    let rotated = adapters::with_storage(settings, async |storage| {
        let sealer = adapters::known_sealer(settings, storage).await?;
        let environment = Environment { sealer: sealer.as_ref(), ..adapters::environment(&policy) };
        Ok(OnlinePayments::new(storage, provider, environment).rotate_endpoint(account).await?)
    });
    rotated.await?;
    console::result(&json!({ "accountId": account, "rotated": true }))
}
