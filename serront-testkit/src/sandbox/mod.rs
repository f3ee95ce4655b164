//! A sandbox of Plugipay: workspaces, notification endpoints, checkout sessions and a ledger, as the wire contract
//! (section 4) has them.
//!
//! ```text
//! Plugipay port ─────────────────▶ Sandbox ─▶ take_notifications      in process: whoever drives it delivers them
//! HTTP ─▶ SandboxServer ─▶ signature ─▶ │ ─▶ posts them, with retries  the same over HTTP (feature `sandbox`)
//! browser ─▶ hosted page ───────────────┘
//! ```
//!
//! The same calls at the same times give the same ids and answers. A test plays the buyer with [`Sandbox::pay`] and its
//! sisters, makes the network bad with [`Sandbox::switch`], and single calls fail with [`Sandbox::plan`].
//!
//! What it is not: Plugipay. It keeps nothing beyond the process, moves no money, knows one platform key, and serves no payouts but
//! their balance, for the library asks for none. Where the contract is silent it is strict: amounts have to agree with their items,
//! and the answer that shows an endpoint's secret is never given twice, not even to the same key.

mod api;
mod ledger;
mod notifications;
#[cfg(feature = "sandbox")]
mod page;
mod query;
#[cfg(feature = "sandbox")]
mod server;
mod sessions;
mod state;
mod switches;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall, PlugipayMethod};
use serront_core::ports::{Clock, Plugipay, PortError, PortErrorKind};
use serront_core::primitives::time::Timestamp;

pub use self::ledger::SandboxEntry;
pub use self::notifications::Notification;
#[cfg(feature = "sandbox")]
pub use self::server::SandboxServer;
pub use self::sessions::{SandboxSession, SandboxStatus};
pub use self::state::SandboxEndpoint;
pub use self::switches::{Route, Switches, Trouble};

use self::api::{Done, Refusal};
use self::state::State;

/// Plugipay in process.
pub struct Sandbox {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// What comes back of a call.
pub(crate) enum Outcome {
    Answered(Result<Done, Refusal>),
    /// Nothing does. Whether the call was carried out is nobody's to know.
    Lost,
}

impl Sandbox {
    /// An empty sandbox that lives by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_prefix(clock, "sandbox")
    }

    /// The same with ids that begin so. Two sandboxes with different prefixes never give the same id or secret.
    #[must_use]
    pub fn with_prefix(clock: Arc<dyn Clock>, prefix: &str) -> Self {
        Self { clock, state: Mutex::new(State::new(prefix)) }
    }

    /// The state, with what has run out by now ended first.
    fn state(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let now = self.clock.now();
        // A panic elsewhere left a whole state behind: nothing in here is half done when it could panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end_overdue(now);
        (state, now)
    }

    /// Hosted pages are at this address from now on; those of sessions that there are stay where they were.
    pub fn serve_pages_at(&self, base_url: &str) {
        base_url.trim_end_matches('/').clone_into(&mut self.state().0.pages_at);
    }

