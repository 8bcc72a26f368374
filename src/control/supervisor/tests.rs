//! Supervised workers over ports in memory.

use std::{iter, sync::Mutex};

use ipnet::IpNet;

use super::*;
use crate::{
    engine::{Edition, InForce, Restrictions, Wall},
    io::{
        Side,
        fault::{Fault, Faulty},
        memory::{FarEnd, MemoryPorts, Shape, pair},
    },
    policy::steps::Scope,
    synth::packet::Packet,
};

/// Long enough for any machine, and never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

const POLICY: &str = r#"
[class.closed]
smtp = "block"
[[pool]]
prefix = "203.0.113.0/24"
class = "closed"
[sources]
capacity = 16
"#;

type Faults = Box<dyn Iterator<Item = Fault> + Send>;

/// Ports that were made beforehand, so that the test has their far ends.
struct Bench {
    ports: Mutex<Vec<Option<Faulty<MemoryPorts, Faults>>>>,
    /// Every set of walls that the kernel was told.
    walls: Mutex<Vec<Vec<(IpNet, Wall)>>>,
}

impl Site for Bench {
    type Ports = Faulty<MemoryPorts, Faults>;

    fn open(&self, index: usize) -> anyhow::Result<Self::Ports> {
        let mut ports = self.ports.lock().expect("no panic under this lock");
        ports[index].take().context("queue 1 of eth9 is in use")
    }

    fn wall(&self, walls: &[(IpNet, Wall)]) -> anyhow::Result<()> {
        let mut told = self.walls.lock().expect("no panic under this lock");
        told.push(walls.to_vec());
        anyhow::ensure!(walls.len() < 2, "no room");
        Ok(())
    }
}

/// A site with one worker for each sequence of faults, and its far ends.
fn site(faults: Vec<Faults>) -> (Bench, Vec<FarEnd>) {
    let pairs = faults.into_iter().map(|faults| {
        let (ports, far) = pair(Shape::default());
        (Some(Faulty::new(ports, faults)), far)
    });
    let (ports, far): (Vec<_>, _) = pairs.unzip();
    let ports = Mutex::new(ports);
    let walls = Mutex::default();
    (Bench { ports, walls }, far)
}

fn flawless() -> Faults {
    Box::new(iter::empty())
}

fn plan(workers: usize) -> Plan {
    let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
    Plan {
        in_force: InForce::new(Edition {
            policy: Arc::new(policy),
            observer: None,
            generation: 0,
        }),
        restrictions: Restrictions::default(),
        cases: None,
        findings: None,
        workers,
        cores: vec![],
        settings: Settings::default(),
        asked: RunSettings::default(),
        period: Duration::from_millis(1),
    }
}

fn datagram(number: u32) -> Vec<u8> {
    let packet = Packet::ethernet().ipv4("203.0.113.9", "192.0.2.80");
    packet.udp(1, 2).bytes(&number.to_be_bytes()).build()
}

fn mail(number: u32) -> Vec<u8> {
    let packet = Packet::ethernet().ipv4("203.0.113.9", "192.0.2.80");
    packet.tcp(40_000, 25).flags(2).sequence(number).build()
}

#[test]
fn workers_carry_frames_until_they_are_stopped_and_the_summary_counts_them_all() {
    let (site, far) = site(vec![flawless(), flawless()]);
    let supervisor = Supervisor::new(plan(2));
    let stopper = supervisor.stopper();
    let network = thread::spawn(move || {
        for number in 0..1000 {
            let far = &far[number as usize % 2];
            assert!(far.send(Side::Access, &datagram(number)));
            let crossed = far.await_frame(Side::Uplink, PATIENCE);
            assert_eq!(crossed, Some(datagram(number)));
        }
        stopper.stop("the test is over");
        stopper.stop("it really is");
        far
    });
    let mut told = Vec::new();
    let mut rates = 0;
    let summary = supervisor.run(&site, &mut |notice| match notice {
        Notice::Rates(_) => rates += 1,
        other => told.push(format!("{other:?}")),
    });
    let summary = summary.expect("ports are there");
    let far = network.join().expect("every frame crossed");
    assert!(told[0].starts_with("Started("), "{told:?}");
    assert_eq!(told[1..], ["Stopping(\"the test is over\")"]);
    assert!(rates > 0);
    assert!(summary.is_clean());
    assert_eq!(summary.sample.workers.directions[0].forwarded.frames, 1000);
    assert!(summary.sample.workers.census.is_conserved());
    assert!(far.iter().all(FarEnd::is_retired));
}

