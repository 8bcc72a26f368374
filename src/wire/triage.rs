//! The plain shapes, by hand: Ethernet II, up to [`TAGS_MAX`] tags, IPv4 without options and not a
//! fragment or IPv6 without extension headers, then TCP, UDP or ICMP. They are nearly all frames.
//!
//! [`triage`] promises to agree with [`decode`](super::decode) wherever it decides, and to be
//! unsure of everything it does not know; it leaves every odd frame, and every unacceptable
//! attempt, to the full decoder. Nothing is copied out of a segment: [`PlainSegment`] says where
//! it is, and whoever wants more asks it with the frame in hand.

use std::net::IpAddr;

use super::{
    Segment, TAGS_MAX, TcpFlags, Vlans,
    link::is_tag,
    network::{TCP, UDP},
    transport::{MAIL_PORTS, Ports, TUNNEL_PORTS, split_ports},
    walk::Family,
};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const TAGS_OFFSET: usize = 14;
/// Where an IP header has what, and what it must have to be plain.
struct Plain {
    family: Family,
    /// The version, and in IPv4 a header without options.
    first_octet: (u8, u8),
    /// Masks the more-fragments bit and the fragment offset at octet 6.
    fragment: u16,
    protocol_at: usize,
    length_at: usize,
    /// What the length field does not count.
    length_base: usize,
    header_length: usize,
    icmp: u8,
}

/// The ports that are not simply let pass: TCP's, and UDP's.
static ASKED: [Ports; 2] = [MAIL_PORTS, TUNNEL_PORTS];

/// Octets of a packet that are looked at before anything is decided: header and ports.
const IPV4_LOOK: usize = 24;
const IPV6_LOOK: usize = 44;

const IPV4: Plain = Plain {
    family: Family::V4,
    first_octet: (0xff, 0x45),
    fragment: 0x3fff,
    protocol_at: 9,
    length_at: 2,
    length_base: 0,
    header_length: 20,
    icmp: 1,
};

const IPV6: Plain = Plain {
    family: Family::V6,
    first_octet: (0xf0, 0x60),
    fragment: 0,
    protocol_at: 6,
    length_at: 4,
    length_base: 40,
    header_length: 40,
    icmp: 58,
};

/// What [`triage`] makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triage {
    /// Certainly [`Crossing::NotMail`](super::Crossing::NotMail).
    NotMail,
    /// The same, and ICMP: its IP header begins so many octets from the start of the frame.
    Icmp(u8),
    /// A segment to or from a mail port, without blemish.
    Mail(PlainSegment),
    /// Not a plain shape: [`decode`](super::decode) knows.
    Unsure,
}

/// Where a plainly packed segment is. What it says is read out of the frame by whoever asks, with
/// every offset but one known when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSegment {
    /// Where the IP header begins, in octets from the start of the frame.
    network_offset: u8,
    /// Whether that is an IPv6 header.
    pub is_ipv6: bool,
}

/// What judging wants of a plain segment, which has no blemish and no softwire around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TCP source and destination port.
    pub ports: (u16, u16),
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number, whether it counts or not.
    pub acknowledgement: u32,
    /// TCP control bits.
    pub flags: TcpFlags,
    /// Octets of TCP payload.
    pub payload_length: u16,
}

impl PlainSegment {
    /// What the `frame` says that was triaged; all zeros out of one that is too short to have been.
    #[inline]
    #[must_use]
    pub fn glance(self, frame: &[u8]) -> Glance {
        if self.is_ipv6 {
            self.ipv6(frame)
        } else {
            self.ipv4(frame)
        }
    }

    /// The same, where it is known to be IPv4.
    #[inline(always)]
    #[must_use]
    pub fn ipv4(self, frame: &[u8]) -> Glance {
        let packet = self.packet::<40>(frame);
        Glance {
            source: IpAddr::from(octets::<4>(packet, 12)),
            destination: IpAddr::from(octets::<4>(packet, 16)),
            ..glance_at(packet, &IPV4)
        }
    }

