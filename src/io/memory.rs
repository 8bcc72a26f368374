//! Ports in memory: the rings of a pair of AF_XDP sockets without a kernel, for tests.
//!
//! [`pair`] makes a worker's [`MemoryPorts`] and the [`FarEnd`] of its two cables, which a test
//! holds, on any thread. The rings are as bounded as real ones, and what the kernel would do to
//! them happens inside [`Ports::receive`] and [`Ports::flush`]: a frame arrives only if the fill
//! ring has room for it to lie in, and leaves only if its cable takes it. Until then it waits in
//! the transmit ring, and once that is full, [`Ports::transmit`] hands frames back. The cables
//! themselves lose nothing: what the test sends stays in its cable until it is received.
//!
//! There are as many frames as all rings together can hold. With fewer, frames that wait to leave
//! by one port could leave the other without any to receive into: one direction would stall the
//! other.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam::channel::{Receiver, Select, Sender, TrySendError, bounded};

use super::{Census, Ports, Side};

/// Sizes of the memory and its rings, all in frames unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Room in a frame, in octets.
    pub frame_octets: usize,
    /// Entries in each fill and receive ring.
    pub receive_ring: usize,
    /// Entries in each transmit and completion ring.
    pub transmit_ring: usize,
    /// Frames that fit into one direction of a cable.
    pub cable: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            frame_octets: 2048,
            receive_ring: 64,
            transmit_ring: 64,
            cable: 1024,
        }
    }
}

impl Shape {
    /// Frames that the memory is cut into.
    #[must_use]
    pub const fn frames(&self) -> usize {
        2 * (self.receive_ring + self.transmit_ring)
    }
}

/// A worker's ports and the far end of their cables.
#[must_use]
pub fn pair(shape: Shape) -> (MemoryPorts, FarEnd) {
    let [access, uplink] = Side::BOTH.map(|_| Cable::new(shape.cable));
    let life = Arc::new(Life::default());
    let far = FarEnd {
        life: Arc::clone(&life),
        into: [access.0.into, uplink.0.into],
        out_of: [access.0.out_of, uplink.0.out_of],
    };
    let mut ports = MemoryPorts {
        memory: vec![0; shape.frames() * shape.frame_octets],
        shape,
        free: (0..shape.frames()).rev().map(Slot).collect(),
        rings: [access.1, uplink.1].map(|cable| Rings {
            cable,
            fill: VecDeque::with_capacity(shape.receive_ring),
            receive: VecDeque::with_capacity(shape.receive_ring),
            transmit: VecDeque::with_capacity(shape.transmit_ring),
        }),
        held: 0,
        life,
    };
    ports.fill();
    (ports, far)
}

/// One end of a cable.
#[derive(Debug)]
struct Cable {
    into: Sender<Vec<u8>>,
    out_of: Receiver<Vec<u8>>,
}

impl Cable {
    /// Both ends.
    fn new(room: usize) -> (Self, Self) {
        let (there_in, there_out) = bounded(room);
        let (back_in, back_out) = bounded(room);
        let ours = Self {
            into: there_in,
            out_of: back_out,
        };
        let theirs = Self {
            into: back_in,
            out_of: there_out,
        };
        (ours, theirs)
    }
}

/// What a worker says of itself.
#[derive(Debug, Default)]
struct Life {
    beats: AtomicU64,
    retired: AtomicBool,
}

/// The network around the box: the far ends of its two cables, and an eye on the worker's life.
#[derive(Debug)]
pub struct FarEnd {
    life: Arc<Life>,
    into: [Sender<Vec<u8>>; 2],
    out_of: [Receiver<Vec<u8>>; 2],
}

impl FarEnd {
    /// Sends a frame towards a port. Returns `false` if the cable is full, or the ports are gone.
    #[must_use]
    pub fn send(&self, side: Side, bytes: &[u8]) -> bool {
        self.into[side.index()].try_send(bytes.to_vec()).is_ok()
    }

    /// The next frame that left by a port, if one has.
    #[must_use]
    pub fn take(&self, side: Side) -> Option<Vec<u8>> {
        self.out_of[side.index()].try_recv().ok()
    }

    /// The next frame that leaves by a port; `None` if none does within `patience`.
    #[must_use]
    pub fn await_frame(&self, side: Side, patience: Duration) -> Option<Vec<u8>> {
        self.out_of[side.index()].recv_timeout(patience).ok()
    }

