//! The worker over ports in memory, on good days and bad.

mod answers;
mod faults;
mod parity;

use std::{
    cell::Cell,
    iter,
    rc::Rc,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    engine::Reason,
    io::{
        fault::{Fault, Faulty},
        memory::{FarEnd, MemoryPorts, Shape, pair},
    },
    policy::Policy,
    source::SourceTable,
    synth::packet::Packet,
    wire::{Decoded, TcpFlags, decode},
};

const POLICY: &str = r#"
[class.residential]
smtp = { limit = { connections = 2, window = "10s" } }
excess = "drop"

[class.abrupt]
smtp = "block"
excess = "reset"

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "198.51.100.0/24"
class = "abrupt"

[sources]
capacity = 1024
"#;

const S: Nanos = 1_000_000_000;

type Faults = std::vec::IntoIter<Fault>;

/// A clock that the test sets.
#[derive(Clone)]
struct Clock(Rc<Cell<Nanos>>);

impl Clock {
    fn at(now: Nanos) -> Self {
        Self(Rc::new(Cell::new(now)))
    }

    fn read(&self) -> impl FnMut() -> Nanos + use<> {
        let clock = self.clone();
        move || clock.0.get()
    }
}

fn engine(policy: &str) -> Engine {
    let (policy, _) = Policy::from_toml("test.toml", policy).expect("a valid policy");
    let sources = SourceTable::new(policy.capacity(), Some(0));
    Engine::new(Arc::new(policy), Arc::new(sources))
}

/// A worker, its far end, and its clock, which stands still at one second.
fn set_up(
    shape: Shape,
    faults: Vec<Fault>,
) -> (
    Worker<Faulty<MemoryPorts, Faults>, impl FnMut() -> Nanos>,
    FarEnd,
) {
    let (ports, far) = pair(shape);
    let ports = Faulty::new(ports, faults.into_iter());
    let clock = Clock::at(S);
    let worker = Worker::new(ports, engine(POLICY), clock.read(), Settings::default());
    (worker, far)
}

fn send(far: &FarEnd, side: Side, frames: &[Vec<u8>]) {
    for frame in frames {
        assert!(far.send(side, frame), "the cable has room");
    }
}

fn take_all(far: &FarEnd, side: Side) -> Vec<Vec<u8>> {
    iter::from_fn(|| far.take(side)).collect()
}

fn syn(from: &str, sequence: u32) -> Packet {
    Packet::ethernet()
        .ipv4(from, "192.0.2.80")
        .tcp(40_000, 25)
        .flags(TcpFlags::SYN)
        .sequence(sequence)
}

/// A frame that is not mail, and like no other.
fn datagram(number: u32) -> Vec<u8> {
    Packet::ethernet()
        .ipv4("203.0.113.9", "192.0.2.80")
        .udp(1000, 2000)
        .bytes(&number.to_be_bytes())
        .build()
}

fn is_reset(bytes: &[u8]) -> bool {
    let decoded = decode(bytes, bytes.len() as u32, Link::Ethernet, &|_| false);
    matches!(decoded, Decoded::Segment(segment) if segment.flags.has(TcpFlags::RST))
}

#[test]
fn frames_cross_in_both_directions_untouched_and_in_order() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    let outbound: Vec<_> = (0..100).map(datagram).collect();
    let inbound: Vec<_> = (100..150).map(datagram).collect();
    send(&far, Side::Access, &outbound);
    send(&far, Side::Uplink, &inbound);
    while worker.round().expect("memory does not fail").0 > 0 {}
    assert_eq!(take_all(&far, Side::Uplink), outbound);
    assert_eq!(take_all(&far, Side::Access), inbound);
    worker.check();
    let [out, back] = worker.counts.directions;
    assert_eq!((out.received.frames, out.forwarded.frames), (100, 100));
    assert_eq!((back.received.frames, back.forwarded.frames), (50, 50));
    let octets: usize = outbound.iter().map(Vec::len).sum();
    assert_eq!(out.forwarded.octets, octets as u64);
}

#[test]
fn attempts_beyond_the_limit_are_dropped_and_their_frames_come_back() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    let attempts: Vec<_> = (0..5).map(|n| syn("203.0.113.9", n).build()).collect();
    send(&far, Side::Access, &attempts);
    worker.round().expect("memory does not fail");
    assert_eq!(take_all(&far, Side::Uplink), attempts[..2]);
    assert_eq!(take_all(&far, Side::Access), Vec::<Vec<u8>>::new());
    assert_eq!(worker.counts.directions[0].dropped, 3);
    assert_eq!(worker.engine.counters().of_reason(Reason::LimitExceeded), 3);
    worker.check();
}

