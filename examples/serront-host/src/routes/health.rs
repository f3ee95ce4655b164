//! Health checks: the process runs, and it can serve.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::answer::{Answer, Reply};
use crate::log::describe;
use crate::problem::Problem;
use crate::state::Host;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// Problems that need an operator although the host serves; omitted if there are none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    /// Rows that this version can't read.
    set_aside: u64,
}

pub(super) async fn process() -> Reply {
    Answer::ok(&Health { status: "ok", details: None })
}

/// Checks that the storage is reachable and its migrations are current.
pub(super) async fn ready(State(host): State<Arc<Host>>) -> Reply {
    let not_ready = |error| Problem::busy("the storage is not ready").because(describe(&error));
    host.ports.storage.ready().await.map_err(not_ready)?;
    let set_aside = host.ports.storage.set_aside(0).await.map_err(not_ready)?.count;
    let details = (set_aside > 0).then_some(Details { set_aside });
    Answer::ok(&Health { status: "ready", details })
}
