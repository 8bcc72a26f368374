use etherparse::{
    Icmpv4Header, IpHeaders, LaxSlicedPacket, NetSlice, PacketHeaders, SlicedPacket, TcpHeader,
    TransportSlice,
};

use super::*;

#[test]
fn a_plain_syn_has_the_octets_of_the_rfcs() {
    let syn = Packet::ethernet()
        .ipv4("10.0.0.1", "192.0.2.25")
        .tcp(40_000, 25)
        .flags(2)
        .build();
    let expected: &[u8] = &[
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0xae,
        0xb6, 10, 0, 0, 1, 192, 0, 2, 25, 0x9c, 0x40, 0, 25, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0x50, 2,
        0xfa, 0xf0,
    ];
    assert_eq!(&syn[..expected.len()], expected);
    assert_eq!(syn.len(), 54);
}

#[test]
fn checksums_are_what_an_independent_crate_computes() {
    let built = Packet::ip()
        .ipv4("10.1.2.3", "192.0.2.25")
        .tcp(7, 25)
        .flags(2)
        .payload(33)
        .build();
    let (ip, rest) = IpHeaders::from_slice(&built).unwrap();
    let ipv4 = ip.ipv4().unwrap().0;
    assert_eq!(ipv4.header_checksum, ipv4.calc_header_checksum());
    let (tcp, data) = TcpHeader::from_slice(rest.payload).unwrap();
    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(ipv4, data).unwrap());

    let built = Packet::ip()
        .ipv6("2001:db8::1", "2001:db8::25")
        .udp(7, 53)
        .payload(5)
        .build();
    let sliced = SlicedPacket::from_ip(&built).unwrap();
    let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport)
    else {
        panic!("not UDP over IPv6: {built:02x?}")
    };
    let header = udp.to_header();
    assert_eq!(
        header.checksum,
        header
            .calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
            .unwrap()
    );
}

#[test]
fn icmp_and_icmpv6_checksums_cover_what_is_quoted() {
    let quote = |packet: Packet| {
        packet
            .ipv4("192.0.2.1", "10.0.0.1")
            .icmp(3, 1, 0)
            .only(0..28)
    };
    let built = quote(Packet::ip())
        .ipv4("10.0.0.1", "192.0.2.1")
        .tcp(9, 25)
        .payload(90)
        .build();
    assert_eq!(built.len(), 20 + 8 + 28);
    let (header, body) = Icmpv4Header::from_slice(&built[20..]).unwrap();
    assert_eq!(header.checksum, header.icmp_type.calc_checksum(body));

    let built = Packet::ethernet()
        .ipv6("fe80::1", "ff02::1:ff00:2")
        .neighbour_solicitation("fe80::2")
        .build();
    let parsed = PacketHeaders::from_ethernet_slice(&built).unwrap();
    let header = parsed.transport.unwrap().icmpv6().unwrap();
    assert!(
        header
            .icmp_type
            .calc_checksum(
                "fe80::1".parse::<Ipv6Addr>().unwrap().octets(),
                "ff02::1:ff00:2".parse::<Ipv6Addr>().unwrap().octets(),
                parsed.payload.slice(),
            )
            .is_ok_and(|sum| sum == header.checksum)
    );
}

#[test]
fn every_extension_header_leads_to_the_tcp_header() {
    for kind in Extension::ALL {
        for octets in (8..300).filter(|&octets| kind.fits(octets)) {
            let built = Packet::ip()
                .ipv6("2001:db8::1", "2001:db8::2")
                .extension(kind, octets)
                .tcp(40_000, 25)
                .flags(2)
                .build();
            assert_eq!(built.len(), 40 + octets + 20);
            assert_eq!(built[6], kind.protocol());
            assert_eq!(built[40], 6);
            assert_eq!(built[40 + octets..][..4], [0x9c, 0x40, 0, 25]);
        }
    }
}

#[test]
fn tags_pppoe_labels_and_snap_announce_what_follows() {
    let built = Packet::ethernet()
        .vlan(0x88a8, 100)
        .vlan(0x8100, 7)
        .pppoe(0x1234)
        .ipv4("10.0.0.1", "192.0.2.25")
        .tcp(1, 25)
        .build();
    let expected = [
        0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 0x88, 0x64, 0x11, 0, 0x12, 0x34, 0, 42, 0, 0x21, 0x45,
    ];
    assert_eq!(built[12..31], expected);

    let built = Packet::ethernet()
        .mpls(&[16, 17])
        .ipv6("::1", "::2")
        .tcp(1, 25)
        .build();
    assert_eq!(
        built[12..23],
        [0x88, 0x47, 0, 1, 0, 64, 0, 1, 0x11, 64, 0x60]
    );

    let built = Packet::ethernet()
        .snap([0; 3])
        .arp(1, "10.0.0.1", "10.0.0.2")
        .build();
    assert_eq!(built[12..22], [0, 36, 0xaa, 0xaa, 3, 0, 0, 0, 8, 6]);
    assert_eq!(built.len(), 14 + 36);
}

