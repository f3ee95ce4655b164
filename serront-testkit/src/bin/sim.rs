//! Runs the simulator from the command line: `sim --seeds N --first SEED`, or `sim --bugs`.
//!
//! It exits with 1 at the first seed that fails, with 2 if it does not understand what it is asked. Its last line is a
//! summary.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serront_core::policy::Policy;
use serront_testkit::sim::{Bug, Caught, Outcome, Simulation, bug_table, catch_bugs};

const USAGE: &str = "\
usage: sim [--seeds N] [--first SEED] [--bug NAME] [--trace | --dead-receivers]
       sim --bugs

  --seeds N      how many seeds to run (300)
  --first SEED   the first of them (0)
  --bug NAME     with this bug planted
  --trace        print the trace of each run
  --dead-receivers
                 two hundred dead receivers beside live ones, under the contract's own figures
  --bugs         plant each bug in turn, and print what catches it
";

/// Within so many seeds each planted bug has to be caught.
const BUG_SEEDS: u64 = 200;

struct Asked {
    seeds: u64,
    first: u64,
    bug: Option<Bug>,
    trace: bool,
    dead_receivers: bool,
    bugs: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { seeds: 300, first: 0, bug: None, trace: false, dead_receivers: false, bugs: false };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => asked.seeds = arguments.next()?.parse().ok()?,
            "--first" => asked.first = arguments.next()?.parse().ok()?,
            "--bug" => asked.bug = Some(Bug::parse(&arguments.next()?)?),
            "--trace" => asked.trace = true,
            "--dead-receivers" => asked.dead_receivers = true,
            "--bugs" => asked.bugs = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if asked.bugs { bugs() } else { seeds(&asked) }
}

fn bugs() -> ExitCode {
    let caught: Vec<Caught> = catch_bugs(BUG_SEEDS).collect();
    print!("{}", bug_table(&caught));
    if caught.iter().all(|caught| caught.by.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(asked: &Asked) -> ExitCode {
    let simulation =
        if asked.dead_receivers { Simulation::new().with_policy(Policy::default()) } else { Simulation::new() };
    let simulation = match asked.bug {
        None => simulation,
        Some(bug) => simulation.with_bug(bug),
    };
    let begin = Instant::now();
    let mut simulated = Duration::ZERO;
    for seed in asked.first..asked.first.saturating_add(asked.seeds) {
        let outcome = match (asked.dead_receivers, asked.trace) {
            (true, _) => simulation.run_beside_dead_receivers(seed),
            (false, true) => simulation.trace(seed),
            (false, false) => simulation.run(seed),
        };
        simulated += outcome.simulated;
        if let Some(trace) = &outcome.trace {
            print!("{trace}");
        }
        if outcome.violation.is_some() {
            explain(&simulation, asked, &outcome);
            println!("{}, failed at seed {seed}", summary(seed - asked.first + 1, simulated, begin.elapsed()));
            return ExitCode::FAILURE;
        }
    }
    println!("{}, nothing found", summary(asked.seeds, simulated, begin.elapsed()));
    ExitCode::SUCCESS
}

fn explain(simulation: &Simulation, asked: &Asked, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    let planted = asked.bug.map(|bug| format!(" --bug {}", bug.name())).unwrap_or_default();
    let scene = if asked.dead_receivers { " --dead-receivers" } else { "" };
    println!("{violation}");
    println!("reproduce: scripts/sim --first {} --seeds 1{planted}{scene}", outcome.seed);
    if !asked.dead_receivers {
        println!("{}", simulation.shrink(outcome.seed, &violation.invariant));
    }
}

fn summary(seeds: u64, simulated: Duration, took: Duration) -> String {
    let hours = u128::from(simulated.as_secs() / 3_600);
    let rate = hours.saturating_mul(1_000).checked_div(took.as_millis()).unwrap_or(0);
    let tenths = took.as_millis() / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    format!("{seeds} seeds, {hours} simulated hours in {seconds}.{tenth} s, {rate} simulated hours per second")
}
