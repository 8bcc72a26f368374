//! Which frames make a conversation, and when they pass the edge.

use std::net::IpAddr;

use super::{
    Sent,
    network::{Customer, Network},
    packet::Packet,
};
use crate::{
    engine::{Direction, Nanos},
    wire::TcpFlags,
};

const MILLISECOND: Nanos = 1_000_000;
const SECOND: Nanos = 1_000_000_000;
/// When a SYN that nobody answers is sent again, after the first: the timer starts at 1 s and
/// doubles (RFC 6298 §2.1, §5.5).
pub const SYN_RETRIES: [Nanos; 4] = [SECOND, 3 * SECOND, 7 * SECOND, 15 * SECOND];
/// Octets of data in a segment: room for every encapsulation within 1500.
const SEGMENT_MAX: usize = 1400;
/// Between the segments of one turn.
const SPACING: Nanos = 120_000;
/// From the edge to a subscriber and back.
const ACCESS_ROUND_TRIP: Nanos = 6 * MILLISECOND;

/// MSS 1400, SACK permitted, window scale 7.
const SYN_OPTIONS: [u8; 12] = [2, 4, 0x05, 0x78, 4, 2, 1, 3, 3, 7, 1, 1];

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The far side answers.
    Established,
    /// Nobody answers.
    Silent,
    /// The far side answers with RST.
    Refused,
    /// A router answers with ICMP.
    Unreachable,
}

/// Who says how many octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The caller.
    Caller(usize),
    /// The called.
    Called(usize),
}

/// A conversation between a customer and the internet.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub network: &'a Network,
    pub customer: Customer,
    pub local: (IpAddr, u16),
    pub remote: (IpAddr, u16),
    /// The internet calls the customer.
    pub inbound: bool,
    /// From the edge to the remote side and back.
    pub round_trip: Nanos,
    /// The caller's first sequence number; the called one's is its complement.
    pub sequence: u32,
}

