//! Refusal leases: the kernel program refuses what the engine would refuse, and nothing else.

use std::{net::IpAddr, sync::Arc, thread, time::Duration};

use ipnet::IpNet;
use lychgate::{
    engine::{Action, Direction, Engine, Frame, Judgements, Lease, Leasing, Reason, Verdict},
    io::{
        self, Side,
        afxdp::{Fate, Heartbeat, LeaseOptions, Leases, Settings, Steer, Steering},
    },
    policy::Policy,
    source::{SourceTable, Syns},
    synth::packet::Packet,
    wire::{Link, Service},
    worker::monotonic,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::place::{PATIENCE, in_place};

const POLICY: &str = r#"
[relays]
addresses = ["198.51.100.80", "2001:db8:2500::80"]
limit = { connections = 3, window = "2s" }

[class.residential]
smtp = { limit = { connections = 3, window = "1s" } }
submission = { limit = { connections = 2, window = "2s" } }
excess = "drop"

[class.abrupt]
smtp = { limit = { connections = 1, window = "1s" } }
excess = "reset"

[class.watched]
smtp = { limit = { connections = 1, window = "1s" } }
mode = "observe"

[class.large]
smtp = { limit = { connections = 1100, window = "60s" } }

[class.closed]
smtp = "block"

[[pool]]
prefix = "192.0.2.0/26"
class = "residential"

[[pool]]
prefix = "2001:db8::/44"
subscriber_prefix = 56
class = "residential"

[[pool]]
prefix = "192.0.2.64/28"
class = "abrupt"

[[pool]]
prefix = "192.0.2.80/28"
class = "watched"

[[pool]]
prefix = "192.0.2.96/28"
class = "closed"

[[pool]]
prefix = "192.0.2.112/28"
class = "residential"
vlans = [7]

[[pool]]
prefix = "192.0.2.128/28"
class = "large"

[sources]
capacity = 1024
"#;

/// An engine, and all that makes it the half of a pair.
struct Judge {
    engine: Engine,
    judgements: Judgements,
}

impl Judge {
    fn new(policy: &Arc<Policy>) -> Self {
        let sources = SourceTable::new(policy.capacity(), Some(0));
        Self {
            engine: Engine::new(Arc::clone(policy), Arc::new(sources)),
            judgements: Judgements::default(),
        }
    }

    fn judge(&mut self, frame: &[u8], time: u64) -> Verdict {
        let frame = Frame {
            bytes: frame,
            wire_length: frame.len() as u32,
            link: Link::Ethernet,
            direction: Some(Direction::Outbound),
            time,
        };
        self.engine.process(&[frame], &mut self.judgements);
        self.judgements.verdicts[0]
    }
}

/// A kernel program and an engine that leases refusals out to it, and an engine that does not: the
/// oracle.
struct Pair {
    steering: Steering,
    heartbeat: Heartbeat,
    leases: Leases,
    judge: Judge,
    oracle: Judge,
    /// Frames that no engine saw.
    leased: u64,
}

fn pair(test: impl FnOnce(&mut Pair) + Send) {
    in_place(|place| {
        let [access, uplink] = place.ports();
        let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
        let policy = Arc::new(policy);
        let settings = Settings {
            steer: Steer::Mail,
            deadline: PATIENCE,
            ..Settings::default()
        };
        let key = [7, 11];
        let leasing = LeaseOptions {
            buckets: 1 << 13,
            key,
            relays: policy.relays().to_vec(),
        };
        let steering = Steering::load_with_leases([&access, &uplink], &settings, leasing).unwrap();
        let syns = Syns::new(Box::new(steering.syn_memory().unwrap()), key);
        let mut judge = Judge::new(&policy);
        judge.engine.offer_leases(Leasing {
            syns: Arc::new(syns),
            generation: steering.lease_generation(),
        });
        let heartbeat = steering.heartbeat(0).unwrap();
        heartbeat.beat();
        let mut pair = Pair {
            leases: steering.leases().unwrap(),
            heartbeat,
            steering,
            judge,
            oracle: Judge::new(&policy),
            leased: 0,
        };
        test(&mut pair);
    });
}

impl Pair {
    /// A frame from the access side, now. Says what the oracle says and whether a lease said it.
    fn meets(&mut self, frame: &[u8]) -> (Verdict, bool) {
        self.heartbeat.beat();
        // Before the kernel program reads the same clock: a lease that still runs then runs now.
        let now = monotonic();
        let expected = self.oracle.judge(frame, now);
        let fate = self.steering.try_frame(Side::Access, frame).unwrap();
        if fate == Fate::Leased {
            self.leased += 1;
            assert_eq!(expected.action, Action::Drop, "{expected:?}: {frame:02x?}");
            return (expected, true);
        }
        if fate == Fate::Harmless {
            assert_eq!(expected.reason, Reason::NotMail, "{frame:02x?}");
        }
        let verdict = self.judge.judge(frame, now);
        assert_eq!(verdict, expected, "{frame:02x?}");
        let leases: Vec<_> = self.judge.judgements.leases.iter().map(handed).collect();
        self.leases.put(&leases);
        (expected, false)
    }

    /// By reason, direction and class: what the engine and the leases counted is what the oracle
    /// counted.
    fn counted_alike(&self) {
        let mut counters = self.judge.engine.counters().clone();
        let classes = self.judge.engine.policy().classes().len();
        let mut leased = 0;
        for (counter, frames) in self.steering.leased(Lease::counters(classes)).unwrap() {
            let (reason, class) = Lease::counted(counter);
            counters.add(reason, Direction::Outbound, Some(class), frames);
            leased += frames;
        }
        assert_eq!(leased, self.leased);
        assert_eq!(&counters, self.oracle.engine.counters());
    }
}

fn handed(lease: &Lease) -> io::Lease {
    io::Lease {
        source: lease.source,
        is_submission: lease.service == Service::Submission,
        until: lease.until,
        generation: lease.generation,
        counter: lease.counter(),
    }
}

fn syn(source: &str, port: u16, number: u32) -> Packet {
    let destination = if source.contains(':') {
        "2001:db8:2500::25"
    } else {
        "198.51.100.25"
    };
    to(destination, source, port, number)
}

/// The `number`th SYN of a source to a destination.
fn to(destination: &str, source: &str, port: u16, number: u32) -> Packet {
    let packet = addressed(Packet::ethernet(), destination, source);
    finish(packet, port, number)
}

fn addressed(packet: Packet, destination: &str, source: &str) -> Packet {
    packet.between(source, destination)
}

fn finish(packet: Packet, port: u16, number: u32) -> Packet {
    let from = 30_000 + (number % 20_000) as u16;
    packet.tcp(from, port).flags(0x02).sequence(number)
}

/// Sends new SYNs of a source to port 25 until one is refused under a lease; gives those that were
/// admitted on the way, and that one. A slow machine may need more than one window.
fn until_leased(pair: &mut Pair, source: &str) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut admitted = Vec::new();
    for number in 0..1_000_000 {
        let frame = syn(source, 25, number).build();
        match pair.meets(&frame) {
            (_, true) => return (admitted, frame),
            (verdict, false) if verdict.reason == Reason::Admitted => admitted.push(frame),
            _ => {}
        }
    }
    panic!("{source}: never leased");
}

