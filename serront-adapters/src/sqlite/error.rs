//! What SQLite's result codes mean.

use crate::sql::error::Failed;

/// The primary result code, where this engine answered with one.
fn code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code = sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// Another process writes for longer than we wait: BUSY (5), LOCKED (6).
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// What may pass: READONLY (8), IOERR (10), FULL (13).
pub(crate) fn passes(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(8 | 10 | 13))
}

/// Whether the engine may have ended the whole transaction by itself, as it does when memory (7), the disk (10, 13) or
/// the file (11) fails, or when it was busy (5) or interrupted (9).
pub(super) fn ends_transaction(failed: &Failed) -> bool {
    match failed {
        Failed::Engine(error @ sqlx::Error::Database(_)) => matches!(code(error), Some(5 | 7 | 9 | 10 | 11 | 13)),
        Failed::Engine(error) => !matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)),
        Failed::Unreadable(_)
        | Failed::Refused(_)
        | Failed::Closed
        | Failed::Lost
        | Failed::RolledBack
        | Failed::ReadOnly
        | Failed::Busy => false,
    }
}
