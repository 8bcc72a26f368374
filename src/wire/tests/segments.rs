//! TCP headers: what is an attempt, what blemishes it, what cannot be one.

use super::{build::*, *};

fn v4(flags: u16) -> Segment {
    segment(ethernet(&padded(ether(
        0x0800,
        &ipv4(TCP, &tcp((40_000, 25), flags)),
    ))))
}

#[test]
fn a_segment_is_told_by_a_mail_port_at_either_end() {
    for port in [25, 465, 587] {
        for ports in [(40_000, port), (port, 40_000)] {
            let frame = ether(0x0800, &ipv4(TCP, &tcp(ports, SYN)));
            let found = segment(ethernet(&frame));
            assert_eq!((found.source_port, found.destination_port), ports);
        }
    }
    for port in [24, 26, 464, 466, 586, 588, 6400, 0x1900] {
        let frame = ether(0x0800, &ipv4(TCP, &tcp((40_000, port), SYN)));
        assert_eq!(ethernet(&frame), crosses(Crossing::NotMail), "{port}");
    }
}

#[test]
fn every_field_of_a_segment_is_read_where_it_stands() {
    let packet = ipv6(TCP, &tcp_with((40_000, 587), SYN, 3, 7));
    let expected = Segment {
        source: CLIENT6.into(),
        destination: SERVER6.into(),
        source_port: 40_000,
        destination_port: 587,
        sequence: 0x0102_0304,
        acknowledgement: 0x0a0b_0c0d,
        flags: TcpFlags(SYN),
        vlans: Vlans::default(),
        network_offset: 14,
        tcp_offset: 54,
        payload_length: 7,
        softwire: None,
        blemish: None,
    };
    assert_eq!(
        ethernet(&ether(0x86dd, &packet)),
        Decoded::Segment(expected)
    );
}

#[test]
fn a_syn_with_push_urgent_ecn_or_accecn_bits_is_an_ordinary_attempt_rfc_3168_9768() {
    for extra in [0x008, 0x020, 0x040, 0x080, 0x0c0, 0x100, 0x1c0, 0x1e8] {
        let found = v4(SYN | extra);
        assert!(found.flags.is_attempt(), "{extra:#x}");
        assert_eq!(
            (found.flags.0, found.blemish),
            (SYN | extra, None),
            "{extra:#x}"
        );
    }
}

#[test]
fn a_syn_with_data_is_an_attempt_and_its_data_is_counted_rfc_7413() {
    let packet = ipv4(TCP, &tcp_with((40_000, 25), SYN, 4, 500));
    let found = segment(ethernet(&ether(0x0800, &packet)));
    assert!(found.flags.is_attempt());
    assert_eq!(found.payload_length, 500);
}

#[test]
fn replies_resets_null_and_christmas_tree_segments_are_no_attempts() {
    for flags in [SYN | ACK, ACK, 0x01, 0x04, 0x14, 0x00, 0x29, 0x11] {
        let found = v4(flags);
        assert!(!found.flags.is_attempt(), "{flags:#x}");
        assert_eq!(found.blemish, None, "{flags:#x}");
    }
}

#[test]
fn syn_with_fin_or_rst_blemishes_an_attempt() {
    assert_eq!(v4(SYN | TcpFlags::FIN).blemish, Some(Blemish::SynFin));
    assert_eq!(v4(SYN | TcpFlags::RST).blemish, Some(Blemish::SynRst));
    assert_eq!(v4(SYN | ACK | TcpFlags::FIN).blemish, None);
}

#[test]
fn a_wrong_ipv4_header_checksum_blemishes_an_attempt_and_nothing_else() {
    for (flags, blemish) in [
        (SYN, Some(Blemish::BadIpv4Checksum)),
        (SYN | TcpFlags::FIN, Some(Blemish::BadIpv4Checksum)),
        (ACK, None),
    ] {
        let mut packet = ipv4(TCP, &tcp((40_000, 25), flags));
        packet[10] ^= 0x40;
        assert_eq!(
            segment(ethernet(&padded(ether(0x0800, &packet)))).blemish,
            blemish
        );
    }
}

