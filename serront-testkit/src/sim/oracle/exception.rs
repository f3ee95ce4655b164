//! The model of one exception: open until it is resolved, once.

use super::engine::Model;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Resolved,
    Refused,
}

pub(super) struct ExceptionModel;

impl Model for ExceptionModel {
    /// Whether it is resolved.
    type State = bool;
    /// There is one: resolve it.
    type Command = ();
    type Told = Told;

    fn apply(&self, state: &bool, (): &()) -> Vec<(bool, Told)> {
        vec![(true, if *state { Told::Refused } else { Told::Resolved })]
    }
}
