//! A sandbox of Plugipay: workspaces, notification endpoints, checkout sessions and a ledger, as the wire contract
//! (section 4) has them.
//!
//! ```text
//! Plugipay port ─────────────────▶ Sandbox ─▶ take_notifications      in process: the test delivers them
//! HTTP ─▶ SandboxServer ─▶ signature ─▶ │ ─▶ posts them, with retries  the same over HTTP (feature `sandbox`)
//! browser ─▶ hosted page ───────────────┘
//! ```
//!
//! The same calls at the same times give the same ids and answers. A test plays the buyer with [`Sandbox::pay`] and
//! related methods, changes the sandbox's behaviour with [`Sandbox::switch`], and lets single calls fail with
//! [`Sandbox::plan`].
//!
//! It is not Plugipay: it keeps all state in memory, moves no money, knows one platform key, and serves no payouts
//! except their balance, because the library requests none. Where the contract is silent it is strict: amounts must
//! equal the sum of their items, and an endpoint's secret is shown only once, even for the same idempotency key.

mod answers;
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

use self::answers::{Done, Refusal};
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

/// A call's reply.
pub(crate) enum Reply {
    Answered(Result<Done, Refusal>),
    /// The answer is lost. The caller can't know whether the call was carried out.
    Lost,
}

impl Sandbox {
    /// An empty sandbox that uses this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_prefix(clock, "sandbox")
    }

    /// An empty sandbox whose ids start with `prefix`. Sandboxes with different prefixes never share an id or a secret.
    #[must_use]
    pub fn with_prefix(clock: Arc<dyn Clock>, prefix: &str) -> Self {
        Self { clock, state: Mutex::new(State::new(prefix)) }
    }

    /// The state, after ending what has expired.
    fn state(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let now = self.clock.now();
        // A panic elsewhere left the state consistent: no method can panic between two changes that belong together.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end_overdue(now);
        (state, now)
    }

    /// Sets the address of hosted pages for new sessions. Existing sessions keep theirs.
    pub fn serve_pages_at(&self, base_url: &str) {
        base_url.trim_end_matches('/').clone_into(&mut self.state().0.pages_at);
    }

    /// Changes the switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().0.switches);
    }

    /// The present switches.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.state().0.switches.clone()
    }

    /// Resets the switches and removes planned troubles.
    pub fn heal(&self) {
        let (mut state, _) = self.state();
        state.switches = Switches::default();
        state.troubles.clear();
    }

    /// Plans a trouble for the next call of this route, or of any route for `None`. Each call of `plan` affects one
    /// call.
    pub fn plan(&self, route: Option<Route>, trouble: Trouble) {
        self.state().0.troubles.push((route, trouble));
    }

    /// Forgets every idempotency key: a repeated call is carried out again.
    pub fn forget_idempotency_keys(&self) {
        self.state().0.kept.clear();
    }

    /// Number of calls of this route that have arrived, including failed ones.
    #[must_use]
    pub fn arrived(&self, route: Route) -> u64 {
        self.state().0.arrived.get(&route).copied().unwrap_or(0)
    }

    /// Every session, in order of creation.
    #[must_use]
    pub fn sessions(&self) -> Vec<SandboxSession> {
        self.state().0.sessions.values().cloned().collect()
    }

    /// The session with this id.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<SandboxSession> {
        self.state().0.sessions.get(id).cloned()
    }

    /// Every endpoint of every merchant, in order of creation.
    #[must_use]
    pub fn endpoints(&self) -> Vec<SandboxEndpoint> {
        self.state().0.endpoints.values().cloned().collect()
    }

    /// The merchant's account at Plugipay for an account of the host.
    #[must_use]
    pub fn merchant_of(&self, account_id: &str) -> Option<String> {
        self.state().0.workspaces.get(account_id).map(|workspace| workspace.account_id.clone())
    }

    /// The buyer pays the amount asked. A payment can arrive after any other end, so this also works for an expired or
    /// canceled session. Answers whether it changed anything.
    pub fn pay(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.complete(session_id, None, None, now)
    }

    /// The buyer pays another amount, or in another currency.
    pub fn pay_amount(&self, session_id: &str, amount: i64, currency: &str) -> bool {
        let (mut state, now) = self.state();
        state.complete(session_id, Some((amount, currency)), None, now)
    }

    /// The buyer pays on the hosted page by this method, while the session is open.
    #[cfg(feature = "sandbox")]
    pub(crate) fn pay_open(&self, session_id: &str, method: &str) -> bool {
        let (mut state, now) = self.state();
        let is_open = state.sessions.get(session_id).is_some_and(|session| session.status == SandboxStatus::Open);
        is_open && state.complete(session_id, None, Some(method), now)
    }

    /// A merchant's display name.
    #[cfg(feature = "sandbox")]
    pub(crate) fn seller(&self, merchant: &str) -> String {
        let (state, _) = self.state();
        let workspace = state.workspaces.values().find(|workspace| workspace.account_id == merchant);
        workspace.and_then(|workspace| workspace.brand_name.clone()).unwrap_or_else(|| merchant.to_owned())
    }

    /// The payment fails, without a notification. Answers whether it changed anything: only an open session can fail.
    pub fn fail(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.end(session_id, SandboxStatus::Failed, now)
    }

    /// Expires the session early. Answers whether it changed anything: only an open session can expire.
    pub fn expire(&self, session_id: &str) -> bool {
        let (mut state, now) = self.state();
        state.end(session_id, SandboxStatus::Expired, now)
    }

    /// Posts an extra entry to a merchant's ledger, such as a refund or a sale that the host does not know. Answers
    /// whether the merchant exists.
    pub fn post_entry(&self, merchant: &str, entry: SandboxEntry) -> bool {
        let (mut state, now) = self.state();
        let is_merchant = state.merchants.contains(merchant);
        if is_merchant {
            let tx_id = state.id("tx");
            state.post_entry(merchant.to_owned(), tx_id, entry, now);
        }
        is_merchant
    }

    /// Removes a session's entries from its merchant's ledger, to simulate a ledger with missing entries. Answers their
    /// number.
    pub fn forget_entries(&self, session_id: &str) -> usize {
        self.state().0.forget_entries(session_id)
    }

    /// Takes the notifications due by now, signed with the present time. Undelivered ones can be returned with
    /// [`give_back`](Self::give_back).
    #[must_use]
    pub fn take_notifications(&self) -> Vec<Notification> {
        let (mut state, now) = self.state();
        state.take_notifications(now)
    }

    /// Returns an undelivered notification; its next attempt is due after `later`.
    pub fn give_back(&self, notification: Notification, later: Duration) {
        let (mut state, now) = self.state();
        state.give_back(notification, now.plus(later));
    }

    /// When the next notification is due or the next session expires; `None` if neither will.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.state().0.next_due()
    }

    /// Carries out an authenticated call.
    pub(crate) fn carry_out(&self, call: &PlugipayCall) -> Reply {
        let (mut state, now) = self.state();
        let route = Route::of(call.method, &call.path);
        if let Some(route) = route {
            let count = state.arrived.entry(route).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(retry_after) = state.switches.outage {
            return Reply::Answered(Err(Refusal::outage(retry_after)));
        }
        let planned = state.troubles.iter().position(|(on, _)| on.is_none() || *on == route);
        let answer = match planned.map(|at| state.troubles.remove(at).1) {
            Some(Trouble::LoseRequest) => return Reply::Lost,
            Some(Trouble::LoseAnswer) => {
                let _lost = state.answer(call, now);
                return Reply::Lost;
            }
            Some(Trouble::Refuse { status, code }) => Err(Refusal::planned(status, code)),
            None => state.answer(call, now),
        };
        if state.switches.lose_answers { Reply::Lost } else { Reply::Answered(answer) }
    }
}

/// In process nothing is signed, and slowness passes on the sandbox's clock. An outage is *transient*, because nothing
/// was done; over HTTP a client can't know that.
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
            Reply::Answered(Ok(Done { data, cursor, .. })) => {
                Ok(PlugipayAnswer { data: data.to_string(), cursor: cursor.flatten() })
            }
            Reply::Answered(Err(refusal)) => {
                let kind = match refusal.status {
                    401 | 403 | 408 | 429 | 503 => PortErrorKind::Transient,
                    300..=499 => PortErrorKind::Permanent,
                    _ => unknown,
                };
                let text = format!("Plugipay answered {} {}", refusal.status, refusal.code);
                Err(PortError::new(kind, text).with_retry_after(refusal.retry_after))
            }
            Reply::Lost => Err(PortError::new(unknown, "the connection to Plugipay was lost")),
        }
    }
}
