//! The kernel program against the decoder: what the kernel keeps must be harmless, and what is
//! plainly harmless should be kept.

use std::fs;

use lychgate::{
    io::{
        Side,
        afxdp::{Fate, Settings, Steer, Steering},
    },
    synth::packet::Packet,
    wire::{Crossing, Decoded, Link, Triage, decode, triage},
};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    frames::{LENGTHS, arp, changed, golden, odd, syn, web},
    place::in_place,
};

/// Runs a test with the program loaded for mail steering, attached to nothing.
pub fn steering(test: impl FnOnce(&Steering) + Send) {
    in_place(|place| {
        let [access, uplink] = place.ports();
        let settings = Settings {
            steer: Steer::Mail,
            ..Settings::default()
        };
        test(&Steering::load([&access, &uplink], &settings).unwrap());
    });
}

/// Holds one frame against the decoder; says whether the kernel keeps it.
fn check(steering: &Steering, frame: &[u8]) -> bool {
    // Every address a concentrator: nothing looks more like mail than that.
    let decoded = decode(frame, frame.len() as u32, Link::Ethernet, &|_| true);
    let kept = Side::BOTH.map(|side| steering.try_frame(side, frame).unwrap() == Fate::Harmless);
    assert_eq!(kept[0], kept[1], "the ports disagree on {frame:02x?}");
    if kept[0] {
        let harmless = Decoded::Crosses(Crossing::NotMail);
        assert_eq!(decoded, harmless, "kept in the kernel: {frame:02x?}");
    } else {
        let triage = triage(frame);
        let harmless = matches!(triage, Triage::NotMail | Triage::Icmp(_));
        assert!(!harmless, "sent up: {frame:02x?}");
    }
    kept[0]
}

fn check_all(steering: &Steering, frames: impl IntoIterator<Item = Vec<u8>>) {
    let (mut kept, mut sent_up) = (0, 0);
    for frame in frames {
        if check(steering, &frame) {
            kept += 1;
        } else {
            sent_up += 1;
        }
    }
    assert!(
        kept > 20 && sent_up > 20,
        "a poor test: {kept} kept, {sent_up} sent up"
    );
}

#[test]
fn nothing_of_the_golden_cases_is_kept_that_the_engine_would_count_drop_or_reset() {
    steering(|steering| check_all(steering, golden()));
}

#[test]
fn no_noise_is_kept_that_the_engine_would_count_drop_or_reset() {
    steering(|steering| check_all(steering, odd(6_000, 20)));
}

#[test]
fn no_file_of_the_fuzz_corpus_is_kept_that_the_engine_would_count_drop_or_reset() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/wire");
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .filter(|file| LENGTHS.contains(&file.len()))
        .collect();
    assert!(!files.is_empty());
    steering(|steering| {
        for file in &files {
            check(steering, file);
        }
    });
}

/// A way to wrap a packet.
type Wrap = fn(Packet) -> Packet;

/// Everything that may stand in front of IP.
const WRAPS: [(&str, Wrap); 9] = [
    ("nothing", |packet| packet),
    ("a tag", |packet| packet.vlan(0x8100, 7)),
    ("two tags", |packet| packet.vlan(0x88a8, 7).vlan(0x8100, 8)),
    ("eight tags", |packet| tags(packet, 8)),
    ("nine tags", |packet| tags(packet, 9)),
    ("PPPoE", |packet| packet.pppoe(1)),
    ("a tag and PPPoE", |packet| packet.vlan(0x8100, 7).pppoe(1)),
    ("labels", |packet| packet.mpls(&[16, 17])),
    ("a tag and a label", |packet| {
        packet.vlan(0x8100, 7).mpls(&[16])
    }),
];

fn tags(packet: Packet, count: usize) -> Packet {
    (0..count).fold(packet, |packet, _| packet.vlan(0x9100, 7))
}

/// Both families, with a transport of each kind.
fn stacks() -> Vec<(String, Packet)> {
    let v4 = |packet: Packet| packet.ipv4("192.0.2.1", "198.51.100.25");
    let v6 = |packet: Packet| packet.ipv6("2001:db8::1", "2001:db8:25::1");
    let mut stacks = Vec::new();
    for (name, wrap) in WRAPS {
        for (family, ip) in [("IPv4", v4 as Wrap), ("IPv6", v6 as Wrap)] {
            let packet = || ip(wrap(Packet::ethernet()));
            for ports in [
                (40_000, 25),
                (25, 40_000),
                (40_000, 443),
                (465, 1),
                (1, 587),
            ] {
                let text = format!("{name}, {family}, TCP {ports:?}");
                stacks.push((text, packet().tcp(ports.0, ports.1)));
                let text = format!("{name}, {family}, UDP {ports:?}");
                stacks.push((text, packet().udp(ports.0, ports.1)));
            }
            stacks.push((format!("{name}, {family}, VXLAN"), packet().udp(9, 4789)));
        }
    }
    stacks
}

#[test]
fn every_stack_is_kept_exactly_if_it_is_harmless() {
    steering(|steering| {
        for (name, packet) in stacks() {
            let mail = name.contains("TCP") && !name.contains("443");
            let odd = name.contains("nine") || name.contains("VXLAN");
            let kept = check(steering, &packet.build());
            assert_eq!(kept, !mail && !odd, "{name}");
        }
    });
}

#[test]
fn no_stack_with_octets_changed_or_cut_off_is_kept_unless_harmless() {
    steering(|steering| {
        let mut random = StdRng::seed_from_u64(21);
        let mut frames = Vec::new();
        for (_, packet) in stacks() {
            let frame = packet.build();
            frames.extend((0..20).map(|_| changed(frame.clone(), &mut random)));
            frames.extend((14..frame.len()).map(|end| frame[..end].to_vec()));
        }
        check_all(steering, frames);
    });
}

#[test]
fn under_all_nothing_is_looked_at() {
    in_place(|place| {
        let [access, uplink] = place.ports();
        let steering = Steering::load([&access, &uplink], &Settings::default()).unwrap();
        for frame in [syn(), web(), arp()] {
            let fate = steering.try_frame(Side::Access, &frame).unwrap();
            assert_eq!(fate, Fate::BypassNoSocket);
        }
    });
}
