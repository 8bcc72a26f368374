//! The benches' traffic: frames by the million, fast, in one contiguous buffer.
//!
//! Two profiles, each a function of its seed alone. `mixed` is an access network on a bad day:
//! 5 % attempts to port 25 from 100,000 sources among ordinary traffic in an IMIX. `syn` is a
//! flood: attempts only, uniform over as many sources as asked. Both fit [`profile_policy`].
//!
//! A frame is a copy of a template that [`Packet`] built with addresses, ports and sequence number
//! zero; filling these in adjusts the checksums as routers do (RFC 1624), so that a full-size
//! frame costs one copy and not a sum over its payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::packet::Packet;
use crate::{
    engine::Direction,
    wire::{SMTP, TcpFlags},
};

/// Sources of attempts and of the rest in the mixed profile.
pub const MIXED_SOURCES: u32 = 100_000;
/// At most this many sources fit into the profiles' pools (2001:db8::/32 holds 2²⁴ /56).
pub const SOURCES_MAX: u32 = 1 << 24;

/// Sizes of the mix in octets, as often as they stand here (7 : 4 : 1).
const IMIX: [usize; 12] = [64, 64, 64, 64, 64, 64, 64, 590, 590, 590, 590, 1514];
/// MSS 1460, SACK permitted, timestamps, window scale 7: the SYN of a current system.
const SYN_OPTIONS: [u8; 20] = [
    2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
];

/// Frames side by side in one buffer.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// All octets, frame after frame.
    pub bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    pub ends: Vec<u32>,
}

impl Frames {
    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The octets of one frame.
    ///
    /// # Panics
    /// Where there is no such frame.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin as usize..self.ends[index] as usize]
    }

    /// The frames in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Collects the next `count` frames of a profile.
    ///
    /// # Panics
    /// Where they take more than 4 GiB.
    #[must_use]
    pub fn collect(profile: &mut impl Profile, count: usize) -> Self {
        let mut frames = Self {
            bytes: Vec::with_capacity(count * profile.octets_typical()),
            ends: Vec::with_capacity(count),
        };
        for _ in 0..count {
            profile.write_next(&mut frames.bytes);
            let end = u32::try_from(frames.bytes.len()).expect("the frames take more than 4 GiB");
            frames.ends.push(end);
        }
        frames
    }
}

/// An endless, reproducible sequence of Ethernet frames.
pub trait Profile {
    /// Appends the next frame and says which way it travels.
    fn write_next(&mut self, into: &mut Vec<u8>) -> Direction;

    /// How long a frame is, on average and a little above.
    fn octets_typical(&self) -> usize;
}

/// The next `frames` of [`Mixed`].
#[must_use]
pub fn profile_mixed(seed: u64, frames: usize) -> Frames {
    Frames::collect(&mut Mixed::new(seed), frames)
}

/// The next `frames` of [`Syn`].
///
/// # Panics
/// As [`Syn::new`].
#[must_use]
pub fn profile_syn(seed: u64, frames: usize, sources: u32) -> Frames {
    Frames::collect(&mut Syn::new(seed, sources), frames)
}

/// A policy that knows the profiles' subscribers and whose limit they hardly reach.
#[must_use]
pub const fn profile_policy() -> &'static str {
    r#"# Fits the profiles `mixed` and `syn` of lychgate synth.
[relays]
addresses = ["192.0.2.25", "2001:2:0:25::/64"]
limit = { connections = 10000, window = "1m" }

[class.residential]
smtp = { limit = { connections = 10000, window = "1m" } }
submission = "allow"
excess = "drop"

[[pool]]
prefix = "10.0.0.0/8"
class = "residential"

[[pool]]
prefix = "2001:db8::/32"
subscriber_prefix = 56
class = "residential"

[sources]
capacity = 1048576
"#
}

/// The address of a subscriber in the profiles: every seventh has an IPv6 /56 in `mixed`, every
/// second in `syn`.
fn subscriber(index: u32, ipv6_every: u32) -> IpAddr {
    if index % ipv6_every == ipv6_every - 1 {
        let prefix = 0x2001_0db8_u128 << 96 | u128::from(index) << 72;
        IpAddr::V6(Ipv6Addr::from_bits(prefix | 1))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | index))
    }
}

