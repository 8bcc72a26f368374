//! Resets, as the client's kernel sees them: read back by etherparse and by our own decoder.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};
use proptest::prelude::*;

use super::{build::*, stacks::stack, *};

/// Builds the reset to what is in a frame.
fn reset(link: Link, frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0xee; 4096];
    let length = build_reset(frame, link, &segment(whole(link, frame)), &mut out)?;
    Some(out[..length].to_vec())
}

/// Checks checksums, lengths and hop limits with etherparse, from the IP header at `at` on; the
/// TCP header found.
fn sane_packet(packet: &[u8]) -> (Vec<u8>, u32, u32) {
    let tcp = if packet[0] >> 4 == 4 {
        let ip = Ipv4HeaderSlice::from_slice(packet).expect("an IPv4 header");
        assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
        assert_eq!((ip.ttl(), ip.total_len(), ip.slice().len()), (64, 40, 20));
        assert!(ip.dont_fragment() && !ip.is_fragmenting_payload());
        let tcp = TcpHeaderSlice::from_slice(&packet[20..40]).expect("a TCP header");
        assert_eq!(Ok(tcp.checksum()), tcp.calc_checksum_ipv4(&ip, &[]));
        tcp
    } else {
        let ip = Ipv6HeaderSlice::from_slice(packet).expect("an IPv6 header");
        assert_eq!(
            (ip.hop_limit(), ip.payload_length(), ip.next_header().0),
            (64, 20, TCP)
        );
        let tcp = TcpHeaderSlice::from_slice(&packet[40..60]).expect("a TCP header");
        assert_eq!(Ok(tcp.checksum()), tcp.calc_checksum_ipv6(&ip, &[]));
        tcp
    };
    (
        tcp.slice().to_vec(),
        tcp.sequence_number(),
        tcp.acknowledgment_number(),
    )
}

#[test]
fn an_attempt_is_answered_with_rst_and_ack_of_all_it_occupies_rfc_9293() {
    for data in [0, 1, 700] {
        let frame = padded(ether(
            0x0800,
            &ipv4(TCP, &tcp_with((40_000, 25), SYN, 2, data)),
        ));
        let answer = reset(Link::Ethernet, &frame).expect("a reset");
        assert_eq!(answer.len(), 60, "padded to the Ethernet minimum");
        assert_eq!((&answer[..6], &answer[6..12]), (&MACS[6..], &MACS[..6]));
        let (tcp, sequence, acknowledged) = sane_packet(&answer[14..]);
        assert_eq!(tcp[13], 0x14);
        assert_eq!((sequence, acknowledged), (0, 0x0102_0304 + data as u32 + 1));
    }
}

#[test]
fn fin_occupies_sequence_space_too_and_the_number_wraps() {
    let mut packet = ipv4(TCP, &tcp((40_000, 25), SYN | TcpFlags::FIN));
    packet[24..28].fill(0xff);
    let answer = reset(Link::Ip, &packet).expect("a reset");
    assert_eq!(sane_packet(&answer).2, 1);
}

#[test]
fn a_segment_with_ack_is_answered_with_the_sequence_number_it_expects_rfc_9293() {
    let answer = reset(Link::Ip, &ipv6(TCP, &tcp((40_000, 25), ACK))).expect("a reset");
    let (tcp, sequence, acknowledged) = sane_packet(&answer);
    assert_eq!((tcp[13], sequence, acknowledged), (0x04, 0x0a0b_0c0d, 0));
}

#[test]
fn a_reset_is_never_answered() {
    for flags in [0x04, 0x14, 0x06] {
        assert_eq!(reset(Link::Ip, &ipv4(TCP, &tcp((40_000, 25), flags))), None);
    }
}

