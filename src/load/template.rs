//! One frame, and what changes in it each time; the set of them.
//!
//! A few thousand templates become millions of different frames: before a template is sent again,
//! it gets another source and another TCP sequence number, and its checksums are adjusted (RFC
//! 1624). src/bpf/blast.bpf.c does the same in the kernel, from the same numbers, so that a flood
//! and a paced run send the same frames; `tests/load` compares them.

use std::ops::Range;

use super::{STAMP_OCTETS, Stamp};
#[cfg(feature = "xdp")]
use crate::io::afxdp::{Slot, Vary};
use crate::synth::profile::Profile;

/// The longest frame that is sent, without its stamp. The kernel program has no room for more.
pub const FRAME_OCTETS_MAX: usize = 2047;

/// Prime, and larger than any count of sources: its multiples meet every source once a round.
const STRIDE: u64 = 2_654_435_761;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where a 32-bit word of the source address lies, and what it counts through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Octets from the start of the frame.
    pub at: u16,
    /// The word of the source numbered 0.
    pub base: u32,
    /// The source's number is shifted by so many bits and added.
    pub shift: u32,
}

/// What changes in a template, and what follows from that. Places are octets from the start of the
/// frame; 0 stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varied {
    /// The source.
    pub word: Word,
    /// 0 for IPv4, 1 for IPv6: which sources it counts through.
    pub family: usize,
    /// The checksum of an IPv4 header.
    pub network_checksum: u16,
    /// The checksum of TCP or UDP.
    pub transport_checksum: u16,
    /// The TCP sequence number.
    pub sequence: u16,
}

/// A frame to send, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// All octets.
    pub bytes: Vec<u8>,
    /// What changes each time.
    pub varied: Option<Varied>,
}

impl Template {
    /// A frame that is always the same.
    #[must_use]
    pub const fn fixed(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            varied: None,
        }
    }

    /// A frame of the benches' profiles, whose source counts through their subscribers. What has
    /// not their plain shape stays the same.
    #[must_use]
    pub fn varying(bytes: Vec<u8>) -> Self {
        let varied = vary(&bytes);
        Self { bytes, varied }
    }

    /// The same for the kernel program, which varies it by itself.
    #[cfg(feature = "xdp")]
    #[must_use]
    pub fn slot(&self) -> Slot<'_> {
        Slot {
            bytes: &self.bytes,
            vary: self.varied.map(|varied| Vary {
                word: varied.word.at,
                network_checksum: varied.network_checksum,
                transport_checksum: varied.transport_checksum,
                sequence: varied.sequence,
                base: varied.word.base,
                shift: varied.word.shift,
                family: varied.family as u32,
            }),
        }
    }

    /// Makes it the frame with this number, of this source.
    fn renew(&mut self, number: u64, source: u32) {
        let Some(varied) = self.varied else { return };
        let word = varied.word;
        let mut change = put(
            &mut self.bytes,
            word.at,
            word.base.wrapping_add(source << word.shift),
        );
        if varied.network_checksum > 0 {
            adjust(&mut self.bytes, varied.network_checksum, change);
        }
        if varied.sequence > 0 {
            change += put(&mut self.bytes, varied.sequence, number as u32);
        }
        if varied.transport_checksum > 0 {
            adjust(&mut self.bytes, varied.transport_checksum, change);
            // Of UDP, 0 means that there is no checksum.
            let checksum = octets2(varied.transport_checksum);
            if varied.sequence == 0 && self.bytes[checksum.clone()] == [0, 0] {
                self.bytes[checksum].fill(0xff);
            }
        }
    }
}

/// Where the headers of a plain frame lie: tags, IPv4 without options or IPv6.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    network: usize,
    family: usize,
    transport: usize,
    protocol: u8,
}

impl Plain {
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        let two = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let mut network = 14;
        while matches!(two(network - 2)?, 0x8100 | 0x88a8) {
            network += 4;
        }
        let (family, transport, protocol) = match two(network - 2)? {
            ETHERTYPE_IPV4 if bytes.get(network) == Some(&0x45) => (0, network + 20, network + 9),
            ETHERTYPE_IPV6 => (1, network + 40, network + 6),
            _ => return None,
        };
        Some(Self {
            network,
            family,
            transport,
            protocol: *bytes.get(protocol)?,
        })
    }

    /// What the frames of one flow have in common: both addresses, and ports where there are any.
    pub(super) fn flow<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let addresses = if self.family == 0 { 8 } else { 32 };
        let ports = match self.protocol {
            TCP | UDP => 4,
            _ => 0,
        };
        let end = (self.transport + ports).min(bytes.len());
        &bytes[(self.transport - addresses).min(end)..end]
    }
}

