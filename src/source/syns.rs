//! SYNs that the workers and the kernel program tell each other of.
//!
//! While a lease runs, the kernel program refuses a source's SYNs by itself (src/bpf/lease.bpf.h has
//! the theory of it). A retransmission must still have the verdict of its first SYN, whoever gave
//! that: so workers note here every SYN that they let through, and the kernel every one that it
//! refused. Same buckets, same hash, both sides; the memory is the kernel's, mapped.
//!
//! Promises: as long as a place in a SYN's bucket is free of young SYNs that were let through, no
//! such SYN of that bucket is forgotten; where none is free, the kernel program leaves the decision
//! to the worker. So a lease never stops the retransmission of a SYN that was let through.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// How long a SYN is remembered; no shorter than `recent` does.
const LIFETIME_S: u64 = super::recent::LIFETIME_S;

/// Words in a bucket: a cache line.
pub const SYN_WAYS: usize = 8;

const STATE_BITS: u32 = 6;
const TIME_BITS: u32 = 18;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const TAG_MASK: u64 = !((1 << (STATE_BITS + TIME_BITS)) - 1);

const LET_THROUGH: u64 = 1;
const REFUSED: u64 = 2;

/// Memory that others write as well.
pub trait SharedWords: AsRef<[AtomicU64]> + fmt::Debug + Send + Sync {}

impl<T: AsRef<[AtomicU64]> + fmt::Debug + Send + Sync> SharedWords for T {}

/// One SYN, hashed as the kernel program hashes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syn(u64);

/// The SYNs that either side has seen to lately.
#[derive(Debug)]
pub struct Syns {
    memory: Box<dyn SharedWords>,
    key: [u64; 2],
}

impl Syns {
    /// Over `memory`, a multiple of [`SYN_WAYS`] words and not none; `key` is secret, or a flooder
    /// could choose SYNs that fall into one bucket.
    ///
    /// # Panics
    ///
    /// If the memory has another length.
    #[must_use]
    pub fn new(memory: Box<dyn SharedWords>, key: [u64; 2]) -> Self {
        let words = AsRef::<[AtomicU64]>::as_ref(&*memory).len();
        assert!(
            words > 0 && words.is_multiple_of(SYN_WAYS),
            "whole buckets of SYNs"
        );
        Self { memory, key }
    }

    /// A SYN over IPv4: `numbers` are its ports and its sequence number, as they stand in TCP.
    #[inline]
    #[must_use]
    pub fn ipv4(&self, source: u32, destination: u32, numbers: u64) -> Syn {
        let addresses = u64::from(source) << 32 | u64::from(destination);
        let hash = fold(addresses ^ self.key[0], numbers ^ self.key[1]);
        self.finish(hash)
    }

    /// As [`Self::ipv4`], over IPv6.
    #[inline]
    #[must_use]
    pub fn ipv6(&self, source: u128, destination: u128, numbers: u64) -> Syn {
        let mut hash = self.key[0];
        for address in [source, destination] {
            let (high, low) = ((address >> 64) as u64, address as u64);
            hash = fold(high ^ hash, low ^ self.key[1]);
        }
        self.finish(fold(numbers ^ hash, 6 ^ self.key[1]))
    }

    #[inline]
    fn finish(&self, hash: u64) -> Syn {
        Syn(fold(hash ^ self.key[1], 0x9e37_79b9_7f4a_7c15))
    }

    /// Asks for the cache line that the others read.
    #[inline]
    pub fn prefetch(&self, syn: Syn) {
        super::pages::prefetch(self.bucket(syn));
    }

    /// Whether the kernel program refused this SYN lately.
    #[inline]
    #[must_use]
    pub fn was_refused(&self, syn: Syn, now: u64) -> bool {
        let now_s = now / 1_000_000_000;
        self.bucket(syn).iter().any(|way| {
            let entry = Entry(way.load(Ordering::Relaxed));
            entry.is_of(syn) && entry.state() == REFUSED && entry.is_young(now_s)
        })
    }

    /// Notes a SYN that was let through.
    #[inline]
    pub fn note_let_through(&self, syn: Syn, now: u64) {
        let now_s = now / 1_000_000_000;
        let new = Entry::new(syn, LET_THROUGH, now_s);
        loop {
            let (way, found) = self.place_for(syn, now_s);
            let swapped =
                way.compare_exchange(found.0, new.0, Ordering::Relaxed, Ordering::Relaxed);
            // Else the kernel program or another worker took the place: another look.
            if swapped.is_ok() {
                return;
            }
        }
    }

    /// The best place to take: the SYN's own, else an old one's, else the oldest refused one's, else
    /// the oldest one's.
    #[inline]
    fn place_for(&self, syn: Syn, now_s: u64) -> (&AtomicU64, Entry) {
        let ways = self.bucket(syn).iter();
        let looks = ways.map(|way| (way, Entry(way.load(Ordering::Relaxed))));
        looks
            .max_by_key(|(_, entry)| {
                let rank = if entry.is_of(syn) {
                    3
                } else if !entry.is_young(now_s) {
                    2
                } else {
                    u8::from(entry.state() == REFUSED)
                };
                (rank, entry.age_s(now_s))
            })
            .expect("a bucket has places")
    }

