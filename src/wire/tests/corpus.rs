//! The seeds in fuzz/corpus/wire, built by hand, so that each file is what its name says.
//!
//! `BLESS=1 cargo test --lib seeds` writes them anew; the diff is reviewed.

use std::{fs, path::PathBuf};

use super::{build::*, *};

const MORE: u16 = 0x2000;

fn ethernets() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = ipv4(TCP, &attempt());
    let v6 = ipv6(TCP, &attempt());
    let aftr = AFTR.parse().expect("IPv6");
    let relay = RELAY_6IN4.parse().expect("IPv4");
    let ppp = |protocol: u8, packet: &[u8]| pppoe(&[&[0, protocol], packet].concat());
    let route = V4 {
        options: vec![131, 7, 4, 192, 0, 2, 1, 0],
        ..V4::default()
    };
    let first = V4 {
        fragment: MORE,
        ..V4::default()
    };
    let later = V4 {
        fragment: 1,
        ..V4::default()
    };
    let in_relay = V4 {
        destination: relay,
        protocol: 41,
        ..V4::default()
    };
    let mut overrun = ether(0x8864, &ppp(0x21, &v4));
    set16(&mut overrun, 18, 1400);
    vec![
        ("attempt-ipv4", padded(ether(0x0800, &v4))),
        (
            "attempt-ipv6-fast-open",
            ether(0x86dd, &ipv6(TCP, &tcp_with((40_000, 587), SYN, 4, 9))),
        ),
        (
            "two-tags",
            ether(0x88a8, &tag(66, 0x8100, &tag(7, 0x0800, &v4))),
        ),
        (
            "pppoe-ipv6",
            ether(0x8100, &tag(9, 0x8864, &ppp(0x57, &v6))),
        ),
        ("pppoe-length-overrun", overrun),
        (
            "mpls-two-labels",
            ether(0x8847, &label(false, &label(true, &v4))),
        ),
        ("snap-802.3", ether(48, &snap(0x0800, &v4))),
        ("spanning-tree", padded(ether(38, &[0x42, 0x42, 3, 0, 0]))),
        ("arp", padded(ether(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]))),
        ("source-route", ether(0x0800, &route.around(&attempt()))),
        (
            "tiny-first-fragment",
            padded(ether(0x0800, &first.around(&attempt()[..8]))),
        ),
        (
            "whole-first-fragment",
            padded(ether(0x0800, &first.around(&attempt()))),
        ),
        (
            "fragment-at-offset-one",
            padded(ether(0x0800, &later.around(&attempt()))),
        ),
        (
            "atomic-fragment",
            ether(0x86dd, &ipv6(44, &fragment(0, false, TCP, &attempt()))),
        ),
        (
            "authentication-header",
            ether(0x86dd, &ipv6(51, &extension(51, 24, TCP, &attempt()))),
        ),
        (
            "destination-options",
            ether(0x86dd, &ipv6(60, &extension(60, 16, TCP, &attempt()))),
        ),
        (
            "ds-lite",
            ether(0x86dd, &ipv6_between(CLIENT6, aftr, 4, &v4)),
        ),
        ("6in4", ether(0x0800, &in_relay.around(&v6))),
        ("vxlan", ether(0x0800, &ipv4(UDP, &udp((50_000, 4789), 12)))),
        (
            "icmp-quoting-an-attempt",
            ether(
                0x0800,
                &ipv4(1, &[&[3, 1, 0, 0, 0, 0, 0, 0], &v4[..]].concat()),
            ),
        ),
    ]
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = ipv4(TCP, &attempt());
    let cooked = [&[0; 14], &[0x08, 0x00][..], &v4].concat();
    let mut seeds: Vec<_> = ethernets()
        .into_iter()
        .map(|(name, frame)| (name, case(Link::Ethernet, 0, &frame)))
        .collect();
    seeds.push((
        "cut-by-snap-length",
        case(Link::Ethernet, 3, &ether(0x0800, &v4)[..50]),
    ));
    seeds.push(("raw-ip", case(Link::Ip, 0, &v4)));
    seeds.push(("linux-cooked", case(Link::LinuxSll, 0, &cooked)));
    seeds.push((
        "loopback",
        case(Link::Loopback, 0, &[&[2, 0, 0, 0], &v4[..]].concat()),
    ));
    seeds.push((
        "ppp-hdlc",
        case(Link::Ppp, 0, &[&[0xff, 3, 0, 0x21], &v4[..]].concat()),
    ));
    seeds
}

#[test]
fn the_seeds_of_the_fuzz_corpus_are_what_their_names_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/wire");
    let bless = std::env::var_os("BLESS").is_some();
    for (name, bytes) in seeds() {
        let path = folder.join(name);
        if bless {
            fs::write(&path, &bytes).expect("the corpus is writable");
        }
        let stored = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(stored, bytes, "{name}: BLESS=1 writes it anew");
    }
}
