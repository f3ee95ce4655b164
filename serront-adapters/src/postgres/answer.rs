//! Waiting for a statement's answer.
//!
//! ```text
//! sent ─▶ answered
//!      └▶ 2 s of silence ─▶ another connection asks what the session does ─▶ works: wait on, and ask again later
//!                                                                        ├▶ waits, and did before: the answer is lost
//!                                                                        └▶ unknown: wait on
//! ```
//!
//! Networks drop connections without a word: a firewall that forgot an idle one, a machine that lost its power. The driver
//! sets no keepalives on its sockets, and a statement may rightly take long. So the server is asked.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::servers::{Doing, Servers, Session};

/// After how much silence the server is asked. A storage's statement takes milliseconds.
const SILENCE: Duration = Duration::from_secs(2);

/// How much later an answer is taken for lost that the server has given: it may be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// The server has given it, or never saw the question: it can be asked again now, on another connection.
    Lost,
    /// It took too long; asked again, it would take as long.
    TooLong,
}

/// Waits for an answer, for a bounded time, and as long as the server works on it.
pub(super) async fn wait<T>(
    servers: &Servers,
    session: &Session,
    time_max: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Silence> {
    let until = Instant::now().checked_add(time_max);
    let left = |pause: Duration| until.map_or(pause, |until| pause.min(until.duration_since(Instant::now())));
    let mut work = pin!(work);
    let mut before = None;
    let mut pause = SILENCE;
    loop {
        if let Ok(done) = timeout(left(pause), &mut work).await {
            return Ok(done);
        }
        let mut asking = pin!(timeout(left(time_max), servers.doing(session)));
        // The answer may come while the question is under way.
        let asked = std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => asking.as_mut().poll(context).map(Err),
        });
        let doing = match asked.await {
            Ok(done) => return Ok(done),
            Err(doing) => doing.unwrap_or(Doing::Unknown),
        };
        if until.is_some_and(|until| until <= Instant::now()) {
            return Err(Silence::TooLong);
        }
        let idle = matches!(doing, Doing::Waiting(_) | Doing::Gone);
        if idle && before.as_ref() == Some(&doing) {
            return Err(Silence::Lost);
        }
        // Less and less often, where it is the server that takes long.
        pause = if idle { ON_ITS_WAY } else { pause.max(SILENCE).saturating_mul(2) };
        before = Some(doing);
    }
}
