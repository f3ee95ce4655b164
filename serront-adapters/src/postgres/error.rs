//! The meaning of PostgreSQL's SQLSTATE codes.

use serront_core::ports::PortErrorKind;

use crate::sql::error::Failed;

/// The SQLSTATE; `None` if the server did not return one.
pub(super) fn state(error: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(error) = error else { return None };
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(sqlx::postgres::PgDatabaseError::code)
}

/// Transient errors that changed nothing: out of resources (class 53), read-only after a failover (25006), an earlier
/// error in the host's transaction (25P02), the statement's time-out (57014), starting up (57P03), what failed after
/// internal retries (class 40), and a lost connection if nothing could have been committed ([`of_write`] handles the
/// others).
pub(super) fn passes(error: &sqlx::Error) -> bool {
    is_lost(error)
        || state(error).is_some_and(|state| {
            matches!(state, "25006" | "25P02" | "57014" | "57P03") || state.starts_with("53") || state.starts_with("40")
        })
}

/// Another transaction, usually a host's, held a lock for longer than the lock time-out.
pub(super) fn busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut) || locked(error)
}

/// Another transaction held a lock for longer than the lock time-out.
pub(super) fn locked(error: &sqlx::Error) -> bool {
    state(error) == Some("55P03")
}

/// The server answered that this statement failed, and another one may succeed. Nothing was changed.
pub(super) fn refused(error: &sqlx::Error) -> bool {
    state(error).is_some() && !is_lost(error) && !is_read_only(error)
}

/// Sets the failure's kind.
pub(super) fn classified(failed: Failed) -> Failed {
    failed.known_as(|error| {
        if busy(error) { Some(PortErrorKind::Busy) } else { passes(error).then_some(PortErrorKind::Transient) }
    })
}

/// The server cancelled this statement as the victim of a deadlock or a serialization failure. Nothing was changed, and
/// a retry may succeed immediately.
pub(super) fn is_victim(error: &sqlx::Error) -> bool {
    matches!(state(error), Some("40001" | "40P01"))
}

/// The connection ended, so the outcome of what was sent on it is unknown.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    let ended = state(error)
        .is_some_and(|state| state.starts_with("08") || matches!(state, "25P03" | "57P01" | "57P02" | "57P05"));
    ended || matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
}

/// The server is not the primary, so it accepts no writes. Nothing was changed.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    state(error) == Some("25006")
}

/// The failure of a write that may have arrived.
pub(super) fn of_write(error: sqlx::Error) -> Failed {
    if is_lost(&error) { Failed::Lost } else { error.into() }
}

/// The failure of a read, which changes nothing even if it arrived.
pub(super) fn of_read(failed: Failed) -> Failed {
    match failed {
        Failed::Lost => Failed::RolledBack,
        Failed::Engine(..)
        | Failed::Sqlite(..)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => failed,
    }
}

/// What to do with a connection after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It can be used again.
    Keep,
    /// It is lost.
    Lose,
    /// It leads to a server that accepts no writes.
    Distrust,
}

pub(super) fn fate(failed: &Failed) -> Fate {
    match failed {
        Failed::Engine(error, _) if is_read_only(error) => Fate::Distrust,
        Failed::Engine(error, _) if is_lost(error) => Fate::Lose,
        Failed::Lost | Failed::Closed => Fate::Lose,
        Failed::Engine(..)
        | Failed::Sqlite(..)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => Fate::Keep,
    }
}

/// How often a statement that can be sent again is tried on another connection. After a restart of the server, all
/// connections of the pool are dead, and one statement finds each of them.
pub(super) const RECONNECTS_MAX: u32 = 32;

/// The same for a server that accepts no writes: about a second. Commits are sent again several times after that, and
/// reads do not wait this long.
pub(super) const READ_ONLY_ROUNDS_MAX: u32 = 16;

/// How often to try again on another connection: only if nothing was changed, and the connection is the cause.
pub(super) fn tries_elsewhere(failed: &Failed) -> u32 {
    match failed {
        Failed::Engine(error, _) if is_lost(error) => RECONNECTS_MAX,
        Failed::Engine(error, _) if is_read_only(error) => READ_ONLY_ROUNDS_MAX,
        Failed::Engine(..)
        | Failed::Sqlite(..)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => 0,
    }
}
