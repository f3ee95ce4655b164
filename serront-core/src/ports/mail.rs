//! Mail.

use async_trait::async_trait;

use crate::orders::mail::MailMessage;
use crate::ports::PortError;

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends one message.
    ///
    /// - Must return `Ok` only after a mail server or a disk has taken responsibility for the message.
    /// - Must use the message's id as its Message-ID or file name: after an unknown outcome the same message is sent again, and
    ///   the receiver must be able to recognize it.
    /// - Must not let names or subjects add header lines.
    /// - Must return within 20 s, well inside the dispatcher's lease.
    ///
    /// # Errors
    /// Transient if it may succeed later, permanent if the server will never accept this recipient or message, outcome unknown
    /// if the server did not answer.
    async fn send(&self, message: &MailMessage) -> Result<(), PortError>;
}
