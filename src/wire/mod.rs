//! Bytes in, meaning out: what a frame is, as far as mail policy is concerned.
//!
//! This module knows headers and nothing of policy, subscribers or time. Every frame is exactly
//! one of the four cases of [`Decoded`]. A frame whose TCP ports are in plain sight and are not
//! mail's crosses, however odd the rest of it is; a frame that could carry or rewrite a TCP header
//! to a mail port where no one can see it is an [`Evasion`].
//!
//! | file | what it holds |
//! |---|---|
//! | `walk` | the walk over a frame: what has been learnt so far, and bounded reads |
//! | `link`, `network`, `transport` | its three stretches, outermost first |
//! | `triage` | the plain shapes, by hand, in a few nanoseconds |
//! | `explain` | the same walk, told layer by layer |
//! | `passage` | who speaks to whom, whatever it is about |
//! | `answer` | the frame that takes an answer back to where a segment came from |
//! | `reset` | the answer to a refused segment |
//! | `redirect` | the answer to a quarantined browser |
//! | `contract` | what holds for any bytes at all, for property tests and fuzzing |
//!
//! Nothing here allocates (except [`layers`], which writes text) and nothing here panics, whatever
//! the bytes are. [`triage()`] and [`decode`] agree on every frame that [`triage()`] decides.
//! TCP checksums are never looked at: offloads leave them unfinished on perfectly good segments.

mod answer;
mod contract;
mod explain;
mod link;
mod network;
mod passage;
mod redirect;
mod reset;
#[cfg(test)]
mod tests;
mod transport;
mod triage;
mod unreachable;
mod walk;

use std::net::IpAddr;

#[doc(hidden)]
pub use contract::check_contract;
pub use explain::{Layer, layers};
pub use passage::{Passage, Transport, passage, tcp_segment};
pub use redirect::{LOCATION_MAX, Redirect};
pub use reset::build_reset;
pub use triage::{Glance, PlainSegment, Triage, triage};
pub use unreachable::{Quote, unreachable};
pub use walk::{decode, endpoints};

/// TCP port of message transfer between servers (RFC 5321).
pub const SMTP: u16 = 25;
/// TCP port of message submission with STARTTLS (RFC 6409).
pub const SUBMISSION: u16 = 587;
/// TCP port of message submission over implicit TLS (RFC 8314).
pub const SUBMISSIONS: u16 = 465;

/// TCP port of plain HTTP (RFC 9110).
pub const HTTP: u16 = 80;

/// At most this many VLAN tags in front of the network header.
pub const TAGS_MAX: usize = 8;
/// At most this many extension headers (IPv6, and AH in IPv4) in front of the transport header.
pub const EXTENSIONS_MAX: usize = 8;

/// How a frame begins: the link layer it was captured on. Live ports are always [`Link::Ethernet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II or 802.3, `LINKTYPE_ETHERNET` (1).
    Ethernet,
    /// An IPv4 or IPv6 header at once, `LINKTYPE_RAW` (101), `_IPV4` (228), `_IPV6` (229).
    Ip,
    /// Linux cooked capture v1, `LINKTYPE_LINUX_SLL` (113).
    LinuxSll,
    /// Linux cooked capture v2, `LINKTYPE_LINUX_SLL2` (276).
    LinuxSll2,
    /// BSD loopback, `LINKTYPE_NULL` (0, either byte order) and `LINKTYPE_LOOP` (108).
    Loopback,
    /// PPP, with or without HDLC framing, `LINKTYPE_PPP` (9) and `_PPP_HDLC` (50).
    Ppp,
}

/// Which mail service a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Port 25.
    Smtp,
    /// Ports 587 and 465.
    Submission,
}

impl Service {
    /// The service behind a TCP port, if it is a mail port.
    #[must_use]
    pub const fn of_port(port: u16) -> Option<Self> {
        match port {
            SMTP => Some(Self::Smtp),
            SUBMISSION | SUBMISSIONS => Some(Self::Submission),
            _ => None,
        }
    }
}

/// What a frame is to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Certainly no TCP to or from a mail port.
    Crosses(Crossing),
    /// A TCP segment to or from a mail port, its header in plain sight.
    Segment(Segment),
    /// It could carry or rewrite a TCP header to a mail port unseen (design invariant 4).
    Evasion(Evasion),
    /// The capture cut the frame before the bytes that would tell (never on a live port).
    Unreadable,
}

/// Why a frame is no business of mail policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crossing {
    /// IP, but not TCP to or from a mail port.
    NotMail,
    /// Link-layer control: ARP, STP, LLDP, LACP, IS-IS, PPPoE discovery, PPP control protocols.
    LinkControl,
    /// An ethertype or protocol that is not ours to understand.
    UnknownProtocol,
    /// A fragment that is not the first and cannot rewrite the first one's ports.
    LaterFragment,
    /// A tunnel that is not one of the provider's own softwires.
    Tunnel,
}

/// VLAN identifiers of a frame, outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlans {
    ids: [u16; TAGS_MAX],
    count: u8,
}

