//! From the first octet of a frame to its outermost IP header: link layers, tags, PPPoE and MPLS.

use etherparse::ether_type;

use super::{
    Crossing, Fault, Link, TAGS_MAX,
    walk::{End, Family, Step, Trace, Walk},
};

const IPV4: u16 = ether_type::IPV4.0;
const IPV6: u16 = ether_type::IPV6.0;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
/// Ethertypes from here on; below, the field is an 802.3 length.
const ETHERTYPE_MIN: u16 = 0x0600;

/// In Linux cooked captures, the "protocol" of a frame that goes on with an LLC header.
const ETH_P_802_2: u16 = 0x0004;

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: u16 = 0x0281;
const PPP_MPLS_MULTICAST: u16 = 0x0283;
/// PPP's network and link control protocols lie from here on (RFC 1661 §2).
const PPP_CONTROL_MIN: u16 = 0x8000;

/// Whether an ethertype is a VLAN tag's: 802.1Q, 802.1ad, and what came before 802.1ad.
#[inline]
pub(super) const fn is_tag(ethertype: u16) -> bool {
    (ethertype == 0x8100) | (ethertype == 0x88a8) | (ethertype == 0x9100)
}

/// Whether an ethertype belongs to the control of the link itself.
const fn is_link_control(ethertype: u16) -> bool {
    matches!(
        ethertype,
        0x0806        // ARP
        | 0x8035      // RARP
        | 0x22f4      // IS-IS over TRILL (RFC 6325)
        | 0x8808      // MAC control: pause
        | 0x8809      // slow protocols: LACP, marker, OAM
        | 0x8863      // PPPoE discovery
        | 0x888e      // EAPOL
        | 0x88cc      // LLDP
        | 0x88ee      // E-LMI
        | 0x88f5      // MVRP
        | 0x88f6      // MMRP
        | 0x88f7      // PTP
        | 0x8902      // connectivity fault management
        | 0x9000 // loopback test
    )
}

const LINK_CONTROL: End = End::Crosses(Crossing::LinkControl);
const UNKNOWN: End = End::Crosses(Crossing::UnknownProtocol);

