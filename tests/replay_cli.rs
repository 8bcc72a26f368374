//! `lychgate replay` and `lychgate explain` as their users meet them: the real program, on captures
//! made here.

#[path = "replay_cli/desk.rs"]
mod desk;
#[path = "replay_cli/explain.rs"]
mod explain;
#[path = "replay_cli/schema.rs"]
mod schema;

use std::fs;

use desk::{Desk, Made, POLICY, SECOND, START, evening, service, syn};
use serde_json::Value;

// What the report says.

#[test]
fn json_counts_frames_attempts_and_retransmissions_apart() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let json = desk.json("evening.pcap");
    assert_eq!(json["schema"], "lychgate.replay/1");
    assert_eq!(
        json["frames"],
        serde_json::json!({
            "total": 30, "forwarded": 25, "dropped": 4, "reset": 1, "redirected": 0,
            "unreadable": 0, "observed": 1
        })
    );
    assert_eq!(json["reasons"]["limit_exceeded"], 4);
    assert_eq!(json["reasons"]["tiny_fragment"], 1);
    assert_eq!(json["reasons"]["smtp_blocked"], 1);
    assert_eq!(json["reasons"]["not_mail"], 8);
    assert_eq!(json["mail"]["smtp"], service([20, 19, 15, 4]));
    assert_eq!(json["mail"]["submission"], service([1, 1, 1, 0]));
    assert_eq!(json["refusals"]["first_frame"], 11);
}

#[test]
fn json_lists_every_subscriber_that_tried_by_address_ipv4_first() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let json = desk.json("evening.pcap");
    let sources = json["sources"].as_array().unwrap();
    let names: Vec<_> = sources
        .iter()
        .map(|source| source["source"].as_str().unwrap())
        .collect();
    let expected = [
        "198.51.100.7",
        "198.51.100.200",
        "203.0.113.30",
        "203.0.113.66",
        "2001:db8:200::/56",
    ];
    assert_eq!(names, expected);
    assert_eq!(sources[2]["name"], "ACME Hosting");
    assert_eq!(sources[2]["smtp"], service([1, 1, 1, 0]));
    assert_eq!(sources[2]["submission"], service([1, 1, 1, 0]));
    assert_eq!(sources[3]["class"], "residential");
    assert_eq!(sources[3]["smtp"], service([13, 12, 10, 2]));
    assert_eq!(sources[3]["submission"], service([0; 4]));
    assert_eq!(
        sources[4]["smtp"],
        service([3, 3, 3, 0]),
        "one subscriber, whatever its address"
    );
}

#[test]
fn json_keeps_to_its_published_schema() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    desk.pcap("empty.pcap", &[]);
    desk.file(
        "open.toml",
        POLICY.replace("connections = 10,", "connections = 11,"),
    );
    let schema = include_str!("../docs/replay.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    for arguments in [
        "evening.pcap",
        "empty.pcap",
        "--compare open.toml evening.pcap",
    ] {
        schema::check(&schema, &desk.json(arguments));
    }
}

#[test]
fn what_observe_mode_lets_through_is_forwarded_and_refused_all_the_same() {
    let desk = Desk::new();
    desk.pcap("blocked.pcap", &[syn(START, [198, 51, 100, 200], 25, 1)]);
    let json = desk.json("blocked.pcap");
    assert_eq!(json["frames"]["forwarded"], 1);
    assert_eq!(json["frames"]["observed"], 1);
    assert_eq!(json["sources"][0]["smtp"], service([1, 1, 0, 1]));
}

#[test]
fn a_frame_cut_by_the_capture_counts_only_as_unreadable() {
    let desk = Desk::new();
    let mut frame = syn(START, [203, 0, 113, 66], 25, 1);
    frame.bytes.truncate(30);
    desk.pcap("cut.pcap", &[frame]);
    let json = desk.json("cut.pcap");
    let frames = serde_json::json!({
        "total": 1, "forwarded": 0, "dropped": 0, "reset": 0, "redirected": 0,
        "unreadable": 1, "observed": 0
    });
    assert_eq!(json["frames"], frames);
    assert_eq!(json["reasons"]["unreadable"], 1);
}

