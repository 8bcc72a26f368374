//! About how many different ones there were: linear counting, a bit for each hash.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// 65,536 bits in 8 KiB: within a few percent up to some 300,000, and too low beyond.
const WORDS: usize = 1 << 10;

/// A set that only knows about how large it is.
#[derive(Debug)]
pub(super) struct Crowd(Box<[AtomicU64]>);

impl Crowd {
    pub fn new() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts whoever has this hash, once.
    pub fn note(&self, hash: u64) {
        let word = (hash >> 6) as usize % WORDS;
        self.0[word].fetch_or(1 << (hash & 63), Relaxed);
    }

    /// About how many there were, and begins anew.
    pub fn take(&self) -> u64 {
        let taken = self.0.iter().map(|word| word.swap(0, Relaxed).count_ones());
        let taken: u32 = taken.sum();
        let bits = (64 * WORDS) as f64;
        let free = (bits - f64::from(taken)).max(1.0);
        (bits * (bits / free).ln()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn many_are_counted_nearly_and_few_exactly() {
        let crowd = Crowd::new();
        assert_eq!(crowd.take(), 0);
        let mut random = StdRng::seed_from_u64(25);
        for count in [1, 2, 10, 1000, 100_000] {
            for _ in 0..count {
                let hash = random.random();
                crowd.note(hash);
                crowd.note(hash);
            }
            let told = crowd.take();
            assert!(told.abs_diff(count) <= count / 20, "{count}: {told}");
        }
        assert_eq!(crowd.take(), 0);
    }
}
