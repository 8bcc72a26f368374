//! Quarantined browsers, with Lychgate in the wire: told over IPv4 and IPv6, let go again; and the
//! walled garden.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use lychgate::{
    io::Side,
    wire::{Link, Segment, tcp_segment},
};
use serde_json::{Value, json};

use super::{
    PATIENT, STEERINGS,
    place::{BUSINESS, Place, STATIONS, Station, ZOMBIE},
    wire::{ENVELOPES, Tap},
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

/// Octets written as a packet socket's program writes them.
fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let octet = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(octet).collect()
}

fn segment(frame: &[u8]) -> Segment {
    tcp_segment(frame, frame.len() as u32, Link::Ethernet, &|_| false).expect("a segment")
}

#[test]
fn a_browser_behind_a_tag_or_in_pppoe_is_told_in_the_same_envelope() {
    for ((name, envelope), steer) in ENVELOPES.into_iter().zip(STEERINGS.into_iter().cycle()) {
        let Some(place) = Place::without_people() else {
            return;
        };
        place.keep_cases(POLICY);
        place.staff(&["add", ZOMBIE]);
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let mut here = Tap::open(&place, Side::Access);
        let there = Tap::open(&place, Side::Uplink);
        let mut say = |flags: u16, sequence: u32, acknowledgement: u32, data: &[u8]| {
            let packet = envelope().ipv4(ZOMBIE, SERVERS[0]).tcp(40_000, 80);
            let packet = packet.flags(flags).sequence(sequence);
            let packet = packet.acknowledgement(acknowledgement).bytes(data);
            here.send(&[packet.padded().build()]);
            octets(&here.next())
        };
        let hello = segment(&say(0x02, 7, 0, b""));
        assert_eq!((hello.flags.0, hello.acknowledgement), (0x12, 8), "{name}");
        let sent = segment(&envelope().ipv4(ZOMBIE, SERVERS[0]).tcp(1, 80).build());
        assert_eq!(hello.vlans, sent.vlans, "{name}");
        assert_eq!(hello.network_offset, sent.network_offset, "{name}");
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let told = say(0x18, 8, hello.sequence.wrapping_add(1), request);
        assert_eq!(segment(&told).acknowledgement, 26, "{name}");
        let text = String::from_utf8_lossy(&told).into_owned();
        let place = format!("\r\nLocation: {PAGE}\r\n");
        assert!(text.contains(&place), "{name}: {text}");
        assert!(there.is_silent(), "{name}");
    }
}
