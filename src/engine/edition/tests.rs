//! Engines that go on under another policy.

use super::*;
use crate::{
    engine::{Action, Direction, Frame, Judgements, Nanos, Reason},
    policy::ClassId,
    source::SourceTable,
    synth::packet::Packet,
    wire::{Link, TcpFlags},
};

const POLICY: &str = r#"
[class.home]
smtp = { limit = { connections = 3, window = "8s" } }
[[pool]]
prefix = "203.0.113.0/24"
class = "home"
[sources]
capacity = 64
"#;
const CLIENT: &str = "203.0.113.9";
const S: Nanos = 1_000_000_000;

fn edition(text: &str, generation: u32) -> Edition {
    let (policy, _) = Policy::from_toml("test.toml", text).expect("a valid policy");
    Edition {
        policy: Arc::new(policy),
        observer: None,
        generation,
    }
}

/// Engines of two workers, and what they follow.
fn workers() -> (InForce, [Engine; 2]) {
    let in_force = InForce::new(edition(POLICY, 1));
    let sources = Arc::new(SourceTable::new(64, Some(0)));
    let engines = [(); 2].map(|()| Engine::following(&in_force, Arc::clone(&sources)));
    (in_force, engines)
}

fn replace(in_force: &InForce, text: &str) {
    let next = edition(text, 2);
    let (policy, _) = Policy::from_toml("test.toml", text).expect("a valid policy");
    let policy = policy.numbered_after(&in_force.policy());
    in_force.replace(Edition {
        policy: Arc::new(policy.expect("few classes")),
        ..next
    });
}

fn attempt(engine: &mut Engine, number: u32, time: Nanos) -> (Reason, Action) {
    let packet = Packet::ethernet().ipv4(CLIENT, "192.0.2.1");
    let packet = packet.tcp(40_000, 25).flags(TcpFlags::SYN);
    let bytes = packet.sequence(number).build();
    let frame = Frame {
        bytes: &bytes,
        wire_length: bytes.len() as u32,
        link: Link::Ethernet,
        direction: Some(Direction::Outbound),
        time,
    };
    let mut judgements = Judgements::default();
    engine.process(&[frame], &mut judgements);
    let verdict = judgements.verdicts[0];
    (verdict.reason, verdict.action)
}

/// How many of 20 attempts are admitted.
fn admitted(engine: &mut Engine, first: u32, time: Nanos) -> usize {
    let reasons = (first..first + 20).map(|number| attempt(engine, number, time).0);
    reasons.filter(|reason| *reason == Reason::Admitted).count()
}

#[test]
fn another_limit_holds_for_every_worker_at_once_and_what_was_admitted_counts_on() {
    let (in_force, [mut one, mut other]) = workers();
    assert_eq!(admitted(&mut one, 0, S), 3);
    replace(
        &in_force,
        &POLICY.replace("connections = 3", "connections = 5"),
    );
    assert_eq!(admitted(&mut other, 100, S), 2, "3 are in the window");
    assert_eq!(admitted(&mut one, 200, S), 0);
    replace(
        &in_force,
        &POLICY.replace("connections = 3", "connections = 4"),
    );
    assert_eq!(admitted(&mut one, 300, S), 0, "5 are in the window");
    assert_eq!(admitted(&mut other, 400, 20 * S), 4, "it has passed");
}

#[test]
fn a_window_of_another_length_begins_empty_and_the_old_one_is_remembered() {
    let (in_force, [mut one, _]) = workers();
    assert_eq!(admitted(&mut one, 0, S), 3);
    replace(&in_force, &POLICY.replace("\"8s\"", "\"16s\""));
    assert_eq!(admitted(&mut one, 100, S), 3);
    replace(&in_force, POLICY);
    assert_eq!(admitted(&mut one, 200, S), 0);
}

#[test]
fn what_was_decided_for_a_syn_holds_for_its_retransmissions_and_the_next_is_judged_anew() {
    let (in_force, [mut one, _]) = workers();
    let refused = (Reason::LimitExceeded, Action::Drop);
    assert_eq!(admitted(&mut one, 0, S), 3);
    assert_eq!(attempt(&mut one, 19, S), refused);
    let open = POLICY.replace(
        "{ limit = { connections = 3, window = \"8s\" } }",
        "\"allow\"",
    );
    replace(&in_force, &open);
    assert_eq!(attempt(&mut one, 19, 2 * S), refused);
    let allowed = (Reason::Allowed, Action::Forward);
    assert_eq!(attempt(&mut one, 100, 2 * S), allowed);
}

#[test]
fn counts_survive_and_a_class_keeps_its_own() {
    let (in_force, [mut one, _]) = workers();
    assert_eq!(admitted(&mut one, 0, S), 3);
    let other = r#"
[class.strict]
smtp = "block"
[[pool]]
prefix = "203.0.113.0/24"
class = "strict"
[sources]
capacity = 64
"#;
    replace(&in_force, other);
    let blocked = (Reason::SmtpBlocked, Action::Drop);
    assert_eq!(attempt(&mut one, 100, S), blocked);
    let of = |reason, class| {
        let class = Some(ClassId(class));
        one.counters().get(reason, Direction::Outbound, class)
    };
    assert_eq!(of(Reason::Admitted, 0), 3);
    assert_eq!(of(Reason::LimitExceeded, 0), 17);
    assert_eq!(of(Reason::SmtpBlocked, 1), 1);
    assert_eq!(one.counters().total(), 21);
}

#[test]
fn observe_mode_ends_without_a_doubt_what_was_observed() {
    let (in_force, [mut one, _]) = workers();
    replace(
        &in_force,
        &POLICY.replace(
            "window = \"8s\" } }",
            "window = \"8s\" } }\nmode = \"observe\"",
        ),
    );
    for number in 0..5 {
        assert_eq!(attempt(&mut one, number, S).1, Action::Forward);
    }
    replace(&in_force, POLICY);
    assert_eq!(attempt(&mut one, 100, S).1, Action::Drop);
    let counters = one.counters();
    assert_eq!(counters.of_reason(Reason::LimitExceeded), 3);
    assert_eq!(counters.observed(Reason::LimitExceeded), 2);
}
