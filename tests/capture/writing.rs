//! What the writers write, octet for octet.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use lychgate::{
    io::capture::{CAPTURED_MAX, Fault, PcapWriter, Precision, Record, Writer},
    wire::Link,
};

use super::build::*;

/// Keeps what is written to it.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub fn octets(&self) -> Vec<u8> {
        self.0.lock().expect("no test panics while writing").clone()
    }
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panics while writing")
            .write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk without room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const RECORD: Record<'_> = Record {
    time: 0x0102_0304_0506_0708,
    link: Link::Ethernet,
    bytes: b"abcde",
    wire_length: 60,
};

fn written(records: &[(Record<'_>, Option<&str>)]) -> Vec<u8> {
    let sink = Sink::default();
    let mut writer = Writer::from_write("a.pcapng", sink.clone()).expect("a sink takes all");
    for (record, comment) in records {
        writer.write(record, *comment).expect("a sink takes all");
    }
    writer.finish().expect("a sink takes all");
    sink.octets()
}

#[test]
fn pcapng_is_written_octet_for_octet() {
    let ip = Record {
        link: Link::Ip,
        bytes: b"wxyz",
        wire_length: 4,
        time: 1,
    };
    let octets = written(&[(RECORD, Some("limit")), (ip, None), (RECORD, None)]);
    #[rustfmt::skip]
    let expected = [
        // Section header: byte-order magic, version 1.0, unknown length, shb_userappl, end.
        &[0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..],
        &[0xff; 8], &[4, 0, 8, 0], b"lychgate", &[0; 4], &[44, 0, 0, 0],
        // Interface 0: Ethernet, 256 KiB, if_tsresol 9, if_tsoffset 0, end.
        &[1, 0, 0, 0, 44, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0],
        &[9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0],
        // A packet of 5 octets of 60, with opt_comment.
        &[6, 0, 0, 0, 56, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 5, 0, 0, 0, 60, 0, 0, 0],
        b"abcde\0\0\0", &[1, 0, 5, 0], b"limit\0\0\0", &[0; 4], &[56, 0, 0, 0],
        // Interface 1: raw IP.
        &[1, 0, 0, 0, 44, 0, 0, 0, 101, 0, 0, 0, 0, 0, 4, 0],
        &[9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0],
        &[6, 0, 0, 0, 36, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0],
        b"wxyz", &[36, 0, 0, 0],
        // Interface 0 again, without comment.
        &[6, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 5, 0, 0, 0, 60, 0, 0, 0],
        b"abcde\0\0\0", &[40, 0, 0, 0],
    ]
    .concat();
    assert_eq!(octets, expected);
}

#[test]
fn pcap_is_written_octet_for_octet() {
    let record = Record {
        time: 3_000_004_999,
        ..RECORD
    };
    for (precision, magic, fraction) in [
        (
            Precision::Microseconds,
            [0xd4, 0xc3, 0xb2, 0xa1],
            [4, 0, 0, 0],
        ),
        (
            Precision::Nanoseconds,
            [0x4d, 0x3c, 0xb2, 0xa1],
            [0x87, 0x13, 0, 0],
        ),
    ] {
        let sink = Sink::default();
        let mut writer = PcapWriter::from_write("a.pcap", sink.clone(), Link::Ethernet, precision)
            .expect("a sink takes all");
        writer.write(&record).expect("a sink takes all");
        writer.finish().expect("a sink takes all");
        let expected = [
            &magic[..],
            &[
                2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0,
            ],
            &fraction,
            &[5, 0, 0, 0, 60, 0, 0, 0],
            b"abcde",
        ]
        .concat();
        assert_eq!(sink.octets(), expected);
    }
}

#[test]
fn a_comment_longer_than_an_option_is_cut_between_characters() {
    for (comment, kept) in [
        ("x".repeat(70_000), 65_535),
        ("ü".repeat(40_000), 65_534),
        ("ü".repeat(9), 18),
    ] {
        let octets = written(&[(RECORD, Some(&comment))]);
        // Headers of section, interface and packet, the frame, and the option's code.
        let at = 44 + 44 + 28 + 8 + 2;
        assert_eq!(u16::from_le_bytes([octets[at], octets[at + 1]]), kept);
        assert_eq!(read_whole(&octets), [Owned::of(&RECORD)]);
    }
}

#[test]
fn a_wire_length_below_what_was_captured_is_put_right() {
    let octets = written(&[(
        Record {
            wire_length: 0,
            ..RECORD
        },
        None,
    )]);
    assert_eq!(read_whole(&octets)[0].wire_length, 5);
}

#[test]
fn a_record_that_the_format_has_no_place_for_is_refused_and_the_file_stays_whole() {
    let sink = Sink::default();
    let mut writer = Writer::from_write("out", sink.clone()).expect("a sink takes all");
    let long = frame(0, CAPTURED_MAX + 1);
    let error = writer
        .write(
            &Record {
                bytes: &long,
                ..RECORD
            },
            None,
        )
        .expect_err("too long");
    assert_eq!(
        error.to_string(),
        "out: cannot be written: a frame of 262145 octets, where at most 262144 are allowed"
    );
    writer.write(&RECORD, None).expect("a sink takes all");
    writer.finish().expect("a sink takes all");
    assert_eq!(read_whole(&sink.octets()), [Owned::of(&RECORD)]);

    let mut writer = PcapWriter::from_write(
        "out",
        Sink::default(),
        Link::Ethernet,
        Precision::Nanoseconds,
    )
    .expect("a sink takes all");
    let error = writer
        .write(&Record {
            link: Link::Ip,
            ..RECORD
        })
        .expect_err("another link type");
    assert_eq!(
        error.to_string(),
        "out: cannot be written: a frame of link type Ip in a file of Ethernet frames"
    );
    let error = writer
        .write(&Record {
            time: u64::MAX,
            ..RECORD
        })
        .expect_err("too late");
    assert_eq!(
        error.to_string(),
        "out: cannot be written: a time beyond the year 2106; write pcapng instead"
    );
}

#[test]
fn a_full_disk_is_said_when_the_file_is_finished() {
    for name in ["a.pcapng", "a.pcapng.gz", "a.pcapng.zst"] {
        let mut writer = Writer::from_write(name, Full).expect("nothing is written yet");
        writer.write(&RECORD, None).expect("nothing is written yet");
        let error = writer.finish().expect_err("the disk is full");
        assert!(matches!(error.fault, Fault::Write(_)));
        assert_eq!(
            error.to_string(),
            format!("{name}: cannot be written: no storage space; check that the disk has room")
        );
    }
}

#[test]
fn a_files_ending_tells_its_compression() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for (name, magic) in [
        ("a.pcapng", &b"\x0a\x0d\x0d\x0a"[..]),
        ("a.pcapng.gz", b"\x1f\x8b"),
        ("a.pcapng.zst", b"\x28\xb5\x2f\xfd"),
    ] {
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path).expect("a file for the test");
        writer
            .write(&RECORD, Some("why"))
            .expect("room for a record");
        writer.finish().expect("room for a record");
        let octets = std::fs::read(&path).expect("the file just written");
        assert!(octets.starts_with(magic), "{name}");
        assert_eq!(read_whole(&octets), [Owned::of(&RECORD)], "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_created_is_said_so() {
    let error = Writer::create(Path::new("/nowhere/out.pcapng"))
        .err()
        .expect("no such folder");
    assert!(matches!(error.fault, Fault::Open(_)));
}
