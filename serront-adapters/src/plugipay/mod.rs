//! Plugipay: [`PlugipayClient`] signs calls and sends them over HTTP.
//!
//! ```text
//! call ─▶ URL ─▶ signature over the request ────▶ POST · GET · DELETE ─▶ envelope ─▶ data, cursor
//!                          ▲                             │
//!                          └── once more, if harmless ◀──┘ no connection, or lost before an answer
//! ```
//!
//! **Signature**: covers the request as the server sees it, with the path and query of the request line. If the base
//! URL has a path (`https://gateway.example/plugipay`), that path is signed too, and a gateway must pass it on.
//!
//! **Repetition**: the same bytes are sent at most twice, under the same key, within the same time-out, and only if
//! that is harmless: a GET, a DELETE, or a POST with a key. A POST without a key (canceling a session) is sent once. A
//! call is not repeated after any answer or after a time-out.
//!
//! **Failures**:
//!
//! | what happened | POST | GET or DELETE |
//! |---|---|---|
//! | the call can't be written as a request | permanent | permanent |
//! | no connection (no such name, refused, TLS failed, too slow) | transient | transient |
//! | the connection was lost, or no answer came in time | outcome unknown | transient |
//! | 2xx whose body is truncated, over 1 MiB, not UTF-8 or not an envelope | outcome unknown | transient |
//! | 3xx: no redirect is followed | permanent | permanent |
//! | 401, 403, 408, 429 | transient | transient |
//! | 409 to a call with a key, except `idempotency_mismatch`: another attempt is in progress | transient | – |
//! | any other 4xx | permanent | permanent |
//! | 5xx, and statuses outside HTTP | outcome unknown | transient |
//! | any failure of a second attempt after a lost first one | outcome unknown | as above |
//!
//! Repeating a read or a deletion is harmless, so a GET or DELETE never has an unknown outcome. `Retry-After`, in
//! seconds or as a date, is read from every answer that is not a success. A DELETE may be answered with an empty body.
//!
//! **Texts of errors**: the status, and Plugipay's `error.code` if it has a code's form. Never a body, an address or a
//! header.
//!
//! The client decides nothing, stores nothing, follows no redirect, uses no proxy, and knows no call by name: the core
//! builds the calls and reads their answers.

mod envelope;
mod failure;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Response, Url, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serront_core::online::plugipay::authorization;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall, PlugipayMethod};
use serront_core::ports::{Clock, Plugipay, PortError};
use tokio::time::Instant;

pub use self::failure::PlugipaySetupError;

use self::failure::Failure;

/// A buyer waits for the answer; the janitor continues calls that take longer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Leaves most of the time for the answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than servers usually keep idle connections, so that few calls meet one that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const USER_AGENT: &str = concat!("Serront/", env!("CARGO_PKG_VERSION"));

const TIMESTAMP: HeaderName = HeaderName::from_static("x-plugipay-timestamp");
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-plugipay-on-behalf-of");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Calls Plugipay over HTTP.
#[derive(Clone)]
pub struct PlugipayClient {
    client: Client,
    base: String,
    key_id: String,
    secret: String,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

/// `Debug` shows neither key nor secret.
impl fmt::Debug for PlugipayClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PlugipayClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl PlugipayClient {
    /// A client with this platform key. The base URL may end in a slash. Its calls need a tokio runtime.
    ///
    /// # Errors
    /// [`PlugipaySetupError`] if the base URL, the key's id or the secret can't be used, or TLS can't be set up on this
    /// machine.
    pub fn new(base_url: &str, key_id: &str, secret: &str, clock: Arc<dyn Clock>) -> Result<Self, PlugipaySetupError> {
        Self::builder(base_url, key_id, secret, clock).build()
    }

