//! `process(batch)` → verdicts: the only place where policy, sources and wire meet.
//!
//! The engine owns no clock, thread, socket or file: every frame brings its time, so that replay,
//! tests and the live path run the same code and give the same verdicts.

mod reason;

use ipnet::IpNet;

pub use reason::{Effect, Reason};

use crate::{
    policy::ClassId,
    wire::{Link, Segment, Service},
};

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

/// A connection attempt charged to a subscriber: outbound SYN without ACK to a mail port.
#[derive(Clone, Debug)]
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
    /// The segment, for evidence and for building a reset.
    pub segment: Segment,
}

/// What [`Engine::process`] found in one batch; reused from batch to batch.
#[derive(Debug, Default)]
pub struct Judgements {
    /// One verdict a frame, in order.
    pub verdicts: Vec<Verdict>,
    /// The attempts among them, in order.
    pub attempts: Vec<Attempt>,
}
