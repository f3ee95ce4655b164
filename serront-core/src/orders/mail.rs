//! The library's only mail: the buyer's payment confirmation, in Indonesian or English, as text and as HTML.
//!
//! ```text
//! Mail (in the effect) ─▶ MailTemplates ─▶ subject, text, HTML ─▶ MailMessage (id, recipient) ─▶ Mailer
//! ```
//!
//! The confirmation has four forms: two languages, and two confirmers (the seller, Plugipay). `Letter::compose` has the
//! words of all four. The reference host's page for the buyer repeats the Indonesian sentences about manual transfers
//! and about nothing left to pay.
//!
//! A host can replace the texts ([`MailTemplates`]), but not the recipient or the id. Only a mail's content is stored;
//! it is rendered for each attempt to send it.
//!
//! This module sends nothing and writes no headers: a [`Mailer`](crate::ports::Mailer) does both.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::orders::order::{Language, OrderNumber};
use crate::primitives::ids::MailId;
use crate::primitives::money::Rupiah;
use crate::primitives::text::{EmailAddress, turns_direction};

/// A mail's content, typed and versioned; rendered only when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mail {
    /// The payment of an order was confirmed.
    PaymentConfirmedV1(PaymentConfirmed),
}

/// The content of a confirmation. `Debug` shows only the order's number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PaymentConfirmed {
    pub to: EmailAddress,
    pub buyer_name: String,
    pub language: Language,
    pub seller_name: String,
    pub number: OrderNumber,
    pub service_name: String,
    /// The confirmed amount due; zero if the seller never quoted one.
    pub amount: Rupiah,
    /// Missing in mails stored by earlier versions: then the seller.
    #[serde(default)]
    pub by: ConfirmedBy,
}

/// Who confirmed a payment. The mail says so, because the two confirmations differ in what they prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// The seller, after checking the bank account. The library cannot verify it.
    #[default]
    Seller,
    /// Plugipay, which holds the money.
    Plugipay,
}

impl fmt::Debug for PaymentConfirmed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PaymentConfirmed(#{}, …)", self.number)
    }
}

/// A mail ready to be sent. [`render`] guarantees a subject of one line, and lines that end with a line feed alone, for
/// every template. `Debug` shows only the id.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct MailMessage {
    /// The same for all attempts.
    pub id: MailId,
    pub to: EmailAddress,
    pub to_name: String,
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// An HTML document with the same content, if any.
    pub html: Option<String>,
}

impl fmt::Debug for MailMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MailMessage({}, …)", self.id)
    }
}

/// The texts of a mail, as a template renders them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailText {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// A complete HTML document with the same content; `None` for mails without HTML.
    pub html: Option<String>,
}

/// Renders the texts of mails. A host passes its own to
/// [`Dispatcher::with_templates`](crate::work::dispatch::Dispatcher::with_templates).
///
/// ```
/// use serront_core::orders::mail::{BuiltInTemplates, Mail, MailTemplates, MailText};
///
/// struct OurWords;
///
/// impl MailTemplates for OurWords {
///     fn render(&self, mail: &Mail) -> MailText {
///         match mail {
///             Mail::PaymentConfirmedV1(content) => MailText {
///                 subject: format!("[Studio] #{} is paid", content.number),
///                 text: format!("Dear {},\n\nthank you for {}!\n", content.buyer_name, content.amount),
///                 html: None,
///             },
///             // The library renders kinds of mail that are added later.
///             other => BuiltInTemplates.render(other),
///         }
///     }
/// }
/// ```
pub trait MailTemplates: Send + Sync {
    /// Renders a mail in its language.
    ///
    /// - Should return the same texts for the same mail: an attempt with an unknown outcome is repeated.
    /// - Must escape typed texts in HTML. Names may contain all characters except control characters; [`one_line`]
    ///   removes direction controls.
    /// - Cannot fail, so that a template cannot lose a confirmation: fall back to [`BuiltInTemplates`].
    fn render(&self, mail: &Mail) -> MailText;
}

/// The library's own texts.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltInTemplates;

impl MailTemplates for BuiltInTemplates {
    fn render(&self, mail: &Mail) -> MailText {
        let Mail::PaymentConfirmedV1(content) = mail;
        let text = Letter::compose(content, one_line).text();
        let letter = Letter::compose(content, |typed| format!("<bdi>{}</bdi>", escaped(&one_line(typed))));
        MailText { html: Some(letter.html(content.language)), subject: letter.subject, text }
    }
}

/// Renders a mail and adds its id and recipient.
#[must_use]
pub fn render(templates: &dyn MailTemplates, id: MailId, mail: &Mail) -> MailMessage {
    let Mail::PaymentConfirmedV1(PaymentConfirmed { to, buyer_name, .. }) = mail;
    let MailText { subject, text, html } = templates.render(mail);
    MailMessage {
        id,
        to: to.clone(),
        to_name: buyer_name.clone(),
        subject: one_line(&subject),
        text: plain_line_ends(&text),
        html: html.as_deref().map(plain_line_ends),
    }
}

/// The confirmation's sentences, shared by text and HTML.
struct Letter {
    /// Names the order as a separate word, `#7`. Contains no typed text, so it needs no escaping.
    subject: String,
    greeting: String,
    news: String,
    amount: Option<String>,
    /// Who confirmed the payment.
    by: &'static str,
    rest: &'static str,
    closing: &'static str,
    seller: String,
}

