//! Failures, their meaning for the caller, and their texts.

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use chrono::{DateTime, Utc};
use serront_core::online::plugipay::PlugipayMethod;
use serront_core::ports::{PortError, PortErrorKind};
use serront_core::primitives::time::Timestamp;

/// Longest wait that an answer may ask for; a longer one would delay a checkout too much.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// The client can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlugipaySetupError {
    /// The base URL can't be used.
    #[error("Plugipay's base URL must be http:// or https:// with a host, and without user name, query and fragment")]
    BaseUrl,
    /// The key's id can't be used.
    #[error("the id of Plugipay's key must be characters from ! to ~, without a comma")]
    KeyId,
    /// The key's secret can't be used.
    #[error("the secret of Plugipay's key must not be empty or hold control characters")]
    Secret,
    /// TLS or the HTTP client can't be set up on this machine. The source says why.
    #[error("the connection to Plugipay can't be set up: {what}")]
    Machine {
        /// The part that failed.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl PlugipaySetupError {
    pub(super) fn tls(error: rustls::Error) -> Self {
        Self::Machine { what: "TLS", source: error.into() }
    }

    pub(super) fn client(error: reqwest::Error) -> Self {
        Self::Machine { what: "HTTP client", source: error.into() }
    }
}

/// The failure of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The call can't be written as an HTTP request.
    Unmade,
    /// No connection; nothing was sent.
    Unconnected(&'static str),
    /// The connection ended before there was an answer.
    Lost,
    /// No complete answer in time.
    TimedOut,
    /// The bytes received are not an answer of Plugipay's.
    Unreadable(&'static str),
    /// A 409 to a call with a key, except for different bytes: another attempt of the call is in progress.
    UnderWay { code: Option<String>, retry_after: Option<Duration> },
    /// Any other status but a success.
    Refused { status: u16, code: Option<String>, retry_after: Option<Duration> },
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmade => formatter.write_str("the call can't be written as a request to Plugipay"),
            Self::Unconnected(why) => write!(formatter, "no connection to Plugipay: {why}"),
            Self::Lost => formatter.write_str("the connection to Plugipay was lost"),
            Self::TimedOut => formatter.write_str("Plugipay did not answer in time"),
            Self::Unreadable(why) => write!(formatter, "the answer of Plugipay {why}"),
            Self::UnderWay { code: None, .. } => formatter.write_str("Plugipay answered 409"),
            Self::UnderWay { code: Some(code), .. } => write!(formatter, "Plugipay answered 409 {code}"),
            Self::Refused { status, code: None, .. } => write!(formatter, "Plugipay answered {status}"),
            Self::Refused { status, code: Some(code), .. } => write!(formatter, "Plugipay answered {status} {code}"),
        }
    }
}

impl Error for Failure {}

impl Failure {
    /// The failure of a non-success status, which depends on whether the call has a key.
    pub(super) fn refused(status: u16, code: Option<String>, retry_after: Option<Duration>, keyed: bool) -> Self {
        let is_mismatch = code.as_deref().is_some_and(|code| code.eq_ignore_ascii_case("idempotency_mismatch"));
        if status == 409 && keyed && !is_mismatch {
            Self::UnderWay { code, retry_after }
        } else {
            Self::Refused { status, code, retry_after }
        }
    }

    /// Why there was no answer.
    pub(super) fn without_answer(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Unmade;
        }
        if error.is_connect() {
            return Self::Unconnected(why_unconnected(error));
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        if causes(error).any(is_loss) { Self::Lost } else { Self::Unreadable("is not HTTP") }
    }

    /// Whether the same bytes may be sent again immediately.
    pub(super) const fn is_worth_repeating(&self) -> bool {
        matches!(self, Self::Unconnected(_) | Self::Lost)
    }

    const fn kind(&self, method: PlugipayMethod) -> PortErrorKind {
        let unknown = match method {
            PlugipayMethod::Post => PortErrorKind::OutcomeUnknown,
            // Repeating a read or a deletion is harmless.
            PlugipayMethod::Get | PlugipayMethod::Delete => PortErrorKind::Transient,
        };
        match self {
            Self::Unconnected(_) | Self::UnderWay { .. } | Self::Refused { status: 401 | 403 | 408 | 429, .. } => {
                PortErrorKind::Transient
            }
            Self::Unmade | Self::Refused { status: 300..=499, .. } => PortErrorKind::Permanent,
            Self::Lost | Self::TimedOut | Self::Unreadable(_) | Self::Refused { .. } => unknown,
        }
    }

