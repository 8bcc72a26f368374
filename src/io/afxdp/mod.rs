//! The ports of a live box: two network interfaces, on AF_XDP.
//!
//! Order of things: [`Steering::load`] puts the kernel program into the kernel, [`attach`] hangs
//! it on each port (from there on, frames cross in the kernel), [`QueuePair::open`] gives a worker
//! its sockets, and [`QueuePair::serve`] sends it the frames of its queue. A queue pair that is
//! dropped, or whose process dies, gets no frames any more, and they cross in the kernel again.
//! [`detach`] removes what stays when the process ends.
//!
//! | file | what it holds |
//! |---|---|
//! | `umem` | a worker's memory, cut into frames |
//! | `rings` | one socket of a worker, with its four rings |
//! | `sockopt` | socket options |
//! | `deferral` | interrupts of a card that is busy-polled |
//! | `netdev` | a network interface |
//! | `ethtool` | what its driver tells and can be told |
//! | `netlink` | what it is part of, and that something has changed |
//! | `repair` | what is put right on it, and put back |
//! | `program` | the kernel program: src/bpf/steer.bpf.c |
//! | `link` | how it hangs on the ports |
//! | `heartbeat` | how it knows that a worker is alive |
//! | `lease` | what it may refuse by itself |
//! | `wall` | what it may not let cross by itself, although it is no mail |
//! | `flood`, `packet` | a generator's ways out: src/bpf/blast.bpf.c, and packet sockets |
//! | `sink` | taking whatever arrives: src/bpf/sink.bpf.c |
//! | `error` | what went wrong, and what to do about it |
//!
//! This is the one module with unsafe code: what it rests on stands beside each use. It knows
//! nothing of mail, and nothing of threads: whoever owns a [`QueuePair`] is its worker.

#![allow(unsafe_code)]

mod deferral;
mod error;
mod ethtool;
mod flood;
mod heartbeat;
mod lease;
mod link;
mod netdev;
mod netlink;
mod packet;
mod program;
mod repair;
mod rings;
mod sink;
mod sockopt;
#[cfg(test)]
mod tests;
mod umem;
mod wall;

use std::{io, os::fd::AsFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

pub use self::{
    deferral::Deferral,
    error::{Error, Result},
    ethtool::{Offload, OffloadState, Queues},
    flood::{Flood, Slot, Vary},
    heartbeat::{Heartbeat, deadline_min},
    lease::{LEASE_COUNTERS_MAX, LeaseOptions, Leases, SynMemory},
    link::{AttachMode, Attachment, Occupant, PIN_ROOT, attach, detach, occupant},
    netdev::{Claim, Interface, XdpFeatures},
    netlink::{Belonging, Controller, LinkChanges},
    packet::PacketSocket,
    program::{Fail, Fate, Fates, QUEUES_MAX, Settings, Steer, Steering},
    repair::{Repair, repair, repaired, restore},
    rings::SocketStatistics,
    sink::{Counter, Hook, Listener, Tally},
    sockopt::{BusyPoll, SocketObtained},
    umem::Frame,
    wall::{WALLS_MAX, Wall},
};
use self::{program::Registration, rings::Port, umem::Memory};
use super::{Census, Lease, Ports, Side};

/// How frames get from the card into a worker's memory, and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Without copying if both drivers can, else by copying.
    #[default]
    Auto,
    /// The kernel copies each frame, both ways. Works with every driver.
    Copy,
    /// The card writes into the worker's memory itself; refused if a driver can't.
    ZeroCopy,
}

/// What a worker asks of its sockets. The defaults are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How frames get into memory.
    pub mode: Mode,
    /// Descriptors in a transmit or receive ring: a power of 2.
    pub ring_size: u32,
    /// Octets of a frame's place in memory, 256 of them the kernel's: 2048 or 4096.
    pub frame_size: u32,
    /// Whether the memory is of huge pages (which must have been set aside).
    pub huge_pages: bool,
    /// Whether the kernel may ask for wake-ups, rather than be woken at every turn.
    pub need_wakeup: bool,
    /// Busy polling, if any.
    pub busy_poll: Option<BusyPoll>,
    /// Whether frames are looked at for the time stamps of [`Settings::stamp`].
    pub stamps: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            ring_size: 2048,
            frame_size: 2048,
            huge_pages: false,
            need_wakeup: true,
            busy_poll: None,
            stamps: true,
        }
    }
}

/// Octets that may stand between an interface's MTU and its frames: the Ethernet header and two
/// VLAN tags.
const LINK_HEADERS: usize = 14 + 2 * 4;

impl Options {
    /// Descriptors in a fill ring. Twice the receive ring, so that there are frames to receive
    /// into while a full receive ring is with the worker.
    const fn fill_ring_size(&self) -> u32 {
        2 * self.ring_size
    }