/// Finds what may change in a plain frame with TCP or UDP.
fn vary(bytes: &[u8]) -> Option<Varied> {
    let Plain {
        network,
        family,
        transport,
        protocol,
    } = Plain::find(bytes)?;
    let (checksum, sequence) = match protocol {
        TCP => (transport + 16, transport + 4),
        UDP => (transport + 6, 0),
        _ => return None,
    };
    // The kernel program's masks reach no further.
    if bytes.len() < checksum + 2 || checksum > 250 {
        return None;
    }
    let word = match family {
        // 10.0.0.0/8.
        0 => Word {
            at: (network + 12) as u16,
            base: 0x0a00_0000,
            shift: 0,
        },
        // A /56 of 2001:db8::/32: the word behind these 32 bits.
        _ => Word {
            at: (network + 12) as u16,
            base: 0,
            shift: 8,
        },
    };
    Some(Varied {
        word,
        family,
        network_checksum: if family == 0 { network as u16 + 10 } else { 0 },
        transport_checksum: checksum as u16,
        sequence: sequence as u16,
    })
}

/// Templates, sent in turn.
#[derive(Clone, Debug)]
pub struct Cast {
    templates: Vec<Template>,
    sources: [u32; 2],
    drawn: [u64; 2],
    number: u64,
    run: Option<u32>,
}

impl Cast {
    /// Frames in turn, the sources of which count through so many IPv4 addresses and so many IPv6
    /// prefixes; stamped if there is a `run`.
    #[must_use]
    pub fn new(templates: Vec<Template>, sources: [u32; 2], run: Option<u32>) -> Self {
        Self {
            templates,
            sources,
            drawn: [0; 2],
            number: 0,
            run,
        }
    }

    /// `count` frames of a profile, of `sources` subscribers in all, every so-manieth of them with
    /// an IPv6 prefix.
    #[must_use]
    pub fn of_profile(
        profile: &mut impl Profile,
        count: usize,
        (sources, ipv6_every): (u32, u32),
        run: Option<u32>,
    ) -> Self {
        let mut template = || {
            let mut bytes = Vec::new();
            profile.write_next(&mut bytes);
            Template::varying(bytes)
        };
        let templates = (0..count).map(|_| template()).collect();
        let ipv6 = (sources / ipv6_every).max(1);
        Self::new(
            templates,
            [(sources - sources / ipv6_every).max(1), ipv6],
            run,
        )
    }

    /// The templates, as they are now.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// How many sources there are of each family.
    #[must_use]
    pub const fn sources(&self) -> [u32; 2] {
        self.sources
    }

    /// Which run stamps its frames.
    #[must_use]
    pub const fn run(&self) -> Option<u32> {
        self.run
    }

    /// The longest frame, with its stamp.
    #[must_use]
    pub fn octets_max(&self) -> usize {
        let longest = self.templates.iter().map(|template| template.bytes.len());
        let stamp = if self.run.is_some() { STAMP_OCTETS } else { 0 };
        longest.max().unwrap_or(0) + stamp
    }

    /// Appends the next frame, made at `time`, and says where it lies.
    ///
    /// # Panics
    ///
    /// Without templates.
    pub fn write_next(&mut self, time: u64, into: &mut Vec<u8>) -> Range<usize> {
        let number = self.number;
        self.number += 1;
        let index = (number % self.templates.len() as u64) as usize;
        let template = &mut self.templates[index];
        if let Some(varied) = template.varied {
            let sources = u64::from(self.sources[varied.family]);
            let drawn = &mut self.drawn[varied.family];
            if let Some(turn) = drawn.checked_rem(sources) {
                *drawn += 1;
                template.renew(number, (turn * STRIDE % sources) as u32);
            }
        }
        let start = into.len();
        into.extend_from_slice(&template.bytes);
        if let Some(run) = self.run {
            Stamp { run, number, time }.write(into);
        }
        start..into.len()
    }
}

fn octets2(at: u16) -> Range<usize> {
    usize::from(at)..usize::from(at) + 2
}

