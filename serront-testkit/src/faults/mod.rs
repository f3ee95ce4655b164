//! Faults as an API: wrappers around every port, which fail as a test says.
//!
//! ```text
//! service ─▶ FaultyStorage, FaultyMailer, … ─▶ Faults: does a fault strike this call? ─▶ the wrapped port
//!
//!            FailBefore   not called; the caller gets a transient error
//!            LoseRequest  not called; the caller gets an unknown outcome
//!            LoseAnswer   called; the caller gets an unknown outcome
//!            Conflict     not called; the caller gets a conflict
//!            Busy         not called; the caller gets a busy error
//!            Delay        called after a pause
//!            DelayAnswer  called; the caller gets the answer after a pause
//!            Duplicate    called twice; the caller gets the first answer
//!            CrashBefore  not called, and the world stops
//!            CrashAfter   called, and the world stops
//!            Step         the clock jumps
//! ```
//!
//! All wrappers share one [`Faults`], the plan. It is set in advance: as a script for the next calls, as a rule that sees each
//! call, or as a seed from which the same calls always draw the same faults. So a test that fails once fails again. Time
//! passes only by the [`Clock`] port.
//!
//! When the world *stops*, no running or later call returns: to an observer the process has died at that point.
//! [`Faults::stopped`] returns then; the test drops the hanging futures and calls [`Faults::restart`], as a supervisor
//! restarts a process. With [`Faults::point`], a test's own code can be such a point too.
//!
//! No fault breaks a port's guarantees: ids stay unique, secrets stay unpredictable, and a commit that a storage has confirmed
//! has landed.
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
//! world.commands().claim_payment(&order.token).await.unwrap();
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

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The call has no effect and returns a transient error.
    FailBefore,
    /// The call has no effect and returns an unknown outcome.
    LoseRequest,
    /// The call takes effect and returns an unknown outcome. The answer is lost, even if it was a refusal.
    LoseAnswer,
    /// A commit has no effect and returns a conflict; one that landed before returns its first result, as the port requires.
    /// Any other call fails as with [`Fault::FailBefore`].
    Conflict,
    /// The call has no effect and returns a busy error.
    Busy,
    /// The call takes effect after this pause, by the clock of the [`Faults`].
    Delay(Duration),
    /// The call takes effect and returns after this pause, by the clock of the [`Faults`].
    DelayAnswer(Duration),
    /// The call takes effect twice in a row, as when the network repeats a request. It returns the first answer.
    Duplicate,
    /// The call has no effect, and the world stops.
    CrashBefore,
    /// The call takes effect, and the world stops before it returns.
    CrashAfter,
    /// The clock jumps by this many milliseconds, forwards or backwards, and keeps the difference. No other call is affected.
    Step(i64),
}

/// The kinds of calls that faults can distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Any read of a storage. A read's outcome is never unknown, so a lost read fails as transient.
    Read,
    /// [`Commits::commit`](serront_core::ports::Commits::commit).
    Commit,
    /// [`Outbox::take_due`](serront_core::ports::Outbox::take_due).
    TakeDue,
    /// [`Outbox::record_attempt`](serront_core::ports::Outbox::record_attempt).
    RecordAttempt,
    /// [`Bookkeeping::fold_deltas`](serront_core::ports::Bookkeeping::fold_deltas).
    FoldDeltas,
    /// [`Upkeep::prune`](serront_core::ports::Upkeep::prune).
    Prune,
    /// [`Credentials::touch_key`](serront_core::ports::Credentials::touch_key).
    TouchKey,
    /// `begin_installation` of [`Upkeep`](serront_core::ports::Upkeep) and of
    /// [`Receipts`](serront_core::ports::Receipts).
    BeginInstallation,
    /// [`Upkeep::put_key_check`](serront_core::ports::Upkeep::put_key_check).
    PutKeyCheck,
    /// [`Receipts::put`](serront_core::ports::Receipts::put).
    PutReceipt,
    /// [`Receipts::get`](serront_core::ports::Receipts::get), and `installation`.
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
    /// [`Sink::check_target`](serront_core::ports::Sink::check_target), which fails as refused or busy.
    CheckTarget,
    /// [`Sink::post`](serront_core::ports::Sink::post), which can fail in one way only.
    Post,
    /// [`Plugipay::call`](serront_core::ports::Plugipay::call).
    CallPlugipay,
    /// [`Clock::now`], which can neither fail nor wait: the clock may step, and the world may stop.
    Now,
    /// [`Clock::sleep`], which can't fail: it may take longer, and the world may stop.
    Sleep,
    /// [`Ids::sequence`](serront_core::ports::Ids::sequence), which can neither fail nor wait: a sequence may be drawn and not
    /// used, and the world may stop.
    DrawIds,
    /// [`Secrets::draw`](serront_core::ports::Secrets::draw), which can't wait.
    DrawSecret,
    /// A point in the test's own code: [`Faults::point`]. It may take longer, and the world may stop.
    Point(&'static str),
}

/// Takes a call and the number of earlier calls of its kind.
type Rule = dyn FnMut(Call, u64) -> Option<Fault> + Send;

#[derive(Default)]
struct Plan {
    scripts: BTreeMap<Call, VecDeque<Fault>>,
    rule: Option<Box<Rule>>,
    calls: BTreeMap<Call, u64>,
    struck: Vec<(Call, Fault)>,
    clock: Option<Arc<dyn Clock>>,
    /// The number of crashes. A call that began before the latest crash never returns.
    life: u64,
    stopped: Option<Call>,
    watching: Vec<Waker>,
}

