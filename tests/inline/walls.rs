//! Quarantined browsers, with Lychgate in the wire: told over IPv4 and IPv6, let go again; and the
//! walled garden.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    PATIENT, STEERINGS,
    place::{BUSINESS, Place, STATIONS, Station, ZOMBIE},
};

const PAGE: &str = "http://203.0.113.220/";
/// A server of the internet, and the notice page's.
const SERVERS: [&str; 4] = [
    "203.0.113.201",
    "203.0.113.220",
    "2001:db8:7::201",
    "2001:db8:7::220",
];
const ZOMBIE6: &str = "2001:db8:7::10";
/// Longer than any machine takes, and never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
[notice]
url = "http://203.0.113.220/"
addresses = ["203.0.113.220", "2001:db8:7::220"]
[[pool]]
prefix = "2001:db8:7::/120"
subscriber_prefix = 128
class = "residential"
"#;

fn somebody(place: &Place, end: usize, arguments: &[&str]) -> Station {
    place.program(end, "python3", "inline/walls.py", arguments)
}

/// The servers, when they are there.
fn servers(place: &Place) -> Station {
    for address in SERVERS {
        let length = if address.contains(':') { 64 } else { 24 };
        let address = format!("{address}/{length}");
        let add = ["ip", "addr", "add", &address, "dev", STATIONS[1]];
        let nodad: &[&str] = if length == 64 { &["nodad"] } else { &[] };
        place.enter(2, &[&add[..], nodad].concat());
    }
    let own = format!("{ZOMBIE6}/64");
    place.enter(0, &["ip", "addr", "add", &own, "dev", STATIONS[0], "nodad"]);
    let mut servers = somebody(place, 2, &[&["serve"], &SERVERS[..]].concat());
    assert_eq!(servers.line(), "ready");
    servers
}

/// What a subscriber gets of a server that is nobody's business.
fn probe(place: &Place, who: &str) -> Value {
    let server = if who.contains(':') {
        SERVERS[2]
    } else {
        SERVERS[0]
    };
    somebody(place, 0, &["probe", who, server]).finish()
}

/// Waits until the page that a subscriber asks for is this one: with `mail` steering, the kernel
/// program hears of a decision a moment after the workers.
fn await_page(place: &Place, who: &str, page: &str) -> Value {
    let begun = Instant::now();
    loop {
        let found = probe(place, who);
        if found["page"] == page {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not {page}: {found}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Says at the control socket that a subscriber has read the notice, as a notice page does.
fn tell_read(place: &Place, who: &str) {
    let mut socket = UnixStream::connect(place.socket()).unwrap();
    writeln!(socket, "{}", json!({"command": "read", "who": who})).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    let reply: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(reply["records"][0]["act"], "read", "{reply}");
}

fn all_open(server: &str) -> Value {
    json!({"page": server, "tcp": "open", "name": "answered"})
}

#[test]
fn a_quarantined_browser_is_told_and_goes_on_when_it_has_read_why() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let _servers = servers(&place);
        place.keep_cases(POLICY);
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        for (who, server) in [(ZOMBIE, SERVERS[0]), (ZOMBIE6, SERVERS[2])] {
            assert_eq!(probe(&place, who), all_open(server), "steer {steer}");
            place.staff(&["add", who]);
            let told = await_page(&place, who, PAGE);
            assert_eq!(told, all_open(PAGE), "HTTPS and names cross: steer {steer}");
            tell_read(&place, who);
            assert_eq!(probe(&place, who), all_open(server), "steer {steer}");
        }
        let url = format!("http://{}/", SERVERS[0]);
        place.staff(&["add", ZOMBIE]);
        await_page(&place, ZOMBIE, PAGE);
        let read = somebody(&place, 0, &["read", ZOMBIE, &url]).finish();
        assert_eq!(read, json!({"seen": [302, 200], "text": SERVERS[1]}));
        assert_eq!(probe(&place, BUSINESS), all_open(SERVERS[0]), "a neighbour");
    }
}

#[test]
fn the_garden_is_closed_but_for_names_and_the_notice_and_a_release_opens_all_at_once() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        let _servers = servers(&place);
        place.keep_cases(POLICY);
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        for (who, server) in [(ZOMBIE, SERVERS[0]), (ZOMBIE6, SERVERS[2])] {
            place.staff(&["add", who, "--scope", "garden"]);
            let told = await_page(&place, who, PAGE);
            let closed = json!({"page": PAGE, "tcp": "refused", "name": "answered"});
            assert_eq!(told, closed, "steer {steer}");
            tell_read(&place, who);
            assert_eq!(probe(&place, who), closed, "read or not: steer {steer}");
            place.staff(&["release", who]);
            assert_eq!(probe(&place, who), all_open(server), "steer {steer}");
        }
        assert_eq!(probe(&place, BUSINESS), all_open(SERVERS[0]), "a neighbour");
    }
}
