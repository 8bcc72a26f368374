//! `lychgate explain`, and what stands around the main job: help, manual, completions.

use std::fs;

use lychgate::io::capture::Writer;
use serde_json::Value;

use crate::desk::{Desk, evening, record};

// One frame.

#[test]
fn explain_tells_layers_subscriber_window_and_reason() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("explain evening.pcap --frame 12 --policy policy.toml");
    assert_eq!(run.status, 0, "{}", run.stderr);
    for text in [
        "Frame 12",
        "Ethernet",
        "IPv4",
        "TCP",
        "Subscriber 203.0.113.66, class residential, outbound",
        "at most 10 attempts in any 10 s",
        "Dropped: limit_exceeded",
        "10 admitted of 10 that the limit allows, 1 refused",
        "docs/counters.md",
    ] {
        assert!(
            run.stdout.contains(text),
            "{text:?} is not in {}",
            run.stdout
        );
    }
}

#[test]
fn explain_agrees_with_the_replay_about_every_frame() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let replayed = desk.json("evening.pcap");
    let mut reasons = std::collections::BTreeMap::<String, u64>::new();
    for number in 1..=30 {
        let run = desk.lychgate(&format!(
            "explain evening.pcap -n {number} -p policy.toml --json"
        ));
        assert_eq!(run.status, 0, "{}", run.stderr);
        let explained: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(explained["frame"], number);
        *reasons
            .entry(explained["verdict"]["reason"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    for (reason, frames) in replayed["reasons"].as_object().unwrap() {
        assert_eq!(
            reasons.get(reason).copied().unwrap_or(0),
            frames.as_u64().unwrap(),
            "{reason}"
        );
    }
}

#[test]
fn explain_says_that_a_retransmission_has_the_verdict_of_the_first() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("explain evening.pcap --frame 13 --policy policy.toml");
    assert!(
        run.stdout.contains("It repeats an earlier SYN"),
        "{}",
        run.stdout
    );
}

#[test]
fn explain_of_a_frame_beyond_the_end_says_how_many_there_are() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    desk.lychgate("explain evening.pcap --frame 31 --policy policy.toml")
        .is_refused_with(&["frame 31 is not there", "hold 30"]);
}

#[test]
fn explain_counts_frames_from_1() {
    let desk = Desk::new();
    let run = desk.lychgate("explain evening.pcap --frame 0 --policy policy.toml");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("--frame"), "{}", run.stderr);
}

// Around it.

#[test]
fn help_teaches_with_examples() {
    let desk = Desk::new();
    for arguments in [
        "--help",
        "replay --help",
        "explain --help",
        "completions --help",
        "manual --help",
    ] {
        let run = desk.lychgate(arguments);
        assert_eq!(run.status, 0);
        assert!(
            run.stdout.contains("Examples:"),
            "{arguments}: {}",
            run.stdout
        );
    }
}

#[test]
fn manual_writes_a_page_per_subcommand() {
    let desk = Desk::new();
    let run = desk.lychgate("manual pages");
    assert_eq!(run.status, 0, "{}", run.stderr);
    for page in ["lychgate.1", "lychgate-replay.1", "lychgate-explain.1"] {
        let text = fs::read_to_string(desk.path("pages").join(page)).unwrap();
        assert!(text.contains(".TH lychgate"), "{page}: {text}");
    }
}

#[test]
fn completions_are_written_for_a_shell() {
    let desk = Desk::new();
    let run = desk.lychgate("completions bash");
    assert!(
        run.status == 0 && run.stdout.contains("lychgate"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_pcapng_input_keeps_its_frames_and_their_times() {
    let desk = Desk::new();
    let mut writer = Writer::create(&desk.path("evening.pcapng")).unwrap();
    for frame in evening() {
        writer
            .write(&record(&frame), Some("a comment of the input"))
            .unwrap();
    }
    writer.finish().unwrap();
    desk.pcap("evening.pcap", &evening());
    let outputs = |name: &str| format!("replay -q -p policy.toml --forwarded {name}.out {name}");
    for name in ["evening.pcap", "evening.pcapng"] {
        let run = desk.lychgate(&outputs(name));
        assert_eq!(run.status, 0, "{}", run.stderr);
    }
    assert_eq!(
        desk.read("evening.pcap.out"),
        desk.read("evening.pcapng.out")
    );
}
