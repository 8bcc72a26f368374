//! The plain shapes, by hand: Ethernet II, up to [`TAGS_MAX`] tags, IPv4 without options and not a
//! fragment or IPv6 without extension headers, then TCP, UDP or ICMP. They are nearly all frames.
//!
//! [`triage`] promises to agree with [`decode`](super::decode) wherever it decides, and to be
//! unsure of everything it does not know; it leaves every odd frame, and every unacceptable
//! attempt, to the full decoder. Nothing is copied out of a segment: [`PlainSegment`] says where
//! things are, and whoever wants more asks it with the frame in hand.

use std::net::IpAddr;

use super::{
    Segment, TAGS_MAX, TcpFlags, Vlans,
    link::is_tag,
    network::{TCP, UDP, checksum_verifies},
    transport::{is_mail, is_tunnel, split_ports},
    walk::Family,
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TAGS_OFFSET: usize = 14;

/// What [`triage`] makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triage {
    /// Certainly [`Crossing::NotMail`](super::Crossing::NotMail).
    NotMail,
    /// A segment to or from a mail port, without blemish.
    Mail(PlainSegment),
    /// Not a plain shape: [`decode`](super::decode) knows.
    Unsure,
}

/// Where the parts of a plainly packed segment are, and what every caller wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSegment {
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP source port.
    pub source_port: u16,
    /// TCP destination port.
    pub destination_port: u16,
    /// TCP control bits.
    pub flags: TcpFlags,
    /// Octets of TCP payload.
    pub payload_length: u16,
    /// Where the IP header begins, in octets from the start of the frame.
    pub network_offset: u8,
    /// Whether that is an IPv6 header.
    pub is_ipv6: bool,
}

impl PlainSegment {
    /// Source and destination, out of the `frame` that was triaged; unspecified out of one that
    /// is too short to have been.
    #[inline]
    #[must_use]
    pub fn addresses(&self, frame: &[u8]) -> (IpAddr, IpAddr) {
        let header = frame
            .get(usize::from(self.network_offset)..)
            .unwrap_or_default();
        let unspecified = IpAddr::from([0; 4]);
        self.family()
            .addresses(header)
            .unwrap_or((unspecified, unspecified))
    }

    /// VLAN identifiers, outermost first, out of the `frame` that was triaged.
    #[must_use]
    pub fn vlans(&self, frame: &[u8]) -> Vlans {
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
    pub fn segment(&self, frame: &[u8]) -> Segment {
        let (source, destination) = self.addresses(frame);
        let network_offset = u16::from(self.network_offset);
        Segment {
            source,
            destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            sequence: self.sequence,
            flags: self.flags,
            vlans: self.vlans(frame),
            network_offset,
            tcp_offset: network_offset + if self.is_ipv6 { 40 } else { 20 },
            payload_length: self.payload_length,
            softwire: None,
            blemish: None,
        }
    }

    const fn family(&self) -> Family {
        if self.is_ipv6 { Family::V6 } else { Family::V4 }
    }
}

/// Decides the plain shapes on Ethernet.
///
/// Whether the capture cut the frame need not be told: only octets that are there are judged, and
/// a mail segment only if its whole packet is there.
#[inline]
#[must_use]
pub fn triage(frame: &[u8]) -> Triage {
    let Some(head) = frame.first_chunk::<TAGS_OFFSET>() else {
        return Triage::Unsure;
    };
    match u16::from_be_bytes([head[12], head[13]]) {
        IPV4 => ipv4(frame, TAGS_OFFSET),
        IPV6 => ipv6(frame, TAGS_OFFSET),
        ethertype if is_tag(ethertype) => tagged(frame),
        _ => Triage::Unsure,
    }
}

/// Steps over the tags of a frame that has at least one.
fn tagged(frame: &[u8]) -> Triage {
    for count in 1..=TAGS_MAX {
        let at = TAGS_OFFSET + 4 * count;
        let Some(&[a, b]) = frame.get(at - 2..).and_then(|rest| rest.first_chunk()) else {
            break;
        };
        match u16::from_be_bytes([a, b]) {
            IPV4 => return ipv4(frame, at),
            IPV6 => return ipv6(frame, at),
            ethertype if is_tag(ethertype) => {}
            _ => break,
        }
    }
    Triage::Unsure
}

#[inline]
fn ipv4(frame: &[u8], at: usize) -> Triage {
    // One check for both headers: no frame of a live port is shorter.
    let Some(packet) = frame.get(at..).filter(|packet| packet.len() >= 40) else {
        return Triage::Unsure;
    };
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
    if packet[0] != 0x45 || fragment != 0 {
        return Triage::Unsure;
    }
    let ports = split_ports([packet[20], packet[21], packet[22], packet[23]]);
    match packet[9] {
        TCP => {
            let total_length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            if total_length >= 24 && !is_mail(ports.0, ports.1) {
                return Triage::NotMail;
            }
            mail(packet, 20, total_length, ports, at)
        }
        UDP if !is_tunnel(ports.0, ports.1) => Triage::NotMail,
        ICMP => Triage::NotMail,
        _ => Triage::Unsure,
    }
}

#[inline]
fn ipv6(frame: &[u8], at: usize) -> Triage {
    let Some(packet) = frame.get(at..).filter(|packet| packet.len() >= 44) else {
        return Triage::Unsure;
    };
    if packet[0] >> 4 != 6 {
        return Triage::Unsure;
    }
    let ports = split_ports([packet[40], packet[41], packet[42], packet[43]]);
    match packet[6] {
        TCP => {
            let payload_length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            if payload_length >= 4 && !is_mail(ports.0, ports.1) {
                return Triage::NotMail;
            }
            mail(packet, 40, 40 + payload_length, ports, at)
        }
        UDP if !is_tunnel(ports.0, ports.1) => Triage::NotMail,
        ICMPV6 => Triage::NotMail,
        _ => Triage::Unsure,
    }
}

/// A segment to or from a mail port: plain if all its lengths fit and, if it is an attempt,
/// nothing blemishes it.
#[inline]
fn mail(
    packet: &[u8],
    tcp_at: usize,
    packet_length: usize,
    (source_port, destination_port): (u16, u16),
    network_offset: usize,
) -> Triage {
    let Some(tcp) = packet
        .get(tcp_at..packet_length)
        .filter(|tcp| tcp.len() >= 20)
    else {
        return Triage::Unsure;
    };
    let header_length = usize::from(tcp[12] >> 4) * 4;
    let flags = TcpFlags::of_octets([tcp[12], tcp[13]]);
    if !(20..=tcp.len()).contains(&header_length) || !is_mail(source_port, destination_port) {
        return Triage::Unsure;
    }
    let is_ipv6 = tcp_at == 40;
    if flags.is_attempt()
        && (flags.0 & (TcpFlags::FIN | TcpFlags::RST) != 0
            || !(is_ipv6 || checksum_verifies(&packet[..20])))
    {
        return Triage::Unsure;
    }
    Triage::Mail(PlainSegment {
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
        source_port,
        destination_port,
        flags,
        payload_length: (tcp.len() - header_length) as u16,
        network_offset: network_offset as u8,
        is_ipv6,
    })
}
