//! Webhooks: [`HttpSink`] posts signed events to the sellers' systems.
//!
//! ```text
//! check_target ─▶ address' form ─▶ Resolve ─▶ every address allowed?              (at registration)
//! post ─▶ address' form ─▶ connection ─▶ Resolve ─▶ every address allowed? ─▶ POST ─▶ status
//! ```
//!
//! The connection goes to the very addresses that were checked a moment before, so a name that changes its mind between
//! registration and delivery gains nothing. Every post has a connection of its own, and is checked anew.
//!
//! What it is not: it does not sign (the core does), does not retry, follows no redirect, uses no proxy, keeps no
//! cookie, and never reads the answer's body.

mod failure;
mod resolve;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serront_core::ports::{Post, Posted, Sink, TargetError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::failure::SinkSetupError;
pub use self::resolve::{Resolve, SystemResolver};
pub use self::target::{Reach, Targets, reach};

use self::resolve::Guarded;

/// The wire contract's: a 2xx within 10 s is success.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Leaves the rest of the time to the receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A name that takes longer to resolve could not be delivered to in time.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many registrations may have a name looked up at once. Deliveries are not among them: they have places of their own.
const CHECKS_MAX: usize = 64;
/// How long a registration waits for its turn.
const CHECK_WAIT: Duration = Duration::from_secs(2);
const USER_AGENT: &str = "Serront-Webhooks/1.0";

/// Posts events over HTTP.
#[derive(Clone)]
pub struct HttpSink {
    client: Client,
    names: Guarded,
    checks: Arc<Semaphore>,
    targets: Targets,
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpSink").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl HttpSink {
    /// With the wire contract's time-outs and the system's resolver. Needs a tokio runtime when it is used.
    ///
    /// # Errors
    /// [`SinkSetupError`] if TLS can't be set up on this machine.
    pub fn new(targets: Targets) -> Result<Self, SinkSetupError> {
        Self::builder(targets).build()
    }

    /// For other time-outs or another resolver.
    pub fn builder(targets: Targets) -> HttpSinkBuilder {
        HttpSinkBuilder {
            targets,
            resolver: Arc::new(SystemResolver::default()),
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            resolve_timeout: RESOLVE_TIMEOUT,
        }
    }

    async fn try_post(&self, post: &Post) -> Result<u16, String> {
        let url = self.targets.parse(&post.url).map_err(|refused| failure::refused(&refused))?;
        self.client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("Serront-Signature", &post.signature)
            .header("Serront-Event-Id", post.event_id.to_string())
            .header("Serront-Event-Type", post.event_type.as_str())
            .header("Serront-Delivery-Id", post.delivery_id.to_string())
            .header("Serront-Delivery-Attempt", post.attempt)
            .body(post.body.clone())
            .send()
            .await
            .map(|answer| answer.status().as_u16())
            .map_err(|error| failure::text_of(&error))
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        let url = self.targets.parse(url)?;
        // An address instead of a name was checked with the form.
        let Some(name) = url.domain() else { return Ok(()) };
        let Ok(Ok(_turn)) = timeout(CHECK_WAIT, self.checks.acquire()).await else {
            return Err(TargetError::Busy);
        };
        self.names.lookup(name).await?;
        Ok(())
    }

    async fn post(&self, post: &Post) -> Posted {
        match self.try_post(post).await {
            Ok(status) => Posted::Answered(status),
            Err(text) => Posted::Failed(text),
        }
    }
}

/// Sets up an [`HttpSink`].
#[must_use]
pub struct HttpSinkBuilder {
    targets: Targets,
    resolver: Arc<dyn Resolve>,
    timeout: Duration,
    connect_timeout: Duration,
    resolve_timeout: Duration,
}

impl fmt::Debug for HttpSinkBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpSinkBuilder").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl HttpSinkBuilder {
    /// Resolves names with this instead of the system's resolver. What it answers is checked all the same.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Gives up a post after this long instead of 10 s, which is also the most that the port allows.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up connecting after this long instead of 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Gives up resolving a name after this long instead of 5 s.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.resolve_timeout = timeout;
        self
    }

    /// The sink.
    ///
    /// # Errors
    /// [`SinkSetupError`] if TLS can't be set up on this machine.
    pub fn build(self) -> Result<HttpSink, SinkSetupError> {
        let Self { targets, resolver, timeout, connect_timeout, resolve_timeout } = self;
        let names = Guarded::new(resolver, targets, resolve_timeout);
        let client = Client::builder()
            .tls_backend_preconfigured(tls(targets)?)
            .dns_resolver(Arc::new(names.clone()))
            .no_proxy()
            .redirect(Policy::none())
            .retry(retry::never())
            .referer(false)
            // Another crate of the host's build may switch these features on; the request must stay the same.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            .http1_title_case_headers()
            // A kept connection would be one whose address was checked long ago.
            .pool_max_idle_per_host(0)
            .user_agent(USER_AGENT)
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .build()
            .map_err(SinkSetupError::client)?;
        Ok(HttpSink { client, names, checks: Arc::new(Semaphore::new(CHECKS_MAX)), targets })
    }
}

/// The platform's certificates, and a provider of our own: a library does not set one for the whole process.
fn tls(targets: Targets) -> Result<ClientConfig, SinkSetupError> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(SinkSetupError::tls)
    };
    match (builder()?.with_platform_verifier(), targets) {
        (Ok(builder), _) => Ok(builder.with_no_client_auth()),
        // A bare container has no certificates. In development plain http goes on, and https fails.
        (Err(_), Targets::Development) => {
            Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        }
        (Err(error), Targets::Public) => Err(SinkSetupError::tls(error)),
    }
}
