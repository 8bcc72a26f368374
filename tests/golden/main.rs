//! Golden cases: pcap/NAME holds a capture, a policy, and what the replay makes of them.
//!
//! Each case is written here as a fixture: frames, each with a sentence that says what it is and
//! the verdict it must get. Those verdicts are written by hand and are checked first, so that
//! regenerating can never bless a wrong one. The files under pcap/ are made from the fixtures
//! (README.md, policy.toml, input) and by the replay (expected.json, forwarded.pcapng,
//! dropped.pcapng), and compared octet for octet. `scripts/golden.sh` writes them anew and shows
//! the difference.

mod case;
mod classes;
mod encapsulation;
mod files;
mod fragments;
mod lengths;
mod limits;
mod plain;
mod policies;
mod village;
mod walls;
mod zombies;

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lychgate::{
    engine::{Action, Engine, Frame, Judgements, Reason, Restrictions, Verdict},
    io::capture::{Reader, Record},
    source::SourceTable,
};
use serde_json::Value;

use case::{Case, Fixture};
use files::{index, make, policy};

/// Makes the source table's hash the same in every run.
const SEED: u64 = 0;

fn cases() -> Vec<Case> {
    [
        plain::cases(),
        encapsulation::cases(),
        fragments::cases(),
        lengths::cases(),
        limits::cases(),
        classes::cases(),
        walls::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_frame_fares_as_its_sentence_says() {
    let wrong: Vec<_> = cases().iter().flat_map(wrong_verdicts).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn judging_frame_by_frame_or_all_at_once_is_the_same() {
    for case in cases() {
        let frames: Vec<_> = case
            .frames
            .iter()
            .map(|fixture| frame(&case, fixture))
            .collect();
        let mut together = Judgements::default();
        engine(&case).process(&frames, &mut together);
        // An attempt's place in its batch is the only thing that may differ.
        for verdict in &mut together.verdicts {
            verdict.attempt = verdict.attempt.map(|_| 0);
        }
        assert_eq!(together.verdicts, verdicts(&case), "{}", case.name);
    }
}

#[test]
fn every_reason_has_a_golden_case() {
    let cases = cases();
    let seen: HashSet<Reason> = cases
        .iter()
        .flat_map(|case| &case.frames)
        .map(|frame| frame.reason)
        .collect();
    let unseen: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !seen.contains(reason))
        .collect();
    assert!(unseen.is_empty(), "no golden frame for {unseen:?}");
}

#[test]
fn the_files_under_pcap_are_what_the_fixtures_and_the_replay_make() {
    let regenerate = env::var_os("LYCHGATE_REGENERATE").is_some();
    let scratch = tempfile::tempdir().unwrap();
    let mut stale = Vec::new();
    let listed = index(&cases());
    if regenerate {
        fs::write("pcap/README.md", &listed).unwrap();
        village::regenerate();
        zombies::regenerate();
    } else if fs::read_to_string("pcap/README.md").ok() != Some(listed) {
        stale.push("pcap/README.md".to_owned());
    }
    for case in cases() {
        let wrong = wrong_verdicts(&case);
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        let folder = folder(&case);
        if regenerate {
            fs::create_dir_all(&folder).unwrap();
        }
        for (name, made) in make(&case, &folder, scratch.path(), 1, regenerate) {
            let path = folder.join(name);
            if regenerate {
                fs::write(&path, &made).unwrap();
            } else if fs::read(&path).ok().as_ref() != Some(&made) {
                stale.push(path.display().to_string());
            }
        }
    }
    assert!(
        stale.is_empty(),
        "not as committed; run scripts/golden.sh and look at the difference:\n{}",
        stale.join("\n")
    );
}

#[test]
fn three_workers_write_what_one_writes() {
    let scratch = tempfile::tempdir().unwrap();
    for case in cases() {
        let folder = folder(&case);
        let (one, three) = (1, 3);
        let alone = make(&case, &folder, scratch.path(), one, false);
        assert_eq!(
            alone,
            make(&case, &folder, scratch.path(), three, false),
            "{}",
            case.name
        );
    }
}

#[test]
fn the_report_counts_what_the_fixtures_say() {
    for case in cases() {
        let text = fs::read_to_string(folder(&case).join("expected.json")).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        for reason in Reason::ALL {
            let frames = case
                .frames
                .iter()
                .filter(|fixture| fixture.reason == *reason)
                .count();
            assert_eq!(
                report["reasons"][reason.name()],
                frames,
                "{}: {reason:?}",
                case.name
            );
        }
        let of = |action| {
            case.frames
                .iter()
                .filter(|fixture| fixture.action == action)
                .count()
        };
        let unreadable = report["reasons"]["unreadable"].as_u64().unwrap();
        let crossing = of(Action::Forward) as u64 - unreadable;
        let frames = &report["frames"];
        assert_eq!(frames["total"], case.frames.len(), "{}", case.name);
        assert_eq!(frames["forwarded"], crossing, "{}", case.name);
        assert_eq!(frames["dropped"], of(Action::Drop), "{}", case.name);
        assert_eq!(frames["unreadable"], unreadable, "{}", case.name);
        assert_eq!(frames["reset"], of(Action::Reset), "{}", case.name);
        let redirected = of(Action::Redirect);
        assert_eq!(frames["redirected"], redirected, "{}", case.name);
        let Some(mail) = case.mail else { continue };
        for (service, expected) in ["smtp", "submission"].into_iter().zip(mail) {
            let counts = ["syn_frames", "attempts", "admitted", "refused"]
                .map(|count| report["mail"][service][count].as_u64().unwrap());
            assert_eq!(counts, expected, "{}: {service}", case.name);
        }
    }
}

#[test]
fn what_crosses_crosses_untouched_and_the_rest_is_kept_apart() {
    for case in cases() {
        for (name, forwarded) in [("forwarded.pcapng", true), ("dropped.pcapng", false)] {
            let mut reader = Reader::open(&folder(&case).join(name)).unwrap();
            let must = |fixture: &&Fixture| (fixture.action == Action::Forward) == forwarded;
            for fixture in case.frames.iter().filter(must) {
                let record = reader.next().unwrap().expect("a frame is missing");
                let expected = Record {
                    time: fixture.time,
                    link: case.link,
                    bytes: &fixture.bytes,
                    wire_length: fixture.wire_length,
                };
                assert_eq!(record, expected, "{}: {name}: {}", case.name, fixture.says);
            }
            assert_eq!(
                reader.next().unwrap(),
                None,
                "{}: {name} holds too much",
                case.name
            );
        }
    }
}

#[test]
fn no_folder_under_pcap_is_left_over() {
    let mut known: HashSet<_> = cases().iter().map(|case| case.name.to_owned()).collect();
    known.insert("village".to_owned());
    known.extend(zombies::rows().into_iter().map(|(name, _)| name.to_owned()));
    for entry in fs::read_dir("pcap").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_case = entry.path().join("policy.toml").exists();
        assert!(
            !is_case || known.contains(&name),
            "pcap/{name} has no fixture"
        );
    }
}

fn folder(case: &Case) -> PathBuf {
    Path::new("pcap").join(case.name)
}

/// One line for each frame that fares otherwise than written.
fn wrong_verdicts(case: &Case) -> Vec<String> {
    let pairs = case.frames.iter().zip(verdicts(case)).enumerate();
    pairs
        .filter(|(_, (fixture, got))| {
            (fixture.reason, fixture.action, fixture.observed)
                != (got.reason, got.action, got.observed)
        })
        .map(|(index, (fixture, got))| {
            format!(
                "{}, frame {} ({}): must be {:?} {}, is {:?} {}{}",
                case.name,
                index + 1,
                fixture.says,
                fixture.action,
                fixture.reason.name(),
                got.action,
                got.reason.name(),
                if got.observed { " (observed)" } else { "" },
            )
        })
        .collect()
}

fn verdicts(case: &Case) -> Vec<Verdict> {
    let mut engine = engine(case);
    let mut judgements = Judgements::default();
    let judge = |fixture| {
        engine.process(&[frame(case, fixture)], &mut judgements);
        judgements.verdicts[0]
    };
    case.frames.iter().map(judge).collect()
}

fn frame<'a>(case: &Case, fixture: &'a Fixture) -> Frame<'a> {
    Frame {
        bytes: &fixture.bytes,
        wire_length: fixture.wire_length,
        link: case.link,
        direction: None,
        time: fixture.time,
    }
}

fn engine(case: &Case) -> Engine {
    let policy = policy(&folder(case), &case.policy);
    let sources = Arc::new(SourceTable::new(policy.capacity(), Some(SEED)));
    let restrictions = Restrictions::default();
    restrictions.set(case.quarantined.iter().copied());
    Engine::new(policy, sources).restricted_by(restrictions)
}
