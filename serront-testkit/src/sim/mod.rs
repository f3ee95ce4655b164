//! The simulator: the real service, dispatcher, janitor, sweeper and folder in a world of one seed, judged by an oracle.
//!
//! ```text
//! plan (from the seed) ─▶ clients ─▶ network ─▶ hosts ─▶ network ─▶ storage · receipts · mail · receivers · Plugipay
//!                                                 │ die, start again, clocks off     │
//!                          oracle ◀── asked, told ┴──── landed, taken, posted ───────┴─▶ invariants
//! ```
//!
//! One thread polls all tasks in an order drawn from the seed, and time jumps to whoever sleeps next: days pass in a
//! fraction of a second, and the same seed writes the same trace, byte for byte. First chaos, as the plan says: requests
//! and answers are lost, late or doubled, commits conflict or end unknown, hosts die between any two polls, receivers are
//! slow or dead. Then everything heals, and the world has to come to rest: every effect at its end, nothing pending, every
//! acknowledged change there.
//!
//! - `plan`: who does what when, and what goes wrong when; what a failing seed is cut down to.
//! - `plugipay`: the sandbox behind the network, what buyers do at its hosted pages, and its notifications on their way.
//! - `oracle`: what each command may do and tell, modelled without the core's code, *unknown* being a value.
//! - `invariants`: the ten rules of the design and what they rest on, one file each.
//! - `bugs`: planted bugs, which test the tests; `docs/planted-bugs.md` says what catches each.
//!
//! A scene of its own ([`Simulation::run_beside_dead_receivers`]) asks whether two hundred dead receivers delay a live one.
//!
//! It does not test an adapter's own concurrency: each call of the storage happens at one moment. That is what
//! [`conformance`](crate::conformance) is for.
//!
//! # Your own storage, your own figures
//!
//! A storage is made anew for each run and given its clock, by which leases run. Every call is waited for where it is made,
//! so an adapter with threads of its own works too, if its runtime is entered before (`let _entered = runtime.enter();`)
//! and each run gets an empty database. Nothing else of it may read a real clock.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use serront_testkit::memory::MemoryStorage;
//! use serront_testkit::sim::{Simulation, calm_policy};
//!
//! // What is yours: the figures …
//! let minute = Duration::from_secs(60);
//! let policy = calm_policy().with(|policy| policy.webhooks.retry_after = vec![minute, 10 * minute]);
//! // … and the storage; `MemoryStorage` stands for it here.
//! let simulation = Simulation::new().with_policy(policy).over(|clock| Arc::new(MemoryStorage::new(clock)));
//!
//! for seed in 0..5 {
//!     let outcome = simulation.run(seed);
//!     if let Some(violation) = &outcome.violation {
//!         panic!("{violation}\n{}", simulation.shrink(seed, &violation.invariant));
//!     }
//! }
//! ```
//!
//! The tests of the tests work there as well: [`Simulation::with_bug`] plants a bug in front of your storage.
#![allow(clippy::wildcard_enum_match_arm, reason = "each part looks at the few requests and events that concern it")]

mod bugs;
mod clients;
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

use self::plan::Plan;
use self::run::{Setting, StorageFactory, play};
use crate::memory::MemoryStorage;

/// What a run of one seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was found; `None` if everything held.
    pub violation: Option<Violation>,
    /// How much time passed in the simulated world.
    pub simulated: Duration,
    /// How many times a task was polled.
    pub polls: u64,
    /// A digest over the trace.
    pub digest: u64,
    /// The trace, if it was asked for.
    pub trace: Option<String>,
}

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
    /// Over the testkit's memory storage and the contract's policy, with nothing planted.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: calm_policy(), storage: Box::new(|clock| Arc::new(MemoryStorage::new(clock))), bug: None }
    }

    /// Over this storage: fresh and empty for each run, with the clock it is given.
    #[must_use]
    pub fn over(self, storage: impl Fn(Arc<dyn Clock>) -> Arc<dyn WorkStorage> + Send + Sync + 'static) -> Self {
        Self { storage: Box::new(storage), ..self }
    }

    /// With these figures.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// With this bug planted.
    #[must_use]
    pub fn with_bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    fn play(&self, plan: &Plan, keep_trace: bool) -> Outcome {
        let setting = Setting { policy: &self.policy, storage: &*self.storage, bug: self.bug, keep_trace };
        let came = play(plan, &setting);
        Outcome {
            seed: plan.seed,
            violation: came.violation,
            simulated: Duration::from_millis(u64::try_from(came.simulated_ms).unwrap_or(0)),
            polls: came.polls,
            digest: came.digest,
            trace: came.trace,
        }
    }

    /// Runs one seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> Outcome {
        self.play(&Plan::draw(seed), false)
    }

    /// Runs another scene than [`run`](Self::run): two accounts with as many receivers as one may have, all dead but one, and a
    /// third account, on one host and in fair weather, for some hours. Judged is that each event of a live receiver, and each
    /// mail, is under way within a second of its commit.
    ///
    /// Meant for the contract's own figures, or a host's: `with_policy(Policy::default())`.
    #[must_use]
    pub fn run_beside_dead_receivers(&self, seed: u64) -> Outcome {
        self.play(&Plan::beside_dead_receivers(seed), false)
    }

    /// The smallest plan found that violates the same invariant, as text: parts of the seed's plan are taken out, and
    /// stay out if it still fails.
    #[must_use]
    pub fn shrink(&self, seed: u64, invariant: &str) -> String {
        let fails =
            |plan: &Plan| self.play(plan, false).violation.is_some_and(|violation| violation.invariant == invariant);
        shrink::shrink(Plan::draw(seed), fails).to_string()
    }

    /// Runs one seed and keeps its trace.
    #[must_use]
    pub fn trace(&self, seed: u64) -> Outcome {
        self.play(&Plan::draw(seed), true)
    }
}

/// What a planted bug came to: by what it was caught, and after how many seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The bug.
    pub bug: Bug,
    /// The invariant and the number of seeds; `None` if it was not caught.
    pub by: Option<(String, u64)>,
}

/// Plants each bug in turn and runs seeds from the first one on, up to `seeds` of them, until it is caught.
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

/// The contract's policy, with periodic halves that look around less often while nothing happens: a host is woken by its own
/// commits, so that only what another host left behind waits longer, and days pass in a fraction of a second. Shares of
/// deliveries are small and subscriptions are switched off soon, so that a few receivers come to it.
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
        // Within a run, which lasts some days.
        policy.retention.quarantine_kept = minutes(12 * 60);
    })
}
