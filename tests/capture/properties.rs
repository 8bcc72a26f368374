//! What must hold for any records and any octets.

use lychgate::{
    io::capture::{PcapWriter, Precision, Writer},
    wire::Link,
};
use proptest::prelude::*;

use super::{build::*, writing::Sink};

const LINKS: [Link; 6] = [
    Link::Ethernet,
    Link::Ip,
    Link::LinuxSll,
    Link::LinuxSll2,
    Link::Loopback,
    Link::Ppp,
];

fn a_record() -> impl Strategy<Value = Owned> {
    let bytes = prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (0..=256 * 1024_usize).prop_map(|length| frame(1, length)),
    ];
    (
        any::<u64>(),
        prop::sample::select(&LINKS[..]),
        bytes,
        0..2000_u32,
    )
        .prop_map(|(time, link, bytes, cut)| {
            let wire_length = bytes.len() as u32 + cut;
            Owned {
                time,
                link,
                bytes,
                wire_length,
            }
        })
}

/// Whole captures to damage: both formats, plain and compressed.
fn a_capture() -> impl Strategy<Value = Vec<u8>> {
    let order = prop::sample::select(&ORDERS[..]);
    (
        order,
        any::<bool>(),
        0..3_u8,
        prop::collection::vec(0..90_usize, 0..6),
    )
        .prop_map(|(order, pcapng, compression, lengths)| {
            let mut octets = if pcapng {
                [
                    section(order),
                    interface(order, 1, 0, &option(order, 9, &[9])),
                ]
                .concat()
            } else {
                pcap_header(order, MICROSECONDS, 0, 1)
            };
            for length in lengths {
                octets.extend(if pcapng {
                    enhanced(order, 0, 1, 90, &frame(0, length))
                } else {
                    pcap_record(order, (0, 1), 90, &frame(0, length))
                });
            }
            match compression {
                0 => octets,
                1 => gzip(&octets),
                _ => zstandard(&octets),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_records_written_as_pcapng_read_back_the_same(
        records in prop::collection::vec((a_record(), prop::option::of(".{0,40}")), 0..20),
        name in prop::sample::select(&["a.pcapng", "a.pcapng.gz", "a.pcapng.zst"][..]),
    ) {
        let sink = Sink::default();
        let mut writer = Writer::from_write(name, sink.clone()).expect("a sink takes all");
        for (record, comment) in &records {
            writer.write(&record.record(), comment.as_deref()).expect("a sink takes all");
        }
        writer.finish().expect("a sink takes all");
        let records: Vec<_> = records.into_iter().map(|(record, _)| record).collect();
        prop_assert_eq!(read_whole(&sink.octets()), records);
    }

    #[test]
    fn any_records_written_as_pcap_read_back_but_for_the_precision(
        records in prop::collection::vec(a_record(), 0..20),
        link in prop::sample::select(&LINKS[..]),
        name in prop::sample::select(&["a.pcap", "a.pcap.gz", "a.pcap.zst"][..]),
        (precision, unit) in prop::sample::select(
            &[(Precision::Microseconds, 1000), (Precision::Nanoseconds, 1)][..],
        ),
    ) {
        let sink = Sink::default();
        let mut writer =
            PcapWriter::from_write(name, sink.clone(), link, precision).expect("a sink takes all");
        let mut expected = Vec::new();
        for record in records {
            let time = record.time % (u64::from(u32::MAX) * 1_000_000_000);
            let record = Owned { time, link, ..record };
            writer.write(&record.record()).expect("a sink takes all");
            expected.push(Owned { time: time - time % unit, ..record });
        }
        writer.finish().expect("a sink takes all");
        prop_assert_eq!(read_whole(&sink.octets()), expected);
    }

    // That reading ends, does not panic and stays in its buffer (which debug builds assert) is
    // the property; what comes out is for the other tests.
    #[test]
    fn any_octets_read_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&octets);
    }

    #[test]
    fn any_octets_behind_a_good_beginning_read_to_an_end(
        good in a_capture(),
        octets in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        read(&[good, octets].concat());
    }

    #[test]
    fn a_capture_with_any_few_octets_changed_reads_to_an_end(
        mut octets in a_capture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (index, value) in changes {
            let at = index.index(octets.len());
            octets[at] = value;
        }
        read(&octets);
    }
}