    /// Frames in a worker's memory: for both ports, a full fill ring and a full transmit ring.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        2 * (self.fill_ring_size() + self.ring_size)
    }

    /// Octets of a worker's memory.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.frames() as u64 * self.frame_size as u64
    }

    /// Huge pages of 2 MiB that a worker's memory takes, if it is of such.
    const fn huge_pages_needed(&self) -> u64 {
        self.octets().div_ceil(2 << 20)
    }

    /// The longest MTU that the ports may have with this frame size.
    #[must_use]
    pub const fn mtu_max(&self) -> usize {
        (self.frame_size as usize).saturating_sub(umem::HEADROOM + LINK_HEADERS)
    }
}

/// A worker's ports: one queue of both interfaces, and the memory that their sockets share.
///
/// A frame that crosses is not copied: its descriptor moves from one socket's ring to the other's.
/// The worker must say that it is alive ([`Ports::beat`]) several times within the deadline of
/// [`Settings`], sleeping or not, or its frames bypass it.
#[derive(Debug)]
pub struct QueuePair {
    /// Before the sockets, so that it is dropped first.
    registration: Option<Registration>,
    leases: Option<Leases>,
    ports: [Port; 2],
    memory: Memory,
    heartbeat: Heartbeat,
    interfaces: [Interface; 2],
    queue: u32,
}

impl QueuePair {
    /// Binds a socket to `queue` of each interface (access, uplink), over one new memory. They
    /// see no frame until [`Self::serve`].
    ///
    /// # Errors
    ///
    /// If an MTU is too long for the frame size, a queue doesn't exist or is in use, or a driver
    /// can't do what the options ask.
    pub fn open(
        options: &Options,
        interfaces: [&Interface; 2],
        queue: u32,
        heartbeat: Heartbeat,
    ) -> Result<Self> {
        for interface in interfaces {
            check_mtu(options, interface)?;
        }
        let open = |mode| error::until_let_go(|| open_as(mode, options, interfaces, queue));
        let opened = match options.mode {
            Mode::Auto => open(Mode::Auto).or_else(|error| match error.errno() {
                // The first driver can do without copying, the second can't.
                Some(libc::EOPNOTSUPP | libc::EINVAL) => open(Mode::Copy),
                _ => Err(error),
            }),
            mode => open(mode),
        };
        let (ports, memory) = opened?;
        let mut pair = Self {
            registration: None,
            leases: None,
            ports,
            memory,
            heartbeat,
            interfaces: interfaces.map(Clone::clone),
            queue,
        };
        // Only now are there frames to receive into.
        pair.flush()
            .map_err(|cause| Error::new(format!("queue {queue}"), "fill its rings", cause))?;
        Ok(pair)
    }

    /// Has the kernel program send this queue's frames here, as long as the heartbeat is young.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn serve(&mut self, steering: &Steering) -> Result<()> {
        self.heartbeat.beat();
        let sockets = self.ports.each_ref().map(Port::as_fd);
        self.registration = Some(steering.register(self.queue, sockets)?);
        self.leases = Some(steering.leases()?);
        Ok(())
    }

    /// Which queue of the interfaces this is.
    #[must_use]
    pub const fn queue(&self) -> u32 {
        self.queue
    }

    /// What a port's socket got: read back from the kernel.
    #[must_use]
    pub const fn obtained(&self, side: Side) -> SocketObtained {
        self.ports[side.index()].obtained()
    }

    /// What the kernel counted on a port's socket.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn statistics(&self, side: Side) -> io::Result<SocketStatistics> {
        self.ports[side.index()].statistics()
    }
}

impl Ports for QueuePair {
    type Frame = Frame;

    #[inline]
    fn receive(&mut self, side: Side, at_most: usize, frames: &mut Vec<Frame>) -> usize {
        self.ports[side.index()].receive(&mut self.memory, at_most, frames)
    }

