//! pcap/village: five minutes of an evening, made by `lychgate synth`, for the demo.
//!
//! It is too large to list each frame: here stands who must be refused, and nobody else.

use std::{fs, path::Path, time::Duration};

use lychgate::{
    engine::Nanos,
    io::capture::{PcapWriter, Precision, Reader, Record},
    replay::Outputs,
    synth::{START, Sent, Settings, Traffic, Zombies, network::Encapsulation},
    wire::Link,
};
use serde_json::Value;

use super::files::report_on;

const FOLDER: &str = "pcap/village";
const INPUT: &str = "pcap/village/input.pcap.gz";
const README: &str = "\
# village

Five minutes of an evening in a village behind QinQ: thirty users, a business with a mail server, \
and four zombies, one of each kind. Without root, the demo replays it (`scripts/demo.sh`). Made by

    lychgate synth pcap/village/input.pcap.gz --policy-out pcap/village/policy.toml \\
        --seed 2026 --duration 5m --subscribers 30 --businesses 1 --zombies 4 --encapsulation qinq

| zombie | what it does | what must become of it |
|---|---|---|
| 100.64.0.40 | bursts of 300 attempts | refused beyond 10 in 10 s |
| 100.64.0.41 | one attempt a minute | never refused |
| 2001:db8:8000:2000::/56 | a new address for every attempt | refused beyond 10 in 10 s |
| 100.64.0.43 | sends as strangers and neighbours | strangers are dropped |
";

fn traffic() -> Traffic {
    Traffic::new(&Settings {
        seed: 2026,
        start: START,
        duration: Duration::from_secs(300),
        subscribers: 30,
        businesses: 1,
        zombies: Zombies {
            burst: 1,
            slow: 1,
            rotating: 1,
            spoofing: 1,
        },
        encapsulation: Encapsulation::Qinq,
    })
}

/// Writes everything but the report anew.
pub fn regenerate() {
    fs::create_dir_all(FOLDER).unwrap();
    fs::write(Path::new(FOLDER).join("README.md"), README).unwrap();
    fs::write(
        Path::new(FOLDER).join("policy.toml"),
        traffic().network().policy(),
    )
    .unwrap();
    let mut writer =
        PcapWriter::create(Path::new(INPUT), Link::Ethernet, Precision::Nanoseconds).unwrap();
    for sent in traffic() {
        writer.write(&record(&sent)).unwrap();
    }
    writer.finish().unwrap();
    fs::write(Path::new(FOLDER).join("expected.json"), report()).unwrap();
}

fn record(sent: &Sent) -> Record<'_> {
    let time: Nanos = sent.time;
    let wire_length = sent.bytes.len() as u32;
    Record {
        time,
        link: Link::Ethernet,
        bytes: &sent.bytes,
        wire_length,
    }
}

fn report() -> Vec<u8> {
    let policy = traffic().network().policy();
    report_on(
        Path::new(FOLDER),
        "input.pcap.gz",
        (&policy, &[]),
        1,
        Outputs::default(),
    )
}

// Compared frame by frame: how well it is compressed is the compressor's business.
#[test]
fn the_village_is_what_synth_makes() {
    let mut reader = Reader::open(Path::new(INPUT)).unwrap();
    for sent in traffic() {
        let found = reader.next().unwrap();
        assert_eq!(
            found,
            Some(record(&sent)),
            "run scripts/golden.sh and look at the difference"
        );
    }
    assert_eq!(reader.next().unwrap(), None);
    let policy = fs::read_to_string(Path::new(FOLDER).join("policy.toml")).unwrap();
    assert_eq!(policy, traffic().network().policy());
    assert_eq!(
        fs::read_to_string(Path::new(FOLDER).join("README.md")).unwrap(),
        README
    );
}

#[test]
fn in_the_village_two_zombies_are_refused_and_nobody_else() {
    let made = report();
    let committed = fs::read(Path::new(FOLDER).join("expected.json")).unwrap();
    assert!(
        made == committed,
        "run scripts/golden.sh and look at the difference"
    );
    let report: Value = serde_json::from_slice(&made).unwrap();
    let refused: Vec<_> = report["sources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|source| source["smtp"]["refused"] != 0)
        .map(|source| source["source"].as_str().unwrap())
        .collect();
    assert_eq!(refused, ["100.64.0.40", "2001:db8:8000:2000::/56"]);
    let strangers = report["reasons"]["stranger"].as_u64().unwrap();
    assert!(strangers > 500, "{strangers} frames of strangers");
    let limited = report["reasons"]["limit_exceeded"].as_u64();
    assert_eq!(
        report["frames"]["dropped"].as_u64(),
        limited.map(|limited| limited + strangers)
    );
}
