use std::collections::HashSet;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

/// Source, destination port and whether it is a SYN, after checking every checksum.
fn parse(frame: &[u8]) -> (IpAddr, u16, bool) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let transport = sliced.transport.unwrap();
    match (sliced.net.unwrap(), transport) {
        (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            let sum = tcp
                .calc_checksum_ipv4(header.source, header.destination)
                .unwrap();
            assert_eq!(tcp.checksum(), sum);
            (header.source.into(), tcp.destination_port(), tcp.syn())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
            let header = ip.header().to_header();
            let sum = tcp
                .calc_checksum_ipv6(header.source, header.destination)
                .unwrap();
            assert_eq!(tcp.checksum(), sum);
            (header.source.into(), tcp.destination_port(), tcp.syn())
        }
        (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
            let header = ip.header().to_header();
            let sum = udp
                .to_header()
                .calc_checksum_ipv4(&header, udp.payload())
                .unwrap();
            assert_eq!(udp.checksum(), sum);
            (header.source.into(), udp.destination_port(), false)
        }
        (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
            let header = ip.header().to_header();
            let sum = udp
                .to_header()
                .calc_checksum_ipv6(&header, udp.payload())
                .unwrap();
            assert_eq!(udp.checksum(), sum);
            (header.source.into(), udp.destination_port(), false)
        }
        other => panic!("not TCP or UDP: {other:?}"),
    }
}

#[test]
fn the_mixed_profile_is_one_attempt_in_twenty_among_an_imix() {
    let frames = profile_mixed(1, 50_000);
    let parsed: Vec<_> = frames.iter().map(parse).collect();
    let attempts = parsed
        .iter()
        .filter(|(_, port, syn)| *port == 25 && *syn)
        .count();
    assert!((2_350..2_650).contains(&attempts), "{attempts} attempts");
    let mean = frames.bytes.len() / frames.len();
    assert!((340..366).contains(&mean), "{mean} octets on average");
    let ipv6 = parsed
        .iter()
        .filter(|(source, ..)| source.is_ipv6())
        .count();
    assert!((50_000 / 8..50_000 / 6).contains(&ipv6), "{ipv6} of IPv6");
    let tagged = frames
        .iter()
        .filter(|frame| frame[12..14] == [0x81, 0])
        .count();
    assert!((5_750..6_750).contains(&tagged), "{tagged} tagged");
}

#[test]
fn the_syn_profile_is_uniform_over_its_sources() {
    let frames = profile_syn(1, 50_000, 1_000);
    let mut seen = std::collections::HashMap::<IpAddr, u32>::new();
    for (source, port, syn) in frames.iter().map(parse) {
        assert_eq!((port, syn), (25, true));
        *seen.entry(source).or_default() += 1;
    }
    assert_eq!(seen.len(), 1_000);
    assert!(
        seen.values().all(|count| (20..90).contains(count)),
        "{seen:?}"
    );
    assert_eq!(seen.keys().filter(|source| source.is_ipv6()).count(), 500);
}

#[test]
fn each_ipv6_source_is_a_prefix_of_its_own_inside_the_pool() {
    let prefixes: HashSet<u128> = (0..SOURCES_MAX)
        .step_by(4_099)
        .filter_map(|index| match subscriber(index | 1, 2) {
            IpAddr::V6(address) => Some(address.to_bits() >> 72),
            IpAddr::V4(_) => None,
        })
        .collect();
    assert_eq!(prefixes.len(), SOURCES_MAX.div_ceil(4_099) as usize);
    assert!(prefixes.iter().all(|prefix| prefix >> 24 == 0x2001_0db8));
}

#[test]
fn the_same_seed_gives_the_same_frames_and_another_seed_others() {
    assert_eq!(profile_mixed(7, 1_000).bytes, profile_mixed(7, 1_000).bytes);
    assert_ne!(profile_mixed(7, 1_000).bytes, profile_mixed(8, 1_000).bytes);
    assert_eq!(
        profile_syn(7, 1_000, 9).bytes,
        profile_syn(7, 1_000, 9).bytes
    );
}

#[test]
fn frames_lie_side_by_side() {
    let frames = profile_syn(3, 3, 1);
    assert_eq!((frames.len(), frames.is_empty()), (3, false));
    assert_eq!(
        frames.iter().map(<[u8]>::len).collect::<Vec<_>>(),
        [60, 60, 60]
    );
    assert_eq!(frames.get(2), &frames.bytes[120..]);
}
