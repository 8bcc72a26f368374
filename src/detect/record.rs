//! One subscriber's record: five cache lines, of which an attempt touches two.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed},
};

use ipnet::IpNet;
use portable_atomic::{AtomicU32, AtomicU64, AtomicU128};

use super::{Destinations, Detector, Event, Evidence, Sketch, Step, Terms, Tick};

/// Addresses kept as a sample.
const SAMPLES: usize = 4;

/// What every attempt touches.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Record {
    /// 58 bits of hash and six of incarnation; 0 is empty, 1 taken but not yet ready.
    pub identity: AtomicU64,
    life: AtomicU64,
    trial: AtomicU128,
    direct: AtomicU128,
    submission: AtomicU128,
}

/// What is looked at when there is something to tell.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Dossier {
    key: AtomicU128,
    /// Bits of the key's length, its family, its class.
    owner: AtomicU64,
    since: AtomicU64,
    answered: AtomicU32,
    reset: AtomicU32,
    unreachable: AtomicU32,
    silent: AtomicU32,
    late: AtomicU32,
    orphans: AtomicU32,
    sample: [AtomicU128; SAMPLES],
}

/// When it was last seen, how many attempts and cells, and whether it was flagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

impl Life {
    const ATTEMPTS: u32 = 32;
    const ATTEMPTS_MASK: u64 = 0xf_ffff;
    const CELLS: u32 = 52;
    const CELLS_MASK: u64 = 0x1ff;
    const FLAGGED: u64 = 1 << 61;

    const fn born(now: Tick) -> Self {
        Self(now as u32 as u64)
    }

    /// The full tick, given that it is not far from `now`.
    pub const fn seen(self, now: Tick) -> Tick {
        now.saturating_sub(self.idle(now))
    }

    /// Ticks since it was last seen.
    pub const fn idle(self, now: Tick) -> u64 {
        let idle = (now as u32).wrapping_sub(self.0 as u32);
        if idle > u32::MAX / 2 { 0 } else { idle as u64 }
    }

    const fn attempts(self) -> u32 {
        (self.0 >> Self::ATTEMPTS & Self::ATTEMPTS_MASK) as u32
    }

    const fn cells(self) -> u32 {
        (self.0 >> Self::CELLS & Self::CELLS_MASK) as u32
    }

    const fn is_flagged(self) -> bool {
        self.0 & Self::FLAGGED != 0
    }

    /// The same after one more attempt at `now`.
    fn after(self, now: Tick, cells: u32) -> Self {
        let attempts = u64::from(self.attempts()) + 1;
        let seen = if self.idle(now) == 0 {
            self.0 as u32
        } else {
            now as u32
        };
        Self(
            self.0 & Self::FLAGGED
                | u64::from(cells) << Self::CELLS
                | attempts.min(Self::ATTEMPTS_MASK) << Self::ATTEMPTS
                | u64::from(seen),
        )
    }
}

impl Record {
    /// Begins anew for another subscriber; nobody finds the record meanwhile.
    pub fn begin(&self, now: Tick) {
        self.life.store(Life::born(now).0, Relaxed);
        for word in [&self.trial, &self.direct, &self.submission] {
            word.store(0, Relaxed);
        }
    }

    pub fn life(&self) -> Life {
        Life(self.life.load(Acquire))
    }

    /// Flags it; false if it was flagged before.
    pub fn flag(&self) -> bool {
        !Life(self.life.fetch_or(Life::FLAGGED, AcqRel)).is_flagged()
    }

    pub fn trial(&self) -> super::Trial {
        self.trial.load(Acquire).into()
    }

    /// Counts an attempt to a submission port or a relay.
    pub fn live_on(&self, now: Tick) {
        self.seen_with(now, |life| life.cells());
    }

    /// Counts an attempt to port 25: whether it is a first contact, and how many cells are hit.
    pub fn contact(
        &self,
        sketch: &Sketch,
        terms: &Destinations,
        destination: u64,
        now: Tick,
    ) -> (bool, u32) {
        let life = self.life();
        let (before, part) = (terms.part(life.seen(now)), terms.part(now));
        let passed = (part > before).then(|| sketch.pass(before, part));
        let is_new = sketch.mark(destination, part);
        let life = self.seen_with(now, |life| {
            let cells = passed.unwrap_or(life.cells());
            (cells + u32::from(is_new)).min(super::CELLS)
        });
        (is_new, life.cells())
    }

    fn seen_with(&self, now: Tick, cells: impl Fn(Life) -> u32) -> Life {
        let mut life = self.life.load(Acquire);
        loop {
            let next = Life(life).after(now, cells(Life(life)));
            match self
                .life
                .compare_exchange_weak(life, next.0, AcqRel, Acquire)
            {
                Ok(_) => return next,
                Err(newer) => life = newer,
            }
        }
    }