/// Writes a word and says how that changes a checksum over it.
fn put(frame: &mut [u8], at: u16, word: u32) -> u32 {
    let place = &mut frame[usize::from(at)..usize::from(at) + 4];
    let halves = |octets: &[u8], flip: u16| -> u32 {
        let pairs = octets.as_chunks::<2>().0.iter();
        pairs
            .map(|&pair| u32::from(u16::from_be_bytes(pair) ^ flip))
            .sum()
    };
    let gone = halves(place, 0xffff);
    place.copy_from_slice(&word.to_be_bytes());
    gone + halves(place, 0)
}

/// RFC 1624, equation 3.
fn adjust(frame: &mut [u8], at: u16, change: u32) {
    let place = &mut frame[octets2(at)];
    let mut sum = u32::from(!u16::from_be_bytes([place[0], place[1]])) + change;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    place.copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;
    use crate::{
        synth::profile::{Mixed, Syn},
        wire::{Link, Triage, endpoints, triage},
    };

    fn write(cast: &mut Cast, count: usize) -> Vec<Vec<u8>> {
        let frame = |cast: &mut Cast| {
            let mut bytes = Vec::new();
            cast.write_next(99, &mut bytes);
            bytes
        };
        (0..count).map(|_| frame(cast)).collect()
    }

    /// An independent opinion: etherparse sums everything anew.
    fn assert_correct(frame: &[u8]) {
        let packet = SlicedPacket::from_ethernet(frame).expect("a well-formed frame");
        let net = packet.net.expect("an IP packet");
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
            return;
        };
        let (right, stated) = match net {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload());
                (sum, tcp.checksum())
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                let sum = tcp.to_header().calc_checksum_ipv6(&header, tcp.payload());
                (sum, tcp.checksum())
            }
            _ => panic!("neither IPv4 nor IPv6"),
        };
        assert_eq!(right, Ok(stated));
    }

    #[test]
    fn every_frame_is_correct_however_often_its_template_was_sent() {
        let mut cast = Cast::of_profile(&mut Mixed::outbound(5, 1490), 50, (1000, 7), None);
        for frame in write(&mut cast, 2000) {
            assert_correct(&frame);
        }
        let mut cast = Cast::of_profile(&mut Syn::new(5, 1), 3, (1 << 24, 2), Some(1));
        for frame in write(&mut cast, 2000) {
            assert_correct(&frame);
        }
    }

    #[test]
    fn every_source_sends_as_many_frames_as_the_next() {
        // Every second frame is of an IPv6 source: 20 of each family, 60 frames each.
        let mut cast = Cast::of_profile(&mut Syn::new(1, 1 << 10), 64, (40, 2), None);
        let ipv6 = |template: &&Template| template.varied.is_some_and(|varied| varied.family == 1);
        let share = cast.templates().iter().filter(ipv6).count();
        let mut frames: HashMap<_, u32> = HashMap::new();
        for frame in write(&mut cast, 64 * 60) {
            let (source, _) = endpoints(&frame, Link::Ethernet).unwrap();
            *frames.entry(source).or_default() += 1;
        }
        assert_eq!(frames.len(), 40);
        for (source, count) in frames {
            let of_family = if source.is_ipv6() { share } else { 64 - share };
            let fair = (of_family * 60 / 20) as u32;
            assert!(count.abs_diff(fair) <= 1, "{source}: {count}, not {fair}");
        }
    }

    #[test]
    fn no_attempt_is_taken_for_the_retransmission_of_another() {
        let mut cast = Cast::of_profile(&mut Syn::new(1, 1), 4, (1, 2), None);
        let sequence = |frame: &Vec<u8>| match triage(frame) {
            Triage::Mail(plain) => plain.glance(frame).sequence,
            other => panic!("no mail segment but {other:?}"),
        };
        let mut sequences: Vec<u32> = write(&mut cast, 1000).iter().map(sequence).collect();
        sequences.dedup();
        assert_eq!(sequences.len(), 1000);
    }

    #[test]
    fn a_fixed_frame_stays_as_it_is_but_for_its_stamp() {
        let frame = vec![7; 60];
        let mut cast = Cast::new(vec![Template::fixed(frame.clone())], [1, 1], Some(3));
        for (number, sent) in (0..).zip(write(&mut cast, 3)) {
            assert_eq!(sent[..60], frame);
            let stamp = Stamp {
                run: 3,
                number,
                time: 99,
            };
            assert_eq!(Stamp::read(&sent), Some(stamp));
        }
    }
}
