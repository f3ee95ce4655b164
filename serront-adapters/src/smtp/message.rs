//! The message itself, the same for both ways out.

use lettre::address::Envelope;
use lettre::message::header::MessageId;
use lettre::message::{Mailbox, SinglePart};
use lettre::{Address, Message};
use serront_core::mail::MailMessage;
use serront_core::text::EmailAddress;
use url::Host;

use super::failure::{MailFailure, MailSetupError};

/// Who the mail is from.
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
        // The library's parser stops at what it does not understand; nothing may be left over.
        let whole = text.ends_with('>') || text == address;
        // The domain is part of every Message-ID, which is ASCII.
        // The library reads the header back when it builds a message, so that is tried here, once.
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

/// Builds the message. All of it but `Date` follows from the arguments.
pub(super) fn build(sender: &Sender, mail: &MailMessage) -> Result<Message, MailFailure> {
    let to = recipient(&mail.to).ok_or(MailFailure::Unbuildable)?;
    // Given, so that the library does not parse names to find the addresses again.
    let envelope =
        Envelope::new(Some(sender.0.email.clone()), vec![to.clone()]).map_err(|_| MailFailure::Unbuildable)?;
    let name = Some(one_line(&mail.to_name)).filter(|name| !name.is_empty());
    Message::builder()
        .envelope(envelope)
        .from(sender.0.clone())
        .to(Mailbox::new(name, to))
        .subject(one_line(&mail.subject))
        .header(MessageId::from(format!("<{}@{}>", mail.id, sender.0.email.domain())))
        .date_now()
        .singlepart(SinglePart::plain(mail.text.clone()))
        .map_err(|_| MailFailure::Unbuildable)
}

/// The address as the mail library has it, its domain in ASCII: every server takes that.
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

/// The text without control characters, line breaks above all: they would begin a header of their own. The core admits
/// none in names; a port's implementation does not rely on it.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    spaced.trim().to_owned()
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
