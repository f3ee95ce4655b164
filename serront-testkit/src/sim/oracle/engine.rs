//! Which histories a model allows: the check that one sequence of the commands, each taking effect at one moment between
//! its asking and its answer, explains every answer.
//!
//! The engine carries every state that the object may be in, each with the open commands that have taken effect in it
//! already. An answer keeps only what explains it; when nothing is left, no sequence does. A command without an answer
//! stays open, so it may have happened, may yet happen or may never: *unknown* is a value.

use std::collections::{BTreeMap, BTreeSet};

/// A model of one object.
pub(super) trait Model {
    /// All that the object is.
    type State: Clone + Ord;
    /// What can be asked.
    type Command: Clone;
    /// What can be told.
    type Told: Clone + Ord;

    /// What a command may do to a state, and what it then tells. Several, where the model can't know.
    fn apply(&self, state: &Self::State, command: &Self::Command) -> Vec<(Self::State, Self::Told)>;
}

/// A state, and the open commands that have taken effect in it, with what they tell: nothing, if nobody will hear it.
type Configuration<M> = (<M as Model>::State, BTreeMap<u64, Option<<M as Model>::Told>>);

/// More possibilities than this: the check gives up on the object, and says so.
const POSSIBILITIES_MAX: usize = 20_000;

struct Open<C> {
    command: C,
    /// From then on it can't happen any more; `None` while it still can.
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

    pub(super) fn asked(&mut self, id: u64, command: M::Command) {
        self.open.insert(id, Open { command, until: None });
    }

    /// The command may still happen until then, and not later.
    pub(super) fn may_happen_until(&mut self, id: u64, until: i64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.until = Some(until);
        // Nobody hears the answer any more, so possibilities that differ in it alone are one.
        let unheard = |(state, mut done): Configuration<M>| {
            if let Some(told) = done.get_mut(&id) {
                *told = None;
            }
            (state, done)
        };
        self.possible = std::mem::take(&mut self.possible).into_iter().map(unheard).collect();
    }

    /// Commands whose time is up happened by now, or never will: both stay possible, and then nothing is open any more.
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

    /// Everything possible in which this command has happened, with any of the other open ones before it.
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
                let heard = open.until.is_none();
                for (next, told) in self.model.apply(&state, &open.command) {
                    // What nobody hears and what changes nothing might as well not have happened.
                    if !heard && next == state && *other != id {
                        continue;
                    }
                    let mut done = done.clone();
                    done.insert(*other, heard.then_some(told));
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

    /// The command did not happen, and never will.
    pub(super) fn did_not_happen(&mut self, id: u64) -> bool {
        self.open.remove(&id);
        self.possible.retain(|(_, done)| !done.contains_key(&id));
        self.gave_up || !self.possible.is_empty()
    }

    /// The command was answered; `fits` tells whether this answer is the one. `false`: nothing explains it.
    pub(super) fn told(&mut self, id: u64, now: i64, fits: impl Fn(&M::Told) -> bool) -> bool {
        self.expire(now);
        if self.gave_up {
            self.open.remove(&id);
            return true;
        }
        let mut explained = BTreeSet::new();
        for (state, mut done) in self.explore(id) {
            if done.remove(&id).flatten().is_some_and(|told| fits(&told)) {
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

    /// Lets what is open and may have happened happen or not, as if its time were up.
    pub(super) fn settle(&mut self) {
        self.expire(i64::MAX);
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &M::State> {
        self.possible.iter().map(|(state, _)| state)
    }
}
