//! Waiting for a statement's answer.
//!
//! ```text
//! sent ─▶ answered
//!      └▶ 2 s of silence ─▶ another connection asks what the session does ─▶ works: wait, and ask again later
//!                                                                        ├▶ idle, and was before: the answer is lost
//!                                                                        └▶ unknown: wait
//! ```
//!
//! Networks drop connections silently: a firewall forgets an idle one, or a machine loses power. The driver sets no
//! keepalives on its sockets, and a long statement may be working. So another connection asks the server.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::servers::{Doing, Servers, Session};

/// The silence after which the server is asked. Most statements take milliseconds.
const SILENCE: Duration = Duration::from_secs(2);

/// How long an answer that the server has sent may take to arrive before it is considered lost.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// The server has sent it, or never received the statement: it can be sent again now, on another connection.
    Lost,
    /// The time limit has passed; another try would take as long.
    TooLong,
}

/// Waits for an answer while the server works on it, up to a time limit.
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
        // The answer may arrive during the question.
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
        // Asks less and less often while the server works.
        pause = if idle { ON_ITS_WAY } else { pause.max(SILENCE).saturating_mul(2) };
        before = Some(doing);
    }
}
