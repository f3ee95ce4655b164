//! A TCP proxy between an adapter and its server, which cuts connections as told.
//!
//! ```text
//! adapter ─▶ Proxy ─▶ server      cut_all        every connection, at once
//!                                 cut            one, when a certain request comes by: before it is passed on,
//!                                                after that, or after the server has answered it
//!                                 refuse         new connections
//!                                 stall          nothing passes any more, and nothing is closed
//!                                 stall_after    the same, once so many requests have arrived
//!                                 stall_at       the same, once a certain request has arrived
//! ```
//!
//! It knows no protocol: a request is told by bytes in it, and what the client sends at once is taken to be one. It runs in
//! the runtime of the test and ends when it is dropped, with every connection through it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::memory::locked;

/// Most bytes of one request that are looked at together.
const REQUEST_MAX: usize = 1 << 20;

/// When a connection is cut, seen from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The request never arrives.
    BeforeRequest,
    /// The request arrives, and the server works on it while its client already knows that the connection is gone.
    AfterRequest,
    /// The server has done it; its answer is lost.
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
    stalled: watch::Sender<bool>,
}

impl State {
    /// The cut that this request calls for, which is then used up.
    fn cut_of(&self, request: &[u8]) -> Option<Moment> {
        let mut told = locked(&self.told);
        let at = told.cuts.iter().position(|cut| contains(request, &cut.mark))?;
        let moment = told.cuts.remove(at)?.moment;
        told.cut = told.cut.saturating_add(1);
        Some(moment)
    }

    /// Counts a request that has arrived. From the one that was named on, nothing passes.
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

    /// Returns as soon as something may pass.
    async fn passing(&self) {
        // Fails only when the sender is gone, and it is in `self`.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
    }
}

fn contains(request: &[u8], mark: &[u8]) -> bool {
    mark.is_empty() || request.windows(mark.len()).any(|window| window == mark)
}

/// A proxy that runs.
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
    /// Listens on a free loopback port and passes everything on to this server.
    ///
    /// # Errors
    /// If there is no port to listen on.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            told: Mutex::default(),
            generation: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// Where to connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection at once, whatever is under way on it. New ones are taken.
    pub fn cut_all(&self) {
        self.state.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Cuts the connection on which the next request with these bytes in it comes by. Told several times, it cuts as many
    /// connections, one request each.
    pub fn cut(&self, moment: Moment, mark: impl Into<Vec<u8>>) {
        locked(&self.state.told).cuts.push_back(Cut { moment, mark: mark.into() });
    }

    /// How many requests have been cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        locked(&self.state.told).cut
    }

    /// How many connections were taken so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        locked(&self.state.told).accepted
    }

    /// From now on new connections end as soon as they are made, or no longer do.
    pub fn refuse(&self, refusing: bool) {
        locked(&self.state.told).refusing = refusing;
    }

    /// From now on nothing passes, in either direction, or it does again. What was held up is passed on then.
    pub fn stall(&self, stalled: bool) {
        self.state.stalled.send_replace(stalled);
    }

    /// Stalls as soon as so many more requests have arrived, none of which is answered after that: what the server sees of a
    /// client that stops in the middle of its work.
    pub fn stall_after(&self, requests: u64) {
        let mut told = locked(&self.state.told);
        told.stall_at = Some(told.requests.saturating_add(requests));
    }

    /// Stalls as soon as the next request with these bytes in it has arrived, and is not answered after that.
    pub fn stall_at(&self, mark: impl Into<Vec<u8>>) {
        locked(&self.state.told).stall_mark = Some(mark.into());
    }

    /// Whether nothing passes.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        *self.state.stalled.borrow()
    }

    /// Forgets all cuts that have not happened, and lets everything pass.
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

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<State>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let refusing = {
            let mut told = locked(&state.told);
            told.accepted = told.accepted.saturating_add(1);
            told.refusing
        };
        if !refusing {
            connections.spawn(pass(client, server, Arc::clone(&state)));
        }
    }
}

/// Passes bytes until either side ends or the connection is cut.
async fn pass(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let mut generation = state.generation.subscribe();
    generation.borrow_and_update();
    state.passing().await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    // What was sent at once is to arrive at once, as it does without a proxy.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let withholding = AtomicBool::new(false);
    tokio::select! {
        _ = generation.changed() => {}
        _ = requests(from_client, to_server, &state, &withholding) => {}
        _ = answers(from_server, to_client, &state, &withholding) => {}
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
        // What is there already belongs to the same request.
        while request.len() < REQUEST_MAX && client.try_read_buf(&mut request).is_ok_and(|read| read > 0) {}
        state.passing().await;
        match state.cut_of(&request) {
            None => {}
            Some(Moment::BeforeRequest) => return Ok(()),
            Some(Moment::AfterRequest) => return server.write_all(&request).await,
            Some(Moment::AfterAnswer) => withholding.store(true, Ordering::SeqCst),
        }
        // Counted before it can be answered.
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

    /// Sends every byte back, and remembers what it was sent.
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
        assert!(ask(&mut stream, b"hello").await.is_some(), "an old one goes on");
        proxy.cut_all();
        assert!(ask(&mut stream, b"hello").await.is_none());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut refused, b"hello").await.is_none());
        proxy.heal();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_some());
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
