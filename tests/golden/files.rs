//! The files of a golden case: made from its fixture and by the replay.

use std::{
    fmt::Write as _,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use lychgate::{
    io::capture::{PcapWriter, Precision, Record, Writer},
    policy::{Policy, steps::Scope},
    replay::{Captures, NamedPolicy, Outputs, Plan, replay},
    report,
    wire::Link,
};

use super::{SEED, case::Case};

/// The policy that stands (or will stand) in a case's folder.
pub fn policy(folder: &Path, text: &str) -> Arc<Policy> {
    match Policy::from_toml(&name_of_policy(folder), text) {
        Ok((policy, _)) => Arc::new(policy),
        Err(mistakes) => panic!("{}: {mistakes:?}", folder.display()),
    }
}

fn name_of_policy(folder: &Path) -> String {
    folder.join("policy.toml").display().to_string()
}

/// The files of a case, by name. The input is written to `folder` first if it is to be
/// regenerated, because the replay reads it there.
pub fn make(
    case: &Case,
    folder: &Path,
    scratch: &Path,
    workers: usize,
    regenerate: bool,
) -> Vec<(&'static str, Vec<u8>)> {
    let input = if case.link == Link::Ethernet {
        "input.pcapng"
    } else {
        "input.pcap"
    };
    let built = build_input(case, &scratch.join(input));
    if regenerate {
        fs::write(folder.join(input), &built).unwrap();
    }
    let outputs = Outputs {
        forwarded: Some(scratch.join("forwarded.pcapng")),
        dropped: Some(scratch.join("dropped.pcapng")),
    };
    let text = &case.policy;
    let json = report_on(
        folder,
        input,
        (text, &case.quarantined),
        workers,
        outputs.clone(),
    );
    let read = |path: Option<PathBuf>| fs::read(path.unwrap()).unwrap();
    vec![
        ("README.md", case.readme().into_bytes()),
        ("policy.toml", case.policy.clone().into_bytes()),
        (input, built),
        ("expected.json", json),
        ("forwarded.pcapng", read(outputs.forwarded)),
        ("dropped.pcapng", read(outputs.dropped)),
    ]
}

/// Replays the capture in a case's folder: the report as JSON.
pub fn report_on(
    folder: &Path,
    input: &str,
    (text, quarantined): (&str, &[(IpNet, Scope)]),
    workers: usize,
    outputs: Outputs,
) -> Vec<u8> {
    let plan = Plan {
        captures: Captures::mixed([folder.join(input)]),
        policy: NamedPolicy {
            name: name_of_policy(folder),
            policy: policy(folder, text),
        },
        compare: None,
        quarantined: quarantined.to_vec(),
        seed: SEED,
        workers: NonZeroUsize::new(workers).unwrap(),
        outputs,
    };
    let (summary, damage) = replay(&plan, &mut |_| ()).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let mut json = Vec::new();
    report::json::write(&summary, &mut json).unwrap();
    json
}

/// Ethernet as pcapng, other link layers as classic pcap: both readers get their share.
fn build_input(case: &Case, path: &Path) -> Vec<u8> {
    let records = case.frames.iter().map(|fixture| Record {
        time: fixture.time,
        link: case.link,
        bytes: &fixture.bytes,
        wire_length: fixture.wire_length,
    });
    if case.link == Link::Ethernet {
        let mut writer = Writer::create(path).unwrap();
        records.for_each(|record| writer.write(&record, None).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = PcapWriter::create(path, case.link, Precision::Microseconds).unwrap();
        records.for_each(|record| writer.write(&record).unwrap());
        writer.finish().unwrap();
    }
    fs::read(path).unwrap()
}

/// pcap/README.md: what the cases are, and how they are kept.
pub fn index(cases: &[Case]) -> String {
    let mut text = "\
# Golden cases

Each folder holds a capture (`input`), a policy, and what the replay makes of them: the report
(`expected.json`) and what crossed and what did not (`forwarded.pcapng`, `dropped.pcapng`, whose
packet comments say why). Its README lists the frames, each with the verdict that it must get.

The frames and their verdicts are written by hand in `tests/golden/`; `cargo test --test golden`
judges them frame by frame, replays the captures with one worker and with three, and compares every
file octet for octet. `scripts/golden.sh` writes the files anew and shows the difference; it refuses
to if a single verdict differs from what is written by hand.

| case | what it shows |
|---|---|
| [village](village/README.md) | Five minutes of an evening, made by `lychgate synth`, for the demo. |
"
    .to_owned();
    let listed = cases.iter().map(|Case { name, about, .. }| (*name, *about));
    for (name, about) in listed.chain(super::zombies::rows()) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| [{name}]({name}/README.md) | {about} |");
    }
    text
}
