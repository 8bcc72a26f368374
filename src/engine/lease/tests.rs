//! Leases that the engine offers, and those that it must not.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::{
    detect::Observer,
    engine::{Direction, Judgements},
    policy::Policy,
    source::SourceTable,
    synth::packet::Packet,
    wire::Link,
};

const POLICY: &str = r#"
[class.plain]
smtp = { limit = { connections = 2, window = "8s" } }
[class.watched]
smtp = { limit = { connections = 2, window = "8s" } }
[class.watched.detect]
volume = { attempts = 50, window = "1m" }
[[pool]]
prefix = "192.0.2.0/25"
class = "plain"
[[pool]]
prefix = "192.0.2.128/25"
class = "watched"
"#;

/// The leases that three SYNs of a source, at 100 s, lead to.
fn leases(source: &str) -> Vec<Lease> {
    let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
    let observer = Arc::new(Observer::new(policy.observed()));
    let memory: Box<[AtomicU64]> = (0..64).map(|_| AtomicU64::new(0)).collect();
    let mut engine = Engine::new(Arc::new(policy), Arc::new(SourceTable::new(64, Some(0))));
    engine = engine.observing(observer);
    engine.offer_leases(Leasing {
        syns: Arc::new(Syns::new(Box::new(memory), [1, 2])),
        generation: 9,
    });
    let mut judgements = Judgements::default();
    for number in 0..3 {
        let packet = Packet::ethernet().ipv4(source, "198.51.100.25");
        let bytes = packet.tcp(40_000, 25).flags(2).sequence(number).build();
        let frame = Frame {
            bytes: &bytes,
            wire_length: bytes.len() as u32,
            link: Link::Ethernet,
            direction: Some(Direction::Outbound),
            time: 100_000_000_000,
        };
        engine.process(&[frame], &mut judgements);
    }
    judgements.leases
}

#[test]
fn a_refusal_can_be_left_to_the_kernel_until_the_window_has_room() {
    let lease = Lease {
        source: "192.0.2.1".parse().expect("an address"),
        service: Service::Smtp,
        // Nine parts of a second each from that in which both were admitted.
        until: 109_000_000_000,
        class: ClassId(0),
        generation: 9,
    };
    assert_eq!(leases("192.0.2.1"), [lease]);
    assert_eq!(
        Lease::counted(lease.counter()),
        (Reason::LimitExceeded, ClassId(0))
    );
}

#[test]
fn what_detection_must_see_is_not_left_to_the_kernel() {
    assert_eq!(leases("192.0.2.129"), []);
}
