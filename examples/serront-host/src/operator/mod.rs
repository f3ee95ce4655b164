//! The operator's subcommands. They work beside a host that serves on the same database, whose loops then carry out what they
//! cause.

mod journal;
mod keys;
mod ledger;
mod outbox;
mod payouts;
mod plugipay;
mod reconcile;
mod secrets;
mod set_aside;

pub(crate) use keys::key;
pub(crate) use ledger::ledger;
pub(crate) use outbox::outbox;
pub(crate) use payouts::payout;
pub(crate) use plugipay::{inbox, plugipay};
pub(crate) use secrets::secrets;
pub(crate) use set_aside::set_aside;
