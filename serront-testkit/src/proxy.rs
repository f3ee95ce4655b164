//! A TCP proxy between an adapter and its server that cuts, stalls and redirects connections on command.
//!
//! ```text
//! adapter ─▶ Proxy ─▶ server      cut_all        cuts every connection immediately
//!                                 cut            cuts one connection at a matching request: before it is passed on,
//!                                                after that, or after the server has answered it
//!                                 refuse         refuses new connections
//!                                 stall          passes nothing on, and closes nothing
//!                                 stall_after    stalls after a number of requests
//!                                 stall_at       stalls at a matching request
//!                                 silence_all    passes nothing on over the present connections, permanently
//!                                 lead_to        leads new connections to another server
//! ```
//!
//! It knows no protocol: a request is recognized by bytes in it, and all bytes that arrive together count as one
//! request. It runs in the test's runtime. Dropping it ends it with all its connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::memory::locked;

/// Bytes of one request that are searched together.
const REQUEST_MAX: usize = 1 << 20;

/// When a connection is cut, relative to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The request never arrives.
    BeforeRequest,
    /// The request arrives; the client's connection is cut while the server processes it.
    AfterRequest,
    /// The server has processed the request; its answer is lost.
    AfterAnswer,
}

#[derive(Debug, Clone)]
struct Cut {
    moment: Moment,
    mark: Vec<u8>,
}

#[derive(Debug, Default)]
struct Told {
    cuts: VecDeque<Cut>,
    refusing: bool,
    server: Option<SocketAddr>,
    accepted: u64,
    cut: u64,
    requests: u64,
    stall_at: Option<u64>,
    stall_mark: Option<Vec<u8>>,
}

#[derive(Debug)]
struct State {
    told: Mutex<Told>,
    /// Counts up with every [`Proxy::cut_all`].
    generation: watch::Sender<u64>,
    /// Counts up with every [`Proxy::silence_all`].
    silences: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
}

impl State {
    /// Takes the cut planned for this request.
    fn cut_of(&self, request: &[u8]) -> Option<Moment> {
        let mut told = locked(&self.told);
        let at = told.cuts.iter().position(|cut| contains(request, &cut.mark))?;
        let moment = told.cuts.remove(at)?.moment;
        told.cut = told.cut.saturating_add(1);
        Some(moment)
    }

    /// Counts a request that has arrived, and stalls if it is the one named.
    fn arrived(&self, request: &[u8]) {
        let stalls = {
            let mut told = locked(&self.told);
            told.requests = told.requests.saturating_add(1);
            let requests = told.requests;
            told.stall_at.take_if(|at| *at <= requests).is_some()
                || told.stall_mark.take_if(|mark| contains(request, mark)).is_some()
        };
        if stalls {
            self.stalled.send_replace(true);
        }
    }

    /// Waits while the proxy is stalled.
    async fn passing(&self) {
        // Fails only if the sender is dropped, and `self` holds it.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
    }
}

fn contains(request: &[u8], mark: &[u8]) -> bool {
    mark.is_empty() || request.windows(mark.len()).any(|window| window == mark)
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens on a free loopback port and forwards all connections to this server.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            told: Mutex::new(Told { server: Some(server), ..Told::default() }),
            generation: watch::Sender::new(0),
            silences: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// The proxy's address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection immediately. New connections are accepted.
    pub fn cut_all(&self) {
        self.state.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Silences every open connection, like a firewall that drops its state: nothing passes in either direction, and
    /// neither side is notified. New connections are accepted.
    pub fn silence_all(&self) {
        self.state.silences.send_modify(|silences| *silences = silences.wrapping_add(1));
    }

    /// Leads new connections to this server, as an address does after a failover.
    pub fn lead_to(&self, server: SocketAddr) {
        locked(&self.state.told).server = Some(server);
    }

    /// Cuts the connection of the next request that contains these bytes. Each call of `cut` cuts one connection.
    pub fn cut(&self, moment: Moment, mark: impl Into<Vec<u8>>) {
        locked(&self.state.told).cuts.push_back(Cut { moment, mark: mark.into() });
    }

    /// Number of cuts so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        locked(&self.state.told).cut
    }

    /// Number of connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        locked(&self.state.told).accepted
    }

    /// Whether new connections are closed immediately.
    pub fn refuse(&self, refusing: bool) {
        locked(&self.state.told).refusing = refusing;
    }

    /// Whether the proxy is stalled in both directions. After a stall, the held bytes are passed on.
    pub fn stall(&self, stalled: bool) {
        self.state.stalled.send_replace(stalled);
    }

    /// Stalls after this many more requests have arrived, without passing on later answers. The server sees a client
    /// that stops in the middle of its work.
    pub fn stall_after(&self, requests: u64) {
        let mut told = locked(&self.state.told);
        told.stall_at = Some(told.requests.saturating_add(requests));
    }

    /// Stalls after the next request that contains these bytes has arrived, without passing on its answer.
    pub fn stall_at(&self, mark: impl Into<Vec<u8>>) {
        locked(&self.state.told).stall_mark = Some(mark.into());
    }

    /// Whether the proxy is stalled.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        *self.state.stalled.borrow()
    }

    /// Removes pending cuts and stalls.
    pub fn heal(&self) {
        {
            let mut told = locked(&self.state.told);
            told.cuts.clear();
            (told.stall_at, told.stall_mark) = (None, None);
        }
        self.refuse(false);
        self.stall(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Aborts every connection when this task is dropped.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let server = {
            let mut told = locked(&state.told);
            told.accepted = told.accepted.saturating_add(1);
            told.server.filter(|_| !told.refusing)
        };
        if let Some(server) = server {
            connections.spawn(pass(client, server, Arc::clone(&state)));
        }
    }
}

