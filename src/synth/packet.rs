//! A packet builder made by hand: layers stacked from the outside in, then built inside out.
//!
//! It promises correct lengths, next-protocol fields and checksums wherever nothing else is asked
//! for, and lets every one of them be set wrong to make hostile frames. It shares nothing with
//! [`crate::wire`] but constants and uses no packet crate, so that tests can ask it for an
//! independent opinion. It leaves judging, timing and writing captures to others.
//!
//! ```
//! use lychgate::synth::packet::{Extension, Packet};
//!
//! let syn = Packet::ethernet()
//!     .vlan(0x88a8, 100)
//!     .pppoe(0x1234)
//!     .ipv6("2001:db8::1", "2001:db8:25::1")
//!     .extension(Extension::HopByHop, 8)
//!     .tcp(40_000, 25)
//!     .flags(0x02)
//!     .build();
//! assert_eq!(syn.len(), 14 + 4 + 6 + 2 + 40 + 8 + 20);
//! ```
//!
//! What follows an ICMP header is what it quotes; IP after IP is a tunnel; [`Packet::only`] turns
//! what follows into a fragment. A setter speaks of the last layer that has the field and panics
//! where there is none: that is a mistake in the program, never in its input.

mod address;
mod encode;
mod extension;
mod fields;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

pub use address::Address;
pub use extension::Extension;

use crate::wire::Link;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The subscribers' side in frames that do not say otherwise (locally administered).
pub const ACCESS_MAC: Mac = [0x02, 0, 0, 0, 0, 1];
/// The provider's router in frames that do not say otherwise.
pub const UPLINK_MAC: Mac = [0x02, 0, 0, 0, 0, 2];

