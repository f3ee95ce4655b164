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
    match host.ports.storage.ready().await {
        Ok(()) => Answer::ok(&Health { status: "ready" }),
        Err(error) => {
            tracing::warn!(cause = describe(&error), "the storage is not ready");
            Err(Problem::busy("the storage is not ready"))
        }
    }
}
