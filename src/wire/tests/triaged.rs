//! What triage must decide by itself (it would be useless if it were always unsure), and what it
//! must leave alone.

use super::{build::*, *};

fn plain(frame: &[u8]) -> Segment {
    match triage(frame) {
        Triage::Mail(plain) => plain.segment(frame),
        other => panic!("expected a plain segment, got {other:?}"),
    }
}

#[test]
fn plain_attempts_are_decided_with_and_without_tags() {
    for (ethertype, packet) in [
        (0x0800, ipv4(TCP, &attempt())),
        (0x86dd, ipv6(TCP, &attempt())),
    ] {
        let mut frames = vec![padded(ether(ethertype, &packet))];
        for count in 1..=8 {
            let mut frame = ether(0x88a8, &[]);
            for level in 1..=count {
                let inner = if level == count { ethertype } else { 0x8100 };
                frame.extend(tag(0x6000 | level, inner, &[]));
            }
            frame.extend(&packet);
            frames.push(frame);
        }
        for frame in frames {
            assert_eq!(Decoded::Segment(plain(&frame)), ethernet(&frame));
        }
    }
}

#[test]
fn plain_web_name_and_echo_traffic_is_decided() {
    let bodies = [
        (TCP, tcp((443, 51_000), ACK)),
        (UDP, udp((51_000, 53), 30)),
        (1, vec![8; 40]),
        (58, vec![128; 40]),
    ];
    for (protocol, body) in bodies {
        let expected = match protocol {
            1 | 58 => Triage::Icmp(14),
            _ => Triage::NotMail,
        };
        if protocol != 58 {
            assert_eq!(triage(&ether(0x0800, &ipv4(protocol, &body))), expected);
        }
        if protocol != 1 {
            assert_eq!(triage(&ether(0x86dd, &ipv6(protocol, &body))), expected);
        }
    }
}

#[test]
fn blemished_attempts_are_left_to_the_decoder() {
    let mut packet = ipv4(TCP, &attempt());
    packet[11] ^= 1;
    assert_eq!(triage(&padded(ether(0x0800, &packet))), Triage::Unsure);
    for flags in [SYN | TcpFlags::FIN, SYN | TcpFlags::RST] {
        let packet = ipv4(TCP, &tcp((40_000, 25), flags));
        assert_eq!(triage(&padded(ether(0x0800, &packet))), Triage::Unsure);
    }
}

#[test]
fn fragments_options_extensions_and_tunnels_are_left_to_the_decoder() {
    let web = tcp((40_000, 443), ACK);
    let packets = [
        ether(
            0x0800,
            &V4 {
                fragment: 0x2000,
                ..V4::default()
            }
            .around(&web),
        ),
        ether(
            0x0800,
            &V4 {
                fragment: 0x0001,
                ..V4::default()
            }
            .around(&web),
        ),
        ether(
            0x0800,
            &V4 {
                options: vec![1; 4],
                ..V4::default()
            }
            .around(&web),
        ),
        ether(0x86dd, &ipv6(0, &extension(0, 8, TCP, &web))),
        ether(0x0800, &ipv4(UDP, &udp((40_000, 4789), 40))),
        ether(0x0800, &ipv4(47, &web)),
        ether(
            0x8864,
            &pppoe(&[&[0, 0x21], ipv4(TCP, &web).as_slice()].concat()),
        ),
    ];
    for frame in packets {
        assert_eq!(triage(&padded(frame)), Triage::Unsure);
    }
}

#[test]
fn a_plain_segment_is_small() {
    assert!(size_of::<Triage>() <= 20, "{}", size_of::<Triage>());
}

#[test]
fn whatever_length_a_plain_packet_states_triage_and_decoder_agree() {
    for ports in [(40_000, 25), (40_000, 443), (40_000, 4789)] {
        for stated in 0..100 {
            for body in [tcp_with(ports, SYN, 1, 9), udp(ports, 25)] {
                for protocol in [TCP, UDP, 1, 58] {
                    let mut packet = ipv4(protocol, &body);
                    set16(&mut packet, 2, stated);
                    sum_ipv4(&mut packet, 20);
                    check_contract(&case(Link::Ethernet, 0, &ether(0x0800, &packet)));
                    let mut packet = ipv6(protocol, &body);
                    set16(&mut packet, 4, stated);
                    check_contract(&case(Link::Ethernet, 0, &ether(0x86dd, &packet)));
                }
            }
        }
    }
}

#[test]
fn an_unreachable_message_is_read_for_the_attempt_that_it_quotes() {
    let quote = |packet: &[u8], from: IpAddr, to: IpAddr| {
        let found = |frame: Vec<u8>| match triage(&frame) {
            Triage::Icmp(at) => unreachable(&frame, at),
            _ => None,
        };
        let message = |kind| [&[kind, 1, 0, 0, 0, 0, 0, 0], packet].concat();
        let expected = Some(Quote {
            source: from,
            destination: to,
            source_port: 40_000,
            destination_port: 25,
            sequence: 0x0102_0304,
        });
        assert_eq!(found(ether(0x0800, &ipv4(1, &message(3)))), expected);
        assert_eq!(found(ether(0x86dd, &ipv6(58, &message(1)))), expected);
        assert_eq!(found(ether(0x0800, &ipv4(1, &message(8)))), None, "echo");
        assert_eq!(found(ether(0x86dd, &ipv6(58, &message(128)))), None, "echo");
        for length in 0..packet.len() {
            let cut = [&[3, 1, 0, 0, 0, 0, 0, 0], &packet[..length]].concat();
            let quoted = found(ether(0x0800, &ipv4(1, &cut)));
            assert!(quoted.is_none() || quoted == expected, "{length}");
        }
    };
    quote(&ipv4(TCP, &attempt()), CLIENT.into(), SERVER.into());
    quote(&ipv4(TCP, &attempt()[..8]), CLIENT.into(), SERVER.into());
    quote(&ipv6(TCP, &attempt()), CLIENT6.into(), SERVER6.into());
    let web = ipv4(TCP, &tcp((40_000, 443), SYN));
    let message = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &web].concat();
    let frame = ether(0x0800, &ipv4(1, &message));
    assert_eq!(unreachable(&frame, 14), None);
}
