//! Changes: what a decision returns. A [`ChangeSet`](change::ChangeSet) holds guards, writes, claims and effects as
//! values.
//!
//! Nothing here decides or stores: [`decide`](crate::decide) makes change sets, and a
//! [`Storage`](crate::ports::Storage) commits them. Adapters match over these enums.

pub mod change;
mod deliveries;
pub mod effect;
pub mod idempotency;

pub(crate) use deliveries::deliveries;
