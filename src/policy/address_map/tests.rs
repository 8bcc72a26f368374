//! The map against the obvious: a scan over all prefixes.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{AddressMap, NOTHING};

/// What the map promises, said the slow way.
fn scan(prefixes: &[(IpNet, u32)], address: IpAddr) -> u32 {
    prefixes
        .iter()
        .filter(|(prefix, _)| prefix.contains(&address))
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .map_or(NOTHING, |&(_, value)| value)
}

/// Addresses whose bits follow few patterns, so that prefixes nest, touch and share slots.
fn v4_bits() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0..16_u32).prop_map(|x| 0xcb00_7100 | x << 2),
        Just(0),
        Just(!0)
    ]
}

fn v6_bits() -> impl Strategy<Value = u128> {
    let site = 0x2001_0db8_0200_0000_u128 << 64;
    prop_oneof![
        any::<u128>(),
        any::<u32>().prop_map(move |x| site | u128::from(x) << 60),
        any::<u16>().prop_map(move |x| site | u128::from(x)),
        Just(0),
        Just(!0),
    ]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (v4_bits(), 0..=32_u8).prop_map(|(bits, length)| Ipv4Net::new_assert(
            Ipv4Addr::from_bits(bits),
            length
        )
        .into()),
        (v6_bits(), 0..=128_u8).prop_map(|(bits, length)| Ipv6Net::new_assert(
            Ipv6Addr::from_bits(bits),
            length
        )
        .into()),
    ]
}

/// The first and last address of a prefix and those just outside.
fn edges(prefix: IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
                .to_vec()
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
                .to_vec()
        }
    }
}

proptest! {
    #[test]
    fn the_longest_prefix_decides(
        prefixes in prop::collection::vec((prefix(), 1..5_u32), 0..120),
        v4 in prop::collection::vec(v4_bits(), 20),
        v6 in prop::collection::vec(v6_bits(), 20),
    ) {
        let prefixes: Vec<_> = prefixes.into_iter().map(|(net, value)| (net.trunc(), value)).collect();
        let map = AddressMap::build(&prefixes);
        let probes = prefixes
            .iter()
            .flat_map(|&(net, _)| edges(net))
            .chain(v4.into_iter().map(|bits| Ipv4Addr::from_bits(bits).into()))
            .chain(v6.into_iter().map(|bits| Ipv6Addr::from_bits(bits).into()));
        for address in probes {
            prop_assert_eq!(map.get(address), scan(&prefixes, address), "{}", address);
        }
    }

    #[test]
    fn a_walk_meets_every_address_once_in_order_and_with_its_value(
        prefixes in prop::collection::vec((prefix(), 1..5_u32), 0..60),
    ) {
        let prefixes: Vec<_> = prefixes.into_iter().map(|(net, value)| (net.trunc(), value)).collect();
        let map = AddressMap::build(&prefixes);
        let mut met: Vec<IpNet> = Vec::new();
        map.each(&mut |prefix, value| {
            assert_eq!(prefix, prefix.trunc());
            for address in [prefix.network(), prefix.broadcast()] {
                assert_eq!(scan(&prefixes, address), value, "{address} in {prefix}");
            }
            if let Some(before) = met.last() {
                assert!(before.broadcast() < prefix.network(), "{before}, then {prefix}");
            }
            met.push(prefix);
        });
        for address in prefixes.iter().flat_map(|&(net, _)| edges(net)) {
            let known = scan(&prefixes, address) != NOTHING;
            prop_assert_eq!(met.iter().any(|net| net.contains(&address)), known, "{}", address);
        }
    }
}

#[test]
fn an_empty_map_knows_nobody() {
    let map = AddressMap::build(&[]);
    assert_eq!(map.get(Ipv4Addr::UNSPECIFIED.into()), NOTHING);
    assert_eq!(map.get(Ipv6Addr::LOCALHOST.into()), NOTHING);
}

#[test]
fn a_survey_pool_covers_everything_of_its_family_only() {
    let map = AddressMap::build(&[(Ipv4Net::default().into(), 7)]);
    assert_eq!(map.get(Ipv4Addr::BROADCAST.into()), 7);
    assert_eq!(map.get(Ipv4Addr::UNSPECIFIED.into()), 7);
    assert_eq!(map.get(Ipv6Addr::LOCALHOST.into()), NOTHING);
}

#[test]
fn a_single_host_is_told_from_its_neighbours() {
    for host in [
        "255.255.255.255",
        "0.0.0.0",
        "192.0.2.25",
        "::",
        "2001:db8::1",
    ] {
        let host: IpAddr = host.parse().expect("an address");
        let map = AddressMap::build(&[(host.into(), 3)]);
        for address in edges(host.into()) {
            assert_eq!(
                map.get(address),
                if address == host { 3 } else { NOTHING },
                "{address}"
            );
        }
    }
}