    #[inline]
    fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.memory.bytes(frame)
    }

    #[inline]
    fn arrival(&self, frame: &Frame) -> Option<u64> {
        frame.arrival
    }

    fn replace(&mut self, frame: &mut Frame, bytes: &[u8]) -> bool {
        self.memory.replace(frame, bytes)
    }

    #[inline]
    fn transmit(&mut self, side: Side, frame: Frame) -> std::result::Result<(), Frame> {
        self.ports[side.index()].transmit(&mut self.memory, frame)
    }

    #[inline]
    fn release(&mut self, frame: Frame) {
        self.memory.release(frame);
    }

    fn flush(&mut self) -> io::Result<()> {
        for (port, interface) in self.ports.iter_mut().zip(&self.interfaces) {
            port.flush(&mut self.memory)
                .map_err(|cause| failed(interface, self.queue, cause))?;
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let [access, uplink] = &self.ports;
        let mut sockets = [access, uplink].map(|port| PollFd::new(port, PollFlags::IN));
        let ready = match poll(&mut sockets, Some(&timeout)) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // Only an interface that is gone does that, and it would never let anybody sleep again.
        let is_gone = |socket: &PollFd<'_>| socket.revents().contains(PollFlags::ERR);
        if let Some(index) = sockets.iter().position(is_gone) {
            let cause = io::Error::from_raw_os_error(libc::ENXIO);
            return Err(failed(&self.interfaces[index], self.queue, cause));
        }
        Ok(ready)
    }

    fn lease(&mut self, leases: &[Lease]) {
        if let Some(to) = &mut self.leases {
            to.put(leases);
        }
    }

    #[inline]
    fn beat(&mut self) {
        self.heartbeat.beat();
    }

    fn retire(&mut self) {
        self.registration = None;
    }

    fn missed(&self) -> [u64; 2] {
        // A statistic that cannot be read has counted nothing: the socket is gone.
        let missed = |port: &Port| port.statistics().map_or(0, |counted| counted.missed());
        self.ports.each_ref().map(missed)
    }

    fn census(&self) -> Census {
        Census {
            total: self.memory.total(),
            free: self.memory.free(),
            receiving: self.ports.each_ref().map(Port::receiving),
            transmitting: self.ports.each_ref().map(Port::transmitting),
            held: self.memory.held(),
        }
    }
}

/// Says which port failed. The kernel means by ENXIO that the socket is bound to nothing any more.
fn failed(interface: &Interface, queue: u32, cause: io::Error) -> io::Error {
    let text = match cause.raw_os_error() {
        Some(libc::ENXIO) => format!("{interface}, queue {queue}: the interface is gone"),
        _ => format!("{interface}, queue {queue}: {cause}"),
    };
    io::Error::new(cause.kind(), text)
}

/// Binds both sockets.
fn open_as(
    mode: Mode,
    options: &Options,
    interfaces: [&Interface; 2],
    queue: u32,
) -> Result<([Port; 2], Memory)> {
    let memory = Memory::new(
        options.frames(),
        options.frame_size,
        (options.fill_ring_size(), options.ring_size),
        options.huge_pages,
        options.stamps,
    )
    .map_err(|cause| {
        let remedy = if options.huge_pages {
            let each = options.huge_pages_needed();
            format!("set huge pages aside, {each} for each worker: `sysctl vm.nr_hugepages=…`")
        } else {
            error::usual_remedy(&cause)
                .unwrap_or("ring sizes are powers of 2, a frame's size is 2048 or 4096")
                .to_owned()
        };
        let frames = options.frames();
        let attempt = format!("register {frames} frames of {} octets", options.frame_size);
        Error::new(format!("queue {queue}"), attempt, cause).remedy(remedy)
    })?;
    let bind = |interface| {
        Port::bind(memory.umem(), interface, queue, mode, options)
            .map_err(|cause| bind_error(interface, queue, cause))
    };
    Ok(([bind(interfaces[0])?, bind(interfaces[1])?], memory))
}

fn bind_error(interface: &Interface, queue: u32, cause: io::Error) -> Error {
    let remedy = match cause.raw_os_error() {
        Some(libc::EBUSY) => "stop the other process that has this queue",
        Some(libc::EOPNOTSUPP) => "the driver has no zero-copy: choose `copy` or `auto`",
        Some(libc::EINVAL) => "compare the queue with the interface's (`ethtool -l`)",
        Some(libc::ENETDOWN) => "set the interface up (`ip link set … up`)",
        _ => error::usual_remedy(&cause).unwrap_or("see docs/drivers.md for this driver"),
    };
    Error::new(
        format!("{interface}, queue {queue}"),
        "bind an AF_XDP socket",
        cause,
    )
    .remedy(remedy)
}

fn check_mtu(options: &Options, interface: &Interface) -> Result<()> {
    let (mtu, mtu_max) = (interface.mtu()?, options.mtu_max());
    if mtu <= mtu_max {
        return Ok(());
    }
    let attempt = format!("receive into frames of {} octets", options.frame_size);
    let cause = format!("the MTU of {mtu} is longer than {mtu_max}");
    let larger = Options {
        frame_size: 4096,
        ..*options
    };
    let remedy = format!(
        "set the MTU to at most {mtu_max} (`ip link set {} mtu {mtu_max}`), or, up to {}, the \
         frame size to {}",
        interface.name(),
        larger.mtu_max(),
        larger.frame_size
    );
    Err(Error::new(interface, attempt, cause).remedy(remedy))
}
