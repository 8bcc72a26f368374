//! What stands around an attempt: tags, PPPoE, labels, SNAP, softwires, tunnels, link types.

use std::net::Ipv4Addr;

use lychgate::{engine::Reason, synth::packet::Packet, wire::Link};

use super::{
    case::{Case, attempt},
    policies::{VILLAGE, one_class},
};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        layers(),
        bounds(),
        version_mismatch(),
        tunnels(),
        softwires(),
    ];
    cases.extend(links());
    cases
}

/// The `n`th subscriber's attempt inside `around`.
fn from(around: Packet, n: u8) -> Packet {
    attempt(
        around.ipv4(Ipv4Addr::new(203, 0, 113, n), "192.0.2.1"),
        40_000,
        25,
    )
}

fn from_v6(around: Packet) -> Packet {
    attempt(around.ipv6("2001:db8:200::1", "2001:db8::1"), 40_000, 25)
}

fn tags(count: usize) -> Packet {
    const TPIDS: [u16; 3] = [0x88a8, 0x9100, 0x8100];
    (0..count).fold(Packet::ethernet(), |packet, n| {
        packet.vlan(TPIDS[n % 3], n as u16 + 1)
    })
}

fn layers() -> Case {
    let start = Packet::ethernet;
    let on = Reason::Admitted;
    Case::new(
        "encapsulations",
        "An attempt is an attempt, whatever stands around it.",
        VILLAGE,
    )
    .frame("One VLAN tag", from(start().vlan(0x8100, 7), 1), on)
    .frame(
        "QinQ",
        from(start().vlan(0x88a8, 100).vlan(0x8100, 7), 2),
        on,
    )
    .frame(
        "A tag of the time before 802.1ad",
        from(start().vlan(0x9100, 7), 3),
        on,
    )
    .frame("A priority tag", from(start().vlan(0x8100, 0xe000), 4), on)
    .frame("Eight tags in a mix", from(tags(8), 5), on)
    .frame("PPPoE", from(start().pppoe(0x1234), 6), on)
    .frame(
        "PPPoE in QinQ",
        from(start().vlan(0x88a8, 1).vlan(0x8100, 2).pppoe(1), 7),
        on,
    )
    .frame(
        "PPPoE padded to the minimum frame",
        from(start().pppoe(1), 8).padded(),
        on,
    )
    .frame("One MPLS label", from(start().mpls(&[1000]), 9), on)
    .frame(
        "Three MPLS labels behind a tag",
        from(start().vlan(0x8100, 9).mpls(&[3, 2, 1]), 10),
        on,
    )
    .frame(
        "Eight MPLS labels",
        from(start().mpls(&[8, 7, 6, 5, 4, 3, 2, 1]), 11),
        on,
    )
    .frame("802.3 with SNAP", from(start().snap([0; 3]), 12), on)
    .frame(
        "SNAP behind a tag",
        from(start().vlan(0x8100, 7).snap([0; 3]), 13),
        on,
    )
    .frame(
        "IPv6 in QinQ",
        from_v6(start().vlan(0x88a8, 100).vlan(0x8100, 7)),
        on,
    )
    .frame("IPv6 in PPPoE", from_v6(start().pppoe(2)).sequence(2), on)
    .frame(
        "IPv6 behind a label",
        from_v6(start().mpls(&[2])).sequence(3),
        on,
    )
    .frame(
        "IPv6 in SNAP",
        from_v6(start().snap([0; 3])).sequence(4),
        on,
    )
}

fn bounds() -> Case {
    let nine = [9, 8, 7, 6, 5, 4, 3, 2, 1];
    Case::new(
        "too-many-tags",
        "More tags or labels than anyone uses could hide an attempt: dropped.",
        VILLAGE,
    )
    .frame("Nine VLAN tags", from(tags(9), 1), Reason::TooManyTags)
    .frame(
        "Nine MPLS labels",
        from(Packet::ethernet().mpls(&nine), 2),
        Reason::TooManyTags,
    )
    .frame(
        "Eight tags and then ARP",
        tags(8).arp(1, "10.0.0.1", "10.0.0.2"),
        Reason::LinkControl,
    )
}