impl Vlans {
    /// Adds the next inner identifier (12 bits); false where there is no room.
    pub fn push(&mut self, id: u16) -> bool {
        let index = usize::from(self.count);
        if index == TAGS_MAX {
            return false;
        }
        self.ids[index] = id & 0x0fff;
        self.count += 1;
        true
    }

    /// The identifiers, outermost first.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.ids[..usize::from(self.count)]
    }
}

/// TCP control bits as they stand in the header's 13th and 14th octets (RFC 9293 §3.1; bit 8 is
/// AE of AccECN, RFC 9768).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// Last segment of the sender.
    pub const FIN: u16 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u16 = 0x02;
    /// Reset the connection.
    pub const RST: u16 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u16 = 0x10;

    /// The control bits out of a TCP header's 13th and 14th octets.
    #[must_use]
    pub const fn of_octets(octets: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(octets) & 0x01ff)
    }

    /// Whether a bit is set.
    #[must_use]
    pub const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// SYN without ACK: a connection attempt, whatever else is set.
    #[must_use]
    pub const fn is_attempt(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }
}

/// The outer IP header of a softwire to one of the provider's own concentrators (DS-Lite, RFC
/// 6333; 6rd, RFC 5969; 6in4, RFC 4213).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softwire {
    /// Source of the outer header: outbound, the subscriber who is charged.
    pub source: IpAddr,
    /// Destination of the outer header: outbound, the concentrator.
    pub destination: IpAddr,
    /// Where the outer IP header begins, in octets from the start of the frame.
    pub network_offset: u16,
}

/// What makes an attempt unacceptable although its header can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blemish {
    /// The IPv4 header checksum is wrong: no router would carry it, so nobody is charged.
    BadIpv4Checksum,
    /// Strict or loose source route (RFC 791 §3.1, RFC 7126), or an IPv6 routing header with
    /// segments left (RFC 8200 §4.4, RFC 5095).
    SourceRoute,
    /// SYN together with FIN.
    SynFin,
    /// SYN together with RST.
    SynRst,
}

/// A TCP segment with a mail port at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source address of the innermost IP header.
    pub source: IpAddr,
    /// Destination address of the innermost IP header.
    pub destination: IpAddr,
    /// TCP source port.
    pub source_port: u16,
    /// TCP destination port.
    pub destination_port: u16,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number, whether it counts or not.
    pub acknowledgement: u32,
    /// TCP control bits.
    pub flags: TcpFlags,
    /// VLAN identifiers, outermost first.
    pub vlans: Vlans,
    /// Where the innermost IP header begins, in octets from the start of the frame.
    pub network_offset: u16,
    /// Where the TCP header begins, in octets from the start of the frame.
    pub tcp_offset: u16,
    /// Octets of TCP payload, by the IP header's own length (a TFO SYN carries data).
    pub payload_length: u16,
    /// The softwire around it, if any.
    pub softwire: Option<Softwire>,
    /// What is wrong with it if it is an attempt.
    pub blemish: Option<Blemish>,
}

impl Segment {
    /// The address that answers for this segment when it leaves the subscriber: the outer source
    /// of a softwire, else the source.
    #[must_use]
    pub fn charged(&self) -> IpAddr {
        self.softwire
            .map_or(self.source, |softwire| softwire.source)
    }
}

/// A frame that could hide TCP to a mail port, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evasion {
    /// The rule it breaks.
    pub fault: Fault,
    /// Source and destination (of the outermost IP header) where that could be read.
    pub endpoints: Option<(IpAddr, IpAddr)>,
}

/// The rules a frame can break so that mail could pass unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// An IPv4 first fragment without the whole TCP header (RFC 1858 §3, RFC 3128).
    TinyFragment,
    /// A TCP fragment at offset 1, which overwrites the flags (RFC 1858 §4, RFC 3128).
    FragmentAtOffsetOne,
    /// An IPv6 first fragment without the whole header chain (RFC 7112 §5).
    IncompleteHeaderChain,
    /// More than [`TAGS_MAX`] tags or labels.
    TooManyTags,
    /// More than [`EXTENSIONS_MAX`] extension headers.
    TooManyExtensions,
    /// The ethertype (or the MPLS, PPP or tunnel protocol) and the IP version disagree.
    VersionMismatch,
    /// IHL below 5 or beyond the packet (RFC 791 §3.1).
    BadInternetHeaderLength,
    /// TCP data offset below 5 or beyond the packet (RFC 9293 §3.1).
    BadDataOffset,
    /// IPv4 total length or IPv6 payload length beyond the frame.
    LengthOverrun,
    /// PPPoE length beyond the frame (RFC 2516 §4).
    PppoeLengthOverrun,
    /// An extension header that ends beyond the packet (RFC 8200 §4).
    ExtensionOverrun,
    /// The packet ends, by its own length, before the TCP header does.
    TruncatedTcpHeader,
    /// The frame ends before a header it announces.
    TruncatedHeader,
}
