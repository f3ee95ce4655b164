//! One slice: a number of callers use one way for a short time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::scenario::Operation;
use crate::stage::{Manner, PageSeen, Request, Stage, Trouble};

/// How long a slice is, and how much of it comes before anything counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) warm: Duration,
    pub(crate) counted: Duration,
}

/// One slice's measurements.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Operations that ended in the counted time.
    pub(crate) counted: usize,
    /// The counted time; shorter if all orders were used up.
    pub(crate) time: Duration,
    /// Of these, the first on their orders; the others are duplicates.
    pub(crate) counted_first: usize,
    /// The first on their orders of all operations, counted or not.
    pub(crate) performed_first: usize,
    /// Of the counted operations, in microseconds.
    pub(crate) latencies: Vec<u32>,
}

/// The requests, and the expected page.
pub(crate) struct Work {
    pub(crate) operation: Operation,
    pub(crate) requests: Vec<Request>,
    /// Their sequence, each with whether it is the first time.
    pub(crate) turns: Vec<(usize, bool)>,
    pub(crate) expected: Vec<PageSeen>,
}

/// Whether it was the first time; `None` if no request is left.
async fn perform(stage: &dyn Stage, manner: Manner, work: &Work, at: usize) -> Result<Option<bool>, Trouble> {
    // Writes are done as often as planned; pages can be read again.
    let at = if work.operation.writes() { at } else { at % work.turns.len() };
    let Some((at, first)) = work.turns.get(at).copied() else { return Ok(None) };
    let request = work.requests.get(at).ok_or("a turn without a request")?;
    match work.operation {
        Operation::Confirm => stage.way(manner).confirm(request).await?,
        Operation::Notify => stage.way(manner).notify(request).await?,
        Operation::Page => {
            let seen = stage.way(manner).page(request).await?;
            if work.expected.get(at) != Some(&seen) {
                return Err(format!("a wrong page of {}: {seen:?}", request.account_text).into());
            }
        }
    }
    Ok(Some(first))
}

/// Runs a slice: each caller does one operation after the other.
pub(crate) async fn run(
    stage: &Arc<dyn Stage>,
    manner: Manner,
    work: Work,
    callers: usize,
    length: Length,
) -> Result<Slice, Trouble> {
    let (work, next, dry) = (Arc::new(work), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let begin = Instant::now() + length.warm;
    let end = begin + length.counted;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (stage, work, next, dry) = (Arc::clone(stage), Arc::clone(&work), Arc::clone(&next), Arc::clone(&dry));
        tasks.spawn(async move {
            let (mut performed_first, mut counted_first) = (0, 0);
            let (mut latencies, mut last) = (Vec::with_capacity(4_096), begin);
            loop {
                let started = Instant::now();
                if started >= end || dry.load(Ordering::Relaxed) {
                    return Ok::<_, Trouble>((performed_first, counted_first, latencies, last));
                }
                let Some(first) = perform(&*stage, manner, &work, next.fetch_add(1, Ordering::Relaxed)).await? else {
                    // The remaining callers are no longer measured with the full number of callers.
                    dry.store(true, Ordering::Relaxed);
                    continue;
                };
                performed_first += usize::from(first);
                let ended = Instant::now();
                if ended >= begin && ended <= end && !dry.load(Ordering::Relaxed) {
                    last = ended;
                    counted_first += usize::from(first);
                    latencies.push(u32::try_from((ended - started).as_micros()).unwrap_or(u32::MAX));
                }
            }
        });
    }
    let mut slice =
        Slice { counted: 0, time: length.counted, counted_first: 0, performed_first: 0, latencies: Vec::new() };
    let mut last_of_all = begin;
    while let Some(task) = tasks.join_next().await {
        let (performed_first, counted_first, latencies, last) = task??;
        slice.performed_first += performed_first;
        slice.counted_first += counted_first;
        slice.latencies.extend(latencies);
        last_of_all = last_of_all.max(last);
    }
    slice.counted = slice.latencies.len();
    if dry.load(Ordering::Relaxed) {
        slice.time = last_of_all - begin;
    }
    Ok(slice)
}