fn version_mismatch() -> Case {
    let start = Packet::ethernet;
    let v4 = |packet: Packet| packet.ipv4("203.0.113.1", "192.0.2.1");
    let v6 = |packet: Packet| packet.ipv6("2001:db8:200::1", "2001:db8::1");
    let no = Reason::VersionMismatch;
    Case::new(
        "version-mismatch",
        "The layer in front says one IP version and the header another: who reads it which way?",
        VILLAGE,
    )
    .frame(
        "IPv6 announced as IPv4",
        attempt(v6(start().ethertype(0x0800)), 1, 25),
        no,
    )
    .frame(
        "IPv4 announced as IPv6",
        attempt(v4(start().ethertype(0x86dd)), 2, 25),
        no,
    )
    .frame(
        "IPv4 of version 5",
        attempt(v4(start()).version(5), 3, 25),
        no,
    )
    .frame(
        "IPv6 of version 4",
        attempt(v6(start()).version(4), 4, 25),
        no,
    )
    .frame(
        "IPv6 announced as IPv4 by PPP",
        attempt(v6(start().pppoe(1).ppp_protocol(0x0021)), 5, 25),
        no,
    )
    .frame(
        "IPv4 announced as IPv6 behind a tag",
        attempt(v4(start().vlan(0x8100, 1).ethertype(0x86dd)), 6, 25),
        no,
    )
}

fn tunnels() -> Case {
    let v4 = || Packet::ethernet().ipv4("203.0.113.1", "192.0.2.1");
    let v6 = || Packet::ethernet().ipv6("2001:db8:200::1", "2001:db8::1");
    let inner = |packet: Packet| attempt(packet.ipv4("10.0.0.1", "10.0.0.2"), 1, 25);
    let inner_v6 = |packet: Packet| attempt(packet.ipv6("fd00::1", "fd00::2"), 1, 25);
    Case::new(
        "tunnels",
        "Tunnels to elsewhere are the subscriber's own affair: counted, never looked into.",
        VILLAGE,
    )
    .frame("GRE", inner(v4().gre()), Reason::Tunnel)
    .frame("GRE over IPv6", inner_v6(v6().gre()), Reason::Tunnel)
    .frame("IPv4 in IPv4", inner(v4()), Reason::Tunnel)
    .frame(
        "IPv6 in IPv4: 6in4 or 6to4, not to our relay",
        inner_v6(v4()),
        Reason::Tunnel,
    )
    .frame(
        "IPv4 in IPv6: DS-Lite, not to our AFTR",
        inner(v6()),
        Reason::Tunnel,
    )
    .frame(
        "VXLAN",
        inner(v4().udp(50_000, 4789).vxlan(7).inner_ethernet()),
        Reason::Tunnel,
    )
    .frame(
        "GTP-U",
        inner(v4().udp(2152, 2152).bytes(&[0x30, 0xff, 0, 44, 0, 0, 0, 1])),
        Reason::Tunnel,
    )
    .frame("Teredo", inner_v6(v4().udp(50_000, 3544)), Reason::Tunnel)
    .frame("ESP", inner(v4().esp(0x1000)), Reason::Tunnel)
    .frame("ESP over IPv6", inner_v6(v6().esp(0x1000)), Reason::Tunnel)
}

fn softwires() -> Case {
    let lite = |subscriber: &str, port| {
        let outer = Packet::ethernet().ipv6(subscriber, "2001:db8:ffff::a");
        attempt(outer.ipv4("192.0.0.2", "192.0.2.1"), port, 25)
    };
    let six = |source: &str, port| {
        let outer = Packet::ethernet().ipv4(source, "192.88.99.1");
        attempt(outer.ipv6("2001:db8:6:1::1", "2001:db8::1"), port, 25)
    };
    let policy = one_class(
        "smtp = { limit = { connections = 2, window = \"10s\" } }\nsubmission = \"allow\"",
    ) + "\n[softwires]\nconcentrators = [\"2001:db8:ffff::a\", \"192.88.99.1\"]\n";
    let (a, b) = ("2001:db8:200:100::1", "2001:db8:200:200::1");
    Case::new(
        "softwires",
        "Softwires to the provider's own concentrators are looked into and charged to the outer \
         subscriber: every DS-Lite subscriber's inner address is 192.0.0.2 (RFC 6333).",
        policy,
    )
    .frame(
        "DS-Lite: the first subscriber",
        lite(a, 1),
        Reason::Admitted,
    )
    .frame("Once more", lite(a, 2), Reason::Admitted)
    .frame(
        "The second subscriber, with the same inner address",
        lite(b, 1),
        Reason::Admitted,
    )
    .frame(
        "The first one's third attempt",
        lite(a, 3),
        Reason::LimitExceeded,
    )
    .frame("The second one's second", lite(b, 2), Reason::Admitted)
    .frame(
        "The first one outside the softwire: one subscriber, one window",
        attempt(
            Packet::ethernet().ipv6("2001:db8:200:1ff::9", "2001:db8::1"),
            4,
            25,
        ),
        Reason::LimitExceeded,
    )
    .frame(
        "Inside the softwire, the web",
        Packet::ethernet()
            .ipv6(a, "2001:db8:ffff::a")
            .ipv4("192.0.0.2", "192.0.2.1")
            .tcp(9, 443)
            .flags(2),
        Reason::NotMail,
    )
    .frame(
        "Inside the softwire, a tiny first fragment",
        Packet::ethernet()
            .ipv6(a, "2001:db8:ffff::a")
            .ipv4("192.0.0.2", "192.0.2.1")
            .fragment(0, true, 9)
            .only(0..8)
            .tcp(9, 25)
            .flags(2),
        Reason::TinyFragment,
    )
    .frame(
        "6rd: IPv6 in IPv4, charged to the IPv4 subscriber",
        six("203.0.113.7", 1),
        Reason::Admitted,
    )
    .frame("Once more", six("203.0.113.7", 2), Reason::Admitted)
    .frame(
        "And once too often",
        six("203.0.113.7", 3),
        Reason::LimitExceeded,
    )
    .frame(
        "A server answers through the softwire",
        Packet::ethernet()
            .ipv6("2001:db8:ffff::a", a)
            .ipv4("192.0.2.1", "192.0.0.2")
            .tcp(25, 1)
            .flags(0x12),
        Reason::MailSegment,
    )
    .frame(
        "A spoofed outer source",
        lite("2001:db8:999::1", 1),
        Reason::Stranger,
    )
}

