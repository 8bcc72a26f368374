//! Attempts in plain sight, and what only looks like one.

use lychgate::{engine::Reason, synth::packet::Packet, wire::TcpFlags};

use super::{
    case::{Case, syn, syn_from},
    policies::VILLAGE,
};

pub fn cases() -> Vec<Case> {
    vec![
        attempts(),
        legal_flags(),
        not_attempts(),
        other_protocols(),
        link_control(),
        syn_fin_rst(),
        source_routes(),
        bad_checksums(),
    ]
}

fn attempts() -> Case {
    Case::new(
        "plain-attempts",
        "Connection attempts without anything around them.",
        VILLAGE,
    )
    .frame(
        "A subscriber calls a mail server",
        syn("203.0.113.1", "192.0.2.1"),
        Reason::Admitted,
    )
    .frame(
        "An IPv6 subscriber does",
        syn("2001:db8:200::1", "2001:db8::1"),
        Reason::Admitted,
    )
    .frame(
        "Submission with STARTTLS, which the class does not limit",
        syn_from("203.0.113.1", 40_001, "192.0.2.1", 587),
        Reason::Allowed,
    )
    .frame(
        "Submission over TLS",
        syn_from("2001:db8:200::1", 40_001, "2001:db8::1", 465),
        Reason::Allowed,
    )
    .frame("A relay", syn("203.0.113.1", "192.0.2.25"), Reason::Relayed)
    .frame(
        "An IPv6 relay",
        syn("2001:db8:200::1", "2001:db8:25::7"),
        Reason::Relayed,
    )
    .frame(
        "A mail server of class mta",
        syn("203.0.113.30", "192.0.2.1"),
        Reason::Allowed,
    )
    .frame(
        "The internet calls a subscriber's mail server",
        syn("192.0.2.9", "203.0.113.30"),
        Reason::InboundMail,
    )
    .frame(
        "A web server",
        syn_from("203.0.113.1", 40_002, "192.0.2.1", 443),
        Reason::NotMail,
    )
    .frame(
        "From port 25 to a web server",
        syn_from("203.0.113.1", 25, "192.0.2.1", 443),
        Reason::MailSegment,
    )
    .frame(
        "A SYN padded to the minimum frame",
        Packet::ethernet()
            .ipv4("203.0.113.2", "192.0.2.1")
            .tcp(40_000, 25)
            .flags(2)
            .padded(),
        Reason::Admitted,
    )
    .frame(
        "A SYN with octets behind the packet",
        syn("203.0.113.3", "192.0.2.1").trailer(b"sent by the link"),
        Reason::Admitted,
    )
}

fn legal_flags() -> Case {
    let case = Case::new(
        "legal-flags",
        "SYNs that look odd and are legal: all of them count as attempts.",
        VILLAGE,
    );
    let flags = |flags| {
        Packet::ethernet()
            .ipv4("203.0.113.1", "192.0.2.1")
            .tcp(flags, 25)
            .flags(flags)
    };
    case.frame(
        "ECN asks with ECE and CWR (RFC 3168)",
        flags(0x0c2),
        Reason::Admitted,
    )
    .frame(
        "AccECN asks with AE, CWR and ECE (RFC 9768)",
        flags(0x1c2),
        Reason::Admitted,
    )
    .frame("PSH", flags(0x00a).payload(1), Reason::Admitted)
    .frame("URG", flags(0x022).urgent(1).payload(1), Reason::Admitted)
    .frame(
        "PSH, URG, ECE, CWR and AE together",
        flags(0x1ea),
        Reason::Admitted,
    )
    .frame(
        "All four reserved bits beside AE",
        flags(0xf02),
        Reason::Admitted,
    )
    .frame(
        "Fast Open with a cookie and data (RFC 7413)",
        flags(0x002)
            .options(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8])
            .bytes(b"EHLO example.org\r\n"),
        Reason::Admitted,
    )
    .frame(
        "Data without Fast Open",
        flags(0x002).sequence(7).payload(512),
        Reason::Admitted,
    )
}

