//! Where the SQL adapters' failures become the ports'.

use serront_core::ports::{CommitError, PortError, PortErrorKind};

/// What can go wrong with a stored row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
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
    /// No server that was reached takes writes. Nothing was done.
    #[error("the database server takes no writes")]
    ReadOnly,
    /// Too much is under way: no connection or lock was free in time. Nothing was done.
    #[error("the storage is busy")]
    Busy,
}

/// What an engine's failure means for the caller.
fn kind(error: &sqlx::Error) -> PortErrorKind {
    #[cfg(feature = "sqlite")]
    if crate::sqlite::is_busy(error) {
        return PortErrorKind::Busy;
    }
    #[cfg(feature = "sqlite")]
    if crate::sqlite::passes(error) {
        return PortErrorKind::Transient;
    }
    #[cfg(feature = "postgres")]
    if crate::postgres::busy(error) {
        return PortErrorKind::Busy;
    }
    #[cfg(feature = "postgres")]
    if crate::postgres::passes(error) {
        return PortErrorKind::Transient;
    }
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return PortErrorKind::Busy;
    }
    if matches!(error, sqlx::Error::Io(_)) { PortErrorKind::Transient } else { PortErrorKind::Permanent }
}

impl From<Failed> for PortError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Engine(error) => Self::new(kind(&error), error),
            Failed::Unreadable(_) | Failed::Refused(_) | Failed::Closed => Self::permanent(failed),
            Failed::RolledBack | Failed::ReadOnly => Self::transient(failed),
            Failed::Busy => Self::new(PortErrorKind::Busy, failed),
            Failed::Lost => Self::outcome_unknown(failed),
        }
    }
}

impl From<Failed> for CommitError {
    fn from(failed: Failed) -> Self {
        Self::Port(failed.into())
    }
}

pub(crate) fn unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}
