//! Everybody's records, and the attempts on their way. Shared by all workers.

use std::{
    net::IpAddr,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crossbeam::utils::CachePadded;
use ipnet::IpNet;
use portable_atomic::{AtomicU64, AtomicUsize};

use super::{
    Event, Finding, Flag, Sketch, TICK_SHIFT, Terms, Tick,
    pending::{Entry, Pending},
    record::{Dossier, Record},
    tick,
};
use crate::source::pages::{huge_array, prefetch};

/// Records a look-up goes through from its home on.
const PROBES: usize = 32;
/// A record whose subscriber made no attempt for a day may be another's.
const FORGOTTEN_AFTER: u64 = 86_400_000_000_000 >> TICK_SHIFT;
/// Attempts on their way for each record, and as many of those who have none.
const PENDING_PER_RECORD: usize = 2;
/// At least so many of each.
const PENDING_MIN: usize = 1 << 14;
const RESERVED: u64 = 1;
const INCARNATION_MASK: u64 = 0x3f;
/// Set in every identity, so that none is empty or reserved.
const PRESENT: u64 = 0x40;

/// What an observer of so many subscribers costs in memory.
#[must_use]
pub const fn octets(subscribers: usize) -> usize {
    let record = size_of::<Record>() + size_of::<Dossier>() + size_of::<Sketch>();
    let awaited = subscribers * PENDING_PER_RECORD;
    let awaited = if awaited < PENDING_MIN {
        PENDING_MIN
    } else {
        awaited
    };
    slots(subscribers) * record + 2 * awaited * 16
}

const fn slots(subscribers: usize) -> usize {
    subscribers * 3 / 2 + PROBES
}

/// An attempt, as the engine sees it. Hashes are keyed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Hash of the subscriber.
    pub source: u64,
    /// Hash of the destination.
    pub contact: u64,
    /// Hash of the SYN.
    pub flow: u64,
    /// The subscriber's accounting key.
    pub key: IpNet,
    /// Index of the subscriber's class.
    pub class: u16,
    /// Where to.
    pub destination: IpAddr,
    /// Whether it goes to port 25 of a server that is not a relay.
    pub direct: bool,
    /// Whether the subscriber is bound to its pool's VLAN.
    pub bound: bool,
    /// Whether it was let through, so that there will be an outcome.
    pub crossed: bool,
}

/// Records of subscribers and of attempts on their way.
#[derive(Debug)]
pub struct Observer {
    records: Box<[Record]>,
    dossiers: Box<[Dossier]>,
    sketches: Box<[Sketch]>,
    /// Attempts of subscribers who have a record.
    awaited: Pending,
    /// Attempts of those who have none, in case they complete a handshake.
    unproven: Pending,
    counts: CachePadded<Totals>,
    cursor: CachePadded<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Totals {
    observed: AtomicU64,
    unproven: AtomicU64,
    full: AtomicU64,
}

/// A record in use.
#[derive(Clone, Copy)]
struct Found {
    index: usize,
    incarnation: u8,
}

impl Observer {
    /// An observer of at most so many subscribers at once.
    #[must_use]
    pub fn new(subscribers: usize) -> Self {
        let slots = slots(subscribers.max(1));
        let pending = (subscribers * PENDING_PER_RECORD).max(PENDING_MIN);
        Self {
            records: huge_array(slots),
            dossiers: huge_array(slots),
            sketches: huge_array(slots),
            awaited: Pending::new(pending),
            unproven: Pending::new(pending),
            counts: CachePadded::new(Totals::default()),
            cursor: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    /// Memory that it holds, in octets.
    #[must_use]
    pub fn octets(&self) -> usize {
        size_of_val(&*self.records)
            + size_of_val(&*self.dossiers)
            + size_of_val(&*self.sketches)
            + self.awaited.octets()
            + self.unproven.octets()
    }

    /// Subscribers whose observation began.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.counts.observed.load(Relaxed)
    }

    /// Attempts in the name of subscribers who have not proved that they make them: they are
    /// blamed on nobody.
    #[must_use]
    pub fn unproven(&self) -> u64 {
        self.counts.unproven.load(Relaxed)
    }

    /// Times that a subscriber could not be observed for want of room.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.counts.full.load(Relaxed)
    }

