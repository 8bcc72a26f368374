//! IPv4 and IPv6 headers, fragments, extension headers and tunnels.

use super::{build::*, *};

fn v4(bytes: &[u8]) -> Decoded {
    ethernet(&padded(ether(0x0800, bytes)))
}

fn v6(bytes: &[u8]) -> Decoded {
    ethernet(&padded(ether(0x86dd, bytes)))
}

const MORE: u16 = 0x2000;

#[test]
fn ipv4_options_are_stepped_over_rfc_791() {
    let packet = V4 {
        options: vec![1; 40],
        ..V4::default()
    }
    .around(&attempt());
    let found = segment(v4(&packet));
    assert_eq!((found.tcp_offset, found.blemish), (14 + 60, None));
}

#[test]
fn an_ihl_below_five_or_beyond_the_packet_is_dropped_with_tcp_and_crosses_without() {
    for ihl in [0, 4, 11, 15] {
        for (protocol, expected) in [(TCP, None), (UDP, Some(Crossing::NotMail))] {
            let mut packet = ipv4(protocol, &attempt());
            packet[0] = 0x40 | ihl;
            match expected {
                None => assert_eq!(fault(v4(&packet)), Fault::BadInternetHeaderLength, "{ihl}"),
                Some(crossing) => assert_eq!(v4(&packet), crosses(crossing), "{ihl}"),
            }
        }
    }
}

#[test]
fn a_total_length_beyond_the_frame_is_dropped_with_mail_and_crosses_without() {
    let mut packet = ipv4(TCP, &attempt());
    set16(&mut packet, 2, 1500);
    assert_eq!(fault(v4(&packet)), Fault::LengthOverrun);
    set16(&mut packet, 22, 80);
    assert_eq!(v4(&packet), crosses(Crossing::NotMail));
    let mut packet = ipv6(TCP, &attempt());
    set16(&mut packet, 4, 1500);
    assert_eq!(fault(v6(&packet)), Fault::LengthOverrun);
}

#[test]
fn total_length_rules_and_what_follows_it_is_padding() {
    let mut packet = ipv4(TCP, &tcp_with((40_000, 25), SYN, 0, 30));
    set16(&mut packet, 2, 45);
    sum_ipv4(&mut packet, 20);
    assert_eq!(segment(v4(&packet)).payload_length, 5);
}

#[test]
fn a_total_length_that_ends_before_the_tcp_header_is_dropped() {
    for total in [20, 23, 24, 39] {
        let mut packet = ipv4(TCP, &attempt());
        set16(&mut packet, 2, total);
        assert_eq!(fault(v4(&packet)), Fault::TruncatedTcpHeader, "{total}");
    }
    for payload in [0, 3, 4, 19] {
        let mut packet = ipv6(TCP, &attempt());
        set16(&mut packet, 4, payload);
        assert_eq!(fault(v6(&packet)), Fault::TruncatedTcpHeader, "{payload}");
    }
}

#[test]
fn a_tiny_first_fragment_is_dropped_whatever_its_ports_rfc_3128() {
    for ports in [(40_000, 25), (40_000, 443)] {
        for kept in [0, 8, 16] {
            let packet = V4 {
                fragment: MORE,
                ..V4::default()
            }
            .around(&tcp(ports, SYN)[..kept]);
            assert_eq!(fault(v4(&packet)), Fault::TinyFragment, "{ports:?} {kept}");
        }
        let options = tcp_with(ports, SYN, 5, 0);
        let packet = V4 {
            fragment: MORE,
            ..V4::default()
        }
        .around(&options[..32]);
        assert_eq!(
            fault(v4(&packet)),
            Fault::TinyFragment,
            "the options are missing"
        );
    }
}

#[test]
fn a_first_fragment_with_the_whole_header_counts() {
    let packet = V4 {
        fragment: MORE,
        ..V4::default()
    }
    .around(&tcp_with((4000, 25), SYN, 1, 0));
    assert!(segment(v4(&packet)).flags.is_attempt());
    let other = V4 {
        fragment: MORE,
        ..V4::default()
    }
    .around(&tcp_with((4000, 80), SYN, 1, 0));
    assert_eq!(v4(&other), crosses(Crossing::NotMail));
}

