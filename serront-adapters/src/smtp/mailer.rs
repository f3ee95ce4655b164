//! Mail by SMTP.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use lettre::Address;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use serront_core::orders::mail::MailMessage;
use serront_core::ports::{Mailer, PortError};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::byte_by_byte::ByteByByte;
use super::failure::{Cause, MailFailure, MailSetupError};
use super::message::{self, Sender};
use super::server::{self, Protection, Server};

/// Well below the port's limit of 20 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A server's code for a command that needs a password or TLS first (RFC 4954, RFC 3207).
const AUTHENTICATION_REQUIRED: u16 = 530;
/// Time limit for `QUIT`, after the outcome is known.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends mail by SMTP, with a separate connection for each mail.
#[derive(Clone)]
pub struct SmtpMailer {
    server: Server,
    sender: Sender,
    timeout: Duration,
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SmtpMailer(…)")
    }
}

impl SmtpMailer {
    /// Sends mails from this sender (`Name <address>`) through this server.
    ///
    /// | address | protection | port, if not given |
    /// |---|---|---|
    /// | `smtps://…` | TLS from the first byte | 465 |
    /// | `smtp://…?tls=required` | STARTTLS | 587 |
    /// | `smtp://…?tls=opportunistic` | STARTTLS if offered | 587 |
    /// | `smtp://…?tls=none` | none | 25 |
    /// | `smtp://user:password@host` | as `required`; as `none` if the host is this machine | |
    /// | `smtp://host` | as `none` | |
    ///
    /// User and password are percent-encoded. An optional path is the name for the greeting (`EHLO`).
    ///
    /// # Errors
    /// [`MailSetupError`] if the server's address or the sender is invalid, or TLS can't be set up.
    pub fn new(server_url: &str, sender: &str) -> Result<Self, MailSetupError> {
        Ok(Self { server: Server::parse(server_url, &[])?, sender: Sender::parse(sender)?, timeout: TIMEOUT })
    }

    /// The same for a server with a certificate of a private authority: `authority_pem` has one or more certificates,
    /// which are trusted in addition to the system's.
    ///
    /// # Errors
    /// As [`SmtpMailer::new`]; [`MailSetupError::Authority`] if `authority_pem` has no certificate.
    pub fn with_authority(server_url: &str, sender: &str, authority_pem: &[u8]) -> Result<Self, MailSetupError> {
        let server = Server::parse(server_url, &[server::authority(authority_pem)?])?;
        Ok(Self { server, sender: Sender::parse(sender)?, timeout: TIMEOUT })
    }

    /// Gives up after this time instead of 15 s. The port allows at most 20 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Cause> {
        let Server { host, port, protection, credentials, hello } = &self.server;
        let address = (host.as_str(), *port);
        let mut connection = match protection {
            // The library's time-out would apply to each address separately; ours applies to all together.
            Protection::Wrapped(parameters) => {
                AsyncSmtpConnection::connect_tokio1(address, None, hello, Some(parameters.clone()), None).await?
            }
            Protection::None | Protection::Opportunistic(_) | Protection::Required(_) => {
                let stream = TcpStream::connect(address).await.map_err(|_| Cause::ConnectionFailed)?;
                AsyncSmtpConnection::connect_with_transport(Box::new(ByteByByte::over(stream)), hello).await?
            }
        };
        match protection {
            Protection::Required(parameters) => connection.starttls(parameters.clone(), hello).await?,
            Protection::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), hello).await?;
            }
            Protection::None | Protection::Opportunistic(_) | Protection::Wrapped(_) => {}
        }
        if let Some(credentials) = credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// All steps before the message's first byte.
    async fn announce(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &Address,
        bytes: &[u8],
    ) -> Result<(), MailFailure> {
        let mut parameters = Vec::new();
        if !AsRef::<str>::as_ref(to).is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(MailFailure::AddressUnsupported);
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        // Only such an address adds bytes outside ASCII to the message, and SMTPUTF8 implies 8BITMIME.
        if !bytes.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        // A refusal of the sender or the connection does not depend on the recipient.
        let kept_out = |error| MailFailure::Unreachable(Cause::from(error));
        let refused = |error| {
            let cause = Cause::from(error);
            let is_ours = matches!(cause, Cause::Never(AUTHENTICATION_REQUIRED));
            if is_ours { MailFailure::Unreachable(cause) } else { MailFailure::Refused(cause) }
        };
        connection.command(Mail::new(Some(self.sender.address().clone()), parameters)).await.map_err(kept_out)?;
        connection.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(refused)?;
        connection.command(Data).await.map_err(refused)?;
        Ok(())
    }

    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        deadline: Instant,
        to: &Address,
        bytes: &[u8],
    ) -> Result<(), MailFailure> {
        timeout_at(deadline, self.announce(connection, to, bytes))
            .await
            .unwrap_or(Err(MailFailure::Refused(Cause::TimedOut)))?;
        // The text's last line end is sent together with the dot that follows.
        let text = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        // After this the server may have accepted the mail even if its answer is lost.
        match timeout_at(deadline, connection.message(text)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MailFailure::Unanswered(error.into())),
            Err(_) => Err(MailFailure::Unanswered(Cause::TimedOut)),
        }
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        let message = message::build(&self.sender, message)?;
        let to = message.envelope().to().first().ok_or(MailFailure::Unbuildable)?;
        let deadline = Instant::now() + self.timeout;
        let mut connection = timeout_at(deadline, self.connect())
            .await
            .unwrap_or(Err(Cause::TimedOut))
            .map_err(MailFailure::Unreachable)?;
        let outcome = self.converse(&mut connection, deadline, to, &message.formatted()).await;
        // Only polite: its result does not change the outcome. In the middle of a message it would be part of the text.
        if !matches!(outcome, Err(MailFailure::Unanswered(_))) {
            let _ = timeout(QUIT_TIMEOUT, connection.abort()).await;
        }
        Ok(outcome?)
    }
}
