//! Time, ids and secrets from the operating system: [`SystemClock`], [`RandomIds`] and [`SystemSecrets`].
//!
//! For tests with a controlled clock and reproducible ids, use `serront_testkit::memory`. This module keeps no state
//! except a counter, and no random generator: every seed and every secret comes from the operating system.

mod clock;
mod ids;
mod secrets;

pub use clock::SystemClock;
pub use ids::RandomIds;
pub use secrets::SystemSecrets;
