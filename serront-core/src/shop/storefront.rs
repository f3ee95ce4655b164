//! The storefront: the seller's public profile and payment instructions.

use serde::Deserialize;

use crate::orders::instructions::{BANK_ACCOUNTS_MAX, BankAccount, PaymentSettings};
use crate::orders::order::SellerProfile;
use crate::primitives::ids::AccountId;
use crate::primitives::rejection::Invalid;
use crate::primitives::text::{self, Slug, WhatsAppNumber};
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// The new content of a storefront, not yet validated. It replaces everything: a missing field is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorefrontInput {
    /// Unique across all storefronts.
    pub slug: String,
    /// 1–100 characters.
    pub display_name: String,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub bio: Option<String>,
    /// E.164, with `+`.
    #[serde(default)]
    pub whatsapp_number: Option<String>,
    /// At most [`BANK_ACCOUNTS_MAX`].
    #[serde(default)]
    pub manual_bank_accounts: Option<Vec<BankAccount>>,
    /// Free text for the buyer, up to 2,000 characters.
    #[serde(default)]
    pub manual_instructions: Option<String>,
    /// Effective only on tiers that allow it; defaults to `false`.
    #[serde(default)]
    pub hide_branding: Option<bool>,
    /// Defaults to `false`.
    #[serde(default)]
    pub published: Option<bool>,
}

/// A storefront's validated content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Profile {
    /// Unique across all storefronts.
    pub slug: Slug,
    pub display_name: String,
    pub bio: Option<String>,
    pub payment: PaymentSettings,
    /// Effective only on tiers that allow it.
    pub hide_branding: bool,
    /// Only published storefronts are public.
    pub published: bool,
}

/// A storefront as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Storefront {
    pub account_id: AccountId,
    pub version: Version,
    pub profile: Profile,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Profile {
    /// The part that an order shows.
    #[must_use]
    pub fn seller(&self) -> SellerProfile {
        let Self { slug, display_name, hide_branding, payment, .. } = self;
        SellerProfile {
            slug: slug.clone(),
            display_name: display_name.clone(),
            hide_branding: *hide_branding,
            payment: payment.clone(),
        }
    }
}

impl StorefrontInput {
    /// Validates every field.
    ///
    /// # Errors
    /// [`Invalid`] naming the first invalid field.
    pub fn validate(&self) -> Result<Profile, Invalid> {
        let slug = Slug::parse("slug", &self.slug)?;
        let display_name = text::name("displayName", &self.display_name)?;
        let bio = text::optional_prose("bio", self.bio.as_deref())?;
        let whatsapp_number =
            self.whatsapp_number.as_deref().map(|raw| WhatsAppNumber::parse("whatsappNumber", raw)).transpose()?;
        let raw_accounts = self.manual_bank_accounts.as_deref().unwrap_or_default();
        if raw_accounts.len() > BANK_ACCOUNTS_MAX {
            return Err(Invalid::new("manualBankAccounts", "must hold at most 5 bank accounts"));
        }
        let bank_accounts = raw_accounts
            .iter()
            .enumerate()
            .map(|(index, raw)| BankAccount::parse(&format!("manualBankAccounts[{index}]"), raw))
            .collect::<Result<_, _>>()?;
        let instructions = text::optional_prose("manualInstructions", self.manual_instructions.as_deref())?;
        Ok(Profile {
            slug,
            display_name,
            bio,
            payment: PaymentSettings { bank_accounts, instructions, whatsapp_number },
            hide_branding: self.hide_branding.unwrap_or(false),
            published: self.published.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(bank_name: &str, account_number: &str, account_holder: &str) -> BankAccount {
        BankAccount {
            bank_name: bank_name.into(),
            account_number: account_number.into(),
            account_holder: account_holder.into(),
        }
    }

    fn input(accounts: Vec<BankAccount>) -> StorefrontInput {
        StorefrontInput {
            slug: "s".into(),
            display_name: "S".into(),
            manual_bank_accounts: Some(accounts),
            ..StorefrontInput::default()
        }
    }

    #[test]
    fn the_first_invalid_field_is_named() {
        let good = account("BCA", "123-456 789", "Renata");
        assert!(input(vec![good.clone(); 5]).validate().is_ok());
        let mut last_bank_blank = vec![good.clone(); 5];
        last_bank_blank[4].bank_name = " ".into();
        for (accounts, param) in [
            (vec![good.clone(); 6], "manualBankAccounts"),
            (last_bank_blank, "manualBankAccounts[4].bankName"),
            (vec![account("BCA", "12a", "R")], "manualBankAccounts[0].accountNumber"),
            (vec![account("BCA", "- -", "R")], "manualBankAccounts[0].accountNumber"),
            (vec![account("BCA", "١٢٣", "R")], "manualBankAccounts[0].accountNumber"),
            (vec![good.clone(), account("BCA", "1", &"x".repeat(101))], "manualBankAccounts[1].accountHolder"),
        ] {
            assert_eq!(input(accounts).validate().unwrap_err().param, param);
        }
        let without_plus = StorefrontInput { whatsapp_number: Some("628120000000".into()), ..input(vec![]) };
        assert_eq!(without_plus.validate().unwrap_err().param, "whatsappNumber");
    }

    #[test]
    fn debug_hides_bank_details() {
        let shown = format!("{:?}", input(vec![account("BCA", "5550123", "Renata")]).validate().unwrap());
        assert!(!shown.contains("5550123") && !shown.contains("BCA"), "{shown}");
    }
}
