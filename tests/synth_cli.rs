//! `lychgate synth` as its users meet it: the real program, and what others make of its captures.

use std::{fs, path::Path};

use assert_cmd::Command;
use lychgate::io::capture::Reader;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Runs `lychgate` in a directory; its standard error if it fails as it should.
fn fails(directory: &TempDir, arguments: &[&str]) -> String {
    let run = lychgate(directory, arguments).assert().code(2);
    String::from_utf8(run.get_output().stderr.clone()).unwrap()
}

fn lychgate(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("lychgate").unwrap();
    command.current_dir(directory).args(arguments);
    command
}

fn runs(directory: &TempDir, arguments: &[&str]) {
    lychgate(directory, arguments).assert().success();
}

fn read(directory: &TempDir, name: &str) -> Vec<u8> {
    fs::read(directory.path().join(name)).unwrap()
}

/// How many frames a capture holds.
fn frames(path: &Path) -> usize {
    let mut reader = Reader::open(path).unwrap();
    std::iter::from_fn(|| reader.next().unwrap().map(|_| ())).count()
}

#[test]
fn the_same_seed_writes_the_same_capture_and_another_seed_another() {
    let directory = tempdir().unwrap();
    for (name, seed) in [("a.pcapng", "7"), ("b.pcapng", "7"), ("c.pcapng", "8")] {
        runs(
            &directory,
            &["synth", name, "--seed", seed, "--duration", "10s"],
        );
    }
    let [a, b, c] = ["a.pcapng", "b.pcapng", "c.pcapng"].map(|name| read(&directory, name));
    assert!(a.len() > 10_000);
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn the_policy_that_comes_with_a_capture_is_good_and_stops_its_zombies() {
    for profile in ["village", "burst", "rotate", "spoof"] {
        let directory = tempdir().unwrap();
        runs(
            &directory,
            &[
                "synth",
                "s.pcapng",
                "--policy-out",
                "s.toml",
                "--profile",
                profile,
            ],
        );
        runs(&directory, &["check", "s.toml"]);
        runs(
            &directory,
            &[
                "replay", "--policy", "s.toml", "--json", "s.json", "s.pcapng",
            ],
        );
        let report: Value = serde_json::from_slice(&read(&directory, "s.json")).unwrap();
        let dropped = report["frames"]["dropped"].as_u64().unwrap();
        assert!(dropped > 100, "{profile}: {dropped} dropped");
        assert_eq!(report["frames"]["unreadable"], 0, "{profile}");
    }
}

#[test]
fn slow_zombies_stay_below_the_limit() {
    let directory = tempdir().unwrap();
    let options = [
        "--profile",
        "slow",
        "--duration",
        "10m",
        "--encapsulation",
        "ds-lite",
    ];
    let files = [
        "synth",
        "s.pcap.zst",
        "--policy-out",
        "s.toml",
        "--subscribers",
        "0",
    ];
    runs(&directory, &[&files[..], &options].concat());
    runs(
        &directory,
        &[
            "replay",
            "--policy",
            "s.toml",
            "--json",
            "s.json",
            "s.pcap.zst",
        ],
    );
    let report: Value = serde_json::from_slice(&read(&directory, "s.json")).unwrap();
    assert_eq!(report["mail"]["smtp"]["refused"], 0);
    let attempts = report["mail"]["smtp"]["attempts"].as_u64().unwrap();
    assert!(attempts > 30, "{attempts} attempts");
}

#[test]
fn every_name_is_a_format_that_can_be_read_back() {
    let directory = tempdir().unwrap();
    let count = |name: &str| {
        runs(&directory, &["synth", name, "--frames", "500"]);
        frames(&directory.path().join(name))
    };
    for name in [
        "a.pcap",
        "a.pcapng",
        "a.pcap.gz",
        "a.pcapng.gz",
        "a.pcap.zst",
        "a.pcapng.zst",
    ] {
        assert_eq!(count(name), 500, "{name}");
    }
}

#[test]
fn the_benches_profiles_hold_as_many_frames_as_asked_for() {
    let directory = tempdir().unwrap();
    for profile in ["mixed", "syn"] {
        let file = ["synth", "p.pcap", "--policy-out", "p.toml"];
        runs(
            &directory,
            &[&file[..], &["--profile", profile, "--frames", "3000"]].concat(),
        );
        runs(&directory, &["check", "p.toml"]);
        assert_eq!(frames(&directory.path().join("p.pcap")), 3000, "{profile}");
    }
}

#[test]
fn each_port_can_have_a_capture_of_its_own() {
    let directory = tempdir().unwrap();
    let names = ["both.pcap", "access.pcap", "uplink.pcap"];
    runs(&directory, &["synth", names[0], "--duration", "20s"]);
    runs(
        &directory,
        &["synth", names[1], "--uplink", names[2], "--duration", "20s"],
    );
    let [both, access, uplink] = names.map(|name| frames(&directory.path().join(name)));
    assert!(access > 100 && uplink > 100);
    assert_eq!(both, access + uplink);
}

#[test]
fn a_name_without_a_format_is_refused_with_the_formats_there_are() {
    let directory = tempdir().unwrap();
    let error = fails(&directory, &["synth", "capture.cap"]);
    assert!(
        error.contains("capture.cap: the name does not tell the format"),
        "{error}"
    );
    assert!(error.contains(".pcap or .pcapng"), "{error}");
}

#[test]
fn a_providers_day_comes_with_a_policy_and_with_who_is_a_zombie() {
    let directory = tempdir().unwrap();
    let options = "synth day.pcap.zst --profile isp --subscribers 1000 --duration 1h --zombies 10 \
                   --policy-out isp.toml --truth-out truth.csv";
    runs(&directory, &options.split_whitespace().collect::<Vec<_>>());
    runs(&directory, &["check", "isp.toml"]);
    let truth = String::from_utf8(read(&directory, "truth.csv")).unwrap();
    let mut lines = truth.lines();
    assert_eq!(lines.next(), Some("subscriber,kind,zombie,began,failing"));
    let zombies: Vec<_> = lines.filter(|line| line.contains(",true,")).collect();
    assert_eq!(zombies.len(), 10, "{truth}");
    let slow = zombies
        .iter()
        .filter(|line| line.contains(",slow,true,2026-01-02T00:"));
    assert_eq!(slow.count(), 2, "{truth}");
}

#[test]
fn the_zombies_of_a_providers_day_are_found_and_nobody_else_is() {
    let directory = tempdir().unwrap();
    let options = "synth day.pcap.zst --profile isp --subscribers 3000 --duration 12h --seed 5 \
                   --policy-out isp.toml --truth-out truth.csv";
    runs(&directory, &options.split_whitespace().collect::<Vec<_>>());
    let options = "replay --policy isp.toml --json day.json day.pcap.zst";
    runs(&directory, &options.split_whitespace().collect::<Vec<_>>());
    let report: Value = serde_json::from_slice(&read(&directory, "day.json")).unwrap();
    let flagged = report["flagged"].as_array().unwrap().iter();
    let mut flagged: Vec<_> = flagged.map(|row| row["source"].as_str().unwrap()).collect();
    flagged.sort_unstable();
    let truth = String::from_utf8(read(&directory, "truth.csv")).unwrap();
    let zombies = truth.lines().filter(|line| line.contains(",true,"));
    let mut zombies: Vec<_> = zombies
        .map(|line| line.split(',').next().unwrap())
        .collect();
    zombies.sort_unstable();
    assert_eq!((flagged.len(), flagged), (30, zombies));
}

#[test]
fn options_that_make_no_sense_together_are_refused_with_what_to_do() {
    let directory = tempdir().unwrap();
    for (arguments, message) in [
        (
            &["--profile", "mixed", "--duration", "1m"][..],
            "say --frames",
        ),
        (
            &["--profile", "syn", "--encapsulation", "vlan"],
            "leave --encapsulation out",
        ),
        (
            &["--profile", "mixed", "--subscribers", "9"],
            "leave --subscribers out",
        ),
        (&["--profile", "syn", "--subscribers", "0"], "1 to 16777216"),
        (&["--subscribers", "5000000"], "the pools hold 4194288"),
        (&["--businesses", "251"], "their pool holds 250"),
        (&["--truth-out", "t.csv"], "only --profile isp"),
        (
            &["--profile", "isp", "--subscribers", "9", "--zombies", "10"],
            "there are 9 subscribers",
        ),
        (&["--duration", "10"], "like 500ms, 90s, 10m, 1h or 7d"),
        (&["--uplink", "x.pcap"], "is given for two outputs"),
        (
            &["--policy-out", "no/such/directory"],
            "the policy cannot be written",
        ),
    ] {
        let error = fails(&directory, &[&["synth", "x.pcap"][..], arguments].concat());
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}