#[test]
fn later_fragments_cross_and_are_never_parsed_for_ports() {
    for protocol in [TCP, UDP, 47] {
        for offset in [2, 185, 0x1fff] {
            let packet = V4 {
                fragment: MORE | offset,
                protocol,
                ..V4::default()
            };
            assert_eq!(
                v4(&packet.around(&attempt())),
                crosses(Crossing::LaterFragment)
            );
        }
    }
    let packet = ipv6(44, &fragment(2, true, TCP, &attempt()));
    assert_eq!(v6(&packet), crosses(Crossing::LaterFragment));
}

#[test]
fn a_later_fragment_crosses_whatever_lengths_it_states() {
    let mut packet = V4 {
        fragment: 100,
        ..V4::default()
    }
    .around(&attempt());
    packet[0] = 0x4f;
    set16(&mut packet, 2, 9000);
    assert_eq!(v4(&packet), crosses(Crossing::LaterFragment));
}

#[test]
fn a_tcp_fragment_at_offset_one_is_dropped_rfc_1858() {
    let packet = V4 {
        fragment: 1,
        ..V4::default()
    };
    assert_eq!(
        fault(v4(&packet.around(&attempt()))),
        Fault::FragmentAtOffsetOne
    );
    let datagram = V4 {
        fragment: 1,
        protocol: UDP,
        ..V4::default()
    };
    assert_eq!(
        v4(&datagram.around(&attempt())),
        crosses(Crossing::LaterFragment)
    );
    let packet = ipv6(44, &fragment(1, false, TCP, &attempt()));
    assert_eq!(fault(v6(&packet)), Fault::FragmentAtOffsetOne);
}

#[test]
fn an_atomic_fragment_is_a_whole_packet_rfc_6946() {
    let packet = ipv6(44, &fragment(0, false, TCP, &attempt()));
    assert_eq!(segment(v6(&packet)).tcp_offset, 14 + 40 + 8);
    let short = ipv6(44, &fragment(0, false, TCP, &attempt()[..16]));
    assert_eq!(fault(v6(&short)), Fault::TruncatedTcpHeader);
}

#[test]
fn an_ipv6_first_fragment_without_the_whole_chain_is_dropped_rfc_7112() {
    let tiny = ipv6(44, &fragment(0, true, TCP, &tcp((40_000, 443), SYN)[..16]));
    assert_eq!(fault(v6(&tiny)), Fault::IncompleteHeaderChain);
    let chain = extension(60, 16, UDP, &[]);
    let cut = ipv6(44, &fragment(0, true, 60, &chain[..8]));
    assert_eq!(fault(v6(&cut)), Fault::IncompleteHeaderChain);
    let none = ipv6(44, &fragment(0, true, 60, &[]));
    assert_eq!(fault(v6(&none)), Fault::IncompleteHeaderChain);
}

#[test]
fn an_ipv6_first_fragment_with_the_whole_chain_is_judged() {
    let chain = extension(60, 16, TCP, &tcp_with((40_000, 25), SYN, 0, 12));
    assert!(
        segment(v6(&ipv6(44, &fragment(0, true, 60, &chain))))
            .flags
            .is_attempt()
    );
    let datagram = ipv6(44, &fragment(0, true, UDP, &[]));
    assert_eq!(v6(&datagram), crosses(Crossing::NotMail));
}

#[test]
fn every_ipv6_extension_header_is_stepped_over_rfc_8200() {
    for kind in [0, 43, 60, 135, 139, 140] {
        for length in [8, 16, 264, 2048] {
            let packet = ipv6(kind, &extension(kind, length, TCP, &attempt()));
            let found = segment(v6(&packet));
            assert_eq!(usize::from(found.tcp_offset), 54 + length, "{kind}");
        }
    }
}

