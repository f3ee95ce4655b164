//! Operators' keys.

use serde_json::json;
use serront_core::policy::Policy;
use serront_core::primitives::ids::AccountId;
use serront_core::service::Commands;

use crate::commands::OperatorKeyCommand;
use crate::settings::Settings;
use crate::{Fatal, adapters, environment, process};

pub(crate) async fn key(settings: &Settings, command: OperatorKeyCommand) -> Result<(), Fatal> {
    let policy = Policy::default();
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let commands = Commands::new(storage.as_ref(), environment(&policy));
    let lines = match command {
        OperatorKeyCommand::Create { name } => {
            let made = commands.create_operator_key(&name).await;
            made.map(|(_, key)| vec![json!({ "operatorKey": key.reveal() })])
        }
        OperatorKeyCommand::List => {
            let keys = commands.keys(AccountId::OPERATORS).await;
            keys.map(|keys| keys.iter().map(|key| json!(key)).collect())
        }
        OperatorKeyCommand::Revoke { id } => {
            let deleted = commands.delete_key(AccountId::OPERATORS, id).await;
            deleted.map(|()| vec![json!({ "id": id, "revoked": true })])
        }
    };
    engine.close().await;
    lines?.iter().try_for_each(process::result)
}
