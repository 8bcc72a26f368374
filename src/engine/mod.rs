//! `process(batch)` → verdicts: the only place where policy, sources and wire meet.
//!
//! The engine owns no clock, thread, socket or file: every frame brings its time, so that replay,
//! tests and the live path run the same code and give the same verdicts.
//!
//! A batch is judged in two stages. The first is pure: frames are decoded, policy is looked up, and
//! each attempt's places in the source table are computed and prefetched, so that the batch's cache
//! misses overlap. The second charges the attempts in order. Only the second looks at what other
//! workers share, which is why [`Engine::process_in_turn`] can put parallel workers into one order.

mod counters;
mod judge;
mod lease;
mod observe;
mod reason;
mod restrictions;
mod stage;
mod walled;

use std::sync::Arc;

use ipnet::IpNet;

pub use self::{
    counters::Counters,
    lease::{Lease, Leasing},
    observe::terms as detection_terms,
    reason::{Effect, Reason},
    restrictions::{Restriction, Restrictions},
    walled::Wall,
};

use self::{
    observe::Watched,
    restrictions::Pinned,
    stage::{Seat, Staged, Terms},
};
use crate::{
    detect::{Flag, Observer},
    policy::{ClassId, Policy},
    source::{SourceTable, Syn, pages::prefetch},
    wire::{Link, Service},
};

/// The sweep looks at one slot of the source table for this many frames, so that its cost is a
/// fixed small share of the work and never a pause.
const FRAMES_PER_SWEPT_SLOT: usize = 64;

/// How many frames ahead of decoding a frame's headers are prefetched: about a memory latency's
/// worth of the quickest frames.
const FRAMES_AHEAD: usize = 24;

/// Nanoseconds since an epoch of the caller's choice (Unix time in replay).
pub type Nanos = u64;

/// Which way a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From a subscriber: access to uplink.
    Outbound,
    /// To a subscriber: uplink to access.
    Inbound,
}

impl Direction {
    /// The word for it in reports, JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// One frame to judge.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What was captured of it, from its link-layer header on.
    pub bytes: &'a [u8],
    /// Its length on the wire in octets; more than `bytes.len()` where a capture cut it short.
    pub wire_length: u32,
    /// Its link layer.
    pub link: Link,
    /// Which way it travels; `None` asks the pools (a source in a pool is outbound; else a
    /// destination in a pool is inbound; else outbound, from a stranger).
    pub direction: Option<Direction>,
    /// When it arrived.
    pub time: Nanos,
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It crosses.
    Forward,
    /// It vanishes.
    Drop,
    /// It vanishes and its sender gets a TCP RST ([`crate::wire::build_reset`]).
    Reset,
    /// It vanishes and its sender gets what a web server would say that sends everybody to the
    /// notice page ([`crate::wire::Redirect`]).
    Redirect,
}

/// The judgement of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to it. In observe mode always [`Action::Forward`].
    pub action: Action,
    /// Why. In observe mode what it would have been.
    pub reason: Reason,
    /// Which way it travels (as asked, or as the pools say; outbound where nothing tells).
    pub direction: Direction,
    /// Whether observe mode turned a refusal into a forward.
    pub observed: bool,
    /// The subscriber's class, where one was looked up.
    pub class: Option<ClassId>,
    /// Index into [`Judgements::attempts`] if the frame is an attempt charged to a subscriber.
    pub attempt: Option<u16>,
}

impl Verdict {
    /// What is certainly not mail crosses.
    #[inline(always)]
    const fn crosses(direction: Direction) -> Self {
        Self {
            action: Action::Forward,
            reason: Reason::NotMail,
            direction,
            observed: false,
            class: None,
            attempt: None,
        }
    }
}

/// A connection attempt charged to a subscriber: outbound SYN without ACK to a mail port.
///
/// What else there is to know of it stands in the frame; [`crate::wire::decode`] reads it again
/// where somebody asks (to build a reset, say), which is rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index of its frame in the batch.
    pub frame: u16,
    /// The subscriber's accounting key.
    pub key: IpNet,
    /// The subscriber's class.
    pub class: ClassId,
    /// Which mail service.
    pub service: Service,
    /// Whether the destination is one of the provider's relays.
    pub relay: bool,
    /// Whether it was let through (before observe mode).
    pub admitted: bool,
    /// Whether it repeats an earlier SYN (same 4-tuple and sequence number): a frame, but not
    /// another attempt; it has the verdict of the first.
    pub retransmission: bool,
}

/// What [`Engine::process`] found in one batch; reused from batch to batch.
#[derive(Debug, Default)]
pub struct Judgements {
    /// One verdict a frame, in order.
    pub verdicts: Vec<Verdict>,
    /// The attempts among them, in order.
    pub attempts: Vec<Attempt>,
    /// Subscribers found to be zombies: by these frames, or because by now it is certain that
    /// earlier attempts stay unanswered (their time tells).
    pub flags: Vec<Flag>,
    /// The leases that follow from their refusals, where the engine offers any: at most one an
    /// attempt.
    pub leases: Vec<Lease>,
}

