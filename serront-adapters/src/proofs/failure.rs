//! The one place where the object store's errors become the port's.

use object_store::Error;
use serront_core::ports::{PortError, PortErrorKind};

/// Its text names no path; the store's own error, which does, stays its source.
#[derive(Debug, thiserror::Error)]
#[error("the store of receipts failed")]
struct StoreFailed(#[source] Error);

/// A failed read, listing or removal: each may simply be done again.
pub(super) fn of(error: Error) -> PortError {
    failed(error, PortErrorKind::Transient)
}

/// A failed upload: a connection lost on the way back leaves it open whether the bytes are there.
pub(super) fn of_put(error: Error) -> PortError {
    failed(error, PortErrorKind::OutcomeUnknown)
}

fn failed(error: Error, otherwise: PortErrorKind) -> PortError {
    let permanent = matches!(
        error,
        Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    );
    let kind = if permanent { PortErrorKind::Permanent } else { otherwise };
    PortError::new(kind, StoreFailed(error))
}
