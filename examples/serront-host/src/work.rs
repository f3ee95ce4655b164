//! The loops around the core's periodic halves: they do the sleeping, the core says what is due.
//!
//! ```text
//! commit on this host ─▶ Host::wake ─┐
//! every 500 ms ──────────────────────┼─▶ take (lease) ─▶ a task each, while places are free ─▶ record
//! a task has finished ───────────────┘
//! ```
//!
//! Each lane (mails, deliveries, removals, errands) has a loop like this, with the places that the policy gives it: a Plugipay
//! or a receiver that hangs holds back no mail. All end when the stop signal turns true. These loops then finish what runs; what
//! they do not get to finish comes back when its lease runs out, here or on another host.

use std::collections::BTreeMap;
use std::sync::Arc;
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

use crate::log::describe;
use crate::state::Host;

/// How long a loop sleeps at most, so that work made elsewhere starts within a second.
const ROUND: Duration = Duration::from_millis(500);
/// The longest pause after failures of the storage, which begin at one round and double.
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// How often the host's clock is compared with the storage's.
const CLOCK_LOOK: Duration = Duration::from_secs(300);
/// How long the sweeper waits after a failure. Nothing waits for it.
const SWEEP_RETRY: Duration = Duration::from_secs(60);

/// How often the rows set aside are listed.
const WATCH_PAUSE: Duration = Duration::from_secs(5);
/// How many of them are logged one by one.
const WATCHED_MAX: u32 = 100;

/// Rows that are set aside: which, and which part of each.
type Watched = BTreeMap<(SetAsideKind, String, String), String>;

/// Turns true when the host is to stop.
pub type Stop = watch::Receiver<bool>;

async fn stopped(stop: &mut Stop) {
    // A sender that is gone will never say so.
    let _ = stop.wait_for(|stop| *stop).await;
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

/// Carries out due mails, deliveries and removals until it is told to stop, and then finishes what runs.
pub async fn dispatch(host: Arc<Host>, stop: Stop) {
    let [mails, deliveries, removals] = Lane::OUTBOX.map(|lane| work(Arc::clone(&host), lane, stop.clone()));
    tokio::join!(mails, deliveries, removals);
}

/// Does due errands at Plugipay until it is told to stop, and then finishes what runs.
pub async fn tidy(host: Arc<Host>, stop: Stop) {
    work(host, Lane::Errands, stop).await;
}

async fn work(host: Arc<Host>, lane: Lane, mut stop: Stop) {
    let places = usize::try_from(host.policy.outbox.places.of(lane)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let permits = Arc::new(Semaphore::new(places));
    let mut running = JoinSet::new();
    let mut backoff = ROUND;
    while !*stop.borrow() {
        while let Some(ended) = running.try_join_next() {
            report(ended);
        }
        let free = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
        let taken = if free == 0 { Ok(Vec::new()) } else { take(&host, lane, free).await };
        let pause = match taken {
            Ok(due) => {
                backoff = ROUND;
                for due in due {
                    // Only this loop takes permits, and it took no more than were free.
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
                    let host = Arc::clone(&host);
                    running.spawn(async move {
                        perform(&host, lane, &due).await;
                        drop(permit);
                        host.wake();
                    });
                }
                ROUND
            }
            Err(error) => {
                tracing::error!(cause = describe(&error), "due work can't be taken");
                let pause = backoff;
                backoff = backoff.saturating_mul(2).min(BACKOFF_MAX);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stopped(&mut stop) => {}
                }
                continue;
            }
        };
        tokio::select! {
            () = host.woken(lane) => {}
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => {}
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
        tracing::error!("a task panicked; its work comes back when the lease runs out");
    }
}

/// Sweeps until it is told to stop.
pub async fn sweep(host: Arc<Host>, mut stop: Stop) {
    let ports = &host.ports;
    let mut sweeper = Sweeper::new(ports.storage.as_ref(), ports.receipts.as_ref(), host.environment());
    while !*stop.borrow() {
        let now: Timestamp = ports.clock.now();
        let pause = match sweeper.step(now).await {
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
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Compares the host's clock with the storage's every few minutes until the host stops, and logs where they differ. Nothing
/// that hosts compare goes by the host's clock, but times that people are shown do, as do signatures and sessions.
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
        tokio::select! {
            () = tokio::time::sleep(CLOCK_LOOK) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Folds until it is told to stop.
pub async fn fold(host: Arc<Host>, mut stop: Stop) {
    let ports = &host.ports;
    let mut folder = Folder::new(ports.storage.as_ref(), host.environment());
    while !*stop.borrow() {
        let now: Timestamp = ports.clock.now();
        let pause = match folder.step(now).await {
            Ok(folded) => folded.next.since(now),
            Err(error) => {
                tracing::warn!(cause = describe(&error), "folding failed");
                SWEEP_RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Says in the log which rows were set aside because this version can't read them, and which were taken up again, until it is
/// told to stop.
pub async fn watch_set_aside(host: Arc<Host>, mut stop: Stop) {
    let mut known = BTreeMap::new();
    while !*stop.borrow() {
        match host.ports.storage.set_aside(WATCHED_MAX).await {
            Ok(found) => known = compare(known, found),
            Err(error) => tracing::warn!(cause = describe(&error), "what is set aside can't be listed"),
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_PAUSE) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Says what has changed since the last time.
fn compare(known: Watched, found: SetAsides) -> Watched {
    let count = found.count;
    // Beyond what is listed, a row that is not in the list may be there.
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

/// Seals what an earlier version stored in plain, and what is under an older key, once: after that, whatever is stored is sealed.
pub async fn reseal(host: Arc<Host>, mut stop: Stop) {
    loop {
        let resealed = tokio::select! {
            resealed = async { host.commands().reseal().await } => resealed,
            () = stopped(&mut stop) => return,
        };
        match resealed {
            Ok(Resealed { resealed, unopened: 0, .. }) => {
                if resealed > 0 {
                    tracing::info!(resealed, "secrets were sealed anew");
                }
                return;
            }
            Ok(Resealed { unopened, .. }) => {
                return tracing::error!(unopened, "secrets can't be opened: their keys are missing");
            }
            Err(failure) => tracing::warn!(cause = failing(&failure), "secrets can't be sealed anew"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_RETRY) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

fn failing(failure: &Failure) -> String {
    if let Failure::Port { error, .. } = failure { describe(error) } else { failure.to_string() }
}
