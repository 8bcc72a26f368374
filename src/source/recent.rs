//! The attempts seen lately: a retransmitted SYN is not another attempt.
//!
//! A client that gets no answer sends its SYN again after 1, 3, 7, 15, 31 and 63 s (RFC 6298
//! §5.7; the counts are Linux's). The first one's verdict is kept here by fingerprint in buckets
//! of one cache line; in a full bucket the oldest makes room, so a flood shortens the memory and
//! costs nothing else. Two workers that write one entry at once lose one of the two: a 4-tuple
//! always comes to the same worker, so that is another attempt's memory, not a wrong one.

use super::sync::{AtomicU64, Ordering};

/// How long a SYN is remembered.
pub(super) const LIFETIME_S: u64 = 128;

/// Entries in a bucket: a cache line of words.
const WAYS: usize = 8;

/// How many verdicts an entry can tell apart.
pub const VERDICTS_MAX: usize = 63;

const VERDICT_BITS: u32 = 6;
const TIME_SHIFT: u32 = 40;
const TAG_MASK: u64 = (1 << TIME_SHIFT) - (1 << VERDICT_BITS);

/// 24 bits of time in seconds, 34 of fingerprint, 6 of verdict (plus one: no entry is 0).
///
/// Time stands highest, so that the oldest of several is the least, once all are seen from now.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const fn new(fingerprint: u64, verdict: u8, now_s: u64) -> Self {
        Self(now_s << TIME_SHIFT | fingerprint & TAG_MASK | (verdict as u64 + 1))
    }

    /// Orders entries by age: the older, the less. An empty one is older than any.
    const fn rank(self, now_s: u64) -> u64 {
        if self.0 == 0 { 0 } else { self.0.wrapping_sub((now_s + 1) << TIME_SHIFT) }
    }

    const fn age_s(self, now_s: u64) -> u64 {
        now_s.wrapping_sub(self.0 >> TIME_SHIFT) & 0xff_ffff
    }

    const fn has_tag_of(self, fingerprint: u64) -> bool {
        (self.0 ^ fingerprint) & TAG_MASK == 0
    }

    const fn verdict(self) -> Option<u8> {
        (self.0 as u8 & ((1 << VERDICT_BITS) - 1)).checked_sub(1)
    }
}

/// What is known of a SYN.
#[derive(Debug)]
pub enum Recalled<'a> {
    /// It was seen before and got this verdict.
    First(u8),
    /// It is new, and this is where to keep its verdict.
    New(Place<'a>),
}

/// Where a new attempt's verdict is kept.
#[derive(Debug)]
pub struct Place<'a> {
    entry: &'a AtomicU64,
    fingerprint: u64,
    now_s: u64,
}

impl Place<'_> {
    /// Keeps the verdict (a number below [`VERDICTS_MAX`]) for retransmissions.
    #[inline]
    pub fn keep(self, verdict: u8) {
        debug_assert!(usize::from(verdict) < VERDICTS_MAX);
        let entry = Entry::new(self.fingerprint, verdict, self.now_s);
        self.entry.store(entry.0, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

/// Fixed memory of recent attempts.
#[derive(Debug)]
pub(super) struct Recent {
    buckets: Box<[Bucket]>,
}

impl Recent {
    /// Room for `entries` attempts (at least one bucket's).
    pub fn new(entries: usize) -> Self {
        let buckets = (entries / WAYS).max(1);
        Self { buckets: (0..buckets).map(|_| Bucket::default()).collect() }
    }

    #[cfg(all(test, not(loom)))]
    pub fn octets(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The high bits of the hash choose the bucket; the tag is among the low ones.
    #[inline]
    fn bucket(&self, fingerprint: u64) -> &Bucket {
        let index = (u128::from(fingerprint) * self.buckets.len() as u128) >> 64;
        &self.buckets[index as usize]
    }

    #[inline]
    pub fn touch(&self, fingerprint: u64) -> u64 {
        self.bucket(fingerprint).0[0].load(Ordering::Relaxed)
    }

    /// Looks for the SYN, and on the way for the oldest entry, which a new one replaces.
    #[inline]
    pub fn recall(&self, fingerprint: u64, now: u64) -> Recalled<'_> {
        let now_s = now / 1_000_000_000;
        let bucket = self.bucket(fingerprint);
        // No tag is 0, so that an empty entry is nobody's.
        let fingerprint = fingerprint | 1 << VERDICT_BITS;
        let (mut same, mut oldest, mut least) = (Entry(0), 0, u64::MAX);
        for (way, entry) in bucket.0.iter().enumerate() {
            let entry = Entry(entry.load(Ordering::Relaxed));
            if entry.has_tag_of(fingerprint) {
                same = entry;
            }
            let rank = entry.rank(now_s);
            (oldest, least) = if rank < least { (way, rank) } else { (oldest, least) };
        }
        match same.verdict() {
            Some(verdict) if same.age_s(now_s) <= LIFETIME_S => Recalled::First(verdict),
            _ => Recalled::New(Place { entry: &bucket.0[oldest], fingerprint, now_s }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn first(recent: &Recent, fingerprint: u64, now: u64) -> Option<u8> {
        match recent.recall(fingerprint, now) {
            Recalled::First(verdict) => Some(verdict),
            Recalled::New(_) => None,
        }
    }

    fn keep(recent: &Recent, fingerprint: u64, verdict: u8, now: u64) {
        match recent.recall(fingerprint, now) {
            Recalled::First(_) => panic!("{fingerprint} is not new"),
            Recalled::New(place) => place.keep(verdict),
        }
    }

    #[test]
    fn a_retransmission_finds_the_verdict_of_the_first() {
        for start in [0, 5, 1_700_000_000, (1 << 24) - 30] {
            let recent = Recent::new(64);
            keep(&recent, 77 << 30, 3, start * S);
            for wait in [0, 1, 3, 7, 15, 31, 63, 127] {
                let now = (start + wait) * S;
                assert_eq!(first(&recent, 77 << 30, now), Some(3), "{wait} s after {start}");
            }
        }
    }

    #[test]
    fn an_old_syn_is_forgotten_even_if_nothing_replaced_it() {
        let recent = Recent::new(64);
        keep(&recent, 77 << 30, 3, 0);
        assert_eq!(first(&recent, 77 << 30, 129 * S), None);
        assert_eq!(first(&recent, 77 << 30, 40_000 * S), None);
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_first() {
        for start in [0, 1_700_000_000, (1 << 24) - 3] {
            let recent = Recent::new(WAYS);
            for n in 0..=WAYS as u64 {
                keep(&recent, (n + 1) << 30, n as u8, (start + n) * S);
            }
            let now = (start + WAYS as u64) * S;
            assert_eq!(first(&recent, 1 << 30, now), None);
            for n in 1..=WAYS as u64 {
                assert_eq!(first(&recent, (n + 1) << 30, now), Some(n as u8), "{n} of {start}");
            }
        }
    }

    #[test]
    fn a_fingerprint_of_zero_bits_is_not_an_empty_entry() {
        let recent = Recent::new(8);
        assert_eq!(first(&recent, 0, 0), None);
        keep(&recent, 0, 0, 0);
        assert_eq!(first(&recent, 0, 0), Some(0));
    }
}
