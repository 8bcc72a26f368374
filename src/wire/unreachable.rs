//! ICMP that says a mail connection attempt did not arrive (RFC 792, RFC 4443 section 3.1).

use std::net::IpAddr;

use super::{Service, network::TCP, transport::split_ports, walk::Family};

/// Octets of an ICMP header in front of what it quotes.
const ICMP_HEADER: usize = 8;

/// A TCP segment towards a mail port, as an ICMP message quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Who sent the segment: whom the message goes to.
    pub source: IpAddr,
    /// Whom the segment did not reach.
    pub destination: IpAddr,
    /// TCP source port.
    pub source_port: u16,
    /// TCP destination port.
    pub destination_port: u16,
    /// TCP sequence number.
    pub sequence: u32,
}

/// What a destination-unreachable message quotes, if that is a segment towards a mail port. The IP
/// header begins at `network_offset`, where [`Triage::Icmp`](super::Triage::Icmp) says.
///
/// Of the segment no more than eight octets need be quoted: the control bits are not among them.
#[must_use]
pub fn unreachable(frame: &[u8], network_offset: u8) -> Option<Quote> {
    const DESTINATION_UNREACHABLE: u8 = 3;
    const DESTINATION_UNREACHABLE_V6: u8 = 1;
    let packet = frame.get(usize::from(network_offset)..)?;
    let (header_length, kind) = match packet.first()? >> 4 {
        4 => (20, DESTINATION_UNREACHABLE),
        6 => (40, DESTINATION_UNREACHABLE_V6),
        _ => return None,
    };
    let message = packet.get(header_length..)?;
    let quoted = message.get(ICMP_HEADER..)?;
    if *message.first()? != kind {
        return None;
    }
    let first = *quoted.first()?;
    let (family, protocol, length) = match first >> 4 {
        4 => (Family::V4, *quoted.get(9)?, usize::from(first & 0xf) * 4),
        6 => (Family::V6, *quoted.get(6)?, 40),
        _ => return None,
    };
    let (source, destination) = family.addresses(quoted)?;
    let tcp: [u8; 8] = *quoted.get(length..)?.first_chunk()?;
    let (source_port, destination_port) = split_ports([tcp[0], tcp[1], tcp[2], tcp[3]]);
    Service::of_port(destination_port)?;
    (protocol == TCP && length >= 20).then_some(Quote {
        source,
        destination,
        source_port,
        destination_port,
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
    })
}
