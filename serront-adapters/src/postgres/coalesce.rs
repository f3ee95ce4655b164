//! Coalescing: callers that come while others are at work share the next round trip.
//!
//! ```text
//! nobody is at work ─▶ go at once, alone ───────┐
//! somebody is       ─▶ queue ─▶ whoever ends takes the queue, together, in a task of its own
//!                            └─▶ a second round beside the first, if the queue is long or the first is slow
//! ```
//!
//! A lone caller waits for nobody and changes no thread. A caller that goes away in the middle strands nobody: giving its
//! slot back is what starts the next round. It is a queue in memory, not a scheduler: it knows no fairness but order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Most jobs in one round: bounds the size of a statement and how long its first job waits.
const ROUND_MAX: usize = 256;

/// How many jobs waiting are reason enough for a second round beside the first: a smaller one would only take the first one's
/// company away.
const FULL: usize = 64;

/// How many rounds there are at once while they come quickly: two, so that the server works while one's answers are read.
const ROUNDS_FULL: usize = 2;

/// After which time the others go round a round that is still under way.
const SLOW: Duration = Duration::from_millis(20);

/// Most rounds at once.
const ROUNDS_MAX: usize = 4;

/// Jobs that can be done together.
#[async_trait]
pub(super) trait Together: Sized + Send + Sync + 'static {
    type Job: Send + 'static;
    type Answer: Send + 'static;

    /// Does all of them and answers each. What has to wait for others it leaves to a task of its own.
    async fn together(&self, round: Vec<Waiting<Self>>);
}

/// A job and who waits for its answer.
pub(super) type Waiting<W> = (<W as Together>::Job, oneshot::Sender<<W as Together>::Answer>);

struct Queue<W: Together> {
    /// How many rounds are under way.
    rounds: usize,
    /// When the last of them began.
    began: Instant,
    waiting: Vec<Waiting<W>>,
}

/// The rounds under way and the queue behind them.
pub(super) struct Coalescer<W: Together> {
    work: Arc<W>,
    queue: Mutex<Queue<W>>,
    runtime: Handle,
}

/// A place at work. Dropping it lets the queue go on.
pub(super) struct Slot<W: Together>(Arc<Coalescer<W>>);

pub(super) enum Entry<W: Together> {
    /// Go at once, alone, and drop the slot afterwards.
    Alone(Slot<W>),
    /// Others do it; the answer comes here.
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

    /// Lets a lone caller go, or queues its job.
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
            // Giving a slot back is what starts a round.
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
            // Dropped last: the next round begins here.
            drop(slot);
        });
    }
}
