//! What only pcapng has.

use lychgate::wire::Link;

use super::build::*;

const L: Order = Order::Little;

fn times(order: Order, options: &[u8], ticks: &[u64]) -> Vec<u64> {
    let mut octets = [section(order), interface(order, 1, 0, options)].concat();
    for &ticks in ticks {
        octets.extend(enhanced(order, 0, ticks, 4, &[0; 4]));
    }
    read_whole(&octets)
        .iter()
        .map(|record| record.time)
        .collect()
}

#[test]
fn sections_may_differ_in_byte_order_and_each_describes_its_interfaces_anew() {
    let octets = [
        section(Order::Big),
        interface(Order::Big, 1, 0, &[]),
        interface(Order::Big, 101, 0, &option(Order::Big, 9, &[9])),
        enhanced(Order::Big, 1, 5, 3, &frame(0, 3)),
        enhanced(Order::Big, 0, 5, 3, &frame(1, 3)),
        section(Order::Little),
        interface(Order::Little, 113, 0, &option(Order::Little, 9, &[9])),
        enhanced(Order::Little, 0, 6, 3, &frame(2, 3)),
    ];
    let expected = [
        Owned {
            link: Link::Ip,
            ..owned(5, 0, 3)
        },
        owned(5000, 1, 3),
        Owned {
            link: Link::LinuxSll,
            ..owned(6, 2, 3)
        },
    ];
    assert_eq!(read_whole(&octets.concat()), expected);
}

#[test]
fn time_comes_in_powers_of_ten() {
    for order in ORDERS {
        assert_eq!(times(order, &[], &[1_000_001]), [1_000_001_000]);
        for (power, ticks, time) in [
            (0, 7, 7_000_000_000),
            (6, 7, 7000),
            (9, 1 << 40, 1 << 40),
            (12, 7_999, 7),
            (28, u64::MAX, 1),
            (29, u64::MAX, 0),
            (127, u64::MAX, 0),
        ] {
            assert_eq!(
                times(order, &option(order, 9, &[power]), &[ticks]),
                [time],
                "10^-{power}"
            );
        }
    }
}

#[test]
fn time_comes_in_powers_of_two() {
    for order in ORDERS {
        for (power, ticks, time) in [
            (0, 3, 3_000_000_000),
            (1, 3, 1_500_000_000),
            (10, 1024 + 512, 1_500_000_000),
            (32, (1 << 32) + (1 << 30), 1_250_000_000),
            (63, 1 << 63, 1_000_000_000),
            (127, u64::MAX, 0),
        ] {
            let options = option(order, 9, &[0x80 | power]);
            assert_eq!(times(order, &options, &[ticks]), [time], "2^-{power}");
        }
    }
}

#[test]
fn time_may_be_offset_by_seconds_either_way() {
    for order in ORDERS {
        for (offset, time) in [
            (3, 3_000_005_000),
            (-1, 0),
            (0, 5000),
            (i64::MAX, u64::MAX),
            (i64::MIN, 0),
        ] {
            let options = [option(order, 14, &order.i64(offset)), option(order, 0, &[])].concat();
            assert_eq!(times(order, &options, &[5]), [time], "{order:?} {offset}");
        }
    }
}

#[test]
fn time_beyond_2554_is_clamped() {
    assert_eq!(times(L, &option(L, 9, &[0]), &[u64::MAX]), [u64::MAX]);
    assert_eq!(times(L, &option(L, 9, &[0x80]), &[u64::MAX]), [u64::MAX]);
}

#[test]
fn options_behind_the_end_of_options_do_not_count() {
    let options = [option(L, 0, &[]), option(L, 9, &[9])].concat();
    assert_eq!(times(L, &options, &[1]), [1000]);
}

#[test]
fn a_simple_packet_has_the_time_of_the_record_before_it_and_the_length_of_the_snap() {
    for order in ORDERS {
        let simple = |original: u32, frame: &[u8]| {
            block(
                order,
                3,
                &[order.u32(original).to_vec(), frame.to_vec()].concat(),
            )
        };
        let octets = [
            section(order),
            interface(order, 1, 6, &[]),
            simple(3, &frame(0, 3)),
            enhanced(order, 0, 9, 5, &frame(1, 5)),
            simple(100, &frame(2, 6)),
        ];
        let expected = [
            owned(0, 0, 3),
            owned(9000, 1, 5),
            Owned {
                wire_length: 100,
                ..owned(9000, 2, 6)
            },
        ];
        assert_eq!(read_whole(&octets.concat()), expected);
    }
}

#[test]
fn an_obsolete_packet_block_is_read() {
    for order in ORDERS {
        let mut body = order.u16(1).to_vec();
        body.extend(order.u16(0xffff));
        body.extend(order.words(&[1, 2, 5, 60]));
        body.extend(frame(3, 5));
        let octets = [
            section(order),
            interface(order, 113, 0, &[]),
            interface(order, 1, 0, &option(order, 9, &[9])),
            block(order, 2, &body),
        ];
        let expected = Owned {
            wire_length: 60,
            ..owned((1 << 32) + 2, 3, 5)
        };
        assert_eq!(read_whole(&octets.concat()), [expected]);
    }
}

#[test]
fn options_of_a_packet_are_not_part_of_the_frame() {
    let mut body = L.words(&[0, 0, 1, 5, 5]);
    body.extend(frame(0, 5));
    body.extend([0; 3]);
    body.extend(option(L, 1, b"a comment"));
    body.extend(option(L, 0, &[]));
    let octets = [section(L), interface(L, 1, 0, &[]), block(L, 6, &body)].concat();
    assert_eq!(read_whole(&octets), [owned(1000, 0, 5)]);
}

#[test]
fn blocks_of_other_kinds_are_passed_over_however_long() {
    for order in ORDERS {
        let mut octets = [section(order), interface(order, 1, 0, &[])].concat();
        for (kind, length) in [
            (5, 12),
            (4, 0),
            (0x0bad, 400),
            (10, 600_000),
            (0x8000_0001, 3_000_000),
        ] {
            octets.extend(block(order, kind, &vec![0xee; length]));
            octets.extend(enhanced(order, 0, 1, 5, &frame(0, 5)));
        }
        assert_eq!(read_whole(&octets), vec![owned(1000, 0, 5); 5]);
    }
}

#[test]
fn an_interface_that_is_not_supported_refuses_the_file_with_its_first_packet_only() {
    let octets = [
        section(L),
        interface(L, 127, 0, &[]),
        interface(L, 1, 0, &[]),
        enhanced(L, 1, 1, 5, &frame(0, 5)),
    ]
    .concat();
    assert_eq!(read_whole(&octets), [owned(1000, 0, 5)]);
    let refused = [
        octets.clone(),
        enhanced(L, 0, 2, 5, &frame(0, 5)),
        octets.clone(),
    ]
    .concat();
    let (records, error) = read(&refused);
    assert_eq!(records, [owned(1000, 0, 5)]);
    assert_eq!(
        error.expect("radiotap is not supported").to_string(),
        "test.cap: link type LINKTYPE_IEEE802_11_RADIOTAP (127) at offset 108 is not supported; \
         capture on an interface with Ethernet, raw IP, Linux cooked, BSD loopback or PPP framing"
    );
}
