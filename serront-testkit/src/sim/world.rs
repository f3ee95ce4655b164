//! The simulated world: everything that outlives a host's crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::policy::Policy;
use serront_core::ports::{Clock, Plugipay, PortError, WorkStorage};
use serront_core::primitives::time::Timestamp;

use super::events::Event;
use super::executor::{Handle, Poke, at_once};
use super::judge::Judge;
use super::network::Network;
use crate::memory::{MemoryReceipts, MemorySealer, locked};
use crate::sandbox::{Route, Sandbox, SandboxSession, SandboxStatus};

/// See the module's documentation. The hosts' ports and the clients share it.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) network: Mutex<Network>,
    pub(crate) judge: Mutex<Judge>,
    /// The storage, without the network.
    pub(crate) storage: Arc<dyn WorkStorage>,
    pub(crate) receipts: Arc<MemoryReceipts>,
    /// The keys for secrets at rest, shared by all hosts.
    pub(crate) sealer: MemorySealer,
    pub(crate) plugipay: Provider,
    pub(crate) policy: Policy,
}

impl World {
    /// Reports an event to the judge. The first violation ends the run.
    pub(crate) fn see(&self, event: &Event<'_>) {
        if !locked(&self.judge).see(event, self.handle.now()) {
            self.handle.stop();
        }
    }

    pub(crate) fn line(&self, line: &str) {
        locked(&self.judge).line(self.handle.now(), line);
    }

    pub(crate) fn accuse(&self, invariant: &str, what: String) {
        locked(&self.judge).accuse(self.handle.now(), invariant, what);
        self.handle.stop();
    }
}

/// Plugipay's side: the sandbox, and its permanent refusals.
pub(crate) struct Provider {
    pub(crate) sandbox: Arc<Sandbox>,
    /// Raised when a notification may be due.
    pub(crate) news: Poke,
    /// Whether the first call was refused, by idempotency key. Its repetitions get the same answer.
    refused: Mutex<BTreeMap<String, bool>>,
}

impl Provider {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, news: Poke::default(), refused: Mutex::default() }
    }

    pub(crate) fn answer(&self, call: &PlugipayCall, refuse: bool) -> Result<PlugipayAnswer, PortError> {
        let refused = match (Route::of(call.method, &call.path), &call.idempotency_key) {
            (Some(Route::CreateSession), Some(key)) => *locked(&self.refused).entry(key.clone()).or_insert(refuse),
            // A paid session can't be canceled; some answers say so with a refusal.
            (Some(Route::CancelSession), _) => {
                let id = call.path.split('/').nth(4).unwrap_or_default();
                let paid = |session: SandboxSession| session.status == SandboxStatus::Completed;
                refuse && self.sandbox.session(id).is_some_and(paid)
            }
            _ => false,
        };
        if refused { Err(PortError::permanent("refused")) } else { at_once(self.sandbox.call(call)) }
    }
}

/// A clock over the executor's time, with an offset.
#[derive(Debug, Clone)]
pub(crate) struct SimClock {
    handle: Handle,
    offset_ms: Arc<Mutex<i64>>,
}

impl SimClock {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, offset_ms: Arc::default() }
    }

    pub(crate) fn set_offset(&self, offset_ms: i64) {
        *locked(&self.offset_ms) = offset_ms;
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.handle.now().saturating_add(*locked(&self.offset_ms)))
    }

    async fn sleep(&self, duration: Duration) {
        self.handle.sleep(duration).await;
    }
}
