//! The attempts seen lately: a retransmitted SYN is not another attempt.
//!
//! A client that gets no answer sends its SYN again after 1, 3, 7, 15, 31 and 63 s (RFC 6298
//! §5.7; the counts are Linux's). The first one's verdict is kept here by fingerprint in buckets
//! of one cache line. A bucket is a queue: the new enters in front, the oldest falls out behind, so
//! a flood shortens the memory and costs nothing else. Two workers in one bucket at once may lose
//! or double an entry of it: a 4-tuple always comes to the same worker, so that is some other
//! attempt's memory, never a wrong one.

use super::{
    pages::{huge_array, prefetch},
    sync::{AtomicU64, Ordering},
};

/// How long a SYN is remembered.
pub(super) const LIFETIME_S: u64 = 128;

/// Entries in a bucket: a cache line of words.
const WAYS: usize = 8;

/// How many verdicts an entry can tell apart.
pub const VERDICTS_MAX: usize = 63;

const VERDICT_BITS: u32 = 6;
const TIME_BITS: u32 = 18;
const TAG_MASK: u64 = !((1 << (VERDICT_BITS + TIME_BITS)) - 1);

/// 40 bits of fingerprint, 18 of time in seconds (three days), 6 of verdict (plus one, so that no
/// entry is 0).
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const fn new(fingerprint: u64, verdict: u8, now_s: u64) -> Self {
        let time = now_s & ((1 << TIME_BITS) - 1);
        Self(fingerprint & TAG_MASK | time << VERDICT_BITS | (verdict as u64 + 1))
    }

    const fn age_s(self, now_s: u64) -> u64 {
        now_s.wrapping_sub(self.0 >> VERDICT_BITS) & ((1 << TIME_BITS) - 1)
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
    bucket: &'a Bucket,
    fingerprint: u64,
    now_s: u64,
}

impl Place<'_> {
    /// Keeps the verdict (a number below [`VERDICTS_MAX`]) for retransmissions.
    #[inline]
    pub fn keep(self, verdict: u8) {
        debug_assert!(usize::from(verdict) < VERDICTS_MAX);
        let Bucket(ways) = self.bucket;
        for way in (1..WAYS).rev() {
            ways[way].store(ways[way - 1].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let entry = Entry::new(self.fingerprint, verdict, self.now_s);
        ways[0].store(entry.0, Ordering::Relaxed);
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
        Self {
            buckets: huge_array(buckets),
        }
    }

    #[cfg(all(test, not(loom)))]
    pub fn octets(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The low half of the hash, which the tag has little of, chooses the bucket.
    #[inline]
    fn bucket(&self, fingerprint: u64) -> &Bucket {
        let index = (u64::from(fingerprint as u32) * self.buckets.len() as u64) >> 32;
        &self.buckets[index as usize]
    }

    #[inline]
    pub fn prefetch(&self, fingerprint: u64) {
        prefetch(self.bucket(fingerprint));
    }

    #[inline]
    pub fn recall(&self, fingerprint: u64, now: u64) -> Recalled<'_> {
        let now_s = now / 1_000_000_000;
        let bucket = self.bucket(fingerprint);
        let same = bucket
            .0
            .iter()
            .map(|entry| Entry(entry.load(Ordering::Relaxed)))
            .find(|entry| entry.has_tag_of(fingerprint));
        match same.and_then(|entry| Some((entry.age_s(now_s), entry.verdict()?))) {
            Some((age_s, verdict)) if age_s <= LIFETIME_S => Recalled::First(verdict),
            _ => Recalled::New(Place {
                bucket,
                fingerprint,
                now_s,
            }),
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
        for start in [0, 5, 1_700_000_000, (1 << 18) - 30] {
            let recent = Recent::new(64);
            keep(&recent, 77 << 34, 3, start * S);
            for wait in [0, 1, 3, 7, 15, 31, 63, 127] {
                let now = (start + wait) * S;
                assert_eq!(
                    first(&recent, 77 << 34, now),
                    Some(3),
                    "{wait} s after {start}"
                );
            }
        }
    }

    #[test]
    fn an_old_syn_is_forgotten_even_if_nothing_replaced_it() {
        let recent = Recent::new(64);
        keep(&recent, 77 << 34, 3, 0);
        assert_eq!(first(&recent, 77 << 34, 129 * S), None);
        assert_eq!(first(&recent, 77 << 34, 40_000 * S), None);
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_first() {
        for start in [0, 1_700_000_000, (1 << 18) - 3] {
            let recent = Recent::new(WAYS);
            for n in 0..=WAYS as u64 {
                keep(&recent, (n + 1) << 34, n as u8, (start + n) * S);
            }
            let now = (start + WAYS as u64) * S;
            assert_eq!(first(&recent, 1 << 34, now), None);
            for n in 1..=WAYS as u64 {
                assert_eq!(
                    first(&recent, (n + 1) << 34, now),
                    Some(n as u8),
                    "{n} of {start}"
                );
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
