//! The whole program in the wire: real clients and servers on either side of it.
//!
//! ```text
//! subscribers ── lyworker-s │ access  (lychgate run)  uplink │ lyworker-n ── internet
//! ```
//!
//! Each test has namespaces of its own. They need root, AF_XDP, iproute2, ethtool, python3 and
//! clang. Without root they say so and pass; as root they fail if any of the rest is missing.
#![cfg(all(feature = "xdp", target_os = "linux"))]

mod everyday;
#[path = "../afxdp/odd.rs"]
mod odd;
mod place;
mod reload;
#[path = "../replay_cli/schema.rs"]
mod schema;
mod walls;
mod wire;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use place::{BUSINESS, DEAF, Place, SERVER, ZOMBIE};
use rustix::process::Signal;
use serde_json::{Value, json};

/// For tests that are not about time: however slow this machine is, nothing is bypassed.
const PATIENT: [&str; 2] = ["--deadline", "60000"];

/// Both steerings: in one every frame passes through the worker, in the other only mail does.
const STEERINGS: [&str; 2] = ["all", "mail"];

#[test]
fn a_zombie_is_limited_exactly_and_told_so_at_once_while_a_mail_server_is_not_touched() {
    for steer in STEERINGS {
        let Some(mut place) = Place::new() else {
            return;
        };
        let summary = format!("{}/inline-summary.json", env!("CARGO_TARGET_TMPDIR"));
        let inline =
            place.start_box(&[&["--steer", steer, "--json", &summary], &PATIENT[..]].concat());
        let zombie = place.client(&["attempts", ZOMBIE, SERVER, "50"]);
        let business = place.client(&["mail", BUSINESS, SERVER, "20"]);
        assert_eq!(
            zombie.finish(),
            json!({"connected": 3, "refused": 47, "silent": 0}),
            "steer {steer}"
        );
        assert_eq!(business.finish(), json!({"sent": 20}));
        assert_eq!(place.close_server(), json!({"mails": 20}));
        inline.signal(Signal::TERM);
        assert!(inline.ended_well());
        let summary: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
        assert_eq!(summary["stopped_by"], "SIGTERM");
        assert_eq!(summary["reasons"]["limit_exceeded"], 47);
        assert_eq!(summary["reasons"]["admitted"], 3);
        assert_eq!(summary["directions"]["outbound"]["reset"], 47);
        assert_eq!(summary["breaches"], 0);
    }
}

#[test]
fn a_deaf_zombie_is_limited_exactly_with_leases_and_without() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let summary = format!("{}/inline-leases.json", env!("CARGO_TARGET_TMPDIR"));
        let inline =
            place.start_box(&[&["--steer", steer, "--json", &summary], &PATIENT[..]].concat());
        let zombie = place.client(&["knock", DEAF, SERVER, "50"]);
        assert_eq!(zombie.finish(), json!({"connected": 3}), "steer {steer}");
        inline.signal(Signal::TERM);
        assert!(inline.ended_well());
        let summary: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
        assert_eq!(summary["reasons"]["admitted"], 3);
        let refused = summary["reasons"]["limit_exceeded"].as_u64().unwrap();
        let leased = summary["kernel"]["leased"]["outbound"].as_u64().unwrap();
        let dropped = summary["directions"]["outbound"]["dropped"]
            .as_u64()
            .unwrap();
        // Each of 47 SYNs, and at least once more each: a retransmission has its first one's verdict.
        assert!(refused >= 94, "{summary}");
        assert_eq!(refused, leased + dropped, "{summary}");
        assert_eq!(leased > 0, steer == "mail", "{summary}");
        assert_eq!(summary["breaches"], 0);
    }
}

#[test]
fn a_bulk_transfer_is_intact_both_ways() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let bulk = place.client(&["bulk", ZOMBIE, SERVER, "16"]);
        assert_eq!(
            bulk.finish(),
            json!({"down": true, "up": true}),
            "steer {steer}"
        );
        inline.signal(Signal::TERM);
        assert!(inline.ended_well());
    }
}

