//! What people do all day, with Lychgate in the wire: letters, pings, pages, addresses.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use super::{
    PATIENT, STEERINGS,
    place::{Place, RELAY, SERVER, STATIONS, Station, ZOMBIE},
};

const SUBSCRIBERS: usize = 0;
const INTERNET: usize = 2;

/// A Python that has a real SMTP server.
fn python_with_aiosmtpd() -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    let candidates = [own.to_str().unwrap(), "python3", "/usr/bin/python3"];
    let has_it = |python: &&str| {
        let tried = Command::new(python)
            .args(["-c", "import aiosmtpd"])
            .output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = candidates.iter().find(|python| has_it(python));
    (*found.expect("aiosmtpd is missing: apt install python3-aiosmtpd, or pip install aiosmtpd"))
        .to_owned()
}

/// A program on either side.
fn somebody(place: &Place, end: usize, arguments: &[&str]) -> Station {
    place.program(end, "python3", "inline/everyday.py", arguments)
}

#[test]
fn a_user_at_his_limit_still_sends_real_mail_through_relay_and_submission() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        // The post office tries its own door.
        place.enter(INTERNET, &["ip", "link", "set", "lo", "up"]);
        let to = format!("{RELAY}/24");
        place.enter(INTERNET, &["ip", "addr", "add", &to, "dev", STATIONS[1]]);
        let python = python_with_aiosmtpd();
        let arguments = ["postoffice", RELAY, SERVER];
        let mut office = place.program(INTERNET, &python, "inline/everyday.py", &arguments);
        assert_eq!(office.line(), "ready");
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let attempts = place.client(&["attempts", ZOMBIE, SERVER, "5"]).finish();
        assert_eq!(attempts["connected"], 3, "at his limit: {attempts}");
        let sent = somebody(
            &place,
            SUBSCRIBERS,
            &["letters", ZOMBIE, RELAY, SERVER, "3"],
        );
        let sent = sent.finish();
        assert_eq!(sent["relay"].as_array().map(Vec::len), Some(3), "{sent}");
        assert_eq!(
            office.finish(),
            sent,
            "letters arrive word for word: steer {steer}"
        );
    }
}

/// A kernel's own clients: if a reset came late or never, they would send their SYN again.
#[test]
fn a_reset_reaches_the_client_before_it_tries_again() {
    let Some(place) = Place::new() else { return };
    let _inline = place.start_box(&PATIENT);
    let again = || {
        let output = place.output(SUBSCRIBERS, &["cat", "/proc/net/netstat"]);
        counter(&output, "TCPSynRetrans")
    };
    let before = again();
    let attempts = place.client(&["attempts", ZOMBIE, SERVER, "100"]).finish();
    assert_eq!(
        attempts,
        json!({"connected": 3, "refused": 97, "silent": 0})
    );
    // A machine that sleeps for a second may make a few do so all the same.
    let retried = again() - before;
    assert!(retried <= 10, "{retried} of 100 attempts were repeated");
}

/// A counter of /proc/net/netstat: a line of names, then one of numbers.
fn counter(text: &str, name: &str) -> u64 {
    let lines: Vec<_> = text.lines().collect();
    let found = lines.chunks(2).find_map(|pair| {
        let place = pair[0].split(' ').position(|word| word == name)?;
        pair[1].split(' ').nth(place)?.parse().ok()
    });
    found.unwrap_or_else(|| panic!("no {name} in /proc/net/netstat"))
}

#[test]
fn pings_are_answered_octet_for_octet() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let ping = somebody(&place, SUBSCRIBERS, &["ping", ZOMBIE, SERVER, "50"]);
        assert_eq!(ping.finish(), json!({"answered": 50}), "steer {steer}");
    }
}

#[test]
fn ipv6_neighbours_discover_each_other_through_the_box() {
    const ENDS: [&str; 2] = ["2001:db8:7::10", "2001:db8:7::200"];
    for steer in STEERINGS {
        let Some(mut place) = Place::new() else {
            return;
        };
        for ((end, station), address) in [SUBSCRIBERS, INTERNET].into_iter().zip(STATIONS).zip(ENDS)
        {
            let address = format!("{address}/64");
            let add = ["ip", "addr", "add", &address, "dev", station, "nodad"];
            place.enter(end, &add);
        }
        place.close_server();
        let mut server = place.program(
            INTERNET,
            "python3",
            "inline/stations.py",
            &["page", ENDS[1]],
        );
        assert_eq!(server.line(), "ready");
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let found = somebody(&place, SUBSCRIBERS, &["neighbour", ENDS[1]]).finish();
        assert_eq!(
            found,
            json!({"octets": 1 << 20, "discovered": true}),
            "steer {steer}"
        );
    }
}

#[test]
fn a_subscriber_gets_his_address_by_dhcp_through_the_box() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let given = "203.0.113.61";
        let mut server = somebody(&place, INTERNET, &["lease", STATIONS[1], given]);
        assert_eq!(server.line(), "ready");
        let client = somebody(
            &place,
            SUBSCRIBERS,
            &["address", STATIONS[0], "02:00:00:00:00:61"],
        );
        assert_eq!(client.finish(), json!({"taken": given}), "steer {steer}");
        assert_eq!(server.finish(), json!({"given": given}));
    }
}

#[test]
fn curl_fetches_a_page_through_the_box() {
    let Some(place) = Place::new() else { return };
    let _inline = place.start_box(&PATIENT);
    let file = format!("{}/inline-page", env!("CARGO_TARGET_TMPDIR"));
    let url = format!("http://{SERVER}/4");
    let curl = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
    ];
    let rest = ["--interface", ZOMBIE, "--output", &file, &url];
    place.enter(SUBSCRIBERS, &[&curl[..], &rest].concat());
    assert_eq!(fs::metadata(&file).unwrap().len(), 4 << 20);
    fs::remove_file(&file).unwrap();
}
