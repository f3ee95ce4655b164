//! The folder of receipts.

use serde_json::json;
use serront_adapters::proofs::ObjectReceipts;
use serront_core::policy::Policy;
use serront_core::work::installation;

use crate::adapters;
use crate::commands::ProofsCommand;
use crate::console::{self, Fatal};
use crate::settings::Settings;

pub(crate) async fn proofs(settings: &Settings, command: ProofsCommand) -> Result<(), Fatal> {
    let ProofsCommand::Adopt = command;
    let folder = settings.proofs_folder()?;
    adapters::private_folder(&folder)?;
    let receipts = ObjectReceipts::local(folder)?;
    let adopted = adapters::with_storage(settings, async |storage| {
        Ok(installation::adopt(storage, &receipts, adapters::environment(&Policy::default())).await?)
    });
    let adopted = adopted.await?;
    console::result(&json!({ "installationId": adopted.id, "was": adopted.was }))
}
