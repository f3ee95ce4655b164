//! The shop: the library's storefront and catalog.
//!
//! No lower room uses it, so an embedder can take payments for its own orders without a shop.

pub mod catalog;
pub mod storefront;
