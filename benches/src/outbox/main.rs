//! Measures what mails and deliveries cost: confirmations over HTTP on PostgreSQL, with the outbox idle and with every
//! effect carried out.
//!
//! ```text
//! 32 connections ─▶ router ─▶ storage ◀─ loops of the host ─▶ a mailer and a sink that answer after a short time
//! ```
//!
//! A slice confirms a fixed number of orders. With the outbox, it ends when the last effect is recorded. The database's
//! own count of transactions is read before and after; the count of an empty slice is subtracted. Like `measure`, it is
//! not a load generator: only ratios within one run are comparable.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![allow(clippy::float_arithmetic, reason = "ratios of time and of counts; no money is computed here")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::Parser;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::orders::mail::MailMessage;
use serront_core::policy::Policy;
use serront_core::ports::{Mailer, PortError, Post, Posted, Sink, TargetError};
use serront_host::{Host, Ports, router, work};
use serront_testkit::memory::{ManualClock, MemoryReceipts, MemorySealer};
use serront_testkit::postgres::{Cluster, URL_VARIABLE, fresh_schema};
use serront_testkit::world::World;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Client;

mod client;

type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Accounts over which the orders are spread.
const SELLERS: usize = 8;
/// How long the last effects of a slice, or the server's connections, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures what mails and deliveries cost.
#[derive(Debug, Parser)]
struct Options {
    /// Orders that a slice confirms.
    #[arg(long, default_value_t = 4_000)]
    orders: usize,
    /// How many slices each contender gets.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Number of HTTP connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long the mailer and the sink take, in milliseconds.
    #[arg(long, default_value_t = 2)]
    answer_ms: u64,
    /// Subscribe each seller, so that a confirmation causes a delivery too.
    #[arg(long)]
    deliveries: bool,
    /// The file that the table is written to as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Sends mails and posts to nobody.
#[derive(Debug)]
struct Nobody {
    answers_after: Duration,
    mails: AtomicU64,
    posts: AtomicU64,
}

#[async_trait]
impl Mailer for Nobody {
    async fn send(&self, _message: &MailMessage) -> Result<(), PortError> {
        tokio::time::sleep(self.answers_after).await;
        self.mails.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Sink for Nobody {
    async fn post(&self, _post: &Post) -> Posted {
        tokio::time::sleep(self.answers_after).await;
        self.posts.fetch_add(1, Ordering::Relaxed);
        Posted::Answered(204)
    }

    async fn check_target(&self, _url: &str) -> Result<(), TargetError> {
        Ok(())
    }
}

/// A filled schema.
struct Filled {
    connect: PgConnectOptions,
    schema: String,
    /// A pool for the bench's own questions. Its transactions are few.
    pool: PgPool,
    /// The keys of the subscriptions' secrets.
    sealer: Arc<MemorySealer>,
    /// The requests for all slices.
    requests: Vec<String>,
}

async fn open(connect: &PgConnectOptions, schema: &str) -> Result<Arc<PostgresStorage>, Trouble> {
    let mut options = PostgresOptions::new(connect.clone());
    schema.clone_into(&mut options.schema);
    Ok(Arc::new(PostgresStorage::open(options).await?))
}

/// Opens accounts and places the orders.
async fn fill(connect: PgConnectOptions, options: &Options) -> Result<Filled, Trouble> {
    let schema = fresh_schema();
    let pool = PgPoolOptions::new().max_connections(1).connect_with(connect.clone()).await?;
    let storage = open(&connect, &schema).await?;
    let world = Arc::new(World::over(Arc::clone(&storage), Arc::new(ManualClock::default())));
    let mut sellers = Vec::with_capacity(SELLERS);
    for n in 0..SELLERS {
        let seller = world.seller(&format!("studio-{n}")).await;
        if options.deliveries {
            world.subscribe(&seller, "https://example.com/serront", &["serront.order.*"]).await;
        }
        sellers.push(seller);
    }
    let orders = options.orders * options.rounds * Contender::ALL.len();
    let next = Arc::new(AtomicUsize::new(0));
    let mut placing = JoinSet::new();
    for _ in 0..options.connections {
        let (world, sellers, next) = (Arc::clone(&world), sellers.clone(), Arc::clone(&next));
        placing.spawn(async move {
            let mut requests = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < orders {
                let Some(seller) = sellers.get(requests.len() % SELLERS) else { break };
                let id = world.place(seller, "Budi Santoso").await.id;
                requests.push(client::request(&format!("/api/v1/orders/{id}/confirm-payment"), seller.key.reveal()));
            }
            requests
        });
    }
    let mut requests = Vec::with_capacity(orders);
    while let Some(placed) = placing.join_next().await {
        requests.extend(placed?);
    }
    storage.close().await;
    Ok(Filled { connect, schema, pool, sealer: Arc::clone(&world.sealer), requests })
}

impl Filled {
    async fn run(&self, sql: &str) -> Result<(), Trouble> {
        let sql = sql.replace("@.", &format!("\"{}\".", self.schema));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await?;
        Ok(())
    }

    async fn count(&self, sql: &str) -> Result<i64, Trouble> {
        let sql = sql.replace("@.", &format!("\"{}\".", self.schema));
        Ok(sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await?.try_get(0)?)
    }

    /// Asks until the answer is 0.
    async fn until_none(&self, sql: &str, pause: Duration) -> Result<(), Trouble> {
        let until = Instant::now() + PATIENCE;
        while self.count(sql).await? > 0 {
            if Instant::now() > until {
                return Err("the slice did not end".into());
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// The transactions of the database until now. A connection reports its own when it ends, so none may be left.
    async fn transactions(&self) -> Result<i64, Trouble> {
        const LEFT: &str = "SELECT count(*) FROM pg_stat_activity \
                            WHERE datname = current_database() AND application_name = 'serront'";
        self.until_none(LEFT, Duration::from_millis(20)).await?;
        self.count("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").await
    }
}

/// Whether the loops of the host run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Idle,
    Sending,
}

impl Contender {
    const ALL: [Self; 2] = [Self::Idle, Self::Sending];

    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "outbox idle",
            Self::Sending => "every effect carried out",
        }
    }
}

/// What a slice measured.
#[derive(Debug, Clone, Copy)]
struct Slice {
    /// Until the last answer.
    answered: Duration,
    /// Until the last effect was recorded.
    ended: Duration,
    /// The 99th percentile of the answers' times.
    slowest: Duration,
    transactions: i64,
}

async fn confirm(address: SocketAddr, requests: Arc<[String]>, connections: usize) -> Result<Vec<Duration>, Trouble> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        callers.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut times = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                let status = client.send(request).await?;
                if status != 200 {
                    return Err(format!("a confirmation answered {status}").into());
                }
                times.push(began.elapsed());
            }
            Ok::<_, Trouble>(times)
        });
    }
    let mut times = Vec::with_capacity(requests.len());
    while let Some(caller) = callers.join_next().await {
        times.extend(caller??);
    }
    times.sort_unstable();
    Ok(times)
}