    /// The port's error.
    pub(super) fn told(self, method: PlugipayMethod) -> PortError {
        let kind = self.kind(method);
        self.told_as(kind)
    }

    /// The port's error after an earlier attempt of the same call. If that one was lost, it may have been carried out,
    /// regardless of this failure.
    pub(super) fn told_after(self, earlier: &Self, method: PlugipayMethod) -> PortError {
        let kind = match method {
            PlugipayMethod::Post if *earlier == Self::Lost => PortErrorKind::OutcomeUnknown,
            PlugipayMethod::Get | PlugipayMethod::Post | PlugipayMethod::Delete => self.kind(method),
        };
        self.told_as(kind)
    }

    fn told_as(self, kind: PortErrorKind) -> PortError {
        let retry_after = match self {
            Self::Refused { retry_after, .. } | Self::UnderWay { retry_after, .. } => retry_after,
            Self::Unmade | Self::Unconnected(_) | Self::Lost | Self::TimedOut | Self::Unreadable(_) => None,
        };
        PortError::new(kind, self).with_retry_after(retry_after)
    }
}

/// An error and all its sources.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // An `io::Error` that wraps another error does not return it as its source.
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn is_loss(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    }
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    })
}

fn why_unconnected(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timed out"
    } else if causes(error).any(|error| error.is::<rustls::Error>()) {
        "TLS failed"
    } else if causes(error).any(is_refusal) {
        "refused"
    } else {
        "failed"
    }
}

fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The wait of `Retry-After`, given as seconds or as a date. At most a day.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let asked = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number of seconds that overflows is also more than a day.
        if text.is_empty() { return None } else { Duration::from_secs(text.parse().unwrap_or(u64::MAX)) }
    } else {
        let date = DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
        Timestamp::from(date).since(now)
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_day() {
        let now = Timestamp::from_millis(1_795_340_160_000);
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 22 Nov 2026 09:37:00 GMT", Some(60)),
            ("Sun, 22 Nov 2026 09:35:00 GMT", Some(0)),
            ("Mon, 22 Nov 2026 09:37:00 GMT", None),
            ("Fri, 22 Nov 2030 09:35:00 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn every_failure_means_what_the_table_says() {
        use PlugipayMethod::{Delete, Get, Post};
        let refused = |status| Failure::Refused { status, code: None, retry_after: None };
        let rows = [
            (Failure::Unmade, "Permanent Permanent"),
            (Failure::Unconnected("refused"), "Transient Transient"),
            (Failure::Lost, "OutcomeUnknown Transient"),
            (Failure::TimedOut, "OutcomeUnknown Transient"),
            (Failure::Unreadable("is not UTF-8"), "OutcomeUnknown Transient"),
            (refused(101), "OutcomeUnknown Transient"),
            (refused(301), "Permanent Permanent"),
            (refused(400), "Permanent Permanent"),
            (refused(401), "Transient Transient"),
            (refused(403), "Transient Transient"),
            (refused(404), "Permanent Permanent"),
            (refused(408), "Transient Transient"),
            (Failure::refused(409, None, None, false), "Permanent Permanent"),
            (Failure::refused(409, None, None, true), "Transient Transient"),
            (Failure::refused(409, Some("idempotency_mismatch".to_owned()), None, true), "Permanent Permanent"),
            (refused(429), "Transient Transient"),
            (refused(499), "Permanent Permanent"),
            (refused(500), "OutcomeUnknown Transient"),
            (refused(503), "OutcomeUnknown Transient"),
            (refused(999), "OutcomeUnknown Transient"),
        ];
        for (failure, expected) in rows {
            let told = |method| failure.clone().told(method).kind();
            assert_eq!(format!("{:?} {:?}", told(Post), told(Get)), expected, "{failure}");
            assert_eq!(told(Get), told(Delete), "{failure}");
            let after_loss = failure.clone().told_after(&Failure::Lost, Post).kind();
            assert_eq!(after_loss, PortErrorKind::OutcomeUnknown, "{failure}");
            assert_eq!(failure.clone().told_after(&Failure::Lost, Delete).kind(), told(Get), "{failure}");
            let unconnected = Failure::Unconnected("refused");
            assert_eq!(failure.clone().told_after(&unconnected, Post).kind(), told(Post), "{failure}");
        }
    }
}
