//! Accounts: the account itself, its API keys, the actors in audit records, and secrets at rest.
//!
//! What an account sells is in [`shop`](crate::shop); its orders and payments are in [`orders`](crate::orders).

pub mod account;
pub mod actor;
pub mod key;
pub mod sealed;
