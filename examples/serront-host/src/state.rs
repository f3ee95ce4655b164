//! What every request and every loop of the host shares.

use std::sync::Arc;

use serront_core::account::Modules;
use serront_core::policy::Policy;
use serront_core::ports::{Clock, Ids, Mailer, Receipts, Secrets, Sink, WorkStorage};
use serront_core::service::{Environment, Local, Service};
use tokio::sync::Notify;

/// The service over the host's ports.
pub(crate) type HostService<'p> = Service<'p, dyn WorkStorage, dyn Receipts, dyn Sink>;

/// The ports that a host brings.
#[derive(Clone)]
pub struct Ports {
    /// The domain, and the dispatcher's bookkeeping.
    pub storage: Arc<dyn WorkStorage>,
    /// The bytes of receipts.
    pub receipts: Arc<dyn Receipts>,
    /// Mail.
    pub mailer: Arc<dyn Mailer>,
    /// The way out to the sellers' systems.
    pub sink: Arc<dyn Sink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// Secrets.
    pub secrets: Arc<dyn Secrets>,
}

/// The state of the router and of the loops. It is shared behind an [`Arc`]; each request borrows a service from it.
pub struct Host {
    pub(crate) ports: Ports,
    pub(crate) policy: Policy,
    available: Modules,
    public_url: String,
    committed: Notify,
}

impl Host {
    /// Over these ports and figures. `available` says which modules this installation has, `public_url` where buyers and
    /// sellers reach it.
    #[must_use]
    pub fn new(ports: Ports, policy: Policy, available: Modules, public_url: impl Into<String>) -> Self {
        Self { ports, policy, available, public_url: public_url.into(), committed: Notify::new() }
    }

    /// Where buyers and sellers reach this host, without a slash at its end.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// All commands. An embedding host can use them beside the router.
    #[must_use]
    pub fn service(&self) -> Service<'_, dyn WorkStorage, dyn Receipts, dyn Sink> {
        let Ports { storage, receipts, sink, .. } = &self.ports;
        Service::new(storage.as_ref(), receipts.as_ref(), sink.as_ref(), self.environment(), self.available)
    }

    /// The local commands and the reads.
    pub(crate) fn local(&self) -> Local<'_, dyn WorkStorage> {
        self.service().local()
    }

    pub(crate) fn environment(&self) -> Environment<'_> {
        Environment {
            clock: self.ports.clock.as_ref(),
            ids: self.ports.ids.as_ref(),
            secrets: self.ports.secrets.as_ref(),
            policy: &self.policy,
        }
    }

    /// Tells the dispatcher's loop that there may be work. The router does so after each successful command; whoever
    /// commits beside the router does it too, or waits for the loop's next round.
    pub fn wake(&self) {
        self.committed.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.committed.notified().await;
    }
}