#[test]
fn the_terminal_report_says_who_tried_too_much() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("replay --policy policy.toml evening.pcap");
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(
        run.stdout
            .starts_with("3 of 5 subscribers tried more mail connections"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("203.0.113.66"), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "no colour in a pipe");
    let coloured = desk.lychgate("replay --policy policy.toml --color always evening.pcap");
    assert!(coloured.stdout.contains('\u{1b}'));
    let quiet = desk.lychgate("replay --policy policy.toml --quiet evening.pcap");
    assert_eq!(
        (quiet.status, quiet.stdout, quiet.stderr),
        (0, String::new(), String::new())
    );
}

#[test]
fn html_is_one_page_with_the_same_findings() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("replay --policy policy.toml --quiet --html page.html evening.pcap");
    assert_eq!(run.status, 0, "{}", run.stderr);
    let page = fs::read_to_string(desk.path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("3 of 5 subscribers tried more mail connections"));
}

// Same input, same verdicts.

#[test]
fn any_number_of_workers_writes_the_same_octets() {
    let desk = Desk::new();
    let mut frames = Vec::new();
    for round in 0..400 {
        let shift = |frame: Made| Made {
            time: frame.time + round * SECOND,
            ..frame
        };
        frames.extend(evening().into_iter().map(shift));
    }
    frames.sort_by_key(|frame| frame.time);
    desk.pcap("evenings.pcap", &frames);
    desk.file(
        "open.toml",
        POLICY.replace("connections = 10,", "connections = 3,"),
    );
    for workers in [1, 2, 3, 8] {
        let outputs = format!(
            "--json {workers}.json --html {workers}.html --forwarded {workers}.f --dropped {workers}.d"
        );
        let run = desk.lychgate(&format!(
            "replay --policy policy.toml --seed 7 --workers {workers} --compare open.toml {outputs} evenings.pcap"
        ));
        assert_eq!(run.status, 0, "{}", run.stderr);
        for kind in ["json", "html", "f", "d"] {
            let one = fs::read(desk.path(&format!("1.{kind}"))).unwrap();
            let many = fs::read(desk.path(&format!("{workers}.{kind}"))).unwrap();
            assert!(one == many, "{kind} of {workers} workers differs");
        }
    }
}

#[test]
fn forwarded_and_dropped_are_the_input_octet_for_octet() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate(
        "replay --policy policy.toml -q --forwarded crossed.pcapng --dropped stopped.pcapng.gz evening.pcap",
    );
    assert_eq!(run.status, 0, "{}", run.stderr);
    let (crossed, stopped) = (desk.read("crossed.pcapng"), desk.read("stopped.pcapng.gz"));
    assert_eq!((crossed.len(), stopped.len()), (25, 5));
    let mut both = [crossed, stopped].concat();
    let mut input = evening();
    let order = |frame: &Made| (frame.time, frame.bytes.clone());
    both.sort_by_key(order);
    input.sort_by_key(order);
    assert_eq!(both, input);
}

#[test]
fn a_dropped_frame_carries_its_verdict_as_a_comment() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("replay --policy policy.toml -q --dropped dropped.pcapng evening.pcap");
    assert_eq!(run.status, 0, "{}", run.stderr);
    let octets = fs::read(desk.path("dropped.pcapng")).unwrap();
    let text = String::from_utf8_lossy(&octets);
    for comment in [
        "lychgate: drop limit_exceeded (class residential, source 203.0.113.66)",
        "lychgate: reset limit_exceeded (class resetting, source 198.51.100.7)",
        "lychgate: drop tiny_fragment (",
    ] {
        assert!(text.contains(comment), "{comment}");
    }
}

#[test]
fn standard_input_is_read_like_a_file() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let piped = fs::read(desk.path("evening.pcap")).unwrap();
    let run = desk.lychgate_with("replay --policy policy.toml --json - -", &piped);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let from_stdin: Value = serde_json::from_str(&run.stdout).unwrap();
    let from_file = desk.json("evening.pcap");
    assert_eq!(from_stdin["frames"], from_file["frames"]);
    assert_eq!(from_stdin["sources"], from_file["sources"]);
}

#[test]
fn several_captures_are_merged_by_time() {
    let desk = Desk::new();
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (index, frame) in evening().into_iter().enumerate() {
        if index % 2 == 0 {
            even.push(frame)
        } else {
            odd.push(frame)
        }
    }
    desk.pcap("evening.pcap", &evening());
    desk.pcap("even.pcap", &even);
    desk.pcap("odd.pcap", &odd);
    let (whole, merged) = (desk.json("evening.pcap"), desk.json("even.pcap odd.pcap"));
    for field in ["frames", "reasons", "sources"] {
        assert_eq!(whole[field], merged[field], "{field}");
    }
    assert_eq!(whole["refusals"]["buckets"], merged["refusals"]["buckets"]);
    assert_eq!(merged["capture"]["clamped"], 0);
}

