//! The TCP RST that refuses a segment, so that the client's kernel gives up at once.
//!
//! It travels back the way the segment came: the same link header with its addresses swapped, the
//! same tags, session and labels, the same softwire. IP and TCP headers are made new, without
//! options. What a reset may never answer gets none: another reset (RFC 9293 §3.10.7.1), and group
//! addresses at any layer (RFC 9293 §3.9.2.3), where one segment could bring answers to many.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, ip_number};

use super::{Link, Segment, TcpFlags, walk::Walk};

/// An Ethernet frame without its check sequence is at least this long (IEEE 802.3 §4A.4.2).
const ETHERNET_MIN: usize = 60;
const HOP_LIMIT: u8 = 64;
const TCP_LENGTH: u16 = TcpHeader::MIN_LEN as u16;

/// Writes the TCP RST that refuses `segment`, which was decoded from `frame`, into `out`, and
/// returns its length in octets.
///
/// `None` if it does not fit, if `frame` is not what `segment` came from, or if a reset would be
/// no fit answer (to a RST, or to group addresses): such a segment is dropped in silence. Cooked
/// captures keep their pseudo-header as it is.
#[must_use]
pub fn build_reset(frame: &[u8], link: Link, segment: &Segment, out: &mut [u8]) -> Option<usize> {
    if !may_be_answered(frame, link, segment) {
        return None;
    }
    let mut walk = Walk::new(frame, 0, &|_| false, ());
    let (network_at, _) = walk.link(link).ok()?;
    let mut writer = Writer { out, length: 0 };
    writer.put(frame.get(..network_at)?)?;
    writer.packet(segment, &reset_header(frame, segment)?)?;
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

/// Whether a reset is fit to answer: it would come from one host and go to one.
fn may_be_answered(frame: &[u8], link: Link, segment: &Segment) -> bool {
    let group_frame = link == Link::Ethernet && frame.first().is_none_or(|octet| octet & 1 == 1);
    let is_host = |address: IpAddr| {
        let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        !(address.is_multicast() || address.is_unspecified() || broadcast)
    };
    !segment.flags.has(TcpFlags::RST)
        && !group_frame
        && is_host(segment.source)
        && is_host(segment.destination)
}

/// The TCP header of the reset, still without a checksum (RFC 9293 §3.10.7.1): an attempt is
/// acknowledged with all it occupies in sequence space; where the segment has an ACK, that number
/// is the sequence number its sender expects.
fn reset_header(frame: &[u8], segment: &Segment) -> Option<TcpHeader> {
    let (from, to) = (segment.destination_port, segment.source_port);
    let mut header = TcpHeader::new(from, to, 0, 0);
    header.rst = true;
    if segment.flags.has(TcpFlags::ACK) {
        let field = usize::from(segment.tcp_offset) + 8;
        header.sequence_number = u32::from_be_bytes(*frame.get(field..)?.first_chunk()?);
    } else {
        let flag = |bit| u32::from(segment.flags.has(bit));
        let occupied =
            u32::from(segment.payload_length) + flag(TcpFlags::SYN) + flag(TcpFlags::FIN);
        header.ack = true;
        header.acknowledgment_number = segment.sequence.wrapping_add(occupied);
    }
    Some(header)
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

    /// The reset's IP packet, in its softwire if it has one.
    fn packet(&mut self, segment: &Segment, tcp: &TcpHeader) -> Option<()> {
        let is_ipv4 = segment.source.is_ipv4();
        if let Some(outer) = &segment.softwire {
            let (protocol, length) = if is_ipv4 {
                (ip_number::IPV4, Ipv4Header::MIN_LEN as u16 + TCP_LENGTH)
            } else {
                (ip_number::IPV6, Ipv6Header::LEN as u16 + TCP_LENGTH)
            };
            self.ip_header(outer.destination, outer.source, protocol, length)?;
        }
        self.ip_header(
            segment.destination,
            segment.source,
            ip_number::TCP,
            TCP_LENGTH,
        )?;
        let mut tcp = tcp.clone();
        tcp.checksum = match (segment.destination, segment.source) {
            (IpAddr::V4(from), IpAddr::V4(to)) => tcp
                .calc_checksum_ipv4_raw(from.octets(), to.octets(), &[])
                .ok()?,
            (IpAddr::V6(from), IpAddr::V6(to)) => tcp
                .calc_checksum_ipv6_raw(from.octets(), to.octets(), &[])
                .ok()?,
            _ => return None,
        };
        self.put(&tcp.to_bytes())
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
