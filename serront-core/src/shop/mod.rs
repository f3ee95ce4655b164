//! The shop: the storefront and the catalog that come with the library.
//!
//! Nothing below this room names it, so an embedder can take payments for orders of its own without a shop.

pub mod catalog;
pub mod storefront;
