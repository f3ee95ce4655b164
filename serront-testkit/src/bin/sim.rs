//! Runs the simulator from the command line: `sim --seeds N --first SEED`, or `sim --bugs`.
//!
//! Exits with 1 at the first seed that fails, and with 2 on invalid arguments. The last line is a summary.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serront_core::policy::Policy;
use serront_testkit::sim::{Bug, Caught, RunReport, Simulation, bug_table, catch_bugs};

const USAGE: &str = "\
usage: sim [--seeds N] [--first SEED] [--bug NAME] [--trace | --dead-receivers]
       sim --bugs

  --seeds N      number of seeds to run (300)
  --first SEED   the first seed (0)
  --bug NAME     plant this bug
  --trace        print the trace of each run
  --dead-receivers
                 two hundred dead receivers and a few live ones, under the contract's policy
  --bugs         plant each bug in turn, and print what catches it
";

/// Each planted bug must be caught within this many seeds.
const BUG_SEEDS: u64 = 200;

struct Arguments {
    seeds: u64,
    first: u64,
    bug: Option<Bug>,
    trace: bool,
    dead_receivers: bool,
    bugs: bool,
}

fn parse(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments { seeds: 300, first: 0, bug: None, trace: false, dead_receivers: false, bugs: false };
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--seeds" => arguments.seeds = given.next()?.parse().ok()?,
            "--first" => arguments.first = given.next()?.parse().ok()?,
            "--bug" => arguments.bug = Some(Bug::parse(&given.next()?)?),
            "--trace" => arguments.trace = true,
            "--dead-receivers" => arguments.dead_receivers = true,
            "--bugs" => arguments.bugs = true,
            _ => return None,
        }
    }
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if arguments.bugs { bugs() } else { seeds(&arguments) }
}

fn bugs() -> ExitCode {
    let caught: Vec<Caught> = catch_bugs(BUG_SEEDS).collect();
    print!("{}", bug_table(&caught));
    if caught.iter().all(|caught| caught.by.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(arguments: &Arguments) -> ExitCode {
    let simulation =
        if arguments.dead_receivers { Simulation::new().with_policy(Policy::default()) } else { Simulation::new() };
    let simulation = match arguments.bug {
        None => simulation,
        Some(bug) => simulation.with_bug(bug),
    };
    let begin = Instant::now();
    let mut simulated = Duration::ZERO;
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        let report = match (arguments.dead_receivers, arguments.trace) {
            (true, _) => simulation.run_beside_dead_receivers(seed),
            (false, true) => simulation.trace(seed),
            (false, false) => simulation.run(seed),
        };
        simulated += report.simulated;
        if let Some(trace) = &report.trace {
            print!("{trace}");
        }
        if report.violation.is_some() {
            explain(&simulation, arguments, &report);
            println!("{}, failed at seed {seed}", summary(seed - arguments.first + 1, simulated, begin.elapsed()));
            return ExitCode::FAILURE;
        }
    }
    println!("{}, nothing found", summary(arguments.seeds, simulated, begin.elapsed()));
    ExitCode::SUCCESS
}

fn explain(simulation: &Simulation, arguments: &Arguments, report: &RunReport) {
    let Some(violation) = &report.violation else { return };
    let planted = arguments.bug.map(|bug| format!(" --bug {}", bug.name())).unwrap_or_default();
    let scene = if arguments.dead_receivers { " --dead-receivers" } else { "" };
    println!("{violation}");
    println!("reproduce: scripts/sim --first {} --seeds 1{planted}{scene}", report.seed);
    if !arguments.dead_receivers {
        println!("{}", simulation.shrink(report.seed, &violation.invariant));
    }
}

fn summary(seeds: u64, simulated: Duration, took: Duration) -> String {
    let hours = u128::from(simulated.as_secs() / 3_600);
    let rate = hours.saturating_mul(1_000).checked_div(took.as_millis()).unwrap_or(0);
    let tenths = took.as_millis() / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    format!("{seeds} seeds, {hours} simulated hours in {seconds}.{tenth} s, {rate} simulated hours per second")
}
