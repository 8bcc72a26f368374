//! A generator and a sink at both ends of a cable: what is offered is what arrives.
//!
//! They need root, AF_XDP and iproute2. Without root they say so and pass; as root they fail if any
//! of the rest is missing.
#![cfg(all(feature = "xdp", target_os = "linux"))]

mod place;

use lychgate::{
    io::{
        afxdp::{Flood, Interface, Slot},
        capture::{PcapWriter, Precision, Record},
    },
    load::{Cast, STAMP_OCTETS, Stamp, Template},
    synth::{
        packet::Packet,
        profile::{Mixed, Syn},
    },
    wire::Link,
};
use place::Place;

#[test]
fn what_is_offered_arrives_to_the_last_frame_in_order_and_of_every_source() {
    for (profile, sources, attempts) in [("mixed", 70, 20..=160), ("syn", 100, 1500..=2000)] {
        let Some(place) = Place::new() else { return };
        let sink = place.sink(&["--count", "2000"]);
        let blast = place.blast(&[
            &["--profile", profile, "--sources", &sources.to_string()][..],
            &["--rate", "4k", "--count", "2000", "--stamp"],
        ]);
        // A veth's queue holds 256 frames: on a busy machine, some may find no room, and it counts
        // them.
        let dropped = place.dropped();
        let sunk = if dropped == 0 {
            sink.finish()
        } else {
            sink.stop()
        };
        assert_eq!(blast["schema"], "lychgate.blast/1");
        assert_eq!(sunk["schema"], "lychgate.sink/1");
        assert_eq!(blast["frames"], 2000);
        assert_eq!(sunk["frames"], 2000 - dropped, "{profile}: {blast} {sunk}");
        assert!(dropped > 0 || blast["octets"] == sunk["octets"]);
        assert_eq!(sunk["sources"], sources, "{profile}: {sunk}");
        let arrived = sunk["attempts"].as_u64().unwrap();
        assert!(attempts.contains(&arrived), "{profile}: {arrived} attempts");
        let order = &sunk["order"];
        assert_eq!(order["stamped"], sunk["frames"]);
        assert!(order["lost"].as_u64() <= Some(dropped), "{order}");
        for flaw in ["doubled", "reordered", "late"] {
            assert_eq!(order[flaw], 0, "{profile}: {flaw}: {order}");
        }
        let latency = &sunk["latency_ns"];
        assert!(latency["p50"].as_u64() > Some(0), "{latency}");
        assert!(latency["max"].as_u64() >= latency["p50"].as_u64());
    }
}

#[test]
fn a_paced_load_is_never_faster_than_asked() {
    let Some(place) = Place::new() else { return };
    for way in ["paced", "flood"] {
        let _sink = place.sink(&["--count-only", "xdp"]);
        let paced = &["--by", way, "--rate", "2k", "--count", "1001"];
        let blast = place.blast(&[paced]);
        assert_eq!(blast["frames"], 1001);
        // The first frame leaves at once, the last one after 1000 intervals.
        assert!(blast["seconds"].as_f64() >= Some(0.5), "{way}: {blast}");
    }
}

#[test]
fn a_flood_is_as_many_frames_as_asked_and_the_kernel_counts_them() {
    let Some(place) = Place::new() else { return };
    let sink = place.sink(&["--count-only", "xdp"]);
    let blast = place.blast(&[&["--profile", "syn", "--count", "100000"]]);
    assert_eq!(blast["by"], "flood");
    assert_eq!(blast["frames"], 100_000);
    let sunk = sink.stop();
    // A veth's queue holds 256 frames: what a busy machine does not take out in time is lost.
    let arrived = sunk["frames"].as_u64().unwrap();
    assert!((1..=100_000).contains(&arrived), "{sunk}");
    assert_eq!(sunk["attempts"], sunk["frames"]);
}

#[test]
fn time_ends_a_load_that_says_no_number() {
    let Some(place) = Place::new() else { return };
    let sink = place.sink(&["--count-only", "tc"]);
    let blast = place.blast(&[&["--rate", "1k", "--time", "300ms"]]);
    let frames = blast["frames"].as_u64().unwrap();
    assert!((1..=301).contains(&frames), "{blast}");
    assert_eq!(sink.stop()["frames"], frames);
}

