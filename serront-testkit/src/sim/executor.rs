//! The executor: one thread, tasks polled in an order drawn from the seed, and a clock that jumps.
//!
//! ```text
//! ready? ── yes ─▶ poll one of them, drawn ─▶ it wakes others, or sleeps
//!    └───── no ──▶ jump to the next sleeper's time, wake all who sleep until then
//! ```
//!
//! A task may belong to an owner (a host in one of its lives). Killing the owner drops its tasks where they stand, which
//! is between two polls: that is what a crash is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::random::Random;
use crate::memory::locked;

/// A run with more polls than this is stuck in a busy loop.
const POLLS_MAX: u64 = 20_000_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A host in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) host: usize,
    pub(crate) life: u32,
}

#[derive(Default)]
struct Inner {
    now: i64,
    next_id: u64,
    ready: Vec<u64>,
    queued: BTreeSet<u64>,
    spawned: Vec<(u64, Option<Owner>, Task)>,
    killed: Vec<Owner>,
    sleepers: BTreeMap<(i64, u64), Waker>,
    next_sleeper: u64,
    /// Polls left until the host crashes.
    fuses: BTreeMap<usize, u64>,
    blown: Vec<usize>,
    blown_waker: Option<Waker>,
    stopped: bool,
}

/// A task's access to the executor: the time, sleeping and spawning.
#[derive(Clone, Default)]
pub(crate) struct Handle {
    inner: Arc<Mutex<Inner>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").field("now", &self.now()).finish_non_exhaustive()
    }
}

struct TaskWaker {
    id: u64,
    inner: Arc<Mutex<Inner>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut inner = locked(&self.inner);
        if inner.queued.insert(self.id) {
            inner.ready.push(self.id);
        }
    }
}

impl Handle {
    /// Milliseconds of true time.
    pub(crate) fn now(&self) -> i64 {
        locked(&self.inner).now
    }

    pub(crate) fn set_now(&self, now: i64) {
        locked(&self.inner).now = now;
    }

    pub(crate) fn spawn(&self, owner: Option<Owner>, task: impl Future<Output = ()> + Send + 'static) {
        let mut inner = locked(&self.inner);
        let id = inner.next_id;
        inner.next_id += 1;
        inner.spawned.push((id, owner, Box::pin(task)));
        inner.queued.insert(id);
        inner.ready.push(id);
    }

    /// Drops this owner's tasks after the present poll.
    pub(crate) fn kill(&self, owner: Owner) {
        locked(&self.inner).killed.push(owner);
    }

    /// Lets this host crash after this many polls of its tasks.
    pub(crate) fn light_fuse(&self, host: usize, polls: u64) {
        locked(&self.inner).fuses.insert(host, polls);
    }

