//! Failures and their texts, which are short and constant, without addresses or secrets.

use std::error::Error;
use std::io;

use serront_core::ports::TargetRefused;

/// The sink can't be set up. The source says why.
#[derive(Debug, thiserror::Error)]
#[error("webhooks can't be set up: {what}")]
pub struct SinkSetupError {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl SinkSetupError {
    pub(super) fn tls(error: rustls::Error) -> Self {
        Self { what: "TLS", source: error.into() }
    }
}

const IO_TEXTS: [(io::ErrorKind, &str); 5] = [
    (io::ErrorKind::TimedOut, "timed out"),
    (io::ErrorKind::ConnectionRefused, "connection refused"),
    (io::ErrorKind::ConnectionReset, "connection reset"),
    (io::ErrorKind::HostUnreachable, "host unreachable"),
    (io::ErrorKind::NetworkUnreachable, "host unreachable"),
];

pub(super) fn refused(refused: &TargetRefused) -> String {
    format!("target refused: {refused}")
}

pub(super) fn timed_out() -> String {
    "timed out".to_owned()
}

/// The text for a failed connection.
pub(super) fn unconnected(error: &io::Error) -> String {
    text_of_cause(error).unwrap_or_else(|| "connection failed".to_owned())
}

pub(super) fn unsendable() -> String {
    "request could not be made".to_owned()
}

/// The text for a missing answer.
pub(super) fn unanswered(error: &hyper::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = text_of_cause(error) {
            return found;
        }
        cause = error.source();
    }
    "no valid answer".to_owned()
}

fn text_of_cause(error: &(dyn Error + 'static)) -> Option<String> {
    if error.is::<rustls::Error>() {
        return Some("TLS failed".to_owned());
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An `io::Error` that wraps another error does not return it as its source.
    if let Some(inner) = error.get_ref() {
        return text_of_cause(inner);
    }
    IO_TEXTS.into_iter().find(|(kind, _)| *kind == error.kind()).map(|(_, text)| text.to_owned())
}
