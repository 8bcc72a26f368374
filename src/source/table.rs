//! Records by open addressing: found, inserted, updated and recycled without locks.
//!
//! A source's record lies within `reach` slots of its home, and the home slot knows its reach: the
//! furthest any of its sources was ever put. So a look-up ends there, empty slots in between mean
//! nothing, and a record can leave without moving another.
//!
//! # The life of a slot
//!
//! ```text
//!            claim                settle                 sweep
//!   EMPTY ───────────▶ CLAIMED ───────────▶ LIVE ───────────────▶ LEAVING ──▶ EMPTY
//!     ▲                   │                  ▲    window is empty     │
//!     └───────────────────┘                  └────────────────────────┘
//!       another slot has the source             wanted again after all
//! ```
//!
//! Two workers may meet a new source at once and claim two slots for it. Each claims first and then
//! looks through the whole reach (a full fence between), so at least one sees the other: a live
//! record wins over a claim, a nearer claim over a further one, and whoever meets a claim settles
//! it instead of waiting. Only live records are charged.
//!
//! A record whose window is empty is the same as none. The sweep takes it in three steps: mark it
//! leaving, pass the window's word on (which fails if an attempt came in between), empty the slot.
//! An attempt is charged by one compare-and-swap on a word that was read *before* the record's
//! identity was checked, so it fails if the word has passed on since.

use crossbeam::utils::CachePadded;

use super::{
    pages::{huge_array, prefetch},
    sync::{AtomicU32, AtomicU64, AtomicU128, AtomicUsize, Ordering, fence},
    window::{Limit, Window},
};

/// The furthest a record may lie from its home.
const REACH_MAX: usize = 4096;

/// How many slots an insertion into a full table sweeps before it gives up.
const SWEEP_WHEN_FULL: usize = 256;

/// State, incarnation and hash of the source in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64);

/// Where a slot stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Claimed,
    Live,
    Leaving,
}

impl Identity {
    const STATE_MASK: u64 = 0b11;
    const INCARNATION_SHIFT: u32 = 2;
    const INCARNATION_MASK: u64 = 0b11_1111 << Self::INCARNATION_SHIFT;
    const HASH_MASK: u64 = !(Self::STATE_MASK | Self::INCARNATION_MASK);

    const fn state(self) -> State {
        match self.0 & Self::STATE_MASK {
            0 => State::Empty,
            1 => State::Claimed,
            2 => State::Live,
            _ => State::Leaving,
        }
    }

    const fn has_hash(self, hash: u64) -> bool {
        (self.0 ^ (hash << 8)) & Self::HASH_MASK == 0
    }

    const fn incarnation(self) -> u64 {
        (self.0 & Self::INCARNATION_MASK) >> Self::INCARNATION_SHIFT
    }

    const fn with(self, state: State) -> Self {
        Self(self.0 & !Self::STATE_MASK | state as u64)
    }

    /// The claim that `hash` lays on an empty slot.
    const fn claimed_by(self, hash: u64) -> Self {
        let incarnation = (self.0 + (1 << Self::INCARNATION_SHIFT)) & Self::INCARNATION_MASK;
        Self((hash << 8) | incarnation | State::Claimed as u64)
    }

    const fn emptied(self) -> Self {
        Self(self.0 & Self::INCARNATION_MASK)
    }
}

/// One slot, one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    identity: AtomicU64,
    /// Incarnation and window length of the tenant: what the sweep needs to tell an empty window.
    terms: AtomicU64,
    window: AtomicU128,
    /// How far from this slot the sources that have it for a home may lie.
    reach: AtomicU32,
}

impl Slot {
    fn identity(&self) -> Identity {
        Identity(self.identity.load(Ordering::Acquire))
    }

