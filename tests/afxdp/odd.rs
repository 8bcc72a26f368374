//! Frames of every odd kind: what the golden cases hold, and what nobody would send. Shared with
//! tests/inline.

use std::{fs, path::Path};

use lychgate::{io::capture::Reader, wire::Link};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// The shortest frame that a kernel takes (an Ethernet header), and the longest under an MTU of
/// 1500.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 14..=1514;

/// All Ethernet frames of the golden cases, whole ones only.
pub fn golden() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let cases = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap")).unwrap();
    let mut folders: Vec<_> = cases.map(|folder| folder.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        for name in ["input.pcap", "input.pcapng", "input.pcap.gz"] {
            if folder.join(name).exists() {
                read(&folder.join(name), &mut frames);
            }
        }
    }
    assert!(
        frames.len() > 500,
        "only {} golden frames found",
        frames.len()
    );
    frames
}

fn read(path: &Path, frames: &mut Vec<Vec<u8>>) {
    let mut reader = Reader::open(path).unwrap();
    while let Some(record) = reader.next().unwrap() {
        let is_whole = record.bytes.len() == record.wire_length as usize;
        if record.link == Link::Ethernet && is_whole && LENGTHS.contains(&record.bytes.len()) {
            frames.push(record.bytes.to_vec());
        }
    }
}

/// `count` frames of every odd kind: golden ones, changed ones, and noise of any length under
/// ethertypes known and unknown.
pub fn odd(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let golden = golden();
    let pick = |random: &mut StdRng| golden.choose(random).unwrap().clone();
    let make = |index| match index % 3 {
        0 => pick(&mut random),
        1 => {
            let frame = pick(&mut random);
            changed(frame, &mut random)
        }
        _ => noise(&mut random),
    };
    (0..)
        .map(make)
        .filter(|frame| is_shown(frame))
        .take(count)
        .collect()
}

/// Whether a Linux host shows this frame to its packet sockets: it takes the outer tag off first,
/// and drops what has no room for one.
fn is_shown(frame: &[u8]) -> bool {
    let is_tagged = matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xa8]);
    !is_tagged || frame.len() >= 20
}

/// A frame with a few octets of its headers changed.
pub fn changed(mut frame: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    let reach = frame.len().min(100);
    for _ in 0..random.random_range(1..4) {
        let octet = random.random_range(12..reach.max(13)).min(frame.len() - 1);
        frame[octet] = *[0, 1, 25, 0x45, 0x60, 0xff, random.random()]
            .choose(random)
            .unwrap();
    }
    frame
}

fn noise(random: &mut StdRng) -> Vec<u8> {
    const ETHERTYPES: [u16; 12] = [
        0x0026, 0x0800, 0x0806, 0x8100, 0x86dd, 0x8809, 0x8847, 0x8863, 0x8864, 0x88a8, 0x88cc,
        0x9100,
    ];
    let mut frame: Vec<u8> = (0..random.random_range(LENGTHS))
        .map(|_| random.random())
        .collect();
    if random.random() {
        let ethertype = *ETHERTYPES.choose(random).unwrap();
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    }
    frame
}
