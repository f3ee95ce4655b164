//! Coalescing: calls that arrive during a round trip share the next one.
//!
//! ```text
//! no round in progress ─▶ run alone, immediately ─┐
//! otherwise            ─▶ queue ─▶ the end of a round starts the next one with the queue, in a new task
//!                               └─▶ a parallel round, if the queue is long or the first round is slow
//! ```
//!
//! A single caller does not wait and does not change threads. If a caller is cancelled, dropping its slot starts the
//! next round, so the others do not wait forever. The queue is in memory and first in, first out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Most jobs in one round: bounds the size of a statement and how long its first job waits.
const ROUND_MAX: usize = 256;

/// The number of queued jobs that starts a parallel round. With fewer, the next round would only be smaller.
const FULL: usize = 64;

/// Most parallel rounds while they are fast: two, so that the server works while answers are read.
const ROUNDS_FULL: usize = 2;

/// The time after which a round is slow, and queued jobs start another.
const SLOW: Duration = Duration::from_millis(20);

/// Most parallel rounds.
const ROUNDS_MAX: usize = 4;

/// Jobs that can share a round trip.
#[async_trait]
pub(super) trait Together: Sized + Send + Sync + 'static {
    type Job: Send + 'static;
    type Answer: Send + 'static;

    /// Does all jobs and answers each. Jobs that would wait for a lock are moved to a task.
    async fn together(&self, round: Vec<Waiting<Self>>);
}

/// A job, and the sender of its answer.
pub(super) type Waiting<W> = (<W as Together>::Job, oneshot::Sender<<W as Together>::Answer>);

struct Queue<W: Together> {
    /// Rounds in progress.
    rounds: usize,
    /// When the latest round began.
    began: Instant,
    waiting: Vec<Waiting<W>>,
}

/// The rounds in progress and the queue.
pub(super) struct Coalescer<W: Together> {
    work: Arc<W>,
    queue: Mutex<Queue<W>>,
    runtime: Handle,
}

/// A round in progress. Dropping it starts the next one.
pub(super) struct Slot<W: Together>(Arc<Coalescer<W>>);

pub(super) enum Entry<W: Together> {
    /// Run alone now, and drop the slot afterwards.
    Alone(Slot<W>),
    /// The job is queued; its answer arrives here.
    Queued(oneshot::Receiver<W::Answer>),
}

impl<W: Together> Coalescer<W> {
    pub(super) fn new(work: Arc<W>) -> Arc<Self> {
        let queue = Mutex::new(Queue { rounds: 0, began: Instant::now(), waiting: Vec::new() });
        Arc::new(Self { work, queue, runtime: Handle::current() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a single caller run, or queues its job.
    pub(super) fn enter(self: &Arc<Self>, job: impl FnOnce() -> W::Job) -> Entry<W> {
        let mut queue = self.queue();
        if queue.rounds == 0 {
            queue.rounds = 1;
            queue.began = Instant::now();
            return Entry::Alone(Slot(Arc::clone(self)));
        }
        let (sender, answer) = oneshot::channel();
        queue.waiting.push((job(), sender));
        let full = queue.waiting.len() >= FULL && queue.rounds < ROUNDS_FULL;
        let slow = queue.rounds < ROUNDS_MAX && queue.began.elapsed() >= SLOW;
        if full || slow {
            queue.rounds += 1;
            drop(queue);
            // Dropping a slot starts a round.
            drop(Slot(Arc::clone(self)));
        }
        Entry::Queued(answer)
    }
}

impl<W: Together> Drop for Slot<W> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if queue.waiting.is_empty() {
            queue.rounds -= 1;
            return;
        }
        queue.began = Instant::now();
        let taken = queue.waiting.len().min(ROUND_MAX);
        let round: Vec<Waiting<W>> = queue.waiting.drain(..taken).collect();
        drop(queue);
        let slot = Self(Arc::clone(&self.0));
        self.0.runtime.spawn(async move {
            slot.0.work.together(round).await;
            // Dropped last, because it starts the next round.
            drop(slot);
        });
    }
}
