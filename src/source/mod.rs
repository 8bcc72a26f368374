//! The source table: may this subscriber open one more connection now?
//!
//! Promises, under any interleaving of workers (design invariants 2 and 5):
//!
//! - never more admitted attempts than the limit in any interval of the window's length, and no
//!   refusal for a source that stays within its limit in every interval of 9/8 of it (`window`);
//! - fixed memory, [`OCTETS_PER_SOURCE`] a source, all of it taken at start; a full table says so;
//! - no locks: records are found, inserted, charged and recycled by compare-and-swap (`table`);
//! - a retransmitted SYN is known for what it is (`recent`).
//!
//! A *source* here is a subscriber and a [`Meter`]: what a subscriber sends to the relays and what
//! it sends to strangers are limited apart, so each has its own record and its own cache line.

pub mod pages;
mod recent;
mod sync;
mod syns;
mod table;
mod window;

use std::hash::{BuildHasher, Hasher};

use foldhash::{SharedSeed, quality::SeedableRandomState};
use ipnet::IpNet;

use self::{recent::Recent, table::Table};

pub use self::{
    recent::{Place, Recalled, VERDICTS_MAX},
    syns::{SYN_WAYS, SharedWords, Syn, Syns},
    table::Admission,
    window::{Limit, PARTS, SHARE_MAX, Window},
};

/// What one source costs, all in: slots to spare for short probes, and the memory of recent
/// attempts. One more is paid per lane of a limit above [`SHARE_MAX`].
pub const OCTETS_PER_SOURCE: usize = 96;

/// What a table for `capacity` sources costs: [`OCTETS_PER_SOURCE`] each, and in a small table the
/// least memory of recent attempts.
#[must_use]
pub const fn octets(capacity: usize) -> usize {
    let recent = capacity * RECENT_PER_SOURCE * 8;
    let least = RECENT_MIN * 8;
    capacity * OCTETS_PER_SOURCE + least.saturating_sub(recent)
}

/// Slots are five for every four sources: 80 octets a source.
const SLOTS_PER_4_SOURCES: usize = 5;

/// Recent attempts remembered per source, 8 octets each. They are shared: a zombie uses more.
const RECENT_PER_SOURCE: usize = 2;

/// Recent attempts remembered at the least (512 KiB), so that a few zombies in a small table don't
/// make it forget which SYNs are retransmissions.
const RECENT_MIN: usize = 1 << 16;

/// Which of a subscriber's limits an attempt is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Meter {
    /// Port 25, to anyone but a relay.
    Smtp,
    /// Ports 587 and 465, to anyone but a relay.
    Submission,
    /// Any mail port of a relay.
    Relay,
}

/// A subscriber and a meter, hashed with the table's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u64);

/// One SYN, hashed with the table's key: its 4-tuple, its sequence number, whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The hash itself, for tables that are not this module's.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Every subscriber's windows, and the attempts seen lately. Shared by all workers.
#[derive(Debug)]
pub struct SourceTable {
    table: Table,
    recent: Recent,
    hasher: SeedableRandomState,
}

impl SourceTable {
    /// A table for `capacity` sources (at least one), its hash keyed by `seed`, or at random.
    ///
    /// The random key keeps a flooder from choosing sources that fall into one place.
    #[must_use]
    pub fn new(capacity: usize, seed: Option<u64>) -> Self {
        let capacity = capacity.max(1);
        let hasher = match seed {
            Some(seed) => SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            None => SeedableRandomState::with_seed(rand::random(), SharedSeed::global_random()),
        };
        Self {
            table: Table::new(capacity, capacity * SLOTS_PER_4_SOURCES / 4),
            recent: Recent::new((capacity * RECENT_PER_SOURCE).max(RECENT_MIN)),
            hasher,
        }
    }