fn not_attempts() -> Case {
    let segment = |flags| {
        Packet::ethernet()
            .ipv4("203.0.113.1", "192.0.2.1")
            .tcp(40_000, 25)
            .flags(flags)
    };
    let answer = |flags| {
        Packet::ethernet()
            .ipv4("192.0.2.1", "203.0.113.1")
            .tcp(25, 40_000)
            .flags(flags)
    };
    Case::new(
        "not-attempts",
        "TCP segments that do not ask for a connection.",
        VILLAGE,
    )
    .frame("SYN-ACK from the server", answer(0x12), Reason::MailSegment)
    .frame("ACK", segment(0x10), Reason::MailSegment)
    .frame(
        "Data",
        segment(0x18).bytes(b"EHLO example.org\r\n"),
        Reason::MailSegment,
    )
    .frame("FIN with ACK", segment(0x11), Reason::MailSegment)
    .frame("FIN alone", segment(0x01), Reason::MailSegment)
    .frame("RST", segment(0x04), Reason::MailSegment)
    .frame("RST from the server", answer(0x14), Reason::MailSegment)
    .frame(
        "Null scan: no flag at all",
        segment(0x00),
        Reason::MailSegment,
    )
    .frame(
        "Christmas tree: FIN, PSH, URG",
        segment(0x29),
        Reason::MailSegment,
    )
    .frame(
        "All flags, ACK among them",
        segment(0x1ff),
        Reason::MailSegment,
    )
    .frame(
        "SYN-ACK towards port 25",
        segment(0x12),
        Reason::MailSegment,
    )
    .frame(
        "A subscriber's own mail server answers",
        Packet::ethernet()
            .ipv4("203.0.113.30", "192.0.2.9")
            .tcp(25, 50_000)
            .flags(0x12),
        Reason::MailSegment,
    )
}

fn other_protocols() -> Case {
    let quoted = |packet: Packet| packet.tcp(40_000, 25).flags(TcpFlags::SYN);
    let v4 = || Packet::ethernet().ipv4("203.0.113.1", "192.0.2.1");
    let v6 = || Packet::ethernet().ipv6("2001:db8:200::1", "2001:db8::1");
    Case::new(
        "other-protocols",
        "What carries the number 25 and is not TCP.",
        VILLAGE,
    )
    .frame(
        "UDP to port 25",
        v4().udp(40_000, 25).payload(20),
        Reason::NotMail,
    )
    .frame(
        "UDP over IPv6",
        v6().udp(25, 25).payload(20),
        Reason::NotMail,
    )
    .frame(
        "SCTP to port 25",
        v4().sctp(40_000, 25).payload(16),
        Reason::NotMail,
    )
    .frame(
        "ICMP tells the sender of a SYN that its host is unreachable",
        quoted(
            Packet::ethernet()
                .ipv4("192.0.2.254", "203.0.113.1")
                .icmp(3, 1, 0)
                .ipv4("203.0.113.1", "192.0.2.1"),
        ),
        Reason::NotMail,
    )
    .frame(
        "The same the other way round, quoting only 8 octets of TCP (RFC 792)",
        quoted(
            v4().icmp(3, 3, 0)
                .only(0..28)
                .ipv4("192.0.2.1", "203.0.113.1"),
        ),
        Reason::NotMail,
    )
    .frame(
        "ICMPv6: packet too big, quoting a SYN",
        quoted(
            v6().icmpv6(2, 0, 1280)
                .ipv6("2001:db8::1", "2001:db8:200::1"),
        ),
        Reason::NotMail,
    )
    .frame(
        "Ping",
        v4().icmp(8, 0, 0x0001_0001).payload(56),
        Reason::NotMail,
    )
    .frame(
        "Neighbour solicitation",
        Packet::ethernet()
            .ipv6("fe80::1", "ff02::1:ff00:2")
            .neighbour_solicitation("fe80::2"),
        Reason::NotMail,
    )
    .frame(
        "IPv6 without next header",
        v6().protocol(59).payload(8),
        Reason::NotMail,
    )
}

/// A hello on a LAN at level 1 (ISO 10589 section 9.5).
const ISIS_HELLO: &[u8] = &[
    0x83, 27, 1, 0, 15, 1, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 30, 0, 27, 64, 2, 0, 0, 0, 0, 1, 1,
];

