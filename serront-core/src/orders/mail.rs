//! The one mail that is sent: the buyer's payment confirmation, in Indonesian or English, as text and as HTML.
//!
//! ```text
//! Mail (in the effect) ─▶ MailTemplates ─▶ subject, text, HTML ─▶ MailMessage (id, to whom) ─▶ Mailer
//! ```
//!
//! What it says is replaceable ([`MailTemplates`]); to whom it goes and under which id is not. It is rendered when it is sent, so
//! nothing but its content is stored.
//!
//! What it is not: it sends nothing (a [`Mailer`](crate::ports::Mailer) does), and makes no headers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::orders::order::{Language, OrderNumber};
use crate::primitives::ids::MailId;
use crate::primitives::money::Rupiah;
use crate::primitives::text::{EmailAddress, turns_direction};

/// What a mail says, typed and versioned; rendered only when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mail {
    /// The payment of an order was confirmed.
    PaymentConfirmedV1(PaymentConfirmed),
}

/// The content of a confirmation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentConfirmed {
    /// To whom.
    pub to: EmailAddress,
    /// The buyer's name.
    pub buyer_name: String,
    /// In which language.
    pub language: Language,
    /// The seller's name.
    pub seller_name: String,
    /// Which order.
    pub number: OrderNumber,
    /// What was ordered.
    pub service_name: String,
    /// The amount due that was confirmed; zero if the seller never quoted one.
    pub amount: Rupiah,
    /// On whose word.
    #[serde(default)]
    pub by: ConfirmedBy,
}

/// On whose word a payment was confirmed. The buyer is told, for only one of the two was looked at by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// The seller's, who looked at the bank account. Nobody verified it.
    #[default]
    Seller,
    /// Plugipay's, which has the money.
    Plugipay,
}

impl fmt::Debug for PaymentConfirmed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PaymentConfirmed(#{}, …)", self.number)
    }
}

/// A mail ready to be sent. [`render`] makes one line of the subject, and ends lines by a line feed alone, also where a
/// template did not.
#[derive(Clone, PartialEq, Eq)]
pub struct MailMessage {
    /// Stable over all attempts.
    pub id: MailId,
    /// To whom.
    pub to: EmailAddress,
    /// The recipient's name.
    pub to_name: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML, for those who prefer it.
    pub html: Option<String>,
}

impl fmt::Debug for MailMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MailMessage({}, …)", self.id)
    }
}

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailText {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// A whole HTML document that says the same.
    pub html: Option<String>,
}

/// Words the mails. A host brings its own to [`Dispatcher::with_templates`](crate::work::dispatch::Dispatcher::with_templates).
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
///             // Kinds of mail to come are worded by the library.
///             other => BuiltInTemplates.render(other),
///         }
///     }
/// }
/// ```
pub trait MailTemplates: Send + Sync {
    /// The words of this mail, in its language.
    ///
    /// - Must answer the same for the same mail, as far as it can: an attempt whose outcome is unknown is made again.
    /// - Must escape what people typed where it writes HTML. Names may hold every character but control characters;
    ///   [`one_line`] takes those out that turn the direction of a text.
    /// - Has no way to fail, for a confirmation should not be lost by a template: fall back to [`BuiltInTemplates`].
    fn render(&self, mail: &Mail) -> MailText;
}

/// The library's own words.
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

/// Renders a mail.
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

/// The confirmation's sentences, the same for text and HTML.
struct Letter {
    /// Holds nothing that a person typed.
    subject: String,
    greeting: String,
    news: String,
    amount: Option<String>,
    /// Who confirmed it, and what that is worth.
    by: &'static str,
    rest: &'static str,
    closing: &'static str,
    seller: String,
}

impl Letter {
    /// `typed` makes what a person typed fit to stand in the sentences.
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
                        "A manual transfer is confirmed by the seller, who looks at the bank account. We don't verify it \
                         automatically."
                    }
                    ConfirmedBy::Plugipay => "This payment was confirmed automatically by Plugipay.",
                },
                rest: "There is nothing left to pay. Keep this mail for your records.",
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

    /// Styled inline, without images, links or anything from elsewhere: nothing is fetched when it is read.
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

/// One line of what a person typed, without the invisible characters that turn the direction of the text around them: in a mail
/// they would rewrite our sentences. Right-to-left letters stay; they need no such help.
#[must_use]
pub fn one_line(typed: &str) -> String {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let kept = typed.chars().filter(|character| !turns_direction(*character));
    kept.map(|character| if breaks(character) { ' ' } else { character }).collect()
}

/// The text with each line ended by a line feed alone. A lone carriage return ends a line for some mail servers and not for
/// others, so a dot behind it could end the whole mail there.
#[must_use]
pub fn plain_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Text as it stands in HTML, between tags.
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

    /// Mails wait in the outbox while a host is replaced by its next version.
    #[test]
    fn a_mail_that_was_stored_without_saying_on_whose_word_counts_as_the_sellers() {
        let stored = r#"{"kind":"payment_confirmed_v1","to":"budi@example.com","buyer_name":"Budi","language":"id",
            "seller_name":"Renata","number":7,"service_name":"Logo","amount":750000}"#;
        let Mail::PaymentConfirmedV1(content) = serde_json::from_str(stored).unwrap();
        assert_eq!((content.by, content.number), (ConfirmedBy::Seller, OrderNumber(7)));
    }

    #[test]
    fn debug_shows_nobody() {
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
