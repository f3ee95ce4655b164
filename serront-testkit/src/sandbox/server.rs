//! The sandbox over HTTP, on axum: the signed API, the hosted page, and the posting of notifications.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use serront_core::online::plugipay::{PlugipayCall, PlugipayMethod, authorization};
use serront_core::ports::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::answers::{Done, Refusal};
use super::query::Query;
use super::{Notification, Reply, Sandbox, page};

/// Maximum bytes of a request's body.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest difference of a request's timestamp, in either direction, in seconds.
const TOLERANCE: u64 = 300;
/// Interval at which the poster checks for due notifications, because a test may move the sandbox's clock.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time limit of a receiver of notifications.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause before a notification is retried; it doubles each time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Time for running requests to finish when the server stops.
const FINISH_TIME_MAX: Duration = Duration::from_secs(2);

/// A sandbox served over HTTP. The server ends when it is stopped or dropped.
///
/// Notifications are posted one after the other, in the order of their due times, over plain http. The sandbox trusts
/// no certificates, so an https endpoint gets no notifications.
pub struct SandboxServer {
    url: String,
    sandbox: Arc<Sandbox>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    posting: JoinHandle<()>,
}

impl fmt::Debug for SandboxServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SandboxServer").field("url", &self.url).finish_non_exhaustive()
    }
}

struct Shared {
    sandbox: Arc<Sandbox>,
    key_id: String,
    secret: String,
    requests: AtomicU64,
}

impl SandboxServer {
    /// Serves a new sandbox at this address, for calls signed with this platform key. Port 0 selects a free port.
    ///
    /// # Errors
    /// If the server can't listen on the address, or the client for notifications can't be created.
    pub async fn start(listen: SocketAddr, clock: Arc<dyn Clock>, key_id: &str, secret: &str) -> io::Result<Self> {
        Self::serve(listen, Arc::new(Sandbox::new(clock)), key_id, secret).await
    }

    /// Serves this sandbox, including its hosted pages.
    ///
    /// # Errors
    /// As [`SandboxServer::start`].
    pub async fn serve(listen: SocketAddr, sandbox: Arc<Sandbox>, key_id: &str, secret: &str) -> io::Result<Self> {
        let client = client()?;
        let listener = TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        sandbox.serve_pages_at(&url);
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            sandbox: Arc::clone(&sandbox),
            key_id: key_id.to_owned(),
            secret: secret.to_owned(),
            requests: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/checkout/{id}", get(show))
            .route("/checkout/{id}/{deed}", post(act))
            .fallback(call)
            .with_state(shared)
            .into_make_service_with_connect_info::<Line>();
        let served = axum::serve(Lines(listener), router).with_graceful_shutdown(stopped(stopping.clone()));
        let serving = tokio::spawn(async move {
            // Runs until it is stopped.
            let _ = served.await;
        });
        let posting = tokio::spawn(post_due(Arc::clone(&sandbox), client, stopping));
        Ok(Self { url, sandbox, stop, serving, posting })
    }

    /// Base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The sandbox behind the server.
    #[must_use]
    pub const fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Stops listening, gives running requests 2 s to finish, and ends. Remaining notifications are not posted.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async {
            let _ = (&mut self.serving).await;
            let _ = (&mut self.posting).await;
        };
        // Dropping the server ends the rest.
        let _ = tokio::time::timeout(FINISH_TIME_MAX, ended).await;
    }
}

