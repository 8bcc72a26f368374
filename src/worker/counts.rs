//! What a worker has done, and how others get to read it.

use std::{
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hdrhistogram::Histogram;

use super::BATCH_MAX;
use crate::{engine::Counters, io::Census};

/// Times above a minute are recorded as one.
const NANOS_MAX: u64 = 60_000_000_000;
/// Precision of the histograms: 1 %, and exact up to 255.
const DIGITS: u8 = 2;

/// Frames and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Frames.
    pub frames: u64,
    /// Octets of these frames, from the destination address to the end of the payload: neither
    /// preamble nor check sequence.
    pub octets: u64,
}

impl Flow {
    /// Counts one frame.
    pub fn count(&mut self, octets: usize) {
        self.frames += 1;
        self.octets += octets as u64;
    }
}

impl AddAssign for Flow {
    fn add_assign(&mut self, more: Self) {
        self.frames += more.frames;
        self.octets += more.octets;
    }
}

/// What became of the frames of one direction. Each received frame is in exactly one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounts {
    /// Arrived on the port that this direction begins at.
    pub received: Flow,
    /// Queued to leave by the other port.
    pub forwarded: Flow,
    /// Dropped by a verdict.
    pub dropped: u64,
    /// Refused, and answered with a TCP RST.
    pub reset: u64,
    /// Answered in the place of a web server, with a redirect to the notice page or what leads to it.
    pub redirected: u64,
    /// Refused or redirected with an answer that could not be sent: there is no fit one to the frame
    /// ([`crate::wire::build_reset`], [`crate::wire::Redirect`]), or no room for it. Dropped in
    /// silence.
    pub unanswered: u64,
    /// To be forwarded, but the other port's transmit ring stayed full: dropped.
    pub tx_full: u64,
}

impl DirectionCounts {
    /// Whether each frame received has had exactly one fate.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let answered = self.reset + self.redirected;
        let dropped = self.dropped + self.unanswered + self.tx_full;
        self.received.frames == self.forwarded.frames + answered + dropped
    }
}

impl AddAssign for DirectionCounts {
    fn add_assign(&mut self, more: Self) {
        self.received += more.received;
        self.forwarded += more.forwarded;
        self.dropped += more.dropped;
        self.reset += more.reset;
        self.redirected += more.redirected;
        self.unanswered += more.unanswered;
        self.tx_full += more.tx_full;
    }
}

/// Distributions, in nanoseconds unless they say otherwise.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// Frames found by a round that found any.
    pub batch: Histogram<u64>,
    /// Time a worker spends on a frame, from its batch's reception until it is handed to the
    /// kernel; a sample of the rounds.
    pub service: Histogram<u64>,
    /// From the kernel program's time stamp until the frame is handed to the kernel again, where
    /// there is a stamp.
    pub residence: Histogram<u64>,
}

impl Default for Histograms {
    fn default() -> Self {
        let up_to = |value_max| {
            Histogram::new_with_bounds(1, value_max, DIGITS)
                .expect("bounds and precision are constants within hdrhistogram's range")
        };
        Self {
            batch: up_to(2 * BATCH_MAX as u64),
            service: up_to(NANOS_MAX),
            residence: up_to(NANOS_MAX),
        }
    }
}

impl Histograms {
    fn all(&mut self) -> [&mut Histogram<u64>; 3] {
        [&mut self.batch, &mut self.service, &mut self.residence]
    }

    /// Adds what another holds. Allocates nothing.
    pub fn merge(&mut self, other: &Self) {
        let others = [&other.batch, &other.service, &other.residence];
        for (ours, theirs) in self.all().into_iter().zip(others) {
            ours.add(theirs)
                .expect("histograms of one name have one shape");
        }
    }

    fn clear(&mut self) {
        self.all().into_iter().for_each(Histogram::reset);
    }
}

/// What one worker, or all of them together, have done since the start.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What became of the frames: outbound, inbound.
    pub directions: [DirectionCounts; 2],
    /// Frames that were lost on their way to a worker ([`crate::io::Ports::missed`]): outbound,
    /// inbound. None of the other counts knows of them.
    pub missed: [u64; 2],
    /// Verdicts by reason, direction and class.
    pub verdicts: Counters,
    /// Distributions.
    pub histograms: Histograms,
    /// Rounds through the loop, the empty ones included.
    pub rounds: u64,
    /// Times that a worker went to sleep.
    pub sleeps: u64,
    /// Ticks that found a frame lost or doubled (invariant 1). Anything but 0 is a bug.
    pub breaches: u64,
    /// Where the memory's frames were at the last tick; after a drain, at its end.
    pub census: Census,
}

impl Snapshot {
    /// Nothing done, under a policy of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            directions: Default::default(),
            missed: [0; 2],
            verdicts: Counters::new(classes),
            histograms: Histograms::default(),
            rounds: 0,
            sleeps: 0,
            breaches: 0,
            census: Census::default(),
        }
    }

    /// Adds another worker's.
    ///
    /// # Panics
    ///
    /// If the other worked under a policy with another number of classes.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.directions.iter_mut().zip(&other.directions) {
            *ours += *theirs;
        }
        for (ours, theirs) in self.missed.iter_mut().zip(other.missed) {
            *ours += theirs;
        }
        self.verdicts.merge(&other.verdicts);
        self.histograms.merge(&other.histograms);
        self.rounds += other.rounds;
        self.sleeps += other.sleeps;
        self.breaches += other.breaches;
        self.census += other.census;
    }
}

/// A worker's last published snapshot. The worker never waits for a reader: while one copies, it
/// puts publishing off to its next tick.
#[derive(Clone, Debug)]
pub struct Published(Arc<Mutex<Snapshot>>);

impl Published {
    /// Nothing done yet, under a policy of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self(Arc::new(Mutex::new(Snapshot::new(classes))))
    }

    /// A copy of what the worker published last.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        self.lock().clone()
    }

    /// Publishes if no reader is in the way; says whether it did. Allocates nothing. The
    /// histograms of `latest` are moved: they hold what came since they were published last.
    pub(super) fn try_publish(&self, latest: &mut Snapshot) -> bool {
        let Ok(mut shown) = self.0.try_lock() else {
            return false;
        };
        show(&mut shown, latest);
        true
    }

    /// Publishes the last state of a worker that has nothing else to do any more.
    pub(super) fn publish(&self, latest: &mut Snapshot) {
        show(&mut self.lock(), latest);
    }

    /// As a reader does while it copies.
    #[cfg(test)]
    pub(super) fn hold(&self) -> MutexGuard<'_, Snapshot> {
        self.lock()
    }

    /// A reader that panicked has changed nothing.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(shown: &mut Snapshot, latest: &mut Snapshot) {
    shown.directions = latest.directions;
    shown.missed = latest.missed;
    shown.verdicts.copy_from(&latest.verdicts);
    shown.histograms.merge(&latest.histograms);
    latest.histograms.clear();
    shown.rounds = latest.rounds;
    shown.sleeps = latest.sleeps;
    shown.breaches = latest.breaches;
    shown.census = latest.census;
}
