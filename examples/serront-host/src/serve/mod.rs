//! Connections: how many there are, how long each may keep us waiting, and how they end.
//!
//! A client gets [`HEAD_TIME_MAX`] for the head of a request, and [`IDLE_TIME_MAX`] between two requests. Of an answer it has
//! to take [`TAKEN_BYTES_PER_SECOND`] for as long as we wait for it, and may be [`BEHIND_MAX`] behind. Then its connection
//! is closed. A body's own time is looked after where it is read.
//! Beyond the most connections at once, new ones wait in the system's backlog until others end. Before it comes to that,
//! connections on which nothing happens end sooner, after [`IDLE_TIME_SHORT`].
//!
//! Not here: TLS and HTTP/2, which a proxy in front speaks, and which connections of one client are too many.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::watched::{Places, Turn, Turns, Watched};

mod open_files;
mod watched;

pub(crate) use open_files::Open;

/// How long a connection may wait for its next request: longer than the proxies in front do, or they would send one into a
/// connection that is just being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);

/// How much of an answer the system keeps for one connection, which it doubles for itself. Left alone it is megabytes where
/// the line was good once, and a slow client would be seen only when it has taken a third of them.
const SENT_AHEAD_BYTES: usize = 128 * 1024;

/// How much is read ahead of a connection. A head that is longer and comes in several reads is refused; one that comes at once
/// may be up to twice as long.
const READ_AHEAD_BYTES_MAX: usize = 32 * 1024;

/// How long to wait when no connection can be accepted, for want of files most likely.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until it is told to stop, then finishes the requests that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: u32,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Places::new(connections_max);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME_MAX).max_buf_size(READ_AHEAD_BYTES_MAX);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places.free).acquire_owned().await.map_err(io::Error::other)?;
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
        let _ = SockRef::from(&stream).set_send_buffer_size(SENT_AHEAD_BYTES);
        let turns = Turns::default();
        let watched = Watched::new(stream, turns.clone(), places.clone());
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            turns.next();
            let (answered, turns) = (router.call(request), turns.clone());
            async move {
                let answer = answered.await;
                answer.map(|answer| answer.map(|body| Answered { body, _turn: Turn(turns) }))
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

/// The body of an answer: with its end, our turn ends.
struct Answered {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
