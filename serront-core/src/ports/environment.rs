//! Time, ids and secrets: what the library does not make by itself.

use std::time::Duration;

use async_trait::async_trait;

use crate::ids::IdSequence;
use crate::key::SecretBytes;
use crate::ports::PortError;
use crate::time::Timestamp;

/// Tells the time, and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present time in UTC.
    ///
    /// Must not fail; may jump either way (nothing but schedules is derived from it).
    fn now(&self) -> Timestamp;

    /// Returns once this long has passed. Used between two rounds of a contended commit.
    ///
    /// Must be safe to drop before it returns.
    async fn sleep(&self, duration: Duration);
}

/// Gives ids.
pub trait Ids: Send + Sync {
    /// A sequence with a seed of its own.
    ///
    /// Must put `now`'s milliseconds into the ULID's time and at least 80 unpredictable bits into the rest, so that two
    /// hosts never give the same id. A test's implementation may count instead.
    fn sequence(&self, now: Timestamp) -> IdSequence;
}

/// Gives secrets: API keys, access tokens and webhook secrets are made from them.
pub trait Secrets: Send + Sync {
    /// 192 bits from the operating system's generator.
    ///
    /// Must never repeat and never be predictable; must not be logged.
    ///
    /// # Errors
    /// [`PortError`] if the generator fails; the command is then refused as a whole.
    fn draw(&self) -> Result<SecretBytes, PortError>;
}