#[test]
fn each_link_layer_begins_as_its_specification_says() {
    let on = |link| Packet::on(link).ipv6("::1", "::2").tcp(1, 25).build();
    assert_eq!(on(Link::Ip)[0], 0x60);
    assert_eq!(on(Link::LinuxSll)[14..17], [0x86, 0xdd, 0x60]);
    let cooked = on(Link::LinuxSll2);
    assert_eq!((&cooked[..2], cooked[20]), (&[0x86, 0xdd][..], 0x60));
    assert_eq!(on(Link::Loopback)[..5], [30, 0, 0, 0, 0x60]);
    assert_eq!(on(Link::Ppp)[..5], [0xff, 3, 0, 0x57, 0x60]);
}

#[test]
fn softwires_and_tunnels_nest() {
    let built = Packet::ethernet()
        .ipv6("2001:db8:200::1", "2001:db8::a")
        .ipv4("192.0.0.2", "198.51.100.1")
        .tcp(1, 25)
        .flags(2)
        .build();
    assert_eq!((built[20], built[54]), (4, 0x45));

    let built = Packet::ethernet()
        .ipv4("10.0.0.1", "192.0.2.1")
        .udp(5, 4789)
        .vxlan(7)
        .inner_ethernet()
        .ipv4("172.16.0.1", "172.16.0.2")
        .tcp(1, 25)
        .build();
    let parsed = LaxSlicedPacket::from_ethernet(&built[14 + 20 + 8 + 8..]).unwrap();
    assert!(
        matches!(parsed.transport, Some(TransportSlice::Tcp(tcp)) if tcp.destination_port() == 25)
    );
}

#[test]
fn what_is_set_wrong_is_wrong_and_nothing_else() {
    let good = Packet::ip()
        .ipv4("10.0.0.1", "192.0.2.25")
        .tcp(1, 25)
        .flags(2);
    let length = Packet::ip()
        .ipv4("10.0.0.1", "192.0.2.25")
        .length(39)
        .tcp(1, 25)
        .flags(2);
    let (good, length) = (good.build(), length.build());
    assert_eq!((length[2], length[3], length.len()), (0, 39, good.len()));
    assert_eq!(good[20..], length[20..]);

    let bad = Packet::ip()
        .ipv4("10.0.0.1", "192.0.2.25")
        .bad_checksum()
        .tcp(1, 25)
        .flags(2);
    let differing: Vec<usize> = (0..40).filter(|&at| bad.build()[at] != good[at]).collect();
    assert_eq!(differing, [10, 11]);
}

#[test]
fn fragments_are_pieces_of_the_whole() {
    let packet = |packet: Packet| packet.tcp(1, 25).flags(2).payload(40);
    let whole = packet(Packet::ip().ipv4("10.0.0.1", "192.0.2.25")).build();
    let first = Packet::ip()
        .ipv4("10.0.0.1", "192.0.2.25")
        .fragment(0, true, 9)
        .only(0..24);
    let later = Packet::ip()
        .ipv4("10.0.0.1", "192.0.2.25")
        .fragment(3, false, 9)
        .only(24..99);
    let (first, later) = (packet(first).build(), packet(later).build());
    assert_eq!([&first[20..], &later[20..]].concat(), whole[20..]);
    assert_eq!((first[6], later[7], first[9], later[9]), (0x20, 3, 6, 6));

    let v6 = Packet::ip()
        .ipv6("::1", "::2")
        .fragment(0, true, 9)
        .only(0..8);
    let built = packet(v6).build();
    assert_eq!(
        (built[6], built[40], built[43], built.len()),
        (44, 6, 1, 56)
    );
}

#[test]
fn sctp_carries_the_check_value_of_crc_32c() {
    assert_eq!(encode::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn a_short_frame_is_padded_to_the_minimum_of_ethernet() {
    let built = Packet::ethernet()
        .ipv4("10.0.0.1", "192.0.2.25")
        .tcp(1, 25)
        .padded()
        .build();
    assert_eq!((built.len(), &built[54..]), (60, &[0; 6][..]));
}
