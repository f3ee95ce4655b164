//! Rows that this version can't read.

use serde_json::{Value, json};
use serront_core::snapshots::set_aside::SetAside;

use crate::adapters;
use crate::console::{self, Fatal};
use crate::settings::Settings;

pub(crate) async fn set_aside(settings: &Settings, limit: u32) -> Result<(), Fatal> {
    let found = adapters::with_storage(settings, async |storage| Ok(storage.set_aside(limit).await?)).await?;
    found.rows.iter().map(shown).try_for_each(|line| console::result(&line))
}

fn shown(row: &SetAside) -> Value {
    let SetAside { kind, id, account_id, what, since, tried_at } = row;
    json!({
        "kind": kind.as_str(),
        "id": id,
        "accountId": account_id,
        "unreadable": what,
        "since": since,
        "triedAt": tried_at,
    })
}
