//! The conditions that must always hold, one file each: the ten rules of the design, and what they depend on.

use super::events::Invariant;
use super::oracle::Oracle;
use super::plan::Crowd;

mod at_once;
mod at_rest;
mod audit;
mod books;
mod checkouts;
mod deliveries;
mod errands;
mod events;
mod leases;
mod notifications;
mod payout_trail;
mod receipts;
mod rule_01_confirmed_once;
mod rule_02_settlements;
mod rule_03_double_entry;
mod rule_04_payouts;
mod rule_05_one_account;
mod rule_06_outbox;
mod rule_07_bank_details;
mod rule_08_module_off;
mod rule_09_idempotency;
mod rule_10_secrets;

/// Every invariant. The oracle is last, so that a violated rule is reported by its name.
pub(super) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<rule_01_confirmed_once::ConfirmedOnce>::default(),
        Box::<rule_02_settlements::Settlements>::default(),
        Box::<rule_03_double_entry::DoubleEntry>::default(),
        Box::<rule_04_payouts::Payouts>::default(),
        Box::<rule_05_one_account::OneAccount>::default(),
        Box::<rule_06_outbox::Outbox>::default(),
        Box::<rule_07_bank_details::BankDetails>::default(),
        Box::<rule_08_module_off::ModuleOff>::default(),
        Box::<rule_09_idempotency::Idempotency>::default(),
        Box::<rule_10_secrets::Secrets>::default(),
        Box::<at_rest::AtRest>::default(),
        Box::<audit::Audit>::default(),
        Box::<books::Books>::default(),
        Box::<checkouts::Checkouts>::default(),
        Box::<deliveries::Deliveries>::default(),
        Box::<errands::Errands>::default(),
        Box::<events::Events>::default(),
        Box::<leases::Leases>::default(),
        Box::<notifications::Notifications>::default(),
        Box::<payout_trail::PayoutTrail>::default(),
        Box::<receipts::Receipts>::default(),
        Box::<Oracle>::default(),
    ]
}

/// The invariants of a run with a crowd of dead receivers, which never comes to rest, as most invariants require.
pub(super) fn beside_a_crowd(crowd: &Crowd) -> Vec<Box<dyn Invariant>> {
    vec![Box::new(at_once::AtOnce::new(crowd))]
}
