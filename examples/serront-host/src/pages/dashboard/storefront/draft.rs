//! The storefront's form as typed, and its conversion to the service's input.

use serront_core::orders::instructions::{BANK_ACCOUNTS_MAX, BankAccount};
use serront_core::primitives::text::{WhatsAppNumber, is_blank, visible};
use serront_core::shop::storefront::StorefrontInput;
use serront_core::views::StorefrontView;

use crate::pages::form::Form;

/// The fields of a bank account, as named by the service. In the form, the group's number is appended.
pub(super) const COLUMNS: [&str; 3] = ["bankName", "accountNumber", "accountHolder"];

/// The fields of one bank account, in the order of [`COLUMNS`].
pub(super) type Group = [String; COLUMNS.len()];

pub(super) fn is_empty(group: &Group) -> bool {
    group.iter().all(|text| is_blank(text))
}

/// The form as typed.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) slug: String,
    pub(super) display_name: String,
    pub(super) bio: String,
    pub(super) whatsapp_number: String,
    /// Always [`BANK_ACCOUNTS_MAX`], including empty ones.
    pub(super) groups: Vec<Group>,
    pub(super) instructions: String,
    pub(super) hide_branding: bool,
    pub(super) published: bool,
}

impl Draft {
    /// The stored storefront; empty if there is none.
    pub(super) fn of(stored: Option<&StorefrontView>) -> Self {
        let mut draft = stored.map(Self::stored).unwrap_or_default();
        draft.groups.resize_with(BANK_ACCOUNTS_MAX, Group::default);
        draft
    }

    fn stored(stored: &StorefrontView) -> Self {
        let groups = stored.manual_bank_accounts.iter().cloned();
        Self {
            slug: stored.slug.to_string(),
            display_name: stored.display_name.clone(),
            bio: stored.bio.clone().unwrap_or_default(),
            whatsapp_number: stored.whatsapp_number.as_ref().map_or("", WhatsAppNumber::as_str).to_owned(),
            groups: groups
                .map(|BankAccount { bank_name, account_number, account_holder }| {
                    [bank_name, account_number, account_holder]
                })
                .collect(),
            instructions: stored.manual_instructions.clone().unwrap_or_default(),
            hide_branding: stored.hide_branding,
            published: stored.published,
        }
    }

    pub(super) fn read(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let group = |index| COLUMNS.map(|column| text(&format!("{column}{index}")));
        Self {
            slug: text("slug"),
            display_name: text("displayName"),
            bio: text("bio"),
            whatsapp_number: text("whatsappNumber"),
            groups: (0..BANK_ACCOUNTS_MAX).map(group).collect(),
            instructions: text("manualInstructions"),
            hide_branding: form.ticked("hideBranding"),
            published: form.ticked("published"),
        }
    }

    /// The WhatsApp number without spaces and punctuation.
    pub(super) fn number(&self) -> String {
        visible(&self.whatsapp_number).replace(
            |character: char| character.is_whitespace() || "-.()\u{2010}\u{2011}\u{2013}".contains(character),
            "",
        )
    }

    /// The service's input, without empty groups.
    pub(super) fn input(&self) -> StorefrontInput {
        let given = |text: &str| Some(text.trim().replace("\r\n", "\n")).filter(|text| !is_blank(text));
        let number = self.number();
        let groups = self.groups.iter().filter(|group| !is_empty(group)).cloned();
        let accounts = groups.map(|[bank_name, account_number, account_holder]| BankAccount {
            bank_name,
            account_number,
            account_holder,
        });
        StorefrontInput {
            // A phone's keyboard capitalises the first letter.
            slug: visible(&self.slug).trim().to_lowercase(),
            display_name: self.display_name.clone(),
            bio: given(&self.bio),
            whatsapp_number: given(&number),
            manual_bank_accounts: Some(accounts.collect()),
            manual_instructions: given(&self.instructions),
            hide_branding: Some(self.hide_branding),
            published: Some(self.published),
        }
    }

    /// The service's name of a field in this group. The service counts only filled groups; an empty group has no name.
    pub(super) fn param(&self, index: usize, column: &str) -> String {
        if self.groups.get(index).is_none_or(is_empty) {
            return String::new();
        }
        let before = self.groups.iter().take(index).filter(|group| !is_empty(group)).count();
        format!("manualBankAccounts[{before}].{column}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(bank: &str, number: &str) -> Group {
        [bank.to_owned(), number.to_owned(), "Renata".to_owned()]
    }

    #[test]
    fn a_refusal_is_shown_at_its_group_even_after_empty_ones() {
        let mut draft = Draft { slug: "s".into(), display_name: "S".into(), ..Draft::of(None) };
        draft.groups = vec![
            Group::default(),
            group("BCA", "1"),
            [" ".to_owned(), "\t".to_owned(), String::new()],
            group("BRI", "12a"),
            Group::default(),
        ];
        let input = draft.input();
        assert_eq!(input.manual_bank_accounts.as_ref().map(Vec::len), Some(2));
        let param = input.validate().unwrap_err().param;
        let named: Vec<_> =
            (0..BANK_ACCOUNTS_MAX).filter(|index| draft.param(*index, "accountNumber") == param).collect();
        assert_eq!(named, [3]);
    }

    #[test]
    fn spaces_and_punctuation_around_a_number_and_a_slug_are_removed() {
        // Phones copy numbers from contacts with direction marks around them (#16).
        let copied = Draft { whatsapp_number: "\u{202a}+62\u{a0}812‑3456\u{202c}".into(), ..Draft::of(None) };
        assert_eq!(copied.input().whatsapp_number.as_deref(), Some("+628123456"));
        let draft = Draft {
            slug: " Studio-renata ".into(),
            whatsapp_number: "+62 (812) 3456-7890".into(),
            bio: " a\r\nb ".into(),
            instructions: " \r\n".into(),
            ..Draft::of(None)
        };
        let input = draft.input();
        assert_eq!(input.slug, "studio-renata");
        assert_eq!(input.whatsapp_number.as_deref(), Some("+6281234567890"));
        assert_eq!((input.bio.as_deref(), input.manual_instructions), (Some("a\nb"), None));
    }
}
