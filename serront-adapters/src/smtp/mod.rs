//! Mail: [`SmtpMailer`] sends it to a mail server, [`MailFiles`] writes it to a folder.
//!
//! ```text
//! MailMessage ─▶ message::build (From, To, Subject, Message-ID, Date, text and HTML) ─▶ SMTP, or <mail id>.eml
//! ```
//!
//! Both send the same message. Its `Date` is the time of the attempt, because the port passes no time; everything else
//! is the same for every attempt.
//!
//! The module has no queue and no retries (the dispatcher has both), no templates (the core renders), and no connection
//! pool. A separate connection for each mail keeps the outcomes distinct: a failure before the end of the message means
//! not sent, a later one means unknown.

mod byte_by_byte;
mod failure;
mod files;
mod mailer;
mod message;
mod server;

pub use self::failure::MailSetupError;
pub use self::files::MailFiles;
pub use self::mailer::SmtpMailer;