#[test]
fn a_wrong_tcp_checksum_changes_nothing() {
    let mut packet = ipv4(TCP, &attempt());
    let before = ethernet(&ether(0x0800, &packet));
    set16(&mut packet, 36, 0xbeef);
    assert_eq!(ethernet(&ether(0x0800, &packet)), before);
}

#[test]
fn loose_and_strict_source_routes_blemish_an_attempt_rfc_7126() {
    for kind in [131, 137] {
        for lead in [&[][..], &[1], &[7, 3, 4]] {
            let mut options = lead.to_vec();
            options.extend([kind, 7, 4, 192, 0, 2, 1]);
            options.resize(options.len().next_multiple_of(4), 0);
            let packet = V4 {
                options,
                ..V4::default()
            }
            .around(&attempt());
            let found = segment(ethernet(&ether(0x0800, &packet)));
            assert_eq!(
                found.blemish,
                Some(Blemish::SourceRoute),
                "{kind} behind {lead:?}"
            );
        }
    }
}

#[test]
fn a_source_route_behind_the_end_of_the_options_or_inside_another_is_none() {
    for options in [
        [0, 131, 3, 4],
        [7, 4, 131, 0],
        [131 ^ 0x80, 4, 137, 4],
        [7, 0, 131, 3],
    ] {
        let packet = V4 {
            options: options.to_vec(),
            ..V4::default()
        }
        .around(&attempt());
        assert_eq!(
            segment(ethernet(&ether(0x0800, &packet))).blemish,
            None,
            "{options:?}"
        );
    }
}

#[test]
fn an_ipv6_routing_header_with_segments_left_blemishes_an_attempt_rfc_5095() {
    for (left, blemish) in [(0, None), (1, Some(Blemish::SourceRoute))] {
        let mut packet = ipv6(43, &extension(43, 24, TCP, &attempt()));
        packet[43] = left;
        assert_eq!(segment(ethernet(&ether(0x86dd, &packet))).blemish, blemish);
    }
}

#[test]
fn a_data_offset_below_five_or_beyond_the_packet_is_dropped_with_mail_only() {
    for words in [0, 4, 6, 15] {
        let mut packet = ipv4(TCP, &attempt());
        packet[32] = words << 4;
        let frame = padded(ether(0x0800, &packet));
        assert_eq!(fault(ethernet(&frame)), Fault::BadDataOffset, "{words}");
        set16(&mut packet, 22, 443);
        let frame = padded(ether(0x0800, &packet));
        assert_eq!(ethernet(&frame), crosses(Crossing::NotMail), "{words}");
    }
}

#[test]
fn an_explanation_tells_every_layer_and_ends_with_the_decision() {
    let inner = V4 {
        source: [192, 0, 0, 2].into(),
        ..V4::default()
    }
    .around(&attempt());
    let aftr = AFTR.parse().expect("IPv6");
    let softwire = ipv6_between(CLIENT6, aftr, 60, &extension(60, 8, 4, &inner));
    let session = pppoe(&[&[0x00, 0x57], softwire.as_slice()].concat());
    let frame = ether(0x8100, &tag(66, 0x8864, &session));
    let told = layers(&frame, frame.len() as u32, Link::Ethernet, &is_concentrator);
    let names: Vec<_> = told
        .iter()
        .map(|layer| (layer.offset, layer.name))
        .collect();
    assert_eq!(
        names,
        [
            (0, "Ethernet"),
            (14, "VLAN tag"),
            (18, "PPPoE"),
            (24, "PPP"),
            (26, "IPv6"),
            (66, "destination options"),
            (74, "IPv4"),
            (94, "TCP"),
            (94, "decision"),
        ]
    );
    assert!(told[1].detail.contains("VID 66"), "{}", told[1].detail);
    assert!(
        told[7].detail.contains("40000 → 25, SYN"),
        "{}",
        told[7].detail
    );
    assert!(
        told[8].detail.contains("SMTP attempt"),
        "{}",
        told[8].detail
    );
    assert!(
        told[8].detail.contains(&CLIENT6.to_string()),
        "{}",
        told[8].detail
    );
}
