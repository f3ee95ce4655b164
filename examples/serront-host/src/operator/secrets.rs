//! The keys that secrets at rest are sealed under: a new one, everything sealed anew, the old ones gone.

use serde_json::{Value, json};
use serront_adapters::keyfile::{KeyFile, KeyFileError};
use serront_core::policy::Policy;
use serront_core::ports::WorkStorage;
use serront_core::service::{Commands, Environment, Resealed};

use crate::commands::SecretsCommand;
use crate::settings::Settings;
use crate::{Fatal, adapters, environment, process};

/// How many passes are made until one finds nothing to do. What is made meanwhile is sealed under the newest key, so the second
/// finds little.
const PASSES_MAX: usize = 8;

pub(crate) async fn secrets(settings: &Settings, command: SecretsCommand) -> Result<(), Fatal> {
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let done = async {
        let keys = adapters::known_sealer(settings, storage.as_ref()).await?;
        match command {
            SecretsCommand::Rotate => Ok(json!({ "keyId": keys.rotate()?.to_string() })),
            SecretsCommand::Reseal => reseal(storage.as_ref(), &keys).await.map(shown),
            SecretsCommand::Forget => forget(storage.as_ref(), &keys).await,
        }
    };
    let done: Result<Value, Fatal> = done.await;
    engine.close().await;
    let told = done?;
    process::result(&told)?;
    match told.get("unopened").and_then(Value::as_u64) {
        None | Some(0) => Ok(()),
        Some(count) => Err(format!("the secrets of {count} rows can't be opened: their keys are missing").into()),
    }
}

fn shown(Resealed { seen, resealed, unopened }: Resealed) -> Value {
    json!({ "seen": seen, "resealed": resealed, "unopened": unopened })
}

async fn reseal(storage: &dyn WorkStorage, keys: &KeyFile) -> Result<Resealed, Fatal> {
    let policy = Policy::default();
    Ok(Commands::new(storage, Environment { sealer: keys, ..environment(&policy) }).reseal().await?)
}

async fn forget(storage: &dyn WorkStorage, keys: &KeyFile) -> Result<Value, Fatal> {
    let mut anew = 0;
    for _ in 0..PASSES_MAX {
        let first = keys.first()?;
        let pass = reseal(storage, keys).await?;
        anew += pass.resealed;
        if pass.unopened > 0 {
            return Ok(shown(Resealed { resealed: anew, ..pass }));
        }
        if pass.resealed > 0 {
            continue;
        }
        match keys.forget_all_but(&first) {
            Ok(forgotten) => {
                let forgotten: Vec<String> = forgotten.iter().map(ToString::to_string).collect();
                return Ok(json!({ "seen": pass.seen, "resealed": anew, "unopened": 0, "forgotten": forgotten }));
            }
            // Everything is to be sealed under that one first.
            Err(KeyFileError::Rotated { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err("secrets are still being sealed under other keys: have all hosts the same file of keys?".into())
}