#[test]
fn a_workers_panic_is_told_bypasses_its_queue_and_drains_the_others() {
    // The second worker's first batches are empty; then it panics.
    let faults = iter::repeat_n(Fault::None, 20).chain([Fault::Panic]);
    let panics: Faults = Box::new(faults.chain(iter::repeat(Fault::Panic)));
    let (site, far) = site(vec![flawless(), panics]);
    for number in 0..64 {
        assert!(far[0].send(Side::Access, &datagram(number)));
    }
    let mut failed = Vec::new();
    let summary = Supervisor::new(plan(2)).run(&site, &mut |notice| {
        if let Notice::Failed { worker, error } = notice {
            failed.push((worker, error.to_string()));
        }
    });
    let summary = summary.expect("both workers began");
    assert_eq!(
        failed,
        [(1, "panic: a bug in the worker (injected)".to_owned())]
    );
    assert!(!summary.is_clean());
    assert!(far.iter().all(FarEnd::is_retired));
    // Whatever the first worker had taken in has left it.
    let carried = summary.sample.workers.directions[0];
    let crossed = iter::from_fn(|| far[0].take(Side::Uplink)).count() as u64;
    assert_eq!(carried.received.frames, crossed);
}

#[test]
fn an_interface_that_goes_away_ends_the_run_with_its_cause() {
    let gone: Faults = Box::new(iter::repeat(Fault::Gone));
    let (site, _far) = site(vec![flawless(), gone]);
    let summary = Supervisor::new(plan(2)).run(&site, &mut |_| {});
    let summary = summary.expect("both workers began");
    let [(worker, error)] = &summary.failures[..] else {
        panic!("one failure: {:?}", summary.failures);
    };
    assert_eq!(*worker, 1);
    let text = format!("{error:#}");
    assert_eq!(text, "its ports failed: the interface is gone (injected)");
    let mut json = Vec::new();
    summary.write_json(&mut json).expect("memory takes it");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(json["failures"][0]["error"], text);
    let mut shown = Vec::new();
    summary.write_text(&mut shown).expect("memory takes it");
    let shown = String::from_utf8(shown).expect("it is text");
    assert!(
        shown.contains("FAILED    worker 1: its ports failed"),
        "{shown}"
    );
}

#[test]
fn if_one_worker_cannot_begin_none_does() {
    let (site, far) = site(vec![flawless(), flawless()]);
    site.ports.lock().expect("not poisoned")[1] = None;
    let error = Supervisor::new(plan(2))
        .run(&site, &mut |notice| {
            assert!(!matches!(notice, Notice::Started(_)))
        })
        .expect_err("queue 1 is in use");
    let text = format!("{error:#}");
    assert_eq!(text, "worker 1 cannot begin: queue 1 of eth9 is in use");
    assert!(far[0].is_retired());
}

#[test]
fn a_worker_that_cannot_be_pinned_says_to_which_core() {
    let (site, _far) = site(vec![flawless()]);
    let plan = Plan {
        cores: vec![100_000],
        ..plan(1)
    };
    let error = Supervisor::new(plan)
        .run(&site, &mut |_| {})
        .expect_err("there is no such core");
    assert!(format!("{error:#}").contains("core 100000"), "{error:#}");
}

