//! Wald's sequential probability ratio test on the outcomes of first contacts, as in Threshold
//! Random Walk (Jung et al. 2004) and SPOT (Duan et al. 2012).
//!
//! A benign source fails with probability θ0, a zombie with θ1. Each failure adds ln(θ1/θ0) to the
//! score, each success ln((1−θ1)/(1−θ0)). At ln((1−β)/α) and above it is a zombie; at ln(β/(1−α))
//! and below it is benign, and the test starts again from 0.
//!
//! Successes and resets arrive at once, silence takes its time. So an attempt counts for nothing
//! until it is answered or `answer_within` has passed: attempts that are still awaited are counted
//! by age in quarters of that time, and settled as failures when they are more than four quarters
//! old. That happens whenever the state is touched, at the time when they became so old: it makes
//! no difference when that is. An answer that comes later takes the failure back.

use std::time::Duration;

use super::{Detector, Event, Step, Tick, ticks};

/// Ages that are told apart: the part that is now and four before.
const AGES: u32 = 5;
const COUNT_BITS: u32 = 12;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const PENDING_MASK: u64 = (1 << (AGES * COUNT_BITS)) - 1;
const PART_BITS: u32 = 20;
const PART_MASK: u64 = (1 << PART_BITS) - 1;

/// Fractions of a nat in the score: fixed point, so that every machine adds alike.
const UNIT: f64 = 65_536.0;

/// The test's steps and bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequential {
    failure: i32,
    success: i32,
    zombie: i32,
    benign: i32,
    part_ticks: u64,
}

/// Where the test stands: 32 bits of score, five counts of 12 bits (newest first), 20 bits of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial(u128);

impl From<u128> for Trial {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<Trial> for u128 {
    fn from(trial: Trial) -> Self {
        trial.0
    }
}

impl Trial {
    const fn new(score: i32, pending: u64, part: u64) -> Self {
        Self(
            score as u32 as u128
                | ((pending & PENDING_MASK) as u128) << 32
                | ((part & PART_MASK) as u128) << (32 + AGES * COUNT_BITS),
        )
    }

    const fn raw_score(self) -> i32 {
        self.0 as u32 as i32
    }

    const fn pending(self) -> u64 {
        (self.0 >> 32) as u64 & PENDING_MASK
    }

    const fn part(self) -> u64 {
        (self.0 >> (32 + AGES * COUNT_BITS)) as u64 & PART_MASK
    }

    /// The score in nats.
    #[must_use]
    pub fn score(self) -> f64 {
        f64::from(self.raw_score()) / UNIT
    }

    /// How many first contacts wait for their outcome.
    #[must_use]
    pub fn awaited(self) -> u32 {
        (0..AGES).map(|age| count(self.pending(), age)).sum()
    }
}

const fn count(pending: u64, age: u32) -> u32 {
    (pending >> (age * COUNT_BITS) & COUNT_MASK) as u32
}

/// The state taken apart, as one step works on it.
struct Walk<'a> {
    test: &'a Sequential,
    score: i32,
    suspect: Option<Tick>,
    benign: bool,
    pending: u64,
    part: u64,
}

impl Walk<'_> {
    /// Whether an attempt made at a time was still awaited (it is not any more), and whether it
    /// was not because it is too old.
    fn take(&mut self, sent: Tick) -> (bool, bool) {
        let age = self.part.saturating_sub(self.test.part(sent));
        let age = age.min(u64::from(AGES)) as u32;
        if age == AGES {
            return (false, true);
        }
        // Two workers' clocks may lie on both sides of a part's end.
        let near = [age, age.saturating_sub(1), (age + 1).min(AGES - 1)];
        let place = near.into_iter().find(|&age| count(self.pending, age) > 0);
        if let Some(age) = place {
            self.pending -= 1 << (age * COUNT_BITS);
        }
        (place.is_some(), false)
    }

    fn fail(&mut self, at: Tick) {
        let before = self.score;
        self.score = self.score.saturating_add(self.test.failure);
        if before < self.test.zombie && self.score >= self.test.zombie {
            self.suspect = self.suspect.or(Some(at));
        }
    }

    fn add(&mut self, step: i32) {
        self.score = self.score.saturating_add(step);
        if self.score <= self.test.benign {
            self.score = 0;
            self.benign = true;
        }
    }
}

