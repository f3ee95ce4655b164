//! Faults as an API: every port wrapped so that it fails as the test tells it.
//!
//! ```text
//! service ─▶ FaultyStorage, FaultyMailer, … ─▶ Faults: does one strike this call? ─▶ the port within
//!
//!            FailBefore   never asked, and told so: transient
//!            LoseRequest  never asked, and nobody knows: outcome unknown
//!            LoseAnswer   asked and done, and nobody knows: outcome unknown
//!            Conflict     never asked, a guard is said not to hold
//!            Busy         never asked, too much is said to be under way
//!            Delay        asked after a while
//!            DelayAnswer  asked and done, and told after a while
//!            Duplicate    asked twice, and told the first answer
//!            CrashBefore  never asked, and the world stops
//!            CrashAfter   asked and done, and the world stops
//!            Step         the clock jumps
//! ```
//!
//! All wrappers share one [`Faults`]. What strikes is told beforehand: as a script (the next call fails so, the one after
//! it so), as a rule that sees each call, or by a seed, from which the same calls always draw the same faults. So a test
//! that fails once fails again. Time passes by the [`Clock`] port alone.
//!
//! When the world *stops*, no call under way is ever answered, and no call made from then on: to everybody outside the
//! process has died, at that point. [`Faults::stopped`] tells a test, which drops what hangs and calls
//! [`Faults::restart`], as a supervisor would start the process again. A test's own code can be such a point, too, with
//! [`Faults::point`].
//!
//! There is no fault that breaks a port's promise: ids stay unique, secrets stay unguessable, what a storage says it has
//! committed it has committed.
//!
//! ```
//! use std::sync::Arc;
//! use serront_testkit::faults::{Call, Fault, FaultyStorage};
//! use serront_testkit::memory::{ManualClock, MemoryStorage};
//! use serront_testkit::world::World;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = Arc::new(ManualClock::default());
//! let storage = FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())));
//! let faults = storage.faults();
//! let world = World::over(Arc::new(storage), clock);
//! let (_, order) = world.seller_with_order("studio").await;
//!
//! faults.script(Call::Commit, [Fault::LoseAnswer]);
//! world.local().claim_payment(&order.token).await.unwrap();
//! assert_eq!(faults.struck(), [(Call::Commit, Fault::LoseAnswer)]);
//! # });
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use serront_core::ports::{Clock, PortError, PortErrorKind};

use crate::memory::locked;

mod environment;
mod outside;
mod seed;
mod storage;
#[cfg(test)]
mod tests;

pub use environment::{FaultyClock, FaultyIds, FaultySecrets};
pub use outside::{FaultyMailer, FaultyPlugipay, FaultyReceipts, FaultySink};
pub use seed::Rates;
pub use storage::FaultyStorage;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing happens, and the caller is told that it did not: a transient error.
    FailBefore,
    /// Nothing happens, and the caller is not told: outcome unknown.
    LoseRequest,
    /// It happens, and the caller is not told: outcome unknown. Whatever the answer was, a refusal included, it is lost.
    LoseAnswer,
    /// A commit answers that a guard does not hold, and nothing happens; one that landed before answers what it answered
    /// then, as it must. Any other call fails as with [`Fault::FailBefore`].
    Conflict,
    /// Nothing happens, and the caller is told that too much is under way.
    Busy,
    /// It happens after this long, by the clock of the [`Faults`].
    Delay(Duration),
    /// It happens, and the caller is told after this long, by the clock of the [`Faults`].
    DelayAnswer(Duration),
    /// It happens twice, one after the other, as when the network repeats a request. The caller is told the first answer.
    Duplicate,
    /// Nothing happens, and the world stops.
    CrashBefore,
    /// It happens, and the world stops before the caller is told.
    CrashAfter,
    /// The clock jumps by so many milliseconds, either way, and stays there. To every other call nothing happens.
    Step(i64),
}

