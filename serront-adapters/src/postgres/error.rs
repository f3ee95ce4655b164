//! What PostgreSQL's states mean.

use crate::sql::error::Failed;

/// The five-character state, where this engine answered with one.
pub(super) fn state(error: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(error) = error else { return None };
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(sqlx::postgres::PgDatabaseError::code)
}

/// What may pass, with nothing done: out of resources (class 53), read-only after a failover (25006), the statement's
/// time-out (57014), starting up (57P03), what was tried again inside and still failed (class 40), and a connection lost
/// where nothing could have been committed ([`of_write`] tells the others).
pub(crate) fn passes(error: &sqlx::Error) -> bool {
    is_lost(error)
        || state(error).is_some_and(|state| {
            matches!(state, "25006" | "57014" | "57P03") || state.starts_with("53") || state.starts_with("40")
        })
}

/// Somebody holds a lock for longer than the lock time-out: the host's own transaction, as a rule.
pub(crate) fn busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut) || state(error) == Some("55P03")
}

/// The engine chose this one of several as the victim; the same again may succeed at once. Nothing was done.
pub(super) fn is_victim(error: &sqlx::Error) -> bool {
    matches!(state(error), Some("40001" | "40P01"))
}

/// The connection ended, so nobody knows what became of what was sent on it.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    let ended = state(error)
        .is_some_and(|state| state.starts_with("08") || matches!(state, "25P03" | "57P01" | "57P02" | "57P05"));
    ended || matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
}

/// The server takes no writes: the connection leads to one that is no primary, or not any more. Nothing was done.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    state(error) == Some("25006")
}

/// A write that may have arrived.
pub(super) fn of_write(error: sqlx::Error) -> Failed {
    if is_lost(&error) { Failed::Lost } else { Failed::Engine(error) }
}

/// A read, which has done nothing whether it arrived or not.
pub(super) fn of_read(failed: Failed) -> Failed {
    match failed {
        Failed::Lost => Failed::RolledBack,
        Failed::Engine(_)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => failed,
    }
}

/// What a failure says of the connection that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It can be used again.
    Keep,
    /// It is lost.
    Lose,
    /// It leads to a server that takes no writes.
    Distrust,
}

pub(super) fn fate(failed: &Failed) -> Fate {
    match failed {
        Failed::Engine(error) if is_read_only(error) => Fate::Distrust,
        Failed::Engine(error) if is_lost(error) => Fate::Lose,
        Failed::Lost | Failed::Closed => Fate::Lose,
        Failed::Engine(_)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => Fate::Keep,
    }
}

/// How often the same is tried again on another connection: where nothing was done, and the connection was to blame.
pub(super) fn tries_elsewhere(failed: &Failed) -> u32 {
    match failed {
        Failed::Engine(error) if is_lost(error) => super::RECONNECTS_MAX,
        Failed::Engine(error) if is_read_only(error) => super::READ_ONLY_ROUNDS_MAX,
        Failed::Engine(_)
        | Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => 0,
    }
}
