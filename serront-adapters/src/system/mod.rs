//! Time, ids and secrets from the operating system: [`SystemClock`], [`RandomIds`] and [`SystemSecrets`].
//!
//! What it is not: a test's clock or a reproducible sequence of ids. It keeps no state but a counter, and it seeds
//! nothing: every seed and every secret is drawn from the operating system's generator anew.

mod clock;
mod ids;
mod secrets;

pub use clock::SystemClock;
pub use ids::RandomIds;
pub use secrets::SystemSecrets;