/// Sends a datagram a millisecond, does something to the box meanwhile, and says how many
/// datagrams that cost.
fn cost_of(place: &Place, act: impl FnOnce()) -> u64 {
    const COUNT: u64 = 1500;
    let mut stream = place.client(&["stream", ZOMBIE, SERVER, &COUNT.to_string()]);
    assert_eq!(stream.line(), "under way");
    act();
    let result = stream.finish();
    assert_eq!(result["doubled"], 0, "{result}");
    assert_eq!(result["last"], COUNT - 1, "traffic goes on: {result}");
    result["lost"].as_u64().unwrap()
}

#[test]
fn a_killed_box_is_bypassed_and_a_new_one_takes_over() {
    let Some(place) = Place::new() else { return };
    let inline = place.start_box(&["--steer", "all"]);
    let lost = cost_of(&place, || inline.signal(Signal::KILL));
    assert!(lost <= 50, "killed: {lost} ms without traffic");
    drop(inline);
    let bypassed = place.client(&["attempts", ZOMBIE, SERVER, "10"]).finish();
    assert_eq!(bypassed["connected"], 10, "nobody judges");
    let mut again = None;
    let lost = cost_of(&place, || {
        again = Some(place.start_box(&[&["--steer", "all"], &PATIENT[..]].concat()));
    });
    assert!(lost <= 10, "restarted: {lost} ms without traffic");
    let judged = place.client(&["attempts", ZOMBIE, SERVER, "10"]).finish();
    assert_eq!(judged["connected"], 3, "the new one judges");
}

#[test]
fn a_box_that_hangs_is_bypassed_within_two_deadlines_and_comes_back() {
    let Some(place) = Place::new() else { return };
    let inline = place.start_box(&["--steer", "all", "--deadline", "20"]);
    let lost = cost_of(&place, || inline.signal(Signal::STOP));
    assert!(lost <= 40, "stopped: {lost} ms without traffic");
    inline.signal(Signal::CONT);
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
}

#[test]
fn a_box_that_is_asked_to_stop_costs_next_to_nothing() {
    let Some(place) = Place::new() else { return };
    let inline = place.start_box(&["--steer", "all"]);
    let lost = cost_of(&place, || inline.signal(Signal::TERM));
    assert!(lost <= 2, "{lost} frames lost in draining");
    assert!(inline.ended_well());
}

#[test]
fn the_summary_keeps_to_its_schema_says_what_was_obtained_and_times_every_stamped_frame() {
    let Some(place) = Place::new() else { return };
    let path = format!("{}/inline-stamps.json", env!("CARGO_TARGET_TMPDIR"));
    let arguments = [
        "--steer", "all", "--stamp", "1", "--ring", "512", "--json", &path,
    ];
    let inline = place.start_box(&[&arguments[..], &PATIENT].concat());
    let mails = place.client(&["mail", BUSINESS, SERVER, "5"]).finish();
    assert_eq!(mails, json!({"sent": 5}));
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());

    let summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let published: Value =
        serde_json::from_str(include_str!("../../docs/run.schema.json")).unwrap();
    schema::check(&published, &summary);
    let ports = &summary["obtained"]["ports"];
    assert_eq!(
        (&ports[0]["port"], &ports[1]["port"]),
        (&json!("access"), &json!("uplink"))
    );
    assert_eq!(ports[0]["xdp"], "native");
    let queue = &summary["obtained"]["queues"][0];
    assert_eq!(
        (&queue["ring"], &queue["frames"]),
        (&json!(512), &json!(3072))
    );
    assert_eq!(queue["access"]["mode"], "copy", "veth has no zero-copy");
    assert!(queue["core"].is_u64());

    let forwarded = ["outbound", "inbound"].map(|direction| {
        summary["directions"][direction]["forwarded"]["frames"]
            .as_u64()
            .unwrap()
    });
    let residence = &summary["histograms"]["residence_ns"];
    assert_eq!(residence["count"].as_u64(), Some(forwarded.iter().sum()));
    assert!(residence["least"].as_u64() > Some(0), "{residence}");
}