#[test]
fn subscribers_who_differ_in_nothing_cost_no_memory() {
    let hosts: Vec<_> = (0..=u16::MAX)
        .map(|low| (IpAddr::from([10, 1, (low >> 8) as u8, low as u8]).into(), 9))
        .collect();
    let map = AddressMap::build(&hosts);
    assert_eq!(map.get(IpAddr::from([10, 1, 7, 7])), 9);
    assert_eq!(
        map.v4.nodes.len(),
        0,
        "a /16 full of equal hosts is one value"
    );
}

/// Lookups per second in one thread, each independent of the one before.
fn measure(name: &str, prefixes: &[(IpNet, u32)], probes: &[IpAddr]) {
    let started = Instant::now();
    let map = AddressMap::build(prefixes);
    let built = started.elapsed();
    let mut best = f64::MAX;
    for _ in 0..9 {
        let started = Instant::now();
        let mut sum = 0_u32;
        for &address in probes {
            sum = sum.wrapping_add(map.get(address));
        }
        black_box(sum);
        best = best.min(started.elapsed().as_nanos() as f64 / probes.len() as f64);
    }
    println!(
        "{name:<40} {best:6.2} ns, {:6.2} MB, built in {built:?}",
        map.octets() as f64 / 1e6
    );
}

/// `cargo test --release --lib address_map -- --ignored --nocapture`
#[test]
#[ignore = "prints figures; run it in release"]
fn lookups_per_second() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let v4 = |bits: u32| IpAddr::from(Ipv4Addr::from_bits(bits));
    let v6 = |bits: u128| IpAddr::from(Ipv6Addr::from_bits(bits));
    let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
    let count = 1 << 16;

    let few: Vec<(IpNet, u32)> = [
        "203.0.113.0/24",
        "198.51.100.0/24",
        "100.64.0.0/10",
        "192.0.2.25/32",
        "203.0.113.30/32",
        "2001:db8:200::/40",
        "2001:db8:25::/64",
        "2001:db8:ffff::1/128",
    ]
    .iter()
    .zip(1..)
    .map(|(text, value)| (net(text), value))
    .collect();
    let anywhere: Vec<_> = (0..count).map(|_| v4(random.random())).collect();
    let inside: Vec<_> = (0..count)
        .map(|_| match random.random_range(0..4) {
            0 => v4(0xcb00_7100 | random.random_range(0..256)),
            1 => v4(0xc633_6400 | random.random_range(0..256)),
            2 => v4(0x6440_0000 | random.random_range(0..1 << 22)),
            _ => v4(0xc000_0219),
        })
        .collect();
    let inside6: Vec<_> = (0..count)
        .map(|_| match random.random_range(0..3) {
            0 => v6(0x2001_0db8_0025_0000_u128 << 64 | u128::from(random.random::<u64>())),
            _ => v6(0x2001_0db8_0200_0000_u128 << 64 | random.random_range(0..1_u128 << 88)),
        })
        .collect();
    measure("8 prefixes, any v4", &few, &anywhere);
    measure("8 prefixes, v4 inside", &few, &inside);
    measure("8 prefixes, v6 inside", &few, &inside6);
    let one6: Vec<_> = (0..count)
        .map(|_| v6(0x2001_0db8_ffff_0000_u128 << 64 | 1))
        .collect();
    measure("8 prefixes, v6 host", &few, &one6);

    let hosts = |spread: u32, random: &mut ChaCha8Rng| -> Vec<(IpNet, u32)> {
        (0..1_000_000)
            .map(|_| {
                (
                    v4(0x0a00_0000 | random.random::<u32>() >> spread).into(),
                    random.random_range(2..9),
                )
            })
            .collect()
    };
    for (name, spread) in [("1M hosts in a /10, v4", 10), ("1M hosts in a /8, v4", 8)] {
        let mut many = hosts(spread, &mut random);
        many.push((net("10.0.0.0/8"), 1));
        let probes: Vec<_> = (0..count * 16)
            .map(|_| v4(0x0a00_0000 | random.random::<u32>() >> spread))
            .collect();
        measure(name, &many, &probes);
    }
    let own: Vec<_> = hosts(10, &mut random)
        .into_iter()
        .zip(1..)
        .map(|((net, _), value)| (net, value))
        .collect();
    let probes: Vec<_> = (0..count * 16)
        .map(|_| v4(0x0a00_0000 | random.random::<u32>() >> 10))
        .collect();
    measure("1M hosts in a /10, each its own value", &own, &probes);

    let site = 0x2001_0db8_u128 << 96;
    let mut sites: Vec<(IpNet, u32)> = (0..1_000_000_u32)
        .map(|_| {
            let bits = site | u128::from(random.random::<u32>() >> 10) << 72;
            (
                Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 56).into(),
                random.random_range(2..9),
            )
        })
        .collect();
    sites.push((net("2001:db8::/32"), 1));
    let probes: Vec<_> = (0..count * 16)
        .map(|_| v6(site | random.random::<u128>() >> 34))
        .collect();
    measure("1M /56 in a /34, v6", &sites, &probes);
}
