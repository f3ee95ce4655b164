//! Work: the periodic halves of the service. Each is a `step(now)` that does what is due and returns when to call it next.
//!
//! No step sleeps or spawns: the host's loop waits, and a simulator jumps.

pub mod dispatch;
pub mod fold;
pub mod installation;
pub mod janitor;
pub mod sweep;
