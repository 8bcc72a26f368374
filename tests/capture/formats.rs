//! Every format, byte order, precision and compression.

use std::io::Cursor;

use lychgate::{io::capture::Reader, wire::Link};

use super::build::*;

const SECONDS: u32 = 1_700_000_000;

/// A capture in one format, and what is in it.
fn every_capture() -> Vec<(String, Vec<u8>, Vec<Owned>)> {
    let mut captures = Vec::new();
    for order in ORDERS {
        for (magic, unit) in [(MICROSECONDS, 1000), (NANOSECONDS, 1)] {
            let (octets, records) = pcap(order, magic, unit);
            captures.push((format!("pcap {order:?} {unit}"), octets, records));
        }
        for (resolution, per_second) in
            [(None, 1_000_000), (Some(9), 1_000_000_000), (Some(3), 1000)]
        {
            let (octets, records) = pcapng(order, resolution, per_second);
            captures.push((format!("pcapng {order:?} {resolution:?}"), octets, records));
        }
    }
    captures
}

fn pcap(order: Order, magic: u32, unit: u64) -> (Vec<u8>, Vec<Owned>) {
    let mut octets = pcap_header(order, magic, 65_535, 1);
    let mut records = Vec::new();
    for (index, length) in [60, 0, 1, 1514, 77].into_iter().enumerate() {
        let (first, fraction) = (index as u8, 999_990 + index as u32);
        octets.extend(pcap_record(
            order,
            (SECONDS, fraction),
            length as u32 + 9,
            &frame(first, length),
        ));
        let time = u64::from(SECONDS) * 1_000_000_000 + u64::from(fraction) * unit;
        records.push(Owned {
            wire_length: length as u32 + 9,
            ..owned(time, first, length)
        });
    }
    (octets, records)
}

fn pcapng(order: Order, resolution: Option<u8>, per_second: u64) -> (Vec<u8>, Vec<Owned>) {
    let options = resolution.map_or(Vec::new(), |power| option(order, 9, &[power]));
    let mut octets = section(order);
    octets.extend(interface(order, 1, 0, &options));
    let mut records = Vec::new();
    for (index, length) in [60, 0, 1, 1514, 77].into_iter().enumerate() {
        let first = index as u8;
        let ticks = u64::from(SECONDS) * per_second + index as u64;
        octets.extend(enhanced(
            order,
            0,
            ticks,
            length as u32 + 9,
            &frame(first, length),
        ));
        let time = ticks * (1_000_000_000 / per_second);
        records.push(Owned {
            wire_length: length as u32 + 9,
            ..owned(time, first, length)
        });
    }
    (octets, records)
}

#[test]
fn every_format_reads_the_same_plain_and_compressed() {
    for (name, octets, expected) in every_capture() {
        assert_eq!(read_whole(&octets), expected, "{name}");
        assert_eq!(read_whole(&gzip(&octets)), expected, "{name} gzip");
        assert_eq!(read_whole(&zstandard(&octets)), expected, "{name} zstd");
    }
}

#[test]
fn a_pipe_that_gives_one_octet_at_a_time_reads_the_same() {
    for (name, octets, expected) in every_capture() {
        for octets in [gzip(&octets), zstandard(&octets), octets] {
            let (records, error) = read_from(Dribble(Cursor::new(octets)));
            assert!(error.is_none(), "{name}");
            assert_eq!(records, expected, "{name}");
        }
    }
}

#[test]
fn compressed_files_that_were_concatenated_read_as_one() {
    let (name, octets, expected) = every_capture().swap_remove(0);
    let (first, second) = octets.split_at(octets.len() / 3);
    for members in [
        [gzip(first), gzip(second)].concat(),
        [zstandard(first), zstandard(second)].concat(),
        // A skippable frame (RFC 8878 §3.1.2) in front, as pzstd writes.
        [b"\x50\x2a\x4d\x18\x02\0\0\0ab".to_vec(), zstandard(&octets)].concat(),
    ] {
        assert_eq!(read_whole(&members), expected, "{name}");
    }
}

#[test]
fn a_big_endian_nanosecond_file_reads_as_it_stands_octet_for_octet() {
    #[rustfmt::skip]
    let octets = [
        0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 101,
        0, 0, 0, 1, 0x3b, 0x9a, 0xc9, 0xff, 0, 0, 0, 2, 0, 0, 5, 0xdc, 0x45, 0x00,
    ];
    let expected = Owned {
        time: 1_999_999_999,
        link: Link::Ip,
        bytes: vec![0x45, 0],
        wire_length: 1500,
    };
    assert_eq!(read_whole(&octets), [expected]);
}

