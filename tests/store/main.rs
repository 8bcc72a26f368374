//! The store against `kill -9`: a child process stores decisions and acknowledges each on a pipe;
//! it is killed at a random point, and what it acknowledged must be there.
//!
//! The child is this test program itself, asked for [`a_child_that_stores_until_it_is_killed`].

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use lychgate::{
    policy::steps::{Scope, Step, StepAction},
    remedy::{Act, Change, Finding, Record, Releaser, Remedy, Stage, Subscriber, Treatment, Who},
    store::Store,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Where the child finds its store.
const STORE: &str = "LYCHGATE_TEST_STORE";
/// What its decisions are drawn from.
const SEED: &str = "LYCHGATE_TEST_SEED";

const SUBSCRIBERS: u8 = 12;
const HOUR: Duration = Duration::from_secs(3_600);
const STEPS: [Step; 2] = [
    Step {
        action: StepAction::Notify,
        grace: Duration::ZERO,
    },
    Step {
        action: StepAction::Quarantine {
            scope: Scope::Mail,
            expires: Duration::from_secs(240 * 3_600),
        },
        grace: Duration::from_secs(24 * 3_600),
    },
];

fn subscriber(number: u8) -> Subscriber {
    Subscriber {
        name: (number.is_multiple_of(3)).then(|| format!("customer {number}")),
        prefix: format!("203.0.113.{number}/32").parse().expect("a prefix"),
    }
}

/// One decision, or several that are due.
fn decide(remedy: &Remedy, rng: &mut ChaCha8Rng, now: Timestamp) -> Vec<Change> {
    let due = remedy.due(now);
    if !due.is_empty() {
        return due;
    }
    let who = subscriber(rng.random_range(0..SUBSCRIBERS));
    let anna = Releaser::Staff("anna".to_owned());
    let change = match rng.random_range(0..6) {
        0 => Some(remedy.quarantine(&who, Scope::Mail, 50 * HOUR, ("anna", "abuse"), now)),
        1 => remedy.release(&who, &anna, "called", now).ok(),
        2 => remedy
            .release(&who, &Releaser::Customer, "cleaned", now)
            .ok(),
        _ => {
            let finding = Finding {
                detector: "outcomes".to_owned(),
                time: now,
                attempts: 21,
                destinations: 20,
                conclusive: true,
                evidence: serde_json::Map::new(),
            };
            let (steps, exempt) = (&STEPS[..], false);
            remedy.found(&who, &finding, Treatment { steps, exempt }, now)
        }
    };
    change.into_iter().collect()
}

#[test]
#[ignore = "the child of the tests below: alone it does nothing"]
fn a_child_that_stores_until_it_is_killed() {
    let (Ok(path), Ok(seed)) = (env::var(STORE), env::var(SEED)) else {
        return;
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed.parse().expect("a number"));
    let mut store = Store::open(Path::new(&path)).expect("the store");
    let mut remedy = Remedy::new(store.cases().expect("cases"));
    let newest = remedy.cases().map(|(_, case)| case.since).max();
    let mut now = newest.unwrap_or(Timestamp::UNIX_EPOCH);
    for _ in 0..100_000 {
        // Every transaction has a time of its own.
        now = now
            .saturating_add(Duration::from_secs(rng.random_range(1..4 * 3_600)))
            .expect("a moment");
        let changes = decide(&remedy, &mut rng, now);
        if changes.is_empty() {
            continue;
        }
        store.commit(&changes).expect("stored");
        let records: Vec<&Record> = changes.iter().flat_map(|change| &change.records).collect();
        let line = format!("ack {}\n", serde_json::to_string(&records).expect("JSON"));
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).expect("the parent reads");
        out.flush().expect("the parent reads");
        changes.into_iter().for_each(|change| remedy.apply(change));
    }
}

/// Runs a child until it has acknowledged `enough` transactions and a little longer, kills it, and
/// gives the records of every transaction that it acknowledged.
fn run_and_kill(path: &Path, seed: u64, enough: usize, longer: Duration) -> Vec<Record> {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "a_child_that_stores_until_it_is_killed"])
        .args(["--ignored", "--nocapture", "--test-threads", "1"])
        .env(STORE, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut records: Vec<Record> = Vec::new();
        let mut line = String::new();
        // Half a line is no acknowledgement.
        while output.read_line(&mut line).is_ok_and(|octets| octets > 0) && line.ends_with('\n') {
            if let Some((_, acknowledged)) = line.split_once("ack ") {
                let more: Vec<Record> = serde_json::from_str(acknowledged).expect("records");
                records.extend(more);
                // An error means that enough were told.
                let _ = tell.send(());
            }
            line.clear();
        }
        records
    });
    for _ in 0..enough {
        told.recv_timeout(Duration::from_secs(60))
            .expect("the child stores and acknowledges");
    }
    thread::sleep(longer);
    child.kill().expect("killed");
    child.wait().expect("ended");
    reader.join().expect("no panic")
}

/// Every release has somebody who did it, and an expiry was announced.
fn check_releases(audit: &[Record]) {
    for (index, record) in audit.iter().enumerate() {
        if record.act != Act::Released || record.who != Who::Expiry {
            continue;
        }
        let earlier = &audit[..index];
        let before = earlier.iter().rfind(|other| other.case == record.case);
        let Some(Stage::Quarantined { expires, .. }) = before.map(|before| before.stage) else {
            panic!("expired without a quarantine: {record:?}");
        };
        assert!(
            expires <= record.time,
            "released before its time: {record:?}"
        );
    }
}

fn rounds(count: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(25);
    let mut folder = tempfile::tempdir().expect("a folder");
    let mut known: Vec<Record> = Vec::new();
    let (mut acknowledged, mut unacknowledged) = (0, 0);
    for round in 0..count {
        if round > 0 && round % 50 == 0 {
            folder = tempfile::tempdir().expect("a folder");
            known.clear();
        }
        let path = folder.path().join("cases.redb");
        // Every fourth child is killed while it starts, opens or repairs.
        let enough = match round % 4 {
            0 => 0,
            _ => rng.random_range(1..12),
        };
        let longer = Duration::from_micros(rng.random_range(0..12_000));
        let told = run_and_kill(&path, round, enough, longer);
        acknowledged += told.len();
        known.extend(told);
        let store = Store::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let audit = store.audit().expect("the audit trail");
        let audit: Vec<Record> = audit.into_iter().map(|(_, record)| record).collect();
        assert!(
            audit.starts_with(&known),
            "round {round}: something is lost"
        );
        let more = &audit[known.len()..];
        assert!(
            more.iter().all(|record| record.time == more[0].time),
            "round {round}: more than the transaction under way"
        );
        unacknowledged += more.len();
        for (id, case) in store.cases().expect("cases") {
            let last = audit.iter().rfind(|record| record.case == id);
            let last = last.expect("a case has a trail");
            assert_eq!(
                (last.stage, &last.subscriber),
                (case.stage, &case.subscriber)
            );
        }
        check_releases(&audit);
        known = audit;
    }
    println!(
        "{count} kills: {acknowledged} records acknowledged and there, {unacknowledged} more there"
    );
    assert!(acknowledged as u64 > count, "the children hardly worked");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_program_is_killed() {
    rounds(20);
}

#[test]
#[ignore = "takes minutes: cargo test --test store -- --ignored --nocapture"]
fn nothing_acknowledged_is_lost_in_a_thousand_kills() {
    rounds(1_000);
}
