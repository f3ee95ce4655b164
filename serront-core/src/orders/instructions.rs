//! Payment instructions: where and how a buyer pays by bank transfer.

use serde::{Deserialize, Serialize};

use crate::primitives::macros::redacted_debug;
use crate::primitives::rejection::Invalid;
use crate::primitives::text::{self, WhatsAppNumber};

/// Most bank accounts of one storefront.
pub const BANK_ACCOUNTS_MAX: usize = 5;

/// A bank account to transfer to. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BankAccount {
    /// 1–100 characters.
    pub bank_name: String,
    /// Digits, spaces and dashes as typed, 1–100 characters.
    pub account_number: String,
    /// The holder's name, 1–100 characters.
    pub account_holder: String,
}

redacted_debug!(BankAccount);

impl BankAccount {
    pub(crate) fn parse(param: &str, raw: &Self) -> Result<Self, Invalid> {
        let account_number = bank_account_number(&format!("{param}.accountNumber"), &raw.account_number)?;
        Ok(Self {
            bank_name: text::name(&format!("{param}.bankName"), &raw.bank_name)?,
            account_number,
            account_holder: text::name(&format!("{param}.accountHolder"), &raw.account_holder)?,
        })
    }
}

/// Validates a bank account number: digits, spaces and dashes, 1–100 characters. Removes invisible characters only.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub(crate) fn bank_account_number(param: &str, raw: &str) -> Result<String, Invalid> {
    let number = text::name(param, &text::visible(raw))?;
    let fits = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'))
        && number.bytes().any(|byte| byte.is_ascii_digit());
    if fits { Ok(number) } else { Err(Invalid::new(param, "must be digits, spaces and dashes")) }
}

/// Where and how the buyer pays by transfer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSettings {
    /// At most [`BANK_ACCOUNTS_MAX`].
    pub bank_accounts: Vec<BankAccount>,
    /// Free text for the buyer, up to 2,000 characters.
    pub instructions: Option<String>,
    /// The seller's number for questions.
    pub whatsapp_number: Option<WhatsAppNumber>,
}
