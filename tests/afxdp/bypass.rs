//! Frames cross without a worker, or don't if they must not.

use std::time::Duration;

use lychgate::io::{
    Side,
    afxdp::{Fail, Fate, Options, Settings, Steer},
};

use super::{
    frames::{odd, syn, web},
    place::{DEADLINE, Forwarder, Place, Program, SETTINGS, await_that, in_place},
};

const CLOSED: Settings = Settings {
    steer: Steer::All,
    fail: Fail::Closed,
    deadline: DEADLINE,
    stamp: 1,
};

#[test]
fn without_a_worker_everything_bypasses() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let frames = odd(500, 4);
        place.crosses(Side::Access, &frames);
        place.crosses(Side::Uplink, &frames);
        assert_eq!(program.count(Fate::BypassNoSocket), 1000);
        assert_eq!(program.count(Fate::ToWorker), 0);
    });
}

#[test]
fn a_worker_that_is_gone_is_bypassed_from_the_next_frame_on() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let forwarder = Forwarder::start(place, &program, &Options::default());
        place.crosses(Side::Access, &odd(50, 5));
        assert_eq!(program.count(Fate::ToWorker), 50);
        drop(forwarder);
        await_that("its sockets are closed", || {
            place.crosses(Side::Access, &[syn()]);
            program.count(Fate::BypassNoSocket) > 0
        });
        let before = program.count(Fate::BypassNoSocket);
        place.crosses(Side::Uplink, &odd(50, 6));
        assert_eq!(program.count(Fate::BypassNoSocket), before + 50);
    });
}

#[test]
fn a_worker_that_hangs_is_bypassed_and_comes_back_when_it_goes_on() {
    in_place(|place| {
        let settings = Settings {
            deadline: DEADLINE,
            ..SETTINGS
        };
        let program = Program::attach(place, &settings);
        let forwarder = Forwarder::start(place, &program, &Options::default());
        place.crosses(Side::Access, &[syn()]);
        assert_eq!(program.count(Fate::BypassStale), 0);

        forwarder.hang();
        await_that("it is bypassed", || {
            poke(place, &program);
            program.count(Fate::BypassStale) > 0
        });
        let stale = program.count(Fate::BypassStale);
        // Frames that it was given before count as late, and arrive when it goes on.
        let late = program.count(Fate::ToWorker);
        drain(place);
        place.crosses(Side::Access, &odd(100, 7));
        assert_eq!(program.count(Fate::ToWorker), late);
        assert!(program.count(Fate::BypassStale) >= stale + 100);

        forwarder.go_on();
        await_that("it gets frames again", || {
            poke(place, &program);
            program.count(Fate::ToWorker) > late
        });
        assert!(forwarder.end().census.is_conserved());
    });
}

/// One frame from the access side, seen by the kernel program when this returns.
fn poke(place: &mut Place, program: &Program) {
    let before = program.total();
    place.send(Side::Access, &[syn()]);
    await_that("it is counted", || program.total() > before);
}

/// Receives until nothing comes any more.
fn drain(place: &Place) {
    while !place.is_quiet(Side::Uplink) {}
}

#[test]
fn failing_closed_drops_and_counts_what_would_bypass() {
    in_place(|place| {
        let program = Program::attach(place, &CLOSED);
        place.send(Side::Access, &[syn(), web()]);
        await_that("they are counted", || {
            program.count(Fate::ClosedNoSocket) == 2
        });
        assert!(place.is_quiet(Side::Uplink));

        let forwarder = Forwarder::start(place, &program, &Options::default());
        place.crosses(Side::Access, &[syn(), web()]);
        forwarder.hang();
        await_that("it is stale", || {
            poke(place, &program);
            program.count(Fate::ClosedStale) > 0
        });
        assert_eq!(program.count(Fate::BypassStale), 0);
        assert_eq!(program.count(Fate::BypassNoSocket), 0);
    });
}

#[test]
fn failing_closed_under_mail_steering_keeps_the_web_alive() {
    in_place(|place| {
        let settings = Settings {
            steer: Steer::Mail,
            ..CLOSED
        };
        let program = Program::attach(place, &settings);
        place.send(Side::Access, &[syn()]);
        place.crosses(Side::Access, &[web()]);
        assert_eq!(program.count(Fate::ClosedNoSocket), 1);
        assert_eq!(program.count(Fate::Harmless), 1);
    });
}

#[test]
fn settings_change_under_traffic() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        place.crosses(Side::Access, &[web()]);
        let mail = Settings {
            steer: Steer::Mail,
            ..SETTINGS
        };
        program.steering.set(&mail).unwrap();
        place.crosses(Side::Access, &[web()]);
        assert_eq!(program.count(Fate::BypassNoSocket), 1);
        assert_eq!(program.count(Fate::Harmless), 1);
    });
}

#[test]
fn a_deadline_below_the_clocks_tick_is_refused() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let hasty = Settings {
            deadline: Duration::from_micros(100),
            ..SETTINGS
        };
        let text = program.steering.set(&hasty).unwrap_err().to_string();
        assert!(text.contains("heartbeat deadline of 100µs"), "{text}");
    });
}
