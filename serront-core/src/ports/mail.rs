//! Mail.

use async_trait::async_trait;

use crate::orders::mail::MailMessage;
use crate::ports::PortError;

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends one message.
    ///
    /// - `Ok` only once somebody else (a mail server, a disk) is responsible for it.
    /// - The message's id must become its Message-ID, or its file's name: after an unknown outcome the same message comes
    ///   again, and a receiver has to be able to tell.
    /// - Must not let names or subjects add header lines.
    /// - Must return within 20 s, well inside the dispatcher's lease.
    ///
    /// # Errors
    /// Transient if it may succeed later, permanent if the recipient or the message is refused for good,
    /// outcome unknown if the server did not say.
    async fn send(&self, message: &MailMessage) -> Result<(), PortError>;
}
