//! Accounts: the account, its API keys, who acts in it, and its secrets at rest.
//!
//! What an account sells is in [`shop`](crate::shop); what it is owed is in [`orders`](crate::orders).

pub mod account;
pub mod actor;
pub mod key;
pub mod sealed;