/// Numbered frames of one flow, in a capture.
fn capture(place: &Place, numbers: &[u64]) -> String {
    let path = place.file("numbered.pcap");
    let mut writer =
        PcapWriter::create(path.as_ref(), Link::Ethernet, Precision::Nanoseconds).unwrap();
    for &number in numbers {
        let packet = Packet::ethernet().vlan(0x8100, 7).vlan(0x8100, 8);
        let packet = packet.ipv6("2001:db8::7", "2001:2::1").udp(5000, 5001);
        let mut bytes = packet.payload(32).build();
        let stamp = Stamp {
            run: 9,
            number,
            time: 0,
        };
        stamp.write(&mut bytes);
        let record = Record {
            time: 1,
            link: Link::Ethernet,
            bytes: &bytes,
            wire_length: bytes.len() as u32,
        };
        writer.write(&record).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn frames_that_are_missing_doubled_or_swapped_are_told() {
    let Some(place) = Place::new() else { return };
    for (numbers, lost, doubled, reordered) in [
        (&[0, 1, 2, 3, 4][..], 0, 0, 0),
        (&[0, 1, 3, 4], 1, 0, 0),
        (&[0, 1, 1, 2, 3, 4], 0, 1, 0),
        (&[0, 2, 1, 3, 4], 0, 0, 1),
        (&[4, 3, 1, 1], 2, 1, 2),
    ] {
        let file = capture(&place, numbers);
        let sink = place.sink(&["--count", &numbers.len().to_string()]);
        place.blast(&[&["--capture", &file, "--once", "--rate", "500"]]);
        let sunk = sink.finish();
        let order = &sunk["order"];
        assert_eq!(order["lost"], lost, "{numbers:?}: {order}");
        assert_eq!(order["doubled"], doubled, "{numbers:?}: {order}");
        assert_eq!(order["reordered"], reordered, "{numbers:?}: {order}");
        assert_eq!(sunk["top_sources"][0]["source"], "2001:db8::7");
    }
}

/// The kernel program and the library make the same frames, however often round.
#[test]
fn a_flood_sends_the_same_frames_as_a_paced_load() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: kernel programs need root");
        return;
    }
    let loopback = Interface::by_name("lo").unwrap();
    for run in [None, Some(77)] {
        for mut cast in [
            Cast::of_profile(&mut Mixed::outbound(3, 1490), 40, (90, 7), run),
            Cast::of_profile(&mut Syn::new(3, 10), 7, (10, 2), run),
            Cast::new(vec![Template::fixed(vec![9; 14])], [0; 2], run),
        ] {
            let slots: Vec<Slot<'_>> = cast.templates().iter().map(Template::slot).collect();
            let mut flood = Flood::load(&loopback, &slots, cast.sources(), run).unwrap();
            for number in 0..200 {
                let mut paced = Vec::new();
                cast.write_next(0, &mut paced);
                let mut flooded = flood.next_frame().unwrap();
                if run.is_some() {
                    // The time is each one's own.
                    let time = flooded.len() - 8;
                    assert!(Stamp::read(&flooded).unwrap().time > 0);
                    flooded[time..].fill(0);
                    assert!(flooded.len() > STAMP_OCTETS);
                }
                assert_eq!(flooded, paced, "frame {number}, run {run:?}");
            }
        }
    }
}

#[test]
fn a_load_does_not_go_out_into_the_world_by_mistake() {
    let Some(place) = Place::new() else { return };
    place.ip(&["addr", "add", "192.0.2.1/24", "dev", place::OUT]);
    place.ip(&["route", "add", "default", "via", "192.0.2.2"]);
    let said = place.refused_blast(&["--count", "1"]);
    assert!(said.contains("it has a default route"), "{said}");
    assert!(said.contains("--into-the-world"), "{said}");
    let meant = place.blast(&[&["--count", "1", "--by", "paced", "--into-the-world"]]);
    assert_eq!(meant["frames"], 1);
}

#[test]
fn an_interface_that_cannot_be_flooded_is_refused_with_the_remedy() {
    let Some(place) = Place::new() else { return };
    // Nobody takes frames at the other end: a veth drops what no socket sent.
    let said = place.refused_blast(&["--count", "1", "--by", "flood"]);
    assert!(said.contains("give its peer an XDP program"), "{said}");
    place.ip(&["link", "set", place::OUT, "down"]);
    let said = place.refused_blast(&["--count", "1"]);
    assert!(said.contains("it is down, or has no carrier"), "{said}");
}