/// What a call is, as far as faults tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Any of a storage's reads. A read's outcome is never unknown, so a lost one fails for now.
    Read,
    /// [`Storage::commit`](serront_core::ports::Storage::commit).
    Commit,
    /// [`WorkStorage::take_due`](serront_core::ports::WorkStorage::take_due).
    TakeDue,
    /// [`WorkStorage::record_attempt`](serront_core::ports::WorkStorage::record_attempt).
    RecordAttempt,
    /// [`WorkStorage::fold_deltas`](serront_core::ports::WorkStorage::fold_deltas).
    FoldDeltas,
    /// [`WorkStorage::prune`](serront_core::ports::WorkStorage::prune).
    Prune,
    /// [`WorkStorage::touch_key`](serront_core::ports::WorkStorage::touch_key).
    TouchKey,
    /// `begin_installation` of [`WorkStorage`](serront_core::ports::WorkStorage) and of
    /// [`Receipts`](serront_core::ports::Receipts).
    BeginInstallation,
    /// [`WorkStorage::put_key_check`](serront_core::ports::WorkStorage::put_key_check).
    PutKeyCheck,
    /// [`Receipts::put`](serront_core::ports::Receipts::put).
    PutReceipt,
    /// [`Receipts::get`](serront_core::ports::Receipts::get), and the store's own `installation`.
    GetReceipt,
    /// [`Receipts::delete`](serront_core::ports::Receipts::delete).
    DeleteReceipt,
    /// [`Receipts::list`](serront_core::ports::Receipts::list), and `quarantined`.
    ListReceipts,
    /// [`Receipts::quarantine`](serront_core::ports::Receipts::quarantine).
    QuarantineReceipt,
    /// [`Receipts::restore`](serront_core::ports::Receipts::restore).
    RestoreReceipt,
    /// [`Receipts::discard`](serront_core::ports::Receipts::discard).
    DiscardReceipt,
    /// [`Receipts::adopt`](serront_core::ports::Receipts::adopt).
    AdoptReceipts,
    /// [`Mailer::send`](serront_core::ports::Mailer::send).
    SendMail,
    /// [`Sink::check_target`](serront_core::ports::Sink::check_target), which is refused or busy.
    CheckTarget,
    /// [`Sink::post`](serront_core::ports::Sink::post), which knows one way to fail.
    Post,
    /// [`Plugipay::call`](serront_core::ports::Plugipay::call).
    CallPlugipay,
    /// [`Clock::now`], which can't fail and can't wait: the clock may step, and the world may stop.
    Now,
    /// [`Clock::sleep`], which can't fail: it may take longer, and the world may stop.
    Sleep,
    /// [`Ids::sequence`](serront_core::ports::Ids::sequence), which can't fail and can't wait: a sequence may be drawn in
    /// vain, and the world may stop.
    DrawIds,
    /// [`Secrets::draw`](serront_core::ports::Secrets::draw), which can't wait.
    DrawSecret,
    /// A point in the test's own code: [`Faults::point`]. It may take longer, and the world may stop.
    Point(&'static str),
}

/// Sees a call and how many of its kind came before it.
type Rule = dyn FnMut(Call, u64) -> Option<Fault> + Send;

#[derive(Default)]
struct Plan {
    scripts: BTreeMap<Call, VecDeque<Fault>>,
    rule: Option<Box<Rule>>,
    calls: BTreeMap<Call, u64>,
    struck: Vec<(Call, Fault)>,
    clock: Option<Arc<dyn Clock>>,
    /// Counts crashes: a call that began in a life before this one is never answered.
    life: u64,
    stopped: Option<Call>,
    watching: Vec<Waker>,
}