#[test]
fn a_port_that_is_removed_drains_the_workers_and_is_named_in_the_summary() {
    let (site, far) = site(vec![flawless()]);
    let supervisor = Supervisor::new(plan(1));
    let reporter = supervisor.port_reporter();
    let event = |change| PortEvent {
        side: Side::Uplink,
        interface: "eth2".to_owned(),
        change,
    };
    let mut told = Vec::new();
    let summary = supervisor.run(&site, &mut |notice| match notice {
        Notice::Started(_) => {
            for change in [PortChange::Down, PortChange::Up, PortChange::Gone] {
                reporter.tell(event(change));
            }
        }
        Notice::Port(event) => told.push(event.change.clone()),
        _ => {}
    });
    let summary = summary.expect("it began");
    assert_eq!(told, [PortChange::Down, PortChange::Up, PortChange::Gone]);
    assert!(far[0].is_retired());
    assert!(!summary.is_clean());
    assert_eq!(summary.lost, ["eth2"]);
    let counts = summary.ports[Side::Uplink.index()];
    assert_eq!((counts.downs, counts.ups, counts.others), (1, 1, 1));
    let mut shown = Vec::new();
    summary.write_text(&mut shown).expect("memory takes it");
    let shown = String::from_utf8(shown).expect("it is text");
    assert!(
        shown.contains("port      uplink: link down 1, up 1, other changes 1\nFAILED    interface eth2 was removed\n"),
        "{shown}"
    );
}

#[test]
fn another_policy_takes_effect_under_way_and_a_wrong_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("isp.toml");
    let (site, far) = site(vec![flawless(), flawless()]);
    let supervisor = Supervisor::new(plan(2));
    let (stopper, reloader) = (supervisor.stopper(), supervisor.reloader(file.clone()));
    let network = thread::spawn(move || {
        let mut number = 0;
        let mut blocked_at = |far: &[FarEnd]| {
            // A mail segment, and a datagram behind it: where only that crosses, mail is blocked.
            let blocked = [0, 1].map(|worker| {
                number += 1;
                assert!(far[worker].send(Side::Access, &mail(number)));
                assert!(far[worker].send(Side::Access, &datagram(number)));
                let first = far[worker].await_frame(Side::Uplink, PATIENCE);
                if first == Some(datagram(number)) {
                    return true;
                }
                assert_eq!(first, Some(mail(number)));
                let second = far[worker].await_frame(Side::Uplink, PATIENCE);
                assert_eq!(second, Some(datagram(number)));
                false
            });
            assert_eq!(blocked[0], blocked[1], "both workers go by the same policy");
            blocked[0]
        };
        let mut reload = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            let outcome = reloader.reload();
            (outcome, blocked_at(&far))
        };
        let open = POLICY.replace("smtp = \"block\"", "smtp = \"allow\"");
        assert_ne!(open, POLICY);
        let opened = reload(&open);
        let changes = vec!["class closed: smtp: block → allow".to_owned()];
        assert_eq!(opened, (Ok(changes), false));
        let (refused, is_blocked) = reload("[class.closed]\nsmtp = \"maybe\"\n");
        let refused = refused.expect_err("there is no such word");
        assert!(refused[0].contains("isp.toml:2"), "{refused:?}");
        assert!(!is_blocked, "the one before stays in force");
        let (refused, is_blocked) = reload(&format!("{POLICY}[ports]\nring = 64\n"));
        assert!(refused.expect_err("it is fixed")[0].starts_with("[ports] ring"));
        assert!(!is_blocked);
        let (changes, is_blocked) = reload(POLICY);
        assert_eq!(changes.expect("it is valid").len(), 1);
        assert!(is_blocked);
        stopper.stop("the test is over");
    });
    let mut told = Vec::new();
    let summary = supervisor.run(&site, &mut |notice| {
        if let Notice::Policy(outcome) = notice {
            told.push(outcome.is_ok());
        }
    });
    let summary = summary.expect("ports are there");
    network.join().expect("it went as the policies say");
    assert_eq!(told, [true, false, false, true]);
    assert_eq!(summary.reloads, 2);
    assert!(summary.is_clean());
    let carried = summary.sample.workers.directions[0];
    let fates = (
        carried.received.frames,
        carried.forwarded.frames,
        carried.dropped,
    );
    assert_eq!(fates, (16, 14, 2));
}

