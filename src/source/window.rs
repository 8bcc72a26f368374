//! The sliding window, as arithmetic on one 128-bit word.
//!
//! The window is cut into [`PARTS`] parts. A word counts the attempts admitted in the part that is
//! now and in each of the [`PARTS`] before it, nine fields in all; an attempt is admitted while
//! their sum is below the limit. Two times less than a window apart are at most [`PARTS`] parts
//! apart, so both stand in the nine fields: never more than the limit in *any* interval of the
//! window's length. And the nine fields span less than 9/8 of the window, so a source that stays
//! at or below the limit in every such interval is never refused.
//!
//! Time advances by shifting the word, and the whole state is one word, so that one
//! compare-and-swap (in `table`) admits an attempt or finds that another worker was first.

use std::time::Duration;

/// Parts of a window; one more is looked at.
pub const PARTS: u64 = 8;

const FIELD_BITS: u32 = 10;
const FIELDS: u32 = PARTS as u32 + 1;
const FIELD_MASK: u64 = (1 << FIELD_BITS) - 1;
/// The six newest fields are in the word's low half, the rest in its high half.
const LOW_BITS: u32 = 6 * FIELD_BITS;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const HIGH_MASK: u64 = (1 << (3 * FIELD_BITS)) - 1;

/// The largest count one word can hold; a larger limit is shared out over several words.
pub const SHARE_MAX: u16 = FIELD_MASK as u16;

/// At most `connections` attempts in any interval of length `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    connections: u16,
    lanes: u16,
    window_s: u32,
    part_ns: u64,
}

impl Limit {
    /// `connections` (attempts, at least 1) per `window` (whole seconds, at least one; a fraction
    /// is dropped).
    #[must_use]
    pub fn new(connections: u16, window: Duration) -> Self {
        let window_s = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        let connections = connections.max(1);
        Self {
            connections,
            lanes: connections.div_ceil(SHARE_MAX),
            ..Self::of_window(window_s)
        }
    }

    /// A limit of which only the window matters.
    pub(super) const fn of_window(window_s: u32) -> Self {
        let window_s = if window_s == 0 { 1 } else { window_s };
        Self {
            connections: 1,
            lanes: 1,
            window_s,
            part_ns: window_s as u64 * (1_000_000_000 / PARTS),
        }
    }

    /// Attempts per window.
    #[must_use]
    pub const fn connections(self) -> u16 {
        self.connections
    }

    /// The window in seconds.
    #[must_use]
    pub const fn window_s(self) -> u32 {
        self.window_s
    }

    /// How many words hold this limit: its lanes.
    #[must_use]
    pub const fn lanes(self) -> u16 {
        self.lanes
    }

    /// The share of the limit that lane `lane` holds.
    #[must_use]
    pub const fn share(self, lane: u16) -> u16 {
        let rest = self.connections - lane * SHARE_MAX;
        if rest < SHARE_MAX { rest } else { SHARE_MAX }
    }

    /// The part of the window that time `now` (nanoseconds) falls into, modulo 2³².
    ///
    /// 2³² parts are 17 years of the shortest window, far longer than an entry lives.
    #[must_use]
    pub const fn part(self, now: u64) -> u32 {
        (now / self.part_ns) as u32
    }
}

/// Nine counts, the part of time the newest belongs to, and the tenant: a number that changes when
/// the word passes to another source, so that a compare-and-swap meant for the former one must fail.
///
/// ```text
/// low half    tenant 4 │ six newest counts, 10 bits each, the newest lowest
/// high half   part 32  │ 2 spare │ three oldest counts
/// ```
///
/// The halves are what arithmetic is done on; where time has not advanced, which is most often, the
/// high one doesn't even change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    low: u64,
    high: u64,
}

