//! The meaning of SQLite's result codes.

use serront_core::ports::PortErrorKind;

use crate::sql::error::Failed;

/// The primary result code; `None` if SQLite did not return one.
fn code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code = sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// Another process has locked the file for longer than the time-out: BUSY (5), LOCKED (6).
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// Sets the failure's kind. READONLY (8), IOERR (10) and FULL (13) are transient.
pub(super) fn classified(failed: Failed) -> Failed {
    failed.known_as(|error| match code(error) {
        Some(5 | 6) => Some(PortErrorKind::Busy),
        Some(8 | 10 | 13) => Some(PortErrorKind::Transient),
        _ => None,
    })
}

/// Whether the engine may have rolled back the whole transaction: it does when memory (7), the disk (10, 13) or the
/// file (11) fails, or when it was busy (5) or interrupted (9).
pub(super) fn ends_transaction(failed: &Failed) -> bool {
    match failed {
        Failed::Engine(error @ sqlx::Error::Database(_), _) => matches!(code(error), Some(5 | 7 | 9 | 10 | 11 | 13)),
        Failed::Engine(error, _) => !matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)),
        Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => false,
    }
}
