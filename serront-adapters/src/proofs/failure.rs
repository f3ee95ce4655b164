//! Maps the object store's errors to the port's.

use object_store::Error;
use serront_core::ports::{PortError, PortErrorKind};

/// Its text names no path; its source, the store's error, does.
#[derive(Debug, thiserror::Error)]
#[error("the store of receipts failed")]
struct StoreFailed(#[source] Error);

/// A failed read, listing or removal, which can be repeated.
pub(super) fn of(error: Error) -> PortError {
    failed(error, PortErrorKind::Transient)
}

/// A failed upload: after a lost connection it is unknown whether the bytes are stored.
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
