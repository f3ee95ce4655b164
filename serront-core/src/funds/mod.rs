//! Funds: the ledger, the balance, the fee, payouts, and the verification of all of them.
//!
//! This room moves no money. Plugipay holds the money, and operators transfer payouts.

pub mod balance;
pub mod books;
pub mod fee;
pub mod ledger;
pub mod payout;