    /// Asks for the cache lines that [`Self::attempt`] begins with.
    #[inline]
    pub fn prefetch(&self, source: u64, flow: u64) {
        prefetch(&self.records[self.home(source)]);
        self.awaited.prefetch(flow);
    }

    /// Asks for those that it goes on with: where the subscriber's record, which should have come
    /// by now, is another's, the next one.
    #[inline]
    pub fn prefetch_further(&self, source: u64, contact: u64) {
        let home = self.home(source);
        let identity = self.records[home].identity.load(Relaxed);
        let is_elsewhere = identity & !INCARNATION_MASK != Self::identity(source, 0);
        let index = home + usize::from(is_elsewhere);
        prefetch(&self.records[index]);
        prefetch(self.sketches[index].line(contact));
    }

    /// Asks for the cache lines that an answer will want.
    #[inline]
    pub fn prefetch_answer(&self, flow: u64) {
        self.awaited.prefetch(flow);
        self.unproven.prefetch(flow);
    }

    /// A new attempt (no retransmission) at `now` nanoseconds.
    pub fn attempt(&self, terms: &Terms, attempt: &Attempt, now: u64) -> Option<Flag> {
        let found = match self.find(attempt.source) {
            Some(found) => found,
            None if attempt.bound => self.begin(attempt.source, attempt.key, attempt.class, now)?,
            None => {
                self.counts.unproven.fetch_add(1, Relaxed);
                if attempt.crossed {
                    let nobody = Entry {
                        record: u32::MAX,
                        incarnation: 0,
                        sent: tick(now),
                    };
                    self.unproven.wait(attempt.flow, nobody);
                }
                return None;
            }
        };
        // What is overdue counts before what comes now.
        let settled = self.settle(found.index, terms, tick(now));
        let finding = if attempt.direct {
            self.direct(terms, attempt, found, tick(now))
        } else {
            self.relayed(terms, found, tick(now))
        };
        settled.or_else(|| self.flag(found.index, terms, finding?, now))
    }

    /// To a submission port or a relay: a hijacked account's have few destinations and succeed.
    fn relayed(&self, terms: &Terms, found: Found, now: Tick) -> Option<Finding> {
        let record = &self.records[found.index];
        record.live_on(now);
        let exceeded = record.step_submission(&terms.submission?, now).is_some();
        exceeded.then_some(Finding::Submission)
    }

    fn direct(&self, terms: &Terms, attempt: &Attempt, found: Found, now: Tick) -> Option<Finding> {
        let (record, sketch) = (&self.records[found.index], &self.sketches[found.index]);
        let (is_first, cells) = record.contact(sketch, &terms.destinations, attempt.contact, now);
        self.dossiers[found.index].sample(record.attempts(), attempt.destination);
        let volume = terms.volume;
        let exceeded = volume.is_some_and(|volume| record.step_direct(&volume, now).is_some());
        if let Some(test) = terms.outcomes
            && is_first
            && attempt.crossed
        {
            record.step_trial(&test, Event::Attempt, now);
            let entry = Entry {
                record: found.index as u32,
                incarnation: found.incarnation,
                sent: now,
            };
            if let Some(evicted) = self.awaited.wait(attempt.flow, entry) {
                self.forget(evicted, &test, now);
            }
        }
        if terms.destinations.suspects(cells) {
            Some(Finding::Destinations)
        } else {
            exceeded.then_some(Finding::Volume)
        }
    }

    /// An attempt that had to make room. Its test may be another class's: that only moves the time
    /// until which it counts as awaited.
    fn forget(&self, entry: Entry, test: &super::Sequential, now: Tick) {
        if let Some(index) = self.current(entry) {
            self.records[index].step_trial(test, Event::Forgotten(entry.sent), now);
        }
    }