#[test]
fn authentication_headers_count_four_octet_units_in_ipv6_and_ipv4_rfc_4302() {
    for length in [12, 24, 28] {
        let chain = extension(51, length, TCP, &attempt());
        assert_eq!(
            usize::from(segment(v6(&ipv6(51, &chain))).tcp_offset),
            54 + length
        );
        assert_eq!(
            usize::from(segment(v4(&ipv4(51, &chain))).tcp_offset),
            34 + length
        );
    }
}

#[test]
fn extension_headers_of_ipv6_are_none_in_ipv4() {
    for kind in [0, 43, 44, 60] {
        let packet = ipv4(kind, &extension(kind, 8, TCP, &attempt()));
        assert_eq!(v4(&packet), crosses(Crossing::NotMail), "{kind}");
    }
}

#[test]
fn eight_extension_headers_are_stepped_over_and_a_ninth_is_dropped() {
    let chained = |count: usize| {
        let mut body = extension(60, 8, TCP, &attempt());
        for _ in 1..count {
            body = extension(60, 8, 60, &body);
        }
        v6(&ipv6(60, &body))
    };
    assert_eq!(segment(chained(8)).tcp_offset, 54 + 64);
    assert_eq!(fault(chained(9)), Fault::TooManyExtensions);
}

#[test]
fn an_extension_header_that_ends_beyond_the_packet_is_dropped() {
    for kind in [0, 51, 60] {
        let mut packet = ipv6(kind, &extension(kind, 16, TCP, &attempt()));
        packet[41] = 200;
        assert_eq!(fault(v6(&packet)), Fault::ExtensionOverrun, "{kind}");
    }
    assert_eq!(fault(v6(&ipv6(60, &[]))), Fault::ExtensionOverrun);
    let mut packet = ipv4(51, &extension(51, 12, TCP, &attempt()));
    packet[21] = 200;
    assert_eq!(fault(v4(&packet)), Fault::ExtensionOverrun);
}

#[test]
fn esp_crosses_as_a_tunnel_and_no_next_header_as_not_mail() {
    assert_eq!(
        v6(&ipv6(0, &extension(0, 8, 50, &attempt()))),
        crosses(Crossing::Tunnel)
    );
    assert_eq!(
        v6(&ipv6(0, &extension(0, 8, 59, &attempt()))),
        crosses(Crossing::NotMail)
    );
    assert_eq!(v6(&ipv6(59, &attempt())), crosses(Crossing::NotMail));
}

#[test]
fn non_tcp_is_never_dropped_whatever_lengths_it_states() {
    for protocol in [1, 2, UDP, 33, 58, 89, 132, 136] {
        for total in [0, 10, 20, 21, 60_000] {
            let mut packet = ipv4(protocol, &attempt());
            set16(&mut packet, 2, total);
            assert_eq!(
                v4(&packet),
                crosses(Crossing::NotMail),
                "IPv4 {protocol} {total}"
            );
            let mut packet = ipv6(protocol, &attempt());
            set16(&mut packet, 4, total);
            assert_eq!(
                v6(&packet),
                crosses(Crossing::NotMail),
                "IPv6 {protocol} {total}"
            );
        }
    }
}

#[test]
fn icmp_errors_that_quote_an_attempt_cross() {
    let quoted = ipv4(TCP, &attempt());
    let error = [&[3, 1, 0, 0, 0, 0, 0, 0], quoted.as_slice()].concat();
    assert_eq!(v4(&ipv4(1, &error)), crosses(Crossing::NotMail));
    assert_eq!(v6(&ipv6(58, &error)), crosses(Crossing::NotMail));
}

#[test]
fn udp_and_sctp_to_port_25_cross() {
    assert_eq!(
        v4(&ipv4(UDP, &udp((40_000, 25), 4))),
        crosses(Crossing::NotMail)
    );
    assert_eq!(v6(&ipv6(132, &attempt())), crosses(Crossing::NotMail));
}

