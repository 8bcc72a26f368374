//! Redirects, as the client's kernel and browser see them: read back by etherparse.

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;

use super::{build::*, stacks::stack, *};

const PAGE: &str = "http://notice.example/";
const FIN: u16 = 0x01;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
/// The client's first sequence number: it wraps while the request is sent.
const FIRST: u32 = u32::MAX - 3;

/// The answer to the TCP segment in a frame.
fn answer(redirect: &Redirect, link: Link, frame: &[u8]) -> Option<Vec<u8>> {
    let segment = tcp_segment(frame, frame.len() as u32, link, &is_concentrator)?;
    let mut out = [0xee; 4096];
    let length = redirect.answer(frame, link, &segment, &mut out)?;
    Some(out[..length].to_vec())
}

/// A segment to port 80.
fn web(flags: u16, sequence: u32, acknowledgement: u32, data: usize) -> Vec<u8> {
    let mut tcp = tcp_with((40_000, HTTP), flags, 0, data);
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
    tcp
}

/// What etherparse makes of an answer's IP packet (and of one packet in it, of a softwire).
#[derive(Debug, PartialEq)]
struct Seen {
    ends: (IpAddr, IpAddr),
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    options: Vec<u8>,
    payload: Vec<u8>,
}

/// Reads a packet with etherparse, which must find every length and checksum right.
#[track_caller]
fn see(packet: &[u8]) -> Seen {
    let sliced = SlicedPacket::from_ip(packet).expect("whole headers");
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
        panic!("no TCP: {sliced:?}");
    };
    let (ends, sum, hops) = match sliced.net.as_ref().expect("IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let own = header.to_header().calc_header_checksum();
            assert_eq!(header.header_checksum(), own);
            assert!(header.dont_fragment() && !header.is_fragmenting_payload());
            let (from, to) = (header.source(), header.destination());
            let sum = tcp
                .to_header()
                .calc_checksum_ipv4_raw(from, to, tcp.payload());
            ((from.into(), to.into()), sum, header.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let (from, to) = (ip.header().source(), ip.header().destination());
            let sum = tcp
                .to_header()
                .calc_checksum_ipv6_raw(from, to, tcp.payload());
            ((from.into(), to.into()), sum, ip.header().hop_limit())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((Ok(tcp.checksum()), hops), (sum, 64));
    seen(ends, tcp)
}

fn seen(ends: (IpAddr, IpAddr), tcp: &TcpSlice<'_>) -> Seen {
    Seen {
        ends,
        flags: tcp.slice()[13],
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.acknowledgment_number(),
        options: tcp.options().to_vec(),
        payload: tcp.payload().to_vec(),
    }
}

/// A whole visit: from the SYN to the last ACK, each frame made by `around` from its segment, each
/// answer's packet found by `within`.
fn visit(
    link: Link,
    around: &dyn Fn(&[u8]) -> Vec<u8>,
    within: &dyn Fn(&[u8]) -> Vec<u8>,
    ends: (IpAddr, IpAddr),
) {
    let redirect = Redirect::new(PAGE);
    let say = |tcp: Vec<u8>| {
        let answer = answer(&redirect, link, &around(&tcp))?;
        Some(see(&within(&answer)))
    };
    let hello = say(web(SYN, FIRST, 0, 0)).expect("a SYN ACK");
    let first = hello.sequence;
    assert_eq!(
        (hello.flags, hello.acknowledgement, &hello.options[..]),
        (0x12, FIRST.wrapping_add(1), &[2, 4, 0x04, 0xc4][..])
    );
    assert_eq!((hello.ends, hello.payload.len()), (ends, 0));
    let (next, agreed) = (FIRST.wrapping_add(1), first.wrapping_add(1));
    assert_eq!(say(web(ACK, next, agreed, 0)), None, "nothing more to say");

    let told = say(web(ACK | PSH, next, agreed, 90)).expect("a redirect");
    let text = String::from_utf8(told.payload.clone()).expect("ASCII");
    assert!(text.starts_with("HTTP/1.1 302 Found\r\n"), "{text}");
    assert!(
        text.contains(&format!("\r\nLocation: {PAGE}\r\n")),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    let asked = next.wrapping_add(90);
    assert_eq!(
        (told.flags, told.sequence, told.acknowledgement),
        (0x19, agreed, asked)
    );
    let again = say(web(ACK | PSH, next, agreed, 90));
    assert_eq!(again.as_ref(), Some(&told), "what is lost is said again");

    let end = agreed.wrapping_add(text.len() as u32 + 1);
    assert_eq!(say(web(ACK, asked, end, 0)), None, "the client has it all");
    let bye = say(web(ACK | FIN, asked, end, 0)).expect("an ACK");
    assert_eq!(
        (
            bye.flags,
            bye.sequence,
            bye.acknowledgement,
            bye.payload.len()
        ),
        (0x10, end, asked.wrapping_add(1), 0)
    );
    assert_eq!(say(web(RST, asked, 0, 0)), None);
    assert_eq!(say(web(RST | ACK, asked, end, 0)), None);
}

const ENDS4: (IpAddr, IpAddr) = (IpAddr::V4(SERVER), IpAddr::V4(CLIENT));
const ENDS6: (IpAddr, IpAddr) = (IpAddr::V6(SERVER6), IpAddr::V6(CLIENT6));

/// The packet behind so many octets in front of it, which must be those of `sent`, with the
/// addresses of the Ethernet header swapped.
fn behind(header: Vec<u8>) -> impl Fn(&[u8]) -> Vec<u8> {
    move |answer| {
        assert!(answer.len() >= 60, "shorter than Ethernet's minimum");
        assert_eq!((&answer[..6], &answer[6..12]), (&MACS[6..], &MACS[..6]));
        assert_eq!(answer[12..header.len()], header[12..]);
        answer[header.len()..].to_vec()
    }
}

#[test]
fn a_browser_is_told_over_ipv4_and_ipv6() {
    visit(Link::Ip, &|tcp| ipv4(TCP, tcp), &<[u8]>::to_vec, ENDS4);
    visit(Link::Ip, &|tcp| ipv6(TCP, tcp), &<[u8]>::to_vec, ENDS6);
    for (ethertype, ends) in [(0x0800, ENDS4), (0x86dd, ENDS6)] {
        let packet = |tcp: &[u8]| match ethertype {
            0x0800 => ipv4(TCP, tcp),
            _ => ipv6(TCP, tcp),
        };
        let around = |tcp: &[u8]| padded(ether(ethertype, &packet(tcp)));
        visit(
            Link::Ethernet,
            &around,
            &behind(ether(ethertype, &[])),
            ends,
        );
    }
}

#[test]
fn a_browser_is_told_through_the_tags_that_it_came_with() {
    let inner = |packet: &[u8]| tag(0x2007, 0x88a8, &tag(7, 0x86dd, packet));
    let around = |tcp: &[u8]| ether(0x8100, &inner(&ipv6(TCP, tcp)));
    visit(
        Link::Ethernet,
        &around,
        &behind(ether(0x8100, &inner(&[]))),
        ENDS6,
    );
}

#[test]
fn a_browser_is_told_through_labels() {
    let labels = |packet: &[u8]| label(false, &label(true, packet));
    let around = |tcp: &[u8]| ether(0x8847, &labels(&ipv4(TCP, tcp)));
    visit(
        Link::Ethernet,
        &around,
        &behind(ether(0x8847, &labels(&[]))),
        ENDS4,
    );
}

#[test]
fn a_browser_is_told_in_its_pppoe_session_whose_length_fits() {
    for (protocol, ends) in [(0x21, ENDS4), (0x57, ENDS6)] {
        let packet = |tcp: &[u8]| match protocol {
            0x21 => ipv4(TCP, tcp),
            _ => ipv6(TCP, tcp),
        };
        let session = |packet: &[u8]| {
            let payload = pppoe(&[&[0, protocol], packet].concat());
            ether(0x8100, &tag(7, 0x8864, &payload))
        };
        let around = |tcp: &[u8]| session(&packet(tcp));
        let within = |answer: &[u8]| {
            let header = session(&[]);
            let octets = u16::from_be_bytes([answer[22], answer[23]]);
            let packet = &answer[header.len()..24 + usize::from(octets)];
            assert_eq!(answer[12..22], header[12..22], "tag and session");
            packet.to_vec()
        };
        visit(Link::Ethernet, &around, &within, ends);
    }
}

#[test]
fn a_browser_is_told_in_its_softwire() {
    let aftr = AFTR.parse().expect("IPv6");
    let around = |tcp: &[u8]| ipv6_between(CLIENT6, aftr, 4, &ipv4(TCP, tcp));
    let within = |answer: &[u8]| {
        let outer = etherparse::Ipv6HeaderSlice::from_slice(answer).expect("an IPv6 header");
        assert_eq!(
            (outer.source_addr(), outer.destination_addr()),
            (aftr, CLIENT6)
        );
        assert_eq!(
            (outer.next_header().0, usize::from(outer.payload_length())),
            (4, answer.len() - 40)
        );
        answer[40..].to_vec()
    };
    visit(Link::Ip, &around, &within, ENDS4);
}

/// What a client gets for a segment that belongs to no redirected connection.
fn stray(flags: u16, acknowledgement: u32, data: usize) -> Option<Seen> {
    let frame = ipv4(TCP, &web(flags, 77, acknowledgement, data));
    answer(&Redirect::new(PAGE), Link::Ip, &frame).map(|answer| see(&answer))
}

#[test]
fn a_connection_from_before_the_quarantine_is_reset() {
    for (flags, data) in [(ACK, 0), (ACK | PSH, 9), (ACK | FIN, 0), (SYN | ACK, 0)] {
        let seen = stray(flags, 0x0a0b_0c0d, data).expect("a reset");
        assert_eq!((seen.flags, seen.sequence), (0x04, 0x0a0b_0c0d));
        assert!(seen.payload.is_empty());
    }
    // Neither SYN nor ACK; SYN with FIN; SYN with RST.
    for flags in [0, FIN, PSH, SYN | FIN, SYN | RST] {
        assert_eq!(stray(flags, 0, 0), None, "{flags:#x}");
    }
}

#[test]
fn a_client_that_hangs_up_early_is_told_and_let_go() {
    let redirect = Redirect::new(PAGE);
    let say = |tcp: &[u8]| {
        let answer = answer(&redirect, Link::Ip, &ipv6(TCP, tcp));
        see(&answer.expect("an answer"))
    };
    let agreed = say(&web(SYN, 5, 0, 0)).sequence.wrapping_add(1);
    let told = say(&web(ACK | FIN, 6, agreed, 0));
    assert_eq!(
        (told.flags, told.sequence, told.acknowledgement),
        (0x19, agreed, 7)
    );
    // A request and its end in one segment.
    assert_eq!(say(&web(ACK | FIN, 6, agreed, 40)).acknowledgement, 47);
    // A request in two segments: each brings the same answer, at the same place.
    let parts = [(6, 1220), (1226, 30)].map(|(at, data)| say(&web(ACK, at, agreed, data)));
    assert_eq!(parts.each_ref().map(|part| part.sequence), [agreed; 2]);
    assert_eq!(
        parts.each_ref().map(|part| part.acknowledgement),
        [1226, 1256]
    );
}

#[test]
fn data_in_a_syn_is_left_for_the_client_to_send_again_rfc_7413() {
    let seen = stray(SYN, 0, 30).expect("a SYN ACK");
    assert_eq!((seen.flags, seen.acknowledgement), (0x12, 78));
}

#[test]
fn nobody_without_the_key_knows_our_first_number() {
    let frame = ipv4(TCP, &web(SYN, 1, 0, 0));
    let number = |redirect: &Redirect| {
        let answer = answer(redirect, Link::Ip, &frame).expect("a SYN ACK");
        see(&answer).sequence
    };
    let one = Redirect::new(PAGE);
    assert_eq!(number(&one), number(&one.clone()), "any worker may answer");
    let others = (0..4).map(|_| number(&Redirect::new(PAGE)));
    let same = others.filter(|&other| other == number(&one)).count();
    assert!(same < 4, "the key changes with every start");
}

#[test]
fn the_longest_location_fits_any_path() {
    let redirect = Redirect::new(&"x".repeat(4_000));
    let softwire = ipv6_between(
        CLIENT6,
        AFTR.parse().expect("IPv6"),
        4,
        &ipv4(TCP, &web(SYN, 1, 0, 0)),
    );
    let hello = answer(&redirect, Link::Ip, &softwire).expect("a SYN ACK");
    let agreed = see(&hello[40..]).sequence.wrapping_add(1);
    let request = ipv4(TCP, &web(ACK, 2, agreed, 9));
    let softwire = ipv6_between(CLIENT6, AFTR.parse().expect("IPv6"), 4, &request);
    let told = answer(&redirect, Link::Ip, &softwire).expect("a redirect");
    assert!(told.len() <= 576, "{} octets", told.len());
}

#[test]
fn a_location_cannot_break_out_of_its_line() {
    let redirect = Redirect::new("http://a.example/\r\nSet-Cookie: a=b");
    let agreed = {
        let hello = answer(&redirect, Link::Ip, &ipv4(TCP, &web(SYN, 1, 0, 0)));
        see(&hello.expect("a SYN ACK")).sequence.wrapping_add(1)
    };
    let told = answer(&redirect, Link::Ip, &ipv4(TCP, &web(ACK, 2, agreed, 9)));
    let text = String::from_utf8(see(&told.expect("a redirect")).payload).expect("ASCII");
    assert!(!text.contains("\r\nSet-Cookie"), "{text}");
}

#[test]
fn group_addresses_are_never_told() {
    let mut frame = ether(0x0800, &ipv4(TCP, &web(SYN, 1, 0, 0)));
    frame[0] |= 1;
    let redirect = Redirect::new(PAGE);
    assert_eq!(answer(&redirect, Link::Ethernet, &frame), None);
}

proptest! {
    #[test]
    fn whatever_a_redirect_says_has_right_checksums(stack in stack()) {
        let (link, frame) = (stack.link(), stack.bytes());
        let redirect = Redirect::new(PAGE);
        if let Some(answer) = answer(&redirect, link, &frame) {
            let length = answer.len() as u32;
            let found = tcp_segment(&answer, length, link, &is_concentrator);
            let at = usize::from(found.expect("a segment").network_offset);
            see(&answer[at..]);
        }
    }
}