    /// An answer (SYN-ACK) to the attempt `flow` with the server's sequence number.
    pub fn answered(
        &self,
        terms: impl Fn(u16) -> Option<Terms>,
        flow: u64,
        number: u32,
        now: u64,
    ) -> Option<Flag> {
        self.unproven.answer(flow, number);
        self.outcome(terms, flow, now, true, Event::Answered)
    }

    /// A reset that answers the attempt `flow`, or a message that it is unreachable.
    pub fn refused(
        &self,
        terms: impl Fn(u16) -> Option<Terms>,
        flow: u64,
        is_reset: bool,
        now: u64,
    ) -> Option<Flag> {
        self.unproven.take(flow, tick(now));
        self.outcome(terms, flow, now, is_reset, Event::Refused)
    }

    fn outcome(
        &self,
        terms: impl Fn(u16) -> Option<Terms>,
        flow: u64,
        now: u64,
        is_reset: bool,
        event: impl Fn(Tick) -> Event,
    ) -> Option<Flag> {
        let time = tick(now);
        let entry = self.awaited.take(flow, time)?;
        let index = self.current(entry)?;
        let terms = terms(self.dossiers[index].owner().1)?;
        let settled = self.settle(index, &terms, time);
        let event = event(entry.sent);
        let step = self.records[index].step_trial(&terms.outcomes?, event, time);
        self.dossiers[index].count(event, is_reset, &step);
        let finding = step.suspect.map(|_| Finding::Outcomes);
        settled.or_else(|| self.flag(index, &terms, finding?, now))
    }

    /// The client's half of a handshake: it acknowledges the server's sequence number, which
    /// nobody can know who only pretends to have its address. Its observation begins.
    pub fn completed(
        &self,
        flow: u64,
        number: u32,
        source: u64,
        (key, class): (IpNet, u16),
        now: u64,
    ) {
        if self.unproven.complete(flow, number) && self.find(source).is_none() {
            self.begin(source, key, class, now);
        }
    }

    /// A SYN-ACK from port 25 that nobody asked for. It is evidence against those who are observed
    /// and no more than that: anybody on the internet can send one.
    pub fn orphan(&self, terms: &Terms, source: u64, now: u64) -> Option<Flag> {
        let found = self.find(source)?;
        let settled = self.settle(found.index, terms, tick(now));
        self.dossiers[found.index].orphan();
        settled
    }

    /// Settles what is overdue among the next `count` records; `found` is told who is flagged.
    pub fn sweep(
        &self,
        terms: impl Fn(u16) -> Option<Terms>,
        count: usize,
        now: u64,
        mut found: impl FnMut(Flag),
    ) {
        let count = count.min(self.records.len());
        let start = self.cursor.fetch_add(count, Relaxed);
        for offset in 0..count {
            let index = start.wrapping_add(offset) % self.records.len();
            if self.records[index].trial().awaited() > 0
                && let Some(terms) = terms(self.dossiers[index].owner().1)
            {
                self.settle(index, &terms, tick(now)).map(&mut found);
            }
        }
    }

    /// Settles what is overdue among all records.
    pub fn settle_all(
        &self,
        terms: impl Fn(u16) -> Option<Terms>,
        now: u64,
        found: impl FnMut(Flag),
    ) {
        self.sweep(terms, self.records.len(), now, found);
    }

    /// Counts what is overdue as failed, each at its time: so that what is known at the moment of
    /// suspicion is the same whenever that is looked at.
    fn settle(&self, index: usize, terms: &Terms, now: Tick) -> Option<Flag> {
        let (test, record) = (terms.outcomes?, &self.records[index]);
        let mut flag = None;
        while let Some(due) = test.due(record.trial(), now) {
            let step = record.step_trial(&test, Event::Time, due);
            self.dossiers[index].count(Event::Time, false, &step);
            if step.suspect.is_some() {
                let suspected = self.flag(index, terms, Finding::Outcomes, due << TICK_SHIFT);
                flag = flag.or(suspected);
            }
        }
        flag
    }

