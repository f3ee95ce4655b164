//! The pool of connections, and running statements on it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serront_core::ports::Clock;

use super::answer::{self, Silence};
use super::clock;
use super::connections::{Connections, Lease};
use super::error::{self, Fate};
use super::servers::{Servers, Session};
use super::waiting::Waiters;
use crate::sql::error::Failed;

/// What all statements need.
pub(super) struct Base {
    pub(super) connections: Connections<Servers>,
    /// The quoted schema and a dot.
    pub(super) schema: String,
    /// Change sets that wait for rows which another transaction has locked.
    pub(super) waiters: Waiters,
    pub(super) lock_time_max: Duration,
    /// The time limit of an answer.
    pub(super) answer_time_max: Duration,
    /// `None` for the server's.
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl Base {
    /// The storage's time, as an SQL expression.
    pub(super) fn now_sql(&self) -> Cow<'static, str> {
        clock::now_sql(self.clock.as_ref())
    }

    /// Waits for a statement's answer.
    pub(super) async fn answer<T>(&self, session: &Session, work: impl Future<Output = T>) -> Result<T, Silence> {
        answer::wait(self.connections.opener(), session, self.answer_time_max, work).await
    }
}

/// Ends a lease according to the result of its last statement.
pub(super) fn end<T>(lease: Lease<Servers>, result: &Result<T, Failed>) {
    match result.as_ref().err().map_or(Fate::Keep, error::fate) {
        Fate::Keep => lease.keep(),
        Fate::Lose => drop(lease.lose()),
        Fate::Distrust => lease.distrust(),
    }
}

/// The failure of a statement without an answer. `again` says whether it may be sent again.
pub(super) fn unanswered(silence: Silence, again: bool) -> Failed {
    match silence {
        Silence::Lost if again => sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()).into(),
        Silence::Lost | Silence::TooLong => Failed::Lost,
    }
}

/// Runs statements on a connection of the pool. It tries again on another one if nothing was changed and the connection
/// was the cause: it was dead, or led to a server that accepts no writes. `again` says whether they may also be sent
/// again if it is unknown whether they arrived.
macro_rules! sending {
    ($base:expr, $again:expr, |$connection:ident, $schema:ident| $work:expr) => {{
        let base = &$base;
        let $schema = base.schema.as_str();
        let mut attempts = 0;
        loop {
            let result = match base.connections.acquire().await {
                Err(failed) => Err(failed),
                Ok(mut lease) => match lease.parts() {
                    Err(failed) => Err(failed),
                    Ok(($connection, session)) => {
                        let answered = base.answer(session, $work).await;
                        let result =
                            answered.unwrap_or_else(|silence| Err($crate::postgres::pool::unanswered(silence, $again)));
                        $crate::postgres::pool::end(lease, &result);
                        result
                    }
                },
            };
            match result {
                Err(failed) if attempts < $crate::postgres::error::tries_elsewhere(&failed) => {
                    attempts += 1;
                    $crate::postgres::pool::pause(attempts).await;
                }
                other => break other.map_err($crate::postgres::error::classified),
            }
        }
    }};
}
pub(super) use sending;

/// Runs a write, whose failure says whether it may have arrived.
macro_rules! writing {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::pool::sending!($base, false, |$connection, $schema| $work)
    };
}
pub(super) use writing;

/// Runs a write that may arrive twice.
macro_rules! repeating {
    ($base:expr, |$connection:ident, $schema:ident| $work:expr) => {
        $crate::postgres::pool::sending!($base, true, |$connection, $schema| $work)
    };
}
pub(super) use repeating;

/// Runs a read.
macro_rules! on_connection {
    ($base:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::pool::sending!($base, true, |$connection, $schema| $read)
            .map_err($crate::postgres::error::of_read)
    };
}
pub(super) use on_connection;

/// Waits before the next connection is tried: not at first, while dead connections are found, then longer, while a
/// server restarts.
pub(super) async fn pause(attempts: u32) {
    tokio::time::sleep(Duration::from_millis(10) * attempts.saturating_sub(2).min(16)).await;
}

/// A read on one of the storage's own connections.
macro_rules! pooled {
    ($self:expr, |$connection:ident, $schema:ident| $read:expr) => {
        $crate::postgres::pool::on_connection!($self.base, |$connection, $schema| $read)
    };
}
pub(super) use pooled;
