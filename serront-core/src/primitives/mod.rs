//! Primitives: values that every other room uses, and that know nothing of orders, accounts or storage.
//!
//! Money, time, ids, validated text, digests, the parser of image files, and the reasons to refuse a command. Every
//! other room may use it; it uses none of them.

pub mod compare;
pub mod digest;
pub mod ids;
pub mod image;
pub(crate) mod macros;
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
