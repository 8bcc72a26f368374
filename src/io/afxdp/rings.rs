//! One port of one worker: an AF_XDP socket and its four rings.
//!
//! ```text
//!             fill ring ─► kernel ─► receive ring        frames that arrive
//!         transmit ring ─► kernel ─► completion ring     frames that leave
//! ```
//!
//! What is in the kernel's hands is counted, not seen: `receiving` for the upper pair,
//! `transmitting` for the lower. Neither exceeds its rings' size, so that there is always room for
//! what is produced here.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use rustix::net::{RecvFlags, recv};
use xsk_rs::{
    CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem,
    config::{BindFlags, Interface as XskInterface, LibxdpFlags, QueueSize, SocketConfig},
};

use super::{
    Mode, Options,
    netdev::Interface,
    sockopt::SocketObtained,
    umem::{Frame, Memory, io_error},
};

/// A socket of a worker: one queue of one interface.
pub(super) struct Port {
    rx: RxQueue,
    tx: TxQueue,
    fill: FillQueue,
    completion: CompQueue,
    /// Where consumed descriptors are put; as long as the longest ring.
    scratch: Vec<FrameDesc>,
    /// Frames to leave that the kernel does not know of yet.
    queued: Vec<FrameDesc>,
    /// Frames in the fill and receive rings.
    receiving: usize,
    /// Frames queued, or in the transmit and completion rings.
    transmitting: usize,
    fill_size: usize,
    ring_size: usize,
    obtained: SocketObtained,
    needs_every_wakeup: bool,
    busy_poll: bool,
}

/// What the kernel counted on one socket, in frames (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Dropped: no free frame to receive into, or too long for one.
    pub rx_dropped: u64,
    /// Dropped: the worker did not empty the receive ring in time.
    pub rx_ring_full: u64,
    /// Times that the fill ring had no frame to receive into.
    pub fill_ring_empty: u64,
    /// Descriptors that the kernel refused. Anything but 0 is a bug.
    pub invalid_descriptors: u64,
}

impl SocketStatistics {
    /// Frames that arrived for this socket and were lost.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.rx_dropped + self.rx_ring_full
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Port")
            .field("receiving", &self.receiving)
            .field("transmitting", &self.transmitting)
            .field("obtained", &self.obtained)
            .finish_non_exhaustive()
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open as long as the queue that it is borrowed from.
        unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) }
    }
}

impl Port {
    /// Binds a socket to a queue. A second port of the same memory inherits the first one's mode,
    /// whatever `mode` says.
    pub(super) fn bind(
        umem: &Umem,
        interface: &Interface,
        queue: u32,
        mode: Mode,
        options: &Options,
    ) -> io::Result<Self> {
        let ring_size = QueueSize::new(options.ring_size).map_err(io::Error::other)?;
        let mut flags = match mode {
            Mode::Auto => BindFlags::empty(),
            Mode::Copy => BindFlags::XDP_COPY,
            Mode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
        };
        flags.set(BindFlags::XDP_USE_NEED_WAKEUP, options.need_wakeup);
        let config = SocketConfig::builder()
            .rx_queue_size(ring_size)
            .tx_queue_size(ring_size)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let name: XskInterface = interface.name().parse().map_err(io::Error::other)?;
        // SAFETY: the contract is that the program load is inhibited where a queue is bound to
        // twice: it always is.
        let (tx, rx, rings) =
            unsafe { Socket::new(config, umem, &name, queue) }.map_err(io_error)?;
        // `None` would mean that this memory already has a socket on this queue.
        let (fill, completion) = rings.ok_or(io::ErrorKind::AddrInUse)?;
        let fill_size = options.fill_ring_size() as usize;
        // A descriptor can only be copied: these are overwritten before they are used.
        let none: FrameDesc = FrameDesc::default();
        let mut port = Self {
            rx,
            tx,
            fill,
            completion,
            scratch: vec![none; fill_size],
            queued: Vec::with_capacity(options.ring_size as usize),
            receiving: 0,
            transmitting: 0,
            fill_size,
            ring_size: options.ring_size as usize,
            obtained: SocketObtained {
                zero_copy: false,
                busy_poll: None,
            },
            needs_every_wakeup: !options.need_wakeup,
            busy_poll: options.busy_poll.is_some(),
        };
        if let Some(busy_poll) = options.busy_poll {
            busy_poll.apply(port.as_fd())?;
        }
        port.obtained = SocketObtained::read(port.as_fd())?;
        Ok(port)
    }