fn links() -> Vec<Case> {
    let names = [
        (Link::Ip, "link-raw", "Raw IP: no link layer at all."),
        (
            Link::LinuxSll,
            "link-sll",
            "Linux cooked capture, version 1.",
        ),
        (
            Link::LinuxSll2,
            "link-sll2",
            "Linux cooked capture, version 2.",
        ),
        (
            Link::Loopback,
            "link-null",
            "BSD loopback, the address family in little-endian order.",
        ),
        (Link::Ppp, "link-ppp", "PPP with HDLC framing."),
    ];
    let mut cases: Vec<_> = names
        .into_iter()
        .map(|(link, name, about)| link_case(link, name, about))
        .collect();
    // What only one link layer has.
    for case in &mut cases {
        let extra = std::mem::replace(case, Case::new("", "", ""));
        let link = extra.link;
        *case = match link {
            Link::LinuxSll | Link::LinuxSll2 => {
                let tagged = from(Packet::on(link).vlan(0x8100, 7), 5);
                let snap = from(Packet::on(link).snap([0; 3]), 6);
                extra
                    .frame("An attempt behind a VLAN tag", tagged, Reason::Admitted)
                    .frame("An attempt in SNAP", snap, Reason::Admitted)
                    .frame(
                        "ARP",
                        Packet::on(link).arp(1, "10.0.0.1", "10.0.0.2"),
                        Reason::LinkControl,
                    )
            }
            Link::Loopback => extra
                .frame(
                    "Big-endian family",
                    from(Packet::loopback(true), 5),
                    Reason::Admitted,
                )
                .frame(
                    "FreeBSD's IPv6",
                    from_v6(Packet::loopback(false).family(28)).sequence(5),
                    Reason::Admitted,
                )
                .frame(
                    "OpenBSD's IPv6",
                    from_v6(Packet::loopback(false).family(24)).sequence(6),
                    Reason::Admitted,
                )
                .frame(
                    "AppleTalk",
                    Packet::loopback(false).family(16).payload(20),
                    Reason::UnknownProtocol,
                ),
            Link::Ppp => extra
                .frame(
                    "Without HDLC framing",
                    from(Packet::ppp(false), 5),
                    Reason::Admitted,
                )
                .frame(
                    "Echo request",
                    Packet::ppp(true).bytes(&[9, 1, 0, 8, 1, 2, 3, 4]),
                    Reason::LinkControl,
                )
                .frame(
                    "A label",
                    from(Packet::ppp(true).mpls(&[7]), 6),
                    Reason::Admitted,
                ),
            _ => extra,
        };
    }
    cases
}

fn link_case(link: Link, name: &'static str, about: &'static str) -> Case {
    let start = || Packet::on(link);
    let web = start()
        .ipv4("203.0.113.1", "192.0.2.1")
        .tcp(40_000, 443)
        .flags(2);
    let tiny = start()
        .ipv4("203.0.113.1", "192.0.2.1")
        .fragment(0, true, 1)
        .only(0..8);
    Case::new(name, about, VILLAGE)
        .on(link)
        .frame("An attempt", from(start(), 1), Reason::Admitted)
        .frame("An attempt over IPv6", from_v6(start()), Reason::Admitted)
        .frame("The web", web, Reason::NotMail)
        .frame(
            "A tiny first fragment",
            tiny.tcp(40_000, 25).flags(2),
            Reason::TinyFragment,
        )
}