/// Passes bytes until either side ends or the connection is cut.
async fn pass(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let mut generation = state.generation.subscribe();
    generation.borrow_and_update();
    let mut silences = state.silences.subscribe();
    silences.borrow_and_update();
    state.passing().await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Bytes sent together must arrive together, as they do without a proxy.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let withholding = AtomicBool::new(false);
    let mut requests = pin!(requests(from_client, to_server, &state, &withholding));
    let mut answers = pin!(answers(from_server, to_client, &state, &withholding));
    tokio::select! {
        _ = generation.changed() => {}
        _ = &mut requests => {}
        _ = &mut answers => {}
        _ = silences.changed() => {
            // Both sides stay open without being read.
            let _ = generation.changed().await;
        }
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    state: &State,
    withholding: &AtomicBool,
) -> io::Result<()> {
    let mut request = Vec::with_capacity(1 << 16);
    loop {
        request.clear();
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        // Bytes already received belong to the same request.
        while request.len() < REQUEST_MAX && client.try_read_buf(&mut request).is_ok_and(|read| read > 0) {}
        state.passing().await;
        match state.cut_of(&request) {
            None => {}
            Some(Moment::BeforeRequest) => return Ok(()),
            Some(Moment::AfterRequest) => return server.write_all(&request).await,
            Some(Moment::AfterAnswer) => withholding.store(true, Ordering::SeqCst),
        }
        // Counted before the server can answer it.
        state.arrived(&request);
        server.write_all(&request).await?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    state: &State,
    withholding: &AtomicBool,
) -> io::Result<()> {
    let mut answer = Vec::with_capacity(1 << 16);
    loop {
        answer.clear();
        if server.read_buf(&mut answer).await? == 0 {
            return Ok(());
        }
        if withholding.load(Ordering::SeqCst) {
            return Ok(());
        }
        state.passing().await;
        client.write_all(&answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Echoes and records every byte.
    async fn echo() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let hearing = Arc::clone(&hearing);
                tokio::spawn(async move {
                    let mut bytes = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        locked(&hearing).extend_from_slice(&bytes[..read]);
                        if stream.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, heard)
    }

    async fn ask(stream: &mut TcpStream, question: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(question).await.ok()?;
        let mut answer = vec![0; question.len()];
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer)
    }

    async fn until(reached: impl Fn() -> bool) {
        while !reached() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_cut_is_made_at_its_moment_and_on_its_request() {
        let (server, heard) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        for (moment, arrives) in
            [(Moment::BeforeRequest, false), (Moment::AfterRequest, true), (Moment::AfterAnswer, true)]
        {
            let mut other = TcpStream::connect(proxy.address()).await.unwrap();
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            locked(&heard).clear();
            proxy.cut(moment, "now");
            assert_eq!(ask(&mut stream, b"hello").await.as_deref(), Some(&b"hello"[..]), "{moment:?}");
            assert_eq!(ask(&mut stream, b"do it now").await, None, "{moment:?}");
            let expected: &[u8] = if arrives { b"hellodo it now" } else { b"hello" };
            if arrives {
                until(|| locked(&heard).len() == expected.len()).await;
            }
            assert_eq!(ask(&mut other, b"").await.as_deref(), Some(&b""[..]));
            assert_eq!(*locked(&heard), expected, "{moment:?}");
            assert!(ask(&mut other, b"now").await.is_some(), "{moment:?}: once");
        }
        assert_eq!((proxy.cuts(), proxy.accepted()), (3, 6));
    }

    #[tokio::test]
    async fn all_are_cut_new_ones_refused_and_healed() {
        let (server, _) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_some());
        proxy.refuse(true);
        assert!(ask(&mut stream, b"hello").await.is_some(), "an old connection keeps working");
        proxy.cut_all();
        assert!(ask(&mut stream, b"hello").await.is_none());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut refused, b"hello").await.is_none());
        proxy.heal();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_some());
    }

    #[tokio::test]
    async fn what_is_silenced_stays_so_and_new_ones_pass_to_another_server() {
        let (server, heard) = echo().await;
        let (other, heard_by_other) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut silenced = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut silenced, b"hello").await.is_some());
        proxy.silence_all();
        proxy.lead_to(other);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"there").await.is_some());
        silenced.write_all(b"anybody").await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let answer = silenced.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(answer.kind(), io::ErrorKind::WouldBlock);
        assert_eq!((&**locked(&heard), &**locked(&heard_by_other)), (&b"hello"[..], &b"there"[..]));
        proxy.cut_all();
        assert!(ask(&mut silenced, b"hello").await.is_none());
    }

    #[tokio::test]
    async fn a_client_stops_after_so_many_requests() {
        let (server, heard) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_some());
        proxy.stall_after(2);
        assert!(ask(&mut stream, b"one").await.is_some());
        assert!(!proxy.is_stalled());
        stream.write_all(b"two").await.unwrap();
        until(|| *locked(&heard) == b"helloonetwo").await;
        assert!(proxy.is_stalled());
        stream.write_all(b"three").await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*locked(&heard), b"helloonetwo");
        proxy.heal();
        let mut answers = [0; 8];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(&answers, b"twothree");
        proxy.stall_at("now");
        assert!(ask(&mut stream, b"hello").await.is_some());
        stream.write_all(b"do it now").await.unwrap();
        until(|| locked(&heard).ends_with(b"do it now")).await;
        assert!(proxy.is_stalled());
    }

    #[tokio::test]
    async fn what_was_stalled_arrives_afterwards() {
        let (server, heard) = echo().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_some());
        proxy.stall(true);
        stream.write_all(b"later").await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*locked(&heard), b"hello");
        proxy.stall(false);
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"later");
    }
}
