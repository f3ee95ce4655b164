//! The model of one API key: it opens its account until it is revoked.

use super::engine::Model;

#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Use,
    Revoke,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Open,
    Shut,
    Revoked,
    NotFound,
}

pub(super) struct KeyModel;

impl Model for KeyModel {
    /// Whether the key is there.
    type State = bool;
    type Command = Command;
    type Told = Told;

    fn apply(&self, state: &bool, command: &Command) -> Vec<(bool, Told)> {
        match (command, *state) {
            (Command::Use, true) => vec![(true, Told::Open)],
            (Command::Use, false) => vec![(false, Told::Shut)],
            (Command::Revoke, true) => vec![(false, Told::Revoked)],
            (Command::Revoke, false) => vec![(false, Told::NotFound)],
        }
    }
}