#[test]
fn a_full_source_table_is_told_once_with_how_many_were_let_pass_and_the_rest_at_the_end() {
    let text = POLICY
        .replace(
            "\"block\"",
            "{ limit = { connections = 1, window = \"1h\" } }",
        )
        .replace("capacity = 16", "capacity = 16\nfull = \"forward\"");
    let (policy, _) = Policy::from_toml("test.toml", &text).expect("a valid policy");
    let plan = Plan {
        in_force: InForce::new(Edition {
            policy: Arc::new(policy),
            observer: None,
            generation: 0,
        }),
        ..plan(1)
    };
    let (site, far) = site(vec![flawless()]);
    let supervisor = Supervisor::new(plan);
    let stopper = supervisor.stopper();
    let (heard, hear) = mpsc::channel();
    let network = thread::spawn(move || {
        let knock = |sources: std::ops::Range<u8>| {
            for source in sources {
                let packet =
                    Packet::ethernet().ipv4(format!("203.0.113.{source}").as_str(), "192.0.2.80");
                let packet = packet.tcp(40_000, 25).flags(2);
                assert!(far[0].send(Side::Access, &packet.build()));
                assert!(far[0].await_frame(Side::Uplink, PATIENCE).is_some());
            }
        };
        // Published counts lag behind: what is told first is at least one of these.
        knock(1..41);
        let first: TableFull = hear.recv_timeout(PATIENCE).expect("it is told");
        knock(41..51);
        stopper.stop("the test is over");
        let rest = hear.recv_timeout(PATIENCE).expect("the rest is told");
        (first, rest)
    });
    let summary = supervisor.run(&site, &mut |notice| {
        if let Notice::TableFull(full) = notice {
            heard.send(*full).expect("somebody listens");
        }
    });
    summary.expect("ports are there");
    let (first, rest) = network.join().expect("every SYN crossed");
    assert_eq!(first.attempts + rest.attempts, 50 - 16);
    assert_eq!(
        (first.capacity, first.fallback),
        (16, crate::policy::Fallback::Forward)
    );
    assert!(rest.attempts >= 10, "{rest:?}");
    // It is an estimate: two may have one bit.
    assert!((first.sources + rest.sources).abs_diff(50 - 16) <= 3);
}

#[test]
fn the_kernel_hears_of_every_wall_and_if_it_cannot_somebody_is_told() {
    let (site, _far) = site(vec![flawless()]);
    let plan = plan(1);
    let restrictions = plan.restrictions.clone();
    let supervisor = Supervisor::new(plan);
    let stopper = supervisor.stopper();
    let keys = ["203.0.113.1/32", "203.0.113.2/32"].map(|key| key.parse().expect("a prefix"));
    let garden = |count: usize| keys.into_iter().take(count).map(|key| (key, Scope::Garden));
    restrictions.set(garden(1));
    let mut alarms = Vec::new();
    let summary = supervisor.run(&site, &mut |notice| match notice {
        Notice::Started(_) => {
            restrictions.set(garden(2));
        }
        Notice::Walls(error) => {
            alarms.push(error.to_string());
            restrictions.set(garden(0));
        }
        Notice::Rates(_) => {
            let told = site.walls.lock().expect("no panic under this lock");
            if told.last().is_some_and(Vec::is_empty) {
                stopper.stop("nobody is behind a wall");
            }
        }
        _ => {}
    });
    assert!(summary.expect("ports are there").is_clean());
    assert!(alarms.iter().all(|alarm| alarm == "no room") && !alarms.is_empty());
}
