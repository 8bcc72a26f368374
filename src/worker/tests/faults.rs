//! Whatever goes wrong on the ports: no frame is lost unnoticed, doubled, changed or overtaken.

use proptest::{collection::vec, prelude::*};

use super::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A frame arrives.
    Arrive(Side, Kind),
    /// The worker makes a round.
    Round,
    /// Somebody takes a frame that left.
    Take(Side),
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Crosses.
    Datagram,
    /// Is limited, and dropped beyond that.
    Attempt,
    /// Is refused, and answered.
    Refused,
}

fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Access), Just(Side::Uplink)]
}

fn steps() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        4 => Just(Kind::Datagram),
        1 => Just(Kind::Attempt),
        1 => Just(Kind::Refused),
    ];
    prop_oneof![
        5 => (sides(), kinds).prop_map(|(side, kind)| Step::Arrive(side, kind)),
        2 => Just(Step::Round),
        3 => sides().prop_map(Step::Take),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => (0..3_usize).prop_map(Fault::ShortBatch),
        3 => Just(Fault::RingFull),
        1 => Just(Fault::NoRoom),
        3 => Just(Fault::LateFlush),
    ]
}

fn shapes() -> impl Strategy<Value = Shape> {
    (1..8_usize, 1..8_usize, 1..12_usize).prop_map(|(receive_ring, transmit_ring, cable)| Shape {
        frame_octets: 256,
        receive_ring,
        transmit_ring,
        cable,
    })
}

fn make(side: Side, kind: Kind, number: u32) -> Vec<u8> {
    let (class, server) = match kind {
        Kind::Datagram => return datagram(number),
        Kind::Attempt => ("203.0.113.9", "192.0.2.80"),
        Kind::Refused => ("198.51.100.7", "192.0.2.80"),
    };
    let (from, to) = match side {
        Side::Access => (class, server),
        Side::Uplink => (server, class),
    };
    Packet::ethernet()
        .ipv4(from, to)
        .tcp(40_000, 25)
        .flags(TcpFlags::SYN)
        .sequence(number)
        .build()
}

/// Every frame that arrived on a port, and every one that left by it.
#[derive(Default)]
struct Seen {
    arrived: [Vec<Vec<u8>>; 2],
    left: [Vec<Vec<u8>>; 2],
}

/// Plays a history to its end, which comes when nothing is under way any more.
fn play(shape: Shape, faults: Vec<Fault>, steps: &[Step]) -> (Seen, Snapshot) {
    let faults_count = faults.len();
    let (mut worker, far) = set_up(shape, faults);
    let mut seen = Seen::default();
    for (number, step) in (0..).zip(steps) {
        match *step {
            Step::Arrive(side, kind) => {
                let bytes = make(side, kind, number);
                // A cable that is full takes nothing: the frame was never there.
                if far.send(side, &bytes) {
                    seen.arrived[side.index()].push(bytes);
                }
            }
            Step::Round => {
                worker.round().expect("no failure was injected");
                worker.check();
            }
            Step::Take(side) => seen.left[side.index()].extend(far.take(side)),
        }
    }
    // Each round uses up faults; then each carries or offers frames.
    for _ in 0..faults_count + 2 * steps.len() + shape.frames() + 8 {
        worker.round().expect("no failure was injected");
        worker.check();
        for side in Side::BOTH {
            seen.left[side.index()].extend(take_all(&far, side));
        }
    }
    assert!(worker.ports.census().is_drained(), "it comes to an end");
    (seen, worker.counts)
}

/// The frames that an engine lets through in one direction, in order.
fn expected(arrived: &[Vec<u8>], side: Side) -> Vec<Vec<u8>> {
    let mut judgements = Judgements::default();
    let frames: Vec<_> = arrived
        .iter()
        .map(|bytes| Frame {
            bytes,
            wire_length: bytes.len() as u32,
            link: Link::Ethernet,
            direction: Some(direction_from(side)),
            time: S,
        })
        .collect();
    engine(POLICY).process(&frames, &mut judgements);
    let verdicts = judgements.verdicts.iter();
    let forwarded = verdicts.zip(arrived);
    forwarded
        .filter(|(verdict, _)| verdict.action == Action::Forward)
        .map(|(_, bytes)| bytes.clone())
        .collect()
}

/// Whether `some` are among `all`, in the same order, none more often than there.
fn is_subsequence(some: &[Vec<u8>], all: &[Vec<u8>]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

proptest! {
    #[test]
    fn no_frame_is_lost_doubled_changed_or_overtaken_whatever_goes_wrong(
        shape in shapes(),
        faults in vec(faults(), 0..200),
        steps in vec(steps(), 0..200),
    ) {
        let (seen, counts) = play(shape, faults, &steps);
        for side in Side::BOTH {
            let of_direction = &counts.directions[side.index()];
            let arrived = &seen.arrived[side.index()];
            prop_assert_eq!(of_direction.received.frames, arrived.len() as u64);
            prop_assert!(of_direction.is_balanced());

            let out = side.other().index();
            let (resets, crossed): (Vec<_>, Vec<_>) =
                seen.left[out].iter().cloned().partition(|bytes| is_reset(bytes));
            let expected = expected(arrived, side);
            prop_assert!(is_subsequence(&crossed, &expected));
            prop_assert_eq!(of_direction.forwarded.frames, crossed.len() as u64);
            prop_assert_eq!(of_direction.tx_full, (expected.len() - crossed.len()) as u64);
            // Resets leave by the port that the refused frames came from.
            let answered = counts.directions[out].reset;
            prop_assert_eq!(answered, resets.len() as u64);
        }
        prop_assert_eq!(counts.breaches, 0);
    }
}