    #[inline]
    fn bucket(&self, syn: Syn) -> &[AtomicU64] {
        let words = AsRef::<[AtomicU64]>::as_ref(&*self.memory);
        let buckets = (words.len() / SYN_WAYS) as u64;
        let index = (u64::from(syn.0 as u32) * buckets) >> 32;
        &words[index as usize * SYN_WAYS..][..SYN_WAYS]
    }
}

/// 40 bits of hash, 18 of time in seconds, 6 of state; 0 is nothing.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const fn new(syn: Syn, state: u64, now_s: u64) -> Self {
        Self(syn.0 & TAG_MASK | (now_s & TIME_MASK) << STATE_BITS | state)
    }

    const fn state(self) -> u64 {
        self.0 & ((1 << STATE_BITS) - 1)
    }

    const fn is_of(self, syn: Syn) -> bool {
        self.state() != 0 && (self.0 ^ syn.0) & TAG_MASK == 0
    }

    const fn age_s(self, now_s: u64) -> u64 {
        now_s.wrapping_sub(self.0 >> STATE_BITS) & TIME_MASK
    }

    const fn is_young(self, now_s: u64) -> bool {
        self.state() != 0 && self.age_s(now_s) <= LIFETIME_S
    }
}

/// Both halves of the product of two words, folded into one.
#[inline]
const fn fold(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn syns(buckets: usize) -> Syns {
        let words: Box<[AtomicU64]> = (0..buckets * SYN_WAYS).map(|_| 0.into()).collect();
        Syns::new(Box::new(words), [3, 5])
    }

    /// What the kernel program does with a SYN under a lease: whether it refuses it.
    fn kernel_refuses(syns: &Syns, syn: Syn, now: u64) -> bool {
        let now_s = now / S;
        let young = |entry: &Entry| entry.is_young(now_s);
        let entries: Vec<_> = syns
            .bucket(syn)
            .iter()
            .map(|way| Entry(way.load(Ordering::Relaxed)))
            .collect();
        if let Some(known) = entries
            .iter()
            .find(|entry| young(entry) && entry.is_of(syn))
        {
            return known.state() == REFUSED;
        }
        let free = |entry: &Entry| !young(entry) || entry.state() == REFUSED;
        let place = (0..SYN_WAYS)
            .filter(|&way| free(&entries[way]))
            .max_by_key(|&way| (!young(&entries[way]), entries[way].age_s(now_s)));
        let Some(place) = place else { return false };
        syns.bucket(syn)[place].store(Entry::new(syn, REFUSED, now_s).0, Ordering::Relaxed);
        true
    }

    proptest! {
        /// Random SYNs, few enough to meet again and many enough to crowd the one bucket, under a
        /// lease that always runs: against a list of all that was let through.
        #[test]
        fn no_lease_stops_the_retransmission_of_a_syn_that_was_let_through(
            steps in prop::collection::vec((0u32..40, any::<bool>(), 0u64..12), 1..300),
        ) {
            let syns = syns(1);
            let mut let_through: Vec<(u32, u64)> = Vec::new();
            let mut now = 1_000 * S;
            for (number, by_worker, pause_s) in steps {
                now += pause_s * S;
                let syn = syns.ipv4(number, 25, 7);
                let known = let_through.iter().rev().find(|(known, _)| *known == number);
                let is_known = known.is_some_and(|(_, at)| (now - at) / S <= LIFETIME_S);
                if by_worker && !is_known && !syns.was_refused(syn, now) {
                    syns.note_let_through(syn, now);
                    let_through.push((number, now));
                } else if kernel_refuses(&syns, syn, now) {
                    prop_assert!(!is_known, "{number} was let through");
                    prop_assert!(syns.was_refused(syn, now));
                }
            }
        }
    }

    #[test]
    fn what_the_kernel_refused_is_refused_for_128_seconds() {
        let syns = syns(4);
        let syn = syns.ipv6(1, 2, 3);
        assert!(!syns.was_refused(syn, 5 * S));
        assert!(kernel_refuses(&syns, syn, 5 * S));
        assert!(syns.was_refused(syn, 133 * S));
        assert!(!syns.was_refused(syn, 134 * S));
    }

    #[test]
    fn a_bucket_full_of_young_syns_that_were_let_through_leaves_the_decision_to_the_worker() {
        let syns = syns(1);
        for number in 0..SYN_WAYS as u32 {
            syns.note_let_through(syns.ipv4(number, 25, 0), u64::from(number) * S);
        }
        let new = syns.ipv4(99, 25, 0);
        assert!(!kernel_refuses(&syns, new, 10 * S));
        // The first of them is old now.
        assert!(kernel_refuses(&syns, new, 129 * S));
    }

    #[test]
    fn each_number_of_a_syn_counts() {
        let syns = syns(1);
        let one = syns.ipv4(1, 2, 3);
        for other in [syns.ipv4(2, 2, 3), syns.ipv4(1, 3, 3), syns.ipv4(1, 2, 4)] {
            assert_ne!(one, other);
        }
        let one = syns.ipv6(1, 2, 3);
        let shifted = syns.ipv6(1 << 64, 2, 3);
        for other in [shifted, syns.ipv6(1, 1, 3), syns.ipv6(1, 2, 4)] {
            assert_ne!(one, other);
        }
    }
}
