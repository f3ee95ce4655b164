//! Which histories a model allows: checks that one sequence of the commands, each taking effect at one moment between
//! its request and its answer, explains every answer.
//!
//! The engine keeps every state that the object may be in, each with the open commands that have already taken effect
//! in it. An answer keeps only the states that explain it; when none is left, no sequence does. A command without an
//! answer stays open, so it may have happened, may yet happen or may never: *unknown* is a value.

use std::collections::{BTreeMap, BTreeSet};

/// A model of one object.
pub(super) trait Model {
    /// The object's state.
    type State: Clone + Ord;
    /// A command to the object.
    type Command: Clone;
    /// The answer to a command.
    type Response: Clone + Ord;

    /// The states and responses that a command may lead to. Several, where the model can't decide.
    fn apply(&self, state: &Self::State, command: &Self::Command) -> Vec<(Self::State, Self::Response)>;
}

/// A state, and the open commands that have taken effect in it with their responses. `None` for a response that was
/// lost.
type Configuration<M> = (<M as Model>::State, BTreeMap<u64, Option<<M as Model>::Response>>);

/// With more possibilities than this the check gives up on the object.
const POSSIBILITIES_MAX: usize = 20_000;

struct Open<C> {
    command: C,
    /// After this time it can't happen; `None` while its answer is expected.
    until: Option<i64>,
}

/// The possible states of one object.
pub(super) struct Engine<M: Model> {
    model: M,
    possible: BTreeSet<Configuration<M>>,
    open: BTreeMap<u64, Open<M::Command>>,
    gave_up: bool,
}

impl<M: Model> Engine<M> {
    pub(super) fn new(model: M, states: impl IntoIterator<Item = M::State>) -> Self {
        let possible = states.into_iter().map(|state| (state, BTreeMap::new())).collect();
        Self { model, possible, open: BTreeMap::new(), gave_up: false }
    }

    pub(super) fn requested(&mut self, id: u64, command: M::Command) {
        self.open.insert(id, Open { command, until: None });
    }

    /// Closes commands whose time is up: they have happened or never will, and both stay possible.
    fn expire(&mut self, now: i64) {
        let expired: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| open.until.is_some_and(|until| until < now))
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            let never = self.possible.clone();
            let happened = self.explore(id);
            self.open.remove(&id);
            let without = |(state, mut done): Configuration<M>| {
                done.remove(&id);
                (state, done)
            };
            self.possible = never.into_iter().chain(happened).map(without).collect();
        }
    }

    /// Every possibility in which this command has happened, with any of the other open commands before it.
    fn explore(&mut self, id: u64) -> BTreeSet<Configuration<M>> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<Configuration<M>> = self.possible.iter().cloned().collect();
        while let Some((state, done)) = waiting.pop() {
            if done.contains_key(&id) {
                found.insert((state, done));
                continue;
            }
            for (other, open) in self.open.iter().filter(|(other, _)| !done.contains_key(other)) {
                let expected = open.until.is_none();
                for (next, response) in self.model.apply(&state, &open.command) {
                    // A command without an answer and without an effect can be left out.
                    if !expected && next == state && *other != id {
                        continue;
                    }
                    let mut done = done.clone();
                    done.insert(*other, expected.then_some(response));
                    let configuration = (next, done);
                    if seen.insert(configuration.clone()) {
                        waiting.push(configuration);
                    }
                }
            }
            if seen.len() > POSSIBILITIES_MAX {
                self.gave_up = true;
                break;
            }
        }
        found
    }

    /// The command was answered; `fits` compares a response with the answer. `false` if nothing explains it.
    pub(super) fn answered(&mut self, id: u64, now: i64, fits: impl Fn(&M::Response) -> bool) -> bool {
        self.expire(now);
        if self.gave_up {
            self.open.remove(&id);
            return true;
        }
        let mut explained = BTreeSet::new();
        for (state, mut done) in self.explore(id) {
            if done.remove(&id).flatten().is_some_and(|response| fits(&response)) {
                explained.insert((state, done));
            }
        }
        self.open.remove(&id);
        self.possible = explained;
        self.gave_up || !self.possible.is_empty()
    }

    pub(super) const fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Closes every command whose answer was lost, as if its time were up.
    pub(super) fn settle(&mut self) {
        self.expire(i64::MAX);
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &M::State> {
        self.possible.iter().map(|(state, _)| state)
    }
}

/// Open commands of an object, independent of its model.
pub(super) trait Commands {
    /// The command did not happen, and never will. `false` if an earlier answer needs it.
    fn did_not_happen(&mut self, id: u64) -> bool;

    /// The command's answer is lost; it may happen until this time.
    fn may_happen_until(&mut self, id: u64, until: i64);
}

impl<M: Model> Commands for Engine<M> {
    fn did_not_happen(&mut self, id: u64) -> bool {
        self.open.remove(&id);
        self.possible.retain(|(_, done)| !done.contains_key(&id));
        self.gave_up || !self.possible.is_empty()
    }

    fn may_happen_until(&mut self, id: u64, until: i64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.until = Some(until);
        // Possibilities that differ only in the lost response are the same.
        let forget_response = |(state, mut done): Configuration<M>| {
            if let Some(response) = done.get_mut(&id) {
                *response = None;
            }
            (state, done)
        };
        self.possible = std::mem::take(&mut self.possible).into_iter().map(forget_response).collect();
    }
}
