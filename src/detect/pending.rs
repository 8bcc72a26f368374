//! Attempts on their way: from a SYN's hash to whose it is, until its outcome is known.
//!
//! Buckets of one cache line, four entries each. A full bucket gives up its oldest entry, and says
//! whose it was: an attempt whose outcome can't be known any more must not count as unanswered.
//! Whoever takes an entry out has it alone, so that no outcome counts twice.

use std::sync::atomic::Ordering::Relaxed;

use portable_atomic::AtomicU128;

use super::Tick;
use crate::source::pages::{huge_array, prefetch};

const WAYS: usize = 4;
const TAG_MASK: u128 = 0xffff_ffff;
const SENT_BITS: u32 = 20;
const SENT_MASK: u64 = (1 << SENT_BITS) - 1;

/// 32 bits of hash, 32 of record, 6 of its incarnation, 20 of time, 32 of the server's sequence
/// number, and two bits of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u128);

const WAITING: u128 = 1;
const ANSWERED: u128 = 2;

impl Word {
    const RECORD: u32 = 32;
    const INCARNATION: u32 = 64;
    const SENT: u32 = 70;
    const STATE: u32 = 90;
    const NUMBER: u32 = 92;

    fn new(flow: u64, entry: Entry) -> Self {
        Self(
            u128::from(flow >> 32)
                | u128::from(entry.record) << Self::RECORD
                | u128::from(entry.incarnation & 0x3f) << Self::INCARNATION
                | u128::from(entry.sent & SENT_MASK) << Self::SENT
                | WAITING << Self::STATE,
        )
    }

    const fn is(self, flow: u64, state: u128) -> bool {
        self.0 & TAG_MASK == (flow >> 32) as u128 && self.state() == state
    }

    const fn state(self) -> u128 {
        self.0 >> Self::STATE & 0b11
    }

    const fn answered(self, number: u32) -> Self {
        Self(self.0 ^ (WAITING ^ ANSWERED) << Self::STATE | (number as u128) << Self::NUMBER)
    }

    const fn number(self) -> u32 {
        (self.0 >> Self::NUMBER) as u32
    }

    /// Ticks since it was sent.
    const fn age(self, now: Tick) -> u64 {
        now.wrapping_sub((self.0 >> Self::SENT) as u64) & SENT_MASK
    }

    const fn entry(self, now: Tick) -> Entry {
        Entry {
            record: (self.0 >> Self::RECORD) as u32,
            incarnation: (self.0 >> Self::INCARNATION) as u8 & 0x3f,
            sent: now.saturating_sub(self.age(now)),
        }
    }
}

/// Whose attempt it is, and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub record: u32,
    pub incarnation: u8,
    pub sent: Tick,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU128; WAYS]);

/// Fixed memory of attempts on their way.
#[derive(Debug)]
pub(super) struct Pending {
    buckets: Box<[Bucket]>,
}

impl Pending {
    /// Room for `entries` attempts, 16 octets each.
    pub fn new(entries: usize) -> Self {
        Self {
            buckets: huge_array(entries.div_ceil(WAYS).max(1)),
        }
    }

    pub fn octets(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn bucket(&self, flow: u64) -> &Bucket {
        let index = (u64::from(flow as u32) * self.buckets.len() as u64) >> 32;
        &self.buckets[index as usize]
    }

    #[inline]
    pub fn prefetch(&self, flow: u64) {
        prefetch(self.bucket(flow));
    }

    /// Awaits an attempt's outcome; gives the attempt that had to make room for it, if its outcome
    /// was still awaited.
    pub fn wait(&self, flow: u64, entry: Entry) -> Option<Entry> {
        let now = entry.sent;
        let oldest = |word: &Word| match word.state() {
            0 => u64::MAX,
            _ => word.age(now),
        };
        let words = self.bucket(flow).0.iter();
        let (way, word) = words
            .map(|way| (way, Word(way.load(Relaxed))))
            .max_by_key(|(_, word)| oldest(word))?;
        let new = Word::new(flow, entry);
        // Who fails has lost the place to another worker's attempt: this one is not awaited.
        match way.compare_exchange(word.0, new.0, Relaxed, Relaxed) {
            Ok(_) => (word.state() == WAITING).then(|| word.entry(now)),
            Err(_) => Some(entry),
        }
    }

    /// Takes out the attempt that is awaited under this hash.
    pub fn take(&self, flow: u64, now: Tick) -> Option<Entry> {
        let (way, word) = self.find(flow, WAITING)?;
        way.compare_exchange(word.0, 0, Relaxed, Relaxed)
            .ok()
            .map(|_| word.entry(now))
    }

    /// Notes the sequence number of the answer to an attempt.
    pub fn answer(&self, flow: u64, number: u32) {
        if let Some((way, word)) = self.find(flow, WAITING) {
            // A failure means that another answer came first.
            let _ = way.compare_exchange(word.0, word.answered(number).0, Relaxed, Relaxed);
        }
    }

    /// Takes out an answered attempt, if `number` is the answer's.
    pub fn complete(&self, flow: u64, number: u32) -> bool {
        self.find(flow, ANSWERED).is_some_and(|(way, word)| {
            word.number() == number && way.compare_exchange(word.0, 0, Relaxed, Relaxed).is_ok()
        })
    }

    fn find(&self, flow: u64, state: u128) -> Option<(&AtomicU128, Word)> {
        let words = self.bucket(flow).0.iter();
        words
            .map(|way| (way, Word(way.load(Relaxed))))
            .find(|(_, word)| word.is(flow, state))
    }
}
