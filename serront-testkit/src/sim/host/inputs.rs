//! What sellers and operators send: storefronts, bank accounts, requests for payouts.

use serront_core::funds::payout::{BankAccountInput, PayoutInput};
use serront_core::shop::storefront::StorefrontInput;

use crate::sim::events::Verb;
use crate::world::storefront_input;

const BANK: &str = "Bank Nusantara";
const HOLDER: &str = "Renata";

/// The storefront of a seller in this variant. The bank account's number contains the variant, so that a view shows
/// which storefront it came from.
pub(super) fn storefront(
    seller: usize,
    slug: &str,
    variant: u32,
    hide_branding: bool,
    published: bool,
) -> StorefrontInput {
    let mut input = storefront_input(slug);
    input.display_name = format!("Studio {seller}");
    for account in input.manual_bank_accounts.iter_mut().flatten() {
        account.account_number = bank_account(seller, variant);
    }
    input.hide_branding = Some(hide_branding);
    input.published = Some(published);
    input
}

/// The bank account's number in this variant of a seller's storefront.
pub(crate) fn bank_account(seller: usize, variant: u32) -> String {
    format!("7700-{seller:04}-{variant:08}")
}

/// A request for a payout.
pub(super) fn payout_input(seller: usize, verb: &Verb) -> PayoutInput {
    let Verb::RequestPayout { amount, bank, note, .. } = verb else { return PayoutInput::default() };
    PayoutInput {
        amount: *amount,
        bank_name: bank.map(|_| BANK.to_owned()),
        bank_account_number: bank.map(|variant| bank_account(seller, variant)),
        bank_account_holder: bank.map(|_| HOLDER.to_owned()),
        note: Some(note.clone()),
        ..PayoutInput::default()
    }
}

/// A change of the default bank account. Without its holder it is incomplete, and nothing can be paid to it.
pub(super) fn bank_account_input(seller: usize, variant: u32, whole: bool) -> BankAccountInput {
    BankAccountInput {
        bank_code: None,
        bank_name: Some(Some(BANK.to_owned())),
        bank_account_number: Some(Some(bank_account(seller, variant))),
        bank_account_holder: Some(whole.then(|| HOLDER.to_owned())),
    }
}