/// One of 2¹⁷ servers in the ranges that are set aside for benchmarks (RFC 2544, RFC 5180).
fn server(random: u32, ipv6: bool) -> IpAddr {
    let host = random & 0x1_ffff;
    if ipv6 {
        IpAddr::V6(Ipv6Addr::from_bits(
            0x2001_0002_u128 << 96 | u128::from(host),
        ))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 | host))
    }
}

/// 5 % attempts to port 25, the rest web, QUIC and other traffic both ways; 1/7 IPv6, 1/8 tagged.
#[derive(Debug)]
pub struct Mixed {
    random: ChaCha8Rng,
    one_way: bool,
    /// By IPv6, tag and kind.
    templates: Vec<Template>,
}

impl Mixed {
    const KINDS: usize = 1 + 2 * IMIX.len();

    /// The profile from its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(seed, false, usize::MAX)
    }

    /// The same mixture, all of it outbound (what the access port alone may be offered), and no
    /// frame of it longer than `octets_max`.
    #[must_use]
    pub fn outbound(seed: u64, octets_max: usize) -> Self {
        Self::with(seed, true, octets_max)
    }

    fn with(seed: u64, one_way: bool, octets_max: usize) -> Self {
        let sizes = IMIX.map(|octets| octets.min(octets_max));
        let mut templates = Vec::with_capacity(4 * Self::KINDS);
        for (ipv6, tagged) in [(false, false), (false, true), (true, false), (true, true)] {
            templates.push(Template::syn(ipv6, tagged, &SYN_OPTIONS));
            templates.extend(sizes.map(|octets| Template::sized(ipv6, tagged, 6, octets)));
            templates.extend(sizes.map(|octets| Template::sized(ipv6, tagged, 17, octets)));
        }
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            one_way,
            templates,
        }
    }
}

impl Profile for Mixed {
    fn write_next(&mut self, into: &mut Vec<u8>) -> Direction {
        let (dice, more) = (self.random.next_u64(), self.random.next_u64());
        let attempt = (dice & 0xffff) * 20 < 0x1_0000;
        let subscriber = subscriber(below(dice >> 32, MIXED_SOURCES), 7);
        let server = server((dice >> 16) as u32, subscriber.is_ipv6());
        let client_port = 32_768 | (more >> 48) as u16;
        let outbound = self.one_way || attempt || more & 1 == 0;
        let kind = if attempt {
            0
        } else {
            1 + (more >> 8) as u8 as usize % (Self::KINDS - 1)
        };
        let tagged = more >> 1 & 7 == 0;
        let shape = usize::from(subscriber.is_ipv6()) << 1 | usize::from(tagged);
        let flow = Flow {
            ends: if outbound {
                [subscriber, server]
            } else {
                [server, subscriber]
            },
            ports: match (attempt, outbound) {
                (true, _) => [client_port, SMTP],
                (false, true) => [client_port, 443],
                (false, false) => [443, client_port],
            },
            sequence: more as u32,
        };
        self.templates[shape * Self::KINDS + kind].stamp(&flow, into);
        if outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        }
    }

    fn octets_typical(&self) -> usize {
        356
    }
}

/// Attempts to port 25 only, in minimum-size frames, uniform over the sources; every second
/// source is an IPv6 /56.
#[derive(Debug)]
pub struct Syn {
    random: ChaCha8Rng,
    sources: u32,
    templates: [Template; 2],
}

impl Syn {
    /// The profile from its beginning.
    ///
    /// # Panics
    /// Where `sources` is 0 or more than [`SOURCES_MAX`].
    #[must_use]
    pub fn new(seed: u64, sources: u32) -> Self {
        assert!(
            (1..=SOURCES_MAX).contains(&sources),
            "1 to {SOURCES_MAX} sources"
        );
        let templates = [
            Template::syn(false, false, &[]),
            Template::syn(true, false, &[]),
        ];
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            sources,
            templates,
        }
    }
}

impl Profile for Syn {
    fn write_next(&mut self, into: &mut Vec<u8>) -> Direction {
        let (dice, more) = (self.random.next_u64(), self.random.next_u64());
        let subscriber = subscriber(below(dice >> 32, self.sources), 2);
        let flow = Flow {
            ends: [subscriber, server(dice as u32, subscriber.is_ipv6())],
            ports: [32_768 | (more >> 48) as u16, SMTP],
            sequence: more as u32,
        };
        self.templates[usize::from(subscriber.is_ipv6())].stamp(&flow, into);
        Direction::Outbound
    }