#[test]
fn an_idle_box_takes_next_to_no_processor() {
    let Some(place) = Place::new() else { return };
    let inline = place.start_box(&["--steer", "all"]);
    let (start, before) = (Instant::now(), inline.processor_time());
    // What is measured is the time that passes while nothing happens.
    thread::sleep(Duration::from_secs(5));
    let share = (inline.processor_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("an idle box takes {:.1} % of a core", 100.0 * share);
    // With a reserve: this is not what it takes when it is optimised.
    assert!(share < 0.06, "{share}");
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
}

#[test]
fn a_quarantine_outlives_a_kill_and_ends_when_staff_say_so() {
    let Some(place) = Place::new() else { return };
    place.keep_cases("");
    let options = [&["--steer", "mail"], &PATIENT[..]].concat();
    let attempts = |who| place.client(&["attempts", who, SERVER, "2"]).finish();
    let inline = place.start_box(&options);
    place.staff(&["add", ZOMBIE]);
    assert_eq!(attempts(ZOMBIE)["refused"], 2, "from the next frame on");
    assert_eq!(attempts(BUSINESS)["connected"], 2, "others notice nothing");
    inline.signal(Signal::KILL);
    drop(inline);
    let inline = place.start_box(&options);
    assert_eq!(attempts(ZOMBIE)["refused"], 2, "the new box knows");
    place.staff(&["release", ZOMBIE]);
    assert_eq!(attempts(ZOMBIE)["connected"], 2, "from the next frame on");
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
    // Without a box, staff decide all the same, and the next one goes by it.
    place.staff(&["add", ZOMBIE]);
    let inline = place.start_box(&options);
    assert_eq!(attempts(ZOMBIE)["refused"], 2, "decided in between");
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
}

#[test]
fn a_zombie_is_found_told_and_quarantined_until_staff_release_it() {
    const DETECT: &str = "
[class.residential.detect]
volume = { attempts = 5, window = \"1h\" }
steps = [{ step = \"notify\" }, { step = \"quarantine\" }]
";
    let Some(place) = Place::new() else { return };
    let told = format!("{}/inline-events.json", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_file(&told);
    place.keep_cases(&format!("{DETECT}[events]\njson = \"{told}\"\n"));
    let summary = format!("{}/inline-found.json", env!("CARGO_TARGET_TMPDIR"));
    let options = [&["--steer", "mail", "--json", &summary], &PATIENT[..]].concat();
    let inline = place.start_box(&options);
    let business = place.client(&["mail", BUSINESS, SERVER, "20"]).finish();
    assert_eq!(business, json!({"sent": 20}));
    let zombie = place.client(&["attempts", ZOMBIE, SERVER, "20"]).finish();
    assert!(zombie["connected"].as_u64() >= Some(1), "{zombie}");
    place.await_stage(ZOMBIE, "quarantined");
    let zombie = place.client(&["attempts", ZOMBIE, SERVER, "5"]).finish();
    assert_eq!(zombie["refused"], 5);
    place.staff(&["release", ZOMBIE]);
    place.await_stage(ZOMBIE, "released");
    assert_eq!(
        place.subject(BUSINESS)["case"],
        Value::Null,
        "never suspected"
    );
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
    let summary: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
    assert!(summary["reasons"]["quarantined"].as_u64() >= Some(5));
    let told = fs::read_to_string(&told).unwrap();
    let told = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let acts: Vec<_> = told
        .filter(|event| event["event"] == "case")
        .map(|event| event["act"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(acts, ["suspected", "notified", "quarantined", "released"]);
}