impl<T: Trace> Walk<'_, T> {
    /// Walks to the outermost IP header: where it begins, and which it should be.
    pub(super) fn link(&mut self, link: Link) -> Step<(usize, Family)> {
        match link {
            Link::Ethernet => self.ethernet(),
            Link::Ip => self.unannounced(0),
            Link::LinuxSll => {
                let header: [u8; 16] = self.read(0, Fault::TruncatedHeader)?;
                self.cooked(
                    "Linux cooked",
                    u16::from_be_bytes([header[14], header[15]]),
                    16,
                )
            }
            Link::LinuxSll2 => {
                let header: [u8; 20] = self.read(0, Fault::TruncatedHeader)?;
                self.cooked(
                    "Linux cooked v2",
                    u16::from_be_bytes([header[0], header[1]]),
                    20,
                )
            }
            Link::Loopback => self.loopback(),
            Link::Ppp => {
                // An HDLC address and control octet; 0xff is no PPP protocol (RFC 1661 §2).
                let [first] = self.read(0, Fault::TruncatedHeader)?;
                let framed = first == 0xff && self.read(0, Fault::TruncatedHeader)? == [0xff, 0x03];
                self.ppp(if framed { 2 } else { 0 })
            }
        }
    }

    /// Ethernet II or, where the type field is a length, 802.3.
    fn ethernet(&mut self) -> Step<(usize, Family)> {
        let header: [u8; 14] = self.read(0, Fault::TruncatedHeader)?;
        let ethertype = u16::from_be_bytes([header[12], header[13]]);
        self.trace.layer(0, "Ethernet", || {
            format!(
                "{} → {}, {}",
                mac(&header[6..12]),
                mac(&header[..6]),
                type_name(ethertype)
            )
        });
        let (ethertype, at) = self.tags(ethertype, 14)?;
        if ethertype >= ETHERTYPE_MIN {
            return self.ethertype(ethertype, at);
        }
        let (inner, inner_at) = self.llc(at)?;
        self.length_field = Some(at - 2);
        let end = self.end.min(at + usize::from(ethertype));
        let (inner, inner_at) = self.tags(inner, inner_at)?;
        // Only now: control frames are told by their LLC header, whatever length they state.
        self.end = end;
        self.ethertype(inner, inner_at)
    }

    /// A Linux cooked capture's header: its protocol field is an ethertype, or says LLC.
    fn cooked(&mut self, name: &'static str, protocol: u16, at: usize) -> Step<(usize, Family)> {
        self.trace.layer(0, name, || type_name(protocol));
        let (protocol, at) = if protocol == ETH_P_802_2 {
            self.llc(at)?
        } else {
            (protocol, at)
        };
        let (ethertype, at) = self.tags(protocol, at)?;
        self.ethertype(ethertype, at)
    }

    /// BSD loopback: an address family in the byte order of the host that captured it.
    fn loopback(&mut self) -> Step<(usize, Family)> {
        let header: [u8; 4] = self.read(0, Fault::TruncatedHeader)?;
        let family = u32::from_be_bytes(header).min(u32::from_le_bytes(header));
        self.trace
            .layer(0, "loopback", || format!("address family {family}"));
        match family {
            2 => Ok((4, Family::V4)),
            // AF_INET6 on Linux; NetBSD and OpenBSD; FreeBSD; macOS.
            10 | 24 | 28 | 30 => Ok((4, Family::V6)),
            _ => Err(UNKNOWN),
        }
    }

    /// VLAN tags, if `ethertype` is one: the ethertype behind them, and where what it names begins.
    fn tags(&mut self, mut ethertype: u16, mut at: usize) -> Step<(u16, usize)> {
        while is_tag(ethertype) {
            let [a, b, c, d] = self.read(at, Fault::TruncatedHeader)?;
            let control = u16::from_be_bytes([a, b]);
            let (tag, inner) = (ethertype, u16::from_be_bytes([c, d]));
            self.trace.layer(at, "VLAN tag", || {
                let (id, priority) = (control & 0x0fff, control >> 13);
                format!(
                    "{tag:#06x}, VID {id}, priority {priority}, {}",
                    type_name(inner)
                )
            });
            if !self.vlans.push(control) {
                return Err(self.evades(Fault::TooManyTags));
            }
            (ethertype, at) = (inner, at + 4);
        }
        Ok((ethertype, at))
    }

    /// LLC, going on only through SNAP with an ethertype in it (RFC 1042).
    fn llc(&mut self, at: usize) -> Step<(u16, usize)> {
        let [destination, source, control] = self.read(at, Fault::TruncatedHeader)?;
        self.trace.layer(at, "LLC", || {
            format!("DSAP {destination:#04x}, SSAP {source:#04x}, control {control:#04x}")
        });
        match (destination, source, control) {
            (0xaa, 0xaa, 0x03) => {}
            (0x42, 0x42, _) | (0xfe, 0xfe, _) => return Err(LINK_CONTROL), // STP; IS-IS
            _ => return Err(UNKNOWN),
        }
        let [a, b, c, d, e] = self.read(at + 3, Fault::TruncatedHeader)?;
        let ethertype = u16::from_be_bytes([d, e]);
        self.trace.layer(at + 3, "SNAP", || {
            format!("OUI {a:02x}-{b:02x}-{c:02x}, {}", type_name(ethertype))
        });
        if [a, b, c] == [0, 0, 0] {
            Ok((ethertype, at + 8))
        } else {
            Err(UNKNOWN)
        }
    }

    /// What an ethertype other than a tag's announces at `at`.
    fn ethertype(&mut self, ethertype: u16, at: usize) -> Step<(usize, Family)> {
        match ethertype {
            IPV4 => Ok((at, Family::V4)),
            IPV6 => Ok((at, Family::V6)),
            PPPOE_SESSION => self.pppoe(at),
            MPLS | MPLS_MULTICAST => self.mpls(at),
            other if is_link_control(other) => Err(LINK_CONTROL),
            _ => Err(UNKNOWN),
        }
    }

    /// A PPPoE session header (RFC 2516 §4). Its version, type and code are not held against it:
    /// receivers exist that ignore them, so what follows is judged all the same.
    fn pppoe(&mut self, at: usize) -> Step<(usize, Family)> {
        let header: [u8; 6] = self.read(at, Fault::TruncatedHeader)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        self.trace.layer(at, "PPPoE", || {
            let session = u16::from_be_bytes([header[2], header[3]]);
            format!("session {session:#06x}, length {length}")
        });
        self.pppoe = Some(at);
        let payload = at + header.len();
        let overruns = payload + length > self.end;
        self.end = self.end.min(payload + length);
        let network = self.ppp(payload)?;
        if overruns {
            self.overrun = Some(Fault::PppoeLengthOverrun);
        }
        Ok(network)
    }

    /// A PPP protocol field, in one octet where it was compressed (RFC 1661 §6.5).
    fn ppp(&mut self, at: usize) -> Step<(usize, Family)> {
        let [first] = self.read(at, Fault::TruncatedHeader)?;
        let (protocol, payload) = if first & 1 == 1 {
            (u16::from(first), at + 1)
        } else {
            (
                u16::from_be_bytes(self.read(at, Fault::TruncatedHeader)?),
                at + 2,
            )
        };
        self.trace
            .layer(at, "PPP", || format!("protocol {protocol:#06x}"));
        match protocol {
            PPP_IPV4 => Ok((payload, Family::V4)),
            PPP_IPV6 => Ok((payload, Family::V6)),
            PPP_MPLS | PPP_MPLS_MULTICAST => self.mpls(payload),
            PPP_CONTROL_MIN.. => Err(LINK_CONTROL),
            _ => Err(UNKNOWN),
        }
    }

    /// A label stack (RFC 3032 §2.1), down to the label with the bottom-of-stack bit.
    fn mpls(&mut self, mut at: usize) -> Step<(usize, Family)> {
        for _ in 0..TAGS_MAX {
            let entry = u32::from_be_bytes(self.read(at, Fault::TruncatedHeader)?);
            let bottom = entry & 0x100 != 0;
            self.trace.layer(at, "MPLS", || {
                let end = if bottom { ", bottom of stack" } else { "" };
                format!("label {}, TTL {}{end}", entry >> 12, entry & 0xff)
            });
            at += 4;
            if bottom {
                return self.unannounced(at);
            }
        }
        Err(self.evades(Fault::TooManyTags))
    }

    /// A header that nothing announces: IP if its first half octet says so (RFC 4928 §3), else
    /// another protocol, such as a pseudowire's control word.
    fn unannounced(&mut self, at: usize) -> Step<(usize, Family)> {
        let [first] = self.read(at, Fault::TruncatedHeader)?;
        Family::of_nibble(first)
            .map(|family| (at, family))
            .ok_or(UNKNOWN)
    }
}

fn mac(octets: &[u8]) -> String {
    octets
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// An ethertype, or a length, for people.
fn type_name(value: u16) -> String {
    match value {
        IPV4 => "IPv4".to_owned(),
        IPV6 => "IPv6".to_owned(),
        0x0806 => "ARP".to_owned(),
        PPPOE_SESSION => "PPPoE session".to_owned(),
        MPLS | MPLS_MULTICAST => "MPLS".to_owned(),
        ETHERTYPE_MIN.. => format!("ethertype {value:#06x}"),
        _ => format!("length {value}"),
    }
}
