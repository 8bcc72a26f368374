//! Outlets against real listeners on loopback. Waits are bounded by [`PATIENT`]; nothing depends on
//! how fast the machine is.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    thread,
};

use serde_json::Value;

use super::*;
use crate::{
    policy::{SyslogAt, steps::Scope},
    remedy::{Act, Finding, Stage, Who},
};

#[path = "../../tests/replay_cli/schema.rs"]
mod schema;

/// Longer than any machine needs for what is awaited.
const PATIENT: Duration = Duration::from_secs(30);

fn moment() -> Timestamp {
    "2026-11-30T10:00:00.5Z".parse().unwrap()
}

fn subscriber() -> Subscriber {
    Subscriber {
        name: Some("ACME \"Hosting\"".to_owned()),
        prefix: "203.0.113.30/32".parse().unwrap(),
    }
}

/// One event of every kind, cases at every stage.
fn every_event() -> Vec<Event> {
    let record = |act, stage, who, evidence| {
        Event::Case(Box::new(Record {
            time: moment(),
            case: "name:ACME \"Hosting\"".to_owned(),
            subscriber: subscriber(),
            act,
            stage,
            who,
            why: "21 of 21 attempts failed".to_owned(),
            evidence,
        }))
    };
    let finding = Finding {
        detector: "outcomes".to_owned(),
        time: moment(),
        attempts: 21,
        destinations: 21,
        conclusive: true,
        evidence: [("score".to_owned(), Value::from(9.9))]
            .into_iter()
            .collect(),
    };
    let detector = Who::Detector {
        name: "outcomes".to_owned(),
    };
    let staff = Who::Staff {
        name: "anna".to_owned(),
    };
    let quarantined = Stage::Quarantined {
        scope: Scope::Mail,
        expires: moment(),
    };
    let (port, interface) = ("uplink".to_owned(), "eth2".to_owned());
    vec![
        record(Act::Suspected, Stage::Suspect, detector, Some(finding)),
        record(Act::Notified, Stage::Notified, Who::Policy, None),
        record(Act::Quarantined, quarantined, staff, None),
        record(Act::Read, quarantined, Who::Customer, None),
        record(Act::Released, Stage::Released, Who::Customer, None),
        complaint(0),
        Event::TableFull {
            time: moment(),
            capacity: 1_048_576,
            attempts: 17,
            sources: 5,
            forwarded: true,
        },
        Event::PolicyReloaded {
            time: moment(),
            changes: vec!["class home: new".to_owned()],
        },
        Event::PolicyRefused {
            time: moment(),
            mistakes: vec!["[ports] ring: …".to_owned()],
        },
        Event::LinkDown {
            time: moment(),
            port: port.clone(),
            interface: interface.clone(),
        },
        Event::LinkUp {
            time: moment(),
            port,
            interface,
        },
    ]
}

fn complaint(number: u64) -> Event {
    Event::Complaint {
        time: moment(),
        source: "203.0.113.30".parse().unwrap(),
        kind: "spam".to_owned(),
        reporter: Some(format!("fbl{number}@mail.example")),
        subscriber: (number == 0).then(subscriber),
    }
}

#[test]
fn every_event_keeps_to_its_schema() {
    let documented: Value = serde_json::from_str(include_str!("../../docs/events.schema.json"))
        .expect("docs/events.schema.json");
    let names = documented["properties"]["event"]["enum"]
        .as_array()
        .unwrap();
    for event in every_event() {
        let value: Value = serde_json::from_str(&event.line().unwrap()).unwrap();
        schema::check(&documented, &value);
        assert_eq!(value["event"], event.name());
        assert!(names.contains(&Value::from(event.name())));
        let back: Event = serde_json::from_value(value).expect("it is read back");
        assert_eq!(back, event);
    }
}

/// Impatient enough for a test, and never in the way of one that waits.
fn quick(attempts: u32) -> Patience {
    Patience {
        pause_first: Duration::from_millis(1),
        pause_max: Duration::from_millis(20),
        attempts,
    }
}

fn tell_all(outlet: &Outlet) {
    for event in every_event() {
        outlet.tell(&Arc::new(event));
    }
}

