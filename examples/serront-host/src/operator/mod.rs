//! The operator's subcommands. They work while a host serves on the same database; its loops carry out the work that they queue.

mod journal;
mod keys;
mod ledger;
mod outbox;
mod payouts;
mod plugipay;
mod proofs;
mod reconcile;
mod secrets;
mod set_aside;

pub(crate) use keys::key;
pub(crate) use ledger::ledger;
pub(crate) use outbox::outbox;
pub(crate) use payouts::payout;
pub(crate) use plugipay::{inbox, plugipay};
pub(crate) use proofs::proofs;
pub(crate) use secrets::secrets;
pub(crate) use set_aside::set_aside;
