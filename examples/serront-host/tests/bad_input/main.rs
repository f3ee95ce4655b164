//! Bad input, by subject: it gets the wire contract's refusal and changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests"
)]

mod buyers;
mod callers;
mod catalog;
#[path = "../in_process/mod.rs"]
mod in_process;
mod lists;
mod money;
mod orders;
mod payouts;
mod receipts;
mod requests;
mod settings;
mod storefront;
mod town;