#[test]
fn a_file_has_one_event_a_line_and_is_opened_anew_after_a_hangup() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (
        folder.path().join("events.jsonl"),
        folder.path().join("events.1"),
    );
    let wanted = Outlets {
        json: Some(path.clone()),
        ..Outlets::default()
    };
    let events = Events::open(&wanted).expect("a file");
    events.reopen_on_hangup().expect("a signal");
    every_event()
        .into_iter()
        .for_each(|event| events.tell(event));
    await_that(|| lines(&path).len() == every_event().len());
    fs::rename(&path, &old).expect("a rotation");
    signal_hook::low_level::raise(signal_hook::consts::SIGHUP).expect("a signal");
    events.tell(complaint(1));
    let told = events.stop(PATIENT);
    let all = every_event().len();
    let delivered = (told[0].0, told[0].1.delivered);
    assert_eq!(delivered, ("json", all as u64 + 1));
    assert_eq!((lines(&old).len(), lines(&path).len()), (all, 1));
    assert_eq!(
        serde_json::from_str::<Event>(&lines(&path)[0]).unwrap(),
        complaint(1)
    );
}

fn lines(path: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn await_that(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENT, "it doesn't come about");
        thread::yield_now();
    }
}

/// What is checked of a syslog message, whichever way it came.
fn is_syslog(message: &[u8], event: &Event) {
    let message = std::str::from_utf8(message).expect("UTF-8");
    let fields: Vec<&str> = message.splitn(8, ' ').collect();
    let priority = 24 + event.severity() as u8;
    assert_eq!(fields[0], format!("<{priority}>1"));
    assert_eq!(fields[1], "2026-11-30T10:00:00.500000Z");
    assert!(!fields[2].is_empty());
    assert_eq!(fields[3], "lychgate");
    assert_eq!(fields[4], std::process::id().to_string());
    assert_eq!(fields[5..7], [event.name(), "-"]);
    assert_eq!(fields[7], event.line().unwrap());
}

#[test]
fn syslog_over_udp_gets_each_event_as_rfc_5424_writes_it() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = UdpSocket::bind(address) else {
            continue; // no IPv6 here
        };
        listener.set_read_timeout(Some(PATIENT)).unwrap();
        let to = SyslogAt::Udp(listener.local_addr().unwrap());
        let outlet = Outlet::start("syslog", Syslog::new(&to).unwrap(), quick(1)).unwrap();
        tell_all(&outlet);
        let mut datagram = [0; 4_096];
        for event in every_event() {
            let length = listener.recv(&mut datagram).expect("a datagram");
            is_syslog(&datagram[..length], &event);
        }
        assert_eq!(outlet.stop(PATIENT).delivered, every_event().len() as u64);
    }
}

#[cfg(unix)]
#[test]
fn syslog_over_a_local_socket_survives_its_restart() {
    use std::os::unix::net::UnixDatagram;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let listener = UnixDatagram::bind(&path).expect("a socket");
    let writer = Syslog::new(&SyslogAt::Unix(path.clone())).unwrap();
    let outlet = Outlet::start("syslog", writer, quick(1_000_000)).unwrap();
    let receive = |listener: &UnixDatagram, event: &Event| {
        listener.set_read_timeout(Some(PATIENT)).unwrap();
        let mut datagram = [0; 4_096];
        let length = listener.recv(&mut datagram).expect("a datagram");
        is_syslog(&datagram[..length], event);
    };
    outlet.tell(&Arc::new(complaint(1)));
    receive(&listener, &complaint(1));
    drop(listener);
    fs::remove_file(&path).expect("the socket goes");
    outlet.tell(&Arc::new(complaint(2)));
    await_that(|| outlet.told().retried > 0);
    let listener = UnixDatagram::bind(&path).expect("it comes back");
    receive(&listener, &complaint(2));
    let told = outlet.stop(PATIENT);
    assert_eq!((told.delivered, told.failed), (2, 0));
}

