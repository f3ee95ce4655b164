//! Proptest strategies for every type of the domain.
//!
//! There are two kinds. A plain name (`slug`, `order_input`) generates valid values, including awkward ones: the
//! longest, the shortest, other scripts, text that looks like JSON or SQL. A name with the prefix `almost_` generates
//! input with one error, which must be refused.
//!
//! Strategies that others are built from are boxed, because strategies nest their states and a test thread's stack is
//! small.
//!
//! Values of different strategies are not related: a [`payment()`] names an order that does not exist. Where a relation
//! matters, the strategy takes the related value as an argument.
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
mod orders;
mod payouts;
mod receipts;
mod shop;
mod text;

pub use account::*;
pub use basics::*;
pub use effects::*;
pub use idempotency::*;
pub use orders::*;
pub use payouts::*;
pub use receipts::*;
pub use shop::*;
pub use text::*;

#[cfg(test)]
mod tests;