/// A LACPDU: actor, partner, collector, terminator (IEEE 802.1AX section 6.4.2).
fn lacp() -> Vec<u8> {
    let mut unit = vec![0; 110];
    (unit[0], unit[1]) = (1, 1);
    for (at, kind, octets) in [(2, 1, 20), (22, 2, 20), (42, 3, 16)] {
        (unit[at], unit[at + 1]) = (kind, octets);
    }
    unit
}

fn link_control() -> Case {
    Case::new(
        "link-control",
        "Control of the link itself, and the unknown: all of it crosses.",
        VILLAGE,
    )
    .frame(
        "ARP",
        Packet::ethernet().arp(1, "203.0.113.1", "203.0.113.254"),
        Reason::LinkControl,
    )
    .frame(
        "ARP in a VLAN",
        Packet::ethernet()
            .vlan(0x8100, 66)
            .arp(2, "10.0.0.1", "10.0.0.2"),
        Reason::LinkControl,
    )
    .frame(
        "Spanning tree",
        Packet::ethernet().stp(),
        Reason::LinkControl,
    )
    .frame("LLDP", Packet::ethernet().lldp(), Reason::LinkControl)
    .frame(
        "LACP",
        Packet::ethernet().ethertype(0x8809).bytes(&lacp()),
        Reason::LinkControl,
    )
    .frame(
        "IS-IS hello",
        Packet::ethernet().llc(0xfe, 0xfe, 3).bytes(ISIS_HELLO),
        Reason::LinkControl,
    )
    .frame(
        "PPPoE discovery: initiation",
        Packet::ethernet()
            .pppoe_discovery(0x09)
            .bytes(&[1, 1, 0, 0]),
        Reason::LinkControl,
    )
    .frame(
        "PPP link control inside a PPPoE session",
        Packet::ethernet()
            .pppoe(7)
            .ppp_protocol(0xc021)
            .bytes(&[9, 1, 0, 8, 1, 2, 3, 4]),
        Reason::LinkControl,
    )
    .frame(
        "An ethertype for experiments",
        Packet::ethernet().payload(64),
        Reason::UnknownProtocol,
    )
    .frame(
        "SNAP of another organisation",
        Packet::ethernet()
            .snap([0x00, 0x00, 0x0c])
            .ethertype(0x2000)
            .payload(40),
        Reason::UnknownProtocol,
    )
    .frame(
        "An MPLS pseudowire with a control word",
        Packet::ethernet()
            .mpls(&[1000])
            .bytes(&[0, 0, 0, 1])
            .inner_ethernet()
            .payload(46),
        Reason::UnknownProtocol,
    )
}

fn syn_fin_rst() -> Case {
    let segment = |port, flags| {
        Packet::ethernet()
            .ipv4("203.0.113.1", "192.0.2.1")
            .tcp(port, 25)
            .flags(flags)
    };
    let policy = super::policies::one_class(
        "smtp = { limit = { connections = 1, window = \"10s\" } }\nsubmission = \"allow\"",
    );
    Case::new(
        "syn-fin-rst",
        "SYN with FIN or RST never opens a connection (RFC 9293): counted, dropped, and no part of \
         the limit's window.",
        policy,
    )
    .frame("SYN and FIN", segment(1, 0x03), Reason::SynFin)
    .frame("SYN and RST", segment(2, 0x06), Reason::SynRst)
    .frame("SYN, FIN and PSH", segment(3, 0x0b), Reason::SynFin)
    .frame(
        "A proper attempt, which finds the window empty",
        segment(4, 0x02),
        Reason::Admitted,
    )
    .frame(
        "Another, which finds it full",
        segment(5, 0x02),
        Reason::LimitExceeded,
    )
    .frame(
        "SYN and FIN stay what they are",
        segment(6, 0x03),
        Reason::SynFin,
    )
    .frame(
        "SYN and FIN to a relay",
        syn_from("203.0.113.1", 7, "192.0.2.25", 25).flags(3),
        Reason::SynFin,
    )
    .frame(
        "SYN, FIN and ACK ask for nothing",
        segment(8, 0x13),
        Reason::MailSegment,
    )
    .frame(
        "SYN and FIN to a web server",
        syn_from("203.0.113.1", 9, "192.0.2.1", 80).flags(3),
        Reason::NotMail,
    )
    .counts([7, 7, 1, 6], [0; 4])
}

