//! Changes: what a decision answers. A [`ChangeSet`](change::ChangeSet) holds guards, writes, claims and effects, as values.
//!
//! It decides nothing and stores nothing: [`decide`](crate::decide) makes change sets, a
//! [`Storage`](crate::ports::Storage) commits them.

pub mod change;
mod deliveries;
pub mod effect;
pub mod idempotency;

pub(crate) use deliveries::deliveries;
