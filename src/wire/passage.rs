//! Who speaks to whom, whatever it is about: for the few frames whose sender is held.

use std::net::IpAddr;

use super::{Decoded, Link, Segment, walk::Walk};

/// What a packet carries, as far as that can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP, from one port to another.
    Tcp(u16, u16),
    /// UDP, from one port to another.
    Udp(u16, u16),
    /// ICMP, of either version.
    Icmp,
    /// Anything else, and whatever does not show what it is: fragments that are not the first,
    /// headers that are not whole.
    #[default]
    Other,
}

/// A packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Source of the outermost IP header: outbound, who answers for it.
    pub charged: IpAddr,
    /// Destination of the innermost IP header that was looked at.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
}

/// The way of the packet in a frame; arguments as for [`decode`](super::decode).
///
/// `None` where there is no IP header, or not all of it, and where [`decode`](super::decode) finds
/// an [`Evasion`](super::Evasion) or can't read on: what such a frame says of itself is not all.
#[must_use]
pub fn passage(
    bytes: &[u8],
    wire_length: u32,
    link: Link,
    is_concentrator: &dyn Fn(IpAddr) -> bool,
) -> Option<Passage> {
    let mut walk = Walk::new(bytes, wire_length, is_concentrator, ());
    let decoded = walk.decode(link);
    if matches!(decoded, Decoded::Evasion(_) | Decoded::Unreadable) {
        return None;
    }
    let (charged, _) = walk.outermost?;
    Some(Passage {
        charged,
        destination: walk.network?.destination,
        transport: walk.transport,
    })
}

/// The TCP segment in a frame, whatever its ports, if its header is whole; arguments as for [`decode`](super::decode).
#[must_use]
pub fn tcp_segment(
    bytes: &[u8],
    wire_length: u32,
    link: Link,
    is_concentrator: &dyn Fn(IpAddr) -> bool,
) -> Option<Segment> {
    let mut walk = Walk::new(bytes, wire_length, is_concentrator, ());
    walk.any_port = true;
    match walk.decode(link) {
        Decoded::Segment(segment) => Some(segment),
        _ => None,
    }
}