#[test]
fn time_that_runs_backwards_is_clamped_and_counted() {
    let desk = Desk::new();
    let mut frames: Vec<_> = (0..10)
        .map(|index| syn(START + SECOND, [203, 0, 113, 66], 25, index))
        .collect();
    // Eleven seconds earlier by its stamp, it would fall into another window.
    frames.push(syn(START - 10 * SECOND, [203, 0, 113, 66], 25, 10));
    desk.pcap("backwards.pcap", &frames);
    let json = desk.json("backwards.pcap");
    assert_eq!(json["capture"]["clamped"], 1);
    assert_eq!(json["sources"][0]["smtp"], service([11, 11, 10, 1]));
}

#[test]
fn a_capture_of_one_port_fixes_the_direction() {
    let desk = Desk::new();
    desk.pcap("port.pcap", &[syn(START, [203, 0, 113, 66], 25, 1)]);
    let access = desk.json("--access port.pcap");
    assert_eq!(access["counters"][0]["direction"], "outbound");
    assert_eq!(access["mail"]["smtp"], service([1, 1, 1, 0]));
    let uplink = desk.json("--uplink port.pcap");
    assert_eq!(uplink["counters"][0]["direction"], "inbound");
    assert_eq!(uplink["mail"]["smtp"], service([0; 4]));
}

#[test]
fn compare_tells_whose_verdicts_differ_and_shows_frames() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    desk.file(
        "strict.toml",
        POLICY.replace("connections = 10,", "connections = 4,"),
    );
    let json = desk.json("--compare strict.toml evening.pcap");
    let found = &json["comparison"];
    assert_eq!(
        (&found["frames"], &found["differing"]),
        (&30.into(), &6.into())
    );
    assert_eq!(
        found["pairs"],
        serde_json::json!([{
            "ours": { "action": "forward", "reason": null },
            "theirs": { "action": "drop", "reason": "limit_exceeded" },
            "frames": 6, "examples": [5, 6, 7],
        }])
    );
    assert_eq!(
        found["sources"],
        serde_json::json!([{
            "source": "203.0.113.66", "frames": 6, "examples": [5, 6, 7],
            "newly_refused": 6, "newly_admitted": 0,
        }])
    );
    let same = desk.json("--compare policy.toml evening.pcap");
    assert_eq!(same["comparison"]["differing"], 0);
}

// What is refused, and how.

#[test]
fn a_missing_capture_is_refused_by_name() {
    let desk = Desk::new();
    desk.lychgate("replay --policy policy.toml nowhere.pcap")
        .is_refused_with(&["nowhere.pcap: cannot be opened", "check the path"]);
}

#[test]
fn a_file_of_another_format_is_refused() {
    let desk = Desk::new();
    desk.file("notes.txt", "these are no frames, whatever the name says");
    desk.lychgate("replay --policy policy.toml notes.txt")
        .is_refused_with(&["notes.txt: not a capture", "pcap and pcapng"]);
}

#[test]
fn a_link_type_that_we_cannot_read_is_refused_by_name() {
    let desk = Desk::new();
    desk.pcap("radio.pcap", &evening());
    let mut octets = fs::read(desk.path("radio.pcap")).unwrap();
    octets[20..24].copy_from_slice(&127u32.to_le_bytes());
    desk.file("radio.pcap", octets);
    desk.lychgate("replay --policy policy.toml radio.pcap")
        .is_refused_with(&["radio.pcap: link type", "IEEE802_11_RADIOTAP", "127"]);
}

#[test]
fn of_a_truncated_capture_all_before_the_damage_is_judged_and_written() {
    let desk = Desk::new();
    desk.pcap("cut.pcap", &evening());
    let mut octets = fs::read(desk.path("cut.pcap")).unwrap();
    octets.truncate(octets.len() - 7);
    desk.file("cut.pcap", octets);
    let run = desk.lychgate(
        "replay --policy policy.toml -q --json out.json --forwarded f.pcapng --dropped d.pcapng cut.pcap",
    );
    run.is_refused_with(&["cut.pcap: cut short", "at offset"]);
    let json: Value = serde_json::from_slice(&fs::read(desk.path("out.json")).unwrap()).unwrap();
    assert_eq!(json["frames"]["total"], 29);
    assert!(
        json["capture"]["damage"][0]
            .as_str()
            .unwrap()
            .contains("cut short")
    );
    assert_eq!(
        desk.read("f.pcapng").len() + desk.read("d.pcapng").len(),
        29
    );
}