impl Call<'_> {
    /// A whole TCP connection from `now` on.
    pub fn tcp(&self, now: Nanos, outcome: Outcome, turns: &[Turn], out: &mut Vec<Sent>) {
        if let Some(open) = self.attempt(now, outcome, out) {
            self.talk(open, turns, out);
        }
    }

    /// As [`Self::tcp`], but nothing after the handshake.
    pub fn handshake(&self, now: Nanos, outcome: Outcome, out: &mut Vec<Sent>) {
        if let Some(open) = self.attempt(now, outcome, out) {
            let completed = self
                .segment(true)
                .sequence(self.sequence.wrapping_add(1))
                .acknowledgement((!self.sequence).wrapping_add(1));
            self.send(open, true, &completed.flags(TcpFlags::ACK), out);
        }
    }

    /// The SYN and what comes of it; when the caller completes the handshake, if it can.
    fn attempt(&self, now: Nanos, outcome: Outcome, out: &mut Vec<Sent>) -> Option<Nanos> {
        let syn = self
            .segment(true)
            .flags(TcpFlags::SYN)
            .options(&SYN_OPTIONS);
        let syn = syn.sequence(self.sequence);
        self.send(now, true, &syn, out);
        let answer = self
            .segment(false)
            .acknowledgement(self.sequence.wrapping_add(1));
        let answered = now + self.far(true);
        match outcome {
            Outcome::Established => {
                let flags = TcpFlags::SYN | TcpFlags::ACK;
                let packet = answer
                    .flags(flags)
                    .options(&SYN_OPTIONS)
                    .sequence(!self.sequence);
                self.send(answered, false, &packet, out);
                return Some(answered + self.far(false));
            }
            Outcome::Refused => {
                let packet = answer.flags(TcpFlags::RST | TcpFlags::ACK).sequence(0);
                self.send(answered, false, &packet, out);
            }
            Outcome::Silent => {
                for retry in SYN_RETRIES {
                    self.send(now + retry, true, &syn, out);
                }
            }
            Outcome::Unreachable => {
                let direction = self.direction(false);
                let around =
                    self.network
                        .packet(self.customer, direction, self.local.0, self.remote.0);
                let error = match self.local.0 {
                    IpAddr::V4(_) => around.icmp(3, 1, 0).only(0..28),
                    IpAddr::V6(_) => around.icmpv6(1, 3, 0),
                };
                let quoted = error.between(self.caller().0, self.called().0);
                let quoted = quoted
                    .tcp(self.caller().1, self.called().1)
                    .flags(TcpFlags::SYN);
                self.send(answered, false, &quoted.sequence(self.sequence), out);
            }
        }
        None
    }

    /// The caller's ACK, the turns and the end of an established connection.
    fn talk(&self, mut now: Nanos, turns: &[Turn], out: &mut Vec<Sent>) {
        // What each side sends and expects next; the caller's first.
        let mut next = [
            self.sequence.wrapping_add(1),
            (!self.sequence).wrapping_add(1),
        ];
        let segment = |by_caller: bool, next: [u32; 2], flags| {
            let (mine, theirs) = if by_caller {
                (next[0], next[1])
            } else {
                (next[1], next[0])
            };
            let packet = self
                .segment(by_caller)
                .sequence(mine)
                .acknowledgement(theirs);
            packet.flags(TcpFlags::ACK | flags)
        };
        self.send(now, true, &segment(true, next, 0), out);
        for &turn in turns {
            let (by_caller, octets) = match turn {
                Turn::Caller(octets) => (true, octets),
                Turn::Called(octets) => (false, octets),
            };
            for begin in (0..octets).step_by(SEGMENT_MAX) {
                let length = SEGMENT_MAX.min(octets - begin);
                now += SPACING;
                self.send(
                    now,
                    by_caller,
                    &segment(by_caller, next, 0x08).payload(length),
                    out,
                );
                let side = usize::from(!by_caller);
                next[side] = next[side].wrapping_add(length as u32);
            }
            now += self.far(by_caller);
            self.send(now, !by_caller, &segment(!by_caller, next, 0), out);
            now += MILLISECOND;
        }
        for by_caller in [true, false] {
            self.send(
                now,
                by_caller,
                &segment(by_caller, next, TcpFlags::FIN),
                out,
            );
            let side = usize::from(!by_caller);
            next[side] = next[side].wrapping_add(1);
            now += self.far(by_caller);
        }
        self.send(now, true, &segment(true, next, 0), out);
    }

    /// A UDP datagram from the caller and the answer to it, if any.
    pub fn udp(&self, now: Nanos, question: usize, answer: Option<usize>, out: &mut Vec<Sent>) {
        self.send(now, true, &self.datagram(true).payload(question), out);
        if let Some(answer) = answer {
            let later = now + self.far(true);
            self.send(later, false, &self.datagram(false).payload(answer), out);
        }
    }

    /// QUIC as the edge sees it: a handshake of full datagrams, then mostly the called one talks.
    pub fn quic(&self, now: Nanos, octets: usize, out: &mut Vec<Sent>) {
        self.udp(now, 1200, Some(1200), out);
        let mut now = now + self.far(true) + MILLISECOND;
        for begin in (0..octets).step_by(1250) {
            let length = 1250.min(octets - begin);
            self.send(now, false, &self.datagram(false).payload(length), out);
            if begin % 5000 == 0 {
                self.send(
                    now + SPACING / 2,
                    true,
                    &self.datagram(true).payload(34),
                    out,
                );
            }
            now += SPACING;
        }
    }

    /// An echo request and its reply.
    pub fn ping(&self, now: Nanos, out: &mut Vec<Sent>) {
        for by_caller in [true, false] {
            let direction = self.direction(by_caller);
            let around = self
                .network
                .packet(self.customer, direction, self.local.0, self.remote.0);
            let packet = match (self.local.0, by_caller) {
                (IpAddr::V4(_), true) => around.icmp(8, 0, self.sequence),
                (IpAddr::V4(_), false) => around.icmp(0, 0, self.sequence),
                (IpAddr::V6(_), true) => around.icmpv6(128, 0, self.sequence),
                (IpAddr::V6(_), false) => around.icmpv6(129, 0, self.sequence),
            };
            let time = if by_caller { now } else { now + self.far(true) };
            self.send(time, by_caller, &packet.payload(56), out);
        }
    }

    const fn caller(&self) -> (IpAddr, u16) {
        if self.inbound {
            self.remote
        } else {
            self.local
        }
    }

    const fn called(&self) -> (IpAddr, u16) {
        if self.inbound {
            self.local
        } else {
            self.remote
        }
    }

    const fn direction(&self, by_caller: bool) -> Direction {
        if by_caller == self.inbound {
            Direction::Inbound
        } else {
            Direction::Outbound
        }
    }

    /// How long the answer to a frame of this side takes to pass the edge.
    const fn far(&self, by_caller: bool) -> Nanos {
        match self.direction(by_caller) {
            Direction::Outbound => self.round_trip,
            Direction::Inbound => ACCESS_ROUND_TRIP,
        }
    }

    fn ports(&self, by_caller: bool) -> (u16, u16) {
        let (caller, called) = (self.caller().1, self.called().1);
        if by_caller {
            (caller, called)
        } else {
            (called, caller)
        }
    }

    fn segment(&self, by_caller: bool) -> Packet {
        let (from, to) = self.ports(by_caller);
        self.ip(by_caller).tcp(from, to)
    }

    fn datagram(&self, by_caller: bool) -> Packet {
        let (from, to) = self.ports(by_caller);
        self.ip(by_caller).udp(from, to)
    }

    fn ip(&self, by_caller: bool) -> Packet {
        let direction = self.direction(by_caller);
        self.network
            .packet(self.customer, direction, self.local.0, self.remote.0)
    }

    fn send(&self, time: Nanos, by_caller: bool, packet: &Packet, out: &mut Vec<Sent>) {
        out.push(Sent {
            time,
            direction: self.direction(by_caller),
            bytes: packet.build(),
        });
    }
}
