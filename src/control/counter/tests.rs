//! The socket, as callers meet it.

use std::sync::{Mutex, mpsc};

use super::*;
use crate::{
    control::supervisor::Event,
    detect::{Evidence, Finding as Detector},
};

const POLICY: &str = r#"
[class.residential]
smtp = "block"
[class.residential.detect]
volume = { attempts = 5, window = "1h" }
steps = [{ step = "notify" }, { step = "quarantine" }]
[[pool]]
prefix = "203.0.113.0/24"
class = "residential"
[store]
path = "cases.redb"
"#;
const PATIENT: Duration = Duration::from_secs(30);

/// A policy file in a folder of its own, so that paths are relative to it.
fn policy(folder: &tempfile::TempDir) -> Arc<Policy> {
    let file = folder.path().join("policy.toml");
    fs::write(&file, POLICY).expect("a file");
    let (policy, _) = Policy::load(&file, &mut |_| {}).expect("a valid policy");
    Arc::new(policy)
}

/// A running box's counter, and what it tells.
fn open(policy: &Arc<Policy>) -> (Counter, Receiver<String>) {
    open_with(policy, mpsc::channel().1)
}

fn open_with(policy: &Arc<Policy>, findings: Receiver<Flag>) -> (Counter, Receiver<String>) {
    let keeping = policy.keeping().expect("a store");
    let casebook = Casebook::open(Arc::clone(policy), keeping).expect("a store");
    let (say, said) = mpsc::channel();
    let say = Mutex::new(say);
    let tell = move |what: Result<&Record, &str>| {
        let text = match what {
            Ok(record) => record.act.name().to_owned(),
            Err(error) => error.to_owned(),
        };
        // Nobody listens at the end of a test.
        let _ = say.lock().expect("no panic").send(text);
    };
    let counter = Counter::open(
        Cases::new(casebook),
        &keeping.socket,
        findings,
        Arc::new(tell),
    );
    (counter.expect("a socket"), said)
}

fn add(seconds: u64) -> Request {
    Request::Add {
        who: "203.0.113.66".to_owned(),
        scope: crate::policy::steps::Scope::Mail,
        seconds,
        by: "anna".to_owned(),
        why: "abuse".to_owned(),
    }
}

fn open_cases(policy: &Arc<Policy>) -> usize {
    match ask(policy, &Request::List { all: false }).expect("an answer") {
        Reply::Cases { cases } => cases.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn staff_reach_a_running_box_and_after_it_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (counter, said) = open(&policy);
    ask(&policy, &add(9_999)).expect("an answer");
    assert_eq!(said.recv_timeout(PATIENT).as_deref(), Ok("quarantined"));
    assert_eq!(open_cases(&policy), 1);
    let socket = &policy.keeping().expect("a store").socket;
    let mode = fs::metadata(socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(counter);
    assert!(!socket.exists());
    assert_eq!(open_cases(&policy), 1);
}

#[test]
fn a_quarantine_ends_by_itself_when_its_time_has_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (_counter, said) = open(&policy);
    ask(&policy, &add(1)).expect("an answer");
    assert_eq!(said.recv_timeout(PATIENT).as_deref(), Ok("quarantined"));
    assert_eq!(said.recv_timeout(PATIENT).as_deref(), Ok("released"));
    assert_eq!(open_cases(&policy), 0);
}

#[test]
fn a_complaint_that_arrives_in_the_maildir_becomes_a_case() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(folder.path().join("abuse").join(part)).expect("a part");
    }
    let file = folder.path().join("policy.toml");
    let text = format!("{POLICY}[complaints]\nmaildir = \"abuse\"\n");
    fs::write(&file, text).expect("a file");
    let (policy, _) = Policy::load(&file, &mut |_| {}).expect("a valid policy");
    let policy = Arc::new(policy);
    let (counter, said) = open(&policy);
    let new = folder.path().join("abuse/new");
    fs::write(new.join("1.nonsense"), "no report").expect("a mail");
    let told = said.recv_timeout(PATIENT).expect("told");
    assert!(told.contains("1.nonsense"), "{told}");
    let report = format!(
        r#"{{"xarf_version":"4.2.0","timestamp":"{}","source_identifier":"203.0.113.66",
        "category":"messaging","type":"spam","reporter":{{"contact":"abuse@other.example"}}}}"#,
        Timestamp::now()
    );
    // As a mail server does: it appears when it is whole.
    let tmp = folder.path().join("abuse/tmp/2.report");
    fs::write(&tmp, report).expect("a mail");
    fs::rename(&tmp, new.join("2.report")).expect("moved");
    assert_eq!(said.recv_timeout(PATIENT).as_deref(), Ok("suspected"));
    assert_eq!(open_cases(&policy), 1);
    // Waits for the thread that moves it.
    drop(counter);
    let seen = folder.path().join("abuse/cur/2.report:2,S");
    assert!(seen.exists() && new.join("1.nonsense").exists());
}

