//! The loops around the core's periodic work: the loops sleep, the core finds what is due.
//!
//! ```text
//! commit of work for the lane ──────┐
//! every 500 ms ──────────────────────┼─▶ take (lease) ─▶ a task each, while places are free ─▶ record
//! a task has finished, and more waits ┘
//! ```
//!
//! Each lane (mails, deliveries, removals, errands) has a loop like this with its own number of places, so a Plugipay or a
//! receiver that hangs delays no mail. All loops end when the stop signal turns true. They then finish running tasks. Work that
//! they can't finish is taken up again when its lease expires, here or on another host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serront_core::changes::effect::Lane;
use serront_core::ports::{Mailer, PortError, Receipts, RecordError, Sink, WorkStorage};
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Failure, Resealed};
use serront_core::snapshots::Due;
use serront_core::snapshots::set_aside::{SetAsideKind, SetAsides};
use serront_core::work::dispatch::Dispatcher;
use serront_core::work::fold::Folder;
use serront_core::work::installation::{self, MeetError};
use serront_core::work::janitor::Janitor;
use serront_core::work::sweep::{Sweeper, Swept};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::log::describe;
use crate::state::Host;

/// Longest sleep of a loop, so that work made on other hosts starts within a second.
const ROUND: Duration = Duration::from_millis(500);
/// Least time between two looks of a lane. A busy lane takes what was committed meanwhile together, in a few statements; a
/// single effect does not wait.
const GATHER: Duration = Duration::from_millis(10);
/// Longest pause after failures of the storage. The pauses start at one round and double.
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// Pause between comparisons of the host's clock with the storage's.
const CLOCK_PAUSE: Duration = Duration::from_secs(300);
/// Pause of the sweeper, the folder and the resealer after a failure. Nothing waits for them.
const SWEEP_RETRY: Duration = Duration::from_secs(60);
/// Pause between listings of the rows set aside.
const WATCH_PAUSE: Duration = Duration::from_secs(5);
/// Most of them that are logged one by one.
const WATCHED_MAX: u32 = 100;

/// The rows set aside, each with its unreadable part.
type Watched = BTreeMap<(SetAsideKind, String, String), String>;

/// Turns true when the host should stop.
pub type Stop = watch::Receiver<bool>;

async fn stopped(stop: &mut Stop) {
    // Without a sender it counts as stopped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Sleeps, but not longer than until the stop.
async fn pause(time: Duration, stop: &mut Stop) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopped(stop) => {}
    }
}

fn dispatcher(host: &Host) -> Dispatcher<'_, dyn WorkStorage, dyn Mailer, dyn Sink, dyn Receipts> {
    let ports = &host.ports;
    Dispatcher::new(
        ports.storage.as_ref(),
        ports.mailer.as_ref(),
        ports.sink.as_ref(),
        ports.receipts.as_ref(),
        host.environment(),
    )
    .with_templates(host.templates.as_ref())
}

async fn take(host: &Host, lane: Lane, capacity: u32) -> Result<Vec<Due>, PortError> {
    match lane {
        Lane::Mails | Lane::Deliveries | Lane::Removals => dispatcher(host).take(lane, capacity).await,
        Lane::Errands => Janitor::new(host.online()).take(capacity).await,
    }
}

async fn attempt(host: &Host, lane: Lane, due: &Due) -> Result<(), RecordError> {
    match lane {
        Lane::Mails | Lane::Deliveries | Lane::Removals => dispatcher(host).perform(due).await,
        Lane::Errands => Janitor::new(host.online()).perform(due).await,
    }
}

/// Carries out due mails, deliveries and removals until the stop, then finishes running ones.
pub async fn dispatch(host: Arc<Host>, stop: Stop) {
    let [mails, deliveries, removals] = Lane::OUTBOX.map(|lane| work(Arc::clone(&host), lane, stop.clone()));
    tokio::join!(mails, deliveries, removals);
}

/// Carries out due errands at Plugipay until the stop, then finishes running ones.
pub async fn tidy(host: Arc<Host>, stop: Stop) {
    work(host, Lane::Errands, stop).await;
}

