//! Frames through a worker's sockets.

use lychgate::io::{
    Ports, Side,
    afxdp::{Fate, Mode, Options, QueuePair},
};

use super::{
    frames::{arp, odd, syn},
    place::{Forwarder, Program, SETTINGS, await_that, copying, in_place, receive, serving},
};

#[test]
fn ten_thousand_frames_of_every_odd_kind_cross_bit_identical_and_in_order() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let forwarder = Forwarder::start(place, &program, &copying());
        let frames = odd(10_000, 1);
        place.crosses(Side::Access, &frames);
        let left = forwarder.end();
        assert!(left.census.is_conserved(), "{:?}", left.census);
        assert_eq!(left.census.held, 0);
        for statistics in left.statistics {
            assert_eq!(statistics.invalid_descriptors, 0);
            assert_eq!(statistics.missed(), 0);
        }
        assert_eq!(program.count(Fate::ToWorker), frames.len() as u64);
        assert!(place.is_quiet(Side::Access), "something came back");
    });
}

#[test]
fn both_directions_cross_at_once() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let forwarder = Forwarder::start(place, &program, &Options::default());
        for round in 0..20 {
            let (out, back) = (odd(100, 10 + round), odd(100, 100 + round));
            place.send(Side::Access, &out);
            place.send(Side::Uplink, &back);
            place.arrive(Side::Uplink, &out);
            place.arrive(Side::Access, &back);
        }
        assert!(forwarder.end().census.is_conserved());
    });
}

#[test]
fn a_worker_that_sleeps_at_every_turn_loses_nothing() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let options = Options {
            need_wakeup: false,
            ring_size: 64,
            ..copying()
        };
        let forwarder = Forwarder::start(place, &program, &options);
        for frame in odd(300, 2) {
            place.crosses(Side::Uplink, &[frame]);
        }
        assert!(forwarder.end().census.is_conserved());
    });
}

#[test]
fn an_answer_leaves_where_the_question_came_from() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let mut pair = serving(place, &program, &copying());
        place.send(Side::Access, &[syn()]);
        let mut frame = receive(&mut pair, Side::Access, 1).remove(0);
        assert_eq!(pair.bytes(&frame), syn());

        let too_long = vec![0; Options::default().frame_size as usize];
        assert!(!pair.replace(&mut frame, &too_long));
        assert_eq!(pair.bytes(&frame), syn(), "left as it was");

        let answer = vec![0x5a; 77];
        assert!(pair.replace(&mut frame, &answer));
        assert_eq!(pair.bytes(&frame), answer);
        pair.transmit(Side::Access, frame).unwrap();
        pair.flush().unwrap();
        place.arrive(Side::Access, &[answer]);
        assert!(place.is_quiet(Side::Uplink));
    });
}

#[test]
fn who_retires_gets_what_had_arrived_and_nothing_more() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let mut pair = serving(place, &program, &copying());
        place.send(Side::Access, &[arp()]);
        await_that("it has arrived", || program.count(Fate::ToWorker) == 1);
        pair.retire();
        place.crosses(Side::Access, &[syn()]);
        assert_eq!(program.count(Fate::BypassNoSocket), 1);
        let frame = receive(&mut pair, Side::Access, 1).remove(0);
        assert_eq!(pair.bytes(&frame), arp());
        pair.transmit(Side::Uplink, frame).unwrap();
        pair.flush().unwrap();
        place.arrive(Side::Uplink, &[arp()]);
    });
}

#[test]
fn what_finds_no_room_is_missed_and_counted() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let options = Options {
            ring_size: 16,
            ..copying()
        };
        let mut pair = serving(place, &program, &options);
        await_that("all have come", || {
            pair.beat();
            place.send(Side::Uplink, &[syn()]);
            program.count(Fate::ToWorker) >= 40
        });
        let came = program.count(Fate::ToWorker);
        await_that("all are counted", || {
            pair.missed()[Side::Uplink.index()] == program.count(Fate::ToWorker) - 16
        });
        assert!(came >= 40);
        assert_eq!(pair.missed()[Side::Access.index()], 0);
    });
}

#[test]
fn a_full_transmit_ring_hands_the_frame_back() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let ring_size = 16;
        let options = Options {
            ring_size,
            ..copying()
        };
        let mut pair = serving(place, &program, &options);
        let sent = odd(16, 3);
        place.send(Side::Access, &sent);
        let mut frames = receive(&mut pair, Side::Access, 16);
        place.send(Side::Access, &[syn()]);
        frames.extend(receive(&mut pair, Side::Access, 1));
        assert_eq!(pair.census().held, 17);

        let last = frames.pop().unwrap();
        for frame in frames {
            pair.transmit(Side::Uplink, frame).unwrap();
        }
        let last = pair.transmit(Side::Uplink, last).unwrap_err();
        assert_eq!(pair.bytes(&last), syn());
        assert_eq!(pair.census().transmitting, [0, 16]);
        assert!(pair.census().is_conserved());

        await_that("the ring has room again", || {
            pair.flush().unwrap();
            pair.census().is_drained()
        });
        pair.transmit(Side::Uplink, last).unwrap();
        pair.flush().unwrap();
        place.arrive(Side::Uplink, &sent);
        place.arrive(Side::Uplink, &[syn()]);
    });
}

#[test]
#[should_panic(expected = "a frame of another worker's memory")]
fn a_frame_belongs_to_one_worker() {
    if !rustix::process::geteuid().is_root() {
        panic!("SKIPPED without root: a frame of another worker's memory");
    }
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let mut pair = serving(place, &program, &copying());
        place.send(Side::Access, &[syn()]);
        let frame = receive(&mut pair, Side::Access, 1).remove(0);
        drop(pair);
        let other = program.open(place, &copying());
        other.bytes(&frame);
    });
}

#[test]
fn the_mode_is_what_the_kernel_says() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        // veth has no zero-copy: `auto` copies, and a demand is refused with the reason.
        let pair = program.open(place, &Options::default());
        for side in Side::BOTH {
            assert!(!pair.obtained(side).zero_copy);
            assert_eq!(pair.obtained(side).busy_poll, None);
        }
        drop(pair);
        let [access, uplink] = place.ports();
        let options = Options {
            mode: Mode::ZeroCopy,
            ..Options::default()
        };
        let heartbeat = program.steering.heartbeat(0).unwrap();
        let error = QueuePair::open(&options, [&access, &uplink], 0, heartbeat).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("lyafxdp-acc, queue 0"), "{text}");
        assert!(text.contains("choose `copy` or `auto`"), "{text}");
    });
}

#[test]
fn an_mtu_that_does_not_fit_is_refused_and_one_that_does_is_named() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let [access, uplink] = place.ports();
        super::place::run("ip", &["link", "set", "dev", uplink.name(), "mtu", "3000"]);
        let heartbeat = program.steering.heartbeat(0).unwrap();
        let options = Options::default();
        let error = QueuePair::open(&options, [&access, &uplink], 0, heartbeat).unwrap_err();
        let text = error.to_string();
        let remedy = format!("ip link set lyafxdp-upl mtu {}", options.mtu_max());
        assert!(text.contains(&remedy), "{text}");
        let larger = Options {
            frame_size: 4096,
            ..options
        };
        program.open(place, &larger);
    });
}
