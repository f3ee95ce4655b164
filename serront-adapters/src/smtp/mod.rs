//! Mail: [`SmtpMailer`] hands it to a mail server, [`MailFiles`] writes it into a folder.
//!
//! ```text
//! MailMessage ─▶ message::build (From, To, Subject, Message-ID, Date, text and HTML) ─▶ SMTP, or <mail id>.eml
//! ```
//!
//! Both send the same message, built in one place. Its `Date` is the moment of the attempt, since the port carries no
//! time; everything else is the same on every attempt.
//!
//! What it is not: no queue and no retries (the dispatcher has both), no templates (the core renders), and no
//! pool of connections. A connection of its own for each mail keeps the three outcomes apart: what fails before the
//! message's end is sent did not happen, what fails behind it is unknown.

mod byte_by_byte;
mod failure;
mod files;
mod mailer;
mod message;
mod server;

pub use self::failure::MailSetupError;
pub use self::files::MailFiles;
pub use self::mailer::SmtpMailer;