    /// How often the worker has said that it is alive.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.life.beats.load(Ordering::Relaxed)
    }

    /// Whether the worker is bypassed for good: what is sent from then on stays in its cable.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.life.retired.load(Ordering::Relaxed)
    }
}

/// A frame's place in the memory.
#[derive(Debug)]
struct Slot(usize);

/// A frame that the worker holds.
#[derive(Debug)]
#[must_use = "a frame must be transmitted or released"]
pub struct MemoryFrame {
    slot: Slot,
    length: usize,
}

#[derive(Debug)]
struct Rings {
    cable: Cable,
    fill: VecDeque<Slot>,
    receive: VecDeque<MemoryFrame>,
    transmit: VecDeque<MemoryFrame>,
}

/// The two ports of a worker, in memory.
#[derive(Debug)]
pub struct MemoryPorts {
    memory: Vec<u8>,
    shape: Shape,
    free: Vec<Slot>,
    rings: [Rings; 2],
    held: usize,
    life: Arc<Life>,
}

impl MemoryPorts {
    fn octets(&mut self, slot: &Slot) -> &mut [u8] {
        &mut self.memory[slot.0 * self.shape.frame_octets..][..self.shape.frame_octets]
    }

    /// What the kernel does when frames arrive: it fills the receive ring.
    fn arrive(&mut self, side: Side) {
        while !self.life.retired.load(Ordering::Relaxed) {
            let rings = &mut self.rings[side.index()];
            if rings.receive.len() == self.shape.receive_ring || rings.fill.is_empty() {
                return;
            }
            let Ok(bytes) = rings.cable.out_of.try_recv() else {
                return;
            };
            let Some(slot) = rings.fill.pop_front() else {
                return;
            };
            // As a driver does with a frame larger than its buffers: cut off, and seen by the test.
            let length = bytes.len().min(self.shape.frame_octets);
            self.octets(&slot)[..length].copy_from_slice(&bytes[..length]);
            let frame = MemoryFrame { slot, length };
            self.rings[side.index()].receive.push_back(frame);
        }
    }

    /// What the kernel does with the transmit ring: it sends what the cable takes.
    fn depart(&mut self, side: Side) {
        while let Some(frame) = self.rings[side.index()].transmit.pop_front() {
            let bytes = self.bytes(&frame).to_vec();
            let rings = &mut self.rings[side.index()];
            if let Err(TrySendError::Full(_)) = rings.cable.into.try_send(bytes) {
                rings.transmit.push_front(frame);
                return;
            }
            self.free.push(frame.slot);
        }
    }

    /// Offers free frames for receiving, to both ports alike.
    fn fill(&mut self) {
        for side in [0, 1].into_iter().cycle() {
            if self.rings.iter().all(|rings| self.is_filled(rings)) {
                return;
            }
            if !self.is_filled(&self.rings[side]) {
                let Some(slot) = self.free.pop() else { return };
                self.rings[side].fill.push_back(slot);
            }
        }
    }

    fn is_filled(&self, rings: &Rings) -> bool {
        rings.fill.len() + rings.receive.len() >= self.shape.receive_ring
    }
}

impl Drop for MemoryPorts {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Ports for MemoryPorts {
    type Frame = MemoryFrame;

    fn receive(&mut self, side: Side, at_most: usize, frames: &mut Vec<MemoryFrame>) -> usize {
        self.arrive(side);
        let ring = &mut self.rings[side.index()].receive;
        let count = at_most.min(ring.len());
        frames.extend(ring.drain(..count));
        self.held += count;
        count
    }

    fn bytes<'a>(&'a self, frame: &'a MemoryFrame) -> &'a [u8] {
        &self.memory[frame.slot.0 * self.shape.frame_octets..][..frame.length]
    }