    /// A builder, for other time-outs.
    pub fn builder(base_url: &str, key_id: &str, secret: &str, clock: Arc<dyn Clock>) -> PlugipayClientBuilder {
        PlugipayClientBuilder {
            base_url: base_url.to_owned(),
            key_id: key_id.to_owned(),
            secret: secret.to_owned(),
            clock,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// The signed request.
    fn request(&self, call: &PlugipayCall) -> Result<Request, Failure> {
        // Any other path would extend the host's name.
        if !call.path.starts_with('/') {
            return Err(Failure::Unmade);
        }
        let url = Url::parse(&format!("{}{}", self.base, call.path)).map_err(|_| Failure::Unmade)?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let signed = PlugipayCall { path, ..call.clone() };
        let now = self.clock.now().unix_seconds();
        let mut authorization = value(&authorization(&self.key_id, &self.secret, &signed, now))?;
        authorization.set_sensitive(true);

        let method = match call.method {
            PlugipayMethod::Get => Method::GET,
            PlugipayMethod::Post => Method::POST,
            PlugipayMethod::Delete => Method::DELETE,
        };
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(TIMESTAMP, HeaderValue::from(now));
        if let Some(key) = &call.idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, value(key)?);
        }
        if let Some(merchant) = &call.on_behalf_of {
            headers.insert(ON_BEHALF_OF, value(merchant)?);
        }
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(signed.body.into());
        } else if call.method == PlugipayMethod::Post {
            // Tells the server that no body follows (RFC 9110, section 8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }

    /// One attempt and its result.
    async fn send(&self, call: &PlugipayCall, deadline: Instant) -> Result<PlugipayAnswer, Failure> {
        let mut request = self.request(call)?;
        *request.timeout_mut() = Some(deadline.saturating_duration_since(Instant::now()));
        let answer = self.client.execute(request).await.map_err(|error| Failure::without_answer(&error))?;
        let status = answer.status().as_u16();
        if !(200..300).contains(&status) {
            return Err(self.refused(call, status, answer).await);
        }
        let body = envelope::body(answer).await?;
        if body.is_empty() && call.method == PlugipayMethod::Delete {
            return Ok(PlugipayAnswer { data: "null".to_owned(), cursor: None });
        }
        envelope::read(body)
    }

    async fn refused(&self, call: &PlugipayCall, status: u16, answer: Response) -> Failure {
        let told = answer.headers().get(RETRY_AFTER).and_then(|told| told.to_str().ok());
        let retry_after = told.and_then(|told| failure::retry_after(told, self.clock.now()));
        // The status decides; an unreadable body only lacks the code.
        let code = envelope::body(answer).await.ok().and_then(|body| envelope::code(&body));
        Failure::refused(status, code, retry_after, call.idempotency_key.is_some())
    }
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::Unmade)
}

/// Whether the call may be sent twice without another effect.
const fn is_repeatable(call: &PlugipayCall) -> bool {
    match call.method {
        PlugipayMethod::Get | PlugipayMethod::Delete => true,
        PlugipayMethod::Post => call.idempotency_key.is_some(),
    }
}

#[async_trait]
impl Plugipay for PlugipayClient {
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        let now = Instant::now();
        let deadline = now.checked_add(self.timeout).unwrap_or(now);
        let first = match self.send(call, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if !(first.is_worth_repeating() && is_repeatable(call)) {
            return Err(first.told(call.method));
        }
        match self.send(call, deadline).await {
            Ok(answer) => Ok(answer),
            Err(second) => Err(second.told_after(&first, call.method)),
        }
    }
}

/// Sets up a [`PlugipayClient`].
#[must_use]
pub struct PlugipayClientBuilder {
    base_url: String,
    key_id: String,
    secret: String,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    connect_timeout: Duration,
}

/// `Debug` shows neither key nor secret.
impl fmt::Debug for PlugipayClientBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PlugipayClientBuilder").finish_non_exhaustive()
    }
}

impl PlugipayClientBuilder {
    /// Gives up a call, including its second attempt, after this time instead of 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up connecting after this time instead of 3 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`PlugipaySetupError`] if the base URL, the key's id or the secret can't be used, or TLS can't be set up on this
    /// machine.
    pub fn build(self) -> Result<PlugipayClient, PlugipaySetupError> {
        let Self { base_url, key_id, secret, clock, timeout, connect_timeout } = self;
        let (base, encrypted) = base(&base_url)?;
        // The id is part of a header with other parameters.
        if key_id.is_empty() || !key_id.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b',') {
            return Err(PlugipaySetupError::KeyId);
        }
        if secret.is_empty() || secret.chars().any(char::is_control) {
            return Err(PlugipaySetupError::Secret);
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls(encrypted)?)
            .no_proxy()
            .redirect(Policy::none())
            .retry(retry::never())
            .referer(false)
            // Another crate of the host's build may enable these features; the request must stay the same.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            .http1_title_case_headers()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(USER_AGENT)
            .connect_timeout(connect_timeout)
            .build()
            .map_err(PlugipaySetupError::client)?;
        Ok(PlugipayClient { client, base, key_id, secret, clock, timeout })
    }
}

/// The base URL without a slash at its end, and whether it uses TLS.
fn base(text: &str) -> Result<(String, bool), PlugipaySetupError> {
    let url = Url::parse(text).map_err(|_| PlugipaySetupError::BaseUrl)?;
    let encrypted = url.scheme() == "https";
    let plain = url.scheme() == "http";
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !(encrypted || plain) || !url.has_host() || !is_bare {
        return Err(PlugipaySetupError::BaseUrl);
    }
    Ok((url.as_str().trim_end_matches('/').to_owned(), encrypted))
}

/// The platform's certificates, or none for plain http, so that it works in a container without certificates. The
/// crypto provider is passed explicitly, because a library must not set one for the whole process.
fn tls(encrypted: bool) -> Result<ClientConfig, PlugipaySetupError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(PlugipaySetupError::tls)?;
    let builder = if encrypted {
        builder.with_platform_verifier().map_err(PlugipaySetupError::tls)?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
