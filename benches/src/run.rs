//! Running a scenario: its contenders take turns in short slices, in a rotating order, so that whatever drifts meets all
//! of them alike.
//!
//! A round of short, uncounted slices comes first. It warms what can be warmed, and tells how many orders a slice needs.

#![allow(clippy::float_arithmetic, reason = "rates; no money is computed here")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::scenario::{Contender, Operation, Scenario};
use crate::slice::{self, Length, Slice, Work};
use crate::stage::{self, Size, Stage, Trouble, Written};

/// How a run is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) length: Length,
    pub(crate) rounds: usize,
}

/// What one contender showed.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    /// Operations a second, one figure for each slice.
    pub(crate) rates: Vec<f64>,
    /// In microseconds, of all slices, ascending.
    pub(crate) latencies: Vec<u32>,
    /// Confirmations that were checked to have written everything.
    pub(crate) checked: i64,
    pub(crate) bytes: i64,
}

/// Databases by what is in them.
pub(crate) type Stages = BTreeMap<Size, Arc<dyn Stage>>;

/// How many orders of each large database are used up.
type Used = BTreeMap<Size, i64>;

/// How far the number of orders for a slice goes beyond what is expected, in percent.
const MARGIN: i64 = 150;

async fn prepare(
    stage: &Arc<dyn Stage>,
    contender: Contender,
    operation: Operation,
    needed: i64,
    used: &mut Used,
) -> Result<Work, Trouble> {
    let size = stage.size();
    let (first, count, total) = match operation {
        Operation::Page => (0, size.orders.min(10_000), size.orders),
        Operation::Confirm if size.is_refilled() => {
            let total = size.orders.max(needed);
            stage.refill(total).await?;
            (0, needed, total)
        }
        Operation::Confirm => {
            let used = used.entry(size).or_default();
            let first = *used;
            *used += needed;
            if *used > size.orders {
                return Err("there are not enough orders for so many slices; make them shorter or fewer".into());
            }
            (first, needed, size.orders)
        }
    };
    stage.settle().await?;
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for i in first..first + count {
        let stale = contender.stale_every > 0 && usize::try_from(i)?.is_multiple_of(contender.stale_every);
        let request = stage::request(size, total, i, contender.depth, stale)?;
        if operation == Operation::Page {
            expected.push(stage::expected(size, total, &request)?);
        }
        requests.push(request);
    }
    Ok(Work { operation, requests, expected })
}

struct Turn {
    slice: Slice,
    written: Written,
}

async fn turn(
    stage: &Arc<dyn Stage>,
    scenario: &Scenario,
    contender: Contender,
    needed: i64,
    length: Length,
    used: &mut Used,
) -> Result<Turn, Trouble> {
    let operation = scenario.question.operation();
    let work = prepare(stage, contender, operation, needed, used).await?;
    let before = if operation == Operation::Confirm { stage.written().await? } else { Written::default() };
    let slice = slice::run(stage, contender.manner, work, scenario.callers, length).await?;
    let mut written = Written::default();
    if operation == Operation::Confirm {
        written = stage.written().await?.since(before);
        written.check(i64::try_from(slice.performed)?)?;
    }
    Ok(Turn { slice, written })
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn rate(slice: &Slice) -> f64 {
    slice.counted as f64 / slice.time.as_secs_f64().max(1e-6)
}

/// Runs it, on these databases.
pub(crate) async fn scenario(scenario: &Scenario, stages: &Stages, timing: Timing) -> Result<Vec<Measured>, Trouble> {
    let stage =
        |contender: &Contender| stages.get(&contender.size(scenario.question)).ok_or("a database that was not filled");
    let mut used = Used::new();
    for (size, stage) in stages {
        // What an earlier scenario confirmed: its database may hold more orders than a page is expected to tell.
        if stage.written().await?.orders > 0 {
            stage.refill(size.orders).await?;
        }
    }
    let mut fastest: f64 = 0.0;
    let callers = i64::try_from(scenario.callers)?;
    let first = Length { warm: timing.length.warm, counted: timing.length.counted / 4 };
    for contender in &scenario.contenders {
        let turn = turn(stage(contender)?, scenario, *contender, 4_000 + 4 * callers, first, &mut used).await?;
        fastest = fastest.max(rate(&turn.slice));
    }
    let seconds = (timing.length.warm + timing.length.counted).as_secs_f64();
    #[allow(clippy::cast_possible_truncation, reason = "a number of orders")]
    let needed = ((fastest * seconds).ceil() as i64 + callers) * MARGIN / 100;
    let mut measured: Vec<Measured> = scenario
        .contenders
        .iter()
        .map(|contender| Measured {
            contender: *contender,
            rates: Vec::new(),
            latencies: Vec::new(),
            checked: 0,
            bytes: 0,
        })
        .collect();
    for round in 0..timing.rounds {
        let contenders = measured.len();
        for place in 0..contenders {
            let Some(one) = measured.get_mut((place + round) % contenders) else { continue };
            let turn = turn(stage(&one.contender)?, scenario, one.contender, needed, timing.length, &mut used).await?;
            one.rates.push(rate(&turn.slice));
            one.latencies.extend(turn.slice.latencies);
            one.checked += turn.written.orders;
            one.bytes += turn.written.bytes;
        }
    }
    for one in &mut measured {
        one.latencies.sort_unstable();
    }
    Ok(measured)
}