async fn work(host: Arc<Host>, lane: Lane, mut stop: Stop) {
    let places = usize::try_from(host.policy.outbox.places.of(lane)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let permits = Arc::new(Semaphore::new(places));
    // Whether the end of a task lets the lane take more.
    let waits = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    let mut backoff = ROUND;
    while !*stop.borrow() {
        while let Some(ended) = running.try_join_next() {
            report(ended);
        }
        let free = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
        let looked = Instant::now();
        let taken = if free == 0 { Ok(Vec::new()) } else { take(&host, lane, free).await };
        match taken {
            Ok(due) => {
                backoff = ROUND;
                // A delivery that ends frees a share of its subscription, for which others may wait.
                let full = u32::try_from(due.len()).is_ok_and(|taken| taken == free);
                waits.store(full || lane == Lane::Deliveries, Ordering::Relaxed);
                for due in due {
                    // Only this loop takes permits, and it took at most as many effects as were free.
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
                    let (host, waits) = (Arc::clone(&host), Arc::clone(&waits));
                    running.spawn(async move {
                        perform(&host, lane, &due).await;
                        drop(permit);
                        if waits.load(Ordering::Relaxed) {
                            host.wakes().wake(lane);
                        }
                    });
                }
                tokio::select! {
                    () = host.wakes().woken(lane) => tokio::time::sleep_until(looked + GATHER).await,
                    () = pause(ROUND, &mut stop) => {}
                }
            }
            Err(error) => {
                tracing::error!(cause = describe(&error), "due work can't be taken");
                pause(backoff, &mut stop).await;
                backoff = backoff.saturating_mul(2).min(BACKOFF_MAX);
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        report(ended);
    }
}

async fn perform(host: &Host, lane: Lane, due: &Due) {
    match attempt(host, lane, due).await {
        Ok(()) => tracing::debug!(effect = %due.id, account_id = %due.account_id, "attempted"),
        Err(error) => {
            let cause = match &error {
                RecordError::LeaseLost(lost) => lost.to_string(),
                RecordError::Port(error) => describe(error),
            };
            tracing::warn!(effect = %due.id, account_id = %due.account_id, cause, "an attempt was not recorded");
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        tracing::error!("a task panicked; its work is taken up again when the lease expires");
    }
}

/// Sweeps the receipts until the stop.
pub async fn sweep(host: Arc<Host>, mut stop: Stop) {
    let ports = &host.ports;
    let mut sweeper = Sweeper::new(ports.storage.as_ref(), ports.receipts.as_ref(), host.environment());
    while !*stop.borrow() {
        let now: Timestamp = ports.clock.now();
        let next = match sweeper.step(now).await {
            Ok(swept) => {
                let Swept { quarantined, restored, deleted, .. } = swept;
                if quarantined + restored + deleted > 0 {
                    tracing::info!(quarantined, restored, deleted, "receipts were swept");
                }
                swept.next.since(now)
            }
            Err(error) => {
                let cause = match &error {
                    MeetError::Strangers(strangers) => strangers.to_string(),
                    MeetError::Port(error) => describe(error),
                };
                tracing::warn!(cause, "sweeping failed");
                SWEEP_RETRY
            }
        };
        pause(next, &mut stop).await;
    }
}

/// Compares the host's clock with the storage's every few minutes until the stop, and logs a difference. Hosts never compare
/// times of their own clocks with each other, but shown times, signatures and sessions use them.
pub async fn watch_clock(host: Arc<Host>, mut stop: Stop) {
    let ports = &host.ports;
    while !*stop.borrow() {
        match installation::clock_off(ports.storage.as_ref(), ports.clock.as_ref()).await {
            Ok(found) if found.is_notable(&host.policy) => {
                let (here, there, off_seconds) = (found.host, found.storage, found.by.as_secs());
                tracing::warn!(%here, %there, off_seconds, "this machine's clock is off the database's");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(cause = describe(&error), "the database's clock can't be read"),
        }
        pause(CLOCK_PAUSE, &mut stop).await;
    }
}

/// Folds counts and balances until the stop.
pub async fn fold(host: Arc<Host>, mut stop: Stop) {
    let ports = &host.ports;
    let mut folder = Folder::new(ports.storage.as_ref(), host.environment());
    while !*stop.borrow() {
        let now: Timestamp = ports.clock.now();
        let next = match folder.step(now).await {
            Ok(folded) => folded.next.since(now),
            Err(error) => {
                tracing::warn!(cause = describe(&error), "folding failed");
                SWEEP_RETRY
            }
        };
        pause(next, &mut stop).await;
    }
}

/// Logs which rows are set aside because this version can't read them, and which are taken up again, until the stop.
pub async fn watch_set_aside(host: Arc<Host>, mut stop: Stop) {
    let mut known = BTreeMap::new();
    while !*stop.borrow() {
        match host.ports.storage.set_aside(WATCHED_MAX).await {
            Ok(found) => known = compare(known, found),
            Err(error) => tracing::warn!(cause = describe(&error), "the rows set aside can't be listed"),
        }
        pause(WATCH_PAUSE, &mut stop).await;
    }
}

/// Logs what changed since the last listing.
fn compare(known: Watched, found: SetAsides) -> Watched {
    let count = found.count;
    // If the list is cut, a row that is missing from it may still be set aside.
    let whole = u64::try_from(found.rows.len()).is_ok_and(|rows| rows == count);
    let rows = found.rows.into_iter().map(|row| ((row.kind, row.account_id, row.id), row.what));
    let now: Watched = rows.collect();
    for ((kind, account_id, id), what) in now.iter().filter(|(row, _)| !known.contains_key(row)) {
        let kind = kind.as_str();
        tracing::error!(kind, id, account_id, what, count, "a row can't be read and is set aside");
    }
    for (kind, account_id, id) in known.keys().filter(|row| whole && !now.contains_key(row)) {
        tracing::info!(
            kind = kind.as_str(),
            id,
            account_id,
            count,
            "a row that was set aside can be read, or no longer exists"
        );
    }
    now
}

/// Seals once what an earlier version stored in plain text or with an older key. From then on all stored secrets are sealed.
pub async fn reseal(host: Arc<Host>, mut stop: Stop) {
    loop {
        let resealed = tokio::select! {
            resealed = async { host.commands().reseal().await } => resealed,
            () = stopped(&mut stop) => return,
        };
        match resealed {
            Ok(Resealed { resealed, unopened: 0, .. }) => {
                if resealed > 0 {
                    tracing::info!(resealed, "secrets were resealed");
                }
                return;
            }
            Ok(Resealed { unopened, .. }) => {
                return tracing::error!(unopened, "secrets can't be opened: their keys are missing");
            }
            Err(failure) => tracing::warn!(cause = failing(&failure), "secrets can't be resealed"),
        }
        pause(SWEEP_RETRY, &mut stop).await;
    }
}

fn failing(failure: &Failure) -> String {
    if let Failure::Port { error, .. } = failure { describe(error) } else { failure.to_string() }
}