    /// Judges a subscriber anew, who was flagged and is released. Looks through all records: people
    /// release, not frames.
    pub fn rearm(&self, key: IpNet) {
        for (record, dossier) in self.records.iter().zip(&self.dossiers) {
            if record.life().is_flagged() && dossier.owner().0 == key {
                record.rearm();
            }
        }
    }

    /// A complaint about a subscriber. It raises the suspicion of whoever is observed, half the way
    /// at most; whether anybody was. Looks through all records: people complain, not frames.
    pub fn complained(&self, key: IpNet, terms: &Terms, now: u64) -> bool {
        let Some(test) = terms.outcomes else {
            return false;
        };
        let mut records = self.records.iter().zip(&self.dossiers);
        let found = records.find(|(record, dossier)| {
            record.identity.load(Acquire) & PRESENT != 0 && dossier.owner().0 == key
        });
        if let Some((record, _)) = found {
            record.step_trial(&test, Event::Complaint, tick(now));
        }
        found.is_some()
    }

    fn flag(&self, index: usize, terms: &Terms, detector: Finding, time: u64) -> Option<Flag> {
        let record = &self.records[index];
        if !record.flag() {
            return None;
        }
        let (key, class) = self.dossiers[index].owner();
        Some(Flag {
            key,
            class,
            detector,
            time,
            attempts: record.attempts(),
            destinations: record.destinations(),
            evidence: record.evidence(&self.dossiers[index], terms, tick(time)),
        })
    }

    fn current(&self, entry: Entry) -> Option<usize> {
        let index = entry.record as usize;
        let identity = self.records.get(index)?.identity.load(Acquire);
        let is_current =
            identity & PRESENT != 0 && identity & INCARNATION_MASK == u64::from(entry.incarnation);
        is_current.then_some(index)
    }

    #[inline]
    fn home(&self, source: u64) -> usize {
        ((u128::from(source) * (self.records.len() - PROBES) as u128) >> 64) as usize
    }

    fn found(&self, index: usize) -> Found {
        let identity = self.records[index].identity.load(Relaxed);
        Found {
            index,
            incarnation: (identity & INCARNATION_MASK) as u8,
        }
    }

    const fn identity(source: u64, incarnation: u64) -> u64 {
        source & !INCARNATION_MASK | PRESENT | incarnation & INCARNATION_MASK
    }

    #[inline]
    fn find(&self, source: u64) -> Option<Found> {
        let (home, wanted) = (self.home(source), Self::identity(source, 0));
        let identities = self.records[home..home + PROBES].iter();
        identities
            .map(|record| record.identity.load(Acquire))
            // A record was never used, then none behind it was ever begun from this home.
            .take_while(|&identity| identity != 0)
            .position(|identity| identity & !INCARNATION_MASK == wanted)
            .map(|distance| self.found(home + distance))
    }

    /// Takes the first record that is empty or forgotten. Two workers that begin with the same
    /// subscriber at once may take two: the further one is never found again, and forgotten.
    #[cold]
    fn begin(&self, source: u64, key: IpNet, class: u16, now: u64) -> Option<Found> {
        let time = tick(now);
        let home = self.home(source);
        for index in home..home + PROBES {
            let record = &self.records[index];
            let before = record.identity.load(Acquire);
            let is_free =
                before == 0 || before & PRESENT != 0 && record.life().idle(time) > FORGOTTEN_AFTER;
            let taken = is_free
                && record
                    .identity
                    .compare_exchange(before, RESERVED, AcqRel, Acquire)
                    .is_ok();
            if taken {
                record.begin(time);
                self.sketches[index].clear();
                self.dossiers[index].begin(key, class, now);
                let incarnation = before.wrapping_add(1) & INCARNATION_MASK;
                let identity = Self::identity(source, incarnation);
                record.identity.store(identity, Release);
                self.counts.observed.fetch_add(1, Relaxed);
                return Some(self.found(index));
            }
        }
        self.counts.full.fetch_add(1, Relaxed);
        None
    }
}
