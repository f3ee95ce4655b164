//! The model of one API key: it opens its account until it is revoked.

use super::engine::{Engine, Model};
use crate::sim::events::{Call, Reply, Verb};

#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Use,
    Revoke,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Response {
    Accepted,
    Unauthorized,
    Revoked,
    NotFound,
}

pub(super) struct KeyModel;

impl Model for KeyModel {
    /// Whether the key is valid.
    type State = bool;
    type Command = Command;
    type Response = Response;

    fn apply(&self, state: &bool, command: &Command) -> Vec<(bool, Response)> {
        match (command, *state) {
            (Command::Use, true) => vec![(true, Response::Accepted)],
            (Command::Use, false) => vec![(false, Response::Unauthorized)],
            (Command::Revoke, true) => vec![(false, Response::Revoked)],
            (Command::Revoke, false) => vec![(false, Response::NotFound)],
        }
    }
}

impl Engine<KeyModel> {
    pub(super) fn explains(&mut self, id: u64, call: &Call, reply: &Reply, now: i64) -> bool {
        let expected = match (&call.verb, reply) {
            (Verb::RevokeKey { .. }, Reply::Done { .. }) => Response::Revoked,
            (Verb::RevokeKey { .. }, _) => Response::NotFound,
            (_, Reply::Refused(code)) if code == "UNAUTHORIZED" => Response::Unauthorized,
            _ => Response::Accepted,
        };
        self.answered(id, now, |response| *response == expected)
    }
}
