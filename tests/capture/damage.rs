//! Damage of every kind: all before it is handed out, then one error says where and what.

use std::{io::Cursor, path::Path};

use lychgate::io::capture::{CAPTURED_MAX, CaptureError, Fault, Reader};

use super::build::*;

const L: Order = Order::Little;

/// The error behind `whole` records.
fn error(octets: &[u8], whole: usize) -> CaptureError {
    let (records, error) = read(octets);
    assert_eq!(records.len(), whole);
    error.expect("the capture is damaged")
}

fn pcap_with(record: &[u8]) -> Vec<u8> {
    let good = pcap_record(L, (0, 0), 4, &[0; 4]);
    [pcap_header(L, MICROSECONDS, 96, 1), good, record.to_vec()].concat()
}

fn pcapng_with(block: &[u8]) -> Vec<u8> {
    let good = enhanced(L, 0, 0, 4, &[0; 4]);
    [section(L), interface(L, 1, 0, &[]), good, block.to_vec()].concat()
}

/// Octets of [`pcap_with`] and [`pcapng_with`] in front of what is added.
const PCAP: u64 = 24 + 20;
const PCAPNG: u64 = 28 + 20 + 36;

/// Cuts a capture everywhere; `ends` are the offsets at which it is whole, each with the count of
/// records up to there.
fn cut_everywhere(octets: &[u8], ends: &[(usize, usize)]) {
    for cut in 0..octets.len() {
        let (records, error) = read(&octets[..cut]);
        let (end, whole) = ends
            .iter()
            .rev()
            .find(|end| end.0 <= cut)
            .copied()
            .unwrap_or((0, 0));
        assert_eq!(records.len(), whole, "cut at {cut}");
        if ends.iter().any(|end| end.0 == cut) {
            assert!(error.is_none(), "cut at {cut}: {error:?}");
            continue;
        }
        match error.map(|error| error.fault) {
            Some(Fault::Truncated {
                offset,
                needed,
                left,
                ..
            }) => {
                assert_eq!(
                    (offset, left),
                    (end as u64, (cut - end) as u64),
                    "cut at {cut}"
                );
                assert!(needed > left, "cut at {cut}");
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_pcap_cut_anywhere_gives_all_whole_records_and_one_error() {
    for order in ORDERS {
        let mut octets = pcap_header(order, MICROSECONDS, 0, 1);
        let mut ends = vec![(octets.len(), 0)];
        for (index, length) in [5, 0, 60, 1].into_iter().enumerate() {
            octets.extend(pcap_record(order, (0, 0), length as u32, &frame(0, length)));
            ends.push((octets.len(), index + 1));
        }
        cut_everywhere(&octets, &ends);
    }
}

#[test]
fn a_pcapng_cut_anywhere_gives_all_whole_records_and_one_error() {
    for order in ORDERS {
        let parts = [
            (section(order), 0),
            (interface(order, 1, 0, &option(order, 9, &[9])), 0),
            (enhanced(order, 0, 1, 5, &frame(0, 5)), 1),
            (block(order, 5, &[0; 12]), 0),
            (block(order, 3, &[0, 0, 0, 0]), 1),
            (section(order), 0),
            (interface(order, 1, 0, &[]), 0),
            (enhanced(order, 0, 1, 60, &frame(0, 60)), 1),
        ];
        let (mut octets, mut records, mut ends) = (Vec::new(), 0, Vec::new());
        for (part, count) in parts {
            octets.extend(part);
            records += count;
            ends.push((octets.len(), records));
        }
        cut_everywhere(&octets, &ends);
    }
}

#[test]
fn a_long_block_cut_while_it_is_passed_over_says_where_it_begins() {
    let octets = pcapng_with(&block(L, 10, &vec![0; 2_000_000]));
    for cut in [900_000, octets.len() - 3] {
        let fault = error(&octets[..cut], 1).fault;
        let Fault::Truncated {
            offset,
            needed,
            left,
            ..
        } = fault
        else {
            panic!("{fault:?}")
        };
        assert_eq!(
            (offset, needed, left),
            (PCAPNG, 2_000_012, cut as u64 - PCAPNG)
        );
    }
}

#[test]
fn a_compressed_capture_cut_anywhere_gives_one_error_behind_its_records() {
    let octets = pcap_with(&pcap_record(L, (0, 0), 60, &frame(0, 60)));
    for (format, packed) in [("gzip", gzip(&octets)), ("zstd", zstandard(&octets))] {
        for cut in 4..packed.len() {
            let (records, error) = read(&packed[..cut]);
            assert!(records.len() <= 2, "{format} cut at {cut}");
            let fault = error.map(|error| error.fault);
            let Some(Fault::Compression {
                format: said,
                offset,
                ..
            }) = fault
            else {
                panic!("{format} cut at {cut}: {fault:?}")
            };
            assert_eq!(said, format);
            assert!(offset <= octets.len() as u64);
        }
    }
}

#[test]
fn a_gzip_stream_that_fails_its_checksum_is_damaged_behind_all_its_records() {
    let mut packed = gzip(&pcap_with(&[]));
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert_eq!(
        error(&packed, 1).to_string(),
        "test.cap: damaged gzip stream at offset 44 of its uncompressed content: corrupt gzip \
         stream does not have a matching checksum; all before it was read, copy the file again \
         or test it with `gzip -t`"
    );
}

#[test]
fn rubbish_behind_a_compressed_stream_is_damage() {
    for (format, packed) in [
        ("gzip", gzip(&pcap_with(&[]))),
        ("zstd", zstandard(&pcap_with(&[]))),
    ] {
        let error = error(&[packed, b"rubbish behind".to_vec()].concat(), 1);
        assert_eq!(error.offset(), Some(PCAP));
        assert!(
            error
                .to_string()
                .starts_with(&format!("test.cap: damaged {format} stream"))
        );
    }
}

#[test]
fn what_is_no_capture_is_refused_with_what_it_may_be() {
    for (octets, what) in [
        (&b"#!/bin/sh"[..], "it begins with 23 21 2f 62"),
        (
            b"\xfd7zXZ\0rest",
            "it is xz data, decompress or convert it first",
        ),
        (
            b"BZh91AY",
            "it is bzip2 data, decompress or convert it first",
        ),
        (
            b"\x04\x22\x4d\x18rest",
            "it is lz4 data, decompress or convert it first",
        ),
        (
            b"PK\x03\x04rest",
            "it is a zip archive, decompress or convert it first",
        ),
        (
            b"snoop\0\0\0",
            "it is a snoop capture, decompress or convert it first",
        ),
        (
            &gzip(&gzip(b"x")),
            "it is compressed twice, decompress or convert it first",
        ),
    ] {
        let error = error(octets, 0);
        assert_eq!(error.offset(), None);
        assert_eq!(
            error.to_string(),
            format!(
                "test.cap: not a capture: {what}; pcap and pcapng are read, plain or compressed by \
                 gzip or zstd"
            )
        );
    }
}

#[test]
fn a_message_names_file_offset_cause_and_remedy() {
    for (octets, whole, message) in [
        (
            vec![],
            0,
            "cut short: the file header at offset 0 is 24 octets long and 0 of them are there; all \
             before it was read, copy the file again if it was longer once",
        ),
        (
            pcap_with(&L.words(&[1, 2, 60, 60])),
            1,
            "cut short: the record at offset 44 is 76 octets long and 16 of them are there; all \
             before it was read, copy the file again if it was longer once",
        ),
        (
            pcap_with(&L.words(&[1, 2, 0xffff_fff0, 60])),
            1,
            "corrupt at offset 44: a record of 4294967280 octets, where at most 65536 are \
             credible; all before it was read, copy the file again",
        ),
        (
            pcapng_with(&L.words(&[6, 13, 0, 0])),
            1,
            "corrupt at offset 84: a block of type 0x6 and 13 octets, where a multiple of 4 from \
             32 to 524288 is credible; all before it was read, copy the file again",
        ),
        (
            pcap_header(L, MICROSECONDS, 0, 127),
            0,
            "link type LINKTYPE_IEEE802_11_RADIOTAP (127) at offset 0 is not supported; capture \
             on an interface with Ethernet, raw IP, Linux cooked, BSD loopback or PPP framing",
        ),
        (
            pcap_header(L, MICROSECONDS, 0, 9999),
            0,
            "link type 9999 at offset 0 is not supported; capture on an interface with Ethernet, \
             raw IP, Linux cooked, BSD loopback or PPP framing",
        ),
    ] {
        assert_eq!(
            error(&octets, whole).to_string(),
            format!("test.cap: {message}")
        );
    }
}

#[test]
fn a_record_longer_than_its_file_may_hold_is_corrupt() {
    for (snap_length, captured, credible) in [
        (96, 65_536, true),
        (96, 65_537, false),
        (65_535, 131_070, true),
        (65_535, 131_071, false),
        (0, CAPTURED_MAX, true),
        (0, CAPTURED_MAX + 1, false),
        (u32::MAX, CAPTURED_MAX, true),
        (u32::MAX, CAPTURED_MAX + 1, false),
    ] {
        let frame = frame(0, captured);
        let pcap = [
            pcap_header(L, MICROSECONDS, snap_length, 1),
            pcap_record(L, (0, 0), captured as u32, &frame),
        ];
        let pcapng = [
            section(L),
            interface(L, 1, snap_length, &[]),
            enhanced(L, 0, 0, captured as u32, &frame),
        ];
        for (octets, offset) in [(pcap.concat(), 24), (pcapng.concat(), 48)] {
            let (records, error) = read(&octets);
            assert_eq!(
                records.len(),
                usize::from(credible),
                "{captured} of {snap_length}"
            );
            assert_eq!(
                error.and_then(|error| error.offset()),
                (!credible).then_some(offset)
            );
        }
    }
}

/// A block that says what cannot be is corrupt where it begins.
fn corrupt_block(block: &[u8], what: &str) {
    let good = enhanced(L, 0, 0, 4, &[0; 4]);
    let fault = error(&pcapng_with(&[block.to_vec(), good].concat()), 1).fault;
    let Fault::Corrupt { offset, what: said } = fault else {
        panic!("{fault:?}")
    };
    assert_eq!((offset, said.as_str()), (PCAPNG, what));
}

#[test]
fn a_block_whose_two_lengths_differ_is_corrupt() {
    for kind in [1, 2, 3, 6, 5] {
        let mut block = block(L, kind, &[0; 24]);
        block[32] = 40;
        corrupt_block(
            &block,
            "a block of 36 octets by its beginning and 40 by its end",
        );
    }
    let mut long = block(L, 10, &vec![0; 1_000_000]);
    long[1_000_008] = 0;
    corrupt_block(
        &long,
        "a block of 1000012 octets by its beginning and 999936 by its end",
    );
}

#[test]
fn a_block_of_a_length_that_cannot_be_is_corrupt() {
    for (kind, length, least, most) in [
        (6, 28, 32, 524_288),
        (6, 34, 32, 524_288),
        (6, 524_292, 32, 524_288),
        (2, 28, 32, 524_288),
        (3, 12, 16, 524_288),
        (1, 16, 20, 524_288),
        (5, 8, 12, 16_777_216),
        (5, 0, 12, 16_777_216),
        (5, 16_777_220, 12, 16_777_216),
        (77, 0xffff_fffc_u32, 12, 16_777_216),
    ] {
        let what = format!(
            "a block of type {kind:#x} and {length} octets, where a multiple of 4 from {least} to \
             {most} is credible"
        );
        corrupt_block(&L.words(&[kind, length, 0, 0, 0, 0, 0, 0]), &what);
    }
}

#[test]
fn a_packet_that_cannot_be_is_corrupt() {
    let packet = |interface, captured| block(L, 6, &L.words(&[interface, 0, 0, captured, 0, 0]));
    corrupt_block(
        &packet(0, 5),
        "5 octets captured in a block with room for 4",
    );
    corrupt_block(
        &packet(0, u32::MAX),
        "4294967295 octets captured in a block with room for 4",
    );
    corrupt_block(
        &packet(1, 4),
        "a packet of interface 1 in a section that has described 1 so far",
    );
    corrupt_block(
        &block(L, 3, &L.words(&[5, 0])),
        "5 octets captured in a block with room for 4",
    );
    let nameless = [section(L), block(L, 3, &L.words(&[4, 0]))].concat();
    assert!(
        error(&nameless, 0)
            .to_string()
            .contains("interface 0 in a section that has described 0")
    );
}

#[test]
fn an_interface_whose_options_cannot_be_is_corrupt() {
    let malformed = "an interface description with malformed options";
    corrupt_block(&interface(L, 1, 0, &[9, 0, 200, 0, 9, 0, 0, 0]), malformed);
    corrupt_block(&interface(L, 1, 0, &option(L, 9, &[9, 9])), malformed);
    corrupt_block(&interface(L, 1, 0, &option(L, 14, &[0; 4])), malformed);
}

#[test]
fn a_section_header_that_cannot_be_is_corrupt() {
    let mut unordered = section(L);
    unordered[8] = 0;
    corrupt_block(&unordered, "a section header without its byte-order magic");
    let mut future = section(L);
    future[12] = 2;
    corrupt_block(&future, "pcapng version 2.0, where only 1 is known");
    let mut overrun = section(L);
    overrun[24] = 24;
    corrupt_block(
        &overrun,
        "a block of 28 octets by its beginning and 24 by its end",
    );
}

#[test]
fn a_pcap_of_another_version_is_corrupt() {
    let mut octets = pcap_header(Order::Big, MICROSECONDS, 0, 1);
    octets[5] = 3;
    let message = error(&octets, 0).to_string();
    assert!(message.contains("corrupt at offset 4: pcap version 3.4, where only 2 is known"));
}

#[test]
fn more_interfaces_than_anyone_has_are_corrupt() {
    let flood = interface(L, 1, 0, &[]).repeat(65_537);
    let error = error(&[section(L), flood].concat(), 0);
    assert_eq!(error.offset(), Some(28 + 65_536 * 20));
    assert!(error.to_string().contains("more than 65536 interfaces"));
}

#[test]
fn a_file_that_is_not_there_or_no_file_is_said_so() {
    let open = |path: &Path| Reader::open(path).err().expect("no capture there");
    let missing = open(Path::new("/nowhere/missing.pcap"));
    assert_eq!(
        missing.to_string(),
        "/nowhere/missing.pcap: cannot be opened: No such file or directory (os error 2); check \
         the path and its permissions"
    );
    let folder = tempfile::tempdir().expect("a folder for the test");
    assert!(matches!(
        open(folder.path()).fault,
        Fault::Read { offset: 0, .. }
    ));
}

#[test]
fn a_disk_that_fails_is_not_taken_for_a_damaged_stream() {
    let octets = pcap_with(&[]);
    for octets in [gzip(&octets), zstandard(&octets), octets] {
        let (records, error) = read_from(Failing(Cursor::new(octets)));
        assert_eq!(records.len(), 1);
        let error = error.expect("the disk fails");
        assert_eq!(
            error.to_string(),
            "test.cap: cannot be read at offset 44: the disk fails; all before it was read"
        );
    }
}
