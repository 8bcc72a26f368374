//! Attempts and refusals over time, in a bounded number of buckets however long the capture is.

use crate::engine::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// Bucket widths people can read. Each divides the next, so widening loses nothing.
const WIDTHS: [Nanos; 19] = [
    SECOND / 1000,
    SECOND / 200,
    SECOND / 100,
    SECOND / 20,
    SECOND / 10,
    SECOND / 2,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    5 * 60 * SECOND,
    10 * 60 * SECOND,
    30 * 60 * SECOND,
    3600 * SECOND,
    6 * 3600 * SECOND,
    24 * 3600 * SECOND,
    7 * 24 * 3600 * SECOND,
    52 * 7 * 24 * 3600 * SECOND,
];

/// What happened in one stretch of capture time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Subscribers' attempts that were let through, retransmissions not counted again.
    pub admitted: u64,
    /// Subscribers' attempts that were refused, retransmissions not counted again.
    pub refused: u64,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
    }
}

/// Consecutive buckets of one width, aligned to multiples of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    step: usize,
    /// Index of the first bucket: its start divided by the width.
    first: u64,
    buckets: Vec<Bucket>,
    buckets_max: usize,
}

impl Series {
    /// An empty series that widens its buckets rather than hold more than `buckets_max` (at least
    /// 2) of them.
    #[must_use]
    pub fn new(buckets_max: usize) -> Self {
        let buckets_max = buckets_max.max(2);
        Self {
            step: 0,
            first: 0,
            buckets: Vec::with_capacity(buckets_max),
            buckets_max,
        }
    }

    /// Counts one attempt. Time never runs backwards: what is earlier than the first bucket counts
    /// there.
    pub fn count(&mut self, time: Nanos, admitted: bool) {
        let bucket = Bucket {
            admitted: u64::from(admitted),
            refused: u64::from(!admitted),
        };
        self.add(time, bucket);
    }

    /// The same counts in at most `buckets_max` buckets.
    #[must_use]
    pub fn at_most(&self, buckets_max: usize) -> Self {
        let mut coarse = Self::new(buckets_max);
        coarse.step = self.step;
        for (start, bucket) in self.iter() {
            coarse.add(start, bucket);
        }
        coarse
    }

    /// Width of a bucket in nanoseconds.
    #[must_use]
    pub fn width(&self) -> Nanos {
        WIDTHS[self.step]
    }

    /// The buckets in order of time, each with its start.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Nanos, Bucket)> + '_ {
        let (first, width) = (self.first, self.width());
        let at = move |(index, bucket): (usize, &Bucket)| ((first + index as u64) * width, *bucket);
        self.buckets.iter().enumerate().map(at)
    }

    fn add(&mut self, time: Nanos, bucket: Bucket) {
        if self.buckets.is_empty() {
            self.first = time / self.width();
        }
        while self.index(time) >= self.buckets_max && self.step + 1 < WIDTHS.len() {
            self.widen();
        }
        let index = self.index(time).min(self.buckets_max - 1);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::default());
        }
        self.buckets[index].add(bucket);
    }

    fn index(&self, time: Nanos) -> usize {
        let index = (time / self.width()).saturating_sub(self.first);
        usize::try_from(index).unwrap_or(usize::MAX)
    }

    fn widen(&mut self) {
        let ratio = WIDTHS[self.step + 1] / WIDTHS[self.step];
        let first = self.first / ratio;
        let mut last = 0;
        for index in 0..self.buckets.len() {
            let bucket = std::mem::take(&mut self.buckets[index]);
            // Never ahead of `index`: the coarse bucket's slot has been read already.
            last = usize::try_from((self.first + index as u64) / ratio - first).unwrap_or(index);
            self.buckets[last].add(bucket);
        }
        self.buckets.truncate(last + 1);
        self.first = first;
        self.step += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_capture_is_shown_in_milliseconds() {
        let mut series = Series::new(100);
        series.count(5_000_000, true);
        series.count(5_999_999, false);
        series.count(7_000_000, false);
        let shown: Vec<_> = series
            .iter()
            .map(|(start, bucket)| (start, bucket.admitted, bucket.refused))
            .collect();
        assert_eq!(
            shown,
            [(5_000_000, 1, 1), (6_000_000, 0, 0), (7_000_000, 0, 1)]
        );
    }

    #[test]
    fn each_width_divides_the_next() {
        for pair in WIDTHS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
    }

    #[test]
    fn a_capture_longer_than_the_widest_buckets_reach_ends_in_the_last_one() {
        let mut series = Series::new(2);
        series.count(0, true);
        series.count(u64::MAX, true);
        assert_eq!(
            series
                .iter()
                .map(|(_, bucket)| bucket.admitted)
                .sum::<u64>(),
            2
        );
    }

    proptest! {
        #[test]
        fn widening_keeps_every_attempt_in_the_stretch_it_belongs_to(
            start in 0..4_000_000_000_000_000_000u64,
            gaps in prop::collection::vec(0..20_000_000_000_000u64, 1..300),
            buckets_max in 2..50usize,
        ) {
            let mut series = Series::new(buckets_max);
            let mut time = start;
            let mut times = Vec::new();
            for (index, gap) in gaps.iter().enumerate() {
                time += gap;
                times.push((time, index % 3 == 0));
                series.count(time, index % 3 == 0);
            }
            prop_assert!(series.iter().len() <= buckets_max);
            for (begin, bucket) in series.iter() {
                let inside = |admitted: bool| times.iter()
                    .filter(|(time, was)| *was == admitted && *time >= begin && *time - begin < series.width())
                    .count() as u64;
                prop_assert_eq!(bucket.admitted, inside(true));
                prop_assert_eq!(bucket.refused, inside(false));
            }
        }
    }
}
