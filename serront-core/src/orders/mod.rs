//! Orders: the order, its payment and receipt, payment instructions, the audit trail, and mails to the buyer.
//!
//! Each file holds one aggregate or value with its transitions. Decisions across several are in
//! [`decide`](crate::decide). This room does not use the [`shop`](crate::shop): an order copies what it needs of a
//! service.

pub mod audit;
pub mod exception_kind;
pub mod instructions;
pub mod mail;
pub mod marked;
pub mod order;
pub mod payment;
pub mod receipt;
