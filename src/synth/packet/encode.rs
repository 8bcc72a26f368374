//! Layers into octets, from the inside out.

use std::net::IpAddr;

use super::{ACCESS_MAC, Extension, ExtensionHeader, Ipv4, Ipv6, Layer, Packet, Pppoe, Tcp};

/// Ethertype of IEEE's "local experimental" 1: what octets without a name are announced as.
const EXPERIMENTAL_ETHERTYPE: u16 = 0x88b5;
/// What Linux calls the protocol of a frame that goes on with IEEE 802.2 (`ETH_P_802_2`).
const LINUX_LLC: u16 = 0x0004;
/// IP protocol for experimentation (RFC 3692): what octets without a name are announced as.
const EXPERIMENTAL_PROTOCOL: u8 = 253;

impl Packet {
    /// The frame's octets.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let inner = self.layers[index + 1..]
                .iter()
                .find(|l| !matches!(l, Layer::Only(_)));
            body = layer.encode(&self.layers[..index], inner, body);
        }
        body.resize(body.len().max(self.length_min), 0);
        body.extend_from_slice(&self.trailer);
        body
    }
}

impl Layer {
    /// This layer around `body`, whose first header is `inner`.
    fn encode(&self, outer: &[Self], inner: Option<&Self>, body: Vec<u8>) -> Vec<u8> {
        let ethertype = |asked: &Option<u16>| {
            asked.unwrap_or_else(|| inner.map_or(EXPERIMENTAL_ETHERTYPE, |l| l.ethertype(&body)))
        };
        // A cooked capture has no length to put there, but a protocol that says LLC.
        let cooked = |asked: &Option<u16>| match inner {
            Some(Self::Llc(_)) if asked.is_none() => LINUX_LLC,
            _ => ethertype(asked),
        };
        let next = |asked: &Option<u8>| {
            asked.unwrap_or_else(|| inner.map_or(EXPERIMENTAL_PROTOCOL, Self::protocol))
        };
        let ppp = |asked: &Option<u16>| asked.unwrap_or_else(|| inner.map_or(0xc021, Self::ppp));
        let mut head = Vec::with_capacity(64 + body.len());
        match self {
            Self::Ethernet {
                destination,
                source,
                ethertype: asked,
            } => {
                head.extend_from_slice(destination);
                head.extend_from_slice(source);
                put16(&mut head, ethertype(asked));
            }
            Self::LinuxSll { ethertype: asked } => {
                for word in [0, 1, 6] {
                    put16(&mut head, word);
                }
                head.extend_from_slice(&ACCESS_MAC);
                put16(&mut head, 0);
                put16(&mut head, cooked(asked));
            }
            Self::LinuxSll2 { ethertype: asked } => {
                put16(&mut head, cooked(asked));
                head.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 1, 0, 6]);
                head.extend_from_slice(&ACCESS_MAC);
                put16(&mut head, 0);
            }
            Self::Loopback { family, big_endian } => {
                let v6 = matches!(inner, Some(Self::Ipv6(_)));
                let family = family.unwrap_or(if v6 { 30 } else { 2 });
                head.extend(if *big_endian {
                    family.to_be_bytes()
                } else {
                    family.to_le_bytes()
                });
            }
            Self::Ppp { hdlc, protocol } => {
                head.extend_from_slice(if *hdlc { &[0xff, 0x03] } else { &[] });
                put16(&mut head, ppp(protocol));
            }
            Self::Vlan {
                id,
                ethertype: asked,
                ..
            } => {
                put16(&mut head, *id);
                put16(&mut head, ethertype(asked));
            }
            Self::Pppoe(header) => header.encode(&mut head, ppp(&header.protocol), body.len()),
            Self::Mpls { label, bottom } => {
                let bottom = bottom.unwrap_or(!matches!(inner, Some(Self::Mpls { .. })));
                put32(&mut head, label << 12 | u32::from(bottom) << 8 | 64);
            }
            Self::Llc(octets) => head.extend_from_slice(octets),
            Self::Snap {
                organisation,
                ethertype: asked,
            } => {
                head.extend_from_slice(organisation);
                put16(&mut head, ethertype(asked));
            }
            Self::Arp {
                operation,
                sender,
                target,
            } => {
                head.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
                put16(&mut head, *operation);
                head.extend_from_slice(&ACCESS_MAC);
                head.extend_from_slice(&sender.octets());
                head.extend_from_slice(&[0; 6]);
                head.extend_from_slice(&target.octets());
            }
            Self::Ipv4(header) => header.encode(&mut head, next(&header.protocol), body.len()),
            Self::Ipv6(header) => header.encode(&mut head, next(&header.next), body.len()),
            Self::Extension(header) => header.encode(&mut head, next(&header.next)),
            Self::Fragment {
                offset,
                more,
                id,
                next: asked,
            } => {
                head.extend_from_slice(&[next(asked), 0]);
                put16(&mut head, offset << 3 | u16::from(*more));
                put32(&mut head, *id);
            }
            Self::Tcp(header) => return header.encode(outer, body),
            Self::Udp {
                source,
                destination,
                length,
                bad_checksum,
            } => {
                let length = length.unwrap_or((8 + body.len()) as u16);
                for word in [*source, *destination, length, 0] {
                    put16(&mut head, word);
                }
                head.extend_from_slice(&body);
                // Zero means "no checksum", so that a sum of zero is sent as all ones (RFC 768).
                let sum = match transport_checksum(outer, 17, &head) {
                    0 => 0xffff,
                    sum => sum,
                };
                return with_checksum(head, 6, sum, *bad_checksum);
            }
            Self::Sctp {
                source,
                destination,
            } => {
                put16(&mut head, *source);
                put16(&mut head, *destination);
                put32(&mut head, 0x5eed);
                put32(&mut head, 0);
                head.extend_from_slice(&body);
                let sum = crc32c(&head).to_le_bytes();
                head[8..12].copy_from_slice(&sum);
                return head;
            }
            Self::Icmp {
                kind,
                code,
                rest,
                bad_checksum,
            } => {
                head.extend_from_slice(&[*kind, *code, 0, 0]);
                put32(&mut head, *rest);
                head.extend_from_slice(&body);
                let sum = checksum(&[&head]);
                return with_checksum(head, 2, sum, *bad_checksum);
            }
            Self::Icmpv6 {
                kind,
                code,
                rest,
                bad_checksum,
            } => {
                head.extend_from_slice(&[*kind, *code, 0, 0]);
                put32(&mut head, *rest);
                head.extend_from_slice(&body);
                let sum = transport_checksum(outer, 58, &head);
                return with_checksum(head, 2, sum, *bad_checksum);
            }
            Self::Gre { ethertype: asked } => {
                put16(&mut head, 0);
                put16(&mut head, ethertype(asked));
            }
            Self::Vxlan { network } => {
                put32(&mut head, 0x0800_0000);
                put32(&mut head, network << 8);
            }
            Self::Esp { spi } => {
                put32(&mut head, *spi);
                put32(&mut head, 1);
            }
            Self::Only(octets) => {
                let end = octets.end.min(body.len());
                return body[octets.start.min(end)..end].to_vec();
            }
            Self::Bytes(bytes) => head.extend_from_slice(bytes),
        }
        head.extend_from_slice(&body);
        head
    }

    /// What a type field in front of this layer says; IEEE 802.2 has a length there.
    fn ethertype(&self, body: &[u8]) -> u16 {
        match self {
            Self::Vlan { tpid, .. } => *tpid,
            Self::Pppoe(Pppoe { session: 0, .. }) => 0x8863,
            Self::Pppoe(_) => 0x8864,
            Self::Mpls { .. } => 0x8847,
            Self::Llc(_) => body.len() as u16,
            Self::Arp { .. } => 0x0806,
            Self::Ipv4(_) => 0x0800,
            Self::Ipv6(_) => 0x86dd,
            // Transparent Ethernet bridging (RFC 1701).
            Self::Ethernet { .. } => 0x6558,
            _ => EXPERIMENTAL_ETHERTYPE,
        }
    }

    /// What an IP header in front of this layer says.
    fn protocol(&self) -> u8 {
        match self {
            Self::Ipv4(_) => 4,
            Self::Ipv6(_) => 41,
            Self::Extension(header) => header.kind.protocol(),
            Self::Fragment { .. } => 44,
            Self::Tcp(_) => 6,
            Self::Udp { .. } => 17,
            Self::Sctp { .. } => 132,
            Self::Icmp { .. } => 1,
            Self::Icmpv6 { .. } => 58,
            Self::Gre { .. } => 47,
            Self::Esp { .. } => 50,
            Self::Ethernet { .. } => 143,
            Self::Mpls { .. } => 137,
            _ => EXPERIMENTAL_PROTOCOL,
        }
    }

    /// What a PPP protocol field in front of this layer says.
    fn ppp(&self) -> u16 {
        match self {
            Self::Ipv4(_) => 0x0021,
            Self::Ipv6(_) => 0x0057,
            Self::Mpls { .. } => 0x0281,
            _ => 0xc021,
        }
    }
}

