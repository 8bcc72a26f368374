//! Links that are down, go down, or go away; MTUs and queues that somebody changes under way.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{
    assert_says,
    place::{Place, WITH_GRO},
};

/// Reads the JSON summary that a run wrote.
fn summary(file: &str) -> Value {
    let summary = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    fs::remove_file(file).unwrap();
    summary
}

fn file(name: &str) -> String {
    let folder = env!("CARGO_TARGET_TMPDIR");
    format!("{folder}/links-{name}-{}.json", std::process::id())
}

#[test]
fn a_link_that_is_down_is_waited_for_and_then_the_box_runs() {
    let Some(place) = Place::new() else { return };
    let [access, _] = &place.ports;
    let station = place.station(0);
    place.ip(&["link", "set", station, "down"]);
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 1);
    assert_says(
        &said,
        &[
            &format!(
                "warning {access} link it has no carrier: `lychgate run` waits until it comes up"
            ),
            "remedy: plug in the cable, and look at the other end",
        ],
    );
    let mut inline = place.launch(&[]);
    inline.until(&format!("waiting: the link of {access} is down"));
    place.ip(&["link", "set", station, "up"]);
    inline.until("running:");
    assert!(place.frames_cross());
    assert!(inline.end(Signal::TERM).success());
}

#[test]
fn a_box_that_waits_for_its_links_can_be_stopped_and_leaves_the_bypass() {
    let Some(place) = Place::new() else { return };
    let [access, uplink] = &place.ports;
    for port in [access, uplink] {
        place.ip(&["link", "set", port, "down"]);
    }
    let (_, said, _) = place.lychgate("preflight", &[]);
    assert_says(
        &said,
        &[
            &format!("warning {uplink} link it is down: `lychgate run` waits until it comes up"),
            &format!("remedy: ip link set dev {uplink} up"),
        ],
    );
    let mut inline = place.launch(&[]);
    inline.until(&format!(
        "waiting: the link of {access} and {uplink} is down"
    ));
    assert!(inline.end(Signal::TERM).success());
    assert!(place.program_id(access).is_some());
    for port in [access, uplink] {
        place.ip(&["link", "set", port, "up"]);
    }
    assert!(place.frames_cross(), "the bypass forwards");
}

#[test]
fn a_link_that_flaps_is_told_and_counted_and_frames_cross_again() {
    let Some(place) = Place::new() else { return };
    for steer in ["all", "mail"] {
        let json = file("flap");
        let (mut inline, _) = place.start(&["--json", &json, "--steer", steer]);
        for (index, side) in ["access", "uplink"].into_iter().enumerate() {
            let told = format!("lychgate: {side} {}: the link is", place.ports[index]);
            place.ip(&["link", "set", place.station(index), "down"]);
            inline.until_error(&format!("{told} down; waiting for it to come up"));
            place.ip(&["link", "set", place.station(index), "up"]);
            inline.until_error(&format!("{told} up"));
            assert!(place.frames_cross(), "after {side} was down, steer {steer}");
        }
        assert!(inline.end(Signal::TERM).success());
        let summary = summary(&json);
        for side in ["access", "uplink"] {
            assert_eq!(summary["ports"][side]["link_down"], 1, "{summary}");
            assert_eq!(summary["ports"][side]["link_up"], 1);
        }
        assert_eq!(summary["breaches"], 0);
    }
}

#[test]
fn an_mtu_that_frames_do_not_hold_is_told_under_way_with_the_remedy() {
    let Some(place) = Place::new() else { return };
    let (mut inline, _) = place.start(&[]);
    let uplink = &place.ports[1];
    place.ip(&["link", "set", uplink, "mtu", "1600"]);
    inline.until_error(&format!(
        "lychgate: uplink {uplink}: the MTU is 1600 now (it was 1500); both ports must have the same"
    ));
    place.ip(&["link", "set", uplink, "mtu", "3000"]);
    inline.until_error(&format!(
        "lychgate: ALARM: uplink {uplink}: the MTU is 3000 now (it was 1600), and frames hold at most 1770: longer packets are lost"
    ));
    inline.until_error(&format!(
        "remedy: ip link set dev {uplink} mtu 1770, on both ports; or start again with a larger --frame-size"
    ));
    assert!(place.frames_cross(), "shorter ones cross");
    assert!(inline.end(Signal::TERM).success());
}

#[test]
fn queues_that_somebody_adds_are_told_because_nobody_serves_them() {
    let Some(place) = Place::with(&[2, 2], &WITH_GRO) else {
        return;
    };
    for index in [0, 1] {
        for end in [place.ports[index].as_str(), place.station(index)] {
            place.enter(&["ethtool", "-L", end, "rx", "1", "tx", "1"]);
        }
    }
    let (mut inline, _) = place.start(&[]);
    let access = &place.ports[0];
    place.enter(&["ethtool", "-L", access, "rx", "2", "tx", "1"]);
    inline.until_error(&format!(
        "lychgate: ALARM: access {access}: 2 queues now (there were 1): frames of the new ones bypass the policy"
    ));
    assert!(inline.end(Signal::TERM).success());
}

#[test]
fn a_port_that_is_removed_ends_the_run_with_an_error_that_names_it() {
    let Some(place) = Place::new() else { return };
    for steer in ["all", "mail"] {
        let json = file("gone");
        let (mut inline, _) = place.start(&["--json", &json, "--steer", steer]);
        let uplink = &place.ports[1];
        place.ip(&["link", "delete", uplink]);
        let (code, said, errors) = inline.finish();
        assert_eq!(code, 1, "{said}{errors}");
        assert_says(
            &errors,
            &[
                &format!(
                    "lychgate: ALARM: uplink {uplink}: the interface is gone: nothing crosses"
                ),
                "remedy: bring it back, and start again",
            ],
        );
        assert!(
            said.contains(&format!("FAILED    interface {uplink} was removed")),
            "{said}"
        );
        let summary = summary(&json);
        assert_eq!(summary["lost"][0], **uplink);
        assert_eq!(summary["breaches"], 0);
        // And the next run takes it up again, the old pins in the way or not.
        place.make_cable(1, 1, &WITH_GRO);
    }
    let (mut inline, _) = place.start(&[]);
    assert!(place.frames_cross());
    assert!(inline.end(Signal::TERM).success());
}
