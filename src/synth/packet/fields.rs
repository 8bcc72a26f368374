//! Setters: each speaks of the last layer that has the field.

use super::{ExtensionHeader, Ipv4, Ipv6, Layer, Mac, Packet, Pppoe, Tcp};

/// Fields of the last layer that has them.
impl Packet {
    /// Ethernet destination.
    #[must_use]
    pub fn destination_mac(mut self, mac: Mac) -> Self {
        *self.last(|layer| match layer {
            Layer::Ethernet { destination, .. } => Some(destination),
            _ => None,
        }) = mac;
        self
    }

    /// Ethernet source.
    #[must_use]
    pub fn source_mac(mut self, mac: Mac) -> Self {
        *self.last(|layer| match layer {
            Layer::Ethernet { source, .. } => Some(source),
            _ => None,
        }) = mac;
        self
    }

    /// The ethertype of Ethernet, a VLAN tag, SNAP, a cooked capture or GRE, whatever follows.
    #[must_use]
    pub fn ethertype(mut self, value: u16) -> Self {
        *self.last(|layer| match layer {
            Layer::Ethernet { ethertype, .. }
            | Layer::Vlan { ethertype, .. }
            | Layer::Snap { ethertype, .. }
            | Layer::LinuxSll { ethertype }
            | Layer::LinuxSll2 { ethertype }
            | Layer::Gre { ethertype } => Some(ethertype),
            _ => None,
        }) = Some(value);
        self
    }

    /// The PPP protocol, whatever follows.
    #[must_use]
    pub fn ppp_protocol(mut self, value: u16) -> Self {
        *self.last(|layer| match layer {
            Layer::Ppp { protocol, .. } | Layer::Pppoe(Pppoe { protocol, .. }) => Some(protocol),
            _ => None,
        }) = Some(value);
        self
    }

    /// The address family of BSD loopback, whatever follows (IPv6 is 24, 28 or 30 by system).
    #[must_use]
    pub fn family(mut self, value: u32) -> Self {
        *self.last(|layer| match layer {
            Layer::Loopback { family, .. } => Some(family),
            _ => None,
        }) = Some(value);
        self
    }

    /// The protocol or next header field of IP or an extension header, whatever follows.
    #[must_use]
    pub fn protocol(mut self, value: u8) -> Self {
        *self.last(|layer| match layer {
            Layer::Ipv4(Ipv4 { protocol: next, .. })
            | Layer::Ipv6(Ipv6 { next, .. })
            | Layer::Extension(ExtensionHeader { next, .. })
            | Layer::Fragment { next, .. } => Some(next),
            _ => None,
        }) = Some(value);
        self
    }

    /// The bottom-of-stack bit of the last MPLS label.
    #[must_use]
    pub fn bottom_of_stack(mut self, value: bool) -> Self {
        *self.last(|layer| match layer {
            Layer::Mpls { bottom, .. } => Some(bottom),
            _ => None,
        }) = Some(value);
        self
    }

    /// PPPoE's length, IPv4's total length, IPv6's payload length, UDP's length, or an extension
    /// header's length field: as it stands in the header.
    ///
    /// # Panics
    /// Where the last such field has 8 bits and `value` has more.
    #[must_use]
    pub fn length(mut self, value: u16) -> Self {
        let field = self.layers.iter_mut().rev().find_map(|layer| match layer {
            Layer::Pppoe(Pppoe { length, .. })
            | Layer::Ipv4(Ipv4 {
                total_length: length,
                ..
            })
            | Layer::Ipv6(Ipv6 {
                payload_length: length,
                ..
            })
            | Layer::Udp { length, .. } => Some(Ok(length)),
            Layer::Extension(header) => Some(Err(&mut header.length_field)),
            _ => None,
        });
        match field {
            Some(Ok(length)) => *length = Some(value),
            Some(Err(length)) => {
                *length = Some(value.try_into().expect("an extension's length has 8 bits"));
            }
            None => panic!("no layer has a length"),
        }
        self
    }

