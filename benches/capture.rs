//! What reading a capture in the page cache costs, beside its limit, in one run.
//!
//! The limit is `copy`: the kernel's copy of the file into a buffer, by read(2), which every
//! reader of a plain capture pays (of a compressed one it is next to nothing). `run by run` is what the replay does. Each way is measured in
//! turn, so that whatever else the machine does meets them alike; medians are printed.
//!
//! ```text
//! cargo bench --bench capture
//! cargo bench --bench capture -- --rounds 3 --frames 200000
//! ```

use std::{fs::File, hint::black_box, io::Read, path::Path, time::Instant};

use clap::Parser;
use lychgate::{
    io::capture::{Merge, PcapWriter, Precision, Reader, Record, Run, Writer},
    wire::Link,
};

#[derive(Parser)]
struct Options {
    /// Frames in each capture.
    #[arg(long, default_value_t = 2_000_000)]
    frames: u64,
    /// Rounds; medians are printed.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a folder for captures");
    let sizes: [(&str, Frames); 2] = [("64 octets", |_| &FRAME[..64]), ("mixed", mixed)];
    println!("{:<51}{:>10}{:>14}", "", "ns/frame", "of the copy");
    for (size, frames) in sizes {
        for end in ["pcap", "pcap.zst", "pcap.gz"] {
            let path = folder.path().join(format!("a.{end}"));
            write_pcap(&path, frames, options.frames);
            measure(&format!("{size}, {end}"), &path, &options);
        }
        for (kind, comment) in [("", None), (" with comments", Some("limit_exceeded"))] {
            let path = folder.path().join("a.pcapng");
            let start = Instant::now();
            write_pcapng(&path, frames, options.frames, comment);
            let what = format!("{size}, pcapng{kind}");
            report(&what, "write", nanoseconds(start, options.frames), None);
            measure(&what, &path, &options);
        }
    }
}

/// Reads a capture in every way, and says what each costs.
fn measure(what: &str, path: &Path, options: &Options) {
    let ways: [(&str, Way); 4] = [
        ("copy", copy),
        ("run by run", run_by_run),
        ("record by record", record_by_record),
        ("merge of one", merge_of_one),
    ];
    let mut taken = ways.map(|_| Vec::new());
    for _ in 0..options.rounds.max(1) {
        for ((_, way), taken) in ways.iter().zip(&mut taken) {
            let start = Instant::now();
            let count = way(path);
            taken.push(nanoseconds(start, options.frames));
            assert!(count.is_none_or(|count| count == options.frames));
        }
    }
    let medians = taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    });
    for ((how, _), median) in ways.iter().zip(medians) {
        report(what, how, median, Some(medians[0]));
    }
}

fn report(what: &str, how: &str, nanoseconds: f64, copy: Option<f64>) {
    let ratio = copy.map_or(String::new(), |copy| {
        format!("{:13.2}x", nanoseconds / copy)
    });
    println!("{what:<33}{how:<18}{nanoseconds:10.1}{ratio}");
}

fn nanoseconds(start: Instant, frames: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / frames as f64
}

/// Reads a capture; says how many frames it found, if it looked.
type Way = fn(&Path) -> Option<u64>;

fn copy(path: &Path) -> Option<u64> {
    let mut file = File::open(path).expect("just written");
    let mut buffer = vec![0; 128 * 1024];
    while file.read(&mut buffer).expect("just written") > 0 {
        black_box(buffer[0]);
    }
    None
}

fn run_by_run(path: &Path) -> Option<u64> {
    let mut merge = Merge::new(vec![Reader::open(path).expect("just written")]);
    let (mut run, mut count) = (Run::default(), 0);
    loop {
        merge.fill(&mut run).expect("just written");
        if run.is_empty() {
            return Some(count);
        }
        for (_, record) in run.records() {
            black_box(record.bytes.first());
        }
        count += run.len() as u64;
    }
}

fn record_by_record(path: &Path) -> Option<u64> {
    let mut reader = Reader::open(path).expect("just written");
    let mut count = 0;
    while let Some(record) = reader.next().expect("just written") {
        black_box(record.bytes.first());
        count += 1;
    }
    Some(count)
}

fn merge_of_one(path: &Path) -> Option<u64> {
    let mut merge = Merge::new(vec![Reader::open(path).expect("just written")]);
    let mut count = 0;
    while let Ok(Some((_, record))) = merge.next() {
        black_box(record.bytes.first());
        count += 1;
    }
    Some(count)
}

type Frames = fn(u64) -> &'static [u8];

static FRAME: [u8; 1500] = [0x5a; 1500];

/// Lengths of a simple Internet mix: 7 of 64 octets, 4 of 576, 1 of 1500.
fn mixed(index: u64) -> &'static [u8] {
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

fn write_pcap(path: &Path, frames: Frames, count: u64) {
    let precision = Precision::Nanoseconds;
    let mut writer = PcapWriter::create(path, Link::Ethernet, precision).expect("a file");
    for index in 0..count {
        let record = record(index, frames(index));
        writer.write(&record).expect("room");
    }
    writer.finish().expect("room");
}

fn write_pcapng(path: &Path, frames: Frames, count: u64, comment: Option<&str>) {
    let mut writer = Writer::create(path).expect("a file");
    for index in 0..count {
        let record = record(index, frames(index));
        writer.write(&record, comment).expect("room");
    }
    writer.finish().expect("room");
}