    fn turn(&self, from: Identity, to: Identity) -> bool {
        self.identity
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Writes the terms of the tenant `claim`, unless the slot has moved on.
    fn publish_terms(&self, claim: Identity, window_s: u32) {
        let terms = self.terms.load(Ordering::Acquire);
        if self.identity() == claim {
            let new = claim.incarnation() << 32 | u64::from(window_s);
            // A failure means that a helper wrote the same terms first.
            let _ = self
                .terms
                .compare_exchange(terms, new, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    fn window_s(&self) -> u32 {
        self.terms.load(Ordering::Acquire) as u32
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Within the limit; it counts.
    Admitted,
    /// Beyond the limit; it does not count.
    Refused,
    /// The table has no room for the source.
    Full,
}

/// The records.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    capacity: usize,
    /// Records that were settled and not recycled, never overstated. Workers that race for the last
    /// place may exceed the capacity by their number; the spare slots hold them.
    live: CachePadded<AtomicUsize>,
    /// Written by every worker in every batch: on a line of its own, or all would miss on `slots`.
    sweep_cursor: CachePadded<AtomicUsize>,
}

impl Table {
    /// A table for `capacity` records in `slots` slots.
    pub fn new(capacity: usize, slots: usize) -> Self {
        debug_assert!(slots >= capacity && capacity > 0);
        Self {
            slots: huge_array(slots),
            capacity,
            live: CachePadded::new(AtomicUsize::new(0)),
            sweep_cursor: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    #[cfg(all(test, not(loom)))]
    pub fn octets(&self) -> usize {
        size_of_val(&*self.slots)
    }

    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Asks for the line a look-up of `hash` begins with.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.slots[self.home(hash)]);
    }

    /// Asks for the lines behind the source's home where another source has that. It looks at the
    /// home's line, so that should have come by now.
    ///
    /// Where the source lies is a coin toss: it is selected, not branched on.
    #[inline(always)]
    pub fn prefetch_further(&self, hash: u64) {
        let home = self.home(hash);
        let is_elsewhere = usize::from(!self.slots[home].identity().has_hash(hash));
        prefetch(self.slot(home, is_elsewhere));
        prefetch(self.slot(home, 2 * is_elsewhere));
    }

    /// Charges one attempt at `now` to the source's share of its limit.
    #[inline(always)]
    pub fn admit(&self, hash: u64, limit: Limit, share: u16, now: u64) -> Admission {
        let part = limit.part(now);
        loop {
            let Some((slot, identity)) = self.find_or_insert(hash, limit, now) else {
                return Admission::Full;
            };
            // `None`: the record was recycled under our hands.
            if let Some(admission) = admit_in(slot, identity, part, share) {
                return admission;
            }
        }
    }

    /// How many attempts the source's window remembers at `now`.
    pub fn admitted(&self, hash: u64, limit: Limit, now: u64) -> u16 {
        self.find(hash, limit).map_or(0, |(slot, _)| {
            Window::from_bits(slot.window.load(Ordering::Acquire))
                .at(limit.part(now))
                .admitted()
        })
    }

    /// Until when the source's window stays full, if it is.
    pub fn full_until(&self, hash: u64, limit: Limit, now: u64) -> Option<u64> {
        let (slot, _) = self.find(hash, limit)?;
        Window::from_bits(slot.window.load(Ordering::Acquire)).full_until(limit, now)
    }

    /// Looks at the next `count` slots and empties those whose window is empty at `now`.
    pub fn sweep(&self, now: u64, count: usize) {
        let count = count.min(self.slots.len());
        let start = self.sweep_cursor.fetch_add(count, Ordering::Relaxed);
        for offset in 0..count {
            let slot = &self.slots[start.wrapping_add(offset) % self.slots.len()];
            let identity = slot.identity();
            if identity.state() == State::Live {
                self.recycle(slot, identity, now);
            }
        }
    }

    /// Multiply-shift: the high bits of the hash choose the home, the low 56 are the identity.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline(always)]
    fn slot(&self, home: usize, distance: usize) -> &Slot {
        let index = home + distance;
        let wrapped = if index < self.slots.len() {
            index
        } else {
            index - self.slots.len()
        };
        &self.slots[wrapped]
    }

    fn reach(&self, home: usize) -> usize {
        self.slots[home].reach.load(Ordering::Acquire) as usize
    }

    #[inline(always)]
    fn find_or_insert(&self, hash: u64, limit: Limit, now: u64) -> Option<(&Slot, Identity)> {
        let slot = &self.slots[self.home(hash)];
        let identity = slot.identity();
        if identity.has_hash(hash) && identity.state() == State::Live {
            return Some((slot, identity));
        }
        self.find_further(hash, limit, now)
    }

    /// The source is not at home.
    #[inline(never)]
    fn find_further(&self, hash: u64, limit: Limit, now: u64) -> Option<(&Slot, Identity)> {
        self.find(hash, limit)
            .or_else(|| self.insert(hash, limit, now))
    }

    fn find(&self, hash: u64, limit: Limit) -> Option<(&Slot, Identity)> {
        let home = self.home(hash);
        let mut distance = 0;
        while distance <= self.reach(home) {
            let slot = self.slot(home, distance);
            let identity = slot.identity();
            if identity.has_hash(hash) {
                match identity.state() {
                    State::Live => return Some((slot, identity)),
                    State::Leaving => {
                        slot.turn(identity, identity.with(State::Live));
                        continue;
                    }
                    State::Claimed => {
                        self.settle(hash, distance, identity, limit);
                        distance = 0;
                        continue;
                    }
                    State::Empty => {}
                }
            }
            distance += 1;
        }
        None
    }

    #[cold]
    fn insert(&self, hash: u64, limit: Limit, now: u64) -> Option<(&Slot, Identity)> {
        loop {
            let Some((distance, claim)) = self.claim(hash, now) else {
                // Another worker may have brought the source in and taken the last place.
                return self.find(hash, limit);
            };
            self.settle(hash, distance, claim, limit);
            if let Some(found) = self.find(hash, limit) {
                return Some(found);
            }
        }
    }

    /// Takes the nearest empty slot for `hash`; `None` if the table is full.
    fn claim(&self, hash: u64, now: u64) -> Option<(usize, Identity)> {
        if self.live() >= self.capacity {
            self.sweep(now, SWEEP_WHEN_FULL);
            if self.live() >= self.capacity {
                return None;
            }
        }
        let home = self.home(hash);
        for distance in 0..REACH_MAX.min(self.slots.len()) {
            let slot = self.slot(home, distance);
            let identity = slot.identity();
            if identity.state() == State::Empty {
                // Before the claim: whoever sees the claim must be able to reach it.
                self.slots[home]
                    .reach
                    .fetch_max(distance as u32, Ordering::AcqRel);
                let claim = identity.claimed_by(hash);
                if slot.turn(identity, claim) {
                    return Some((distance, claim));
                }
            }
        }
        None
    }

    /// Turns the claim at `distance` live, or withdraws it where another slot has the source.
    /// Any worker may do this for any claim; all would do the same.
    fn settle(&self, hash: u64, distance: usize, claim: Identity, limit: Limit) {
        let home = self.home(hash);
        let slot = self.slot(home, distance);
        slot.publish_terms(claim, limit.window_s());
        // The claim before the look around: of two claims at least one sees the other.
        fence(Ordering::SeqCst);
        let mut other_distance = 0;
        while other_distance <= self.reach(home) {
            let other = self.slot(home, other_distance);
            let identity = other.identity();
            if other_distance != distance && identity.has_hash(hash) {
                match identity.state() {
                    State::Live => return withdraw(slot, claim),
                    State::Claimed if other_distance < distance => {
                        return withdraw(slot, claim);
                    }
                    State::Claimed => withdraw(other, identity),
                    State::Leaving => {
                        other.turn(identity, identity.with(State::Live));
                        continue;
                    }
                    State::Empty => {}
                }
            }
            other_distance += 1;
        }
        if slot.turn(claim, claim.with(State::Live)) {
            // Released, so that who finds the table full by this record also finds the record.
            self.live.fetch_add(1, Ordering::Release);
        }
    }

    /// Empties a live slot if its window is empty at `now` and nobody wants it meanwhile.
    fn recycle(&self, slot: &Slot, identity: Identity, now: u64) {
        let bits = slot.window.load(Ordering::Acquire);
        let window = Window::from_bits(bits);
        let part = Limit::of_window(slot.window_s()).part(now);
        let leaving = identity.with(State::Leaving);
        if !window.is_empty_at(part) || !slot.turn(identity, leaving) {
            return;
        }
        let passed_on = slot
            .window
            .compare_exchange(
                bits,
                window.next_tenant().to_bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok();
        if !passed_on {
            slot.turn(leaving, identity);
            return;
        }
        // Counted out first: for a moment the count is too low rather than too high, so that
        // nobody finds the table full that isn't.
        self.live.fetch_sub(1, Ordering::Release);
        if !slot.turn(leaving, identity.emptied()) {
            self.live.fetch_add(1, Ordering::Release);
        }
    }
}

/// Empties a claimed slot, unless the claim was settled meanwhile.
fn withdraw(slot: &Slot, claim: Identity) {
    slot.turn(claim, claim.emptied());
}

/// Charges an attempt to the record, or `None` if the record is no longer `identity`'s.
#[inline(always)]
fn admit_in(slot: &Slot, identity: Identity, part: u32, share: u16) -> Option<Admission> {
    let mut bits = slot.window.load(Ordering::Acquire);
    loop {
        if slot.identity() != identity {
            return None;
        }
        let Some(next) = Window::from_bits(bits).admit(part, share) else {
            return Some(Admission::Refused);
        };
        match slot.window.compare_exchange(
            bits,
            next.to_bits(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => return Some(Admission::Admitted),
            Err(newer) => bits = newer,
        }
    }
}

#[cfg(all(test, loom))]
#[path = "table_loom.rs"]
mod loom_tests;

#[cfg(all(test, not(loom)))]
#[path = "table_tests.rs"]
mod tests;