    /// The next host whose fuse burned down; its tasks are already dropped.
    pub(crate) async fn next_blown(&self) -> usize {
        std::future::poll_fn(|context| {
            let mut inner = locked(&self.inner);
            if let Some(host) = inner.blown.pop() {
                return Poll::Ready(host);
            }
            inner.blown_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends the run after the present poll.
    pub(crate) fn stop(&self) {
        locked(&self.inner).stopped = true;
    }

    pub(crate) fn sleep_ms(&self, millis: u64) -> Sleep {
        let until = self.now().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        Sleep { handle: self.clone(), until, key: None }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// The output, or `None` if it took longer than this.
    pub(crate) async fn within<F: Future>(&self, millis: u64, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut sleep = std::pin::pin!(self.sleep_ms(millis));
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            sleep.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// Ends once its time has come.
#[derive(Debug)]
pub(crate) struct Sleep {
    handle: Handle,
    until: i64,
    key: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.handle.inner);
        let mut inner = locked(&shared);
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| {
            inner.next_sleeper += 1;
            (self.until, inner.next_sleeper)
        });
        inner.sleepers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            locked(&self.handle.inner).sleepers.remove(&key);
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A task called `stop`.
    Stopped,
    /// No task is ready and none sleeps.
    Stuck,
    /// Too many polls.
    Spinning,
}

pub(crate) struct Executor {
    handle: Handle,
    tasks: BTreeMap<u64, (Option<Owner>, Task)>,
    random: Random,
    polls: u64,
}

impl Executor {
    pub(crate) const fn new(handle: Handle, random: Random) -> Self {
        Self { handle, tasks: BTreeMap::new(), random, polls: 0 }
    }

    pub(crate) const fn polls(&self) -> u64 {
        self.polls
    }

    /// Runs until a task stops it, or no task can proceed.
    pub(crate) fn run(&mut self) -> Ended {
        loop {
            self.take_in();
            let id = {
                let mut inner = locked(&self.handle.inner);
                if inner.stopped {
                    return Ended::Stopped;
                }
                let length = inner.ready.len();
                if length == 0 {
                    None
                } else {
                    let id = inner.ready.swap_remove(self.random.index(length));
                    inner.queued.remove(&id);
                    Some(id)
                }
            };
            match id {
                Some(id) => self.poll(id),
                None if !self.jump() => return Ended::Stuck,
                None => {}
            }
            if self.polls > POLLS_MAX {
                return Ended::Spinning;
            }
        }
    }

    fn take_in(&mut self) {
        loop {
            let (spawned, killed) = {
                let mut inner = locked(&self.handle.inner);
                (std::mem::take(&mut inner.spawned), std::mem::take(&mut inner.killed))
            };
            if spawned.is_empty() && killed.is_empty() {
                return;
            }
            self.tasks.extend(spawned.into_iter().map(|(id, owner, task)| (id, (owner, task))));
            for killed in killed {
                // Dropping a task may wake or spawn others, so the lock must not be held.
                self.tasks.retain(|_, (owner, _)| *owner != Some(killed));
            }
        }
    }

    /// Jumps to the next sleeper's time; `false` if no task sleeps.
    fn jump(&self) -> bool {
        let due = {
            let mut inner = locked(&self.handle.inner);
            let Some((&(until, _), _)) = inner.sleepers.first_key_value() else { return false };
            inner.now = inner.now.max(until);
            let later = inner.sleepers.split_off(&(until, u64::MAX));
            std::mem::replace(&mut inner.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
        true
    }

    fn poll(&mut self, id: u64) {
        let Some((owner, task)) = self.tasks.get_mut(&id) else { return };
        let owner = *owner;
        self.polls += 1;
        let waker = Waker::from(Arc::new(TaskWaker { id, inner: Arc::clone(&self.handle.inner) }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&id);
        }
        if let Some(Owner { host, .. }) = owner
            && self.burn(host)
        {
            self.tasks.retain(|_, (owner, _)| owner.is_none_or(|owner| owner.host != host));
        }
    }

    /// Burns the host's fuse, if it has one; `true` once it has burned down.
    fn burn(&self, host: usize) -> bool {
        let waker = {
            let mut inner = locked(&self.handle.inner);
            let Some(left) = inner.fuses.get_mut(&host) else { return false };
            *left = left.saturating_sub(1);
            if *left > 0 {
                return false;
            }
            inner.fuses.remove(&host);
            inner.blown.push(host);
            inner.blown_waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Tasks hold handles, and handles hold spawned tasks: without this a run would never be freed.
        loop {
            self.tasks.clear();
            let mut inner = locked(&self.handle.inner);
            let (spawned, sleepers) = (std::mem::take(&mut inner.spawned), std::mem::take(&mut inner.sleepers));
            drop(inner);
            if spawned.is_empty() && sleepers.is_empty() {
                return;
            }
        }
    }
}

/// A flag that one task waits for and others raise.
#[derive(Debug, Default)]
pub(crate) struct Poke(Mutex<(bool, Option<Waker>)>);

impl Poke {
    pub(crate) fn raise(&self) {
        let waker = {
            let (raised, waker) = &mut *locked(&self.0);
            *raised = true;
            waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the flag is raised, and lowers it.
    pub(crate) async fn raised(&self) {
        std::future::poll_fn(|context| {
            let (raised, waker) = &mut *locked(&self.0);
            if std::mem::take(raised) {
                return Poll::Ready(());
            }
            *waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

struct Slot<T> {
    value: Option<T>,
    closed: bool,
    waker: Option<Waker>,
}

/// Answers once. Dropping it without an answer ends the wait of the other end.
pub(crate) struct Answerer<T>(Arc<Mutex<Slot<T>>>);

/// Waits for the answer: `None` if there will be none.
pub(crate) struct Awaited<T>(Arc<Mutex<Slot<T>>>);

/// A channel for one answer.
pub(crate) fn answer<T>() -> (Answerer<T>, Awaited<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, closed: false, waker: None }));
    (Answerer(Arc::clone(&slot)), Awaited(slot))
}

impl<T> Answerer<T> {
    pub(crate) fn answer(self, value: T) {
        locked(&self.0).value = Some(value);
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = locked(&self.0);
            slot.closed = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Awaited<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = locked(&self.0);
        if slot.closed {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Thread(std::thread::Thread);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end at one moment of simulated time. While an adapter waits for real threads (a database
/// driver), no task is polled, so that a run can't depend on real time.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
