//! What a replay counts: verdicts frame by frame, attempts source by source.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use serde::Serialize;

use super::series::Series;
use crate::{
    detect::Flag,
    engine::{Action, Attempt, Judgements, Nanos, Reason, Verdict},
    policy::ClassId,
    wire::Service,
};

/// Enough buckets for a wide chart.
const BUCKETS_MAX: usize = 240;

/// Frames by what happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrameTotals {
    /// All of them: the sum of the next five.
    pub total: u64,
    /// Those that crossed, refusals in observe mode included.
    pub forwarded: u64,
    /// Those that vanished.
    pub dropped: u64,
    /// Those that were answered with a TCP RST.
    pub reset: u64,
    /// Those that were answered with what leads to the notice page.
    pub redirected: u64,
    /// Those cut by the capture before the bytes that would tell.
    pub unreadable: u64,
    /// Those among the forwarded that observe mode let through although they were refused.
    pub observed: u64,
}

/// Attempts to one mail service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceTally {
    /// Attempts, retransmissions counted each time.
    pub syn_frames: u64,
    /// Attempts, retransmissions counted once: `admitted + refused`.
    pub attempts: u64,
    /// Attempts that the policy lets through.
    pub admitted: u64,
    /// Attempts that the policy refuses (in observe mode: would refuse).
    pub refused: u64,
}

impl ServiceTally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.syn_frames += other.syn_frames;
        self.attempts += other.attempts;
        self.admitted += other.admitted;
        self.refused += other.refused;
    }

    fn count(&mut self, attempt: &Attempt) {
        self.syn_frames += 1;
        if !attempt.retransmission {
            self.attempts += 1;
            self.admitted += u64::from(attempt.admitted);
            self.refused += u64::from(!attempt.admitted);
        }
    }
}

/// What one subscriber tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTally {
    /// The class at its last attempt.
    pub class: ClassId,
    /// Attempts to port 25, relays included.
    pub smtp: ServiceTally,
    /// Attempts to ports 587 and 465, relays included.
    pub submission: ServiceTally,
    /// Those of all attempts that went to the provider's relays.
    pub relayed: u64,
    /// Its first attempt.
    pub first: Nanos,
    /// Its last attempt.
    pub last: Nanos,
}

impl SourceTally {
    /// Both services together.
    #[must_use]
    pub fn all(&self) -> ServiceTally {
        let mut all = self.smtp;
        all.add(self.submission);
        all
    }

    fn new(class: ClassId, time: Nanos) -> Self {
        Self {
            class,
            smtp: ServiceTally::default(),
            submission: ServiceTally::default(),
            relayed: 0,
            first: time,
            last: time,
        }
    }

    fn count(&mut self, attempt: &Attempt, time: Nanos) {
        self.class = attempt.class;
        self.last = time;
        self.relayed += u64::from(attempt.relay && !attempt.retransmission);
        match attempt.service {
            Service::Smtp => self.smtp.count(attempt),
            Service::Submission => self.submission.count(attempt),
        }
    }
}

/// Frames of one reason, by what happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonTally {
    /// Crossed, and were meant to.
    pub forwarded: u64,
    /// Vanished.
    pub dropped: u64,
    /// Were answered with a TCP RST.
    pub reset: u64,
    /// Were answered with what leads to the notice page.
    pub redirected: u64,
    /// Crossed only because of observe mode.
    pub observed: u64,
}

impl ReasonTally {
    /// All frames of this reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.forwarded + self.dropped + self.reset + self.redirected + self.observed
    }

    fn count(&mut self, verdict: &Verdict) {
        let counter = match verdict.action {
            Action::Forward if verdict.observed => &mut self.observed,
            Action::Forward => &mut self.forwarded,
            Action::Drop => &mut self.dropped,
            Action::Reset => &mut self.reset,
            Action::Redirect => &mut self.redirected,
        };
        *counter += 1;
    }
}

/// Everything a replay counts as it goes.
#[derive(Debug)]
pub struct Tally {
    /// Indexed by reason.
    pub reasons: [ReasonTally; Reason::COUNT],
    /// Every subscriber that tried to open a mail connection.
    pub sources: HashMap<IpNet, SourceTally, RandomState>,
    /// Attempts over time.
    pub series: Series,
    /// Number of the first frame that is a refused attempt.
    pub first_refusal: Option<u64>,
    /// Subscribers found to be zombies, as they were found.
    pub flags: Vec<Flag>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            reasons: [ReasonTally::default(); Reason::COUNT],
            sources: HashMap::default(),
            series: Series::new(BUCKETS_MAX),
            first_refusal: None,
            flags: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts one judged batch: `number` is its first frame's, `time` tells when its frames
    /// arrived. Batches come in order.
    pub fn absorb(&mut self, judgements: &Judgements, number: u64, time: impl Fn(u16) -> Nanos) {
        self.flags.extend_from_slice(&judgements.flags);
        for verdict in &judgements.verdicts {
            self.reasons[verdict.reason as usize].count(verdict);
        }
        for attempt in &judgements.attempts {
            let time = time(attempt.frame);
            self.sources
                .entry(attempt.key)
                .or_insert_with(|| SourceTally::new(attempt.class, time))
                .count(attempt, time);
            if !attempt.admitted {
                self.first_refusal
                    .get_or_insert(number + u64::from(attempt.frame));
            }
            if !attempt.retransmission {
                self.series.count(time, attempt.admitted);
            }
        }
    }

    /// Frames by what happened to them.
    #[must_use]
    pub fn frames(&self) -> FrameTotals {
        let mut frames = FrameTotals::default();
        for tally in &self.reasons {
            frames.total += tally.total();
            frames.forwarded += tally.forwarded + tally.observed;
            frames.dropped += tally.dropped;
            frames.reset += tally.reset;
            frames.redirected += tally.redirected;
            frames.observed += tally.observed;
        }
        frames.unreadable = self.reasons[Reason::Unreadable as usize].total();
        frames.forwarded -= frames.unreadable;
        frames
    }
}
