//! What a user, a business, a zombie, a switch does next.

use std::net::{IpAddr, Ipv4Addr};

use rand::{Rng, RngExt};

use super::{
    Sent,
    conversation::{Call, Outcome, Turn},
    host::{Host, MILLISECOND, SECOND},
    network::{Customer, Network, RELAYS, RESOLVERS},
    packet::Packet,
    timeline::Acts,
};
use crate::{
    engine::{Direction, Nanos},
    wire::{SMTP, SUBMISSION, SUBMISSIONS},
};

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    User,
    Business,
    Burst,
    Slow,
    Rotating,
    Spoofing,
    Switch,
}

/// Somebody who sends.
#[derive(Debug)]
pub struct Actor {
    kind: Kind,
    index: u32,
    host: Host,
    /// Attempts left in a burst.
    left: u32,
}

impl Actor {
    /// The actor of this kind and number.
    pub fn new(kind: Kind, index: u32, seed: u64) -> Self {
        let stream = u64::from(kind as u8) << 32 | u64::from(index);
        Self {
            kind,
            index,
            host: Host::new(seed, stream),
            left: 0,
        }
    }
}

impl Acts for Actor {
    fn first_act(&mut self) -> Nanos {
        let within = match self.kind {
            Kind::User => 20 * SECOND,
            Kind::Slow => 60 * SECOND,
            Kind::Burst => 10 * SECOND,
            Kind::Business | Kind::Rotating | Kind::Spoofing | Kind::Switch => 2 * SECOND,
        };
        self.host.random.random_range(0..within)
    }

    fn act(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        match self.kind {
            Kind::User => {
                self.live(now, network, out);
                self.host.pause(15 * SECOND)
            }
            Kind::Business => {
                self.trade(now, network, out);
                self.host.pause(2 * SECOND)
            }
            Kind::Burst => {
                self.spam(now, network, 40, out);
                self.left = self.left.checked_sub(1).unwrap_or(300);
                let resting = self.left == 0;
                self.host.pause(if resting {
                    120 * SECOND
                } else {
                    40 * MILLISECOND
                })
            }
            Kind::Slow => {
                self.spam(now, network, 80, out);
                50 * SECOND + self.host.random.random_range(0..20 * SECOND)
            }
            Kind::Rotating => {
                self.spam_rotating(now, network, out);
                self.host.pause(600 * MILLISECOND)
            }
            Kind::Spoofing => {
                self.spam_spoofed(now, network, out);
                self.host.pause(300 * MILLISECOND)
            }
            Kind::Switch => {
                let frame = if self.host.random.random_ratio(1, 15) {
                    Packet::ethernet().lldp()
                } else {
                    Packet::ethernet().stp()
                };
                let bytes = frame.padded().build();
                out.push(Sent {
                    time: now,
                    direction: Direction::Inbound,
                    bytes,
                });
                2 * SECOND
            }
        }
    }
}

impl Actor {
    /// A user browses, resolves, pings, asks for neighbours and, now and then, mails.
    fn live(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let ipv6 = self.host.random.random_ratio(2, 5);
        let (dice, octets) = (self.host.random.random_range(0..100), self.size());
        let server = self.host.server(ipv6);
        match dice {
            0..35 => {
                self.call(network, (RESOLVERS[usize::from(ipv6)], 53))
                    .udp(now, 36, Some(120), out);
                let turns = [
                    Turn::Caller(517),
                    Turn::Called(3200),
                    Turn::Caller(420),
                    Turn::Called(octets),
                ];
                let call = self.call(network, (server, 443));
                call.tcp(now + 30 * MILLISECOND, Outcome::Established, &turns, out);
            }
            35..65 => self.call(network, (server, 443)).quic(now, octets, out),
            65..75 => {
                let answer = self.host.random.random_ratio(9, 10).then_some(140);
                self.call(network, (RESOLVERS[usize::from(ipv6)], 53))
                    .udp(now, 40, answer, out);
            }
            75..80 => self.call(network, (server, 0)).ping(now, out),
            80..85 if network.has_neighbours() => self.ask_neighbours(now, network, ipv6, out),
            80..88 => {
                // Somebody out there scans for mail servers.
                let call = self.call(network, (server, SMTP));
                let (local, remote) = ((call.local.0, SMTP), (server, call.local.1));
                let scan = Call {
                    local,
                    remote,
                    inbound: true,
                    ..call
                };
                scan.tcp(now, Outcome::Silent, &[], out);
            }
            _ => self.mail(now, network, ipv6, out),
        }
    }

