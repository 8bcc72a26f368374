//! Lengths that lie, and captures that were cut.

use lychgate::{engine::Reason, synth::packet::Packet};

use super::{
    case::{Case, attempt, syn, syn_from},
    policies::VILLAGE,
};

pub fn cases() -> Vec<Case> {
    vec![hostile(), snap_length()]
}

fn v4() -> Packet {
    Packet::ethernet().ipv4("203.0.113.1", "192.0.2.1")
}

fn v6() -> Packet {
    Packet::ethernet().ipv6("2001:db8:200::1", "2001:db8::1")
}

fn hostile() -> Case {
    let overrun = Reason::LengthOverrun;
    let short = Reason::TruncatedTcpHeader;
    let ihl = Reason::BadInternetHeaderLength;
    let offset = Reason::BadDataOffset;
    let case = Case::new(
        "hostile-lengths",
        "Lengths that two readers could read in two ways: dropped where TCP to a mail port could \
         hide behind them, and only there.",
        VILLAGE,
    );
    case.frame("IHL 4", attempt(v4().internet_header_length(4), 1, 25), ihl)
        .frame("IHL 0", attempt(v4().internet_header_length(0), 2, 25), ihl)
        .frame(
            "IHL beyond the packet",
            attempt(v4().internet_header_length(15), 3, 25),
            ihl,
        )
        .frame(
            "Total length less than the header",
            attempt(v4().length(16), 4, 25),
            ihl,
        )
        .frame("Total length 0", attempt(v4().length(0), 5, 25), ihl)
        .frame("Data offset 4", attempt(v4(), 6, 25).data_offset(4), offset)
        .frame("Data offset 0", attempt(v4(), 7, 25).data_offset(0), offset)
        .frame(
            "Data offset beyond the packet",
            attempt(v4(), 8, 25).data_offset(15),
            offset,
        )
        .frame(
            "Total length beyond the frame",
            attempt(v4().length(45), 9, 25),
            overrun,
        )
        .frame(
            "Total length 65535",
            attempt(v4().length(65_535), 10, 25),
            overrun,
        )
        .frame(
            "IPv6 payload length beyond the frame",
            attempt(v6().length(25), 11, 25),
            overrun,
        )
        .frame(
            "Total length that ends inside the TCP header",
            attempt(v4().length(32), 12, 25),
            short,
        )
        .frame(
            "Total length that ends before the ports",
            attempt(v4().length(20), 13, 25),
            short,
        )
        .frame(
            "IPv6 payload length that ends inside the TCP header",
            attempt(v6().length(13), 14, 25),
            short,
        )
        .frame(
            "PPPoE length beyond the frame",
            attempt(
                Packet::ethernet()
                    .pppoe(1)
                    .length(47)
                    .ipv4("203.0.113.1", "192.0.2.1"),
                15,
                25,
            ),
            Reason::PppoeLengthOverrun,
        )
        .frame(
            "PPPoE length that cuts the packet",
            attempt(
                Packet::ethernet()
                    .pppoe(1)
                    .length(30)
                    .ipv4("203.0.113.1", "192.0.2.1"),
                16,
                25,
            ),
            overrun,
        )
        .octets(
            "A frame that ends inside its IPv4 header",
            cut(&syn("203.0.113.1", "192.0.2.1"), 30),
            Reason::TruncatedHeader,
        )
        .octets(
            "A frame that ends inside a VLAN tag",
            cut(&Packet::ethernet().vlan(0x8100, 1), 16),
            Reason::TruncatedHeader,
        )
        .frame(
            "IHL 4 on UDP",
            v4().internet_header_length(4).udp(1, 25).payload(8),
            Reason::NotMail,
        )
        .frame(
            "Total length beyond the frame on UDP",
            v4().length(1500).udp(1, 25).payload(8),
            Reason::NotMail,
        )
        .frame(
            "Data offset 4 towards a web server",
            attempt(v4(), 17, 443).data_offset(4),
            Reason::NotMail,
        )
        .frame(
            "Total length beyond the frame towards a web server",
            attempt(v4().length(99), 18, 443),
            Reason::NotMail,
        )
        .frame(
            "PPPoE length beyond the frame, link control",
            Packet::ethernet()
                .pppoe(1)
                .length(99)
                .ppp_protocol(0xc021)
                .bytes(&[9, 1, 0, 4]),
            Reason::LinkControl,
        )
        .frame(
            "Behind the total length, octets are no part of the packet",
            attempt(v4(), 19, 25).trailer(&[0xff; 40]),
            Reason::Admitted,
        )
}

fn snap_length() -> Case {
    let policy = super::policies::one_class(
        "smtp = { limit = { connections = 2, window = \"10s\" } }\nsubmission = \"allow\"",
    );
    let data = |packet: Packet| packet.payload(1000);
    Case::new(
        "snap-length",
        "A capture that kept only the first octets is not malformed: what is there is judged.",
        policy,
    )
    .frame(
        "Cut behind the TCP header",
        data(syn("203.0.113.1", "192.0.2.1")),
        Reason::Admitted,
    )
    .captured(58)
    .frame(
        "Cut behind the flags",
        data(syn_from("203.0.113.1", 40_001, "192.0.2.1", 25)),
        Reason::Admitted,
    )
    .captured(14 + 20 + 14)
    .frame(
        "Cut behind the ports",
        data(syn_from("203.0.113.1", 40_002, "192.0.2.1", 25)),
        Reason::Unreadable,
    )
    .captured(14 + 20 + 4)
    .frame(
        "Cut inside the IPv4 header",
        data(syn("203.0.113.1", "192.0.2.1")),
        Reason::Unreadable,
    )
    .captured(20)
    .frame(
        "Cut behind the ports of a web server's segment",
        data(syn_from("203.0.113.1", 40_003, "192.0.2.1", 443)),
        Reason::NotMail,
    )
    .captured(14 + 20 + 4)
    .frame(
        "UDP, cut inside its header",
        data(v4().udp(1, 25)),
        Reason::NotMail,
    )
    .captured(14 + 20 + 2)
    .frame(
        "IPv6, cut behind its header",
        data(attempt(v6(), 1, 25)),
        Reason::Unreadable,
    )
    .captured(54)
    .frame(
        "A tiny first fragment stays one",
        attempt(v4().fragment(0, true, 1).only(0..8), 2, 25),
        Reason::TinyFragment,
    )
    .captured(40)
    .frame(
        "Cut inside the ARP packet",
        Packet::ethernet().arp(1, "10.0.0.1", "10.0.0.2"),
        Reason::LinkControl,
    )
    .captured(20)
    .frame(
        "A third whole attempt finds the window full",
        syn_from("203.0.113.1", 40_004, "192.0.2.1", 25),
        Reason::LimitExceeded,
    )
}

fn cut(packet: &Packet, octets: usize) -> Vec<u8> {
    let mut bytes = packet.build();
    bytes.truncate(octets);
    bytes
}
