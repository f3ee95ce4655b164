//! Operators' keys.

use serde_json::json;
use serront_core::primitives::ids::AccountId;

use crate::adapters;
use crate::commands::OperatorKeyCommand;
use crate::console::{self, Fatal};
use crate::settings::Settings;

pub(crate) async fn key(settings: &Settings, command: OperatorKeyCommand) -> Result<(), Fatal> {
    let lines = adapters::with_commands(settings, async |commands| match command {
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
    });
    lines.await?.iter().try_for_each(console::result)
}
