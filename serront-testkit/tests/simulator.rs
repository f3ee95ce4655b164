//! The simulator checks the library, and is checked itself: one seed gives one trace, a correct library has no
//! violation, and every planted bug is caught by its invariant.

use std::path::Path;

use serront_core::policy::Policy;
use serront_testkit::golden;
use serront_testkit::sim::{Bug, Simulation, bug_table, catch_bugs};

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let simulation = Simulation::new();
    for seed in [0, 1, 7, 42, 1_000_000_007] {
        let (one, other) = (simulation.trace(seed), simulation.trace(seed));
        assert!(one.trace.as_ref().is_some_and(|trace| trace.lines().count() > 50), "seed {seed} tells nothing");
        assert_eq!(one, other, "seed {seed}");
        assert_eq!(simulation.run(seed).digest, one.digest, "seed {seed}: looking changes it");
    }
}

/// Two threads, each with half of the seeds: a run depends on its seed only.
#[test]
fn three_hundred_seeds_hold() {
    std::thread::scope(|scope| {
        for first in 0..2_u64 {
            scope.spawn(move || {
                let simulation = Simulation::new();
                for seed in (first..300).step_by(2) {
                    if let Some(violation) = simulation.run(seed).violation {
                        let plan = simulation.shrink(seed, &violation.invariant);
                        panic!("{violation}\nreproduce: scripts/sim --first {seed} --seeds 1\n{plan}");
                    }
                }
            });
        }
    });
}

/// The contract's own figures, and some hours. Without the shares the dead ones fill the host, and that is noticed.
#[test]
fn two_hundred_dead_receivers_delay_no_live_one_and_no_mail() {
    let simulation = Simulation::new().with_policy(Policy::default());
    let outcome = simulation.run_beside_dead_receivers(0);
    assert_eq!(outcome.violation, None);
    assert!(outcome.simulated.as_secs() >= 3 * 3_600, "{outcome:?}");
    let violation = simulation.with_bug(Bug::SharesIgnored).run_beside_dead_receivers(0).violation;
    assert_eq!(violation.map(|violation| violation.invariant), Some("at once".to_owned()));
}

#[test]
fn every_planted_bug_is_caught_within_two_hundred_seeds_and_as_the_page_says() {
    let caught: Vec<_> = catch_bugs(200).collect();
    let missed: Vec<_> = caught.iter().filter(|caught| caught.by.is_none()).map(|caught| caught.bug.name()).collect();
    assert_eq!(missed, [""; 0]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/planted-bugs.md");
    golden::check(&page, &bug_table(&caught));
}

#[test]
fn a_failing_plan_is_cut_down() {
    let simulation = Simulation::new().with_bug(Bug::MailTwice);
    let violation = simulation.run(0).violation.unwrap();
    let plan = simulation.shrink(0, &violation.invariant);
    // An order and its confirmation are enough, without any fault.
    let acts: Vec<_> = plan.lines().skip(1).map(|line| line.split("}: ").nth(1).unwrap_or_default()).collect();
    assert_eq!(acts.len(), 2, "{plan}");
    assert!(acts[0] == "Place" && acts[1].starts_with("Confirm"), "{plan}");
}
