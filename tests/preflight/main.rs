//! `lychgate preflight`, and `lychgate run` before frames cross: on real interfaces (veth) in network
//! namespaces, each complaint with the state that gives cause for it.
//!
//! They need root, iproute2, ethtool and clang. Without root they say so and pass; as root they fail
//! if any of the rest is missing.
#![cfg(all(feature = "xdp", target_os = "linux"))]

mod links;
mod place;

use std::{fs, path::Path};

use lychgate::{
    control::preflight::{Check, Severity, Wanted, inspect},
    io::afxdp::{Options, PIN_ROOT},
    policy::Steer,
};
use place::{Place, WITH_GRO, run};
use rustix::process::Signal;
use serde_json::Value;

/// What is switched off on a veth, which has no other offload that matters.
const OFFLOADS: [&str; 2] = ["rx-vlan-offload", "rx-vlan-stag-hw-parse"];

/// Demands these lines of what was said, next to each other and nothing else in them.
#[track_caller]
pub fn assert_says(said: &str, lines: &[&str]) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let said_lines: Vec<_> = said.lines().map(words).collect();
    let lines: Vec<_> = lines.iter().map(|line| words(line)).collect();
    let found = said_lines
        .windows(lines.len())
        .any(|window| window == lines);
    assert!(found, "{lines:#?} is not in\n{said}");
}

#[test]
fn fit_interfaces_have_nothing_in_the_way_and_nothing_is_changed() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 0, "{said}");
    let access = &place.ports[0];
    for (check, cause) in [
        ("program", "no XDP program is attached"),
        ("controller", "it is part of nothing else"),
        ("queues", "1 of at most 1"),
        ("mtu", "1500, of at most 1770"),
        ("link", "up"),
    ] {
        assert_says(&said, &[&format!("fine {access} {check} {cause}")]);
    }
    assert_says(
        &said,
        &[
            &format!(
                "to repair {access} promiscuous off: the card keeps frames that are not addressed to it"
            ),
            &format!("remedy: ip link set dev {access} promisc on"),
        ],
    );
    assert_eq!(place.state(), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn programs_get_the_same_findings_and_the_documentation_names_every_check() {
    let Some(place) = Place::new() else { return };
    let (code, said, _) = place.lychgate("preflight", &["--json"]);
    assert_eq!(code, 0, "{said}");
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["schema"], "lychgate.preflight/1");
    assert_eq!(document["worst"], "repairable");
    let findings = document["findings"].as_array().unwrap();
    let offload = findings
        .iter()
        .find(|finding| finding["check"] == "offload" && finding["interface"] == place.ports[1]);
    let offload = offload.unwrap();
    assert_eq!(offload["severity"], "repairable");
    assert!(
        offload["cause"]
            .as_str()
            .unwrap()
            .starts_with("rx-vlan-hw-parse is on")
    );
    let remedy = format!("ethtool -K {} rxvlan off", place.ports[1]);
    assert_eq!(offload["remedy"], *remedy);
    let page = include_str!("../../docs/deployment.md");
    for check in Check::ALL {
        assert!(
            page.contains(&format!("| `{}` |", check.name())),
            "{check:?} has no row"
        );
    }
}

#[test]
fn another_xdp_program_is_named_with_how_to_take_it_off() {
    let Some(place) = Place::new() else { return };
    let uplink = &place.ports[1];
    place.attach_pass(uplink);
    let id = place.program_id(uplink).unwrap();
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            &format!("REFUSAL {uplink} program another XDP program (id {id}, pass) is attached"),
            &format!(
                "remedy: detach it with `ip link set dev {uplink} xdp off`, or stop whoever attached it (`bpftool net show dev {uplink}`)"
            ),
        ],
    );
    let before = place.state();
    let (code, _, complaint) = place.lychgate("run", &[]);
    assert_eq!(code, 2);
    assert_says(
        &complaint,
        &[&format!(
            "lychgate: interface {uplink}: program: another XDP program (id {id}, pass) is attached"
        )],
    );
    assert_eq!(place.state(), before, "nothing was repaired either");
    assert_eq!(place.program_id(uplink), Some(id));
}