    pub fn step_trial(&self, test: &super::Sequential, event: Event, now: Tick) -> Step<u128> {
        step(test, &self.trial, event, now)
    }

    pub fn step_direct(&self, volume: &super::Volume, now: Tick) -> Option<Tick> {
        step(volume, &self.direct, Event::Attempt, now).suspect
    }

    pub fn step_submission(&self, volume: &super::Volume, now: Tick) -> Option<Tick> {
        step(volume, &self.submission, Event::Attempt, now).suspect
    }

    pub fn attempts(&self) -> u32 {
        self.life().attempts()
    }

    /// Distinct destinations in the window, estimated.
    pub fn destinations(&self) -> u32 {
        Destinations::estimate(self.life().cells())
    }

    /// What the detectors know.
    pub fn evidence(&self, dossier: &Dossier, terms: &Terms, now: Tick) -> Evidence {
        let trial = self.trial();
        let count = |volume: Option<super::Volume>, word: &AtomicU128| {
            volume.map_or(0, |volume| volume.count(word.load(Relaxed).into(), now))
        };
        Evidence {
            score: trial.score(),
            awaited: trial.awaited(),
            in_window: count(terms.volume, &self.direct),
            submissions: count(terms.submission, &self.submission),
            ..dossier.evidence()
        }
    }
}

/// Changes a state by compare-and-swap.
#[inline]
fn step<D: Detector>(detector: &D, word: &AtomicU128, event: Event, now: Tick) -> Step<u128> {
    let mut before = word.load(Acquire);
    loop {
        let step = detector.step(before.into(), event, now);
        let after = step.state.into();
        let done = Step {
            state: after,
            suspect: step.suspect,
            silent: step.silent,
            late: step.late,
            benign: step.benign,
        };
        if after == before {
            return done;
        }
        match word.compare_exchange_weak(before, after, AcqRel, Acquire) {
            Ok(_) => return done,
            Err(newer) => before = newer,
        }
    }
}

impl Dossier {
    pub fn begin(&self, key: IpNet, class: u16, now: u64) {
        self.key.store(bits(key.addr()), Relaxed);
        let is_ipv6 = u64::from(matches!(key, IpNet::V6(_)));
        let owner = u64::from(key.prefix_len()) | is_ipv6 << 8 | u64::from(class) << 16;
        self.owner.store(owner, Relaxed);
        self.since.store(now, Relaxed);
        for count in [
            &self.answered,
            &self.reset,
            &self.unreachable,
            &self.silent,
            &self.late,
            &self.orphans,
        ] {
            count.store(0, Relaxed);
        }
        for sample in &self.sample {
            sample.store(0, Relaxed);
        }
    }

    /// Whose it is, and its class.
    pub fn owner(&self) -> (IpNet, u16) {
        let owner = self.owner.load(Relaxed);
        let address = address(self.key.load(Relaxed), owner >> 8 & 1 == 1);
        let key = IpNet::new(address, owner as u8).unwrap_or_else(|_| IpNet::from(address));
        (key, (owner >> 16) as u16)
    }

    pub fn count(&self, event: Event, is_reset: bool, step: &Step<u128>) {
        let counter = match event {
            Event::Answered(_) if step.late => Some(&self.late),
            Event::Answered(_) => Some(&self.answered),
            Event::Refused(_) if is_reset => Some(&self.reset),
            Event::Refused(_) => Some(&self.unreachable),
            _ => None,
        };
        counter.map(|counter| counter.fetch_add(1, Relaxed));
        if step.silent > 0 {
            self.silent.fetch_add(step.silent, Relaxed);
        }
    }

    pub fn orphan(&self) {
        self.orphans.fetch_add(1, Relaxed);
    }

    /// Keeps the destinations of attempts 1, 2, 4, 8, … : the latest four of those.
    pub fn sample(&self, attempt: u32, destination: IpAddr) {
        if attempt.is_power_of_two() {
            let place = attempt.ilog2() as usize % SAMPLES;
            self.sample[place].store(bits(destination), Relaxed);
        }
    }

    fn evidence(&self) -> Evidence {
        let get = |count: &AtomicU32| count.load(Relaxed);
        let words = self.sample.iter().map(|word| word.load(Relaxed));
        Evidence {
            since: self.since.load(Relaxed),
            answered: get(&self.answered),
            reset: get(&self.reset),
            unreachable: get(&self.unreachable),
            silent: get(&self.silent),
            late: get(&self.late),
            orphans: get(&self.orphans),
            sample: words
                .filter(|&word| word != 0)
                .map(|word| address(word, word > u128::from(u32::MAX)))
                .collect(),
            ..Evidence::default()
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(bits: u128, is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}
