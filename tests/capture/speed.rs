//! How fast a capture in the page cache is read, beside the kernel's copy of it into a buffer.
//! Run by hand, in release, on a quiet machine: `cargo test --release --test capture -- --ignored --nocapture`

use std::{fs::File, hint::black_box, io::Read, path::Path, time::Instant};

use lychgate::{
    io::capture::{Merge, PcapWriter, Precision, Reader, Record, Writer},
    wire::Link,
};

const FRAMES: u64 = 2_000_000;

/// Lengths of a simple Internet mix: 7 of 64 octets, 4 of 576, 1 of 1500.
fn bytes(index: u64) -> &'static [u8] {
    const FRAME: [u8; 1500] = [0x5a; 1500];
    match index % 12 {
        0..7 => &FRAME[..64],
        7..11 => &FRAME[..576],
        _ => &FRAME,
    }
}

fn record(index: u64, bytes: &[u8]) -> Record<'_> {
    Record {
        time: index * 1000,
        link: Link::Ethernet,
        bytes,
        wire_length: bytes.len() as u32,
    }
}

/// Nanoseconds a frame: each one's best of nine rounds, taken in turn so that whatever else the
/// machine does meets them alike.
fn compare<const N: usize>(what: &str, mut runs: [(&str, &mut dyn FnMut()); N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..9 {
        for (best, (_, run)) in best.iter_mut().zip(&mut runs) {
            let start = Instant::now();
            run();
            *best = best.min(start.elapsed().as_nanos() as f64 / FRAMES as f64);
        }
    }
    for (best, (how, _)) in best.iter().zip(&runs) {
        println!("{:<46} {best:6.1} ns a frame", format!("{what}: {how}"));
    }
    best
}

fn copy(path: &Path) {
    let mut file = File::open(path).expect("just written");
    let mut buffer = vec![0; 512 * 1024];
    while file.read(&mut buffer).expect("just written") > 0 {
        black_box(buffer[0]);
    }
}

fn read(path: &Path) {
    let mut reader = Reader::open(path).expect("just written");
    let mut count = 0;
    while let Some(record) = reader.next().expect("just written") {
        black_box(record.bytes.first());
        count += 1;
    }
    assert_eq!(count, FRAMES);
}

fn merge(path: &Path) {
    let mut merge = Merge::new(vec![Reader::open(path).expect("just written")]);
    let mut count = 0;
    while let Ok(Some((_, record))) = merge.next() {
        black_box(record.bytes.first());
        count += 1;
    }
    assert_eq!(count, FRAMES);
}

#[test]
#[ignore = "measures, in release; 2 million frames in a temporary folder"]
fn a_capture_in_the_page_cache_is_read_within_25_ns_a_frame_of_its_copy() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    type Frames = fn(u64) -> &'static [u8];
    let sizes: [(&str, Frames); 2] = [("64 octets", |_| &[0x5a; 64]), ("mixed", bytes)];
    for (size, frame) in sizes {
        for end in ["pcap", "pcap.zst", "pcap.gz"] {
            let path = folder.path().join(format!("a.{end}"));
            let precision = Precision::Nanoseconds;
            let mut writer = PcapWriter::create(&path, Link::Ethernet, precision).expect("a file");
            for index in 0..FRAMES {
                writer.write(&record(index, frame(index))).expect("room");
            }
            writer.finish().expect("room");
            measure(&format!("{size}, {end}"), &path, end == "pcap");
        }
        for comment in [None, Some("limit_exceeded")] {
            let path = folder.path().join("a.pcapng");
            let what = format!("{size}, pcapng, {comment:?}");
            let mut write = || {
                let mut writer = Writer::create(&path).expect("a file");
                for index in 0..FRAMES {
                    writer
                        .write(&record(index, frame(index)), comment)
                        .expect("room");
                }
                writer.finish().expect("room");
            };
            compare(&what, [("write", &mut write)]);
            measure(&what, &path, true);
        }
    }
}

fn measure(what: &str, path: &Path, plain: bool) {
    let runs: [(&str, &mut dyn FnMut()); 3] = [
        ("copy alone", &mut || copy(path)),
        ("read", &mut || read(path)),
        ("merge of one", &mut || merge(path)),
    ];
    let [copied, taken @ ..] = compare(what, runs);
    for taken in taken {
        let more = taken - copied;
        assert!(!plain || more <= 25.0, "{more:.1} ns more than the copy");
    }
}
