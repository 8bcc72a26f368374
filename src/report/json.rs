//! The replay's findings for programs: `lychgate.replay/1`, documented in docs/replay.md.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::words;

mod flagged;

use flagged::{Detection, Flagged};

use crate::{
    engine::Reason,
    replay::{
        ComparisonSummary, CounterRow, Difference, FrameTotals, ReasonTally, ServiceTally,
        SourceRow, Summary, source_text,
    },
};

/// Name and version of the document. Fields may be added to a version, never removed or redefined.
pub const SCHEMA: &str = "lychgate.replay/1";

/// Writes the document, indented.
///
/// # Errors
/// Those of the writer.
pub fn write(summary: &Summary, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &Document::from(summary))?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    policy: &'a str,
    capture: Capture<'a>,
    frames: FrameTotals,
    reasons: Reasons<'a>,
    mail: Mail,
    sources: Vec<Source<'a>>,
    counters: Vec<Counter<'a>>,
    refusals: Refusals,
    #[serde(skip_serializing_if = "Option::is_none")]
    flagged: Option<Vec<Flagged<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detection: Option<Detection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison<'a>>,
}

#[derive(Serialize)]
struct Capture<'a> {
    files: &'a [String],
    first: Option<String>,
    last: Option<String>,
    duration_ns: u64,
    clamped: u64,
    damage: &'a [String],
}

#[derive(Serialize)]
struct Mail {
    smtp: ServiceTally,
    submission: ServiceTally,
}

#[derive(Serialize)]
struct Source<'a> {
    source: String,
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    smtp: ServiceTally,
    submission: ServiceTally,
    relayed: u64,
    first: String,
    last: String,
}

#[derive(Serialize)]
struct Counter<'a> {
    reason: &'static str,
    direction: &'static str,
    class: Option<&'a str>,
    frames: u64,
}

#[derive(Serialize)]
struct Refusals {
    attempts: u64,
    first_frame: Option<u64>,
    bucket_ns: u64,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    start: String,
    admitted: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Comparison<'a> {
    policy: &'a str,
    frames: u64,
    differing: u64,
    pairs: Vec<Pair<'a>>,
    sources: Vec<DifferingSource<'a>>,
    strangers: &'a Difference,
}

#[derive(Serialize)]
struct Pair<'a> {
    ours: Fate,
    theirs: Fate,
    #[serde(flatten)]
    difference: &'a Difference,
}

#[derive(Serialize)]
struct Fate {
    action: &'static str,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct DifferingSource<'a> {
    source: String,
    #[serde(flatten)]
    difference: &'a Difference,
    newly_refused: u64,
    newly_admitted: u64,
}

/// Every reason, also those that no frame had, in the order of the frame's life.
struct Reasons<'a>(&'a [(Reason, ReasonTally)]);

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (reason, tally) in self.0 {
            map.serialize_entry(reason.name(), &tally.total())?;
        }
        map.end()
    }
}

impl<'a> From<&'a Summary> for Document<'a> {
    fn from(summary: &'a Summary) -> Self {
        let capture = &summary.capture;
        Self {
            schema: SCHEMA,
            policy: &summary.policy,
            capture: Capture {
                files: &capture.files,
                first: capture.first.map(words::rfc3339),
                last: capture.last.map(words::rfc3339),
                duration_ns: capture.duration(),
                clamped: capture.clamped,
                damage: &capture.damage,
            },
            frames: summary.frames,
            reasons: Reasons(&summary.reasons),
            mail: Mail {
                smtp: summary.smtp(),
                submission: summary.submission(),
            },
            sources: summary.sources.iter().map(Source::from).collect(),
            counters: summary.counters.iter().map(Counter::from).collect(),
            refusals: Refusals::from(summary),
            flagged: summary.detection.as_ref().map(flagged::rows),
            detection: summary.detection.as_ref().map(Detection::from),
            comparison: summary.comparison.as_ref().map(Comparison::from),
        }
    }
}

impl<'a> From<&'a SourceRow> for Source<'a> {
    fn from(row: &'a SourceRow) -> Self {
        Self {
            source: source_text(row.key),
            class: &row.class,
            name: row.name.as_deref(),
            smtp: row.tally.smtp,
            submission: row.tally.submission,
            relayed: row.tally.relayed,
            first: words::rfc3339(row.tally.first),
            last: words::rfc3339(row.tally.last),
        }
    }
}

impl<'a> From<&'a CounterRow> for Counter<'a> {
    fn from(row: &'a CounterRow) -> Self {
        Self {
            reason: row.reason.name(),
            direction: row.direction.name(),
            class: row.class.as_deref(),
            frames: row.frames,
        }
    }
}

impl From<&Summary> for Refusals {
    fn from(summary: &Summary) -> Self {
        let bucket = |(start, bucket): (u64, crate::replay::Bucket)| Bucket {
            start: words::rfc3339(start),
            admitted: bucket.admitted,
            refused: bucket.refused,
        };
        Self {
            attempts: summary.smtp().refused + summary.submission().refused,
            first_frame: summary.first_refusal,
            bucket_ns: summary.series.width(),
            buckets: summary.series.iter().map(bucket).collect(),
        }
    }
}

impl<'a> From<&'a ComparisonSummary> for Comparison<'a> {
    fn from(found: &'a ComparisonSummary) -> Self {
        let fate = |fate: crate::replay::Fate| Fate {
            action: fate.name(),
            reason: fate.reason().map(Reason::name),
        };
        Self {
            policy: &found.policy,
            frames: found.frames,
            differing: found.differing,
            pairs: found
                .pairs
                .iter()
                .map(|(ours, theirs, difference)| Pair {
                    ours: fate(*ours),
                    theirs: fate(*theirs),
                    difference,
                })
                .collect(),
            sources: found
                .sources
                .iter()
                .map(|(key, found)| DifferingSource {
                    source: source_text(*key),
                    difference: &found.all,
                    newly_refused: found.newly_refused,
                    newly_admitted: found.newly_admitted,
                })
                .collect(),
            strangers: &found.strangers,
        }
    }
}