    pub(super) const fn obtained(&self) -> SocketObtained {
        self.obtained
    }

    pub(super) const fn receiving(&self) -> usize {
        self.receiving
    }

    pub(super) const fn transmitting(&self) -> usize {
        self.transmitting
    }

    pub(super) fn statistics(&self) -> io::Result<SocketStatistics> {
        let counted = self.rx.fd().xdp_statistics()?;
        Ok(SocketStatistics {
            rx_dropped: counted.rx_dropped(),
            rx_ring_full: counted.rx_ring_full(),
            fill_ring_empty: counted.rx_fill_ring_empty_descs(),
            invalid_descriptors: counted.rx_invalid_descs() + counted.tx_invalid_descs(),
        })
    }

    /// Hands out up to `at_most` frames that have arrived.
    #[inline]
    pub(super) fn receive(
        &mut self,
        memory: &mut Memory,
        at_most: usize,
        frames: &mut Vec<Frame>,
    ) -> usize {
        let room = at_most.min(self.scratch.len());
        // SAFETY: all frames in this port's rings are of the one memory it was bound with.
        let count = unsafe { self.rx.consume(&mut self.scratch[..room]) };
        self.receiving -= count;
        frames.extend(
            self.scratch[..count]
                .iter()
                .map(|&descriptor| memory.hand_out(descriptor)),
        );
        count
    }

    /// Queues a frame to leave; hands it back if the ring may not have room for it.
    #[inline]
    pub(super) fn transmit(&mut self, memory: &mut Memory, frame: Frame) -> Result<(), Frame> {
        if self.transmitting == self.ring_size {
            return Err(frame);
        }
        self.transmitting += 1;
        self.queued.push(memory.take_back(frame));
        Ok(())
    }

    /// Hands over what was queued, takes back what was sent, offers free frames, wakes the kernel.
    pub(super) fn flush(&mut self, memory: &mut Memory) -> io::Result<()> {
        self.submit();
        let woken = self.wake_transmit();
        self.collect(memory);
        self.offer(memory);
        woken?;
        self.wake_receive()
    }

    fn submit(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        // SAFETY: the descriptors came out of tokens of this memory, and nothing else holds them
        // any more.
        let count = unsafe { self.tx.produce(&self.queued) };
        // `transmitting` counts these too and never exceeds the ring's size.
        assert_eq!(count, self.queued.len(), "the transmit ring has room");
        self.queued.clear();
    }

    /// Kicks the kernel while it has frames to send and asks for it.
    ///
    /// In copy mode, the kernel sends at most 32 frames a kick, within the kick; it stops early
    /// where the interface is busy or down. A zero-copy driver needs one kick to go on by itself.
    fn wake_transmit(&mut self) -> io::Result<()> {
        let mut unsent = self.unsent();
        while unsent > 0 && (self.needs_every_wakeup || self.tx.needs_wakeup()) {
            self.tx.wakeup()?;
            let left = self.unsent();
            if self.obtained.zero_copy || left == unsent {
                break;
            }
            unsent = left;
        }
        Ok(())
    }

    /// Frames that the kernel has not taken from the transmit ring.
    fn unsent(&mut self) -> usize {
        if self.transmitting == 0 {
            return 0;
        }
        self.ring_size - self.tx.nb_free_exact() as usize
    }

    fn collect(&mut self, memory: &mut Memory) {
        if self.transmitting == 0 {
            return;
        }
        // SAFETY: as in `receive`.
        let count = unsafe { self.completion.consume(&mut self.scratch) };
        self.transmitting -= count;
        memory.reclaim(&self.scratch[..count]);
    }

    fn offer(&mut self, memory: &mut Memory) {
        let wanted = self.fill_size - self.receiving;
        let fill = &mut self.fill;
        let mut given = 0;
        memory.lend(wanted, |free| {
            // SAFETY: the descriptors are on the free list of this memory, and leave it.
            given = unsafe { fill.produce(free) };
            given
        });
        self.receiving += given;
    }

    /// Tells a driver that ran out of frames that there are new ones; polls it, if busy.
    fn wake_receive(&mut self) -> io::Result<()> {
        if !self.busy_poll && !self.fill.needs_wakeup() {
            return Ok(());
        }
        match recv(self.as_fd(), &mut [0_u8; 0][..], RecvFlags::DONTWAIT) {
            // As xsk-rs does for sending: busy, or the link is down.
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENETDOWN | libc::EINTR => Ok(()),
                _ => Err(error.into()),
            },
        }
    }
}
