//! Failures of the SQL adapters, and how they become failures of the ports.

use serront_core::ports::{CommitError, PortError, PortErrorKind};

/// Why a statement, or the reading of its rows, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The engine failed, and what that means for the caller. An engine classifies its failures before they leave it.
    #[error("{0}")]
    Engine(#[source] sqlx::Error, PortErrorKind),
    /// SQLite failed on a connection of its own: its extended result code, what it said, and what that means for the caller.
    #[error("{1}")]
    Sqlite(i32, String, PortErrorKind),
    /// This code can't read a stored value. Names the column, never its content.
    #[error("a stored {0} can't be read")]
    Unreadable(&'static str),
    /// An invalid write, which is a bug in the caller.
    #[error("{0}")]
    Refused(&'static str),
    /// The storage was closed before the work was handed over.
    #[error("the storage is closed")]
    Closed,
    /// The outcome of the work is unknown.
    #[error("the writer did not say what became of its work")]
    Lost,
    /// The group of changes with this one was rolled back, because of another change or of the disk.
    #[error("the group of changes was rolled back")]
    RolledBack,
    /// No server that was reached accepts writes. Nothing was changed.
    #[error("the database server takes no writes")]
    ReadOnly,
    /// No connection or lock was free in time. Nothing was changed.
    #[error("the storage is busy")]
    Busy,
}

impl From<sqlx::Error> for Failed {
    /// With the kind of the driver's own error; the engine knows the server's.
    fn from(error: sqlx::Error) -> Self {
        let kind = if matches!(error, sqlx::Error::PoolTimedOut) {
            PortErrorKind::Busy
        } else if matches!(error, sqlx::Error::Io(_)) {
            PortErrorKind::Transient
        } else {
            PortErrorKind::Permanent
        };
        Self::Engine(error, kind)
    }
}

impl Failed {
    /// The same failure with the kind that its engine gives it; `None` leaves the kind as it is.
    pub(crate) fn known_as(self, kind: impl FnOnce(&sqlx::Error) -> Option<PortErrorKind>) -> Self {
        if let Self::Engine(error, before) = self {
            let kind = kind(&error).unwrap_or(before);
            Self::Engine(error, kind)
        } else {
            self
        }
    }
}

impl From<Failed> for PortError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Engine(error, kind) => Self::new(kind, error),
            Failed::Sqlite(_, _, kind) => Self::new(kind, failed),
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
