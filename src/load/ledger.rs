//! Counting what arrives: whose it is, in which order, how long it took.

use std::{collections::HashMap, hash::BuildHasher, net::IpAddr};

use foldhash::fast::{FixedState, RandomState};
use hdrhistogram::Histogram;

use super::{Order, Stamp, template::Plain};
use crate::wire::{Decoded, Link, Service, Triage, decode, endpoints, triage};

/// Sources that are told apart; what others send is counted together.
const SOURCES_MAX: usize = 1 << 20;
/// The longest time that is told, in nanoseconds: a minute.
const LATENCY_MAX: u64 = 60_000_000_000;

/// What arrived.
#[derive(Debug)]
pub struct Ledger {
    /// All frames.
    pub frames: u64,
    /// Their octets.
    pub octets: u64,
    /// Connection attempts to a mail port.
    pub attempts: u64,
    /// Frames without an IP source.
    pub sourceless: u64,
    /// Frames of sources beyond those that are told apart.
    pub crowded: u64,
    /// The order of those with a stamp.
    pub order: Order,
    /// How long those with a stamp took, in nanoseconds.
    pub latency: Histogram<u64>,
    sources: HashMap<IpAddr, u64, RandomState>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            frames: 0,
            octets: 0,
            attempts: 0,
            sourceless: 0,
            crowded: 0,
            order: Order::default(),
            latency: Histogram::new_with_max(LATENCY_MAX, 3)
                .expect("bounds and precision are constants within hdrhistogram's range"),
            sources: HashMap::default(),
        }
    }
}

impl Ledger {
    /// Notes a frame that had arrived by `now`, in nanoseconds of `CLOCK_MONOTONIC`: a reading
    /// taken after the frame was received, or frames would arrive before they were sent.
    pub fn note(&mut self, frame: &[u8], now: u64) {
        self.frames += 1;
        self.octets += frame.len() as u64;
        self.attempts += u64::from(is_attempt(frame));
        match endpoints(frame, Link::Ethernet) {
            Some((source, _)) => self.note_source(source),
            None => self.sourceless += 1,
        }
        if let Some(stamp) = Stamp::read(frame) {
            self.order.note(&stamp, flow(frame));
            // A stamp of another machine's clock says nothing of time.
            let latency = now.saturating_sub(stamp.time);
            self.latency.saturating_record(latency);
        }
    }

    fn note_source(&mut self, source: IpAddr) {
        if let Some(frames) = self.sources.get_mut(&source) {
            *frames += 1;
        } else if self.sources.len() < SOURCES_MAX {
            self.sources.insert(source, 1);
        } else {
            self.crowded += 1;
        }
    }

    /// How many sources there were.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// The sources of most frames, most first.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<(IpAddr, u64)> {
        let mut all: Vec<_> = self
            .sources
            .iter()
            .map(|(&at, &frames)| (at, frames))
            .collect();
        all.sort_unstable_by_key(|&(address, frames)| (std::cmp::Reverse(frames), address));
        all.truncate(count);
        all
    }
}

fn is_attempt(frame: &[u8]) -> bool {
    let to_mail = |port| Service::of_port(port).is_some();
    match triage(frame) {
        Triage::NotMail | Triage::Icmp(_) => false,
        Triage::Mail(plain) => {
            let glance = plain.glance(frame);
            glance.flags.is_attempt() && to_mail(glance.ports.1)
        }
        Triage::Unsure => match decode(frame, frame.len() as u32, Link::Ethernet, &|_| false) {
            Decoded::Segment(segment) => {
                segment.flags.is_attempt() && to_mail(segment.destination_port)
            }
            _ => false,
        },
    }
}

/// A hash of what the frames of a flow have in common.
fn flow(frame: &[u8]) -> u64 {
    let plain = Plain::find(frame);
    let same = match &plain {
        Some(plain) => plain.flow(frame),
        None => &frame[..frame.len().min(14)],
    };
    FixedState::default().hash_one(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::packet::Packet;

    fn stamped(packet: Packet, number: u64, time: u64) -> Vec<u8> {
        let mut frame = packet.padded().build();
        Stamp {
            run: 1,
            number,
            time,
        }
        .write(&mut frame);
        frame
    }

    #[test]
    fn frames_are_told_apart_by_source_and_by_what_they_want() {
        let mut ledger = Ledger::default();
        let from = |address| {
            Packet::ethernet()
                .vlan(0x8100, 5)
                .ipv4(address, "198.51.100.1")
        };
        ledger.note(
            &stamped(from("192.0.2.1").tcp(40_000, 25).flags(2), 0, 1),
            2,
        );
        ledger.note(
            &stamped(from("192.0.2.1").tcp(40_000, 25).flags(16), 1, 1),
            2,
        );
        ledger.note(&stamped(from("192.0.2.2").udp(1, 2), 2, 1), 2);
        ledger.note(&[0xff; 60], 2);
        assert_eq!(
            (ledger.frames, ledger.attempts, ledger.sourceless),
            (4, 1, 1)
        );
        let first = "192.0.2.1".parse().unwrap();
        assert_eq!((ledger.sources(), ledger.top(1)), (2, vec![(first, 2)]));
        assert_eq!((ledger.order.stamped, ledger.order.lost()), (3, 0));
    }

    /// The clock of a sink that runs behind must not turn into an endless time.
    #[test]
    fn a_frame_from_the_future_took_no_time() {
        let mut ledger = Ledger::default();
        let packet = Packet::ethernet().ipv4("192.0.2.1", "198.51.100.1");
        ledger.note(&stamped(packet.udp(1, 2), 0, 500), 100);
        assert_eq!(ledger.latency.max(), 0);
    }

    #[test]
    fn a_swap_within_a_flow_is_a_change_of_order() {
        let mut ledger = Ledger::default();
        let of = |port, number| {
            let packet = Packet::ethernet().ipv6("2001:db8::1", "2001:db8:1::1");
            stamped(packet.udp(port, 53), number, 0)
        };
        for frame in [of(7, 1), of(7, 0), of(8, 3), of(7, 2)] {
            ledger.note(&frame, 0);
        }
        assert_eq!((ledger.order.late, ledger.order.reordered), (2, 1));
    }
}
