//! The simulated world: everything that outlives a host's crash.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::policy::Policy;
use serront_core::ports::{Clock, WorkStorage};
use serront_core::primitives::time::Timestamp;

use super::events::Event;
use super::executor::Handle;
use super::judge::Judge;
use super::network::Network;
use super::plugipay::Provider;
use crate::memory::{MemoryReceipts, MemorySealer, locked};

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