    /// A mail through the relay, mostly; some programs still deliver directly.
    fn mail(&mut self, now: Nanos, network: &Network, ipv6: bool, out: &mut Vec<Sent>) {
        let relay = RELAYS[usize::from(ipv6)];
        let remote = match self.host.random.random_range(0..20) {
            0..11 => (relay, SUBMISSION),
            11..16 => (relay, SUBMISSIONS),
            16..18 => (relay, SMTP),
            18 => (self.host.server(ipv6), SUBMISSION),
            _ => (self.host.server(ipv6), SMTP),
        };
        let turns = self.message();
        self.call(network, remote)
            .tcp(now, Outcome::Established, &turns, out);
    }

    fn ask_neighbours(&self, now: Nanos, network: &Network, ipv6: bool, out: &mut Vec<Sent>) {
        let customer = self.customer();
        let link = network.link(customer, Direction::Outbound);
        let packet = if ipv6 {
            link.ipv6("fe80::1", "ff02::1:ff00:fe")
                .neighbour_solicitation("fe80::fe")
        } else {
            match network.address(customer, false) {
                IpAddr::V4(own) => link.arp(1, own, "100.64.0.1"),
                IpAddr::V6(_) => return,
            }
        };
        let bytes = packet.padded().build();
        out.push(Sent {
            time: now,
            direction: Direction::Outbound,
            bytes,
        });
    }

    /// A business delivers its customers' mail and receives others'.
    fn trade(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let server = self.host.server(false);
        let turns = self.message();
        let outcome = self.host.outcome(10);
        let call = self.call(network, (server, SMTP));
        if self.host.random.random_ratio(3, 10) {
            let (local, remote) = ((call.local.0, SMTP), (server, call.local.1));
            let delivery = Call {
                local,
                remote,
                inbound: true,
                ..call
            };
            delivery.tcp(now, Outcome::Established, &turns, out);
        } else {
            call.tcp(now, outcome, &turns, out);
        }
    }

    /// A zombie tries the next address on its list; most servers refuse what it says.
    fn spam(&mut self, now: Nanos, network: &Network, failing: u32, out: &mut Vec<Sent>) {
        let server = self.host.server(false);
        let outcome = self.host.outcome(failing);
        self.call(network, (server, SMTP))
            .tcp(now, outcome, &Self::REJECTED, out);
    }

    fn spam_rotating(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let server = self.host.server(true);
        let outcome = self.host.outcome(50);
        let suffix =
            u128::from(self.host.random.next_u64()) << 64 | u128::from(self.host.random.next_u64());
        let mut call = self.call(network, (server, SMTP));
        call.local.0 = network.address_in_prefix(self.index, suffix);
        call.tcp(now, outcome, &Self::REJECTED, out);
    }

    /// A spoofer sends SYNs as somebody else: what answers come go elsewhere.
    fn spam_spoofed(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let server = self.host.server(false);
        let neighbour = Customer::Resident(self.host.random.random_range(0..network.residents()));
        let pretended = if self.host.random.random_ratio(1, 4) {
            network.address(neighbour, false)
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(
                0x0a00_0000 | self.host.random.random_range(1..1 << 24),
            ))
        };
        let mut call = self.call(network, (server, SMTP));
        call.local.0 = pretended;
        let mut attempt = Vec::new();
        call.tcp(now, Outcome::Silent, &[], &mut attempt);
        out.extend(attempt.into_iter().take(1));
    }

    /// What a server says that does not want the mail.
    const REJECTED: [Turn; 5] = [
        Turn::Called(52),
        Turn::Caller(22),
        Turn::Called(90),
        Turn::Caller(38),
        Turn::Called(64),
    ];

    /// A whole SMTP session with one message.
    fn message(&mut self) -> [Turn; 11] {
        use Turn::{Called, Caller};
        let body = self.size();
        let (greeting, hello, extensions) = (Called(60), Caller(25), Called(180));
        let (from, to, data) = (Caller(42), Caller(36), Caller(6));
        [
            greeting,
            hello,
            extensions,
            from,
            Called(14),
            to,
            Called(14),
            data,
            Called(37),
            Caller(body),
            Called(44),
        ]
    }

    const fn customer(&self) -> Customer {
        match self.kind {
            Kind::Business => Customer::Business(self.index),
            _ => Customer::Resident(self.index),
        }
    }

    /// A call from the actor's own address and its next port.
    fn call<'a>(&mut self, network: &'a Network, remote: (IpAddr, u16)) -> Call<'a> {
        self.host.call(network, self.customer(), remote)
    }

    /// Octets of a page or a message: small ones are common, large ones make up the volume.
    fn size(&mut self) -> usize {
        let scale = self.host.random.random_range(9..16);
        self.host.random.random_range(1 << scale >> 1..1 << scale)
    }
}