/// What is to go wrong, and what did. Clones share one plan.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = locked(&self.plan);
        formatter
            .debug_struct("Faults")
            .field("scripts", &plan.scripts)
            .field("struck", &plan.struck)
            .field("stopped", &plan.stopped)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Nothing told yet. Delays pass by this clock; [`Faults::default`] has none, and its delays only let the others run.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let plan = Plan { clock: Some(clock), ..Plan::default() };
        Self { plan: Arc::new(Mutex::new(plan)) }
    }

    /// Lets the next calls of this kind fail, one after the other. Added to what was told before.
    pub fn script(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.plan).scripts.entry(call).or_default().extend(faults);
    }

    /// Asks this rule about every call for which nothing is scripted. It is given the kind of call, and how many of that
    /// kind came before. Replaces the rule before it. It is asked under the plan's lock, so it must not use these faults.
    pub fn rule(&self, rule: impl FnMut(Call, u64) -> Option<Fault> + Send + 'static) {
        locked(&self.plan).rule = Some(Box::new(rule));
    }

    /// Draws a fault for every call for which nothing is scripted, at these rates. Replaces the rule before it.
    ///
    /// What strikes a call depends on the seed, its kind and how many of that kind came before, and on nothing else: other
    /// kinds of calls may come in another order.
    pub fn seed(&self, seed: u64, rates: Rates) {
        self.rule(move |call, before| rates.draw(seed, call, before));
    }

    /// Forgets scripts and rule: nothing fails any more. A world that stopped stays so.
    pub fn heal(&self) {
        let mut plan = locked(&self.plan);
        plan.scripts.clear();
        plan.rule = None;
    }

    /// How many calls of this kind there were, those that failed included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        locked(&self.plan).calls.get(&call).copied().unwrap_or(0)
    }

    /// Every fault that struck, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<(Call, Fault)> {
        locked(&self.plan).struck.clone()
    }

    /// A point in a test's own code at which the world may be told to stop or to wait: *crash here*.
    pub async fn point(&self, name: &'static str) {
        self.around(Call::Point(name), || async {}, |_| ()).await;
    }

    /// Where the world stopped; `None` while it goes on.
    #[must_use]
    pub fn stopped_at(&self) -> Option<Call> {
        locked(&self.plan).stopped
    }

    /// Waits until the world has stopped, and answers where.
    pub async fn stopped(&self) -> Call {
        poll_fn(|context| {
            let mut plan = locked(&self.plan);
            if let Some(call) = plan.stopped {
                return Poll::Ready(call);
            }
            if !plan.watching.iter().any(|waker| waker.will_wake(context.waker())) {
                plan.watching.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the world go on, for those who call from now on. What hung before hangs for ever; drop it.
    pub fn restart(&self) {
        locked(&self.plan).stopped = None;
    }

    fn stop(&self, at: Call) {
        let mut plan = locked(&self.plan);
        plan.stopped = Some(at);
        plan.life = plan.life.saturating_add(1);
        let watching = std::mem::take(&mut plan.watching);
        drop(plan);
        watching.into_iter().for_each(Waker::wake);
    }

    /// Never answers a call whose world has stopped.
    async fn live(&self, life: u64) {
        let dead = {
            let plan = locked(&self.plan);
            plan.stopped.is_some() || plan.life != life
        };
        if dead {
            pending::<()>().await;
        }
    }

    /// What strikes the next call of this kind, and in which life of the world that is.
    async fn next(&self, call: Call) -> (u64, Option<Fault>) {
        if self.stopped_at().is_some() {
            pending::<()>().await;
        }
        let fault = self.next_now(call);
        let life = locked(&self.plan).life;
        (life, fault)
    }

    /// The same, for a call that can't wait.
    fn next_now(&self, call: Call) -> Option<Fault> {
        let Plan { scripts, rule, calls, struck, .. } = &mut *locked(&self.plan);
        let count = calls.entry(call).or_default();
        let before = *count;
        *count = before.saturating_add(1);
        let scripted = scripts.get_mut(&call).and_then(VecDeque::pop_front);
        let fault = scripted.or_else(|| rule.as_mut().and_then(|rule| rule(call, before)))?;
        struck.push((call, fault));
        Some(fault)
    }

    async fn wait(&self, duration: Duration) {
        let clock = locked(&self.plan).clock.clone();
        match clock {
            Some(clock) => clock.sleep(duration).await,
            None => tokio::task::yield_now().await,
        }
    }

    /// Makes a call as this fault has it. `told` is how the call says that it failed.
    async fn carry_out<T, F: Future<Output = T>>(
        &self,
        life: u64,
        call: Call,
        fault: Option<Fault>,
        attempt: impl Fn() -> F,
        told: impl FnOnce(PortErrorKind) -> T,
    ) -> T {
        let answer = match fault {
            None | Some(Fault::Step(_)) => attempt().await,
            Some(Fault::FailBefore | Fault::Conflict) => told(PortErrorKind::Transient),
            Some(Fault::Busy) => told(PortErrorKind::Busy),
            Some(Fault::LoseRequest) => told(PortErrorKind::OutcomeUnknown),
            Some(Fault::LoseAnswer) => {
                let _lost = attempt().await;
                told(PortErrorKind::OutcomeUnknown)
            }
            Some(Fault::Delay(duration)) => {
                self.wait(duration).await;
                // What was on its way when the world stopped never arrives.
                self.live(life).await;
                attempt().await
            }
            Some(Fault::DelayAnswer(duration)) => {
                let answer = attempt().await;
                self.wait(duration).await;
                answer
            }
            Some(Fault::Duplicate) => {
                let answer = attempt().await;
                let _second = attempt().await;
                answer
            }
            Some(Fault::CrashBefore) => {
                self.stop(call);
                pending().await
            }
            Some(Fault::CrashAfter) => {
                let _lost = attempt().await;
                self.stop(call);
                pending().await
            }
        };
        self.live(life).await;
        answer
    }

    async fn around<T, F: Future<Output = T>>(
        &self,
        call: Call,
        attempt: impl Fn() -> F,
        told: impl FnOnce(PortErrorKind) -> T,
    ) -> T {
        let (life, fault) = self.next(call).await;
        self.carry_out(life, call, fault, attempt, told).await
    }

    /// A read that may fail. That it is not known whether it happened matters to nobody.
    async fn read<T, F: Future<Output = Result<T, PortError>>>(&self, read: impl Fn() -> F) -> Result<T, PortError> {
        self.around(Call::Read, read, refused_read).await
    }

    /// A write that may fail.
    async fn write<T, E: From<PortError>, F: Future<Output = Result<T, E>>>(
        &self,
        call: Call,
        write: impl Fn() -> F,
    ) -> Result<T, E> {
        self.around(call, write, refused).await
    }

    /// A call that can't wait; the kind of its failure if it fails.
    fn at_once<T>(&self, call: Call, attempt: impl Fn() -> T) -> Result<T, PortErrorKind> {
        match self.next_now(call) {
            None | Some(Fault::Delay(_) | Fault::DelayAnswer(_) | Fault::Step(_)) => Ok(attempt()),
            Some(Fault::FailBefore | Fault::Conflict) => Err(PortErrorKind::Transient),
            Some(Fault::Busy) => Err(PortErrorKind::Busy),
            Some(Fault::LoseRequest) => Err(PortErrorKind::OutcomeUnknown),
            Some(Fault::LoseAnswer) => {
                let _lost = attempt();
                Err(PortErrorKind::OutcomeUnknown)
            }
            Some(Fault::Duplicate) => {
                let answer = attempt();
                let _second = attempt();
                Ok(answer)
            }
            // The caller gets its answer and goes no further than to its next call that can wait.
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.stop(call);
                Ok(attempt())
            }
        }
    }
}

const TOLD: &str = "told to fail";

fn refused<T, E: From<PortError>>(kind: PortErrorKind) -> Result<T, E> {
    Err(PortError::new(kind, TOLD).into())
}

fn refused_read<T>(kind: PortErrorKind) -> Result<T, PortError> {
    refused(match kind {
        PortErrorKind::Busy => PortErrorKind::Busy,
        PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => PortErrorKind::Transient,
    })
}
