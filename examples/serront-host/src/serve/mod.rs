//! Accepts connections within bounds, and finishes them at the stop.
//!
//! A connection is closed if its client takes too long: [`watched`] has the limits. Above the maximum number of connections, new
//! ones wait in the system's backlog until others end. The time of a request's body is limited where it is read.
//!
//! Not here: TLS and HTTP/2, which a proxy in front provides, and a limit of connections per client.

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

/// Longest wait for the next request on a connection. It is longer than proxies wait, so that they don't send a request into a
/// connection that is just being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// The system's send buffer of a connection; the system doubles it. By default it grows to megabytes on a fast line, and a client
/// that becomes slow would be noticed only after it has received a third of them.
const SENT_AHEAD_BYTES: usize = 128 * 1024;
/// Most bytes read ahead on a connection. A longer head that arrives in several reads is refused; in one read it may be twice as
/// long.
const READ_AHEAD_BYTES_MAX: usize = 32 * 1024;
/// Pause after a failure to accept a connection, which is usually due to the limit of open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until the stop, then finishes running requests.
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
        // Answers are small, and nothing follows that they should be combined with.
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
            // An error on a connection concerns only its client.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Whether the client disconnected before it was accepted.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender it counts as stopped.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The body of an answer; our turn ends when it is dropped.
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