    /// Changes the switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().0.switches);
    }

    /// How the switches stand.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.state().0.switches.clone()
    }

    /// Puts the switches back and forgets the trouble that was planned.
    pub fn heal(&self) {
        let (mut state, _) = self.state();
        state.switches = Switches::default();
        state.troubles.clear();
    }

    /// The next call of this route, or the next of any, meets this trouble, once. Told several times, as many calls do.
    pub fn plan(&self, route: Option<Route>, trouble: Trouble) {
        self.state().0.troubles.push((route, trouble));
    }

    /// Forgets every idempotency key: a call that is repeated is carried out anew.
    pub fn forget_idempotency_keys(&self) {
        self.state().0.kept.clear();
    }

    /// How many calls of this route have arrived, whatever became of them.
    #[must_use]
    pub fn arrived(&self, route: Route) -> u64 {
        self.state().0.arrived.get(&route).copied().unwrap_or(0)
    }

    /// Every session, in the order in which they were made.
    #[must_use]
    pub fn sessions(&self) -> Vec<SandboxSession> {
        self.state().0.sessions.values().cloned().collect()
    }

    /// The session of this id.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<SandboxSession> {
        self.state().0.sessions.get(id).cloned()
    }

    /// Every endpoint of every merchant, in the order in which they were made.
    #[must_use]
    pub fn endpoints(&self) -> Vec<SandboxEndpoint> {
        self.state().0.endpoints.values().cloned().collect()
    }

    /// The merchant's account that stands for this account of ours.
    #[must_use]
    pub fn merchant_of(&self, account_id: &str) -> Option<String> {
        self.state().0.workspaces.get(account_id).map(|workspace| workspace.account_id.clone())
    }

    /// The buyer pays what was asked. Money can follow every other end, so this works for a session that expired or was
    /// called off, too. Answers whether it changed anything.
    pub fn pay(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.complete(session_id, None, None, now)
    }

    /// The buyer pays another amount, or in another currency.
    pub fn pay_amount(&self, session_id: &str, amount: i64, currency: &str) -> bool {
        let (mut state, now) = self.state();
        state.complete(session_id, Some((amount, currency)), None, now)
    }

    /// The buyer pays on the hosted page, by this method, while it can be paid there.
    #[cfg(feature = "sandbox")]
    pub(crate) fn pay_open(&self, session_id: &str, method: &str) -> bool {
        let (mut state, now) = self.state();
        let is_open = state.sessions.get(session_id).is_some_and(|session| session.status == SandboxStatus::Open);
        is_open && state.complete(session_id, None, Some(method), now)
    }

    /// What a merchant is called.
    #[cfg(feature = "sandbox")]
    pub(crate) fn seller(&self, merchant: &str) -> String {
        let (state, _) = self.state();
        let workspace = state.workspaces.values().find(|workspace| workspace.account_id == merchant);
        workspace.and_then(|workspace| workspace.brand_name.clone()).unwrap_or_else(|| merchant.to_owned())
    }

    /// The payment fails. Answers whether it changed anything: only an open session can fail. Nobody is notified of it.
    pub fn fail(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.end(session_id, SandboxStatus::Failed, now)
    }

    /// The session runs out before its time. Answers whether it changed anything: only an open session can.
    pub fn expire(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.end(session_id, SandboxStatus::Expired, now)
    }

    /// Posts an entry into a merchant's ledger, beside those of the sessions: a refund, say, or a sale that we never heard of.
    /// Answers whether there is such a merchant.
    pub fn post_entry(&self, merchant: &str, entry: SandboxEntry) -> bool {
        let (mut state, now) = self.state();
        let is_merchant = state.merchants.contains(merchant);
        if is_merchant {
            let tx_id = state.id("tx");
            state.post_entry(merchant.to_owned(), tx_id, entry, now);
        }
        is_merchant
    }

    /// Takes the entries of a session out of its merchant's ledger, and answers how many there were: a ledger that lacks
    /// something.
    pub fn forget_entries(&self, session_id: &str) -> usize {
        self.state().0.forget_entries(session_id)
    }

    /// Takes what is to be posted by now, signed now. What is not delivered may be given back.
    #[must_use]
    pub fn take_notifications(&self) -> Vec<Notification> {
        let (mut state, now) = self.state();
        state.take_notifications(now)
    }

    /// The next attempt at a notification is due this much later.
    pub fn give_back(&self, notification: Notification, later: Duration) {
        let (mut state, now) = self.state();
        state.give_back(notification, now.plus(later));
    }

    /// When the next notification is due or the next session runs out, if either is to be.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.state().0.next_due()
    }

    /// Carries out a call whose sender is known.
    pub(crate) fn carry_out(&self, call: &PlugipayCall) -> Outcome {
        let (mut state, now) = self.state();
        let route = Route::of(call.method, &call.path);
        if let Some(route) = route {
            let count = state.arrived.entry(route).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(retry_after) = state.switches.outage {
            return Outcome::Answered(Err(Refusal::outage(retry_after)));
        }
        let planned = state.troubles.iter().position(|(on, _)| on.is_none() || *on == route);
        let answer = match planned.map(|at| state.troubles.remove(at).1) {
            Some(Trouble::LoseRequest) => return Outcome::Lost,
            Some(Trouble::LoseAnswer) => {
                let _lost = state.answer(call, now);
                return Outcome::Lost;
            }
            Some(Trouble::Refuse { status, code }) => Err(Refusal::planned(status, code)),
            None => state.answer(call, now),
        };
        if state.switches.lose_answers { Outcome::Lost } else { Outcome::Answered(answer) }
    }
}

/// In process nothing is signed, and slowness passes on the sandbox's clock. An outage is told as *transient*, since nothing was
/// done; over HTTP a client can't know that.
#[async_trait]
impl Plugipay for Sandbox {
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        let slowness = self.switches().slowness;
        if slowness > Duration::ZERO {
            self.clock.sleep(slowness).await;
        }
        let unknown = match call.method {
            PlugipayMethod::Post => PortErrorKind::OutcomeUnknown,
            PlugipayMethod::Get | PlugipayMethod::Delete => PortErrorKind::Transient,
        };
        match self.carry_out(call) {
            Outcome::Answered(Ok(Done { data, cursor, .. })) => {
                Ok(PlugipayAnswer { data: data.to_string(), cursor: cursor.flatten() })
            }
            Outcome::Answered(Err(refusal)) => {
                let kind = match refusal.status {
                    401 | 403 | 408 | 429 | 503 => PortErrorKind::Transient,
                    300..=499 => PortErrorKind::Permanent,
                    _ => unknown,
                };
                let text = format!("Plugipay answered {} {}", refusal.status, refusal.code);
                Err(PortError::new(kind, text).with_retry_after(refusal.retry_after))
            }
            Outcome::Lost => Err(PortError::new(unknown, "the connection to Plugipay was lost")),
        }
    }
}
