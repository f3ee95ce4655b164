//! Measures balances, verifications and payouts: whether a read of the balance depends on the size of the ledger, the
//! cost of a verification, and the rate of requests for payouts, compared with hand-written SQL.
//!
//! Like `measure`, it is neither a test nor a load generator: only ratios within one run are comparable. After the
//! payouts it verifies the books and counts the rows.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![allow(clippy::float_arithmetic, reason = "ratios of time; no money is computed here")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::accounts::actor::Actor;
use serront_core::decide::Requester;
use serront_core::funds::books::Verification;
use serront_core::funds::payout::PayoutInput;
use serront_core::policy::Policy;
use serront_core::ports::{NoKeys, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::Limit;
use serront_core::service::{Commands, Environment, Failure, verify};
use serront_core::snapshots::EntryFilter;
use serront_testkit::postgres::{Cluster, URL_VARIABLE};

mod hand;
mod postgres;
mod sqlite;

pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Deltas that wait to be folded where a balance is read: what the policy lets wait.
pub(crate) const BACKLOG: i64 = 1_000;
/// Accounts over which payouts are spread.
pub(crate) const ACCOUNTS: i64 = 10_000;
/// What each of them has.
pub(crate) const EACH: i64 = 1_000_000_000;
const CALLERS: u64 = 32;

/// Measures balances, verifications and payouts.
#[derive(Debug, Parser)]
struct Options {
    /// Entries on the seller's book in the large ledger; each has one on another book.
    #[arg(long, default_value_t = 1_000_000)]
    entries: i64,
    /// How long a slice of payouts counts, in milliseconds.
    #[arg(long, default_value_t = 700)]
    slice_ms: u64,
    /// How many slices each contender gets.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often each read is timed.
    #[arg(long, default_value_t = 400)]
    reads: usize,
    /// The file that the tables are written to as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The hand-written side. `ask` requests a payout; `false` if a concurrent request was faster and it must be repeated.
#[async_trait::async_trait]
pub(crate) trait ByHand: Send + Sync {
    async fn ask(&self, account: &str, number: u64) -> Result<bool, Trouble>;
    /// The sum of all entries.
    async fn sum(&self) -> Result<i64, Trouble>;
}

/// A database with a ledger of so many entries in one account, and with accounts for payouts.
pub(crate) struct Filled {
    pub(crate) storage: Arc<dyn WorkStorage>,
    pub(crate) by_hand: Arc<dyn ByHand>,
    pub(crate) account: AccountId,
}

/// The `n`th of the accounts for payouts.
pub(crate) fn account(n: u64) -> String {
    format!("acc_01k{n:0>23}")
}

fn environment(policy: &Policy) -> Environment<'_> {
    Environment { clock: &SystemClock, ids: &RandomIds, secrets: &SystemSecrets, sealer: &NoKeys, policy }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(f64::MIN_POSITIVE)
}

async fn timed<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<Duration, Trouble> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}

/// The same reads on both ledgers, in turns.
async fn reads(small: &Filled, large: &Filled, times: usize) -> Result<String, Trouble> {
    let policy = Policy::default();
    let mut table =
        String::from("| | 1,000 entries, µs | large, µs | large to small | wanted |\n|---|--:|--:|--:|--:|\n");
    for what in ["balance", "balance with payouts", "first page of entries"] {
        let mut taken = [Vec::new(), Vec::new()];
        for turn in 0..times + times / 10 {
            for (filled, taken) in [small, large].into_iter().zip(&mut taken) {
                let commands = Commands::new(filled.storage.as_ref(), environment(&policy));
                let limit = Limit::parse(None)?;
                let filter = EntryFilter::default();
                let time = match what {
                    "balance" => timed(commands.balance(filled.account)).await?,
                    "balance with payouts" => timed(commands.payout_balance(filled.account)).await?,
                    _ => timed(commands.entries(filled.account, &filter, None, limit)).await?,
                };
                if turn >= times / 10 {
                    taken.push(time);
                }
            }
        }
        let [small, large] = taken.map(median);
        let (at, of) = (small.as_micros(), large.as_micros());
        table.push_str(&format!("| {what} | {at} | {of} | {:.2} | ≤ 1.20 |\n", ratio(large, small)));
    }
    Ok(table)
}

async fn verification(large: &Filled, rounds: usize) -> Result<String, Trouble> {
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let report = verify(large.storage.as_ref(), None, &Verification::default()).await?;
        ours.push(began.elapsed());
        if !report.differences.is_empty() {
            return Err(format!("the books differ: {:?}", report.differences).into());
        }
        let began = Instant::now();
        large.by_hand.sum().await?;
        by_hand.push(began.elapsed());
    }
    let (ours, by_hand) = (median(ours), median(by_hand));
    Ok(format!(
        "| | ms | to by hand |\n|---|--:|--:|\n| `SELECT sum(…)` | {} | 1.00 |\n| `service::verify` | {} | {:.2} |\n",
        by_hand.as_millis(),
        ours.as_millis(),
        ratio(ours, by_hand)
    ))
}

/// Who asks for payouts, and of how many accounts.
#[derive(Debug, Clone, Copy)]
struct Contender {
    name: &'static str,
    library: bool,
    accounts: u64,
}

