//! What sockets and interfaces are asked for, and what the kernel says that they got.

use std::time::Duration;

use lychgate::io::{
    Ports, Side,
    afxdp::{BusyPoll, Deferral, Options, QueuePair},
};

use super::{
    frames::odd,
    place::{Forwarder, Program, SETTINGS, copying, in_place, receive, serving},
};

#[test]
fn busy_polling_is_what_the_kernel_says_and_frames_cross_under_it() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let busy_poll = BusyPoll {
            time: Duration::from_micros(35),
            ..BusyPoll::default()
        };
        let options = Options {
            busy_poll: Some(busy_poll),
            ..copying()
        };
        let mut pair = serving(place, &program, &options);
        for side in Side::BOTH {
            assert_eq!(pair.obtained(side).busy_poll, Some(busy_poll.time));
        }
        let frames = odd(20, 31);
        place.send(Side::Access, &frames);
        for frame in receive(&mut pair, Side::Access, frames.len()) {
            pair.release(frame);
        }
        drop(pair);
        let forwarder = Forwarder::start(place, &program, &options);
        place.crosses(Side::Uplink, &odd(100, 32));
        assert!(forwarder.end().census.is_conserved());
    });
}

#[test]
fn interrupts_are_deferred_for_busy_polling_and_put_back_at_the_end() {
    in_place(|place| {
        let port = place.port(Side::Access);
        let (polls, timeout) = ("napi_defer_hard_irqs", "gro_flush_timeout");
        let before = [polls, timeout].map(|name| place.setting(&port, name));
        let busy_poll = BusyPoll {
            defer_irqs: 7,
            flush_timeout: Duration::from_micros(300),
            ..BusyPoll::default()
        };
        let mut deferral = Deferral::begin(&port, &busy_poll).unwrap();
        assert_eq!(place.setting(&port, polls), "7");
        assert_eq!(place.setting(&port, timeout), "300000");
        let obtained = deferral.obtained().unwrap();
        assert_eq!(obtained, (7, Duration::from_micros(300)));
        drop(deferral);
        let after = [polls, timeout].map(|name| place.setting(&port, name));
        assert_eq!(after, before);
    });
}

#[test]
fn what_somebody_else_has_set_meanwhile_stays() {
    in_place(|place| {
        let port = place.port(Side::Uplink);
        let first = Deferral::begin(&port, &BusyPoll::default()).unwrap();
        let theirs = BusyPoll {
            defer_irqs: 9,
            ..BusyPoll::default()
        };
        let second = Deferral::begin(&port, &theirs).unwrap();
        drop(first);
        assert_eq!(place.setting(&port, "napi_defer_hard_irqs"), "9");
        drop(second);
    });
}

#[test]
fn huge_pages_that_are_not_there_are_refused_with_their_number() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let [access, uplink] = place.ports();
        let options = Options {
            huge_pages: true,
            ..copying()
        };
        let heartbeat = program.steering.heartbeat(0).unwrap();
        // Where somebody has set enough of them aside, there is nothing to refuse.
        if let Err(error) = QueuePair::open(&options, [&access, &uplink], 0, heartbeat) {
            let text = error.to_string();
            let remedy = "set huge pages aside, 12 for each worker: `sysctl vm.nr_hugepages=";
            assert!(text.contains(remedy), "{text}");
        }
    });
}
