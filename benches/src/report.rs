//! The measurements compared with the targets, as a table for people and as JSON.
#![allow(clippy::float_arithmetic, reason = "ratios of measurements; no money is computed here")]

use std::fmt::Write as _;

use serde::Serialize;

use crate::chart::{self, Group, Panel};
use crate::machine::Machine;
use crate::run::{Measured, Timing};
use crate::scenario::{Engine, LARGE, ONE_MERCHANT, Operation, Question, REPEATED, Scenario, TOGETHER};
use crate::stage::{Manner, Size, Trouble};

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    machine: Machine,
    slice_ms: u128,
    rounds: usize,
    scenarios: Vec<Figures>,
    wanted: Vec<Wanted>,
}

#[derive(Debug, Serialize)]
struct Figures {
    engine: Engine,
    question: Question,
    callers: usize,
    orders: i64,
    contenders: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    #[serde(skip)]
    manner: Manner,
    way: &'static str,
    remark: &'static str,
    /// The median over the slices.
    per_second: f64,
    p50_us: u32,
    p99_us: u32,
    /// The throughput as a multiple of that of the contender at this index.
    ratio: f64,
    against: usize,
    /// Orders whose rows were counted afterwards.
    checked: i64,
    bytes_each: i64,
    /// The throughput of first operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_per_second: Option<f64>,
    /// A duplicate's cost as a share of a first delivery's cost for the contender at `against`.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_costs: Option<f64>,
    /// Deltas of balances folded during the slices.
    #[serde(skip_serializing_if = "Option::is_none")]
    deltas_folded: Option<u64>,
    slices: Vec<f64>,
}

/// A target.
#[derive(Debug, Serialize)]
struct Wanted {
    engine: Engine,
    figure: String,
    wanted: String,
    measured: f64,
    met: bool,
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

/// The latency below which this many thousandths of the operations are.
fn quantile(sorted: &[u32], thousandths: usize) -> u32 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * thousandths / 1_000).copied().unwrap_or_default()
}

/// The share of first operations.
#[allow(clippy::cast_precision_loss, reason = "a share")]
fn share((all, first): (usize, usize)) -> f64 {
    first as f64 / all.max(1) as f64
}

fn rounded(value: f64, digits: i32) -> f64 {
    let by = 10.0_f64.powi(digits);
    (value * by).round() / by
}

impl Figures {
    fn of(scenario: &Scenario, measured: &[Measured]) -> Self {
        let medians: Vec<f64> = measured.iter().map(|one| median(&one.rates)).collect();
        let contenders = measured
            .iter()
            .zip(&medians)
            .map(|(one, per_second)| {
                let contender = one.contender;
                let base = medians.get(contender.against).copied().unwrap_or(f64::NAN);
                let settles = scenario.question.operation() == Operation::Notify;
                let first = share(one.counted);
                Figure {
                    manner: contender.manner,
                    way: contender.manner.name(),
                    remark: contender.remark,
                    per_second: rounded(*per_second, 0),
                    p50_us: quantile(&one.latencies, 500),
                    p99_us: quantile(&one.latencies, 990),
                    ratio: rounded(per_second / base, 3),
                    against: contender.against,
                    checked: one.checked,
                    bytes_each: one.bytes.checked_div(one.checked).unwrap_or_default(),
                    settled_per_second: settles.then(|| rounded(per_second * first, 0)),
                    // A delivery's mean time is weighted by the number of first ones and duplicates.
                    duplicate_costs: (settles && first < 1.0)
                        .then(|| rounded((base / per_second - first) / (1.0 - first), 3)),
                    deltas_folded: settles.then_some(one.folded),
                    slices: one.rates.iter().map(|rate| rounded(*rate, 0)).collect(),
                }
            })
            .collect();
        let Scenario { engine, question, callers, orders, .. } = *scenario;
        Self { engine, question, callers, orders, contenders }
    }

    fn title(&self) -> String {
        let callers = if self.callers == 1 { "1 caller".to_owned() } else { format!("{} callers", self.callers) };
        let of = if self.question == Question::Settle { "merchants" } else { "orders" };
        let many =
            if self.question == Question::Settle { Size::online(self.orders, false).accounts } else { self.orders };
        format!("{}, {callers}, {} {of}", self.question.title(), thousands(many))
    }