#[test]
fn damage_in_one_capture_does_not_end_the_others() {
    let desk = Desk::new();
    desk.pcap("cut.pcap", &evening());
    let mut octets = fs::read(desk.path("cut.pcap")).unwrap();
    octets.truncate(octets.len() - 7);
    desk.file("cut.pcap", octets);
    desk.pcap("whole.pcap", &evening());
    let run = desk.lychgate("replay --policy policy.toml -q --json out.json cut.pcap whole.pcap");
    run.is_refused_with(&["cut.pcap: cut short"]);
    let json: Value = serde_json::from_slice(&fs::read(desk.path("out.json")).unwrap()).unwrap();
    assert_eq!(json["frames"]["total"], 59);
}

#[test]
fn a_policy_that_is_not_there_is_refused_before_anything_is_read() {
    let desk = Desk::new();
    let run = desk.lychgate("replay --policy nowhere.toml nowhere.pcap");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("nowhere.toml"), "{}", run.stderr);
    assert!(!run.stderr.contains("nowhere.pcap"), "{}", run.stderr);
}

#[test]
fn a_policy_with_mistakes_is_refused_with_the_place() {
    let desk = Desk::new();
    desk.file(
        "bad.toml",
        POLICY.replace("excess = \"drop\"", "exces = \"drop\""),
    );
    desk.pcap("evening.pcap", &evening());
    let run = desk.lychgate("replay --policy bad.toml evening.pcap");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("bad.toml"), "{}", run.stderr);
    assert!(run.stderr.contains("exces"), "{}", run.stderr);
}

#[test]
fn an_output_over_an_input_is_refused_and_the_input_stays() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    let before = fs::read(desk.path("evening.pcap")).unwrap();
    for option in ["--json", "--html", "--forwarded", "--dropped"] {
        desk.lychgate(&format!(
            "replay --policy policy.toml {option} ./evening.pcap evening.pcap"
        ))
        .is_refused_with(&["evening.pcap: is an input"]);
        desk.lychgate(&format!(
            "replay --policy policy.toml {option} policy.toml evening.pcap"
        ))
        .is_refused_with(&["policy.toml: is an input"]);
    }
    assert_eq!(fs::read(desk.path("evening.pcap")).unwrap(), before);
}

#[test]
fn one_file_for_two_outputs_is_refused() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    desk.lychgate("replay --policy policy.toml --json out --html out evening.pcap")
        .is_refused_with(&["out: is given for two outputs"]);
    desk.lychgate("replay --policy policy.toml --json - --html - evening.pcap")
        .is_refused_with(&["-: is given for two outputs"]);
}

#[test]
fn an_output_in_a_directory_that_is_not_there_is_refused() {
    let desk = Desk::new();
    desk.pcap("evening.pcap", &evening());
    for option in ["--json", "--html", "--forwarded", "--dropped"] {
        desk.lychgate(&format!(
            "replay --policy policy.toml {option} nowhere/out evening.pcap"
        ))
        .is_refused_with(&[
            "nowhere/out: cannot be written",
            "check that the directory exists",
        ]);
    }
}

#[test]
fn an_output_that_fails_leaves_no_half_file() {
    let desk = Desk::new();
    desk.lychgate("replay --policy policy.toml --json out.json nowhere.pcap")
        .is_refused_with(&["nowhere.pcap"]);
    let left: Vec<_> = fs::read_dir(desk.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["policy.toml"]);
}

#[test]
fn captures_beside_captures_of_ports_are_refused() {
    let desk = Desk::new();
    let run = desk.lychgate("replay --policy policy.toml --access a.pcap --uplink b.pcap c.pcap");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
}

#[test]
fn a_replay_of_nothing_is_refused_with_its_usage() {
    let desk = Desk::new();
    let run = desk.lychgate("replay --policy policy.toml");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("CAPTURE"), "{}", run.stderr);
}

#[test]
fn standard_input_twice_is_refused() {
    let desk = Desk::new();
    desk.lychgate("replay --policy policy.toml - -")
        .is_refused_with(&["standard input (-) is given 2 times"]);
}

#[test]
fn no_workers_are_refused() {
    let desk = Desk::new();
    let run = desk.lychgate("replay --policy policy.toml --workers 0 evening.pcap");
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("--workers"), "{}", run.stderr);
}
