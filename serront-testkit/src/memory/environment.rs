//! Time, ids and secrets that a test controls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::SecretBytes;
use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::{Clock, Ids, PortError, Sealer, Secrets};
use serront_core::primitives::digest::{Digest256, hex, unhex};
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::time::Timestamp;
use ulid::Ulid;

use super::locked;

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self { millis: AtomicI64::new(time.millis()) }
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, time: Timestamp) {
        self.millis.store(time.millis(), Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

/// 2026-11-22T09:36:00.000Z, the wire contract's example.
impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_795_340_160_000))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }

    /// Yields to other tasks and does not move the clock.
    async fn sleep(&self, _duration: Duration) {
        tokio::task::yield_now().await;
    }
}

/// Ids that count. Two instances with different starts never make the same id.
#[derive(Debug)]
pub struct CountingIds {
    start: u32,
    sequences: AtomicU64,
}

impl CountingIds {
    /// A source whose ids differ from those of every other start.
    #[must_use]
    pub const fn starting_at(start: u32) -> Self {
        Self { start, sequences: AtomicU64::new(0) }
    }
}

impl Default for CountingIds {
    fn default() -> Self {
        Self::starting_at(1)
    }
}

impl Ids for CountingIds {
    fn sequence(&self, now: Timestamp) -> IdSequence {
        // 24 bits of start, 40 of the sequence's number, and 16 for the ids of one sequence.
        let sequence = self.sequences.fetch_add(1, Ordering::SeqCst);
        let random = (u128::from(self.start & 0x00ff_ffff) << 56) | (u128::from(sequence) << 16);
        IdSequence::from_seed(Ulid::from_parts(u64::try_from(now.millis()).unwrap_or(0), random))
    }
}

/// Secrets that count: predictable, but never repeated.
#[derive(Debug)]
pub struct CountingSecrets {
    start: u64,
    drawn: AtomicU64,
}

impl CountingSecrets {
    /// A source whose secrets differ from those of every other start.
    #[must_use]
    pub const fn starting_at(start: u64) -> Self {
        Self { start, drawn: AtomicU64::new(0) }
    }
}

impl Default for CountingSecrets {
    fn default() -> Self {
        Self::starting_at(1)
    }
}

impl Secrets for CountingSecrets {
    fn draw(&self) -> Result<SecretBytes, PortError> {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst);
        let mut bytes = SecretBytes::default();
        let parts = [self.start.to_be_bytes(), [0; 8], drawn.to_be_bytes()];
        for (byte, value) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = value;
        }
        Ok(bytes)
    }
}

/// The first key of every [`MemorySealer`], so that each opens what another sealed.
pub(crate) const FIRST_KEY: u64 = 1;

/// Seals under keys that are numbers. A text of another holder, or one that was changed, does not open, as the port requires.
///
/// The encryption only prevents a test from finding the secret in plain text; it is not secure.
#[derive(Debug)]
pub struct MemorySealer {
    /// The first key seals; every key opens.
    keys: Mutex<Vec<u64>>,
    sealed: AtomicU64,
}

impl Default for MemorySealer {
    fn default() -> Self {
        Self { keys: Mutex::new(vec![FIRST_KEY]), sealed: AtomicU64::new(0) }
    }
}

impl MemorySealer {
    /// Adds a new key, which seals. The earlier keys still open.
    pub fn rotate(&self) {
        let mut keys = locked(&self.keys);
        let next = keys.iter().max().copied().unwrap_or(FIRST_KEY) + 1;
        keys.insert(0, next);
    }

    /// Deletes every key except the present one.
    pub fn forget(&self) {
        locked(&self.keys).truncate(1);
    }

    /// Replaces the keys. Without keys, sealing and opening fail.
    pub fn hold(&self, keys: &[u64]) {
        *locked(&self.keys) = keys.to_vec();
    }

    /// A sealer with this key and 63 following ones, for tests that rotate keys elsewhere.
    #[must_use]
    pub(crate) fn from_key(first: u64) -> Self {
        let sealer = Self::default();
        sealer.hold(&(first..first + 64).collect::<Vec<_>>());
        sealer
    }

    /// XORs the bytes with a stream that depends on key and nonce.
    fn hide(key: u64, nonce: &str, bytes: &[u8]) -> Vec<u8> {
        let stream = (0_u32..)
            .flat_map(|block| Digest256::of(format!("{key}/{nonce}/{block}").as_bytes()).to_string().into_bytes());
        bytes.iter().zip(stream).map(|(byte, hiding)| byte ^ hiding).collect()
    }

    fn tag(key: u64, holder: SecretHolder, nonce: &str, hidden: &str) -> String {
        Digest256::of(format!("{key}/{holder}/{nonce}/{hidden}").as_bytes()).to_string()
    }
}

impl Sealer for MemorySealer {
    fn seal(&self, holder: SecretHolder, secret: &str) -> Result<String, PortError> {
        let key = locked(&self.keys).first().copied().ok_or_else(|| PortError::transient("there is no key"))?;
        let count = self.sealed.fetch_add(1, Ordering::SeqCst);
        // Two sealers of one test have the same counts, so holder and secret make the nonce unique.
        let nonce = Digest256::of(format!("{count}/{holder}/{secret}").as_bytes()).to_string();
        let hidden = hex(&Self::hide(key, &nonce, secret.as_bytes()));
        let tag = Self::tag(key, holder, &nonce, &hidden);
        Ok(format!("{key}.{nonce}.{hidden}.{tag}"))
    }

    fn open(&self, holder: SecretHolder, sealed: &str) -> Result<String, PortError> {
        let strange = || PortError::permanent("not sealed for this holder");
        let parts: Vec<&str> = sealed.split('.').collect();
        let [key, nonce, hidden, tag] = parts.as_slice() else { return Err(strange()) };
        let key: u64 = key.parse().map_err(|_| strange())?;
        if !locked(&self.keys).contains(&key) {
            return Err(PortError::transient("its key is missing"));
        }
        if Self::tag(key, holder, nonce, hidden) != *tag {
            return Err(strange());
        }
        let digits = hidden.as_bytes().chunks(2).map(|digits| std::str::from_utf8(digits).ok().and_then(unhex::<1>));
        let bytes: Vec<u8> = digits.map(|byte| byte.map(|[byte]| byte)).collect::<Option<_>>().ok_or_else(strange)?;
        String::from_utf8(Self::hide(key, nonce, &bytes)).map_err(|_| strange())
    }

    fn is_present(&self, sealed: &str) -> Result<bool, PortError> {
        let key = locked(&self.keys).first().copied().ok_or_else(|| PortError::transient("there is no key"))?;
        Ok(sealed.split('.').next() == Some(key.to_string().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_never_repeat() {
        let now = Timestamp::from_millis(7);
        let (one, two) = (CountingIds::starting_at(1), CountingIds::starting_at(2));
        let mut drawn = std::collections::BTreeSet::new();
        for ids in [&one, &two] {
            for _ in 0..50 {
                let mut sequence = ids.sequence(now);
                for _ in 0..50 {
                    assert!(drawn.insert(sequence.next_ulid()));
                }
            }
        }
        let secrets = CountingSecrets::default();
        assert_ne!(secrets.draw().unwrap(), secrets.draw().unwrap());
        assert_ne!(CountingSecrets::starting_at(2).draw().unwrap(), CountingSecrets::default().draw().unwrap());
    }
}
