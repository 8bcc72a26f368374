//! A fault injector over any [`Ports`]: what rings, drivers and cables do on a bad day.
//!
//! Every call of the trait that can go wrong draws the next [`Fault`] of a given sequence; one
//! that is not about this call does nothing. So a test (or proptest, which shrinks it) says exactly
//! what happens and when. No fault loses, doubles, changes or reorders a frame: whoever finds that
//! has found a fault of the worker.

use std::{io, time::Duration};

use super::{Census, Lease, Ports, Side};

/// What may go wrong in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// [`Ports::receive`] yields at most so many frames, however many have arrived.
    ShortBatch(usize),
    /// [`Ports::transmit`] finds the ring full.
    RingFull,
    /// [`Ports::replace`] finds no room.
    NoRoom,
    /// [`Ports::flush`] comes to nothing: no frame leaves, none is completed, none is offered.
    LateFlush,
    /// [`Ports::wait`] returns at once, as if a signal had interrupted it.
    Interrupted,
    /// [`Ports::flush`] and [`Ports::wait`] fail: the interface is gone.
    Gone,
    /// [`Ports::receive`] panics, as a bug would.
    Panic,
}

/// Ports on which things go wrong.
#[derive(Debug)]
pub struct Faulty<P, F> {
    ports: P,
    faults: F,
}

impl<P: Ports, F: Iterator<Item = Fault>> Faulty<P, F> {
    /// `ports`, on which `faults` happen; none do once they have run out.
    #[must_use]
    pub fn new(ports: P, faults: F) -> Self {
        Self { ports, faults }
    }

    fn next(&mut self) -> Fault {
        self.faults.next().unwrap_or(Fault::None)
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the interface is gone (injected)")
}

impl<P: Ports, F: Iterator<Item = Fault>> Ports for Faulty<P, F> {
    type Frame = P::Frame;

    fn receive(&mut self, side: Side, at_most: usize, frames: &mut Vec<P::Frame>) -> usize {
        let at_most = match self.next() {
            Fault::ShortBatch(short) => at_most.min(short),
            Fault::Panic => panic!("a bug in the worker (injected)"),
            _ => at_most,
        };
        self.ports.receive(side, at_most, frames)
    }

    fn bytes<'a>(&'a self, frame: &'a P::Frame) -> &'a [u8] {
        self.ports.bytes(frame)
    }

    fn wire_length(&self, frame: &P::Frame) -> usize {
        self.ports.wire_length(frame)
    }

    fn arrival(&self, frame: &P::Frame) -> Option<u64> {
        self.ports.arrival(frame)
    }

    fn replace(&mut self, frame: &mut P::Frame, bytes: &[u8]) -> bool {
        self.next() != Fault::NoRoom && self.ports.replace(frame, bytes)
    }

    fn transmit(&mut self, side: Side, frame: P::Frame) -> Result<(), P::Frame> {
        match self.next() {
            Fault::RingFull => Err(frame),
            _ => self.ports.transmit(side, frame),
        }
    }

    fn release(&mut self, frame: P::Frame) {
        self.ports.release(frame);
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.next() {
            Fault::LateFlush => Ok(()),
            Fault::Gone => Err(gone()),
            _ => self.ports.flush(),
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        match self.next() {
            Fault::Interrupted => Ok(false),
            Fault::Gone => Err(gone()),
            _ => self.ports.wait(timeout),
        }
    }

    fn beat(&mut self) {
        self.ports.beat();
    }

    fn lease(&mut self, leases: &[Lease]) {
        self.ports.lease(leases);
    }

    fn retire(&mut self) {
        self.ports.retire();
    }

    fn missed(&self) -> [u64; 2] {
        self.ports.missed()
    }

    fn census(&self) -> Census {
        self.ports.census()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::memory::{Shape, pair},
        *,
    };

    #[test]
    fn each_fault_strikes_the_call_that_it_is_about() {
        let (ports, far) = pair(Shape::default());
        let faults = [
            Fault::ShortBatch(1), // the first receive
            Fault::RingFull,      // the first transmit
            Fault::Gone,          // the second: not about it
            Fault::LateFlush,     // the first flush
        ];
        let mut ports = Faulty::new(ports, faults.into_iter());
        assert!(far.send(Side::Access, b"one") && far.send(Side::Access, b"two"));
        let mut frames = Vec::new();
        assert_eq!(ports.receive(Side::Access, 8, &mut frames), 1);
        let frame = frames.pop().expect("one frame");
        let frame = ports.transmit(Side::Uplink, frame).expect_err("full");
        assert!(ports.transmit(Side::Uplink, frame).is_ok());
        ports.flush().expect("late, not broken");
        assert_eq!(far.take(Side::Uplink), None);
        ports.flush().expect("no more faults");
        assert_eq!(far.take(Side::Uplink).as_deref(), Some(&b"one"[..]));
        assert!(ports.census().is_conserved());
    }
}
