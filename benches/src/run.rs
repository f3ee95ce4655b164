//! Runs a scenario: its contenders take turns in short slices, in a rotating order, so that drift affects all of them
//! equally.
//!
//! A round of short, uncounted slices comes first. It warms caches, and measures how many orders a slice needs.

#![allow(clippy::float_arithmetic, reason = "rates; no money is computed here")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::notified::Notification;
use crate::scenario::{Contender, Deliveries, Operation, Scenario};
use crate::slice::{self, Length, Slice, Work};
use crate::stage::{self, Size, Stage, Trouble, Written};

/// How a run is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) length: Length,
    pub(crate) rounds: usize,
}

/// One contender's measurements.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    /// Operations a second, one figure for each slice.
    pub(crate) rates: Vec<f64>,
    /// In microseconds, of all slices, ascending.
    pub(crate) latencies: Vec<u32>,
    /// Number of counted operations, and how many of them were the first on their orders.
    pub(crate) counted: (usize, usize),
    /// Orders that were checked to have everything written.
    pub(crate) checked: i64,
    pub(crate) bytes: i64,
    /// Deltas folded during the slice.
    pub(crate) folded: u64,
}

/// Databases by their contents.
pub(crate) type Stages = BTreeMap<Size, Arc<dyn Stage>>;

/// How many orders of each large database are used up.
type Used = BTreeMap<Size, i64>;

/// Reserve of a slice's number of orders over the expected one, in percent.
const MARGIN: i64 = 150;

/// The sequence of the requests, each with whether it is the first time.
fn turns(deliveries: Deliveries, requests: usize, callers: usize) -> Vec<(usize, bool)> {
    let times = 0..deliveries.each();
    match deliveries {
        Deliveries::Once | Deliveries::Together => {
            (0..requests).flat_map(|at| times.clone().map(move |time| (at, time == 0))).collect()
        }
        Deliveries::Repeated => {
            // Far enough apart that the first delivery is done before its repetition.
            let apart = 2 * callers;
            let last = requests + apart * times.end;
            let due = |step: usize, time: usize| step.checked_sub(apart * time).filter(|at| *at < requests);
            (0..last)
                .flat_map(|step| times.clone().filter_map(move |time| due(step, time).map(|at| (at, time == 0))))
                .collect()
        }
    }
}

async fn prepare(
    stage: &Arc<dyn Stage>,
    contender: Contender,
    operation: Operation,
    callers: usize,
    needed: i64,
    used: &mut Used,
) -> Result<Work, Trouble> {
    let size = stage.size();
    let (first, count, total) = match operation {
        Operation::Page => (0, size.orders.min(10_000), size.orders),
        Operation::Confirm | Operation::Notify if size.is_refilled() => {
            let total = size.orders.max(needed);
            stage.refill(total).await?;
            (0, needed, total)
        }
        Operation::Confirm | Operation::Notify => {
            let used = used.entry(size).or_default();
            let first = *used;
            *used += needed;
            if *used > size.orders {
                return Err("there are not enough orders for so many slices; make them shorter or fewer".into());
            }
            (first, needed, size.orders)
        }
    };
    stage.rest().await?;
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for i in first..first + count {
        let stale = contender.stale_every > 0 && usize::try_from(i)?.is_multiple_of(contender.stale_every);
        let mut request = stage::request(size, total, i, contender.depth, stale)?;
        request.words = contender.search.iter().map(|word| (*word).to_owned()).collect();
        if operation == Operation::Page {
            expected.push(stage::expected(size, total, &request)?);
        }
        if operation == Operation::Notify {
            let posted = stage.posted().ok_or("a database without merchants")?;
            // Signed in advance, because signing is Plugipay's work.
            request.notification = Some(Notification::of(posted, &request)?);
        }
        requests.push(request);
    }
    let turns = turns(contender.deliveries, requests.len(), callers);
    Ok(Work { operation, requests, turns, expected })
}

struct Turn {
    slice: Slice,
    written: Written,
    folded: u64,
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
    let work = prepare(stage, contender, operation, scenario.callers, needed, used).await?;
    let before = if operation.writes() { stage.written().await? } else { Written::default() };
    let (end, ended) = oneshot::channel();
    let folder = (operation == Operation::Notify).then(|| {
        let stage = Arc::clone(stage);
        tokio::spawn(async move { stage.fold(ended).await })
    });
    let slice = slice::run(stage, contender.manner, work, scenario.callers, length).await?;
    drop(end);
    let folded = match folder {
        Some(folder) => folder.await??,
        None => 0,
    };
    let mut written = Written::default();
    if operation.writes() {
        written = stage.written().await?.since(before);
        written.check(operation, i64::try_from(slice.performed_first)?)?;
    }
    Ok(Turn { slice, written, folded })
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn rate(slice: &Slice) -> f64 {
    slice.counted as f64 / slice.time.as_secs_f64().max(1e-6)
}

/// How many orders a second are used up.
#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn orders_rate(slice: &Slice) -> f64 {
    slice.counted_first as f64 / slice.time.as_secs_f64().max(1e-6)
}

/// Runs it, on these databases.
pub(crate) async fn scenario(scenario: &Scenario, stages: &Stages, timing: Timing) -> Result<Vec<Measured>, Trouble> {
    let stage =
        |contender: &Contender| stages.get(&contender.size(scenario.question)).ok_or("a database that was not filled");
    let mut used = Used::new();
    for (size, stage) in stages {
        // An earlier scenario's database may have more orders than a page is expected to show.
        if stage.written().await?.orders > 0 {
            stage.refill(size.orders).await?;
        }
    }
    let mut fastest: f64 = 0.0;
    let callers = i64::try_from(scenario.callers)?;
    let first = Length { warm: timing.length.warm, counted: timing.length.counted / 4 };
    for contender in &scenario.contenders {
        let turn = turn(stage(contender)?, scenario, *contender, 4_000 + 4 * callers, first, &mut used).await?;
        fastest = fastest.max(orders_rate(&turn.slice));
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
            counted: (0, 0),
            checked: 0,
            bytes: 0,
            folded: 0,
        })
        .collect();
    for round in 0..timing.rounds {
        let contenders = measured.len();
        for place in 0..contenders {
            let Some(one) = measured.get_mut((place + round) % contenders) else { continue };
            let turn = turn(stage(&one.contender)?, scenario, one.contender, needed, timing.length, &mut used).await?;
            one.rates.push(rate(&turn.slice));
            one.counted.0 += turn.slice.counted;
            one.counted.1 += turn.slice.counted_first;
            one.latencies.extend(turn.slice.latencies);
            one.checked += turn.written.orders;
            one.bytes += turn.written.bytes;
            one.folded += turn.folded;
        }
    }
    for one in &mut measured {
        one.latencies.sort_unstable();
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_turns_and_the_first_comes_first() {
        for deliveries in [Deliveries::Once, Deliveries::Repeated, Deliveries::Together] {
            let turns = turns(deliveries, 100, 8);
            assert_eq!(turns.len(), 100 * deliveries.each());
            for request in 0..100 {
                let places = turns.iter().enumerate().filter(|(_, (at, _))| *at == request);
                let (places, first): (Vec<_>, Vec<_>) = places.map(|(place, (_, first))| (place, *first)).unzip();
                assert_eq!(places.len(), deliveries.each());
                assert!(first.iter().enumerate().all(|(time, first)| *first == (time == 0)), "{first:?}");
                // Eight callers work on at most eight neighbouring requests.
                let apart = places.windows(2).all(|pair| pair[1] - pair[0] > 8);
                assert_eq!(apart, deliveries != Deliveries::Together);
            }
        }
    }
}