    /// The same, where it is known to be IPv6.
    #[inline(always)]
    #[must_use]
    pub fn ipv6(self, frame: &[u8]) -> Glance {
        let packet = self.packet::<60>(frame);
        Glance {
            source: IpAddr::from(octets::<16>(packet, 8)),
            destination: IpAddr::from(octets::<16>(packet, 24)),
            ..glance_at(packet, &IPV6)
        }
    }

    /// IP and TCP header without options.
    #[inline(always)]
    fn packet<const LENGTH: usize>(self, frame: &[u8]) -> &[u8; LENGTH] {
        frame
            .get(usize::from(self.network_offset)..)
            .and_then(|packet| packet.first_chunk())
            .unwrap_or(&[0; LENGTH])
    }

    /// VLAN identifiers, outermost first, out of the `frame` that was triaged.
    #[inline]
    #[must_use]
    pub fn vlans(self, frame: &[u8]) -> Vlans {
        let mut vlans = Vlans::default();
        let tags = frame
            .get(TAGS_OFFSET..usize::from(self.network_offset))
            .unwrap_or_default();
        for tag in tags.chunks_exact(4) {
            vlans.push(u16::from_be_bytes([tag[0], tag[1]]));
        }
        vlans
    }

    /// The same segment as the full decoder would have given it, out of the `frame` that was
    /// triaged.
    #[must_use]
    pub fn segment(self, frame: &[u8]) -> Segment {
        let glance = self.glance(frame);
        let network_offset = u16::from(self.network_offset);
        Segment {
            source: glance.source,
            destination: glance.destination,
            source_port: glance.ports.0,
            destination_port: glance.ports.1,
            sequence: glance.sequence,
            acknowledgement: glance.acknowledgement,
            flags: glance.flags,
            vlans: self.vlans(frame),
            network_offset,
            tcp_offset: network_offset + if self.is_ipv6 { 40 } else { 20 },
            payload_length: glance.payload_length,
            softwire: None,
            blemish: None,
        }
    }
}

/// All but the addresses.
#[inline(always)]
fn glance_at<const LENGTH: usize>(packet: &[u8; LENGTH], plain: &Plain) -> Glance {
    let tcp = plain.header_length;
    let length = usize::from(u16::from_be_bytes(octets(packet, plain.length_at)));
    let headers = tcp - plain.length_base + usize::from(packet[tcp + 12] >> 4) * 4;
    Glance {
        source: IpAddr::from([0; 4]),
        destination: IpAddr::from([0; 4]),
        ports: split_ports(octets(packet, tcp)),
        sequence: u32::from_be_bytes(octets(packet, tcp + 4)),
        acknowledgement: u32::from_be_bytes(octets(packet, tcp + 8)),
        flags: TcpFlags::of_octets(octets(packet, tcp + 12)),
        payload_length: length.wrapping_sub(headers) as u16,
    }
}

#[inline(always)]
fn octets<const COUNT: usize>(packet: &[u8], at: usize) -> [u8; COUNT] {
    packet
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; COUNT])
}

/// Decides the plain shapes on Ethernet.
///
/// Whether the capture cut the frame need not be told: only octets that are there are judged, and
/// a mail segment only if its whole packet is there.
#[inline]
#[must_use]
pub fn triage(frame: &[u8]) -> Triage {
    let Some(head) = frame.first_chunk::<{ TAGS_OFFSET }>() else {
        return Triage::Unsure;
    };
    match u16::from_be_bytes([head[12], head[13]]) {
        ETHERTYPE_IPV4 => packet::<IPV4_LOOK>(frame, TAGS_OFFSET, &IPV4),
        ETHERTYPE_IPV6 => packet::<IPV6_LOOK>(frame, TAGS_OFFSET, &IPV6),
        ethertype if is_tag(ethertype) => tagged(frame),
        _ => Triage::Unsure,
    }
}