#[test]
fn a_member_of_a_bridge_is_refused() {
    let Some(place) = Place::new() else { return };
    let access = &place.ports[0];
    place.ip(&["link", "add", "lyf-br", "type", "bridge"]);
    place.ip(&["link", "set", access, "master", "lyf-br"]);
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            &format!(
                "REFUSAL {access} controller it is part of lyf-br (bridge), which would forward its frames as well"
            ),
            &format!("remedy: take it out: ip link set dev {access} nomaster"),
        ],
    );
    let (code, _, complaint) = place.lychgate("run", &[]);
    assert_eq!(code, 2);
    assert!(
        complaint.contains("it is part of lyf-br (bridge)"),
        "{complaint}"
    );
}

#[test]
fn unequal_queues_are_refused_with_the_command_that_evens_them() {
    let Some(place) = Place::with(&[2, 1], &WITH_GRO) else {
        return;
    };
    let [access, uplink] = &place.ports;
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            &format!(
                "REFUSAL {access} queues 2 queues, and {uplink} has 1: a worker needs the same queue of both"
            ),
            &format!("remedy: ethtool -L {access} rx 1 tx 1"),
        ],
    );
    // A veth has native XDP only with as many receive queues as its other end sends on.
    for end in [access, place.station(0)] {
        place.enter(&["ethtool", "-L", end, "rx", "1", "tx", "1"]);
    }
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 0, "the remedy helps: {said}");
}

#[test]
fn an_mtu_that_no_frame_holds_is_refused_with_the_one_that_would_work() {
    let Some(place) = Place::new() else { return };
    let [access, uplink] = &place.ports;
    let refusal = |mtu: &str, arguments: &[&str], cause: &str, remedy: &str| {
        for port in [access, uplink] {
            place.ip(&["link", "set", port, "mtu", mtu]);
        }
        let (code, said, _) = place.lychgate("preflight", arguments);
        assert_eq!(code, 2);
        let remedy = format!("remedy: {}", remedy.replace("IF", access));
        assert_says(&said, &[&format!("REFUSAL {access} mtu {cause}"), &remedy]);
        let (code, _, complaint) = place.lychgate("run", arguments);
        assert_eq!(code, 2);
        assert_says(&complaint, &[&remedy]);
    };
    refusal(
        "3000",
        &[],
        "3000, and frames of 2048 octets hold at most 1770",
        "--frame-size 4096, or ip link set dev IF mtu 1770",
    );
    refusal(
        "9000",
        &[],
        "9000, and frames of 2048 octets hold at most 1770",
        "ip link set dev IF mtu 1770; with --frame-size 4096, at most 3818",
    );
    refusal(
        "9000",
        &["--frame-size", "4096"],
        "9000, and frames of 4096 octets hold at most 3818",
        "ip link set dev IF mtu 3818",
    );
    for port in [access, uplink] {
        place.ip(&["link", "set", port, "mtu", "3000"]);
    }
    let (code, said, _) = place.lychgate("preflight", &["--frame-size", "4096"]);
    assert_eq!(code, 0, "the remedy helps: {said}");
}

#[test]
fn unequal_mtus_are_refused_because_nobody_would_be_told_of_the_loss() {
    let Some(place) = Place::new() else { return };
    let [access, uplink] = &place.ports;
    place.ip(&["link", "set", uplink, "mtu", "1600"]);
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            &format!(
                "REFUSAL {uplink} mtu 1600, and {access} has 1500: longer packets would be lost on the way, and nobody told"
            ),
            &format!("remedy: ip link set dev {access} mtu 1600"),
        ],
    );
}

