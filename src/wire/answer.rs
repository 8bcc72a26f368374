//! The way back: a frame that answers a TCP segment, from whoever it was sent to.
//!
//! It travels back as the segment came: the same link header with its addresses swapped, the same
//! tags, session and labels, the same softwire. IP headers are made new, without options. Group
//! addresses at any layer are never answered (RFC 9293 §3.9.2.3): one segment could bring answers to
//! many.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, ip_number};

use super::{Link, Segment, walk::Walk};

/// An Ethernet frame without its check sequence is at least this long (IEEE 802.3 §4A.4.2).
const ETHERNET_MIN: usize = 60;
const HOP_LIMIT: u8 = 64;

/// A segment that answers another one, still without its checksum.
pub(super) struct Answer<'a> {
    pub(super) tcp: TcpHeader,
    pub(super) payload: &'a [u8],
}

impl Answer<'_> {
    /// Without payload.
    pub(super) const fn bare(tcp: TcpHeader) -> Self {
        Self { tcp, payload: &[] }
    }

    /// Octets of the segment; what fits no IP packet is cut down to what never will.
    fn length(&self) -> u16 {
        let length = self.tcp.header_len() + self.payload.len();
        u16::try_from(length).unwrap_or(u16::MAX)
    }
}

/// Whether an answer would come from one host and go to one.
pub(super) fn may_be_answered(frame: &[u8], link: Link, segment: &Segment) -> bool {
    let group_frame = link == Link::Ethernet && frame.first().is_none_or(|octet| octet & 1 == 1);
    let is_host = |address: IpAddr| {
        let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        !(address.is_multicast() || address.is_unspecified() || broadcast)
    };
    !group_frame && is_host(segment.source) && is_host(segment.destination)
}

/// Writes the frame that takes `answer` to the sender of `segment`, which was decoded from `frame`,
/// into `out`, and returns its length in octets; `None` if it does not fit, or if `frame` is not
/// what `segment` came from.
pub(super) fn build(
    frame: &[u8],
    link: Link,
    segment: &Segment,
    answer: &Answer<'_>,
    out: &mut [u8],
) -> Option<usize> {
    let mut walk = Walk::new(frame, 0, &|_| false, ());
    let (network_at, _) = walk.link(link).ok()?;
    let mut writer = Writer { out, length: 0 };
    writer.put(frame.get(..network_at)?)?;
    writer.packet(segment, answer)?;
    let end = writer.length;
    if link == Link::Ethernet {
        writer.put(&[0; ETHERNET_MIN][..ETHERNET_MIN.saturating_sub(end)])?;
    }
    let length = writer.length;
    if link == Link::Ethernet {
        out.get_mut(..12)?.rotate_left(6);
    }
    if let Some(field) = walk.length_field {
        put_length(out, field, end - (field + 2))?;
    }
    if let Some(header) = walk.pppoe {
        put_length(out, header + 4, end - (header + 6))?;
    }
    Some(length)
}

/// Fills a buffer from its beginning; `None` where it is full.
struct Writer<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.length + octets.len();
        self.out.get_mut(self.length..end)?.copy_from_slice(octets);
        self.length = end;
        Some(())
    }

    /// The answer's IP packet, in its softwire if it has one.
    fn packet(&mut self, segment: &Segment, answer: &Answer<'_>) -> Option<()> {
        let length = answer.length();
        if let Some(outer) = &segment.softwire {
            let (protocol, header) = if segment.source.is_ipv4() {
                (ip_number::IPV4, Ipv4Header::MIN_LEN as u16)
            } else {
                (ip_number::IPV6, Ipv6Header::LEN as u16)
            };
            let length = length.checked_add(header)?;
            self.ip_header(outer.destination, outer.source, protocol, length)?;
        }
        self.ip_header(segment.destination, segment.source, ip_number::TCP, length)?;
        let (mut tcp, payload) = (answer.tcp.clone(), answer.payload);
        tcp.checksum = match (segment.destination, segment.source) {
            (IpAddr::V4(from), IpAddr::V4(to)) => tcp
                .calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
                .ok()?,
            (IpAddr::V6(from), IpAddr::V6(to)) => tcp
                .calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
                .ok()?,
            _ => return None,
        };
        self.put(&tcp.to_bytes())?;
        self.put(payload)
    }

    fn ip_header(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        protocol: IpNumber,
        payload_length: u16,
    ) -> Option<()> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let (from, to) = (from.octets(), to.octets());
                let mut header =
                    Ipv4Header::new(payload_length, HOP_LIMIT, protocol, from, to).ok()?;
                header.header_checksum = header.calc_header_checksum();
                self.put(&header.to_bytes())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let header = Ipv6Header {
                    payload_length,
                    next_header: protocol,
                    hop_limit: HOP_LIMIT,
                    source: from.octets(),
                    destination: to.octets(),
                    ..Ipv6Header::default()
                };
                self.put(&header.to_bytes())
            }
            _ => None,
        }
    }
}

/// Overwrites a 16-bit length field.
fn put_length(out: &mut [u8], field: usize, length: usize) -> Option<()> {
    let length = u16::try_from(length).ok()?;
    out.get_mut(field..field + 2)?
        .copy_from_slice(&length.to_be_bytes());
    Some(())
}
