//! Funds: the ledger, the balance, the fee, payouts, and the sums that verify them.
//!
//! It moves no money. Plugipay holds the money, and operators transfer payouts.

pub mod balance;
pub mod books;
pub mod fee;
pub mod ledger;
pub mod payout;