/// Serves, confirms these orders, and waits for their effects if they are carried out.
async fn slice(
    filled: &Filled,
    contender: Contender,
    requests: &[String],
    options: &Options,
) -> Result<Slice, Trouble> {
    filled.run("TRUNCATE @.effects, @.attempts").await?;
    filled.run("VACUUM ANALYZE").await?;
    let before = filled.transactions().await?;
    let storage = open(&filled.connect, &filled.schema).await?;
    let nobody = Arc::new(Nobody {
        answers_after: Duration::from_millis(options.answer_ms),
        mails: AtomicU64::new(0),
        posts: AtomicU64::new(0),
    });
    let ports = Ports {
        storage: storage.clone(),
        receipts: Arc::new(MemoryReceipts::new(Arc::new(SystemClock))),
        mailer: nobody.clone(),
        sink: nobody.clone(),
        plugipay: None,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        secrets: Arc::new(SystemSecrets),
        sealer: filled.sealer.clone(),
    };
    let host = Arc::new(Host::new(ports, Policy::default(), "http://localhost"));
    let (stop, stopping) = watch::channel(false);
    let mut loops = JoinSet::new();
    if contender == Contender::Sending {
        loops.spawn(work::dispatch(Arc::clone(&host), stopping.clone()));
        loops.spawn(work::tidy(Arc::clone(&host), stopping.clone()));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = router(Arc::clone(&host)).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let began = Instant::now();
    let times = confirm(address, requests.into(), options.connections).await?;
    let answered = began.elapsed();
    if contender == Contender::Sending {
        let effects = u64::try_from(times.len())? * if options.deliveries { 2 } else { 1 };
        while nobody.mails.load(Ordering::Relaxed) + nobody.posts.load(Ordering::Relaxed) < effects {
            if began.elapsed() > PATIENCE {
                return Err("effects were not carried out".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        filled.until_none("SELECT count(*) FROM @.effects WHERE status = 'pending'", Duration::from_millis(5)).await?;
    }
    let ended = began.elapsed();

    stop.send_replace(true);
    loops.join_all().await;
    server.abort();
    storage.close().await;
    let transactions = filled.transactions().await? - before;
    let lost = filled.count("SELECT count(*) FROM @.effects WHERE status = 'failed' OR attempts > 1").await?;
    if lost > 0 {
        return Err(format!("{lost} effects failed or were attempted again").into());
    }
    let slowest = times.get(times.len().saturating_mul(99) / 100).copied().unwrap_or_default();
    Ok(Slice { answered, ended, slowest, transactions })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

async fn measure(options: &Options) -> Result<(), Trouble> {
    let given = std::env::var(URL_VARIABLE).ok();
    // Dropping it stops the server.
    let cluster = if given.is_none() { Some(Cluster::start()) } else { None };
    let url = given.or_else(|| cluster.as_ref().map(Cluster::url)).unwrap_or_default();
    eprintln!("filling PostgreSQL");
    let filled = fill(url.parse()?, options).await?;
    let opening = slice(&filled, Contender::Idle, &[], options).await?.transactions;
    let mut slices: Vec<Vec<Slice>> = Contender::ALL.iter().map(|_| Vec::new()).collect();
    let mut requests = filled.requests.chunks(options.orders);
    for _ in 0..options.rounds {
        for (contender, slices) in Contender::ALL.into_iter().zip(&mut slices) {
            let requests = requests.next().ok_or("too few orders")?;
            slices.push(slice(&filled, contender, requests, options).await?);
        }
    }
    let orders = f64::from(u32::try_from(options.orders)?);
    let mut text = format!(
        "`cargo run --release -p serront-benches --bin outbox -- --orders {} --rounds {} --connections {} --answer-ms {}{}`\n\n\
         | | confirmations a second | ratio | p99 ms | ms until the last record | transactions for each |\n\
         |---|--:|--:|--:|--:|--:|\n",
        options.orders,
        options.rounds,
        options.connections,
        options.answer_ms,
        if options.deliveries { " --deliveries" } else { "" },
    );
    let mut idle = None;
    for (contender, slices) in Contender::ALL.into_iter().zip(slices) {
        let of = |figure: fn(&Slice) -> f64| median(slices.iter().map(figure).collect());
        // Work that is left when the last answer is sent counts too.
        let rate = orders / of(|slice| slice.ended.as_secs_f64());
        let ratio = rate / *idle.get_or_insert(rate);
        let slowest = of(|slice| slice.slowest.as_secs_f64() * 1_000.0);
        let behind = of(|slice| (slice.ended.saturating_sub(slice.answered)).as_secs_f64() * 1_000.0);
        let count = |slice: &Slice| u32::try_from(slice.transactions - opening).map_or(f64::NAN, f64::from) / orders;
        let transactions = median(slices.iter().map(count).collect());
        let name = contender.name();
        text.push_str(&format!(
            "| {name} | {rate:.0} | {ratio:.2} | {slowest:.1} | {behind:.0} | {transactions:.2} |\n"
        ));
    }
    println!("{text}");
    if let Some(out) = &options.out {
        std::fs::write(out, text)?;
    }
    filled.run(&format!("DROP SCHEMA \"{}\" CASCADE", filled.schema)).await?;
    filled.pool.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("outbox: {trouble}");
            ExitCode::FAILURE
        }
    }
}
