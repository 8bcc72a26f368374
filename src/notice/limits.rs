//! How much one visitor may ask for: bounded counts over a while, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// So many visitors are remembered at most.
const VISITORS_MAX: usize = 65_536;

/// At most so many requests of one visitor in one period. Periods follow each other, the same for
/// everybody, so a visitor may use two shares around a turn.
#[derive(Debug)]
pub(super) struct Limit<K> {
    most: u32,
    period: Duration,
    counts: Mutex<(u128, HashMap<K, u32>)>,
}

impl<K: Eq + Hash> Limit<K> {
    pub(super) fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            counts: Mutex::new((0, HashMap::new())),
        }
    }

    /// Counts a request, and says whether it may be answered. `now` is a time that only goes on.
    pub(super) fn admits(&self, visitor: K, now: Duration) -> bool {
        let part = now.as_millis() / self.period.as_millis().max(1);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != part {
            *counts = (part, HashMap::new());
        }
        let is_full = counts.1.len() >= VISITORS_MAX;
        if is_full && !counts.1.contains_key(&visitor) {
            // More visitors than a provider has zombies: serve those who are known.
            return false;
        }
        let count = counts.1.entry(visitor).or_insert(0);
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    #[test]
    fn each_visitor_has_a_share_of_each_period() {
        let limit = Limit::new(2, PERIOD);
        for start in [Duration::ZERO, PERIOD] {
            for visitor in ["a", "b"] {
                let admitted: Vec<bool> = (0..3).map(|_| limit.admits(visitor, start)).collect();
                assert_eq!(admitted, [true, true, false], "{visitor}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_those_who_are_known_are_still_served() {
        let limit = Limit::new(2, PERIOD);
        for visitor in 0..VISITORS_MAX {
            assert!(limit.admits(visitor, Duration::ZERO));
        }
        assert!(!limit.admits(VISITORS_MAX, Duration::ZERO));
        assert!(limit.admits(0, Duration::ZERO));
        assert!(limit.admits(VISITORS_MAX, PERIOD));
    }
}
