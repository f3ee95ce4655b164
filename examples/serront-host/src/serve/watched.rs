//! A connection that is closed when its client is too slow.
//!
//! A client has [`HEAD_TIME_MAX`] for the head of a request. While it receives an answer, it must take
//! [`TAKEN_BYTES_PER_SECOND`], and may be [`BEHIND_MAX`] behind that. When most connections are taken, idle ones are closed
//! after [`IDLE_TIME_SHORT`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

/// Longest time for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the next request while less than a quarter of all places is free.
const IDLE_TIME_SHORT: Duration = Duration::from_secs(5);
/// Slowest rate at which a client may receive an answer: that of a poor telephone line.
const TAKEN_BYTES_PER_SECOND: u64 = 16 * 1024;
/// Longest time that a client may be behind that rate, and so its longest pause.
const BEHIND_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Places {
    all: usize,
    pub(super) free: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(connections_max: u32) -> Self {
        let all = usize::try_from(connections_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { all, free: Arc::new(Semaphore::new(all)) }
    }

    fn are_short(&self) -> bool {
        self.free.available_permits() < self.all.div_ceil(4)
    }
}

/// Counts the turns on a connection: the client's are even, ours are odd.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<AtomicUsize>);

impl Turns {
    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// The count, if it is the client's turn.
    fn client(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Acquire)).filter(|turn| turn.is_multiple_of(2))
    }
}

/// Our turn, which ends when this is dropped.
pub(super) struct Turn(pub(super) Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.next();
    }
}

/// A connection that fails when its client is too slow.
pub(super) struct Watched<S> {
    stream: S,
    turns: Turns,
    places: Places,
    /// The deadline of the head that has begun in this turn.
    head: Option<(usize, Pin<Box<Sleep>>)>,
    /// When to check again whether places are short, while this turn is idle.
    idle: Option<(usize, Pin<Box<Sleep>>)>,
    pace: Pace,
}

/// How a client keeps up with receiving its answers.
#[derive(Default)]
struct Pace {
    behind: Duration,
    /// Since when we wait for the client, and until when at most.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Pace {
    /// Accounts for a write; `taken` tells how many bytes the client received.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = polled {
            if let Some((since, _)) = self.waiting.take() {
                self.behind += since.elapsed();
            }
            // Receiving faster than the rate earns no credit for a longer pause.
            self.behind = self.behind.saturating_sub(written.as_ref().map(taken).map_or(Duration::ZERO, worth));
            return Poll::Ready(written);
        }
        let left = BEHIND_MAX.saturating_sub(self.behind);
        let (_, until) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        until.as_mut().poll(context).map(|()| Err(too_slow()))
    }
}

/// The time that these bytes may take.
fn worth(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_micros(bytes.saturating_mul(1_000_000) / TAKEN_BYTES_PER_SECOND)
}

fn too_slow() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, turns: Turns, places: Places) -> Self {
        Self { stream, turns, places, head: None, idle: None, pace: Pace::default() }
    }

    /// Starts the first head's deadline with the connection, since clients don't connect long before they send.
    pub(super) fn begun(mut self) -> Self {
        self.heard();
        self
    }

    fn heard(&mut self) {
        match self.turns.client() {
            // They belong to a body.
            None => self.head = None,
            Some(turn) if self.head.as_ref().is_some_and(|(begun, _)| *begun == turn) => {}
            Some(turn) => self.head = Some((turn, Box::pin(tokio::time::sleep(HEAD_TIME_MAX)))),
        }
    }

    /// Whether the client is too slow. If not, wakes this task when it becomes so.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.head {
            Some((turn, sleep)) if self.turns.client() == Some(*turn) => sleep.as_mut().poll(context).is_ready(),
            Some(_) | None => {
                self.head = None;
                self.is_in_the_way(context)
            }
        }
    }

    /// Whether this connection is idle while places are short. If not, wakes this task to check again.
    fn is_in_the_way(&mut self, context: &mut Context<'_>) -> bool {
        let Some(turn) = self.turns.client().filter(|_| self.pace.waiting.is_none()) else {
            self.idle = None;
            return false;
        };
        loop {
            let (_, sleep) = match &mut self.idle {
                Some(idle) if idle.0 == turn => idle,
                other => other.insert((turn, Box::pin(tokio::time::sleep(IDLE_TIME_SHORT)))),
            };
            if sleep.as_mut().poll(context).is_pending() {
                return false;
            }
            if self.places.are_short() {
                return true;
            }
            self.idle = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.pace.wrote(context, polled, |taken| *taken)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.pace.wrote(context, polled, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.pace.wrote(context, polled, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.pace.wrote(context, polled, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection that buffers one KiB, and its client.
    fn connection() -> (Watched<DuplexStream>, DuplexStream) {
        let (stream, client) = tokio::io::duplex(1024);
        (Watched::new(stream, Turns::default(), Places::new(1)), client)
    }

    /// A client receives this many bytes every this many seconds. Returns the seconds until it is given up or has all 640 KiB.
    async fn lasted(bytes: usize, seconds: u32) -> (u64, bool) {
        let (mut connection, mut client) = connection();
        let began = Instant::now();
        let taking = tokio::spawn(async move {
            let mut taken = vec![0; bytes];
            while client.read_exact(&mut taken).await.is_ok() {
                tokio::time::sleep(seconds * SECOND).await;
            }
        });
        let sent = connection.write_all(&vec![0; 640 * 1024]).await;
        taking.abort();
        assert!(sent.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::TimedOut));
        (began.elapsed().as_secs(), sent.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_received_at_a_rate_or_given_up() {
        assert_eq!(lasted(32 * 1024, 2).await, (38, true), "just the rate");
        assert_eq!(lasted(320 * 1024, 29).await, (29, true), "a pause, and enough around it");
        assert_eq!(lasted(1, 3_600).await, (30, false), "nothing");
        assert_eq!(lasted(4 * 1024, 10).await, (30, false), "next to nothing");
        let (seconds, whole) = lasted(8 * 1024, 1).await;
        assert!((58..62).contains(&seconds) && !whole, "half the rate: {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_closed_while_we_are_slow() {
        let (mut connection, mut client) = connection();
        for _ in 0..100 {
            tokio::time::sleep(10 * SECOND).await;
            connection.write_all(b"news").await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
        }
    }
}
