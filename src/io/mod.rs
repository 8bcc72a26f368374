//! Where frames come from and where they go.
//!
//! A worker in the wire sees its two ports through one trait, [`Ports`], and nothing else of the
//! kernel: the same loop runs over AF_XDP's rings, over [`memory`] in tests, and over the
//! [`fault`] injector around either. Replay reads and writes [`capture`] files instead.
//!
//! What the trait promises: a frame is a move-only token for a piece of the ports' memory. It is
//! handed out once by [`Ports::receive`] and must come back once, through [`Ports::transmit`] or
//! [`Ports::release`]; safe code cannot do either twice. A token that is dropped instead is found
//! by the [`Census`]: invariant 1 of the design, frames are conserved.
//!
//! This module never imports the engine or the policy: what a frame means is no business of the
//! ports.

#[cfg(feature = "xdp")]
pub mod afxdp;
pub mod capture;
pub mod fault;
pub mod memory;

use std::{fmt, io, net::IpAddr, ops::AddAssign, time::Duration};

/// One of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Towards the subscribers.
    Access,
    /// Towards the internet.
    Uplink,
}

impl Side {
    /// Both, in the order of their indices.
    pub const BOTH: [Self; 2] = [Self::Access, Self::Uplink];

    /// The port that a frame leaves by if it arrived here.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Access => Self::Uplink,
            Self::Uplink => Self::Access,
        }
    }

    /// 0 for access, 1 for uplink: for arrays with one element a port.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The port's name in configuration, labels and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Uplink => "uplink",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Until `until`, what comes from `source` to port 25 (or to the submission ports) and would begin a
/// connection may be dropped and counted without asking the worker: it would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub source: IpAddr,
    /// Whether it is about the submission ports.
    pub is_submission: bool,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub until: u64,
    /// What must be in force for it to mean anything.
    pub generation: u32,
    /// Which counter counts what it refuses.
    pub counter: u32,
}

/// The two ports of one worker, and the memory that their frames lie in.
///
/// Nothing here allocates once the ports are open, and nothing but [`Self::flush`], [`Self::wait`]
/// and [`Self::missed`] enters the kernel.
pub trait Ports {
    /// A frame that the worker holds. Move-only: it must implement neither `Copy` nor `Clone`.
    type Frame: fmt::Debug;

    /// Appends to `frames` up to `at_most` frames that arrived on `side`, oldest first, and says
    /// how many.
    fn receive(&mut self, side: Side, at_most: usize, frames: &mut Vec<Self::Frame>) -> usize;

    /// What a frame contains, from its link-layer header on. Of a frame that lies in several
    /// buffers (jumbo frames) this is the first one, which always holds all headers.
    fn bytes<'a>(&'a self, frame: &'a Self::Frame) -> &'a [u8];

    /// The frame's length on the wire in octets, all its buffers together.
    fn wire_length(&self, frame: &Self::Frame) -> usize {
        self.bytes(frame).len()
    }

    /// When the kernel first saw the frame, in nanoseconds of `CLOCK_MONOTONIC`, where it took a
    /// time stamp (it may do so for a sample of the frames only).
    fn arrival(&self, frame: &Self::Frame) -> Option<u64> {
        let _ = frame;
        None
    }

    /// Puts `bytes` in the place of the frame's contents, all its buffers. Returns `false`, with
    /// the frame unchanged, if they don't fit into one buffer.
    #[must_use]
    fn replace(&mut self, frame: &mut Self::Frame, bytes: &[u8]) -> bool;

    /// Queues a frame to leave by `side`, behind those queued before; it is on its way at the
    /// latest with the next [`Self::flush`].
    ///
    /// # Errors
    ///
    /// Hands the frame back if the port's ring has no room. [`Self::flush`] may make room.
    fn transmit(&mut self, side: Side, frame: Self::Frame) -> Result<(), Self::Frame>;

    /// Gives a frame back without sending it.
    fn release(&mut self, frame: Self::Frame);

    /// Hands over what was queued, collects the frames that were sent, offers free ones for
    /// receiving, and wakes the kernel where it asks for that. Cheap if there is nothing to do.
    ///
    /// # Errors
    ///
    /// Only what the ports cannot recover from. A link that is down or a kernel that is busy is no
    /// error: the rings fill up, and that is told by [`Self::transmit`].
    fn flush(&mut self) -> io::Result<()>;

    /// Sleeps until a frame arrives on either port, or until `timeout` has passed. Says whether a
    /// frame may have arrived.
    ///
    /// # Errors
    ///
    /// As [`Self::flush`]. An interrupted wait is not an error but an early `Ok(false)`.
    fn wait(&mut self, timeout: Duration) -> io::Result<bool>;

    /// Leaves refusals to whatever stands before the ports, if anything does. May enter the kernel.
    fn lease(&mut self, leases: &[Lease]) {
        let _ = leases;
    }

    /// Says that the worker is alive. It does so at every tick, some hundred times a second; whoever
    /// stops saying so long enough is bypassed (invariant 6).
    fn beat(&mut self) {}

    /// From now on frames bypass this worker: none arrive any more but those that have arrived
    /// already. The same happens when the ports are dropped, as they are if the worker panics.
    fn retire(&mut self) {}

    /// Frames that arrived on each port for this worker and were lost before it could receive them:
    /// a receive ring was full, or there was no free frame to receive into. May enter the kernel.
    fn missed(&self) -> [u64; 2] {
        [0; 2]
    }

    /// Where every frame of the memory is now.
    fn census(&self) -> Census;
}

/// Where the frames of a worker's memory are.
///
/// What lies between the fill and the receive ring, or between the transmit and the completion
/// ring, may be in either of them or in the network card, which only the kernel knows; so each pair
/// counts as one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All frames that the memory was cut into.
    pub total: usize,
    /// In nobody's hands.
    pub free: usize,
    /// In the fill or the receive ring, by port.
    pub receiving: [usize; 2],
    /// In the transmit or the completion ring, or queued for it, by port.
    pub transmitting: [usize; 2],
    /// Handed to the worker and not yet given back.
    pub held: usize,
}

impl Census {
    /// Whether every frame is in exactly one place (invariant 1).
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let [access_in, uplink_in] = self.receiving;
        let [access_out, uplink_out] = self.transmitting;
        self.free + access_in + uplink_in + access_out + uplink_out + self.held == self.total
    }

    /// Whether nothing is left to be sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.transmitting == [0, 0]
    }
}

impl AddAssign for Census {
    fn add_assign(&mut self, more: Self) {
        self.total += more.total;
        self.free += more.free;
        for side in 0..2 {
            self.receiving[side] += more.receiving[side];
            self.transmitting[side] += more.transmitting[side];
        }
        self.held += more.held;
    }
}
