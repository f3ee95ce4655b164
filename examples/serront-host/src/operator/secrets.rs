//! The keys that seal secrets in the database: adding one, resealing everything, removing the old ones.

use serde_json::{Value, json};
use serront_adapters::keyfile::{KeyFile, KeyFileError};
use serront_core::policy::Policy;
use serront_core::ports::WorkStorage;
use serront_core::service::{Commands, Environment, Resealed};

use crate::adapters;
use crate::commands::SecretsCommand;
use crate::console::{self, Fatal};
use crate::settings::Settings;

/// Most passes until one has nothing to reseal. Secrets made in between are sealed with the newest key, so the second pass
/// finds few.
const PASSES_MAX: usize = 8;

pub(crate) async fn secrets(settings: &Settings, command: SecretsCommand) -> Result<(), Fatal> {
    let done: Value = adapters::with_storage(settings, async |storage| {
        let keys = adapters::known_sealer(settings, storage).await?;
        match command {
            SecretsCommand::Rotate => Ok(json!({ "keyId": keys.rotate()?.to_string() })),
            SecretsCommand::Reseal => reseal(storage, &keys).await.map(shown),
            SecretsCommand::Forget => forget(storage, &keys).await,
        }
    })
    .await?;
    console::result(&done)?;
    match done.get("unopened").and_then(Value::as_u64) {
        None | Some(0) => Ok(()),
        Some(count) => Err(format!("the secrets of {count} rows can't be opened: their keys are missing").into()),
    }
}

fn shown(Resealed { seen, resealed, unopened }: Resealed) -> Value {
    json!({ "seen": seen, "resealed": resealed, "unopened": unopened })
}

async fn reseal(storage: &dyn WorkStorage, keys: &KeyFile) -> Result<Resealed, Fatal> {
    let policy = Policy::default();
    Ok(Commands::new(storage, Environment { sealer: keys, ..adapters::environment(&policy) }).reseal().await?)
}

async fn forget(storage: &dyn WorkStorage, keys: &KeyFile) -> Result<Value, Fatal> {
    let mut resealed = 0;
    for _ in 0..PASSES_MAX {
        let first = keys.first()?;
        let pass = reseal(storage, keys).await?;
        resealed += pass.resealed;
        if pass.unopened > 0 {
            return Ok(shown(Resealed { resealed, ..pass }));
        }
        if pass.resealed > 0 {
            continue;
        }
        match keys.forget_all_but(&first) {
            Ok(forgotten) => {
                let forgotten: Vec<String> = forgotten.iter().map(ToString::to_string).collect();
                return Ok(json!({ "seen": pass.seen, "resealed": resealed, "unopened": 0, "forgotten": forgotten }));
            }
            // A key was added in between: reseal everything with it first.
            Err(KeyFileError::Rotated { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err("secrets are still being sealed with other keys: check that all hosts use the same key file".into())
}
