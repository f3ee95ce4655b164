//! The simulator: the real service, dispatcher, janitor, sweeper and folder in a simulated world, checked by an oracle.
//!
//! ```text
//! plan (from the seed) ─▶ clients ─▶ network ─▶ hosts ─▶ network ─▶ storage · receipts · mail · receivers · Plugipay
//!                                                 │ crash, restart, clock offsets    │
//!                    oracle ◀── requests, answers ┴──── landed, taken, posted ───────┴─▶ invariants
//! ```
//!
//! One thread polls all tasks in an order drawn from the seed, and time jumps to the next sleeping task: days pass in a
//! fraction of a second, and the same seed writes the same trace, byte for byte. The plan starts with faults: requests
//! and answers are lost, late or duplicated, commits conflict or end unknown, hosts crash between any two polls,
//! receivers are slow or dead. Then everything heals, and the world must come to rest: every effect has ended, nothing
//! is pending, and every acknowledged change is stored.
//!
//! - `plan`: who does what when, and what goes wrong when. A failing seed is reduced to a smaller plan.
//! - `plugipay`: the sandbox behind the network, the buyers' actions at its hosted pages, and its notifications, which
//!   `courier` carries to the hosts.
//! - `oracle`: what each command may do and answer, modelled without the core's code. *Unknown* is a value in it.
//! - `invariants`: the ten rules of the design and what they depend on, one file each.
//! - `bugs`: planted bugs that test the tests; `docs/planted-bugs.md` lists what catches each.
//!
//! [`Simulation::run_beside_dead_receivers`] is a separate scene: do two hundred dead receivers delay a live one?
//!
//! The simulator does not test an adapter's internal concurrency, because each storage call happens at one moment. For
//! that, see [`conformance`](crate::conformance).
//!
//! # With your storage and your policy
//!
//! Each run creates a new storage and passes it the clock that its leases must use. The simulator blocks on every call,
//! so that an adapter with threads works too, if its runtime is entered first (`let _entered = runtime.enter();`) and
//! each run gets an empty database. The adapter must not read another clock.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use serront_testkit::memory::MemoryStorage;
//! use serront_testkit::sim::{Simulation, calm_policy};
//!
//! // Your policy …
//! let minute = Duration::from_secs(60);
//! let policy = calm_policy().with(|policy| policy.webhooks.retry_after = vec![minute, 10 * minute]);
//! // … and your storage; `MemoryStorage` takes its place here.
//! let simulation = Simulation::new().with_policy(policy).over(|clock| Arc::new(MemoryStorage::new(clock)));
//!
//! for seed in 0..5 {
//!     if let Some(violation) = simulation.run(seed).violation {
//!         panic!("{violation}\n{}", simulation.shrink(seed, &violation.invariant));
//!     }
//! }
//! ```
//!
//! [`Simulation::with_bug`] plants a bug in front of your storage, to test that the simulator finds it.
#![allow(clippy::wildcard_enum_match_arm, reason = "each part looks at the few requests and events that concern it")]

mod bugs;
mod clients;
mod courier;
mod events;
mod executor;
mod host;
mod invariants;
mod judge;
mod network;
mod oracle;
mod outside;
mod plan;
mod plugipay;
mod random;
mod run;
mod shrink;
mod storage;
mod trace;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serront_core::policy::{DeliveryShares, Policy};
use serront_core::ports::{Clock, WorkStorage};

pub use self::bugs::Bug;
pub use self::judge::Violation;
pub use self::run::RunReport;

use self::plan::Plan;
use self::run::{Setting, StorageFactory, play};
use crate::memory::MemoryStorage;

/// A simulation, ready to run one seed after the other.
pub struct Simulation {
    policy: Policy,
    storage: Box<StorageFactory>,
    bug: Option<Bug>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulation").field("bug", &self.bug).finish_non_exhaustive()
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulation {
    /// Uses the testkit's memory storage and [`calm_policy`], without a planted bug.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: calm_policy(), storage: Box::new(|clock| Arc::new(MemoryStorage::new(clock))), bug: None }
    }