    fn figure(&self, manner: Manner, remark: &str) -> Option<&Figure> {
        self.contenders.iter().find(|figure| figure.manner == manner && figure.remark == remark)
    }

    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let mut want = |figure: String, measured: f64, at_least: Option<f64>, at_most: Option<f64>| {
            let (text, met) = match (at_least, at_most) {
                (Some(least), _) => (format!("≥ {least:.2}"), measured >= least),
                (None, Some(most)) => (format!("≤ {most:.2}"), measured <= most),
                (None, None) => return,
            };
            wanted.push(Wanted { engine: self.engine, figure, wanted: text, measured, met });
        };
        match self.question {
            Question::Confirm => {
                let (Some(floor), Some(library)) = (self.figure(Manner::Floor, ""), self.figure(Manner::Library, ""))
                else {
                    return wanted;
                };
                let least = match (self.engine, self.callers) {
                    (Engine::Postgres, 1) => Some(0.95),
                    (Engine::Postgres, 32) => Some(1.5),
                    (Engine::Postgres, 256) => Some(3.0),
                    (Engine::Sqlite, 1) => Some(0.95),
                    (Engine::Sqlite, 32) => Some(1.5),
                    (Engine::Sqlite, 256) => Some(2.2),
                    _ => None,
                };
                if self.orders < LARGE {
                    want(format!("confirming, {} callers: (b) to (a)", self.callers), library.ratio, least, None);
                    if let Some(bound) = self.figure(Manner::Bound, "") {
                        let least = match (self.engine, self.callers) {
                            (Engine::Postgres, 1 | 32 | 256) => Some(0.95),
                            (Engine::Sqlite, 1) => Some(0.9),
                            (Engine::Sqlite, 32) => Some(1.4),
                            (Engine::Sqlite, 256) => Some(2.0),
                            _ => None,
                        };
                        let figure = format!("in a host's transaction, {} callers: (e) to (f)", self.callers);
                        want(figure, bound.ratio, least, None);
                    }
                    if self.engine == Engine::Postgres && self.callers > 1 {
                        let ratio = rounded(f64::from(library.p99_us) / f64::from(floor.p99_us.max(1)), 3);
                        want(format!("confirming, {} callers: p99, (b) to (a)", self.callers), ratio, None, Some(1.0));
                    }
                }
                if let Some(small) =
                    self.contenders.iter().find(|figure| figure.manner == Manner::Library && !figure.remark.is_empty())
                {
                    let figure = format!(
                        "confirming, {} callers: time with {} orders to 1,000",
                        self.callers,
                        thousands(self.orders)
                    );
                    want(figure, small.ratio, None, Some(1.2));
                }
            }
            Question::Conflicts => {
                if let Some(conflicting) = self.contenders.iter().rev().find(|figure| figure.manner == Manner::Library)
                {
                    let figure = format!("{} callers: throughput left when 5 % conflict", self.callers);
                    want(figure, conflicting.ratio, Some(0.9), None);
                }
            }
            Question::Depth => {
                if let Some(middle) = self.contenders.iter().rev().find(|figure| figure.manner == Manner::Library) {
                    // Equal within the noise.
                    want("a page half-way down to the first page".to_owned(), middle.ratio, Some(0.9), None);
                }
            }
            Question::Settle => {
                let callers = self.callers;
                if let Some(cost) = self.figure(Manner::Library, REPEATED).and_then(|figure| figure.duplicate_costs) {
                    let figure = format!("settling, {callers} callers: a duplicate to a first delivery");
                    want(figure, cost, None, Some(0.5));
                }
                if let Some(cost) = self.figure(Manner::Library, TOGETHER).and_then(|figure| figure.duplicate_costs) {
                    let figure =
                        format!("settling, {callers} callers: a duplicate at the same moment to a first delivery");
                    want(figure, cost, None, Some(0.6));
                }
                if let Some(one) = self.figure(Manner::Library, ONE_MERCHANT) {
                    let many = thousands(Size::online(self.orders, false).accounts);
                    let figure = format!("settling, {callers} callers: one merchant to {many}");
                    want(figure, one.ratio, Some(0.85), None);
                }
            }
            Question::Page => {
                if let Some(library) = self.figure(Manner::Library, "").filter(|_| self.orders < LARGE) {
                    let least = (self.engine == Engine::Sqlite).then_some(0.8);
                    want(
                        format!("a page of 50 orders, {} callers: (b) to (a)", self.callers),
                        library.ratio,
                        least,
                        None,
                    );
                }
            }
            Question::Search => {
                if let Some(search) = self.contenders.last() {
                    want("a search that finds every order, to a page".to_owned(), search.ratio, Some(0.5), None);
                }
            }
        }
        if let Some(growth) = self.growth() {
            let figure = format!("{}: growth of (b) to growth of (a), from 1,000 orders", self.question.title());
            want(figure, growth, None, Some(1.0));
        }
        wanted
    }

    /// The library's time with many orders to its time with few, to the same of the hand-written side.
    fn growth(&self) -> Option<f64> {
        let grown = |manner: Manner| {
            let small = self.contenders.iter().find(|figure| figure.manner == manner && !figure.remark.is_empty())?;
            Some(small.per_second / self.figure(manner, "")?.per_second)
        };
        let is_asked = self.orders >= LARGE && matches!(self.question, Question::Confirm | Question::Page);
        if is_asked { Some(rounded(grown(Manner::Library)? / grown(Manner::Floor)?, 3)) } else { None }
    }
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

