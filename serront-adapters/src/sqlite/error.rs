//! Where this adapter's failures become the port's.

use serront_core::ports::{CommitError, PortError};

/// What can go wrong with a stored row.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] sqlx::Error),
    /// A row holds what this code does not understand. Names the column, never its content.
    #[error("a stored {0} can't be read")]
    Unreadable(&'static str),
    /// A write that can't be: a bug in the caller.
    #[error("{0}")]
    Refused(&'static str),
    /// The storage was closed before the work was handed over.
    #[error("the storage is closed")]
    Closed,
    /// The writer went away with the work.
    #[error("the writer did not say what became of its work")]
    Lost,
    /// The group of changes that this one was in was rolled back, because of another or of the disk.
    #[error("the group of changes was rolled back")]
    RolledBack,
}

/// SQLite's primary result code, where the engine answered with one.
fn code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}

/// What may pass: BUSY (5), LOCKED (6), IOERR (10), FULL (13).
fn passes(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) || matches!(code(error), Some(5 | 6 | 10 | 13))
}

/// Whether the engine may have ended the whole transaction by itself, as it does when memory (7), the disk (10, 13) or
/// the file (11) fails, or when it was busy (5) or interrupted (9).
pub(super) fn ends_transaction(failed: &Failed) -> bool {
    match failed {
        Failed::Engine(error @ sqlx::Error::Database(_)) => matches!(code(error), Some(5 | 7 | 9 | 10 | 11 | 13)),
        Failed::Engine(error) => !matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)),
        Failed::Unreadable(_) | Failed::Refused(_) | Failed::Closed | Failed::Lost | Failed::RolledBack => false,
    }
}

pub(super) fn unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

impl From<Failed> for PortError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Engine(error) if passes(&error) => Self::transient(error),
            Failed::Engine(_) | Failed::Unreadable(_) | Failed::Refused(_) | Failed::Closed => Self::permanent(failed),
            Failed::RolledBack => Self::transient(failed),
            Failed::Lost => Self::outcome_unknown(failed),
        }
    }
}

impl From<Failed> for CommitError {
    fn from(failed: Failed) -> Self {
        Self::Port(failed.into())
    }
}
