//! The meaning of SQLite's result codes.

use serront_core::ports::PortErrorKind;

use crate::sql::error::{Failed, unique_violation as hosts_unique_violation};

/// CONSTRAINT_PRIMARYKEY and CONSTRAINT_UNIQUE.
const NOT_UNIQUE: [i32; 2] = [1555, 2067];

/// A failure on a connection of the storage.
impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        Self::Sqlite(code, error.to_string(), kind(code).unwrap_or(PortErrorKind::Permanent))
    }
}

/// BUSY (5) and LOCKED (6): another process has locked the file for longer than the time-out. READONLY (8), IOERR (10) and
/// FULL (13) are transient, and INTERRUPT (9), which stops a statement of a host's transaction at its time limit.
const fn kind(code: i32) -> Option<PortErrorKind> {
    match code & 0xff {
        5 | 6 => Some(PortErrorKind::Busy),
        8 | 9 | 10 | 13 => Some(PortErrorKind::Transient),
        _ => None,
    }
}

/// The result code of a failure on a connection of the host; `None` if SQLite did not return one.
fn hosts_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(error) = error else { return None };
    let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    sqlx::error::DatabaseError::code(error)?.parse().ok()
}

/// Another process has locked the file for longer than the time-out.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    hosts_code(error).and_then(kind) == Some(PortErrorKind::Busy)
}

/// Sets the kind of a failure on a connection of the host.
pub(super) fn classified(failed: Failed) -> Failed {
    failed.known_as(|error| hosts_code(error).and_then(kind))
}

pub(super) fn unique_violation(failed: &Failed) -> bool {
    match failed {
        Failed::Sqlite(code, ..) => NOT_UNIQUE.contains(code),
        Failed::Engine(error, _) => hosts_unique_violation(error),
        Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => false,
    }
}

/// A constraint was violated.
pub(super) const fn is_constraint(failed: &Failed) -> bool {
    matches!(failed, Failed::Sqlite(code, ..) if *code & 0xff == 19)
}

/// Whether the engine may have rolled back the whole transaction: it does when memory (7), the disk (10, 13) or the
/// file (11) fails, or when it was busy (5) or interrupted (9).
pub(super) fn ends_transaction(failed: &Failed) -> bool {
    let ends = |code: i32| matches!(code & 0xff, 5 | 7 | 9 | 10 | 11 | 13);
    match failed {
        Failed::Sqlite(code, ..) => ends(*code),
        Failed::Engine(error, _) => hosts_code(error).is_none_or(ends),
        Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => false,
    }
}
