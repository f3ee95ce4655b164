//! What has to belong together before a host starts: database, receipts, keys and clocks; and `proofs`, for whoever knows better.

use serde_json::json;
use serront_adapters::keyfile::KeyFile;
use serront_adapters::proofs::ObjectReceipts;
use serront_adapters::system::SystemClock;
use serront_core::policy::Policy;
use serront_core::ports::{Receipts, WorkStorage};
use serront_core::service::{Commands, Environment, KeysError};
use serront_core::work::installation::{self, ClockOff, MeetError};

use crate::commands::ProofsCommand;
use crate::settings::Settings;
use crate::{Fatal, adapters, environment, process};

/// Refuses a folder of receipts that is another database's. Where neither has an id yet, both get one.
pub(crate) async fn meet(storage: &dyn WorkStorage, receipts: &dyn Receipts) -> Result<(), Fatal> {
    match installation::meet(storage, receipts, environment(&Policy::default())).await {
        Ok(_) => Ok(()),
        Err(MeetError::Strangers(strangers)) => Err(format!(
            "{strangers}. Nothing was changed. Check DATABASE_URL and --proofs; if the two do belong together, run \
             `serront-host proofs adopt` with the same settings"
        )
        .into()),
        Err(MeetError::Port(error)) => Err(error.into()),
    }
}

/// Refuses keys that are not the installation's.
pub(crate) async fn know_keys(settings: &Settings, storage: &dyn WorkStorage, keys: &KeyFile) -> Result<(), Fatal> {
    let policy = Policy::default();
    let commands = Commands::new(storage, Environment { sealer: keys, ..environment(&policy) });
    match commands.check_keys().await {
        Ok(()) => Ok(()),
        Err(KeysError::Other(other)) => {
            let file = settings.secrets_key();
            let what = "copy the file from a host that serves on this database, or from its backup";
            Err(format!("{}: {other}: {what}", file.display()).into())
        }
        Err(KeysError::Port(error)) => Err(error.into()),
    }
}

/// Refuses a clock that is far off the database's.
pub(crate) async fn trust_clock(storage: &dyn WorkStorage, policy: &Policy) -> Result<(), Fatal> {
    let found = installation::clock_off(storage, &SystemClock).await?;
    if !found.is_too_far(policy) {
        return Ok(());
    }
    let ClockOff { host, storage, by } = found;
    let (seconds, most) = (by.as_secs(), policy.clock.skew_max.as_secs());
    Err(format!(
        "this machine's clock is {seconds} s off the database's ({host} here, {storage} there), and at most {most} s are \
         accepted: set the wrong one right and start again"
    )
    .into())
}

/// `proofs`.
pub(crate) async fn proofs(settings: &Settings, command: ProofsCommand) -> Result<(), Fatal> {
    let ProofsCommand::Adopt = command;
    let folder = settings.proofs_folder()?;
    adapters::private_folder(&folder)?;
    let receipts = ObjectReceipts::local(folder)?;
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let adopted = installation::adopt(storage.as_ref(), &receipts, environment(&Policy::default())).await;
    engine.close().await;
    let adopted = adopted?;
    process::result(&json!({ "installationId": adopted.id, "was": adopted.was }))
}
