//! The state that all requests and loops of the host share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serront_core::changes::effect::Lane;
use serront_core::orders::mail::{BuiltInTemplates, MailTemplates};
use serront_core::policy::Policy;
use serront_core::ports::{Clock, Ids, Mailer, Plugipay, PortError, Receipts, Sealer, Secrets, Sink, WorkStorage};
use serront_core::service::{Commands, Environment, OnlinePayments, Provider, ReceiptUploads, WebhookRegistration};
use url::Url;

use crate::limits::{Limiter, Limits};
use crate::outgoing::Outgoing;
use crate::session_key::SessionKey;
use crate::spool::Spool;
use crate::wakes::{Wakes, Waking};

/// The ports that a host brings.
#[derive(Clone)]
pub struct Ports {
    /// The domain's data, and the dispatcher's.
    pub storage: Arc<dyn WorkStorage>,
    /// The receipts' bytes.
    pub receipts: Arc<dyn Receipts>,
    /// Sends mails.
    pub mailer: Arc<dyn Mailer>,
    /// Posts webhooks to the sellers' systems.
    pub sink: Arc<dyn Sink>,
    /// If `None`, the payment module answers `NOT_CONFIGURED`.
    pub plugipay: Option<Arc<dyn Plugipay>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn Ids>,
    /// Draws random secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Seals and opens secrets in the storage. Hosts on one storage need the same keys.
    pub sealer: Arc<dyn Sealer>,
}

/// The state of the router and the loops, shared in an [`Arc`]. Each request borrows a service from it.
pub struct Host {
    pub(crate) ports: Ports,
    pub(crate) policy: Policy,
    public_url: String,
    /// The path of the public address, without a trailing slash.
    pub(crate) base: Arc<str>,
    pub(crate) limiter: Limiter,
    pub(crate) spool: Arc<Spool>,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) templates: Arc<dyn MailTemplates>,
    session_key: OnceLock<SessionKey>,
    wakes: Arc<Wakes>,
}

impl Host {
    /// A host with these ports and figures. Buyers, sellers and Plugipay reach it at `public_url`.
    #[must_use]
    pub fn new(ports: Ports, policy: Policy, public_url: impl Into<String>) -> Self {
        let wakes = Arc::default();
        let ports = Ports { storage: Arc::new(Waking::new(ports.storage, Arc::clone(&wakes))), ..ports };
        let public_url = public_url.into();
        let base = Url::parse(&public_url).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        let limiter = Limiter::new(Limits::default(), Arc::clone(&ports.clock));
        Self {
            ports,
            policy,
            public_url,
            base: base.into(),
            limiter,
            spool: Arc::new(Spool::in_folder(std::env::temp_dir())),
            outgoing: Arc::default(),
            templates: Arc::new(BuiltInTemplates),
            session_key: OnceLock::new(),
            wakes,
        }
    }

    /// Sets the key of the pages' sessions. Hosts with the same key accept each other's sessions. Without it, sessions end with
    /// the process.
    #[must_use]
    pub fn with_session_key(self, key: SessionKey) -> Self {
        Self { session_key: key.into(), ..self }
    }

    /// Sets the rate limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limiter: Limiter::new(limits, Arc::clone(&self.ports.clock)), ..self }
    }

    /// Replaces the library's mail templates.
    #[must_use]
    pub fn with_templates(self, templates: Arc<dyn MailTemplates>) -> Self {
        Self { templates, ..self }
    }

    /// Sets the folder for incoming bodies that are too large for memory; the files have no names. The default is the system's
    /// temporary folder, which should not be in memory itself.
    #[must_use]
    pub fn with_spool(self, folder: impl Into<PathBuf>) -> Self {
        Self { spool: Arc::new(Spool::in_folder(folder)), ..self }
    }

    /// The key of the pages' sessions; drawn on first use if none was set.
    pub(crate) fn session_key(&self) -> Result<&SessionKey, PortError> {
        if self.session_key.get().is_none() {
            // If two threads draw one, the first is kept.
            let bytes = SessionKey::draw_bytes(self.ports.secrets.as_ref())?;
            let _ = self.session_key.set(SessionKey::from_bytes(&bytes));
        }
        self.session_key.get().ok_or_else(|| PortError::permanent("there is no session key"))
    }

    /// Whether the public address uses https, so that cookies can be restricted to it.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// The address at which buyers, sellers and Plugipay reach this host, without a trailing slash.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The commands on receipts.
    #[must_use]
    pub fn receipt_uploads(&self) -> ReceiptUploads<'_, dyn WorkStorage, dyn Receipts> {
        ReceiptUploads::new(self.ports.storage.as_ref(), self.ports.receipts.as_ref(), self.environment())
    }

    /// The commands on webhook subscriptions' addresses.
    #[must_use]
    pub fn webhook_registration(&self) -> WebhookRegistration<'_, dyn WorkStorage, dyn Sink> {
        WebhookRegistration::new(self.ports.storage.as_ref(), self.ports.sink.as_ref(), self.environment())
    }

    /// The commands that wait for Plugipay. An embedding host can call them next to the router.
    #[must_use]
    pub fn online(&self) -> OnlinePayments<'_, dyn WorkStorage> {
        let provider = Provider { plugipay: self.ports.plugipay.as_deref(), public_url: &self.public_url };
        OnlinePayments::new(self.ports.storage.as_ref(), provider, self.environment())
    }

    /// The commands and the reads that need only the storage. An embedding host can use them next to the router.
    #[must_use]
    pub fn commands(&self) -> Commands<'_, dyn WorkStorage> {
        Commands::new(self.ports.storage.as_ref(), self.environment())
    }

    pub(crate) fn environment(&self) -> Environment<'_> {
        Environment {
            clock: self.ports.clock.as_ref(),
            ids: self.ports.ids.as_ref(),
            secrets: self.ports.secrets.as_ref(),
            sealer: self.ports.sealer.as_ref(),
            policy: &self.policy,
        }
    }

    /// Wakes the loops of all lanes, since there may be work. What this host's commands commit wakes the right loops by itself.
    /// Code that commits to another storage handle calls this, or waits for the loops' next round.
    pub fn wake(&self) {
        for lane in Lane::ALL {
            self.wakes.wake(lane);
        }
    }

    pub(crate) fn wakes(&self) -> &Wakes {
        &self.wakes
    }
}
