//! API keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serront_core::primitives::ids::KeyId;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed};
use crate::body::Intake;

pub(super) async fn list(caller: Keyed) -> Reply {
    Answer::ok(&BTreeMap::from([("apiKeys", caller.commands().keys(caller.account()).await?)]))
}

#[derive(Deserialize)]
struct NewKey {
    name: String,
}

pub(super) async fn create(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<NewKey>(&intake).await?;
    Answer::created(&caller.commands().create_key(caller.account(), &input.name, request).await?)
}

/// The caller's own key can be deleted too; it stops working with the next request.
pub(super) async fn delete(caller: Keyed, Id(id): Id<KeyId>) -> Reply {
    caller.commands().delete_key(caller.account(), id).await?;
    Answer::deleted()
}
