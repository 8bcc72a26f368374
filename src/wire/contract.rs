//! What holds for any bytes at all: the one list that property tests, the fuzz target and its
//! corpus check.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    Decoded, Link, Redirect, Segment, Service, TcpFlags, Transport, Triage, build_reset, decode,
    endpoints, layers, passage, tcp_segment, triage,
};

const LINKS: [Link; 6] = [
    Link::Ethernet,
    Link::Ip,
    Link::LinuxSll,
    Link::LinuxSll2,
    Link::Loopback,
    Link::Ppp,
];

/// The concentrators of the contract: 2001:db8:64::1 (an AFTR) and 192.88.99.1 (a 6in4 relay).
fn is_concentrator(address: IpAddr) -> bool {
    address == IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 1))
        || address == IpAddr::from([192, 88, 99, 1])
}

/// Checks everything that this module promises of any frame. The first octet of `data` chooses
/// the link layer (low three bits) and how much the capture cut off (the rest, in steps of 8
/// octets); the others are the frame.
///
/// # Panics
/// Where a promise is broken.
pub fn check_contract(data: &[u8]) {
    let Some((&choice, frame)) = data.split_first() else {
        return;
    };
    let link = LINKS[usize::from(choice & 7) % LINKS.len()];
    let cut = u32::from(choice >> 3) * 8;
    let wire_length = u32::try_from(frame.len())
        .unwrap_or(u32::MAX)
        .saturating_add(cut);

    let decoded = decode(frame, wire_length, link, &is_concentrator);
    if cut == 0 {
        assert_ne!(decoded, Decoded::Unreadable, "nothing was cut off");
    }
    if link == Link::Ethernet {
        check_triage(frame, &decoded);
    }
    let told = layers(frame, wire_length, link, &is_concentrator);
    assert_eq!(told.last().map(|layer| layer.name), Some("decision"));

    let outermost = endpoints(frame, link);
    match &decoded {
        Decoded::Segment(segment) => {
            let outer = segment
                .softwire
                .map(|outer| (outer.source, outer.destination));
            let inner = (segment.source, segment.destination);
            assert_eq!(outermost, Some(outer.unwrap_or(inner)));
            check_segment(frame, segment);
            check_reset(frame, link, segment);
        }
        Decoded::Evasion(evasion) if evasion.endpoints.is_some() => {
            assert_eq!(evasion.endpoints, outermost);
        }
        _ => {}
    }
    check_passage(frame, wire_length, link, &decoded);
}

/// A passage has the ends that the frame has, and its segment, if it shows one, can be answered.
fn check_passage(frame: &[u8], wire_length: u32, link: Link, decoded: &Decoded) {
    let found = passage(frame, wire_length, link, &is_concentrator);
    if let Some(found) = found {
        assert!(!matches!(decoded, Decoded::Evasion(_)));
        assert_eq!(
            endpoints(frame, link).map(|(source, _)| source),
            Some(found.charged)
        );
    }
    let Some(segment) = tcp_segment(frame, wire_length, link, &is_concentrator) else {
        return;
    };
    let ports = Transport::Tcp(segment.source_port, segment.destination_port);
    assert_eq!(found.map(|found| found.transport), Some(ports));
    if let Decoded::Segment(mail) = decoded {
        assert_eq!(segment, *mail);
    }
    check_redirect(frame, link, &segment);
}

/// Whatever is said to a browser goes back the way that its segment came.
fn check_redirect(frame: &[u8], link: Link, segment: &Segment) {
    let redirect = Redirect::new("http://notice.example/");
    let mut out = vec![0; frame.len() + 1024];
    let Some(length) = redirect.answer(frame, link, segment, &mut out) else {
        return;
    };
    let small = &mut vec![0; length - 1];
    assert_eq!(redirect.answer(frame, link, segment, small), None);
    let wire_length = u32::try_from(length).unwrap_or(u32::MAX);
    let found = tcp_segment(&out[..length], wire_length, link, &is_concentrator);
    let found = found.unwrap_or_else(|| panic!("an answer is no segment: {:?}", &out[..length]));
    assert_eq!(
        (found.source, found.destination, found.vlans),
        (segment.destination, segment.source, segment.vlans)
    );
    assert_eq!(
        (found.source_port, found.destination_port),
        (segment.destination_port, segment.source_port)
    );
}

/// Triage agrees wherever it decides.
fn check_triage(frame: &[u8], decoded: &Decoded) {
    match triage(frame) {
        Triage::NotMail => {
            assert_eq!(*decoded, Decoded::Crosses(super::Crossing::NotMail));
        }
        Triage::Icmp(at) => {
            assert_eq!(*decoded, Decoded::Crosses(super::Crossing::NotMail));
            // Whatever it quotes, it is towards a mail port.
            let quote = super::unreachable(frame, at);
            assert!(quote.is_none_or(|quote| Service::of_port(quote.destination_port).is_some()));
        }
        Triage::Mail(plain) => {
            assert_eq!(*decoded, Decoded::Segment(plain.segment(frame)));
        }
        Triage::Unsure => {}
    }
}

/// A segment is about mail, and its header is where it says.
fn check_segment(frame: &[u8], segment: &Segment) {
    let ports = [segment.source_port, segment.destination_port];
    assert!(
        ports.iter().any(|&port| Service::of_port(port).is_some()),
        "{segment:?}"
    );
    let tcp = &frame[usize::from(segment.tcp_offset)..];
    assert_eq!(tcp[..2], segment.source_port.to_be_bytes());
    assert_eq!(tcp[2..4], segment.destination_port.to_be_bytes());
    assert!(segment.network_offset < segment.tcp_offset, "{segment:?}");
    assert!(
        segment.blemish.is_none() || segment.flags.is_attempt(),
        "{segment:?}"
    );
}

/// A reset decodes back, on the same link, to a RST with everything swapped; and a smaller buffer
/// is refused rather than overrun.
fn check_reset(frame: &[u8], link: Link, segment: &Segment) {
    let mut out = vec![0; frame.len() + 128];
    let Some(length) = build_reset(frame, link, segment, &mut out) else {
        return;
    };
    assert_eq!(
        build_reset(frame, link, segment, &mut vec![0; length - 1]),
        None
    );
    let wire_length = u32::try_from(length).unwrap_or(u32::MAX);
    let decoded = decode(&out[..length], wire_length, link, &is_concentrator);
    let Decoded::Segment(reset) = decoded else {
        panic!("a reset decodes to {decoded:?}");
    };
    assert!(reset.flags.has(TcpFlags::RST) && !reset.flags.has(TcpFlags::SYN));
    assert_eq!(
        (reset.source, reset.destination),
        (segment.destination, segment.source)
    );
    assert_eq!(
        (reset.source_port, reset.destination_port),
        (segment.destination_port, segment.source_port)
    );
    assert_eq!(reset.vlans, segment.vlans);
    assert_eq!(reset.payload_length, 0);
    assert_eq!(
        reset
            .softwire
            .map(|outer| (outer.source, outer.destination)),
        segment
            .softwire
            .map(|outer| (outer.destination, outer.source))
    );
}
