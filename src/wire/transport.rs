//! The end of the walk: TCP judged by its ports, everything else on its way.

use etherparse::ip_number;

use super::{
    Blemish, Crossing, Fault, SMTP, SUBMISSION, SUBMISSIONS, Segment, TcpFlags, Transport,
    network::{UDP, offset},
    walk::{End, Step, Trace, Walk},
};

const IPV4: u8 = ip_number::IPV4.0;
const IPV6: u8 = ip_number::IPV6.0;
const GRE: u8 = ip_number::GRE.0;
const ESP: u8 = ip_number::ENCAPSULATING_SECURITY_PAYLOAD.0;
const ETHERIP: u8 = ip_number::ETHER_IP.0;
const ICMP: u8 = ip_number::ICMP.0;
const ICMPV6: u8 = ip_number::IPV6_ICMP.0;
const L2TP: u8 = ip_number::LAYER2_TUNNELING_PROTOCOL.0;
const MPLS_IN_IP: u8 = ip_number::MPLS_IN_IP.0;

/// The ports of mail.
pub(super) const MAIL_PORTS: Ports = Ports::new(&[SMTP, SUBMISSION, SUBMISSIONS]);

/// UDP ports of tunnels: L2TP, GTP-C and GTP-U, Teredo, GRE in UDP (RFC 8086) with and without
/// DTLS, VXLAN, Geneve.
pub(super) const TUNNEL_PORTS: Ports =
    Ports::new(&[1701, 2123, 2152, 3544, 4754, 4755, 4789, 6081]);

/// At most eight ports, laid out such that source and destination are compared with all of them at
/// once.
pub(super) struct Ports([[u16; 2]; 8]);

impl Ports {
    const fn new(list: &[u16]) -> Self {
        let mut pairs = [[0; 2]; 8];
        let mut index = 0;
        while index < pairs.len() {
            // The first one stands where there are no more.
            let port = if index < list.len() {
                list[index]
            } else {
                list[0]
            };
            pairs[index] = [port.to_be(); 2];
            index += 1;
        }
        Self(pairs)
    }

    /// Whether source or destination, as they stand in TCP and UDP, is among them.
    #[inline(always)]
    pub(super) fn has_either(&self, [a, b, c, d]: [u8; 4]) -> bool {
        let (source, destination) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        // Without short cuts, so that it becomes two vector comparisons.
        self.0.iter().fold(false, |hit, pair| {
            hit | (pair[0] == source) | (pair[1] == destination)
        })
    }
}

/// Source and destination port, as TCP and UDP both begin.
#[inline]
pub(super) const fn split_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// What is wrong with an attempt, the worst first; other segments are not looked at.
pub(super) const fn blemish(
    flags: TcpFlags,
    bad_checksum: bool,
    source_route: bool,
) -> Option<Blemish> {
    if !flags.is_attempt() {
        None
    } else if bad_checksum {
        Some(Blemish::BadIpv4Checksum)
    } else if source_route {
        Some(Blemish::SourceRoute)
    } else if flags.has(TcpFlags::FIN) {
        Some(Blemish::SynFin)
    } else if flags.has(TcpFlags::RST) {
        Some(Blemish::SynRst)
    } else {
        None
    }
}

impl<T: Trace> Walk<'_, T> {
    /// A protocol that carries no TCP for us to judge; `at` says where its header begins, if that
    /// is certain.
    pub(super) fn cross(&mut self, protocol: u8, at: Option<usize>) -> End {
        let tunnel = match protocol {
            IPV4 | IPV6 | GRE | ESP | ETHERIP | L2TP | MPLS_IN_IP => true,
            UDP => at.is_some_and(|at| self.is_udp_tunnel(at)),
            ICMP | ICMPV6 => {
                self.transport = Transport::Icmp;
                false
            }
            _ => false,
        };
        End::Crosses(if tunnel {
            Crossing::Tunnel
        } else {
            Crossing::NotMail
        })
    }

    fn is_udp_tunnel(&mut self, at: usize) -> bool {
        let Some(ports) = self.peek(at) else {
            return false;
        };
        let (source, destination) = split_ports(ports);
        self.trace
            .layer(at, "UDP", || format!("{source} → {destination}"));
        self.transport = Transport::Udp(source, destination);
        TUNNEL_PORTS.has_either(ports)
    }

    /// A TCP header: harmless if its ports are in plain sight and not mail's, else whole or wrong.
    pub(super) fn tcp(&mut self, at: usize) -> Step<Segment> {
        let ports = self.read(at, Fault::TruncatedTcpHeader)?;
        let (source_port, destination_port) = split_ports(ports);
        let shown = self.peek(at);
        self.trace.layer(at, "TCP", || {
            format!(
                "{source_port} → {destination_port}{}",
                shown.map(tcp_text).unwrap_or_default()
            )
        });
        self.transport = Transport::Tcp(source_port, destination_port);
        if let Some(fault) = self.first_fragment {
            self.whole_tcp_header(at, fault)?;
        }
        if !MAIL_PORTS.has_either(ports) && !self.any_port {
            return Err(End::Crosses(Crossing::NotMail));
        }
        if let Some(fault) = self.overrun {
            return Err(End::Evades(fault));
        }
        if at + 20 > self.end {
            return Err(self.evades(Fault::TruncatedTcpHeader));
        }
        // All that is judged lies in the first 14 octets: a capture may have kept no more.
        let header: [u8; 14] = self.read(at, Fault::TruncatedTcpHeader)?;
        let header_length = header_length(header[12]);
        if header_length < 20 || at + header_length > self.end {
            return Err(self.evades(Fault::BadDataOffset));
        }
        let network = self.network.ok_or(End::Unreadable)?;
        let flags = TcpFlags::of_octets([header[12], header[13]]);
        Ok(Segment {
            source: network.source,
            destination: network.destination,
            source_port,
            destination_port,
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags,
            vlans: self.vlans,
            network_offset: offset(network.offset),
            tcp_offset: offset(at),
            payload_length: offset(network.stated_end.saturating_sub(at + header_length)),
            softwire: self.softwire,
            blemish: blemish(flags, self.bad_checksum, self.source_route),
        })
    }

    /// In a first fragment the header must be whole, whatever its ports: an overlapping second
    /// fragment may rewrite what the first one leaves open (RFC 3128).
    fn whole_tcp_header(&self, at: usize, fault: Fault) -> Step<()> {
        let room = self.end.saturating_sub(at);
        match self.peek(at + 12) {
            Some([octet]) if room >= header_length(octet).max(20) => Ok(()),
            // The capture cut the data offset off, but any header would fit.
            None if room >= 60 => Ok(()),
            None if room >= 20 => Err(End::Unreadable),
            _ => Err(self.evades(fault)),
        }
    }
}

/// Octets of a TCP header, by the octet that holds its data offset.
const fn header_length(data_offset: u8) -> usize {
    (data_offset >> 4) as usize * 4
}

/// Sequence number, control bits and header length, for people.
fn tcp_text(header: [u8; 14]) -> String {
    const NAMES: [&str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];
    let flags = TcpFlags::of_octets([header[12], header[13]]);
    let set: Vec<_> = (0..NAMES.len())
        .filter(|&bit| flags.has(1 << bit))
        .map(|bit| NAMES[bit])
        .collect();
    let flags = if set.is_empty() {
        "no flags".to_owned()
    } else {
        set.join(" ")
    };
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    format!(
        ", {flags}, sequence {sequence}, header {} octets",
        header_length(header[12])
    )
}
