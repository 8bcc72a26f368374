//! Attempts in a window: too many are a zombie's, or a hijacked account's.
//!
//! The window is cut into eight parts, and the word counts what came in the part that is now and
//! in the seven before it: more than 7/8 of the window, and never more than all of it. So whoever
//! stays within the threshold in every window is never suspected, and whoever exceeds it within
//! 7/8 of one always is.

use super::{Detector, Event, Step, Tick, ticks};

const PARTS: u32 = 8;
const COUNT_BITS: u32 = 12;
const COUNT_MASK: u128 = (1 << COUNT_BITS) - 1;
const ALL_COUNTS: u128 = (1 << (PARTS * COUNT_BITS)) - 1;

/// The largest threshold: a part counts no further.
pub const COUNT_MAX: u32 = COUNT_MASK as u32 - 1;

/// More than `attempts` in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    attempts: u32,
    part_ticks: u64,
}

/// Eight counts of 12 bits, newest first, and the part of time that is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts(u128);

impl From<u128> for Counts {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<Counts> for u128 {
    fn from(counts: Counts) -> Self {
        counts.0
    }
}

impl Counts {
    const fn new(part: u32, counts: u128) -> Self {
        Self((part as u128) << (PARTS * COUNT_BITS) | counts & ALL_COUNTS)
    }

    const fn part(self) -> u32 {
        (self.0 >> (PARTS * COUNT_BITS)) as u32
    }

    /// The same in a later part of time.
    const fn at(self, part: u32) -> Self {
        let elapsed = part.wrapping_sub(self.part());
        if elapsed == 0 || elapsed > u32::MAX / 2 {
            self
        } else if elapsed >= PARTS {
            Self::new(part, 0)
        } else {
            Self::new(part, (self.0 & ALL_COUNTS) << (elapsed * COUNT_BITS))
        }
    }

    fn sum(self) -> u32 {
        (0..PARTS)
            .map(|part| (self.0 >> (part * COUNT_BITS) & COUNT_MASK) as u32)
            .sum()
    }
}

impl Volume {
    /// More than `attempts` (at most [`COUNT_MAX`]) in a window of so many nanoseconds.
    #[must_use]
    pub const fn new(attempts: u32, window: u64) -> Self {
        Self {
            attempts,
            part_ticks: ticks(window / PARTS as u64),
        }
    }

    /// The attempts that a state remembers at `now`.
    #[must_use]
    pub fn count(&self, state: Counts, now: Tick) -> u32 {
        state.at(self.part(now)).sum()
    }

    const fn part(&self, now: Tick) -> u32 {
        (now / self.part_ticks) as u32
    }
}

impl Detector for Volume {
    type State = Counts;

    #[inline]
    fn step(&self, state: Counts, event: Event, now: Tick) -> Step<Counts> {
        if event != Event::Attempt {
            return Step::to(state);
        }
        let state = state.at(self.part(now));
        let is_full = state.0 & COUNT_MASK == COUNT_MASK;
        let state = Counts(state.0 + u128::from(!is_full));
        Step {
            suspect: (state.sum() > self.attempts).then_some(now),
            ..Step::to(state)
        }
    }
}
