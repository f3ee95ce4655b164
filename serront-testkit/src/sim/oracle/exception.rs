//! The model of one exception: open until it is resolved, once.

use super::engine::{Engine, Model};
use crate::sim::events::Reply;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Response {
    Resolved,
    Refused,
}

pub(super) struct ExceptionModel;

impl Model for ExceptionModel {
    /// Whether it is resolved.
    type State = bool;
    /// Resolve it.
    type Command = ();
    type Response = Response;

    fn apply(&self, state: &bool, (): &()) -> Vec<(bool, Response)> {
        vec![(true, if *state { Response::Refused } else { Response::Resolved })]
    }
}

impl Engine<ExceptionModel> {
    pub(super) fn explains(&mut self, id: u64, reply: &Reply, now: i64) -> bool {
        let expected = match reply {
            Reply::Done { .. } => Response::Resolved,
            Reply::Refused(code) if code == "INVALID_TRANSITION" => Response::Refused,
            _ => return false,
        };
        self.answered(id, now, |response| *response == expected)
    }
}
