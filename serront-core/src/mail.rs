//! The one mail that is sent: the buyer's payment confirmation, in Indonesian or English.

use serde::{Deserialize, Serialize};

use crate::ids::MailId;
use crate::money::Rupiah;
use crate::order::{Language, OrderNumber};
use crate::text::EmailAddress;

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
}

impl std::fmt::Debug for PaymentConfirmed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PaymentConfirmed(#{}, …)", self.number)
    }
}

/// A mail ready to be sent.
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
}

impl std::fmt::Debug for MailMessage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "MailMessage({}, …)", self.id)
    }
}

/// Renders a mail. The same mail always renders to the same bytes.
#[must_use]
pub fn render(id: MailId, mail: &Mail) -> MailMessage {
    let Mail::PaymentConfirmedV1(content) = mail;
    let PaymentConfirmed { to, buyer_name, language, seller_name, number, service_name, amount } = content;
    let (subject, text) = match language {
        Language::Id => {
            let amount = if amount.is_zero() { String::new() } else { format!("Jumlah: {amount}\n") };
            (
                format!("Pembayaran pesanan #{number} telah dikonfirmasi"),
                format!(
                    "Halo {buyer_name},\n\n\
                     {seller_name} telah mengonfirmasi pembayaran Anda untuk pesanan #{number} ({service_name}).\n\
                     {amount}\n\
                     Tidak ada lagi yang perlu dibayar. Simpan email ini sebagai catatan Anda.\n\n\
                     Terima kasih,\n{seller_name}\n"
                ),
            )
        }
        Language::En => {
            let amount = if amount.is_zero() { String::new() } else { format!("Amount: {amount}\n") };
            (
                format!("Payment of order #{number} confirmed"),
                format!(
                    "Hello {buyer_name},\n\n\
                     {seller_name} has confirmed your payment for order #{number} ({service_name}).\n\
                     {amount}\n\
                     There is nothing left to pay. Keep this mail for your records.\n\n\
                     Thank you,\n{seller_name}\n"
                ),
            )
        }
    };
    MailMessage { id, to: to.clone(), to_name: buyer_name.clone(), subject, text }
}