    /// The source that the attempts of `key` (host bits zero) on `meter` are charged to.
    ///
    /// The window's length is part of it: a policy that changes the length starts a new window,
    /// one that changes the number of connections goes on with the old.
    #[inline(always)]
    #[must_use]
    pub fn source(&self, key: IpNet, meter: Meter, limit: Limit) -> Source {
        let terms = u128::from(limit.window_s()) << 32
            | u128::from(key.prefix_len()) << 16
            | u128::from(meter as u8) << 8;
        // The key is a network address already: nothing to mask.
        Source(match key {
            IpNet::V4(prefix) => {
                self.hash(&[u128::from(prefix.addr().to_bits()) << 64 | terms | 4])
            }
            IpNet::V6(prefix) => self.hash(&[prefix.addr().to_bits(), terms | 6]),
        })
    }

    /// The fingerprint of one SYN: `words` hold all that tells it from others.
    #[inline(always)]
    #[must_use]
    pub fn fingerprint(&self, words: &[u128]) -> Fingerprint {
        Fingerprint(self.hash(words))
    }

    /// Asks for the cache line that [`Self::admit`] begins with.
    #[inline(always)]
    pub fn prefetch_source(&self, source: Source) {
        self.table.prefetch(source.0);
    }

    /// Asks for the cache lines that [`Self::admit`] goes on with where the first one, which should
    /// have come by now, is not this source's.
    #[inline(always)]
    pub fn prefetch_further(&self, source: Source) {
        self.table.prefetch_further(source.0);
    }

    /// Asks for the cache line that [`Self::recall`] reads.
    #[inline(always)]
    pub fn prefetch_recent(&self, fingerprint: Fingerprint) {
        self.recent.prefetch(fingerprint.0);
    }

    /// Charges an attempt at `now` (nanoseconds) to `source`.
    #[inline(always)]
    pub fn admit(&self, source: Source, limit: Limit, now: u64) -> Admission {
        match self.table.admit(source.0, limit, limit.share(0), now) {
            Admission::Refused if limit.lanes() > 1 => self.admit_in_lanes(source, limit, now),
            decided => decided,
        }
    }

    /// Tries the lanes after the first. Each is exact, and together they hold what was admitted in
    /// the same nine parts, so that one of them has room exactly while the limit is not reached.
    #[cold]
    fn admit_in_lanes(&self, source: Source, limit: Limit, now: u64) -> Admission {
        for lane in 1..limit.lanes() {
            match self
                .table
                .admit(self.lane(source, lane), limit, limit.share(lane), now)
            {
                Admission::Refused => {}
                decided => return decided,
            }
        }
        Admission::Refused
    }

    /// Until when every new attempt of `source` is refused, whatever comes meanwhile, since its
    /// window is full at `now`. `None` if it isn't, or if the limit has several lanes.
    #[must_use]
    pub fn full_until(&self, source: Source, limit: Limit, now: u64) -> Option<u64> {
        if limit.lanes() > 1 {
            return None;
        }
        self.table.full_until(source.0, limit, now)
    }

    /// How many attempts of `source` the window remembers at `now`.
    #[must_use]
    pub fn admitted(&self, source: Source, limit: Limit, now: u64) -> u32 {
        let in_lanes = (1..limit.lanes())
            .map(|lane| u32::from(self.table.admitted(self.lane(source, lane), limit, now)));
        u32::from(self.table.admitted(source.0, limit, now)) + in_lanes.sum::<u32>()
    }

    /// What is known of a SYN seen at `now`: the verdict of the first within the last 128 s, or
    /// where to keep the verdict of this one.
    #[inline]
    #[must_use]
    pub fn recall(&self, fingerprint: Fingerprint, now: u64) -> Recalled<'_> {
        self.recent.recall(fingerprint.0, now)
    }

    /// Recycles records whose window is empty among the next `slots` slots.
    pub fn sweep(&self, now: u64, slots: usize) {
        self.table.sweep(now, slots);
    }

    /// Records in use.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.live()
    }

    fn lane(&self, source: Source, lane: u16) -> u64 {
        self.hash(&[u128::from(source.0) << 64 | u128::from(lane)])
    }

    /// 128 bits at a time: one multiplication each.
    #[inline(always)]
    fn hash(&self, words: &[u128]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for &word in words {
            hasher.write_u128(word);
        }
        hasher.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