    /// The IP version nibble.
    #[must_use]
    pub fn version(mut self, value: u8) -> Self {
        *self.last(|layer| match layer {
            Layer::Ipv4(Ipv4 { version, .. }) | Layer::Ipv6(Ipv6 { version, .. }) => Some(version),
            _ => None,
        }) = value;
        self
    }

    /// IPv4's header length in words of 4 octets, whatever the options are.
    #[must_use]
    pub fn internet_header_length(mut self, words: u8) -> Self {
        self.last_ipv4().header_words = Some(words);
        self
    }

    /// IPv4's identification.
    #[must_use]
    pub fn identification(mut self, id: u16) -> Self {
        self.last_ipv4().id = id;
        self
    }

    /// Sets IPv4's "do not fragment".
    #[must_use]
    pub fn do_not_fragment(mut self) -> Self {
        self.last_ipv4().do_not_fragment = true;
        self
    }

    /// IPv4's time to live or IPv6's hop limit.
    #[must_use]
    pub fn hop_limit(mut self, value: u8) -> Self {
        *self.last(|layer| match layer {
            Layer::Ipv4(Ipv4 { ttl, .. }) => Some(ttl),
            Layer::Ipv6(Ipv6 { hop_limit, .. }) => Some(hop_limit),
            _ => None,
        }) = value;
        self
    }

    /// IPv4 or TCP options, padded with zeros (end of list) to whole words.
    ///
    /// The TCP checksum stays the one towards the header's destination, also under a source route
    /// (whose last stop RFC 9293 §3.1 means).
    #[must_use]
    pub fn options(mut self, bytes: &[u8]) -> Self {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        *self.last(|layer| match layer {
            Layer::Ipv4(Ipv4 { options, .. }) | Layer::Tcp(Tcp { options, .. }) => Some(options),
            _ => None,
        }) = padded;
        self
    }

    /// Makes the checksum of the last IPv4, TCP, UDP, ICMP or ICMPv6 layer wrong.
    #[must_use]
    pub fn bad_checksum(mut self) -> Self {
        *self.last(|layer| match layer {
            Layer::Ipv4(Ipv4 { bad_checksum, .. })
            | Layer::Tcp(Tcp { bad_checksum, .. })
            | Layer::Udp { bad_checksum, .. }
            | Layer::Icmp { bad_checksum, .. }
            | Layer::Icmpv6 { bad_checksum, .. } => Some(bad_checksum),
            _ => None,
        }) = true;
        self
    }

    /// TCP's control bits, as in [`crate::wire::TcpFlags`] (bit 8 is AE).
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Self {
        self.last_tcp().flags = flags;
        self
    }

    /// TCP's sequence number.
    #[must_use]
    pub fn sequence(mut self, value: u32) -> Self {
        self.last_tcp().sequence = value;
        self
    }

    /// TCP's acknowledgement number (the ACK bit is [`Packet::flags`]' to set).
    #[must_use]
    pub fn acknowledgement(mut self, value: u32) -> Self {
        self.last_tcp().acknowledgement = value;
        self
    }

    /// TCP's urgent pointer.
    #[must_use]
    pub fn urgent(mut self, value: u16) -> Self {
        self.last_tcp().urgent = value;
        self
    }

    /// TCP's data offset in words of 4 octets, whatever the options are.
    #[must_use]
    pub fn data_offset(mut self, words: u8) -> Self {
        self.last_tcp().data_words = Some(words);
        self
    }

    pub(super) fn last<T>(&mut self, field: impl FnMut(&mut Layer) -> Option<&mut T>) -> &mut T {
        self.layers
            .iter_mut()
            .rev()
            .find_map(field)
            .expect("no layer has such a field")
    }

    fn last_ipv4(&mut self) -> &mut Ipv4 {
        self.last(|layer| {
            if let Layer::Ipv4(header) = layer {
                Some(header)
            } else {
                None
            }
        })
    }

    fn last_tcp(&mut self) -> &mut Tcp {
        self.last(|layer| {
            if let Layer::Tcp(header) = layer {
                Some(header)
            } else {
                None
            }
        })
    }
}