/// Steps over the tags of a frame that has at least one.
fn tagged(frame: &[u8]) -> Triage {
    for count in 1..=TAGS_MAX {
        let at = TAGS_OFFSET + 4 * count;
        let Some(&octets) = frame.get(at - 2..).and_then(|rest| rest.first_chunk()) else {
            break;
        };
        match u16::from_be_bytes(octets) {
            ETHERTYPE_IPV4 => return packet::<IPV4_LOOK>(frame, at, &IPV4),
            ETHERTYPE_IPV6 => return packet::<IPV6_LOOK>(frame, at, &IPV6),
            ethertype if is_tag(ethertype) => {}
            _ => break,
        }
    }
    Triage::Unsure
}

/// Decides a packet of a family. Inlined for each, so that its layout folds into the code.
///
/// TCP and UDP alternate without a pattern that a branch predictor could learn, so what they are
/// asked is selected, and only the answer, nearly always the same, is branched on.
#[inline(always)]
fn packet<const LOOK: usize>(frame: &[u8], at: usize, plain: &Plain) -> Triage {
    let Some(look) = frame
        .get(at..)
        .and_then(|packet| packet.first_chunk::<LOOK>())
    else {
        return Triage::Unsure;
    };
    let field = |at: usize| u16::from_be_bytes([look[at], look[at + 1]]);
    let is_plain =
        (look[0] & plain.first_octet.0 == plain.first_octet.1) & (field(6) & plain.fragment == 0);
    let length = usize::from(field(plain.length_at)) + plain.length_base;
    let protocol = look[plain.protocol_at];
    let (is_tcp, is_udp) = (protocol == TCP, protocol == UDP);
    let asked = &ASKED[usize::from(is_udp)];
    let is_listed = asked.has_either(octets(look, plain.header_length));
    let shows_ports = is_udp | is_tcp & (length >= plain.header_length + 4);
    if is_plain & shows_ports & !is_listed {
        Triage::NotMail
    } else if is_plain & is_tcp & is_listed {
        mail(frame, at, look, plain, length)
    } else if is_plain & (protocol == plain.icmp) {
        Triage::Icmp(at as u8)
    } else {
        Triage::Unsure
    }
}

/// A segment to or from a mail port: plain if all its lengths fit and, if it is an attempt,
/// nothing blemishes it.
#[inline(always)]
fn mail(frame: &[u8], at: usize, look: &[u8], plain: &Plain, length: usize) -> Triage {
    let tcp = frame.get(at + plain.header_length..at + length);
    let Some(tcp) = tcp.filter(|tcp| tcp.len() >= 20) else {
        return Triage::Unsure;
    };
    let header_length = usize::from(tcp[12] >> 4) * 4;
    if !(20..=tcp.len()).contains(&header_length) {
        return Triage::Unsure;
    }
    let flags = TcpFlags::of_octets([tcp[12], tcp[13]]);
    let is_ipv6 = plain.family == Family::V6;
    let is_blemished =
        || flags.has(TcpFlags::FIN | TcpFlags::RST) || !(is_ipv6 || checksum_verifies(look));
    if flags.is_attempt() && is_blemished() {
        return Triage::Unsure;
    }
    Triage::Mail(PlainSegment {
        network_offset: at as u8,
        is_ipv6,
    })
}

/// Whether the checksum of an IPv4 header without options is right (RFC 1071: the sum may be taken
/// in any byte order and any width).
#[inline]
fn checksum_verifies(look: &[u8]) -> bool {
    let words = look[..20].as_chunks::<4>().0.iter();
    let sum: u64 = words.map(|&word| u64::from(u32::from_ne_bytes(word))).sum();
    // At most 2 + 16 + 16 bits; what the first fold carries, the second takes in.
    let sum = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum == 0xffff
}
