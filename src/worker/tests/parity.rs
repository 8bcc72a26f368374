//! The wire and the replay are of one mind: every golden capture that a live port could carry gets
//! the same verdicts, frame by frame, and the same frames come out.

use std::{collections::BTreeMap, fs, num::NonZeroUsize, path::Path};

use super::*;
use crate::{
    io::capture::Reader,
    replay::{self, Captures, CounterRow, NamedPolicy, Outputs, Plan},
};

/// A frame of a capture, and when it is judged.
struct Captured {
    time: Nanos,
    bytes: Vec<u8>,
}

/// All frames of a capture; nothing if a live Ethernet port could not have carried them all whole.
fn read(path: &Path) -> Option<Vec<Captured>> {
    let mut reader = Reader::open(path).expect("a capture");
    let mut frames = Vec::new();
    let mut time = 0;
    while let Some(record) = reader.next().expect("an undamaged capture") {
        if record.link != Link::Ethernet || record.wire_length as usize != record.bytes.len() {
            return None;
        }
        time = record.time.max(time);
        frames.push(Captured {
            time,
            bytes: record.bytes.to_vec(),
        });
    }
    Some(frames)
}

/// The captures and policies under pcap/.
fn cases() -> Vec<(std::path::PathBuf, std::path::PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).expect("the golden cases") {
        let case = entry.expect("a readable folder").path();
        let inputs = ["input.pcapng", "input.pcap", "input.pcap.gz"];
        let input = inputs
            .map(|name| case.join(name))
            .into_iter()
            .find(|file| file.exists());
        cases.extend(input.map(|input| (input, case.join("policy.toml"))));
    }
    cases
}

fn named(path: &Path) -> NamedPolicy {
    let (policy, _) = Policy::load(path, &mut |_| {}).expect("a valid policy");
    NamedPolicy {
        name: path.display().to_string(),
        policy: Arc::new(policy),
    }
}

fn engine_of(named: &NamedPolicy) -> Engine {
    let sources = SourceTable::new(named.policy.capacity(), Some(0));
    Engine::new(Arc::clone(&named.policy), Arc::new(sources))
}

type Rows = BTreeMap<(Reason, u8, Option<String>), u64>;

/// What the replay counted and let through.
fn replayed(input: &Path, policy: &NamedPolicy) -> (Rows, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().expect("a folder for outputs");
    let forwarded = folder.path().join("forwarded.pcapng");
    let plan = Plan {
        captures: Captures::mixed([input.to_owned()]),
        policy: policy.clone(),
        compare: None,
        quarantined: Vec::new(),
        seed: 0,
        workers: NonZeroUsize::MIN,
        outputs: Outputs {
            forwarded: Some(forwarded.clone()),
            dropped: None,
        },
    };
    let (summary, damage) = replay::replay(&plan, &mut |_| {}).expect("a replay");
    assert!(damage.is_empty(), "{damage:?}");
    let row = |row: CounterRow| ((row.reason, row.direction as u8, row.class), row.frames);
    let frames = read(&forwarded).expect("whole frames");
    (
        summary.counters.into_iter().map(row).collect(),
        frames.into_iter().map(|frame| frame.bytes).collect(),
    )
}

/// What a worker counts and lets through when the same frames arrive on its ports.
fn carried(frames: &[Captured], policy: &NamedPolicy) -> (Rows, Vec<Vec<u8>>) {
    let shape = Shape {
        frame_octets: 4096,
        ..Shape::default()
    };
    let (ports, far) = pair(shape);
    let clock = Clock::at(0);
    let settings = Settings::default();
    let mut worker = Worker::new(ports, engine_of(policy), clock.read(), settings);
    let mut sorter = engine_of(policy);
    let mut judgements = Judgements::default();
    let mut crossed = Vec::new();
    for frame in frames {
        // Which port it would have arrived on is what the replay takes its direction for.
        let sorted = Frame {
            bytes: &frame.bytes,
            wire_length: frame.bytes.len() as u32,
            link: Link::Ethernet,
            direction: None,
            time: frame.time,
        };
        sorter.process(&[sorted], &mut judgements);
        let side = match judgements.verdicts[0].direction {
            Direction::Outbound => Side::Access,
            Direction::Inbound => Side::Uplink,
        };
        clock.0.set(frame.time);
        assert!(far.send(side, &frame.bytes));
        worker.round().expect("memory does not fail");
        crossed.extend(take_all(&far, side.other()));
        // Resets go back the other way, and are none of the capture's.
        take_all(&far, side)
            .iter()
            .for_each(|bytes| assert!(is_reset(bytes)));
    }
    worker.check();
    let class_name = |class| policy.policy.class(class).name.clone();
    let rows = worker.engine.counters().iter();
    let rows = rows
        .map(|(reason, direction, class, frames)| {
            ((reason, direction as u8, class.map(class_name)), frames)
        })
        .collect();
    (rows, crossed)
}

#[test]
fn golden_captures_fare_in_the_wire_as_they_do_in_replay() {
    let mut compared = 0;
    for (input, policy) in cases() {
        let Some(frames) = read(&input) else { continue };
        let policy = named(&policy);
        let ours = carried(&frames, &policy);
        let theirs = replayed(&input, &policy);
        assert_eq!(ours.0, theirs.0, "{}", input.display());
        assert!(
            ours.1 == theirs.1,
            "{}: other frames cross",
            input.display()
        );
        compared += 1;
    }
    assert!(
        compared >= 20,
        "only {compared} golden captures were compared"
    );
}