/// The plan: the faults to come, and the faults that struck. Clones share one plan.
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
    /// An empty plan. Pauses pass by this clock; [`Faults::default`] has no clock, and its pauses only yield to other tasks.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let plan = Plan { clock: Some(clock), ..Plan::default() };
        Self { plan: Arc::new(Mutex::new(plan)) }
    }

    /// Adds faults for the next calls of this kind, one for each call.
    pub fn script(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.plan).scripts.entry(call).or_default().extend(faults);
    }

    /// Sets the rule for every call without a scripted fault, in place of the previous rule. It takes the kind of call and the
    /// number of earlier calls of that kind. It runs under the plan's lock, so it must not use these faults.
    pub fn rule(&self, rule: impl FnMut(Call, u64) -> Option<Fault> + Send + 'static) {
        locked(&self.plan).rule = Some(Box::new(rule));
    }

    /// Draws a fault at these rates for every call without a scripted fault, in place of the previous rule.
    ///
    /// A call's fault depends only on the seed, the kind of call and the number of earlier calls of that kind, so the order of
    /// calls of other kinds does not matter.
    pub fn seed(&self, seed: u64, rates: Rates) {
        self.rule(move |call, before| rates.draw(seed, call, before));
    }

    /// Deletes scripts and rule, so that no further call fails. A stopped world stays stopped.
    pub fn heal(&self) {
        let mut plan = locked(&self.plan);
        plan.scripts.clear();
        plan.rule = None;
    }

    /// The number of calls of this kind, including failed ones.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        locked(&self.plan).calls.get(&call).copied().unwrap_or(0)
    }

    /// Every fault that struck, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<(Call, Fault)> {
        locked(&self.plan).struck.clone()
    }

    /// A point in a test's own code at which a fault can strike: *crash here*.
    pub async fn point(&self, name: &'static str) {
        self.around(Call::Point(name), || async {}, |_| ()).await;
    }

    /// The call at which the world stopped. `None` while it runs.
    #[must_use]
    pub fn stopped_at(&self) -> Option<Call> {
        locked(&self.plan).stopped
    }

    /// Waits until the world has stopped, and returns the call at which it did.
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

    /// Restarts the world for new calls. Earlier futures hang forever; drop them.
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

    /// Never returns if the world has stopped since this life began.
    async fn live(&self, life: u64) {
        let dead = {
            let plan = locked(&self.plan);
            plan.stopped.is_some() || plan.life != life
        };
        if dead {
            pending::<()>().await;
        }
    }

    /// The present life of the world, and the fault of the next call of this kind.
    async fn next(&self, call: Call) -> (u64, Option<Fault>) {
        if self.stopped_at().is_some() {
            pending::<()>().await;
        }
        let fault = self.next_now(call);
        let life = locked(&self.plan).life;
        (life, fault)
    }

    /// The fault of the next call of this kind, for a call that can't wait.
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

    /// Makes a call with this fault. `failed` turns a kind of failure into the call's answer.
    async fn carry_out<T, F: Future<Output = T>>(
        &self,
        life: u64,
        call: Call,
        fault: Option<Fault>,
        attempt: impl Fn() -> F,
        failed: impl FnOnce(PortErrorKind) -> T,
    ) -> T {
        let answer = match fault {
            None | Some(Fault::Step(_)) => attempt().await,
            Some(Fault::FailBefore | Fault::Conflict) => failed(PortErrorKind::Transient),
            Some(Fault::Busy) => failed(PortErrorKind::Busy),
            Some(Fault::LoseRequest) => failed(PortErrorKind::OutcomeUnknown),
            Some(Fault::LoseAnswer) => {
                let _lost = attempt().await;
                failed(PortErrorKind::OutcomeUnknown)
            }
            Some(Fault::Delay(duration)) => {
                self.wait(duration).await;
                // A request that was under way when the world stopped never arrives.
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
        failed: impl FnOnce(PortErrorKind) -> T,
    ) -> T {
        let (life, fault) = self.next(call).await;
        self.carry_out(life, call, fault, attempt, failed).await
    }

    /// A read that may fail. A read changes nothing, so its outcome is never unknown.
    async fn read<T, F: Future<Output = Result<T, PortError>>>(
        &self,
        call: Call,
        read: impl Fn() -> F,
    ) -> Result<T, PortError> {
        self.around(call, read, refused_read).await
    }

    /// A write that may fail.
    async fn write<T, E: From<PortError>, F: Future<Output = Result<T, E>>>(
        &self,
        call: Call,
        write: impl Fn() -> F,
    ) -> Result<T, E> {
        self.around(call, write, refused).await
    }

    /// A call that can't wait, or the kind of its failure.
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
            // The caller gets its answer; its next call that can wait never returns.
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.stop(call);
                Ok(attempt())
            }
        }
    }
}

const FAILURE: &str = "a fault of the test";

fn refused<T, E: From<PortError>>(kind: PortErrorKind) -> Result<T, E> {
    Err(PortError::new(kind, FAILURE).into())
}

fn refused_read<T>(kind: PortErrorKind) -> Result<T, PortError> {
    refused(match kind {
        PortErrorKind::Busy => PortErrorKind::Busy,
        PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => PortErrorKind::Transient,
    })
}