#[test]
fn what_a_process_may_not_do_is_told_before_it_fails() {
    let Some(place) = Place::new() else { return };
    let without = |capability: &str| ["setpriv", "--bounding-set", capability].map(str::to_owned);
    let (code, said, _) = place.lychgate_as(&without("-net_raw,-bpf,-sys_admin"), "preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            "REFUSAL host capabilities this process lacks CAP_NET_RAW, CAP_BPF",
            "remedy: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK",
        ],
    );
    let limited = ["prlimit", "--memlock=65536"].map(str::to_owned);
    let limited = [&limited[..], &without("-ipc_lock")].concat();
    let (code, said, _) = place.lychgate_as(&limited, "preflight", &[]);
    assert_eq!(code, 2);
    assert_says(
        &said,
        &[
            "REFUSAL host memlock the workers' 25165824 octets are more than the 65536 that this process may lock",
        ],
    );
}

#[test]
fn what_was_repaired_is_put_back_when_the_program_is_taken_off_at_exit() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    for port in &place.ports {
        assert!(place.are_on(port, &OFFLOADS), "as veth is made");
    }
    let (mut inline, said) = place.start(&["--at-exit", "detach"]);
    for port in &place.ports {
        assert!(
            OFFLOADS
                .iter()
                .all(|offload| !place.are_on(port, &[offload]))
        );
        assert!(place.is_promiscuous(port));
        assert_says(
            &said,
            &[&format!(
                "repaired {port} offload rx-vlan-hw-parse is on: it takes VLAN tags off frames before Lychgate sees them, and they cross without"
            )],
        );
        assert_says(
            &said,
            &[&format!(
                "repaired {port} promiscuous off: the card keeps frames that are not addressed to it"
            )],
        );
    }
    assert!(inline.end(Signal::TERM).success());
    assert_eq!(place.state(), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn repairs_stay_with_the_bypass_even_after_a_kill_and_go_with_it() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    for signal in [Signal::TERM, Signal::KILL] {
        let (mut inline, _) = place.start(&[]);
        inline.end(signal);
        for port in &place.ports {
            assert!(place.is_promiscuous(port), "the bypass needs it");
            assert!(
                OFFLOADS
                    .iter()
                    .all(|offload| !place.are_on(port, &[offload]))
            );
        }
        let (_, said, _) = place.lychgate("preflight", &[]);
        for (check, cause) in [
            (
                "program",
                "Lychgate's, from an earlier run: it is taken over without a gap",
            ),
            ("promiscuous", "on, switched on by an earlier run"),
            (
                "offload",
                "none that changes frames is on (2 switched off by an earlier run)",
            ),
        ] {
            assert_says(
                &said,
                &[&format!("fine {} {check} {cause}", place.ports[0])],
            );
        }
    }
    let (code, said, _) = place.lychgate("detach", &[]);
    assert_eq!((code, said.matches(": detached").count()), (0, 2), "{said}");
    assert_eq!(place.state(), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn a_lychgate_that_runs_is_told_by_preflight_and_a_second_one_disturbs_nothing() {
    let Some(place) = Place::new() else { return };
    let [access, _] = &place.ports;
    let (mut inline, _) = place.start(&[]);
    let before = place.state();
    let program = place.program_id(access);
    let (code, said, _) = place.lychgate("preflight", &[]);
    assert_eq!(code, 1);
    assert_says(
        &said,
        &[
            &format!("warning {access} program a Lychgate is running here"),
            "remedy: stop that one before another is started",
        ],
    );
    let (code, _, complaint) = place.lychgate("run", &[]);
    assert_eq!(code, 2);
    assert!(
        complaint.contains("another Lychgate runs on this interface"),
        "{complaint}"
    );
    assert_eq!(place.state(), before);
    assert_eq!(place.program_id(access), program);
    assert!(place.frames_cross());
    assert!(inline.end(Signal::TERM).success());
}

#[test]
fn preflight_repairs_when_told_to_and_detach_puts_it_back() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    let (code, said, _) = place.lychgate("preflight", &["--repair"]);
    assert_eq!(code, 0);
    let repaired = said.lines().filter(|line| line.starts_with("repaired"));
    assert_eq!(repaired.count(), 2 * (OFFLOADS.len() + 1), "{said}");
    assert!(place.ports.iter().all(|port| place.is_promiscuous(port)));
    let (code, _, _) = place.lychgate("detach", &[]);
    assert_eq!(code, 0);
    assert_eq!(place.state(), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn a_start_that_fails_late_leaves_the_interfaces_as_they_were() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    // No core has this number: known only when the workers are to be pinned.
    let (code, _, complaint) = place.lychgate("run", &["--cores", "4095"]);
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("core 4095 is not among"), "{complaint}");
    assert_eq!(place.state(), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn a_port_that_takes_no_frames_from_the_kernel_program_is_found_out_once_it_is_attached() {
    let Some(place) = Place::with(&[1, 1], &[]) else {
        return;
    };
    let before = place.state();
    let (code, _, complaint) = place.lychgate("run", &["--steer", "mail"]);
    assert_eq!(code, 2);
    let access = &place.ports[0];
    assert_says(
        &complaint,
        &[&format!(
            "lychgate: interface {access}: driver: its driver takes no frames from another port's XDP program: what crosses in the kernel would be lost"
        )],
    );
    assert_eq!(place.state(), before);
}

#[test]
fn one_repair_that_cannot_be_put_back_keeps_none_of_the_others() {
    let Some(place) = Place::new() else { return };
    let before = place.state();
    place.lychgate("preflight", &["--repair"]);
    // As if an earlier driver had had it: a veth has no LRO to switch on.
    let access = &place.ports[0];
    let marks = place.pins(access);
    let marks = fs::read_dir(marks).unwrap().next().unwrap().unwrap().path();
    fs::create_dir(marks.join("rx-lro")).unwrap();
    let (code, _, complaint) = place.lychgate("detach", &[]);
    assert_eq!(code, 2);
    assert_says(
        &complaint,
        &[&format!(
            "lychgate: interface {access}: cannot switch rx-lro on: the driver left it as it was"
        )],
    );
    assert_eq!(
        place.state(),
        before,
        "all that could be was put back, on both"
    );
    assert!(marks.join("rx-lro").exists(), "and it is not forgotten");
    fs::remove_dir(marks.join("rx-lro")).unwrap();
    run("rmdir", &[marks.to_str().unwrap()]);
    let (code, _, _) = place.lychgate("detach", &[]);
    assert_eq!(code, 0);
    assert_eq!(place.marks(), Vec::<String>::new());
}

#[test]
fn repairs_that_fail_halfway_are_told_and_the_others_are_put_back() {
    let Some(place) = Place::new() else { return };
    let uplink = place.ports[1].clone();
    let before = place.state_of(&uplink);
    place.inside(|| {
        let [access, uplink] = &place.ports;
        let wanted = Wanted {
            steer: Steer::Auto,
            options: Options::default(),
            cores: vec![0],
        };
        let mut inspection = inspect([access, uplink], wanted, Path::new(PIN_ROOT)).unwrap();
        // Between the look and the repairs, somebody pulls out one card.
        place.ip(&["link", "delete", access]);
        inspection.repair();
        let severities = |interface: &str| -> Vec<Severity> {
            let findings = inspection.report.0.iter();
            let repairs = findings.filter(|finding| {
                finding.repair.is_some() && finding.interface.as_deref() == Some(interface)
            });
            repairs.map(|finding| finding.severity).collect()
        };
        assert_eq!(severities(access), [Severity::Warning; 3]);
        assert_eq!(severities(uplink), [Severity::Repaired; 3]);
        let failed = inspection.report.0.iter().find(|finding| {
            finding.severity == Severity::Warning && finding.check == Check::Promiscuous
        });
        let cause = &failed.expect("it failed").cause;
        assert!(
            cause.contains(&format!(
                "it could not be repaired: interface {access}: cannot"
            )),
            "{cause}"
        );
        assert!(place.is_promiscuous(uplink));
        let errors = inspection.undo();
        assert!(errors.is_empty(), "{errors:?}");
    });
    assert_eq!(place.state_of(&uplink), before);
    assert_eq!(place.marks(), Vec::<String>::new());
}
