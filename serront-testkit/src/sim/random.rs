//! The simulator's random number generator (SplitMix64): small, and the same on every platform.

/// An integer type to draw.
pub(crate) trait Number: TryFrom<u64> + TryInto<u64> + Default {}

impl<N: TryFrom<u64> + TryInto<u64> + Default> Number for N {}

/// A stream of random numbers, determined by its seed alone.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A separate stream for one purpose, so that draws of one part do not shift those of another.
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        let mixed = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut random = Self(seed ^ mixed);
        random.next();
        random
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound`, `bound` excluded; 0 if `bound` is not positive.
    pub(crate) fn below<N: Number>(&mut self, bound: N) -> N {
        let bound = bound.try_into().unwrap_or(0);
        N::try_from(self.next().checked_rem(bound).unwrap_or(0)).unwrap_or_default()
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length)
    }

    /// From `low` to `high`, both included. Neither is negative.
    pub(crate) fn between<N: Number>(&mut self, low: N, high: N) -> N {
        let (low, high) = (low.try_into().unwrap_or(0), high.try_into().unwrap_or(0));
        let drawn = low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)));
        N::try_from(drawn).unwrap_or_default()
    }

    pub(crate) fn per_mille(&mut self, chance: u32) -> bool {
        self.below(1_000) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T], otherwise: T) -> T {
        of.get(self.index(of.len())).copied().unwrap_or(otherwise)
    }
}