impl Pppoe {
    fn encode(&self, head: &mut Vec<u8>, protocol: u16, body: usize) {
        let discovery = self.session == 0;
        let protocol_octets = if discovery { 0 } else { 2 };
        head.extend_from_slice(&[0x11, self.code]);
        put16(head, self.session);
        put16(head, self.length.unwrap_or((body + protocol_octets) as u16));
        if !discovery {
            put16(head, protocol);
        }
    }
}

impl Ipv4 {
    fn encode(&self, head: &mut Vec<u8>, protocol: u8, body: usize) {
        let octets = 20 + self.options.len();
        let words = self.header_words.unwrap_or((octets / 4) as u8);
        head.extend_from_slice(&[self.version << 4 | words & 0x0f, 0]);
        put16(head, self.total_length.unwrap_or((octets + body) as u16));
        put16(head, self.id);
        let bits = u16::from(self.do_not_fragment) << 14 | u16::from(self.more_fragments) << 13;
        put16(head, bits | self.fragment_offset);
        head.extend_from_slice(&[self.ttl, protocol, 0, 0]);
        head.extend_from_slice(&self.source.octets());
        head.extend_from_slice(&self.destination.octets());
        head.extend_from_slice(&self.options);
        let sum = checksum(&[head]) ^ if self.bad_checksum { 0x5555 } else { 0 };
        head[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Ipv6 {
    fn encode(&self, head: &mut Vec<u8>, next: u8, body: usize) {
        put32(head, u32::from(self.version) << 28);
        put16(head, self.payload_length.unwrap_or(body as u16));
        head.extend_from_slice(&[next, self.hop_limit]);
        head.extend_from_slice(&self.source.octets());
        head.extend_from_slice(&self.destination.octets());
    }
}

impl ExtensionHeader {
    fn encode(&self, head: &mut Vec<u8>, next: u8) {
        let units = match self.kind {
            Extension::Authentication => self.octets / 4 - 2,
            _ => self.octets / 8 - 1,
        };
        head.extend_from_slice(&[next, self.length_field.unwrap_or(units as u8)]);
        match self.kind {
            Extension::HopByHop | Extension::Destination => pad_options(head, self.octets),
            Extension::Routing => head.extend_from_slice(&[self.routing.0, self.routing.1]),
            _ => {}
        }
        head.resize(self.octets, 0);
    }
}

/// Fills options with PadN, each of which holds 257 octets at most (RFC 8200 §4.2).
fn pad_options(head: &mut Vec<u8>, octets: usize) {
    while head.len() < octets {
        match (octets - head.len()).min(257) {
            1 => head.push(0),
            room => {
                head.extend_from_slice(&[1, (room - 2) as u8]);
                head.resize(head.len() + room - 2, 0);
            }
        }
    }
}

impl Tcp {
    fn encode(&self, outer: &[Layer], body: Vec<u8>) -> Vec<u8> {
        let mut segment = Vec::with_capacity(60 + body.len());
        put16(&mut segment, self.source);
        put16(&mut segment, self.destination);
        put32(&mut segment, self.sequence);
        put32(&mut segment, self.acknowledgement);
        let words = self
            .data_words
            .unwrap_or((5 + self.options.len() / 4) as u8);
        put16(
            &mut segment,
            u16::from(words & 0x0f) << 12 | self.flags & 0x0fff,
        );
        put16(&mut segment, self.window);
        put16(&mut segment, 0);
        put16(&mut segment, self.urgent);
        segment.extend_from_slice(&self.options);
        segment.extend_from_slice(&body);
        let sum = transport_checksum(outer, 6, &segment);
        with_checksum(segment, 16, sum, self.bad_checksum)
    }
}

fn with_checksum(mut bytes: Vec<u8>, offset: usize, sum: u16, bad: bool) -> Vec<u8> {
    let sum = sum ^ if bad { 0x5555 } else { 0 };
    bytes[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The checksum over the pseudo-header of the nearest IP layer and the segment (RFC 9293 §3.1,
/// RFC 8200 §8.1); without an IP layer, over the segment alone.
fn transport_checksum(outer: &[Layer], protocol: u8, segment: &[u8]) -> u16 {
    let addresses = outer.iter().rev().find_map(|layer| match layer {
        Layer::Ipv4(ip) => Some((IpAddr::V4(ip.source), IpAddr::V4(ip.destination))),
        Layer::Ipv6(ip) => Some((IpAddr::V6(ip.source), IpAddr::V6(ip.destination))),
        _ => None,
    });
    let mut pseudo = Vec::with_capacity(40);
    for address in addresses
        .into_iter()
        .flat_map(|(source, destination)| [source, destination])
    {
        match address {
            IpAddr::V4(address) => pseudo.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => pseudo.extend_from_slice(&address.octets()),
        }
    }
    if addresses.is_some() {
        put32(&mut pseudo, segment.len() as u32);
        put32(&mut pseudo, u32::from(protocol));
    }
    checksum(&[&pseudo, segment])
}

/// The internet checksum (RFC 1071) of parts, each but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| low.into()))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// CRC-32C as SCTP wants it (RFC 9260 appendix A).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

fn put16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend_from_slice(&value.to_be_bytes());
}

fn put32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_be_bytes());
}
