//! Measures the library against hand-written SQL, and writes the results.
//!
//! ```text
//! scenario ─▶ stages (filled databases) ─▶ rounds of slices, the contenders in turns ─▶ rows counted ─▶ results
//! ```
//!
//! Without options it measures everything, which takes about ten minutes, and then runs the benches of the ledger and of the
//! outbox; all results are in one file. Options choose single figures. It is not a load generator: callers, engine and disk share one machine, so only ratios within one run are
//! comparable.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serront_testkit::postgres::{Cluster, URL_VARIABLE};
use sqlx::postgres::PgConnectOptions;

use crate::machine::Machine;
use crate::postgres::PostgresStage;
use crate::report::Results;
use crate::run::{Stages, Timing};
use crate::scenario::{Engine, Question, Scenario};
use crate::slice::Length;
use crate::sqlite::SqliteStage;
use crate::stage::{Manner, Stage, Trouble};

mod chart;
mod fill;
mod hand;
mod library;
mod machine;
mod notified;
mod postgres;
mod report;
mod run;
mod scenario;
mod slice;
mod sqlite;
mod stage;

/// Measures the library against hand-written SQL.
#[derive(Debug, Parser)]
struct Options {
    /// Only this engine.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Only this operation.
    #[arg(long, value_enum)]
    operation: Option<Question>,
    /// Number of concurrent callers; several, separated by commas.
    #[arg(long, value_delimiter = ',')]
    callers: Vec<usize>,
    /// Number of stored orders; several, separated by commas.
    #[arg(long, value_delimiter = ',')]
    orders: Vec<i64>,
    /// Only this way, for a profiler, without a comparison.
    #[arg(long, value_enum)]
    way: Option<Manner>,
    /// How long a slice counts, in milliseconds.
    #[arg(long, default_value_t = 400)]
    slice_ms: u64,
    /// How many slices each contender gets.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A short test run: few, short slices over few orders. Its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// The folder for RESULTS.json and RESULTS.md, which includes the folder's REMARKS.md.
    #[arg(long, default_value = "benches")]
    out: PathBuf,
}

impl Options {
    /// Whether no option leaves anything out.
    fn is_everything(&self) -> bool {
        let Self { engine, operation, callers, orders, way, quick, .. } = self;
        engine.is_none() && operation.is_none() && callers.is_empty() && orders.is_empty() && way.is_none() && !quick
    }
}

/// The databases of one engine.
struct House {
    engine: Engine,
    connect: Option<PgConnectOptions>,
    folder: PathBuf,
    stages: Stages,
}

impl House {
    async fn prepare(&mut self, scenario: &Scenario) -> Result<(), Trouble> {
        for contender in &scenario.contenders {
            let size = contender.size(scenario.question);
            if self.stages.contains_key(&size) {
                continue;
            }
            eprintln!("filling {} orders into {}", size.orders, self.engine.name());
            let stage: Arc<dyn Stage> = match &self.connect {
                Some(connect) => Arc::new(PostgresStage::open(connect, size).await?),
                None => Arc::new(SqliteStage::open(&self.folder, size).await?),
            };
            self.stages.insert(size, stage);
        }
        Ok(())
    }
}

fn scenarios(options: &Options, engine: Engine) -> Vec<Scenario> {
    let questions: Vec<Question> = options.operation.map_or_else(|| Question::ALL.into(), |question| vec![question]);
    let (callers, orders) = if options.quick { (&vec![4], &vec![1_000]) } else { (&options.callers, &options.orders) };
    let chosen = questions.into_iter().flat_map(|question| Scenario::chosen(engine, question, callers, orders));
    chosen.map(|scenario| options.way.map_or_else(|| scenario.clone(), |way| scenario.only(way))).collect()
}

async fn measure(options: &Options) -> Result<(), Trouble> {
    let timing = if options.quick {
        // Long enough that a stalled disk does not leave a slice empty.
        let length = Length { warm: Duration::from_millis(20), counted: Duration::from_millis(400) };
        Timing { length, rounds: 1 }
    } else {
        let counted = Duration::from_millis(options.slice_ms);
        Timing { length: Length { warm: counted / 4, counted }, rounds: options.rounds }
    };
    let folder = tempfile::tempdir()?;
    let engines: Vec<Engine> = options.engine.map_or_else(|| Engine::ALL.into(), |engine| vec![engine]);
    let wants_postgres = engines.contains(&Engine::Postgres);
    let given = std::env::var(URL_VARIABLE).ok();
    // Dropping it stops the server.
    let cluster = if wants_postgres && given.is_none() { Some(Cluster::start()) } else { None };
    let url = given.or_else(|| cluster.as_ref().map(Cluster::url)).unwrap_or_default();
    let connect: Option<PgConnectOptions> = if wants_postgres { Some(url.parse()?) } else { None };
    let server = match &connect {
        Some(connect) => postgres::server(connect).await?,
        None => Vec::new(),
    };
    let machine = Machine::look(folder.path(), server)?;
    let mut runs = Vec::new();
    for engine in engines {
        let mut house = House {
            engine,
            connect: connect.clone().filter(|_| engine == Engine::Postgres),
            folder: folder.path().to_owned(),
            stages: BTreeMap::new(),
        };
        for scenario in scenarios(options, engine) {
            house.prepare(&scenario).await?;
            let measured = run::scenario(&scenario, &house.stages, timing).await?;
            println!("{}", report::shown(&scenario, &measured)?);
            runs.push((scenario, measured));
        }
        for stage in house.stages.into_values() {
            stage.close().await?;
        }
    }
    let results = Results::of(machine, timing, &runs);
    let remarks = std::fs::read_to_string(options.out.join("REMARKS.md")).ok();
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("RESULTS.json"), results.json()?)?;
    let mut text = results.markdown(remarks.as_deref())?;
    if let Some(chart) = results.chart()? {
        std::fs::write(options.out.join("throughput.svg"), chart)?;
    }
    if options.is_everything() {
        for (bench, title) in [("ledger", "Ledger"), ("outbox", "Outbox")] {
            text.push_str(&format!("\n## {title}\n\n{}", other(bench)?));
        }
    }
    std::fs::write(options.out.join("RESULTS.md"), text)?;
    Ok(())
}

/// Runs another bench of this crate, and returns what it prints.
fn other(bench: &str) -> Result<String, Trouble> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "--release", "--locked", "-p", "serront-benches", "--bin", bench]);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    let printed = String::from_utf8(output.stdout)?;
    println!("{printed}");
    if output.status.success() { Ok(printed) } else { Err(format!("the bench {bench} failed").into()) }
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("measure: {trouble}");
            ExitCode::FAILURE
        }
    }
}
