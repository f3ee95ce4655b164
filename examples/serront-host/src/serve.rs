//! Connections: how many there are, how long each may keep us waiting, and how they end.
//!
//! A client gets [`HEAD_TIME_MAX`] for the head of a request, [`IDLE_TIME_MAX`] between two requests, and [`STALL_TIME_MAX`] to
//! take the next bytes of an answer; then its connection is closed. A body's own time is looked after where it is read.
//! Beyond the most connections at once, new ones wait in the system's backlog until others end.
//!
//! Not here: TLS and HTTP/2, which a proxy in front speaks, and which connections of one client are too many.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Sleep;

/// How long the head of a request may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next request: longer than the proxies in front do, or they would send one into a
/// connection that is just being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// How long a client may take nothing of its answer.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How much is read ahead of a connection, so also the longest head.
const READ_AHEAD_BYTES_MAX: usize = 32 * 1024;
/// How long to wait when no connection can be accepted, for want of files most likely.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How many files one connection may have open: itself, and its body under way.
#[cfg(unix)]
const FILES_PER_CONNECTION: u64 = 2;
/// How many a delivery may: two questions about its name, of three sockets each where the name's server is silent.
#[cfg(unix)]
const FILES_PER_DELIVERY: u64 = 6;
/// How many files everything else may have open.
#[cfg(unix)]
const FILES_BESIDE: u64 = 512;

/// How many of what takes files may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Connections of clients.
    pub(crate) connections: u32,
    /// Deliveries under way.
    pub(crate) deliveries: u32,
}

impl Open {
    /// Raises the process' limit of open files to what these need, and answers how many it is good for.
    #[cfg(unix)]
    pub(crate) fn allowed(self) -> Self {
        let wanted = u64::from(self.connections) * FILES_PER_CONNECTION
            + u64::from(self.deliveries) * FILES_PER_DELIVERY
            + FILES_BESIDE;
        let files = rlimit::increase_nofile_limit(wanted).unwrap_or(wanted);
        let allowed = self.within(files);
        if allowed != self {
            let Self { connections, deliveries } = allowed;
            tracing::warn!(connections, deliveries, "fewer at once, since the process may not open more files");
        }
        allowed
    }

    /// How many so many files are good for.
    #[cfg(unix)]
    fn within(self, files: u64) -> Self {
        let at_most = |files: u64, max: u32| u32::try_from(files).unwrap_or(u32::MAX).clamp(1, max.max(1));
        let left = files.saturating_sub(FILES_BESIDE);
        let beside = left.saturating_sub(u64::from(self.connections) * FILES_PER_CONNECTION);
        let deliveries = at_most(beside.max(left / 4) / FILES_PER_DELIVERY, self.deliveries);
        let left = left.saturating_sub(u64::from(deliveries) * FILES_PER_DELIVERY);
        let connections = at_most(left / FILES_PER_CONNECTION, self.connections);
        Self { connections, deliveries }
    }

    /// There is no such limit.
    #[cfg(not(unix))]
    pub(crate) const fn allowed(self) -> Self {
        self
    }
}

/// Serves until it is told to stop, then finishes the requests that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: u32,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME_MAX).max_buf_size(READ_AHEAD_BYTES_MAX);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        let (place, (stream, peer)) = tokio::select! {
            () = stopped(&mut stopping) => break,
            next = next => match next {
                Ok(next) => next,
                Err(error) if is_gone(&error) => continue,
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small and wait for nothing to be joined with.
        let _ = stream.set_nodelay(true);
        let turns = Turns::default();
        let watched = Watched { stream, turns: turns.clone(), head: None, stall: None };
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            turns.next();
            let (answered, turns) = (router.call(request), turns.clone());
            async move {
                let answer = answered.await;
                turns.next();
                answer
            }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(watched.begun()), service));
        tokio::spawn(async move {
            // How a connection ends is the client's business.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Whether it was the client's doing: it did not stay until it was its turn.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone stops too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Whose turn it is on a connection: the client's at even counts, ours at odd ones.
#[derive(Clone, Default)]
struct Turns(Arc<AtomicUsize>);

impl Turns {
    fn next(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// The count, if it is the client's turn.
    fn client(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Acquire)).filter(|turn| turn.is_multiple_of(2))
    }
}

/// A connection that gives up a client which is too slow.
struct Watched {
    stream: TcpStream,
    turns: Turns,
    /// Until when the head that has begun in this turn may take.
    head: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when the client may take nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

fn too_slow() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl Watched {
    /// A new connection is as good as a head that has begun: nobody connects ahead of a need for as long as they stay.
    fn begun(mut self) -> Self {
        self.heard();
        self
    }

    /// Bytes have come.
    fn heard(&mut self) {
        match self.turns.client() {
            // They are a body's.
            None => self.head = None,
            Some(turn) if self.head.as_ref().is_some_and(|(begun, _)| *begun == turn) => {}
            Some(turn) => self.head = Some((turn, Box::pin(tokio::time::sleep(HEAD_TIME_MAX)))),
        }
    }

    /// Whether the head takes too long; if not, this task is woken when it does.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.head {
            Some((turn, sleep)) if self.turns.client() == Some(*turn) => sleep.as_mut().poll(context).is_ready(),
            Some(_) | None => {
                self.head = None;
                false
            }
        }
    }

    /// What a try to write came to.
    fn taken<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIME_MAX)));
        stall.as_mut().poll(context).map(|()| Err(too_slow()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending if this.is_overdue(context) => Poll::Ready(Err(too_slow())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    this.heard();
                }
                Poll::Ready(read)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.taken(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.taken(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.taken(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.taken(context, polled)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn where_files_are_few_both_get_fewer() {
        let within = |connections, deliveries, files| {
            let open = Open { connections, deliveries }.within(files);
            (open.connections, open.deliveries)
        };
        assert_eq!(within(2_048, 512, 7_680), (2_048, 512), "just enough");
        assert_eq!(within(10, 512, 3_604), (10, 512), "just enough");
        assert_eq!(within(2_048, 512, 1_024), (193, 21));
        assert_eq!(within(2_048, 512, 0), (1, 1));
    }
}