impl Drop for SandboxServer {
    fn drop(&mut self) {
        self.serving.abort();
        self.posting.abort();
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A dropped sender also stops the server.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// A connection that can be cut: afterwards nothing is written, and the client sees the connection end.
#[derive(Clone, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Lines(TcpListener);

struct Connection {
    stream: TcpStream,
    line: Line,
}

impl Listener for Lines {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are small; they must not wait to be combined with others.
        let _ = stream.set_nodelay(true);
        (Connection { stream, line: Line::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.line.0.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn call(State(shared): State<Arc<Shared>>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => match shared.verified(&parts, &body) {
            Ok(call) => {
                let slowness = shared.sandbox.switches().slowness;
                if slowness > Duration::ZERO {
                    tokio::time::sleep(slowness).await;
                }
                match shared.sandbox.carry_out(&call) {
                    Reply::Answered(answer) => answer,
                    Reply::Lost => {
                        line.cut();
                        return StatusCode::NO_CONTENT.into_response();
                    }
                }
            }
            Err(refusal) => Err(refusal),
        },
        Err(_) => Err(Refusal::new(413, "PAYLOAD_TOO_LARGE", "the body is too large")),
    };
    shared.enveloped(answer)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The parameters of `Plugipay-HMAC-SHA256 name=value, name=value`.
fn parameter<'h>(authorization: &'h str, name: &str) -> Option<&'h str> {
    let parameters = authorization.strip_prefix("Plugipay-HMAC-SHA256 ")?;
    parameters.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

impl Shared {
    /// The call, if the platform's key signed exactly these bytes, recently.
    fn verified(&self, parts: &Parts, body: &[u8]) -> Result<PlugipayCall, Refusal> {
        let unauthorized = |code, message| Err(Refusal::new(401, code, message));
        let headers = &parts.headers;
        let authorization_told = text(headers, AUTHORIZATION.as_str()).unwrap_or_default();
        let (Some(key_id), Some(signature)) =
            (parameter(authorization_told, "keyId"), parameter(authorization_told, "signature"))
        else {
            return unauthorized("INVALID_SIGNATURE", "the request is not signed");
        };
        if key_id != self.key_id {
            return unauthorized("INVALID_KEY", "unknown key");
        }
        let now = self.sandbox.clock.now().unix_seconds();
        let told = text(headers, "X-Plugipay-Timestamp").and_then(|seconds| seconds.parse::<i64>().ok());
        let Some(told) = told.filter(|told| told.abs_diff(now) <= TOLERANCE) else {
            return unauthorized("INVALID_TIMESTAMP", "X-Plugipay-Timestamp is missing or more than 300 s off");
        };
        let method = match parts.method {
            Method::GET => PlugipayMethod::Get,
            Method::POST => PlugipayMethod::Post,
            Method::DELETE => PlugipayMethod::Delete,
            _ => return Err(Refusal::new(405, "METHOD_NOT_ALLOWED", "GET, POST or DELETE")),
        };
        let Ok(body) = String::from_utf8(body.to_vec()) else {
            return Err(Refusal::invalid("the body is not UTF-8"));
        };
        let owned = |name| text(headers, name).map(str::to_owned);
        let call = PlugipayCall {
            method,
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            on_behalf_of: owned("X-Plugipay-On-Behalf-Of"),
            idempotency_key: owned("Idempotency-Key"),
            body,
        };
        // Not constant-time: the sandbox protects nothing.
        let expected = authorization(&self.key_id, &self.secret, &call, told);
        if parameter(&expected, "signature") != Some(signature) {
            return unauthorized("INVALID_SIGNATURE", "the signature does not match");
        }
        let content_type = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        if !call.body.is_empty() && content_type.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Refusal::new(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json"));
        }
        Ok(call)
    }

    fn enveloped(&self, answer: Result<Done, Refusal>) -> Response {
        let number = self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut meta = json!({ "requestId": format!("req_{number:010}"), "timestamp": self.sandbox.clock.now() });
        let mut wait = None;
        let (status, envelope) = match answer {
            Ok(Done { status, data, cursor }) => {
                if let (Some(cursor), Some(meta)) = (cursor, meta.as_object_mut()) {
                    meta.insert("hasMore".to_owned(), cursor.is_some().into());
                    meta.insert("cursor".to_owned(), cursor.into());
                }
                (status, json!({ "data": data, "error": null, "meta": meta }))
            }
            Err(Refusal { status, code, message, retry_after }) => {
                wait = retry_after;
                let error = json!({ "code": code, "message": message });
                (status, json!({ "data": null, "error": error, "meta": meta }))
            }
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (status, content, envelope.to_string()).into_response();
        if let Some(wait) = wait {
            // Rounded up to whole seconds.
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn html(status: StatusCode, page: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::CONTENT_SECURITY_POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, page).into_response()
}

async fn show(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match shared.sandbox.session(&id) {
        None => html(StatusCode::NOT_FOUND, page::missing()),
        Some(session) => html(StatusCode::OK, page::checkout(&session, &shared.sandbox.seller(&session.account_id))),
    }
}

/// Handles the buyer's choice, then redirects to the shop, or back to the page if the session was no longer open.
async fn act(State(shared): State<Arc<Shared>>, Path((id, deed)): Path<(String, String)>, body: Body) -> Response {
    let sandbox = &shared.sandbox;
    let Some(session) = sandbox.session(&id) else { return html(StatusCode::NOT_FOUND, page::missing()) };
    let Ok(form) = to_bytes(body, BODY_BYTES_MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let form = Query::of(&format!("?{}", String::from_utf8_lossy(&form)));
    let offered = form.get("method").filter(|method| session.methods.iter().any(|offered| offered == method));
    let method = offered.or_else(|| session.methods.first().map(String::as_str)).unwrap_or_default();
    let to = match deed.as_str() {
        "pay" if sandbox.pay_open(&id, method) => session.success_url,
        "fail" if sandbox.fail(&id) => session.cancel_url,
        "expire" if sandbox.expire(&id) => session.cancel_url,
        "pay" | "fail" | "expire" => format!("/checkout/{id}"),
        _ => return html(StatusCode::NOT_FOUND, page::missing()),
    };
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A client without certificates: rustls needs a configuration, although the sandbox posts over plain http only.
fn client() -> io::Result<reqwest::Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .user_agent("Plugipay-Sandbox/1.0")
        .timeout(POST_TIMEOUT)
        .build()
        .map_err(io::Error::other)
}

async fn post_due(sandbox: Arc<Sandbox>, client: reqwest::Client, mut stopping: watch::Receiver<bool>) {
    loop {
        for notification in sandbox.take_notifications() {
            let posted = tokio::select! {
                posted = post_one(&client, &notification) => posted,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            if !posted {
                let pause = RETRY_PAUSE.saturating_mul(1 << notification.attempt.saturating_sub(1).min(10));
                sandbox.give_back(notification, pause);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn post_one(client: &reqwest::Client, notification: &Notification) -> bool {
    let mut request = client.post(&notification.url).body(notification.body.clone());
    for (name, value) in &notification.headers {
        request = request.header(*name, value);
    }
    request.send().await.is_ok_and(|answer| answer.status().is_success())
}
