//! Stories of zombies and of those who look like them: minutes to hours of traffic each, too long
//! to list frame by frame. Here stands who must be flagged, by what and how soon, and nobody else.

mod tell;

use std::{fs, path::Path, sync::Arc};

use lychgate::{
    detect::{Flag, Observer},
    engine::{Engine, Frame, Judgements},
    io::capture::{PcapWriter, Precision, Reader, Record},
    replay::Outputs,
    source::SourceTable,
    wire::Link,
};
use serde_json::Value;

use super::{
    SEED,
    case::START,
    files::{policy, report_on},
};
use tell::{Story, stories};

const INPUT: &str = "input.pcap.gz";

/// Names and what they show, for pcap/README.md.
pub fn rows() -> Vec<(&'static str, &'static str)> {
    stories()
        .iter()
        .map(|story| (story.name, story.about))
        .collect()
}

/// Writes everything anew.
pub fn regenerate() {
    for story in stories() {
        let folder = folder(&story);
        fs::create_dir_all(&folder).unwrap();
        let mut writer =
            PcapWriter::create(&folder.join(INPUT), Link::Ethernet, Precision::Nanoseconds)
                .unwrap();
        for record in story.records() {
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap();
        fs::write(folder.join("policy.toml"), story.policy).unwrap();
        fs::write(folder.join("README.md"), readme(&story)).unwrap();
        fs::write(folder.join("expected.json"), report(&story, 1)).unwrap();
    }
}

fn folder(story: &Story) -> std::path::PathBuf {
    Path::new("pcap").join(story.name)
}

fn readme(story: &Story) -> String {
    let mut text = format!("# {}\n\n{}\n\n", story.name, story.about);
    text.push_str(&format!("{} frames. ", story.frames.len()));
    if story.flagged.is_empty() {
        text.push_str("Nobody must be flagged.\n");
    } else {
        text.push_str(
            "Who must be flagged, and nobody else:\n\n| source | by | within |\n|---|---|--:|\n",
        );
        for (source, detector, within) in &story.flagged {
            text.push_str(&format!("| {source} | `{detector}` | {within} s |\n"));
        }
    }
    text
}

fn report(story: &Story, workers: usize) -> Vec<u8> {
    report_on(
        &folder(story),
        INPUT,
        (story.policy, &[]),
        workers,
        Outputs::default(),
    )
}

#[test]
fn zombies_are_flagged_in_time_and_innocents_never() {
    for story in stories() {
        let report: Value = serde_json::from_slice(&report(&story, 1)).unwrap();
        let flagged = report["flagged"].as_array().unwrap();
        let found: Vec<_> = flagged
            .iter()
            .map(|row| [&row["source"], &row["detector"]].map(|text| text.as_str().unwrap()))
            .collect();
        let must: Vec<_> = story
            .flagged
            .iter()
            .map(|&(source, detector, _)| [source, detector])
            .collect();
        assert_eq!(found, must, "{}", story.name);
        for (row, (source, _, within)) in flagged.iter().zip(&story.flagged) {
            let after = row["time"].as_f64().unwrap() - START as f64 / 1e9;
            assert!(
                after <= f64::from(*within),
                "{}: {source} after {after} s",
                story.name
            );
        }
        for (reason, frames) in &story.reasons {
            assert_eq!(
                report["reasons"][reason], *frames,
                "{}: {reason}",
                story.name
            );
        }
        if let Some(observed) = story.observed {
            assert_eq!(report["detection"]["observed"], observed, "{}", story.name);
        }
    }
}

// Compared frame by frame: how well it is compressed is the compressor's business.
#[test]
fn the_stories_under_pcap_are_what_is_told_here() {
    for story in stories() {
        let stale = "run scripts/golden.sh and look at the difference";
        let mut reader = Reader::open(&folder(&story).join(INPUT)).unwrap();
        for record in story.records() {
            let found = reader.next().unwrap();
            assert_eq!(found, Some(record), "{}: {stale}", story.name);
        }
        assert_eq!(reader.next().unwrap(), None, "{}", story.name);
        let read = |name| fs::read_to_string(folder(&story).join(name)).unwrap();
        assert_eq!(read("policy.toml"), story.policy, "{}", story.name);
        assert_eq!(read("README.md"), readme(&story), "{}", story.name);
        let made = report(&story, 1);
        assert!(
            read("expected.json").as_bytes() == made,
            "{}: {stale}",
            story.name
        );
        let size = fs::metadata(folder(&story).join(INPUT)).unwrap().len();
        assert!(size < 300_000, "{}: {size} octets", story.name);
    }
}

#[test]
fn three_workers_flag_what_one_flags() {
    for story in stories() {
        assert!(report(&story, 1) == report(&story, 3), "{}", story.name);
    }
}

#[test]
fn how_frames_are_batched_changes_no_flag() {
    for story in stories().iter().filter(|story| !story.flagged.is_empty()) {
        let alone = flags(story, 1);
        assert!(!alone.is_empty(), "{}", story.name);
        for size in [7, 64, 10_000] {
            assert_eq!(flags(story, size), alone, "{}: by {size}", story.name);
        }
    }
}

/// What the engine flags, by time and source, in batches of a size.
fn flags(story: &Story, size: usize) -> Vec<Flag> {
    let policy = policy(&folder(story), story.policy);
    let sources = Arc::new(SourceTable::new(policy.capacity(), Some(SEED)));
    let observer = Arc::new(Observer::new(policy.observed()));
    let mut engine = Engine::new(policy, sources).observing(observer);
    let mut judgements = Judgements::default();
    let mut flags = Vec::new();
    let records: Vec<_> = story.records().collect();
    for batch in records.chunks(size) {
        let frames: Vec<_> = batch.iter().map(frame).collect();
        engine.process(&frames, &mut judgements);
        flags.append(&mut judgements.flags);
    }
    let last = records.last().expect("a frame").time;
    engine.settle(last, |flag| flags.push(flag));
    flags.sort_by_key(|flag| (flag.time, flag.key));
    flags
}

fn frame<'a>(record: &Record<'a>) -> Frame<'a> {
    Frame {
        bytes: record.bytes,
        wire_length: record.wire_length,
        link: record.link,
        direction: None,
        time: record.time,
    }
}
