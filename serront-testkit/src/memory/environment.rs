//! Time, ids and secrets that a test controls.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::ids::IdSequence;
use serront_core::key::SecretBytes;
use serront_core::ports::{Clock, Ids, PortError, Secrets};
use serront_core::time::Timestamp;
use ulid::Ulid;

/// A clock that stands still until it is moved.
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

    /// Shows this time from now on, which may be earlier.
    pub fn set(&self, time: Timestamp) {
        self.millis.store(time.millis(), Ordering::SeqCst);
    }

    /// Goes forward.
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

    /// Advances nothing: it lets the others run, which is what a pause between two rounds is for.
    async fn sleep(&self, _duration: Duration) {
        tokio::task::yield_now().await;
    }
}

/// Ids that count. Two instances with different starts never give the same id.
#[derive(Debug)]
pub struct CountingIds {
    start: u32,
    sequences: AtomicU64,
}

impl CountingIds {
    /// A source of ids that differ from those of every other start.
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

/// Secrets that count: predictable, and never the same twice.
#[derive(Debug)]
pub struct CountingSecrets {
    start: u64,
    drawn: AtomicU64,
}

impl CountingSecrets {
    /// A source of secrets that differ from those of every other start.
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