fn millis(micros: u32) -> String {
    format!("{:.2}", f64::from(micros) / 1_000.0)
}

impl Results {
    pub(crate) fn of(machine: Machine, timing: Timing, runs: &[(Scenario, Vec<Measured>)]) -> Self {
        let scenarios: Vec<Figures> = runs.iter().map(|(scenario, measured)| Figures::of(scenario, measured)).collect();
        let wanted = scenarios.iter().flat_map(Figures::wanted).collect();
        Self { machine, slice_ms: timing.length.counted.as_millis(), rounds: timing.rounds, scenarios, wanted }
    }

    /// The chart of throughput by callers; `None` if fewer than two numbers of callers were measured.
    pub(crate) fn chart(&self) -> Result<Option<String>, Trouble> {
        let panel = |engine: Engine| {
            let confirming = self.scenarios.iter().filter(|figures| {
                figures.engine == engine && figures.question == Question::Confirm && figures.orders < LARGE
            });
            let group = |figures: &Figures| Group {
                callers: figures.callers,
                bars: [(Manner::Floor, "by hand"), (Manner::Library, "library"), (Manner::Bound, "in a transaction")]
                    .into_iter()
                    .filter_map(|(manner, name)| Some((name, figures.figure(manner, "")?.per_second)))
                    .collect(),
            };
            Panel { engine: engine.name(), groups: confirming.map(group).collect() }
        };
        let panels: Vec<_> = Engine::ALL.map(panel).into_iter().filter(|panel| panel.groups.len() > 1).collect();
        Ok(if panels.is_empty() { None } else { Some(chart::svg(&panels)?) })
    }

    pub(crate) fn json(&self) -> Result<String, Trouble> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// `remarks` are written by people.
    pub(crate) fn markdown(&self, remarks: Option<&str>) -> Result<String, Trouble> {
        let Self { machine, slice_ms, rounds, scenarios, wanted } = self;
        let mut text = String::from("# Results\n\n");
        writeln!(text, "Written by `{}` on {} ({} build).\n", machine.command, machine.date, machine.build)?;
        writeln!(
            text,
            "- Machine: {} cores, {}; callers, engine and disk share it.",
            machine.cores, machine.processor
        )?;
        writeln!(text, "- Disk: {} µs to append 8 KiB and have it on the disk (median).", machine.fsync_us)?;
        writeln!(text, "- SQLite {}, WAL, `synchronous=FULL`.", machine.sqlite)?;
        if !machine.postgres.is_empty() {
            let settings: Vec<_> = machine.postgres.iter().map(|(name, value)| format!("`{name}` {value}")).collect();
            writeln!(
                text,
                "- PostgreSQL over TCP on the loopback, 16 connections for each way: {}.",
                settings.join(", ")
            )?;
        }
        writeln!(
            text,
            "- Slices of {slice_ms} ms, {rounds} for each way, in turns, in a rotating order. Throughput is the median of the \
             slices; latencies are of all operations of all slices. The ratio is to (a) unless said otherwise.\n"
        )?;
        text.push_str(ABOUT);
        if !wanted.is_empty() {
            text.push_str("\n## What was wanted\n\n| engine | figure | wanted | measured | |\n|---|---|---|---|---|\n");
            for Wanted { engine, figure, wanted, measured, met } in wanted {
                let met = if *met { "met" } else { "**missed**" };
                writeln!(text, "| {} | {figure} | {wanted} | {measured:.2} | {met} |", engine.name())?;
            }
        }
        if let Some(remarks) = remarks {
            text.push('\n');
            text.push_str(remarks.trim_end());
            text.push('\n');
        }
        for engine in Engine::ALL {
            let of_engine: Vec<_> = scenarios.iter().filter(|figures| figures.engine == engine).collect();
            if of_engine.is_empty() {
                continue;
            }
            writeln!(text, "\n## {}", engine.name())?;
            for figures in of_engine {
                let title = figures.title();
                writeln!(
                    text,
                    "\n### {}{}\n",
                    title.get(..1).unwrap_or_default().to_uppercase(),
                    title.get(1..).unwrap_or_default()
                )?;
                text.push_str(&figures.table()?);
            }
        }
        Ok(text)
    }
}

