//! Is this subscriber a zombie? Pure state machines over attempts and what became of them.
//!
//! Three detectors behind one small interface, [`Detector`]: [`Volume`] counts attempts in a
//! window, [`Sequential`] is Wald's test on the outcomes of first contacts, and complaints raise
//! the suspicion of that test ([`Event::Complaint`]) without ever reaching its bound. [`Sketch`]
//! counts distinct destinations, and tells the test which contacts are first ones.
//!
//! [`Observer`] keeps their states: one record for each subscriber who can be suspected, and one
//! entry for each attempt whose outcome is awaited. Promises:
//!
//! - fixed memory, taken at start ([`octets`]); no locks: states are words, changed by
//!   compare-and-swap, so that it does not matter which worker sees the SYN and which the answer;
//! - nobody is suspected for what others could have sent in its name: only a subscriber who is
//!   bound to its pool's VLAN or has completed a handshake has a record;
//! - what is found depends on the subscriber's own frames and their times alone: not on when a
//!   record is looked at, nor on how frames are batched;
//! - where a race or a full table loses something, it loses an observation: it never makes one.
//!
//! Hashes come from the engine, keyed; time comes with each observation.

mod destinations;
mod observer;
mod pending;
mod record;
mod sequential;
mod volume;

use std::net::IpAddr;

use ipnet::IpNet;

pub use self::{
    destinations::{CELLS, Destinations, Sketch},
    observer::{Attempt, Observer, octets},
    sequential::{Sequential, Trial},
    volume::{COUNT_MAX, Counts, Volume},
};

/// Coarse time: 2²⁷ ns, about 134 ms.
pub type Tick = u64;

/// Nanoseconds in a tick, as a power of two.
pub const TICK_SHIFT: u32 = 27;

/// The tick that a moment in nanoseconds lies in.
#[inline]
#[must_use]
pub const fn tick(nanoseconds: u64) -> Tick {
    nanoseconds >> TICK_SHIFT
}

/// Ticks in a duration of nanoseconds, rounded down, at least one.
pub(crate) const fn ticks(nanoseconds: u64) -> u64 {
    let ticks = nanoseconds >> TICK_SHIFT;
    if ticks == 0 { 1 } else { ticks }
}

/// What a detector is told about a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It makes an attempt (the test hears only of first contacts whose outcome it will know).
    Attempt,
    /// An attempt made at this time was answered.
    Answered(Tick),
    /// An attempt made at this time was refused: a reset, or unreachable.
    Refused(Tick),
    /// The outcome of an attempt made at this time will never be known.
    Forgotten(Tick),
    /// Somebody complained about it.
    Complaint,
    /// Only time has passed.
    Time,
}

/// What came of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<S> {
    /// The state after it.
    pub state: S,
    /// When the bound was reached, if it was by this event.
    pub suspect: Option<Tick>,
    /// Attempts that have turned out to be unanswered.
    pub silent: u32,
    /// Whether an answer came late, and took a failure back.
    pub late: bool,
    /// Whether a test ended by this event because the source is benign; another one has begun.
    pub benign: bool,
}

impl<S> Step<S> {
    const fn to(state: S) -> Self {
        Self {
            state,
            suspect: None,
            silent: 0,
            late: false,
            benign: false,
        }
    }
}

/// A state machine whose whole state is one word.
pub trait Detector {
    /// The state of a subscriber of whom nothing is known is 0.
    type State: Copy + From<u128> + Into<u128>;

    /// The state after an event at `now`. Time that runs backwards counts as standing still.
    fn step(&self, state: Self::State, event: Event, now: Tick) -> Step<Self::State>;
}

/// Which detector found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Finding {
    /// Attempts to port 25 in a window.
    Volume,
    /// Distinct destinations in a window.
    Destinations,
    /// The sequential test on first contacts.
    Outcomes,
    /// Attempts to submission ports and relays in a window: a hijacked account.
    Submission,
}

impl Finding {
    /// The word for it in policies, JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Destinations => "destinations",
            Self::Outcomes => "outcomes",
            Self::Submission => "submission",
        }
    }
}

/// How a class's subscribers are judged. What is `None` is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Attempts to port 25, relays excepted.
    pub volume: Option<Volume>,
    /// Distinct destinations of those; its window also says which contacts are first ones.
    pub destinations: Destinations,
    /// What became of first contacts.
    pub outcomes: Option<Sequential>,
    /// Attempts to submission ports, and to relays.
    pub submission: Option<Volume>,
}

/// What is known of a subscriber when it is flagged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// When its observation began, in nanoseconds.
    pub since: u64,
    /// The test's score, in nats: ln of how much likelier a zombie is than a benign source.
    pub score: f64,
    /// First contacts that were answered.
    pub answered: u32,
    /// First contacts answered with a reset.
    pub reset: u32,
    /// First contacts that were unreachable (ICMP).
    pub unreachable: u32,
    /// First contacts that stayed unanswered.
    pub silent: u32,
    /// Answers that came late, and took back that silence.
    pub late: u32,
    /// First contacts whose outcome is still awaited.
    pub awaited: u32,
    /// Attempts to port 25 within the volume window.
    pub in_window: u32,
    /// Attempts to submission ports and relays within their window.
    pub submissions: u32,
    /// SYN-ACKs from port 25 that nobody asked for.
    pub orphans: u32,
    /// Some of the destinations.
    pub sample: Vec<IpAddr>,
}

/// A subscriber who is found to be a zombie.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its accounting key.
    pub key: IpNet,
    /// Index of its class.
    pub class: u16,
    /// Which detector found it.
    pub detector: Finding,
    /// When, in nanoseconds.
    pub time: u64,
    /// Its attempts since its observation began.
    pub attempts: u32,
    /// Its distinct destinations within the window, estimated.
    pub destinations: u32,
    /// What speaks against it.
    pub evidence: Evidence,
}

#[cfg(test)]
mod tests;
