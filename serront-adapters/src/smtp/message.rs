//! The message, the same for both mailers.

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue, MessageId};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use serront_core::orders::mail::{MailMessage, one_line, plain_line_ends};
use serront_core::primitives::text::EmailAddress;
use url::Host;

use super::failure::{MailFailure, MailSetupError};

/// The mail's sender.
#[derive(Clone)]
pub(super) struct Sender(Mailbox);

impl Sender {
    /// Parses `Name <address>`, or an address alone.
    pub(super) fn parse(text: &str) -> Result<Self, MailSetupError> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(MailSetupError::Sender);
        }
        let mailbox: Mailbox = text.parse().map_err(|_| MailSetupError::Sender)?;
        let address: &str = mailbox.email.as_ref();
        // The library's parser stops at invalid text; no text may remain.
        let whole = text.ends_with('>') || text == address;
        // The domain is part of every Message-ID, which is ASCII.
        // The library parses the header again when it builds a message, so this is tried here once.
        if whole && address.is_ascii() && mailbox.to_string().parse::<Mailbox>().is_ok() {
            Ok(Self(mailbox))
        } else {
            Err(MailSetupError::Sender)
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.email
    }
}

/// Builds the message. Everything except `Date` is determined by the arguments.
pub(super) fn build(sender: &Sender, mail: &MailMessage) -> Result<Message, MailFailure> {
    let to = recipient(&mail.to).ok_or(MailFailure::Unbuildable)?;
    // Set explicitly, so that the library does not parse names to find the addresses.
    let envelope =
        Envelope::new(Some(sender.0.email.clone()), vec![to.clone()]).map_err(|_| MailFailure::Unbuildable)?;
    let builder = Message::builder()
        .envelope(envelope)
        .from(sender.0.clone())
        .to(Mailbox::new(shown_name(&mail.to_name), to))
        .subject(one_line(&mail.subject).trim())
        .header(MessageId::from(format!("<{}@{}>", mail.id, sender.0.email.domain())))
        // Suppresses automatic replies.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .date_now();
    // The library converts line feeds to CRLF but keeps a single carriage return, and does not escape a dot after one
    // (RUSTSEC-2026-0561, before 0.11.24).
    let text = SinglePart::plain(plain_line_ends(&mail.text));
    let message = match &mail.html {
        None => builder.singlepart(text),
        Some(html) => {
            // Fixed, so that a repetition has the same bytes. User input can't contain it, because the mail's id is
            // unknown.
            let alternatives = MultiPart::alternative().boundary(format!("=_{}", mail.id));
            // Mail programs show the last alternative that they support.
            builder.multipart(alternatives.singlepart(text).singlepart(SinglePart::html(plain_line_ends(html))))
        }
    };
    message.map_err(|_| MailFailure::Unbuildable)
}

/// The name for the recipient's address. A name that contains an address or encoded words is left out, because some
/// mail programs would show or use it instead of the real address. So is a name of dots and dashes alone, on which some
/// fail.
fn shown_name(name: &str) -> Option<String> {
    let name = one_line(name).trim().to_owned();
    Some(name).filter(|name| name.chars().any(char::is_alphanumeric) && !(name.contains('@') || name.contains("=?")))
}

/// The address as the mail library's type, with its domain in ASCII, which every server accepts.
fn recipient(address: &EmailAddress) -> Option<Address> {
    let parsed: Address = address.as_str().parse().ok()?;
    if parsed.domain().is_ascii() {
        return Some(parsed);
    }
    match Host::parse(parsed.domain()).ok()? {
        Host::Domain(domain) => Address::new(parsed.user(), domain).ok(),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_checked_once() {
        for good in ["pay@serront.example", "Serront <pay@serront.example>", "\"Kopi, Susu\" <pay@serront.example>"] {
            assert!(Sender::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Serront", "Serront <>", "Serront <pay@>", "Serront <päy@serront.example>", "a@b.c\r\nX: y"] {
            assert!(Sender::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_domain_outside_ascii_is_written_in_ascii() {
        let address = |raw: &str| recipient(&EmailAddress::parse("to", raw).unwrap()).unwrap().to_string();
        assert_eq!(address("budi@bücher.example"), "budi@xn--bcher-kva.example");
        assert_eq!(address("budi@example.com"), "budi@example.com");
    }
}