const CONTENDERS: [Contender; 4] = [
    Contender { name: "by hand, 10,000 accounts", library: false, accounts: ACCOUNTS.unsigned_abs() },
    Contender { name: "library, 10,000 accounts", library: true, accounts: ACCOUNTS.unsigned_abs() },
    Contender { name: "by hand, one account", library: false, accounts: 1 },
    Contender { name: "library, one account", library: true, accounts: 1 },
];

#[derive(Debug, Default)]
struct Counts {
    next: AtomicU64,
    done: AtomicU64,
    busy: AtomicU64,
}

fn asked() -> PayoutInput {
    PayoutInput {
        amount: 1,
        bank_name: Some("Bank Contoh".to_owned()),
        bank_account_number: Some("123-456-789".to_owned()),
        bank_account_holder: Some("Renata".to_owned()),
        ..PayoutInput::default()
    }
}

async fn caller(filled: &Filled, contender: Contender, counts: &Counts, until: Instant) -> Result<(), Trouble> {
    let policy = Policy::default();
    let commands = Commands::new(filled.storage.as_ref(), environment(&policy));
    let (input, actor) = (asked(), Actor::host("bench")?);
    while Instant::now() < until {
        let number = counts.next.fetch_add(1, Ordering::Relaxed);
        let account = account(number % contender.accounts);
        if contender.library {
            match commands.request_payout(account.parse()?, &input, (Requester::Operator, &actor), None).await {
                Ok(_) => {}
                Err(Failure::Busy) => {
                    counts.busy.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            }
        } else {
            while !filled.by_hand.ask(&account, number).await? {}
        }
        counts.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn payouts(filled: &Arc<Filled>, slice: Duration, rounds: usize) -> Result<String, Trouble> {
    let counts: Vec<Arc<Counts>> = CONTENDERS.iter().map(|_| Arc::default()).collect();
    let mut rates: Vec<Vec<f64>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    let numbers = Arc::new(AtomicU64::new(0));
    for _ in 0..rounds {
        for ((contender, counts), rates) in CONTENDERS.into_iter().zip(&counts).zip(&mut rates) {
            // Numbers are for every contender's: by hand they are the payouts' ids.
            counts.next.store(numbers.load(Ordering::Relaxed), Ordering::Relaxed);
            let before = counts.done.load(Ordering::Relaxed);
            let began = Instant::now();
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (filled, counts) = (Arc::clone(filled), Arc::clone(counts));
                    tokio::spawn(async move { caller(&filled, contender, &counts, began + slice).await })
                })
                .collect();
            for caller in callers {
                caller.await??;
            }
            numbers.store(counts.next.load(Ordering::Relaxed), Ordering::Relaxed);
            let done = u32::try_from(counts.done.load(Ordering::Relaxed) - before)?;
            rates.push(f64::from(done) / began.elapsed().as_secs_f64());
        }
    }
    let report = verify(filled.storage.as_ref(), None, &Verification::default()).await?;
    if !report.differences.is_empty() {
        return Err(format!("the books differ: {:?}", report.differences).into());
    }
    let mut table = String::from("| | payouts per second | to by hand | answered `BUSY` |\n|---|--:|--:|--:|\n");
    let rates = rates.into_iter().map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    });
    let mut floor = 0.0;
    for ((contender, counts), rate) in CONTENDERS.iter().zip(&counts).zip(rates) {
        if !contender.library {
            floor = rate;
        }
        let busy = counts.busy.load(Ordering::Relaxed);
        table.push_str(&format!("| {} | {rate:.0} | {:.2} | {busy} |\n", contender.name, rate / floor));
    }
    Ok(table)
}

async fn measure(options: &Options) -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let given = std::env::var(URL_VARIABLE).ok();
    // Dropping it stops the server.
    let cluster = if given.is_none() { Some(Cluster::start()) } else { None };
    let url = given.or_else(|| cluster.as_ref().map(Cluster::url)).unwrap_or_default();
    let slice = Duration::from_millis(options.slice_ms);
    let mut text = format!(
        "`cargo run --release -p serront-benches --bin ledger -- --entries {} --slice-ms {} --rounds {}`: {} entries on the \
         seller's book in the large ledger, {BACKLOG} deltas not folded on PostgreSQL, {CALLERS} callers. By hand, a payout is one read and one write \
         (on SQLite one transaction on a separate thread) of the same rows.\n",
        options.entries, options.slice_ms, options.rounds, options.entries
    );
    for engine in ["PostgreSQL", "SQLite"] {
        eprintln!("filling {engine}");
        let (small, large) = if engine == "PostgreSQL" {
            (postgres::filled(&url, 1_000).await?, postgres::filled(&url, options.entries).await?)
        } else {
            let path = |name: &str| folder.path().join(name);
            (sqlite::filled(path("small.db"), 1_000).await?, sqlite::filled(path("large.db"), options.entries).await?)
        };
        let (small, large) = (Arc::new(small), Arc::new(large));
        let reads = reads(&small, &large, options.reads).await?;
        let verification = verification(&large, options.rounds).await?;
        let payouts = payouts(&small, slice, options.rounds).await?;
        let tables = format!("\n### {engine}\n\n{reads}\n{verification}\n{payouts}");
        println!("{tables}");
        text.push_str(&tables);
    }
    if let Some(out) = &options.out {
        std::fs::write(out, text)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("ledger: {trouble}");
            ExitCode::FAILURE
        }
    }
}