    /// Uses this storage. The function returns a new, empty storage for each run, which must use the given clock.
    #[must_use]
    pub fn over(self, storage: impl Fn(Arc<dyn Clock>) -> Arc<dyn WorkStorage> + Send + Sync + 'static) -> Self {
        Self { storage: Box::new(storage), ..self }
    }

    /// Uses this policy.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Plants this bug.
    #[must_use]
    pub fn with_bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    fn play(&self, plan: &Plan, keep_trace: bool) -> RunReport {
        play(plan, &Setting { policy: &self.policy, storage: &*self.storage, bug: self.bug, keep_trace })
    }

    /// Runs one seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> RunReport {
        self.play(&Plan::draw(seed), false)
    }

    /// Runs a scene with dead receivers for some hours: two accounts with the maximum number of receivers, all dead but
    /// one, and a third account, on one host without network faults. It checks that each mail, and each event of a live
    /// receiver, is on its way within a second of its commit.
    ///
    /// Meant for the contract's policy, `with_policy(Policy::default())`, or a host's.
    #[must_use]
    pub fn run_beside_dead_receivers(&self, seed: u64) -> RunReport {
        self.play(&Plan::beside_dead_receivers(seed), false)
    }

    /// The smallest plan found that violates the same invariant, as text. Removes parts of the seed's plan as long as
    /// it still fails.
    #[must_use]
    pub fn shrink(&self, seed: u64, invariant: &str) -> String {
        let fails =
            |plan: &Plan| self.play(plan, false).violation.is_some_and(|violation| violation.invariant == invariant);
        shrink::shrink(Plan::draw(seed), fails).to_string()
    }

    /// Runs one seed and keeps its trace.
    #[must_use]
    pub fn trace(&self, seed: u64) -> RunReport {
        self.play(&Plan::draw(seed), true)
    }
}

/// What caught a planted bug, and after how many seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The bug.
    pub bug: Bug,
    /// The invariant and the number of seeds; `None` if it was not caught.
    pub by: Option<(String, u64)>,
}

/// Plants each bug in turn and runs up to `seeds` seeds, from 0, until it is caught.
pub fn catch_bugs(seeds: u64) -> impl Iterator<Item = Caught> {
    Bug::ALL.iter().map(move |bug| {
        let simulation = Simulation::new().with_bug(*bug);
        let caught = |seed: u64| {
            let violation = simulation.run(seed).violation?;
            Some((violation.invariant, seed.saturating_add(1)))
        };
        Caught { bug: *bug, by: (0..seeds).find_map(caught) }
    })
}

/// The planted bugs and what caught them, as a page of the documentation.
#[must_use]
pub fn bug_table(caught: &[Caught]) -> String {
    let head = "# Planted bugs\n\n\
        What an adapter, a view or a host could get wrong, one at a time, and the invariant of the simulator that catches it,\n\
        after how many seeds, counted from seed 0. A test compares this page with what `scripts/sim --bugs` prints.\n\n\
        | bug | what is wrong | caught by | seeds |\n|---|---|---|---|\n";
    let rows = caught.iter().map(|Caught { bug, by }| {
        let (by, seeds) = by.as_ref().map_or(("nothing", "–".to_owned()), |(by, seeds)| (by, seeds.to_string()));
        format!("| `{}` | {} | {by} | {seeds} |\n", bug.name(), bug.description())
    });
    rows.fold(head.to_owned(), |page, row| page + &row)
}

/// The contract's policy with longer idle intervals of the background loops, so that days pass in a fraction of a
/// second. A host is woken by its own commits; only work left by another host waits longer. Shares of deliveries are
/// small and subscriptions are switched off soon, so that few receivers are enough to test both.
#[must_use]
pub fn calm_policy() -> Policy {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    Policy::default().with(|policy| {
        policy.outbox.idle_pause = minutes(10);
        policy.folding.interval = minutes(30);
        policy.webhooks.shares =
            DeliveryShares { per_subscription: 4, per_account: 5, failing: 2, slow_after: Duration::MAX };
        policy.webhooks.switch_off_failures = 5;
        policy.webhooks.switch_off_after = minutes(120);
        // Short enough to end within a run, which lasts some days.
        policy.retention.quarantine_kept = minutes(12 * 60);
    })
}
