//! Work: the periodic jobs. Each is a `step(now)` that does a bounded piece of work and returns when to call it next.
//!
//! No job starts a task or waits for the next piece of work: a host's loop waits, and a simulator advances its clock.
//! Here too is the check that a database and its receipts belong to one [`installation`].

pub mod dispatch;
pub mod fold;
pub mod installation;
pub mod janitor;
pub mod sweep;
