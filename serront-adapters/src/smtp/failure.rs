//! Failures, and their mapping to the port's error.

use std::{fmt, io};

use lettre::transport::smtp::Error;
use serront_core::ports::PortError;

/// Why a mailer can't be set up. Shows neither the server's address nor its password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailSetupError {
    /// The sender is not `Name <address>` or an address in ASCII.
    #[error("the sender must be written as \"Name <address>\"")]
    Sender,
    /// The server's address is invalid.
    #[error(
        "the mail server must be smtp://[user:password@]host[:port][?tls=none|opportunistic|required] or \
         smtps://[user:password@]host[:port]"
    )]
    ServerUrl,
    /// The given authority has no certificate.
    #[error("the mail server's authority must be certificates in PEM")]
    Authority,
    /// TLS can't be set up on this machine.
    #[error("TLS can't be set up for mail")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The folder for mail can't be created.
    #[error("the folder for mail can't be created")]
    Folder(#[source] io::Error),
}

/// A mail that was not sent. Keeps only the code of a server's answer, because its text often repeats the recipient.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailFailure {
    #[error("the message can't be built")]
    Unbuildable,
    #[error("the mail server could not be reached, or did not let us in: {0}")]
    Unreachable(Cause),
    #[error("the mail server does not take addresses outside ASCII")]
    AddressUnsupported,
    #[error("the mail server refused the mail: {0}")]
    Refused(Cause),
    #[error("the mail server did not say what became of the mail: {0}")]
    Unanswered(Cause),
    #[error("the mail could not be written")]
    Unwritten(#[source] io::Error),
    #[error("the mail was not written in time")]
    WriteTimedOut,
}

/// A mail server's answer, without its text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// 4xx.
    NotNow(u16),
    /// 5xx.
    Never(u16),
    TimedOut,
    ConnectionFailed,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow(code) | Self::Never(code) => write!(formatter, "it answered {code}"),
            Self::TimedOut => formatter.write_str("timed out"),
            Self::ConnectionFailed => formatter.write_str("the connection failed"),
        }
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        let code = error.status().map_or(0, u16::from);
        if error.is_permanent() {
            Self::Never(code)
        } else if error.is_transient() {
            Self::NotNow(code)
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::ConnectionFailed
        }
    }
}

impl From<MailFailure> for PortError {
    fn from(failure: MailFailure) -> Self {
        match failure {
            MailFailure::Unbuildable
            | MailFailure::AddressUnsupported
            | MailFailure::Refused(Cause::Never(_))
            | MailFailure::Unanswered(Cause::Never(_)) => Self::permanent(failure),
            // A wrong password or sender is an error of the host, which can be corrected while the policy retries.
            MailFailure::Unreachable(_)
            | MailFailure::Refused(Cause::NotNow(_) | Cause::TimedOut | Cause::ConnectionFailed)
            | MailFailure::Unanswered(Cause::NotNow(_))
            | MailFailure::Unwritten(_) => Self::transient(failure),
            MailFailure::Unanswered(Cause::TimedOut | Cause::ConnectionFailed) | MailFailure::WriteTimedOut => {
                Self::outcome_unknown(failure)
            }
        }
    }
}
