//! Online payment: checkouts at Plugipay, its notifications, its endpoint for an account, money that confirmed nothing, and
//! the comparison of its ledger with ours.
//!
//! It sends nothing: [`plugipay`] builds the calls and reads the answers, and the
//! [`Plugipay`](crate::ports::Plugipay) port carries them.

pub mod checkout;
pub mod exception;
pub mod inbox;
pub mod plugipay;
pub mod provisioning;
pub mod reconcile;