/// A web server that gives these answers in turn, then the last one for ever, and tells the bodies
/// that it was sent.
fn web_server(answers: &'static [&'static str]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let url = format!("http://{}/events?key=a", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers
            .iter()
            .chain(std::iter::repeat(answers.last().unwrap()));
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|n| n > 0) {}
            assert!(
                head.starts_with("POST /events?key=a HTTP/1.1\r\n"),
                "{head}"
            );
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains("\r\ncontent-type: application/json\r\n"),
                "{head}"
            );
            let length = head.split("content-length: ").nth(1).expect("a length");
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = answers.next().unwrap();
            let _ = write!(
                stream,
                "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            if sender.send(String::from_utf8(body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

#[test]
fn a_web_hook_gets_each_event_in_turn_as_a_post() {
    let (url, bodies) = web_server(&["204 No Content"]);
    let outlet = Outlet::start("webhook", Webhook::new(&url), quick(3)).unwrap();
    tell_all(&outlet);
    for event in every_event() {
        assert_eq!(bodies.recv_timeout(PATIENT).unwrap(), event.line().unwrap());
    }
    let told = outlet.stop(PATIENT);
    assert_eq!(
        (told.delivered, told.retried, told.failed),
        (every_event().len() as u64, 0, 0)
    );
}

#[test]
fn a_web_hook_that_is_broken_or_busy_is_tried_again() {
    let (url, bodies) = web_server(&["500 Broken", "429 Busy", "503 Busy", "200 OK"]);
    let outlet = Outlet::start("webhook", Webhook::new(&url), quick(10)).unwrap();
    outlet.tell(&Arc::new(complaint(1)));
    for _ in 0..4 {
        assert_eq!(
            bodies.recv_timeout(PATIENT).unwrap(),
            complaint(1).line().unwrap()
        );
    }
    let told = outlet.stop(PATIENT);
    assert_eq!((told.delivered, told.retried, told.failed), (1, 3, 0));
}

#[test]
fn a_web_hook_that_calls_the_request_wrong_or_moved_is_not_tried_again() {
    for answers in [&["404 Not Found", "200 OK"], &["302 Found", "200 OK"]] {
        let (url, bodies) = web_server(answers);
        let outlet = Outlet::start("webhook", Webhook::new(&url), quick(10)).unwrap();
        outlet.tell(&Arc::new(complaint(1)));
        outlet.tell(&Arc::new(complaint(2)));
        for number in [1, 2] {
            let body = bodies.recv_timeout(PATIENT).unwrap();
            assert_eq!(body, complaint(number).line().unwrap());
        }
        let told = outlet.stop(PATIENT);
        assert_eq!((told.delivered, told.retried, told.failed), (1, 0, 1));
        assert!(told.last_failure.unwrap().contains("the answer is"));
    }
}

/// Fails always; says when it is asked.
struct Broken(mpsc::Sender<()>);

impl Writer for Broken {
    fn write(&mut self, _: &Event) -> Result<(), Failure> {
        let _ = self.0.send(());
        Err(Failure {
            why: "it is broken".to_owned(),
            again: true,
        })
    }
}

#[test]
fn what_keeps_failing_is_given_up_after_so_many_attempts() {
    let (asked, attempts) = mpsc::channel();
    let outlet = Outlet::start("broken", Broken(asked), quick(5)).unwrap();
    outlet.tell(&Arc::new(complaint(1)));
    let told = outlet.stop(PATIENT);
    assert_eq!(attempts.iter().count(), 5);
    assert_eq!((told.delivered, told.retried, told.failed), (0, 4, 1));
    assert_eq!(told.last_failure.as_deref(), Some("it is broken"));
}

#[test]
fn stopping_ends_a_pause_and_gives_up_what_is_queued() {
    let (asked, attempts) = mpsc::channel();
    let patience = Patience {
        pause_first: Duration::from_secs(86_400),
        pause_max: Duration::from_secs(86_400),
        attempts: 2,
    };
    let outlet = Outlet::start("broken", Broken(asked), patience).unwrap();
    for number in 0..3 {
        outlet.tell(&Arc::new(complaint(number)));
    }
    attempts.recv_timeout(PATIENT).expect("an attempt");
    let told = outlet.stop(Duration::ZERO);
    assert_eq!((told.delivered, told.failed), (0, 3));
}

/// Takes its time: until it is let go.
struct Stuck {
    asked: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
}

impl Writer for Stuck {
    fn write(&mut self, _: &Event) -> Result<(), Failure> {
        let _ = self.asked.send(());
        let _ = self.go.recv();
        Ok(())
    }
}

#[test]
fn whoever_tells_never_waits_and_what_finds_no_room_is_counted() {
    let (asked, attempts) = mpsc::channel();
    let (release, go) = mpsc::channel();
    let outlet = Outlet::start("stuck", Stuck { asked, go }, quick(1)).unwrap();
    let event = Arc::new(complaint(1));
    outlet.tell(&event);
    attempts
        .recv_timeout(PATIENT)
        .expect("the first is being written");
    for _ in 0..QUEUE_MAX + 5 {
        outlet.tell(&event);
    }
    assert_eq!(outlet.told().lost, 5);
    drop(release);
    let told = outlet.stop(PATIENT);
    assert_eq!((told.delivered, told.lost), (QUEUE_MAX as u64 + 1, 5));
}