#[test]
fn a_socket_that_a_dead_box_left_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let socket = &policy.keeping().expect("a store").socket;
    drop(UnixListener::bind(socket).expect("a socket"));
    assert_eq!(open_cases(&policy), 0);
    let (_counter, _said) = open(&policy);
    assert_eq!(open_cases(&policy), 0);
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").expect("a file");
    let refused = listen(&file).expect_err("it is no socket").to_string();
    assert!(
        refused.contains("there is a file of another kind"),
        "{refused}"
    );
    assert_eq!(fs::read(&file).expect("the file"), b"mine");
}

#[test]
fn nonsense_is_answered_and_the_next_line_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (_counter, _said) = open(&policy);
    let socket = &policy.keeping().expect("a store").socket;
    let mut caller = UnixStream::connect(socket).expect("the socket");
    caller.set_read_timeout(Some(PATIENT)).expect("a timeout");
    caller
        .write_all(b"hello\n{\"command\":\"list\",\"al\":true}\n{\"command\":\"list\"}\n")
        .expect("written");
    let mut lines = BufReader::new(caller).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("this is no request: expected value"));
    assert!(next().contains("unknown field `al`"));
    assert_eq!(next(), r#"{"answer":"cases","cases":[]}"#);
}

#[test]
fn a_caller_who_says_nothing_holds_nobody_up_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (_counter, _said) = open(&policy);
    let socket = &policy.keeping().expect("a store").socket;
    let _silent = UnixStream::connect(socket).expect("the socket");
    assert_eq!(open_cases(&policy), 0);
}

#[test]
fn what_a_worker_finds_becomes_a_case_and_follows_the_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (find, findings) = mpsc::channel();
    let (counter, said) = open_with(&policy, findings);
    let flag = Flag {
        key: "203.0.113.66/32".parse().expect("a prefix"),
        class: 0,
        detector: Detector::Volume,
        time: monotonic(),
        attempts: 6,
        destinations: 6,
        evidence: Evidence::default(),
    };
    find.send(flag).expect("the counter listens");
    for expected in ["suspected", "notified", "quarantined"] {
        assert_eq!(said.recv_timeout(PATIENT).as_deref(), Ok(expected));
    }
    assert_eq!(open_cases(&policy), 1);
    drop(find);
    drop(counter);
}

#[test]
fn the_policy_that_the_box_was_started_with_is_reloaded_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = policy(&folder);
    let (counter, _said) = open(&policy);
    let reload = |name: &str| {
        let file = folder.path().join(name);
        ask(&policy, &Request::Reload { policy: file }).expect("an answer")
    };
    let refused = |reply| match reply {
        Reply::Refused { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(reload("policy.toml")).contains("the box is starting"));
    let (supervisor, events) = mpsc::channel();
    counter.offer_reload(Reloader::new(folder.path().join("policy.toml"), supervisor));
    let supervisor = thread::spawn(move || {
        for outcome in [
            Ok(vec!["class home: new".to_owned()]),
            Err(vec!["no".to_owned()]),
        ] {
            let Ok(Event::Policy(wanted)) = events.recv() else {
                panic!("it is asked for another policy");
            };
            assert!(wanted.policy.is_ok());
            wanted.reply.send(outcome).expect("somebody waits");
        }
    });
    assert!(refused(reload("other.toml")).contains("the box was started with"));
    let changes = vec!["class home: new".to_owned()];
    assert_eq!(reload("policy.toml"), Reply::Reloaded { changes });
    assert_eq!(refused(reload("./policy.toml")), "no");
    supervisor.join().expect("it was asked");
    assert_eq!(refused(reload("policy.toml")), "the box is stopping");
    drop(counter);
    let nobody = refused(reload("policy.toml"));
    assert!(nobody.contains("no box runs"), "{nobody}");
}