fn source_routes() -> Case {
    let under = |options: &[u8], port, flags| {
        Packet::ethernet()
            .ipv4("203.0.113.1", "192.0.2.1")
            .options(options)
            .tcp(port, 25)
            .flags(flags)
    };
    let loose = [131, 7, 4, 198, 51, 100, 1];
    let strict = [137, 7, 4, 198, 51, 100, 1];
    let record = [7, 7, 4, 0, 0, 0, 0];
    let routed = |kind, left| {
        Packet::ethernet()
            .ipv6("2001:db8:200::1", "2001:db8::1")
            .routing(kind, left)
            .tcp(1, 25)
            .flags(2)
    };
    Case::new(
        "source-routes",
        "Attempts under a source route (RFC 7126, RFC 5095) are dropped; other options are not.",
        VILLAGE,
    )
    .frame(
        "Loose source route",
        under(&loose, 1, 2),
        Reason::SourceRoute,
    )
    .frame(
        "Strict source route",
        under(&strict, 2, 2),
        Reason::SourceRoute,
    )
    .frame(
        "Loose source route behind two no-operations",
        under(&[&[1, 1][..], &loose].concat(), 3, 2),
        Reason::SourceRoute,
    )
    .frame(
        "Loose source route behind a record of the route",
        under(&[&record[..], &loose].concat(), 4, 2),
        Reason::SourceRoute,
    )
    .frame(
        "Record of the route",
        under(&record, 5, 2),
        Reason::Admitted,
    )
    .frame(
        "Router alert",
        under(&[148, 4, 0, 0], 6, 2),
        Reason::Admitted,
    )
    .frame(
        "Behind the end of options, octets are no options",
        under(&[0, 131, 7, 4], 7, 2),
        Reason::Admitted,
    )
    .frame(
        "An ACK under a loose source route",
        under(&loose, 8, 0x10),
        Reason::MailSegment,
    )
    .frame(
        "IPv6 routing header type 0 with a segment left",
        routed(0, 1),
        Reason::SourceRoute,
    )
    .frame(
        "IPv6 segment routing with a segment left",
        routed(4, 1),
        Reason::SourceRoute,
    )
    .frame(
        "IPv6 routing header that has been followed to its end",
        routed(4, 0),
        Reason::Admitted,
    )
}

fn bad_checksums() -> Case {
    let with = |port, flags| {
        Packet::ethernet()
            .ipv4("203.0.113.1", "192.0.2.1")
            .bad_checksum()
            .tcp(port, 25)
            .flags(flags)
    };
    let policy = super::policies::one_class(
        "smtp = { limit = { connections = 1, window = \"10s\" } }\nsubmission = \"allow\"",
    );
    Case::new(
        "bad-checksums",
        "An attempt with a wrong IPv4 header checksum would be dropped by any router: it is charged \
         to nobody. A wrong TCP checksum is what offloading leaves in captures.",
        policy,
    )
    .frame("A SYN with a wrong IPv4 checksum", with(1, 2), Reason::BadIpv4Checksum)
    .frame("Another", with(2, 2), Reason::BadIpv4Checksum)
    .frame("An ACK with a wrong IPv4 checksum is not our business", with(3, 0x10), Reason::MailSegment)
    .frame(
        "A SYN with a wrong TCP checksum counts: the window was empty",
        syn_from("203.0.113.1", 4, "192.0.2.1", 25).bad_checksum(),
        Reason::Admitted,
    )
    .frame("And the next one is too many", syn_from("203.0.113.1", 5, "192.0.2.1", 25), Reason::LimitExceeded)
    .frame(
        "UDP with a wrong IPv4 checksum",
        Packet::ethernet().ipv4("203.0.113.1", "192.0.2.1").bad_checksum().udp(6, 25).payload(8),
        Reason::NotMail,
    )
    .counts([2, 2, 1, 1], [0; 4])
}