impl Window {
    /// A word as it stands in a record.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self {
            low: bits as u64,
            high: (bits >> 64) as u64,
        }
    }

    /// The word for the record.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    const fn newest_part(self) -> u32 {
        (self.high >> 32) as u32
    }

    const fn is_empty(self) -> bool {
        (self.low & LOW_MASK) | (self.high & HIGH_MASK) == 0
    }

    /// The same window seen at `part`: counts that are out of sight are gone.
    ///
    /// A part in the past (another worker's clock was ahead) is taken for the newest one, which
    /// errs towards remembering.
    #[inline(always)]
    #[must_use]
    pub const fn at(self, part: u32) -> Self {
        if part == self.newest_part() {
            self
        } else {
            self.advanced_to(part)
        }
    }

    const fn advanced_to(self, part: u32) -> Self {
        let ahead = part.wrapping_sub(self.newest_part()) as i32;
        if ahead <= 0 && !self.is_empty() {
            return self;
        }
        let counts = ((self.high & HIGH_MASK) as u128) << LOW_BITS | (self.low & LOW_MASK) as u128;
        let seen = if ahead >= FIELDS as i32 || self.is_empty() {
            0
        } else {
            counts << (ahead as u32 * FIELD_BITS)
        };
        Self {
            low: self.low & !LOW_MASK | seen as u64 & LOW_MASK,
            high: (part as u64) << 32 | (seen >> LOW_BITS) as u64 & HIGH_MASK,
        }
    }

    /// How many attempts the window remembers.
    #[inline(always)]
    #[must_use]
    pub const fn admitted(self) -> u16 {
        // Neighbours are added pairwise into 20 bits, then the three pairs by a multiplication.
        const PAIR_MASK: u64 = FIELD_MASK | FIELD_MASK << 20 | FIELD_MASK << 40;
        let pairs = (self.low & PAIR_MASK) + (self.low >> FIELD_BITS & PAIR_MASK);
        let newest = pairs.wrapping_mul(1 | 1 << 20 | 1 << 40) >> 40 & 0xf_ffff;
        let oldest = (self.high & FIELD_MASK)
            + (self.high >> FIELD_BITS & FIELD_MASK)
            + (self.high >> (2 * FIELD_BITS) & FIELD_MASK);
        (newest + oldest) as u16
    }

    /// The window with one more attempt at `part`, or `None` where that would exceed `share`.
    #[inline(always)]
    #[must_use]
    pub const fn admit(self, part: u32, share: u16) -> Option<Self> {
        let now = self.at(part);
        if now.admitted() < share {
            Some(Self {
                low: now.low + 1,
                ..now
            })
        } else {
            None
        }
    }

    /// The time at which a window that is full at `now` has room again; `None` if it has now.
    ///
    /// Until then nothing is admitted, so that only the passing of parts can change the counts.
    #[must_use]
    pub fn full_until(self, limit: Limit, now: u64) -> Option<u64> {
        let share = limit.share(0);
        let mut seen = self.at(limit.part(now));
        // Another worker's clock may be ahead: what it counted goes out of sight by its parts.
        let ahead = seen.newest_part().wrapping_sub(limit.part(now));
        let mut part = now / limit.part_ns + u64::from(ahead);
        if seen.admitted() < share {
            return None;
        }
        while seen.admitted() >= share {
            seen = seen.at(seen.newest_part().wrapping_add(1));
            part += 1;
        }
        Some(part * limit.part_ns)
    }

    /// Whether nothing would be lost if the word were cleared at `part`.
    #[must_use]
    pub const fn is_empty_at(self, part: u32) -> bool {
        self.at(part).is_empty()
    }

    /// An empty word for the next source.
    #[must_use]
    pub const fn next_tenant(self) -> Self {
        Self {
            low: ((self.low >> LOW_BITS) + 1) << LOW_BITS,
            high: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The oracle: every admitted attempt's time, for ever.
    #[derive(Default)]
    struct Log(Vec<u64>);

    impl Log {
        fn since(&self, start: u64, end: u64) -> usize {
            self.0
                .iter()
                .filter(|&&time| time > start && time <= end)
                .count()
        }
    }

    fn limit(connections: u16, seconds: u64) -> Limit {
        Limit::new(connections, Duration::from_secs(seconds))
    }

    /// One source's lanes, without a table around them.
    struct Lanes(Vec<Window>, Limit);

    impl Lanes {
        fn new(limit: Limit) -> Self {
            Self(vec![Window::from_bits(0); limit.lanes().into()], limit)
        }

        fn admit(&mut self, now: u64) -> bool {
            let part = self.1.part(now);
            for lane in 0..self.1.lanes() {
                if let Some(next) = self.0[usize::from(lane)].admit(part, self.1.share(lane)) {
                    self.0[usize::from(lane)] = next;
                    return true;
                }
            }
            false
        }
    }

    fn both_bounds_hold(limit: Limit, start: u64, steps: &[u64]) {
        let window = u64::from(limit.window_s()) * 1_000_000_000;
        let mut lanes = Lanes::new(limit);
        let (mut admitted, mut asked, mut now) = (Log::default(), Log::default(), start);
        for &step in steps {
            now += step;
            asked.0.push(now);
            if lanes.admit(now) {
                admitted.0.push(now);
                let recent = admitted.since(now.saturating_sub(window), now);
                assert!(
                    recent <= limit.connections().into(),
                    "{recent} in a window at {now}"
                );
            } else {
                let asked_recently = asked.since(now.saturating_sub(window / 8 * 9), now);
                assert!(
                    asked_recently > limit.connections().into(),
                    "refused needlessly at {now}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_never_needlessly_strict(
            connections in 1u16..40, seconds in 1u64..100, start in 0u64..u64::MAX / 4,
            steps in prop::collection::vec(0f64..0.4, 1..400),
        ) {
            let window = seconds as f64 * 1e9;
            let steps: Vec<u64> = steps.iter().map(|s| (s * s * window) as u64).collect();
            both_bounds_hold(limit(connections, seconds), start, &steps);
        }

        #[test]
        fn a_limit_of_several_lanes_is_as_exact_as_one(
            connections in 1000u16..=10_000, start in 0u64..1 << 60,
            steps in prop::collection::vec(0u64..1_000_000_000, 1..12),
        ) {
            // Bursts of 900 with pauses: more than a lane, often more than the limit.
            let steps: Vec<u64> = steps.iter()
                .flat_map(|&pause| std::iter::once(pause).chain(std::iter::repeat_n(1_000, 899)))
                .collect();
            both_bounds_hold(limit(connections, 4), start, &steps);
        }
    }

    proptest! {
        /// The attempt at `until` itself is admitted, every one before it refused.
        #[test]
        fn a_full_window_says_to_the_nanosecond_when_it_opens(
            connections in 1u16..20, seconds in 1u64..100, start in 0u64..u64::MAX / 4,
            steps in prop::collection::vec(0f64..0.5, 1..200), ask in 0f64..1.0,
        ) {
            let limit = limit(connections, seconds);
            let window = seconds as f64 * 1e9;
            let mut word = Window::from_bits(0);
            let mut now = start;
            for step in steps {
                now += (step * step * window) as u64;
                let until = word.full_until(limit, now);
                let admitted = word.admit(limit.part(now), limit.share(0));
                prop_assert_eq!(until.is_none(), admitted.is_some());
                if let Some(until) = until {
                    let is_open = |at| word.admit(limit.part(at), limit.share(0)).is_some();
                    prop_assert!(until > now && until <= now + (window * 9.0 / 8.0) as u64 + 1);
                    prop_assert!(is_open(until) && !is_open(until - 1));
                    let between = now + ((until - now) as f64 * ask) as u64;
                    prop_assert!(between >= until || !is_open(between));
                }
                word = admitted.unwrap_or(word);
            }
        }
    }

    #[test]
    fn a_window_filled_by_a_worker_whose_clock_is_ahead_opens_by_that_clock() {
        let limit = limit(1, 8);
        let word = Window::from_bits(0).admit(20, 1).expect("room");
        assert_eq!(word.full_until(limit, 19_500_000_000), Some(29_000_000_000));
        assert_eq!(word.full_until(limit, 20_500_000_000), Some(29_000_000_000));
    }

    #[test]
    fn a_full_window_opens_again_after_nine_eighths_at_the_latest() {
        let limit = limit(10, 8);
        let mut lanes = Lanes::new(limit);
        for _ in 0..10 {
            assert!(lanes.admit(500_000_000));
        }
        assert!(
            !lanes.admit(8_500_000_000),
            "a whole window after the burst at most"
        );
        assert!(!lanes.admit(8_999_999_999));
        assert!(
            lanes.admit(9_000_000_000),
            "the burst's part is out of sight"
        );
    }

    #[test]
    fn a_clock_that_lags_behind_another_workers_is_counted_in_the_newest_part() {
        let limit = limit(1, 8);
        let mut lanes = Lanes::new(limit);
        assert!(lanes.admit(20_000_000_000));
        assert!(!lanes.admit(19_000_000_000));
    }

    #[test]
    fn a_fresh_word_admits_at_any_time_of_the_counters_circle() {
        for part in [0, 1, u32::MAX / 2, u32::MAX / 2 + 2, u32::MAX] {
            let once = Window::from_bits(0).admit(part, 1).expect("room for one");
            assert_eq!(once.admitted(), 1);
            assert_eq!(once.admit(part, 1), None);
            assert!(once.is_empty_at(part.wrapping_add(9)));
            assert!(!once.is_empty_at(part.wrapping_add(8)));
        }
    }

    #[test]
    fn a_word_that_passes_on_is_empty_and_differs_from_every_word_before() {
        let used = Window::from_bits(0).admit(7, 5).expect("room");
        let next = used.next_tenant();
        assert_eq!(next.admitted(), 0);
        assert_ne!(next.to_bits(), 0);
        assert_ne!(next.next_tenant(), next);
    }
}