#[test]
fn tunnels_that_are_not_the_providers_cross_unopened() {
    let inside = ipv4(TCP, &attempt());
    for protocol in [4, 41, 47, 50, 97, 115, 137] {
        assert_eq!(
            v4(&ipv4(protocol, &inside)),
            crosses(Crossing::Tunnel),
            "{protocol}"
        );
        assert_eq!(
            v6(&ipv6(protocol, &inside)),
            crosses(Crossing::Tunnel),
            "{protocol}"
        );
    }
    for port in [1701, 2123, 2152, 3544, 4754, 4755, 4789, 6081] {
        assert_eq!(
            v4(&ipv4(UDP, &udp((40_000, port), 9))),
            crosses(Crossing::Tunnel),
            "{port}"
        );
        assert_eq!(
            v6(&ipv6(UDP, &udp((port, 40_000), 9))),
            crosses(Crossing::Tunnel),
            "{port}"
        );
    }
}

fn ds_lite(inner: &[u8]) -> Vec<u8> {
    ipv6_between(CLIENT6, AFTR.parse().expect("IPv6"), 4, inner)
}

fn in_6in4(inner: &[u8]) -> Vec<u8> {
    let destination = RELAY_6IN4.parse().expect("IPv4");
    V4 {
        destination,
        protocol: 41,
        ..V4::default()
    }
    .around(inner)
}

#[test]
fn ds_lite_is_looked_into_and_charged_to_the_outer_subscriber_rfc_6333() {
    let inner = V4 {
        source: [192, 0, 0, 2].into(),
        ..V4::default()
    }
    .around(&attempt());
    let found = segment(v6(&ds_lite(&inner)));
    assert_eq!(found.source, ip("192.0.0.2"));
    assert_eq!(found.charged(), IpAddr::V6(CLIENT6));
    assert_eq!(found.softwire.map(|outer| outer.network_offset), Some(14));
    assert_eq!(found.network_offset, 54);
}

#[test]
fn a_softwire_from_the_concentrator_is_looked_into_as_well() {
    let inner = ipv6(TCP, &tcp((25, 40_000), SYN | ACK));
    let source = RELAY_6IN4.parse().expect("IPv4");
    let packet = V4 {
        source,
        protocol: 41,
        ..V4::default()
    }
    .around(&inner);
    assert_eq!(segment(v4(&packet)).source_port, 25);
}

#[test]
fn softwires_are_looked_into_one_level_deep() {
    let inner = in_6in4(&ipv6(TCP, &attempt()));
    assert_eq!(v6(&ds_lite(&inner)), crosses(Crossing::Tunnel));
}

#[test]
fn faults_inside_a_softwire_name_the_outer_endpoints() {
    let mut inner = ipv4(TCP, &attempt());
    inner[32] = 0x40;
    let evasion = Evasion {
        fault: Fault::BadDataOffset,
        endpoints: Some((IpAddr::V6(CLIENT6), ip(AFTR))),
    };
    assert_eq!(v6(&ds_lite(&inner)), Decoded::Evasion(evasion));
    assert_eq!(
        fault(v4(&in_6in4(&ipv4(TCP, &attempt())))),
        Fault::VersionMismatch
    );
    let tiny = V4 {
        fragment: MORE,
        ..V4::default()
    }
    .around(&attempt()[..16]);
    assert_eq!(fault(v6(&ds_lite(&tiny))), Fault::TinyFragment);
    let mut overrun = ipv4(TCP, &attempt());
    set16(&mut overrun, 2, 1000);
    assert_eq!(fault(v6(&ds_lite(&overrun))), Fault::LengthOverrun);
}

#[test]
fn the_first_fragment_of_a_softwire_is_judged_by_what_is_there() {
    let inner = ipv4(TCP, &tcp_with((40_000, 25), SYN, 0, 100));
    let destination = AFTR.parse().expect("IPv6");
    let outer = |kept: usize| {
        ipv6_between(
            CLIENT6,
            destination,
            44,
            &fragment(0, true, 4, &inner[..kept]),
        )
    };
    assert_eq!(segment(v6(&outer(48))).payload_length, 100);
    assert_eq!(fault(v6(&outer(32))), Fault::IncompleteHeaderChain);
    assert_eq!(fault(v6(&outer(16))), Fault::IncompleteHeaderChain);
}