impl Judgements {
    /// Makes room for the verdicts of so many frames; all of them will be overwritten.
    fn begin(&mut self, frames: usize) {
        self.verdicts
            .resize(frames, Verdict::crosses(Direction::Outbound));
        self.attempts.clear();
        self.flags.clear();
        self.leases.clear();
    }
}

/// One worker's judge: a policy, the shared source table, and counters of its own.
#[derive(Debug)]
pub struct Engine {
    policy: Arc<Policy>,
    sources: Arc<SourceTable>,
    terms: Vec<Terms>,
    quarantine: Pinned,
    counters: Counters,
    /// Frames of the batch that are certainly not mail, by direction: not yet counted.
    crossed: [u64; 2],
    /// Other frames of the batch that are no attempts: not yet counted.
    decided: Vec<u16>,
    staged: Vec<Staged>,
    /// The staged attempts as the kernel program knows them, where leases are offered.
    syns: Vec<Option<(Syn, Service)>>,
    observer: Option<Arc<Observer>>,
    watched: Vec<Watched>,
    leasing: Option<Leasing>,
}

impl Engine {
    /// An engine that judges by `policy` and charges to `sources`.
    #[must_use]
    pub fn new(policy: Arc<Policy>, sources: Arc<SourceTable>) -> Self {
        let terms = policy
            .classes()
            .iter()
            .map(|class| Terms::new(class, &policy))
            .collect();
        let counters = Counters::new(policy.classes().len());
        Self {
            policy,
            sources,
            terms,
            quarantine: Pinned::default(),
            counters,
            crossed: [0; 2],
            decided: Vec::new(),
            staged: Vec::new(),
            syns: Vec::new(),
            observer: None,
            watched: Vec::new(),
            leasing: None,
        }
    }

    /// The same engine, that also goes by who is quarantined.
    #[must_use]
    pub fn restricted_by(self, restrictions: Restrictions) -> Self {
        let quarantine = Pinned::new(restrictions);
        Self { quarantine, ..self }
    }

    /// Judges `frames` in order; `judgements` is overwritten.
    ///
    /// Frames of one call may differ in time, which must not run backwards; a worker in the wire
    /// reads its clock once and gives every frame of the batch the same time.
    ///
    /// # Panics
    ///
    /// If there are more than 65,536 frames.
    #[inline]
    pub fn process(&mut self, frames: &[Frame<'_>], judgements: &mut Judgements) {
        self.process_in_turn(frames, judgements, || ());
    }

    /// As [`Self::process`], but calls `turn` between decoding and judging: where several engines
    /// share a source table and a verdict must not depend on their race, `turn` waits until every
    /// earlier batch was judged.
    ///
    /// # Panics
    ///
    /// If there are more than 65,536 frames.
    pub fn process_in_turn(
        &mut self,
        frames: &[Frame<'_>],
        judgements: &mut Judgements,
        turn: impl FnOnce(),
    ) {
        assert!(
            frames.len() <= usize::from(u16::MAX) + 1,
            "a batch is at most 65,536 frames"
        );
        judgements.begin(frames.len());
        self.staged.clear();
        self.syns.clear();
        self.watched.clear();
        self.quarantine.renew(&self.policy);
        let mut ahead = frames.iter();
        ahead.by_ref().take(FRAMES_AHEAD).for_each(prefetch_headers);
        let Judgements {
            verdicts, attempts, ..
        } = judgements;
        for (index, (frame, verdict)) in frames.iter().zip(verdicts).enumerate() {
            ahead.next().map(prefetch_headers);
            let seat = Seat {
                frame: index as u16,
                verdict,
                attempts,
            };
            self.stage(frame, seat);
        }
        turn();
        self.judge(frames, judgements);
        self.count(&judgements.verdicts);
        if let Some(last) = frames.last() {
            self.sources
                .sweep(last.time, frames.len().div_ceil(FRAMES_PER_SWEPT_SLOT));
        }
        self.settle_some(frames, judgements);
    }

    /// Counts all frames of the batch but attempts, which were counted when they were judged.
    fn count(&mut self, verdicts: &[Verdict]) {
        let crossed = std::mem::take(&mut self.crossed);
        for (direction, frames) in [Direction::Outbound, Direction::Inbound]
            .into_iter()
            .zip(crossed)
        {
            self.counters.add(Reason::NotMail, direction, None, frames);
        }
        for frame in self.decided.drain(..) {
            self.counters.count(&verdicts[usize::from(frame)]);
        }
    }

    /// Frames by reason, direction and class since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The source table that attempts are charged to.
    #[must_use]
    pub fn sources(&self) -> &SourceTable {
        &self.sources
    }
}

/// Asks for the cache lines that triage will read: the first, and of a frame as short as a SYN the
/// second too, where IPv6 has the TCP flags.
#[inline(always)]
fn prefetch_headers(frame: &Frame<'_>) {
    prefetch(frame.bytes);
    if let Some(second) = frame.bytes.get(64)
        && frame.bytes.len() <= 128
    {
        prefetch(second);
    }
}

#[cfg(test)]
mod tests;
