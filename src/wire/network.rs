//! IPv4 and IPv6 headers, their options, extension headers and fragments, and softwires in them.

use std::net::IpAddr;

use etherparse::{IpNumber, checksum::Sum16BitWords, ip_number};

use super::{
    Crossing, EXTENSIONS_MAX, Fault, Segment, Softwire,
    walk::{End, Family, Network, Step, Trace, Walk},
};

pub(super) const TCP: u8 = ip_number::TCP.0;
pub(super) const UDP: u8 = ip_number::UDP.0;
const IPV4: u8 = ip_number::IPV4.0;
const IPV6: u8 = ip_number::IPV6.0;
const AUTHENTICATION: u8 = ip_number::AUTHENTICATION_HEADER.0;
const ROUTING: u8 = ip_number::IPV6_ROUTE_HEADER.0;
const FRAGMENT: u8 = ip_number::IPV6_FRAGMENTATION_HEADER.0;

/// In an IPv4 header's fragment field (RFC 791 §3.1).
const FRAGMENT_OFFSET: u16 = 0x1fff;
const MORE_FRAGMENTS: u16 = 0x2000;

/// The name of an extension header: in IPv6 as the IANA registry lists them, in IPv4 AH alone.
const fn extension_name(family: Family, protocol: u8) -> Option<&'static str> {
    Some(match (family, protocol) {
        (_, AUTHENTICATION) => "authentication header",
        (Family::V4, _) => return None,
        (_, 0) => "hop-by-hop options",
        (_, ROUTING) => "routing header",
        (_, FRAGMENT) => "fragment header",
        (_, 60) => "destination options",
        (_, 135) => "mobility header",
        (_, 139) => "HIP header",
        (_, 140) => "shim6 header",
        _ => return None,
    })
}

/// Whether the ones' complement sum over an IPv4 header is what RFC 791 §3.1 wants.
pub(super) fn checksum_verifies(header: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(header).ones_complement() == 0
}

/// Whether IPv4 options hold a loose (131) or strict (137) source route (RFC 791 §3.1).
fn holds_source_route(mut options: &[u8]) -> bool {
    loop {
        options = match options {
            [131 | 137, ..] => return true,
            [1, rest @ ..] => rest, // no operation
            [0, ..] | [] | [_] | [_, 0 | 1, ..] => return false, // end of list, or damage
            [_, length, ..] => options.get(usize::from(*length)..).unwrap_or_default(),
        };
    }
}