impl Sequential {
    /// A test whose answers come within a time.
    #[must_use]
    pub fn new(theta0: f64, theta1: f64, alpha: f64, beta: f64, answer_within: Duration) -> Self {
        let fixed = |nats: f64| (nats * UNIT).round() as i32;
        let nanoseconds = u64::try_from(answer_within.as_nanos()).unwrap_or(u64::MAX);
        Self {
            failure: fixed((theta1 / theta0).ln()),
            success: fixed(((1.0 - theta1) / (1.0 - theta0)).ln()),
            zombie: fixed(((1.0 - beta) / alpha).ln()),
            benign: fixed((beta / (1.0 - alpha)).ln()),
            // Rounded up: nobody is judged before its time.
            part_ticks: ticks(nanoseconds).div_ceil(u64::from(AGES) - 1),
        }
    }

    /// The score from which on a source is a zombie, in nats.
    #[must_use]
    pub fn bound(&self) -> f64 {
        f64::from(self.zombie) / UNIT
    }

    const fn part(&self, now: Tick) -> u64 {
        now / self.part_ticks
    }

    /// When the oldest of the awaited attempts becomes a failure, if it has by `now`.
    #[must_use]
    pub fn due(&self, trial: Trial, now: Tick) -> Option<Tick> {
        let part = self.part(now);
        let elapsed = part.wrapping_sub(trial.part()) & PART_MASK;
        if elapsed == 0 || elapsed > PART_MASK / 2 {
            return None;
        }
        let oldest = (0..AGES)
            .rev()
            .find(|&age| count(trial.pending(), age) > 0)?;
        let age = u64::from(oldest) + elapsed;
        let overdue = age.checked_sub(u64::from(AGES))?;
        Some((part - overdue) * self.part_ticks)
    }

    /// Settles what has become too old; gives the part of time that the counts stand for then,
    /// and how many were settled.
    fn settle(&self, trial: Trial, walk: &mut Walk<'_>) -> (u64, u32) {
        let elapsed = walk.part.wrapping_sub(trial.part()) & PART_MASK;
        if elapsed > PART_MASK / 2 && trial.pending() > 0 {
            // Another worker's clock was ahead of this one's.
            walk.part += PART_MASK + 1 - elapsed;
            return (walk.part, 0);
        }
        let mut settled = 0;
        // The oldest first, each at the time when it became too old.
        for age in (0..AGES).rev() {
            let failures = count(trial.pending(), age);
            let Some(overdue) = (u64::from(age) + elapsed).checked_sub(u64::from(AGES)) else {
                break;
            };
            for _ in 0..failures {
                walk.fail((walk.part - overdue) * self.part_ticks);
            }
            settled += failures;
        }
        walk.pending = match u32::try_from(elapsed) {
            Ok(elapsed @ 0..AGES) => (trial.pending() << (elapsed * COUNT_BITS)) & PENDING_MASK,
            _ => 0,
        };
        (walk.part, settled)
    }
}

impl Detector for Sequential {
    type State = Trial;

    #[inline]
    fn step(&self, state: Trial, event: Event, now: Tick) -> Step<Trial> {
        let mut walk = Walk {
            test: self,
            score: state.raw_score(),
            suspect: None,
            benign: false,
            pending: state.pending(),
            part: self.part(now),
        };
        let (part, silent) = self.settle(state, &mut walk);
        let mut late = false;
        match event {
            Event::Attempt if count(walk.pending, 0) < COUNT_MASK as u32 => walk.pending += 1,
            Event::Attempt | Event::Time => {}
            Event::Answered(sent) => match walk.take(sent) {
                (true, _) => walk.add(self.success),
                (false, true) => {
                    late = true;
                    walk.add(self.success - self.failure);
                }
                (false, false) => {}
            },
            Event::Refused(sent) => {
                if walk.take(sent).0 {
                    walk.fail(now);
                }
            }
            Event::Forgotten(sent) => {
                walk.take(sent);
            }
            // Half the way at most: a complaint alone never reaches the bound.
            Event::Complaint => walk.score = walk.score.max(self.zombie / 2),
        }
        Step {
            state: Trial::new(walk.score, walk.pending, part),
            suspect: walk.suspect,
            silent,
            late,
            benign: walk.benign,
        }
    }
}
