//! Checks before a host starts: that database, receipts, keys and clocks belong together.

use serront_adapters::keyfile::KeyFile;
use serront_adapters::system::SystemClock;
use serront_core::policy::Policy;
use serront_core::ports::{Receipts, WorkStorage};
use serront_core::service::{Commands, Environment, KeysError};
use serront_core::work::installation::{self, ClockOff, MeetError};

use crate::console::Fatal;
use crate::settings::Settings;

/// Refuses a folder of receipts that belongs to another database. If neither has an installation id yet, both get one.
pub(crate) async fn meet(
    storage: &dyn WorkStorage,
    receipts: &dyn Receipts,
    environment: Environment<'_>,
) -> Result<(), Fatal> {
    match installation::meet(storage, receipts, environment).await {
        Ok(_) => Ok(()),
        Err(MeetError::Strangers(strangers)) => Err(format!(
            "{strangers}. Nothing was changed. Check DATABASE_URL and --proofs; if the two do belong together, run \
             `serront-host proofs adopt` with the same settings"
        )
        .into()),
        Err(MeetError::Port(error)) => Err(error.into()),
    }
}

/// Refuses keys that belong to another installation.
pub(crate) async fn check_keys(
    settings: &Settings,
    storage: &dyn WorkStorage,
    keys: &KeyFile,
    environment: Environment<'_>,
) -> Result<(), Fatal> {
    match Commands::new(storage, Environment { sealer: keys, ..environment }).check_keys().await {
        Ok(()) => Ok(()),
        Err(KeysError::Other(other)) => {
            let file = settings.secrets_key();
            let what = "copy the file from a host that serves on this database, or from its backup";
            Err(format!("{}: {other}: {what}", file.display()).into())
        }
        Err(KeysError::Port(error)) => Err(error.into()),
    }
}

/// Refuses a clock that differs too much from the database's.
pub(crate) async fn check_clock(storage: &dyn WorkStorage, policy: &Policy) -> Result<(), Fatal> {
    let found = installation::clock_off(storage, &SystemClock).await?;
    if !found.is_too_far(policy) {
        return Ok(());
    }
    let ClockOff { host, storage, by } = found;
    let (seconds, most) = (by.as_secs(), policy.clock.skew_max.as_secs());
    Err(format!(
        "this machine's clock is {seconds} s off the database's ({host} here, {storage} there), and at most {most} s are \
         accepted: correct the wrong clock and start again"
    )
    .into())
}
