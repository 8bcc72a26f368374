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

/// 40 bits of fingerprint, 16 of time in seconds, 8 of verdict (plus one, so that no entry is 0).
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const TAG_MASK: u64 = !0xff_ffff;

    const fn new(fingerprint: u64, verdict: u8, now_s: u64) -> Self {
        Self(fingerprint & Self::TAG_MASK | (now_s & 0xffff) << 8 | (verdict as u64 + 1))
    }

    const fn age_s(self, now_s: u64) -> u64 {
        now_s.wrapping_sub(self.0 >> 8) & 0xffff
    }

    const fn verdict(self) -> u8 {
        (self.0 as u8).wrapping_sub(1)
    }

    const fn matches(self, fingerprint: u64, now_s: u64) -> bool {
        (self.0 ^ fingerprint) & Self::TAG_MASK == 0
            && self.0 as u8 != 0
            && self.age_s(now_s) <= LIFETIME_S
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

    /// The tag is the hash's high 40 bits; its low bits, mixed by a multiplication, choose the
    /// bucket, so that tag and place together tell more than either.
    #[inline]
    fn bucket(&self, fingerprint: u64) -> &Bucket {
        let mixed = fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        &self.buckets[((u128::from(mixed) * self.buckets.len() as u128) >> 64) as usize]
    }

    #[inline]
    pub fn touch(&self, fingerprint: u64) -> u64 {
        self.bucket(fingerprint).0[0].load(Ordering::Relaxed)
    }

    #[inline]
    pub fn verdict_of_first(&self, fingerprint: u64, now: u64) -> Option<u8> {
        let now_s = now / 1_000_000_000;
        self.bucket(fingerprint)
            .0
            .iter()
            .map(|entry| Entry(entry.load(Ordering::Relaxed)))
            .find(|entry| entry.matches(fingerprint, now_s))
            .map(Entry::verdict)
    }

    #[inline]
    pub fn remember(&self, fingerprint: u64, verdict: u8, now: u64) {
        debug_assert!(verdict < u8::MAX);
        let now_s = now / 1_000_000_000;
        let bucket = self.bucket(fingerprint);
        let oldest = (0..WAYS)
            .max_by_key(|&way| match bucket.0[way].load(Ordering::Relaxed) {
                0 => u64::MAX,
                used => Entry(used).age_s(now_s),
            })
            .unwrap_or(0);
        bucket.0[oldest].store(Entry::new(fingerprint, verdict, now_s).0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_retransmission_finds_the_verdict_of_the_first() {
        let recent = Recent::new(64);
        assert_eq!(recent.verdict_of_first(77 << 30, 5 * S), None);
        recent.remember(77 << 30, 3, 5 * S);
        for wait in [0, 1, 3, 7, 15, 31, 63, 127] {
            assert_eq!(recent.verdict_of_first(77 << 30, (5 + wait) * S), Some(3), "{wait} s");
        }
    }

    #[test]
    fn an_old_syn_is_forgotten_even_if_nothing_replaced_it() {
        let recent = Recent::new(64);
        recent.remember(77 << 30, 3, 0);
        assert_eq!(recent.verdict_of_first(77 << 30, 129 * S), None);
        assert_eq!(recent.verdict_of_first(77 << 30, 40_000 * S), None);
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_first() {
        let recent = Recent::new(WAYS);
        for n in 0..=WAYS as u64 {
            recent.remember((n + 1) << 30, n as u8, n * S);
        }
        let now = WAYS as u64 * S;
        assert_eq!(recent.verdict_of_first(1 << 30, now), None);
        for n in 1..=WAYS as u64 {
            assert_eq!(recent.verdict_of_first((n + 1) << 30, now), Some(n as u8));
        }
    }

    #[test]
    fn a_fingerprint_of_zero_bits_is_not_an_empty_entry() {
        let recent = Recent::new(8);
        assert_eq!(recent.verdict_of_first(0, 0), None);
        recent.remember(0, 0, 0);
        assert_eq!(recent.verdict_of_first(0, 0), Some(0));
    }
}