#[test]
fn a_frame_that_ends_before_its_ip_header_is_dropped_unless_it_shows_another_protocol() {
    let tcp = ipv4(TCP, &attempt());
    let udp = ipv4(UDP, &udp((1, 2), 0));
    for kept in [0, 1, 9, 10, 19] {
        let frame = ether(0x0800, &tcp[..kept]);
        assert_eq!(fault(ethernet(&frame)), Fault::TruncatedHeader, "{kept}");
    }
    for kept in 10..20 {
        assert_eq!(
            ethernet(&ether(0x0800, &udp[..kept])),
            crosses(Crossing::NotMail)
        );
    }
    let udp = ipv6(UDP, &[]);
    assert_eq!(
        ethernet(&ether(0x86dd, &udp[..7])),
        crosses(Crossing::NotMail)
    );
    assert_eq!(
        fault(ethernet(&ether(0x86dd, &udp[..6]))),
        Fault::TruncatedHeader
    );
}

#[test]
fn a_frame_that_ends_before_its_link_header_is_dropped() {
    for link in [
        Link::Ethernet,
        Link::Ip,
        Link::LinuxSll,
        Link::LinuxSll2,
        Link::Loopback,
    ] {
        assert_eq!(fault(whole(link, &[])), Fault::TruncatedHeader);
        assert_eq!(cut(link, &[], 60), Decoded::Unreadable);
    }
}

#[test]
fn a_capture_cut_short_is_unreadable_and_never_malformed() {
    let frame = ether(0x0800, &ipv4(TCP, &tcp_with((40_000, 25), SYN, 5, 40)));
    for kept in 0..frame.len() {
        let decoded = cut(Link::Ethernet, &frame[..kept], frame.len());
        // All that is judged ends with the TCP flags.
        if kept < 14 + 20 + 14 {
            assert_eq!(decoded, Decoded::Unreadable, "{kept}");
        } else {
            assert_eq!(decoded, ethernet(&frame), "{kept}");
        }
    }
}

#[test]
fn a_capture_cut_short_shows_other_protocols_and_ports_as_soon_as_they_are_there() {
    let datagram = ether(0x0800, &ipv4(UDP, &udp((1000, 2000), 40)));
    for kept in 24..datagram.len() {
        let decoded = cut(Link::Ethernet, &datagram[..kept], datagram.len());
        assert_eq!(decoded, crosses(Crossing::NotMail), "{kept}");
    }
    let web = ether(0x0800, &ipv4(TCP, &tcp((40_000, 443), SYN)));
    for kept in 38..web.len() {
        let decoded = cut(Link::Ethernet, &web[..kept], web.len());
        assert_eq!(decoded, crosses(Crossing::NotMail), "{kept}");
    }
}

#[test]
fn a_cut_first_fragment_is_unreadable_until_its_data_offset_shows() {
    let whole = V4 {
        fragment: MORE,
        ..V4::default()
    }
    .around(&tcp_with((4000, 80), SYN, 5, 0));
    let frame = ether(0x0800, &whole);
    assert_eq!(
        cut(Link::Ethernet, &frame[..46], frame.len()),
        Decoded::Unreadable
    );
    assert_eq!(
        cut(Link::Ethernet, &frame[..47], frame.len()),
        crosses(Crossing::NotMail)
    );
    // With room for any header, the ports suffice.
    let roomy = V4 {
        fragment: MORE,
        ..V4::default()
    }
    .around(&tcp_with((4000, 80), SYN, 5, 40));
    let frame = ether(0x0800, &roomy);
    assert_eq!(
        cut(Link::Ethernet, &frame[..38], frame.len()),
        crosses(Crossing::NotMail)
    );
}
