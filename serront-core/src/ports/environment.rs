//! Time, ids, secrets and the keys that they are kept under: what the library does not make by itself.

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
    /// Must not fail; may jump either way (nothing but schedules is derived from it).
    fn now(&self) -> Timestamp;

    /// Returns once this long has passed. Used between two rounds of a contended commit, and before
    /// something is sent to the storage again.
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

/// Keeps the keys that secrets at rest are sealed under, and seals and opens by them.
///
/// Several hosts on one storage need the same keys. What is sealed is short, and done seldom but for the opening of a
/// webhook's secret, once for each delivery: neither may wait. Who keeps keys elsewhere fetches them beforehand.
pub trait Sealer: Send + Sync {
    /// Seals a secret under the present key, so that it opens for this holder only.
    ///
    /// Must authenticate: what was changed, or is another holder's, must not open. Must never answer the same text twice; the
    /// text is printable ASCII, and tells its key from others.
    ///
    /// # Errors
    /// [`PortError`] if there is no key to seal under; whatever needed it is then refused as a whole.
    fn seal(&self, holder: SecretHolder, secret: &str) -> Result<String, PortError>;

    /// Opens what any of the keys sealed for this holder.
    ///
    /// # Errors
    /// [`PortError`]: transient if its key is not here (it may be once the keys are), permanent if it is not this holder's or
    /// was changed. Neither the secret nor a key may be in its text.
    fn open(&self, holder: SecretHolder, sealed: &str) -> Result<String, PortError>;

    /// Whether this was sealed under the key that seals at present.
    ///
    /// # Errors
    /// [`PortError`] if there is no such key.
    fn is_present(&self, sealed: &str) -> Result<bool, PortError>;
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
