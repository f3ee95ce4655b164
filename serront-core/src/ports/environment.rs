//! Time, ids, secrets, and the keys that seal secrets: the library makes none of these itself.

use std::time::Duration;

use async_trait::async_trait;

use crate::accounts::key::SecretBytes;
use crate::accounts::sealed::SecretHolder;
use crate::ports::PortError;
use crate::primitives::ids::IdSequence;
use crate::primitives::time::Timestamp;

/// Tells the time, and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present time in UTC.
    ///
    /// Must not fail. May jump in either direction: only schedules depend on it.
    fn now(&self) -> Timestamp;

    /// Returns after this duration. Used between two rounds of a contended commit, and before a resend to the storage.
    ///
    /// Must be safe to drop before it returns.
    async fn sleep(&self, duration: Duration);
}

/// Makes ids.
pub trait Ids: Send + Sync {
    /// A new sequence of ids, with its own seed.
    ///
    /// Must put `now`'s milliseconds into the ULID's time and at least 80 unpredictable bits into the rest, so that two
    /// hosts never make the same id. An implementation for tests may count instead.
    fn sequence(&self, now: Timestamp) -> IdSequence;
}

/// Holds the keys for secrets at rest, and seals and opens secrets with them.
///
/// - All hosts on one storage need the same keys.
/// - Neither sealing nor opening may wait for I/O: each delivery opens its webhook's secret. An implementation that stores its
///   keys elsewhere must load them in advance.
pub trait Sealer: Send + Sync {
    /// Seals a secret under the present key, so that it opens for this holder only.
    ///
    /// Must authenticate: a text that was changed, or that belongs to another holder, must not open. Must never return the same
    /// text twice. The text must be printable ASCII and must identify its key.
    ///
    /// # Errors
    /// [`PortError`] if there is no key; the whole command is then refused.
    fn seal(&self, holder: SecretHolder, secret: &str) -> Result<String, PortError>;

    /// Opens a text that any of the keys sealed for this holder.
    ///
    /// # Errors
    /// [`PortError`]: transient if its key is missing (the key may be added later), permanent if the text belongs to another
    /// holder or was changed. The error's text must contain neither the secret nor a key.
    fn open(&self, holder: SecretHolder, sealed: &str) -> Result<String, PortError>;

    /// Whether this was sealed under the present key.
    ///
    /// # Errors
    /// [`PortError`] if there is no such key.
    fn is_present(&self, sealed: &str) -> Result<bool, PortError>;
}

/// Draws secret bytes, from which API keys, access tokens and webhook secrets are made.
pub trait Secrets: Send + Sync {
    /// 192 bits from the operating system's generator.
    ///
    /// Must never repeat and never be predictable; must not be logged.
    ///
    /// # Errors
    /// [`PortError`] if the generator fails; the whole command is then refused.
    fn draw(&self) -> Result<SecretBytes, PortError>;
}
