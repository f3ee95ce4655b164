//! Ids that are unique across hosts.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serront_core::ports::Ids;
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::time::Timestamp;
use ulid::Ulid;

/// Seeds each sequence with the time and 80 bits of the operating system's generator.
///
/// The port can't fail. If the generator fails, the 80 bits are made from a mark of this process and a counter instead:
/// still unique, but predictable. This is acceptable because ids are not secrets, and
/// [`SystemSecrets`](crate::system::SystemSecrets) fails in the same situation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn sequence(&self, now: Timestamp) -> IdSequence {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        IdSequence::from_seed(Ulid::from_parts(millis, random_bits().unwrap_or_else(counted_bits)))
    }
}

const RANDOM_BYTES: usize = 10;

fn random_bits() -> Option<u128> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.into_iter().fold(0, |bits, byte| bits << 8 | u128::from(byte)))
}

/// A sequence counts up from its seed, so seeds keep this many bits of distance.
const SEQUENCE_BITS: u32 = 16;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// 32 bits that mark the process and the time, a counter of 32 bits, and 16 bits for the sequence.
fn counted_bits() -> u128 {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX);
    u128::from(mark()) << (32 + SEQUENCE_BITS) | u128::from(count) << SEQUENCE_BITS
}

/// Differs between processes by process id, nanosecond and memory layout.
fn mark() -> u32 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let place = (&raw const COUNTER).addr();
    let mut mixed = u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or(0)
        ^ u64::from(process::id()).rotate_left(40)
        ^ u64::try_from(place).unwrap_or(0).rotate_left(20);
    // The finalizer of MurmurHash3: spreads every input bit over the whole word.
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_carries_the_time_and_never_repeats() {
        let now = Timestamp::from_millis(1_795_340_160_000);
        let seeds: HashSet<_> = (0..1_000).map(|_| RandomIds.sequence(now).next_ulid()).collect();
        assert_eq!(seeds.len(), 1_000);
        assert!(seeds.iter().all(|seed| seed.timestamp_ms() == 1_795_340_160_000));
        assert_eq!(RandomIds.sequence(Timestamp::from_millis(-1)).next_ulid().timestamp_ms(), 0);
    }

    #[test]
    fn without_a_generator_sequences_still_do_not_overlap() {
        let seeds: Vec<_> = (0..1_000).map(|_| counted_bits()).collect();
        let counts: HashSet<_> = seeds.iter().map(|seed| seed >> SEQUENCE_BITS & u128::from(u32::MAX)).collect();
        assert_eq!(counts.len(), 1_000);
        for seed in seeds {
            assert_eq!(seed >> 80, 0, "fits in 80 bits");
            assert_eq!(seed & 0xffff, 0, "leaves room for its sequence");
        }
    }
}