#[test]
fn a_refused_client_gets_a_reset_out_of_the_port_that_it_is_behind() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    send(&far, Side::Access, &[syn("198.51.100.7", 99).build()]);
    worker.round().expect("memory does not fail");
    let [reset] = &take_all(&far, Side::Access)[..] else {
        panic!("one reset");
    };
    let decoded = decode(reset, reset.len() as u32, Link::Ethernet, &|_| false);
    let Decoded::Segment(segment) = decoded else {
        panic!("a segment: {decoded:?}");
    };
    assert_eq!(segment.destination.to_string(), "198.51.100.7");
    assert_eq!(segment.destination_port, 40_000);
    assert!(segment.flags.has(TcpFlags::RST));
    assert_eq!(far.take(Side::Uplink), None);
    assert_eq!(worker.counts.directions[0].reset, 1);
    worker.check();
}

#[test]
fn a_refusal_that_may_not_be_answered_is_a_silent_drop() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    let mut to_a_group = syn("198.51.100.7", 99).build();
    to_a_group[0] |= 1;
    send(&far, Side::Access, &[to_a_group]);
    worker.round().expect("memory does not fail");
    assert_eq!(far.take(Side::Access), None);
    assert_eq!(far.take(Side::Uplink), None);
    assert_eq!(worker.counts.directions[0].unanswered, 1);
    worker.check();
}

#[test]
fn a_refusal_whose_answer_finds_no_room_is_a_silent_drop() {
    // Two receives, then the replacement.
    let faults = vec![Fault::None, Fault::None, Fault::NoRoom];
    let (mut worker, far) = set_up(Shape::default(), faults);
    send(&far, Side::Access, &[syn("198.51.100.7", 99).build()]);
    worker.round().expect("memory does not fail");
    assert_eq!(far.take(Side::Access), None);
    assert_eq!(worker.counts.directions[0].unanswered, 1);
    worker.check();
}

#[test]
fn a_full_ring_on_the_uplink_is_counted_and_never_stalls_what_comes_in() {
    let shape = Shape {
        transmit_ring: 32,
        cable: 200,
        ..Shape::default()
    };
    let (mut worker, far) = set_up(shape, vec![]);
    let frames: Vec<_> = (0..200).map(datagram).collect();
    let mut inbound = Vec::new();
    // Nobody takes what leaves by the uplink: its cable fills up, then its ring.
    for round in 0..5 {
        send(&far, Side::Access, &frames[..100]);
        send(&far, Side::Uplink, &frames[round * 20..][..20]);
        for _ in 0..4 {
            worker.round().expect("memory does not fail");
        }
        inbound.extend(take_all(&far, Side::Access));
    }
    assert!(inbound == frames[..100]);
    let [out, back] = worker.counts.directions;
    assert_eq!(out.received.frames, 500);
    assert_eq!(out.tx_full, 500 - 232, "the cable's 200, the ring's 32");
    assert_eq!((back.forwarded.frames, back.tx_full), (100, 0));
    worker.check();
    assert_eq!(take_all(&far, Side::Uplink).len(), 200);
    worker.round().expect("memory does not fail");
    assert_eq!(take_all(&far, Side::Uplink).len(), 32);
}

#[test]
fn a_ring_that_is_full_for_a_moment_costs_no_frame() {
    // Two receives, the first transmit, the flush, the second transmit, the flush.
    let faults = vec![
        Fault::None,
        Fault::None,
        Fault::RingFull,
        Fault::None,
        Fault::RingFull,
    ];
    let (mut worker, far) = set_up(Shape::default(), faults);
    send(&far, Side::Access, &[datagram(1)]);
    worker.round().expect("memory does not fail");
    assert_eq!(far.take(Side::Uplink), Some(datagram(1)));
    assert_eq!(worker.counts.directions[0].tx_full, 0);
}

#[test]
fn a_queue_that_stops_for_a_while_sends_what_it_held_once_and_in_order() {
    let frames: Vec<_> = (0..40).map(datagram).collect();
    // Each of these rounds draws two faults for receiving, eight for transmitting, one to flush.
    let faults = vec![Fault::LateFlush; 5 * 11];
    let (mut worker, far) = set_up(Shape::default(), faults);
    for portion in frames.chunks(8) {
        send(&far, Side::Access, portion);
        worker.round().expect("a late flush is no failure");
        worker.check();
        assert_eq!(far.take(Side::Uplink), None, "nothing leaves");
    }
    assert_eq!(worker.ports.census().transmitting, [0, 40]);
    worker.round().expect("it goes on");
    assert!(take_all(&far, Side::Uplink) == frames);
    worker.round().expect("and on");
    assert!(take_all(&far, Side::Uplink).is_empty());
    assert_eq!(worker.counts.directions[0].tx_full, 0);
    assert!(worker.ports.census().is_drained());
}