#[test]
fn kuznetzovs_variant_has_eight_more_octets_a_record() {
    let mut octets = pcap_header(Order::Little, MODIFIED, 0, 1);
    for first in [7, 9] {
        octets.extend(Order::Little.words(&[1, 2, 5, 60]));
        octets.extend([0xee; 8]);
        octets.extend(frame(first, 5));
    }
    let expected = [7, 9].map(|first| Owned {
        wire_length: 60,
        ..owned(1_000_002_000, first, 5)
    });
    assert_eq!(read_whole(&octets), expected);
}

#[test]
fn link_types_are_told_from_their_numbers() {
    let known = [
        (0, Link::Loopback),
        (108, Link::Loopback),
        (1, Link::Ethernet),
        (9, Link::Ppp),
        (50, Link::Ppp),
        (12, Link::Ip),
        (14, Link::Ip),
        (101, Link::Ip),
        (228, Link::Ip),
        (229, Link::Ip),
        (113, Link::LinuxSll),
        (276, Link::LinuxSll2),
    ];
    for (number, link) in known {
        let record = pcap_record(Order::Little, (0, 0), 4, &[1; 4]);
        let octets = [pcap_header(Order::Little, MICROSECONDS, 0, number), record].concat();
        assert_eq!(read_whole(&octets)[0].link, link, "{number}");
    }
}

#[test]
fn a_frame_check_sequence_that_the_header_announces_is_not_part_of_the_frame() {
    // Two 16-bit words (bits 31 to 28), present (bit 26).
    let mut octets = pcap_header(Order::Little, MICROSECONDS, 0, 0x2400_0001);
    octets.extend(pcap_record(Order::Little, (0, 0), 64, &frame(0, 64)));
    octets.extend(pcap_record(Order::Little, (0, 0), 64, &frame(0, 62)));
    octets.extend(pcap_record(Order::Little, (0, 0), 64, &frame(0, 40)));
    octets.extend(pcap_record(Order::Little, (0, 0), 3, &frame(0, 3)));
    let lengths: Vec<_> = read_whole(&octets)
        .iter()
        .map(|r| (r.bytes.len(), r.wire_length))
        .collect();
    assert_eq!(lengths, [(60, 60), (60, 60), (40, 60), (0, 0)]);
}

#[test]
fn a_wire_length_is_never_less_than_what_was_captured() {
    let record = pcap_record(Order::Big, (0, 0), 10, &frame(0, 60));
    let octets = [pcap_header(Order::Big, MICROSECONDS, 0, 1), record].concat();
    assert_eq!(read_whole(&octets), [owned(0, 0, 60)]);
}

#[test]
fn a_capture_without_records_ends_at_once() {
    for order in ORDERS {
        assert_eq!(read_whole(&pcap_header(order, MICROSECONDS, 0, 1)), []);
        assert_eq!(read_whole(&section(order)), []);
    }
}

#[test]
fn progress_counts_octets_of_the_file_as_it_is_stored() {
    let (_, octets, _) = every_capture().swap_remove(0);
    let folder = tempfile::tempdir().expect("a folder for the test");
    // The name does not tell the format.
    let path = folder.path().join("capture.pcap");
    let stored = gzip(&octets);
    std::fs::write(&path, &stored).expect("a file for the test");
    let mut reader = Reader::open(&path).expect("a whole header");
    assert_eq!(reader.progress().total, Some(stored.len() as u64));
    while reader.next().expect("a whole capture").is_some() {}
    assert_eq!(reader.progress().read, stored.len() as u64);
    assert_eq!(reader.name(), path.to_str().expect("a plain path"));
}

#[test]
fn records_across_the_buffers_end_are_whole() {
    // Longest records, so that each refill finds one cut by the buffer's end.
    let length = 256 * 1024;
    let mut octets = pcap_header(Order::Little, NANOSECONDS, 0, 1);
    let mut expected = Vec::new();
    for first in 0..9 {
        octets.extend(pcap_record(
            Order::Little,
            (0, first.into()),
            length as u32,
            &frame(first, length),
        ));
        expected.push(owned(first.into(), first, length));
    }
    assert_eq!(read_whole(&octets), expected);
}
