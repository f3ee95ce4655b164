//! Proptest strategies for every type of the domain.
//!
//! Two kinds, told apart by their names. A plain name (`slug`, `order_input`) gives values that are valid, the awkward
//! ones among them: the longest, the shortest, other scripts, text that looks like JSON or SQL. A name that begins with
//! `almost_` gives input that one thing is wrong with, so that it must be refused.
//!
//! What others are built from is boxed inside, since strategies nest their states in each other and a test thread's stack
//! is small.
//!
//! Values that belong together are not always related: a [`payment()`] of its own names an order that is nowhere. Where a
//! relation matters, the strategy takes what it relates to as an argument.
//!
//! ```
//! use proptest::prelude::*;
//! use serront_core::primitives::text::Slug;
//! use serront_testkit::generators;
//!
//! # fn main() {
//! proptest!(|(good in generators::slug(), bad in generators::almost_slug())| {
//!     prop_assert_eq!(Slug::parse("slug", good.as_str()), Ok(good));
//!     prop_assert!(Slug::parse("slug", &bad).is_err());
//! });
//! # }
//! ```
#![allow(clippy::expect_used, reason = "test support: a strategy that breaks its own promise ends the test")]

mod account;
mod basics;
mod effects;
mod idempotency;
mod money;
mod orders;
mod receipts;
mod shop;
mod text;

pub use account::*;
pub use basics::*;
pub use effects::*;
pub use idempotency::*;
pub use money::*;
pub use orders::*;
pub use receipts::*;
pub use shop::*;
pub use text::*;

#[cfg(test)]
mod tests;