impl Figures {
    fn table(&self) -> Result<String, Trouble> {
        let confirms = self.contenders.iter().any(|figure| figure.checked > 0);
        let settles = self.question == Question::Settle;
        let mut columns = vec!["per second", "ratio", "p50 ms", "p99 ms"];
        columns.extend(confirms.then_some("bytes"));
        if settles {
            columns.extend(["settled per second", "a duplicate costs", "deltas folded"]);
        }
        let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "--:|".repeat(columns.len()));
        for (place, figure) in self.contenders.iter().enumerate() {
            let Figure { way, remark, per_second, ratio, p50_us, p99_us, bytes_each, against, .. } = figure;
            let remark = if remark.is_empty() { String::new() } else { format!(", {remark}") };
            let other = self.contenders.get(*against).filter(|_| *against != 0 && *against != place);
            let to = other
                .map_or_else(String::new, |other| format!(" to {}", other.way.split(' ').next().unwrap_or_default()));
            let (p50, p99) = (millis(*p50_us), millis(*p99_us));
            write!(text, "| {way}{remark} | {per_second:.0} | {ratio:.2}{to} | {p50} | {p99} |")?;
            if confirms {
                write!(text, " {bytes_each} |")?;
            }
            if let (Some(settled), Some(folded)) = (figure.settled_per_second, figure.deltas_folded) {
                let cost = figure.duplicate_costs.map_or_else(String::new, |cost| format!("{cost:.2}"));
                write!(text, " {settled:.0} | {cost} | {} |", thousands(i64::try_from(folded)?))?;
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// For the terminal.
    fn lines(&self) -> Result<String, Trouble> {
        Ok(format!("{}: {}\n{}", self.engine.name(), self.title(), self.table()?))
    }
}

/// One scenario's figures, shown immediately.
pub(crate) fn shown(scenario: &Scenario, measured: &[Measured]) -> Result<String, Trouble> {
    Figures::of(scenario, measured).lines()
}

const ABOUT: &str = "\
- (a) by hand: on PostgreSQL one statement that reads the order with payment, account, storefront, service and \
subscriptions, and one that writes only this, which checks the version and writes order, payment, claim, audit record, \
mail, delivery and change set. On SQLite rusqlite with prepared statements on a separate thread, the read and the \
writes in one transaction. No library, no other guards; ids from a counter.
- (b) library: `Commands::confirm_payment` and `Commands::orders` over its storage, with the system's clock, ids and \
secrets.
- (c) as an ORM: the same rows, statement by statement in a transaction (sqlx).
- (d) write only: (a)'s write without its read; no correct program, only the limit.
- (e) in a host's transaction: (b) bound to a transaction that the host opens and commits, one confirmation in each.
- (f) by hand, in a transaction: on PostgreSQL (a)'s two statements between `BEGIN` and `COMMIT`, each a round trip. On \
SQLite it is (a), which has a transaction of its own already.
- Settling: (a) reads the merchant's secret, the event, session, checkout and all that a confirmation needs in one \
statement, verifies the signature itself, and writes order, payment, checkout, three claims, two audit records, mail, \
delivery, the notification's bytes, four ledger entries, two deltas (on SQLite two balances) and change set in \
another, which checks the order's version. (b) is `Commands::receive_notification`, which reads the merchant, then the \
session, and commits. Both verify the same signatures, made ahead with a secret for each merchant.

Every row that a slice promised was counted after it. `bytes` are those of audit records, effects and notifications, \
for each confirmation. A database of 1,000 orders is filled again before every slice, with as many orders as a slice \
confirms if that is more; of 1,000,000 each order is confirmed once, in an order that jumps all over the table. A \
conflict is a read that is one version behind: the change set conflicts, and the caller reads and decides again.

Every slice of settling begins with as many merchants as there are, all in the directory, each with the module on and \
a different secret, and with open checkouts for more orders than a slice settles: spread over all merchants, or all of \
them one merchant's. Each session is settled once. What is counted are deliveries: new ones; each five times, with \
other deliveries between them, so that a duplicate comes after what it repeats; or each five times at the same time, \
by five callers. What a duplicate costs follows from the share of first ones among all deliveries, taking that a first \
one costs what it costs where all are new. Five at the same time occupy five callers with one session, so this is not \
cost alone: fewer sessions are in progress. After every slice the ledger was checked as well: each transaction \
balances, and each account's balance, with the deltas left, is the sum of its entries. On PostgreSQL the folder runs \
during the slices, as a host's does; SQLite has nothing to fold.
";