#[test]
fn group_addresses_are_never_answered_rfc_9293() {
    for destination in [[224, 0, 0, 5], [255, 255, 255, 255], [0, 0, 0, 0]] {
        let to = V4 {
            destination: destination.into(),
            ..V4::default()
        }
        .around(&attempt());
        assert_eq!(reset(Link::Ip, &to), None);
        let from = V4 {
            source: destination.into(),
            ..V4::default()
        }
        .around(&attempt());
        assert_eq!(reset(Link::Ip, &from), None);
    }
    let mut frame = ether(0x0800, &ipv4(TCP, &attempt()));
    frame[..6].fill(0xff);
    assert_eq!(reset(Link::Ethernet, &frame), None);
}

#[test]
fn lengths_of_pppoe_and_802_3_fit_the_reset() {
    let body = [
        &[0x00, 0x21],
        ipv4(TCP, &tcp_with((40_000, 25), SYN, 5, 90)).as_slice(),
    ]
    .concat();
    let frame = ether(0x8100, &tag(7, 0x8864, &pppoe(&body)));
    let answer = reset(Link::Ethernet, &frame).expect("a reset");
    assert_eq!(answer[12..22], frame[12..22]);
    assert_eq!(answer[22..24], 42_u16.to_be_bytes());

    let body = snap(0x86dd, &ipv6(TCP, &tcp_with((40_000, 25), SYN, 5, 90)));
    let frame = ether(body.len() as u16, &body);
    let answer = reset(Link::Ethernet, &frame).expect("a reset");
    assert_eq!(answer[12..14], 68_u16.to_be_bytes());
}

#[test]
fn a_softwire_is_built_anew_with_its_ends_swapped() {
    let aftr = AFTR.parse().expect("IPv6");
    let softwire = ipv6_between(
        CLIENT6,
        aftr,
        60,
        &extension(60, 8, 4, &ipv4(TCP, &attempt())),
    );
    let answer = reset(Link::Ip, &softwire).expect("a reset");
    let outer = Ipv6HeaderSlice::from_slice(&answer).expect("an IPv6 header");
    assert_eq!(
        (outer.source_addr(), outer.destination_addr()),
        (aftr, CLIENT6)
    );
    assert_eq!((outer.next_header().0, outer.payload_length()), (4, 40));
    sane_packet(&answer[40..]);
}

#[test]
fn a_reset_that_does_not_fit_is_not_built() {
    let frame = padded(ether(0x0800, &ipv4(TCP, &attempt())));
    let segment = segment(ethernet(&frame));
    for room in [0, 13, 53, 59] {
        assert_eq!(
            build_reset(&frame, Link::Ethernet, &segment, &mut vec![0; room]),
            None
        );
    }
    assert_eq!(
        build_reset(&frame, Link::Ethernet, &segment, &mut [0; 60]),
        Some(60)
    );
}

proptest! {
    #[test]
    fn a_reset_of_any_stack_decodes_back_with_everything_swapped(stack in stack()) {
        let (link, frame) = (stack.link(), stack.bytes());
        if let Decoded::Segment(segment) = whole(link, &frame)
            && let Some(answer) = reset(link, &frame)
        {
            let decoded = whole(link, &answer);
            let Decoded::Segment(found) = decoded else {
                return Err(TestCaseError::fail(format!("{decoded:?}")));
            };
            let (tcp, _, acknowledged) = sane_packet(&answer[usize::from(found.network_offset)..]);
            if segment.flags.is_attempt() {
                prop_assert_eq!(tcp[13], 0x14);
                let occupied = u32::from(segment.payload_length)
                    + 1
                    + u32::from(segment.flags.has(TcpFlags::FIN));
                prop_assert_eq!(acknowledged, segment.sequence + occupied);
            }
            prop_assert_eq!(found.vlans, segment.vlans);
            prop_assert_eq!(
                (found.source, found.destination, found.source_port, found.destination_port),
                (
                    segment.destination,
                    segment.source,
                    segment.destination_port,
                    segment.source_port,
                )
            );
            prop_assert_eq!(
                found.softwire.map(|outer| (outer.source, outer.destination)),
                segment.softwire.map(|outer| (outer.destination, outer.source))
            );
        }
    }
}