impl Letter {
    /// `typed` escapes a typed text for the format.
    fn compose(content: &PaymentConfirmed, typed: impl Fn(&str) -> String) -> Self {
        let PaymentConfirmed { to: _, buyer_name, language, seller_name, number, service_name, amount, by } = content;
        let (buyer, seller, service) = (typed(buyer_name), typed(seller_name), typed(service_name));
        let amount = Some(amount).filter(|amount| !amount.is_zero());
        match language {
            Language::Id => Self {
                subject: format!("Pembayaran pesanan #{number} telah dikonfirmasi"),
                greeting: format!("Halo {buyer},"),
                news: match by {
                    ConfirmedBy::Seller => {
                        format!("{seller} telah mengonfirmasi pembayaran Anda untuk pesanan #{number} ({service}).")
                    }
                    ConfirmedBy::Plugipay => {
                        format!(
                            "Pembayaran online Anda kepada {seller} untuk pesanan #{number} ({service}) telah masuk."
                        )
                    }
                },
                amount: amount.map(|amount| format!("Jumlah: {amount}")),
                by: match by {
                    ConfirmedBy::Seller => {
                        "Transfer manual dikonfirmasi oleh penjual setelah mengecek rekeningnya sendiri. Kami tidak \
                         memverifikasinya secara otomatis."
                    }
                    ConfirmedBy::Plugipay => "Pembayaran ini dikonfirmasi otomatis oleh Plugipay.",
                },
                rest: "Tidak ada lagi yang perlu dibayar. Simpan email ini sebagai catatan Anda.",
                closing: "Terima kasih,",
                seller,
            },
            Language::En => Self {
                subject: format!("Payment of order #{number} confirmed"),
                greeting: format!("Hello {buyer},"),
                news: match by {
                    ConfirmedBy::Seller => {
                        format!("{seller} has confirmed your payment for order #{number} ({service}).")
                    }
                    ConfirmedBy::Plugipay => {
                        format!("Your online payment to {seller} for order #{number} ({service}) has arrived.")
                    }
                },
                amount: amount.map(|amount| format!("Amount: {amount}")),
                by: match by {
                    ConfirmedBy::Seller => {
                        "A manual transfer is confirmed by the seller, who checks their own bank account. We don't \
                         verify it automatically."
                    }
                    ConfirmedBy::Plugipay => "This payment was confirmed automatically by Plugipay.",
                },
                rest: "There is nothing left to pay. Keep this email for your records.",
                closing: "Thank you,",
                seller,
            },
        }
    }

    fn text(&self) -> String {
        let Self { subject: _, greeting, news, amount, by, rest, closing, seller } = self;
        let amount = amount.as_ref().map(|amount| format!("{amount}\n")).unwrap_or_default();
        format!("{greeting}\n\n{news}\n{amount}\n{by}\n\n{rest}\n\n{closing}\n{seller}\n")
    }

    /// Styled inline, without images, links or external resources, so that a reader's program fetches nothing.
    fn html(&self, language: Language) -> String {
        let Self { subject, greeting, news, amount, by, rest, closing, seller } = self;
        let amount = amount
            .as_ref()
            .map(|amount| format!("<p style=\"font-size:20px;font-weight:bold\">{amount}</p>\n"))
            .unwrap_or_default();
        format!(
            "<!DOCTYPE html>\n\
             <html lang=\"{language}\">\n\
             <head>\n\
             <meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{subject}</title>\n\
             </head>\n\
             <body style=\"margin:0;padding:24px 16px;background:#ffffff;color:#1f2328;font:16px/1.5 sans-serif\">\n\
             <div style=\"max-width:560px;margin:0 auto;overflow-wrap:break-word\">\n\
             <p>{greeting}</p>\n\
             <p>{news}</p>\n\
             {amount}\
             <p style=\"font-size:14px;color:#59636e\">{by}</p>\n\
             <p>{rest}</p>\n\
             <p>{closing}<br>\n{seller}</p>\n\
             </div>\n\
             </body>\n\
             </html>\n",
            language = language.as_str(),
        )
    }
}

/// Makes one line of a typed text, and removes invisible direction controls, which could reorder the sentence around
/// it. Right-to-left letters are kept.
#[must_use]
pub fn one_line(typed: &str) -> String {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let kept = typed.chars().filter(|character| !turns_direction(*character));
    kept.map(|character| if breaks(character) { ' ' } else { character }).collect()
}

/// Ends each line with a line feed alone. Some mail servers treat a lone carriage return as a line end, so a dot after
/// it could end the mail early.
#[must_use]
pub fn plain_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Escapes a text for HTML content.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mails can be in the outbox while a host is upgraded.
    #[test]
    fn a_stored_mail_without_a_confirmer_counts_as_confirmed_by_the_seller() {
        let stored = r#"{"kind":"payment_confirmed_v1","to":"budi@example.com","buyer_name":"Budi","language":"id",
            "seller_name":"Renata","number":7,"service_name":"Logo","amount":750000}"#;
        let Mail::PaymentConfirmedV1(content) = serde_json::from_str(stored).unwrap();
        assert_eq!((content.by, content.number), (ConfirmedBy::Seller, OrderNumber(7)));
    }

    #[test]
    fn debug_hides_names_and_addresses() {
        let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
            to: EmailAddress::parse("to", "budi@example.com").unwrap(),
            buyer_name: "Budi".to_owned(),
            language: Language::Id,
            seller_name: "Renata".to_owned(),
            number: OrderNumber(7),
            service_name: "Logo".to_owned(),
            amount: Rupiah::ZERO,
            by: ConfirmedBy::Plugipay,
        });
        let message = render(&BuiltInTemplates, "mail_01jtestvect0r0000000000001".parse().unwrap(), &mail);
        let shown = format!("{mail:?} {message:?}");
        assert!(!["Budi", "budi", "Renata"].iter().any(|hidden| shown.contains(hidden)), "{shown}");
    }
}
