//! Orders: an order, its payment and receipt, where the buyer pays, its audit trail, and the mails about it.
//!
//! Each file holds one aggregate or value with its transitions. A decision that joins several is in
//! [`decide`](crate::decide). Nothing here names the [`shop`](crate::shop): an order carries what it needs of a service as
//! plain values.

pub mod audit;
pub mod exception_kind;
pub mod instructions;
pub mod mail;
pub mod marked;
pub mod order;
pub mod payment;
pub mod receipt;