/// Sends new SYNs of a source to port 25 until its window has room again.
fn until_admitted(pair: &mut Pair, source: &str) {
    let begun = monotonic();
    for number in 1_000_000.. {
        if pair.meets(&syn(source, 25, number).build()).0.reason == Reason::Admitted {
            return;
        }
        assert!(monotonic() - begun < 60_000_000_000, "refused for ever");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A subscriber, residential or another, and how its frames are wrapped.
fn random_frame(random: &mut StdRng, number: u32) -> Vec<u8> {
    let is_ipv6 = random.random_ratio(1, 3);
    let (source, destination) = if is_ipv6 {
        let host = random.random_range(1..4);
        let subscriber = random.random_range(0..2) << 8;
        let relay = random.random_ratio(1, 6);
        let last = if relay { 0x80 } else { 1 };
        (
            format!("2001:db8:0:{subscriber:x}::{host}"),
            format!("2001:db8:2500::{last:x}"),
        )
    } else {
        // Every pool, and strangers beyond the last.
        let host = random.random_range(0..20) * 8 + random.random_range(1..3);
        let last = if random.random_ratio(1, 6) { 80 } else { 25 };
        (format!("192.0.2.{host}"), format!("198.51.100.{last}"))
    };
    let port = [25, 25, 25, 587, 465, 443][random.random_range(0..6)];
    let packet = Packet::ethernet();
    let packet = match random.random_range(0..8) {
        0 => packet.vlan(0x8100, 7),
        1 => packet.vlan(0x8100, 8),
        2 => packet.pppoe(1),
        3 => packet.mpls(&[16]),
        _ => packet,
    };
    let packet = finish(addressed(packet, &destination, &source), port, number);
    let packet = match random.random_range(0..12) {
        0 => packet.flags(0x03),
        1 => packet.flags(0x12),
        2 => packet.flags(0xc2),
        3 => packet.flags(0x10),
        _ => packet,
    };
    let mut frame = packet.build();
    if random.random_ratio(1, 10) {
        let at = random.random_range(12..frame.len());
        frame[at] ^= 1 << random.random_range(0..8);
    }
    if random.random_ratio(1, 10) {
        frame.resize(frame.len() + random.random_range(1..20), 0);
    }
    frame
}

#[test]
fn leases_change_no_verdict_and_no_count() {
    pair(|pair| {
        let mut random = StdRng::seed_from_u64(30);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let begun = monotonic();
        // Several windows long, so that leases end and begin again.
        while monotonic() - begun < 5_000_000_000 || pair.leased < 1_000 {
            let is_repeated = !frames.is_empty() && random.random_ratio(1, 3);
            let frame = if is_repeated {
                frames[random.random_range(0..frames.len())].clone()
            } else {
                random_frame(&mut random, frames.len() as u32)
            };
            pair.meets(&frame);
            if !is_repeated {
                frames.push(frame);
            }
            // Few enough that neither memory of SYNs runs full.
            if frames.len() > 6_000 {
                thread::sleep(Duration::from_millis(5));
            }
            assert!(monotonic() - begun < 60_000_000_000, "too few leases");
        }
        pair.counted_alike();
    });
}

#[test]
fn a_refused_source_is_refused_in_the_kernel_until_its_window_has_room() {
    for source in ["192.0.2.1", "2001:db8::1"] {
        pair(|pair| {
            until_leased(pair, source);
            until_admitted(pair, source);
            pair.counted_alike();
        });
    }
}

#[test]
fn a_retransmission_has_the_verdict_of_its_first_syn_during_a_lease_and_after_it() {
    pair(|pair| {
        let (admitted, refused) = until_leased(pair, "192.0.2.1");
        assert!(!admitted.is_empty());
        for frame in &admitted {
            let (verdict, leased) = pair.meets(frame);
            assert_eq!((verdict.reason, leased), (Reason::Admitted, false));
        }
        until_admitted(pair, "192.0.2.1");
        let (verdict, leased) = pair.meets(&refused);
        assert_eq!((verdict.reason, leased), (Reason::LimitExceeded, false));
        pair.counted_alike();
    });
}

#[test]
fn a_lease_is_about_one_service_of_one_subscriber_and_never_about_relays() {
    pair(|pair| {
        until_leased(pair, "192.0.2.1");
        for frame in [
            syn("192.0.2.2", 25, 501),
            syn("192.0.2.1", 587, 502),
            to("198.51.100.80", "192.0.2.1", 25, 503),
        ] {
            let (verdict, leased) = pair.meets(&frame.build());
            assert_eq!((verdict.action, leased), (Action::Forward, false));
        }
    });
}

#[test]
fn classes_that_reset_or_observe_pools_with_vlans_and_large_limits_have_no_leases() {
    pair(|pair| {
        for source in ["192.0.2.65", "192.0.2.81", "192.0.2.129"] {
            let mut refused = 0;
            for number in 0.. {
                let (verdict, leased) = pair.meets(&syn(source, 25, number).build());
                assert!(!leased, "{source}");
                refused += u32::from(verdict.reason == Reason::LimitExceeded);
                if refused > 2 {
                    break;
                }
            }
        }
        let tagged = |number| {
            let packet = Packet::ethernet().vlan(0x8100, 7);
            finish(
                addressed(packet, "198.51.100.25", "192.0.2.113"),
                25,
                number,
            )
        };
        for number in 0..8 {
            assert!(!pair.meets(&tagged(number).build()).1);
        }
        assert_eq!(pair.leased, 0);
    });
}

#[test]
fn no_lease_outlives_its_policy_or_its_worker() {
    pair(|pair| {
        until_leased(pair, "192.0.2.1");
        let fate = |pair: &Pair, number| {
            let frame = syn("192.0.2.1", 25, number).build();
            pair.steering.try_frame(Side::Access, &frame).unwrap()
        };
        assert_eq!(pair.steering.void_leases(&[]).unwrap(), 2);
        assert_eq!(fate(pair, 901), Fate::BypassNoSocket);
    });
    // Another policy knows other relays, and leases of its generation go by those.
    pair(|pair| {
        until_leased(pair, "192.0.2.1");
        let other: [IpNet; 1] = ["203.0.113.128/25".parse().unwrap()];
        let generation = pair.steering.void_leases(&other).unwrap();
        let lease = |generation| io::Lease {
            source: "192.0.2.1".parse().unwrap(),
            is_submission: false,
            until: monotonic() + 60_000_000_000,
            generation,
            counter: 0,
        };
        let fate = |pair: &mut Pair, to: &str, number| {
            let packet = Packet::ethernet().ipv4("192.0.2.1", to).tcp(40_000, 25);
            let frame = packet.flags(2).sequence(number).build();
            pair.heartbeat.beat();
            pair.steering.try_frame(Side::Access, &frame).unwrap()
        };
        pair.leases.put(&[lease(generation - 1)]);
        assert_eq!(fate(pair, "203.0.113.1", 1), Fate::BypassNoSocket);
        pair.leases.put(&[lease(generation)]);
        assert_eq!(fate(pair, "203.0.113.1", 2), Fate::Leased);
        assert_eq!(
            fate(pair, "203.0.113.200", 3),
            Fate::BypassNoSocket,
            "a relay now"
        );
        let former = pair.judge.engine.policy().relays()[0];
        let former = former.addr().to_string();
        assert_eq!(fate(pair, &former, 4), Fate::Leased, "a relay no longer");
    });
    pair(|pair| {
        until_leased(pair, "192.0.2.1");
        let frame = syn("192.0.2.1", 25, 900).build();
        let strict = Settings {
            steer: Steer::Mail,
            deadline: Duration::from_millis(20),
            ..Settings::default()
        };
        pair.steering.set(&strict).unwrap();
        thread::sleep(Duration::from_millis(100));
        let fate = pair.steering.try_frame(Side::Access, &frame).unwrap();
        assert_eq!(fate, Fate::BypassNoSocket);
        pair.heartbeat.beat();
        let fate = pair.steering.try_frame(Side::Uplink, &frame).unwrap();
        assert_eq!(fate, Fate::BypassNoSocket, "it is about what leaves");
    });
}

#[test]
fn kernel_and_engine_hash_a_syn_alike() {
    pair(|pair| {
        let mut random = StdRng::seed_from_u64(31);
        let far = monotonic() + 60_000_000_000;
        for _ in 0..200 {
            let source = IpAddr::from(random.random::<[u8; 4]>());
            let sources = [source, IpAddr::from(random.random::<[u8; 16]>())];
            for source in sources {
                let destination = match source {
                    IpAddr::V4(_) => IpAddr::from(random.random::<[u8; 4]>()),
                    IpAddr::V6(_) => IpAddr::from(random.random::<[u8; 16]>()),
                };
                pair.leases.put(&[io::Lease {
                    source,
                    is_submission: false,
                    until: far,
                    generation: pair.steering.lease_generation(),
                    counter: 0,
                }]);
                let (from, sequence) = (random.random(), random.next_u32());
                let packet = Packet::ethernet().between(source, destination);
                let frame = packet.tcp(from, 25).flags(2).sequence(sequence).build();
                let fate = pair.steering.try_frame(Side::Access, &frame).unwrap();
                assert_eq!(fate, Fate::Leased);
                let memory = pair.steering.syn_memory().unwrap();
                let syns = Syns::new(Box::new(memory), [7, 11]);
                let numbers = u64::from(from) << 48 | u64::from(25_u16) << 32 | u64::from(sequence);
                let syn = match (source, destination) {
                    (IpAddr::V4(source), IpAddr::V4(destination)) => {
                        syns.ipv4(source.to_bits(), destination.to_bits(), numbers)
                    }
                    (IpAddr::V6(source), IpAddr::V6(destination)) => {
                        syns.ipv6(source.to_bits(), destination.to_bits(), numbers)
                    }
                    _ => unreachable!("one family"),
                };
                assert!(syns.was_refused(syn, monotonic()), "{frame:02x?}");
            }
        }
    });
}