    fn octets_typical(&self) -> usize {
        68
    }
}

/// 32 random bits into `0..bound`, by multiplication.
fn below(random: u64, bound: u32) -> u32 {
    (((random & 0xffff_ffff) * u64::from(bound)) >> 32) as u32
}

/// What differs from frame to frame.
struct Flow {
    ends: [IpAddr; 2],
    ports: [u16; 2],
    sequence: u32,
}

/// A frame whose addresses, ports and sequence number are zero.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    network: usize,
    transport: usize,
    /// Where the transport checksum lies in the frame.
    checksum: usize,
    tcp: bool,
}

impl Template {
    fn syn(ipv6: bool, tagged: bool, options: &[u8]) -> Self {
        let packet = |packet: Packet| packet.tcp(0, 0).flags(TcpFlags::SYN).sequence(0);
        Self::new(ipv6, tagged, true, |ip| {
            packet(ip).options(options).padded()
        })
    }

    /// A frame of `octets` in all (or of its headers, where they are longer).
    fn sized(ipv6: bool, tagged: bool, protocol: u8, octets: usize) -> Self {
        let tcp = protocol == 6;
        let headers = 14 + 4 * usize::from(tagged) + if ipv6 { 40 } else { 20 };
        let room = octets.saturating_sub(headers + if tcp { 20 } else { 8 });
        Self::new(ipv6, tagged, tcp, |ip| {
            let packet = if tcp {
                ip.tcp(0, 0).flags(TcpFlags::ACK).sequence(0)
            } else {
                ip.udp(0, 0)
            };
            packet.payload(room)
        })
    }

    fn new(ipv6: bool, tagged: bool, tcp: bool, finish: impl Fn(Packet) -> Packet) -> Self {
        let link = Packet::ethernet();
        let link = if tagged { link.vlan(0x8100, 100) } else { link };
        let ip = if ipv6 {
            link.ipv6(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)
        } else {
            link.ipv4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED)
        };
        let network = 14 + 4 * usize::from(tagged);
        let transport = network + if ipv6 { 40 } else { 20 };
        let checksum = transport + if tcp { 16 } else { 6 };
        Self {
            bytes: finish(ip).build(),
            network,
            transport,
            checksum,
            tcp,
        }
    }

    fn stamp(&self, flow: &Flow, into: &mut Vec<u8>) {
        let begin = into.len();
        into.extend_from_slice(&self.bytes);
        let frame = &mut into[begin..];
        let mut addresses = 0;
        match flow.ends {
            [IpAddr::V4(source), IpAddr::V4(destination)] => {
                addresses += put(frame, self.network + 12, &source.octets());
                addresses += put(frame, self.network + 16, &destination.octets());
                adjust(frame, self.network + 10, addresses);
            }
            [IpAddr::V6(source), IpAddr::V6(destination)] => {
                addresses += put(frame, self.network + 8, &source.octets());
                addresses += put(frame, self.network + 24, &destination.octets());
            }
            _ => unreachable!("both ends are of one version"),
        }
        let mut added = addresses;
        added += put(frame, self.transport, &flow.ports[0].to_be_bytes());
        added += put(frame, self.transport + 2, &flow.ports[1].to_be_bytes());
        if self.tcp {
            added += put(frame, self.transport + 4, &flow.sequence.to_be_bytes());
        }
        adjust(frame, self.checksum, added);
        if !self.tcp && frame[self.checksum..self.checksum + 2] == [0, 0] {
            frame[self.checksum..self.checksum + 2].fill(0xff);
        }
    }
}

/// Writes octets where zeros were and returns the sum of their 16-bit words.
fn put(frame: &mut [u8], at: usize, octets: &[u8]) -> u32 {
    frame[at..at + octets.len()].copy_from_slice(octets);
    octets
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}

/// Adds words to what a checksum covers (RFC 1624 equation 3, from zero).
fn adjust(frame: &mut [u8], at: usize, added: u32) {
    let old = u16::from_be_bytes([frame[at], frame[at + 1]]);
    let mut sum = u32::from(!old) + added;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests;