#[test]
#[should_panic(expected = "a frame is lost or doubled")]
fn a_frame_that_is_counted_twice_is_found_at_the_next_tick() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    send(&far, Side::Access, &[datagram(1)]);
    worker.round().expect("memory does not fail");
    worker.counts.directions[0].forwarded.count(60);
    worker.tick(S);
}

#[test]
#[should_panic(expected = "a frame is lost or doubled")]
fn a_frame_that_the_worker_loses_is_found_at_the_next_tick() {
    let (mut worker, far) = set_up(Shape::default(), vec![]);
    send(&far, Side::Access, &[datagram(1)]);
    worker.ports.receive(Side::Access, 1, &mut worker.frames);
    worker.frames.clear();
    worker.tick(S);
}

/// Runs a worker until it has read the clock so many times.
fn run_for(reads: u32, ports: impl Ports, settings: Settings) -> (io::Result<()>, Snapshot) {
    let stop = AtomicBool::new(false);
    let mut reads_left = reads;
    let clock = || {
        reads_left = reads_left.saturating_sub(1);
        stop.store(reads_left == 0, Ordering::Relaxed);
        monotonic()
    };
    let mut worker = Worker::new(ports, engine(POLICY), clock, settings);
    let published = worker.published();
    let ended = worker.run(&stop);
    (ended, published.read())
}

#[test]
fn an_idle_worker_sleeps_and_says_at_every_tick_that_it_is_alive() {
    let (ports, far) = pair(Shape::default());
    let settings = Settings {
        tick: Duration::from_micros(10), // less than the shortest sleep: each round is a tick
        ..Settings::default()
    };
    let (ended, counts) = run_for(5, ports, settings);
    ended.expect("memory does not fail");
    assert_eq!(far.beats(), 5);
    assert!(far.is_retired());
    assert!(counts.sleeps >= 4, "{counts:?}");
    assert_eq!(counts.breaches, 0);
}

#[test]
fn a_stopped_worker_sends_what_it_has_received_and_takes_no_more() {
    let (ports, far) = pair(Shape::default());
    let frames: Vec<_> = (0..500).map(datagram).collect();
    send(&far, Side::Access, &frames);
    // Stopped in the first round: 32 frames are through, a ring of 64 has been filled once more.
    let (ended, counts) = run_for(1, ports, Settings::default());
    ended.expect("memory does not fail");
    assert!(take_all(&far, Side::Uplink) == frames[..64]);
    assert_eq!(counts.directions[0].forwarded.frames, 64);
    assert_eq!(counts.verdicts.total(), 64);
    assert_eq!(counts.histograms.batch.len(), 2, "32 frames a round");
    assert!(counts.census.is_drained());
    assert!(far.is_retired());
}

#[test]
fn draining_ends_though_nothing_can_leave() {
    let (ports, far) = pair(Shape::default());
    send(&far, Side::Access, &[datagram(1)]);
    let stuck = Faulty::new(ports, iter::repeat(Fault::LateFlush));
    let settings = Settings {
        drain: Duration::from_millis(5),
        ..Settings::default()
    };
    let (ended, counts) = run_for(1, stuck, settings);
    ended.expect("a late flush is no failure");
    assert_eq!(counts.census.transmitting, [0, 1]);
    assert_eq!(counts.breaches, 0);
}

#[test]
fn a_worker_whose_interface_is_gone_retires_and_says_so() {
    let (ports, far) = pair(Shape::default());
    send(&far, Side::Access, &[datagram(1)]);
    // Two receives, the transmit, then the flush.
    let faults = [Fault::None, Fault::None, Fault::None, Fault::Gone];
    let ports = Faulty::new(ports, faults.into_iter());
    let (ended, counts) = run_for(9, ports, Settings::default());
    let error = ended.expect_err("the interface is gone");
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(far.is_retired());
    assert_eq!(counts.directions[0].received.frames, 1);
}

#[test]
fn a_reader_in_the_way_puts_publishing_off_and_loses_nothing() {
    let published = Published::new(0);
    let mut counts = Snapshot::new(0);
    counts.rounds = 7;
    counts.histograms.batch.saturating_record(3);
    {
        let _reader = published.hold();
        assert!(!published.try_publish(&mut counts));
    }
    assert_eq!(published.read().rounds, 0);
    assert!(published.try_publish(&mut counts));
    let read = published.read();
    assert_eq!((read.rounds, read.histograms.batch.len()), (7, 1));
    assert!(published.try_publish(&mut counts));
    assert_eq!(
        published.read().histograms.batch.len(),
        1,
        "moved, not copied"
    );
}
