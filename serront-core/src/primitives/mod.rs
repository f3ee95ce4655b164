//! Primitives: values that every other room uses, and that know nothing of orders, accounts or storage.
//!
//! Money, time, ids, checked text, digests, the walker over picture bytes, and why a command is refused. Any room may call
//! it; it calls none.

pub mod compare;
pub mod digest;
pub mod ids;
pub mod image;
pub mod money;
pub mod page;
pub mod patch;
pub mod provider;
pub mod rejection;
pub mod search;
pub mod text;
pub mod tier;
pub mod time;
pub mod version;