/// A stack of layers, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    layers: Vec<Layer>,
    trailer: Vec<u8>,
    length_min: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layer {
    Ethernet {
        destination: Mac,
        source: Mac,
        ethertype: Option<u16>,
    },
    LinuxSll {
        ethertype: Option<u16>,
    },
    LinuxSll2 {
        ethertype: Option<u16>,
    },
    Loopback {
        family: Option<u32>,
        big_endian: bool,
    },
    Ppp {
        hdlc: bool,
        protocol: Option<u16>,
    },
    Vlan {
        tpid: u16,
        id: u16,
        ethertype: Option<u16>,
    },
    Pppoe(Pppoe),
    Mpls {
        label: u32,
        bottom: Option<bool>,
    },
    Llc([u8; 3]),
    Snap {
        organisation: [u8; 3],
        ethertype: Option<u16>,
    },
    Arp {
        operation: u16,
        sender: Ipv4Addr,
        target: Ipv4Addr,
    },
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Extension(ExtensionHeader),
    Fragment {
        offset: u16,
        more: bool,
        id: u32,
        next: Option<u8>,
    },
    Tcp(Tcp),
    Udp {
        source: u16,
        destination: u16,
        length: Option<u16>,
        bad_checksum: bool,
    },
    Sctp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
        bad_checksum: bool,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
        rest: u32,
        bad_checksum: bool,
    },
    Gre {
        ethertype: Option<u16>,
    },
    Vxlan {
        network: u32,
    },
    Esp {
        spi: u32,
    },
    Only(Range<usize>),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pppoe {
    session: u16,
    code: u8,
    length: Option<u16>,
    protocol: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ipv4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    version: u8,
    header_words: Option<u8>,
    total_length: Option<u16>,
    id: u16,
    do_not_fragment: bool,
    fragment_offset: u16,
    more_fragments: bool,
    ttl: u8,
    protocol: Option<u8>,
    bad_checksum: bool,
    options: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ipv6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    version: u8,
    payload_length: Option<u16>,
    next: Option<u8>,
    hop_limit: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ExtensionHeader {
    kind: Extension,
    octets: usize,
    length_field: Option<u8>,
    next: Option<u8>,
    routing: (u8, u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tcp {
    source: u16,
    destination: u16,
    sequence: u32,
    acknowledgement: u32,
    flags: u16,
    window: u16,
    urgent: u16,
    data_words: Option<u8>,
    bad_checksum: bool,
    options: Vec<u8>,
}

/// Where a packet begins.
impl Packet {
    /// An Ethernet frame from the access side to the uplink side.
    #[must_use]
    pub fn ethernet() -> Self {
        Self::default().inner_ethernet()
    }

    /// A packet as captured on `link`, in the link type's commonest form.
    #[must_use]
    pub fn on(link: Link) -> Self {
        match link {
            Link::Ethernet => Self::ethernet(),
            Link::Ip => Self::ip(),
            Link::LinuxSll => Self::default().push(Layer::LinuxSll { ethertype: None }),
            Link::LinuxSll2 => Self::default().push(Layer::LinuxSll2 { ethertype: None }),
            Link::Loopback => Self::loopback(false),
            Link::Ppp => Self::ppp(true),
        }
    }

    /// An IP packet without a link layer.
    #[must_use]
    pub fn ip() -> Self {
        Self::default()
    }

    /// A BSD loopback frame; the address family in the given byte order.
    #[must_use]
    pub fn loopback(big_endian: bool) -> Self {
        Self::default().push(Layer::Loopback {
            family: None,
            big_endian,
        })
    }

    /// A PPP frame, with or without HDLC's address and control octets (RFC 1662 §3.1).
    #[must_use]
    pub fn ppp(hdlc: bool) -> Self {
        Self::default().push(Layer::Ppp {
            hdlc,
            protocol: None,
        })
    }
}

/// Layers, from the outside in.
impl Packet {
    /// An Ethernet header inside a tunnel (or, at the beginning, [`Packet::ethernet`]).
    #[must_use]
    pub fn inner_ethernet(self) -> Self {
        self.push(Layer::Ethernet {
            destination: UPLINK_MAC,
            source: ACCESS_MAC,
            ethertype: None,
        })
    }

    /// A VLAN tag: its tag protocol identifier (0x8100, 0x88a8, 0x9100), then the 16 bits of
    /// priority and identifier.
    #[must_use]
    pub fn vlan(self, tpid: u16, id: u16) -> Self {
        self.push(Layer::Vlan {
            tpid,
            id,
            ethertype: None,
        })
    }

    /// A PPPoE session header and the PPP protocol field (RFC 2516 §4).
    #[must_use]
    pub fn pppoe(self, session: u16) -> Self {
        self.push(Layer::Pppoe(Pppoe {
            session,
            code: 0,
            length: None,
            protocol: None,
        }))
    }

    /// A PPPoE discovery header (RFC 2516 §5); the tags follow as [`Packet::bytes`].
    #[must_use]
    pub fn pppoe_discovery(self, code: u8) -> Self {
        self.push(Layer::Pppoe(Pppoe {
            session: 0,
            code,
            length: None,
            protocol: None,
        }))
    }

    /// A stack of MPLS labels, outermost first; the last one has the bottom bit (RFC 3032 §2.1).
    #[must_use]
    pub fn mpls(mut self, labels: &[u32]) -> Self {
        self.layers.extend(labels.iter().map(|&label| Layer::Mpls {
            label,
            bottom: None,
        }));
        self
    }

    /// An IEEE 802.2 header; the type field before it becomes a length.
    #[must_use]
    pub fn llc(self, dsap: u8, ssap: u8, control: u8) -> Self {
        self.push(Layer::Llc([dsap, ssap, control]))
    }

    /// An IEEE 802.2 SNAP header with the given organisation code (RFC 1042: all zero).
    #[must_use]
    pub fn snap(self, organisation: [u8; 3]) -> Self {
        self.llc(0xaa, 0xaa, 0x03).push(Layer::Snap {
            organisation,
            ethertype: None,
        })
    }

    /// An ARP packet for IPv4 over Ethernet: 1 asks, 2 answers (RFC 826).
    #[must_use]
    pub fn arp(
        self,
        operation: u16,
        sender: impl Address<Ipv4Addr>,
        target: impl Address<Ipv4Addr>,
    ) -> Self {
        let (sender, target) = (sender.address(), target.address());
        self.push(Layer::Arp {
            operation,
            sender,
            target,
        })
    }

    /// A spanning tree BPDU to the bridges' group address (IEEE 802.1D).
    #[must_use]
    pub fn stp(self) -> Self {
        let mut bpdu = vec![0; 35];
        (bpdu[5], bpdu[17]) = (0x80, 0x80);
        self.destination_mac([0x01, 0x80, 0xc2, 0, 0, 0])
            .llc(0x42, 0x42, 0x03)
            .bytes(&bpdu)
    }

    /// An LLDP frame with chassis, port and time to live (IEEE 802.1AB).
    #[must_use]
    pub fn lldp(self) -> Self {
        const UNIT: &[u8] = &[
            0x02, 0x07, 0x04, 2, 0, 0, 0, 0, 1, 0x04, 0x03, 0x05, b'p', b'1', 0x06, 0x02, 0, 120,
            0, 0,
        ];
        self.destination_mac([0x01, 0x80, 0xc2, 0, 0, 0x0e])
            .ethertype(0x88cc)
            .bytes(UNIT)
    }

    /// An IPv4 header without options, id 0, time to live 64, "do not fragment" unset.
    #[must_use]
    pub fn ipv4(self, source: impl Address<Ipv4Addr>, destination: impl Address<Ipv4Addr>) -> Self {
        self.push(Layer::Ipv4(Ipv4 {
            source: source.address(),
            destination: destination.address(),
            version: 4,
            header_words: None,
            total_length: None,
            id: 0,
            do_not_fragment: false,
            fragment_offset: 0,
            more_fragments: false,
            ttl: 64,
            protocol: None,
            bad_checksum: false,
            options: Vec::new(),
        }))
    }

    /// An IPv6 header, hop limit 64.
    #[must_use]
    pub fn ipv6(self, source: impl Address<Ipv6Addr>, destination: impl Address<Ipv6Addr>) -> Self {
        self.push(Layer::Ipv6(Ipv6 {
            source: source.address(),
            destination: destination.address(),
            version: 6,
            payload_length: None,
            next: None,
            hop_limit: 64,
        }))
    }

    /// An IP header of the addresses' version.
    ///
    /// # Panics
    /// Where they are of different versions.
    #[must_use]
    pub fn between(self, source: impl Address<IpAddr>, destination: impl Address<IpAddr>) -> Self {
        match (source.address(), destination.address()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            (source, destination) => panic!("{source} and {destination} cannot share a header"),
        }
    }

    /// An extension header of `octets` in all (AH also after IPv4), filled with padding.
    ///
    /// # Panics
    /// Where [`Extension::fits`] says no.
    #[must_use]
    pub fn extension(self, kind: Extension, octets: usize) -> Self {
        assert!(kind.fits(octets), "{kind:?} cannot be {octets} octets long");
        let routing = (0, 0);
        self.push(Layer::Extension(ExtensionHeader {
            kind,
            octets,
            length_field: None,
            next: None,
            routing,
        }))
    }

    /// A routing header of 24 octets (one address) of the given type and segments left.
    #[must_use]
    pub fn routing(mut self, kind: u8, segments_left: u8) -> Self {
        self = self.extension(Extension::Routing, 24);
        self.last(|layer| match layer {
            Layer::Extension(header) => Some(&mut header.routing),
            _ => None,
        })
        .clone_from(&(kind, segments_left));
        self
    }

    /// Makes the packet a fragment: after IPv4 its header's own fields, after IPv6 (or its
    /// extension headers) a fragment header. The offset counts units of 8 octets.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool, id: u32) -> Self {
        if let Some(Layer::Ipv4(header)) = self.layers.last_mut() {
            header.fragment_offset = offset & 0x1fff;
            header.more_fragments = more;
            header.id = id as u16;
            return self;
        }
        self.push(Layer::Fragment {
            offset,
            more,
            id,
            next: None,
        })
    }

    /// A TCP header without options, no flag set, sequence number 1000.
    #[must_use]
    pub fn tcp(self, source: u16, destination: u16) -> Self {
        self.push(Layer::Tcp(Tcp {
            source,
            destination,
            sequence: 1000,
            acknowledgement: 0,
            flags: 0,
            window: 64_240,
            urgent: 0,
            data_words: None,
            bad_checksum: false,
            options: Vec::new(),
        }))
    }

    /// A UDP header.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16) -> Self {
        self.push(Layer::Udp {
            source,
            destination,
            length: None,
            bad_checksum: false,
        })
    }

    /// An SCTP common header; chunks follow as [`Packet::bytes`] (RFC 9260 §3).
    #[must_use]
    pub fn sctp(self, source: u16, destination: u16) -> Self {
        self.push(Layer::Sctp {
            source,
            destination,
        })
    }

    /// An ICMP header and its second word; a quoted packet follows as layers (RFC 792).
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, rest: u32) -> Self {
        self.push(Layer::Icmp {
            kind,
            code,
            rest,
            bad_checksum: false,
        })
    }

    /// An ICMPv6 header and its second word; a quoted packet follows as layers (RFC 4443).
    #[must_use]
    pub fn icmpv6(self, kind: u8, code: u8, rest: u32) -> Self {
        self.push(Layer::Icmpv6 {
            kind,
            code,
            rest,
            bad_checksum: false,
        })
    }

    /// A neighbour solicitation for `target` (RFC 4861 §4.3), with hop limit 255.
    #[must_use]
    pub fn neighbour_solicitation(self, target: impl Address<Ipv6Addr>) -> Self {
        let option = [&[1, 1][..], &ACCESS_MAC].concat();
        self.hop_limit(255)
            .icmpv6(135, 0, 0)
            .bytes(&target.address().octets())
            .bytes(&option)
    }

    /// A GRE header without checksum, key or sequence number (RFC 2784).
    #[must_use]
    pub fn gre(self) -> Self {
        self.push(Layer::Gre { ethertype: None })
    }

    /// A VXLAN header (RFC 7348); it belongs after UDP to port 4789 and before
    /// [`Packet::inner_ethernet`].
    #[must_use]
    pub fn vxlan(self, network: u32) -> Self {
        self.push(Layer::Vxlan { network })
    }

    /// An ESP header (RFC 4303); what follows stands for its ciphertext.
    #[must_use]
    pub fn esp(self, spi: u32) -> Self {
        self.push(Layer::Esp { spi })
    }

    /// Of what follows, only these octets: the body of a fragment, or the part that an ICMP error
    /// quotes. The layer before still announces what follows. Octets beyond the end are none.
    #[must_use]
    pub fn only(self, octets: Range<usize>) -> Self {
        self.push(Layer::Only(octets))
    }

    /// Octets as they are.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.push(Layer::Bytes(bytes.to_vec()))
    }

    /// `length` octets of payload.
    #[must_use]
    pub fn payload(self, length: usize) -> Self {
        self.push(Layer::Bytes((0..length).map(|index| index as u8).collect()))
    }

    /// Octets behind the outermost packet, counted by none of its lengths.
    #[must_use]
    pub fn trailer(mut self, bytes: &[u8]) -> Self {
        self.trailer = bytes.to_vec();
        self
    }

    /// Pads the frame with zeros to Ethernet's minimum of 60 octets, as a network card does.
    #[must_use]
    pub fn padded(mut self) -> Self {
        self.length_min = 60;
        self
    }

    fn push(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }
}

#[cfg(test)]
mod tests;