impl<T: Trace> Walk<'_, T> {
    /// Walks an IP header and everything behind it.
    pub(super) fn network(&mut self, at: usize, family: Family) -> Step<Segment> {
        match family {
            Family::V4 => self.ipv4(at),
            Family::V6 => self.ipv6(at),
        }
    }

    fn ipv4(&mut self, at: usize) -> Step<Segment> {
        let header: [u8; 20] = self.fixed_header(at, Family::V4)?;
        let (source, destination) = self.enter(at, Family::V4, &header)?;
        let field = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total_length = usize::from(field(2));
        let (fragment_offset, more_fragments) =
            (field(6) & FRAGMENT_OFFSET, field(6) & MORE_FRAGMENTS != 0);
        let protocol = header[9];
        self.trace.layer(at, "IPv4", || {
            let fragment = fragment_text(fragment_offset, more_fragments);
            format!(
                "{source} → {destination}, header {header_length} octets, \
                 total length {total_length}{fragment}, {}",
                protocol_text(protocol)
            )
        });
        if fragment_offset > 0 {
            return Err(self.later_fragment(protocol, fragment_offset));
        }
        let lengths_agree = (header.len()..=total_length).contains(&header_length);
        if !self.may_carry_tcp(Family::V4, protocol) {
            self.end = self.end.min(at + total_length);
            return Err(self.cross(protocol, lengths_agree.then_some(at + header_length)));
        }
        if !lengths_agree {
            return Err(self.evades(Fault::BadInternetHeaderLength));
        }
        self.state_end(at + total_length);
        if more_fragments {
            self.first_fragment.get_or_insert(Fault::TinyFragment);
        }
        self.ipv4_options(at, header_length)?;
        self.chain(Family::V4, protocol, at + header_length)
    }

    /// Reads the whole header for its checksum and options: both blemish an attempt.
    fn ipv4_options(&mut self, at: usize, header_length: usize) -> Step<()> {
        if at + header_length > self.end {
            return Err(self.missing(Fault::TruncatedHeader));
        }
        let header = self
            .bytes
            .get(at..at + header_length)
            .ok_or(End::Unreadable)?;
        self.bad_checksum |= !checksum_verifies(header);
        self.source_route |= holds_source_route(header.get(20..).unwrap_or_default());
        Ok(())
    }

    fn ipv6(&mut self, at: usize) -> Step<Segment> {
        let header: [u8; 40] = self.fixed_header(at, Family::V6)?;
        let (source, destination) = self.enter(at, Family::V6, &header)?;
        let payload_length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let next_header = header[6];
        self.trace.layer(at, "IPv6", || {
            let protocol = protocol_text(next_header);
            format!("{source} → {destination}, payload length {payload_length}, {protocol}")
        });
        let payload = at + header.len();
        if !self.may_carry_tcp(Family::V6, next_header) {
            self.end = self.end.min(payload + payload_length);
            return Err(self.cross(next_header, Some(payload)));
        }
        self.state_end(payload + payload_length);
        self.chain(Family::V6, next_header, payload)
    }

    /// The fixed part of an IP header. Where it is cut short, what can still be seen of it may
    /// tell that the packet is harmless.
    fn fixed_header<const N: usize>(&mut self, at: usize, family: Family) -> Step<[u8; N]> {
        let [first] = self.read(at, Fault::TruncatedHeader)?;
        if first >> 4 != family.version() {
            return Err(self.evades(Fault::VersionMismatch));
        }
        self.read(at, Fault::TruncatedHeader)
            .map_err(|end| self.harmless_remains(at, family).unwrap_or(end))
    }

    /// What the protocol (and, in IPv4, the fragment offset) of a header cut short can exclude.
    fn harmless_remains(&mut self, at: usize, family: Family) -> Option<End> {
        let [protocol] = self.peek(at + if family == Family::V4 { 9 } else { 6 })?;
        if family == Family::V4 {
            let fragment_offset = u16::from_be_bytes(self.peek(at + 6)?) & FRAGMENT_OFFSET;
            if fragment_offset > 0 {
                let end = self.later_fragment(protocol, fragment_offset);
                return matches!(end, End::Crosses(_)).then_some(end);
            }
        }
        let may_carry_tcp =
            matches!(protocol, TCP | IPV4 | IPV6) || extension_name(family, protocol).is_some();
        (!may_carry_tcp).then(|| self.cross(protocol, None))
    }

    /// Takes a header's addresses down.
    fn enter(&mut self, at: usize, family: Family, header: &[u8]) -> Step<(IpAddr, IpAddr)> {
        let (source, destination) = family.addresses(header).ok_or(End::Unreadable)?;
        self.outermost.get_or_insert((source, destination));
        self.network = Some(Network {
            source,
            destination,
            offset: at,
            stated_end: at,
        });
        Ok((source, destination))
    }

    /// Takes down where the packet says it ends. A softwire's first fragment holds only the
    /// beginning of the packet in it, so that one may overrun.
    fn state_end(&mut self, stated_end: usize) {
        if let Some(network) = &mut self.network {
            network.stated_end = stated_end;
        }
        if stated_end > self.end && self.first_fragment.is_none() {
            self.overrun.get_or_insert(Fault::LengthOverrun);
        }
        self.end = self.end.min(stated_end);
    }

    /// A fragment that is not the first shows no ports and is never parsed for them; one at 8
    /// octets into TCP would overwrite the flags of the first.
    fn later_fragment(&self, protocol: u8, offset: u16) -> End {
        match (protocol, offset) {
            (TCP, 1) => self.evades(Fault::FragmentAtOffsetOne),
            _ => End::Crosses(Crossing::LaterFragment),
        }
    }

    /// Walks extension headers, and then whatever they lead to.
    fn chain(&mut self, family: Family, mut protocol: u8, mut at: usize) -> Step<Segment> {
        let mut count = 0;
        while let Some(name) = extension_name(family, protocol) {
            count += 1;
            if count > EXTENSIONS_MAX {
                return Err(self.evades(Fault::TooManyExtensions));
            }
            (protocol, at) = self.extension(protocol, name, at)?;
        }
        match protocol {
            TCP => self.tcp(at),
            IPV4 | IPV6 if self.is_softwire() => self.softwire(protocol, at),
            _ => Err(self.cross(protocol, Some(at))),
        }
    }

    /// Walks one extension header: the next header's protocol, and where it begins.
    fn extension(&mut self, kind: u8, name: &'static str, at: usize) -> Step<(u8, usize)> {
        let head: [u8; 8] = self.read(at, Fault::ExtensionOverrun)?;
        let length = match kind {
            FRAGMENT => head.len(),
            AUTHENTICATION => (usize::from(head[1]) + 2) * 4, // RFC 4302 §2.2
            _ => (usize::from(head[1]) + 1) * 8,
        };
        let offset_field = u16::from_be_bytes([head[2], head[3]]);
        let (fragment_offset, more_fragments) = (offset_field >> 3, offset_field & 1 != 0);
        self.trace.layer(at, name, || {
            let special = match kind {
                FRAGMENT => fragment_text(fragment_offset, more_fragments),
                ROUTING => format!(", type {}, segments left {}", head[2], head[3]),
                _ => String::new(),
            };
            format!("{length} octets{special}, {}", protocol_text(head[0]))
        });
        if at + length > self.end {
            return Err(self.missing(Fault::ExtensionOverrun));
        }
        match kind {
            FRAGMENT if fragment_offset > 0 => {
                return Err(self.later_fragment(head[0], fragment_offset));
            }
            // Neither an offset nor more to come: an atomic fragment, a whole packet (RFC 6946).
            FRAGMENT if more_fragments => {
                self.first_fragment
                    .get_or_insert(Fault::IncompleteHeaderChain);
            }
            ROUTING if head[3] > 0 => self.source_route = true,
            _ => {}
        }
        Ok((head[0], at + length))
    }

    /// Whether an IP header's protocol can lead to a TCP header that would have to be judged.
    fn may_carry_tcp(&self, family: Family, protocol: u8) -> bool {
        match protocol {
            TCP => true,
            IPV4 | IPV6 => self.is_softwire(),
            _ => extension_name(family, protocol).is_some(),
        }
    }

    /// Whether IP in the current packet would be one of the provider's own softwires. They are
    /// looked into one level deep.
    fn is_softwire(&self) -> bool {
        let own = |address: IpAddr| (self.is_concentrator)(address);
        self.softwire.is_none()
            && self
                .network
                .is_some_and(|outer| own(outer.source) || own(outer.destination))
    }

    /// Walks the packet inside a softwire.
    fn softwire(&mut self, protocol: u8, at: usize) -> Step<Segment> {
        self.softwire = self.network.map(|outer| Softwire {
            source: outer.source,
            destination: outer.destination,
            network_offset: offset(outer.offset),
        });
        self.network(
            at,
            if protocol == IPV4 {
                Family::V4
            } else {
                Family::V6
            },
        )
    }
}

/// An offset as [`Segment`] keeps it. Bounded tags, labels and extension headers keep every header
/// that a walk reaches well below 64 KiB.
pub(super) fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

fn fragment_text(offset: u16, more_fragments: bool) -> String {
    match (offset, more_fragments) {
        (0, false) => String::new(),
        (0, true) => ", first fragment".to_owned(),
        (_, true) => format!(", fragment at octet {}", u32::from(offset) * 8),
        (_, false) => format!(", last fragment, at octet {}", u32::from(offset) * 8),
    }
}

fn protocol_text(protocol: u8) -> String {
    match IpNumber(protocol).keyword_str() {
        Some(keyword) => format!("protocol {protocol} ({keyword})"),
        None => format!("protocol {protocol}"),
    }
}
