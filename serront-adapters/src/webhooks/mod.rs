//! Webhooks: [`HttpSink`] posts signed events to the sellers' systems.
//!
//! ```text
//! check_target ─▶ syntax of URL ─▶ Resolve ─▶ every address allowed?              (at registration)
//! post ─▶ syntax of URL ─▶ connection ─▶ Resolve ─▶ every address allowed? ─▶ POST ─▶ status
//! ```
//!
//! The connection uses exactly the addresses that were just checked, so that a name that resolves differently after
//! registration gains nothing. Every post is checked again, and has a separate connection.
//!
//! The sink does not sign (the core does), does not retry, follows no redirect, uses no proxy, keeps no cookies, does
//! not read the answer's body, and limits the bytes that it reads of an answer.

mod connection;
mod failure;
mod resolve;
mod target;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serront_core::ports::{Post, Posted, Sink, TargetError};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::{Host, Position, Url};

pub use self::failure::SinkSetupError;
pub use self::resolve::{Resolve, SystemResolver};
pub use self::target::{Reach, Targets, reach};

use self::connection::Stream;
use self::resolve::Guarded;

/// The wire contract's limit: a 2xx within 10 s is a success.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Leaves the rest of the time for the receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A name that takes longer to resolve leaves too little time for the delivery.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Concurrent lookups for registrations. Deliveries have separate limits.
const CHECKS_MAX: usize = 64;
/// Time that a registration waits for a free lookup.
const CHECK_WAIT: Duration = Duration::from_secs(2);
const SENDER: &str = "Serront-Webhooks/1.0";

/// Posts events over HTTP.
#[derive(Clone)]
pub struct HttpSink {
    tls: Arc<ClientConfig>,
    names: Guarded,
    checks: Arc<Semaphore>,
    targets: Targets,
    timeout: Duration,
    connect_timeout: Duration,
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpSink").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl HttpSink {
    /// A sink with the wire contract's time-outs and the system's resolver. Its calls need a tokio runtime.
    ///
    /// # Errors
    /// [`SinkSetupError`] if TLS can't be set up on this machine.
    pub fn new(targets: Targets) -> Result<Self, SinkSetupError> {
        Self::builder(targets).build()
    }

    /// A builder, for other time-outs or another resolver.
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
        let request = request(&url, post).ok_or_else(failure::unsendable)?;
        let stream = self.connect(&url).await?;
        connection::exchange(stream, request).await.map_err(|error| failure::unanswered(&error))
    }

    /// Checks the addresses and connects.
    async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, String> {
        let (addresses, name) = match url.host().ok_or_else(failure::unsendable)? {
            Host::Domain(name) => {
                let addresses = self.names.lookup(name).await.map_err(|refused| failure::refused(&refused))?;
                (addresses, ServerName::try_from(name.to_owned()).ok())
            }
            // Literal addresses were checked with the URL.
            Host::Ipv4(address) => of_address(address.into()),
            Host::Ipv6(address) => of_address(address.into()),
        };
        let port = url.port_or_known_default().ok_or_else(failure::unsendable)?;
        let connected = timeout(self.connect_timeout, async {
            let stream = connection::connect(&addresses, port, self.connect_timeout).await?;
            if url.scheme() != "https" {
                return Ok(stream);
            }
            let name = name.ok_or(io::ErrorKind::InvalidInput)?;
            connection::encrypt(stream, name, Arc::clone(&self.tls)).await
        });
        let stream = connected.await.map_err(|_| failure::timed_out())?;
        stream.map_err(|error| failure::unconnected(&error))
    }
}

fn of_address(address: IpAddr) -> (Vec<IpAddr>, Option<ServerName<'static>>) {
    (vec![address], Some(address.into()))
}

/// The request; `None` if it can't be built.
fn request(url: &Url, post: &Post) -> Option<Request<Full<Bytes>>> {
    let request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, SENDER)
        .header(CONTENT_TYPE, "application/json")
        .header("Serront-Signature", &post.signature)
        .header("Serront-Event-Id", post.event_id.to_string())
        .header("Serront-Event-Type", post.event_type.as_str())
        .header("Serront-Delivery-Id", post.delivery_id.to_string())
        .header("Serront-Delivery-Attempt", post.attempt);
    request.body(Full::new(Bytes::from(post.body.clone()))).ok()
}

#[async_trait]
impl Sink for HttpSink {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        let url = self.targets.parse(url)?;
        // A literal address was checked with the URL.
        let Some(name) = url.domain() else { return Ok(()) };
        let Ok(Ok(_turn)) = timeout(CHECK_WAIT, self.checks.acquire()).await else {
            return Err(TargetError::Busy);
        };
        self.names.lookup(name).await?;
        Ok(())
    }

    async fn post(&self, post: &Post) -> Posted {
        match timeout(self.timeout, self.try_post(post)).await {
            Ok(Ok(status)) => Posted::Answered(status),
            Ok(Err(text)) => Posted::Failed(text),
            Err(_) => Posted::Failed(failure::timed_out()),
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
    /// Resolves names with this instead of the system's resolver. Its answers are checked as well.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Gives up a post after this time instead of 10 s, which is also the port's limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up connecting after this time instead of 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Gives up resolving a name after this time instead of 5 s.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.resolve_timeout = timeout;
        self
    }

    /// Builds the sink.
    ///
    /// # Errors
    /// [`SinkSetupError`] if TLS can't be set up on this machine.
    pub fn build(self) -> Result<HttpSink, SinkSetupError> {
        let Self { targets, resolver, timeout, connect_timeout, resolve_timeout } = self;
        let names = Guarded::new(resolver, targets, resolve_timeout);
        let checks = Arc::new(Semaphore::new(CHECKS_MAX));
        Ok(HttpSink { tls: Arc::new(tls(targets)?), names, checks, targets, timeout, connect_timeout })
    }
}

/// The platform's certificates. The crypto provider is passed explicitly, because a library must not set one for the
/// whole process.
fn tls(targets: Targets) -> Result<ClientConfig, SinkSetupError> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(SinkSetupError::tls)
    };
    let mut config = match (builder()?.with_platform_verifier(), targets) {
        (Ok(builder), _) => builder.with_no_client_auth(),
        // A minimal container has no certificates. In development plain http then works, and https fails.
        (Err(_), Targets::Development) => {
            builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
        (Err(error), Targets::Public) => return Err(SinkSetupError::tls(error)),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
