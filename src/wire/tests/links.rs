//! Link layers, tags, sessions and labels.

use super::{build::*, *};

/// A plain attempt in IPv4.
fn packet() -> Vec<u8> {
    ipv4(TCP, &attempt())
}

#[test]
fn vlan_identifiers_are_kept_outermost_first_without_their_priority_bits() {
    let inner = tag(0x2007, 0x0800, &packet());
    let frame = ether(0x88a8, &tag(0xe042, 0x8100, &inner));
    let found = segment(ethernet(&frame));
    assert_eq!(found.vlans.as_slice(), [0x042, 7]);
    assert_eq!((found.network_offset, found.tcp_offset), (22, 42));
}

#[test]
fn eight_tags_are_looked_through_and_a_ninth_is_dropped() {
    let tagged = |count: usize| {
        let mut frame = ether(0x9100, &[]);
        for level in 1..=count {
            let ethertype = if level == count { 0x0800 } else { 0x8100 };
            frame.extend(tag(level as u16, ethertype, &[]));
        }
        frame.extend(packet());
        ethernet(&frame)
    };
    assert_eq!(
        segment(tagged(8)).vlans.as_slice(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(fault(tagged(9)), Fault::TooManyTags);
}

#[test]
fn ip_in_802_3_with_snap_is_judged_like_any_other_rfc_1042() {
    let body = snap(0x0800, &packet());
    let frame = padded(ether(body.len() as u16, &body));
    assert_eq!(segment(ethernet(&frame)).tcp_offset, 14 + 8 + 20);
    let tagged = ether(0x8100, &tag(5, body.len() as u16, &body));
    assert_eq!(segment(ethernet(&tagged)).vlans.as_slice(), [5]);
}

#[test]
fn an_802_3_length_that_ends_inside_the_packet_is_an_overrun() {
    let body = snap(0x0800, &packet());
    let frame = ether(body.len() as u16 - 1, &body);
    assert_eq!(fault(ethernet(&frame)), Fault::LengthOverrun);
}

#[test]
fn spanning_tree_and_is_is_cross_as_link_control_whatever_length_they_state() {
    for sap in [0x42, 0xfe] {
        let frame = padded(ether(1400, &[sap, sap, 3, 0, 0, 0]));
        assert_eq!(ethernet(&frame), crosses(Crossing::LinkControl));
    }
}

#[test]
fn other_llc_and_other_snap_cross_as_unknown() {
    for llc in [
        [0xe0, 0xe0, 3, 0, 0, 0, 8, 0],
        [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0],
    ] {
        let frame = padded(ether(46, &llc));
        assert_eq!(ethernet(&frame), crosses(Crossing::UnknownProtocol));
    }
}

#[test]
fn link_control_crosses_whatever_it_holds() {
    for ethertype in [0x0806, 0x8035, 0x8809, 0x8863, 0x888e, 0x88cc, 0x8902] {
        let frame = ether(0x8100, &tag(9, ethertype, &packet()));
        assert_eq!(
            ethernet(&frame),
            crosses(Crossing::LinkControl),
            "{ethertype:#06x}"
        );
    }
}

#[test]
fn unknown_ethertypes_cross() {
    for ethertype in [0x0842, 0x88e5, 0x88e7, 0x6558, 0xffff] {
        assert_eq!(
            ethernet(&ether(ethertype, &packet())),
            crosses(Crossing::UnknownProtocol),
            "{ethertype:#06x}"
        );
    }
}

#[test]
fn pppoe_sessions_are_looked_into_also_with_a_compressed_protocol_field_rfc_2516() {
    let plain = [&[0x00, 0x21], packet().as_slice()].concat();
    assert_eq!(
        segment(ethernet(&ether(0x8864, &pppoe(&plain)))).network_offset,
        22
    );
    let compressed = [&[0x21], packet().as_slice()].concat();
    assert_eq!(
        segment(ethernet(&ether(0x8864, &pppoe(&compressed)))).network_offset,
        21
    );
    let ipv6 = [&[0x00, 0x57], ipv6(TCP, &attempt()).as_slice()].concat();
    let tagged = ether(0x8100, &tag(7, 0x8864, &pppoe(&ipv6)));
    assert_eq!(segment(ethernet(&tagged)).source, IpAddr::V6(CLIENT6));
}

#[test]
fn ppp_control_crosses_and_other_ppp_is_unknown_rfc_1661() {
    for (protocol, crossing) in [
        ([0xc0, 0x21], Crossing::LinkControl),     // LCP
        ([0x80, 0x21], Crossing::LinkControl),     // IPCP
        ([0x00, 0xfd], Crossing::UnknownProtocol), // compressed datagram
    ] {
        let session = pppoe(&[&protocol, packet().as_slice()].concat());
        assert_eq!(
            ethernet(&ether(0x8864, &session)),
            crosses(crossing),
            "{protocol:02x?}"
        );
    }
}

#[test]
fn a_pppoe_length_beyond_the_frame_is_dropped_with_mail_in_it() {
    let mut frame = ether(
        0x8864,
        &pppoe(&[&[0x00, 0x21], packet().as_slice()].concat()),
    );
    set16(&mut frame, 18, 1000);
    assert_eq!(fault(ethernet(&frame)), Fault::PppoeLengthOverrun);
    set16(&mut frame, 42, 1000); // both ports in plain sight, neither mail's
    set16(&mut frame, 44, 80);
    assert_eq!(ethernet(&frame), crosses(Crossing::NotMail));
}

#[test]
fn a_pppoe_length_beyond_the_frame_crosses_with_ppp_control_in_it() {
    let mut frame = ether(0x8864, &pppoe(&[0xc0, 0x21, 1, 1, 0, 4]));
    set16(&mut frame, 18, 1000);
    assert_eq!(ethernet(&frame), crosses(Crossing::LinkControl));
}

#[test]
fn a_pppoe_session_ends_where_its_length_says() {
    let mut frame = ether(
        0x8864,
        &pppoe(&[&[0x00, 0x21], packet().as_slice()].concat()),
    );
    let length = u16::from_be_bytes([frame[18], frame[19]]);
    set16(&mut frame, 18, length - 10);
    assert_eq!(fault(ethernet(&frame)), Fault::LengthOverrun);
    set16(&mut frame, 18, length);
    frame.extend([0; 20]);
    assert_eq!(segment(ethernet(&frame)).payload_length, 0);
}

#[test]
fn label_stacks_are_looked_through_up_to_the_bound_rfc_3032() {
    for ethertype in [0x8847, 0x8848] {
        let frame = ether(ethertype, &label(false, &label(true, &packet())));
        assert_eq!(segment(ethernet(&frame)).network_offset, 22);
    }
    let deep = |count: usize| {
        let mut body = label(true, &ipv6(TCP, &attempt()));
        for _ in 1..count {
            body = label(false, &body);
        }
        ethernet(&ether(0x8847, &body))
    };
    assert_eq!(segment(deep(8)).network_offset, 14 + 32);
    assert_eq!(fault(deep(9)), Fault::TooManyTags);
}

#[test]
fn tags_and_labels_are_bounded_apart() {
    let mut frame = ether(0x8100, &[]);
    for level in 1..=8 {
        frame.extend(tag(level, if level == 8 { 0x8847 } else { 0x8100 }, &[]));
    }
    frame.extend(label(false, &label(true, &packet())));
    assert_eq!(segment(ethernet(&frame)).vlans.as_slice().len(), 8);
}

#[test]
fn a_pseudowire_behind_labels_crosses_rfc_4385() {
    let frame = ether(
        0x8847,
        &label(true, &[&[0, 0, 0, 0], packet().as_slice()].concat()),
    );
    assert_eq!(ethernet(&frame), crosses(Crossing::UnknownProtocol));
}

#[test]
fn an_announced_version_that_the_packet_does_not_have_is_dropped() {
    let pairs = [
        (0x0800, ipv6(TCP, &attempt())),
        (0x86dd, packet()),
        (0x0800, vec![0; 46]),
    ];
    for (ethertype, body) in pairs {
        assert_eq!(
            fault(ethernet(&ether(ethertype, &body))),
            Fault::VersionMismatch
        );
    }
    let ppp = [&[0x00, 0x57], packet().as_slice()].concat();
    assert_eq!(
        fault(ethernet(&ether(0x8864, &pppoe(&ppp)))),
        Fault::VersionMismatch
    );
}

#[test]
fn raw_ip_is_told_by_its_version() {
    assert_eq!(segment(whole(Link::Ip, &packet())).network_offset, 0);
    assert_eq!(
        segment(whole(Link::Ip, &ipv6(TCP, &attempt()))).tcp_offset,
        40
    );
    assert_eq!(
        whole(Link::Ip, &[0x50; 40]),
        crosses(Crossing::UnknownProtocol)
    );
}

#[test]
fn cooked_captures_are_judged_by_their_protocol_field_also_behind_tags() {
    let sll = |protocol: u16, body: &[u8]| {
        let mut frame = vec![0; 14];
        frame.extend(protocol.to_be_bytes());
        frame.extend(body);
        whole(Link::LinuxSll, &frame)
    };
    assert_eq!(segment(sll(0x0800, &packet())).network_offset, 16);
    assert_eq!(
        segment(sll(0x8100, &tag(66, 0x0800, &packet())))
            .vlans
            .as_slice(),
        [66]
    );
    assert_eq!(sll(4, &[0x42, 0x42, 3, 0]), crosses(Crossing::LinkControl));
    assert_eq!(sll(1, &packet()), crosses(Crossing::UnknownProtocol));
    assert_eq!(sll(0x0806, &packet()), crosses(Crossing::LinkControl));

    let mut v2 = vec![0x86, 0xdd];
    v2.extend([0; 18]);
    v2.extend(ipv6(TCP, &attempt()));
    assert_eq!(segment(whole(Link::LinuxSll2, &v2)).network_offset, 20);
}

#[test]
fn loopback_captures_are_read_in_either_byte_order() {
    for (family, body) in [(2_u32, packet()), (24, ipv6(TCP, &attempt()))] {
        for header in [family.to_be_bytes(), family.to_le_bytes()] {
            let frame = [&header, body.as_slice()].concat();
            assert_eq!(segment(whole(Link::Loopback, &frame)).network_offset, 4);
        }
    }
    for family in [10_u32, 28, 30] {
        let frame = [&family.to_le_bytes(), ipv6(TCP, &attempt()).as_slice()].concat();
        assert_eq!(segment(whole(Link::Loopback, &frame)).tcp_offset, 44);
    }
    assert_eq!(
        whole(Link::Loopback, &[7, 0, 0, 0, 0x45]),
        crosses(Crossing::UnknownProtocol)
    );
}

#[test]
fn ppp_captures_come_with_and_without_hdlc_framing() {
    for head in [
        &[0xff, 0x03, 0x00, 0x21][..],
        &[0x00, 0x21],
        &[0xff, 0x03, 0x21],
        &[0x21],
    ] {
        let frame = [head, packet().as_slice()].concat();
        let found = segment(whole(Link::Ppp, &frame));
        assert_eq!(usize::from(found.network_offset), head.len());
    }
    assert_eq!(
        whole(Link::Ppp, &[0xc0, 0x21, 1, 1]),
        crosses(Crossing::LinkControl)
    );
}

#[test]
fn endpoints_are_those_of_the_outermost_header() {
    let inner = ipv4(TCP, &attempt());
    let softwire = ipv6_between(CLIENT6, SERVER6, 4, &inner);
    let outer = Some((IpAddr::V6(CLIENT6), IpAddr::V6(SERVER6)));
    assert_eq!(endpoints(&softwire, Link::Ip), outer);
    let tagged = ether(0x8100, &tag(3, 0x86dd, &softwire));
    assert_eq!(endpoints(&tagged, Link::Ethernet), outer);
    assert_eq!(
        endpoints(&inner, Link::Ip),
        Some((CLIENT.into(), SERVER.into()))
    );
    assert_eq!(endpoints(&ether(0x0806, &inner), Link::Ethernet), None);
    assert_eq!(endpoints(&ether(0x0800, &softwire), Link::Ethernet), None);
    assert_eq!(endpoints(&inner[..19], Link::Ip), None);
}
