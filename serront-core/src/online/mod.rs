//! Online payment at Plugipay: checkouts, notifications and their endpoints, exceptions, and reconciliation.
//!
//! This room sends nothing: [`plugipay`] builds calls and parses answers, and the [`Plugipay`](crate::ports::Plugipay)
//! port sends them.

pub mod checkout;
pub mod exception;
pub mod inbox;
pub mod plugipay;
pub mod provisioning;
pub mod reconcile;