    fn replace(&mut self, frame: &mut MemoryFrame, bytes: &[u8]) -> bool {
        let Some(room) = self.octets(&frame.slot).get_mut(..bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        frame.length = bytes.len();
        true
    }

    fn transmit(&mut self, side: Side, frame: MemoryFrame) -> Result<(), MemoryFrame> {
        let ring = &mut self.rings[side.index()].transmit;
        if ring.len() == self.shape.transmit_ring {
            return Err(frame);
        }
        ring.push_back(frame);
        self.held -= 1;
        Ok(())
    }

    fn release(&mut self, frame: MemoryFrame) {
        self.free.push(frame.slot);
        self.held -= 1;
    }

    fn flush(&mut self) -> io::Result<()> {
        Side::BOTH.into_iter().for_each(|side| self.depart(side));
        self.fill();
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let has_frames = |rings: &Rings| !rings.receive.is_empty();
        if self.rings.iter().any(has_frames) {
            return Ok(true);
        }
        let mut select = Select::new();
        for rings in &self.rings {
            select.recv(&rings.cable.out_of);
        }
        Ok(select.ready_timeout(timeout).is_ok())
    }

    fn beat(&mut self) {
        self.life.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn retire(&mut self) {
        self.life.retired.store(true, Ordering::Relaxed);
    }

    fn census(&self) -> Census {
        let receiving = |rings: &Rings| rings.fill.len() + rings.receive.len();
        Census {
            total: self.shape.frames(),
            free: self.free.len(),
            receiving: self.rings.each_ref().map(receiving),
            transmitting: self.rings.each_ref().map(|rings| rings.transmit.len()),
            held: self.held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        frame_octets: 64,
        receive_ring: 2,
        transmit_ring: 2,
        cable: 4,
    };

    fn receive_one(ports: &mut MemoryPorts, side: Side) -> Option<MemoryFrame> {
        let mut frames = Vec::new();
        ports.receive(side, 1, &mut frames);
        frames.pop()
    }

    #[test]
    fn a_frame_crosses_from_one_cable_to_the_other() {
        let (mut ports, far) = pair(SHAPE);
        assert!(far.send(Side::Access, b"frame"));
        let frame = receive_one(&mut ports, Side::Access).expect("it arrived");
        assert_eq!(ports.bytes(&frame), b"frame");
        assert!(ports.transmit(Side::Uplink, frame).is_ok());
        ports.flush().expect("memory does not fail");
        assert_eq!(far.take(Side::Uplink).as_deref(), Some(&b"frame"[..]));
        assert_eq!(far.take(Side::Access), None);
    }

    #[test]
    fn a_full_cable_fills_the_transmit_ring_which_hands_frames_back() {
        let (mut ports, far) = pair(SHAPE);
        for sent in 0..SHAPE.cable + SHAPE.transmit_ring {
            assert!(far.send(Side::Access, &[sent as u8]));
            let frame = receive_one(&mut ports, Side::Access).expect("it arrived");
            assert!(ports.transmit(Side::Uplink, frame).is_ok());
            ports.flush().expect("memory does not fail");
        }
        assert!(far.send(Side::Access, b"one more"));
        let frame = receive_one(&mut ports, Side::Access).expect("it arrived");
        let frame = ports
            .transmit(Side::Uplink, frame)
            .expect_err("the ring is full");
        assert_eq!(ports.bytes(&frame), b"one more");
        ports.release(frame);
        for sent in 0..SHAPE.cable + SHAPE.transmit_ring {
            assert_eq!(far.take(Side::Uplink), Some(vec![sent as u8]));
            ports.flush().expect("memory does not fail");
        }
        assert!(ports.census().is_conserved() && ports.census().is_drained());
    }

    #[test]
    fn a_frame_that_is_dropped_instead_of_given_back_is_missed_by_the_census() {
        let (mut ports, far) = pair(SHAPE);
        assert!(far.send(Side::Uplink, b"frame"));
        let _lost = receive_one(&mut ports, Side::Uplink);
        assert_eq!(ports.census().held, 1);
    }

    #[test]
    fn a_frame_takes_no_more_than_it_has_room_for() {
        let (mut ports, far) = pair(SHAPE);
        assert!(far.send(Side::Access, b"frame"));
        let mut frame = receive_one(&mut ports, Side::Access).expect("it arrived");
        assert!(!ports.replace(&mut frame, &[0; 65]));
        assert_eq!(ports.bytes(&frame), b"frame");
        assert!(ports.replace(&mut frame, &[7; 64]));
        assert_eq!(ports.bytes(&frame), [7; 64]);
        ports.release(frame);
    }

    #[test]
    fn what_comes_after_retirement_stays_in_the_cable() {
        let (mut ports, far) = pair(SHAPE);
        ports.beat();
        ports.retire();
        assert_eq!((far.beats(), far.is_retired()), (1, true));
        assert!(far.send(Side::Access, b"too late"));
        assert!(receive_one(&mut ports, Side::Access).is_none());
    }

    #[test]
    fn waiting_ends_when_a_frame_arrives_or_time_is_up() {
        let (mut ports, far) = pair(SHAPE);
        assert!(!ports.wait(Duration::from_millis(1)).expect("no failure"));
        assert!(far.send(Side::Uplink, b"frame"));
        assert!(ports.wait(Duration::from_secs(60)).expect("no failure"));
    }
}
