//! The judge: shows every event to every invariant and to the oracle, writes the trace, and keeps the first violation.

use std::fmt;
use std::sync::Arc;

use serront_core::policy::Policy;
use serront_core::ports::WorkStorage;

use super::events::{Event, Invariant, SellerFacts, View};
use super::plan::SKEW_MS_MAX;
use super::trace::Trace;
use crate::memory::MemoryReceipts;
use crate::sandbox::Sandbox;

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: String,
    /// What is wrong, as text.
    pub what: String,
    /// Milliseconds of simulated time since the beginning.
    pub at_ms: i64,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} (after {} ms)", self.invariant, self.what, self.at_ms)
    }
}

pub(crate) struct Judge {
    invariants: Vec<Box<dyn Invariant>>,
    storage: Arc<dyn WorkStorage>,
    receipts: Arc<MemoryReceipts>,
    sandbox: Arc<Sandbox>,
    policy: Policy,
    sellers: Vec<SellerFacts>,
    begin: i64,
    found: Option<Violation>,
    closed: bool,
    pub(crate) trace: Trace,
}

impl Judge {
    pub(crate) fn new(
        invariants: Vec<Box<dyn Invariant>>,
        (storage, receipts, sandbox): (Arc<dyn WorkStorage>, Arc<MemoryReceipts>, Arc<Sandbox>),
        policy: Policy,
        begin: i64,
        trace: Trace,
    ) -> Self {
        let sellers = Vec::new();
        Self { invariants, storage, receipts, sandbox, policy, sellers, begin, found: None, closed: false, trace }
    }

    pub(crate) fn introduce(&mut self, seller: SellerFacts) {
        self.sellers.push(seller);
    }

    pub(crate) const fn found(&self) -> Option<&Violation> {
        self.found.as_ref()
    }

    /// Ignores all later events, which come from tearing the world down.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn line(&mut self, now: i64, line: &str) {
        if self.closed {
            return;
        }
        let since = now - self.begin;
        self.trace.line(&format!("{since} {line}"));
    }

    /// `false` after a violation.
    pub(crate) fn see(&mut self, event: &Event<'_>, now: i64) -> bool {
        self.ask(now, |invariant, view| invariant.see(event, view))
    }

    pub(crate) fn end(&mut self, now: i64) -> bool {
        self.ask(now, |invariant, view| invariant.end(view))
    }

    /// Records a violation that the simulator itself found.
    pub(crate) fn accuse(&mut self, now: i64, invariant: &str, what: String) {
        if self.found.is_none() {
            let at_ms = now - self.begin;
            self.line(now, &format!("VIOLATION {invariant}: {what}"));
            self.found = Some(Violation { invariant: invariant.to_owned(), what, at_ms });
        }
    }

    fn ask(&mut self, now: i64, verdict: impl Fn(&mut dyn Invariant, &View<'_>) -> Result<(), String>) -> bool {
        if self.found.is_some() || self.closed {
            return false;
        }
        let Self { invariants, storage, receipts, sandbox, policy, sellers, .. } = self;
        let view = View { now, storage: &**storage, receipts, sandbox, policy, sellers, skew_ms: 2 * SKEW_MS_MAX };
        let wrong = invariants
            .iter_mut()
            .find_map(|invariant| verdict(&mut **invariant, &view).err().map(|what| (invariant.name(), what)));
        match wrong {
            None => true,
            Some((name, what)) => {
                self.accuse(now, name, what);
                false
            }
        }
    }
}
