//! Payouts, bank accounts and operators' adjustments.

use proptest::prelude::*;
use serront_core::decide::AdjustmentInput;
use serront_core::funds::payout::{
    BankAccountInput, BankDetails, DefaultDetails, Payout, PayoutAct, PayoutInput, PayoutState, PayoutStatus,
};
use serront_core::primitives::text::is_blank;

use super::{
    account_id, account_number, almost_account_number, almost_amount, almost_name, almost_prose, amount, name,
    optional_prose, payout_id, prose, rupiah, timestamp, version,
};

/// Statuses of payouts.
pub fn payout_status() -> impl Strategy<Value = PayoutStatus> {
    proptest::sample::select(PayoutStatus::ALL.to_vec())
}

/// Steps of payouts.
pub fn payout_act() -> impl Strategy<Value = PayoutAct> {
    proptest::sample::select(PayoutAct::ALL.to_vec())
}

/// Bank details of payouts.
pub fn bank_details() -> impl Strategy<Value = BankDetails> {
    (proptest::option::of(name()), name(), account_number(), name())
        .prop_map(|(bank_code, bank_name, bank_account_number, bank_account_holder)| BankDetails {
            bank_code,
            bank_name,
            bank_account_number,
            bank_account_holder,
        })
        .boxed()
}

/// Default bank accounts, complete or not.
pub fn default_details() -> impl Strategy<Value = DefaultDetails> {
    let optional = || proptest::option::weighted(0.8, name());
    (optional(), optional(), proptest::option::weighted(0.8, account_number()), optional())
        .prop_map(|(bank_code, bank_name, bank_account_number, bank_account_holder)| DefaultDetails {
            bank_code,
            bank_name,
            bank_account_number,
            bank_account_holder,
        })
        .boxed()
}

/// Positive amounts.
fn positive() -> impl Strategy<Value = i64> {
    amount().prop_map(|amount| amount.max(1))
}

/// Requests for payouts, with complete bank details or none.
pub fn payout_input() -> impl Strategy<Value = PayoutInput> {
    let currency = proptest::option::of(Just("IDR".to_owned()));
    (positive(), currency, proptest::option::of(bank_details()), optional_prose())
        .prop_map(|(amount, currency, bank, note)| match bank {
            None => PayoutInput { amount, currency, note, ..PayoutInput::default() },
            Some(BankDetails { bank_code, bank_name, bank_account_number, bank_account_holder }) => PayoutInput {
                amount,
                currency,
                bank_code,
                bank_name: Some(bank_name),
                bank_account_number: Some(bank_account_number),
                bank_account_holder: Some(bank_account_holder),
                note,
            },
        })
        .boxed()
}

/// Requests for payouts that must be refused for one field, or for incomplete bank details.
pub fn almost_payout_input() -> impl Strategy<Value = PayoutInput> {
    let whole = || {
        (payout_input(), bank_details()).prop_map(|(good, bank)| PayoutInput {
            bank_name: Some(bank.bank_name),
            bank_account_number: Some(bank.bank_account_number),
            bank_account_holder: Some(bank.bank_account_holder),
            ..good
        })
    };
    // A blank field counts as left out.
    let bad_name = || almost_name().prop_filter("not blank", |name| !is_blank(name));
    let bad_number = almost_account_number().prop_filter("not blank", |number| !is_blank(number));
    prop_oneof![
        (whole(), prop_oneof![Just(0), almost_amount()]).prop_map(|(good, amount)| PayoutInput { amount, ..good }),
        whole().prop_map(|good| PayoutInput { currency: Some("USD".to_owned()), ..good }),
        (whole(), bad_name()).prop_map(|(good, bad)| PayoutInput { bank_code: Some(bad), ..good }),
        (whole(), bad_name()).prop_map(|(good, bad)| PayoutInput { bank_name: Some(bad), ..good }),
        (whole(), bad_number).prop_map(|(good, bad)| PayoutInput { bank_account_number: Some(bad), ..good }),
        (whole(), bad_name()).prop_map(|(good, bad)| PayoutInput { bank_account_holder: Some(bad), ..good }),
        whole().prop_map(|good| PayoutInput { bank_name: None, ..good }),
        whole().prop_map(|good| PayoutInput { bank_account_number: Some(" ".to_owned()), ..good }),
        whole().prop_map(|good| PayoutInput { bank_account_holder: None, ..good }),
        (whole(), almost_prose()).prop_map(|(good, note)| PayoutInput { note: Some(note), ..good }),
    ]
}

/// Changes to the default account: each part left out, cleared or given, but not all left out.
pub fn bank_account_input() -> impl Strategy<Value = BankAccountInput> {
    let field = || proptest::option::of(proptest::option::weighted(0.8, name()));
    let number = proptest::option::of(proptest::option::weighted(0.8, account_number()));
    (field(), field(), number, field())
        .prop_map(|(bank_code, bank_name, bank_account_number, bank_account_holder)| BankAccountInput {
            bank_code,
            bank_name,
            bank_account_number,
            bank_account_holder,
        })
        .prop_filter("something is changed", |input| *input != BankAccountInput::default())
        .boxed()
}

/// Payouts as stored, in any state.
pub fn payout() -> impl Strategy<Value = Payout> {
    let times = (timestamp(), proptest::option::of(timestamp()), proptest::option::of(timestamp()), timestamp());
    let state = (version(), payout_status(), optional_prose(), optional_prose());
    (payout_id(), account_id(), rupiah(), bank_details(), optional_prose(), times, state).prop_map(
        |(id, account_id, amount, bank, note, times, (version, status, reference, failure_reason))| {
            let (created_at, processed_at, completed_at, updated_at) = times;
            let state =
                PayoutState { version, status, reference, failure_reason, processed_at, completed_at, updated_at };
            Payout { id, account_id, amount, bank, note, created_at, state }
        },
    )
}

/// Adjustments, credits and debits.
pub fn adjustment_input() -> impl Strategy<Value = AdjustmentInput> {
    (positive(), any::<bool>(), prose(), name())
        .prop_map(|(amount, takes, reason, reference)| AdjustmentInput {
            amount: if takes { -amount } else { amount },
            reason,
            reference,
        })
        .boxed()
}

/// Adjustments that must be refused for one field.
pub fn almost_adjustment_input() -> impl Strategy<Value = AdjustmentInput> {
    let good = || adjustment_input();
    // A negative amount is a debit, so that only too large amounts are invalid.
    let too_large = almost_amount().prop_filter("too large", |amount| {
        amount.checked_abs().is_none_or(|amount| amount > serront_core::primitives::money::Rupiah::MAX.get())
    });
    prop_oneof![
        (good(), prop_oneof![Just(0), too_large]).prop_map(|(good, amount)| AdjustmentInput { amount, ..good }),
        (good(), prop_oneof![Just(" ".to_owned()), almost_prose().boxed()])
            .prop_map(|(good, reason)| AdjustmentInput { reason, ..good }),
        (good(), almost_name()).prop_map(|(good, reference)| AdjustmentInput { reference, ..good }),
    ]
}
