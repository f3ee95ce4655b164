//! What the SQL engines share: rows to domain types, the places of names, the ways of a search and of a page of the ledger,
//! what due work is, what can't be read, and failures. No statement but those that add up the books and those that read effects for an operator:
//! the others differ.

pub(crate) mod connections;
pub(crate) mod error;
pub(crate) mod installation;
pub(crate) mod ledger;
pub(crate) mod money;
pub(crate) mod names;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod set_aside;
pub(crate) mod work;
