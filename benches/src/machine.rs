//! The machine of the measurement.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::stage::Trouble;

/// The machine, the engines and the command.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    /// Median time to append 8 KiB to a file on the databases' disk and sync it.
    pub(crate) fsync_us: u128,
    pub(crate) sqlite: String,
    pub(crate) postgres: Vec<(String, String)>,
    pub(crate) build: &'static str,
}

fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |model| model.trim().to_owned())
}

/// The command line, without the output folder.
fn command() -> String {
    let mut told = vec!["cargo run --release -p serront-benches --bin measure --".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--out" {
            arguments.next();
        } else if !argument.starts_with("--out=") {
            told.push(argument);
        }
    }
    told.join(" ")
}

fn fsync(folder: &Path) -> Result<Duration, Trouble> {
    const ROUNDS: usize = 51;
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        file.write_all(&[7; 8_192])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(ROUNDS / 2).copied().unwrap_or_default())
}

impl Machine {
    pub(crate) fn look(folder: &Path, postgres: Vec<(String, String)>) -> Result<Self, Trouble> {
        Ok(Self {
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            command: command(),
            cores: std::thread::available_parallelism()?.get(),
            processor: processor(),
            fsync_us: fsync(folder)?.as_micros(),
            sqlite: rusqlite::version().to_owned(),
            postgres,
            build: if cfg!(debug_assertions) { "debug: figures of no use" } else { "release" },
        })
    }
}
