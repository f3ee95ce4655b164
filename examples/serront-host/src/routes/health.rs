//! Whether the process runs, and whether it can serve.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::envelope::{Answer, Problem, Reply};
use crate::log::describe;
use crate::state::Host;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

pub(super) async fn process() -> Reply {
    Answer::ok(&Health { status: "ok" })
}

/// Storage reachable, migrations current.
pub(super) async fn ready(State(host): State<Arc<Host>>) -> Reply {
    let not_ready = |error| Problem::busy("the storage is not ready").because(describe(&error));
    host.ports.storage.ready().await.map_err(not_ready)?;
    Answer::ok(&Health { status: "ready" })
}
